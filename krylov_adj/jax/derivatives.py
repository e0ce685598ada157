"""Eigenpairs as primitives of JAX, differentiable to any order, forward and reverse.

Conventions. JAX's cotangents c of a real loss have df = Re Σ c dz, the core's g have df = Re Σ conj(g) dz: they are
conjugated where they enter and where they leave, in `_run_linear` and `_again`.

Eigenpairs are computed on plain values, and then attached: an identity on (w, X) whose tangent is that of the residual
R = A X − B X Λ (and of S = XᴴNX − I) at fixed (w, X), mapped by `linear_p`. This is one primitive for the tangent map
and for the adjoint map, which are each other's transposes; the core solves for both (`perturbation/derivatives.py`).
Where it is differentiated in the pencil or in the pairs, the map is taken apart (`_again`): elementwise formulas of the
core in JAX (`perturbation/maps.py`) around the solution of a block-bordered system. That is anchored to the residual of
its own equation, and its tangents are solutions again, of `bordered_p`; hence any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from ..perturbation.block import solve_block, solve_tangent
from ..perturbation.derivatives import Maps
from ..perturbation.gauge import check_gaps
from ..perturbation.problem import SideName
from ..perturbation.subspace_derivatives import SubspaceMaps
from ..perturbation.subspaces import SubspaceSystems
from .formulas import finish_cotangents, finish_tangents, residual_of_tangent, right_hand_side, scaled_cotangents
from .host import Host
from .primitives import batch_one_by_one, instantiated, is_active, make_host_primitive, stopped
from .problems import POINT, Problem, residual_tangent

__all__ = ["anchor_solution", "attach", "shape_of", "units_of"]

Array = np.ndarray


def shape_of(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def units_of(maps: Maps | SubspaceMaps) -> Array:
    """Return what λ, X and R of the systems are multiplied by, (3,)."""
    return np.array([maps.values, maps.vectors, maps.residuals], maps.X.real.dtype)


def _is_zero(tangent: Any) -> bool:
    return type(tangent) is ad.Zero


# ---- the pairs ---------------------------------------------------------------------------------

attach_p = core.Primitive("krylov_adj_attach")
attach_p.multiple_results = True


def attach(problem: Problem, consts: Sequence[Any], point: Sequence[Any]) -> tuple[Any, Any]:
    """Return (w, X) of a point as functions of the operands, by the residual of their equation."""
    w, X = attach_p.bind(*consts, *stopped(point), problem=problem)
    return w, X


def _attach(*operands: Any, problem: Problem) -> list[Any]:
    return list(operands[problem.operands : problem.operands + 2])


def _attach_jvp(primals: Any, tangents: Any, *, problem: Problem) -> Any:
    cut = problem.operands
    consts, point = primals[:cut], primals[cut:]
    w, X = attach_p.bind(*primals, problem=problem)  # with all outer derivatives
    active = tuple(i for i, t in enumerate(tangents[:cut]) if is_active(t))
    if not active:
        return [w, X], [jnp.zeros_like(w), jnp.zeros_like(X)]
    dR = residual_tangent(problem, active, tuple(consts), tuple(tangents[i] for i in active), w, X)
    return [w, X], linear_p.bind(*consts, w, X, *point[2:], *dR, problem=problem, function="tangent")


attach_p.def_impl(_attach)
attach_p.def_abstract_eval(lambda *avals, problem: list(avals[problem.operands : problem.operands + 2]))
ad.primitive_jvps[attach_p] = _attach_jvp
batching.primitive_batchers[attach_p] = partial(batch_one_by_one, attach_p)
mlir.register_lowering(attach_p, mlir.lower_fun(_attach, multiple_results=True))

# ---- tangent and adjoint maps --------------------------------------------------------------------


def _run_linear(host: Host, *arrays: Array, function: str) -> list[Array]:
    point, linear = arrays[:POINT], arrays[POINT:]
    maps, real = host.maps(point), np.isrealobj(point[1])
    if function == "tangent":
        return list(maps.tangent(*linear))
    W, sigma = maps.adjoint(*map(np.conj, linear))
    found = [np.conj(W)] if host.problem.normalization == "2" else [np.conj(W), -0.5 * np.conj(sigma)]
    return [np.real(x) for x in found] if real else found


def _shapes_of_linear(problem: Problem, *avals: Any, function: str) -> list[jax.ShapeDtypeStruct]:
    n, k, dtype = problem.n, problem.k, problem.X_dtype
    if function == "tangent":
        return [shape_of(problem.w_shape, problem.w_dtype), shape_of((n, k), dtype)]
    return [shape_of((n, k), dtype), shape_of((k, k), dtype)][: 1 if problem.normalization == "2" else 2]


linear_p = make_host_primitive("krylov_adj_linear", _run_linear, _shapes_of_linear)


def _linear_jvp(primals: Any, tangents: Any, *, problem: Problem, function: SideName) -> Any:
    call = partial(linear_p.bind, problem=problem, function=function)
    cut = problem.operands + POINT
    if all(map(_is_zero, tangents[:cut])):
        return call(*primals), call(*primals[:cut], *map(ad.instantiate_zeros, tangents[cut:]))
    return jax.jvp(partial(_again, problem, function), tuple(primals), tuple(map(instantiated, primals, tangents)))


def _linear_transpose(cotangents: Any, *operands: Any, problem: Problem, function: str) -> list[Any]:
    theta = operands[: problem.operands + POINT]
    other = "adjoint" if function == "tangent" else "tangent"
    found = linear_p.bind(*theta, *map(ad.instantiate_zeros, cotangents), problem=problem, function=other)
    return [None] * len(theta) + found


ad.primitive_jvps[linear_p] = _linear_jvp
ad.primitive_transposes[linear_p] = _linear_transpose


def _again(problem: Problem, function: SideName, *operands: Any) -> list[Any]:
    """The same map, of all operands, to be differentiated."""
    cut, n, k = problem.operands, problem.n, problem.k
    consts, point, linear = operands[:cut], operands[cut : cut + POINT], operands[cut + POINT :]
    solve = partial(_solve_first, problem, consts, point, function)
    if function == "tangent":
        dR = linear[0] / jax.lax.stop_gradient(point[3][2])
        solved, noise, equal, chosen, *_ = solve(-dR)
        right = jnp.concatenate([-dR, jnp.zeros((k, k), dR.dtype)])
        Z = anchor_solution(problem, function, consts, point, chosen, right, solved)
        return list(finish_tangents(problem, consts, point, noise, equal, Z, linear[1] if len(linear) > 1 else None))
    gw, gX, unit = scaled_cotangents(problem, point, *linear)
    solved, *known = solve(gw, gX)
    right, sigma, inside = right_hand_side(problem, consts, point, gw, gX, *known)
    Z = anchor_solution(problem, "adjoint", consts, point, known[2], right, solved)
    return list(finish_cotangents(problem, point, Z[:n], sigma, unit, inside))


def _run_first(host: Host, *arrays: Array, function: SideName) -> list[Array]:
    """The solution, which couplings are noise and equal, the chosen pairs, and how conjugates pair."""
    point, linear = arrays[:POINT], arrays[POINT:]
    maps, (n, k) = host.maps(point), point[1].shape
    eye, none = np.eye(k), np.zeros((k, k))
    if isinstance(maps, SubspaceMaps):
        solved = maps.solved(function, *linear)
        known = np.zeros((k, k), bool)
        return [np.concatenate([solved.Z, solved.M]), known, known, np.ones(k), eye, none]
    if function == "tangent":
        solution, chosen, pairing = solve_tangent(maps.systems, linear[0], True), np.arange(k), None
        check_gaps(maps.systems.accuracy, maps.systems.pairs.space.any_of_columns(linear[0]))
    else:
        found = maps.solved_adjoint(linear[0], linear[1], np.zeros((2, k)), True)
        solution, chosen, pairing = found.solution, found.chosen, found.systems.pairs.conjugate_pairing
        check_gaps(found.systems.accuracy, found.reading.reads)
    square = np.ix_(chosen, chosen)
    Z, M = np.zeros((n, k), solution.Z.dtype), np.zeros((k, k), solution.M.dtype)
    noise, equal, D, E = np.ones((k, k), bool), np.zeros((k, k), bool), eye.copy(), none.copy()
    Z[:, chosen], M[square] = solution.Z, solution.M
    noise[square], equal[square] = solution.couplings.noise, solution.couplings.equal
    if pairing is not None:
        D[square], E[square] = pairing
    return [np.concatenate([Z, M]), noise, equal, eye[chosen].sum(axis=0), D, E]


def _shapes_of_first(problem: Problem, *avals: Any, function: str) -> list[jax.ShapeDtypeStruct]:
    n, k, dtype = problem.n, problem.k, problem.X_dtype
    real = np.zeros(0, dtype).real.dtype
    square = [shape_of((k, k), kind) for kind in (bool, bool, real, real)]
    return [shape_of((n + k, k), dtype), *square[:2], shape_of((k,), real), *square[2:]]


first_p = make_host_primitive("krylov_adj_first", _run_first, _shapes_of_first)


def _solve_first(problem: Problem, consts: Any, point: Any, function: str, *linear: Any) -> list[Any]:
    found: list[Any] = first_p.bind(
        *stopped(consts), *stopped(point), *stopped(linear), problem=problem, function=function
    )
    return found


# ---- block-bordered systems ------------------------------------------------------------------------


def _run_bordered(host: Host, *arrays: Array, side: SideName) -> list[Array]:
    (*point, chosen, rhs), (n, k) = arrays, arrays[1].shape
    numbers, systems = np.flatnonzero(chosen), host.maps(point).systems
    square = np.ix_(numbers, numbers)
    part = systems if numbers.size == k else systems.restricted(numbers)
    solve = part.solve if isinstance(part, SubspaceSystems) else partial(solve_block, part)
    solution = solve(side, np.asfortranarray(rhs[:n, numbers]), rhs[n:][square])
    Z, M = np.zeros((n, k), rhs.dtype), np.zeros((k, k), rhs.dtype)
    Z[:, numbers], M[square] = solution.Z, solution.M
    return [np.concatenate([Z, M])]


bordered_p = make_host_primitive(
    "krylov_adj_bordered", _run_bordered, lambda problem, *avals, side: [shape_of(avals[-1].shape, avals[-1].dtype)]
)


def _moved(problem: Problem, side: SideName, theta: Any, dtheta: Any, chosen: Any, drhs: Any, Z: Any) -> Any:
    """The tangent of a solution Z: the system's of that of its residual."""
    # Of the point w and X are variables; shift, units and token are not.
    variables = problem.operands + 2
    active = tuple(i for i, t in enumerate(dtheta[:variables]) if is_active(t))
    changes = tuple(dtheta[i] for i in active)
    d = residual_of_tangent(problem, side, active, tuple(theta), changes, chosen, ad.instantiate_zeros(drhs), Z)
    return bordered_p.bind(*theta, chosen, d, problem=problem, side=side)[0]


def _bordered_jvp(primals: Any, tangents: Any, *, problem: Problem, side: SideName) -> Any:
    (Z,) = bordered_p.bind(*primals, problem=problem, side=side)
    *theta, chosen, _ = primals
    return [Z], [_moved(problem, side, theta, tangents[:-2], chosen, tangents[-1], Z)]


def _bordered_transpose(cotangents: Any, *operands: Any, problem: Problem, side: SideName) -> list[Any]:
    other = "tangent" if side == "adjoint" else "adjoint"
    given = jnp.conj(ad.instantiate_zeros(cotangents[0]))
    (Z,) = bordered_p.bind(*operands[:-1], given, problem=problem, side=other)
    return [None] * (len(operands) - 1) + [jnp.conj(Z)]


ad.primitive_jvps[bordered_p] = _bordered_jvp
ad.primitive_transposes[bordered_p] = _bordered_transpose

anchor_p = core.Primitive("krylov_adj_anchor")
anchor_p.multiple_results = True


def anchor_solution(
    problem: Problem, side: SideName, consts: Any, point: Any, chosen: Any, rhs: Any, solved: Any
) -> Any:
    """Return the plain solution of a block-bordered system as a function of its coefficients and right-hand side."""
    return anchor_p.bind(*consts, *point, stopped([chosen])[0], rhs, *stopped([solved]), problem=problem, side=side)[0]


def _anchor_jvp(primals: Any, tangents: Any, *, problem: Problem, side: SideName) -> Any:
    (Z,) = anchor_p.bind(*primals, problem=problem, side=side)
    *theta, chosen, _, _ = primals
    return [Z], [_moved(problem, side, theta, tangents[:-3], chosen, tangents[-2], Z)]


anchor_p.def_impl(lambda *operands, problem, side: [operands[-1]])
anchor_p.def_abstract_eval(lambda *avals, problem, side: [avals[-1]])
ad.primitive_jvps[anchor_p] = _anchor_jvp
batching.primitive_batchers[anchor_p] = partial(batch_one_by_one, anchor_p)
mlir.register_lowering(anchor_p, mlir.lower_fun(lambda *operands, problem, side: [operands[-1]], multiple_results=True))
