"""Inner products and norms of blocks of vectors, column by column."""

from __future__ import annotations

import numpy as np
from scipy.linalg import get_blas_funcs

Array = np.ndarray

#: A solver reports how far a solution moved while its residual fell by this much, to its target.
LATE = 100.0


def column_dots(V: Array, W: Array) -> Array:
    """vⱼᴴ wⱼ of every column, shape (m,), without temporaries."""
    dot = get_blas_funcs("dotc" if V.dtype.kind == "c" or W.dtype.kind == "c" else "dot", (V, W))
    return np.array([dot(V[:, j], W[:, j]) for j in range(V.shape[1])], np.result_type(V, W))


def column_norms(V: Array) -> Array:
    """‖vⱼ‖ of every column, shape (m,), safe against overflow and underflow."""
    nrm2 = get_blas_funcs("nrm2", (V,))
    return np.array([nrm2(V[:, j]) for j in range(V.shape[1])], np.finfo(V.dtype).dtype)
