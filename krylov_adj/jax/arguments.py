"""Arguments of users, checked as far as it is known before anything runs."""

from __future__ import annotations

from dataclasses import replace
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..forward.operands import random_vector
from ..options import Adjoint
from .codes import Code
from .operators import LinearOperator, csr_array
from .reading import read

__all__ = ["check_options", "number_of_pairs", "plain_operator", "read_pencil", "scalar", "start_vector"]


def check_options(adjoint: Any) -> Adjoint:
    """Return the options; what they call runs on the host, with NumPy."""
    if adjoint is None:
        return Adjoint()
    if not isinstance(adjoint, Adjoint):
        raise TypeError(f"adjoint must be krylov_adj.jax.Adjoint(...), not {type(adjoint).__name__}")
    given = adjoint.preconditioner
    if isinstance(given, LinearOperator | csr_array):
        raise TypeError(
            "Adjoint(preconditioner=...) runs on the host, where JAX must not: pass a SciPy operator, or a NumPy "
            "function of blocks (n, m)"
        )
    return adjoint if given is None or hasattr(given, "matvec") else replace(adjoint, preconditioner=_NumPyOnly(given))


class _NumPyOnly:
    """A function of blocks that must not return arrays of JAX; equal to one of the same function."""

    def __init__(self, function: Any):
        self.function = function

    def __call__(self, V: np.ndarray) -> np.ndarray:
        found = self.function(V)
        if isinstance(found, jax.Array):
            raise TypeError("the preconditioner returned an array of JAX: it runs on the host, write it with NumPy")
        return np.asarray(found)

    def __hash__(self) -> int:
        return hash(self.function)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _NumPyOnly) and bool(self.function == other.function)


def number_of_pairs(k: Any) -> int:
    """Return k, which has to be known before anything runs."""
    if isinstance(k, jax.core.Tracer):
        raise TypeError("k is traced: the number of pairs is a shape; pass a Python integer, or static_argnames='k'")
    return index(k)


def read_pencil(A: Any, M: Any) -> tuple[tuple[Code, ...], tuple[int, ...], list[Any], np.dtype]:
    """Return the codes of A and M, the numbers of their operands, the operands, and their common type."""
    code, consts = read(A, "A")
    if code.shape[0] != code.shape[1]:
        raise ValueError(f"expected square matrix (shape={code.shape})")
    if M is None:
        return (code,), (len(consts),), consts, code.dtype
    mass, others = read(M, "M")
    if mass.shape != code.shape:
        raise ValueError(f"wrong M dimensions {mass.shape}, should be {code.shape}")
    return (code, mass), (len(consts), len(others)), [*consts, *others], np.result_type(code.dtype, mass.dtype)


def scalar(x: Any, name: str) -> Any:
    """Return a number, traced or not, in a floating-point type; no numbers for None."""
    if x is None:
        return jnp.zeros(0)
    x = jnp.asarray(x)
    if x.ndim != 0:
        raise ValueError(f"{name} must be a number, not an array of shape {x.shape}")
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def start_vector(v0: Any, rng: Any, n: int, dtype: np.dtype) -> Any:
    """Return the start vector of a call, fixed unless given: who runs the call again, a checkpoint, gets its signs.

    A generator is drawn from once, here.
    """
    if v0 is not None:
        v0 = jnp.asarray(v0)
        if v0.shape != (n,):
            raise ValueError(f"v0 has shape {v0.shape}, expected ({n},)")
        return v0.astype(jnp.result_type(v0.dtype, np.float32))
    if rng is None:
        return jnp.asarray(random_vector(n, dtype).astype(dtype))
    generator = np.random.default_rng(rng)
    drawn = generator.uniform(-1, 1, n)
    if dtype.kind == "c":
        drawn = drawn + 1j * generator.uniform(-1, 1, n)
    return jnp.asarray(drawn.astype(dtype))


def plain_operator(operator: Any, name: str) -> Any:
    """Return OPinv or Minv as an operator of SciPy's, which equals itself."""
    if operator is None:
        return None
    if isinstance(operator, LinearOperator | csr_array | jax.core.Tracer):
        raise TypeError(
            f"{name} runs on the host and is a constant here: pass a SciPy operator or matrix, or leave it out and "
            "pass explicit matrices with sigma"
        )
    if isinstance(operator, jax.Array) or sp.issparse(operator) or isinstance(operator, np.ndarray):
        operator = operator if sp.issparse(operator) else np.asarray(operator)
    return spla.aslinearoperator(operator)
