"""autograd: an invariant subspace (X, H), A X = B X H, as a primitive, differentiable to any order.

As eigenpairs are (`primitives.py`): X and H are computed on plain values. Then, for every level t that the operators'
output carries, lowest first, R_t = A X − B X H (and S_t = Xᴴ N X − I) is evaluated with the operators as seen from t
and X and H of the level below, and

    (X, H) ← subspace_primitive(R_t, X, H),

whose derivative in R_t is the map of `perturbation/subspace_maps.py`. The solution of its equations is anchored in the
same way (`equations.py`). No gap between eigenvalues of H is in any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import autograd.numpy as anp
import numpy as np
from autograd.builtins import tuple as box_tuple
from autograd.extend import defjvp, defvjp, primitive

from ..perturbation.problem import power_of_two
from ..perturbation.subspace_derivatives import solve_space_adjoint, solve_space_tangent
from ..perturbation.subspace_maps import begin_adjoint, finish_tangent
from ..perturbation.subspaces import SubspaceSystems
from .bordered import bordered_image
from .equations import NO_CHANNEL, Side, Solved, attach_solution
from .pencil import TracedPencil
from .trace import UNTRACED, hide, level, levels, seen_from, strip

__all__ = ["attach_space"]


@dataclass(frozen=True, eq=False)
class SubspaceBordered:
    """The block-bordered systems of (X, H), traced: see `perturbation/subspaces.py`; solutions are [Z; M]."""

    pencil: TracedPencil
    systems: SubspaceSystems
    X: Any
    H: Any
    channel: ClassVar[np.ndarray] = NO_CHANNEL

    def at(self, t: int) -> SubspaceBordered:
        return replace(self, X=seen_from(self.X, t), H=seen_from(self.H, t))

    def solve(self, side: Side, rhs: np.ndarray) -> Solved:
        assert side != "forward"
        n = strip(self.X).shape[0]
        solution = self.systems.solve(side, rhs[:n], rhs[n:])
        return Solved(np.concatenate([solution.Z, solution.M]), solution.left, solution.error)

    def image(self, side: Side, z: Any, t: int) -> Any:
        assert side != "forward"
        H = seen_from(self.H, t)
        return bordered_image(self.pencil, side, z, self.X, lambda Z: self.pencil.image_with(side, Z, H, t), t)

    def measure_rounding(self, z: np.ndarray, left: np.ndarray, solved: Solved) -> np.ndarray:
        return NO_CHANNEL

    def check_motion(self, motion: np.ndarray, solved: Solved) -> None:
        """Nothing moves within the span: the basis is fixed by its gauge."""


def attach_space(pencil: TracedPencil, systems: SubspaceSystems, X: np.ndarray, H: np.ndarray) -> tuple[Any, Any]:
    """(X, H) as differentiable functions of whatever the pencil's operators are traced in."""
    residual = _residual(pencil, X, H)
    below = UNTRACED
    for t in levels(residual):
        if below != UNTRACED:  # X and H have become traced at the level below
            residual = _residual(pencil, X, H)
        at_t = seen_from(residual, t)
        if level(at_t) == t:
            X, H = subspace_primitive(hide(at_t), X, H, _Context(pencil, systems))
            below = t
    return X, H


def _residual(pencil: TracedPencil, X: Any, H: Any) -> Any:
    """R = A X − B X H, stacked on S = XᴴBX − I where B normalises."""
    BX = pencil.slope(X)
    R = pencil.A(X) - anp.dot(BX, H)
    if pencil.problem.normalization == "2":
        return R
    return anp.concatenate([R, anp.dot(anp.conj(X).T, BX) - np.eye(len(strip(H)), dtype=strip(R).dtype)])


class _Context:
    """The pencil and the systems of the subspace, which the primitive carries along."""

    def __init__(self, pencil: TracedPencil, systems: SubspaceSystems):
        self.pencil, self.systems = pencil, systems


@primitive
def subspace_primitive(residual: Any, X: Any, H: Any, context: _Context) -> tuple[Any, Any]:
    """X and H, as they are; their dependence on the parameters is that on the residual."""
    return X, H


def _subspace_vjp(ans: Any, residual: Any, X: Any, H: Any, context: _Context) -> Callable[[Any], Any]:
    t = max(level(residual), level(X), level(H))
    pencil, systems = context.pencil, context.systems
    problem, real = pencil.problem, not np.iscomplexobj(strip(residual))

    def vjp(g: Any) -> Any:
        unit = power_of_two(problem.space, strip(g[0]), strip(g[1]))
        gX, gH = anp.conj(g[0]) / unit, anp.conj(g[1]) / unit
        Xt, Ht = seen_from(X, t), seen_from(H, t)
        NX = seen_from(pencil.normaliser(Xt), t)
        if problem.hermitian:
            gH = 0.5 * (gH + anp.conj(gH).T)
        solution = solve_space_adjoint(systems, strip(NX), strip(gX), strip(gH))
        rhs = begin_adjoint(anp, problem.hermitian, Xt, NX, Ht, gX, gH)
        W, alone = rhs.inside, level(gX) == UNTRACED and not strip(gX).any()
        if not (alone and problem.hermitian):  # a loss of H alone of a Hermitian problem needs no solve
            equation, stacked = SubspaceBordered(pencil, systems, Xt, Ht), anp.concatenate([rhs.F, rhs.G])
            solved = Solved(np.concatenate([solution.Z, solution.M]), solution.left, solution.error)
            Z = attach_solution(equation, "adjoint", solved, stacked, t)[: problem.n]
            W = Z if W is None else W + Z
        cotangent = anp.conj(W)
        if problem.normalization != "2":
            cotangent = anp.concatenate([cotangent, -0.5 * anp.conj(rhs.sigma)])
        return unit * (anp.real(cotangent) if real else cotangent)

    return vjp


def _subspace_jvp(g: Any, ans: Any, residual: Any, X: Any, H: Any, context: _Context) -> Any:
    t = max(level(residual), level(X), level(H))
    pencil, systems = context.pencil, context.systems
    problem = pencil.problem
    n, k = strip(X).shape
    Xt, Ht = seen_from(X, t), seen_from(H, t)
    NX = seen_from(pencil.normaliser(Xt), t)
    equation = SubspaceBordered(pencil, systems, Xt, Ht)
    rhs = anp.concatenate([-g[:n], np.zeros((k, k), strip(g).dtype)])
    solution = solve_space_tangent(systems, strip(rhs)[:n])
    solved = Solved(np.concatenate([solution.Z, solution.M]), solution.left, solution.error)
    Z = attach_solution(equation, "tangent", solved, rhs, t)
    dS = None if problem.normalization == "2" else g[n:]
    return box_tuple(finish_tangent(anp, problem.hermitian, Xt, NX, Ht, Z[:n], Z[n:], dS))


def _zeros_like(x: Any) -> np.ndarray:
    return np.zeros_like(strip(x))


defvjp(
    subspace_primitive,
    _subspace_vjp,
    lambda ans, residual, X, H, context: lambda g: g[0],
    lambda ans, residual, X, H, context: lambda g: g[1],
)
defjvp(
    subspace_primitive,
    _subspace_jvp,
    lambda g, ans, residual, X, H, context: box_tuple((g, _zeros_like(H))),
    lambda g, ans, residual, X, H, context: box_tuple((_zeros_like(X), g)),
)
