"""The forward solve of `eigs` and `eigsh`: by ARPACK, by Lanczos of our own, or by LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla

from ..krylov.factors import SingularMatrix
from ..options import DENSE_ORDER
from ..perturbation.problem import Inverse, Pairs, ValueOperator
from ..perturbation.selection import Selection
from ..report.errors import EigenNoConvergence
from ..report.messages import other_normalization
from .arpack import accepted_residual, call_scipy, in_order_of_values, is_inner_product, next_to_one, spoiled_residual
from .continuation import Continuation
from .hermitian import applies_to, hermitian_pairs
from .inverses import check_solvable, make_inverse
from .lapack import arrays, dense_pairs, matrices_for_lapack
from .operands import as_scipy, named_boxes, scipy_operand
from .request import Request
from .warm_start import warm_arnoldi, warm_start

__all__ = ["eigenpairs", "scipy_pairs"]

Array = np.ndarray


def scipy_pairs(request: Request, A: Any, M: Any, continuation: Continuation | None = None) -> Pairs:
    """Return pairs of SciPy's operands as SciPy would compute them; by LAPACK where ARPACK cannot."""
    request = _started(request, A, M, continuation)
    found = _by_scipy(request, A, M, request.vectors, matrices_for_lapack(request, A, M))
    if continuation is not None and found.X is not None:
        continuation.keep_vectors(found.X)
    return found


def eigenpairs(
    request: Request,
    A: ValueOperator,
    M: ValueOperator | None = None,
    continuation: Continuation | None = None,
    whole_clusters: bool = False,
) -> Pairs:
    """Return pairs by the method that suits the problem, with what derivatives and reports need.

    What they satisfy is for `verify` to check. A and M count what the solver applies. ``whole_clusters``: LAPACK solves
    small problems, as a Krylov space may have one copy of a multiple eigenvalue only.
    """
    if request.v0 is not None and np.size(request.v0) != A.shape[0]:
        raise ValueError(
            f"expected v0 of shape ({A.shape[0]},), got {np.shape(request.v0)}"
        )  # ARPACK reads past its end
    # SciPy factorises A with sigma, and M without; near k = n it has to have both.
    hermitian, real, before = request.hermitian, A.dtype.kind != "c", A.applications
    A_operand, M_operand = (
        scipy_operand(A, request.needs_matrix(A)),
        None if M is None else scipy_operand(M, True),
    )
    matrices = matrices_for_lapack(request, A_operand, M_operand)
    dense = matrices is not None or request.past_arpack(A)
    if whole_clusters and matrices is None and A.shape[0] <= DENSE_ORDER:
        matrices = arrays(A_operand, M_operand)
    if request.sigma is None and not dense and not isinstance(A_operand, as_scipy):
        A_operand = as_scipy(A)  # which counts

    def inverse_at(shift: Any) -> Inverse | None:
        return None if dense else make_inverse(A, M, shift, request.OPinv, hermitian)

    own, inverse, solves = None, None, 0
    if hermitian and not dense and request.solver == "auto" and is_inner_product(request, M_operand):
        counted = A if request.sigma is None else A.counted_anew()
        own, inverse, solves = _by_lanczos(request, counted, M, inverse_at, continuation)
    else:
        inverse = inverse_at(request.sigma)
    warm, start, starting = None, None, continuation
    if not hermitian and M is None and request.solver == "auto" and continuation is not None and inverse is not None:
        warm, start = warm_arnoldi(request, A.dtype, inverse, continuation)
        starting = None
    if own is not None:
        found = own
    elif warm is not None:
        found = Pairs(*warm, "2", "Arnoldi")
    else:
        if inverse is not None and request.OPinv is None:
            request = replace(request, OPinv=as_scipy(inverse.operator))
        if inverse is None and request.sigma is not None and not dense:
            check_solvable(A, M, request.sigma)
        request = _started(request, A_operand, M_operand, starting)
        request = request if start is None else replace(request, v0=start)
        found = _by_scipy(request, A_operand, M_operand, True, matrices)
    if request.normalization not in (None, found.normalization):
        raise ValueError(other_normalization(str(request.normalization), found.normalization))
    applications = A.applications - before if isinstance(A_operand, as_scipy) else 0
    solves += 0 if inverse is None else inverse.operator.applications
    if continuation is not None:
        continuation.keep_vectors(found.X)
    w, X = found.w, found.X
    if not request.vectors and hermitian and real and found.method != "LAPACK":
        w, X = in_order_of_values(request, w, X)
    any_pencil = M is not None and found.normalization == "2"
    ranking = request.ranking(real, M is None or M.dtype.kind != "c", any_pencil)
    ncv = int(request.basis_size(A.shape[0]))
    spoiled = not hermitian and found.method != "LAPACK" and next_to_one(w, A_operand, request.sigma)
    return replace(
        found,
        w=w,
        X=X,
        inverse=inverse,
        units=request.units.pair,
        selection=Selection(ranking, ncv, applications if inverse is None else solves),
        rtol=(spoiled_residual if spoiled else accepted_residual)(X.dtype, float(request.tol)),
        applications=applications,
        solves=solves,
        ncv=ncv if found.method == "ARPACK" else 0,
    )


def _by_scipy(request: Request, A: Any, M: Any, vectors: bool, matrices: tuple[Array, Array | None] | None) -> Pairs:
    """Return pairs by ARPACK, or of given ``matrices`` by LAPACK."""
    if matrices is None:
        try:
            with named_boxes():
                return Pairs(*call_scipy(request, A, M, vectors), "ARPACK")
        except (spla.ArpackError, ValueError) as error:
            matrices = matrices_for_lapack(request, A, M, failed=True)
            if matrices is None:
                if isinstance(error, EigenNoConvergence):
                    _restore_partial(error, request, M)
                raise
    return dense_pairs(request, *matrices)


def _restore_partial(error: EigenNoConvergence, request: Request, M: Any) -> None:
    """Put partial results in the caller's units."""
    normalization = getattr(error, "normalization", request.usual_normalization(M))
    error.eigenvalues = request.units.values(error.eigenvalues)
    error.eigenvectors = request.units.vectors(error.eigenvectors, normalization)


def _by_lanczos(
    request: Request,
    A: ValueOperator,
    M: ValueOperator | None,
    inverse_at: Callable[[Any], Inverse | None],
    continuation: Continuation | None,
) -> tuple[Pairs | None, Inverse | None, int]:
    """Return (pairs by Lanczos or None, the inverse for them or for ARPACK, solves spent on a rejected shift)."""
    sigma, solves, start = request.sigma, 0, None
    if not applies_to(request, A, M):
        return None, inverse_at(sigma), 0
    if continuation is not None:
        start = warm_start(request, A, M, continuation)
    if start is not None and start.shift != sigma:
        try:
            inverse = inverse_at(start.shift)
        except SingularMatrix:  # the shift is an eigenvalue, exactly
            inverse = None
        if inverse is not None:
            own = hermitian_pairs(request, A, M, inverse, continuation, start)
            if own is not None:
                return own, inverse, 0
            solves = inverse.operator.applications
    inverse = inverse_at(sigma)
    return hermitian_pairs(request, A, M, inverse, continuation, start), inverse, solves


def _started(request: Request, A: Any, M: Any, continuation: Continuation | None) -> Request:
    """Return the request with the continuation's v0 in place of the caller's, where it has one."""
    if continuation is None:
        return request
    dtype = np.result_type(*(operand.dtype for operand in (A, M) if operand is not None))
    return replace(request, v0=continuation.start_vector(A.shape[0], dtype, float(request.tol), request.v0))
