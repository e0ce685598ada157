"""The deflation that given eigenpairs allow, and what is known of their left eigenvectors.

The right eigenvectors X = (x_1 … x_k) of A x = λ B x deflate the systems of every derivative, without any left
eigenvector. With R_i = (A − λ_i B)ᴴ, (B X)^⊥ is mapped by R_i into X^⊥, and X^⊥ by R_iᴴ into (B X)^⊥ up to the
span of B X; there only eigenvalues that were *not* computed are seen, and `DeflatedSystems` solves for u. The
parts of a solution in the span are explicit: see `block.py`, which puts both together.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from threading import RLock
from weakref import ReferenceType, ref

import numpy as np
import scipy.linalg as la

from ..krylov.blocks import orthonormal_basis, times
from ..messages import defective
from ..options import Adjoint
from ..reports import DefectiveEigenvalueError, Report, announce
from .accuracy import Accuracy
from .completeness import Completeness
from .conjugates import folding, without_conjugate
from .couplings import Coupling, Quotients, divide
from .deflated import Complement, DeflatedSystems
from .others import look_for_others
from .problem import Eigenproblem, Side, apart_from
from .refusals import refuse
from .singular import mirror_images
from .spans import left_basis, left_lengths, seen

Array = np.ndarray

#: Eigenvalues with condition numbers past this over √ε have no derivative.
DEFECTIVE = 0.02

#: A condition number that may be past this part of the limit, or past its square root, is looked into.
SUSPICIOUS = 0.03


class BorderedSystems:
    """What given eigenpairs allow to deflate, and the systems on the complement.

    What one solve has found (left eigenvectors, condition numbers, bases) serves the next ones, in whatever thread
    they run: rows of a Jacobian come from one vjp in a pool. ``lock`` makes threads take turns; a thread may enter
    again, from a callback.

    Parameters
    ----------
    problem : Eigenproblem
    w : ndarray, shape (k,)
    X : ndarray, shape (n, k)
        Converged eigenpairs, normalised as the problem says.
    options : Adjoint
    residuals : ndarray, shape (k,), optional
        ‖A x − λ B x‖ / ‖x‖ of the pairs.
    inner : ndarray, shape (k, k), optional
        Xᴴ (A X − B X Λ), their part in the span.
    """

    def __init__(
        self,
        problem: Eigenproblem,
        w: Array,
        X: Array,
        options: Adjoint,
        residuals: Array | None = None,
        inner: Array | None = None,
    ):
        # T(λ) of a nonlinear problem has the eigenvalue 0, see `Eigenproblem`.
        self.w = w if problem.slope is None else np.zeros_like(w)
        self.problem, self.X, self.options = apart_from(problem, self.w), X, options
        self.eps = float(np.finfo(X.dtype).eps)
        self.residuals = np.zeros(w.size) if residuals is None else residuals
        self.inner = np.zeros((w.size, w.size)) if inner is None else inner
        self.lock = RLock()
        self._left: Array | None = None
        self._left_solved = np.zeros((3, w.size))  # of the left eigenvectors' systems: sizes, errors, growth
        self._known = np.zeros(w.size, dtype=bool)
        self._parts: dict[tuple[int, ...], BorderedSystems] = {}
        #: The systems of all computed pairs, and which of them these are.
        self._whole: tuple[ReferenceType[BorderedSystems], Array] = ref(self), np.arange(w.size)  # no cycle
        self._complete: Completeness | None = None
        self._reported = False

    # ---- the deflation space, each part computed when it is first needed ---------------------

    @cached_property
    def real_pencil(self) -> bool:
        """The pencil is real and its eigenvectors are not: pairs come with their conjugates."""
        pencil = (self.problem.A, self.problem.B)
        real = all(operator is None or operator.dtype.kind != "c" for operator in pencil)
        return real and np.iscomplexobj(self.X)

    @cached_property
    def folding(self) -> tuple[Array, Array] | None:
        """D, E (k, k) such that cotangents g and g D + conj(g) E mean the same; None for D = I."""
        return folding(self.w, self.X) if self.real_pencil else None

    @cached_property
    def cut(self) -> Array:
        """Numbers of the pairs of a real pencil whose conjugates were not computed."""
        if not self.real_pencil:
            return np.zeros(0, dtype=int)
        return without_conjugate(self.problem, self.w, self.X, self.residuals)

    @cached_property
    def deflation(self) -> tuple[Array, Array]:
        """(w, X), completed by the conjugate of every complex pair of a real pencil that k cut.

        Of singular triplets, by their mirror images.
        """
        if self.problem.rows is not None:
            return np.r_[self.w, -self.w], np.c_[self.X, mirror_images(self.X, self.problem.rows)]
        if not self.cut.size:
            return self.w, self.X
        return np.r_[self.w, self.w[self.cut].conj()], np.c_[self.X, self.X[:, self.cut].conj()]

    def name(self, j: int) -> str:
        """What messages call the member j of the deflation."""
        k = self.w.size
        if j < k:
            return str(j)
        return (
            f"the mirror image of {j - k}" if self.problem.rows is not None else f"the conjugate of {self.cut[j - k]}"
        )

    @property
    def given_w(self) -> Array:
        """The eigenvalues as the user knows them, with those that complete the deflation."""
        return self.deflation[0] * self.problem.units[1]

    @cached_property
    def BX(self) -> Array:
        slope = self.problem.slope
        return self.problem.apply_B(self.deflation[1]) if slope is None else slope

    @cached_property
    def compressor(self) -> Array:
        """(B X)⁺, (k, n), of the computed vectors: P with P B X = I."""
        Q, R = la.qr(self.BX[:, : self.w.size], mode="economic")
        return la.solve_triangular(R, Q.conj().T)

    @cached_property
    def vanishing(self) -> Array:
        """The singular values that coincide with their mirror images: they are zero."""
        return self.w <= self.systems.tolerances(self.w.size)

    def coinciding(self) -> list[list[int]]:
        """Groups of two or more members of the deflation, without mirror images, that count as one."""
        w = self.deflation[0] if self.problem.rows is None else self.w
        tau = self.systems.tolerances(w.size)
        groups: list[list[int]] = []
        for i in range(w.size):
            for group in groups:
                if any(abs(w[i] - w[j]) <= tau[i] + tau[j] for j in group):
                    group.append(i)
                    break
            else:
                groups.append([i])
        return [group for group in groups if len(group) > 1]

    @cached_property
    def systems(self) -> DeflatedSystems:
        X = self.deflation[1]
        if self.problem.B is None and self.problem.hermitian:
            Q_X = Q_BX = X
        else:
            Q_X = orthonormal_basis(X, self.real_pencil)
            same = self.problem.B is None and self.problem.slope is None
            Q_BX = Q_X if same else orthonormal_basis(self.BX, self.real_pencil)
        part = seen(self.problem, self.X, self.BX[:, : self.w.size])
        return DeflatedSystems(self.problem, self.w, self.X, Q_X, Q_BX, self.options, self.residuals, part)

    @cached_property
    def left_systems(self) -> DeflatedSystems:
        """The same for left eigenvectors, whose right-hand sides are in the range of R_i, also of a singular one."""
        bases = self.systems.Q_X, self.systems.Q_BX
        seen = self.systems.seen
        return DeflatedSystems(
            self.problem, self.w, self.X, *bases, self.options, self.residuals, seen, consistent=True
        )

    @cached_property
    def phi(self) -> Array:
        return self.deflation[1] if self.problem.hermitian else left_basis(self.systems.Q_X, self.systems.Q_BX)

    @cached_property
    def gram(self) -> Array:
        """(B X)ᴴ Φ; diagonal for a Hermitian pencil."""
        return times(self.phi.conj().T, self.BX).conj().T

    @cached_property
    def images(self) -> tuple[Array, Array]:
        """Aᴴ Φ and Bᴴ Φ of a pencil that is not Hermitian."""
        A, B = self.problem.A, self.problem.B
        return A.adjoint(self.phi), self.phi if B is None else B.adjoint(self.phi)

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(self)  # kept, it would be a cycle

    @cached_property
    def conditions(self) -> Array:
        """Lower bounds on the eigenvalues' condition numbers ‖y‖‖Bx‖, (Bx)ᴴy = 1; ones if Hermitian.

        From the part of y in the deflation space, which shows the coalescence of computed pairs;
        `left_vectors` raises them to the whole y's.
        """
        k = self.w.size
        if self.problem.hermitian:
            return np.ones(k)
        return self.left_lengths[:k] * np.linalg.norm(self.BX[:, :k], axis=0)

    @cached_property
    def left_lengths(self) -> Array:
        return left_lengths(self.systems.Q_BX, self.BX)

    def differentiable(self, read: Array, again: bool) -> Array | None:
        """Numbers of the pairs to differentiate where a loss reads those of ``read`` (k,); None for all.

        An eigenvalue that is defective and not read need not have a derivative. What is next to it in the span is no
        basis of an invariant subspace to working precision: it is not deflated. Nor is one of a cluster that k cuts
        where the derivative is differentiated ``again``: its systems, which a first derivative does not meet, are
        singular.
        """
        with self.lock:
            spoiled = self.conditions > DEFECTIVE / np.sqrt(self.eps)
            if again and self.options.on_gauge != "ignore" and not read.all():
                complete = self.complete()
                spoiled = spoiled | (
                    complete.closest <= 10 * np.sqrt(self.eps) * self.accuracy.spread
                )  # half of a Jordan block
                spoiled[list(complete.cut)] = True
        return np.flatnonzero(~spoiled) if spoiled.any() and not (spoiled & read).any() else None

    def restricted(self, chosen: Array) -> BorderedSystems:
        """The systems of some of the pairs; they too keep what a solve has found."""
        with self.lock:
            key = tuple(chosen.tolist())
            if key not in self._parts:
                inner = self.inner[np.ix_(chosen, chosen)]
                pairs = self.w[chosen], np.asfortranarray(self.X[:, chosen])
                part = BorderedSystems(self.problem, *pairs, self.options, self.residuals[chosen], inner)
                part._whole = ref(self), chosen
                self._parts[key] = part
            return self._parts[key]

    def search_to_report(self) -> bool:
        """Whether what `complete` took is in no report yet: the first that asks reports it."""
        whole = self._whole[0]()
        if whole is None or whole._reported:
            return False
        whole._reported = True
        return True

    def complete(self) -> Completeness:
        """What is known of the eigenvalues that were not computed: looked for once, whatever asks first."""
        whole, chosen = self._whole[0](), self._whole[1]
        if whole is None:  # these are all that is left
            whole, chosen = self, np.arange(self.w.size)
        with whole.lock:
            if whole._complete is None:
                whole._complete = look_for_others(whole.systems)
            return whole._complete.of(chosen)

    def check_not_defective(self) -> None:
        """Raise where an eigenvalue has no derivative, or none of which rounding leaves a digit.

        A Jordan block of order two that rounding has split shows condition numbers κ of up to 1/√ε; at
        the limit κ²ε, the relative error of the derivative, is a few times 10⁻⁴.
        """
        worst = int(np.argmax(self.conditions))
        if self.conditions[worst] > DEFECTIVE / np.sqrt(self.eps):
            raise DefectiveEigenvalueError(defective(worst, complex(self.given_w[worst]), self.conditions[worst]))

    # ---- solving -----------------------------------------------------------------------------

    def deflated(
        self,
        side: Side,
        rhs: Array,
        scale: Array,
        gauge: Array | None = None,
        left: bool = False,
        again: bool = False,
    ) -> Complement:
        """The solution on the complement, refused where it is none; `tell` what it reports.

        ``left``: right-hand sides are those of left eigenvectors. ``again``: what is made of the solution is
        differentiated again.
        """
        complete = None if self.options.on_gauge == "ignore" else self.complete()
        goals = self.accuracy.goals(complete) if again else None
        solved = (self.left_systems if left else self.systems).solve(side, rhs, scale, complete, goals)
        U, report = solved.U, solved.report
        if complete is not None:
            report = replace(report, completeness=complete.state)
        if complete is not None and self.search_to_report():
            report = replace(report, search_applications=complete.applications, search_solves=complete.solves)
        conditions = np.zeros(0) if self.problem.hermitian else self.conditions
        neighbours = {i: distance * self.problem.units[1] for i, distance in report.neighbours.items()}
        gauge = np.zeros(0) if gauge is None else gauge
        report = replace(report, conditions=conditions, gauge=gauge, neighbours=neighbours)
        if not self.problem.hermitian and self.problem.slope is None and not left:
            self._examine(self._suspects(rhs, U))
        refuse(self, report)
        return replace(solved, report=report)

    def tell(self, report: Report) -> None:
        """Log a report, and give it to the caller's callback."""
        announce(report)
        if self.options.callback is not None:
            self.options.callback(report)

    def _suspects(self, rhs: Array, U: Array) -> Array:
        """Eigenvalues that may be defective, by what their left eigenvectors may be outside of the span.

        That part is R⁻¹ of a right-hand side that is at hand, and ‖R⁻¹‖ is at least ‖u‖/‖b‖ of any
        system that has been solved. Those without a right-hand side are not read.
        """
        b = np.linalg.norm(rhs, axis=0)
        growth = np.maximum(np.linalg.norm(U, axis=0) / np.where(b > 0, b, 1), self.systems.growth)
        conditions = self.conditions + growth * self._outside
        limit = DEFECTIVE / np.sqrt(self.eps)
        return (b > 0) & (conditions > min(SUSPICIOUS * limit, limit**0.5))

    @cached_property
    def _outside(self) -> Array:
        """‖B x_i‖ times the norms of the right-hand sides of the left eigenvectors' systems."""
        k = self.w.size
        span, _ = self._span(la.solve(self.gram, np.eye(self.gram.shape[0], k)))
        outside = np.linalg.norm(self.systems.project_out("adjoint", span), axis=0)
        return outside * np.linalg.norm(self.BX[:, :k], axis=0)

    def _span(self, C: Array) -> tuple[Array, Array]:
        """R_i Φ c_i of a pencil that is not Hermitian, and the size of the terms that it is the difference of."""
        AP, BP = self.images
        A_terms, B_terms = times(AP, C), times(BP, C) * np.conj(self.w)
        sizes = np.linalg.norm(A_terms, axis=0) + np.linalg.norm(B_terms, axis=0)
        return np.subtract(A_terms, B_terms, out=B_terms), sizes

    def _examine(self, suspects: Array) -> None:
        """Raise where an eigenvalue whose system has a huge solution turns out to be defective."""
        if suspects.any():
            self.left_vectors(suspects)

    def left_vectors(
        self, needed: Array, gauge: Array | None = None, g: Array | None = None, again: bool = False
    ) -> Array:
        """The left eigenvectors with (B x_i)ᴴ y_i = 1: the adjoint solutions for F = 0, g = 1.

        Losses of eigenvalues alone need no more. The first call solves for the columns it needs;
        where a later one (a Jacobian, row by row) needs others, all that are left are solved for
        together, and kept. ``g`` is what they are wanted for, for the report's error.
        """
        missing = needed & ~self._known
        if missing.any():
            columns = missing
            if self._known.any():
                # Of a folded pair the second member is never asked for.
                folded = np.zeros_like(missing) if self.folding is None else np.diagonal(self.folding[0]) == 0
                columns = missing | ~(self._known | folded)
            T = np.eye(self.deflation[0].size, self.w.size, dtype=self.X.dtype) * columns
            Z, solved = self.solve_in_span(T, None, np.zeros(self.w.size), gauge, True, again)
            self._left = Z if self._left is None else self._left + Z
            self._known = self._known | columns
            whole = np.linalg.norm(Z, axis=0) * np.linalg.norm(self.BX[:, : self.w.size], axis=0)
            self.conditions = np.maximum(self.conditions, whole)
            self.check_not_defective()
            self._left_solved = np.where(columns, [solved.sizes, solved.errors, solved.growth], self._left_solved)
            g = columns.astype(Z.dtype) if g is None else g * columns
            self.tell(replace(solved.report, error=self.left_errors(Z * g, g)[0]))
        assert self._left is not None
        return self._left

    def left_errors(self, Z: Array, g: Array) -> tuple[float, tuple[Coupling, ...]]:
        """Of Z = Y g: its error, and the couplings that rounding has eaten."""
        size, zero = np.abs(g), np.zeros(g.shape)
        sizes, errors, growth = self._left_solved
        solved = Complement((size * sizes)[None], Report("adjoint", "", 0.0, zero), size * errors, growth, zero)
        return Accuracy(self, solved).left(Z, g)

    def solve_in_span(
        self, T: Array, F: Array | None, scale: Array, gauge: Array | None, left: bool = False, again: bool = False
    ) -> tuple[Array, Complement]:
        """Z with (B X)ᴴ Z = T and R_i z_i = f_i on the complement; F, zero if None, is overwritten."""
        if self.problem.hermitian:
            C = T / np.real(np.diagonal(self.gram))[:, None]
            span = self.BX @ (C * (self.deflation[0][:, None] - self.w))  # R_i Φ c_i, (n, k)
        else:
            C = la.solve(self.gram, T)
            span, sizes = self._span(C)
            if left:  # of a normal matrix the right-hand side is rounding
                scale = np.maximum(scale, sizes)
        scale = np.maximum(scale, np.linalg.norm(span, axis=0))
        F = np.negative(span, out=span) if F is None else np.subtract(F, span, out=F)
        del span  # as large as X
        solved = self.deflated("adjoint", F, scale, gauge, left, again)
        return times(self.phi, C) + solved.U, solved

    def divide(self, numerators: Array, gaps: Array, size: Array, first: int = 0) -> Quotients:
        """numerators / gaps of the members of the deflation from number ``first`` on.

        Eigenvalues within ``cluster_tol`` count as equal.
        """
        tau = self.systems.tolerances(self.deflation[0].size)
        equal = np.abs(gaps) <= tau[first : first + len(gaps), None] + tau[: self.w.size]
        return divide(numerators, gaps, size, equal, self.eps, first)
