"""Functions of small Hermitian matrices on plain values, and what is asked of H and F, for front ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..krylov.precision import Precision
from ..krylov.small import eigh, norm
from ..krylov.space import WHOLE
from ..report.spectral_messages import function_is_not_elementwise, function_is_not_finite, not_hermitian
from .functions import Derivatives, divided_differences, multilinear_map

__all__ = [
    "Form",
    "broadcast_values",
    "check_elementwise",
    "check_hermitian",
    "check_values",
    "eigh_in_double",
    "map_of_values",
    "sum_of_values",
]

Array = np.ndarray

#: In the path of a `Form`: a derivative by x.
BY_X = -1


@dataclass(frozen=True)
class Form:
    """Which map D_m: of a derivative of F(x, a₁ … a_q), with m matrices E.

    Attributes
    ----------
    F : callable
    order, scalars : int
        m and q.
    path : tuple of int
        F has been differentiated by the arguments with these numbers, or by x (BY_X).
    """

    F: Callable[..., Any]
    order: int
    scalars: int
    path: tuple[int, ...] = ()

    def split(self, args: Any) -> tuple[list[Any], list[Any]]:
        """Return E₁ … E_m and a₁ … a_q of what follows H."""
        return list(args[: self.order]), list(args[self.order : self.order + self.scalars])

    def by_argument(self, j: int) -> Form:
        """Return the map of ∂F/∂aⱼ."""
        return replace(self, path=(*self.path, j))

    def by_x(self) -> Form:
        """Return the map of F′."""
        return replace(self, path=(*self.path, BY_X))

    def next_order(self) -> Form:
        """Return the map with one matrix more."""
        return replace(self, order=self.order + 1)


def broadcast_values(y: Any, x: Array) -> Array:
    """Return what F returns at x, broadcast: constants serve."""
    if np.shape(y) not in ((), np.shape(x)):
        raise ValueError(function_is_not_elementwise(f"it returns the shape {np.shape(y)} for {np.shape(x)}"))
    return np.asarray(np.broadcast_to(y, np.shape(x)))


def eigh_in_double(H: Array) -> tuple[Array, Array]:
    """Return eigenvalues, rising, and eigenvectors in double precision."""
    return eigh(WHOLE, H.astype(np.result_type(H, np.float64)))


def map_of_values(derivatives: Derivatives, H: Array, blocks: list[Array], order: int) -> Array:
    """Return D_m(H; E₁ … E_m), (k, k), in H's precision; complex where H, a block or F is.

    Raises
    ------
    ValueError
        Where F, or a derivative of F that is needed, is not finite.
    """
    w, Q = eigh_in_double(H)
    with np.errstate(all="ignore"):
        table = divided_differences(derivatives, w, order)
    bad = ~np.isfinite(table)
    if bad.any():
        raise ValueError(function_is_not_finite(order, w[np.unique(np.argwhere(bad))]))
    result = multilinear_map(table, Q, blocks)
    dtype = np.result_type(H, *blocks)
    return np.asarray(result.astype(np.result_type(dtype, np.complex64) if np.iscomplexobj(result) else dtype))


def sum_of_values(derivatives: Derivatives, H: Array) -> Any:
    """Return Σ F(wᵢ). To sum them makes fewer roundings than the trace of F(H).

    Raises
    ------
    ValueError
        Where F is not finite.
    """
    w, _ = eigh_in_double(H)
    values = derivatives(0, w)
    if not np.all(np.isfinite(values)):
        raise ValueError(function_is_not_finite(0, w[~np.isfinite(values)]))
    total, real = np.sum(values), np.real(np.zeros(0, H.dtype)).dtype
    return total.astype(np.result_type(real, np.complex64) if np.iscomplexobj(total) else real)


def check_hermitian(H: Array) -> None:
    """Raise ValueError where H is not square, not finite, or differs from its Hermitian part by more than rounding."""
    if H.ndim != 2 or H.shape[0] != H.shape[1] or not H.size:
        raise ValueError(f"H must be a square matrix, not of shape {H.shape}")
    if not np.all(np.isfinite(H)):
        raise ValueError("H holds NaN or infinity")
    scaled = H / max(np.max(np.abs(H)), Precision.of(np.float64).tiny)  # squares may not overflow
    difference = norm(scaled - scaled.conj().T)
    if difference > Precision.of(np.result_type(H, np.float32)).half * norm(scaled):
        raise ValueError(not_hermitian(difference / norm(scaled)))


def check_elementwise(F: Callable[[Array], Array], w: Array) -> None:
    """Raise ValueError where F of plain values is not finite at the eigenvalues w (k,), or not elementwise."""
    with np.errstate(all="ignore"):
        values = broadcast_values(F(w), w)
        alone = [broadcast_values(F(w[i : i + 1]), w[i : i + 1])[0] for i in (0, -1 % w.size)]
    check_values(w, values, np.array(alone))


def check_values(w: Array, values: Array, alone: Array) -> None:
    """Raise ValueError for ``values`` (k,) of F at w that are not finite, or others ``alone`` at the first and last."""
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(function_is_not_finite(0, w[bad]))
    difference = np.max(np.abs(alone - values[[0, -1]]))
    if not difference <= Precision.of(w.dtype).half * np.max(np.abs(values)):
        raise ValueError(function_is_not_elementwise(f"F(x)[i] and F(x[i]) differ by {difference:.1e}"))
