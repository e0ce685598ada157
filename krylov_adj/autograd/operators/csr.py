"""The sparse matrix in compressed rows, of entries that may be traced, and how its arguments are read."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ...forms.patterns import (
    check_indices,
    check_range,
    check_shape,
    counting_sort,
    csr_pattern,
    index_dtype,
)
from ...forms.selection import read_key, selection_matrix
from ...forms.trilinear import INPUT, OUTPUT
from ...forward.operands import check_numbers, floating
from ...perturbation.problem import inexact
from ..elementary import apply_constant, xp
from ..trace import is_box, strip
from ..trilinear import contract
from .base import LinearOperator

__all__ = ["check_data", "csr_array", "read_indices", "read_sparse", "sum_entries"]

Array = np.ndarray


class csr_array(LinearOperator):
    """A sparse matrix in compressed rows, differentiable in its stored entries.

    Row i holds the entries ``data[indptr[i]:indptr[i + 1]]``, in the columns
    ``indices[indptr[i]:indptr[i + 1]]``. Time and memory of a product and of its derivatives are
    O(nnz), and O(nnz) times k in time for a block of k columns.

    Parameters
    ----------
    arg : tuple (data, indices, indptr), (data, S), (data, (row, col)), or matrix
        ``data`` of shape (nnz,), real or complex, traced or not; ``indices`` of shape (nnz,) and
        ``indptr`` of shape (m + 1,), integers, not traced. Entries in the same place are summed.
        Explicit zeros are entries like any other and have a derivative. With a SciPy sparse matrix S (csr, csc or
        coo) ``data`` stand at its places, in the order of ``S.data``. A matrix alone, SciPy sparse or dense, is
        one of constant entries.
    shape : (int, int), optional
        (m, n). By default that of the matrix, or large enough for all indices.

    Attributes
    ----------
    data, indices, indptr : array
        The entries, traced where they are, and their places.
    nnz : int

    Raises
    ------
    TypeError
        Data that are no array of numbers, indices that are not integers or are traced.
    ValueError
        Wrong lengths or dimensions, indices out of range, an ``indptr`` that does not start at 0,
        decreases, or does not end at nnz.

    See Also
    --------
    coo_array, assemble

    Notes
    -----
    A `LinearOperator` with ``+ - * / @ ** .T .H``, also in mixture with SciPy sparse matrices; the
    pattern cannot be changed. ``explicit()`` is a SciPy ``csr_array`` of the plain value, with
    explicit zeros, on arrays of its own. Rows and columns are selected as in SciPy, ``A[rows][:, columns]``; single
    entries ``A[i, j]``, and ``A[rows, columns]`` as an array, carry derivatives too. ``tocsr``, ``tocsc``, … return
    the same operator, which has one format. ``A * v`` with an array is the product A v, as of every `LinearOperator`
    (SciPy's ``csr_array`` multiplies entry by entry there): that is ``A.multiply(v)``.

    Derivative
    ----------
    With respect to ``data``, entry by entry, and to the vector or block it is applied to; to any
    order; forward and reverse. Real data have real gradients, also next to complex vectors.

    Examples
    --------
    A potential as a diagonal matrix, so that A − σI can be factorised:

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def lowest(V):
    ...     H = ka.csr_array((V, numpy.arange(9), numpy.arange(10)), (9, 9)) - ka.pde.laplacian(9)
    ...     return ka.eigsh(H, k=1, sigma=0.0, v0=numpy.ones(9))[0][0]
    >>> g = grad(lowest)(numpy.zeros(9))  # the density of the state
    >>> print(round(float(np.sum(g)), 10), int(np.argmax(g)))
    1.0 4
    """

    def __init__(self, arg: Any, shape: tuple[int, int] | None = None):
        if isinstance(arg, (tuple, list)) and len(arg) == 3:
            data, indices, indptr = arg
            data = check_data(data, 1, "csr_array: data")
            indices, indptr = (_untraced(x, f"csr_array: {of}") for x, of in ((indices, "indices"), (indptr, "indptr")))
            if shape is None:
                shape = np.size(indptr) - 1, _bound(indices, "csr_array")
            self._data = data
            self._pattern = csr_pattern(data.shape[0], indices, indptr, check_shape(shape, "csr_array"), "csr_array")
        else:
            twin = read_sparse(arg, shape, "csr_array")
            self._data, self._pattern = twin._data, twin._pattern
        spla.LinearOperator.__init__(self, self._data.dtype, self._pattern.shape)

    def _apply(self, X: Any) -> Any:
        return contract(self._data, X, self._pattern, OUTPUT)

    def _apply_adjoint(self, X: Any) -> Any:
        return xp.conj(contract(self._data, xp.conj(X), self._pattern, INPUT))  # Aᴴ x = conj(Aᵀ conj(x))

    def prepared(self) -> LinearOperator:
        return self

    def explicit(self) -> Any:
        return self._pattern.matrix(strip(self._data)).copy()

    def applies_blocks(self) -> bool:
        return True

    # ---- as of SciPy's csr_array ---------------------------------------------------------------

    @property
    def data(self) -> Any:
        return self._data

    @property
    def indices(self) -> Array:
        return self._pattern.indices

    @property
    def indptr(self) -> Array:
        return self._pattern.indptr

    @property
    def nnz(self) -> int:
        return int(self._pattern.indices.size)

    def toarray(self) -> Any:
        """The dense matrix, shape (m, n), traced where the entries are."""
        rows, columns = self._pattern.rows, self._pattern.indices
        return apply_constant(self._data, lambda d: self._pattern.matrix(d).toarray(), lambda D: D[rows, columns])

    def diagonal(self, k: int = 0) -> Any:
        """The entries of a diagonal, traced where they are."""
        m, n = self.shape
        k = operator.index(k)
        length = max(min(m + min(k, 0), n - max(k, 0)), 0)
        return self._at(np.arange(length) - min(k, 0), np.arange(length) + max(k, 0))

    def sum(self, axis: int | None = None) -> Any:
        """The sum of all entries, or of the columns (``axis=0``) or rows (``axis=1``), an array."""
        if axis is None:
            return xp.sum(self._data)
        if axis not in (0, 1, -1, -2):
            raise ValueError(f"sum: a matrix has no axis {axis}")
        ones = np.ones(self.shape[axis % 2], np.finfo(self.dtype).dtype)
        return self._apply(ones) if axis % 2 else xp.conj(self._apply_adjoint(ones))

    def multiply(self, other: Any) -> csr_array:
        """The product entry by entry with a number, an array that broadcasts (traced or not) or a sparse matrix."""
        if sp.issparse(other) or isinstance(other, csr_array):
            other = csr_array(other)
            if other.shape != self.shape:
                raise ValueError(f"multiply: shapes {self.shape} and {other.shape} differ")
            a = self._canonical()
            rows, columns = a._pattern.rows, a._pattern.indices
            places = np.flatnonzero(other._positions(rows, columns))
            factor = other._at(rows[places], columns[places])
            indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[places], minlength=self.shape[0]))])
            return csr_array((gather(a._data, places) * factor, columns[places], indptr), self.shape)
        if isinstance(other, spla.LinearOperator):
            raise TypeError("multiply takes numbers, arrays and sparse matrices; the product of operators is A @ B")
        factor = other if is_box(other) else np.asarray(other)
        shape = np.shape(strip(factor))
        dimensions = len(shape)
        fits = all(have in (1, size) for have, size in zip(shape[::-1], self.shape[::-1], strict=False))
        if dimensions > 2 or not fits:
            raise ValueError(f"multiply: an array of shape {shape} does not broadcast to {self.shape}")
        if dimensions:
            m, n = (1, *shape)[-2:]
            factor = xp.reshape(factor, (m, n))
            factor = factor[self._pattern.rows if m > 1 else 0, self._pattern.indices if n > 1 else 0]
        return csr_array((self._data * factor, self.indices, self.indptr), self.shape)

    def __getitem__(self, key: Any) -> Any:
        """Rows and columns as a `csr_array`, or single entries."""
        parts: list[Any] = []
        if isinstance(key, tuple) and len(key) == 2:
            parts = [part if isinstance(part, slice) else np.asarray(part) for part in key]
        if parts and all(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts):
            if all(part.ndim == 0 for part in parts):
                return self._at(*(np.atleast_1d(part) for part in parts))[0]
            if all(part.ndim == 1 for part in parts):
                return self._at(*np.broadcast_arrays(*parts))
        rows, columns = read_key(key, self.shape)
        a = self._canonical()
        places = a._numbered()
        places = places if rows is None else places[rows]
        places = places if columns is None else places[:, columns]
        return csr_array((gather(a._data, places.data - 1), places.indices, places.indptr), places.shape)

    def _numbered(self) -> Any:
        """The numbers of the entries, from one, at their places."""
        return self._pattern.matrix(np.arange(1, self.nnz + 1))

    def _positions(self, rows: Array, columns: Array) -> Array:
        """The numbers of the entries at some places, from one; zero where there is none. Of a canonical pattern."""
        found = self._canonical()._numbered()[rows, columns]
        return np.asarray(found.toarray() if sp.issparse(found) else found).ravel()

    def _at(self, rows: Array, columns: Array) -> Any:
        """The entries at some places, an array."""
        found = self._positions(rows, columns)
        stored = np.flatnonzero(found)
        entries = gather(self._canonical()._data, found[stored] - 1)
        place = selection_matrix(stored, found.size, np.float32).T
        return apply_constant(entries, lambda d: np.asarray(place @ d, d.dtype), lambda g: place.T @ g)

    def _canonical(self) -> csr_array:
        """The same with entries in the same place summed."""
        if self._pattern.matrix(np.zeros(self.nnz, np.int8)).has_canonical_format:
            return self
        p = self._pattern
        return sum_entries(self._data, np.arange(self.nnz, dtype=p.indices.dtype), p.rows, p.indices, self.shape)

    def _transpose(self) -> csr_array:
        order = counting_sort(self._pattern.indices, self.shape[1])
        indptr = np.concatenate([[0], np.cumsum(np.bincount(self._pattern.indices, minlength=self.shape[1]))])
        return csr_array((gather(self._data, order), self._pattern.rows.take(order), indptr), self.shape[::-1])

    def conj(self) -> csr_array:
        return csr_array((xp.conj(self._data), self.indices, self.indptr), self.shape)

    def asformat(self, format: str | None = None, copy: bool = False) -> csr_array:
        """The same operator, for code that was written for SciPy."""
        return self

    def tocsr(self, copy: bool = False) -> csr_array:
        """The same operator, for code that was written for SciPy."""
        return self

    tocsc = tocoo = tolil = todia = todok = tobsr = copy = tocsr


def gather(data: Any, positions: Array) -> Any:
    """data[positions]; positions may come several times or not at all."""
    chosen = selection_matrix(positions, strip(data).shape[0], np.float32)
    return apply_constant(data, lambda d: d.take(positions), lambda g: np.asarray(chosen.T @ g, g.dtype))


def sum_entries(data: Any, positions: Array, rows: Array, cols: Array, shape: tuple[int, int]) -> csr_array:
    """The csr_array of the entries data[positions] at (rows, cols), those in one place summed.

    Every position once. The three are int32 where that is enough: sorts and gathers take half of the time.
    """
    order = counting_sort(cols, shape[1])
    order = order.take(counting_sort(rows.take(order), shape[0]))
    positions, rows, cols = (index.take(order) for index in (positions, rows, cols))
    first = np.ones(rows.size, bool)  # of the entries in one place
    first[1:] = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1])
    starts = np.flatnonzero(first)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows.take(starts), minlength=shape[0]))])
    ends = np.append(starts, rows.size).astype(positions.dtype)
    # int8, so that sums have the type of the data; integers as NumPy sums them.
    ones = np.ones(rows.size, np.int8 if strip(data).dtype.kind in "fc" else np.int64)
    sums = sp.csr_array((ones, positions, ends), shape=(starts.size, data.shape[0]))
    entries = apply_constant(data, sums.__matmul__, sums.T.__matmul__)
    return csr_array((entries, cols.take(starts), indptr.astype(positions.dtype)), shape)


# --------------------------------------------------------------------------------------------
# Checks of the arguments.
# --------------------------------------------------------------------------------------------


def read_sparse(arg: Any, shape: Any, name: str) -> csr_array:
    """Return the matrix of a constant one, or of entries and their places, those of a matrix or indices."""
    if isinstance(arg, csr_array) or sp.issparse(arg) or (isinstance(arg, np.ndarray) and arg.ndim == 2):
        if shape is not None and tuple(shape) != arg.shape:
            raise ValueError(f"{name}: shape {tuple(shape)} is not that of the matrix, {arg.shape}")
        if isinstance(arg, csr_array):
            return arg
        check_numbers(arg)
        matrix = floating(sp.csr_array(arg))
        return csr_array((matrix.data, matrix.indices, matrix.indptr), matrix.shape)
    if not isinstance(arg, (tuple, list)) or len(arg) != 2 or is_box(arg):
        traced = " (a dense matrix of traced entries is an operator by aslinearoperator)" if is_box(arg) else ""
        raise TypeError(f"expected krylov_adj.{name}({FORMS[name]}), of a SciPy sparse matrix S{traced}")
    data, places = arg
    if sp.issparse(places):
        shape = places.shape if shape is None else shape
        if places.format == "csr" and tuple(shape) == places.shape:
            return csr_array((data, places.indices, places.indptr), shape)
        if places.format not in ("csr", "csc", "coo"):
            raise TypeError(f"{name}: the places of data are those of a csr, csc or coo matrix, not of {places.format}")
        row, col = _places(places)
    elif isinstance(places, (tuple, list)) and len(places) == 2:
        row, col = places
    else:
        raise TypeError(f"expected krylov_adj.{name}({FORMS[name]}), of a SciPy sparse matrix S")
    data = check_data(data, 1, f"{name}: data")
    row, col = read_indices(row, 1, f"{name}: row indices"), read_indices(col, 1, f"{name}: column indices")
    if not data.shape[0] == row.size == col.size:
        raise ValueError(f"{name}: {data.shape[0]} data, {row.size} row and {col.size} column indices")
    rows, columns = (_bound(row, name), _bound(col, name)) if shape is None else check_shape(shape, name)
    check_range(row, rows, f"{name}: row indices")
    check_range(col, columns, f"{name}: column indices")
    dtype = index_dtype(row.size, rows, columns)
    return sum_entries(data, np.arange(row.size, dtype=dtype), row.astype(dtype), col.astype(dtype), (rows, columns))


FORMS = {
    "csr_array": "(data, indices, indptr), shape), csr_array((data, (row, col)), shape), csr_array((data, S)) or "
    "csr_array(S",
    "coo_array": "(data, (row, col)), shape), coo_array((data, S)) or coo_array(S",
}


def _places(matrix: Any) -> tuple[Array, Array]:
    """The rows and columns of the entries of a csr, csc or coo matrix, in its order."""
    if matrix.format == "coo":
        return matrix.row, matrix.col
    along = np.repeat(np.arange(matrix.indptr.size - 1), np.diff(matrix.indptr))
    return (along, matrix.indices) if matrix.format == "csr" else (matrix.indices, along)


def _bound(indices: Any, name: str) -> int:
    if np.size(indices) == 0:
        raise ValueError(f"{name}: without entries the shape has to be given")
    return int(np.max(indices)) + 1


def check_data(data: Any, dimensions: int, what: str) -> Any:
    values = np.asarray(strip(data))
    if values.dtype.kind not in "iufc":
        raise TypeError(
            f"{what} must be an array of numbers, not of dtype {values.dtype}. Traced numbers in a list: make an "
            "array of them with autograd.numpy.array."
        )
    if values.ndim != dimensions:
        raise ValueError(f"{what} must have {dimensions} dimension(s), not shape {values.shape}")
    return data if is_box(data) else values.astype(inexact(values.dtype), copy=False)


def read_indices(values: Any, dimensions: int, what: str) -> Array:
    return check_indices(_untraced(values, what), dimensions, what)


def _untraced(values: Any, what: str) -> Any:
    if is_box(values):
        raise TypeError(f"{what} cannot be traced: where entries stand is not differentiable")
    return values
