"""Operators of every kind, and what they hold: each array is a parameter, and none is taken for another."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax.experimental import sparse as jsparse  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)

N = 20
D = jnp.arange(1.0, N + 1) ** 1.2


def largest(matvec, **more):
    return kj.eigsh(kj.LinearOperator((N, N), matvec, **more), k=1, which="LA")[0][0]


@pytest.mark.parametrize("where", ["eager", "jit", "jit in jit", "scan", "vmap"])
def test_a_compiled_matvec_holds_its_own_array(where):
    """Two that look alike, with the arrays d and 2d, are two operators."""

    def value(d):
        inner = jax.jit(lambda x: d * x)
        if where == "jit in jit":
            inner = jax.jit(lambda x, inner=inner: inner(x))
        if where == "scan":
            return largest(lambda x: jax.lax.scan(lambda c, _: (inner(c), None), x, None, length=1)[0])
        if where == "vmap":
            return largest(lambda x: jax.vmap(inner)(x[None])[0])
        return largest(inner)

    run = jax.jit(value, static_argnums=()) if where == "jit" else value
    assert float(run(D)) == pytest.approx(N**1.2)
    assert float(run(2 * D)) == pytest.approx(2 * N**1.2)
    assert jax.grad(value)(2 * D)[N - 1] == pytest.approx(1)


def test_literals_are_told_apart():
    for factor in (1.0, 1.0 + 1e-12, 2.5):
        assert float(largest(lambda x, f=factor: f * (D * x))) == pytest.approx(factor * N**1.2, rel=1e-14)


def test_callbacks_are_told_apart():
    for factor in (1.0, 2.0):

        def matvec(x, factor=factor):
            return jax.pure_callback(lambda v: factor * np.asarray(D) * np.asarray(v), x, x)

        assert float(largest(matvec, rmatvec=matvec)) == pytest.approx(factor * N**1.2)


def test_integers_that_depend_on_parameters():
    """A traced integer in a closure is an operand like any other."""

    def f(p):
        order = jnp.argsort(p)
        return largest(lambda x: p[order] * x)

    for g in (jax.grad(f), jax.jit(jax.grad(f))):
        assert np.allclose(g(D[::-1]), np.eye(N)[0], atol=1e-12)


def test_what_is_left_of_an_ended_derivative_is_not_read():
    """diag(p) with p = q²: 2q, not 2q times anything, at both orders."""

    def f(q):
        p = q**2
        return jax.grad(lambda r: largest(lambda x: r * p * D * x))(1.0)

    assert float(jax.grad(f)(1.5)) == pytest.approx(3.0 * N**1.2)
    assert float(jax.grad(jax.grad(f))(1.5)) == pytest.approx(2.0 * N**1.2)


def of(kind, d):
    """A diagonal matrix in every way to write one."""
    where = np.arange(N)
    if kind == "dense":
        return jnp.diag(d)
    if kind == "csr_array":
        return kj.csr_array((d, where, np.arange(N + 1)), (N, N))
    if kind == "BCOO":
        return jsparse.BCOO((d, jnp.stack([where, where], axis=1)), shape=(N, N))
    if kind == "BCSR":
        return jsparse.BCSR((d, jnp.asarray(where), jnp.arange(N + 1)), shape=(N, N))
    return kj.LinearOperator((N, N), lambda x: d * x)


@pytest.mark.parametrize("kind", ["dense", "csr_array", "BCOO", "BCSR", "closure"])
def test_kinds_of_operators(kind):
    arguments = {"which": "LA"} if kind == "closure" else {"sigma": 40.0}

    def f(d):
        w, X = kj.eigsh(of(kind, d), k=2, **arguments)
        return w[0] * w[1] + jnp.sum(X[:, 0] ** 4)

    g = np.zeros(N)
    g[-2:] = D[-1], D[-2]
    assert np.allclose(jax.grad(f)(D), g, atol=1e-9)
    assert np.allclose(jax.jit(jax.grad(f))(D), g, atol=1e-9)


def test_matrices_of_scipy_are_constants():
    K = sp.diags_array(np.arange(1.0, N + 1))
    w = jax.jit(lambda m: kj.eigsh(kj.csr_array((m, np.arange(N), np.arange(N + 1)), (N, N)), k=1, M=K, sigma=2.5)[0])
    assert float(w(jnp.arange(1.0, N + 1) * 3)[0]) == pytest.approx(3)


def test_gradients_in_the_entries_of_hermitian_matrices_are_hermitian():
    A = np.diag(np.arange(8.0)) + 0.3
    g = jax.grad(lambda A: jnp.sum(kj.eigsh(A, k=2, which="SA")[1][:, 0] ** 3 * np.arange(8)))(A)
    assert np.array_equal(g, g.T)


def test_operators_of_other_packages_by_their_interface():
    class Diagonal:  # as lineax has them
        def mv(self, x):
            return D * x

        def in_structure(self):
            return jax.ShapeDtypeStruct((N,), np.float64)

        out_structure = in_structure

    assert float(kj.eigsh(Diagonal(), k=1, which="LA")[0][0]) == pytest.approx(N**1.2)


def test_operators_are_data():
    eqx = pytest.importorskip("equinox")

    class Diagonal(eqx.Module):
        d: jax.Array

        def __call__(self, x):
            return self.d * x

    class Model(eqx.Module):
        H: kj.LinearOperator
        S: kj.csr_array

    model = Model(kj.LinearOperator((N, N), Diagonal(D)), of("csr_array", D))
    assert [leaf.shape for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))] == [(N,), (N,)]

    @eqx.filter_jit
    @eqx.filter_grad
    def g(model):
        return kj.eigsh(model.H, k=1, which="LA")[0][0] + kj.eigsh(model.S, k=1, sigma=40.0)[0][0]

    found = g(model)
    assert np.allclose(found.H.matvec.d, np.eye(N)[-1], atol=1e-12)
    assert np.allclose(found.S.data, np.eye(N)[-1], atol=1e-12)
    S = pickle.loads(pickle.dumps(copy.deepcopy(model.S)))
    assert np.array_equal(S.data, D)
    assert S.pattern == model.S.pattern


def test_csr_array_inside_of_transformations_and_refusals():
    d = jnp.arange(1.0, 10.0)
    A = kj.csr_array((d, np.arange(9), np.arange(10)), (9, 9))
    assert np.allclose(A @ jnp.ones(9), d)
    assert np.allclose(jax.vmap(lambda d: kj.csr_array((d, np.arange(9), np.arange(10)), (9, 9)) @ d)(d[None]), d**2)
    with pytest.raises(TypeError, match="indices is traced"):
        jax.jit(lambda i: kj.csr_array((d, i, np.arange(10)), (9, 9)).data)(jnp.arange(9))
    with pytest.raises(ValueError, match="outside of 0"):
        kj.csr_array((d, np.arange(9) + 1, np.arange(10)), (9, 9))
    with pytest.raises(ValueError, match="rise from 0"):
        kj.csr_array((d, np.arange(9), np.arange(10)[::-1]), (9, 9))


@pytest.mark.parametrize(
    ("operator", "error", "text"),
    [
        (lambda: kj.LinearOperator((N, N), lambda x: x[1:]), ValueError, r"returned shape \(19,\)"),
        (lambda: kj.LinearOperator((N, N), lambda x: 1j * x, dtype=float), TypeError, "dtype=complex"),
        (lambda: kj.LinearOperator((N, N), lambda x: (x, x), dtype=float), TypeError, "a pytree of 2"),
        (lambda: jnp.eye(N, dtype=jnp.bfloat16), TypeError, "single or double precision"),
        (lambda: sp.linalg.aslinearoperator(np.eye(N)), TypeError, "an operator of SciPy's"),
        (lambda: "matrix", TypeError, "cannot read an operator of type str"),
        (lambda: jnp.ones((3, 4)), ValueError, "square"),
        (lambda: jnp.ones(3), ValueError, "two dimensions"),
    ],
)
def test_refused_operators(operator, error, text):
    with pytest.raises(error, match=text):
        kj.eigsh(operator(), k=1)
