"""autograd: the contraction of a trilinear form as a primitive that differentiates into itself (forms/trilinear.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from ..forms.trilinear import COEFFICIENTS, INPUT, OUTPUT, TrilinearForm
from .elementary import xp
from .trace import strip

__all__ = ["contract"]


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
