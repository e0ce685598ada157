"""PyTorch: rounding's channel E between the derivatives of different levels (perturbation/rounding.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..krylov.precision import Precision
from ..perturbation.gauge import check_motion
from ..perturbation.rounding import (
    check_motion_of_vectors,
    check_solution,
    in_channel,
    sizes_of_couplings,
    sizes_of_motion,
    without_noise,
)
from .contraction import one_by_one
from .namespace import NUMPY_TYPES, detached, to_numpy, xp
from .session import Session

__all__ = ["CarryMotion", "CarryRounding", "ChannelOf", "Said", "WatchSolution", "empty_channel", "eps_of"]


def empty_channel(X: Any) -> Any:
    """Return E for k eigenvectors X (n, k)."""
    k = X.shape[1]
    return torch.zeros((2 + k, k), dtype=X.dtype, device=X.device)


class CarryRounding(torch.autograd.Function):
    """T (k, k), couplings whose rounding is ε·weight, as a function of T and E."""

    @staticmethod
    def forward(eps: float, T: Any, E: Any, weight: Any) -> Any:
        return T.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.eps = inputs[0]
        ctx.save_for_backward(inputs[3])
        ctx.save_for_forward(inputs[3])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return None, g, sizes_of_couplings(xp, g.detach(), weight), None

    @staticmethod
    def jvp(ctx: Any, _eps: Any, dT: Any, dE: Any, _weight: Any) -> Any:
        (weight,) = ctx.saved_tensors
        if dT is None or dE is None:
            return torch.zeros_like(dE[2:]) if dT is None else dT.clone()
        return dT * without_noise(xp, dT.detach(), dE.detach(), weight, ctx.eps)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(CarryRounding, info, in_dims, arguments)


class WatchSolution(torch.autograd.Function):
    """Z (n, k), adjoint solutions with the couplings T; says what rounding of these has left of its tangents."""

    @staticmethod
    def forward(session: Session, ticket: Any, x: Any, Z: Any, E: Any, T: Any, weight: Any) -> Any:
        return Z.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.session, ticket, x, _, _, _, weight = inputs
        ctx.save_for_backward(output)
        ctx.save_for_forward(ticket, x, output, weight)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None, None, None, g, None, None, None

    @staticmethod
    def jvp(ctx: Any, _s: Any, _t: Any, _x: Any, dZ: Any, dE: Any, dT: Any, _weight: Any) -> Any:
        ticket, x, Z, weight = ctx.saved_tensors
        dZ = torch.zeros_like(Z) if dZ is None else dZ
        if dE is None or dT is None:
            return dZ.clone()
        values = (Z, dZ, dT, dE, weight)
        return Said.apply(ctx.session, "solution", ticket, x, dZ, *map(detached, values))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(WatchSolution, info, in_dims, arguments)


class Said(torch.autograd.Function):
    """Its tensor as it is; checks of values on the way warn of what rounding has left of it."""

    @staticmethod
    def forward(session: Session, what: str, ticket: Any, x: Any, through: Any, *values: Any) -> Any:
        systems = session.systems(to_numpy(ticket), to_numpy(x))
        plain = [to_numpy(v) for v in values]
        if what == "solution":
            Z, dZ, dT, dE, weight = plain
            check_solution(Z, dZ, dT, dE, weight, systems.accuracy)
        elif what == "block":
            motion, errors = plain
            check_motion(systems.pairs, np.abs(motion[:2]), float(errors[1]))
        else:
            motion, dE = plain
            check_motion_of_vectors(systems.accuracy, motion, dE)
        return through.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.others = len(inputs) - 5

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return (None,) * 4 + (g,) + (None,) * ctx.others

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[4].clone()

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(Said, info, in_dims, arguments)


class CarryMotion(torch.autograd.Function):
    """dX (n, k), a tangent of eigenvectors with the given motion, a tangent of E, as a function of dX and E."""

    @staticmethod
    def forward(session: Session, ticket: Any, x: Any, dX: Any, E: Any, motion: Any) -> Any:
        return dX.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.session, ticket, x, _, _, motion = inputs
        ctx.save_for_backward(motion)
        ctx.save_for_forward(ticket, x, output, motion)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (motion,) = ctx.saved_tensors
        return None, None, None, g, sizes_of_motion(xp, g.detach(), motion), None

    @staticmethod
    def jvp(ctx: Any, _s: Any, _t: Any, _x: Any, ddX: Any, dE: Any, _motion: Any) -> Any:
        ticket, x, dX, motion = ctx.saved_tensors
        ddX = torch.zeros_like(dX) if ddX is None else ddX
        if dE is None:
            return ddX.clone()
        return Said.apply(ctx.session, "motion", ticket, x, ddX, motion, dE.detach())

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(CarryMotion, info, in_dims, arguments)


class ChannelOf(torch.autograd.Function):
    """E for vectors X that came without it: its tangents are the motions of X, cotangents it takes none."""

    @staticmethod
    def forward(X: Any) -> Any:
        return empty_channel(X)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return torch.zeros_like(ctx.saved_tensors[0])

    @staticmethod
    def jvp(ctx: Any, dX: Any) -> Any:
        X, dX = (t.detach() for t in (ctx.saved_tensors[0], dX))
        within = torch.linalg.solve(xp.conj(X).T @ X, xp.conj(X).T @ dX)  # (k, k)
        outside = dX - X @ within
        within = within - torch.diag(torch.diag(within))
        norms = [torch.sqrt(torch.sum(torch.abs(V) ** 2, 0)) for V in (X @ within, outside)]
        return in_channel(xp, norms, within)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(ChannelOf, info, in_dims, arguments)


def eps_of(dtype: Any) -> float:
    """Return ε of a tensor's type."""
    return Precision.of(NUMPY_TYPES[dtype]).eps
