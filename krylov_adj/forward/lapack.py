"""Eigenpairs by LAPACK, where ARPACK cannot: k next to n, or to the number of finite eigenvalues.

All eigenvalues are computed, and those returned that `which`, sigma and mode name (`selection.py`): for small k and
large n a call says the same.

A singular M gives A x = w M x infinite eigenvalues, which are left out before anything is ranked. With s such that
A − sM is nonsingular, T = (A − sM)⁻¹M has the eigenvalues 1/(w − s), zero for infinite w; zero may have Jordan blocks
(those of constraints: M = 0 where A has a zero block), which rounding turns into eigenvalues of the size of √ε. No
eigenvalue decides then, but ranks: T's powers have ranges that shrink until T maps the last one, F, onto itself. F is
the span of the eigenvectors with finite w, M F that of their images, and with bases Q of F, P of M F

    Pᴴ A Q y = w Pᴴ M Q y,   x = Q y

has those eigenvalues alone. A Hermitian problem is left Hermitian, with P = Q.
"""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..krylov.precision import Precision
from ..options import DENSE_ORDER
from ..perturbation.problem import Pairs, Surplus, inexact
from ..report.messages import (
    basis_past_finite,
    boxes_in_scipy,
    buckling_needs_semidefinite,
    fewer_finite,
    not_positive_definite,
    singular_pencil,
)
from .operands import named_boxes
from .request import Request

__all__ = ["arrays", "dense_pairs", "matrices_for_lapack"]

Array = np.ndarray

#: Singular values below so many n ε of the largest are zero; of what solves with A − sM have given, below so many ε
#: times its condition.
RANK = 10

#: Shifts, in units of ‖A‖/‖M‖, of which the one that leaves A − sM the best conditioned is taken.
SHIFTS = (0.37, -0.61, 1.7, -2.3)


def matrices_for_lapack(request: Request, A: Any, M: Any, failed: bool = False) -> tuple[Array, Array | None] | None:
    """Return A and M as arrays where LAPACK has to solve the problem; None where ARPACK can, or SciPy is to refuse.

    It has to where k is past ARPACK, and where M is singular and ARPACK's basis would have more vectors (ncv) than
    there are finite eigenvalues: there is no such basis. An explicit M is looked at beforehand; one given by
    functions, and one of order above 200, when ARPACK has ``failed``.

    Raises
    ------
    ValueError
        Where it has, for that reason, and the matrices are too large for LAPACK.
    """
    n = A.shape[0]
    if A.shape != (n, n) or (M is not None and M.shape != A.shape):
        return None
    small = n <= DENSE_ORDER
    if request.past_arpack(A):
        # SciPy turns to LAPACK for dense matrices of any order.
        return arrays(A, M) if small or (isinstance(A, np.ndarray) and not _given_by_functions(M)) else None
    N = A if request.buckling else M  # the inner product
    if N is None or request.sigma is None or not (failed or (small and not _given_by_functions(N))):
        return None
    ncv = request.basis_size(n)
    if not small:
        rank = _rank_at_most(N)
        if ncv > rank:
            raise ValueError(basis_past_finite(ncv, rank, request.k))
        return None
    inner = _array(N)
    if _nearly_singular(inner):
        A, M = arrays(A, M)
        other = A if not request.buckling else np.eye(n) if M is None else M
        return (A, M) if failed or ncv > _finite_part(other, inner, _range(inner)[0]).shape[1] else None
    # In buckling mode M is no inner product, and may be singular all the same.
    infinite = failed and request.buckling and M is not None and _nearly_singular(_array(M))
    return arrays(A, M) if infinite else None


def _given_by_functions(operand: Any) -> bool:
    """Return whether an operand is no matrix."""
    return isinstance(operand, spla.LinearOperator)


def arrays(A: Any, M: Any) -> tuple[Array, Array | None]:
    """Return SciPy's operands as arrays."""
    return _array(A), None if M is None else _array(M)


def _array(operand: Any) -> Array:
    if sp.issparse(operand):
        return operand.toarray()
    if _given_by_functions(operand):
        dtype = np.result_type(inexact(operand.dtype), np.float32)
        with named_boxes():
            matrix = np.asarray(operand.matmat(np.eye(operand.shape[0], dtype=dtype)))
        if matrix.dtype.kind == "O":
            raise TypeError(boxes_in_scipy())
        return matrix
    return np.asarray(operand)


def _rank_at_most(N: Any) -> int:
    """Return an upper bound of the rank; of a sparse matrix, the number of rows that hold anything."""
    if sp.issparse(N):
        return int(np.count_nonzero(np.diff(N.tocsr().indptr)))
    if _given_by_functions(N) or not _nearly_singular(N):
        return int(N.shape[0])
    return _range(N)[0].shape[1]


def _nearly_singular(N: Array) -> bool:
    """Return whether N may be singular, by the cheap pivots of an LU factorisation; its rank decides."""
    N = N.astype(np.result_type(N, np.float32))
    pivots = np.abs(np.diagonal(la.get_lapack_funcs(("getrf",), (N,))[0](N)[0]))
    return bool(pivots.min() <= RANK * N.shape[0] * Precision.of(N.dtype).eps * pivots.max())


def dense_pairs(request: Request, A: Array, M: Array | None) -> Pairs:
    """Return the min(k, n) pairs of A x = w M x that are asked for.

    Raises
    ------
    ValueError
        Arguments that SciPy refuses; of `eigsh`, an M that is not positive semidefinite; fewer finite eigenvalues
        than k.
    TypeError
        As SciPy: a k that is no integer, a complex sigma for a real symmetric matrix.

    Warns
    -----
    RuntimeWarning
        SciPy's, of k > n.
    """
    real_A, n, hermitian = A.dtype.kind != "c", A.shape[0], request.hermitian
    k = operator.index(request.k)
    _check_request(request, real_A, M is not None)
    if k > n:
        bound, name = ("N", "eigh") if hermitian and real_A else ("N - 1", "eig")
        text = f"k >= {bound} for N * N square matrix. Attempting to use scipy.linalg.{name} instead."
        warnings.warn(text, RuntimeWarning, stacklevel=6)
    dtype = np.result_type(A, np.float32, *(() if M is None else (M,)))
    A, M = A.astype(dtype), None if M is None else M.astype(dtype)
    w, X, normalization = _hermitian_pairs(A, M, request) if hermitian else _pairs(A, M)
    if w.size < min(k, n):
        raise ValueError(fewer_finite(w.size, min(k, n), n, normalization == "A"))
    standard = normalization == "2" and M is not None
    rank = request.ranking(real_A, dtype.kind != "c", standard)
    order = rank.most_wanted_first(w)
    chosen, left = order[:k], order[k:]
    if hermitian:
        chosen = chosen[np.argsort(w[chosen], kind="stable")]
    elif left.size and rank.real and w[left[0]].imag < 0 and w[left[0]] == w[chosen[-1]].conj():
        left = left[1:]  # the conjugate of the last one is known with it
    nothing = np.zeros((n, 0), X.dtype)
    surplus = Surplus(w[left], w[:0], nothing)
    return Pairs(w[chosen], np.asfortranarray(X[:, chosen]), normalization, "LAPACK", surplus=surplus)


def _check_request(request: Request, real_A: bool, with_M: bool) -> None:
    """Raise for what SciPy refuses for every k, in its words; it looks at nothing but k where it turns to LAPACK."""
    hermitian, which, sigma, mode, part = (
        request.hermitian,
        request.which,
        request.sigma,
        request.mode,
        request.OPpart,
    )
    k = operator.index(request.k)
    if k <= 0:
        raise ValueError(f"k={k} must be greater than 0.")
    if hermitian and not real_A:
        if mode != "normal":
            raise ValueError(f"mode={mode} cannot be used with complex matrix A")
        if which == "BE":
            raise ValueError("which='BE' cannot be used with complex matrix A")
    ends = {"LM", "SM"} | ({"LA", "SA"} if hermitian else set()) | ({"BE"} if hermitian and real_A else set())
    names = ends | (set() if hermitian and real_A else {"LR", "SR", "LI", "SI"})
    if which not in names:
        raise ValueError(f"which must be one of {' '.join(sorted(names))}")
    if request.OPinv is not None and sigma is None:
        raise ValueError("OPinv should not be specified with sigma = None.")
    if request.Minv is not None and not (with_M and sigma is None):
        raise ValueError("Minv should be specified with M, and without sigma")
    if part is not None and (sigma is None or not real_A):
        raise ValueError("OPpart should not be specified with sigma = None or complex A")
    if part is not None and str(part).lower() not in ("r", "i"):
        raise ValueError("OPpart must be one of ('r','i')")
    if sigma is None:
        return
    if np.ndim(sigma) or not np.isfinite(sigma):
        raise ValueError(f"sigma={sigma!r}: expected a finite number")
    if str(part).lower() == "i" and np.imag(sigma) == 0:
        raise ValueError("OPpart cannot be 'i' if sigma is real")
    if hermitian and real_A and np.iscomplexobj(sigma):
        raise TypeError(f"sigma={sigma!r}: must be real number, not complex")
    if hermitian and mode not in ("normal", "buckling", "cayley"):
        raise ValueError(f"unrecognized mode '{mode}'")


# --------------------------------------------------------------------------------------------
# All finite eigenpairs, normalised.
# --------------------------------------------------------------------------------------------


def _hermitian_pairs(A: Array, M: Array | None, request: Request) -> tuple[Array, Array, str]:
    """Return all pairs with finite w, by increasing w, and their normalisation."""
    if request.buckling:
        # M x = (1/w) A x, in the inner product of A. Where A x = 0, w = 0 is no eigenvalue of (A − σM)⁻¹A.
        inverse, X = _in_inner_product(np.eye(A.shape[0], dtype=A.dtype) if M is None else M, A, "A")
        size = np.max(np.abs(inverse), initial=0)
        finite = np.abs(inverse) > RANK * A.shape[0] * Precision.of(inverse.dtype).eps * size
        return 1 / inverse[finite], X[:, finite], "A"
    if M is None:
        w, X = la.eigh(A)
        return w, X, "2"
    return *_in_inner_product(A, M, "M", request.sigma), "M"


def _in_inner_product(A: Array, N: Array, name: str, sigma: Any = None) -> tuple[Array, Array]:
    """Return finite w and X of A x = w N x with XᴴNX = I, N positive semidefinite."""
    U, defect = _range(N)
    if defect is not None:
        raise ValueError(
            not_positive_definite(defect, "eigsh", sigma) if name == "M" else buckling_needs_semidefinite(defect)
        )
    if U.shape[1] == N.shape[0]:
        return la.eigh(A, N)
    Q = _finite_part(A, N, U)
    if not Q.size:
        return np.zeros(0, Q.real.dtype), Q
    w, Y = la.eigh(Q.conj().T @ A @ Q, Q.conj().T @ N @ Q)
    return w, Q @ Y


def _pairs(A: Array, M: Array | None) -> tuple[Array, Array, str]:
    """Return all pairs with finite w, and their normalisation."""
    if M is None:
        return *_eig(A, None), "2"
    U, defect = _range(M)
    if U.shape[1] == M.shape[0]:
        w, X = _eig(A, M)
    else:
        Q = _finite_part(A, M, U)
        P = la.qr(M @ Q, mode="economic")[0]
        w, Y = _eig(P.conj().T @ A @ Q, P.conj().T @ M @ Q)
        X = Q @ Y
    squares = np.ones(w.size) if defect is not None else np.real(np.sum(X.conj() * (M @ X), axis=0))
    return w, X / np.sqrt(squares).astype(X.real.dtype), "M" if defect is None else "2"


def _eig(A: Array, M: Array | None) -> tuple[Array, Array]:
    """Return complex w and X; of real matrices the members of a conjugate pair are conjugates to the last bit."""
    w, X = la.eig(A, M) if A.size else (np.zeros(0, A.dtype), A)
    if A.dtype.kind != "c":
        upper = np.flatnonzero(w.imag > 0)  # the other member is the next one
        w[upper + 1] = w[upper].conj()
    dtype = np.result_type(X, np.complex64)
    return w.astype(dtype), X.astype(dtype)


def _range(N: Array) -> tuple[Array, str | None]:
    """Return an orthonormal basis of the range of N, (n, r), and why N is not positive semidefinite, if it is not."""
    n, eps = N.shape[0], Precision.of(N.dtype).eps
    size = np.max(np.abs(N), initial=0)
    asymmetry = np.max(np.abs(N - N.conj().T), initial=0)
    if asymmetry > np.sqrt(eps) * size:
        U, s, _ = la.svd(N)
        return U[
            :, s > RANK * n * eps * s[0]
        ], f"it deviates from its adjoint by {asymmetry:.1e}, and has entries up to {size:.1e}"
    s, U = la.eigh(N)
    noise = RANK * n * eps * max(abs(s[0]), abs(s[-1]))
    if s[0] < -np.sqrt(eps) * size:
        return U[:, np.abs(s) > noise], f"its lowest eigenvalue is {s[0]:.1e}"
    return U[:, s > max(noise, -s[0])], None  # what is negative shows how large the rounding of N is


def _finite_part(A: Array, M: Array, U: Array) -> Array:
    """Return F, see above: an orthonormal basis of the span of the eigenvectors with finite eigenvalues, (n, r).

    ``U`` (n, m) is a basis of the range of M.

    Raises
    ------
    ValueError
        Where A − sM is singular for every s.
    """
    eps = Precision.of(A.dtype).eps
    norm_A, norm_M = la.norm(A), la.norm(M)
    if norm_M == 0:
        return U
    shifted = [A - A.dtype.type(shift * (norm_A / norm_M if norm_A else 1)) * M for shift in SHIFTS]
    conditions = [np.linalg.cond(K) for K in shifted]
    best = int(np.argmin(conditions))
    if not conditions[best] * eps < 1:
        raise ValueError(singular_pencil(conditions[best]))
    factors, limit = la.lu_factor(shifted[best]), min(RANK * eps * conditions[best], eps**0.5)
    while True:
        Q = la.qr(la.lu_solve(factors, U), mode="economic")[0]
        V, s, _ = la.svd(M @ Q, full_matrices=False)
        rank = int(np.sum(s > limit * norm_M))
        if rank == U.shape[1]:
            return Q
        U = V[:, :rank]
