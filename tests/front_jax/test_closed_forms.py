"""Values and derivatives that are known in closed form, and losses of any size."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)


def shifted(x, by):
    zero = jnp.zeros(1)
    return jnp.concatenate([x[1:], zero]) if by > 0 else jnp.concatenate([zero, x[:-1]])


def ground_state(V):
    """The lowest level of a chain with the potential V."""
    A = kj.LinearOperator((V.size, V.size), lambda x: 2 * x - shifted(x, 1) - shifted(x, -1) + V * x)
    return kj.eigsh(A, k=1, which="SA")[0][0]


def test_chain():
    V = jnp.zeros(30)
    value, g = jax.value_and_grad(ground_state)(V)
    assert value == pytest.approx(0.010261353216210, abs=1e-12)
    assert g[14] == pytest.approx(0.064350623335222, abs=1e-12)
    e = jnp.zeros(30).at[14].set(1.0)
    assert jax.jvp(jax.grad(ground_state), (V,), (e,))[1][14] == pytest.approx(-0.203333508750, abs=1e-12)
    assert jax.jit(jax.hessian(ground_state))(V)[14, 14] == pytest.approx(-0.203333508750, abs=1e-12)


def test_toeplitz_matrix():
    def rightmost(p):
        A = kj.LinearOperator((30, 30), lambda x: p[0] * shifted(x, -1) + p[1] * x + p[2] * shifted(x, 1))
        return jnp.real(kj.eigs(A, k=1, which="LR")[0][0])

    p = jnp.array([1.3, 0.2, 0.8])
    value, g = jax.value_and_grad(rightmost)(p)
    assert value == pytest.approx(2.229143237380, abs=1e-10)
    assert np.allclose(g, [0.780439706685, 1, 1.268214523363], rtol=0, atol=1e-10)
    mixed = jax.jvp(jax.grad(rightmost), (p,), (jnp.array([1.0, 0, 0]),))[1][2]
    assert mixed == pytest.approx(0.487774816678, abs=1e-10)


def test_mass():
    A = jnp.diag(jnp.arange(1.0, 31.0))

    def pairs(m):
        return kj.eigsh(A, k=2, M=m * jnp.eye(30), which="LM")

    w = jax.jacfwd(lambda m: pairs(m)[0])(2.0)
    assert np.allclose(w, [-7.25, -7.5], rtol=0, atol=1e-10)
    assert jax.grad(lambda m: jnp.sum(pairs(m)[1] ** 4))(2.0) == pytest.approx(-0.5, abs=1e-10)


@pytest.mark.parametrize("exponent", [160, -160, 250, -250])
@pytest.mark.parametrize("staged", [False, True])
def test_losses_of_any_size(exponent, staged):
    """The loss times a number has the gradient times that number."""
    A, weights = np.diag(np.arange(20.0)) + 0.1, np.arange(20.0)

    def f(p, size):
        w, X = kj.eigsh(A + p * np.eye(20, k=1) + p * np.eye(20, k=-1), k=2, which="SA")
        return size * (w[0] + jnp.sum(weights[:, None] * X**2 * np.array([1, 2])))

    g = jax.jit(jax.grad(f)) if staged else jax.grad(f)
    assert float(g(0.3, 10.0**exponent)) / 10.0**exponent == pytest.approx(float(jax.grad(f)(0.3, 1.0)), rel=1e-12)
