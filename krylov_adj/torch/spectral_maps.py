"""PyTorch: functions of small Hermitian matrices as Functions, and the derivatives of F that they need.

`SpectralMap` is D_m(H; E₁ … E_m) of `perturbation/functions.py`, whose derivatives in both modes are maps D of the next
order, of F or of its derivatives by its scalar arguments. F is differentiated inside, on plain numbers, by PyTorch's
reverse mode: element by element, as it is elementwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..perturbation.spectral_values import (
    BY_X,
    Form,
    broadcast_values,
    check_elementwise,
    check_hermitian,
    eigh_in_double,
    map_of_values,
    sum_of_values,
)
from .contraction import one_by_one
from .layers import check_batches
from .namespace import real_part, to_numpy, to_tensor, xp

__all__ = ["HermitianPart", "SpectralMap", "SpectralTrace", "Top"]

Array = np.ndarray


# ---- derivatives of F ------------------------------------------------------------------------------


def _derivatives(form: Form, scalars: Sequence[Any]) -> Callable[[int, Array], Array]:
    """Return (m, x) ↦ F⁽ᵐ⁾(x) of plain tensors a₁ … a_q."""

    def evaluate(m: int, x: Array) -> Array:
        with torch.inference_mode(False), torch.enable_grad():
            at = torch.from_numpy(np.array(x)).requires_grad_(bool(m or form.path))
            given = [a.detach().clone().requires_grad_(j in form.path) for j, a in enumerate(scalars)]
            y = form.F(at, *given)
            y = y if isinstance(y, torch.Tensor) else torch.as_tensor(y)
            if form.path or m:
                broadcast_values(to_numpy(y), x)
                y = y.expand(at.shape)
            for j in (*form.path, *[BY_X] * m):
                y = _slope(y, at) if j == BY_X else _slope_of_argument(y, given[j])
        return broadcast_values(to_numpy(y).astype(np.result_type(to_numpy(y), np.float64)), x)

    return evaluate


def _parts(y: Any) -> list[Any]:
    return [y.real, y.imag] if y.is_complex() else [y]


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else torch.complex(*parts)


def _gradient(total: Any, x: Any) -> Any:
    """Return that of a real number, zero where it does not depend on x."""
    found = None
    if total.requires_grad:
        (found,) = torch.autograd.grad(total, x, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def _slope(y: Any, x: Any) -> Any:
    """Return the derivative of every y[i] by x[i]."""
    return _joined([_gradient(part.sum(), x) for part in _parts(y)])


def _slope_of_argument(y: Any, a: Any) -> Any:
    """Return the derivative of every y[i] by a scalar: that of Σ v y by a, which is linear in v, by v.

    Of a complex scalar the gradient of a real part is the conjugate of the derivative of what is holomorphic.
    """
    v = torch.ones(y.shape, dtype=torch.float64, device=y.device, requires_grad=True)
    if a.is_complex():
        by_v = [_gradient(part, v) for part in _parts(_gradient(torch.sum(v * _parts(y)[0]), a))]
        return torch.complex(by_v[0], -by_v[1])
    return _joined([_gradient(_gradient(torch.sum(v * part), a), v) for part in _parts(y)])


# ---- Functions -------------------------------------------------------------------------------------


class HermitianPart(torch.autograd.Function):
    """½(H + Hᴴ), which is its own adjoint; where F is given, H and F are looked at."""

    @staticmethod
    def forward(form: Form | None, H: Any, *scalars: Any) -> Any:
        values = to_numpy(H)
        check_hermitian(values)
        if form is not None:
            evaluate = _derivatives(form, scalars)
            check_elementwise(lambda x: evaluate(0, x), eigh_in_double(values)[0])
        return 0.5 * (H + torch.conj_physical(H).T)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.scalars = len(inputs) - 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None, 0.5 * (g + xp.conj(g).T), *[None] * ctx.scalars

    @staticmethod
    def jvp(ctx: Any, _form: Any, dH: Any, *_scalars: Any) -> Any:
        return 0.5 * (dH + xp.conj(dH).T)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(HermitianPart, info, in_dims, arguments)


class Top(torch.autograd.Function):
    """The largest eigenvalue of H, as a constant; β is looked at."""

    @staticmethod
    def forward(H: Any, beta: Any) -> Any:
        value = to_numpy(beta)
        if not (np.isrealobj(value) and 0 < value < np.inf):
            raise ValueError(f"beta must be positive and finite, not {value}")
        return to_tensor(eigh_in_double(to_numpy(H))[0][-1], H.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(Top, info, in_dims, arguments)


def _like(x: Any, g: Any) -> Any:
    """Return a cotangent or tangent of x, in its type."""
    return (g if x.is_complex() else real_part(g)).to(x.dtype)


class SpectralMap(torch.autograd.Function):
    """D_m(H; E₁ … E_m), ``rest`` being E₁ … E_m and a₁ … a_q."""

    @staticmethod
    def forward(form: Form, H: Any, *rest: Any) -> Any:
        E, a = form.split(rest)
        found = map_of_values(_derivatives(form, a), to_numpy(H), [to_numpy(B) for B in E], form.order)
        return to_tensor(found, H.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.form = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        """df = Re tr(gᴴ dD), by the trace identity."""
        check_batches(g)
        (H, *rest), form, needs = ctx.saved_tensors, ctx.form, ctx.needs_input_grad[1:]
        E, a = form.split(rest)
        m, G, found = form.order, xp.conj(g).T, [None] * (1 + len(rest))
        if needs[0]:
            terms = [SpectralMap.apply(form.next_order(), H, *E[i:], G, *E[:i], *a) for i in range(m + 1)]
            found[0] = _like(H, xp.conj(sum(terms[1:], terms[0])).T)
        for p in range(m):
            if needs[1 + p]:
                found[1 + p] = _like(E[p], xp.conj(SpectralMap.apply(form, H, *E[p + 1 :], G, *E[:p], *a)).T)
        for j in range(form.scalars):
            if needs[1 + m + j]:
                by_a = SpectralMap.apply(form.by_argument(j), H, *E, *a)
                found[1 + m + j] = _like(a[j], torch.sum(g * xp.conj(by_a)))
        return None, *found

    @staticmethod
    def jvp(ctx: Any, _form: Any, dH: Any, *tangents: Any) -> Any:
        (H, *rest), form = ctx.saved_tensors, ctx.form
        E, a = form.split(rest)
        terms: list[Any] = []
        if dH is not None:
            terms += [SpectralMap.apply(form.next_order(), H, *E[:i], dH, *E[i:], *a) for i in range(form.order + 1)]
        for p, d in enumerate(tangents[: form.order]):
            if d is not None:
                terms.append(SpectralMap.apply(form, H, *E[:p], d, *E[p + 1 :], *a))
        for j, d in enumerate(tangents[form.order :]):
            if d is not None:
                terms.append(d * SpectralMap.apply(form.by_argument(j), H, *E, *a))
        return sum(terms[1:], terms[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(SpectralMap, info, in_dims, arguments)


class SpectralTrace(torch.autograd.Function):
    """Σ F(wᵢ) as a function of H and a₁ … a_q."""

    @staticmethod
    def forward(form: Form, H: Any, *a: Any) -> Any:
        return to_tensor(sum_of_values(_derivatives(form, a), to_numpy(H)), H.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.form, ctx.real = inputs[0], not output.is_complex()
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        check_batches(g)
        H, *a = ctx.saved_tensors
        found: list[Any] = [None] * (1 + len(a))
        if ctx.needs_input_grad[1]:
            found[0] = _like(H, g * xp.conj(SpectralMap.apply(ctx.form.by_x(), H, *a)).T)
        for j, scalar in enumerate(a):
            if ctx.needs_input_grad[2 + j]:
                by_a = SpectralTrace.apply(ctx.form.by_argument(j), H, *a)
                found[1 + j] = _like(scalar, g * xp.conj(by_a))
        return None, *found

    @staticmethod
    def jvp(ctx: Any, _form: Any, dH: Any, *tangents: Any) -> Any:
        H, *a = ctx.saved_tensors
        terms: list[Any] = []
        if dH is not None:
            terms.append(torch.sum(SpectralMap.apply(ctx.form.by_x(), H, *a).T * dH))
        for j, d in enumerate(tangents):
            if d is not None:
                terms.append(d * SpectralTrace.apply(ctx.form.by_argument(j), H, *a))
        total = sum(terms[1:], terms[0])
        return real_part(total) if ctx.real else total

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(SpectralTrace, info, in_dims, arguments)
