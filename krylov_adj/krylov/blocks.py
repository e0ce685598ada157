"""Blocks of vectors: combinations in place, and when to look at a Krylov space."""

from __future__ import annotations

import numpy as np
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


def steps_to_go(history: list[tuple[int, float]]) -> int:
    """Return the number of steps until the next look at a Krylov space, by the rate of convergence so far.

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
