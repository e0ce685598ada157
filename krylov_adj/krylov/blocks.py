"""Blocks of vectors: products with matrices, and when to look at a Krylov space."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import get_blas_funcs

Array = np.ndarray

#: A solver looks how far a solution moves while its residual falls by this much, to its target, for its error.
LATE = 100.0

#: Columns of stored rows that are combined at a time.
CHUNK = 1 << 14


def subtract_product(V: Array, Q: Array, C: Array) -> Array:
    """V − Q C by one BLAS call, in V's own memory where its columns are contiguous; Q likewise is not copied."""
    if not V.shape[0]:  # BLAS takes no empty blocks
        return V
    gemm = get_blas_funcs("gemm", (V, Q, C))
    return gemm(-1.0, Q, C, beta=1.0, c=V, overwrite_c=True)


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
