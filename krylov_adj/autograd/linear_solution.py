"""autograd: the solution of A x = b as a primitive, differentiable to any order.

The anchor of `autograd.py`, for a linear system. x is computed on plain values; then for every level
t that b or A x carries, lowest first, the residual r = b − A x is evaluated with b and A as seen from t
and the x of the level below, and

    x ← solution_primitive(r, x),    dx = A⁻¹ dr  (or A⁻ᴴ dr) + the dx that x brings along,

whose adjoint is r̄ = A⁻ᴴ x̄ in the core's convention (cotangents conjugated on entering and on leaving).
Both are solutions of linear systems again, anchored by the same function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from ..krylov.linear_system import LinearSystem, Stage
from .trace import hide, level, levels, seen_from, strip

__all__ = ["EVERY_LEVEL", "TracedSystem", "attach_solution", "solve_traced"]

#: For reading the operator with all of its Boxes: in the forward pass all of them are alive.
EVERY_LEVEL = sys.maxsize


@dataclass(frozen=True, eq=False)
class TracedSystem:
    """A x = b as plain values (``values``) and A, Aᴴ as the user's operator applies them, Boxes included."""

    values: LinearSystem
    apply: Callable[[Any], Any]
    apply_adjoint: Callable[[Any], Any]

    def image(self, stage: Stage, x: Any, t: int) -> Any:
        """A x, or Aᴴ x, as seen from level t."""
        return seen_from((self.apply_adjoint if stage == "adjoint" else self.apply)(x), t)


def solve_traced(system: TracedSystem, stage: Stage, b: Any, t: int) -> Any:
    """x with A x = b, differentiable in A as seen from level t and in b.

    b may have levels above t: what is traced there enters through b, and never through an
    application of A (whose closure may hold Boxes of an ended trace with the same number).
    """
    return attach_solution(system, stage, system.values.solve(stage, strip(b)), b, t)


def attach_solution(system: TracedSystem, stage: Stage, x: Any, b: Any, t: int) -> Any:
    """The plain solution x as a function of whatever b, and A as seen from level t, are traced in."""
    image = system.image(stage, x, t) if t >= 0 else None
    of_A = levels(image)
    for s in sorted({*of_A, *levels(b)}):
        residual = seen_from(b, s)
        if s in of_A:
            residual = residual - seen_from(image, s)
        x = solution_primitive(hide(residual), x, system, stage)
        if any(higher > s for higher in of_A):  # x has become traced at level s
            image = system.image(stage, x, t)
    return x


@primitive
def solution_primitive(residual: Any, x: Any, system: TracedSystem, stage: Stage) -> Any:
    """The solution, as it is; its dependence on the data is that on the residual."""
    return x


def _vjp(ans: Any, residual: Any, x: Any, system: TracedSystem, stage: Stage) -> Callable[[Any], Any]:
    t = max(level(residual), level(x))
    other: Stage = "tangent" if stage == "adjoint" else "adjoint"
    real = not np.iscomplexobj(strip(residual))

    def vjp(g: Any) -> Any:
        cotangent = anp.conj(solve_traced(system, other, anp.conj(g), t))
        return anp.real(cotangent) if real else cotangent

    return vjp


def _jvp(g: Any, ans: Any, residual: Any, x: Any, system: TracedSystem, stage: Stage) -> Any:
    t = max(level(residual), level(x))
    return solve_traced(system, "adjoint" if stage == "adjoint" else "tangent", g, t)


defvjp(solution_primitive, _vjp, lambda ans, residual, x, system, stage: lambda g: g)
defjvp(solution_primitive, _jvp, lambda g, ans, residual, x, system, stage: g)
