"""Krylov bases that stay orthonormal."""

from __future__ import annotations

import numpy as np

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
