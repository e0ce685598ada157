"""The spans of X and B X: bases, and what they say of the left eigenvectors Y with (B X)ᴴY = I."""

from __future__ import annotations

import numpy as np
import scipy.linalg as la

from ..krylov.blocks import column_dots, times

Array = np.ndarray

#: The least cosine of the angles between X and B X at which a basis of X serves as Φ.
OBLIQUE = 0.1


def left_basis(Q_X: Array, Q_BX: Array) -> Array:
    """Φ with a well-conditioned (B X)ᴴΦ, of a pencil that is not Hermitian.

    A basis of X rather than of B X, whose image R_i Φ is huge where B X does not meet the boundary conditions of a
    differential operator; that of B X where the two spaces are nearly orthogonal.
    """
    return Q_X if Q_X is Q_BX or la.svdvals(times(Q_BX.conj().T, Q_X))[-1] > OBLIQUE else Q_BX


def left_lengths(Q_BX: Array, BX: Array) -> Array:
    """‖y‖ (d,) from below: of the shortest vectors with these products. Infinite where B X is linearly dependent."""
    sizes = np.linalg.norm(BX, axis=0)
    try:
        return np.linalg.norm(np.linalg.inv(times(Q_BX.conj().T, BX / sizes).conj().T), axis=0) / sizes
    except np.linalg.LinAlgError:
        return np.full(sizes.size, np.inf)


def overlaps(X: Array, Z: Array, BX: Array) -> Array:
    """|zᴴB x| / (‖x‖‖z‖) of every pair."""
    sizes = np.linalg.norm(X, axis=0) * np.linalg.norm(Z, axis=0)
    return np.abs(column_dots(Z, BX)) / np.where(sizes > 0, sizes, 1)
