"""autograd: rounding's channel E between the derivatives of different levels (perturbation/rounding.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as la
from autograd.extend import defjvp, defjvp_argnums, defvjp, primitive

from ..perturbation.accuracy import Accuracy
from ..perturbation.rounding import (
    check_motion_of_vectors,
    check_solution,
    in_channel,
    sizes_of_couplings,
    sizes_of_motion,
    without_noise,
)
from .trace import strip

__all__ = ["carry_motion", "carry_rounding", "channel_of", "part_of", "watch_solution"]


def part_of(E: Any, chosen: np.ndarray) -> Any:
    """E of some pairs."""
    rows = np.concatenate([[0, 1], 2 + np.arange(E.shape[1])[chosen]])
    return E[rows][:, chosen]


@primitive
def carry_rounding(T: Any, E: Any, weight: np.ndarray, accuracy: Accuracy) -> Any:
    """T (k, k), couplings whose rounding is ε·weight, numerators' sizes over gaps."""
    return T


def _without_noise(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    """The tangent of T without what rounding makes of motions within the span."""
    tangents, (_, _, weight, accuracy) = dict(zip(argnums, gs, strict=True)), args
    if 0 not in tangents:
        return np.zeros_like(strip(ans))
    dT = tangents[0]
    if 1 in tangents:
        dT = dT * without_noise(np, strip(dT), strip(tangents[1]), weight, accuracy.pairs.eps)
    return dT


defvjp(
    carry_rounding,
    lambda ans, T, E, weight, accuracy: lambda g: g,
    lambda ans, T, E, weight, accuracy: lambda g: sizes_of_couplings(np, strip(g), weight),
)
defjvp_argnums(carry_rounding, _without_noise)


@primitive
def watch_solution(Z: Any, E: Any, T: Any, weight: np.ndarray, accuracy: Accuracy) -> Any:
    """Z (n, k), adjoint solutions with the couplings T; says what rounding of these has left of its tangents."""
    return Z


def _watched_solution(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    tangents, (Z, _, _, weight, accuracy) = dict(zip(argnums, gs, strict=True)), args
    dZ = tangents.get(0, np.zeros_like(strip(ans)))
    if len(tangents) == 3:
        check_solution(strip(Z), strip(dZ), strip(tangents[2]), strip(tangents[1]), weight, accuracy)
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


def _watched(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    tangents, (_, _, motion, accuracy) = dict(zip(argnums, gs, strict=True)), args
    if 1 in tangents:
        check_motion_of_vectors(accuracy, motion, strip(tangents[1]))
    return tangents.get(0, np.zeros_like(strip(ans)))


defvjp(
    carry_motion,
    lambda ans, dX, E, motion, accuracy: lambda g: g,
    lambda ans, dX, E, motion, accuracy: lambda g: sizes_of_motion(np, strip(g), motion),
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
    motion: np.ndarray = in_channel(np, [np.linalg.norm(X @ within, axis=0), outside], within)
    return motion


defvjp(channel_of, lambda ans, X: lambda g: np.zeros_like(strip(X)))
defjvp(channel_of, _motion)
