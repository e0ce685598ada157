"""Rounding that one derivative leaves for the next level's, by plain values.

A derivative of a function of a whole cluster has terms with the reciprocal of a gap inside of it that cancel. What
is left of them is rounding, and must not be divided by the gap once more when that derivative is
differentiated. No array shows it: it is known only where the terms are made. So eigenpairs come with an array of
zeros, E (2 + k, k), which no loss reads and to which a front end carries what one derivative must know of the other:

* *cotangents* of E are sums of sizes: of terms that cancel in those of x_i (row 0), so that rounding is
  relative to them; and of what solvers have left in them (row 1);
* *tangents* of E are how far x_i moves within the span (row 0) and how far out of it (row 1), and the motion within,
  dX = X K + ...: K (k, k), the other rows.

They are plain numbers at every level. Functions that take the array namespace ``xp`` see values of a framework's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..krylov import small
from ..krylov.precision import NOISE
from .accuracy import Accuracy
from .couplings import Quotients
from .gauge import check_motion, check_second_derivative

__all__ = [
    "check_motion_of_vectors",
    "check_solution",
    "in_channel",
    "motion_of_vectors",
    "rounding_of_block",
    "rounding_of_couplings",
    "sizes_of_couplings",
    "sizes_of_motion",
    "without_noise",
]

Array = np.ndarray


def in_channel(xp: Any, rows: Any, K: Any) -> Any:
    """Return E (2 + k, k), or what it carries, of two rows and K (k, k)."""
    return xp.concatenate([row[None] + xp.zeros_like(K[:1]) for row in rows] + [K])


def rounding_of_couplings(accuracy: Accuracy, size: Array, couplings: Quotients, gaps: Array) -> Array:
    """Return the rounding (k, k) of couplings of these ``gaps`` over ε: ``size`` (k, k) is that of their numerators."""
    kept = ~(couplings.equal | np.eye(len(gaps), dtype=bool))
    # The gap is known to rounding of the eigenvalues only.
    error: Array = size + np.abs(couplings.values) * accuracy.spread
    return error * kept / np.where(kept, np.abs(gaps), 1)


def sizes_of_couplings(xp: Any, g: Any, weight: Any) -> Any:
    """Return the cotangent of E for one g (k, k) of couplings: the terms that these make of x_i's and x_j's cotangents.

    ``weight`` (k, k) is the couplings' rounding over ε.
    """
    terms = xp.abs(g) * weight
    sizes = xp.sum(terms, axis=0) + xp.sum(terms, axis=1)
    return in_channel(xp, [sizes, xp.zeros_like(sizes)], xp.zeros_like(g))


def _rounding_of_motion(xp: Any, dE: Any, weight: Any, eps: float) -> Any:
    """Return the rounding in the tangents of couplings along motions within the span, (k, k)."""
    motion = xp.abs(dE[0])
    return eps * weight * (motion[:, None] + motion)


def without_noise(xp: Any, dT: Any, dE: Any, weight: Any, eps: float) -> Any:
    """Return what of the tangent dT (k, k) of couplings is not what rounding makes of motions within the span.

    A mask (k, k) of booleans.
    """
    return xp.abs(dT) > NOISE * _rounding_of_motion(xp, dE, weight, eps)


def check_solution(Z: Array, dZ: Array, dT: Array, dE: Array, weight: Array, accuracy: Accuracy) -> None:
    """Say what rounding of the couplings has left of the tangents dZ of adjoint solutions Z (n, k).

    Along X → X (1 + K) the solution for a function of the span and of the matrix in it turns as Z (1 + K)⁻ᴴ does,
    dZ = −Z Kᴴ, which goes as 1/gap² and cancels in what is made of Z and X. So rounding is measured against the rest of
    dZ.
    """
    rounding = _rounding_of_motion(np, dE, weight, accuracy.pairs.eps)
    rounding *= accuracy.left_lengths[: len(dT), None]
    lost = small.norm(rounding[np.abs(dT) > NOISE * rounding])
    if lost > 0:
        rest = accuracy.space.norm(dZ + Z @ dE[2:].conj().T)
        check_second_derivative(accuracy.pairs, min(lost / rest, 1.0) if rest > 0 else 1.0)


def motion_of_vectors(xp: Any, X: Any, dX: Any, C: Any, Z: Any) -> Any:
    """Return the tangent of E for dX = Z + X K, where K is C off the diagonal, and on it what normalisation made of C.

    C (k, k) are couplings and Z (n, k) tangent solutions.
    """

    def dots(V: Any, W: Any) -> Any:
        return xp.sum(xp.conj(V) * W, axis=0)

    def norms(V: Any) -> Any:
        return xp.sqrt(xp.sum(xp.real(V) ** 2 + xp.imag(V) ** 2, axis=0))

    K = C + xp.diag(dots(X, dX - Z - X @ C) / dots(X, X))
    return in_channel(xp, [norms(C), norms(Z)], K)


def sizes_of_motion(xp: Any, g: Any, motion: Any) -> Any:
    """Return the cotangent of E for one g (n, k) of dX: the terms that what is read of X makes along its motion."""
    sizes = xp.sqrt(xp.sum(xp.real(g) ** 2 + xp.imag(g) ** 2, axis=0)) * xp.abs(motion[0])
    return in_channel(xp, [sizes, xp.zeros_like(sizes)], xp.zeros_like(motion[2:]))


def check_motion_of_vectors(accuracy: Accuracy, motion: Array, dE: Array) -> None:
    """Say what is lost of a second tangent dX, along dE, of vectors with the given ``motion``."""
    inside, outside = np.max(np.abs(motion[:2]), axis=1)
    error = accuracy.pairs.eps * inside / outside if outside > 0 else 0.0
    check_motion(accuracy.pairs, np.abs(dE[:2]), error)


def rounding_of_block(accuracy: Accuracy, z: Array, left: Array, v: Array, left_of_v: Array) -> float:
    """Return the error that two residuals, and rounding, leave in cotangents of X where larger terms cancel.

    z (n + k, k) is a solution of block-bordered systems, [Z; M], and v the cotangent of its right-hand side, with the
    norms of what they leave of their own right-hand sides.
    """
    n = accuracy.pairs.X.shape[0]
    size_v, m_v = accuracy.space.norm(v[:n]), small.norm(v[n:])
    size_z, m_z = accuracy.space.norm(z[:n]), small.norm(z[n:])
    error = np.max(left) * size_v + np.max(left_of_v) * size_z
    error += accuracy.rounding * size_v * size_z + accuracy.pairs.eps * (m_v * size_z + m_z * size_v)
    return float(error)
