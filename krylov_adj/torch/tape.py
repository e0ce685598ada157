"""PyTorch: what tensors a function reads, and the function with others in their place.

An operator's functions are closures over anything. While one runs, a TorchFunctionMode sees every call of PyTorch's
and every tensor in it: those that the function did not get or make are what it reads. Those of them that carry
derivatives become explicit inputs of our Functions, in whose rules the function is applied again, with other tensors in
their place.

What a function reads may be something else by then: `torch.func.functional_call` puts tensors into a module for one
call only, and numbers change. So the calls are kept, as a tape, which is played in the function's place. Where there is
none, because transforms inside of the function hide calls or the tape of one vector does not give the result for
another, the function itself is called, and has to read what it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .layers import current_level, is_traced, wrapped_above

__all__ = ["Reading", "Replaced", "Tape"]


def tensors_in(arguments: Any) -> Iterator[Any]:
    """Yield all tensors in nested lists, tuples and dicts."""
    if isinstance(arguments, torch.Tensor):
        yield arguments
    elif isinstance(arguments, (list, tuple)):
        for argument in arguments:
            yield from tensors_in(argument)
    elif isinstance(arguments, dict):
        yield from tensors_in(list(arguments.values()))


def mapped(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Return nested arguments with ``function`` of everything that is no list, tuple or dict."""
    if type(arguments) in (list, tuple):
        return type(arguments)(mapped(function, argument) for argument in arguments)
    if isinstance(arguments, dict):
        return {name: mapped(function, argument) for name, argument in arguments.items()}
    if isinstance(arguments, slice):
        return slice(*(mapped(function, part) for part in (arguments.start, arguments.stop, arguments.step)))
    return function(arguments)


@dataclass(frozen=True)
class Made:
    """The tensor of this number among those that a function has made, the given one being number 0."""

    number: int


@dataclass(frozen=True)
class Call:
    """A call of one of PyTorch's functions, and the numbers of the tensors that it makes."""

    function: Any
    arguments: Any
    named: Any
    results: tuple[int, ...]


class Tape:
    """The calls of a function of one tensor, in their order."""

    def __init__(self, calls: Sequence[Call], result: Any):
        self.steps, self.result = [_Step(call) for call in calls], result

    def play(self, instead: dict[int, Any], x: Any) -> Any:
        """Return the function's value at x, with other tensors in the place of those with these ids."""
        made = {0: x}
        for step in self.steps:
            step.run(made, instead)
        return _value(self.result, made, instead)


def _value(part: Any, made: dict[int, Any], instead: dict[int, Any]) -> Any:
    if isinstance(part, Made):
        return made[part.number]
    return instead.get(id(part), part) if isinstance(part, torch.Tensor) else part


def _holds_tensors(part: Any) -> bool:
    """Return whether nested arguments, slices in indices among them, have a tensor that may be another one."""
    if isinstance(part, (list, tuple)):
        return any(map(_holds_tensors, part))
    if isinstance(part, dict):
        return any(map(_holds_tensors, part.values()))
    if isinstance(part, slice):
        return any(map(_holds_tensors, (part.start, part.stop, part.step)))
    return isinstance(part, (Made, torch.Tensor))


class _Step:
    """A call, prepared: solvers play a tape many times, and tensors in nested arguments are few."""

    def __init__(self, call: Call) -> None:
        self.call, self.template = call, list(call.arguments)
        self.made = [(i, a.number) for i, a in enumerate(call.arguments) if isinstance(a, Made)]
        self.read = [(i, a, id(a)) for i, a in enumerate(call.arguments) if isinstance(a, torch.Tensor)]
        inside = [a for a in call.arguments if not isinstance(a, (Made, torch.Tensor))]
        self.nested = _holds_tensors([inside, call.named])

    def run(self, made: dict[int, Any], instead: dict[int, Any]) -> None:
        """Run the call, and add what it makes."""
        call = self.call
        if self.nested:

            def value(part: Any) -> Any:
                return _value(part, made, instead)

            outcome = call.function(*mapped(value, call.arguments), **mapped(value, call.named))
        else:
            arguments = self.template.copy()
            for i, number in self.made:
                arguments[i] = made[number]
            for i, t, name in self.read:
                arguments[i] = instead.get(name, t)
            outcome = call.function(*arguments, **call.named)
        if isinstance(outcome, torch.Tensor):
            made[call.results[0]] = outcome
        else:
            made.update(zip(call.results, tensors_in(outcome), strict=True))


class Reading(TorchFunctionMode):
    """Collects the tensors that a function reads, and its calls.

    Attributes
    ----------
    read : dict
        Tensors by their ids, which stay theirs as long as they are held.
    hidden : bool
        Some are read inside of a transform that the function starts itself.
    """

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.level, self.hidden, self.read, self.written = current_level(), False, dict[int, Any](), set[int]()
        self.numbers, self.held, self.calls = {id(given): 0}, [given], list[Call]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for t in tensors_in((args, kwargs)):
            if id(t) not in self.numbers:
                below = wrapped_above(t, self.level)
                self.hidden |= below is not t
                if id(below) not in self.numbers:
                    self.read[id(below)] = below
        arguments, named = mapped(self._part, args), mapped(self._part, kwargs)
        outcome = func(*args, **kwargs)
        results = []
        for t in tensors_in((outcome,)):
            if id(t) in self.read:
                self.written.add(id(t))
            if id(t) not in self.numbers:
                self.numbers[id(t)] = len(self.held)
                self.held.append(t)
            results.append(self.numbers[id(t)])
        self.calls.append(Call(func, arguments, named, tuple(results)))
        return outcome

    def _part(self, part: Any) -> Any:
        number = self.numbers.get(id(part)) if isinstance(part, torch.Tensor) else None
        return part if number is None else Made(number)

    def traced(self) -> dict[int, Any]:
        """Return those that a derivative or a batch may pass through."""
        return {number: t for number, t in self.read.items() if is_traced(t)}

    def tape(self, result: Any) -> Tape | None:
        """Return the calls that make ``result``; None where transforms inside of the function hide some."""
        return None if self.hidden else Tape(self.calls, self._part(result))


class Replaced(TorchFunctionMode):
    """Other tensors in the place of some; ``met`` are the ids that were seen of those in ``read``."""

    def __init__(self, instead: dict[int, Any], read: dict[int, Any]) -> None:
        super().__init__()
        self.instead, self.read, self.level, self.met = instead, read, current_level(), set[int]()

    def _part(self, part: Any) -> Any:
        if not isinstance(part, torch.Tensor):
            return part
        if id(part) in self.read:
            self.met.add(id(part))
            return self.instead.get(id(part), part)
        below = wrapped_above(part, self.level)
        if below is not part and id(below) in self.read:
            self.met.add(id(below))
            if self.instead.get(id(below), below) is not below:
                raise NotImplementedError(
                    "matvec differentiates, by a transform of torch.func inside of it, a function of tensors that "
                    "carry derivatives themselves: PyTorch does not show where these enter. Use torch.autograd.grad "
                    "with create_graph=True inside of matvec, or detach them"
                )
        return part

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*mapped(self._part, args), **mapped(self._part, kwargs or {}))
