"""The engines of the deflated systems, and which is taken when.

An engine makes one go at R_i u_i = r_i for the given columns of one `Side` and promises nothing: `solving.solve`
computes the residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..krylov.augmented import Ends, filtered_form, spectral_ends
from ..krylov.blocks import subtract_product
from ..krylov.factors import Factors, SingularMatrix, factors_of
from ..krylov.gmres import gmres
from ..krylov.minres import minres
from ..krylov.shared import shared_krylov
from ..krylov.spectral_forms import ShiftInvert
from ..options import DENSE_ORDER
from .pairs import DeflatedPairs
from .sides import Side
from .singular import AugmentedOperator, bidiagonal_minres

Array = np.ndarray


@dataclass(frozen=True)
class Solved:
    """The result of one go of an engine.

    Attributes
    ----------
    U : ndarray, shape (n, m)
    steps : int
    errors : ndarray, shape (m,)
        By how much every solution may be in error: how far it moved at last, times how much of its residual is left
        from before.
    growth : ndarray, shape (m,)
        Lower bounds on ‖R_i⁻¹‖ on the complement that were found besides; zeros without.
    """

    U: Array
    steps: int
    errors: Array
    growth: Array


#: (side, columns, right-hand sides, target of every column relative to its right-hand side, most steps) to `Solved`.
Engine = Callable[[Side, Array, Array, Array, int], Solved]

#: Krylov dimension between restarts, unless told: of GMRES, and of the shared spaces with an inverse and
#: without. With a filter twenty would save hardly a fortieth of the applications, and at a million unknowns
#: the space is the memory.
RESTART = 60
SHARED_DIMENSION = 100
AUGMENTED_DIMENSION = 40
FILTERED_DIMENSION = 16

#: Of the right-hand side that LU factors are tried with.
SEED = 13


def engines_in_order(pairs: DeflatedPairs, active: int) -> tuple[list[tuple[str, Engine]], str]:
    """The engines to try for so many systems, and why in this order; benchmarks/adjoint_cost.py has the costs."""
    method, problem = pairs.options.method, pairs.problem
    if method == "minres" and not problem.hermitian:
        raise ValueError("Adjoint(method='minres') is for Hermitian problems; use 'gmres' or 'auto'")
    kind = "Hermitian" if problem.hermitian else "not Hermitian"
    if method != "auto":
        order, reason = [method], "as asked for"
    elif problem.n <= DENSE_ORDER and pairs.space.whole:
        order, reason = ["dense"], f"n = {problem.n} is at most {DENSE_ORDER}"
    elif pairs.options.preconditioner is not None:
        order, reason = ["gmres"], "a preconditioner was given"
    elif problem.inverse is not None:
        order, reason = ["shared", "gmres"], "the inverse of the forward pass is at hand"
    elif problem.structure.nonlinear and problem.explicit:
        order, reason = [], "the eigenvalue is anywhere in the spectrum of an explicit T(lam)"
    else:
        order = ["minres", "gmres"] if problem.hermitian else ["gmres"]
        reason = f"no inverse, {kind}, {active} active system{'s'[: active != 1]}"
        triplets = isinstance(problem.A, AugmentedOperator)  # whose MINRES takes half the applications
        several = active > (2 if problem.hermitian else 1)  # two columns of MINRES take less
        if several and problem.B is None and not problem.structure.nonlinear and not triplets:
            order = ["augmented", *order]
    if method == "auto" and problem.explicit and order != ["dense"]:
        order.append("direct")
    return [(name, ENGINES[name]) for name in order], reason


def _minres(side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """MINRES on Pᴴ R P with P = I − Q (QᴴBQ)⁻¹ (BQ)ᴴ, Q a basis of X.

    R P = Pᴴ R, so that Pᴴ R P is Hermitian on X^⊥ and R u = b is solved by u = P v (P is the
    orthogonal projector where B is the identity). On the tangent side the same solution serves:
    Pᴴ b differs from b in the span of B X, u and P_in u in that of X, and neither is asked for.
    """
    pairs, problem = side.pairs, side.pairs.problem
    Q, dual = pairs.Q_X, np.asfortranarray(pairs.dual)
    space = pairs.space
    given = pairs.options.preconditioner  # the inverse of the forward pass is not definite
    H, sigma, unknown = problem.A, pairs.w[columns], np.zeros(columns.size)
    if isinstance(H, AugmentedOperator) and given is None and np.all(sigma > pairs.eps * problem.norms[0]):
        return Solved(*bidiagonal_minres(pairs.space, H, pairs.X, sigma, rhs, rtol, maxiter), unknown)
    precondition = None if given is None else side.precondition()

    def oblique(V: Array) -> Array:
        return V - Q @ space.gram(dual, V)

    def oblique_adjoint(V: Array) -> Array:
        """Pᴴ V, in V's memory: of new arrays only."""
        return subtract_product(V, dual, space.gram(Q, V))

    def apply(V: Array, active: Array) -> Array:
        # Where P is orthogonal, Lanczos' vectors are in its range already: they are made of images.
        V = V if problem.B is None else oblique(V)
        return oblique_adjoint(side.apply(V, columns[active]))

    def restricted(V: Array) -> Array:
        assert precondition is not None
        return space.project_out(Q, precondition(space.project_out(Q, V)))

    if problem.B is not None:
        rhs = oblique_adjoint(rhs.copy(order="F"))
    V, steps, errors = minres(pairs.space, apply, rhs, rtol, maxiter, precondition and restricted)
    return Solved(oblique(V), steps, errors, unknown)


def _gmres(side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """GMRES on P_out R P_in, with vectors in the range of P_out; preconditioned from the right."""

    def apply(V: Array, active: Array) -> Array:
        V = side.project_in(V)
        return side.project_out(side.apply(V, columns[active]))

    pairs = side.pairs
    restart = pairs.options.restart or RESTART
    found = gmres(pairs.space, apply, rhs, rtol, maxiter, restart, side.precondition())
    return Solved(*found, np.zeros(columns.size))


def _dense(side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """LU of [R_i Q_out; Q_inᴴ 0] [u; ν] = [b; 0]: ν takes what of b lies outside of the range."""
    A, B = side.pairs.problem.dense
    Q_in, Q_out, growth = side.Q_in, side.Q_out, np.zeros(columns.size)
    n, d = Q_in.shape
    U = np.zeros(rhs.shape, np.result_type(rhs, A))
    border = np.zeros((d, d), U.dtype)
    for m, i in enumerate(columns):
        R = side.matrix(A, B, i)
        size = np.abs(R).max() or 1.0  # a border of the matrix's own size
        bordered = np.block([[R, size * Q_out], [size * Q_in.conj().T, border]])
        try:
            factors = factors_of(bordered)
        except SingularMatrix:
            continue  # exactly singular: the column's residual, recomputed, says so

        def solve(f: Array, factors: Factors = factors) -> Array:
            return factors(np.concatenate([f, border[0]]).astype(U.dtype), False)[:n]

        U[:, m], growth[m] = unless_singular(side, i, rhs[:, m], solve)
    return Solved(U, 1, np.zeros(columns.size), growth)


def _direct(side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """Sparse LU of the matrix of `_dense`, one factorisation for every column."""
    problem = side.pairs.problem
    if not problem.explicit:
        raise ValueError("Adjoint(method='direct') needs explicit (dense or sparse) A and M; use 'auto'")
    A = sp.csc_array(problem.A.matrix)
    B = sp.identity(problem.n, dtype=A.dtype, format="csc") if problem.B is None else sp.csc_array(problem.B.matrix)
    Q_in, Q_out, growth = side.Q_in, side.Q_out, np.zeros(columns.size)
    n, d = Q_in.shape
    U = np.zeros(rhs.shape, np.result_type(rhs, A.dtype), order="F")
    for m, i in enumerate(columns):
        R = side.matrix(A, B, i)
        bordered = sp.bmat([[R, sp.csc_array(Q_out)], [sp.csc_array(Q_in.conj().T), None]], format="csc")
        try:
            factors = factors_of(bordered.astype(U.dtype))
        except SingularMatrix:
            continue  # exactly singular: the column's residual, recomputed, says so

        def solve(f: Array, factors: Factors = factors) -> Array:
            return factors(np.concatenate([f, np.zeros(d)]).astype(U.dtype), False)[:n]

        U[:, m], growth[m] = unless_singular(side, i, rhs[:, m], solve)
    return Solved(U, 1, np.zeros(columns.size), growth)


def _shared(side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """One Krylov space for all systems, from the inverse of the forward pass."""
    problem, inverse = side.pairs.problem, side.pairs.problem.inverse
    if inverse is None or side.inverse is None:
        raise ValueError(
            "Adjoint(method='shared') needs an inverse: pass sigma, with explicit matrices, or with an OPinv that "
            "has rmatvec where the problem is not Hermitian"
        )
    dtypes = [inverse.operator.dtype, side.Q_out.dtype, *([] if problem.B is None else [problem.B.dtype])]
    real = all(dtype.kind != "c" for dtype in dtypes)
    form = ShiftInvert(side.pairs.space, side.inverse, side.B)
    dimension = side.pairs.options.restart or SHARED_DIMENSION
    shifts = side.shifts[columns] - side.sigma
    U, steps, _ = shared_krylov(side.pairs.space, form, side.Q_out, 1 / shifts, rhs, rtol, dimension, maxiter, real)
    return Solved(U, steps, np.zeros(columns.size), np.zeros(columns.size))


def _spectral_ends(pairs: DeflatedPairs) -> Ends:
    """The ends of the spectrum of a Hermitian A, see `krylov.augmented`; looked for once."""
    A, Q = pairs.problem.A, pairs.Q_X
    dtype = np.result_type(A.dtype, Q)
    return pairs.cache.value("spectral_ends", lambda: spectral_ends(pairs.space, A.apply, Q, dtype))


def _augmented(side: Side, columns: Array, rhs: Array, rtol: Array, maxiter: int) -> Solved:
    """One Krylov space for all systems, from A itself."""
    pairs, problem = side.pairs, side.pairs.problem
    if problem.B is not None or problem.structure.nonlinear:
        raise ValueError(
            "Adjoint(method='augmented') needs a standard eigenproblem A x = w x: with M, pass sigma and use 'shared', "
            "or use 'minres' or 'gmres'"
        )
    Q, theta = pairs.Q_X, side.shifts[columns]
    real = problem.real and not np.iscomplexobj(Q)
    form = filtered_form(pairs.space, side.A, problem.n, theta, _spectral_ends(pairs) if problem.hermitian else None)
    dimension = pairs.options.restart or (AUGMENTED_DIMENSION if form.degree == 1 else FILTERED_DIMENSION)
    return Solved(
        *shared_krylov(side.pairs.space, form, Q, theta, rhs, rtol, dimension, maxiter, real), np.zeros(columns.size)
    )


def unless_singular(side: Side, i: int, rhs: Array, solve: Callable[[Array], Array]) -> tuple[Array, float]:
    """Return solve(rhs), or the null vector if R_i is singular, and ‖R_i⁻¹‖ from below.

    With the null vector the residual check must fail.

    A right-hand side in its range would still give a solution, one of many; a random one shows the
    null vector, and the column is refused for it. Of systems that are known to be consistent, the shortest solution.
    """
    space = side.pairs.space
    random = space.random(rhs.size, float, SEED)
    random *= space.norm(rhs) / space.norm(random)
    null = solve(random)
    size = space.norm(null)
    growth = float(size / space.norm(random))
    if side.distance(i, null) > 2 * side.pairs.tolerances(side.pairs.w.size)[i]:
        return solve(rhs), growth
    if not side.consistent:
        return null, growth
    u, null = solve(rhs), null / size
    return u - null * space.dot(null, u), growth


ENGINES: dict[str, Engine] = {
    "shared": _shared,
    "augmented": _augmented,
    "minres": _minres,
    "gmres": _gmres,
    "direct": _direct,
    "dense": _dense,
}

#: Those that iterate nothing: they take no guesses.
FACTORISING = ("direct", "dense")
