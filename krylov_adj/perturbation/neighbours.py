"""Eigenvalues next to the computed ones that were not computed: where k cuts a cluster.

There R_i is singular on the complement of the computed vectors, and its systems have no solution, or
many.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .sides import Side

Array = np.ndarray


def betrayed(side: Side, b: Array, U: Array, suspects: dict[int, Array], failed: Array) -> dict[int, float]:
    """Distances from eigenvalues to ones that were not computed, where a failed system shows them.

    A solution that blew up, and a residual that no iteration reduces, both lie along the
    eigenvector of an eigenvalue that R_i maps (nearly) to zero.
    """
    found: dict[int, float] = {}
    norm_A, norm_B = side.pairs.problem.norms
    for i in failed:
        column = np.array([i])
        residual = side.project_out(b[:, column] - side.apply(U[:, column], column))
        closest = min(side.distance(int(i), v) for v in (suspects.get(int(i), U[:, i])[:, None], residual))
        size = norm_A / norm_B + abs(side.pairs.w[i])
        if closest <= float(np.sqrt(side.pairs.eps)) * size:
            found[int(i)] = closest
    return found


def unless_singular(side: Side, i: int, rhs: Array, solve: Callable[[Array], Array]) -> tuple[Array, float]:
    """solve(rhs), and ‖R_i⁻¹‖ from below; but where R_i is singular, what no residual can pass for the solution.

    A right-hand side in its range would still give a solution, one of many; a random one shows the
    null vector, and the column is refused for it. Of systems that are known to be consistent, the shortest solution.
    """
    random = np.random.default_rng(13).standard_normal(side.pairs.problem.n)
    random *= np.linalg.norm(rhs) / np.linalg.norm(random)
    null = solve(random)
    size = np.linalg.norm(null)
    growth = float(size / np.linalg.norm(random))
    if side.distance(i, null) > 2 * side.pairs.tolerances(side.pairs.w.size)[i]:
        return solve(rhs), growth
    if not side.consistent:
        return null, growth
    u, null = solve(rhs), null / size
    return u - null * np.vdot(null, u), growth
