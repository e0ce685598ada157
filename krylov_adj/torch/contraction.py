"""PyTorch: the contraction of a trilinear form as a Function that differentiates into itself (forms/trilinear.py)."""

from __future__ import annotations

from typing import Any

import torch

from ..forms.trilinear import COEFFICIENTS, INPUT, OUTPUT, TrilinearForm
from .layers import underived
from .namespace import real_part, to_numpy, to_tensor, xp

__all__ = ["applied", "contract", "one_by_one"]


def one_by_one(function: Any, info: Any, in_dims: Any, arguments: Any) -> Any:
    """Return a Function's results for a batch of vmap: one example after the other, and the dimensions of the batch.

    Raises
    ------
    ValueError
        For a batch without examples.
    """
    if info.batch_size == 0:
        raise ValueError("vmap over a batch of size 0: there is no example to solve for")
    results = []
    for i in range(info.batch_size):
        one = [a if d is None else a.select(d, i) for a, d in zip(arguments, in_dims, strict=True)]
        results.append(function.apply(*one))
    if isinstance(results[0], tuple):
        parts = tuple(torch.stack(part) for part in zip(*results, strict=True))
        return parts, tuple(0 for _ in parts)
    return torch.stack(results), 0


def contract(form: TrilinearForm, free: int, u: Any, v: Any) -> Any:
    """Return the contraction of a form that leaves one slot free; tensors u and v, in order, fill the others.

    It runs on the host, in O(nnz).
    """
    return applied(Contraction, form, free, u, v)


def applied(function: Any, *arguments: Any) -> Any:
    """Return a Function's value, such that function modes, ours of an outer operator among them, see its tensors."""
    tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
    if torch.overrides.has_torch_function(tensors):
        return torch.overrides.handle_torch_function(applied, tensors, function, *arguments)
    if underived():
        return function.forward(*arguments)
    return function.apply(*arguments)


class Contraction(torch.autograd.Function):
    """Torch's cotangents are the core's: that of u is the contraction with the conjugate of v."""

    @staticmethod
    def forward(form: TrilinearForm, free: int, u: Any, v: Any) -> Any:
        return to_tensor(form.contract(free, to_numpy(u), to_numpy(v)), u.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.form, ctx.free = inputs[:2]
        ctx.save_for_backward(*inputs[2:])
        ctx.save_for_forward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        filled = [slot for slot in (COEFFICIENTS, INPUT, OUTPUT) if slot != ctx.free]
        values, cotangents = ctx.saved_tensors, [None, None]
        for position in (0, 1):
            if ctx.needs_input_grad[2 + position]:
                this, other = filled[position], filled[1 - position]
                kept = xp.conj(values[1 - position])
                first, second = (kept, g) if other < ctx.free else (g, kept)
                cotangent = contract(ctx.form, this, first, second)
                cotangents[position] = cotangent if values[position].is_complex() else real_part(cotangent)
        return None, None, *cotangents

    @staticmethod
    def jvp(ctx: Any, _form: Any, _free: Any, du: Any, dv: Any) -> Any:
        u, v = ctx.saved_tensors
        parts = [] if du is None else [contract(ctx.form, ctx.free, du, v)]
        parts += [] if dv is None else [contract(ctx.form, ctx.free, u, dv)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(Contraction, info, in_dims, arguments)
