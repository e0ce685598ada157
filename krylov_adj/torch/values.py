"""PyTorch: solves on plain values as Functions without derivatives, so that transforms hand them plain tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..perturbation.block import solve_adjoint, solve_block, solve_tangent
from ..perturbation.maps import quotients_of, read_cotangents
from ..perturbation.rounding import rounding_of_block, rounding_of_couplings
from ..perturbation.solutions import PairSolution, Solution
from ..perturbation.systems import BorderedSystems
from .contraction import one_by_one
from .namespace import to_numpy, to_tensor
from .session import Session, SolvedProblem

__all__ = ["AdjointOfPairs", "BlockSolution", "Chosen", "Eigenpairs", "TangentOfPairs"]

Array = np.ndarray


def _tensors(device: Any, *arrays: Any) -> tuple[Any, ...]:
    return tuple(to_tensor(np.asarray(a), device) for a in arrays)


class Eigenpairs(torch.autograd.Function):
    """The results of a solve on plain values, of pairs or of an invariant subspace, and its number in the session.

    Of pairs w, X, what is paired, and the units; of a subspace H, X and the units.
    """

    @staticmethod
    def forward(problem: SolvedProblem, session: Session, device: Any, *tensors: Any) -> Any:
        found = problem.solve(tensors)
        return _tensors(device, *found.arrays, np.int64(session.add(found)))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        raise AssertionError("eigenpairs of plain values have no derivative")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        if all(d is None for d in in_dims):
            results = Eigenpairs.apply(*arguments)
            return results, (None,) * len(results)
        return one_by_one(Eigenpairs, info, in_dims, arguments)


class Chosen(torch.autograd.Function):
    """A mask (k,) of the pairs that are differentiated where a loss has these cotangents."""

    @staticmethod
    def forward(session: Session, again: bool, ticket: Any, x: Any, gw: Any, gX: Any) -> Any:
        systems, weights = session.systems(to_numpy(ticket), to_numpy(x)), to_numpy(gw)
        read = weights != 0
        if gX is not None:
            read = read | to_numpy(gX).any(axis=0)
        chosen, mask = systems.differentiable(read, again), np.ones(read.size, systems.pairs.X.real.dtype)
        if chosen is not None:
            mask[:] = 0
            mask[chosen] = 1
        return to_tensor(mask, gw.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return (None,) * 6

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(Chosen, info, in_dims, arguments)


class AdjointOfPairs(torch.autograd.Function):
    """The adjoint systems of eigenpairs: [Z; M], and what their derivatives have to know.

    ``F``, ``N``, ``gw``, ``gX``, ``NX`` and ``carried`` are those of `read_cotangents` and `begin_adjoint`, ``weights``
    the cotangents of w before they were paired.
    """

    @staticmethod
    def forward(
        session: Session,
        again: bool,
        ticket: Any,
        x: Any,
        mask: Any,
        F: Any,
        N: Any,
        gw: Any,
        weights: Any,
        gX: Any,
        NX: Any,
        carried: Any,
    ) -> Any:
        systems, chosen = _chosen(session, ticket, x, mask)
        F, N, gw, weights, carried = map(to_numpy, (F, N, gw, weights, carried))
        gX, NX = (None if t is None else to_numpy(t)[:, chosen] for t in (gX, NX))
        F, N, gw, weights = np.asfortranarray(F[:, chosen]), N[np.ix_(chosen, chosen)], gw[chosen], weights[chosen]
        reading = read_cotangents(systems.pairs, weights, NX, gw, gX, carried[:, chosen])
        solution = solve_adjoint(systems, F, N, gw, reading, again)
        w = systems.pairs.w
        sizes = np.outer(systems.pairs.space.norms(systems.pairs.X), reading.scale)
        return _told(systems, solution, chosen, N, np.conj(w[:, None] - w), sizes, x, again)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        return (None,) * 12

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return (None,) * 6

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(AdjointOfPairs, info, in_dims, arguments)


class TangentOfPairs(torch.autograd.Function):
    """The tangent systems of eigenpairs for F = −dR: [Z; M], and what their derivatives have to know."""

    @staticmethod
    def forward(session: Session, again: bool, ticket: Any, x: Any, F: Any) -> Any:
        systems = session.systems(to_numpy(ticket), to_numpy(x))
        F, w, k = np.asfortranarray(to_numpy(F)), systems.pairs.w, systems.pairs.w.size
        space = systems.pairs.space
        scale = space.norms(F)
        solution = solve_tangent(systems, F.copy(order="F"), again)
        sizes = np.outer(1 / space.norms(systems.pairs.BX[:, :k]), scale)
        return _told(systems, solution, np.arange(k), solution.M, w[:, None] - w, sizes, x, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        return (None,) * 5

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return (None,) * 6

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(TangentOfPairs, info, in_dims, arguments)


class BlockSolution(torch.autograd.Function):
    """Block-bordered systems: [Z; M], what they leave of the right-hand side, and the error it makes elsewhere.

    ``z`` is the solution of the other side that this one belongs to, and ``left`` (k,) what it left.
    """

    @staticmethod
    def forward(session: Session, side: Any, ticket: Any, x: Any, mask: Any, rhs: Any, z: Any, left: Any) -> Any:
        systems, chosen = _chosen(session, ticket, x, mask)
        n, k = x.shape
        rhs, z, left = map(to_numpy, (rhs, z, left))
        rows = np.concatenate([np.arange(n), n + chosen])
        part, z = rhs[np.ix_(rows, chosen)], z[np.ix_(rows, chosen)]
        dtype = systems.pairs.X.dtype
        solution = solve_block(
            systems, side, np.array(part[:n], dtype, order="F"), np.array(part[n:], dtype, order="F")
        )
        stacked = np.concatenate([solution.Z, solution.M])
        error = rounding_of_block(systems.accuracy, z, left[chosen], stacked, solution.left)
        Z, leaves = np.zeros((n + k, k), stacked.dtype), np.zeros(k, x.real.numpy().dtype)
        Z[np.ix_(rows, chosen)], leaves[chosen] = stacked, solution.left
        return _tensors(x.device, Z, leaves, np.asarray([error, solution.error], leaves.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        return (None,) * 8

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return (None,) * 3

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(BlockSolution, info, in_dims, arguments)


def _chosen(session: Session, ticket: Any, x: Any, mask: Any) -> tuple[BorderedSystems, Array]:
    """Return the systems of the pairs in a mask, and their numbers."""
    systems, chosen = session.systems(to_numpy(ticket), to_numpy(x)), np.flatnonzero(to_numpy(mask))
    return (systems if chosen.size == x.shape[1] else systems.restricted(chosen)), chosen


def _told(
    systems: BorderedSystems,
    solution: PairSolution,
    chosen: Array,
    numerators: Array,
    gaps: Array,
    sizes: Array,
    x: Any,
    again: bool,
) -> Any:
    """Return [Z; M] (n + k, k), what it left (k,), and where the solution is differentiated ``again`` four more.

    The numerators' noise, where couplings have a gap, their rounding (k, k), and the compressor (k, n).
    """
    n, k = x.shape
    noise, kept = quotients_of(numerators, solution.couplings)
    weight = rounding_of_couplings(systems.accuracy, sizes, solution.couplings, gaps)
    real = systems.pairs.X.real.dtype
    P = np.zeros((k, n if again else 0), systems.pairs.X.dtype)
    if again:
        P[chosen] = systems.pairs.compressor
    return _tensors(
        x.device,
        _placed(solution, chosen, n, k),
        _among(solution.left, chosen, k, real),
        _among(noise, chosen, k, noise.dtype),
        _among(kept, chosen, k, real),
        _among(weight, chosen, k, real),
        P,
    )


def _among(values: Array, chosen: Array, k: int, dtype: Any) -> Array:
    """Return values of some pairs among zeros for the others."""
    result = np.zeros((k,) * values.ndim, dtype)
    result[np.ix_(*[chosen] * values.ndim)] = values
    return result


def _placed(solution: Solution, chosen: Array, n: int, k: int) -> Array:
    Z = np.zeros((n + k, k), np.result_type(solution.Z, solution.M))
    Z[:n, chosen], Z[n + chosen[:, None], chosen] = solution.Z, solution.M
    return Z
