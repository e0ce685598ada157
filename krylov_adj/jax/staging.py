"""Solves inside of compiled programs: callbacks, and conversations with the program that applies the operators.

A callback gets plain arrays and runs NumPy and SciPy only. Where an operator has a matrix that is all there is to it.
Otherwise the core runs in a thread, and the program in a loop: the loop's callbacks hand a vector of the thread to the
program, which applies the operator where its arrays live, and hand the image back (reverse communication). Everything
between the first and the last callback of a conversation is inside of one loop, so that two of one program never wait
for each other.

Callbacks have a side effect for XLA, which moves pure ones out of loops and takes equal ones for one.
"""

from __future__ import annotations

import inspect
import itertools
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import mlir

from .codes import Code, compiled_rows
from .host import WIDEST, Host, operators, products
from .problems import Problem

__all__ = ["checked", "errors", "run_staged"]

Array = np.ndarray
Run = Callable[..., Sequence[Any]]
Shapes = Sequence[jax.ShapeDtypeStruct]

#: Seconds that a thread waits for an image before it takes the program for aborted, at least; and so many times the
#: longest that it has waited for one.
PATIENCE, TIMES = 600.0, 100.0

#: What a conversation asks for: nothing yet; no more; else 2 · which + adjoint, of a block that plus BLOCK.
BEGIN, END, BLOCK = -2, -1, 4

#: Errors of programs that are kept for `errors`.
KEPT_ERRORS = 64

# ---- callbacks -------------------------------------------------------------------------------

# What versions of JAX call differently.
_NO_TOKEN = {
    name: False for name in ("returns_token",) if name in inspect.signature(mlir.emit_python_callback).parameters
}
_ANEW = {name: False for name in ("cacheable",) if name in inspect.signature(mlir.register_lowering).parameters}

call_p = core.Primitive("krylov_adj_call")
call_p.multiple_results = True
call_p.def_abstract_eval(lambda *avals, function, shapes: [jax.core.ShapedArray(s.shape, s.dtype) for s in shapes])


def _lower_call(ctx: Any, *operands: Any, function: Callable[..., Any], shapes: Shapes) -> Any:
    if getattr(getattr(ctx.module_context, "lowering_parameters", None), "for_export", False):
        raise NotImplementedError(
            "a program that solves eigenproblems or linear systems with krylov_adj cannot be exported: its solvers run "
            "in Python, on the host"
        )

    def plain(*arrays: Any) -> Any:
        found = function(*map(np.asarray, arrays))
        return tuple(np.asarray(x, s.dtype).reshape(s.shape) for x, s in zip(found, shapes, strict=True))

    return mlir.emit_python_callback(
        ctx, plain, None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=True, **_NO_TOKEN
    )[0]


mlir.register_lowering(call_p, _lower_call, **_ANEW)  # type: ignore[arg-type, unused-ignore]


def _call(function: Callable[..., Any], shapes: Shapes, *operands: Any) -> list[Any]:
    found: list[Any] = call_p.bind(*operands, function=function, shapes=tuple(shapes))
    return found


def checked(check: Callable[..., None], through: Any, *values: Any) -> Any:
    """Return an array as it is, after ``check(*values)`` of plain arrays when the program runs."""

    def run(array: Array, *given: Array) -> Any:
        try:
            check(*given)
        except Exception as error:  # every one leaves the program as text
            _leave(error)
        return (array,)

    return _call(run, [jax.ShapeDtypeStruct(through.shape, through.dtype)], through, *values)[0]


def run_staged(problem: Problem, consts: Sequence[Any], arrays: Sequence[Any], run: Run, shapes: Shapes) -> list[Any]:
    """Return what ``run(host, *arrays)`` computes when the program runs."""
    parts = problem.applied_parts(consts, arrays)
    explicit = [code.explicit for code in problem.codes]
    # The host gets the operands of matrices only; of the others it gets stand-ins.
    sent = [x for part, at_hand in zip(parts, explicit, strict=True) if at_hand for x in part]

    def prepared(*given: Array) -> tuple[Host, list[Array]]:
        own = iter([np.array(x) for x in given])  # the program's memory is its own
        counts = zip(problem.counts, explicit, strict=True)
        operands = [next(own) if at_hand else np.zeros(0) for count, at_hand in counts for _ in range(count)]
        return Host(problem, operators(problem, operands)), list(own)

    if all(explicit):

        def whole(*given: Array) -> Any:
            try:
                host, own = prepared(*given)
                return host.run(run, *own)
            except Exception as error:  # every one leaves the program as text
                _leave(error)

        return _call(whole, shapes, *sent, *arrays)
    return _converse(problem, parts, prepared, run, [*sent, *arrays], shapes)


# ---- conversations ---------------------------------------------------------------------------


class Abandoned(RuntimeError):
    """The program that a conversation was part of has ended without it."""


class Conversation:
    """The core in a thread of its own; it asks for products, and `turn` hands the question to the program."""

    numbers = itertools.count(1)
    running: ClassVar[dict[int, Conversation]] = {}

    def __init__(self, codes: Sequence[Code], dtype: np.dtype, length: int, width: int):
        self.codes, self.dtype, self.width = codes, dtype, width
        self.questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.number = next(self.numbers)
        self.vector, self.rows = np.zeros(length, dtype), np.zeros((width, length), dtype)
        self.block: Array = self.rows
        self.slowest = 0.0
        self.result: Any = None
        self.error: Exception | None = None

    def start(self, work: Callable[[], Any]) -> None:
        """Begin with the work, in the thread."""

        def main() -> None:
            try:
                with products(self):
                    self.result = work()
            except Exception as error:  # it is raised where the result is asked for
                self.error = error
            self.questions.put((END, self.vector))

        self.running[self.number] = self
        threading.Thread(target=main, daemon=True, name=f"krylov_adj {self.number}").start()

    # ---- the thread's side ---------------------------------------------------------------------

    def product(self, which: int, adjoint: bool, rows: Array) -> Array:
        code, size = 2 * which + adjoint, self.codes[which].shape[1 if adjoint else 0]
        if rows.ndim == 1:
            image = self._ask(code, self._padded(rows, self.vector.shape))[:size]
        else:
            parts = [rows[start : start + self.width] for start in range(0, len(rows), self.width)]
            images = [self._ask(BLOCK + code, self._padded(part, self.rows.shape)) for part in parts]
            image = np.concatenate(images)[: len(rows), :size]
        return image if self.codes[which].dtype.kind == "c" else image.real

    def _padded(self, V: Array, shape: tuple[int, ...]) -> Array:
        if V.shape == shape:
            return V.astype(self.dtype, copy=False)
        padded = np.zeros(shape, self.dtype)
        padded[tuple(slice(size) for size in V.shape)] = V
        return padded

    def _ask(self, code: int, V: Array) -> Array:
        self.questions.put((code, V))
        try:
            began = time.monotonic()
            answer: Array = self.answers.get(timeout=max(PATIENCE, TIMES * self.slowest))
            self.slowest = max(self.slowest, time.monotonic() - began)
        except queue.Empty:
            self.running.pop(self.number, None)
            raise Abandoned("the program has not come back with a product") from None
        return answer

    # ---- the program's side --------------------------------------------------------------------

    def turn(self, image: Array | None) -> tuple[Any, Any]:
        """Hand over an image, and return the next question: its code, and a vector; a block waits to be fetched."""
        if image is not None:
            self.answers.put(image)
        code, V = self.questions.get()
        if code >= BLOCK:
            self.block = V
            V = self.vector
        return np.int32(code), V


def _converse(
    problem: Problem, parts: list[list[Any]], prepared: Any, run: Run, operands: list[Any], shapes: Shapes
) -> list[Any]:
    """Stage a conversation: a loop that applies the operators to what the core asks for."""
    dtype = np.result_type(*(code.dtype for code in problem.codes))
    length = max(max(code.shape) for code in problem.codes)
    width = min(1 << max(problem.k - 1, 1).bit_length(), WIDEST)
    integer, vector, block = (
        jax.ShapeDtypeStruct(shape, kind)
        for shape, kind in (((), np.int32), ((length,), dtype), ((width, length), dtype))
    )
    running = Conversation.running

    def begin(*given: Array) -> Any:
        talk = Conversation(problem.codes, dtype, length, width)
        try:
            host, own = prepared(*given)
        except Exception as error:
            _leave(error)
        talk.start(partial(host.run, run, *own))
        return (talk.number, *talk.turn(None))

    def proceed(number: Array, image: Array) -> Any:
        talk = running.get(int(number))
        if talk is None:
            raise Abandoned("a product came back so late that its solve had been given up")
        return talk.turn(np.array(image))

    def fetch(number: Array, code: Array) -> Any:
        return (running[int(number)].block,)

    def end(number: Array, code: Array) -> Any:
        talk = running.pop(int(number))
        if talk.error is not None:
            _leave(talk.error)
        return talk.result

    maps: list[Callable[[Any], Any]] = [
        partial(_image, code, adjoint, tuple(part), dtype, length) if not code.explicit else lambda rows: rows
        for code, part in zip(problem.codes, parts, strict=True)
        for adjoint in (False, True)
    ]

    def beginning(carry: Any) -> Any:
        return tuple(_call(begin, (integer, integer, vector), *operands))

    def vectors(carry: Any) -> Any:
        def body(carry: Any) -> Any:
            number, code, v = carry
            return (number, *_call(proceed, (integer, vector), number, jax.lax.switch(code, maps, v)))

        return jax.lax.while_loop(lambda carry: (carry[1] >= 0) & (carry[1] < BLOCK), body, carry)

    def blocks(carry: Any) -> Any:
        number, code, _ = carry
        (rows,) = _call(fetch, (block,), number, code)
        return (number, *_call(proceed, (integer, vector), number, jax.lax.switch(code - BLOCK, maps, rows)))

    def step(carry: Any) -> Any:
        code = carry[1]
        return jax.lax.switch(
            jnp.where(code == BEGIN, 0, jnp.where(code < BLOCK, 1, 2)), (beginning, vectors, blocks), carry
        )

    start = (jnp.int32(0), jnp.int32(BEGIN), jnp.zeros(length, dtype))
    number, code, _ = jax.lax.while_loop(lambda carry: carry[1] != END, step, start)
    return _call(end, shapes, number, code)


def _image(code: Code, adjoint: bool, operands: Sequence[Any], dtype: Any, length: int, rows: Any) -> Any:
    """The image of a vector or of rows, as long as all of a conversation's are."""
    columns = code.shape[0 if adjoint else 1]
    rows = rows[..., :columns] if code.dtype.kind == "c" else jnp.real(rows[..., :columns])
    found = compiled_rows(code, adjoint)(operands, rows).astype(dtype)
    padding = [(0, 0)] * (found.ndim - 1) + [(0, length - found.shape[-1])]
    return jnp.pad(found, padding)


# ---- errors ----------------------------------------------------------------------------------

_ERRORS: OrderedDict[str, Exception] = OrderedDict()
_LOCK = threading.Lock()
_NUMBERS = itertools.count(1)


def _leave(error: Exception) -> NoReturn:
    """Raise an error in a callback, with a mark by which `errors` finds it again: a program passes on its text only."""
    mark = f"[krylov_adj error {next(_NUMBERS)}]"
    with _LOCK:
        _ERRORS[mark] = error
        while len(_ERRORS) > KEPT_ERRORS:
            _ERRORS.popitem(last=False)
    raise RuntimeError(f"{mark} {type(error).__name__}: {error}") from error


@contextmanager
def errors() -> Iterator[None]:
    """Raise the package's own exceptions out of compiled programs, with their reports.

    A compiled program raises `jax.errors.JaxRuntimeError`, whose text names the class and has the message. JAX runs
    programs asynchronously: what is waited for has to be inside of the block.

    Returns
    -------
    context manager

    Raises
    ------
    Exception
        The one that was raised in the program.

    Derivative
    ----------
    None.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> f = jax.jit(lambda p: kj.eigsh(p * jnp.triu(jnp.ones((9, 9))), k=1)[0])  # not symmetric
    >>> try:
    ...     with kj.errors():
    ...         f(1.0).block_until_ready()
    ... except ValueError as error:
    ...     print(type(error).__name__)
    ValueError
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        text = str(error)
        start = text.find("[krylov_adj error ")
        mark = text[start : text.find("]", start) + 1] if start >= 0 else ""
        with _LOCK:
            found = _ERRORS.pop(mark, None)
        if found is None:
            raise
        raise found from error
