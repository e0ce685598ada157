"""Rounding's channel between the derivatives of different levels.

A derivative of a function of a whole cluster has terms with the reciprocal of a gap inside of it that cancel. What
is left of them is rounding, and must not be divided by the gap once more when that derivative is
differentiated. No array shows it: it is known only where the terms are made. So eigenpairs come with an array of
zeros, E (2, k), which no loss reads and to which autograd carries what one derivative must know of the other:

* *cotangents* of E are sums of sizes: of terms that cancel in those of x_i (row 0), so that rounding is
  relative to them; and of what solvers have left in them (row 1);
* *tangents* of E are how far x_i moves within the span (row 0) and how far out of it (row 1).

They are plain numbers at every level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as la
from autograd.extend import defjvp, defjvp_argnums, defvjp, primitive

from ..perturbation.bordered import BorderedSystems
from ..perturbation.clusters import check_motion, check_second_derivative
from ..perturbation.couplings import NOISE
from ._trace import strip

__all__ = ["carry_motion", "carry_rounding", "channel_of"]


@primitive
def carry_rounding(T: Any, E: Any, weight: np.ndarray, systems: BorderedSystems) -> Any:
    """T (k, k), couplings whose rounding is ε·weight, numerators' sizes over gaps."""
    return T


def _sizes(weight: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Cotangents of E for those of T: the terms that these make of x_i's and x_j's cotangents."""

    def vjp(g: Any) -> np.ndarray:
        terms = np.abs(strip(g)) * weight
        sizes = terms.sum(axis=0) + terms.sum(axis=1)
        return np.stack([sizes, np.zeros_like(sizes)])

    return vjp


def _without_noise(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    """The tangent of T without what rounding makes of motions within the span."""
    tangents, (_, _, weight, systems) = dict(zip(argnums, gs, strict=True)), args
    if 0 not in tangents:
        return np.zeros_like(strip(ans))
    dT = tangents[0]
    if 1 in tangents:
        motion, values = strip(tangents[1]), np.abs(strip(dT))
        rounding = systems.eps * weight * (motion[0][:, None] + motion[0])
        kept = values > NOISE * rounding
        dT = dT * kept
        lost, size = np.linalg.norm(rounding * kept), np.linalg.norm(values * kept)
        if lost > 0:
            check_second_derivative(systems, float(lost / size))
    return dT


defvjp(
    carry_rounding,
    lambda ans, T, E, weight, systems: lambda g: g,
    lambda ans, T, E, weight, systems: _sizes(weight),
)
defjvp_argnums(carry_rounding, _without_noise)


@primitive
def carry_motion(dX: Any, E: Any, motion: np.ndarray, systems: BorderedSystems) -> Any:
    """dX (n, k), a tangent of eigenvectors with the given motion (2, k) within the span and out of it."""
    return dX


def _sizes_of_motion(motion: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Cotangents of E for those of dX: the terms that what is read of X makes along its motion within the span."""

    def vjp(g: Any) -> np.ndarray:
        sizes = np.linalg.norm(strip(g), axis=0) * motion[0]
        return np.stack([sizes, np.zeros_like(sizes)])

    return vjp


def _watched(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    tangents, (_, _, motion, systems) = dict(zip(argnums, gs, strict=True)), args
    if 1 in tangents:
        inside, outside = np.max(motion, axis=1)
        check_motion(systems, strip(tangents[1]), systems.eps * inside / outside if outside > 0 else 0.0)
    return tangents.get(0, np.zeros_like(strip(ans)))


defvjp(
    carry_motion,
    lambda ans, dX, E, motion, systems: lambda g: g,
    lambda ans, dX, E, motion, systems: _sizes_of_motion(motion),
)
defjvp_argnums(carry_motion, _watched)


@primitive
def channel_of(X: Any) -> np.ndarray:
    """E (2, k) for vectors X that came without it: its tangents are the motions of X, cotangents it takes none."""
    return np.zeros((2, X.shape[1]), X.real.dtype)


def _motion(g: Any, ans: Any, X: Any) -> np.ndarray:
    X, dX = strip(X), strip(g)
    within = la.lstsq(X, dX)[0]  # (k, k)
    outside = np.linalg.norm(dX - X @ within, axis=0)
    np.fill_diagonal(within, 0)
    return np.stack([np.linalg.norm(X @ within, axis=0), outside])


defvjp(channel_of, lambda ans, X: lambda g: np.zeros_like(strip(X)))
defjvp(channel_of, _motion)
