"""PyTorch: derivatives of functions of tensors inside of rules, which PyTorch differentiates again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch

from .layers import alive, current_level

__all__ = ["directional", "in_full_precision", "pullback", "without_autocast"]

Function = Callable[..., tuple[Any, ...]]


def without_autocast(device: Any) -> Any:
    """Return a context in which products keep their precision."""
    return torch.autocast(torch.device(device).type, enabled=False)


def in_full_precision(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule of a Function that keeps its precision, also where it runs inside of `torch.autocast`."""

    @wraps(rule)
    def full(ctx: Any, *arguments: Any) -> Any:
        with without_autocast(ctx.device):
            return rule(ctx, *arguments)

    return full


def pullback(
    function: Callable[..., tuple[Any, ...]], inputs: Sequence[Any], wanted: Any, cotangents: Any
) -> list[Any]:
    """Return the cotangents of the ``wanted`` inputs of a function of tensors, and None for the others."""
    found: list[Any] = [None] * len(inputs)
    inputs, cotangents = [alive(t) for t in inputs], [alive(t) for t in cotangents]
    chosen = [i for i, want in enumerate(wanted) if want]
    if not chosen:
        return found

    def of_chosen(*some: Any) -> tuple[Any, ...]:
        every = list(inputs)
        for i, t in zip(chosen, some, strict=True):
            every[i] = t
        return function(*every)

    if current_level() > 0:
        gradients = torch.func.vjp(of_chosen, *[inputs[i] for i in chosen])[1](tuple(cotangents))
    else:  # without the cost of a transform, which knows no hooks on saved tensors
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            # What else depends on an input is not this function of it.
            some = [_alias(inputs[i], again) for i in chosen]
            results = [(r, g) for r, g in zip(of_chosen(*some), cotangents, strict=True) if r.requires_grad]
            if not results:
                return found
            gradients = torch.autograd.grad(
                [r for r, _ in results],
                some,
                [g.to(r.dtype) for r, g in results],
                create_graph=again,
                allow_unused=True,
            )
    for i, g in zip(chosen, gradients, strict=True):
        found[i] = g
    return found


def _alias(t: Any, again: bool) -> Any:
    """Return the same values, to be differentiated in, and ``again`` beyond."""
    if not again or not t.requires_grad:
        return t.detach().requires_grad_()
    return t.view_as(t)


def directional(function: Function, inputs: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Return the derivative of a function of tensors along tangents, None for zero, by reverse mode twice.

    Forward mode inside of forward mode is refused outside of `torch.func`, and not every operation has it.
    """
    inputs, tangents = [alive(t) for t in inputs], [alive(t) for t in tangents]
    moving = [i for i, t in enumerate(tangents) if t is not None]

    def pulled(*cotangents: Any) -> Any:
        def of_moving(*some: Any) -> tuple[Any, ...]:
            every = list(inputs)
            for i, t in zip(moving, some, strict=True):
                every[i] = t
            return function(*every)

        return torch.func.vjp(of_moving, *[inputs[i] for i in moving])[1](cotangents)

    with torch.no_grad():
        zeros = tuple(torch.zeros_like(y) for y in function(*inputs))
    along = tuple(tangents[i].to(inputs[i].dtype) for i in moving)
    return torch.func.vjp(pulled, *zeros)[1](along)
