"""Matrices, and operators from elsewhere, as operators of this package."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ...krylov.blocks import times
from ...perturbation.problem import inexact
from ...report.messages import boxes_in_scipy
from ..primitives import apply_constant, xp
from ..trace import strip
from .base import LinearOperator

__all__ = ["Constant", "Dense", "aslinearoperator"]


class Dense(LinearOperator):
    """A dense matrix, possibly traced."""

    def __init__(self, matrix: Any):
        self.matrix = matrix
        spla.LinearOperator.__init__(self, np.dtype(matrix.dtype), matrix.shape)

    def _apply(self, X: Any) -> Any:
        return self._multiply(self.matrix, X)

    def _apply_adjoint(self, X: Any) -> Any:
        return self._multiply(xp.conj(self.matrix).T, X)

    def _multiply(self, matrix: Any, X: Any) -> Any:
        # autograd warns where it takes the real part of what a real factor of a complex product gets.
        if np.iscomplexobj(strip(X)) and self.dtype.kind != "c":
            return xp.dot(matrix, xp.real(X)) + 1j * xp.dot(matrix, xp.imag(X))
        if self.dtype.kind == "c" and not np.iscomplexobj(strip(X)):
            X = X * self.dtype.type(1)
        return xp.dot(matrix, X)

    def prepared(self) -> LinearOperator:
        return self

    def plain(self) -> LinearOperator:
        return Dense(strip(self.matrix))

    def explicit(self) -> Any:
        return strip(self.matrix)

    def applies_blocks(self) -> bool:
        return True


class Constant(LinearOperator):
    """A SciPy sparse matrix or a SciPy LinearOperator, differentiable in the vector only."""

    def __init__(self, constant: Any):
        self.constant = floating(constant)
        spla.LinearOperator.__init__(self, self.constant.dtype, constant.shape)

    def _apply(self, X: Any) -> Any:
        return apply_constant(X, self._values, self._adjoint_values)

    def _apply_adjoint(self, X: Any) -> Any:
        return apply_constant(X, self._adjoint_values, self._values)

    def _values(self, X: np.ndarray) -> np.ndarray:
        if sp.issparse(self.constant):
            return times(self.constant, X)
        return self._by_parts(self.constant.matvec if X.ndim == 1 else self.constant.matmat, X)

    def _adjoint_values(self, X: np.ndarray) -> np.ndarray:
        if sp.issparse(self.constant):  # SciPy's transpose is a view; conjugating the vectors copies no matrix
            return times(self.constant.T, X) if self.dtype.kind != "c" else (self.constant.T @ X.conj()).conj()
        return self._by_parts(self.constant.rmatvec if X.ndim == 1 else self.constant.rmatmat, X)

    def _by_parts(self, function: Callable[[np.ndarray], Any], X: np.ndarray) -> Any:
        """Functions of a real operator may drop imaginary parts."""
        if np.iscomplexobj(X) and self.dtype.kind != "c":
            return self._by_parts(function, X.real) + 1j * self._by_parts(function, X.imag)
        with named_boxes():
            result = function(X)
        if np.asarray(result).dtype.kind == "O":
            raise TypeError(boxes_in_scipy())
        return result

    def prepared(self) -> LinearOperator:
        return self

    def explicit(self) -> Any:
        return self.constant if sp.issparse(self.constant) else None

    def has_matrix(self) -> bool:
        return bool(sp.issparse(self.constant))

    def applies_blocks(self) -> bool:
        return True


def aslinearoperator(A: Any) -> LinearOperator:
    """A as a `LinearOperator` of this package.

    Parameters
    ----------
    A : LinearOperator, SciPy LinearOperator, SciPy sparse matrix, or dense array (traced or not)
        Also anything else with ``shape`` and ``matvec``.

    Returns
    -------
    LinearOperator
        A itself if it is one already. Of floating-point numbers: booleans and integers count as double precision.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For an array that is not two-dimensional.

    Derivative
    ----------
    ``aslinearoperator(A) @ x`` is differentiable in x, also where A is a SciPy sparse matrix or a
    SciPy LinearOperator (with ``rmatvec``), and in the entries of a traced dense A.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import scipy.sparse as sp
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> D = ka.aslinearoperator(sp.diags([1.0, 2.0]))
    >>> grad(lambda x: np.sum((D @ x) ** 2))(np.ones(2))
    array([2., 8.])
    """
    if isinstance(A, LinearOperator):
        return floating(A)
    if isinstance(A, spla.LinearOperator) or sp.issparse(A):
        return Constant(A)
    if isinstance(strip(A), np.ndarray):
        if np.ndim(strip(A)) != 2:
            raise ValueError(f"a matrix has two dimensions, not shape {np.shape(strip(A))}")
        # No np.matrix, whose products have two dimensions.
        return Dense(floating(np.asarray(A)) if strip(A) is A else A)
    return Constant(spla.aslinearoperator(A))


# --------------------------------------------------------------------------------------------
# What SciPy's and users' operators are made of.
# --------------------------------------------------------------------------------------------


def floating(operand: Any, like: Any = None) -> Any:
    """A matrix or operator in floating-point numbers, the same object where it is one.

    Booleans and integers get the precision of the type ``like``, double by default; an operator that says no type
    gets one. Anything else is left as it is.

    Raises
    ------
    TypeError
        An operator of SciPy's that holds a traced value.
    """
    if isinstance(operand, spla.LinearOperator):
        dtype = _type_of(operand)
    elif isinstance(operand, np.ndarray) or sp.issparse(operand):
        dtype = operand.dtype
    else:
        return operand
    if dtype.kind in "biu":
        dtype = np.dtype(float if like is None else np.finfo(inexact(like)).dtype)
    if operand.dtype is not None and operand.dtype == dtype:
        return operand
    if not isinstance(operand, spla.LinearOperator):
        return operand.astype(dtype)
    twin = copy.copy(operand)
    twin.dtype = dtype
    return twin


def _type_of(operator: spla.LinearOperator) -> np.dtype:
    """The operator's type; as in SciPy that of its value for an int8 vector, where it says none."""
    dtype = operator.dtype
    if dtype is None:
        with named_boxes():
            dtype = np.asarray(operator.matvec(np.zeros(operator.shape[1], np.int8))).dtype
    dtype = np.dtype(dtype)
    if dtype.kind == "O":
        raise TypeError(boxes_in_scipy())
    return dtype


def without_boxes(operator: LinearOperator) -> LinearOperator:
    """The operator's values: it says how to compute, and no derivative passes through it."""

    def apply(V: np.ndarray) -> np.ndarray:
        return strip(operator._apply(V))

    def apply_adjoint(V: np.ndarray) -> np.ndarray:
        return strip(operator._apply_adjoint(V))

    return LinearOperator(operator.shape, apply, apply_adjoint, apply, apply_adjoint, operator.dtype)


@contextmanager
def named_boxes() -> Iterator[None]:
    """Say what it means that NumPy or SciPy meet a traced value in a function of SciPy's operators."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        if any("ArrayBox" in str(reason) for reason in (error, error.__cause__)):
            raise TypeError(boxes_in_scipy()) from error
        raise
