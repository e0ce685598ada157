"""autograd: the solution of a linear equation as a primitive, differentiable to any order.

One primitive serves block-bordered systems, left eigenvectors and A x = b. The solution z of L z = r is computed on
plain values. Then, for every level t that r or L z carries, lowest first, the residual r − L z is evaluated with L and
r as seen from t and the z of the level below, and

    z ← solution_primitive(r − L z, z),    dz = L⁻¹ d(residual) + the dz that z brings along,

whose adjoint is L⁻ᴴ z̄ in the core's convention (cotangents conjugated on entering and on leaving). Both are solutions
of linear equations again, attached by the same function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp_argnums, defvjp_argnums, primitive

from .trace import UNTRACED, hide, level, levels, seen_from, strip

__all__ = ["EVERY_LEVEL", "NO_CHANNEL", "Equation", "Solved", "attach_solution"]

#: Which equation: L z = r of the forward pass or of a tangent, or Lᴴ z = r.
Side = Literal["forward", "tangent", "adjoint"]

#: For reading an operator with all of its Boxes: in the forward pass all of them are alive.
EVERY_LEVEL = sys.maxsize

#: The channel of equations that carry nothing between levels (`rounding.py`).
NO_CHANNEL = np.zeros(0)


@dataclass(frozen=True)
class Solved:
    """A plain solution, the norms of its residuals, and an estimate of its relative error."""

    value: np.ndarray
    left: np.ndarray
    error: float = 0.0


class Equation(Protocol):
    """A linear equation whose coefficients may be traced."""

    @property
    def channel(self) -> Any:
        """E of `rounding.py`, or `NO_CHANNEL`."""

    def at(self, t: int) -> Equation:
        """The equation as seen from level t."""

    def solve(self, side: Side, rhs: np.ndarray) -> Solved:
        """The solution for a plain right-hand side."""

    def image(self, side: Side, z: Any, t: int) -> Any:
        """L z, or Lᴴ z on the adjoint side, as seen from level t."""

    def measure_rounding(self, z: np.ndarray, left: np.ndarray, solved: Solved) -> np.ndarray:
        """The cotangent of the channel, where ``solved`` is the cotangent of the residual of z."""

    def check_motion(self, motion: np.ndarray, solved: Solved) -> None:
        """Say what is lost of a tangent, where the channel's tangent is ``motion``."""


def attach_solution(equation: Equation, side: Side, solved: Solved, rhs: Any, t: int) -> Any:
    """The plain solution as a function of whatever the equation, as seen from level t, and rhs are traced in.

    rhs may have levels above t: what is traced there enters through it, and never through an application of an
    operator (whose closure may hold Boxes of an ended trace with the same number).
    """
    z = solved.value
    image = equation.image(side, z, t) if t != UNTRACED else None
    of_image = levels(image)
    for s in sorted({*of_image, *levels(rhs)}):
        residual = seen_from(rhs, s)
        if s in of_image:
            residual = residual - seen_from(image, s)
        E = seen_from(equation.channel, s)
        E = hide(E) if level(E) == s else strip(E)
        z = solution_primitive(hide(residual), z, E, equation, side, solved.left)
        if any(higher > s for higher in of_image):  # z has become traced at level s
            image = equation.image(side, z, t)
    return z


@primitive
def solution_primitive(residual: Any, z: Any, E: Any, equation: Equation, side: Side, left: np.ndarray) -> Any:
    """The solution, as it is; its dependence on the data is that on the residual."""
    return z


def _vjps(argnums: Any, ans: Any, args: Any, kwargs: Any) -> Callable[[Any], tuple[Any, ...]]:
    residual, z, E, equation, side, left = args
    t = max(level(residual), level(z), level(E))
    other: Side = "tangent" if side == "adjoint" else "adjoint"
    real = not np.iscomplexobj(strip(residual))

    def vjp(g: Any) -> tuple[Any, ...]:
        found: dict[int, Any] = {1: g, 2: np.zeros_like(strip(E))}
        if 0 in argnums:
            rhs, seen = anp.conj(g), equation.at(t)
            solved = seen.solve(other, strip(rhs))
            if 2 in argnums:
                found[2] = equation.measure_rounding(strip(z), left, solved)
            cotangent = anp.conj(attach_solution(seen, other, solved, rhs, t))
            found[0] = anp.real(cotangent) if real else cotangent
        return tuple(found[argnum] for argnum in argnums)

    return vjp


def _jvps(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    residual, z, E, equation, side, _ = args
    t = max(level(residual), level(z), level(E))
    tangents = dict(zip(argnums, gs, strict=True))
    total = tangents.get(1, np.zeros_like(strip(ans)))
    if 0 not in tangents:
        return total
    same: Side = "adjoint" if side == "adjoint" else "tangent"
    seen = equation.at(t)
    solved = seen.solve(same, strip(tangents[0]))
    if 2 in tangents:
        equation.check_motion(strip(tangents[2]), solved)
    return total + attach_solution(seen, same, solved, tangents[0], t)


defvjp_argnums(solution_primitive, _vjps)
defjvp_argnums(solution_primitive, _jvps)
