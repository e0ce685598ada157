"""Eigenvalues next to the computed ones that were not computed: where k cuts a cluster.

There R_i is singular on the complement of the computed vectors, and its systems have no solution, or
many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .problem import Side

if TYPE_CHECKING:
    from .deflated import DeflatedSystems

Array = np.ndarray


def distance(systems: DeflatedSystems, side: Side, i: int, v: Array) -> float:
    """‖R_i v‖/‖B v‖ on the complement: how far from w_i the eigenvalue is whose eigenvector v may be."""
    v = systems.project_in(side, v.reshape(-1, 1))
    norm = float(np.linalg.norm(v))
    if norm == 0 or not np.isfinite(norm):
        return float("inf")
    v = v / norm
    image = systems.project_out(side, systems.shifted(side, v, np.array([i])))
    return float(np.linalg.norm(image) / np.linalg.norm(systems.problem.apply_B(v)))


def betrayed(
    systems: DeflatedSystems, side: Side, b: Array, U: Array, suspects: dict[int, Array], failed: Array
) -> dict[int, float]:
    """Distances from eigenvalues to ones that were not computed, where a failed system shows them.

    A solution that blew up, and a residual that no iteration reduces, both lie along the
    eigenvector of an eigenvalue that R_i maps (nearly) to zero.
    """
    found: dict[int, float] = {}
    for i in failed:
        column = np.array([i])
        residual = systems.project_out(side, b[:, column] - systems.shifted(side, U[:, column], column))
        closest = min(distance(systems, side, int(i), v) for v in (suspects.get(int(i), U[:, i])[:, None], residual))
        size = systems.problem.norms[0] / systems.problem.norms[1] + abs(systems.w[i])
        if closest <= float(np.sqrt(systems.eps)) * size:
            found[int(i)] = closest
    return found


def unless_singular(systems: DeflatedSystems, side: Side, i: int, rhs: Array, solve: Callable[[Array], Array]) -> Array:
    """solve(rhs); but where R_i is singular, what no residual can pass for the solution.

    A right-hand side in its range would still give a solution, one of many; a random one shows the
    null vector, and the column is refused for it. Of systems that are known to be consistent, the shortest solution.
    """
    random = np.random.default_rng(13).standard_normal(systems.problem.n)
    random *= np.linalg.norm(rhs) / np.linalg.norm(random)
    null = solve(random)
    size = np.linalg.norm(null)
    systems.growth[i] = max(systems.growth[i], size / np.linalg.norm(random))
    if distance(systems, side, i, null) > 2 * systems.tolerances(systems.w.size)[i]:
        return solve(rhs)
    if not systems.consistent:
        return null
    u, null = solve(rhs), null / size
    return u - null * np.vdot(null, u)
