"""Matrices and operators of NumPy and SciPy: as value operators, and value operators as SciPy's solvers take them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..krylov.space import WHOLE, Space, times
from ..perturbation.problem import ValueOperator, inexact
from ..report.container_messages import BOX, objects_in_array, objects_in_sparse, sparse_times_traced
from ..report.messages import boxes_in_scipy

__all__ = [
    "applied_by_parts",
    "as_complex",
    "as_scipy",
    "check_numbers",
    "floating",
    "matrix_operator",
    "named_boxes",
    "random_vector",
    "scipy_operand",
    "value_operator",
]

Array = np.ndarray


class as_scipy(spla.LinearOperator):
    """A value operator as SciPy's LinearOperator."""

    def __init__(self, operator: ValueOperator):
        super().__init__(operator.dtype, operator.shape)
        self.operator = operator

    @property
    def applications(self) -> int:
        return self.operator.applications

    def _matvec(self, x: Array) -> Array:
        return self.operator.apply(x)

    def _matmat(self, X: Array) -> Array:
        return self.operator.apply(X)

    def _rmatvec(self, x: Array) -> Array:
        return self.operator.adjoint(x)

    def _rmatmat(self, X: Array) -> Array:
        return self.operator.adjoint(X)


def scipy_operand(operator: ValueOperator, needs_matrix: bool = False) -> Any:
    """Return the operator for SciPy's solvers: its matrix where that is faster or needed, else a LinearOperator."""
    if operator.by_matrix or (needs_matrix and operator.explicit):
        return operator.matrix
    return as_scipy(operator)


def value_operator(operand: Any, hermitian: bool, name: str) -> ValueOperator:
    """Return a dense array, a sparse matrix, or what has ``shape`` and ``matvec``, as a value operator."""
    if isinstance(operand, np.ndarray):
        if operand.ndim != 2:
            raise ValueError(f"a matrix has two dimensions, not shape {operand.shape}")
        operand = np.asarray(operand)
    elif not sp.issparse(operand):
        operand = spla.aslinearoperator(operand)
    operand = floating(operand)
    if not isinstance(operand, spla.LinearOperator):
        return matrix_operator(operand, hermitian, name)

    def apply(V: Array) -> Array:
        return applied_by_parts(operand, operand.matvec if V.ndim == 1 else operand.matmat, V)

    def apply_adjoint(V: Array) -> Array:
        return applied_by_parts(operand, operand.rmatvec if V.ndim == 1 else operand.rmatmat, V)

    dtype = np.result_type(operand.dtype, np.float32)
    return ValueOperator(operand.shape, dtype, apply, apply if hermitian else apply_adjoint, name)


def matrix_operator(matrix: Any, hermitian: bool, name: str, dtype: Any = None) -> ValueOperator:
    """Return the value operator of a dense or sparse matrix; ``dtype`` is its type where that is not the matrix's."""
    dtype = np.result_type(matrix.dtype if dtype is None else dtype, np.float32)
    transposed = matrix if hermitian else matrix.conj().T if matrix.dtype.kind == "c" else matrix.T

    def apply(V: Array) -> Array:
        return times(matrix, V)

    def apply_adjoint(V: Array) -> Array:
        return times(transposed, V)

    return ValueOperator(matrix.shape, dtype, apply, apply_adjoint, name, lambda: matrix, by_matrix=True)


def as_complex(operator: ValueOperator) -> ValueOperator:
    """Return a real operator as one of complex numbers."""
    dtype, given = np.result_type(operator.dtype, np.complex64), operator.counted_anew()
    matrix = (lambda: operator.matrix.astype(dtype)) if operator.explicit else None
    adjoint = given.adjoint if operator.has_adjoint else None
    return ValueOperator(
        operator.shape, dtype, given.apply, adjoint, operator.name, matrix, operator.by_matrix, operator.space
    )


def applied_by_parts(operator: spla.LinearOperator, function: Callable[[Array], Any], V: Array) -> Any:
    """Return ``function(V)`` of an operator of SciPy's; those of a real operator may drop imaginary parts.

    Raises
    ------
    TypeError
        Where the operator holds a traced value.
    """
    if np.iscomplexobj(V) and operator.dtype.kind != "c":
        real, imaginary = (applied_by_parts(operator, function, part) for part in (V.real, V.imag))
        return real + 1j * imaginary
    with named_boxes():
        result = function(V)
    if np.asarray(result).dtype.kind == "O":
        raise TypeError(boxes_in_scipy())
    return result


def floating(operand: Any, like: Any = None) -> Any:
    """Return a matrix or operator in floating-point numbers, the same object where it is one.

    Booleans and integers get the precision of the type ``like``, double by default; an operator that says no type
    gets one. Anything else is left as it is.

    Raises
    ------
    TypeError
        A traced value in an operator, array or sparse matrix of SciPy's or NumPy's.
    """
    if isinstance(operand, spla.LinearOperator):
        dtype = _type_of(operand)
    elif isinstance(operand, np.ndarray) or sp.issparse(operand):
        dtype = operand.dtype
        check_numbers(operand)
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


def check_numbers(operand: Any) -> None:
    """Raise TypeError where an array or sparse matrix of objects holds traced values of autograd."""
    if operand.dtype.kind != "O":
        return
    entries = np.ravel(operand.data if sp.issparse(operand) else operand)
    if any(type(entry).__name__ == BOX for entry in entries):
        raise TypeError(objects_in_sparse() if sp.issparse(operand) else objects_in_array())


def _type_of(operator: spla.LinearOperator) -> np.dtype:
    """Return the operator's type; as in SciPy that of its value for an int8 vector, where it says none."""
    dtype = operator.dtype
    if dtype is None:
        with named_boxes():
            dtype = np.asarray(operator.matvec(np.zeros(operator.shape[1], np.int8))).dtype
    dtype = np.dtype(dtype)
    if dtype.kind == "O":
        raise TypeError(boxes_in_scipy())
    return dtype


@contextmanager
def named_boxes() -> Iterator[None]:
    """Say what it means that NumPy or SciPy meet a traced value in a function of SciPy's operators."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        if "dtype('O')" in str(error):
            raise TypeError(sparse_times_traced()) from error
        if any("ArrayBox" in str(reason) for reason in (error, error.__cause__)):
            raise TypeError(boxes_in_scipy()) from error
        raise


def random_vector(n: int, dtype: Any, seed: int = 3, space: Space = WHOLE) -> Array:
    """Return a fixed pseudo-random unit vector for checks on an operator, shape (n,)."""
    v = space.random(n, np.result_type(dtype, np.float64), seed)
    return (v / space.norm(v)).astype(np.result_type(dtype, np.float32))
