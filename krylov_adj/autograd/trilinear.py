"""Operators that are linear in their coefficients too: one primitive, derivatives of any order.

An operator A(a) that is linear in its coefficients a defines a trilinear form (no conjugates)

    F(a, x, y) = yᵀ A(a) x,

whose three contractions with two of its arguments are the application, that of the transpose, and
the cotangent of the coefficients:

    A(a) x,      A(a)ᵀ y,      ∂F/∂a (x, y).

Each is bilinear, and its derivative with respect to either argument is another of the three. So a
form brings three functions on plain arrays, and the primitive differentiates into itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from .primitives import xp
from .trace import strip

__all__ = ["COEFFICIENTS", "INPUT", "OUTPUT", "TrilinearForm", "contract"]

#: The slots of F(a, x, y).
COEFFICIENTS, INPUT, OUTPUT = 0, 1, 2


class TrilinearForm(Protocol):
    """What `contract` needs: contractions of plain arrays.

    Coefficients have the shape (p,), inputs (n,) or (n, k), outputs (m,) or (m, k); the columns of
    blocks belong together, and the contraction to the coefficients is the sum over them.
    """

    def contract(self, free: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """F with u and v, in this order, in the two slots that are not ``free``."""


@primitive
def contract(u: Any, v: Any, form: TrilinearForm, free: int) -> Any:
    """The contraction of a form that leaves one slot free; u and v, in order, fill the others."""
    return form.contract(free, u, v)


def _vjp(position: int) -> Callable[..., Callable[[Any], Any]]:
    def maker(ans: Any, u: Any, v: Any, form: TrilinearForm, free: int) -> Callable[[Any], Any]:
        filled = [slot for slot in (COEFFICIENTS, INPUT, OUTPUT) if slot != free]
        this, other = filled[position], filled[1 - position]
        value, kept = (u, v) if position == 0 else (v, u)

        def vjp(g: Any) -> Any:
            first, second = (kept, g) if other < free else (g, kept)
            cotangent = contract(first, second, form, this)
            return cotangent if np.iscomplexobj(strip(value)) else xp.real(cotangent)

        return vjp

    return maker


defvjp(contract, _vjp(0), _vjp(1))
defjvp(
    contract,
    lambda g, ans, u, v, form, free: contract(g, v, form, free),
    lambda g, ans, u, v, form, free: contract(u, g, form, free),
)
