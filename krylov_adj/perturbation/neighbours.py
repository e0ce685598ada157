"""Eigenvalues next to the computed ones that were not computed: where k cuts a cluster.

There R_i is singular on the complement of the computed vectors, and its systems have no solution, or
many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..krylov.nearest import nearest
from .problem import Side

if TYPE_CHECKING:
    from .deflated import DeflatedSystems

Array = np.ndarray

#: Largest dimension of the Krylov space in which coinciding eigenvalues are looked for.
DIMENSION = 60


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


def coinciding(systems: DeflatedSystems, side: Side, columns: Array) -> dict[int, float]:
    """Distances from those w_i that coincide with eigenvalues that were not computed, by a random vector.

    Where the forward pass knows what is next to the computed eigenvalues, that is all. Else it
    looks at T = B(A − σB)⁻¹ where an inverse is at hand, at A where B is the identity (or at their
    adjoints); other pencils have no operator whose Krylov space serves all w_i, and are not looked at.
    """
    problem, adjoint = systems.problem, side == "adjoint"
    solve: Callable[[Array], Array]
    image: Callable[[Array], Array]
    inverse, B, w = problem.inverse, problem.B, systems.w[columns]
    tau = 2 * systems.tolerances(systems.w.size)[columns]
    if problem.cut is not None:
        closest = np.min(np.abs(w[:, None] - problem.cut), axis=1, initial=np.inf)
        return {int(columns[m]): float(closest[m]) for m in np.flatnonzero(closest <= tau)}
    if inverse is not None:
        solve = inverse.operator.adjoint if adjoint else inverse.operator.apply
        image = _same if B is None else B.adjoint if adjoint else B.apply
        theta = 1 / (w - inverse.sigma)
        tolerance = np.maximum(tau * np.abs(theta) ** 2, 50 * systems.eps * np.abs(theta))
    elif B is None and problem.slope is None:
        solve, image = _same, problem.A.adjoint if adjoint else problem.A.apply
        theta, tolerance = w, tau
    else:
        return {}

    Q = systems.Q_X if adjoint else systems.Q_BX
    operators = (problem.A, B, None if inverse is None else inverse.operator)
    rng = np.random.default_rng(13)
    random = rng.standard_normal(problem.n).astype(tau.dtype)
    if any(
        dtype.kind == "c" for dtype in (Q.dtype, *(operator.dtype for operator in operators if operator is not None))
    ):
        random = random + 1j * rng.standard_normal(problem.n).astype(tau.dtype)
    theta = theta.conj() if adjoint else theta
    vectors = nearest(lambda v: image(solve(v)), systems.project_out(side, random), Q, theta, tolerance, DIMENSION)
    distances = {int(columns[m]): distance(systems, side, int(columns[m]), solve(v)) for m, v in vectors.items()}
    limits = dict(zip(columns.tolist(), 10 * tau, strict=True))  # the vectors are not quite eigenvectors
    return {i: d for i, d in distances.items() if d <= limits[i]}


def unless_singular(systems: DeflatedSystems, side: Side, i: int, rhs: Array, solve: Callable[[Array], Array]) -> Array:
    """solve(rhs); but where R_i is singular, what no residual can pass for the solution.

    A right-hand side in its range would still give a solution, one of many; a random one shows the
    null vector, and the column is refused for it.
    """
    random = np.random.default_rng(13).standard_normal(systems.problem.n)
    random *= np.linalg.norm(rhs) / np.linalg.norm(random)
    null = solve(random)
    systems.growth[i] = max(systems.growth[i], np.linalg.norm(null) / np.linalg.norm(random))
    apart = distance(systems, side, i, null) > 2 * systems.tolerances(systems.w.size)[i]
    return solve(rhs) if apart else null


def _same(v: Array) -> Array:
    return v
