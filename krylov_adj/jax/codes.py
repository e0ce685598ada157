"""An operator's code, apart from its arrays: what is applied in JAX, compiled once, and its matrix on the host.

A code is static; the arrays that it works on, its operands, are passed to it. Operators with the same code share
compiled programs, whatever their arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from .fingerprints import calls_host

__all__ = ["ClosureCode", "Code", "DenseCode", "SparseCode", "apply", "compiled_rows"]

Shape = tuple[int, int]


class Code(Protocol):
    """A linear map without its arrays.

    Attributes
    ----------
    shape : (int, int)
    dtype : dtype
    explicit : bool
        There is a matrix.
    """

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def explicit(self) -> bool: ...

    @property
    def programs(self) -> Programs:
        """The compiled functions of this code."""

    def image(self, operands: Sequence[Any], X: Any, adjoint: bool) -> Any:
        """A X or Aᴴ X of vectors in rows, (m, n) of the code's type, in JAX."""

    def matrix(self, operands: Sequence[np.ndarray]) -> Any:
        """The matrix on the host, of NumPy or SciPy; of explicit codes only."""


@dataclass(frozen=True, eq=False)
class Programs:
    """A code's functions of (operands, rows), compiled; ``rows`` has vectors (n,) or blocks (m, n) of rows."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]

    @classmethod
    def of(cls, code: Code) -> Programs:
        return cls(jax.jit(partial(_rows, code, False)), jax.jit(partial(_rows, code, True)))


def _rows(code: Code, adjoint: bool, operands: Sequence[Any], X: Any) -> Any:
    """A x of one vector, or of every row of a block."""
    X = X.astype(np.result_type(code.dtype, X.dtype) if code.dtype.kind == "c" else code.dtype)
    return code.image(operands, X, adjoint)


def compiled_rows(code: Code, adjoint: bool) -> Callable[..., Any]:
    """Return the compiled function of (operands, rows)."""
    return code.programs.backward if adjoint else code.programs.forward


def apply(code: Code, operands: Sequence[Any], X: Any, adjoint: bool = False) -> Any:
    """Return A X or Aᴴ X for columns X (n, m), differentiable; a real map is applied to complex vectors by parts."""
    rows, function = X.T, compiled_rows(code, adjoint)
    if jnp.iscomplexobj(X) and code.dtype.kind != "c":
        return (function(operands, jnp.real(rows)) + 1j * function(operands, jnp.imag(rows))).T
    return function(operands, rows).T


@dataclass(frozen=True, eq=False)
class ClosureCode:
    """A function of vectors as a jaxpr, its constants the operands; ``backward`` is that of Aᴴ, where it was given.

    ``split`` is the number of the first one's operands.
    """

    shape: Shape
    dtype: np.dtype
    forward: Any
    backward: Any
    split: int
    explicit = False

    @cached_property
    def programs(self) -> Programs:
        return Programs.of(self)

    def image(self, operands: Sequence[Any], X: Any, adjoint: bool) -> Any:
        function = partial(self._vector, operands, adjoint)
        if X.ndim == 1:
            return function(X)
        # Callbacks of users may know vectors only.
        return jax.lax.map(function, X) if self.calls_back else jax.vmap(function)(X)

    @cached_property
    def calls_back(self) -> bool:
        """Functions of the host take part."""
        return any(jaxpr is not None and calls_host(jaxpr) for jaxpr in (self.forward, self.backward))

    def _vector(self, operands: Sequence[Any], adjoint: bool, x: Any) -> Any:
        own, others = operands[: self.split], operands[self.split :]
        if adjoint and self.backward is not None:
            return _evaluated(self.backward, others, x)
        if not adjoint:
            return _evaluated(self.forward, own, x)
        point = jnp.zeros(self.shape[1], self.dtype)
        _, transpose = jax.vjp(lambda x: _evaluated(self.forward, own, x), point)
        return jnp.conj(transpose(jnp.conj(x).astype(self.dtype))[0])

    def matrix(self, operands: Sequence[np.ndarray]) -> Any:
        raise TypeError("an operator given by functions has no matrix")


def _evaluated(jaxpr: Any, operands: Sequence[Any], x: Any) -> Any:
    """The vector that a jaxpr computes; the operands after its constants come before x."""
    constants = len(jaxpr.constvars)
    return jax.core.eval_jaxpr(jaxpr, operands[:constants], *operands[constants:], x)[0]


@dataclass(frozen=True, eq=False)
class DenseCode:
    """A dense matrix, its one operand."""

    shape: Shape
    dtype: np.dtype
    explicit = True

    @cached_property
    def programs(self) -> Programs:
        return Programs.of(self)

    def image(self, operands: Sequence[Any], X: Any, adjoint: bool) -> Any:
        return X @ (jnp.conj(operands[0]) if adjoint else operands[0].T)

    def matrix(self, operands: Sequence[np.ndarray]) -> Any:
        return np.asarray(operands[0])


@dataclass(frozen=True, eq=False)
class SparseCode:
    """A sparse matrix: its operands are entries, rows and columns, each of shape (nnz,).

    Entries outside of the shape are padding, and entries in the same place are summed.
    """

    shape: Shape
    dtype: np.dtype
    explicit = True

    @cached_property
    def programs(self) -> Programs:
        return Programs.of(self)

    def image(self, operands: Sequence[Any], X: Any, adjoint: bool) -> Any:
        data, rows, columns = operands
        if adjoint:
            data, rows, columns = jnp.conj(data), columns, rows
        size = self.shape[1 if adjoint else 0]
        terms = data * jnp.take(X, columns, axis=-1, mode="fill", fill_value=0)
        if X.ndim == 1:
            return jax.ops.segment_sum(terms, rows, size)
        return jax.vmap(lambda row: jax.ops.segment_sum(row, rows, size))(terms)

    def matrix(self, operands: Sequence[np.ndarray]) -> Any:
        data, rows, columns = map(np.asarray, operands)
        inside = (rows < self.shape[0]) & (columns < self.shape[1])
        if not inside.all():
            data, rows, columns = data[inside], rows[inside], columns[inside]
        return sp.csr_array(sp.coo_array((data, (rows, columns)), shape=self.shape))
