"""Krylov bases that stay orthonormal: the Arnoldi process, for whatever is made of its Hessenberg matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .precision import Precision
from .space import Space

Array = np.ndarray


def orthogonalise(space: Space, w: Array, norm: float, basis: Array, h: Array, border: int = 0) -> float:
    """Subtract from w (in place) its part in the rows of the basis; the norm left.

    The coefficients of the last h.size rows go to h; those of the rows before, which are deflated, nowhere. The vectors
    end with ``border`` numbers that every process has.
    """
    for _ in range(3):
        before = norm
        projection = space.bordered_overlaps(basis, w, border) if border else space.overlaps(basis, w)
        w -= projection @ basis
        h += projection[-h.size :]
        norm = space.bordered_norm(w, border) if border else space.norm(w)
        # Daniel, Gragg, Kaufman & Stewart: repeat where cancellation has made the result unsafe.
        if norm > 0.5 * before:
            break
    return norm


class KrylovProcess:
    """Arnoldi's T V = V̲ H̲ on the complement of some vectors, step by step.

    Keeps the last ``window`` vectors, to which the next one is orthogonal: all of them where ``window`` is no less than
    ``most``, the number of steps that there may be.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(v)`` is T v, for single vectors.
    start : ndarray, shape (n,)
        Orthogonal to ``deflated``, of any length; complex where T or ``deflated`` is.
    deflated : ndarray, shape (n, d)
        An orthonormal basis of what all vectors are orthogonal to.
    window, most : int
    """

    def __init__(
        self,
        space: Space,
        apply: Callable[[Array], Array],
        start: Array,
        deflated: Array,
        window: int,
        most: int,
    ):
        local, self.d = deflated.shape
        self.space, self.apply, self.window, self.m = space, apply, min(window, most), 0
        self.basis = space.empty((self.d + self.window + 1, local), start.dtype)  # in rows: deflated, then V
        self.basis[: self.d] = deflated.T
        self.basis[self.d] = start / space.norm(start)
        self.H = np.zeros((most + 1, most), start.dtype)
        self.closed = False

    @property
    def V(self) -> Array:
        """The vectors in rows, where none is gone."""
        return self.basis[self.d :]

    @property
    def last(self) -> Array:
        """The last vector that T was applied to."""
        return self.basis[self.d + (self.m - 1) % (self.window + 1)]

    def step(self) -> Array:
        """One more vector, unless the space is closed; returns the numbers of those that it is orthogonal to."""
        m, d, rows = self.m, self.d, self.window + 1
        held = np.arange(max(m - self.window, 0), m + 1)
        held = held[np.argsort(held % rows)]  # as they are stored
        w = np.array(self.apply(self.basis[d + m % rows]))  # which may be that vector's own memory
        before, h = self.space.norm(w), np.zeros(held.size, w.dtype)
        norm = orthogonalise(self.space, w, before, self.basis[: d + held.size], h)
        self.H[held, m] = h
        self.m = m + 1
        self.closed = norm <= Precision.of(w.dtype).floor * before
        if not self.closed:
            self.H[m + 1, m] = norm
            self.basis[d + self.m % rows] = w / norm
        return held
