"""Twelve classes of eigenproblems, derivatives of every kind, against a dense oracle of its own."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax_cases import CLASSES, P0, Case, V, error  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)


#: Classes whose third derivatives are looked at here: programs of that size take long to compile.
THIRD = ("symmetric", "Hermitian", "real", "complex pencil")


def make(case):
    """The loss as a function of the parameters, by closures where there is no mass."""
    solver = kj.eigsh if case.hermitian else kj.eigs

    def solve(p):
        if case.general:
            return solver(case.A(p), k=case.k, M=case.M(p), **case.arguments)

        def matvec(x):
            return case.A0 @ x + p[0] * (case.A1 @ x) + jnp.sin(p[1]) * (case.A2 @ x)

        A = kj.LinearOperator((case.n, case.n), matvec, dtype=case.A0.dtype)
        return solver(A, k=case.k, **case.arguments)

    return solve, lambda p: case.loss(*solve(p))


def of_third_order(f):
    """The gradient, Hessian times V and third derivative along V twice, at once."""

    def second(p):
        return jax.jvp(jax.grad(f), (p,), (V,))

    def third(p):
        (g, Hv), (_, T) = jax.jvp(second, (p,), (V,))
        return g, Hv, T

    return third


@pytest.mark.parametrize("name", CLASSES)
def test_derivatives_of_a_class(name):
    case = Case(name)
    solve, f = make(case)
    expected, g, Hv, T = case.oracle(solve(P0)[0])
    value, found = jax.value_and_grad(f)(P0)
    assert error(value, expected) < 1e-10
    assert error(found, g) < 1e-8
    assert error(jax.jvp(f, (P0,), (V,))[1], g @ V) < 1e-8
    staged = jax.jit(of_third_order(f) if name in THIRD else lambda p: jax.jvp(jax.grad(f), (p,), (V,)))(P0)
    for x, y, tol in zip(staged, (g, Hv, T), (1e-8, 1e-7, 1e-6), strict=False):
        assert error(x, y) < tol


@pytest.mark.slow
@pytest.mark.parametrize("name", ["real", "Hermitian pencil"])
def test_every_way_to_second_order_and_batches(name):
    case = Case(name)
    solve, f = make(case)
    _, g, Hv, _ = case.oracle(solve(P0)[0])
    assert error(jax.jvp(jax.grad(f), (P0,), (V,))[1], Hv) < 1e-7
    assert error(jax.grad(lambda p: jax.grad(f)(p) @ V)(P0), Hv) < 1e-7  # reverse over reverse
    assert error(jax.jit(jax.hessian(f))(P0) @ V, Hv) < 1e-7
    both = np.stack([P0 + 0.01, P0])
    assert error(jax.vmap(jax.grad(f))(both)[1], g) < 1e-8
    assert error(jax.jit(jax.vmap(jax.grad(f)))(both)[1], g) < 1e-8
