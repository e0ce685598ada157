"""A function F of one or more arrays as a map of one vector, and its Jacobian.

Complex arrays. F that is complex-linear in du (holomorphic) has a complex Jacobian, and its vector is complex. Any
other F of complex u, such as |u|² u, is a map of real and imaginary parts: its vector has those, array by array, and
its Jacobian is real. Which of both it is, is measured: DF(i v) = i DF(v), at u and at a point beside it, as a
derivative may happen to be complex-linear at u itself (|u|² u at zero) while the next one is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..forward.operands import check_numbers, named_boxes
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..report.root_messages import sizes_differ
from .elementary import xp
from .trace import UNTRACED, is_box, levels, pullback, pushforward, strip, without_boxes

__all__ = ["Layout", "Residual", "make_residual"]

#: Of the vectors that F is tried with.
SEED = 23


@dataclass(frozen=True)
class Layout:
    """Where the arrays of u stand in one vector.

    Attributes
    ----------
    shapes : tuple of shapes
    complexes : tuple of bool
        Which arrays are complex.
    split : bool
        Complex arrays stand as real parts, then imaginary parts; otherwise all are of one type.
    several : bool
        u is a tuple of arrays.
    """

    shapes: tuple[tuple[int, ...], ...]
    complexes: tuple[bool, ...]
    split: bool
    several: bool

    def arrays(self, z: Any) -> Any:
        """Return u, one array or a tuple, of its vector."""
        parts, start = [], 0
        for shape, is_complex in zip(self.shapes, self.complexes, strict=True):
            size = int(np.prod(shape, dtype=int))
            part, start = xp.reshape(z[start : start + size], shape), start + size
            if is_complex and self.split:
                part, start = part + 1j * xp.reshape(z[start : start + size], shape), start + size
            parts.append(part)
        return tuple(parts) if self.several else parts[0]

    def norms(self, z: np.ndarray) -> np.ndarray:
        """Return the norm of each array of a vector."""
        arrays = self.arrays(z)
        return np.array([WHOLE.norm(np.ravel(array)) for array in (arrays if self.several else [arrays])])


def join(parts: list[Any], split: bool) -> Any:
    """Return arrays as one vector, real and imaginary parts of complex ones one after the other where ``split``."""
    pieces: list[Any] = []
    for part in parts:
        flat = xp.reshape(part, (-1,))
        pieces += [xp.real(flat), xp.imag(flat)] if split and np.iscomplexobj(strip(part)) else [flat]
    return pieces[0] if len(pieces) == 1 else xp.concatenate(pieces)


@dataclass(frozen=True, eq=False)
class Residual:
    """F as a map of vectors of order n, and the products with its Jacobian J = dF/du at a point z.

    Attributes
    ----------
    F : callable
        The user's.
    layout : Layout
    n : int
    dtype : dtype
        Of the vectors.
    deepest : int
        The highest level of a Box in F's closure.
    """

    F: Callable[[Any], Any]
    layout: Layout
    n: int
    dtype: np.dtype
    deepest: int

    def __call__(self, z: Any) -> Any:
        with named_boxes():
            image = self.F(self.layout.arrays(z))
        return join(_arrays_of(image, "F(u)", self.layout.several), self.layout.split)

    def push(self, z: Any, v: Any) -> Any:
        """J v, by forward mode; where F has no forward mode, as the transpose of Jᵀ."""
        try:
            return pushforward(self, z, v, self.deepest)
        except NotImplementedError as error:
            if "JVP" not in str(error):
                raise
        deepest = max([self.deepest, *levels(z, v)])

        def transposed(g: Any) -> Any:
            back = pullback(self, z, self.deepest)
            return np.zeros_like(strip(z)) if back is None else back(g)

        twice = pullback(transposed, np.zeros(self.n, self.dtype), deepest)
        return np.zeros_like(strip(v)) if twice is None else twice(v)

    def pull(self, z: Any) -> Callable[[Any], Any]:
        """Return v ↦ Jᴴ v = conj(Jᵀ conj(v)), which records F at z once."""
        back = pullback(self, z, self.deepest)
        if back is None:
            return lambda v: np.zeros_like(strip(v))
        return lambda v: xp.conj(back(xp.conj(v)))

    def on_values(self) -> Residual:
        """The same with fewer Boxes in F's closure."""
        return Residual(without_boxes(self.F) or self.F, self.layout, self.n, self.dtype, self.deepest)


def _arrays_of(given: Any, name: str, several: bool) -> list[Any]:
    if isinstance(given, (tuple, list)) != several:
        expected = "a tuple of arrays, as u is" if several else "one array, as u is"
        raise TypeError(f"{name} must be {expected}, not {type(strip(given)).__name__}")
    parts = list(given) if several else [given]
    parts = [part if is_box(part) else np.asarray(part) for part in parts]
    for part in parts:
        values = np.asarray(strip(part))
        check_numbers(values)
        if values.dtype.kind not in "biufc":
            raise TypeError(f"{name} must be made of numbers, not of dtype {values.dtype}")
    return parts


def make_residual(F: Callable[[Any], Any], u: Any) -> tuple[Residual, np.ndarray, Any]:
    """Return F as a map of vectors, the vector of u, and F there, with its Boxes.

    Raises
    ------
    TypeError
        An F that is not callable, or does not return what u is.
    ValueError
        NaN or infinity, or another number of equations than of unknowns.
    """
    if not callable(F):
        raise TypeError(f"F must be a function of u, not {type(F).__name__}")
    several = isinstance(u, (tuple, list))
    parts = [np.asarray(strip(part)) for part in _arrays_of(u, "u", several)]
    if not parts:
        raise ValueError("u is an empty tuple")
    dtype = np.result_type(*parts, np.float32)
    dtype = dtype if dtype.kind in "fc" else np.dtype(float)
    precision = np.finfo(dtype).dtype
    parts = [part.astype(np.result_type(precision, part) if part.dtype.kind == "c" else precision) for part in parts]
    complexes = tuple(part.dtype.kind == "c" for part in parts)
    shapes = tuple(part.shape for part in parts)
    with named_boxes():
        image = F(tuple(parts) if several else parts[0])
    image = _arrays_of(image, "F(u)", several)
    for name, arrays in (("u", parts), ("F(u)", image)):
        if not all(np.all(np.isfinite(strip(array))) for array in arrays):
            raise ValueError(f"{name} holds NaN or infinity")

    def made(split: bool) -> tuple[Residual, np.ndarray]:
        z = join(parts, split)
        deepest = max(levels(*image), default=UNTRACED)
        return Residual(F, Layout(shapes, complexes, split, several), z.size, z.dtype, deepest), z

    holomorphic = all(complexes) and all(np.iscomplexobj(strip(array)) for array in image)
    residual, z = made(split=any(complexes) and not holomorphic)
    value = join(image, residual.layout.split)
    if holomorphic and value.size == z.size and not _is_complex_linear(residual.on_values(), z):
        residual, z = made(split=True)
        value = join(image, True)
    if value.size != z.size:
        raise ValueError(sizes_differ(value.size, z.size, residual.layout.split))
    return residual, z, value


def _is_complex_linear(residual: Residual, z: np.ndarray) -> bool:
    """DF(i v) = i DF(v) to rounding, at z and beside it."""
    precision = Precision.of(z.dtype)
    v, w = (WHOLE.random(z.size, z.dtype, seed) for seed in (SEED, SEED + 1))
    size = WHOLE.norm(z) or 1.0  # at zero any length is as good as another: F is tried, nothing is compared with it
    for point in (z, z + precision.few_digits * size / WHOLE.norm(w) * w):
        images = [np.asarray(strip(residual.push(point, factor * v))) for factor in (1, 1j)]
        difference = WHOLE.norm(images[1] - 1j * images[0])
        if not difference <= 1e3 * precision.eps * WHOLE.norm(images[0]):
            return False
    return True
