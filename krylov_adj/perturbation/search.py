"""The search for eigenvalues that were cut or missed, with the operator that the forward pass iterated with.

That is A, B⁻¹A, or what sigma makes of (A − σB)⁻¹B; of singular triplets AᴴA or AAᴴ. It maps the span of the computed
right vectors into itself, so that on their complement it has the other eigenvalues. A random vector there says whether
one of them is at least as wanted as the last computed one (`krylov.complement`), by few applications where there is
none. What may be there is computed, with as many as it takes, up to those of the forward pass: to tell it apart from a
neighbour takes digits. Of pairs that were only given nothing is known but their values: one Krylov space says of each
of them whether another one is next to it (`krylov.nearest`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse.linalg as spla

from ..krylov.complement import Outlook, look_outside
from ..krylov.nearest import nearest
from ..krylov.precision import Precision
from ..krylov.space import Space
from ..report.report import logger
from .completeness import LAPACK_ORDER, Completeness, Judge
from .sides import tangent_side
from .singular import AugmentedOperator

Array = np.ndarray
Apply = Callable[[Array], Array]

#: What a search may cost of the forward solve's applications, and the steps that it may take in any case: with an
#: inverse the forward solve takes a few dozen only, and ten to fifteen settle the question.
BUDGET = 0.15
STEPS = 20

#: No Krylov space has more steps: its Ritz values would cost more than it.
MOST = 500

#: Largest dimension of the Krylov space in which eigenvalues next to given ones are looked for.
DIMENSION = 60

#: An eigenvalue that seems to be there may take so many applications, or twice those of the forward solve.
LEAST = 400

#: Up to this order LAPACK is asked for it where the problem is Hermitian.
SECOND_ORDER = 1000

#: The least basis in which it is computed.
LEAST_NCV = 20

#: A vector from an iteration is not quite an eigenvector, and may miss the tolerance by so much.
NOT_QUITE = 10.0

#: A vector next to an eigenvector is taken up again where the last time has brought it closer by this much.
CLOSER = 0.5

#: Of the random vectors.
SEED = 13


def by_search(judge: Judge) -> Completeness | None:
    """Return those at least as wanted as the last computed one, one after the other until there is none.

    None where there is one and LAPACK tells more for less.
    """
    selection, region, operator = judge.problem.selection, judge.region, make_operator(judge)
    if selection is None or region is None or operator is None:
        return judge.unknown()
    apply, Q = operator
    theta = judge.theta
    last = np.flatnonzero(region.depth(theta) <= judge.margin)
    edge = float(np.max(judge.margin[last] + judge.pairs.precision.indistinct * np.abs(theta[last])))
    points = np.concatenate([theta, region.boundary(theta)])
    budget, allowed = min(max(STEPS, int(BUDGET * selection.cost)), MOST), max(LEAST, 2 * selection.cost)
    steps, window = min(2 * budget, MOST), 2 * selection.ncv

    def depth(z: Array) -> Array:
        return region.depth(z) + edge

    nearly, n, before = NOT_QUITE * judge.tolerance, judge.problem.n, judge.problem.counts()
    most = SECOND_ORDER if judge.problem.hermitian else LAPACK_ORDER
    values, distances, state = list[complex](), list[Array](), "searched"
    while True:
        start = random_vector(judge, Q.shape[0])
        seen = look_outside(judge.pairs.space, apply, start, Q, points, depth, region.bounded, window, budget, steps)
        if seen.settled:
            break
        left = allowed - max(np.subtract(judge.problem.counts(), before))
        exact = seen.residual <= judge.pairs.precision.indistinct * np.max(np.abs(theta))
        if (
            judge.pairs.space.whole
            and seen.likely
            and not exact
            and n <= most
            and (judge.problem.explicit or n <= left)
        ):
            return None
        pair = None
        if seen.likely:
            pair = (seen.value, seen.vector) if exact else _most_wanted(judge, apply, Q, seen, left)
        if pair is None:
            state = "not settled"
            break
        value, distance = locate(judge, *pair)
        values.append(value)
        distances.append(distance)
        if depth(np.array(pair[0])) < 0 and np.all(distance > nearly):
            break  # the most wanted one of the rest is none of those that are looked for
        if np.all(np.min(distances, axis=0)[last] <= nearly[last]):
            break  # what is wanted less, or as much, makes no difference
        Q = _joined(judge.pairs.space, Q, pair[1])
    return judge.judge(state, np.array(values), np.reshape(distances, (len(values), judge.w.size)), nearly)


def next_to_each(judge: Judge) -> Completeness | None:
    """Return those that coincide with a computed one, of pairs of which nothing else is known.

    None where steps do not decide and LAPACK is asked.
    """
    operator, tolerance, theta, inverse = make_operator(judge), judge.tolerance, judge.w, judge.problem.inverse
    if operator is None:
        return judge.unknown()
    apply, Q = operator
    if inverse is not None:
        theta = 1 / (judge.w - inverse.sigma)
        tolerance = np.maximum(tolerance * np.abs(theta) ** 2, judge.pairs.precision.indistinct * np.abs(theta))
    start, before, space = random_vector(judge, Q.shape[0]), judge.problem.counts(), judge.pairs.space
    nearly, distances = NOT_QUITE * judge.tolerance, np.full((1, judge.w.size), np.inf)
    undecided, left = np.arange(judge.w.size), LEAST
    while undecided.size and left > 0:
        vectors = nearest(
            space, apply, space.project_out(Q, start), Q, theta[undecided], tolerance[undecided], min(DIMENSION, left)
        )
        closer = {int(undecided[m]): v for m, v in vectors.items()}
        found = {i: locate(judge, theta[i], v)[1][i] for i, v in closer.items()}
        undecided = np.array([i for i, distance in found.items() if distance > nearly[i]], int)
        left = LEAST - max(np.subtract(judge.problem.counts(), before))
        affordable = space.whole and (judge.problem.explicit or judge.problem.n <= left)
        if undecided.size and judge.problem.n <= LAPACK_ORDER and affordable:
            return None
        falling = any(distance < CLOSER * distances[0, i] for i, distance in found.items())
        for i, distance in found.items():
            distances[0, i] = min(distances[0, i], distance)
        if not falling:
            break
        if undecided.size:  # once more, from what is closest to the eigenvector
            v = closer[int(undecided[0])]
            start = v.astype(start.dtype) if start.dtype.kind == "c" else np.ascontiguousarray(np.real(v))
    return judge.judge("not settled" if undecided.size else "searched", np.zeros(1), distances, nearly)


# --------------------------------------------------------------------------------------------
# The operator, and what its eigenvectors are of the pencil.
# --------------------------------------------------------------------------------------------


def make_operator(judge: Judge) -> tuple[Apply, Array] | None:
    """v ↦ T v and an orthonormal basis of what is known of its eigenvectors; None where there is no operator."""
    problem, selection, X, Q = judge.problem, judge.problem.selection, judge.pairs.X, judge.pairs.Q_X
    A, inverse = problem.A, problem.inverse
    if isinstance(A, AugmentedOperator):  # AᴴA or AAᴴ, whichever is smaller
        C, root = A.operator, X.dtype.type(np.sqrt(2))
        if C.shape[1] <= C.shape[0]:
            return lambda v: C.adjoint(C.apply(v)), root * X[A.rows :]
        return lambda v: C.apply(C.adjoint(v)), root * X[: A.rows]
    if inverse is not None:
        solve = inverse.operator.apply

        def inverted(v: Array) -> Array:
            image = solve(problem.apply_B(v))
            return image if selection is None else selection.image(v, image)

        return inverted, Q
    if problem.B is None:
        return A.apply, Q
    if problem.mass_inverse is None:
        return None
    mass_inverse = problem.mass_inverse()
    return lambda v: mass_inverse(A.apply(v)), Q


def random_vector(judge: Judge, n: int) -> Array:
    """For T's Krylov spaces: complex where T or what it is deflated by is."""
    problem, X = judge.problem, judge.pairs.X
    operators = [problem.A, problem.B]
    if problem.inverse is not None and not (problem.selection is not None and problem.selection.real_part):
        operators.append(problem.inverse.operator)
    kinds = {operator.dtype.kind for operator in operators if operator is not None}
    is_complex = "c" in kinds | {judge.pairs.Q_X.dtype.kind}
    dtype = np.result_type(X, np.complex64) if is_complex else X.real.dtype
    return judge.pairs.space.random(n, dtype, SEED)


def _most_wanted(judge: Judge, apply: Apply, Q: Array, seen: Outlook, steps: int) -> tuple[complex, Array] | None:
    """The most wanted eigenpair of T on the complement of Q, by ARPACK; None past so many steps."""
    selection, space = judge.problem.selection, judge.pairs.space
    assert selection is not None
    if steps <= 0 or not space.whole:  # ARPACK needs whole vectors
        return None

    def along(v: Array) -> Array:
        return Q @ space.gram(Q, v)

    n, which, ncv = Q.shape[0], selection.ranking.which, max(selection.ncv, LEAST_NCV)
    start = random_vector(judge, n)
    start = (np.real(seen.vector) if start.dtype.kind != "c" else seen.vector).astype(start.dtype)
    if which == "BE":  # one end is enough
        which = "LA" if seen.value.real >= np.mean(judge.theta.real) else "SA"
    start = start - along(start)
    # What is deflated has an eigenvalue, too, which must not be the most wanted: zero, or one inside of the spectrum.
    r = random_vector(judge, n)
    inside = space.dot(r, apply(r)) / space.dot(r, r).real
    aside = np.array([0, inside]).astype(start.dtype)
    aside = aside[np.argmin(replace(selection.ranking, which=which).rank(aside))]

    def image(v: Array) -> Array:
        known = along(v)
        rest = apply(v - known)
        return rest - along(rest) + aside * known

    operator = spla.LinearOperator((n, n), image, dtype=start.dtype)
    solver: Callable[..., tuple[Array, Array]] = spla.eigsh
    if not judge.problem.hermitian or (judge.problem.B is not None and not judge.problem.structure.mirrored):
        solver, which = spla.eigs, which.replace("A", "R")  # T is Hermitian in the inner product of B at best
    arguments = {"which": which, "v0": start, "ncv": min(ncv, n - 1), "maxiter": 1 + 2 * steps // ncv}
    try:
        z, V = solver(operator, k=1, **arguments)
    except spla.ArpackError as error:  # no convergence among them
        logger.info("what k may have cut or missed is not settled: %s", error)
        return None
    return z[0], V[:, 0]


def locate(judge: Judge, z: complex, v: Array) -> tuple[complex, Array]:
    """The eigenvalue that belongs to an eigenvector of T, and how far the computed ones are from it.

    For a pencil that is not Hermitian ‖(A − wᵢB) v‖/‖B v‖: how far wᵢ is from being an eigenvalue.
    """
    problem, w = judge.problem, judge.w
    if problem.structure.mirrored:
        singular = complex(np.sqrt(max(np.real(z), 0.0)))
        return singular.real, np.abs(singular.real - w)
    side, space = tangent_side(judge.pairs), judge.pairs.space
    V = side.project_in(v.reshape(-1, 1))
    a = side.project_out(problem.A.apply(V))[:, 0]
    b = side.project_out(problem.apply_B(V))[:, 0]
    size = space.norm(b)
    if not size > 0:
        return np.inf, np.full(w.size, np.inf)
    value = complex(space.dot(b, a)) / size**2
    if problem.hermitian:
        return value.real, np.abs(value.real - w)
    return value, space.norms(a[:, None] - b[:, None] * w) / size


def _joined(space: Space, Q: Array, v: Array) -> Array:
    """Q with an orthonormal basis of v besides; of a complex v both parts where Q is real."""
    parts = [v] if Q.dtype.kind == "c" or not np.iscomplexobj(v) else [v.real, v.imag]
    for part in parts:
        for _ in range(2):
            part = space.project_out(Q, part)
        size = space.norm(part)
        if size > Precision.of(Q.dtype).half * space.norm(v):
            Q = np.column_stack([Q, (part / size).astype(Q.dtype)])
    return Q
