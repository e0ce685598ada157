"""PyTorch: what derivatives and batches pass through, and the transforms that are refused.

Inside of `torch.func`'s transforms a tensor is a wrapper around a tensor of the level below. Public functions of
PyTorch do not tell these apart; `torch._C._functorch` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch._C import _functorch
from torch._C._functorch import TransformType
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters, temporarily_clear_interpreter_stack
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode

__all__ = [
    "alive",
    "check_batches",
    "current_level",
    "has_values",
    "is_active",
    "is_batched",
    "is_traced",
    "plain_number",
    "plain_values",
    "refuse_transforms",
    "strip",
    "underived",
    "wrapped_above",
]


def layers(t: Any) -> Iterator[Any]:
    """Yield a tensor and those that it wraps, the outermost first."""
    while _functorch.is_functorch_wrapped_tensor(t):
        yield t
        t = _functorch.get_unwrapped(t)
    yield t


def strip(t: Any) -> Any:
    """Return the plain tensor inside of all wrappers."""
    while _functorch.is_functorch_wrapped_tensor(t):
        t = _functorch.get_unwrapped(t)
    return t


def alive(t: Any) -> Any:
    """Return a tensor without the wrappers of transforms that have ended, as those of a pullback of `torch.func.vjp`.

    Operations look through them, but what is differentiated in such a wrapper has derivative zero.
    """
    return _functorch.unwrap_if_dead(t) if isinstance(t, torch.Tensor) else t


def current_level() -> int:
    """Return the number of transforms that are at work."""
    interpreters = _functorch.get_interpreter_stack()
    return 0 if interpreters is None else len(interpreters)


def wrapped_above(t: Any, level: int) -> Any:
    """Return what a tensor is below the wrappers of transforms after the first ``level`` ones."""
    while _functorch.is_functorch_wrapped_tensor(t) and _functorch.maybe_get_level(t) > level:
        t = _functorch.get_unwrapped(t)
    return t


def is_traced(t: Any) -> bool:
    """Return whether a derivative or a batch may pass through t: inside of a transform all may."""
    if t.requires_grad or _functorch.is_functorch_wrapped_tensor(t):
        return True
    return has_tangent(t)


def has_tangent(t: Any) -> bool:
    """Return whether t carries a tangent of forward mode outside of `torch.func`."""
    if forward_ad._current_level < 0:
        return False
    return forward_ad.unpack_dual(t).tangent is not None


def is_batched(t: Any) -> bool:
    """Return whether t is a batch of vmap, at any level."""
    return any(_functorch.is_batchedtensor(layer) for layer in layers(t))


def is_active(t: Any) -> bool:
    """Return whether a derivative or a batch does pass through t, at any level."""
    for layer in layers(t):
        if layer.requires_grad or _functorch.is_batchedtensor(layer):
            return True
        try:
            if has_tangent(layer):
                return True
        except RuntimeError:  # of a level that has ended
            continue
    return False


def has_values(t: Any) -> bool:
    """Return whether t has numbers: tensors of shapes alone, on the device "meta" or of fake modes, have none."""
    return not (strip(t).is_meta or type(strip(t)).__name__ == "FakeTensor")


def underived() -> bool:
    """Return whether nothing that runs now has a derivative: solvers apply operators so, many times."""
    return not torch.is_grad_enabled() and forward_ad._current_level < 0 and current_level() == 0


def check_batches(*tensors: Any) -> None:
    """Raise where a tensor, or its tangent, is a batch of the vmap that PyTorch had before `torch.func`.

    Raises
    ------
    NotImplementedError
    """
    for t in tensors:
        if not isinstance(t, torch.Tensor):
            continue
        dual = current_level() == 0 and has_tangent(t)
        tangent = forward_ad.unpack_dual(t).tangent if dual else None
        if any(part is not None and _functorch.is_legacy_batchedtensor(part) for part in (t, tangent)):
            raise NotImplementedError(
                "is_grads_batched=True, or vectorize=True of torch.autograd.functional, hands over batches of a vmap "
                "that is older than torch.func, and knows too few operations. Use torch.func.jacrev, jacfwd or "
                "hessian, or leave these flags out"
            )


def plain_values(t: Any) -> Any:
    """Return the values of a tensor as an array, inside of a transform too, which would wrap what is made in it."""
    with temporarily_clear_interpreter_stack():
        return strip(t).detach().resolve_conj().resolve_neg().cpu().numpy()


def plain_number(x: Any, name: str) -> Any:
    """Return a tensor that is an argument of the solver as a plain array or number; anything else as it is.

    Raises
    ------
    TypeError
        For a batch.
    """
    if not isinstance(x, torch.Tensor):
        return x
    if is_batched(x):
        raise TypeError(f"{name} is a batch of vmap: it has to be the same for all examples. Write a loop over them")
    values = plain_values(x)
    return values[()] if values.ndim == 0 else values


def refuse_transforms(name: str) -> None:
    """Raise where a transform is at work under which results would be wrong.

    Raises
    ------
    NotImplementedError
    """
    forward = sum(i.key() == TransformType.Jvp for i in retrieve_all_functorch_interpreters())
    if forward + (forward_ad._current_level >= 0 and not forward) > 1:
        raise NotImplementedError(
            f"{name} inside of forward mode inside of forward mode: PyTorch drops the outer derivative in any "
            "autograd.Function, without an error (pytorch#197867). Use reverse mode for one of the two: "
            "jacrev(jacfwd(f)), or hessian(f) = jacfwd(jacrev(f))"
        )
    if any(i.key() == TransformType.Functionalize for i in retrieve_all_functorch_interpreters()):
        raise NotImplementedError(f"{name} inside of torch.func.functionalize: a solver has no functional form")
    if get_proxy_mode() is not None:
        raise NotImplementedError(
            f"{name} inside of make_fx or torch.export: the program would keep the eigenpairs of the example as "
            "constants. Trace around the call"
        )
