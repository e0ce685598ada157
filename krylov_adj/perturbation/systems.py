"""The systems of given eigenpairs: solutions on the complement and in the span, and left eigenvectors.

On the complement of the pairs `solving.py` solves for u. The parts of a solution in the span are explicit: see
`block.py`, which puts both together. Left eigenvectors Y with Yᴴ B X = I are the block-bordered systems for F = 0,
G = I.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import RLock

import numpy as np

from ..krylov import small
from ..krylov.space import times
from ..options import Adjoint
from ..report.errors import DefectiveEigenvalueError
from ..report.messages import defective
from ..report.report import Report
from .accuracy import Accuracy
from .cache import Cache, kept
from .completeness import Completeness
from .couplings import Coupling
from .others import Others
from .pairs import DeflatedPairs
from .problem import Eigenproblem
from .refusals import refuse, tell
from .sides import Side, adjoint_side, tangent_side
from .solutions import Complement, Found, LeftVectors
from .solving import solve

Array = np.ndarray

#: A condition number that may be past this part of the limit, or past its square root, is looked into.
SUSPICIOUS = 0.03


@dataclass(frozen=True, eq=False)
class BorderedSystems:
    """Given pairs, and what has been found of them. Made by `of`.

    What one solve has found serves the next ones, in whatever thread they run. ``lock`` makes threads take turns.

    Attributes
    ----------
    pairs : DeflatedPairs
    others : Others
        The eigenvalues besides those of a problem's pairs.
    chosen : ndarray of int, shape (k,)
        Which of that problem's pairs these are.
    """

    pairs: DeflatedPairs
    others: Others
    chosen: Array
    cache: Cache = field(init=False, default_factory=Cache, repr=False)

    @classmethod
    def of(
        cls,
        problem: Eigenproblem,
        w: Array,
        X: Array,
        options: Adjoint,
        residuals: Array | None = None,
        inner: Array | None = None,
    ) -> BorderedSystems:
        """The systems of all computed pairs; the arguments are those of `DeflatedPairs.of`."""
        pairs = DeflatedPairs.of(problem, w, X, options, residuals, inner)
        return cls(pairs, Others(pairs), np.arange(w.size))

    def restricted(self, chosen: Array) -> BorderedSystems:
        """The systems of some of the pairs; they too keep what a solve has found."""

        def make() -> BorderedSystems:
            return BorderedSystems(self.pairs.some(chosen), self.others, self.chosen[chosen])

        return self.cache.value(("part", *chosen.tolist()), make)

    @property
    def problem(self) -> Eigenproblem:
        return self.pairs.problem

    @property
    def options(self) -> Adjoint:
        return self.pairs.options

    @property
    def eps(self) -> float:
        return self.pairs.eps

    @property
    def lock(self) -> RLock:
        return self.cache.lock

    @kept
    def adjoint_side(self) -> Side:
        return adjoint_side(self.pairs)

    @kept
    def tangent_side(self) -> Side:
        return tangent_side(self.pairs)

    @kept
    def left_side(self) -> Side:
        """The same for left eigenvectors, whose right-hand sides are in the range of R_i, also of a singular one."""
        return adjoint_side(self.pairs, consistent=True)

    # ---- what is known of the pairs ----------------------------------------------------------

    @property
    def found(self) -> Found:
        """The facts that solves have found so far."""
        zero = np.zeros(self.pairs.w.size)
        return self.cache.value("found", lambda: Found(self.pairs.conditions, zero, zero))

    @property
    def conditions(self) -> Array:
        return self.found.conditions

    @property
    def accuracy(self) -> Accuracy:
        return self.accuracy_of(None)

    def accuracy_of(self, solved: Complement | None) -> Accuracy:
        """Estimates for solutions, by what is known now."""
        return Accuracy(self.pairs, self.found.conditions, self.found.least, solved)

    def complete(self) -> Completeness:
        """Return what is known of the eigenvalues that were not computed, looked for once."""
        return self.others.completeness.of(self.chosen)

    def complete_for(self, reads: Array) -> Completeness | None:
        """The same where a loss reads pairs, ``reads`` (k,), and wants to know."""
        return self.complete() if reads.any() and self.options.on_gauge != "ignore" else None

    def differentiable(self, read: Array, again: bool) -> Array | None:
        """Numbers of the pairs to differentiate where a loss reads those of ``read`` (k,); None for all.

        An eigenvalue that is defective and not read need not have a derivative. What is next to it in the span is no
        basis of an invariant subspace to working precision: it is not deflated. Nor is one of a cluster that k cuts
        where the derivative is differentiated ``again``: its systems, which a first derivative does not meet, are
        singular.
        """
        spoiled = self.conditions > self.pairs.precision.defective
        if again and not read.all() and self.options.on_gauge != "ignore":
            complete = self.complete()
            near = complete.closest <= 10 * self.pairs.precision.half * self.accuracy.spread  # half of a Jordan block
            near[list(complete.cut)] = True
            spoiled = spoiled | near
        return np.flatnonzero(~spoiled) if spoiled.any() and not (spoiled & read).any() else None

    def check_not_defective(self) -> None:
        """Raise where an eigenvalue has no derivative, or none of which rounding leaves a digit.

        A Jordan block of order two that rounding has split shows condition numbers κ of up to 1/√ε; at
        the limit κ²ε, the relative error of the derivative, is a few times 10⁻⁴.
        """
        conditions = self.conditions
        worst = int(np.argmax(conditions))
        if conditions[worst] > self.pairs.precision.defective:
            raise DefectiveEigenvalueError(defective(worst, complex(self.pairs.given_w[worst]), conditions[worst]))

    # ---- solving -----------------------------------------------------------------------------

    def deflated(
        self, side: Side, rhs: Array, scale: Array, gauge: Array | None = None, again: bool = False
    ) -> Complement:
        """The solution on the complement, refused where it is none; `tell` what it reports.

        ``again``: what is made of the solution is differentiated again.
        """
        pairs, problem, left = self.pairs, self.problem, side.consistent
        complete = None if self.options.on_gauge == "ignore" else self.complete()
        goals = self.accuracy.goals(complete) if again else None
        solved = solve(side, rhs, scale, complete, goals, self.found.least_left if left else self.found.least)
        found = replace(self.found, least_left=solved.least) if left else replace(self.found, least=solved.least)
        self.cache.replace("found", found)
        report = solved.report
        if complete is not None:
            report = replace(report, completeness=complete.state)
        if complete is not None and self.others.is_first_report():
            report = replace(report, search_applications=complete.applications, search_solves=complete.solves)
        conditions = np.zeros(0) if problem.hermitian else self.conditions
        neighbours = {i: distance * problem.units[1] for i, distance in report.neighbours.items()}
        gauge = np.zeros(0) if gauge is None else gauge
        report = replace(report, conditions=conditions, gauge=gauge, neighbours=neighbours)
        if not problem.hermitian and not problem.structure.nonlinear and not left:
            suspects = self._suspects(rhs, solved)
            if suspects.any():  # an eigenvalue whose system has a huge solution may turn out to be defective
                self.left_vectors(suspects)
        refuse(pairs, report)
        return replace(solved, report=report)

    def solve_in_span(
        self, side: Side, T: Array, F: Array | None, scale: Array, gauge: Array | None, again: bool = False
    ) -> tuple[Array, Complement]:
        """Z with (B X)ᴴ Z = T and R_i z_i = f_i on the complement; F, zero if None, is overwritten.

        ``side`` is the adjoint one, or that of left eigenvectors.
        """
        pairs = self.pairs
        if self.problem.hermitian:
            C = T / np.real(np.diagonal(pairs.gram))[:, None]
            span = pairs.BX @ (C * (pairs.deflation[0][:, None] - pairs.w))  # R_i Φ c_i, (n, k)
        else:
            C = small.solve(pairs.space, pairs.gram, T)
            span, sizes = pairs.image_of_span(C)
            if side.consistent:  # of a normal matrix the right-hand side is rounding
                scale = np.maximum(scale, sizes)
        scale = np.maximum(scale, pairs.space.norms(span))
        F = np.negative(span, out=span) if F is None else np.subtract(F, span, out=F)
        del span  # as large as X
        solved = self.deflated(side, F, scale, gauge, again)
        return times(pairs.phi, C) + solved.U, solved

    def _suspects(self, rhs: Array, solved: Complement) -> Array:
        """Eigenvalues that may be defective, by what their left eigenvectors may be outside of the span.

        That part is R⁻¹ of a right-hand side that is at hand, and ‖R⁻¹‖ is at least ‖u‖/‖b‖ of any
        system that has been solved. Those without a right-hand side are not read.
        """
        b = self.pairs.space.norms(rhs)
        growth = np.maximum(solved.sizes / np.where(b > 0, b, 1), self.found.least)
        conditions = self.conditions + growth * self._outside
        limit = self.pairs.precision.defective
        return (b > 0) & (conditions > min(SUSPICIOUS * limit, limit**0.5))

    @kept
    def _outside(self) -> Array:
        """‖B x_i‖ times the norms of the right-hand sides of the left eigenvectors' systems."""
        pairs, k = self.pairs, self.pairs.w.size
        span, _ = pairs.image_of_span(small.solve(pairs.space, pairs.gram, np.eye(pairs.gram.shape[0], k)))
        outside = pairs.space.norms(self.adjoint_side.project_out(span))
        return outside * pairs.space.norms(pairs.BX[:, :k])

    # ---- left eigenvectors -------------------------------------------------------------------

    def left_vectors(
        self, needed: Array, gauge: Array | None = None, g: Array | None = None, again: bool = False
    ) -> Array:
        """The left eigenvectors with (B x_i)ᴴ y_i = 1: the adjoint solutions for F = 0, g = 1.

        Losses of eigenvalues alone need no more. The first call solves for the columns it needs;
        where a later one (a Jacobian, row by row) needs others, all that are left are solved for
        together, and kept. ``g`` is what they are wanted for, for the report's error.
        """
        with self.lock:
            left, pairs = self.found.left, self.pairs
            missing = needed if left is None else needed & ~left.known
            if not missing.any():
                assert left is not None
                return left.Y
            columns = missing
            if left is not None:
                # Of a folded pair the second member is never asked for.
                folded = (
                    np.zeros_like(missing)
                    if pairs.conjugate_pairing is None
                    else np.diagonal(pairs.conjugate_pairing[0]) == 0
                )
                columns = missing | ~(left.known | folded)
            T = np.eye(pairs.deflation[0].size, pairs.w.size, dtype=pairs.X.dtype) * columns
            Z, solved = self.solve_in_span(self.left_side, T, None, np.zeros(pairs.w.size), gauge, again)
            whole = pairs.space.norms(Z) * pairs.space.norms(pairs.BX[:, : pairs.w.size])
            left = _joined(left, Z, solved, columns)
            found = replace(self.found, left=left, conditions=np.maximum(self.conditions, whole))
            self.cache.replace("found", found)
            self.check_not_defective()
            g = columns.astype(Z.dtype) if g is None else g * columns
            tell(replace(solved.report, error=self.left_errors(Z * g, g)[0]), self.options)
            return left.Y

    def left_errors(self, Z: Array, g: Array) -> tuple[float, tuple[Coupling, ...]]:
        """Return the error of Z = Y g, and the couplings that rounding has eaten."""
        left, size, zero = self.found.left, np.abs(g), np.zeros(g.shape)
        assert left is not None
        report = Report("adjoint", "", 0.0, zero)
        solved = Complement(left.Y, report, size * left.errors, left.growth, zero, zero, size * left.sizes)
        return self.accuracy_of(solved).left(Z, g)


def _joined(left: LeftVectors | None, Z: Array, solved: Complement, columns: Array) -> LeftVectors:
    """The left eigenvectors with those of some columns besides."""
    zero = np.zeros(columns.size)
    if left is None:
        left = LeftVectors(np.zeros(0), np.zeros(columns.size, dtype=bool), zero, zero, zero)
    return LeftVectors(
        Z if left.Y.size == 0 else left.Y + Z,
        left.known | columns,
        np.where(columns, solved.sizes, left.sizes),
        np.where(columns, solved.errors, left.errors),
        np.where(columns, solved.growth, left.growth),
    )


def left_vectors(systems: BorderedSystems) -> Array:
    """Y (n, k) with (B X)ᴴ Y = I; of a complex pair of a real pencil one system serves both.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError
    """
    systems.check_not_defective()
    w, X, k = systems.pairs.w, systems.pairs.X, systems.pairs.w.size
    partner = np.arange(k)
    if systems.pairs.real_pencil:
        for j in range(k):
            for i in range(j):
                if w[i] == w[j].conj() and systems.pairs.space.equal(X[:, i], X[:, j].conj()):
                    partner[j] = i
    own = partner == np.arange(k)
    Y = systems.left_vectors(own, again=True).copy()
    Y[:, ~own] = Y[:, partner[~own]].conj()
    return Y
