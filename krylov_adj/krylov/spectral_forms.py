"""The operators whose Krylov space the systems of several pairs share, see `krylov.shared`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .space import Space

Array = np.ndarray


class Form(Protocol):
    """M̂, or q(M̂), and what its small problem means."""

    @property
    def degree(self) -> int:
        """Applications of the operator for each vector of the space."""
        ...

    def scale(self, theta: Array) -> float:
        """ω."""

    def reference(self, omega: float) -> float:
        """The sizes that residuals of the small problem are relative to."""

    def shift(self, theta: Array) -> Array:
        """q(θ)."""

    def factor(self, theta: Array) -> Array:
        """γ."""

    @property
    def of_image(self) -> bool:
        """u is T s, not s."""
        ...

    def product(self, top: Array, bottom: Array, C: Array, J: Array) -> tuple[Array | None, Array]:
        """Return the map that makes u, None for s or T s; and the top of q(M̂) v."""

    @property
    def exact(self) -> bool:
        """The small problem's residuals are the true ones, of systems that are well conditioned."""
        ...

    def residual(self, u: Array, theta: Any, b: Array) -> Array | None:
        """b − (A − λ) u, or None where the small problem's is the true one."""


@dataclass(frozen=True)
class ShiftInvert:
    """T = B S from ``solve`` (S v) and ``image`` (B z), None for B = I."""

    space: Space
    solve: Callable[[Array], Array]
    image: Callable[[Array], Array] | None
    degree: int = 1
    exact: bool = True

    @property
    def of_image(self) -> bool:
        return self.image is None

    def scale(self, theta: Array) -> float:
        return float(np.max(np.abs(theta)))

    def reference(self, omega: float) -> float:
        return omega

    def shift(self, theta: Array) -> Array:
        return theta

    def factor(self, theta: Array) -> Array:
        return theta

    def product(self, top: Array, bottom: Array, C: Array, J: Array) -> tuple[Array | None, Array]:
        below = C @ bottom
        if not self.space.any(top):  # the first vector
            return None if self.image is None else top, below
        z = self.solve(top)
        return (None, z + below) if self.image is None else (z, self.image(z) + below)

    def residual(self, u: Array, theta: Any, b: Array) -> Array | None:
        return None


@dataclass(frozen=True)
class Filtered:
    """T = A with the Chebyshev polynomial q(z) = T_d((z − centre)/halfwidth); degree 1 is M̂ itself, scaled.

    ``extent`` is the scale of the shifts.
    """

    space: Space
    apply: Callable[[Array], Array]
    extent: float
    centre: float = 0.0
    halfwidth: float = 1.0
    degree: int = 1
    of_image: bool = False
    exact: bool = False

    def scale(self, theta: Array) -> float:
        return self.extent

    def reference(self, omega: float) -> float:
        # A guess for a true filter, whose steps are dear: ‖r_i(A) c_i‖ for typical values between 0 and |q(θ_i)|.
        return (omega if self.degree == 1 else 10 * omega) / self.halfwidth

    def shift(self, theta: Array) -> Array:
        x = (theta - self.centre) / self.halfwidth
        before, now = np.ones_like(x), x
        for _ in range(self.degree - 1):
            before, now = now, 2 * x * now - before
        return now

    def factor(self, theta: Array) -> Array:
        return -np.ones_like(theta)

    def product(self, top: Array, bottom: Array, C: Array, J: Array) -> tuple[Array | None, Array]:
        t_old, s_old = top, bottom
        t, s = self._once(top, bottom, C), self._moved(J, bottom)
        for _ in range(self.degree - 1):
            t_next = self._once(t, s, C)
            t_next *= 2
            t_next -= t_old
            t_old, s_old, t, s = t, s, t_next, 2 * self._moved(J, s) - s_old
        return None, t

    def _once(self, top: Array, bottom: Array, C: Array) -> Array:
        t = C @ bottom
        if self.space.any(top):
            t += self.apply(top)
            if self.centre != 0:
                t -= self.centre * top
        if self.halfwidth != 1:
            t *= 1 / self.halfwidth  # of complex numbers, a division is several times as dear
        return t

    def _moved(self, J: Array, bottom: Array) -> Array:
        return (J @ bottom - self.centre * bottom) / self.halfwidth

    def residual(self, u: Array, theta: Any, b: Array) -> Array | None:
        return None if self.degree == 1 else b - self.apply(u) + theta * u
