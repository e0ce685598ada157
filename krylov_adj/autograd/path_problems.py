"""The eigenvalue problems along a path of parameters, each solved once, and checks of what a caller gives for them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from ..forward.given import left_of_eigenpairs
from ..forward.request import Request
from ..forward.scaling import times_number
from ..forward.solve import solve_eigenproblem
from ..krylov.space import WHOLE
from ..options import DENSE_ORDER, Adjoint
from ..perturbation.chains import Defective
from ..perturbation.problem import Eigenproblem, ValueOperator
from ..perturbation.tracking import Window
from ..report.errors import AdjointNoConvergence, DefectiveEigenvalueError
from ..report.tracking_messages import path_is_traced
from .operators.base import LinearOperator
from .trace import is_box, levels
from .values import as_value, check_operators, with_adjoint

__all__ = ["PathProblems", "check_count", "check_path", "check_selection"]

#: Of the start vector of every eigensolve.
SEED = 23

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


def check_path(path: Any) -> list[Any]:
    """Return the points of the path as numbers, or vectors of one shape."""
    if is_box(path) or (not isinstance(path, np.ndarray) and any(is_box(p) for p in path)):
        raise TypeError(path_is_traced())
    try:
        points = np.asarray(path)
        points = points.astype(np.result_type(points.dtype, np.float64))
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected a path of numbers or of vectors of one shape, got {path!r}") from error
    if points.ndim not in (1, 2) or len(points) < 2 or points.size == 0 or points.dtype.kind not in "fc":
        raise ValueError(f"expected a path of two or more numbers or vectors, got shape {points.shape}, {points.dtype}")
    if not np.all(np.isfinite(points)):
        raise ValueError("the path holds NaN or infinity")
    return [p.item() if points.ndim == 1 else p for p in points]


def check_selection(which: str, sigma: Any, hermitian: bool) -> str:
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


def check_count(k: Any, guard: Any, n: int) -> tuple[int, int]:
    """Return k and guard."""
    if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= int(k) <= n:
        raise ValueError(f"k={k!r}: expected a whole number from 1 to {n}, the order of A(p)")
    if guard is None:
        return int(k), max(3, int(k) // 2)
    if isinstance(guard, bool) or not isinstance(guard, Integral) or int(guard) < 0:
        raise ValueError(f"guard={guard!r}: expected a whole number, zero or more")
    return int(k), int(guard)


class PathProblems:
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

    def values(self, s: float) -> tuple[ValueOperator, ValueOperator | None]:
        """Return A and M at s as plain values."""
        A, M = self.operators(s)
        if not self.hermitian:
            A, M = with_adjoint(A), None if M is None else with_adjoint(M)
        return as_value(A, self.hermitian, "A"), None if M is None else as_value(M, self.hermitian, "M")

    def size(self) -> float:
        """Return ‖A‖/‖M‖ at the first point, which rounding of eigenvalues is relative to."""
        norm_A, norm_B = Eigenproblem(*self.values(0.0), self.hermitian, "2").norms
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
            values = self.values(s)
            self.solves += 1
            known = self._hermitian(s, *values, K) if self.hermitian else self._general(s, *values, K)
            for past in [t for t in self.windows if t < s - PAST]:
                del self.windows[past]
            self.windows[s] = known
        # LAPACK's are all.
        return known.columns(np.arange(K)) if self.hermitian and known.w.size > K else known

    def _pairs(
        self, A: ValueOperator, M: ValueOperator | None, K: int
    ) -> tuple[np.ndarray, np.ndarray, ValueOperator | None]:
        """Return K pairs, the most wanted first, or all that LAPACK computes; and the inverse of A − σM, if any."""
        v0 = WHOLE.random(self.n, A.dtype if M is None else np.result_type(A.dtype, M.dtype), SEED)
        k = self.n if self.n <= DENSE_ORDER else K
        request = Request(k, self.hermitian, self.which, self.sigma, v0)
        pairs, _ = solve_eigenproblem(request, A, M, self.options)
        rank = self.ranked(pairs.w)
        inverse = None if pairs.inverse is None else times_number(pairs.inverse.operator, 1 / pairs.units[0])
        return pairs.w[rank], pairs.X[:, rank], inverse

    def _hermitian(self, s: float, A: ValueOperator, M: ValueOperator | None, K: int) -> Window:
        w, X, _ = self._pairs(A, M, K)
        apply_B = _applied(M)
        return Window(s, w, X, apply_B(X), None, None, apply_B)

    def _general(self, s: float, A: ValueOperator, M: ValueOperator | None, K: int) -> Window:
        w, X, inverse = self._pairs(A, M, K)
        apply_B = _applied(M)
        for times in range(TIMES + 1):
            here = Window(s, w[:K], X[:, :K], X[:, :K], None, None, apply_B)
            try:
                Y, _, units, x = left_of_eigenpairs(
                    A, M, here.w, here.X, hermitian=False, sigma=self.sigma, OPinv=inverse, options=self.options
                )
            except DefectiveEigenvalueError as error:
                raise Defective(here) from error
            except AdjointNoConvergence:
                most = self.most(K + MORE)  # the end of the window may cut a cluster
                if times == TIMES or most <= K:
                    raise
                K = min(K + MORE, most)
                if w.size < K:
                    w, X, inverse = self._pairs(A, M, K)
                    self.solves += 1
                continue
            break
        assert Y is not None
        Y = Y / (units.m * x)
        return Window(s, here.w, here.X, apply_B(here.X), Y, Y if M is None else M.adjoint(Y), apply_B)


def _applied(M: ValueOperator | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return what applies M to a block."""
    return (lambda V: V) if M is None else M.apply
