"""SciPy's `eigs` and `eigsh` on plain values, and what has to be put right around them."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from scipy.sparse.linalg import eigs as scipy_eigs
from scipy.sparse.linalg import eigsh as scipy_eigsh

from ..krylov.precision import Precision
from ..perturbation.examine import ROUNDINGS
from ..perturbation.selection import Ranking
from ..report.errors import EigenNoConvergence
from ..report.messages import (
    infinite_eigenvalue,
    not_eigenpairs,
    not_in_the_span,
    not_positive_definite,
    not_the_eigenvalue,
)
from .inverses import make_inverse
from .operands import as_scipy, random_vector, value_operator
from .request import Request

__all__ = [
    "accepted_residual",
    "is_inner_product",
    "call_scipy",
    "in_order_of_values",
    "next_to_one",
    "spoiled_residual",
]

Array = np.ndarray

_HAS_RNG = "rng" in inspect.signature(scipy_eigs).parameters


def call_scipy(request: Request, A: Any, M: Any, vectors: bool) -> tuple[Array, Array | None, str]:
    """Return SciPy's w, X (None for real `eigsh` without ``vectors``) and normalisation, checked, in our order.

    SciPy does not verify M, nor some results of `eigs`. Real `eigsh` keeps SciPy's order, which without vectors is
    another one. Elsewhere vectors are always asked for: without them SciPy's values of a real matrix are others where
    k cuts a pair of conjugates, and zero where sigma is complex.
    """
    real = A.dtype.kind != "c"
    keeps_order = request.hermitian and real
    ask = vectors or not keeps_order
    result, standard = _checked_scipy(request, A, M, ask)
    w, X = result if ask else (result, None)
    if X is not None and not keeps_order:
        w, X = _arranged(request.ranking(real, M is None or M.dtype.kind != "c", standard), w, X)
    return w, X, "2" if standard else request.usual_normalization(M)


def _arranged(rank: Ranking, w: Array, X: Array) -> tuple[Array, Array]:
    """Return the pairs in our order; where k cuts a pair of conjugates, by the member with Im w > 0."""
    if np.isrealobj(w):  # of complex `eigsh`
        order = np.argsort(w, kind="stable")
    else:
        # Of a real matrix ARPACK has found both, and SciPy has dropped either.
        k = w.size
        w, X = rank.with_conjugates(w, X)
        order = rank.most_wanted_first(w)[:k]
    return w[order], X[:, order]


def _from_vectors(request: Request, A: Any) -> bool:
    """Return whether SciPy computes eigenvalues from vectors, which may be mixtures."""
    sigma = request.sigma
    return not request.hermitian and sigma is not None and bool(np.imag(sigma) != 0) and A.dtype.kind != "c"


def _checked_scipy(request: Request, A: Any, M: Any, vectors: bool) -> tuple[Any, bool]:
    """Return SciPy's result, and whether it is that of (A − σM)⁻¹M as a standard problem, at unit 2-norm."""
    any_pencil, tol = not request.hermitian and request.sigma is not None, float(request.tol)
    reason = None if M is None else _defect_of_M(request, M)
    if reason is None and M is not None and not vectors and sp.issparse(M):
        reason = _defect_by_factors(request, M)  # without vectors there is no residual to show it
    if reason is None:
        try:
            result = _scipy(request, A, M, vectors)
        except RuntimeError as error:
            # SciPy factorises M, which SuperLU says is singular.
            if isinstance(error, spla.ArpackError) or not sp.issparse(M) or request.sigma is not None:
                raise
            raise ValueError(not_positive_definite("it is singular", request.name, None)) from error
        if not request.hermitian and next_to_one(result[0], A, request.sigma):
            failure = _check_pairs(A, M, *result, tol=tol)
            if failure is not None:
                raise ValueError(failure)
            return result, False
        # What `_defect_of_M` misses, the pairs' residuals show; and those of a real A with a complex
        # sigma are mixtures where two eigenvalues share a value of Re or Im (A − σM)⁻¹.
        if not vectors and M is not None and request.buckling:
            infinite = int(np.sum(_too_large(A, M, result)))  # their θ is 1, which may be selected
            if infinite:
                raise ValueError(infinite_eigenvalue(result, infinite))
        if not vectors or (M is None and not _from_vectors(request, A)):
            return result, False
        failure = _check_pairs(A, M, *result, tol=tol)
        if failure is None:
            return result, False
        if M is None or not any_pencil:
            raise ValueError(failure)
    elif not any_pencil:
        raise ValueError(not_positive_definite(reason, request.name, request.sigma))
    return _eigs_of_any_pencil(request, A, M), True


def _scipy(request: Request, A: Any, M: Any, vectors: bool) -> Any:
    """Return SciPy's result. Where it has no argument ``rng``, or ignores it (complex `eigsh`), v0 is drawn from it."""
    rng, v0 = request.rng, request.v0
    passed = _HAS_RNG and (rng is None or not (request.hermitian and A.dtype.kind == "c"))
    if not passed and rng is not None and v0 is None:
        v0 = np.random.default_rng(rng).uniform(-1, 1, A.shape[0])
    return (scipy_eigsh if request.hermitian else scipy_eigs)(
        A,
        request.k,
        M,
        sigma=request.sigma,
        which=request.which,
        v0=v0,
        ncv=request.ncv,
        maxiter=request.maxiter,
        tol=request.tol,
        return_eigenvectors=vectors,
        Minv=request.Minv,
        OPinv=request.OPinv,
        **({"mode": request.mode} if request.hermitian else {"OPpart": request.OPpart}),
        **({"rng": rng} if passed else {}),
    )


def next_to_one(w: Array, A: Any, sigma: Any) -> bool:
    """Return whether sigma is so close to one of the w that rounding may have spoiled the others.

    Its part in (A − σM)⁻¹ v is so large that its rounding is that of what others have; unless A is Hermitian, that
    comes back to them.
    """
    applied = isinstance(A, as_scipy) or not isinstance(A, spla.LinearOperator)
    if sigma is None or not applied or not w.size:
        return False
    distance = np.abs(w - sigma)
    return bool(np.min(distance) < Precision.of(distance.dtype).half * np.max(distance))


def _too_large(A: Any, M: Any, w: Array) -> Array:
    """Return which w are so large, of rounding's 1/ε times ‖A‖/‖M‖, that they cannot be told from infinite ones."""
    v = random_vector(A.shape[0], A.dtype)
    norm_A, norm_M = (float(np.linalg.norm(spla.aslinearoperator(operand).matvec(v))) for operand in (A, M))
    return ~(np.abs(w) * norm_M * 1e3 * Precision.of(w.dtype).eps < norm_A)


def accepted_residual(dtype: Any, tol: float) -> float:
    """Return the largest residual, relative to ‖A‖ + |λ|‖M‖, that a pair may have for what it was asked.

    ARPACK judges convergence in the operator it iterates with; this is for what is no pair at all.
    """
    return max(10 * Precision.of(dtype).half, 100 * tol)


def spoiled_residual(dtype: Any, tol: float) -> float:
    """Return the same for pairs that rounding may have spoiled: derivatives must not lose most of their digits."""
    return max(float(Precision.of(dtype).eps ** 0.6), 100 * tol)


def _check_pairs(A: Any, M: Any, w: Array, X: Array, *, tol: float) -> str | None:
    """Return what is wrong with the pairs or None, by r = A y − M z of one random combination y = X c, z = X Λ c.

    ‖r‖ relative to ‖A‖ + |λ|‖M‖, every pair by its own; and Xᴴr relative to what A and M do in the span of X, or to
    rounding in them: of eigenvalues far below ‖A‖/‖M‖ that alone tells whether they are any. Two applications of
    each operator.
    """
    if not w.size:
        return None
    if not np.all(np.isfinite(w)):
        return infinite_eigenvalue(w, int(np.sum(~np.isfinite(w))))
    apply_A = spla.aslinearoperator(A).matvec
    apply_M = (lambda v: v) if M is None else spla.aslinearoperator(M).matvec
    rtol, eps = accepted_residual(X.dtype, tol), Precision.of(X.dtype).eps
    v = random_vector(X.shape[0], A.dtype)
    norms = np.linalg.norm(X, axis=0)
    Y = X / np.where(norms > 0, norms, 1)  # of what is no eigenvector, M-normalised ones may be tiny
    norm_A, norm_M = float(np.linalg.norm(apply_A(v))), float(np.linalg.norm(apply_M(v)))
    scales = norm_A + np.abs(w) * norm_M
    scales = np.where(scales > 0, scales, 1)
    c = random_vector(w.size, X.dtype) * w.size**0.5 / scales
    AY, MZ = apply_A(Y @ c), apply_M(Y @ (w * c))
    size = max(1.0, float(np.linalg.norm(AY) + np.linalg.norm(MZ)) / w.size**0.5)
    residual = float(np.linalg.norm(AY - MZ)) / size
    if not residual <= rtol:
        return not_eigenpairs(np.full(w.size, residual), rtol, scales * size)
    left, *parts = (float(np.linalg.norm(Y.conj().T @ image)) for image in (AY - MZ, AY, MZ))
    accepted = max(rtol * sum(parts), ROUNDINGS * eps * w.size)
    if not left <= accepted:
        return not_in_the_span(left / sum(parts), accepted / sum(parts))
    largest = float(np.max(np.abs(w)))
    if norm_A >= rtol * largest * norm_M:
        return None
    # Next to an eigenvalue so large, ‖A‖ counts for nothing: an infinite one has any quotient.
    i = int(np.argmax(np.abs(w)))
    quotient = np.vdot(Y[:, i], apply_A(Y[:, i])) / np.vdot(Y[:, i], apply_M(Y[:, i]))
    distance = np.abs(w - np.where(np.arange(w.size) == i, quotient, w))
    allowed = np.full(w.size, np.sqrt(rtol) * largest)
    return None if distance[i] <= allowed[i] else not_the_eigenvalue(w, distance, allowed)


# --------------------------------------------------------------------------------------------
# M that is not what ARPACK needs.
# --------------------------------------------------------------------------------------------


def is_inner_product(request: Request, M: Any) -> bool:
    """Return whether M may be an inner product for `eigsh`; the error of SciPy's call says why not."""
    return M is None or _defect_of_M(request, M) is None


def _defect_of_M(request: Request, M: Any) -> str | None:
    """Return why M is no inner product, or None. With sigma a semidefinite M is one."""
    indefinite_allowed = request.buckling
    if isinstance(M, spla.LinearOperator):
        return _defect_on_probes(M, indefinite_allowed)
    M = M.tocsr() if sp.issparse(M) else np.asarray(M)  # DIA has no max()
    size = abs(M).max()
    tol = Precision.of(np.result_type(M.dtype, np.float32)).half * size
    asymmetry = abs(M - M.conj().T).max()
    if asymmetry > tol:
        return f"max|M − Mᴴ| is {asymmetry:.1e} with max|M| {size:.1e}"
    if indefinite_allowed:
        return None
    diagonal = np.real(M.diagonal())
    if diagonal.min() < -tol:
        return f"its diagonal holds {diagonal.min():.1e}"
    if not sp.issparse(M):
        try:
            la.cholesky(M)
        except la.LinAlgError:
            lowest = la.eigvalsh(M)[0]
            if lowest < -tol or request.sigma is None:
                return f"its lowest eigenvalue is {lowest:.1e}"
    return None


def _defect_by_factors(request: Request, M: Any) -> str | None:
    """Return why M is not positive definite, or None: it is if and only if all pivots of M = LDLᴴ are positive."""
    if request.buckling:
        return None
    try:
        options = {"SymmetricMode": True}
        lu = spla.splu(M.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    except RuntimeError:  # exactly singular: semidefinite at best, for which sigma is needed
        return None if request.sigma is not None else "it is singular"
    pivots = lu.U.diagonal().real
    if (
        np.array_equal(lu.perm_r, lu.perm_c)
        and pivots.min() < -Precision.of(pivots.dtype).eps * abs(M).max() * M.shape[0]
    ):
        return f"its factorisation has the pivot {pivots.min():.1e}"
    return None


def _defect_on_probes(M: spla.LinearOperator, indefinite_allowed: bool) -> str | None:
    """Return why M is no inner product, or None, by two applications; what they miss, the pairs' residuals show."""
    rng = np.random.default_rng(11)
    dtype = np.result_type(M.dtype, np.float32)
    V = rng.standard_normal((M.shape[0], 2)) + (1j * rng.standard_normal((M.shape[0], 2)) if dtype.kind == "c" else 0)
    V = V.astype(dtype)
    gram = V.conj().T @ np.stack([M.matvec(V[:, j]) for j in range(2)], axis=1)
    tol = Precision.of(dtype).half * np.abs(gram).max()
    if abs(gram[0, 1] - gram[1, 0].conj()) > tol or np.abs(np.diagonal(gram).imag).max() > tol:
        return f"vᴴMu − (uᴴMv)* is {abs(gram[0, 1] - gram[1, 0].conj()):.1e} for two random vectors"
    if not indefinite_allowed and np.diagonal(gram).real.min() < 0:
        return f"vᴴMv is {np.diagonal(gram).real.min():.1e} for a random vector"
    return None


def _eigs_of_any_pencil(request: Request, A: Any, M: Any) -> tuple[Array, Array]:
    """Return pairs of A x = w M x, from those of (A − σM)⁻¹M x = θ x, w = σ + 1/θ; unit 2-norm."""
    sigma, OPinv = request.sigma, request.OPinv
    if OPinv is None:
        inverse = make_inverse(value_operator(A, False, "A"), value_operator(M, False, "M"), sigma, None, False)
        if inverse is None:
            raise ValueError(
                "M is not Hermitian positive definite and the matrices are not explicit: pass OPinv, the inverse "
                "of A − sigma M, or dense or sparse A and M"
            )
        OPinv = as_scipy(inverse.operator)
    M_operator, OPinv = spla.aslinearoperator(M), spla.aslinearoperator(OPinv)
    dtype = np.result_type(A.dtype, M.dtype, OPinv.dtype, np.float32)
    shape = M_operator.shape
    operator = spla.LinearOperator(shape, lambda v: OPinv.matvec(M_operator.matvec(v)), dtype=dtype)
    try:
        theta, X = _scipy(replace(request, sigma=None, Minv=None, OPinv=None, OPpart=None), operator, None, True)
    except EigenNoConvergence as error:
        found = error.eigenvalues != 0
        error.eigenvalues, error.eigenvectors = sigma + 1 / error.eigenvalues[found], error.eigenvectors[:, found]
        error.normalization = "2"  # as that of what converges
        raise
    v = random_vector(shape[0], dtype)
    size = max(float(np.abs(theta).max()), float(np.linalg.norm(operator.matvec(v))))
    infinite = int(np.sum(np.abs(theta) <= 100 * Precision.of(dtype).eps * size))
    if infinite:
        raise ValueError(infinite_eigenvalue(theta, infinite))
    return sigma + 1 / theta, X


# --------------------------------------------------------------------------------------------
# SciPy's order of values alone.
# --------------------------------------------------------------------------------------------


def in_order_of_values(request: Request, w: Array, X: Array) -> tuple[Array, Array]:
    """Return the pairs of real `eigsh` as SciPy orders them when it is asked for eigenvalues only.

    ARPACK then returns its Ritz values by increasing wantedness, and with sigma the eigenvalues by increasing size.
    """
    key = w if request.sigma is not None else request.ranking(True, True).wantedness(w)
    order = np.argsort(key, kind="stable")
    return w[order], X[:, order]
