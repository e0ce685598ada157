"""Invariant subspaces and functions of small Hermitian matrices in PyTorch, where eigenvalues meet.

The references know no eigenvector and no gap: contour integrals (`subspaces.py`).
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from autograd import grad  # noqa: E402
from subspaces import family  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

ZERO, V = np.zeros(2), np.array([0.6, -0.8])
GAPS = (0.0, 1e-12, 1e-6, 1e-2)
CASES = [
    ("hermitian", False, None), ("hermitian", False, "definite"),
    ("hermitian", True, None), ("hermitian", True, "definite"),
    ("semisimple", True, None), ("semisimple", False, "definite"),
    ("jordan2", True, None), ("jordan2", True, "definite"),
    ("pairs", False, None), ("pairs", False, "definite"),
]  # fmt: skip


class Namespace:
    """PyTorch in the words that the family's loss is written in."""

    conj, trace, sum, abs = torch.conj, torch.trace, torch.sum, torch.abs
    dot = staticmethod(torch.matmul)
    real = staticmethod(lambda x: x.real if x.is_complex() else x)
    imag = staticmethod(lambda x: x.imag if x.is_complex() else torch.zeros_like(x))


def plain(a):
    return torch.from_numpy(np.ascontiguousarray(a))


def tensor(p):
    return torch.tensor(p, dtype=torch.float64)


def pencil_of(given):
    A = [plain(a) for a in given.A]
    M = None if given.M is None else [plain(a) for a in given.M]
    return lambda p: (A[0] + p[0] * A[1] + p[1] * A[2], None if M is None else M[0] + p[0] * M[1] + p[1] * M[2])


def loss_of(given, **adjoint):
    """The family's loss as a function of a tensor p."""
    pencil, W = pencil_of(given), given.W
    options = kt.Adjoint(rtol=1e-13, on_gauge="raise", **adjoint)
    where = {"which": "LA" if given.hermitian else "LR", "v0": np.ones(16)}

    def f(p):
        A, M = pencil(p)
        X, H = kt.invariant_subspace(A, 5, M, hermitian=given.hermitian, adjoint=options, **where)
        assert X.is_complex() == np.iscomplexobj(W)
        return given.loss(X, H, Namespace, plain)

    return f


def error(found, exact):
    return float(np.max(np.abs(np.asarray(found) - exact)) / np.max(np.abs(exact)))


def derivatives(f):
    """Value, gradient, derivative along V forward, and second ones along V in four ways."""
    p, v = tensor(ZERO), tensor(V)
    q = p.clone().requires_grad_()
    value = f(q)
    (g,) = torch.autograd.grad(value, q, create_graph=True)
    (double,) = torch.autograd.grad((g * v).sum(), q)
    along = torch.func.jvp(f, (p,), (v,))[1]
    over = torch.func.jvp(torch.func.grad(f), (p,), (v,))[1]
    back = torch.func.grad(lambda p: torch.func.jvp(f, (p,), (v,))[1])(p)
    return value.item(), g.detach(), along, [double, over, back]


@pytest.mark.parametrize(("kind", "is_complex", "mass"), CASES)
def test_derivatives_are_those_of_contour_integrals_at_every_gap(kind, is_complex, mass):
    for gap in GAPS:
        given = family(kind, gap, is_complex, mass)
        exact = given.reference
        first, second = grad(exact)(ZERO), grad(lambda p: grad(exact)(p) @ V)(ZERO)
        value, g, along, seconds = derivatives(loss_of(given))
        assert error(value, exact(ZERO)) < 1e-12
        assert error(g, first) < 1e-10
        assert error(along, first @ V) < 1e-10
        for found in seconds:
            assert error(found, second) < 1e-8
