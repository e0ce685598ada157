"""The host's side: value operators, products with what is code to JAX, and systems that are kept between solves.

What the core computes runs on plain arrays. Operators with a matrix are applied by NumPy and SciPy. Others are applied
where their arrays live, by whoever runs the core: `Products` says how. In an eager call that is a compiled function on
the operands; in a compiled program it is the program itself (`staging.py`). So kept systems serve both.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import jax
import numpy as np

from ..forward.operands import matrix_operator
from ..perturbation.problem import ValueOperator
from .codes import Code, compiled_rows
from .problems import Problem

__all__ = ["Host", "Products", "compiled_products", "keep", "on_device", "operators", "products", "shift"]

Array = np.ndarray

#: Systems that are kept for derivatives, and the numbers that all but the last of them may hold together.
KEPT, KEPT_NUMBERS = 16, 1 << 24

#: The widest block that is applied at once: narrower ones are padded to powers of two, so that few programs are
#: compiled.
WIDEST = 32


class Products(Protocol):
    """Who applies codes that have no matrix."""

    def product(self, which: int, adjoint: bool, rows: Array) -> Array:
        """A v, M v or their adjoints for a vector (n,), or for every row of a block."""


_PRODUCTS: ContextVar[Products] = ContextVar("products")


@contextmanager
def products(given: Products) -> Iterator[None]:
    """Let codes be applied so in what runs inside."""
    token = _PRODUCTS.set(given)
    try:
        yield
    finally:
        _PRODUCTS.reset(token)


@dataclass(frozen=True)
class compiled_products:
    """Products by compiled functions on the operands, where they are."""

    problem: Problem
    parts: list[list[Any]]

    def product(self, which: int, adjoint: bool, rows: Array) -> Array:
        operands = self.parts[which]
        return np.asarray(compiled_rows(self.problem.codes[which], adjoint)(operands, rows))


# ---- value operators -------------------------------------------------------------------------


def _applied(code: Code, which: int, adjoint: bool, size: int) -> Callable[[Array], Array]:
    """Return the function of vectors or blocks of columns; it makes blocks of few widths."""

    def apply(V: Array) -> Array:
        if np.iscomplexobj(V) and code.dtype.kind != "c":
            return apply(np.ascontiguousarray(V.real)) + 1j * apply(np.ascontiguousarray(V.imag))
        who = _PRODUCTS.get()
        V = np.asarray(V, code.dtype)
        if V.ndim == 1:
            return who.product(which, adjoint, V)
        m, rows = V.shape[1], np.ascontiguousarray(V.T)
        if m == 1:
            return who.product(which, adjoint, rows[0])[:, None]
        images = np.empty((m, size), code.dtype)
        for start in range(0, m, WIDEST):
            part = rows[start : start + WIDEST]
            width = 1 << (len(part) - 1).bit_length()
            if width > len(part):
                part = np.concatenate([part, np.zeros((width - len(part), part.shape[1]), part.dtype)])
            images[start : start + WIDEST] = who.product(which, adjoint, part)[: m - start]
        return images.T

    return apply


def operators(problem: Problem, consts: Sequence[Array]) -> list[ValueOperator]:
    """Return A, and M where there is one, on plain arrays.

    ``consts`` are the operands; only those of explicit codes are read.
    """
    found = []
    names = ("T(lam)",) if problem.structure == "nonlinear" else ("A", "M")
    for which, (code, part) in enumerate(zip(problem.codes, problem.parts(consts), strict=True)):
        if code.explicit:
            matrix = code.matrix([np.asarray(c) for c in part])
            found.append(matrix_operator(matrix, _is_hermitian(problem), names[which]))
            continue
        forward = _applied(code, which, False, code.shape[0])
        backward = forward if _is_hermitian(problem) else _applied(code, which, True, code.shape[1])
        found.append(ValueOperator(code.shape, code.dtype, forward, backward, names[which]))
    return found


def _is_hermitian(problem: Problem) -> bool:
    """Whether A itself is, not what is made of a rectangular one."""
    return problem.hermitian and problem.structure == "pencil"


@dataclass(frozen=True)
class Host:
    """A problem and its operators, with which a solve on the host begins."""

    problem: Problem
    operators: list[ValueOperator]
    borrowed: list[Any] = field(default_factory=list)

    def run(self, work: Callable[..., Sequence[Any]], *arrays: Array) -> Sequence[Any]:
        """Return what ``work(host, *arrays)`` computes, and give back what it has borrowed."""
        try:
            return work(self, *arrays)
        finally:
            for lock in self.borrowed:
                lock.release()
            self.borrowed.clear()

    def find(self, token: Array, make: Callable[[], Any]) -> Any:
        """Return what is kept under a token, for this solve alone; made again where it is not, or others have it.

        Nobody waits for what another solve has: in a compiled program that one may wait for the same thread.
        """
        key = (int(token[0]), int(token[1]))
        with _LOCK:
            entry = _KEPT.get(key)
            free = entry is not None and entry.lock.acquire(blocking=False)
            if entry is not None and free:
                _KEPT.move_to_end(key)
                self.borrowed.append(entry.lock)
                return entry.made
        made = make()
        if entry is None:
            _store(token, made)
        return made

    @property
    def A(self) -> ValueOperator:
        return self.operators[0]

    @property
    def M(self) -> ValueOperator | None:
        return self.operators[1] if len(self.operators) > 1 else None

    def maps(self, point: Sequence[Array]) -> Any:
        """The derivative maps of the pairs of a point, with all that the last solves have found, where it is kept."""
        w, X, aside, _, token = point
        return self.find(token, lambda: self.problem.recall(self, w, np.asfortranarray(X), aside))


def shift(problem: Problem, sigma: Array) -> Any:
    """Return the shift as a number, or None."""
    return sigma.item() if problem.shifted else None


# ---- what is kept ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Entry:
    """Something that is kept, and the lock of who uses it."""

    made: Any
    lock: Any = field(default_factory=Lock)


_KEPT: OrderedDict[tuple[int, int], _Entry] = OrderedDict()
_LOCK = Lock()


def keep(made: Any) -> Array:
    """Keep what a solve has made; return the token by which it is found again, as long as it is kept."""
    token = np.array([secrets.randbits(32), secrets.randbits(32)], np.uint32)
    _store(token, made)
    return token


def _store(token: Array, made: Any) -> None:
    with _LOCK:
        _KEPT[int(token[0]), int(token[1])] = _Entry(made)
        while len(_KEPT) > 1 and (
            len(_KEPT) > KEPT or sum(_size(entry.made) for entry in list(_KEPT.values())[:-1]) > KEPT_NUMBERS
        ):
            _KEPT.popitem(last=False)


def _size(kept: Any) -> int:
    """About the numbers that maps, or a linear system, hold: vectors, matrices, and factors of those."""
    if not hasattr(kept, "systems"):
        return 0 if kept.matrix is None else 10 * int(getattr(kept.matrix, "nnz", kept.matrix.size))
    problem = kept.systems.problem
    size = 2 * kept.X.size if problem.surplus is None else 2 * kept.X.size + problem.surplus.V.size
    for operator in (problem.A, problem.B):
        if operator is not None and operator.explicit:
            size += 10 * int(getattr(operator.matrix, "nnz", operator.matrix.size))
    return size


def on_device(result: Any, aval: Any) -> Any:
    """Return a result of the host as an array of JAX, of the type that was promised."""
    return jax.numpy.asarray(np.asarray(result, aval.dtype).reshape(aval.shape))
