"""Solving R_i u_i = b_i on the complement of the computed eigenvectors.

Adjoint side: R_i = (A − λ_i B)ᴴ maps (B X)^⊥ into X^⊥; tangent side: R_i = A − λ_i B maps X^⊥ into
(B X)^⊥. Both see only eigenvalues that were not computed. The projectors act at every step, so
that rounding does not bring the deflated directions back, and every residual is recomputed from
the operator: what a solver says of itself is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..krylov.augmented import Ends, filtered_form, spectral_ends
from ..krylov.blocks import LATE
from ..krylov.gmres import gmres
from ..krylov.linear_system import apply_adjoint
from ..krylov.linear_solvers import iterative_engines
from ..krylov.minres import minres
from ..krylov.shared import ShiftInvert, shared_krylov
from ..options import DENSE_ORDER, Adjoint
from ..reports import Report
from .neighbours import betrayed, coinciding, unless_singular
from .problem import Eigenproblem, Side, operator_norms
from .singular import AugmentedOperator, bidiagonal_minres

Array = np.ndarray
#: Solutions, steps, and how far each solution moved while its residual fell by `LATE`, to its target.
Solved = tuple[Array, int, Array]
Engine = Callable[["DeflatedSystems", Side, Array, Array, Array, int], Solved]

#: Krylov dimension between restarts, unless told: of GMRES, of the shared space, and of the one without
#: an inverse where no filter thins it out.
RESTART = 60
SHARED_DIMENSION = 100
AUGMENTED_DIMENSION = 40

#: A solution in error by more than this many rtol of its size is improved: next to an eigenvalue that
#: was not computed at a distance of δ, a residual of rtol is an error of rtol/δ.
AMPLIFIED = 30.0

#: A numerator or right-hand side below this many machine epsilons of its scale is noise.
NOISE = 30.0


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
    ):
        self.problem, self.w, self.X, self.options = problem, w, X, options
        self.Q_X, self.Q_BX, self.residuals = Q_X, Q_BX, residuals
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
    def dense(self) -> tuple[Array, Array]:
        """A and B as dense matrices."""
        eye = np.eye(self.problem.n, dtype=self.X.dtype)
        return self.problem.A.apply(eye), self.problem.apply_B(eye)

    @cached_property
    def dual(self) -> Array:
        """B Q (QᴴBQ)⁻¹ for the basis Q of X: its columns are dual to those of Q."""
        if self.problem.B is None:
            return self.Q_X
        BQ = self.problem.B.apply(self.Q_X)
        return BQ @ la.inv(self.Q_X.conj().T @ BQ)

    @cached_property
    def norms(self) -> tuple[float, float]:
        return operator_norms(self.problem)

    def tolerances(self, d: int) -> Array:
        """τ for the first d pairs: eigenvalues closer than τᵢ + τⱼ count as one.

        By default what tells nothing apart: ten times the pair's residual, which bounds the error of
        a Hermitian problem's eigenvalue, and 50 ε of the size of A and λB, the error of forming it.
        """
        if self.options.cluster_tol is not None:
            return np.full(d, 0.5 * self.options.cluster_tol * np.max(np.abs(self.w)))
        norm_A, norm_B = self.norms
        rounding = 50 * self.eps * (norm_A / norm_B + np.max(np.abs(self.w)))
        tau = 10 * self.residuals / norm_B + rounding
        return np.concatenate([tau, np.full(d - tau.size, rounding)])  # what conjugation completed

    @cached_property
    def spectral_ends(self) -> Ends:
        """The ends of the spectrum of a Hermitian A, see `krylov.augmented`."""
        A, Q = self.problem.A, self.Q_X
        return spectral_ends(A.apply, Q, np.result_type(A.dtype, Q))

    # ---- solving -----------------------------------------------------------------------------

    def solve(self, side: Side, rhs: Array, scale: Array, consistent: Array | None = None) -> tuple[Array, Report]:
        """u_i with R_i u_i = P_out rhs_i, for every column i.

        ``scale`` (k,) is the size of the data that rhs was computed from: columns that are noise
        relative to the largest of them are not solved for. As long as the recomputed residuals
        fall, the engine runs again on what is left of the right-hand side. ``consistent`` lists columns whose
        right-hand side is in the range of R_i even where R_i is singular, so that no solver would notice.
        """
        problem, options = self.problem, self.options
        before = self._counts()
        b = self.project_out(side, rhs)
        norms = np.linalg.norm(b, axis=0)
        reference = np.maximum(norms, np.linalg.norm(rhs, axis=0))
        columns = np.flatnonzero(norms > NOISE * self.eps * np.max(scale))
        U, suspects = np.zeros(b.shape, b.dtype, order="F"), np.zeros_like(b)
        residuals, floors = np.zeros(norms.shape), np.zeros(norms.shape)
        rtol = options.tolerance(b.dtype)
        budget = options.maxiter or max(10 * problem.n, 1000)
        engines = self._engines()
        found: dict[int, float] = {}
        if consistent is not None and engines[0][0] not in ("dense", "direct"):  # which look for themselves
            found = coinciding(self, side, consistent)
        ran: list[str] = []
        iterations = 0
        R = b[:, columns]
        warm = None if engines[0][0] in ("dense", "direct") else problem.continuation
        active = columns
        if warm is not None and columns.size:
            project = partial(self.project_in, side)
            U[:, columns], R = warm.guess(side, R, self._real, project, partial(self._images, side, columns))
        wanted = 0.5 * rtol * reference
        while columns.size:
            name, engine = engines[0]
            if name not in ran:
                ran.append(name)
            left = np.linalg.norm(R, axis=0)
            target = np.minimum(wanted[columns] / left, 0.5)
            # The first engines leave the last one a share of the budget.
            limit = budget if len(engines) == 1 else max(budget // 2, 1)
            update, steps, moved = engine(self, side, columns, R, target, max(limit - iterations, 1))
            iterations += steps
            before_update, last = U[:, columns], R
            U[:, columns] = self.project_in(side, before_update + update)
            R = self.project_out(side, b[:, columns] - self.shifted(side, U[:, columns], columns))
            now = np.linalg.norm(R, axis=0)
            worse = ~(now <= left)
            if worse.any():  # blown up: along an eigenvector of an eigenvalue next to w, most likely
                suspects[:, columns[worse]] = update[:, worse]
                U[:, columns[worse]], R[:, worse] = before_update[:, worse], last[:, worse]
                now = np.where(worse, left, now)
            residuals[columns] = now / reference[columns]
            floors[columns] = self.rounding(U[:, columns], columns) / reference[columns] + 10 * self.eps
            # What the residual's last digits moved the solution by, times what is left of the residual.
            error, allowed = moved / LATE, AMPLIFIED * rtol * np.linalg.norm(U[:, columns], axis=0)
            inaccurate = (error > allowed) & (residuals[columns] > floors[columns])
            less = np.minimum(allowed / np.where(inaccurate, error, 1), 1 / LATE)
            less = np.maximum(now * less, 0.1 * floors[columns] * reference[columns])
            wanted[columns] = np.where(inaccurate, less, wanted[columns])
            open_ = inaccurate | (residuals[columns] > np.maximum(rtol, floors[columns]))
            stagnant = bool(np.all(now[open_] > 0.5 * left[open_]))
            columns, R = columns[open_], R[:, open_]
            if iterations >= budget:
                break
            if stagnant or iterations >= limit:
                engines = engines[1:]
                if not engines:
                    break
        if warm is not None and active.size:
            warm.keep_solutions(side, U[:, active])
        applications, solves = (after - start for after, start in zip(self._counts(), before, strict=True))
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
        )
        if not report.converged:
            suspects = np.where(suspects.any(axis=0), suspects, U)
            found = betrayed(self, side, b, U, suspects, report.failed) | found
        if found:
            report = replace(report, neighbours=found)
        return U, report

    @property
    def _real(self) -> bool:
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
        norm_R = self.norms[0] + np.abs(self.w[columns]) * self.norms[1]
        return 10 * self.eps * norm_R * np.linalg.norm(U, axis=0)

    def _counts(self) -> tuple[int, int]:
        inverse = self.problem.inverse
        return self.problem.A.applications, 0 if inverse is None else inverse.operator.applications

    def _engines(self) -> list[tuple[str, Engine]]:
        """The engines to try, in order."""
        method, problem = self.options.method, self.problem
        if method == "minres" and not problem.hermitian:
            raise ValueError("Adjoint(method='minres') is for Hermitian problems; use 'gmres' or 'auto'")
        preconditioned = self.options.preconditioner is not None
        if method != "auto":
            order = [method]
        elif problem.n <= DENSE_ORDER:
            order = ["dense"]
        elif preconditioned:
            order = ["gmres"]
        elif problem.inverse is not None:
            order = ["shared", "gmres"]
        elif problem.hermitian:
            order = ["augmented", "minres", "gmres"] if problem.B is None else ["minres", "gmres"]
        elif problem.slope is not None and self.explicit:
            order = []  # the eigenvalue is anywhere in the spectrum of T(λ): straight to LU
        else:
            order = ["augmented", "gmres"] if problem.B is None and problem.slope is None else ["gmres"]
        if method == "auto" and self.explicit and order != ["dense"]:
            order.append("direct")
        return [(name, ENGINES[name]) for name in order]


def _minres(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """MINRES on Pᴴ R P with P = I − Q (QᴴBQ)⁻¹ (BQ)ᴴ, Q a basis of X.

    R P = Pᴴ R, so that Pᴴ R P is Hermitian on X^⊥ and R u = b is solved by u = P v (P is the
    orthogonal projector where B is the identity). On the tangent side the same solution serves:
    Pᴴ b differs from b in the span of B X, u and P_in u in that of X, and neither is asked for.
    """
    Q, dual = systems.Q_X, systems.dual
    Q_H, dual_H = Q.conj().T, dual.conj().T
    given = systems.options.preconditioner  # the inverse of the forward pass is not definite
    H, sigma = systems.problem.A, systems.w[columns]
    if isinstance(H, AugmentedOperator) and given is None and np.all(sigma > systems.eps * systems.norms[0]):
        return bidiagonal_minres(H, systems.X, sigma, rhs, rtol, maxiter)
    precondition = None if given is None else systems.precondition(side)

    def oblique(V: Array) -> Array:
        return V - Q @ (dual_H @ V)

    def oblique_adjoint(V: Array) -> Array:
        return V - dual @ (Q_H @ V)

    def apply(V: Array, active: Array) -> Array:
        # Where P is orthogonal, Lanczos' vectors are in its range already: they are made of images.
        V = V if systems.problem.B is None else oblique(V)
        return oblique_adjoint(systems.shifted(side, V, columns[active]))

    def restricted(V: Array) -> Array:
        assert precondition is not None
        return _complement(Q, precondition(_complement(Q, V)))

    V, steps, moved = minres(apply, oblique_adjoint(rhs), rtol, maxiter, precondition and restricted)
    return oblique(V), steps, moved


def _gmres(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """GMRES on P_out R P_in, with vectors in the range of P_out; preconditioned from the right."""

    def apply(V: Array, active: Array) -> Array:
        V = systems.project_in(side, V)
        return systems.project_out(side, systems.shifted(side, V, columns[active]))

    restart = systems.options.restart or RESTART
    return gmres(apply, rhs, rtol, maxiter, restart, systems.precondition(side))


def _gcrot(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """SciPy's GCROT(m, k) on the same operator, column by column; in two passes, to see the solution move."""
    precondition = systems.precondition(side)
    U, moved, steps = np.zeros_like(rhs), np.zeros(columns.size), 0
    for m, i in enumerate(columns):

        def apply(V: Array, i: int = i) -> Array:
            V = systems.project_in(side, V)
            return systems.project_out(side, systems.shifted(side, V, np.array([i])))

        engine = iterative_engines("gcrot", systems.problem.n)[0]  # what it recycles serves both passes
        R, size = rhs[:, [m]], float(np.linalg.norm(rhs[:, m]))
        for target in (min(LATE * rtol[m], 0.5), rtol[m]):
            left = float(np.linalg.norm(R))
            if left <= target * size:
                continue
            D, taken = engine(apply, precondition, R, np.array([target * size / left]), maxiter)
            D = D if precondition is None else systems.project_in(side, D)
            U[:, [m]] += D
            moved[m], steps = np.linalg.norm(D), steps + taken
            R = rhs[:, [m]] - apply(U[:, [m]])
    return U, steps, moved


def _dense(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """LU of [R_i Q_out; Q_inᴴ 0] [u; ν] = [b; 0]: ν takes what of b lies outside of the range."""
    A, B = systems.dense
    Q_in, Q_out = (systems.Q_BX, systems.Q_X) if side == "adjoint" else (systems.Q_X, systems.Q_BX)
    n, d = Q_in.shape
    U = np.zeros(rhs.shape, np.result_type(rhs, A))
    border = np.zeros((d, d), U.dtype)
    for m, i in enumerate(columns):
        R = A - systems.w[i] * B
        R = R.conj().T if side == "adjoint" else R
        size = np.abs(R).max() or 1.0  # a border of the matrix's own size
        bordered = np.block([[R, size * Q_out], [size * Q_in.conj().T, border]])
        lu, pivots, zero_pivot = la.lapack.get_lapack_funcs(("getrf",), (bordered,))[0](bordered)
        if zero_pivot:
            continue  # exactly singular: the column's residual, recomputed, says so

        def solve(f: Array, factors: tuple[Array, Array] = (lu, pivots)) -> Array:
            return la.lu_solve(factors, np.concatenate([f, border[0]]).astype(U.dtype), check_finite=False)[:n]

        U[:, m] = unless_singular(systems, side, i, rhs[:, m], solve)
    return U, 1, np.zeros(columns.size)


def _direct(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """Sparse LU of the matrix of `_dense`, one factorisation for every column."""
    problem = systems.problem
    if not systems.explicit:
        raise ValueError("Adjoint(method='direct') needs explicit (dense or sparse) A and M; use 'auto'")
    A = sp.csc_array(problem.A.matrix)
    B = sp.identity(problem.n, dtype=A.dtype, format="csc") if problem.B is None else sp.csc_array(problem.B.matrix)
    Q_in, Q_out = (systems.Q_BX, systems.Q_X) if side == "adjoint" else (systems.Q_X, systems.Q_BX)
    n, d = Q_in.shape
    U = np.zeros(rhs.shape, np.result_type(rhs, A.dtype), order="F")
    for m, i in enumerate(columns):
        R = A - systems.w[i] * B
        R = R.conj().T if side == "adjoint" else R
        bordered = sp.bmat([[R, sp.csc_array(Q_out)], [sp.csc_array(Q_in.conj().T), None]], format="csc")
        try:
            lu = spla.splu(bordered.astype(U.dtype))
        except RuntimeError:
            continue  # SuperLU's word for exactly singular: the column's residual, recomputed, says so

        def solve(f: Array, lu: Any = lu) -> Array:
            return lu.solve(np.concatenate([f, np.zeros(d)]).astype(U.dtype))[:n]

        U[:, m] = unless_singular(systems, side, i, rhs[:, m], solve)
    return U, 1, np.zeros(columns.size)


def _shared(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """One Krylov space for all systems, from the inverse of the forward pass."""
    problem = systems.problem
    inverse, B = problem.inverse, problem.B
    if inverse is None:
        raise ValueError(
            "Adjoint(method='shared') needs an inverse: pass sigma, with explicit matrices, or with an OPinv that "
            "has rmatvec where the problem is not Hermitian"
        )
    Q = systems.Q_X if side == "adjoint" else systems.Q_BX
    dtypes = [inverse.operator.dtype, Q.dtype, *([] if B is None else [B.dtype])]
    real = all(dtype.kind != "c" for dtype in dtypes)
    shifts = systems.w[columns] - inverse.sigma
    if side == "adjoint":
        solve, image, shifts = inverse.operator.adjoint, None if B is None else B.adjoint, np.conj(shifts)
    else:
        solve, image = inverse.operator.apply, None if B is None else B.apply
    form = ShiftInvert(solve, image or (lambda z: z))
    dimension = systems.options.restart or SHARED_DIMENSION
    U, steps, _ = shared_krylov(form, Q, 1 / shifts, rhs, rtol, dimension, maxiter, real)
    return U, steps, np.zeros(columns.size)


def _augmented(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """One Krylov space for all systems, from A itself."""
    problem = systems.problem
    if problem.B is not None or problem.slope is not None:
        raise ValueError(
            "Adjoint(method='augmented') needs a standard eigenproblem A x = w x: with M, pass sigma and use 'shared', "
            "or use 'minres' or 'gmres'"
        )
    A, Q, theta = problem.A, systems.Q_X, systems.w[columns]
    real = A.dtype.kind != "c" and not np.iscomplexobj(Q)
    apply = A.apply
    if side == "adjoint" and not problem.hermitian:
        apply, theta = A.adjoint, np.conj(theta)
    form = filtered_form(apply, theta, systems.spectral_ends if problem.hermitian else None)
    dimension = systems.options.restart or (AUGMENTED_DIMENSION if form.degree == 1 else SHARED_DIMENSION)
    return shared_krylov(form, Q, theta, rhs, rtol, dimension, maxiter, real)


ENGINES: dict[str, Engine] = {
    "shared": _shared,
    "augmented": _augmented,
    "minres": _minres,
    "gmres": _gmres,
    "gcrot": _gcrot,
    "direct": _direct,
    "dense": _dense,
}


def _complement(Q: Array, V: Array) -> Array:
    return V - Q @ (Q.conj().T @ V)


def _block_function(given: Any, adjoint: bool) -> Callable[[Array], Array]:
    """A preconditioner, or its adjoint, as a function of blocks."""
    if hasattr(given, "matvec"):
        function = given.rmatmat if adjoint else given.matmat
    else:
        function = given

    def apply(V: Array) -> Array:
        result = np.asarray(apply_adjoint("The preconditioner", function, V) if adjoint else function(V))
        if result.shape != V.shape or not np.all(np.isfinite(result)):
            raise ValueError(
                f"The preconditioner returned shape {result.shape} for a block of shape {V.shape}, or NaN or "
                "infinity. It must map blocks of columns to blocks of the same shape."
            )
        return result

    return apply
