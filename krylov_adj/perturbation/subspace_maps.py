"""Adjoint and tangent maps of an invariant subspace (X, H): from cotangents to right-hand sides, and back.

X and H are functions of the residuals of their equations, with X and H in them held fixed,

    R = A X − B X H,    S = Xᴴ N X − I   (N is B, or I),    in the gauge Xᴴ N dX = −½ dS.

Tangents. A V − B V H + B X μ = −dR with Xᴴ V = 0; then C = −(XᴴN V + ½ dS), dX = V + X C, dH = −μ + H C − C H.

Cotangents. For df = Re tr(gXᴴ dX) + Re tr(gHᴴ dH) the transposed equations are, with m = XᴴgX + Hᴴ gH − gH Hᴴ,

    Aᴴ W − Bᴴ W Hᴴ = N X m − gX,   (B X)ᴴ W = gH,    df = Re tr(Wᴴ dR) − ½ Re tr(½(m + mᴴ)ᴴ dS).

Of a Hermitian pencil gH is ½(gH + gHᴴ), and W = X gH + U with A U − B U H = N X XᴴgX − gX: a loss of H alone needs no
solve. dX along X K with K = −Kᴴ changes nothing but the basis; it changes f by Re tr(mᴴK), so a loss that is a function
of the subspace, and of H in whatever basis, has a Hermitian m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..krylov import small
from ..krylov.precision import NOISE, Precision
from .problem import Eigenproblem

Array = np.ndarray

__all__ = [
    "PlainRightHandSide",
    "SubspaceRightHandSide",
    "basis_dependence",
    "begin_adjoint",
    "finish_tangent",
    "split_right_hand_side",
]


@dataclass(frozen=True)
class SubspaceRightHandSide:
    """The right-hand side of the adjoint equations, traced where its makings are.

    Attributes
    ----------
    F : array, shape (n, k)
    G : array, shape (k, k)
        Zero of a Hermitian pencil.
    inside : array, shape (n, k), or None
        The part X gH of W, which needs no solve.
    sigma : array, shape (k, k)
        ½(m + mᴴ).
    """

    F: Any
    G: Any
    inside: Any
    sigma: Any


def begin_adjoint(xp: Any, hermitian: bool, X: Any, NX: Any, H: Any, gX: Any, gH: Any) -> SubspaceRightHandSide:
    """Return the right-hand side for cotangents in the core's convention."""
    K, HH = xp.dot(xp.conj(X).T, gX), xp.conj(H).T
    if hermitian:
        gH = _hermitian_part(xp, gH)
    m = K + xp.dot(HH, gH) - xp.dot(gH, HH)
    sigma = _hermitian_part(xp, m)
    if hermitian:
        return SubspaceRightHandSide(xp.dot(NX, K) - gX, xp.zeros_like(m), xp.dot(X, gH), sigma)
    return SubspaceRightHandSide(xp.dot(NX, m) - gX, gH, None, sigma)


def finish_tangent(xp: Any, hermitian: bool, X: Any, NX: Any, H: Any, V: Any, mu: Any, dS: Any) -> tuple[Any, Any]:
    """Return dX and dH from the solution of the tangent equations; dS (k, k) is None where N is fixed."""
    C = -xp.dot(xp.conj(NX).T, V)
    if dS is not None:
        C = C - 0.5 * _hermitian_part(xp, dS)
    dH = xp.dot(H, C) - xp.dot(C, H) - mu
    return V + xp.dot(X, C), _hermitian_part(xp, dH) if hermitian else dH


@dataclass(frozen=True)
class PlainRightHandSide:
    """The right-hand side on plain values, in the parts that gX and gH make of F.

    The second, N X (Hᴴ gH − gH Hᴴ), is zero where it is rounding of H, which is relative to A: of functions of H.
    ``scale_of_vectors`` and ``scale_of_values`` (k,) are the sizes of the terms of which each is the difference.
    """

    of_vectors: Array
    of_values: Array
    G: Array
    scale_of_vectors: Array
    scale_of_values: Array


def split_right_hand_side(
    problem: Eigenproblem, X: Array, NX: Array, H: Array, gX: Array, gH: Array
) -> PlainRightHandSide:
    """Return the plain right-hand side for cotangents gX, gH (Hermitian where the problem is), by `begin_adjoint`."""
    space, zero = problem.space, np.zeros_like(gH)
    K = space.gram(X, gX)
    F, size_NX = NX @ K - gX, float(space.norms(NX).max(initial=0))
    of_vectors = space.norms(gX) + size_NX * small.column_norms(K)
    if problem.hermitian:
        return PlainRightHandSide(F, np.zeros_like(F), zero, of_vectors, np.zeros(len(gH)))
    HH = H.conj().T
    m, eps = HH @ gH - gH @ HH, Precision.of(X.dtype).eps
    of_values = np.full(len(gH), size_NX * 2 * small.norm(H) * small.norm(gH))
    if small.norm(m) <= NOISE * eps * _size_of_eigenvalues(problem, H) * small.norm(gH):
        m, of_values = zero, np.zeros(len(gH))
    return PlainRightHandSide(F, NX @ m, gH, of_vectors, of_values)


def basis_dependence(problem: Eigenproblem, X: Array, H: Array, gX: Array, gH: Array) -> float:
    """Return ‖½(m − mᴴ)‖ over the size of what it was computed from; zero where it is rounding.

    Where H is a multiple of the identity its commutator is rounding of H, which is relative to A, and nothing else.
    """
    space, eps = problem.space, Precision.of(X.dtype).eps
    HH = H.conj().T
    m = space.gram(X, gX) + HH @ gH - gH @ HH
    part = 0.5 * small.norm(m - m.conj().T)
    spread = small.norm(H - np.trace(H) / len(H) * np.eye(len(H)))
    vectors = space.norm(gX) * space.norm(X)
    noise = NOISE * eps * (vectors + _size_of_eigenvalues(problem, H) * small.norm(gH))
    size = vectors + 2 * spread * small.norm(gH)
    return part / size if part > noise and size > 0 else 0.0


def _size_of_eigenvalues(problem: Eigenproblem, H: Array) -> float:
    """Return the size that rounding of H is relative to."""
    norm_A, norm_B = problem.norms
    return float(norm_A / norm_B + small.norm(H))


def _hermitian_part(xp: Any, K: Any) -> Any:
    return 0.5 * (K + xp.conj(K).T)
