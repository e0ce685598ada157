"""Eigenpairs followed along a path of parameters, by identity and not by order.

`path_problems.py` has the eigenvalue problems along the path, `perturbation/following.py` which pair is which.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.chains import Defective, Followed, Rules
from ..perturbation.following import follow
from ..report.errors import DefectiveEigenvalueError, TrackingWarning
from ..report.tracking_messages import unsure_tracking
from .path_problems import PathProblems, check_count, check_path, check_selection
from .values import check_options

__all__ = ["Event", "Track", "Unsure", "track"]

#: The window grows to so many times k + guard, where followed pairs leave it.
MOST = 8


class Event(NamedTuple):
    """Two eigenvalues that meet on a path.

    Attributes
    ----------
    modes : (int, int)
        Their numbers; the second is −1 where it is none of the k that are followed.
    s : float
        Where: 2.5 is half-way between the third and the fourth point.
    p : number or ndarray
        The parameters there.
    gap : float
        ``|λ₁ − λ₂|`` there, the least.
    kind : {"crossing", "avoided", "exceptional"}
        The gap is at most ``meeting``, and each goes on with the vector that it had; it is larger, and each goes on
        with its eigenvalue; or the two vectors have coalesced, and which is which beyond cannot be said.
    """

    modes: tuple[int, int]
    s: float
    p: Any
    gap: float
    kind: str


class Unsure(NamedTuple):
    """A step in which an eigenpair could not be told from others.

    Attributes
    ----------
    mode, other : int
        Its number and that of the one it may have been taken for; −1 for one that is not followed.
    s : (float, float)
        The step.
    p : number or ndarray
        The parameters at its end.
    weight : float
        That of the eigenpair which was taken, as in `Track`.
    """

    mode: int
    other: int
    s: tuple[float, float]
    p: Any
    weight: float


@dataclass(frozen=True, eq=False)
class Track:
    """Eigenpairs along a path of m points, made by `krylov_adj.track`: column i is the same one everywhere.

    Attributes
    ----------
    w : ndarray, shape (m, k)
        Eigenvalues.
    X : ndarray, shape (m, n, k)
        Eigenvectors, normalised as those of ``eigsh`` or ``eigs``, of continuous phase.
    weight : ndarray, shape (m, k)
        The least weight of the steps from the point before: one where the eigenpair is certain. ``1 − |1 − c|`` with
        c = ``|xᴴMx′|²`` of Hermitian problems, (yᴴMx′)(y′ᴴMx) of others; where eigenvalues coincide c of their space.
    events : list of Event
        Where two eigenvalues meet, one of which is followed, in the order of the path.
    degenerate : list of (int, tuple of int)
        Point, and the numbers of eigenvalues that coincide there. Their columns of X are a basis of one space.
    unsure : list of Unsure
        Steps in which weights stayed below ``sure``.
    solves : int
        Eigenvalue problems that were solved.
    """

    w: np.ndarray
    X: np.ndarray
    weight: np.ndarray
    events: list[Event]
    degenerate: list[tuple[int, tuple[int, ...]]]
    unsure: list[Unsure]
    solves: int


def track(
    A_of_p: Callable[[Any], Any],
    path: Sequence[Any] | np.ndarray,
    k: int = 6,
    *,
    hermitian: bool = True,
    which: str = "SA",
    sigma: complex | None = None,
    guard: int | None = None,
    meeting: float | None = None,
    sure: float = 0.7,
    smallest: float = 2.0**-12,
    adjoint: Adjoint | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Track:
    """Follow k eigenpairs of A(p) x = w M(p) x along a path of parameters, by identity and not by order.

    Where eigenvalues cross, `eigsh` exchanges them: its second one is another one beyond. Here column i stays the same
    eigenpair, through crossings and past others that come and go. What is returned does not depend on how many points
    the path has, as long as they show its course: steps between them are divided as the vectors need it. (Two that
    cross twice between two points are back in their order: such crossings need not be among the events.)

    Parameters
    ----------
    A_of_p : callable
        ``A_of_p(p)`` is A, or (A, M): dense arrays, SciPy's or krylov_adj's matrices and operators, as for `eigsh`
        (`eigs`). It is called between the points of the path, too.
    path : sequence of m numbers, or array, shape (m,) or (m, q)
        Parameters, at least two: real or complex numbers or vectors, joined by straight lines. Closed where the last
        one is the first.
    k : int, optional
        How many are followed: those that ``which`` and ``sigma`` name at the first point, the most wanted first.
    hermitian : bool, optional
        A and M are Hermitian, M positive definite, along the path.
    which : {"SA", "LA", "SM", "LM", "SR", "LR"}, optional
        As in SciPy; "SA" and "SR", "LA" and "LR" mean the same here. With ``sigma`` it is not read, and may be left out
        or "LM".
    sigma : number, optional
        Follow those closest to sigma.
    guard : int, optional
        Pairs computed besides, so that none is lost which leaves the first k. Default max(3, k // 2). Where a followed
        one leaves these too, more are computed.
    meeting : float, optional
        Least gap that makes an avoided crossing, an absolute distance of eigenvalues. Two that come closer than this
        cross: each keeps its kind of vector. Those that stay further apart keep their order. Default: what half of the
        digits do not tell apart, relative to the spread of the first window, so that only symmetries make crossings.
    sure : float, optional
        Weight, between ½ and 1, below which a step is divided.
    smallest : float, optional
        Shortest step, where 1 is the distance of two points of the path.
    adjoint : Adjoint, optional
        How left vectors are computed, where the problem is not Hermitian.
    callback : callable, optional
        ``callback(m, solves)`` at every point, for progress: its number, and eigensolves so far.

    Returns
    -------
    Track
        w (m, k), X (m, n, k), weight, events, degenerate, unsure, solves.

    Raises
    ------
    ValueError
        Bad arguments, or parameters that are not finite; as `eigsh` and `eigs`.
    TypeError
        A(p) or the path is traced; as `eigsh` and `eigs`.
    EigenNoConvergence
        From an eigensolve.
    DefectiveEigenvalueError
        Eigenvalues are defective at the first point, or all along a step: they have no left vectors. Other points
        where they are get their values, the weight zero, and a warning.
    AdjointNoConvergence
        A left vector did not converge.

    Warns
    -----
    TrackingWarning
        Where a pair stayed below ``sure`` in the shortest step, and might be another one beyond.

    Notes
    -----
    Eigenvalues that coincide are followed as a space, with the basis in it that is closest to the vectors before. The
    members of one that coincide at the first point, and split later, are numbered in any order.

    A step costs an eigensolve and, where the problem is not Hermitian, one block of systems for left vectors. A meeting
    takes about six more. Orders up to 200 are solved by LAPACK. What happens on a scale much shorter than the steps and
    returns to what it was, between two points, is not seen.

    Results have the size of m blocks of eigenvectors.

    Derivative
    ----------
    None: plain values, found by assignments. To differentiate a followed pair, give its values at one p to
    `attach_eigenpairs`, or compute it there by `eigsh` or `eigs` with its eigenvalue as ``sigma``.

    References
    ----------
    docs/derivation.md. Kuhn, Naval Res. Logist. Q. 2 (1955) 83 (the assignment). Kato, Perturbation Theory for Linear
    Operators, Springer 1966, chapter II.

    Examples
    --------
    A level that crosses two others, which avoid each other:

    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> A = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1], [0.0, 0.1, 1.5]])
    >>> found = ka.track(lambda p: A + p * np.diag([1.0, -1.0, -3.0]), np.linspace(-1, 1, 9), k=2)
    >>> print(np.round(found.w[[0, -1]], 2))
    [[-1.    1.  ]
     [ 1.   -1.52]]
    >>> for event in found.events:  # −1 is the third one, which is not followed
    ...     print(event.modes, event.kind, round(event.p, 3), round(event.gap, 3))
    (0, 1) crossing -0.003 0.0
    (0, -1) crossing 0.378 0.0
    (1, -1) avoided 0.75 0.2
    """
    options = check_options(adjoint)
    points = check_path(path)
    problems = PathProblems(A_of_p, points, hermitian, check_selection(which, sigma, hermitian), sigma, options)
    k, guard = check_count(k, guard, problems.n)
    for name, value, good in (
        ("sure", sure, 0.5 < sure < 1),
        ("smallest", smallest, 0 < smallest <= 1),
        ("meeting", meeting, meeting is None or 0 <= meeting < np.inf),
    ):
        if not good:
            raise ValueError(f"{name}={value!r}: expected {RANGES[name]}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of (m, solves), not {type(callback).__name__}")
    most = problems.most(MOST * (k + guard))
    try:
        first = problems.window(0.0, min(k + guard, most))
    except Defective as error:
        raise DefectiveEigenvalueError(str(error.__cause__)) from error
    size, spread = problems.size(), float(np.max(np.abs(first.w[:, None] - first.w)))
    precision = Precision.of(first.X.dtype)
    together = precision.together * max(size, spread)
    meeting = max(together, precision.half * spread if meeting is None else float(meeting))
    rules = Rules(k, guard, together, meeting, float(sure), float(smallest))

    def reached(m: int) -> None:
        if callback is not None:
            callback(m, problems.solves)

    try:
        found = follow(problems.window, len(points), np.arange(k), most, rules, reached)
    except Defective as error:
        raise DefectiveEigenvalueError(str(error.__cause__)) from error
    return _track(found, problems)


#: The values that arguments may have, in words.
RANGES = {
    "sure": "a number between 0.5 and 1",
    "smallest": "a number from 0 to 1",
    "meeting": "a distance of eigenvalues, zero or more",
}


def _track(found: Followed, problems: PathProblems) -> Track:
    """Return what was found, with parameters for places on the path, and warn of what is not known."""
    events = [Event(met.labels, met.s, problems.parameters(met.s), met.gap, met.kind) for met in found.events]
    unsure = [
        Unsure(doubt.label, doubt.other, (doubt.s0, doubt.s1), problems.parameters(doubt.s1), doubt.weight)
        for doubt in found.doubts
    ]
    if unsure:
        # The caller's line, past `track`.
        warnings.warn(TrackingWarning(unsure_tracking(unsure)), stacklevel=3)
    return Track(found.w, found.X, found.weight, events, found.degenerate, unsure, problems.solves)
