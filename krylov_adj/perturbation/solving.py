"""The driver of the deflated systems: run an engine, recompute the residual, refine, fall back.

What a solver says of itself is not used: every residual is recomputed from the operator.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..krylov.blocks import LATE
from ..options import most_iterations
from ..report.report import Report
from .completeness import Completeness
from .engines import FACTORISING, engines_in_order
from .pairs import DeflatedPairs
from .sides import Side
from .solutions import Complement

Array = np.ndarray

#: A solution in error by more than this many rtol of its size is improved: next to an eigenvalue that
#: was not computed at a distance of δ, a residual of rtol is an error of rtol/δ.
AMPLIFIED = 30.0


def solve(
    side: Side,
    rhs: Array,
    scale: Array,
    complete: Completeness | None = None,
    goals: Array | None = None,
    least: Array | None = None,
) -> Complement:
    """u_i with R_i u_i = P_out rhs_i, for every column i.

    ``scale`` (k,) is the size of the data that rhs was computed from: columns that are noise
    relative to the largest of them are not solved for. As long as the recomputed residuals
    fall, the engine runs again on what is left of the right-hand side. By what is known of the eigenvalues that
    were not computed, ``complete``, columns with a singular R_i are not solved for, unless they are consistent.
    Relative residuals fall to ``goals`` (k,), or as far as rounding allows, where these are less than what is
    asked for; they need not. ``least`` (k,) are lower bounds on ‖R_i⁻¹‖ from earlier solves.
    """
    pairs, problem, options = side.pairs, side.pairs.problem, side.pairs.options
    before, precision, space = problem.counts(), pairs.precision, pairs.space
    R = side.project_out(rhs)
    norms = space.norms(R)
    reference = np.maximum(norms, space.norms(rhs))
    columns = np.flatnonzero(norms > precision.noise * np.max(scale))
    found, known = dict[int, float](), np.zeros(norms.shape)
    if complete is not None:
        found = {} if side.consistent else {i: d for i, d in complete.cut.items() if i in columns}
        columns = np.setdiff1d(columns, list(found))
        known = _known_growth(pairs, complete)
    U, errors = space.zeros(rhs.shape, R.dtype, "F"), np.zeros(norms.shape)
    suspects: dict[int, Array] = {}  # updates that were taken back
    residuals, floors = np.zeros(norms.shape), np.zeros(norms.shape)
    least = np.zeros(norms.shape) if least is None else least.copy()
    rtol = options.tolerance(R.dtype)
    budget = options.maxiter or most_iterations(problem.n)
    engines, reason = engines_in_order(pairs, columns.size)
    count = len(engines)
    ran: list[str] = []
    iterations = 0
    R = R if columns.size == norms.size else R[:, columns]
    iterative = engines[0][0] not in FACTORISING
    warm = problem.continuation if iterative else None
    active = columns
    if columns.size and (warm is not None or (iterative and problem.surplus is not None)):
        U[:, columns], R = initial_guess(side, R, columns)
    wanted = 0.5 * rtol * reference
    while columns.size:
        name, engine = engines[0]
        if name not in ran:
            ran.append(name)
        left = space.norms(R)
        target = np.minimum(wanted[columns] / left, 0.5)
        # Every engine leaves the ones after it their share of the budget.
        limit = max(budget * (count - len(engines) + 1) // count, 1)
        solved = engine(side, columns, R, target, max(limit - iterations, 1))
        update, error = solved.U, solved.errors
        iterations += solved.steps
        least[columns] = np.fmax(least[columns], solved.growth)
        before_update, last = U[:, columns], R
        U[:, columns] = side.project_in(before_update + update)
        R = side.project_out(rhs[:, columns] - side.apply(U[:, columns], columns))
        now = space.norms(R)
        worse = ~(now <= left)
        if worse.any():  # blown up: along an eigenvector of an eigenvalue next to w, most likely
            suspects |= {int(columns[m]): update[:, m].copy() for m in np.flatnonzero(worse)}
            U[:, columns[worse]], R[:, worse] = before_update[:, worse], last[:, worse]
            now = np.where(worse, left, now)
        residuals[columns] = now / reference[columns]
        floors[columns] = side.rounding(U[:, columns], columns) / reference[columns] + precision.floor
        allowed = AMPLIFIED * rtol * space.norms(U[:, columns])
        # At the floor engines see rounding move.
        error = np.where(residuals[columns] <= floors[columns], 0, error)
        # And what is left of it along the eigenvector of a neighbour that takes no part in the solution so far.
        error = np.maximum(error, known[columns] * now / np.sqrt(problem.n))
        errors[columns] = np.where(worse, errors[columns], error)
        inaccurate = (error > allowed) & (residuals[columns] > floors[columns])
        less = np.minimum(allowed / np.where(inaccurate, error, 1), 1 / LATE)
        if goals is not None:
            goal = np.maximum(goals[columns], floors[columns])
            loose = residuals[columns] > goal
            closer = np.divide(goal, residuals[columns], out=np.ones(goal.shape), where=loose)
            less = np.where(loose, np.minimum(np.where(inaccurate, less, 1), closer), less)
            inaccurate |= loose
        less = np.maximum(now * less, 0.1 * floors[columns] * reference[columns])
        wanted[columns] = np.where(inaccurate, less, wanted[columns])
        open_ = inaccurate | (residuals[columns] > np.maximum(rtol, floors[columns]))
        stagnant = bool(np.all(now[open_] > 0.5 * left[open_]))
        columns, R = columns[open_], R[:, open_]
        del solved, update, before_update, last  # the next engine has arrays of its own
        if iterations >= budget:
            break
        if stagnant or iterations >= limit:
            engines = engines[1:]
            if not engines:
                break
    if warm is not None and active.size:
        warm.keep_solutions(space, side.name, U[:, active])
    applications, solves = (after - start for after, start in zip(problem.counts(), before, strict=True))
    report = Report(
        side.name,
        "+".join(ran) or "none",
        rtol,
        residuals,
        floors,
        precision.largest_floor,
        iterations,
        applications,
        solves,
        reason=reason if ran else "",
    )
    if not report.converged:
        found = hidden_neighbours(side, side.project_out(rhs), U, suspects, report.failed) | found
    if found:
        report = replace(report, neighbours=found)
    sizes = space.norms(U)
    growth = sizes / np.where(norms > 0, norms, 1)
    growth = np.maximum(growth, known / np.where(growth > 0, np.sqrt(problem.n), 1))
    left = residuals * reference
    errors = np.maximum(errors, np.maximum(growth, least) * left) + precision.eps * growth * scale
    return Complement(U, report, errors, growth, left, least, sizes)


def _known_growth(pairs: DeflatedPairs, complete: Completeness) -> Array:
    """‖R_i⁻¹‖ on the complement, where the closest of the eigenvalues that were not computed is known."""
    singular = np.zeros(pairs.w.size, dtype=bool)
    singular[list(complete.cut)] = True
    distance = np.where(singular, np.inf, complete.closest) * pairs.problem.norms[1]
    return 1 / distance


def initial_guess(side: Side, b: Array, columns: Array) -> tuple[Array, Array]:
    """Return what is known of u_i beforehand, and what it leaves of b_i.

    What earlier problems' solutions can be combined to; and along eigenvectors v that the forward pass found
    besides, (vᴴb)/(w_v − w_i) v. Their residuals are solved for with the rest.
    """
    space = side.pairs.space
    U, surplus, warm = np.zeros_like(b), side.pairs.problem.surplus, side.pairs.problem.continuation
    if warm is not None:
        U, b = warm.initial_guess(
            space, side.name, b, side.pairs.problem.real, side.project_in, lambda V: side.images(V, columns)
        )
    if surplus is not None and surplus.w.size:
        known = side.project_in(surplus.V @ (space.gram(surplus.V, b) / (surplus.w[:, None] - side.pairs.w[columns])))
        left = b - side.project_out(side.apply(known, columns))
        size = space.norms(left)
        better = (size > 0) & (size < space.norms(b))  # engines take no right-hand side of zero
        U, b = U + np.where(better, known, 0), np.where(better, left, b)
    return U, b


def hidden_neighbours(side: Side, b: Array, U: Array, suspects: dict[int, Array], failed: Array) -> dict[int, float]:
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
        if closest <= side.pairs.precision.half * size:
            found[int(i)] = closest
    return found
