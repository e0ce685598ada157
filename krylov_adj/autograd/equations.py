"""autograd: the solution of block-bordered systems as a primitive, differentiable to any order.

The solution is computed on plain values and handed on with the residual of its own equation, as seen from every
level, in which the pencil and X are what they are at that level. The eigenvalues enter as the matrix
H = (P B X)⁻¹ P A X with a constant P, for which A X = B X H: a function of A, B and X, by which the solution is a
function of the space and the basis of X (perturbation/block.py), and knows nothing of gaps between the
eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp_argnums, defvjp_argnums, primitive

from ..perturbation.block import Solution, solve_block
from ..perturbation.bordered import BorderedSystems
from ..perturbation.clusters import check_motion
from ..perturbation.problem import Side
from .pencil import TracedNonlinear, TracedPencil
from .trace import UNTRACED, hide, level, levels, seen_from, strip

__all__ = ["Block", "anchor"]


@dataclass(frozen=True, eq=False)
class Block:
    """The systems a solution belongs to, for the primitive to solve again."""

    pencil: TracedPencil | TracedNonlinear
    systems: BorderedSystems
    side: Side
    X: Any
    E: Any

    def at(self, side: Side, t: int) -> Block:
        """The systems of a side as seen from level t."""
        return replace(self, side=side, X=seen_from(self.X, t), E=seen_from(self.E, t))

    def apply(self, Z: Any, t: int) -> Any:
        """[Aᴴ Z − Bᴴ Z Hᴴ + X M; (B X)ᴴ Z], or its adjoint, as seen from level t."""
        X = seen_from(self.X, t)
        n = strip(X).shape[0]
        Z, M = Z[:n], Z[n:]
        BX = seen_from(self.pencil.slope(X), t)
        right, below = (X, BX) if self.side == "adjoint" else (BX, X)
        image = self.pencil.image(self.side, Z, X, self.systems.compressor, t)
        return anp.concatenate([image + anp.dot(right, M), anp.dot(anp.conj(below).T, Z)])


def _plain_solution(block: Block, rhs: Any) -> Solution:
    values = strip(rhs)
    n = strip(block.X).shape[0]
    return solve_block(block.systems, block.side, values[:n], values[n:])


def _anchored(block: Block, solution: Solution, rhs: Any, t: int) -> Any:
    """[Z; M] (n + k, k), differentiable in the pencil and X as seen from level t, and in rhs = [F; G].

    X has no level above t. rhs may have: through it, and never through an application of an operator (whose closure
    may hold Boxes of an ended trace with the same number), enters what is traced above t.
    """
    return anchor(block, np.concatenate([solution.Z, solution.M]), solution.left, rhs, t)


def anchor(block: Block, Z: Any, left: np.ndarray, rhs: Any, t: int) -> Any:
    """The solution Z = [Z; M] of plain values as a function of what the systems and rhs are traced in.

    ``left`` (k,) are the norms of its residuals.
    """
    if t == UNTRACED and level(rhs) == UNTRACED:
        return Z
    for s in levels(rhs, block.apply(Z, t) if t != UNTRACED else None):
        residual = seen_from(rhs, s)
        if s <= t:
            residual = residual - block.apply(Z, s)
        if level(residual) == s:
            E = seen_from(block.E, s)
            E = hide(E) if level(E) == s else strip(E)
            Z = block_primitive(hide(residual), Z, E, block, left)
    return Z


@primitive
def block_primitive(residual: Any, Z: Any, E: Any, block: Block, left: np.ndarray) -> Any:
    """The solution, as it is; its dependence on the data is that on the residual."""
    return Z


def _vjps(argnums: Any, ans: Any, args: Any, kwargs: Any) -> Callable[[Any], tuple[Any, ...]]:
    residual, Z, E, block, left = args
    t = max(level(residual), level(Z), level(E))
    other: Side = "tangent" if block.side == "adjoint" else "adjoint"

    def vjp(g: Any) -> tuple[Any, ...]:
        found: dict[int, Any] = {1: g}
        if 0 in argnums:
            transposed, rhs = block.at(other, t), anp.conj(g)
            solution = _plain_solution(transposed, rhs)
            n = solution.Z.shape[0]
            v, m_v = np.linalg.norm(solution.Z), np.linalg.norm(solution.M)
            z, m_z = (np.linalg.norm(part) for part in (strip(Z)[:n], strip(Z)[n:]))
            # What the two residuals leave of terms that would cancel in the cotangents of X, and rounding.
            error = np.max(left) * v + np.max(solution.left) * z
            error += block.systems.accuracy.rounding * v * z + block.systems.eps * (m_v * z + m_z * v)
            found[0] = anp.conj(_anchored(transposed, solution, rhs, t))
            found[2] = np.zeros_like(strip(E))
            found[2][1] = error
        return tuple(found.get(argnum, np.zeros_like(strip(E))) for argnum in argnums)

    return vjp


def _jvps(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
    residual, Z, E, block, _ = args
    t = max(level(residual), level(Z), level(E))
    tangents = dict(zip(argnums, gs, strict=True))
    total = tangents.get(1, np.zeros_like(strip(ans)))
    if 0 not in tangents:
        return total
    solution = _plain_solution(block, tangents[0])
    if 2 in tangents:
        check_motion(block.systems, np.abs(strip(tangents[2])[:2]), solution.error)
    return total + _anchored(block.at(block.side, t), solution, tangents[0], t)


defvjp_argnums(block_primitive, _vjps)
defjvp_argnums(block_primitive, _jvps)
