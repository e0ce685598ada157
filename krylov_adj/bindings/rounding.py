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
from autograd.extend import defjvp_argnums, defvjp, primitive

from ..perturbation.bordered import BorderedSystems
from ..perturbation.clusters import check_motion
from ..perturbation.couplings import NOISE
from ._trace import strip

__all__ = ["carry_rounding", "watch_motion"]


@primitive
def carry_rounding(T: Any, E: Any, weight: np.ndarray, eps: float) -> Any:
    """T (k, k), couplings whose rounding is eps·weight, numerators' sizes over gaps."""
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
    tangents, (_, _, weight, eps) = dict(zip(argnums, gs, strict=True)), args
    if 0 not in tangents:
        return np.zeros_like(strip(ans))
    dT = tangents[0]
    if 1 in tangents:
        inside = strip(tangents[1])[0]
        kept = np.abs(strip(dT)) > NOISE * eps * weight * (inside[:, None] + inside)
        dT = dT * kept
    return dT


defvjp(carry_rounding, lambda ans, T, E, weight, eps: lambda g: g, lambda ans, T, E, weight, eps: _sizes(weight))
defjvp_argnums(carry_rounding, _without_noise)


@primitive
def watch_motion(C: Any, E: Any, motion: np.ndarray, systems: BorderedSystems) -> Any:
    """C (k, k), the couplings of a tangent with the given motion (2, k), watched when it is differentiated."""
    return C


def _watched(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    tangents, (_, _, motion, systems) = dict(zip(argnums, gs, strict=True)), args
    if 1 in tangents:
        check_motion(systems, motion, strip(tangents[1]))
    return tangents.get(0, np.zeros_like(strip(ans)))


defvjp(
    watch_motion,
    lambda ans, C, E, motion, systems: lambda g: g,
    lambda ans, C, E, motion, systems: lambda g: np.zeros_like(motion),
)
defjvp_argnums(watch_motion, _watched)
