"""Sparse operators of entries in any order, by diagonals, or of element matrices.

They bring entries into the order of `csr_array` by a constant linear map of the entries, which is differentiable as
such.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...forms.patterns import check_shape, index_dtype
from ..elementary import xp
from ..trace import strip
from .csr import check_data, csr_array, read_indices, read_sparse, sum_entries

__all__ = ["assemble", "coo_array", "diags_array", "eye_array"]


def coo_array(arg: Any, shape: tuple[int, int] | None = None) -> csr_array:
    """A sparse matrix given by entries in any order, differentiable in them.

    Parameters
    ----------
    arg : tuple (data, (row, col)), (data, S), or S
        ``data`` of shape (nnz,), real or complex, traced or not; ``row`` and ``col`` of shape
        (nnz,), integers, not traced. Entries in the same place are summed. S is a SciPy sparse matrix, alone with
        its entries, or for the places of ``data`` in the order of ``S.data``.
    shape : (int, int), optional
        By default that of S, or large enough for all indices.

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
    return read_sparse(arg, shape, "coo_array")


def diags_array(
    diagonals: Any, offsets: Any = 0, shape: tuple[int, int] | None = None, format: str | None = None
) -> csr_array:
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
    format : str, optional
        For code that was written for SciPy; every format is kept in compressed rows.

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
    offsets_ = np.atleast_1d(read_indices(offsets, np.ndim(offsets), f"{name}: offsets"))
    parts = [diagonals] if np.ndim(offsets) == 0 else list(diagonals)
    if offsets_.ndim != 1 or len(parts) != offsets_.size:
        raise ValueError(f"{name}: {len(parts)} diagonals do not go with offsets of shape {offsets_.shape}")
    if not parts or np.unique(offsets_).size != offsets_.size:
        raise ValueError(f"{name}: at least one diagonal, and no offset twice; offsets are {offsets_.tolist()}")
    parts = [check_data(part, 1, f"{name}: a diagonal") for part in parts]
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


def eye_array(m: int, n: int | None = None, *, k: int = 0, dtype: Any = float, format: str | None = None) -> csr_array:
    """Ones on a diagonal, as `scipy.sparse.eye_array`.

    Parameters
    ----------
    m, n : int
        The shape; n is m by default.
    k : int, optional
        Which diagonal.
    dtype : dtype, optional
        Integers count as double precision.
    format : str, optional
        For code that was written for SciPy; every format is kept in compressed rows.

    Returns
    -------
    csr_array

    Raises
    ------
    TypeError
        Sizes that are not integers.
    ValueError
        Negative sizes.

    Derivative
    ----------
    It has no parameters; scale it with traced numbers.

    Examples
    --------
    >>> import krylov_adj as ka
    >>> print((ka.eye_array(3) * 2.0 + ka.eye_array(3, k=1)).toarray())
    [[2. 1. 0.]
     [0. 2. 1.]
     [0. 0. 2.]]
    """
    shape = check_shape((m, m if n is None else n), "eye_array")
    length = max(min(shape[0] + min(k, 0), shape[1] - max(k, 0)), 0)
    places = np.arange(length) - min(k, 0), np.arange(length) + max(k, 0)
    return csr_array((np.ones(length, dtype), places), shape)


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
    matrices = check_data(element_matrices, 3, "assemble: element_matrices")
    dofs = read_indices(dofs, 2, "assemble: dofs")
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
    return sum_entries(xp.reshape(matrices, (-1,)), positions, rows, cols, (n, n))
