"""Operators made of operators: sums, products, multiples, adjoints, transposes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from .bindings._trace import refuse_boxes, strip, without_boxes
from .bindings.autograd import xp
from .operators import LinearOperator


class _Composite(LinearOperator):
    """An operator made of others: a sum, product, multiple, adjoint, transpose.

    ``apply``, ``adjoint`` and ``explicit`` take the operands (for ``explicit`` their matrices) and,
    the first two, a vector or block.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: Any,
        operands: tuple[LinearOperator, ...],
        apply: Callable[..., Any],
        adjoint: Callable[..., Any],
        explicit: Callable[..., Any],
    ):
        spla.LinearOperator.__init__(self, dtype, shape)
        self._operands, self._rules = operands, (apply, adjoint, explicit)

    def _apply(self, X: Any) -> Any:
        return self._rules[0](*self._operands, X)

    def _apply_adjoint(self, X: Any) -> Any:
        return self._rules[1](*self._operands, X)

    def prepared(self) -> LinearOperator:
        return _Composite(self.shape, self.dtype, tuple(op.prepared() for op in self._operands), *self._rules)

    def plain(self) -> LinearOperator:
        rules = [without_boxes(rule) for rule in self._rules]
        return _Composite(self.shape, self.dtype, tuple(op.plain() for op in self._operands), *rules)  # type: ignore[arg-type]

    def explicit(self) -> Any:
        matrices = [operand.explicit() for operand in self._operands]
        if any(matrix is None for matrix in matrices):
            return None
        result = self._rules[2](*matrices)
        return result if sp.issparse(result) else np.asarray(result)

    def applies_blocks(self) -> bool:
        return all(operand.applies_blocks() for operand in self._operands)


# autograd 1.9 lets the operator answer for ``t * op`` with a traced t; before that it tries to trace the result.
refuse_boxes(
    _Composite, "a traced number on the left of an operator needs autograd 1.9 or newer: write op * t, not t * op"
)


def operator_sum(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    if a.shape != b.shape:
        raise ValueError(f"cannot add operators of shapes {a.shape} and {b.shape}")
    return _Composite(
        a.shape,
        np.result_type(a.dtype, b.dtype),
        (a, b),
        lambda a, b, X: a._apply(X) + b._apply(X),
        lambda a, b, X: a._apply_adjoint(X) + b._apply_adjoint(X),
        lambda a, b: a + b,
    )


def product(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply operators of shapes {a.shape} and {b.shape}")
    return _Composite(
        (a.shape[0], b.shape[1]),
        np.result_type(a.dtype, b.dtype),
        (a, b),
        lambda a, b, X: a._apply(b._apply(X)),
        lambda a, b, X: b._apply_adjoint(a._apply_adjoint(X)),
        lambda a, b: a @ b,
    )


def scaled(a: LinearOperator, factor: Any, by: Callable[[Any, Any], Any] = operator.mul) -> LinearOperator:
    """a · factor, or a / factor with ``by=operator.truediv``."""
    plain = strip(factor)
    if np.ndim(plain) or not np.issubdtype(np.asarray(plain).dtype, np.number):
        raise TypeError(f"an operator can be scaled by a number, not by {plain!r}")
    # Python's numbers have no precision of their own and must stay as they are.
    conjugate = plain.conjugate() if isinstance(factor, (int, float, complex)) else xp.conj(factor)
    return _Composite(
        a.shape,
        np.result_type(a.dtype, plain),
        (a,),
        lambda a, X: by(a._apply(X), factor),
        lambda a, X: by(a._apply_adjoint(X), conjugate),
        lambda a: by(a, plain),
    )


def adjoint_of(a: LinearOperator) -> LinearOperator:
    return _Composite(
        a.shape[::-1],
        a.dtype,
        (a,),
        lambda a, X: a._apply_adjoint(X),
        lambda a, X: a._apply(X),
        lambda a: a.conj().T,
    )


def transpose_of(a: LinearOperator) -> LinearOperator:
    """Aᵀ x = conj(Aᴴ conj(x))."""
    return _Composite(
        a.shape[::-1],
        a.dtype,
        (a,),
        lambda a, X: xp.conj(a._apply_adjoint(xp.conj(X))),
        lambda a, X: xp.conj(a._apply(xp.conj(X))),
        lambda a: a.T,
    )
