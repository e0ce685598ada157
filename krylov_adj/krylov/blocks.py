"""Inner products and norms of blocks of vectors, column by column, products with matrices, and when to look."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from scipy.linalg import get_blas_funcs

Array = np.ndarray

#: A solver looks how far a solution moves while its residual falls by this much, to its target, for its error.
LATE = 100.0

#: Columns of stored rows that are combined at a time.
CHUNK = 1 << 14


def column_dots(V: Array, W: Array) -> Array:
    """vⱼᴴ wⱼ of every column, shape (m,), without temporaries."""
    dot = get_blas_funcs("dotc" if V.dtype.kind == "c" or W.dtype.kind == "c" else "dot", (V, W))
    return np.array([dot(V[:, j], W[:, j]) for j in range(V.shape[1])], np.result_type(V, W))


def subtract_product(V: Array, Q: Array, C: Array) -> Array:
    """V − Q C by one BLAS call, in V's own memory where its columns are contiguous; Q likewise is not copied."""
    gemm = get_blas_funcs("gemm", (V, Q, C))
    return gemm(-1.0, Q, C, beta=1.0, c=V, overwrite_c=True)


def column_norms(V: Array) -> Array:
    """‖vⱼ‖ of every column, shape (m,), safe against overflow and underflow."""
    nrm2 = get_blas_funcs("nrm2", (V,))
    return np.array([nrm2(V[:, j]) for j in range(V.shape[1])], np.finfo(V.dtype).dtype)


def times(matrix: Any, V: Array) -> Array:
    """A V for a dense or sparse matrix A; where A is real and V complex, no complex A is made.

    Both parts of V, side by side, are a real block of twice as many columns. For a single vector and
    a sparse A, SciPy's product is the faster one (benchmarks/applications.py).
    """
    if matrix.dtype.kind == "c" or V.dtype.kind != "c" or (V.ndim == 1 and sp.issparse(matrix)):
        return matrix @ V
    parts = np.ascontiguousarray(V).view(V.real.dtype).reshape(V.shape[0], -1)  # (n, 2 m)
    product = np.ascontiguousarray(matrix @ parts)
    return product.view(np.result_type(product, np.complex64)).reshape(matrix.shape[0], *V.shape[1:])


def orthonormal_basis(V: Array, real: bool) -> Array:
    """An orthonormal basis (n, d) of the span of V (n, d); a ``real`` one of a span closed under conjugation."""
    if not real:
        return la.qr(V, mode="economic")[0]
    parts: list[Array] = []  # of a pair of conjugate columns one is enough
    for j, v in enumerate(V.T):
        if not any(u[0] == v[0].conj() and np.array_equal(u, v.conj()) for u in V.T[:j]):
            parts += [v.real, v.imag] if v.imag.any() else [v.real]
    return la.qr(np.stack(parts, axis=1), mode="economic", pivoting=True)[0][:, : V.shape[1]]


def orthogonalise(w: Array, norm: float, basis: Array, h: Array) -> float:
    """Subtract from w (in place) its part in the rows of the basis; the norm left.

    The coefficients of the last h.size rows go to h; those of the rows before, which are deflated, nowhere.
    """
    for _ in range(3):
        before = norm
        projection = (basis @ w.conj()).conj()
        w -= projection @ basis
        h += projection[-h.size :]
        norm = float(np.linalg.norm(w))
        # Daniel, Gragg, Kaufman & Stewart: repeat where cancellation has made the result unsafe.
        if norm > 0.5 * before:
            break
    return norm


def steps_to_go(history: list[tuple[int, float]]) -> int:
    """How many steps until the next look at a Krylov space, by the rate of convergence so far.

    ``history`` holds (step, residual over what is accepted).
    """
    if len(history) < 2:
        return 2
    (m0, r0), (m1, r1) = history[-2:]
    if not r1 < r0 < np.inf:
        return 4
    left = np.log(r1) * (m1 - m0) / np.log(r0 / r1)
    return int(min(max(0.7 * left, 1), max(6, m1 // 8)))


def combine(rows: Array, Q: Array) -> None:
    """Qᵀ times the rows in the place of the first of them, a few columns at a time: no second array of that size."""
    for start in range(0, rows.shape[1], CHUNK):
        part = rows[:, start : start + CHUNK]
        part[: Q.shape[1]] = Q.T @ part
