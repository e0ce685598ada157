"""autograd: the array namespace, and primitives of maps that know plain arrays only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad as gradient
from autograd.extend import defjvp, defvjp, primitive

from .trace import UNTRACED, levels, strip

__all__ = ["apply_constant", "beside", "deepest_level", "gradient", "hermitian_entries", "xp"]

#: The array namespace whose functions take arrays and Boxes alike.
xp = anp


def deepest_level(*operators: Any) -> int:
    """The highest level of a Box in what operators return, `UNTRACED` without one; an application each."""
    given = [operator for operator in operators if operator is not None]
    outputs = [operator._apply(np.ones(operator.shape[1], operator.dtype)) for operator in given]
    return max(levels(*outputs), default=UNTRACED)


# --------------------------------------------------------------------------------------------
# Constant operators applied to traced vectors.
# --------------------------------------------------------------------------------------------


@primitive
def apply_constant(X: Any, apply: Callable[[Any], Any], adjoint: Callable[[Any], Any]) -> Any:
    """apply(X), for a linear map that knows plain arrays only."""
    return apply(X)


defvjp(
    apply_constant,
    lambda ans, X, apply, adjoint: lambda g: _like(X, anp.conj(apply_constant(anp.conj(g), adjoint, apply))),
)
defjvp(apply_constant, lambda g, ans, X, apply, adjoint: apply_constant(g, apply, adjoint))


def _like(X: Any, g: Any) -> Any:
    return g if np.iscomplexobj(strip(X)) else anp.real(g)


# --------------------------------------------------------------------------------------------
# What has no derivative, beside what has one.
# --------------------------------------------------------------------------------------------


@primitive
def beside(part: Any, given: np.ndarray, kept: np.ndarray, reason: str) -> Any:
    """``given`` with ``part`` in place of the columns ``kept``; to read the others' derivative is an error.

    ``reason`` is its text.
    """
    whole = given.astype(np.result_type(given, part))
    whole[..., kept] = part
    return whole


def _beside_vjp(ans: Any, part: Any, given: np.ndarray, kept: np.ndarray, reason: str) -> Callable[[Any], Any]:
    def vjp(g: Any) -> Any:
        if np.delete(strip(g), kept, axis=-1).any():
            raise ValueError(reason)
        return g[..., kept]

    return vjp


def _beside_jvp(g: Any, ans: Any, part: Any, given: np.ndarray, kept: np.ndarray, reason: str) -> Any:
    raise ValueError(reason)  # whatever is read: tangents are those of all


defvjp(beside, _beside_vjp, argnums=[0])
defjvp(beside, _beside_jvp, argnums=[0])


# --------------------------------------------------------------------------------------------
# Entries of Hermitian matrices.
# --------------------------------------------------------------------------------------------


@primitive
def hermitian_entries(entries: Any, mirror: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The entries of a Hermitian matrix A as those of H = ½(A + Aᴴ), which they are.

    ``mirror`` puts every entry in the place of its mirror image at the diagonal, and is its own inverse.
    """
    return entries


@primitive
def symmetrised(entries: Any, mirror: Callable[[np.ndarray], np.ndarray]) -> Any:
    """½(1 + conj ∘ mirror), of which the tangent and, for df = Re Σ g dz, the cotangent map is the same map."""
    mean = np.conj(mirror(entries), order="C")
    mean += entries
    mean *= 0.5
    return mean


for function in (hermitian_entries, symmetrised):
    defvjp(function, lambda ans, entries, mirror: lambda g: symmetrised(g, mirror), argnums=[0])
    defjvp(function, lambda g, ans, entries, mirror: symmetrised(g, mirror), argnums=[0])
