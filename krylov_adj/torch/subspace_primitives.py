"""PyTorch: invariant subspaces and solutions of their block-bordered systems as Functions, to any order.

They are anchored as eigenpairs are (`primitives.py`): H and X are functions of R = A X − B X H and S = XᴴNX − I, with H
and X in these held fixed, by the maps of `perturbation/subspace_maps.py`. H is a variable of its own here, and no gap
between its eigenvalues is in any of it. H comes first, as eigenvalues do.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from ..perturbation.subspace_derivatives import solve_space_adjoint, solve_space_tangent
from ..perturbation.subspace_maps import begin_adjoint, finish_tangent
from .contraction import one_by_one
from .layers import check_batches
from .namespace import detached, to_numpy, to_tensor, xp
from .pencil import StandardPencil, in_common_type
from .primitives import stacked_image, unit_of, units_of
from .pullback import directional, in_full_precision, pullback
from .session import Session

__all__ = ["AttachedSpace"]

Array = np.ndarray


class AttachedSpace(torch.autograd.Function):
    """(H, X) as functions of what the operators read."""

    @staticmethod
    def forward(
        problem: StandardPencil, session: Session, H: Any, X: Any, units: Any, ticket: Any, *tensors: Any
    ) -> Any:
        return H.clone(), X.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.problem, ctx.session = inputs[:2]
        ctx.device = output[0].device
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output, *inputs[4:])
        ctx.save_for_forward(*output, *inputs[4:])

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, gH: Any, gX: Any) -> Any:
        check_batches(gH, gX)
        session, wanted = ctx.session, ctx.needs_input_grad[6:]
        H, X, units, ticket, *tensors = ctx.saved_tensors
        if (gH is None and gX is None) or not any(wanted):
            return (None,) * (6 + len(tensors))
        units = None if session.trivial else units
        gH = torch.zeros_like(H) if gH is None else gH
        unit = unit_of(gH, gX)
        given = (tensors, units, H, X, ticket)
        W, sigma = _adjoint(ctx.problem, session, given, gH / unit, None if gX is None else gX / unit)
        cotangents = [unit * W]
        if session.normalization != "2":
            cotangents.append((-0.5 * unit * sigma).to(W.dtype))
        residual = partial(_residual, ctx.problem, session, units, H, X)
        return (None,) * 6 + tuple(pullback(residual, tensors, wanted, cotangents))

    @staticmethod
    @in_full_precision
    def jvp(ctx: Any, *tangents: Any) -> Any:
        problem, session = ctx.problem, ctx.session
        H, X, units, ticket, *tensors = ctx.saved_tensors
        units, x, n = None if session.trivial else units, X.detach(), X.shape[0]
        dR, *dS = directional(partial(_residual, problem, session, units, H, X), tensors, tangents[6:])
        F = -dR.to(X.dtype)
        z = TangentOfSpace.apply(session, ticket, x, F.detach())
        rhs = torch.cat([F, torch.zeros_like(H)])
        Z = SpaceBordered.apply(problem, session, "tangent", z, units_of(units, X), ticket, x, rhs, X, H, *tensors)
        NX = problem.normaliser(session, tensors, units, None, X).to(X.dtype)
        dX, dH = finish_tangent(xp, problem.hermitian, X, NX, H, Z[:n], Z[n:], dS[0].to(X.dtype) if dS else None)
        return dH, dX

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(AttachedSpace, info, in_dims, arguments)


def _residual(problem: StandardPencil, session: Session, units: Any, H: Any, X: Any, *tensors: Any) -> tuple[Any, ...]:
    return problem.residual(session, tensors, units, None, X, H)


def _adjoint(problem: StandardPencil, session: Session, given: Any, gH: Any, gX: Any) -> tuple[Any, Any]:
    """Return W (n, k) and σ (k, k); gX is None where X is not read."""
    tensors, units, H, X, ticket = given
    n, x, of_H = X.shape[0], X.detach(), gX is None
    NX = problem.normaliser(session, tensors, units, None, X).to(X.dtype)
    gX = torch.zeros_like(X) if gX is None else gX
    gH = 0.5 * (gH + xp.conj(gH).T) if problem.hermitian else gH
    z = AdjointOfSpace.apply(session, ticket, x, *map(detached, (NX, gX, gH)))
    rhs = begin_adjoint(xp, problem.hermitian, X, NX, H, gX, gH)
    Z = z
    # A loss of H alone of a Hermitian problem needs no solve at any order.
    if torch.is_grad_enabled() and not (of_H and problem.hermitian):
        stacked = xp.concatenate([rhs.F, rhs.G])
        Z = SpaceBordered.apply(problem, session, "adjoint", z, units_of(units, X), ticket, x, stacked, X, H, *tensors)
    return (Z[:n] if rhs.inside is None else rhs.inside + Z[:n]), rhs.sigma


class SpaceBordered(torch.autograd.Function):
    """A solution [Z; M] of the block-bordered systems as a function of its right-hand side, X, H and the tensors.

    [Aᴴ Z − Bᴴ Z Hᴴ + X M; (B X)ᴴ Z] = [F; G] (adjoint), [A Z − B Z H + B X M; Xᴴ Z] = [F; G] (tangent).
    """

    @staticmethod
    def forward(
        problem: StandardPencil,
        session: Session,
        side: str,
        z: Any,
        units: Any,
        ticket: Any,
        x: Any,
        rhs: Any,
        X: Any,
        H: Any,
        *tensors: Any,
    ) -> Any:
        return z.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.problem, ctx.session, ctx.side = inputs[:3]
        ctx.device = output.device
        ctx.save_for_backward(output, *inputs[4:7], *inputs[8:])
        ctx.save_for_forward(output, *inputs[4:7], *inputs[8:])

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, g: Any) -> Any:
        check_batches(g)
        Z, units, ticket, x, *variables = ctx.saved_tensors
        other = "tangent" if ctx.side == "adjoint" else "adjoint"
        Y = _solved(ctx, other, g, (units, ticket, x), variables)
        image = partial(_image, ctx.problem, ctx.session, ctx.side, units, Z)
        return (None,) * 7 + (Y, *pullback(image, variables, ctx.needs_input_grad[8:], [-Y]))

    @staticmethod
    @in_full_precision
    def jvp(ctx: Any, *tangents: Any) -> Any:
        Z, units, ticket, x, *variables = ctx.saved_tensors
        d = torch.zeros_like(Z) if tangents[7] is None else tangents[7]
        if any(t is not None for t in tangents[8:]):
            image = partial(_image, ctx.problem, ctx.session, ctx.side, units, Z)
            d = d - directional(image, variables, tangents[8:])[0]
        return _solved(ctx, ctx.side, d, (units, ticket, x), variables, forward=True)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(SpaceBordered, info, in_dims, arguments)


def _solved(ctx: Any, side: str, rhs: Any, fixed: Any, variables: Any, forward: bool = False) -> Any:
    """Return the solution for another right-hand side, differentiable where it may be."""
    _, ticket, x = fixed
    y = SpaceSolution.apply(ctx.session, side, ticket, x, rhs.detach())
    if not forward and not torch.is_grad_enabled():
        return y
    return SpaceBordered.apply(ctx.problem, ctx.session, side, y, *fixed, rhs, *variables)


def _image(
    problem: StandardPencil, session: Session, side: str, units: Any, Z: Any, X: Any, H: Any, *tensors: Any
) -> tuple[Any]:
    """Return the left-hand side at a solution [Z; M], as a function of X, H and the tensors."""
    n, units, back = X.shape[0], None if session.trivial else units, side == "adjoint"
    V, M = Z[:n], Z[n:]
    BV, H = in_common_type(problem.slope(tensors, units, None, V, back), xp.conj(H).T if back else H)
    image = problem.image(tensors, units, None, V, back) - BV @ H
    return (stacked_image(side, image, X, problem.slope(tensors, units, None, X), V, M),)


# ---- solves on plain values ------------------------------------------------------------------------


class Plain(torch.autograd.Function):
    """A solution [Z; M] on plain values, without a derivative; its kinds say of what."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)
        ctx.inputs = len(inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return (None,) * ctx.inputs

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return None


class AdjointOfSpace(Plain):
    """The solution of the adjoint systems of a loss, without the part X gH of Hermitian ones; it says what is read."""

    @staticmethod
    def forward(session: Session, ticket: Any, x: Any, NX: Any, gX: Any, gH: Any) -> Any:
        systems = session.subspace(to_numpy(ticket), to_numpy(x))
        solution = solve_space_adjoint(systems, *(to_numpy(t) for t in (NX, gX, gH)))
        return _stacked(solution, x)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(AdjointOfSpace, info, in_dims, arguments)


class TangentOfSpace(Plain):
    """The solution of the tangent systems for F = −dR."""

    @staticmethod
    def forward(session: Session, ticket: Any, x: Any, F: Any) -> Any:
        systems = session.subspace(to_numpy(ticket), to_numpy(x))
        return _stacked(solve_space_tangent(systems, np.asfortranarray(to_numpy(F))), x)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(TangentOfSpace, info, in_dims, arguments)


class SpaceSolution(Plain):
    """The solution of block-bordered systems of one ``side`` for any right-hand side."""

    @staticmethod
    def forward(session: Session, side: Any, ticket: Any, x: Any, rhs: Any) -> Any:
        systems, n = session.subspace(to_numpy(ticket), to_numpy(x)), x.shape[0]
        rhs = to_numpy(rhs)
        return _stacked(systems.solve(side, np.asfortranarray(rhs[:n]), rhs[n:]), x)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(SpaceSolution, info, in_dims, arguments)


def _stacked(solution: Any, like: Any) -> Any:
    return to_tensor(np.concatenate([solution.Z, solution.M]), like.device).to(like.dtype)
