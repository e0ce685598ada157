"""Operators made of operators: sums, products, multiples, adjoints, transposes; the arithmetic of `LinearOperator`."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ...forms.selection import read_key, selection_matrix
from ..elementary import xp
from ..trace import refuse_boxes, strip
from .base import LinearOperator
from .interface import Arithmetic
from .matrices import Constant, Dense, aslinearoperator

__all__ = ["Composite", "adjoint_of", "assembled_once", "operator_sum", "product", "scaled", "transpose_of"]


class Composite(LinearOperator):
    """An operator made of others: a sum, product, multiple, adjoint, transpose, …

    Kinds define `_apply` and `_apply_adjoint`, and `_matrix`, which is to the operands' matrices what the
    composite is to the operands.
    """

    def __init__(self, shape: tuple[int, int], dtype: Any, *operands: LinearOperator):
        spla.LinearOperator.__init__(self, dtype, shape)
        self._operands = operands

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # autograd 1.9 lets the operator answer for ``t * op`` with a traced t; before, it tries to trace the result.
        refuse_boxes(
            cls, "a traced number on the left of an operator needs autograd 1.9 or newer: write op * t, not t * op"
        )

    def _matrix(self, *matrices: Any) -> Any:
        raise NotImplementedError

    def _of(self, operands: tuple[LinearOperator, ...]) -> Composite:
        """The same composition of other operands."""
        twin = copy.copy(self)
        twin._operands = operands
        return twin

    def prepared(self) -> LinearOperator:
        return self._of(tuple(operand.prepared() for operand in self._operands))

    def plain(self) -> LinearOperator:
        return self._of(tuple(operand.plain() for operand in self._operands))

    def explicit(self) -> Any:
        if not self.has_matrix():
            return None
        result = self._matrix(*(operand.explicit() for operand in self._operands))
        return result if sp.issparse(result) else np.asarray(result)

    def has_matrix(self) -> bool:
        return all(operand.has_matrix() for operand in self._operands)

    def applied_by_matrix(self) -> bool:
        return all(operand.applied_by_matrix() for operand in self._operands)

    def applies_blocks(self) -> bool:
        return all(operand.applies_blocks() for operand in self._operands)


class Sum(Composite):
    """A + B."""

    def _apply(self, X: Any) -> Any:
        a, b = self._operands
        return a._apply(X) + b._apply(X)

    def _apply_adjoint(self, X: Any) -> Any:
        a, b = self._operands
        return a._apply_adjoint(X) + b._apply_adjoint(X)

    def _matrix(self, *matrices: Any) -> Any:
        return matrices[0] + matrices[1]


class Product(Composite):
    """A B."""

    def _apply(self, X: Any) -> Any:
        a, b = self._operands
        return a._apply(b._apply(X))

    def _apply_adjoint(self, X: Any) -> Any:
        a, b = self._operands
        return b._apply_adjoint(a._apply_adjoint(X))

    def _matrix(self, *matrices: Any) -> Any:
        return matrices[0] @ matrices[1]

    def applied_by_matrix(self) -> bool:
        """Where the product of sparse matrices is sure to be no fuller than both, as with a diagonal factor."""
        if not super().applied_by_matrix():
            return False
        a, b = (operand.explicit() for operand in self._operands)
        if not (sp.issparse(a) and sp.issparse(b)):
            return False
        in_columns = np.bincount(a.tocsr().indices, minlength=a.shape[1])
        return bool(in_columns @ np.diff(b.tocsr().indptr) <= a.nnz + b.nnz)


class Scaled(Composite):
    """A · factor, or A / factor."""

    def __init__(self, a: LinearOperator, factor: Any, by: Callable[[Any, Any], Any]):
        super().__init__(a.shape, np.result_type(a.dtype, strip(factor)), a)
        self._factor, self._by = factor, by

    def _apply(self, X: Any) -> Any:
        return self._by(self._operands[0]._apply(X), self._factor)

    def _apply_adjoint(self, X: Any) -> Any:
        # Python's numbers have no precision of their own and must stay as they are.
        factor = self._factor
        conjugate = factor.conjugate() if isinstance(factor, (int, float, complex)) else xp.conj(factor)
        return self._by(self._operands[0]._apply_adjoint(X), conjugate)

    def _matrix(self, *matrices: Any) -> Any:
        return self._by(matrices[0], strip(self._factor))

    def plain(self) -> LinearOperator:
        twin = self._of((self._operands[0].plain(),))
        assert isinstance(twin, Scaled)
        twin._factor = strip(self._factor)
        return twin


class Adjoint(Composite):
    """Aᴴ."""

    def _apply(self, X: Any) -> Any:
        return self._operands[0]._apply_adjoint(X)

    def _apply_adjoint(self, X: Any) -> Any:
        return self._operands[0]._apply(X)

    def _matrix(self, *matrices: Any) -> Any:
        return matrices[0].conj().T


class Transpose(Composite):
    """Aᵀ x = conj(Aᴴ conj(x))."""

    def _apply(self, X: Any) -> Any:
        return xp.conj(self._operands[0]._apply_adjoint(xp.conj(X)))

    def _apply_adjoint(self, X: Any) -> Any:
        return xp.conj(self._operands[0]._apply(xp.conj(X)))

    def _matrix(self, *matrices: Any) -> Any:
        return matrices[0].T


class AssembledOnce(Composite):
    """An operator whose matrix is assembled when it is first asked for, and no second time.

    For one solve: an operator that is kept may read values that change.
    """

    def __init__(self, a: LinearOperator):
        super().__init__(a.shape, a.dtype, a)
        # In common with what `_of` makes.
        self._assembled: list[Any] = []
        self._decided: list[bool] = []

    def _apply(self, X: Any) -> Any:
        return self._operands[0]._apply(X)

    def _apply_adjoint(self, X: Any) -> Any:
        return self._operands[0]._apply_adjoint(X)

    def explicit(self) -> Any:
        if not self._assembled:
            self._assembled.append(self._operands[0].explicit())
        return self._assembled[0]

    def applied_by_matrix(self) -> bool:
        if not self._decided:
            self._decided.append(self._operands[0].applied_by_matrix())
        return self._decided[0]


def assembled_once(a: LinearOperator) -> LinearOperator:
    """For one solve, whose parts ask for the matrix."""
    costly = a.has_matrix() and not isinstance(a, (Constant, Dense, AssembledOnce))
    return AssembledOnce(a) if costly else a


def operator_sum(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    if a.shape != b.shape:
        raise ValueError(f"cannot add operators of shapes {a.shape} and {b.shape}")
    return Sum(a.shape, np.result_type(a.dtype, b.dtype), a, b)


def product(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply operators of shapes {a.shape} and {b.shape}")
    return Product((a.shape[0], b.shape[1]), np.result_type(a.dtype, b.dtype), a, b)


def scaled(a: LinearOperator, factor: Any, by: Callable[[Any, Any], Any] = operator.mul) -> LinearOperator:
    """a · factor, or a / factor with ``by=operator.truediv``."""
    plain = strip(factor)
    if np.ndim(plain) or not np.issubdtype(np.asarray(plain).dtype, np.number):
        raise TypeError(f"an operator can be scaled by a number, not by {plain!r}")
    return Scaled(a, factor, by)


def adjoint_of(a: LinearOperator) -> LinearOperator:
    return Adjoint(a.shape[::-1], a.dtype, a)


def transpose_of(a: LinearOperator) -> LinearOperator:
    return Transpose(a.shape[::-1], a.dtype, a)


def power_of(a: LinearOperator, power: int) -> LinearOperator:
    if a.shape[0] != a.shape[1]:
        raise ValueError(f"a power needs a square operator, not shape {a.shape}")
    if power != int(power) or power < 0:
        raise ValueError(f"a power must be a non-negative integer, not {power!r}")
    if power == 0:
        return Constant(sp.identity(a.shape[0], dtype=a.dtype, format="csr"))
    return functools.reduce(product, [a] * int(power))


def selected(a: LinearOperator, key: Any) -> LinearOperator:
    """The operator between some rows and columns."""
    rows, columns = read_key(key, a.shape)
    if rows is not None:
        a = product(Constant(selection_matrix(rows, a.shape[0], a.dtype)), a)
    if columns is not None:
        a = product(a, Constant(selection_matrix(columns, a.shape[1], a.dtype).T))
    return a


LinearOperator._arithmetic = Arithmetic(
    aslinearoperator, adjoint_of, transpose_of, operator_sum, product, scaled, power_of, selected
)
