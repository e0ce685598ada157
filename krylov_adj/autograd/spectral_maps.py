"""autograd: the primitives of functions of small Hermitian matrices, and the derivatives of F that they need.

`spectral_map` is D_m(H; E₁ … E_m) of `perturbation/functions.py`, whose derivatives in both modes are maps D of the
next order, of F or of its derivatives by its scalar arguments. autograd differentiates F by forward mode, inside of the
primitive, on plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp_argnum, defvjp_argnum, primitive

from ..perturbation.spectral_values import broadcast_values, map_of_values, sum_of_values
from .trace import UNTRACED, derivative, levels, strip

__all__ = ["Form", "Function", "spectral_map", "spectral_trace"]

#: F(x, *args), elementwise.
Function = Callable[..., Any]


# --------------------------------------------------------------------------------------------
# Derivatives of F.
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """Which map: of F(x, a₁ … a_q), with m matrices E."""

    F: Function
    order: int
    scalars: int

    def split(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return (E₁ … E_m) and (a₁ … a_q) of what follows H."""
        return args[: self.order], args[self.order : self.order + self.scalars]

    def derivatives(self, scalars: tuple[Any, ...]) -> Callable[[int, np.ndarray], np.ndarray]:
        """Return (m, x) ↦ F⁽ᵐ⁾(x)."""

        def evaluate(m: int, x: np.ndarray) -> np.ndarray:
            function = partial(_with_scalars, self.F, scalars)
            for _ in range(m):
                function = partial(_slope, function)
            with np.errstate(all="ignore"):
                return broadcast_values(function(x), x)

        return evaluate

    def by_argument(self, j: int) -> Form:
        """Return the map of ∂F/∂aⱼ."""
        return Form(partial(_slope_of_argument, self.F, j), self.order, self.scalars)

    def by_x(self) -> Form:
        """Return the map of F′."""
        return Form(partial(_slope_of_x, self.F), self.order, self.scalars)

    def next_order(self) -> Form:
        """Return the map with one matrix more."""
        return Form(self.F, self.order + 1, self.scalars)


def _with_scalars(F: Function, scalars: tuple[Any, ...], x: Any) -> Any:
    return F(x, *scalars)


def _slope(function: Callable[[Any], Any], x: Any) -> Any:
    return derivative(function, x, max(levels(x), default=UNTRACED))


def _slope_of_x(F: Function, x: Any, *scalars: Any) -> Any:
    return derivative(lambda y: F(y, *scalars), x, max(levels(x, *scalars), default=UNTRACED))


def _slope_of_argument(F: Function, j: int, x: Any, *scalars: Any) -> Any:
    def function(a: Any) -> Any:
        return F(x, *scalars[:j], a, *scalars[j + 1 :])

    return derivative(function, scalars[j], max(levels(x, *scalars), default=UNTRACED))


# --------------------------------------------------------------------------------------------
# The primitives.
# --------------------------------------------------------------------------------------------


@primitive
def spectral_map(H: Any, *rest: Any) -> Any:
    """D_m(H; E₁ … E_m), ``rest`` being E₁ … E_m, a₁ … a_q and the `Form`."""
    form: Form = rest[-1]
    blocks, scalars = form.split(rest)
    return map_of_values(form.derivatives(scalars), H, list(blocks), form.order)


def _like(x: Any, g: Any) -> Any:
    return g if np.iscomplexobj(strip(x)) else anp.real(g)


def _map_vjp(argnum: int, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Callable[[Any], Any]:
    """df = Re Σ g dD = Re tr(gᵀ dD): the trace identity."""
    H, form = args[0], args[-1]
    E, a = form.split(args[1:])
    p = argnum - 1

    def by_matrix(g: Any) -> Any:
        G, longer = anp.transpose(g), form.next_order()
        terms = [spectral_map(H, *E[i:], G, *E[:i], *a, longer) for i in range(form.order + 1)]
        return _like(H, anp.transpose(sum(terms[1:], terms[0])))

    def by_block(g: Any) -> Any:
        return _like(E[p], anp.transpose(spectral_map(H, *E[p + 1 :], anp.transpose(g), *E[:p], *a, form)))

    def by_scalar(g: Any) -> Any:
        j = p - form.order
        return _like(a[j], anp.sum(g * spectral_map(H, *E, *a, form.by_argument(j))))

    return by_matrix if argnum == 0 else by_block if p < form.order else by_scalar


def _map_jvp(argnum: int, g: Any, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    H, form = args[0], args[-1]
    E, a = form.split(args[1:])
    p = argnum - 1
    if argnum == 0:
        terms = [spectral_map(H, *E[:i], g, *E[i:], *a, form.next_order()) for i in range(form.order + 1)]
        return sum(terms[1:], terms[0])
    if p < form.order:
        return spectral_map(H, *E[:p], g, *E[p + 1 :], *a, form)
    return g * spectral_map(H, *E, *a, form.by_argument(p - form.order))


@primitive
def spectral_trace(H: Any, *rest: Any) -> Any:
    """Σ F(wᵢ), ``rest`` being a₁ … a_q and the `Form`. To sum them makes fewer roundings than the trace of F(H)."""
    form: Form = rest[-1]
    return sum_of_values(form.derivatives(form.split(rest)[1]), H)


def _trace_vjp(argnum: int, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Callable[[Any], Any]:
    H, form = args[0], args[-1]
    a = form.split(args[1:])[1]
    if argnum == 0:
        return lambda g: _like(H, g * anp.transpose(spectral_map(H, *a, form.by_x())))
    return lambda g: _like(a[argnum - 1], g * spectral_trace(H, *a, form.by_argument(argnum - 1)))


def _trace_jvp(argnum: int, g: Any, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    H, form = args[0], args[-1]
    a = form.split(args[1:])[1]
    if argnum == 0:
        return _like(ans, anp.sum(anp.transpose(spectral_map(H, *a, form.by_x())) * g))
    return g * spectral_trace(H, *a, form.by_argument(argnum - 1))


defvjp_argnum(spectral_map, _map_vjp)
defjvp_argnum(spectral_map, _map_jvp)
defvjp_argnum(spectral_trace, _trace_vjp)
defjvp_argnum(spectral_trace, _trace_jvp)
