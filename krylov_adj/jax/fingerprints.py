"""Jaxprs as keys: two are equal where they compute the same from the same operands.

The text of a jaxpr does not tell callbacks apart (addresses print alike), nor the arrays that inner jaxprs hold: here
functions count by identity, numbers by their bits, and inner arrays are lifted or count by identity.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, subjaxprs

__all__ = ["calls_host", "fingerprint", "with_lifted_arrays"]

#: Calls whose inner jaxprs hold arrays, and which mean no more than their bodies.
CALLS = ("jit", "pjit", "closed_call", "core_call")


class _Identity:
    """An object that equals itself alone, kept alive by the key it is in."""

    def __init__(self, thing: Any):
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.thing is other.thing


def fingerprint(jaxpr: Any) -> Hashable:
    """Return the key of a jaxpr."""
    numbers: dict[Any, int] = {}

    def name(atom: Any) -> Hashable:
        if isinstance(atom, Literal):
            value = np.asarray(atom.val)
            return str(atom.aval), value.dtype.str, value.tobytes()
        return numbers.setdefault(atom, len(numbers))

    inputs = tuple((name(v), str(v.aval)) for v in (*jaxpr.constvars, *jaxpr.invars))
    equations = tuple(
        (
            _Identity(equation.primitive),
            tuple(name(atom) for atom in equation.invars),
            tuple((name(atom), str(atom.aval)) for atom in equation.outvars),
            tuple((key, _frozen(value)) for key, value in sorted(equation.params.items())),
        )
        for equation in jaxpr.eqns
    )
    return inputs, equations, tuple(name(atom) for atom in jaxpr.outvars)


def _frozen(value: Any) -> Hashable:
    """Return a parameter of an equation as a key."""
    if isinstance(value, ClosedJaxpr):
        return fingerprint(value.jaxpr), tuple(_Identity(const) for const in value.consts)
    if isinstance(value, Jaxpr):
        return fingerprint(value)
    if isinstance(value, tuple | list):
        return type(value).__name__, tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in sorted(value.items()))
    if isinstance(value, np.ndarray | jax.Array):
        return _Identity(value)
    try:
        hash(value)
    except TypeError:
        return _Identity(value)
    return type(value), value


def with_lifted_arrays(closed: Any) -> Any:
    """Return a closed jaxpr with the arrays that its compiled functions hold among its own constants.

    A ``jax.jit`` function keeps arrays of its closure inside of its own jaxpr, where two of them look alike.
    """
    if not _holds_arrays(closed.jaxpr):
        return closed
    avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars]
    return jax.make_jaxpr(lambda *given: _inlined(closed.jaxpr, closed.consts, given))(*avals)


def _holds_arrays(jaxpr: Any) -> bool:
    """Return whether a call inside of the jaxpr holds arrays."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in CALLS:
            inner = _body(equation)
            if inner.consts or _holds_arrays(inner.jaxpr):
                return True
    return False


def calls_host(jaxpr: Any) -> bool:
    """Return whether a callback is in the jaxpr, or in what it calls."""
    if any("callback" in equation.primitive.name for equation in jaxpr.eqns):
        return True
    return any(calls_host(inner) for inner in subjaxprs(jaxpr))


def _body(equation: Any) -> Any:
    """Return the closed jaxpr of a call."""
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())


def _inlined(jaxpr: Any, consts: Any, given: Any) -> list[Any]:
    """Evaluate a jaxpr with the bodies of its calls in their places."""
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *given), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        if equation.primitive.name in CALLS:
            inner = _body(equation)
            outputs = _inlined(inner.jaxpr, inner.consts, inputs)
        else:
            variables = list(dict.fromkeys(atom for atom in equation.invars if not isinstance(atom, Literal)))
            alone = jaxpr.replace(constvars=[], invars=variables, outvars=equation.outvars, eqns=[equation])
            outputs = jax.core.eval_jaxpr(alone, (), *map(read, variables))
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
