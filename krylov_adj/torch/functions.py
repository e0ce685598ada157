"""PyTorch: one function of an operator, with what it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..krylov.precision import Precision
from .layers import check_batches, has_values, is_active, is_batched, is_traced, strip
from .namespace import NUMPY_TYPES
from .operators import check_dtype
from .pullback import without_autocast
from .tape import Reading, Replaced, Tape

__all__ = ["ReadFunction", "check_values", "read_function"]


@dataclass(frozen=True, eq=False)
class ReadFunction:
    """One function of an operator, what it reads, and its calls."""

    function: Callable[[Any], Any]
    name: str
    read: dict[int, Any]
    traced: dict[int, Any]
    written: set[int]
    tape: Tape | None

    def call(self, instead: dict[int, Any], x: Any) -> Any:
        """Return the function at x with other tensors in the place of some.

        By its calls, where they are known: what it reads now may be something else than in the forward pass.
        """
        if self.tape is not None:
            return self.tape.play(instead, x)
        with Replaced(instead, self.read) as replaced:
            result = self.function(x)
        if replaced.met == self.read.keys():
            return result
        missing = len(self.read.keys() - replaced.met)
        raise RuntimeError(
            f"{self.name} reads other tensors than in the forward pass ({missing} of {len(self.read)} are gone): the "
            "derivative would be that of another operator"
        )


def read_function(
    function: Callable[[Any], Any],
    name: str,
    given: tuple[int, ...],
    expected: tuple[int, ...],
    dtype: Any,
    device: Any,
    variable: Any,
) -> ReadFunction:
    """Return a function with what it reads: it is applied three times."""
    x = torch.ones(given, dtype=dtype, device=device)
    # No vector that the function may take for another one.
    x2 = torch.arange(1, x.numel() + 1, device=device).sin().to(dtype).reshape(given)
    with torch.no_grad(), without_autocast(device):
        with Reading(x) as reading:
            y = function(x)
        _check_result(y, name, expected, dtype)
        with Reading(x2) as again:
            y2 = function(x2)
    # What a transform inside of the function has made is no longer the same.
    both = reading.read.keys() & again.read.keys()
    everything = {number: t for number, t in reading.read.items() if number in both}
    # Those of inference mode cannot be part of the graph that a transpose needs: they are copied for it.
    inference = torch.is_inference_mode_enabled()
    traced = {n: t for n, t in everything.items() if is_traced(t) or t is variable or (inference and t.is_inference())}
    check_batches(*traced.values())
    batched = any(is_batched(t) for t in traced.values())
    with torch.enable_grad(), without_autocast(device):
        if not batched:  # a batch has no plain values of the right shape
            with Replaced({number: strip(t).detach() for number, t in traced.items()}, everything):
                hidden = function(x2)
            if is_active(hidden):
                raise TypeError(
                    f"{name} reads tensors that carry derivatives where PyTorch does not show them (a scripted module, "
                    "an extension written in C++): the derivative would lose them. Use ordinary modules, or operations "
                    "on the tensors themselves"
                )
    with torch.no_grad(), without_autocast(device):
        tape = reading.tape(y)
        if tape is not None:
            played = strip(tape.play({}, x2))
            rounding = Precision.of(NUMPY_TYPES[dtype]).half
            if not torch.linalg.vector_norm(played - strip(y2)) <= rounding * torch.linalg.vector_norm(strip(y2)):
                tape = None
    return ReadFunction(function, name, everything, traced, reading.written, tape)


def _check_result(y: Any, name: str, expected: tuple[int, ...], dtype: Any) -> None:
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"{name} returned a {type(y).__name__}: expected a tensor of shape {expected}")
    if tuple(y.shape) != expected:
        raise ValueError(f"{name} returned shape {tuple(y.shape)}, expected {expected}")
    if y.is_complex() and not dtype.is_complex:
        raise TypeError(
            f"{name} returned complex values from an operator of dtype {dtype}; declare it with "
            "LinearOperator(..., dtype=torch.complex128)"
        )
    if check_dtype(y.dtype, f"the result of {name}") != dtype and not dtype.is_complex:
        raise TypeError(
            f"{name} returned {y.dtype} from an operator of dtype {dtype}; declare it with "
            f"LinearOperator(..., dtype={y.dtype})"
        )
    check_values(y, f"the result of {name}")


def check_values(t: Any, name: str) -> None:
    """Raise TypeError where a tensor has no numbers, NotImplementedError where it is a batch of the older vmap."""
    check_batches(t)
    if not has_values(t):
        raise TypeError(f"{name} has no values (device 'meta', or a fake tensor): there is nothing to solve")
