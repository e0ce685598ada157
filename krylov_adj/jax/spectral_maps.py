"""Functions of small Hermitian matrices as primitives of JAX, and the derivatives of F that they need.

`map_p` is D_m(H; E₁ … E_m) of `perturbation/functions.py`, whose derivatives in both modes are maps D of the next
order, of F or of its derivatives by its scalar arguments; it is linear in every E, and transposed by the trace
identity. It has to be a primitive of its own: JAX takes rules of `custom_jvp` apart where it linearises, and would
differentiate the eigenvectors in them. F is differentiated by forward mode. All of it is compiled, and needs no host,
but for a look at the values of H and F.
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

from ..perturbation.functions import divided_differences, multilinear_map
from ..perturbation.spectral_values import BY_X, Form
from .fingerprints import fingerprint
from .primitives import batch_one_by_one, is_active
from .reading import read_function
from .staging import checked

__all__ = ["Elementwise", "look", "map_p", "trace_p"]

Array = np.ndarray


class Elementwise:
    """F(x, *args); functions of the same code with the same numbers in it are equal, and share compiled programs.

    Attributes
    ----------
    traced : bool
        It reads a traced array from its closure.
    """

    def __init__(self, F: Callable[..., Any], avals: tuple[Any, ...]):
        closed = read_function(F, avals)
        self.function = F
        self.results = [(aval.shape, aval.dtype) for aval in closed.out_avals]
        self.traced = any(isinstance(const, jax.core.Tracer) for const in closed.consts)
        held = () if self.traced else tuple(_frozen(const) for const in closed.consts)
        self.key = fingerprint(closed.jaxpr), held

    def __call__(self, x: Any, *args: Any) -> Any:
        return jnp.broadcast_to(self.function(x, *args), x.shape)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Elementwise) and self.key == other.key


def _frozen(const: Any) -> Any:
    values = np.asarray(const)
    return values.dtype.str, values.shape, values.tobytes()


def _derivatives(form: Form, scalars: Sequence[Any]) -> Callable[[int, Any], Any]:
    """Return (m, x) ↦ F⁽ᵐ⁾(x)."""

    def evaluate(m: int, x: Any) -> Any:
        function: Callable[..., Any] = form.F
        for j in (*form.path, *[BY_X] * m):
            function = partial(_slope, function, 0 if j == BY_X else j + 1)
        return function(x, *scalars)

    return evaluate


def _slope(function: Callable[..., Any], number: int, *args: Any) -> Any:
    """Return the derivative of every result by the argument with this number."""

    def of_one(s: Any) -> Any:
        return function(*args[:number], s, *args[number + 1 :])

    return jax.jvp(of_one, (args[number],), (jnp.ones_like(args[number]),))[1]


def _real(dtype: Any) -> np.dtype:
    return np.zeros(0, dtype).real.dtype


def _in_double(H: Any) -> Any:
    """Return H in double precision, where JAX has it."""
    return H.astype(jax.dtypes.canonicalize_dtype(np.result_type(H.dtype, np.float64)))


def _is_complex(form: Form, H: Any, a: Sequence[Any]) -> bool:
    """Return whether F is, for operands or their shapes."""
    dtype = jax.dtypes.canonicalize_dtype(np.result_type(_real(H.dtype), np.float64))
    given = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (jnp.zeros(1, dtype), *a)]
    found = jax.eval_shape(lambda x, *a: _derivatives(form, a)(0, x), *given)
    return bool(jnp.issubdtype(found.dtype, jnp.complexfloating))


def _type_of_map(form: Form, H: Any, rest: Sequence[Any]) -> np.dtype:
    E, a = form.split(rest)
    dtype = np.result_type(H.dtype, *(B.dtype for B in E))
    return np.result_type(dtype, np.complex64) if _is_complex(form, H, a) else dtype


def _type_of_trace(form: Form, H: Any, a: Sequence[Any]) -> np.dtype:
    return np.result_type(_real(H.dtype), np.complex64) if _is_complex(form, H, a) else _real(H.dtype)


# ---- the maps --------------------------------------------------------------------------------------


def _map(H: Any, *rest: Any, form: Form) -> list[Any]:
    E, a = form.split(rest)
    w, Q = jnp.linalg.eigh(_in_double(H))
    table = divided_differences(_derivatives(form, a), w, form.order, jnp)
    return [multilinear_map(table, Q, E, jnp).astype(_type_of_map(form, H, rest))]


map_p = core.Primitive("krylov_adj_spectral_map")
map_p.multiple_results = True
map_p.def_impl(jax.jit(_map, static_argnames="form"))
map_p.def_abstract_eval(lambda H, *rest, form: [jax.core.ShapedArray(H.shape, _type_of_map(form, H, rest))])
mlir.register_lowering(map_p, mlir.lower_fun(_map, multiple_results=True))
batching.primitive_batchers[map_p] = partial(batch_one_by_one, map_p)


def _bound(form: Form, H: Any, *rest: Any) -> Any:
    return map_p.bind(H, *rest, form=form)[0]


def _map_jvp(primals: Any, tangents: Any, *, form: Form) -> Any:
    H, *rest = primals
    E, a = form.split(rest)
    result, (dH, *others) = _bound(form, *primals), tangents
    terms: list[Any] = []
    if is_active(dH):
        terms += [_bound(form.next_order(), H, *E[:i], dH, *E[i:], *a) for i in range(form.order + 1)]
    for p, d in enumerate(others[: form.order]):
        if is_active(d):
            terms.append(_bound(form, H, *E[:p], d, *E[p + 1 :], *a))
    for j, d in enumerate(others[form.order :]):
        if is_active(d):
            terms.append(d * _bound(form.by_argument(j), H, *E, *a))
    total = sum(terms[1:], terms[0]) if terms else jnp.zeros_like(result)
    return [result], [total.astype(result.dtype)]


def _map_transpose(cotangents: Any, H: Any, *rest: Any, form: Form) -> list[Any]:
    (p,) = [i for i, x in enumerate(rest) if ad.is_undefined_primal(x)]
    E, a = form.split(rest)
    G = ad.instantiate_zeros(cotangents[0]).T
    found = _bound(form, H, *E[p + 1 :], G, *E[:p], *a).T
    aval = rest[p].aval
    found = (found if jnp.issubdtype(aval.dtype, jnp.complexfloating) else jnp.real(found)).astype(aval.dtype)
    return [None, *(found if i == p else None for i in range(len(rest)))]


ad.primitive_jvps[map_p] = _map_jvp
ad.primitive_transposes[map_p] = _map_transpose


# ---- sums ------------------------------------------------------------------------------------------


def _trace(H: Any, *a: Any, form: Form) -> list[Any]:
    w = jnp.linalg.eigh(_in_double(H))[0]
    return [jnp.sum(_derivatives(form, a)(0, w)).astype(_type_of_trace(form, H, a))]


trace_p = core.Primitive("krylov_adj_spectral_sum")
trace_p.multiple_results = True
trace_p.def_impl(jax.jit(_trace, static_argnames="form"))
trace_p.def_abstract_eval(lambda H, *a, form: [jax.core.ShapedArray((), _type_of_trace(form, H, a))])
mlir.register_lowering(trace_p, mlir.lower_fun(_trace, multiple_results=True))
batching.primitive_batchers[trace_p] = partial(batch_one_by_one, trace_p)


def _trace_jvp(primals: Any, tangents: Any, *, form: Form) -> Any:
    (H, *a), (result,) = primals, trace_p.bind(*primals, form=form)
    terms: list[Any] = []
    if is_active(tangents[0]):
        total = jnp.sum(_bound(form.by_x(), H, *a).T * tangents[0])
        terms.append(total if jnp.iscomplexobj(result) else jnp.real(total))
    for j, d in enumerate(tangents[1:]):
        if is_active(d):
            terms.append(d * trace_p.bind(H, *a, form=form.by_argument(j))[0])
    return [result], [(sum(terms[1:], terms[0]) if terms else jnp.zeros_like(result)).astype(result.dtype)]


ad.primitive_jvps[trace_p] = _trace_jvp


# ---- a look at values ------------------------------------------------------------------------------

look_p = core.Primitive("krylov_adj_look")
look_p.multiple_results = True


def look(check: Callable[..., None], through: Any, *values: Any) -> Any:
    """Return an array as it is, after ``check(*values)`` on the host, which raises; no derivative sees that."""
    return look_p.bind(through, *map(jax.lax.stop_gradient, values), check=check)[0]


def _look_eagerly(through: Any, *values: Any, check: Callable[..., None]) -> list[Any]:
    check(*map(np.asarray, values))
    return [through]


def _look_staged(through: Any, *values: Any, check: Callable[..., None]) -> list[Any]:
    return [checked(check, through, *values)]


look_p.def_impl(_look_eagerly)
look_p.def_abstract_eval(lambda through, *values, check: [through])
mlir.register_lowering(look_p, mlir.lower_fun(_look_staged, multiple_results=True))
batching.primitive_batchers[look_p] = partial(batch_one_by_one, look_p)


def _look_jvp(primals: Any, tangents: Any, *, check: Callable[..., None]) -> Any:
    return look_p.bind(*primals, check=check), [ad.instantiate_zeros(tangents[0])]


ad.primitive_jvps[look_p] = _look_jvp
