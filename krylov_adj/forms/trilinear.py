"""Operators that are linear in their coefficients too, as trilinear forms on plain arrays.

An operator A(a) that is linear in its coefficients a defines a trilinear form (no conjugates)

    F(a, x, y) = yᵀ A(a) x,

whose three contractions with two of its arguments are the application, that of the transpose, and
the cotangent of the coefficients:

    A(a) x,      A(a)ᵀ y,      ∂F/∂a (x, y).

Each is bilinear, and its derivative with respect to either argument is another of the three. So a form brings three
functions on plain arrays, and a front end differentiates them into each other.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

__all__ = ["COEFFICIENTS", "INPUT", "OUTPUT", "TrilinearForm"]

#: The slots of F(a, x, y).
COEFFICIENTS, INPUT, OUTPUT = 0, 1, 2


class TrilinearForm(Protocol):
    """Contractions of plain arrays.

    Coefficients have the shape (p,), inputs (n,) or (n, k), outputs (m,) or (m, k); the columns of
    blocks belong together, and the contraction to the coefficients is the sum over them.
    """

    def contract(self, free: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """F with u and v, in this order, in the two slots that are not ``free``."""
