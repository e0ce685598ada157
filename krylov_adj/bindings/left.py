"""autograd: left eigenvectors as a primitive, differentiable to any order.

The anchor of `autograd.py` for the block-bordered systems of `perturbation/left.py`: the solution is
computed on plain values and handed on with the residual of its own equation, as seen from every level,
in which the pencil and the right eigenvectors are what they are at that level. There the eigenvalues enter
as the matrix K of A X = B X K, a function of A, B and X: Y is then a function of the space and basis of
X, Y(X T) = Y(X) T⁻ᴴ for every T, and a function of X Yᴴ alone has cotangents that know nothing of single
eigenvalues, however close.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from ..perturbation.bordered import BorderedSystems
from ..perturbation.left import left_vectors, solve_block
from ..perturbation.problem import Side
from ._trace import hide, level, levels, seen_from, strip
from .pencil import TracedPencil

__all__ = ["attach_left"]


@primitive
def inverse(E: Any) -> Any:
    """E⁻¹ of a small matrix; autograd's own has no forward mode."""
    return np.linalg.inv(E)


defvjp(inverse, lambda ans, E: lambda g: -anp.dot(anp.dot(ans.T, g), ans.T))
defjvp(inverse, lambda g, ans, E: -anp.dot(anp.dot(ans, g), ans))


@dataclass(frozen=True, eq=False)
class _Context:
    """The systems a solution belongs to, for the primitive to solve again."""

    pencil: TracedPencil
    systems: BorderedSystems
    Y: np.ndarray
    side: Side
    X: Any

    def apply(self, Z: Any, t: int) -> Any:
        """[Aᴴ Z − Bᴴ Z Kᴴ + X μ; (B X)ᴴ Z], or its adjoint, as seen from level t."""
        pencil, X = self.pencil, seen_from(self.X, t)
        Z, mu = Z[: X.shape[0]], Z[X.shape[0] :]
        BX = seen_from(pencil.slope(X), t)
        YH = self.Y.conj().T
        K = anp.dot(inverse(anp.dot(YH, BX)), anp.dot(YH, seen_from(pencil.A(X), t)))  # (k, k)
        if self.side == "tangent":
            image = seen_from(pencil.A(Z), t) - anp.dot(seen_from(pencil.slope(Z), t), K)
            return anp.concatenate([image + anp.dot(BX, mu), anp.dot(anp.conj(X).T, Z)])
        BZ = Z if pencil.B_adjoint is None else seen_from(pencil.B_adjoint(Z), t)
        image = seen_from(pencil.A_adjoint(Z), t) - anp.dot(BZ, anp.conj(K).T)
        return anp.concatenate([image + anp.dot(X, mu), anp.dot(anp.conj(BX).T, Z)])


def attach_left(pencil: TracedPencil, systems: BorderedSystems, X: Any) -> Any:
    """Y (n, k) with (B X)ᴴ Y = I, as a function of what the pencil and X are traced in."""
    Y = left_vectors(systems)
    n, k = Y.shape
    rhs = np.concatenate([np.zeros_like(Y), np.eye(k, dtype=Y.dtype)])
    context = _Context(pencil, systems, Y, "adjoint", X)
    # In the forward pass all Boxes are alive.
    return _anchored(context, np.concatenate([Y, np.zeros((k, k), Y.dtype)]), rhs, sys.maxsize)[:n]


def _solve(context: _Context, rhs: Any, t: int) -> Any:
    """[z; μ] (n + k, k), differentiable in the pencil and X as seen from level t, and in rhs."""
    values = strip(rhs)
    n = strip(context.X).shape[0]
    Z = np.concatenate(solve_block(context.systems, context.side, values[:n], values[n:]))
    return _anchored(context, Z, rhs, t)


def _anchored(context: _Context, Z: Any, rhs: Any, t: int) -> Any:
    for s in levels(rhs, context.apply(Z, t) if t >= 0 else None):
        residual = seen_from(rhs, s)
        if s <= t:
            residual = residual - context.apply(Z, s)
        if level(residual) == s:
            Z = block_primitive(hide(residual), Z, context)
    return Z


@primitive
def block_primitive(residual: Any, Z: Any, context: _Context) -> Any:
    """The solution, as it is; its dependence on the data is that on the residual."""
    return Z


def _at(context: _Context, side: Side, t: int) -> _Context:
    return replace(context, side=side, X=seen_from(context.X, t))


def _vjp(ans: Any, residual: Any, Z: Any, context: _Context) -> Callable[[Any], Any]:
    t = max(level(residual), level(Z))
    other: Side = "tangent" if context.side == "adjoint" else "adjoint"
    return lambda g: anp.conj(_solve(_at(context, other, t), anp.conj(g), t))


def _jvp(g: Any, ans: Any, residual: Any, Z: Any, context: _Context) -> Any:
    t = max(level(residual), level(Z))
    return _solve(_at(context, context.side, t), g, t)


defvjp(block_primitive, _vjp, lambda ans, residual, Z, context: lambda g: g)
defjvp(block_primitive, _jvp, lambda g, ans, residual, Z, context: g)
