"""Operators that users make: functions and sparse matrices, which are data to JAX."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["LinearOperator", "csr_array"]


@jax.tree_util.register_pytree_node_class
class LinearOperator:
    """A linear map given by JAX functions of vectors, which may read anything.

    Parameters
    ----------
    shape : (int, int)
    matvec : callable
        ``matvec(v)`` is A v for v of shape (n,): a function written with `jax.numpy`, compiled or not, that closes over
        arrays, traced or not; or a callable pytree, such as an Equinox module.
    rmatvec : callable, optional
        ``rmatvec(v)`` is Aᴴ v. Where not given, JAX transposes ``matvec``.
    dtype : dtype, optional
        Where not given, the type of ``matvec`` of a vector of JAX's default type. A real map is applied to the real and
        imaginary parts of a complex vector separately.

    Raises
    ------
    TypeError
        From a solver: results that are complex where the operator is real, or are no arrays.
    ValueError
        From a solver: results of another shape.

    Notes
    -----
    An operator is a pytree, whose leaves are those of its functions: an Equinox module may hold one.

    Derivative
    ----------
    With respect to every array that the functions read, to any order, forward and reverse.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> def ground_state(V):
    ...     H = kj.LinearOperator((9, 9), lambda x: 2 * x - jnp.roll(x, 1) - jnp.roll(x, -1) + V * x)
    ...     return kj.eigsh(H, k=1, which="SA")[0][0]
    >>> g = jax.grad(ground_state)(jnp.arange(9.0))  # the density of the state
    >>> print(round(float(jnp.sum(g)), 5))
    1.0
    """

    def __init__(
        self,
        shape: tuple[int, int],
        matvec: Callable[[Any], Any],
        rmatvec: Callable[[Any], Any] | None = None,
        dtype: Any = None,
    ):
        rows, columns = shape
        self.shape = (int(rows), int(columns))
        self.matvec, self.rmatvec = matvec, rmatvec
        self._dtype = None if dtype is None else np.dtype(dtype)

    @property
    def dtype(self) -> np.dtype:
        """That of the map, without x64 in single precision."""
        if self._dtype is not None:
            return np.dtype(jax.dtypes.canonicalize_dtype(self._dtype))
        vector = jax.ShapeDtypeStruct((self.shape[1],), jnp.result_type(float))
        return np.dtype(jax.eval_shape(self.matvec, vector).dtype)

    def __matmul__(self, x: Any) -> Any:
        """A x for a vector (n,) or a block (n, m)."""
        return self.matvec(x) if x.ndim == 1 else jax.vmap(self.matvec, in_axes=1, out_axes=1)(x)

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.matvec, self.rmatvec), (self.shape, self._dtype)

    @classmethod
    def tree_unflatten(cls, static: Any, children: Any) -> LinearOperator:
        twin = object.__new__(cls)
        twin.shape, twin._dtype = static
        twin.matvec, twin.rmatvec = children
        return twin


class Pattern:
    """Where the entries of a sparse matrix stand; equal to a pattern with the same numbers."""

    def __init__(self, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]):
        self.indices, self.indptr, self.shape = indices, indptr, shape
        self.rows = np.repeat(np.arange(shape[0], dtype=indices.dtype), np.diff(indptr))
        self._digest = hashlib.blake2b(indices.tobytes() + indptr.tobytes() + str(shape).encode()).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._digest == other._digest


@jax.tree_util.register_pytree_node_class
class csr_array:
    """A sparse matrix in compressed rows, differentiable in its stored entries.

    Row i holds the entries ``data[indptr[i]:indptr[i + 1]]``, in the columns
    ``indices[indptr[i]:indptr[i + 1]]``. Time and memory of a product and of its derivatives are O(nnz).

    Parameters
    ----------
    arg : tuple of arrays (data, indices, indptr)
        ``data`` of shape (nnz,), real or complex, traced or not; ``indices`` of shape (nnz,) and ``indptr`` of shape
        (m + 1,), integers that are not traced. Entries in the same place are summed.
    shape : (int, int)
        (m, n).

    Raises
    ------
    TypeError
        Indices that are traced or no integers, data that are no array of numbers.
    ValueError
        Wrong lengths, indices out of range.

    Notes
    -----
    A pytree with one leaf, ``data``. With ``sigma`` solvers factorise the matrix on the host.

    Derivative
    ----------
    With respect to ``data``, entry by entry, to any order, forward and reverse.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import numpy as np
    >>> import krylov_adj.jax as kj
    >>> def lowest(d):
    ...     A = kj.csr_array((d, np.arange(9), np.arange(10)), (9, 9))
    ...     return kj.eigsh(A, k=1, sigma=0.0)[0][0]
    >>> print(jnp.round(jax.jit(jax.grad(lowest))(jnp.arange(1.0, 10.0)), 4))
    [1. 0. 0. 0. 0. 0. 0. 0. 0.]
    """

    def __init__(self, arg: tuple[Any, Any, Any], shape: tuple[int, int]):
        data, indices, indptr = arg
        rows, columns = int(shape[0]), int(shape[1])
        for name, numbers in (("indices", indices), ("indptr", indptr)):
            if isinstance(numbers, jax.core.Tracer):
                raise TypeError(
                    f"csr_array: {name} is traced. The pattern of a matrix is no data: make it of NumPy arrays, "
                    "outside of jit, or use jax.experimental.sparse.BCOO, whose indices may be traced"
                )
            if np.asarray(numbers).dtype.kind not in "iu" or np.ndim(numbers) != 1:
                raise TypeError(f"csr_array: {name} must be a vector of integers")
        data, indices, indptr = jnp.asarray(data), np.asarray(indices), np.asarray(indptr)
        if data.ndim != 1 or not jnp.issubdtype(data.dtype, jnp.number):
            raise TypeError(f"csr_array: data must be a vector of numbers, not {data.dtype} of shape {data.shape}")
        if indices.size != data.shape[0] or indptr.size != rows + 1:
            raise ValueError(f"csr_array: {data.shape[0]} data, {indices.size} indices, indptr of {indptr.size}")
        if indptr[0] != 0 or indptr[-1] != indices.size or np.any(np.diff(indptr) < 0):
            raise ValueError("csr_array: indptr does not rise from 0 to the number of entries")
        if indices.size and not (indices.min() >= 0 and indices.max() < columns):
            raise ValueError(f"csr_array: column indices outside of 0 … {columns - 1}")
        kind = np.int32 if max(indices.size, rows, columns) <= np.iinfo(np.int32).max else np.int64
        self.data = data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(jnp.result_type(float))
        self.pattern = Pattern(indices.astype(kind), indptr.astype(kind), (rows, columns))

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.pattern.shape

    @property
    def dtype(self) -> np.dtype:
        """That of the entries."""
        return np.dtype(self.data.dtype)

    def __matmul__(self, x: Any) -> Any:
        """A x for a vector (n,) or a block (n, m)."""
        terms = jnp.expand_dims(self.data, tuple(range(1, x.ndim))) * x[self.pattern.indices]
        return jax.ops.segment_sum(terms, self.pattern.rows, self.shape[0], indices_are_sorted=True)

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.data,), self.pattern

    @classmethod
    def tree_unflatten(cls, static: Any, children: Any) -> csr_array:
        twin = object.__new__(cls)
        (twin.data,), twin.pattern = children, static
        return twin
