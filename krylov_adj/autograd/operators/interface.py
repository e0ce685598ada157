"""SciPy's methods of linear operators and the arithmetic of ours, of operators that implement `_apply`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..elementary import xp
from ..trace import strip

__all__ = ["Arithmetic", "SciPyInterface"]


@dataclass(frozen=True)
class Arithmetic:
    """Functions that make operators of operators: `algebra.py` has them."""

    as_operator: Callable[[Any], Any]
    adjoint: Callable[[Any], Any]
    transpose: Callable[[Any], Any]
    add: Callable[[Any, Any], Any]
    multiply: Callable[[Any, Any], Any]
    scale: Callable[..., Any]
    power: Callable[[Any, int], Any]
    select: Callable[[Any, Any], Any]


class SciPyInterface(spla.LinearOperator):
    """The methods that users call; `LinearOperator` derives from it."""

    #: Set by `algebra.py`, whose operators are made of these.
    _arithmetic: ClassVar[Arithmetic]

    def _apply(self, X: Any) -> Any:
        raise NotImplementedError

    def _apply_adjoint(self, X: Any) -> Any:
        raise NotImplementedError

    def matvec(self, x: Any) -> Any:
        """A x for x of shape (n,) or (n, 1)."""
        x = _array(x)
        _expect(x.shape in ((self.shape[1],), (self.shape[1], 1)), self, x)
        return self._apply(x)

    def rmatvec(self, x: Any) -> Any:
        """Aᴴ x for x of shape (m,) or (m, 1)."""
        x = _array(x)
        _expect(x.shape in ((self.shape[0],), (self.shape[0], 1)), self.H, x)
        return self._apply_adjoint(x)

    def matmat(self, X: Any) -> Any:
        """A X for X of shape (n, k)."""
        X = _array(X)
        _expect(X.ndim == 2 and X.shape[0] == self.shape[1], self, X)
        return self._apply(X)

    def rmatmat(self, X: Any) -> Any:
        """Aᴴ X for X of shape (m, k)."""
        X = _array(X)
        _expect(X.ndim == 2 and X.shape[0] == self.shape[0], self.H, X)
        return self._apply_adjoint(X)

    # SciPy's own methods H, T, adjoint() and transpose() call these, and its wrappers the rest.

    def _adjoint(self) -> Any:
        return self._arithmetic.adjoint(self)

    def _transpose(self) -> Any:
        return self._arithmetic.transpose(self)

    def _matvec(self, x: Any) -> Any:
        return self._apply(x)

    def _rmatvec(self, x: Any) -> Any:
        return self._apply_adjoint(x)

    def _matmat(self, X: Any) -> Any:
        return self._apply(X)

    def _rmatmat(self, X: Any) -> Any:
        return self._apply_adjoint(X)

    def dot(self, x: Any) -> Any:
        """A x for a vector or block, A·B for an operator, a scaled operator for a scalar."""
        if isinstance(x, spla.LinearOperator) or sp.issparse(x):
            return self._arithmetic.multiply(self, self._arithmetic.as_operator(x))
        if np.ndim(strip(x)) == 0:
            return self._arithmetic.scale(self, x)
        x = _array(x)
        return self.matvec(x) if x.ndim == 1 else self.matmat(x)

    def __call__(self, x: Any) -> Any:
        return self.dot(x)

    def __mul__(self, x: Any) -> Any:
        return self.dot(x)

    def __matmul__(self, x: Any) -> Any:
        if not isinstance(x, spla.LinearOperator) and not sp.issparse(x) and np.ndim(strip(x)) == 0:
            raise ValueError("Scalar operands are not allowed, use '*' instead")
        return self.dot(x)

    def __rmul__(self, x: Any) -> Any:
        if not sp.issparse(x) and np.ndim(strip(x)) == 0:
            return self._arithmetic.scale(self, x)
        return self.__rmatmul__(x)

    def __rmatmul__(self, x: Any) -> Any:
        if isinstance(x, spla.LinearOperator) or sp.issparse(x):
            return self._arithmetic.multiply(self._arithmetic.as_operator(x), self)
        x = _array(x)
        return self.T.matvec(x) if x.ndim == 1 else xp.transpose(self.T.matmat(xp.transpose(x)))

    def __truediv__(self, scalar: Any) -> Any:
        return self._arithmetic.scale(self, scalar, operator.truediv)

    def __neg__(self) -> Any:
        return self._arithmetic.scale(self, -1)

    def __add__(self, other: Any) -> Any:
        return self._arithmetic.add(self, self._arithmetic.as_operator(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._arithmetic.add(self, -self._arithmetic.as_operator(other))

    def __rsub__(self, other: Any) -> Any:
        return self._arithmetic.add(-self, self._arithmetic.as_operator(other))

    def __pow__(self, power: int) -> Any:
        return self._arithmetic.power(self, power)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Arithmetic with a NumPy scalar or array, or an autograd Box, on the left."""
        reflected = {
            np.multiply: self.__rmul__,
            np.add: self.__radd__,
            np.subtract: self.__rsub__,
            np.matmul: self.__rmatmul__,
        }.get(ufunc)
        if reflected is None or method != "__call__" or kwargs or len(inputs) != 2 or inputs[1] is not self:
            return NotImplemented
        return reflected(inputs[0])

    # ---- as of SciPy's sparse matrices ---------------------------------------------------------

    def toarray(self) -> Any:
        """The dense matrix, shape (m, n), traced where the operator is: it is applied to the identity."""
        return self._apply(np.eye(self.shape[1], dtype=np.result_type(self.dtype, np.float32)))

    def todense(self) -> Any:
        """The same as `toarray`: an array, no ``numpy.matrix``."""
        return self.toarray()

    def __getitem__(self, key: Any) -> Any:
        """The operator between some rows and columns: ``A[rows]``, ``A[:, columns]``, ``A[rows][:, columns]``."""
        return self._arithmetic.select(self, key)

    __iter__ = None  # not by indices

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            "operators cannot be assigned to: an assignment in place has no derivative. Add the change, "
            "A + krylov_adj.coo_array((values, (rows, columns)), A.shape), or select rows and columns: "
            "A[rows][:, columns]"
        )


def _array(x: Any) -> Any:
    return np.asarray(x) if strip(x) is x else x


def _expect(condition: bool, operator: SciPyInterface, x: Any) -> None:
    if not condition:
        raise ValueError(f"dimension mismatch: operator of shape {operator.shape} applied to shape {x.shape}")
