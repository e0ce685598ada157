"""PyTorch: the array namespace that the maps of the core are written in, and tensors as plain arrays and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .layers import strip

__all__ = ["NUMPY_TYPES", "TORCH_TYPES", "detached", "real_part", "to_numpy", "to_tensor", "xp"]

Array = np.ndarray

#: The types that are computed in.
NUMPY_TYPES: dict[Any, np.dtype] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
    torch.complex64: np.dtype(np.complex64),
    torch.complex128: np.dtype(np.complex128),
}
TORCH_TYPES = {array: tensor for tensor, array in NUMPY_TYPES.items()}


def to_numpy(t: Any) -> Array:
    """Return the values of a tensor as a plain array, which shares its memory where it can."""
    # Solvers come here with every vector: nothing is called that does nothing.
    if t.requires_grad:
        t = t.detach()
    if t.is_conj() or t.is_neg():
        t = t.resolve_conj().resolve_neg()
    if t.device.type != "cpu":
        t = t.cpu()
    if t._is_zerotensor():  # of tangents that PyTorch knows to be zero: without memory
        t = torch.zeros(t.shape, dtype=t.dtype)
    array: Array = strip(t).numpy()
    return array


def to_tensor(a: Any, device: Any = None) -> Any:
    """Return a plain array as a tensor of its own, in rows."""
    return torch.from_numpy(np.array(a, order="C")).to(device)


def real_part(x: Any) -> Any:
    """Return the real part; x itself where it is real."""
    return x.real if x.is_complex() else x


def detached(x: Any) -> Any:
    """Return the tensor without derivatives of any kind."""
    return None if x is None else x.detach()


class Conjugate(torch.autograd.Function):
    """The complex conjugate, in memory of its own.

    PyTorch's lazy conjugates have views (of imaginary parts) that vmap does not know, and it takes
    `torch.conj_physical` apart, with a warning.
    """

    @staticmethod
    def forward(x: Any) -> Any:
        return torch.conj_physical(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return Conjugate.apply(g)

    @staticmethod
    def jvp(ctx: Any, dx: Any) -> Any:
        return Conjugate.apply(dx)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any) -> Any:
        return Conjugate.apply(x), in_dims[0]


class Namespace:
    """The functions that `perturbation/maps.py` and `perturbation/rounding.py` call, in torch's words."""

    abs, sqrt, diag, zeros_like = torch.abs, torch.sqrt, torch.diag, torch.zeros_like
    real = staticmethod(real_part)

    @staticmethod
    def conj(x: Any) -> Any:
        return Conjugate.apply(x) if x.is_complex() else x

    @staticmethod
    def imag(x: Any) -> Any:
        return real_part(-1j * x) if x.is_complex() else torch.zeros_like(x)

    @staticmethod
    def sum(x: Any, axis: int) -> Any:
        return torch.sum(x, axis)

    @staticmethod
    def dot(x: Any, y: Any) -> Any:
        return x @ y

    @staticmethod
    def concatenate(parts: Sequence[Any]) -> Any:
        dtype = parts[0].dtype
        for part in parts[1:]:
            dtype = torch.promote_types(dtype, part.dtype)
        return torch.cat([part.to(dtype) for part in parts])


xp = Namespace
