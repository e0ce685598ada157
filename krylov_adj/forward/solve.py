"""Plain values in, maps out: eigenpairs with their derivative maps, for front ends.

A front end strips what its framework traces, solves here, and makes of the maps what its framework calls a rule:

    pairs, maps = solve_eigenproblem(Request(k, hermitian, …), A, M)
    W, σ = maps.adjoint(gw, gX)

Then cotangents of A and M are those of R = A X − M X Λ and S = XᴴNX − I, w and X held fixed: gA = W Xᴴ, and so on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.derivatives import Maps, derivative_maps
from ..perturbation.problem import Eigenproblem, Pairs, ValueOperator
from ..perturbation.selection import Selection
from ..perturbation.singular import AugmentedOperator
from ..perturbation.structures import Nonlinear, Triplets
from .continuation import Continuation
from .eigenpairs import eigenpairs
from .inverses import make_mass_inverse
from .operands import as_complex, scipy_operand
from .request import Request
from .scaling import times_number, units
from .triplets import TripletRequest, resolve_triplets, scipy_triplets
from .verify import (
    check_adjoint,
    verified,
)

__all__ = [
    "recall_triplets",
    "solve_eigenproblem",
    "solve_nonlinear",
    "solve_triplets",
]

Array = np.ndarray


def solve_eigenproblem(
    request: Request,
    A: ValueOperator,
    M: ValueOperator | None = None,
    options: Adjoint | None = None,
    continuation: Continuation | None = None,
) -> tuple[Pairs, Maps]:
    """Return eigenpairs A x = w M x, checked, and their derivative maps.

    In this call's units, as the caller has them: operators far from one are scaled for the solver.

    Raises
    ------
    EigenNoConvergence, TypeError
        As `eigs` and `eigsh`.
    ValueError
        As those; also an operator that is not Hermitian though the request says so, a wrong adjoint, or vectors that
        cannot be normalised as the request says.
    """
    options = Adjoint() if options is None else options
    if M is not None and M.dtype.kind == "c" and A.dtype.kind != "c":
        A = as_complex(A)  # every solver takes its type from A
    scale = units(A, M, request.sigma)
    A, M = times_number(A, 1 / scale.a), times_number(M, 1 / scale.m)
    request, options = request.in_units(scale), scale.options(options)
    pairs = eigenpairs(request, A, M, continuation)
    mass_inverse = None
    if M is not None and pairs.inverse is None:
        mass_inverse = make_mass_inverse(M, request.Minv, request.hermitian)
    problem = Eigenproblem.of(pairs, A, M, request.hermitian, continuation=continuation, mass_inverse=mass_inverse)
    for operator in (A, M):
        if operator is not None:
            check_adjoint(operator, request.hermitian)
    pairs, R = verified(problem, pairs, options)
    maps = derivative_maps(problem, pairs, R, options)
    vectors = scale.eigenvector_factor(pairs.normalization)
    maps = replace(maps, values=scale.eigenvalue_factor, vectors=vectors, residuals=scale.a * vectors)
    return replace(pairs, w=scale.values(pairs.w), X=scale.vectors(pairs.X, pairs.normalization)), maps


def solve_triplets(
    request: TripletRequest, A: ValueOperator, options: Adjoint | None = None
) -> tuple[tuple[Array, Array, Array], Maps]:
    """Return singular triplets (U, s, V) of A, and the maps of the eigenpairs (s, [U; V]/√2) of [[0, A], [Aᴴ, 0]].

    Raises
    ------
    EigenNoConvergence
        As `svds`.
    ValueError
        As `svds`; also triplets of σ = 0, which have no derivative.
    """
    options = Adjoint() if options is None else options
    scale = units(A, squared=True)
    A, options = times_number(A, 1 / scale.a), scale.options(options)
    check_adjoint(A, False)
    given = scipy_triplets(request, scipy_operand(A, True))
    found = resolve_triplets(request, A, given, options, scale)
    if found.kept.size < found.given[1].size:
        raise ValueError(found.reason)
    pairs, R = verified(found.problem, found.pairs, options)
    maps = replace(derivative_maps(found.problem, pairs, R, options), values=scale.a, residuals=scale.a)
    root = pairs.X.dtype.type(np.sqrt(2))
    return (root * pairs.X[: A.shape[0]], scale.values(pairs.w), root * pairs.X[A.shape[0] :]), maps


def recall_triplets(request: TripletRequest, A: ValueOperator, s: Array, X: Array, options: Adjoint) -> Maps:
    """Return the maps of triplets (s, [U; V]/√2) that `solve_triplets` has computed before; they are not checked."""
    scale = units(A, squared=True)
    A, options, s = times_number(A, 1 / scale.a), scale.options(options), s / scale.a
    H = AugmentedOperator(A)
    selection = Selection(*request.selection, A.applications)
    problem = Eigenproblem(H, None, True, "2", structure=Triplets(H.rows), units=scale.pair, selection=selection)
    R = problem.pencil(X, s)
    return replace(derivative_maps(problem, Pairs(s, X, "2", ""), R, options), values=scale.a, residuals=scale.a)


def solve_nonlinear(T: ValueOperator, lam: Any, x: Array, slope: Array, options: Adjoint | None = None) -> Maps:
    """Return the derivative maps of an eigenpair T(λ) x = 0, xᴴx = 1, computed by any means, after checking it.

    ``T`` is T(λ) and ``slope`` is −T′(λ) x, (n,). The residual is R = T(λ) x.

    Raises
    ------
    ValueError
        Where it is no eigenpair, or x not normalised.
    """
    options = Adjoint() if options is None else options
    check_adjoint(T, False)
    dtype = np.result_type(lam, x, T.dtype, np.float32)
    w, X = np.asarray(lam, dtype).reshape(1), np.asarray(x, dtype).reshape(-1, 1)
    problem = Eigenproblem(T, None, False, "2", structure=Nonlinear(np.asarray(slope).reshape(-1, 1)))
    pairs = Pairs(w, X, "2", "eigenpairs as given", rtol=Precision.of(dtype).half)
    pairs, R = verified(problem, pairs, options)
    return derivative_maps(problem, pairs, R, options)
