"""Sparse operators whose entries may be traced.

`csr_array` is the one kind of operator. `coo_array`, `diags_array` and `assemble` bring entries into its
order by a constant linear map of the entries, which is differentiable as such.
"""

from __future__ import annotations

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
from ...forms.trilinear import INPUT, OUTPUT
from ...perturbation.problem import inexact
from ..elementary import apply_constant, xp
from ..trace import is_box, strip
from ..trilinear import contract
from .base import LinearOperator

__all__ = ["assemble", "coo_array", "csr_array", "diags_array"]

Array = np.ndarray


class csr_array(LinearOperator):
    """A sparse matrix in compressed rows, differentiable in its stored entries.

    Row i holds the entries ``data[indptr[i]:indptr[i + 1]]``, in the columns
    ``indices[indptr[i]:indptr[i + 1]]``. Time and memory of a product and of its derivatives are
    O(nnz), and O(nnz) times k in time for a block of k columns.

    Parameters
    ----------
    arg : tuple of arrays (data, indices, indptr)
        ``data`` of shape (nnz,), real or complex, traced or not; ``indices`` of shape (nnz,) and
        ``indptr`` of shape (m + 1,), integers, not traced. Entries in the same place are summed.
        Explicit zeros are entries like any other and have a derivative.
    shape : (int, int)
        (m, n).

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
    explicit zeros, on arrays of its own.

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

    def __init__(self, arg: tuple[Any, Any, Any], shape: tuple[int, int]):
        data, indices, indptr = _parts(arg, 3, "csr_array((data, indices, indptr), shape)")
        shape = check_shape(shape, "csr_array")
        data = _data(data, 1, "csr_array: data")
        self._data = data
        indices, indptr = (_untraced(x, f"csr_array: {of}") for x, of in ((indices, "indices"), (indptr, "indptr")))
        self._pattern = csr_pattern(data.shape[0], indices, indptr, shape, "csr_array")
        spla.LinearOperator.__init__(self, data.dtype, shape)

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


def coo_array(arg: tuple[Any, tuple[Any, Any]], shape: tuple[int, int]) -> csr_array:
    """A sparse matrix given by entries in any order, differentiable in them.

    Parameters
    ----------
    arg : tuple (data, (row, col))
        ``data`` of shape (nnz,), real or complex, traced or not; ``row`` and ``col`` of shape
        (nnz,), integers, not traced. Entries in the same place are summed.
    shape : (int, int)

    Returns
    -------
    csr_array

    Raises
    ------
    TypeError
        Data that are no array of numbers, indices that are not integers or are traced.
    ValueError
        Wrong lengths or dimensions, indices out of range.

    Notes
    -----
    O(nnz + m + n) in time and memory: the entries are sorted by counting, once.

    Derivative
    ----------
    As of `csr_array`, with respect to ``data`` in the order given. Entries that are summed have the
    same derivative.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def f(data):
    ...     A = ka.coo_array((data, ([1, 0, 1], [0, 0, 0])), (2, 2))
    ...     return np.sum((A @ np.array([1.0, 2.0])) ** 2)
    >>> grad(f)(np.array([1.0, 5.0, 2.0]))
    array([ 6., 10.,  6.])
    """
    data, places = _parts(arg, 2, "coo_array((data, (row, col)), shape)")
    row, col = _parts(places, 2, "coo_array((data, (row, col)), shape)")
    rows, columns = check_shape(shape, "coo_array")
    data = _data(data, 1, "coo_array: data")
    row = _indices(row, 1, "coo_array: row indices")
    col = _indices(col, 1, "coo_array: column indices")
    if not data.shape[0] == row.size == col.size:
        raise ValueError(f"coo_array: {data.shape[0]} data, {row.size} row and {col.size} column indices")
    check_range(row, rows, "coo_array: row indices")
    check_range(col, columns, "coo_array: column indices")
    dtype = index_dtype(row.size, rows, columns)
    return _summed(data, np.arange(row.size, dtype=dtype), row.astype(dtype), col.astype(dtype), (rows, columns))


def diags_array(diagonals: Any, *, offsets: Any = 0, shape: tuple[int, int] | None = None) -> csr_array:
    """A sparse matrix given by its diagonals, differentiable in them, as `scipy.sparse.diags_array`.

    Parameters
    ----------
    diagonals : array, shape (l,), or sequence of such arrays
        Real or complex, traced or not. One array goes with one offset. Each is as long as its diagonal;
        where ``shape`` is given one entry stands for a constant diagonal.
    offsets : int or sequence of int
        Above (positive) or below (negative) the main diagonal. Not traced.
    shape : (int, int), optional
        (m, n). By default square, and such that the first diagonal fits.

    Returns
    -------
    csr_array

    Raises
    ------
    TypeError
        Diagonals that are no arrays of numbers, offsets that are not integers or are traced.
    ValueError
        As many diagonals as offsets are not there, lengths that do not fit, an offset given twice, one
        outside of the shape.

    Derivative
    ----------
    With respect to the diagonals, as of `csr_array`.

    Examples
    --------
    A potential on a grid:

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def ground_state(V):
    ...     H = ka.diags_array(V) - ka.pde.laplacian(5)
    ...     return ka.eigsh(H, k=1, which="SA", v0=numpy.ones(5))[0][0]
    >>> print(grad(ground_state)(numpy.zeros(5)).round(4))
    [0.0833 0.25   0.3333 0.25   0.0833]
    """
    name = "diags_array"
    offsets_ = np.atleast_1d(_indices(offsets, np.ndim(offsets), f"{name}: offsets"))
    parts = [diagonals] if np.ndim(offsets) == 0 else list(diagonals)
    if offsets_.ndim != 1 or len(parts) != offsets_.size:
        raise ValueError(f"{name}: {len(parts)} diagonals do not go with offsets of shape {offsets_.shape}")
    if not parts or np.unique(offsets_).size != offsets_.size:
        raise ValueError(f"{name}: at least one diagonal, and no offset twice; offsets are {offsets_.tolist()}")
    parts = [_data(part, 1, f"{name}: a diagonal") for part in parts]
    first = parts[0].shape[0] + abs(int(offsets_[0]))
    m, n = (first, first) if shape is None else check_shape(shape, name)
    data, rows, columns = [], [], []
    for part, offset in zip(parts, offsets_.tolist(), strict=True):
        length = min(m + min(offset, 0), n - max(offset, 0))
        if length <= 0 or (part.shape[0] != length and (shape is None or part.shape[0] != 1)):
            raise ValueError(
                f"{name}: the diagonal at offset {offset} of a matrix of shape {(m, n)} has {max(length, 0)} "
                f"entries, and {part.shape[0]} were given"
            )
        data.append(part if part.shape[0] == length else part * np.ones(length, strip(part).dtype))
        rows.append(np.arange(length) - min(offset, 0))
        columns.append(np.arange(length) + max(offset, 0))
    return coo_array((xp.concatenate(data), (np.concatenate(rows), np.concatenate(columns))), (m, n))


def assemble(element_matrices: Any, dofs: Any, shape: tuple[int, int]) -> csr_array:
    """The sum of small matrices over their degrees of freedom: A[dofs[e, i], dofs[e, j]] += K[e, i, j].

    Parameters
    ----------
    element_matrices : array, shape (ne, m, m)
        Real or complex, traced or not. An element matrix that scales with a parameter of its
        element is ``p[:, None, None] * K``.
    dofs : array of int, shape (ne, m)
        Rows and columns of each element matrix in A. Negative: constrained, the row and the column
        are dropped. Not traced.
    shape : (int, int)
        (n, n).

    Returns
    -------
    csr_array
        Entries in order of rows and columns, each place once.

    Raises
    ------
    TypeError
        Element matrices that are no array of numbers, dofs that are not integers or are traced.
    ValueError
        Wrong shapes, dofs not below n, a shape that is not square.

    Notes
    -----
    O(ne m² + n) in time and memory, and deterministic: contributions to one place are always summed
    in the same order.

    Derivative
    ----------
    With respect to ``element_matrices``, as of `csr_array`. Dropped rows and columns have derivative
    zero.

    Examples
    --------
    A chain of springs between fixed walls. The derivative of an eigenvalue with respect to a
    stiffness is the squared elongation of that spring:

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> dofs = numpy.stack([numpy.arange(-1, 5), numpy.append(numpy.arange(5), -1)], axis=1)
    >>> spring = numpy.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> def lowest(stiffness):
    ...     K = ka.assemble(stiffness[:, None, None] * spring, dofs, (5, 5))
    ...     return ka.eigsh(K, k=1, sigma=0.0, v0=numpy.ones(5))[0][0]
    >>> print(grad(lowest)(numpy.ones(6)).round(4))
    [0.0833 0.0447 0.006  0.006  0.0447 0.0833]
    """
    n, columns = check_shape(shape, "assemble")
    if n != columns:
        raise ValueError(f"assemble: rows and columns have the same dofs, so the shape is square, not {(n, columns)}")
    matrices = _data(element_matrices, 3, "assemble: element_matrices")
    dofs = _indices(dofs, 2, "assemble: dofs")
    if matrices.shape != (*dofs.shape, dofs.shape[1]):
        raise ValueError(
            f"assemble: dofs of shape {dofs.shape} go with element matrices of shape {(*dofs.shape, dofs.shape[1])}, "
            f"not {matrices.shape}"
        )
    if dofs.size and dofs.max() >= n:
        raise ValueError(f"assemble: dofs go up to {dofs.max()} in a matrix of shape {(n, n)}")
    dofs = dofs.astype(index_dtype(matrices.size, n))
    rows = np.broadcast_to(dofs[:, :, None], matrices.shape).ravel()
    cols = np.broadcast_to(dofs[:, None, :], matrices.shape).ravel()
    positions = np.arange(matrices.size, dtype=dofs.dtype)
    if np.any(dofs < 0):
        positions = positions[(rows >= 0) & (cols >= 0)]
        rows, cols = rows[positions], cols[positions]
    return _summed(xp.reshape(matrices, (-1,)), positions, rows, cols, (n, n))


def _summed(data: Any, positions: Array, rows: Array, cols: Array, shape: tuple[int, int]) -> csr_array:
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


def _parts(arg: Any, count: int, form: str) -> tuple[Any, ...]:
    if not isinstance(arg, (tuple, list)) or len(arg) != count:
        raise TypeError(f"expected krylov_adj.{form}")
    return tuple(arg)


def _data(data: Any, dimensions: int, what: str) -> Any:
    values = np.asarray(strip(data))
    if values.dtype.kind not in "iufc":
        raise TypeError(
            f"{what} must be an array of numbers, not of dtype {values.dtype}. Traced numbers in a list: make an "
            "array of them with autograd.numpy.array."
        )
    if values.ndim != dimensions:
        raise ValueError(f"{what} must have {dimensions} dimension(s), not shape {values.shape}")
    return data if is_box(data) else values.astype(inexact(values.dtype), copy=False)


def _indices(values: Any, dimensions: int, what: str) -> Array:
    return check_indices(_untraced(values, what), dimensions, what)


def _untraced(values: Any, what: str) -> Any:
    if is_box(values):
        raise TypeError(f"{what} cannot be traced: where entries stand is not differentiable")
    return values
