"""The inverse of A − σM by LU factorisation, and its adjoint from the same factors.

Sparse matrices of a symmetric pattern (Hermitian ones, and discretised operators that are not) are
ordered by the degrees of K + Kᵀ and take their pivots from the diagonal. Measured against SuperLU's
default (column ordering, partial pivoting) that halves fill and the time of a solve; the same
ordering *with* partial pivoting fills up to 50 times more where K is indefinite.

Without pivoting small pivots spoil the factors, so they are tried before they are used: the
componentwise backward error of a solve (Oettli & Prager, Numer. Math. 6, 1964),

    ω = maxᵢ |b − K x|ᵢ / (|K||x| + |b|)ᵢ

sees a bad pivot wherever it is: no large entry of x elsewhere hides it. Partial pivoting leaves 2 to
100 ε. Where ω is past 40 ε one step of refinement is made part of every solve (Skeel, Math. Comp. 35,
1980: it restores ε unless K is too ill-conditioned for the factors); where that does not do, the
default factorisation takes over. Growth of the elements need not be looked at: ω is what it harms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from .precision import Precision
from .space import WHOLE

Array = np.ndarray
#: (V, adjoint) to K⁻¹ V or K⁻ᴴ V.
Factors = Callable[[Array, bool], Array]

#: The largest componentwise backward error of factors without pivoting, in machine epsilons.
BACKWARD = 40.0

#: Up to so many unknowns, panels of SuperLU's columns (20 unless told) are narrow: a quarter faster, measured, where
#: the factors' dense blocks are small; with large ones, of three dimensions, wide panels win.
SMALL = 30_000
NARROW = 4

#: Of the right-hand side that factors are tried with.
SEED = 17


class SingularMatrix(RuntimeError):
    """A factorisation has met a pivot that is exactly zero."""


def factorise(
    A: Any, M: Any, sigma: Any, hermitian: bool = False
) -> tuple[Callable[[Array], Array], Callable[[Array], Array], np.dtype]:
    """v ↦ (A − σM)⁻¹ v, v ↦ (A − σM)⁻ᴴ v and their dtype.

    Parameters
    ----------
    A, M : ndarray or SciPy sparse, shape (n, n)
        M None for the identity.
    sigma : number
    hermitian : bool
        A − σM is Hermitian, to rounding: either factor may be taken for the other's adjoint. SuperLU solves with the
        adjoint of its factors faster for one right-hand side (a fifth, measured), with the factors for several.

    Raises
    ------
    SingularMatrix
        Where A − σM is exactly singular.
    """
    dtype = np.result_type(A.dtype, np.float32, *(() if M is None else (M.dtype,)))
    if np.imag(sigma) != 0:
        dtype = np.result_type(dtype, np.complex64)
    shift = dtype.type(sigma if dtype.kind == "c" else np.real(sigma))
    if sp.issparse(A) and (M is None or sp.issparse(M)):
        K = A
        if shift != 0:
            K = A - shift * (sp.identity(A.shape[0], dtype=dtype, format="csc") if M is None else M)
        K = K.tocsc().astype(dtype, copy=K is A)
    else:
        A = A.toarray() if sp.issparse(A) else A
        M = np.eye(A.shape[0], dtype=dtype) if M is None else M.toarray() if sp.issparse(M) else M
        K = np.asarray_chkfinite(A - shift * M)
    solve = factors_of(K)

    def apply(V: Array, adjoint: bool = False) -> Array:
        adjoint = V.ndim == 1 if hermitian else adjoint
        parts = (V.real, V.imag) if np.iscomplexobj(V) and dtype.kind != "c" else (V,)
        solutions = [solve(np.asarray(part, dtype, order="F"), adjoint) for part in parts]
        return solutions[0] if len(parts) == 1 else solutions[0] + 1j * solutions[1]

    return apply, lambda V: apply(V, True), dtype


def factors_of(K: Any) -> Factors:
    """V ↦ K⁻¹ V and V ↦ K⁻ᴴ V for a finite ndarray or csc matrix, whose entries may be put in order.

    Raises
    ------
    SingularMatrix
        Where K is exactly singular.
    """
    if not sp.issparse(K):
        return _dense_factors(K)
    K.sum_duplicates()
    K.eliminate_zeros()
    # SuperLU's own integers; SciPy before 1.12 does not convert them.
    K.indices, K.indptr = K.indices.astype(np.intc, copy=False), K.indptr.astype(np.intc, copy=False)
    factors = _without_pivoting(K)
    if factors is not None:
        return factors
    try:
        return _solver(spla.splu(K))
    except RuntimeError as error:
        if "singular" not in str(error):
            raise
        raise SingularMatrix(str(error)) from error


def _dense_factors(K: Array) -> Factors:
    # Not scipy.linalg.lu_factor, which warns where it should raise.
    lu, pivots, zero_pivot = la.get_lapack_funcs(("getrf",), (K,))[0](K)
    if zero_pivot:
        raise SingularMatrix("Factor is exactly singular")  # SuperLU's words

    def solve(V: Array, adjoint: bool) -> Array:
        # LAPACK's wrapper counts pivots from one while it runs, in place: threads need copies.
        return la.lu_solve((lu, pivots.copy()), V, 2 if adjoint else 0, check_finite=False)

    return solve


def _solver(lu: Any) -> Factors:
    return lambda V, adjoint: lu.solve(V, "H" if adjoint else "N")


def _without_pivoting(K: Any) -> Factors | None:
    """Solves by factors of the symmetric ordering; None where K does not suit or they are bad."""
    if not _symmetric_pattern(K):
        return None
    panel, options = NARROW if K.shape[0] <= SMALL else None, {"SymmetricMode": True}
    try:
        lu = spla.splu(K, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, panel_size=panel, options=options)
    except RuntimeError:  # exactly singular for this order of pivots: the default has the last word
        return None
    plain = _solver(lu)

    def refined(V: Array, adjoint: bool) -> Array:
        X = plain(V, adjoint)
        image = (K.T @ X.conj()).conj() if adjoint else K @ X
        return X + plain(V - image, adjoint)

    limit = BACKWARD * Precision.of(K.dtype).eps
    return next((solve for solve in (plain, refined) if _backward_error(K, solve) <= limit), None)


def _symmetric_pattern(K: Any) -> bool:
    """Entries come in pairs (i, j), (j, i), and none is missing on the diagonal.

    A zero there would be a pivot off the diagonal from the start, and fill without bound.
    """
    rows = K.tocsr()
    rows.sort_indices()
    same = np.array_equal(K.indptr, rows.indptr) and np.array_equal(K.indices, rows.indices)
    return bool(same and np.all(K.diagonal() != 0))


def _backward_error(K: Any, solve: Factors) -> float:
    """ω of a solve with a pseudo-random right-hand side; infinite where a solution is not finite."""
    b = WHOLE.random(K.shape[0], float, SEED).astype(K.dtype)
    with np.errstate(all="ignore"):
        x = solve(b, False)
        error = np.max(np.abs(b - K @ x) / (abs(K) @ np.abs(x) + np.abs(b)))
    return float(error) if np.isfinite(error) else np.inf
