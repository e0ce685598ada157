"""The engines of the deflated systems, and which is taken when.

An engine makes one go at R_i u_i = r_i for the given columns and promises nothing: `DeflatedSystems.solve`
computes the residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..krylov.augmented import filtered_form
from ..krylov.blocks import LATE, subtract_product
from ..krylov.forms import ShiftInvert
from ..krylov.gmres import gmres
from ..krylov.linear_solvers import iterative_engines
from ..krylov.minres import minres
from ..krylov.shared import shared_krylov
from ..options import DENSE_ORDER
from .neighbours import unless_singular
from .problem import Side
from .singular import AugmentedOperator, bidiagonal_minres

if TYPE_CHECKING:
    from .deflated import DeflatedSystems

Array = np.ndarray
#: Solutions, steps, and by how much every solution may be in error: how far it moved at last, times how much of its
#: residual is left from before.
Solved = tuple[Array, int, Array]
Engine = Callable[["DeflatedSystems", Side, Array, Array, Array, int], Solved]

#: Krylov dimension between restarts, unless told: of GMRES, and of the shared spaces with an inverse and
#: without. With a filter twenty would save hardly a fortieth of the applications, and at a million unknowns
#: the space is the memory.
RESTART = 60
SHARED_DIMENSION = 100
AUGMENTED_DIMENSION = 40
FILTERED_DIMENSION = 16


def engines_in_order(systems: DeflatedSystems, active: int) -> tuple[list[tuple[str, Engine]], str]:
    """The engines to try for so many systems, and why in this order; benchmarks/adjoint_cost.py has the costs."""
    method, problem = systems.options.method, systems.problem
    if method == "minres" and not problem.hermitian:
        raise ValueError("Adjoint(method='minres') is for Hermitian problems; use 'gmres' or 'auto'")
    kind = "Hermitian" if problem.hermitian else "not Hermitian"
    if method != "auto":
        order, reason = [method], "as asked for"
    elif problem.n <= DENSE_ORDER:
        order, reason = ["dense"], f"n = {problem.n} is at most {DENSE_ORDER}"
    elif systems.options.preconditioner is not None:
        order, reason = ["gmres"], "a preconditioner was given"
    elif problem.inverse is not None:
        order, reason = ["shared", "gmres"], "the inverse of the forward pass is at hand"
    elif problem.slope is not None and systems.explicit:
        order, reason = [], "the eigenvalue is anywhere in the spectrum of an explicit T(lam)"
    else:
        order = ["minres", "gmres"] if problem.hermitian else ["gmres", "gcrot"]
        reason = f"no inverse, {kind}, {active} active system{'s'[: active != 1]}"
        triplets = isinstance(problem.A, AugmentedOperator)  # whose MINRES takes half the applications
        several = active > (2 if problem.hermitian else 1)  # two columns of MINRES take less
        if several and problem.B is None and problem.slope is None and not triplets:
            order = ["augmented", *order]
    if method == "auto" and systems.explicit and order != ["dense"]:
        order.append("direct")
    return [(name, ENGINES[name]) for name in order], reason


def _minres(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """MINRES on Pᴴ R P with P = I − Q (QᴴBQ)⁻¹ (BQ)ᴴ, Q a basis of X.

    R P = Pᴴ R, so that Pᴴ R P is Hermitian on X^⊥ and R u = b is solved by u = P v (P is the
    orthogonal projector where B is the identity). On the tangent side the same solution serves:
    Pᴴ b differs from b in the span of B X, u and P_in u in that of X, and neither is asked for.
    """
    Q, dual = systems.Q_X, np.asfortranarray(systems.dual)
    Q_H, dual_H = Q.conj().T, dual.conj().T
    given = systems.options.preconditioner  # the inverse of the forward pass is not definite
    H, sigma = systems.problem.A, systems.w[columns]
    if isinstance(H, AugmentedOperator) and given is None and np.all(sigma > systems.eps * systems.problem.norms[0]):
        return bidiagonal_minres(H, systems.X, sigma, rhs, rtol, maxiter)
    precondition = None if given is None else systems.precondition(side)

    def oblique(V: Array) -> Array:
        return V - Q @ (dual_H @ V)

    def oblique_adjoint(V: Array) -> Array:
        """Pᴴ V, in V's memory: of new arrays only."""
        return subtract_product(V, dual, Q_H @ V)

    def apply(V: Array, active: Array) -> Array:
        # Where P is orthogonal, Lanczos' vectors are in its range already: they are made of images.
        V = V if systems.problem.B is None else oblique(V)
        return oblique_adjoint(systems.shifted(side, V, columns[active]))

    def restricted(V: Array) -> Array:
        assert precondition is not None
        V = precondition(V - Q @ (Q_H @ V))
        return V - Q @ (Q_H @ V)

    if systems.problem.B is not None:
        rhs = oblique_adjoint(rhs.copy(order="F"))
    V, steps, errors = minres(apply, rhs, rtol, maxiter, precondition and restricted)
    return oblique(V), steps, errors


def _gmres(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """GMRES on P_out R P_in, with vectors in the range of P_out; preconditioned from the right."""

    def apply(V: Array, active: Array) -> Array:
        V = systems.project_in(side, V)
        return systems.project_out(side, systems.shifted(side, V, columns[active]))

    restart = systems.options.restart or RESTART
    return gmres(apply, rhs, rtol, maxiter, restart, systems.precondition(side))


def _gcrot(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """SciPy's GCROT(m, k) on the same operator, column by column; in passes, to see the solution move.

    The last one goes past what is asked for: next to an eigenvalue that was not computed it may not move before.
    """
    precondition = systems.precondition(side)
    U, errors = np.zeros_like(rhs), np.zeros(columns.size)
    before = systems.problem.A.applications
    for m, i in enumerate(columns):

        def apply(V: Array, i: int = i) -> Array:
            V = systems.project_in(side, V)
            return systems.project_out(side, systems.shifted(side, V, np.array([i])))

        engine = iterative_engines("gcrot", systems.problem.n)[0]  # what it recycles serves all passes
        R, size = rhs[:, [m]], float(np.linalg.norm(rhs[:, m]))
        for target in (min(LATE * rtol[m], 0.5), rtol[m], rtol[m] / LATE):
            left = float(np.linalg.norm(R))
            if target < LATE * systems.eps:  # that is not to be had
                break
            if left <= target * size:
                continue
            D, _ = engine(apply, precondition, R, np.array([target * size / left]), maxiter)
            D = D if precondition is None else systems.project_in(side, D)
            rest = rhs[:, [m]] - apply(U[:, [m]] + D)
            if not np.linalg.norm(rest) <= left:
                break
            U[:, [m]] += D
            errors[m], R = np.linalg.norm(D) * np.linalg.norm(rest) / left, rest
    return U, systems.problem.A.applications - before, errors


def _dense(systems: DeflatedSystems, side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """LU of [R_i Q_out; Q_inᴴ 0] [u; ν] = [b; 0]: ν takes what of b lies outside of the range."""
    A, B = systems.problem.dense
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
    form = ShiftInvert(solve, image)
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
    form = filtered_form(apply, problem.n, theta, systems.spectral_ends if problem.hermitian else None)
    dimension = systems.options.restart or (AUGMENTED_DIMENSION if form.degree == 1 else FILTERED_DIMENSION)
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
