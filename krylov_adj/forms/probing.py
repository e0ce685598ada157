"""The sparse matrix of an operator that is given by its products, when the places of its entries are known.

Columns that have no row in common have one colour. The sum of the unit vectors of one colour, applied, has the entries
of all of its columns, each in rows of its own (Curtis, Powell & Reid, IMA J. Appl. Math. 13, 1974): as many products as
colours, which SciPy's greedy algorithm finds, in the order of the columns. One more product, with a random vector,
checks that no entry stands elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize._numdiff import group_columns  # SciPy's least_squares uses it; no public name has it

from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..report.container_messages import outside_of_pattern, pattern_of_numbers
from .patterns import check_shape

__all__ = ["Places", "probe", "read_places"]

Array = np.ndarray

#: Of the vector that the matrix is compared on.
SEED = 29

#: Columns of unit vectors that are applied at a time, in numbers.
CHUNK = 1 << 24


@dataclass(frozen=True, eq=False)
class Places:
    """Where the entries of a matrix may stand: a csc pattern, or the stencil of a grid, which may wrap around."""

    pattern: Any = None
    grid: tuple[int, ...] = ()
    reach: tuple[int, ...] = ()

    def coloured(self) -> list[tuple[Any, Array]]:
        """Return the patterns to try, smallest first, each with the colour of every column."""
        if self.pattern is not None:
            return [(self.pattern, _colours(self.pattern))]
        return [_coloured_stencil(self.grid, self.reach, wraps) for wraps in (False, True)]


def read_places(sparsity: Any, grid: Any, reach: Any, shape: tuple[int, int]) -> Places | None:
    """Return where entries stand, from a matrix, or from a grid and how far along each axis its points are coupled.

    Raises
    ------
    TypeError
        What is no matrix, no shape, or a reach without a grid.
    ValueError
        Another shape than the operator's.
    """
    if sparsity is None and grid is None and reach is None:
        return None
    if sparsity is not None:
        if grid is not None or reach is not None:
            raise TypeError("LinearOperator: pass sparsity=, or grid= and reach=, not both")
        if not (sp.issparse(sparsity) or (isinstance(sparsity, np.ndarray) and sparsity.ndim == 2)):
            raise TypeError(pattern_of_numbers(type(sparsity).__name__))
        if sparsity.shape != tuple(shape):
            raise ValueError(f"LinearOperator: sparsity has shape {sparsity.shape}, the operator {tuple(shape)}")
        pattern = sp.csc_array(sparsity)
        return Places(
            sp.csc_array((np.ones(pattern.nnz, np.int8), pattern.indices, pattern.indptr), shape=pattern.shape)
        )
    if grid is None or reach is None:
        raise TypeError("LinearOperator: grid= and reach= go together, as grid=(nx, ny), reach=(1, 1)")
    grid, reach = np.atleast_1d(grid), np.atleast_1d(reach)
    if grid.dtype.kind not in "iu" or reach.dtype.kind not in "iu" or grid.ndim != 1 or np.any(reach < 0):
        raise TypeError(
            f"LinearOperator: grid={grid.tolist()} and reach={reach.tolist()} must be integers, one for each axis"
        )
    if grid.size != reach.size:
        raise ValueError(f"LinearOperator: grid={tuple(grid.tolist())} has {grid.size} axes, reach {reach.size}")
    n = int(np.prod(grid))
    if check_shape(shape, "LinearOperator") != (n, n):
        raise ValueError(
            f"LinearOperator: grid={tuple(grid.tolist())} has {n} points, the operator shape {tuple(shape)}"
        )
    return Places(None, tuple(grid.tolist()), tuple(reach.tolist()))


@functools.lru_cache(maxsize=4)
def _coloured_stencil(grid: tuple[int, ...], reach: tuple[int, ...], wraps: bool) -> tuple[Any, Array]:
    pattern = sp.csc_array(np.ones((1, 1), np.int8))
    for points, far in zip(grid, reach, strict=True):
        offsets = np.arange(-min(far, points - 1), min(far, points - 1) + 1)
        columns = np.repeat(np.arange(points), offsets.size)
        rows = (columns.reshape(points, -1) + offsets).ravel()
        inside = np.ones(rows.size, bool) if wraps else (rows >= 0) & (rows < points)
        places = rows[inside] % points, columns[inside]
        axis = sp.csc_array((np.ones(places[0].size, np.int8), places), shape=(points, points))
        pattern = sp.csc_array(sp.kron(pattern, axis, format="csc"))
    return pattern, _colours(pattern)


def _colours(pattern: Any) -> Array:
    return np.asarray(group_columns(pattern, np.arange(pattern.shape[1])))


def probe(apply: Callable[[Array], Array], places: Places, dtype: Any) -> Any:
    """Return the csr matrix of a linear map of blocks of vectors.

    Raises
    ------
    ValueError
        Where a product shows entries at other places.
    """
    dtype = np.result_type(dtype, np.float32)
    difference = np.inf
    for pattern, colours in places.coloured():
        matrix = _probed(apply, pattern, colours, dtype)
        v = WHOLE.random(pattern.shape[1], dtype, SEED)
        image = apply(v[:, None])[:, 0]
        # Row by row: a row of large entries must not hide what is missing in another one.
        sizes = np.maximum(np.abs(image), abs(matrix) @ np.abs(v))
        missing = np.abs(image - matrix @ v)
        difference = float(np.max(missing[sizes > 0] / sizes[sizes > 0], initial=0))
        if difference <= Precision.of(dtype).agreeing(pattern.shape[1]):
            matrix.eliminate_zeros()
            return matrix
    raise ValueError(outside_of_pattern(difference, places.grid, places.reach))


def _probed(apply: Callable[[Array], Array], pattern: Any, colours: Array, dtype: Any) -> Any:
    n, count = pattern.shape[1], int(colours.max(initial=-1)) + 1
    columns = np.repeat(np.arange(n), np.diff(pattern.indptr))
    of_entries, data = colours[columns], np.zeros(pattern.nnz, dtype)
    step = max(CHUNK // max(n, 1), 1)
    for start in range(0, count, step):
        chosen = np.arange(start, min(start + step, count))
        units = (colours[:, None] == chosen).astype(dtype)  # (n, colours of this part)
        images = apply(units)
        part = (of_entries >= start) & (of_entries < start + step)
        data[part] = images[pattern.indices[part], of_entries[part] - start]
    if not np.all(np.isfinite(data)):
        raise ValueError("the operator returned NaN or infinity where its matrix was probed")
    return sp.csr_array(sp.csc_array((data, pattern.indices, pattern.indptr), shape=pattern.shape))
