"""The core's formulas around the solution of a block-bordered system, as compiled functions that are differentiated.

Eager derivatives of higher order would run, and compile, a hundred small operations one by one: here they are a few.
All are in the units of the host's systems, but for what enters and leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..perturbation.maps import begin_adjoint, divide_by_gaps, finish_tangent, quotients_of
from ..perturbation.problem import SideName
from ..perturbation.subspace_maps import begin_adjoint as begin_adjoint_of_subspace
from ..perturbation.subspace_maps import finish_tangent as finish_tangent_of_subspace
from .problems import At, Problem, at_point

__all__ = ["finish_cotangents", "finish_tangents", "residual_of_tangent", "right_hand_side", "scaled_cotangents"]


def _core_pairs(problem: Problem) -> Any:
    """The facts about pairs that formulas of the core ask for."""
    core_problem = SimpleNamespace(structure=problem.core_structure, hermitian=problem.hermitian, unit=problem.unit)
    return SimpleNamespace(problem=core_problem, X=np.zeros(0, problem.X_dtype))


def _gaps(problem: Problem, w: Any) -> Any:
    """λ_j − λ_i, (k, k)."""
    return jnp.zeros((1, 1), w.dtype) if problem.structure == "nonlinear" else w[:, None] - w


@partial(jax.jit, static_argnums=0)
def scaled_cotangents(problem: Problem, point: Sequence[Any], gw: Any, gX: Any) -> tuple[Any, Any, Any]:
    """Return cotangents (gw, gX) in the core's convention, divided by a power of two of their size, and that."""
    units = jax.lax.stop_gradient(point[3])
    gw, gX = jnp.conj(gw) * units[0], jnp.conj(gX) * units[1]
    # So that squares of tiny or huge ones neither vanish nor overflow.
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.max(jnp.abs(gw)), jnp.max(jnp.abs(gX))))
    unit = jnp.exp2(jnp.floor(jnp.log2(jnp.where(largest > 0, largest, 1))))
    return gw / unit, gX / unit, unit


@partial(jax.jit, static_argnums=0)
def right_hand_side(
    problem: Problem,
    consts: Sequence[Any],
    point: Sequence[Any],
    gw: Any,
    gX: Any,
    noise: Any,
    equal: Any,
    chosen: Any,
    D: Any,
    E: Any,
) -> tuple[Any, Any, Any]:
    """Return the right-hand side [F; G] of the adjoint systems, σ, and the part of W that needs no solve, or None.

    ``noise`` and ``equal`` (k, k) are those of the couplings, ``chosen`` (k,) are the pairs that are differentiated,
    and D, E pair conjugates, see `perturbation/conjugates.py`.
    """
    at = at_point(problem, consts, point)
    if problem.structure == "subspace":
        gH = 0.5 * (gw + jnp.conj(gw).T) if problem.hermitian else gw
        of_space = begin_adjoint_of_subspace(jnp, problem.hermitian, at.X, at.normaliser(), at.w, gX, gH)
        right = jnp.concatenate([of_space.F, of_space.G])
        return right.astype(problem.X_dtype), of_space.sigma, of_space.inside
    X, gw, gX = at.X * chosen, gw * chosen, gX * chosen
    if problem.real_pencil:
        gw, gX = gw @ D + jnp.conj(gw) @ E, gX @ D + jnp.conj(gX) @ E
    elif problem.X_dtype.kind != "c":
        gw = jnp.real(gw)
    NX = X if problem.normalization == "2" else at.normaliser() * chosen
    rhs = begin_adjoint(jnp, _core_pairs(problem), X, NX, gw, gX)
    couplings: Any = SimpleNamespace(noise=noise, equal=equal)
    noise, kept = quotients_of(jax.lax.stop_gradient(rhs.N), couplings, jnp)
    T = divide_by_gaps(rhs.N, noise, jnp.conj(_gaps(problem, at.w)), kept)
    G = T + jnp.diag(rhs.gw.astype(T.dtype))
    return jnp.concatenate([rhs.F, G]).astype(problem.X_dtype), rhs.sigma, None


@partial(jax.jit, static_argnums=0)
def finish_cotangents(problem: Problem, point: Sequence[Any], Z: Any, sigma: Any, unit: Any, inside: Any) -> list[Any]:
    """Return cotangents of R and S as JAX has them."""
    Z = Z if inside is None else Z + inside
    units = jax.lax.stop_gradient(point[3])
    found = [jnp.conj(Z) * (unit / units[2])]
    if problem.normalization != "2":
        found.append(-0.5 * jnp.conj(sigma * unit).astype(problem.X_dtype))
    return found if problem.X_dtype.kind == "c" else [jnp.real(x) for x in found]


@partial(jax.jit, static_argnums=0)
def finish_tangents(
    problem: Problem, consts: Sequence[Any], point: Sequence[Any], noise: Any, equal: Any, ZM: Any, dS: Any
) -> tuple[Any, Any]:
    """Return dw (k,), or dH (k, k), and dX (n, k) of the solution [Z; M] of the tangent systems."""
    at, units = at_point(problem, consts, point), jax.lax.stop_gradient(point[3])
    Z, M = ZM[: problem.n], ZM[problem.n :]
    if problem.structure == "subspace":
        dX, dH = finish_tangent_of_subspace(jnp, problem.hermitian, at.X, at.normaliser(), at.w, Z, M, dS)
        return dH * units[0], dX * units[1]
    couplings: Any = SimpleNamespace(noise=noise, equal=equal)
    noise, kept = quotients_of(jax.lax.stop_gradient(M), couplings, jnp)
    C = divide_by_gaps(M, noise, _gaps(problem, at.w), kept)
    dX = finish_tangent(jnp, _core_pairs(problem), at.X, at.normaliser(), Z + at.X @ C, dS)
    dw = -jnp.diag(M)
    return (jnp.real(dw) if problem.hermitian else dw) * units[0], dX * units[1]


def _image(problem: Problem, side: SideName, at: At, chosen: Any, Z: Any) -> Any:
    """The left side of the block-bordered system of `perturbation/block.py` for [Z; M], (n + k, k)."""
    X = at.X * chosen
    Z, M = Z[: problem.n], Z[problem.n :]
    BX = at.slope(at.X) * chosen
    right, below = (X, BX) if side == "adjoint" else (BX, X)
    return jnp.concatenate([at.in_basis(side, Z, chosen) + right @ M, jnp.conj(below).T @ Z])


@partial(jax.jit, static_argnums=(0, 1, 2))
def residual_of_tangent(
    problem: Problem,
    side: SideName,
    active: tuple[int, ...],
    theta: Sequence[Any],
    changes: Sequence[Any],
    chosen: Any,
    d: Any,
    Z: Any,
) -> Any:
    """Return the tangent d of a right-hand side without what changes of the system make of its solution Z.

    ``theta`` are operands and point, of which those with the numbers ``active`` change.
    """
    if active:

        def image(*changed: Any) -> Any:
            moved = list(theta)
            for number, value in zip(active, changed, strict=True):
                moved[number] = value
            at = at_point(problem, moved[: problem.operands], moved[problem.operands :])
            return _image(problem, side, at, chosen, Z)

        d = d - jax.jvp(image, tuple(theta[i] for i in active), tuple(changes))[1]
    both = jnp.concatenate([jnp.ones(problem.n, chosen.dtype), chosen])[:, None] * chosen
    return d * both
