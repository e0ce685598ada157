"""Stencils on rectangular grids, applied matrix-free.

A stencil is a list of couplings between shifted boxes of grid points,

    y[target + i] += a[i] u[source + i]    for all i in the box of the given extent,

each with coefficients a that fill the box or are broadcast over it (extent 1 along an axis). All
coefficients of an operator are one vector, so that an operator is linear in one coefficient vector
and its derivatives are those of a trilinear form (`trilinear.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .trilinear import COEFFICIENTS, OUTPUT

__all__ = ["Coupling", "StencilForm"]

Array = np.ndarray
Slices = tuple[slice, ...]

#: Grid points worked on at a time, so that intermediate results stay in the processor's cache.
BLOCK = 1 << 15


class Coupling(NamedTuple):
    """One shift of a stencil; the corners of both boxes and their common extent, per axis."""

    coefficients: int  # which array of coefficients
    target: tuple[int, ...]
    source: tuple[int, ...]
    extent: tuple[int, ...]


class _Piece(NamedTuple):
    """A coupling, or the part of it that lies in one block of the grid."""

    coefficients: int
    part: Slices  # of the coefficients
    target: Slices  # of a block of columns on the grid, (k, *grid)
    source: Slices


class StencilForm:
    """The trilinear form yᵀ A u of (coefficients, u, y)."""

    def __init__(self, grid: tuple[int, ...], shapes: Sequence[tuple[int, ...]], couplings: Sequence[Coupling]):
        self.grid, self.shapes, self.couplings = grid, shapes, couplings
        self.ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        self.broadcast = [tuple(axis for axis, size in enumerate(shape) if size == 1) for shape in shapes]
        rows = max(1, BLOCK // max(1, int(np.prod(grid[1:]))))
        self.pieces = [piece for start in range(0, grid[0], rows) for piece in self._within(start, start + rows)]

    def _within(self, start: int, stop: int) -> Iterator[_Piece]:
        """The parts of the couplings whose targets are grid points of index start … stop along axis 0."""
        for number, target, source, extent in self.couplings:
            first, last = max(start - target[0], 0), min(stop - target[0], extent[0])
            if first < last and all(extent):
                whole = self.shapes[number][0] == 1
                yield _Piece(
                    number,
                    (slice(None) if whole else slice(first, last),),
                    _box(target, extent, first, last),
                    _box(source, extent, first, last),
                )

    def contract(self, free: int, u: Array, v: Array) -> Array:
        if free == COEFFICIENTS:
            return self._sampled(u, v)
        coefficients, x = self._split(u), self._on_grid(v)
        y = np.zeros(x.shape, np.result_type(u, v))  # (k, *grid)
        for number, part, target, source in self.pieces:
            to, of = (target, source) if free == OUTPUT else (source, target)
            y[to] += coefficients[number][part] * x[of]
        return y.reshape(len(y), len(v)).T.reshape(v.shape)

    def _sampled(self, x: Array, y: Array) -> Array:
        """Σⱼ y[target, j] x[source, j] for every coefficient."""
        x, y = self._on_grid(x), self._on_grid(y)
        total = np.zeros(self.ends[-1], np.result_type(x, y))
        totals = self._split(total)
        for number, part, target, source in self.pieces:
            product = (x[source] * y[target]).sum(axis=0)
            totals[number][part] += product.sum(axis=self.broadcast[number], keepdims=True)
        return total

    def _split(self, flat: Array) -> list[Array]:
        """Views of the arrays of coefficients."""
        return [part.reshape(shape) for part, shape in zip(np.split(flat, self.ends[:-1]), self.shapes, strict=True)]

    def _on_grid(self, V: Array) -> Array:
        """(n,) or (n, k) as (k, *grid), every column contiguous."""
        return np.ascontiguousarray(V.T).reshape(-1, *self.grid)

    def matrix(self, flat: Array) -> Any:
        n = int(np.prod(self.grid))
        points = np.arange(n, dtype=np.int32 if n <= np.iinfo(np.int32).max else np.int64).reshape(self.grid)
        rows, columns, entries = [], [], []
        coefficients = self._split(flat)
        for number, part, target, source in self.pieces:
            shape = points[target[1:]].shape
            rows.append(points[target[1:]].ravel())
            columns.append(points[source[1:]].ravel())
            entries.append(np.broadcast_to(coefficients[number][part], shape).ravel())
        triplets = np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))
        return sp.coo_array(triplets, shape=(n, n)).tocsr()  # sums what a short periodic axis puts in one place


def _box(corner: tuple[int, ...], extent: tuple[int, ...], first: int, last: int) -> Slices:
    """The slices of a block (k, *grid): all columns, and the coupling's points ``first`` … ``last`` along axis 0."""
    rest = tuple(slice(start, start + size) for start, size in zip(corner[1:], extent[1:], strict=True))
    return (slice(None), slice(corner[0] + first, corner[0] + last), *rest)
