"""Solving R_i u_i = b_i on the complement of the computed eigenvectors.

Adjoint side: R_i = (A − λ_i B)ᴴ maps (B X)^⊥ into X^⊥; tangent side: R_i = A − λ_i B maps X^⊥ into
(B X)^⊥. Both see only eigenvalues that were not computed. The projectors act at every step, so
that rounding does not bring the deflated directions back, and every residual is recomputed from
the operator: what a solver says of itself is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as la

from ..krylov.augmented import Ends, spectral_ends
from ..krylov.blocks import LATE, times
from ..linear_messages import preconditioner_without_adjoint
from ..options import Adjoint, most_iterations
from ..reports import Report
from .couplings import NOISE
from .engines import engines_in_order
from .neighbours import betrayed
from .problem import Eigenproblem, Side

if TYPE_CHECKING:
    from .completeness import Completeness

Array = np.ndarray

#: A solution in error by more than this many rtol of its size is improved: next to an eigenvalue that
#: was not computed at a distance of δ, a residual of rtol is an error of rtol/δ.
AMPLIFIED = 30.0


@dataclass(frozen=True)
class Complement:
    """Solutions U (n, k) on the complement, their report, and what is known of their accuracy.

    ``errors`` (k,) are those that solving left, estimated; ``growth`` (k,) is what R⁻¹ made of the right-hand sides,
    and ``residuals`` (k,) are what is left of them.
    """

    U: Array
    report: Report
    errors: Array
    growth: Array
    residuals: Array

    @cached_property
    def sizes(self) -> Array:
        """‖u_i‖, (k,)."""
        return np.linalg.norm(self.U, axis=0)


class DeflatedSystems:
    """The systems R_i u_i = b_i of given eigenpairs.

    Parameters
    ----------
    problem : Eigenproblem
    w : ndarray, shape (k,)
    X : ndarray, shape (n, k)
    Q_X, Q_BX : ndarray, shape (n, d)
        Orthonormal bases of the deflated vectors and of their images under B.
    options : Adjoint
    residuals : ndarray, shape (k,)
        ‖A x − λ B x‖ / ‖x‖ of the pairs.
    seen : ndarray, shape (k,), optional
        The part of B that each vector sees, see `pairs.py`; all of it by default.
    consistent : bool, optional
        Right-hand sides are in the range of R_i, also of a singular one: any solution will do.
    """

    def __init__(
        self,
        problem: Eigenproblem,
        w: Array,
        X: Array,
        Q_X: Array,
        Q_BX: Array,
        options: Adjoint,
        residuals: Array,
        seen: Array | None = None,
        *,
        consistent: bool = False,
    ):
        self.problem, self.w, self.X, self.options = problem, w, X, options
        self.Q_X, self.Q_BX, self.residuals, self.consistent = Q_X, Q_BX, residuals, consistent
        self.seen = np.ones(w.size) if seen is None else seen
        self.eps = float(np.finfo(X.dtype).eps)
        #: Lower bounds on ‖R_i⁻¹‖ on the complement, of systems that were solved for other than the caller's sake.
        self.growth = np.zeros(w.size)

    # ---- the operators -----------------------------------------------------------------------

    def project_in(self, side: Side, V: Array) -> Array:
        return _complement(self.Q_BX if side == "adjoint" else self.Q_X, V)

    def project_out(self, side: Side, V: Array) -> Array:
        return _complement(self.Q_X if side == "adjoint" else self.Q_BX, V)

    def shifted(self, side: Side, V: Array, columns: Array) -> Array:
        """R_i v_i for the given column numbers."""
        pencil = self.problem.pencil_adjoint if side == "adjoint" else self.problem.pencil
        return pencil(V, self.w[columns])

    def precondition(self, side: Side) -> Callable[[Array], Array] | None:
        """The user's preconditioner, or the inverse of the forward pass, or None; for blocks."""
        given = self.options.preconditioner
        if given is not None:
            return _block_function(given, adjoint=side == "adjoint" and not self.problem.hermitian)
        inverse = self.problem.inverse
        if inverse is None:
            return None
        return inverse.operator.apply if side == "tangent" else inverse.operator.adjoint

    @property
    def explicit(self) -> bool:
        B = self.problem.B
        return self.problem.A.explicit and (B is None or B.explicit)

    @cached_property
    def dual(self) -> Array:
        """B Q (QᴴBQ)⁻¹ for the basis Q of X: its columns are dual to those of Q."""
        if self.problem.B is None:
            return self.Q_X
        BQ = self.problem.B.apply(self.Q_X)
        return BQ @ la.inv(self.Q_X.conj().T @ BQ)

    def tolerances(self, d: int) -> Array:
        """τ for the first d pairs: eigenvalues closer than τᵢ + τⱼ count as one.

        By default what tells nothing apart: ten times the pair's residual, which bounds the error of
        a Hermitian problem's eigenvalue, and what rounding changes of it, δλ of `pairs.py`, or 50 ε of the
        size of A and λB where the vector sees all of B, whose norms are estimated from below.
        """
        if self.options.cluster_tol is not None:
            return np.full(d, 0.5 * self.options.cluster_tol * np.max(np.abs(self.w)))
        norm_A, norm_B = self.problem.norms
        size = self.eps * (norm_A / norm_B + np.max(np.abs(self.w)))
        rounding = size * np.maximum(50, 1 / np.maximum(self.seen, self.eps))
        tau = 10 * self.residuals / norm_B + rounding
        return np.concatenate([tau, np.full(d - tau.size, np.max(rounding))])  # what conjugation completed

    @cached_property
    def spectral_ends(self) -> Ends:
        """The ends of the spectrum of a Hermitian A, see `krylov.augmented`."""
        A, Q = self.problem.A, self.Q_X
        return spectral_ends(A.apply, Q, np.result_type(A.dtype, Q))

    # ---- solving -----------------------------------------------------------------------------

    def solve(
        self,
        side: Side,
        rhs: Array,
        scale: Array,
        complete: Completeness | None = None,
        goals: Array | None = None,
    ) -> Complement:
        """u_i with R_i u_i = P_out rhs_i, for every column i.

        ``scale`` (k,) is the size of the data that rhs was computed from: columns that are noise
        relative to the largest of them are not solved for. As long as the recomputed residuals
        fall, the engine runs again on what is left of the right-hand side. By what is known of the eigenvalues that
        were not computed, ``complete``, columns with a singular R_i are not solved for, unless they are consistent.
        Relative residuals fall to ``goals`` (k,), or as far as rounding allows, where these are less than what is
        asked for; they need not.
        """
        problem, options = self.problem, self.options
        before = self.counts()
        R = self.project_out(side, rhs)
        norms = np.linalg.norm(R, axis=0)
        reference = np.maximum(norms, np.linalg.norm(rhs, axis=0))
        columns = np.flatnonzero(norms > NOISE * self.eps * np.max(scale))
        found, known = dict[int, float](), np.zeros(norms.shape)
        if complete is not None:
            found = {} if self.consistent else {i: d for i, d in complete.cut.items() if i in columns}
            columns = np.setdiff1d(columns, list(found))
            known = self.known_growth(complete)
        U, errors = np.zeros(rhs.shape, R.dtype, order="F"), np.zeros(norms.shape)
        suspects: dict[int, Array] = {}  # updates that were taken back
        residuals, floors = np.zeros(norms.shape), np.zeros(norms.shape)
        rtol = options.tolerance(R.dtype)
        budget = options.maxiter or most_iterations(problem.n)
        engines, reason = engines_in_order(self, columns.size)
        count = len(engines)
        ran: list[str] = []
        iterations = 0
        R = R if columns.size == norms.size else R[:, columns]
        iterative = engines[0][0] not in ("dense", "direct")
        warm = problem.continuation if iterative else None
        active = columns
        if columns.size and (warm is not None or (iterative and problem.beyond is not None)):
            U[:, columns], R = self.guess(side, R, columns)
        wanted = 0.5 * rtol * reference
        while columns.size:
            name, engine = engines[0]
            if name not in ran:
                ran.append(name)
            left = np.linalg.norm(R, axis=0)
            target = np.minimum(wanted[columns] / left, 0.5)
            # Every engine leaves the ones after it their share of the budget.
            limit = max(budget * (count - len(engines) + 1) // count, 1)
            update, steps, error = engine(self, side, columns, R, target, max(limit - iterations, 1))
            iterations += steps
            before_update, last = U[:, columns], R
            U[:, columns] = self.project_in(side, before_update + update)
            R = self.project_out(side, rhs[:, columns] - self.shifted(side, U[:, columns], columns))
            now = np.linalg.norm(R, axis=0)
            worse = ~(now <= left)
            if worse.any():  # blown up: along an eigenvector of an eigenvalue next to w, most likely
                suspects |= {int(columns[m]): update[:, m].copy() for m in np.flatnonzero(worse)}
                U[:, columns[worse]], R[:, worse] = before_update[:, worse], last[:, worse]
                now = np.where(worse, left, now)
            residuals[columns] = now / reference[columns]
            floors[columns] = self.rounding(U[:, columns], columns) / reference[columns] + 10 * self.eps
            allowed = AMPLIFIED * rtol * np.linalg.norm(U[:, columns], axis=0)
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
            del update, before_update, last  # the next engine has arrays of its own
            if iterations >= budget:
                break
            if stagnant or iterations >= limit:
                engines = engines[1:]
                if not engines:
                    break
        if warm is not None and active.size:
            warm.keep_solutions(side, U[:, active])
        applications, solves = (after - start for after, start in zip(self.counts(), before, strict=True))
        report = Report(
            side,
            "+".join(ran) or "none",
            rtol,
            residuals,
            floors,
            self.eps**0.25,
            iterations,
            applications,
            solves,
            reason=reason if ran else "",
        )
        if not report.converged:
            found = betrayed(self, side, self.project_out(side, rhs), U, suspects, report.failed) | found
        if found:
            report = replace(report, neighbours=found)
        growth = np.linalg.norm(U, axis=0) / np.where(norms > 0, norms, 1)
        growth = np.maximum(growth, known / np.where(growth > 0, np.sqrt(problem.n), 1))
        left = residuals * reference
        errors = np.maximum(errors, np.maximum(growth, self.growth) * left) + self.eps * growth * scale
        return Complement(U, report, errors, growth, left)

    def known_growth(self, complete: Completeness) -> Array:
        """‖R_i⁻¹‖ on the complement, where the closest of the eigenvalues that were not computed is known."""
        singular = np.zeros(self.w.size, dtype=bool)
        singular[list(complete.cut)] = True
        distance = np.where(singular, np.inf, complete.closest) * self.problem.norms[1]
        return 1 / distance

    def guess(self, side: Side, b: Array, columns: Array) -> tuple[Array, Array]:
        """What is known of u_i beforehand, and what it leaves of b_i.

        What earlier problems' solutions can be combined to; and along eigenvectors v that the forward pass found
        besides, (vᴴb)/(w_v − w_i) v. Their residuals are solved for with the rest.
        """
        U, beyond, warm = np.zeros_like(b), self.problem.beyond, self.problem.continuation
        project = partial(self.project_in, side)
        if warm is not None:
            U, b = warm.guess(side, b, self.real, project, partial(self._images, side, columns))
        if beyond is not None and beyond.w.size:
            known = project(beyond.V @ ((beyond.V.T @ b) / (beyond.w[:, None] - self.w[columns])))
            left = b - self.project_out(side, self.shifted(side, known, columns))
            size = np.linalg.norm(left, axis=0)
            better = (size > 0) & (size < np.linalg.norm(b, axis=0))  # engines take no right-hand side of zero
            U, b = U + np.where(better, known, 0), np.where(better, left, b)
        return U, b

    @property
    def real(self) -> bool:
        """The pencil is real."""
        return all(operator is None or operator.dtype.kind != "c" for operator in (self.problem.A, self.problem.B))

    def _images(self, side: Side, columns: Array, V: Array) -> Callable[[int], Array]:
        """i ↦ P_out R V for the i-th of the columns, from one application of A and B."""
        A, B = self.problem.A, self.problem.B
        adjoint = side == "adjoint"
        AV = A.adjoint(V) if adjoint else A.apply(V)
        BV = V if B is None else B.adjoint(V) if adjoint else B.apply(V)
        shifts = np.conj(self.w[columns]) if adjoint else self.w[columns]
        return lambda i: self.project_out(side, AV - BV * shifts[i])

    def rounding(self, U: Array, columns: Array | slice = slice(None)) -> Array:
        """What rounding adds to R_i u_i: 10 ε ‖R‖ ‖u‖, ‖R‖ from below."""
        norm_R = self.problem.norms[0] + np.abs(self.w[columns]) * self.problem.norms[1]
        return 10 * self.eps * norm_R * np.linalg.norm(U, axis=0)

    def counts(self) -> tuple[int, int]:
        """Applications of A and of the inverse so far, by this thread."""
        inverse = self.problem.inverse
        return self.problem.A.applications, 0 if inverse is None else inverse.operator.applications


def _complement(Q: Array, V: Array) -> Array:
    return V - times(Q, times(Q.conj().T, V))


def _block_function(given: Any, adjoint: bool) -> Callable[[Array], Array]:
    """A preconditioner, or its adjoint, as a function of blocks."""
    is_operator = hasattr(given, "matvec")
    function = given if not is_operator else given.rmatmat if adjoint else given.matmat
    real = is_operator and np.dtype(getattr(given, "dtype", None)).kind != "c"

    def apply(V: Array) -> Array:
        try:
            # Functions of a real operator may drop imaginary parts.
            split = real and np.iscomplexobj(V)
            result = function(V.real) + 1j * function(V.imag) if split else np.asarray(function(V))
        except (NotImplementedError, TypeError) as error:
            # SciPy's operators without rmatvec raise the first for a vector, for a block they call None.
            if not adjoint or (isinstance(error, TypeError) and "NoneType" not in str(error)):
                raise
            raise NotImplementedError(preconditioner_without_adjoint()) from error
        if result.shape != V.shape or not np.all(np.isfinite(result)):
            raise ValueError(
                f"The preconditioner returned shape {result.shape} for a block of shape {V.shape}, or NaN or "
                "infinity. It must map blocks of columns to blocks of the same shape."
            )
        return result

    return apply
