"""Where the entries of a sparse matrix stand, on plain arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..krylov.space import times
from .trilinear import COEFFICIENTS, OUTPUT

__all__ = ["Pattern", "counting_sort", "index_dtype"]

Array = np.ndarray

#: Numbers that the derivatives of a part of the entries are computed from at a time.
CHUNK = 1 << 16


class Pattern:
    """The places of the entries: the trilinear form yᵀ A x of (data, x, y)."""

    def __init__(self, indices: Array, indptr: Array, shape: tuple[int, int]):
        self.indices, self.indptr, self.shape = indices, indptr, shape

    @cached_property
    def rows(self) -> Array:
        return np.repeat(np.arange(self.shape[0], dtype=self.indices.dtype), np.diff(self.indptr))  # (nnz,)

    @cached_property
    def mirror(self) -> Array | None:
        """The position of every entry's mirror image at the diagonal; None where not all have one, in order."""
        # By columns, then rows: where that is the order of the mirror images, entry by entry.
        order = counting_sort(self.indices, self.shape[1])
        twice = order.take(order)
        mirrored = np.array_equal(self.rows.take(order), self.indices)
        return order if mirrored and np.array_equal(twice, np.arange(twice.size)) else None

    def matrix(self, data: Array) -> Any:
        return sp.csr_array((data, self.indices, self.indptr), shape=self.shape)

    def contract(self, free: int, u: Array, v: Array) -> Array:
        if free == COEFFICIENTS:
            return self._sampled(u, v)
        matrix = self.matrix(u)
        return times(matrix if free == OUTPUT else matrix.T, v)  # SciPy's transpose is a view

    def _sampled(self, x: Array, y: Array) -> Array:
        """Σⱼ y[row, j] x[col, j] at the places of the entries, a few of them at a time."""
        x, y = (np.ascontiguousarray(v.reshape(v.shape[0], -1)) for v in (x, y))
        total = np.empty(self.indices.size, np.result_type(x, y))
        step = max(CHUNK // max(x.shape[1], 1), 1)
        for start in range(0, total.size, step):
            part = slice(start, start + step)
            np.einsum("ij,ij->i", y.take(self.rows[part], 0), x.take(self.indices[part], 0), out=total[part])
        return total  # (nnz,)


def counting_sort(keys: Array, bound: int) -> Array:
    """The stable order of integer keys below ``bound``, in O(number of keys + bound).

    SciPy's conversion of one compressed row to columns is this sort.
    """
    ends = np.array([0, keys.size], keys.dtype)
    row = sp.csr_array((np.arange(keys.size, dtype=keys.dtype), keys, ends), shape=(1, bound))
    return row.tocsc().data


def index_dtype(*bounds: int) -> type:
    """The integer type for indices and positions below the bounds."""
    return np.int32 if max(bounds, default=0) <= np.iinfo(np.int32).max else np.int64
