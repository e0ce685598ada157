"""Invariant subspaces and functions of small Hermitian matrices in JAX, where eigenvalues meet.

The references know no eigenvector and no gap: contour integrals (`subspaces.py`).
"""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from autograd import grad  # noqa: E402
from subspaces import family  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)

ZERO, V = np.zeros(2), np.array([0.6, -0.8])
GAPS = (0.0, 1e-12, 1e-6, 1e-2)
EXACT = kj.Adjoint(rtol=1e-13, on_gauge="raise")
CASES = [
    ("hermitian", False, None), ("hermitian", True, "definite"),
    ("semisimple", True, None), ("semisimple", False, "definite"),
    ("jordan2", True, None), ("jordan2", True, "definite"),
    ("pairs", False, None), ("pairs", False, "definite"),
]  # fmt: skip


def error(found, exact):
    found, exact = (np.asarray(x) for x in (found, exact))
    return float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))


def contours(given):
    """Value, gradient and the second derivative along V by contour integrals."""
    f = given.reference
    return f(ZERO), grad(f)(ZERO), grad(lambda p: grad(f)(p) @ V)(ZERO)


def loss_of(given):
    """The family's loss as a function of p and of the matrices, so that one program serves all gaps."""
    where = {"which": "LA" if given.hermitian else "LR", "v0": np.ones(16)}

    def f(p, A, M, W, weights):
        A = A[0] + p[0] * A[1] + p[1] * A[2]
        M = None if M is None else M[0] + p[0] * M[1] + p[1] * M[2]
        X, H = kj.invariant_subspace(A, 5, M, hermitian=given.hermitian, adjoint=EXACT, **where)
        assert jnp.iscomplexobj(X) == jnp.iscomplexobj(H) == (np.iscomplexobj(given.W) or not given.hermitian)
        return given.loss(X, H, jnp, lambda c: W if c is given.W else weights)

    return f


@pytest.mark.parametrize(("kind", "is_complex", "mass"), CASES)
def test_derivatives_are_those_of_contour_integrals_at_every_gap(kind, is_complex, mass):
    given = family(kind, 0.0, is_complex, mass)
    f = loss_of(given)
    staged = jax.jit(
        lambda p, *rest: (
            jax.value_and_grad(f)(p, *rest),
            jax.jvp(lambda p: f(p, *rest), (p,), (V,))[1],
            jax.jvp(lambda p: jax.grad(f)(p, *rest), (p,), (V,))[1],
            jax.grad(lambda p: jax.grad(f)(p, *rest) @ V)(p),
        )
    )
    for gap in GAPS:
        given = family(kind, gap, is_complex, mass)
        rest = (np.array(given.A), None if given.M is None else np.array(given.M), given.W, given.V)
        expected, first, second = contours(given)
        (value, g), along, *seconds = staged(ZERO, *rest)
        assert error(value, expected) < 1e-12
        assert error(g, first) < 1e-10
        assert error(along, first @ V) < 1e-10
        for found in seconds:
            assert error(found, second) < 1e-8
