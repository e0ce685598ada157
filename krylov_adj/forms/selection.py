"""Rows and columns of operators by SciPy's and NumPy's keys, on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["read_key", "selection_matrix"]

Array = np.ndarray


def read_key(key: Any, shape: tuple[int, int]) -> tuple[Array | None, Array | None]:
    """Return the rows and the columns that A[key] names; None for all of them.

    Raises
    ------
    TypeError
        A key that names single rows, columns or entries, or is no key.
    IndexError
        Indices out of range, masks of another length.
    """
    parts = key if isinstance(key, tuple) else (key, slice(None))
    if len(parts) != 2 or any(part is Ellipsis or part is None for part in parts):
        raise TypeError(f"an operator is indexed by rows, or by rows and columns, not by {key!r}")
    arrays: list[Any] = [part if isinstance(part, slice) else np.asarray(part) for part in parts]
    outer = all(isinstance(part, np.ndarray) and part.ndim == 2 for part in arrays)
    if outer and arrays[0].shape[1] == 1 and arrays[1].shape[0] == 1:  # of numpy.ix_
        arrays = [part.ravel() for part in arrays]
    elif all(isinstance(part, np.ndarray) and part.ndim == 1 for part in arrays):
        raise TypeError(
            "A[rows, columns] with two lists names single entries in SciPy: write A[rows][:, columns], or "
            "A[numpy.ix_(rows, columns)], for the operator between them"
        )
    return _indices(arrays[0], shape[0], "row"), _indices(arrays[1], shape[1], "column")


def _indices(part: Any, size: int, what: str) -> Array | None:
    if isinstance(part, slice):
        return None if part == slice(None) else np.arange(size)[part]
    if part.ndim != 1:
        raise TypeError(f"an operator has {what}s by slices, lists of indices or masks: for one of them write A[[i]]")
    if part.dtype == bool:
        if part.size != size:
            raise IndexError(f"a mask of {part.size} entries does not go with {size} {what}s")
        return np.flatnonzero(part)
    if part.size == 0:
        return np.zeros(0, int)
    if part.dtype.kind not in "iu":
        raise TypeError(f"{what}s must be integers or a mask, not of dtype {part.dtype}")
    outside = part[(part < -size) | (part >= size)]
    if outside.size:
        raise IndexError(f"{what} {outside[0]} is out of range for {size} {what}s")
    return np.where(part < 0, part + size, part)


def selection_matrix(indices: Array, size: int, dtype: Any) -> Any:
    """Return the matrix that takes the entries of a vector of this size at the indices."""
    dtype = np.result_type(dtype, np.float32)
    places = indices, np.arange(indices.size + 1)
    return sp.csr_array((np.ones(indices.size, np.finfo(dtype).dtype), *places), shape=(indices.size, size))
