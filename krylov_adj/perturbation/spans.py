"""The spans of X and B X: bases, and what they say of the left eigenvectors Y with (B X)ᴴY = I."""

from __future__ import annotations

import numpy as np

from ..krylov import small
from ..krylov.space import Space

Array = np.ndarray

#: The least cosine of the angles between X and B X at which a basis of X serves as Φ.
OBLIQUE = 0.1


def left_basis(space: Space, Q_X: Array, Q_BX: Array) -> Array:
    """Φ with a well-conditioned (B X)ᴴΦ, of a pencil that is not Hermitian.

    A basis of X rather than of B X, whose image R_i Φ is huge where B X does not meet the boundary conditions of a
    differential operator; that of B X where the two spaces are nearly orthogonal.
    """
    return Q_X if Q_X is Q_BX or small.svdvals(space, space.gram(Q_BX, Q_X))[-1] > OBLIQUE else Q_BX


def left_lengths(space: Space, Q_BX: Array, BX: Array) -> Array:
    """‖y‖ (d,) from below: of the shortest vectors with these products. Infinite where B X is linearly dependent."""
    sizes = space.norms(BX)
    try:
        return small.column_norms(small.unchecked_inverse(space, space.gram(Q_BX, BX / sizes).conj().T)) / sizes
    except np.linalg.LinAlgError:
        return np.full(sizes.size, np.inf)


def overlaps(space: Space, X: Array, Z: Array, BX: Array) -> Array:
    """|zᴴB x| / (‖x‖‖z‖) of every pair."""
    sizes = space.norms(X) * space.norms(Z)
    return np.abs(space.dots(Z, BX)) / np.where(sizes > 0, sizes, 1)
