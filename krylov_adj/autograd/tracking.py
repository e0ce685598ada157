"""Eigenpairs followed along a path of parameters, by identity and not by order.

Here are the eigenvalue problems along the path; `perturbation/following.py` has which pair is which.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import DENSE_ORDER, Adjoint
from ..perturbation.chains import Defective, Followed, Rules
from ..perturbation.following import follow
from ..perturbation.problem import Eigenproblem
from ..perturbation.tracking import Window
from ..report.errors import AdjointNoConvergence, DefectiveEigenvalueError, TrackingWarning
from ..report.tracking_messages import path_is_traced, unsure_tracking
from .eigen import eigs, eigsh
from .left import left_eigenvectors
from .operators.base import LinearOperator
from .trace import is_box, levels, strip
from .values import as_value, check_operators, check_options

__all__ = ["Event", "Track", "Unsure", "track"]

#: Of the start vector of every eigensolve.
SEED = 23

#: The window grows to so many times k + guard, where followed pairs leave it.
MOST = 8

#: Steps of the path for which windows are kept.
PAST = 2

#: Pairs by which the window grows where its end cuts a cluster, and how often.
MORE, TIMES = 2, 3

#: Keys by which `which` ranks eigenvalues, the most wanted first.
RANKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "SA": lambda w: w.real,
    "LA": lambda w: -w.real,
    "SR": lambda w: w.real,
    "LR": lambda w: -w.real,
    "SM": np.abs,
    "LM": lambda w: -np.abs(w),
}


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
        Eigenvectors, normalised as those of `eigsh` or `eigs`, of continuous phase.
    weight : ndarray, shape (m, k)
        The least weight of the steps from the point before: one where the eigenpair is certain. 1 − |1 − c| with
        c = |xᴴMx′|² of Hermitian problems, (yᴴMx′)(y′ᴴMx) of others; where eigenvalues coincide c of their space.
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
    the path has, as long as they show its course: steps between them are divided as the vectors need it.

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
        Eigenvalues are defective at the first point, or along a part of the path: they have no left vectors. Single
        exceptional points are passed over, and said.
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
    Two levels that cross, and a third one that both of them avoid:

    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> A = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1], [0.0, 0.1, 1.5]])
    >>> found = ka.track(lambda p: A + p * np.diag([1.0, -1.0, -3.0]), np.linspace(-1, 1, 9), k=2)
    >>> print(np.round(found.w[[0, -1]], 2))
    [[-1.    1.  ]
     [ 1.   -1.51]]
    >>> for event in found.events:
    ...     print(event.modes, event.kind, round(event.p, 3), round(event.gap, 3))
    (0, 1) crossing -0.003 0.0
    (1, -1) avoided 0.75 0.2
    """
    options = check_options(adjoint)
    points = _points(path)
    problems = _Problems(A_of_p, points, hermitian, _selection(which, sigma, hermitian), sigma, options)
    k, guard = _count(k, guard, problems.n)
    for name, value, good in (
        ("sure", sure, 0.5 < sure < 1),
        ("smallest", smallest, 0 < smallest <= 1),
        ("meeting", meeting, meeting is None or 0 <= meeting < np.inf),
    ):
        if not good:
            raise ValueError(f"{name}={value!r}: expected {RANGES[name]}")
    most = problems.most(MOST * (k + guard))
    first = problems.window(0.0, min(k + guard, most))
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


def _track(found: Followed, problems: _Problems) -> Track:
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


def _points(path: Any) -> list[Any]:
    """Return the points of the path as numbers, or vectors of one shape."""
    if is_box(path) or (not isinstance(path, np.ndarray) and any(is_box(p) for p in path)):
        raise TypeError(path_is_traced())
    try:
        points = np.asarray(path)
        points = points.astype(np.result_type(points.dtype, np.float64))
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected a path of numbers or of vectors of one shape, got {path!r}") from error
    if points.ndim not in (1, 2) or len(points) < 2 or points.size == 0 or points.dtype.kind not in "fc":
        raise ValueError(f"expected a path of two or more numbers or vectors, got an array of shape {points.shape}")
    if not np.all(np.isfinite(points)):
        raise ValueError("the path holds NaN or infinity")
    return [p.item() if points.ndim == 1 else p for p in points]


def _selection(which: str, sigma: Any, hermitian: bool) -> str:
    """Return `which` in the words of `eigsh` or `eigs`."""
    if which not in RANKS:
        raise ValueError(f"which={which!r}: expected one of {tuple(RANKS)}")
    if sigma is None:
        return which if which[1] == "M" else which[0] + ("A" if hermitian else "R")
    if which not in ("SA", "LM"):
        raise ValueError(f"which={which!r} with sigma: the pairs closest to sigma are followed; leave which out")
    if not np.isfinite(sigma) or (hermitian and np.imag(sigma)):
        raise ValueError(f"sigma={sigma!r}: expected a finite number, real of a Hermitian problem")
    return "LM"


def _count(k: Any, guard: Any, n: int) -> tuple[int, int]:
    """Return k and guard."""
    if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= int(k) <= n:
        raise ValueError(f"k={k!r}: expected a whole number from 1 to {n}, the order of A(p)")
    if guard is None:
        return int(k), max(3, int(k) // 2)
    if isinstance(guard, bool) or not isinstance(guard, Integral) or int(guard) < 0:
        raise ValueError(f"guard={guard!r}: expected a whole number, zero or more")
    return int(k), int(guard)


class _Problems:
    """The eigenvalue problems along a path, each solved once."""

    def __init__(
        self, A_of_p: Callable[[Any], Any], path: list[Any], hermitian: bool, which: str, sigma: Any, options: Adjoint
    ):
        if not callable(A_of_p):
            raise TypeError(f"A_of_p must be a function of p that returns A or (A, M), not {type(A_of_p).__name__}")
        self.A_of_p, self.path, self.hermitian = A_of_p, path, hermitian
        self.which, self.sigma, self.options = which, sigma, options
        self.solves, self.n = 0, 0
        self.windows: dict[float, Window] = {}
        A, M = self.operators(0.0)
        self.n = A.shape[0]
        probe = np.ones(self.n, A.dtype)
        if levels(A._apply(probe), None if M is None else M._apply(probe)):
            raise TypeError(path_is_traced())

    def parameters(self, s: float) -> Any:
        """Return p at s."""
        i = min(int(s), len(self.path) - 2)
        if s in (i, i + 1):
            return self.path[int(s)]
        return self.path[i] + (s - i) * (self.path[i + 1] - self.path[i])

    def operators(self, s: float) -> tuple[LinearOperator, LinearOperator | None]:
        """Return A and M at s."""
        given = self.A_of_p(self.parameters(s))
        A, M = given if isinstance(given, tuple) else (given, None)
        if any(is_box(operand) for operand in (A, M)):
            raise TypeError(path_is_traced())
        A, M = check_operators(A, M)
        if self.n and A.shape[0] != self.n:
            raise ValueError(f"A(p) has the order {self.n} at the first point and {A.shape[0]} at s = {s:.6g}")
        return A, M

    def size(self) -> float:
        """Return ‖A‖/‖M‖ at the first point, which rounding of eigenvalues is relative to."""
        A, M = (None if operator is None else as_value(operator, True, "A") for operator in self.operators(0.0))
        assert A is not None
        norm_A, norm_B = Eigenproblem(A, M, False, "2").norms
        return norm_A / norm_B

    def most(self, wanted: int) -> int:
        """Return how many pairs a window may have."""
        return self.n if self.n <= DENSE_ORDER else min(wanted, self.n - 2)

    def ranked(self, w: np.ndarray) -> np.ndarray:
        """Return the columns of eigenvalues, the most wanted first."""
        key = np.abs(w - self.sigma) if self.sigma is not None else RANKS[self.which](w)
        return np.argsort(key, kind="stable")

    def window(self, s: float, K: int) -> Window:
        """Return at least K pairs at s, computed where they are not known."""
        known = self.windows.get(s)
        if known is None or known.w.size < min(K, self.n):
            A, M = self.operators(s)
            self.solves += 1
            known = self._hermitian(s, A, M, K) if self.hermitian else self._general(s, A, M, K)
            for past in [t for t in self.windows if t < s - PAST]:
                del self.windows[past]
            self.windows[s] = known
        # LAPACK's are all.
        return known.columns(np.arange(K)) if self.hermitian and known.w.size > K else known

    def _pairs(self, A: LinearOperator, M: LinearOperator | None, K: int) -> tuple[np.ndarray, np.ndarray]:
        solver: Callable[..., Any] = eigsh if self.hermitian else eigs
        v0 = WHOLE.random(self.n, A.dtype if M is None else np.result_type(A.dtype, M.dtype), SEED)
        K = self.n if self.n <= DENSE_ORDER else K
        w, X = solver(A, K, M, self.sigma, self.which, v0, adjoint=self.options)
        return np.asarray(strip(w)), np.asarray(strip(X))

    def _hermitian(self, s: float, A: LinearOperator, M: LinearOperator | None, K: int) -> Window:
        w, X = self._pairs(A, M, K)
        rank = self.ranked(w)
        w, X, apply_B = w[rank], X[:, rank], _applied(M)
        return Window(s, w, X, apply_B(X), None, None, apply_B)

    def _general(self, s: float, A: LinearOperator, M: LinearOperator | None, K: int) -> Window:
        w, X = self._pairs(A, M, K)
        if self.n <= DENSE_ORDER:  # all of them: those that are wanted
            rank = self.ranked(w)
            w, X = w[rank], X[:, rank]
        for times in range(TIMES + 1):
            here = Window(s, w[:K], X[:, :K], X[:, :K], None, None, _applied(M))
            try:
                Y = left_eigenvectors(A, here.w, here.X, M=M, sigma=self.sigma, adjoint=self.options)
            except DefectiveEigenvalueError as error:
                raise Defective(here) from error
            except AdjointNoConvergence:
                most = self.most(K + MORE)  # the end of the window may cut a cluster
                if times == TIMES or most == K:
                    raise
                K = min(K + MORE, most)
                if w.size < K:
                    w, X = self._pairs(A, M, K)
                continue
            break
        BX = here.apply_B(here.X)
        BY = Y if M is None else as_value(M, False, "M").adjoint(Y)
        return Window(s, here.w, here.X, BX, Y, BY, here.apply_B)


def _applied(M: LinearOperator | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return what applies M to a block."""
    return (lambda V: V) if M is None else as_value(M, True, "M").apply
