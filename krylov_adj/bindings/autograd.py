"""autograd: eigenpairs and bordered solutions as primitives, differentiable to any order.

Conventions. The core writes df = Re Σ conj(g) dz; autograd (measured) df = Re Σ g dz. A cotangent is
therefore conjugated where it enters and where it leaves, here and nowhere else: autograd's gradient
with respect to complex parameters is the conjugate of the direction of steepest ascent.

The anchor. Eigenpairs are computed on plain values. Then, for every level t that the operators'
output carries, lowest first, the residual R_t = A X − B X Λ (and S_t = Xᴴ N X − I) is evaluated with
the operators as seen from t and the pairs of the level below, and

    (w, X) ← eigenpair_primitive(R_t, w, X),

which returns w and X as they are and has the adjoint (tangent) map as its derivative in R_t, the
identity in w and X. That map solves bordered systems, by `bordered_solve`, whose result is anchored
in the same way to the residual F − K z of its own equation; hence derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad as gradient
from autograd.builtins import tuple as box_tuple
from autograd.extend import defjvp, defvjp, primitive

from ..perturbation.adjoint import (
    adjoint_right_hand_side,
    column_dots,
    tangent_from_bordered,
    without_normal_part,
)
from ..perturbation.bordered import BorderedSystems
from ..perturbation.clusters import check_gauge, phase_dependence
from ..perturbation.problem import Side, power_of_two
from ._trace import UNTRACED, hide, level, levels, seen_from, strip
from .pencil import TracedNonlinear, TracedPencil

__all__ = ["apply_constant", "attach", "gradient", "deepest_level", "hermitian_entries", "xp"]

#: The array namespace whose functions take arrays and Boxes alike.
xp = anp


class _Pairs:
    """What the primitives carry along: the pencil and its systems at the converged values."""

    def __init__(self, pencil: TracedPencil | TracedNonlinear, systems: BorderedSystems):
        self.pencil, self.systems = pencil, systems


def deepest_level(*operators: Any) -> int:
    """The highest level of a Box in what operators return, `UNTRACED` without one; an application each."""
    given = [operator for operator in operators if operator is not None]
    outputs = [operator._apply(np.ones(operator.shape[1], operator.dtype)) for operator in given]
    return max(levels(*outputs), default=UNTRACED)


def attach(
    pencil: TracedPencil | TracedNonlinear,
    w: np.ndarray,
    X: np.ndarray,
    verify: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
) -> tuple[Any, Any]:
    """(w, X) as differentiable functions of whatever the pencil's operators are traced in.

    ``verify(A X, B X, N X)`` is called once, with plain values, and raises where the pairs are not
    what they should be.
    """
    pencil = pencil.at(w, X)
    residual = pencil.residual(w, X, verify)
    values = strip(residual)[: X.shape[0]]
    sizes = np.linalg.norm(values, axis=0) / np.linalg.norm(X, axis=0)
    systems = BorderedSystems(pencil.problem, w, X, pencil.options, sizes, X.conj().T @ values)
    del values
    below = UNTRACED
    for t in levels(residual):
        if below != UNTRACED:  # the pairs have become traced at the level below
            pencil = pencil.at(w, X)
            residual = pencil.residual(w, X)
        at_t = seen_from(residual, t)
        if level(at_t) == t:
            w, X = eigenpair_primitive(hide(at_t), w, X, _Pairs(pencil, systems))
            below = t
    return w, X


@primitive
def eigenpair_primitive(residual: Any, w: Any, X: Any, pairs: _Pairs) -> tuple[Any, Any]:
    """The pairs, as they are; their dependence on the parameters is that on the residual."""
    return w, X


def _eigenpair_vjp(ans: Any, residual: Any, w: Any, X: Any, pairs: _Pairs) -> Callable[[Any], Any]:
    t = max(level(residual), level(w), level(X))
    pencil = pairs.pencil
    problem = pencil.problem
    dtype = strip(residual).dtype

    def vjp(g: Any) -> Any:
        # Exactly scaled, so that squares of tiny or huge cotangents neither vanish nor overflow.
        unit = power_of_two(strip(g[0]), strip(g[1]))
        gw, gX = anp.conj(g[0]) / unit, g[1]
        weights, folding = strip(gw), pairs.systems.folding
        if folding is not None:
            gw = gw @ folding[0] + anp.conj(gw) @ folding[1]
        if level(gX) == UNTRACED and not gX.any():  # the loss reads eigenvalues only
            F, sigma = gX, np.zeros((weights.size, weights.size), dtype)
            gauge, scale = phase_dependence(strip(X), gX), np.zeros(weights.size)
        else:
            gX = anp.conj(gX) / unit
            if folding is not None:
                gX = gX @ folding[0] + anp.conj(gX) @ folding[1]
            NX = seen_from(pencil.normaliser(seen_from(X, t)), t)
            values = strip(gX)
            if problem.rows is not None:
                gX = without_normal_part(anp, X, gX, problem.rows)
            gauge = phase_dependence(strip(X), values)  # after folding: the phases of a pair turn together
            F, sigma = adjoint_right_hand_side(anp, X, NX, gX, problem.hermitian)
            # F is a difference: its rounding is that of its terms.
            norm_NX, K = np.linalg.norm(strip(NX), axis=0).max(), strip(X).conj().T @ values
            scale = np.linalg.norm(values, axis=0) + norm_NX * np.linalg.norm(K, axis=0)
            del values
        rhs = _stacked(F, gw)
        del gX, F  # each as large as X, and the solver has arrays of its own
        Z = bordered_solve(pairs, "adjoint", w, X, rhs, t, scale, gauge, weights)
        cotangent = anp.conj(Z[:-1])
        if problem.normalization != "2":
            cotangent = anp.concatenate([cotangent, _cast(-0.5 * anp.conj(sigma), cotangent)])
        return unit * (cotangent if dtype.kind == "c" else anp.real(cotangent))

    return vjp


def _eigenpair_jvp(g: Any, ans: Any, residual: Any, w: Any, X: Any, pairs: _Pairs) -> Any:
    t = max(level(residual), level(w), level(X))
    problem = pairs.pencil.problem
    n = problem.n
    NX = seen_from(pairs.pencil.normaliser(seen_from(X, t)), t)
    rhs = _stacked(-g[:n], np.zeros(strip(w).shape, strip(X).dtype))
    Z = bordered_solve(pairs, "tangent", w, X, rhs, t)
    dS = None if problem.normalization == "2" else g[n:]
    dX = tangent_from_bordered(anp, X, NX, Z[:-1], dS, problem.hermitian)
    if problem.rows is not None:
        dX = without_normal_part(anp, X, dX, problem.rows)
    dw = -Z[-1]
    if not np.iscomplexobj(strip(w)):
        dw = anp.real(dw)
    return box_tuple((dw, dX))


def _stacked(F: Any, g: Any) -> Any:
    """[f; g] of every bordered system, (n + 1, k)."""
    return anp.concatenate([F, anp.reshape(_cast(g, F), (1, -1))])


def _cast(x: Any, like: Any) -> Any:
    """x as complex where ``like`` is: autograd's concatenate would hand a real part a complex cotangent."""
    if np.iscomplexobj(strip(like)) and not np.iscomplexobj(strip(x)):
        return x * strip(like).dtype.type(1)
    return x


def _zeros_like(x: Any) -> np.ndarray:
    return np.zeros_like(strip(x))


defvjp(
    eigenpair_primitive,
    _eigenpair_vjp,
    lambda ans, residual, w, X, pairs: lambda g: g[0],
    lambda ans, residual, w, X, pairs: lambda g: g[1],
)
defjvp(
    eigenpair_primitive,
    _eigenpair_jvp,
    lambda g, ans, residual, w, X, pairs: box_tuple((g, _zeros_like(X))),
    lambda g, ans, residual, w, X, pairs: box_tuple((_zeros_like(w), g)),
)


# --------------------------------------------------------------------------------------------
# The bordered systems: K_i [z; μ] = [f; g], perturbation/bordered.py.
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Context:
    """The systems a bordered solution belongs to, for the primitive to solve again."""

    pairs: _Pairs
    side: Side
    w: Any
    X: Any


def bordered_solve(
    pairs: _Pairs,
    side: Side,
    w: Any,
    X: Any,
    rhs: Any,
    t: int,
    scale: np.ndarray | None = None,
    gauge: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Any:
    """[z; μ] (n + 1, k), differentiable in the pencil as seen from level t, in w, X and rhs = [f; g].

    w and X have no level above t. rhs may have: through it, and never through an
    application of an operator (whose closure may hold Boxes of an ended trace with the same
    number), enters what is traced above t. ``gauge`` and ``weights`` are what the loss reads of phases
    and of eigenvalues, where it is its cotangents that enter here.
    """
    values = strip(rhs)
    systems = pairs.systems
    solution = systems.solve(side, values[:-1], values[-1], scale, gauge)
    weights = np.zeros_like(values[-1]) if weights is None else weights
    gauge = np.zeros(0) if gauge is None else gauge
    check_gauge(systems, weights, gauge, solution)
    Z = np.concatenate([solution.Z, solution.mu.reshape(1, -1)])
    if t == UNTRACED and level(rhs) == UNTRACED:
        return Z
    context = _Context(pairs, side, w, X)
    if t == UNTRACED:
        live = levels(rhs)
    else:
        image = _apply_bordered(context, Z, t)
        live = levels(rhs, image)
    for s in live:
        residual = seen_from(rhs, s)
        if s <= t:
            residual = residual - _apply_bordered(context, Z, s)
        if level(residual) == s:
            Z = bordered_primitive(hide(residual), Z, context)
    return Z


def _apply_bordered(context: _Context, Z: Any, t: int) -> Any:
    """K_i [z; μ] as seen from level t."""
    pencil, side = context.pairs.pencil, context.side
    w, X = seen_from(context.w, t), seen_from(context.X, t)
    z, mu = Z[:-1], Z[-1]
    BX = seen_from(pencil.slope(X), t)
    right, below = (X, BX) if side == "adjoint" else (BX, X)
    top = seen_from(pencil.shifted(side, w, z), t) + right * mu
    return anp.concatenate([top, anp.reshape(column_dots(anp, below, z), (1, -1))])


@primitive
def bordered_primitive(residual: Any, Z: Any, context: _Context) -> Any:
    """The solution, as it is; its dependence on the data is that on the residual."""
    return Z


def _bordered_vjp(ans: Any, residual: Any, Z: Any, context: _Context) -> Callable[[Any], Any]:
    t = max(level(residual), level(Z))
    other: Side = "tangent" if context.side == "adjoint" else "adjoint"

    def vjp(g: Any) -> Any:
        g = anp.conj(g)
        w, X = seen_from(context.w, t), seen_from(context.X, t)
        return anp.conj(bordered_solve(context.pairs, other, w, X, g, t))

    return vjp


def _bordered_jvp(g: Any, ans: Any, residual: Any, Z: Any, context: _Context) -> Any:
    t = max(level(residual), level(Z))
    w, X = seen_from(context.w, t), seen_from(context.X, t)
    return bordered_solve(context.pairs, context.side, w, X, g, t)


defvjp(bordered_primitive, _bordered_vjp, lambda ans, residual, Z, context: lambda g: g)
defjvp(bordered_primitive, _bordered_jvp, lambda g, ans, residual, Z, context: g)


# --------------------------------------------------------------------------------------------
# Constant operators applied to traced vectors.
# --------------------------------------------------------------------------------------------


@primitive
def apply_constant(X: Any, apply: Callable[[Any], Any], adjoint: Callable[[Any], Any]) -> Any:
    """apply(X), for a linear map that knows plain arrays only."""
    return apply(X)


defvjp(
    apply_constant,
    lambda ans, X, apply, adjoint: lambda g: _like(X, anp.conj(apply_constant(anp.conj(g), adjoint, apply))),
)
defjvp(apply_constant, lambda g, ans, X, apply, adjoint: apply_constant(g, apply, adjoint))


def _like(X: Any, g: Any) -> Any:
    return g if np.iscomplexobj(strip(X)) else anp.real(g)


# --------------------------------------------------------------------------------------------
# Entries of Hermitian matrices.
# --------------------------------------------------------------------------------------------


@primitive
def hermitian_entries(entries: Any, mirror: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The entries of a Hermitian matrix A as those of H = ½(A + Aᴴ), which they are.

    ``mirror`` puts every entry in the place of its mirror image at the diagonal, and is its own inverse.
    """
    return entries


@primitive
def symmetrised(entries: Any, mirror: Callable[[np.ndarray], np.ndarray]) -> Any:
    """½(1 + conj ∘ mirror), of which the tangent and, for df = Re Σ g dz, the cotangent map is the same map."""
    mean = np.conj(mirror(entries), order="C")
    mean += entries
    mean *= 0.5
    return mean


for function in (hermitian_entries, symmetrised):
    defvjp(function, lambda ans, entries, mirror: lambda g: symmetrised(g, mirror), argnums=[0])
    defjvp(function, lambda g, ans, entries, mirror: symmetrised(g, mirror), argnums=[0])
