"""Rounding's channel between the derivatives of different levels.

A derivative of a function of a whole cluster has terms with the reciprocal of a gap inside of it that cancel. What
is left of them is rounding, and must not be divided by the gap once more when that derivative is
differentiated. No array shows it: it is known only where the terms are made. So eigenpairs come with an array of
zeros, E (2 + k, k), which no loss reads and to which autograd carries what one derivative must know of the other:

* *cotangents* of E are sums of sizes: of terms that cancel in those of x_i (row 0), so that rounding is
  relative to them; and of what solvers have left in them (row 1);
* *tangents* of E are how far x_i moves within the span (row 0) and how far out of it (row 1), and the motion within,
  dX = X K + ...: K (k, k), the other rows.

They are plain numbers at every level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as la
from autograd.extend import defjvp, defjvp_argnums, defvjp, primitive

from ..krylov.precision import NOISE
from ..perturbation.accuracy import Accuracy
from ..perturbation.gauge import check_motion, check_second_derivative
from .trace import strip

__all__ = ["carry_motion", "carry_rounding", "channel", "channel_of", "part_of", "watch_solution"]


def channel(rows: Any, K: np.ndarray) -> np.ndarray:
    """E (2 + k, k), or what it carries, of two rows and K (k, k)."""
    return np.concatenate([np.stack(rows).astype(K.dtype), K])


def part_of(E: Any, chosen: np.ndarray) -> Any:
    """E of some pairs."""
    rows = np.concatenate([[0, 1], 2 + np.arange(E.shape[1])[chosen]])
    return E[rows][:, chosen]


@primitive
def carry_rounding(T: Any, E: Any, weight: np.ndarray, accuracy: Accuracy) -> Any:
    """T (k, k), couplings whose rounding is ε·weight, numerators' sizes over gaps."""
    return T


def _sizes(weight: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Cotangents of E for those of T: the terms that these make of x_i's and x_j's cotangents."""

    def vjp(g: Any) -> np.ndarray:
        terms = np.abs(strip(g)) * weight
        sizes = terms.sum(axis=0) + terms.sum(axis=1)
        return channel([sizes, np.zeros_like(sizes)], np.zeros_like(strip(g)))

    return vjp


def _without_noise(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    """The tangent of T without what rounding makes of motions within the span."""
    tangents, (_, _, weight, accuracy) = dict(zip(argnums, gs, strict=True)), args
    if 0 not in tangents:
        return np.zeros_like(strip(ans))
    dT = tangents[0]
    if 1 in tangents:
        dT = dT * (np.abs(strip(dT)) > NOISE * _rounding_of_motion(strip(tangents[1]), weight, accuracy))
    return dT


def _rounding_of_motion(dE: np.ndarray, weight: np.ndarray, accuracy: Accuracy) -> np.ndarray:
    """The rounding in the tangents of couplings along motions within the span, (k, k)."""
    motion = np.abs(dE[0])
    return accuracy.pairs.eps * weight * (motion[:, None] + motion)


defvjp(
    carry_rounding,
    lambda ans, T, E, weight, accuracy: lambda g: g,
    lambda ans, T, E, weight, accuracy: _sizes(weight),
)
defjvp_argnums(carry_rounding, _without_noise)


@primitive
def watch_solution(Z: Any, E: Any, T: Any, weight: np.ndarray, accuracy: Accuracy) -> Any:
    """Z (n, k), adjoint solutions with the couplings T; says what rounding of these has left of its tangents.

    Along X → X (1 + K) the solution for a function of the span and of the matrix in it turns as Z (1 + K)⁻ᴴ does,
    dZ = −Z Kᴴ, which goes as 1/gap² and cancels in what is made of Z and X. So rounding is measured against the rest of
    dZ.
    """
    return Z


def _watched_solution(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    tangents, (Z, _, T, weight, accuracy) = dict(zip(argnums, gs, strict=True)), args
    dZ = tangents.get(0, np.zeros_like(strip(ans)))
    if len(tangents) == 3:
        values, dT, dE = strip(dZ), strip(tangents[2]), strip(tangents[1])
        rounding = _rounding_of_motion(dE, weight, accuracy)
        rounding *= accuracy.left_lengths[: len(T), None]
        lost = float(np.linalg.norm(rounding[np.abs(dT) > NOISE * rounding]))
        if lost > 0:
            rest = float(np.linalg.norm(values + strip(Z) @ dE[2:].conj().T))
            check_second_derivative(accuracy.pairs, min(lost / rest, 1.0) if rest > 0 else 1.0)
    return dZ


defvjp(
    watch_solution,
    lambda ans, Z, E, T, weight, accuracy: lambda g: g,
    lambda ans, Z, E, T, weight, accuracy: lambda g: np.zeros_like(strip(E)),
    lambda ans, Z, E, T, weight, accuracy: lambda g: np.zeros_like(strip(T)),
)
defjvp_argnums(watch_solution, _watched_solution)


@primitive
def carry_motion(dX: Any, E: Any, motion: np.ndarray, accuracy: Accuracy) -> Any:
    """dX (n, k), a tangent of eigenvectors with the given motion, a tangent of E."""
    return dX


def _sizes_of_motion(motion: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Cotangents of E for those of dX: the terms that what is read of X makes along its motion within the span."""

    def vjp(g: Any) -> np.ndarray:
        sizes = np.linalg.norm(strip(g), axis=0) * np.abs(motion[0])
        return channel([sizes, np.zeros_like(sizes)], np.zeros_like(motion[2:]))

    return vjp


def _watched(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    tangents, (_, _, motion, accuracy) = dict(zip(argnums, gs, strict=True)), args
    if 1 in tangents:
        inside, outside = np.max(np.abs(motion[:2]), axis=1)
        error = accuracy.pairs.eps * inside / outside if outside > 0 else 0.0
        check_motion(accuracy.pairs, np.abs(strip(tangents[1])[:2]), error)
    return tangents.get(0, np.zeros_like(strip(ans)))


defvjp(
    carry_motion,
    lambda ans, dX, E, motion, accuracy: lambda g: g,
    lambda ans, dX, E, motion, accuracy: _sizes_of_motion(motion),
)
defjvp_argnums(carry_motion, _watched)


@primitive
def channel_of(X: Any) -> np.ndarray:
    """E for vectors X that came without it: its tangents are the motions of X, cotangents it takes none."""
    k = X.shape[1]
    return np.zeros((2 + k, k), X.dtype)


def _motion(g: Any, ans: Any, X: Any) -> np.ndarray:
    X, dX = strip(X), strip(g)
    within = la.lstsq(X, dX)[0]  # (k, k)
    outside = np.linalg.norm(dX - X @ within, axis=0)
    np.fill_diagonal(within, 0)
    return channel([np.linalg.norm(X @ within, axis=0), outside], within)


defvjp(channel_of, lambda ans, X: lambda g: np.zeros_like(strip(X)))
defjvp(channel_of, _motion)
