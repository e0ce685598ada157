"""Where the entries of a sparse matrix stand, on plain arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..krylov.space import times
from .trilinear import COEFFICIENTS, OUTPUT

__all__ = ["Pattern", "check_indices", "check_range", "check_shape", "counting_sort", "csr_pattern", "index_dtype"]

Array = np.ndarray

#: Numbers that the derivatives of a part of the entries are computed from at a time.
CHUNK = 1 << 16


class Pattern:
    """The places of the entries: the trilinear form yᵀ A x of (data, x, y)."""

    def __init__(self, indices: Array, indptr: Array, shape: tuple[int, int]):
        self.indices, self.indptr, self.shape = indices, indptr, shape
        self._last: tuple[Any, Any] | None = None

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

    def _kept_matrix(self, data: Array) -> Any:
        """Return the matrix of these entries, the last one where they stand in the same memory.

        Solvers apply one matrix many times; for a few thousand entries SciPy takes longer to make it than to apply it.
        """
        last, place = self._last, _place(data)
        if last is not None and last[0] == place:
            return last[1]
        matrix = self.matrix(data)
        if np.shares_memory(matrix.data, data):
            self._last = place, matrix  # which holds the memory, so that no other entries can be there
        return matrix

    def contract(self, free: int, u: Array, v: Array) -> Array:
        if free == COEFFICIENTS:
            return self._sampled(u, v)
        matrix = self._kept_matrix(u)
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


def _place(a: Array) -> Any:
    """Return where the entries of an array are, and what they are."""
    return a.__array_interface__["data"], a.shape, a.strides, a.dtype


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


# --------------------------------------------------------------------------------------------
# Checks of the arguments that say where entries stand; messages begin with the caller's name.
# --------------------------------------------------------------------------------------------


def csr_pattern(nnz: int, indices: Any, indptr: Any, shape: tuple[int, int], name: str) -> Pattern:
    """Return the pattern of compressed rows with so many entries.

    Raises
    ------
    TypeError
        Indices that are not integers.
    ValueError
        Wrong lengths or dimensions, indices out of range, an ``indptr`` that does not start at 0, decreases, or does
        not end at nnz.
    """
    rows, columns = shape
    indices, indptr = check_indices(indices, 1, f"{name}: indices"), check_indices(indptr, 1, f"{name}: indptr")
    if indices.size != nnz:
        raise ValueError(f"{name}: {nnz} data and {indices.size} indices")
    if indptr.size != rows + 1:
        raise ValueError(f"{name}: {rows} rows need an indptr of length {rows + 1}, not {indptr.size}")
    if indptr[0] != 0 or indptr[-1] != nnz:
        raise ValueError(f"{name}: indptr goes from {indptr[0]} to {indptr[-1]}, not from 0 to {nnz}")
    if np.any(indptr[1:] < indptr[:-1]):
        row = int(np.argmax(indptr[1:] < indptr[:-1]))
        raise ValueError(f"{name}: indptr decreases from {indptr[row]} to {indptr[row + 1]} at row {row}")
    check_range(indices, columns, f"{name}: column indices")
    kind = index_dtype(nnz, rows, columns)
    return Pattern(indices.astype(kind), indptr.astype(kind), (rows, columns))


def check_shape(shape: Any, name: str) -> tuple[int, int]:
    """Return a shape as two integers."""
    try:
        rows, columns = shape
        rows, columns = rows.__index__(), columns.__index__()
    except (TypeError, ValueError, AttributeError):
        raise TypeError(f"{name}: shape must be two integers, not {shape!r}") from None
    if rows < 0 or columns < 0:
        raise ValueError(f"{name}: negative shape {shape}")
    return rows, columns


def check_indices(values: Any, dimensions: int, what: str) -> Array:
    """Return an array of integers with so many dimensions."""
    values = np.asarray(values)
    if values.size == 0:
        values = values.astype(np.intp)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, not of dtype {values.dtype}")
    if values.ndim != dimensions:
        raise ValueError(f"{what} must have {dimensions} dimension(s), not shape {values.shape}")
    return values


def check_range(values: Array, bound: int, what: str) -> None:
    """Raise ValueError where an index is negative, or not below the bound."""
    outside = np.flatnonzero((values < 0) | (values >= bound))
    if outside.size:
        at = outside[0]
        raise ValueError(f"{what} must be from 0 to {bound - 1}; number {at} is {values[at]} ({outside.size} outside)")
