"""autograd's Boxes: stripping, levels, reading a value as seen from a level, transposing.

autograd nests one Box per live trace, the innermost trace outermost in the nest, and numbers the
traces by depth. A trace that has ended may live on in a Box that a closure holds, and its number
is given out again: everything here that decides by a level therefore takes the level from values
that are alive (the arguments of a VJP), never from what a closure happens to return. The three
traps described in docs/derivation.md are dealt with in this file and in `primitives.py` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import CellType, FunctionType
from typing import Any

import numpy as np
from autograd.core import JVPNode, VJPNode, backward_pass
from autograd.tracer import Box, getval, isbox, new_box, trace_stack

#: The level of a value that is not traced.
UNTRACED = -1


def is_box(x: Any) -> bool:
    return bool(isbox(x))


def refuse_boxes(kind: type, message: str) -> None:
    """Make autograd raise TypeError(message) where it would put an object of this type into a Box."""

    def refuse(value: Any, trace: Any, node: Any) -> None:
        raise TypeError(message)

    Box.type_mappings[kind] = refuse


def strip(x: Any) -> Any:
    """The plain value inside all Boxes."""
    return getval(x)


def level(x: Any) -> int:
    """The level of the outermost Box."""
    return x._trace if isbox(x) else UNTRACED


def levels(*values: Any) -> list[int]:
    """The levels of all Boxes nested in the values, lowest first.

    Raises
    ------
    RuntimeError
        Where autograd has given one number to two nested traces. It counts traces per process, and
        another thread's trace that ends lowers the count: derivatives would be wrong.
    """
    found = set()
    for x in values:
        above = np.inf
        while isbox(x):
            if x._trace >= above:
                raise RuntimeError(
                    "autograd gave one number to two nested traces, because a trace of another thread ended in "
                    "between. Nested derivatives in threads have to take turns (a lock around each), or use processes."
                )
            above = x._trace
            found.add(above)
            x = x._value
    return sorted(found)


def seen_from(x: Any, t: int) -> Any:
    """x as a computation at level t sees it: Boxes above t stripped."""
    while isbox(x) and x._trace > t:
        x = x._value
    return x


def hide(x: Any) -> Any:
    """A Box with the outermost Box's node and a plain zero for a value.

    The primitive that takes it then depends on x at that level alone; what lower levels there are
    have had their turn, and would otherwise be solved for twice.
    """
    return new_box(np.zeros_like(getval(x)), x._trace, x._node)


@contextmanager
def _trace_above(t: int) -> Iterator[int]:
    """A new trace numbered higher than t.

    autograd counts traces per process, not per thread: a thread that ends its trace lowers the
    count for the others, and the next number may be one that this thread still has in use.
    """
    with ExitStack() as stack:
        new = stack.enter_context(trace_stack.new_trace())
        while new <= t:
            new = stack.enter_context(trace_stack.new_trace())
        yield new


def without_boxes(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The function with the Boxes that its closure holds directly replaced by their values.

    For solvers that apply it hundreds of times to plain vectors: tracing each application costs up
    to a third of it, for nothing. What Boxes are deeper (in objects, in other functions) stay, and
    are stripped from the result as always.
    """
    if not isinstance(function, FunctionType) or function.__closure__ is None:
        return function
    cells = [(cell, _content(cell)) for cell in function.__closure__]
    if not any(isbox(content) for _, content in cells):
        return function
    closure = tuple(CellType(strip(content)) if isbox(content) else cell for cell, content in cells)
    twin = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, closure)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def guarded(function: Callable[[Any], Any], deepest: int) -> Callable[[Any], Any]:
    """The function, called so that traces opened inside of it are numbered above ``deepest``.

    An operator may differentiate (a Hessian as an operator does). In a backward pass its closure
    holds Boxes of ended traces, up to level ``deepest``, and autograd would give their numbers to
    the traces that the operator opens.
    """
    if deepest == UNTRACED:
        return function

    def apply(x: Any) -> Any:
        if trace_stack.top >= deepest:
            return function(x)
        with _trace_above(deepest):
            return function(x)

    return apply


def transpose(function: Callable[[Any], Any], point: np.ndarray) -> Callable[[Any], Any]:
    """g ↦ Lᵀ g for the linear map L v = function(v), v like ``point``; traced once, here.

    The trace is opened one level above every Box that the function's output carries, so that it
    can be called while those traces live and after they have ended. What it returns carries the
    Boxes of the function's closure: read it with `seen_from`.

    Raises
    ------
    TypeError
        Where what the function returns is not traced, though it is not zero.
    """
    value = function(point)
    transposed = pullback(function, point, max(levels(value), default=UNTRACED))
    if transposed is not None:
        return transposed
    if np.any(strip(value)):
        raise TypeError("its result does not depend, for autograd, on the vector")
    return lambda g: np.zeros_like(point)


def pullback(function: Callable[[Any], Any], x: Any, deepest: int) -> Callable[[Any], Any] | None:
    """g ↦ (dfunction/dx)ᵀ g at x, traced once, here; None where the result does not depend on x.

    x may be traced. ``deepest`` is the highest level of a Box that the function's closure holds.
    """
    with _trace_above(max([deepest, *levels(x)])) as t:
        output = function(new_box(x, t, VJPNode.new_root()))
        if level(output) != t:
            return None
        node = output._node
    return lambda g: backward_pass(g, node)


def pushforward(function: Callable[[Any], Any], x: Any, v: Any, deepest: int) -> Any:
    """dfunction/dx v at x, by forward mode, traced here and now; x and v may be traced, see `pullback`."""
    with _trace_above(max([deepest, *levels(x, v)])) as t:
        output = function(new_box(x, t, JVPNode.new_root(v)))
        return output._node.g if level(output) == t else np.zeros_like(strip(output))


def derivative(function: Callable[[Any], Any], x: Any, deepest: int | None = None) -> Any:
    """dfunction/dx at a scalar x (holomorphic where complex), by forward mode, traced here and now.

    x and what the function's closure holds may be traced; the derivative carries their Boxes. An elementwise function
    may have an array x. Where it is known, ``deepest`` is the highest level of a Box in x and the closure; otherwise
    the function is called once more to find out.
    """
    if deepest is None:
        deepest = max(levels(x, function(x)), default=UNTRACED)
    return pushforward(function, x, np.ones_like(strip(x)), deepest)
