"""Whatever acts on vectors, read once per call: its code, and every array that it holds as a flat list of operands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from jax.experimental.sparse import BCOO, BCSR

from .codes import ClosureCode, Code, DenseCode, SparseCode
from .fingerprints import fingerprint, with_lifted_arrays
from .operators import LinearOperator, csr_array

__all__ = ["closure_code", "read", "read_function"]

#: Codes that are kept, with their compiled programs; the last used ones.
KEPT = 256

_CODES: OrderedDict[Hashable, Any] = OrderedDict()
_LOCK = Lock()


def _kept(key: Hashable, make: Callable[[], Any]) -> Any:
    """Return the code of this key, made now if it is not known."""
    with _LOCK:
        if key in _CODES:
            _CODES.move_to_end(key)
            return _CODES[key]
        code = _CODES[key] = make()
        while len(_CODES) > KEPT:
            _CODES.popitem(last=False)
        return code


def read(A: Any, name: str = "A") -> tuple[Code, list[Any]]:
    """Return the code of an operator, and its operands.

    Raises
    ------
    TypeError
        For what is no operator to JAX.
    ValueError
        For a function that returns another shape.
    """
    if isinstance(A, LinearOperator):
        shape, dtype = A.shape, _type_of(A.dtype, name)
        return _of_functions(A.matvec, A.rmatvec, shape, dtype, name)
    if isinstance(A, csr_array):
        return _of_entries(A.data, A.pattern.rows, A.pattern.indices, A.shape, name)
    if isinstance(A, BCOO):
        _check_plain(A, name)
        return _of_entries(A.data, A.indices[:, 0], A.indices[:, 1], A.shape, name)
    if isinstance(A, BCSR):
        _check_plain(A, name)
        counts = A.indptr[1:] - A.indptr[:-1]
        rows = jnp.repeat(jnp.arange(A.shape[0], dtype=A.indices.dtype), counts, total_repeat_length=A.nse)
        return _of_entries(A.data, rows, A.indices, A.shape, name)
    if sp.issparse(A):
        A = sp.coo_array(A)
        return _of_entries(jnp.asarray(A.data), A.coords[0], A.coords[1], A.shape, name)
    if isinstance(A, spla.LinearOperator):
        raise TypeError(
            f"{name} is an operator of SciPy's, whose functions JAX cannot read: make a "
            "krylov_adj.jax.LinearOperator(shape, matvec) with a matvec written in jax.numpy"
        )
    if hasattr(A, "mv") and hasattr(A, "in_structure"):  # of lineax
        given, returned = A.in_structure(), A.out_structure()
        if getattr(given, "ndim", None) != 1 or getattr(returned, "ndim", None) != 1:
            raise TypeError(f"{name} acts on pytrees: operators act on vectors here")
        dtype = np.result_type(given.dtype, returned.dtype)
        return _of_functions(A.mv, None, (returned.shape[0], given.shape[0]), _type_of(dtype, name), name)
    if isinstance(A, np.ndarray | jax.Array | jax.core.Tracer | list | tuple):
        A = jnp.asarray(A)
        if A.ndim != 2:
            raise ValueError(f"{name}: a matrix has two dimensions, not shape {A.shape}")
        A = A.astype(_type_of(A.dtype, name))
        key = ("dense", A.shape, A.dtype)
        return _kept(key, lambda: DenseCode(A.shape, np.dtype(A.dtype))), [A]
    raise TypeError(
        f"{name}: cannot read an operator of type {type(A).__name__}. Pass a dense array, csr_array, BCOO, BCSR, a "
        "lineax operator, or LinearOperator(shape, matvec)"
    )


def _type_of(dtype: Any, name: str) -> np.dtype:
    """Return the type to compute in."""
    if not jnp.issubdtype(dtype, jnp.number) and not jnp.issubdtype(dtype, jnp.bool_):
        raise TypeError(f"{name} has dtype {dtype}: an operator is made of numbers")
    if not jnp.issubdtype(dtype, jnp.inexact):
        return np.dtype(jnp.result_type(float))
    if jnp.finfo(dtype).bits < 32:
        raise TypeError(
            f"{name} has dtype {dtype}: eigenpairs are computed in single or double precision; convert it with "
            "astype(jnp.float32)"
        )
    return np.dtype(dtype)


def _check_plain(A: Any, name: str) -> None:
    if A.n_batch or A.n_dense or A.n_sparse != 2:
        raise TypeError(f"{name}: a sparse matrix of JAX must have n_batch = n_dense = 0, and be a matrix")


def _of_entries(data: Any, rows: Any, columns: Any, shape: Any, name: str) -> tuple[Code, list[Any]]:
    data = data.astype(_type_of(data.dtype, name))
    shape = (int(shape[0]), int(shape[1]))
    code = _kept(("sparse", shape, data.dtype), lambda: SparseCode(shape, np.dtype(data.dtype)))
    return code, [data, jnp.asarray(rows), jnp.asarray(columns)]


def _of_functions(
    matvec: Callable[[Any], Any], rmatvec: Any, shape: tuple[int, int], dtype: np.dtype, name: str
) -> tuple[Code, list[Any]]:
    forward = read_function(matvec, (jax.ShapeDtypeStruct((shape[1],), dtype),))
    _check_result(forward, (shape[0],), dtype, f"{name}: matvec")
    backward = None
    if rmatvec is not None:
        backward = read_function(rmatvec, (jax.ShapeDtypeStruct((shape[0],), dtype),))
        _check_result(backward, (shape[1],), dtype, f"{name}: rmatvec")
    return closure_code(forward, backward, shape, dtype)


def closure_code(
    forward: Any, backward: Any, shape: tuple[int, int], dtype: np.dtype, more: int = 0
) -> tuple[Code, list[Any]]:
    """Return the code of closed jaxprs, and their constants; the first has so many ``more`` operands before x."""
    consts: list[list[Any]] = []
    bodies: list[Any] = []
    for closed in (forward, backward):
        if closed is None:
            bodies.append(None)
            continue
        consts.append([jnp.asarray(const) for const in closed.consts])
        bodies.append(closed.jaxpr)
    prints = tuple(None if body is None else fingerprint(body) for body in bodies)
    split = len(consts[0]) + more
    code = _kept(
        ("functions", shape, dtype, split, prints), lambda: ClosureCode(shape, dtype, bodies[0], bodies[1], split)
    )
    return code, [const for part in consts for const in part]


def read_function(function: Callable[..., Any], avals: tuple[Any, ...]) -> Any:
    """Return the closed jaxpr of a function with every array that it reads among its constants."""
    return with_lifted_arrays(jax.make_jaxpr(function)(*avals))


def _check_result(closed: Any, shape: tuple[int, ...], dtype: np.dtype, name: str) -> None:
    if len(closed.out_avals) != 1:
        raise TypeError(f"{name} returns a pytree of {len(closed.out_avals)} arrays, not a vector")
    (result,) = closed.out_avals
    if result.shape != shape:
        raise ValueError(f"{name} returned shape {result.shape}, expected {shape}")
    if jnp.issubdtype(result.dtype, jnp.complexfloating) and dtype.kind != "c":
        raise TypeError(f"{name} returned complex values: declare the operator with LinearOperator(..., dtype=complex)")
