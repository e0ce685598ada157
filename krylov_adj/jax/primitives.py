"""Primitives of JAX that run on the host: eager calls, compiled programs and batches.

No JAX runs inside of a callback, which would wait for itself. In an eager call the host's part is a plain call on the
values, with our exceptions as they are. In a compiled program it is a callback where all operators have matrices, else
a conversation with the program (`staging.py`). A batch is one example after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from .host import Host, compiled_products, on_device, operators, products
from .problems import Problem
from .staging import run_staged

__all__ = ["batch_one_by_one", "instantiated", "is_active", "make_host_primitive", "stopped"]

Shapes = Callable[..., Sequence[jax.ShapeDtypeStruct]]


def make_host_primitive(name: str, run: Callable[..., Sequence[Any]], shapes: Shapes) -> Any:
    """Return a primitive of the operators' operands and of other arrays, which ``run(host, *arrays, **static)`` solves.

    ``shapes(problem, *avals, **static)`` are those of the results for those of the other arrays.
    """
    primitive = core.Primitive(name)
    primitive.multiple_results = True

    def results(avals: Sequence[Any], problem: Problem, static: Any) -> Sequence[jax.ShapeDtypeStruct]:
        return shapes(problem, *avals[problem.operands :], **static)

    def run_eagerly(*operands: Any, problem: Problem, **static: Any) -> list[Any]:
        consts, arrays = operands[: problem.operands], operands[problem.operands :]
        with products(compiled_products(problem, problem.applied_parts(consts, arrays))):
            found = Host(problem, operators(problem, consts)).run(partial(run, **static), *map(np.asarray, arrays))
        return [on_device(x, aval) for x, aval in zip(found, results(operands, problem, static), strict=True)]

    def stage(*operands: Any, problem: Problem, **static: Any) -> list[Any]:
        consts, arrays = operands[: problem.operands], operands[problem.operands :]
        return run_staged(problem, consts, arrays, partial(run, **static), results(operands, problem, static))

    def abstract(*avals: Any, problem: Problem, **static: Any) -> list[Any]:
        return [jax.core.ShapedArray(s.shape, s.dtype) for s in results(avals, problem, static)]

    primitive.def_impl(run_eagerly)
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, mlir.lower_fun(stage, multiple_results=True))
    batching.primitive_batchers[primitive] = partial(batch_one_by_one, primitive)
    return primitive


def batch_one_by_one(primitive: Any, operands: Sequence[Any], dims: Sequence[Any], **static: Any) -> Any:
    """Bind a primitive for one example after the other: in Python where values are at hand, staged as a scan."""
    mapped = [dim is not None for dim in dims]
    moved = [jnp.moveaxis(x, dim, 0) if m else x for x, dim, m in zip(operands, dims, mapped, strict=True)]
    slices = [x for x, m in zip(moved, mapped, strict=True) if m]

    def one(*given: Any) -> Any:
        rest = iter(given)
        return primitive.bind(*(next(rest) if m else x for x, m in zip(moved, mapped, strict=True)), **static)

    if any(_is_staged(x) for x in operands):
        found = jax.lax.map(lambda given: one(*given), tuple(slices))
    else:
        examples = [one(*(x[i] for x in slices)) for i in range(slices[0].shape[0])]
        found = [jnp.stack(parts) for parts in zip(*examples, strict=True)]
    return found, [0] * len(found)


def _is_staged(x: Any) -> bool:
    """Return whether x has no value yet, not even inside of the tracers of a derivative."""
    if not isinstance(x, jax.core.Tracer):
        return False
    try:
        return core.concrete_or_error(None, x) is None
    except jax.errors.ConcretizationTypeError:
        return True


def instantiated(primal: Any, tangent: Any) -> Any:
    """Return a tangent that is no symbolic zero; of integers that of no inner product."""
    if not jnp.issubdtype(jnp.result_type(primal), jnp.inexact):
        return np.zeros(np.shape(primal), jax.dtypes.float0)
    return ad.instantiate_zeros(tangent)


def is_active(tangent: Any) -> bool:
    """Return whether a tangent is one: no symbolic zero, and not that of an integer."""
    return type(tangent) is not ad.Zero and getattr(tangent, "dtype", None) != jax.dtypes.float0


def stopped(values: Sequence[Any]) -> list[Any]:
    """Return values that nothing is differentiated in."""
    return [jax.lax.stop_gradient(x) for x in values]
