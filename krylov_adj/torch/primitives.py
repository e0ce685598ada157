"""PyTorch: eigenpairs and block-bordered solutions as Functions, differentiable to any order.

Conventions. PyTorch's cotangents of complex tensors are the core's, df = Re Σ conj(g) dz: nothing is conjugated here.

The anchor. Eigenpairs are computed on plain values, and `Attached` returns them as they are. They depend on the tensors
that the operators read by way of the residuals R = A X − B X Λ and S = XᴴNX − I: a rule takes those tensors and the
pairs, which are its own results, traced, and differentiates the residuals at them. So rules are made of operations that
PyTorch differentiates again, but for the solution of a block-bordered system, which is `BlockBordered`: it depends on
its own residual in the same way; hence derivatives of any order.

Values that a solver needs, or decides by, are seen inside of Functions without derivatives (`values.py`): there tensors
are plain, whatever transforms are at work.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch

from ..perturbation.maps import begin_adjoint, divide_by_gaps, finish_tangent, pair_conjugates
from ..perturbation.rounding import motion_of_vectors
from ..perturbation.structures import Pencil
from .channel import CarryMotion, CarryRounding, Said, WatchSolution, eps_of
from .contraction import one_by_one
from .layers import check_batches
from .namespace import NUMPY_TYPES, detached, real_part, xp
from .pullback import directional, in_full_precision, pullback
from .session import Kind, Session
from .values import AdjointOfPairs, BlockSolution, Chosen, TangentOfPairs

__all__ = ["Attached", "BlockBordered", "TracedProblem", "stacked_image", "unit_of", "units_of"]


class TracedProblem(Protocol):
    """An eigenproblem as a function of the tensors that its operators read, see `StandardPencil`."""

    nonlinear: bool
    structure: Pencil

    @property
    def hermitian(self) -> bool: ...
    def slope(self, tensors: Any, units: Any, w: Any, X: Any) -> Any: ...
    def normaliser(self, session: Session, tensors: Any, units: Any, w: Any, X: Any) -> Any: ...
    def residual(self, session: Session, tensors: Any, units: Any, w: Any, X: Any, H: Any) -> tuple[Any, ...]: ...
    def compressed(self, tensors: Any, units: Any, w: Any, X: Any, P: Any, mask: Any) -> Any: ...
    def block_image(self, side: str, tensors: Any, units: Any, w: Any, X: Any, Z: Any, P: Any, mask: Any) -> Any: ...


def unit_of(*cotangents: Any) -> Any:
    """Return a power of two of the size of the largest entry, one where all are zero, as a tensor."""
    sizes = [torch.max(torch.abs(g.detach())) for g in cotangents if g is not None]
    largest = sizes[0]
    for size in sizes[1:]:
        largest = torch.maximum(largest, size)
    fit = (largest > 0) & torch.isfinite(largest)
    return torch.exp2(torch.floor(torch.log2(torch.where(fit, largest, torch.ones_like(largest)))))


def _kind(problem: TracedProblem, session: Session, X: Any, pairing: Any = None) -> Any:
    paired = pairing if session.paired and pairing is not None else None
    return Kind(problem.hermitian, NUMPY_TYPES[X.dtype], problem.structure, session.unit, paired)


class Attached(torch.autograd.Function):
    """(w, X, E) as functions of what the operators read; E is rounding's channel, zeros that no loss reads."""

    @staticmethod
    def forward(
        problem: TracedProblem,
        session: Session,
        w: Any,
        X: Any,
        E: Any,
        pairing: Any,
        units: Any,
        ticket: Any,
        *tensors: Any,
    ) -> Any:
        return w.clone(), X.clone(), E.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.problem, ctx.session = inputs[:2]
        ctx.device = output[0].device
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output, *inputs[5:])
        ctx.save_for_forward(*output, *inputs[5:])

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, gw: Any, gX: Any, gE: Any) -> Any:
        check_batches(gw, gX)
        problem, session = ctx.problem, ctx.session
        w, X, E, pairing, units, ticket, *tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[8:]
        if (gw is None and gX is None) or not any(wanted):
            return (None,) * (8 + len(tensors))
        units = None if session.trivial else units
        again, x = torch.is_grad_enabled(), X.detach()
        gw = torch.zeros_like(w) if gw is None else gw
        unit = unit_of(gw, gX)
        gw, gX = gw / unit, None if gX is None else gX / unit
        mask = Chosen.apply(session, again, ticket, x, gw.detach(), detached(gX))
        given = (tensors, units, w, X * mask, E, ticket, mask, x)
        carried = torch.zeros_like(w.real if w.is_complex() else w).expand(2, -1)
        if gE is not None:
            carried = torch.abs(gE.detach()[:2]) / unit
        W, sigma, P = _adjoint(problem, session, given, pairing, gw, gX, carried, again)
        H = None
        if again and not problem.nonlinear:
            H = problem.compressed(tensors, units, w, X * mask, P, mask)
            H = H + (torch.diag(w).to(H.dtype) - H).detach()  # Λ to the bit
        cotangents = [unit * W] if session.normalization == "2" else [unit * W, (-0.5 * unit * sigma).to(W.dtype)]
        found = pullback(lambda *some: problem.residual(session, some, units, w, X, H), tensors, wanted, cotangents)
        return (None,) * 8 + tuple(found)

    @staticmethod
    @in_full_precision
    def jvp(ctx: Any, *tangents: Any) -> Any:
        problem, session = ctx.problem, ctx.session
        w, X, E, _, units, ticket, *tensors = ctx.saved_tensors
        units, x, k = None if session.trivial else units, X.detach(), X.shape[1]
        residual = partial(_residual_at, problem, session, units, w, X)
        derivative = directional(residual, tensors, tangents[8:])
        F, dS = -derivative[0].to(X.dtype), None if session.normalization == "2" else derivative[1]
        NX = problem.normaliser(session, tensors, units, w, X)
        told = TangentOfPairs.apply(session, True, ticket, x, F.detach())
        z, left, noise, kept, weight, P = told
        rhs = torch.cat([F, torch.zeros_like(X[:k] if X.shape[0] >= k else X.new_zeros((k, k)))])
        mask = torch.ones_like(kept[0])
        Z = BlockBordered.apply(problem, session, "tangent", z, left, P, mask, units_of(units, w), ticket, x, rhs, w, X,
                                E, *tensors)  # fmt: skip
        V, M = Z[: X.shape[0]], Z[X.shape[0] :]
        C = divide_by_gaps(M, noise, w[:, None] - w, kept)
        C = CarryRounding.apply(eps_of(X.dtype), C, E, weight)
        dX = finish_tangent(xp, _kind(problem, session, X), X, NX, V + X @ C.to(X.dtype), dS)
        motion = motion_of_vectors(xp, *(t.detach() for t in (X, dX, C, z[: X.shape[0]])))
        dX = CarryMotion.apply(session, ticket, x, dX, E, motion)
        dw = -torch.diag(M)
        return (dw if w.is_complex() else real_part(dw)), dX, motion

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(Attached, info, in_dims, arguments)


def units_of(units: Any, like: Any) -> Any:
    """Return units as a tensor: of size zero where all are one."""
    return like.new_zeros(0) if units is None else units


def _residual_at(
    problem: TracedProblem, session: Session, units: Any, w: Any, X: Any, *tensors: Any
) -> tuple[Any, ...]:
    return problem.residual(session, tensors, units, w, X, None)


def _adjoint(
    problem: TracedProblem, session: Session, given: Any, pairing: Any, gw: Any, gX: Any, carried: Any, again: bool
) -> tuple[Any, Any, Any]:
    """Return W (n, k), σ (k, k) and the compressor P (k, n); see `Attached`. X has zeros where nothing is read."""
    tensors, units, w, X, E, ticket, mask, x = given
    weights, kind = gw.detach(), _kind(problem, session, X, pairing)
    gw, gX = pair_conjugates(xp, kind, gw, gX)
    gw = gw * mask
    if gX is None:
        NX, F = None, torch.zeros_like(X)
        N = sigma = X.new_zeros((X.shape[1],) * 2)
    else:
        NX = problem.normaliser(session, tensors, units, w, X)
        rhs = begin_adjoint(xp, kind, X, NX, gw, gX)
        F, N, sigma = rhs.F, rhs.N, rhs.sigma
    values = [detached(t) for t in (F, N, gw, weights, gX, NX, carried)]
    z, left, noise, kept, weight, P = AdjointOfPairs.apply(session, again, ticket, x, mask, *values)
    n = X.shape[0]
    if not again:
        return z[:n], sigma, P
    T = divide_by_gaps(N, noise, xp.conj(w[:, None] - w), kept)
    T = CarryRounding.apply(eps_of(X.dtype), T, E, weight)
    stacked = xp.concatenate([F, T + torch.diag(gw)]).to(z.dtype)
    Z = BlockBordered.apply(problem, session, "adjoint", z, left, P, mask, units_of(units, w), ticket, x, stacked, w, X,
                            E, *tensors)  # fmt: skip
    return WatchSolution.apply(session, ticket, x, Z[:n], E, T, weight), sigma, P


class BlockBordered(torch.autograd.Function):
    """A solution [Z; M] of block-bordered systems as a function of its right-hand side, w, X, E and the tensors.

    [Aᴴ Z − Bᴴ Z Hᴴ + X M; (B X)ᴴ Z] = [F; G] (adjoint), [A Z − B Z H + B X M; Xᴴ Z] = [F; G] (tangent).
    """

    @staticmethod
    def forward(
        problem: TracedProblem,
        session: Session,
        side: str,
        z: Any,
        left: Any,
        P: Any,
        mask: Any,
        units: Any,
        ticket: Any,
        x: Any,
        rhs: Any,
        w: Any,
        X: Any,
        E: Any,
        *tensors: Any,
    ) -> Any:
        return z.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.problem, ctx.session, ctx.side = inputs[:3]
        ctx.device = output.device
        _, left, P, mask, units, ticket, x, _, *traced = inputs[3:]
        ctx.save_for_backward(output, left, P, mask, units, ticket, x, *traced)
        ctx.save_for_forward(output, left, P, mask, units, ticket, x, *traced)

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, g: Any) -> Any:
        check_batches(g)
        problem, session, side = ctx.problem, ctx.session, ctx.side
        Z, left, P, mask, units, ticket, x, w, X, E, *tensors = ctx.saved_tensors
        other, fixed = ("tangent" if side == "adjoint" else "adjoint"), (P, mask, units, ticket, x)
        y, left_y, errors = BlockSolution.apply(session, other, ticket, x, mask, g.detach(), Z.detach(), left)
        Y = y
        if torch.is_grad_enabled():
            Y = BlockBordered.apply(problem, session, other, y, left_y, *fixed, g, w, X, E, *tensors)
        needs = ctx.needs_input_grad
        image = partial(_image, problem, session, side, units, P, mask, Z)
        found = pullback(image, [w, X, *tensors], [needs[11], needs[12], *needs[14:]], [-Y])
        gE = None
        if needs[13]:
            row = errors[0].to(E.dtype).expand(1, E.shape[1])
            gE = torch.cat([torch.zeros_like(row), row, torch.zeros_like(E[2:])])
        return (None,) * 10 + (Y, found[0], found[1], gE, *found[2:])

    @staticmethod
    @in_full_precision
    def jvp(ctx: Any, *tangents: Any) -> Any:
        problem, session, side = ctx.problem, ctx.session, ctx.side
        Z, left, P, mask, units, ticket, x, w, X, E, *tensors = ctx.saved_tensors
        drhs, dw, dX, dE, *dtensors = tangents[10:]
        d = torch.zeros_like(Z) if drhs is None else drhs
        along = [dw if problem.nonlinear else None, dX, *dtensors]
        if any(t is not None for t in along):
            image = partial(_image, problem, session, side, units, P, mask, Z)
            d = d - directional(image, [w, X, *tensors], along)[0]
        y, left_y, errors = BlockSolution.apply(session, side, ticket, x, mask, d.detach(), Z.detach(), left)
        Y = BlockBordered.apply(problem, session, side, y, left_y, P, mask, units, ticket, x, d, w, X, E, *tensors)
        if dE is None:
            return Y
        return Said.apply(session, "block", ticket, x, Y, dE.detach(), errors)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(BlockBordered, info, in_dims, arguments)


def _image(
    problem: TracedProblem,
    session: Session,
    side: str,
    units: Any,
    P: Any,
    mask: Any,
    Z: Any,
    w: Any,
    X: Any,
    *tensors: Any,
) -> tuple[Any]:
    """Return the left-hand side at a solution [Z; M], as a function of w, X and the tensors."""
    n, units = X.shape[0], None if session.trivial else units
    Z, M = Z[:n], Z[n:]
    BX = problem.slope(tensors, units, w, X)
    return (stacked_image(side, problem.block_image(side, tensors, units, w, X, Z, P, mask), X, BX, Z, M),)


def stacked_image(side: str, image: Any, X: Any, BX: Any, Z: Any, M: Any) -> Any:
    """Return the left-hand side at [Z; M] from the ``image`` of Z: with the border's M beside it and Z under it."""
    right, below = (X, BX) if side == "adjoint" else (BX, X)
    return xp.concatenate([image + right.to(M.dtype) @ M, xp.conj(below).T.to(Z.dtype) @ Z])
