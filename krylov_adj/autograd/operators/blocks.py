"""Operators made of blocks, under SciPy's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..elementary import xp
from ..trace import strip
from .algebra import Composite, operator_sum
from .base import LinearOperator
from .matrices import Constant, aslinearoperator

__all__ = ["block_array", "block_diag"]


def block_array(blocks: Any, *, format: str | None = None, dtype: Any = None) -> LinearOperator:
    """An operator made of blocks, as `scipy.sparse.block_array`.

    Parameters
    ----------
    blocks : list of lists
        Row by row, anything that `aslinearoperator` takes, or None for a block of zeros. A row or column of blocks
        with zeros alone has no size: put ``scipy.sparse.csr_array(shape)`` in one place.
    format : str, optional
        Of the matrix that ``explicit()`` returns; csr by default.
    dtype : dtype, optional
        That of the operator; the common type of the blocks by default.

    Returns
    -------
    LinearOperator
        Blocks in one row have as many rows, blocks in one column as many columns.

    Raises
    ------
    ValueError
        Blocks that do not fit, rows of different lengths, a row or column of None alone.
    TypeError
        What `aslinearoperator` does not take, or a ``dtype`` that the blocks do not fit into.

    Notes
    -----
    Each block is applied once, to whole blocks of vectors. The adjoint is that of the blocks. ``explicit()`` is the
    SciPy matrix, for ``sigma`` and direct solves, where all blocks have one.

    Derivative
    ----------
    With respect to the vector and everything that the blocks depend on, to any order.

    Examples
    --------
    A quadratic eigenproblem (λ² M + λ C + K) x = 0 as a linear one of twice the size:

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> K = -1.0 * ka.pde.laplacian(20)
    >>> def decay(c):  # of the slowest mode, damped by c
    ...     A = ka.block_array([[None, ka.eye_array(20)], [-K, ka.eye_array(20) * -c]])
    ...     return np.real(ka.eigs(A, k=1, sigma=0.0, v0=numpy.ones(40))[0][0])
    >>> print(round(float(grad(decay)(0.1)), 6))  # λ = −c/2 ± i √(k − c²/4)
    -0.5
    """
    # A row that is an array of numbers is a block: one row of blocks, without its brackets.
    rows = [list(row) if _is_row(row) else [] for row in blocks]
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("block_array: expected rows of as many blocks each, [[A, B], [C, D]], None for zeros")
    heights: list[int | None] = [None] * len(rows)
    widths: list[int | None] = [None] * len(rows[0])
    places: list[tuple[int, int]] = []
    operands: list[LinearOperator] = []
    for i, row in enumerate(rows):
        for j, block in enumerate(row):
            if block is None:
                continue
            operand = aslinearoperator(block)
            for sizes, k, size, what in (
                (heights, i, operand.shape[0], "rows"),
                (widths, j, operand.shape[1], "columns"),
            ):
                if sizes[k] not in (None, size):
                    beside = "row" if what == "rows" else "column"
                    raise ValueError(
                        f"block_array: block [{i}][{j}] has {size} {what}, and blocks before it in {beside} {k} of "
                        "blocks "
                        f"have {sizes[k]}"
                    )
                sizes[k] = size
            places.append((i, j))
            operands.append(operand)
    for sizes, what in ((heights, "row"), (widths, "column")):
        if None in sizes:
            raise ValueError(
                f"block_array: {what} {sizes.index(None)} of blocks is None alone, and has no size: give one of its "
                "blocks "
                "as scipy.sparse.csr_array(shape)"
            )
    block = Block([h for h in heights if h is not None], [w for w in widths if w is not None], places, operands, format)
    return block if dtype is None else _of_type(block, dtype)


def block_diag(mats: Any, format: str | None = None, dtype: Any = None) -> LinearOperator:
    """A block-diagonal operator, as `scipy.sparse.block_diag`.

    Parameters
    ----------
    mats : sequence
        Anything that `aslinearoperator` takes; need not be square.
    format, dtype
        As for `block_array`.

    Returns
    -------
    LinearOperator

    Raises
    ------
    ValueError
        An empty sequence.
    TypeError
        As for `block_array`.

    Derivative
    ----------
    As of `block_array`.

    Examples
    --------
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> print(ka.block_diag([2.0 * np.eye(1), ka.pde.laplacian(2)]).toarray())
    [[ 2.  0.  0.]
     [ 0. -2.  1.]
     [ 0.  1. -2.]]
    """
    blocks = list(mats)
    if not blocks:
        raise ValueError("block_diag: expected at least one block")
    rows = [[block if i == j else None for j in range(len(blocks))] for i, block in enumerate(blocks)]
    return block_array(rows, format=format, dtype=dtype)


def _is_row(row: Any) -> bool:
    return isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.dtype.kind == "O")


class Block(Composite):
    """Operands at places (i, j) of a grid of blocks."""

    def __init__(
        self,
        heights: list[int],
        widths: list[int],
        places: list[tuple[int, int]],
        operands: list[LinearOperator],
        format: str | None,
    ):
        super().__init__((sum(heights), sum(widths)), np.result_type(*(a.dtype for a in operands)), *operands)
        self._heights, self._widths, self._positions, self._format = heights, widths, places, format

    def _apply(self, X: Any) -> Any:
        functions = [operand._apply for operand in self._operands]
        return self._summed(X, functions, self._positions, self._heights, self._widths)

    def _apply_adjoint(self, X: Any) -> Any:
        functions = [operand._apply_adjoint for operand in self._operands]
        return self._summed(X, functions, [(j, i) for i, j in self._positions], self._widths, self._heights)

    def _summed(
        self, X: Any, functions: list[Any], places: list[tuple[int, int]], heights: list[int], widths: list[int]
    ) -> Any:
        if self.dtype.kind == "c" and not np.iscomplexobj(strip(X)):
            X = X * self.dtype.type(1)  # all parts of one type
        starts = np.concatenate([[0], np.cumsum(widths)])
        parts = [X[starts[j] : starts[j + 1]] for j in range(len(widths))]
        sums: list[Any] = [None] * len(heights)
        for (i, j), function in zip(places, functions, strict=True):
            image = function(parts[j])
            sums[i] = image if sums[i] is None else sums[i] + image
        return xp.concatenate(sums, axis=0)

    def _matrix(self, *matrices: Any) -> Any:
        rows: list[list[Any]] = [[None] * len(self._widths) for _ in self._heights]
        for (i, j), matrix in zip(self._positions, matrices, strict=True):
            rows[i][j] = sp.csr_array(matrix)
        return sp.csr_array(sp.bmat(rows, format="csr")).asformat(self._format or "csr")


def _of_type(block: LinearOperator, dtype: Any) -> LinearOperator:
    dtype = np.dtype(dtype)
    if not np.can_cast(block.dtype, dtype):
        raise TypeError(f"block_array: blocks of type {block.dtype} do not fit into dtype={dtype}")
    if block.dtype == dtype:
        return block
    return operator_sum(block, Constant(sp.csr_array(block.shape, dtype=dtype)))
