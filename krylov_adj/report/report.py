"""`Report`, what one solve did, and the logger."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Report"]

#: Steps of ARPACK, over the size of its basis, past which a larger basis is advised (benchmarks/basis_size.py).
RESTARTED = 20

#: A residual that rounding has left is, recomputed, a sample of its floor: at most so many times more.
MARGIN = 5.0

logger = logging.getLogger("krylov_adj")

#: Where reports go besides, in this thread.
_LISTENER: ContextVar[list[Report] | None] = ContextVar("listener", default=None)

#: Categories of warnings that are not given, see `silencing`.
_SILENT: ContextVar[tuple[type[Warning], ...]] = ContextVar("silent", default=())


@dataclass(frozen=True)
class Report:
    """One forward, adjoint or tangent solve: who ran, how far, and at what cost.

    Attributes
    ----------
    stage : {"forward", "adjoint", "tangent"}
        Which solve this was.
    method : str
        The solver that ran.
    requested : float
        The relative residual that was asked for.
    residuals : ndarray, shape (k,)
        Relative residual of every pair (forward) or system (adjoint, tangent), recomputed from
        the operator after the solver had stopped.
    floors : ndarray, shape (k,)
        The residual that rounding alone leaves; a system is accepted at max(requested, floor).
    floor_limit : float
        The largest floor that is accepted: past it rounding leaves too little of the solution. A floor is a bound; a
        residual that is below a fifth of the limit all the same is accepted.
    iterations : int
        Steps of the iterative solver.
    applications : int
        Applications of A (or its adjoint) to one vector.
    solves : int
        Applications of the inverse (or its adjoint) to one vector.
    ncv : int
        The size of ARPACK's basis; 0 for every other solver. Printed, with a larger one to try, where
        ARPACK restarted a lot.
    conditions : ndarray, shape (k,)
        Condition numbers of the eigenvalues, ‖y‖‖Bx‖ for (Bx)ᴴy = 1, from below; empty for Hermitian
        problems, where they are one.
    gauge : ndarray, shape (k,)
        ``|Im xᴴg|`` / ‖x‖‖g‖ of the vectors' cotangents g: how much the loss depends on their phases. Empty
        where there is none.
    neighbours : dict
        For systems that are singular: the distance to an eigenvalue that was not computed.
    reason : str
        Why this solver was taken first; empty for a forward solve.
    error : float
        Estimate of the relative error of what an adjoint or tangent solve returned, for the operators and cotangents
        as they are: by the residuals of pairs and systems, how far solutions moved, gaps, and the rounding of
        couplings (docs/derivation.md). Zero where nothing was estimated.
    completeness : {"", "proved", "searched", "not settled"}
        What is known of eigenvalues that k may have cut from a cluster, or the forward solve missed. Proved: all of
        them are known, or the forward solve has proved that there are none. Searched: a random vector has shown those
        that there are, but for one case in a thousand. Empty where it was not looked for: in a forward solve, and with
        ``on_gauge="ignore"``.
    search_applications, search_solves : int
        What that took, besides ``applications`` and ``solves``, in the solve that looked first.
    failed : ndarray of int
        The systems that were not solved.
    converged : bool
        Whether every residual is at most max(requested, floor), every floor at most its limit, and no
        eigenvalue has a neighbour.

    Examples
    --------
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> report = ka.Report("adjoint", "minres", 1e-10, np.array([3e-11, 2e-9]), iterations=40, applications=80)
    >>> report.converged, report.failed.tolist()
    (False, [1])
    """

    stage: str
    method: str
    requested: float
    residuals: np.ndarray
    floors: np.ndarray = field(default_factory=lambda: np.zeros(0))
    floor_limit: float = np.inf
    iterations: int = 0
    applications: int = 0
    solves: int = 0
    conditions: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gauge: np.ndarray = field(default_factory=lambda: np.zeros(0))
    neighbours: dict[int, float] = field(default_factory=dict)
    ncv: int = 0
    reason: str = ""
    error: float = 0.0
    completeness: str = field(default="", kw_only=True)
    search_applications: int = field(default=0, kw_only=True)
    search_solves: int = field(default=0, kw_only=True)

    @property
    def failed(self) -> np.ndarray:
        """The numbers of the systems (pairs) that were not solved."""
        floors = self.floors if self.floors.size else np.zeros_like(self.residuals)
        accepted = np.maximum(self.requested, floors)
        # Floors are bounds; what rounding has left is in the residual itself.
        solved = (self.residuals <= accepted) & (np.minimum(floors, MARGIN * self.residuals) <= self.floor_limit)
        solved[list(self.neighbours)] = False
        return np.flatnonzero(~solved)

    @property
    def converged(self) -> bool:
        return self.failed.size == 0

    def __str__(self) -> str:
        worst = float(np.max(self.residuals, initial=0.0))
        why = f" ({self.reason})" if self.reason else ""
        state = "converged" if self.converged else "did NOT converge"
        return (
            f"{self.stage} solve by {self.method}{why} {state}: {self.residuals.size} systems, largest relative "
            f"residual {worst:.1e} (requested {self.requested:.1e}), {self.iterations} iterations, "
            f"{self.applications} applications of the operator, {self.solves} of the inverse."
            f"{self._estimate()}{self._completeness()}{self._larger_basis()}"
        )

    def _estimate(self) -> str:
        return f" Relative error of the derivative: about {self.error:.0e}." if self.error else ""

    def _completeness(self) -> str:
        if not self.completeness:
            return ""
        took = f"{self.search_applications} applications and {self.search_solves} solves"
        return f" Eigenvalues cut or missed: {self.completeness}, by {took} besides."

    def _larger_basis(self) -> str:
        steps = self.solves or self.applications
        if not self.ncv or steps <= RESTARTED * self.ncv:
            return ""
        return (
            f" ARPACK restarted a lot: {steps} steps in a basis of ncv = {self.ncv} vectors. With "
            f"ncv={2 * self.ncv} it needs about a fifth fewer, and more memory and work for the basis: try it where an "
            "application is expensive."
        )


def announce(report: Report) -> None:
    """Log a report, and hand it to whoever listens."""
    logger.info("%s", report)
    heard = _LISTENER.get()
    if heard is not None:
        heard.append(report)


@contextmanager
def listening() -> Iterator[list[Report]]:
    """A list that the reports of solves in this thread are put in meanwhile."""
    heard: list[Report] = []
    token = _LISTENER.set(heard)
    try:
        yield heard
    finally:
        _LISTENER.reset(token)


@contextmanager
def silencing(*categories: type[Warning]) -> Iterator[None]:
    """Derivatives taken in this thread meanwhile are known to be legal: they warn of nothing of these categories."""
    token = _SILENT.set((*_SILENT.get(), *categories))
    try:
        yield
    finally:
        _SILENT.reset(token)


def silenced(category: type[Warning]) -> bool:
    """Return whether nothing of this category is to be said."""
    return issubclass(category, _SILENT.get())
