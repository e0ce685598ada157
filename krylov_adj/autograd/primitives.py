"""autograd: eigenpairs and bordered solutions as primitives, differentiable to any order.

Conventions. The core writes df = Re Σ conj(g) dz; autograd (measured) df = Re Σ g dz. A cotangent is
therefore conjugated where it enters and where it leaves, here and in `equations.py`: autograd's gradient
with respect to complex parameters is the conjugate of the direction of steepest ascent.

The anchor. Eigenpairs are computed on plain values. Then, for every level t that the operators'
output carries, lowest first, the residual R_t = A X − B X Λ (and S_t = Xᴴ N X − I) is evaluated with
the operators as seen from t and the pairs of the level below, and

    (w, X) ← eigenpair_primitive(R_t, w, X),

which returns w and X as they are and has the adjoint (tangent) map as its derivative in R_t, the
identity in w and X. That map is a block-bordered system, whose couplings of eigenpairs are quotients by the gaps
of their eigenvalues, traced; its solution is anchored in the same way to the residual of its own
equation (`equations.py`); hence derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.builtins import tuple as box_tuple
from autograd.extend import defjvp, defvjp, primitive

from ..perturbation.block import solve_adjoint, solve_tangent
from ..perturbation.couplings import Quotients
from ..perturbation.maps import (
    begin_adjoint,
    divide_by_gaps,
    finish_tangent,
    pair_conjugates,
    quotients_of,
    read_cotangents,
)
from ..perturbation.problem import power_of_two
from ..perturbation.rounding import motion_of_vectors, rounding_of_couplings
from ..perturbation.systems import BorderedSystems
from .bordered import BlockBordered
from .equations import Solved, attach_solution
from .pencil import TracedNonlinear, TracedPencil
from .rounding import carry_motion, carry_rounding, part_of, watch_solution
from .trace import UNTRACED, hide, level, levels, seen_from, strip

__all__ = ["attach"]


class _Pairs:
    """The pencil and its systems at the converged values, which the primitives carry along."""

    def __init__(self, pencil: TracedPencil | TracedNonlinear, systems: BorderedSystems):
        self.pencil, self.systems = pencil, systems


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
    systems = BorderedSystems.of(pencil.problem, w, X, pencil.options, sizes, X.conj().T @ values)
    del values
    E = np.zeros((2 + w.size, w.size), X.dtype)
    below = UNTRACED
    for t in levels(residual):
        if below != UNTRACED:  # the pairs have become traced at the level below
            pencil = pencil.at(w, X)
            residual = pencil.traced_residual(w, X, systems.pairs.compressor, below)
        at_t = seen_from(residual, t)
        if level(at_t) == t:
            w, X, E = eigenpair_primitive(hide(at_t), w, X, E, _Pairs(pencil, systems))
            below = t
    return w, X


@primitive
def eigenpair_primitive(residual: Any, w: Any, X: Any, E: Any, pairs: _Pairs) -> tuple[Any, Any, Any]:
    """The pairs, as they are; their dependence on the parameters is that on the residual.

    So is that of E, zeros, which the loss does not see: rounding's channel between the derivatives of
    different levels (`rounding.py`).
    """
    return w, X, E


def _eigenpair_vjp(ans: Any, residual: Any, w: Any, X: Any, E: Any, pairs: _Pairs) -> Callable[[Any], Any]:
    t = max(level(residual), level(w), level(X), level(E))
    pencil, systems = pairs.pencil, pairs.systems
    dtype = strip(residual).dtype

    def vjp(g: Any) -> Any:
        # Exactly scaled, so that squares of tiny or huge cotangents neither vanish nor overflow.
        unit = power_of_two(systems.problem.space, strip(g[0]), strip(g[1]))
        cotangents = [anp.conj(g[0]) / unit, anp.conj(g[1]) / unit, np.abs(strip(g[2])[:2]) / unit]
        read = (strip(cotangents[0]) != 0) | strip(cotangents[1]).any(axis=0)
        again = max(t, *map(level, cotangents)) != UNTRACED
        chosen = systems.differentiable(read, again)
        if chosen is None:
            W, sigma = _adjoint(pencil, systems, (w, X, E), cotangents, t)
        else:  # of the others, which are not read, every cotangent is zero
            some = (w[chosen], X[:, chosen], part_of(E, chosen))
            cotangents = [part[..., chosen] for part in cotangents]
            W, sigma = _adjoint(pencil, systems.restricted(chosen), some, cotangents, t)
            place = np.eye(strip(w).size, dtype=dtype)[chosen]  # (c, k)
            W, sigma = anp.dot(W, place), anp.dot(place.T, anp.dot(sigma, place))
        cotangent = anp.conj(W)
        if pencil.problem.normalization != "2":
            cotangent = anp.concatenate([cotangent, _cast(-0.5 * anp.conj(sigma), cotangent)])
        return unit * (cotangent if dtype.kind == "c" else anp.real(cotangent))

    return vjp


def _adjoint(
    pencil: TracedPencil | TracedNonlinear, systems: BorderedSystems, given: Any, cotangents: Any, t: int
) -> tuple[Any, Any]:
    """W (n, k) and σ (k, k) for pairs (w, X, E), traced up to level t, and their cotangents, which it takes away."""
    (w, X, E), (gw, gX, carried) = given, cotangents
    cotangents.clear()  # as large as X, and the solver has arrays of its own
    pairs, weights, NX = systems.pairs, strip(gw), None
    if level(gX) == UNTRACED and not gX.any():
        gX = None  # the loss reads eigenvalues only
    else:
        NX = seen_from(pencil.normaliser(seen_from(X, t)), t)
    gw, gX = pair_conjugates(anp, pairs, gw, gX)
    reading = read_cotangents(pairs, weights, strip(NX), strip(gw), strip(gX), carried)
    rhs = begin_adjoint(anp, pairs, X, NX, gw, gX)
    del gX, NX
    again = t != UNTRACED or max(level(rhs.F), level(rhs.gw)) != UNTRACED
    solution = solve_adjoint(systems, strip(rhs.F), strip(rhs.N), strip(rhs.gw), reading, again)
    Z, left = np.concatenate([solution.Z, solution.M]), solution.left
    if again:
        size = np.outer(np.linalg.norm(strip(X), axis=0), reading.scale)
        T, weight = _quotients(systems, rhs.N, anp.conj(_gaps(w)), solution.couplings, size, E)
        stacked = _stacked(rhs.F, T + anp.diag(rhs.gw))
        sigma = rhs.sigma
        del rhs, solution  # as large as X
        Z = attach_solution(BlockBordered(pencil, systems, X, E), "adjoint", Solved(Z, left), stacked, t)
        return watch_solution(Z[: pencil.problem.n], E, T, weight, systems.accuracy), sigma
    return Z[: pencil.problem.n], rhs.sigma


def _eigenpair_jvp(g: Any, ans: Any, residual: Any, w: Any, X: Any, E: Any, pairs: _Pairs) -> Any:
    t = max(level(residual), level(w), level(X), level(E))
    pencil, systems = pairs.pencil, pairs.systems
    problem, k = pencil.problem, strip(w).size
    n = problem.n
    NX = seen_from(pencil.normaliser(seen_from(X, t)), t)
    rhs = _stacked(-g[:n], np.zeros((k, k), strip(X).dtype))
    F = strip(rhs)[:n]
    solution = solve_tangent(systems, F, t != UNTRACED or level(rhs) != UNTRACED)
    solved = Solved(np.concatenate([solution.Z, solution.M]), solution.left)
    Z = attach_solution(BlockBordered(pencil, systems, X, E), "tangent", solved, rhs, t)
    M = Z[n:]
    size = np.outer(1 / np.linalg.norm(systems.pairs.BX[:, :k], axis=0), np.linalg.norm(F, axis=0))
    C = _quotients(systems, M, _gaps(w), solution.couplings, size, E)[0]
    dS = None if problem.normalization == "2" else g[n:]
    dX = finish_tangent(anp, systems.pairs, X, NX, Z[:n] + anp.dot(X, C), dS)
    motion = motion_of_vectors(np, strip(X), strip(dX), strip(C), solution.Z)
    dX = carry_motion(dX, E, motion, systems.accuracy)
    dw = -anp.diag(M)
    if not np.iscomplexobj(strip(w)):
        dw = anp.real(dw)
    return box_tuple((dw, dX, motion))


def _gaps(w: Any) -> Any:
    """λ_j − λ_i, (k, k)."""
    return anp.reshape(w, (-1, 1)) - anp.reshape(w, (1, -1))


def _quotients(
    systems: BorderedSystems, numerators: Any, gaps: Any, couplings: Quotients, size: np.ndarray, E: Any
) -> tuple[Any, np.ndarray]:
    """The couplings numerators / gaps (k, k), traced, with the values that were found; their rounding over ε.

    A numerator that is noise is zero, its derivative need not be. ``size`` is what the numerators' rounding is
    relative to.
    """
    noise, kept = quotients_of(strip(numerators), couplings)
    T = divide_by_gaps(numerators, noise, gaps, kept)
    weight = rounding_of_couplings(systems.accuracy, size, couplings, strip(gaps))
    return carry_rounding(T, E, weight, systems.accuracy), weight


def _stacked(F: Any, G: Any) -> Any:
    """[F; G], (n + k, k)."""
    return anp.concatenate([_cast(F, G), _cast(G, F)])


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
    lambda ans, residual, w, X, E, pairs: lambda g: g[0],
    lambda ans, residual, w, X, E, pairs: lambda g: g[1],
    lambda ans, residual, w, X, E, pairs: lambda g: g[2],
)
defjvp(
    eigenpair_primitive,
    _eigenpair_jvp,
    lambda g, ans, residual, w, X, E, pairs: box_tuple((g, _zeros_like(X), _zeros_like(E))),
    lambda g, ans, residual, w, X, E, pairs: box_tuple((_zeros_like(w), g, _zeros_like(E))),
    lambda g, ans, residual, w, X, E, pairs: box_tuple((_zeros_like(w), _zeros_like(X), g)),
)
