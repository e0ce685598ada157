"""Has T other eigenvalues in a region? Krylov polynomials from a random vector, where the known ones are deflated.

A Krylov process from r makes vectors v_j = π_j(T) r with polynomials π_j, of degree j, that its recurrence coefficients
give: π_j h_{j+1,j} = z π_{j−1} − Σ h_{ij} π_i. Let y be a left eigenvector of T, ‖y‖ = 1, for the eigenvalue ζ. Then

    yᴴ v_j = π_j(ζ) yᴴ r,

and since consecutive v_j are orthonormal, |yᴴ r|² Σ |π_j(ζ)|² ≤ 1, T Hermitian or not, normal or not. A random unit
vector has a share |yᴴ r| of about 1/√n of every y. So once the sum says that the share of an eigenvector at ζ would
have to be far less than that, there is none. In the interior of a region in which π_j has no zero (no Ritz value),
|π_j| is nowhere less than on its boundary (minimum principle), of which some points are looked at.

The recurrence need not be long: v_j is orthogonal to the last few of the others only, which is all of them for a
Hermitian T, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import small
from .orthogonal import KrylovProcess
from .space import Space

Array = np.ndarray

#: What a share may be, over 1/√n, for an eigenvector to be ruled out: fewer than one in a thousand is smaller, of real
#: vectors and (the squares of two numbers have to be small) of complex ones.
SHARE = {"f": 1e-3, "c": 3e-2}

#: The same for one in twenty: an eigenvector that is not ruled out so far may well be there.
LIKELY = {"f": 5e-2, "c": 2e-1}


#: A Ritz value has nearly converged where its residual is this part of its distance to the others.
ALONE = 1e-2


@dataclass(frozen=True)
class Outlook:
    """The outcome of a search.

    Attributes
    ----------
    settled : bool
        There is no eigenvector at any of the points, and no Ritz value in the region.
    likely : bool
        There may well be one.
    value : complex
        The Ritz value that is most likely it.
    vector : ndarray, shape (n,)
        Its Ritz vector; where the space's vectors are gone the last of them, in which there is more of it than of
        others.
    residual : float
        ‖T x − z x‖, infinite where the vectors are gone.
    """

    settled: bool
    likely: bool
    value: complex
    vector: Array
    residual: float


class Polynomials:
    """A Krylov process with T on the complement of ``deflated`` (n, d), and its polynomials at some points."""

    def __init__(
        self,
        space: Space,
        apply: Callable[[Array], Array],
        start: Array,
        deflated: Array,
        points: Array,
        window: int,
        most: int,
    ):
        start = start - space.overlaps(deflated.T, start) @ deflated.T
        self.process = KrylovProcess(space, apply, start, deflated, window, most)
        self.points = points
        self.values = np.ones((most + 1, points.size), complex)  # π_j
        self.open = np.ones(points.size, dtype=bool)  # no more is known of a point that is ruled out

    @property
    def m(self) -> int:
        return self.process.m

    @property
    def closed(self) -> bool:
        """The space has a part of every eigenvector."""
        return self.process.closed

    def step(self) -> None:
        m, H = self.m, self.process.H
        held = self.process.step()
        if not self.closed:
            images = self.points * self.values[m] - H[held, m] @ self.values[held]
            self.values[self.m] = np.where(self.open, images / np.real(H[m + 1, m]), 0)

    def sums(self) -> Array:
        """Σ |π_j|² over vectors that are orthonormal, at all points."""
        return np.sum(np.abs(self.values[max(self.m - self.process.window, 0) : self.m + 1]) ** 2, axis=0)

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values, their residuals, and their vectors' coefficients."""
        H = self.process.H
        z, S = small.eig(self.process.space, H[: self.m, : self.m])
        return z, abs(H[self.m, self.m - 1]) * np.abs(S[-1]), S

    def vector(self, s: Array) -> Array | None:
        """A Ritz vector; None where the first vectors are gone."""
        if self.m > self.process.window:
            return None
        x = s @ self.process.V[: self.m]
        return x / self.process.space.norm(x)


def look_outside(
    space: Space,
    apply: Callable[[Array], Array],
    start: Array,
    deflated: Array,
    points: Array,
    depth: Callable[[Array], Array],
    bounded: bool,
    window: int,
    budget: int,
    most: int,
) -> Outlook:
    """Whether T has eigenvectors for eigenvalues at some points or in a region, on the complement of known ones.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(v)`` is T v, for single vectors.
    start : ndarray, shape (n,)
        Random; complex where T, or what is deflated, is.
    deflated : ndarray, shape (n, d)
        An orthonormal basis of a space that T maps into itself.
    points : ndarray, shape (p,)
    depth : callable
        ``depth(z)`` is how far inside of the region values are, negative outside.
    bounded : bool
        The region is inside of T's spectrum: Ritz values pass through it that are none.
    window : int
        Vectors that are kept.
    budget, most : int
        Steps without and with something that may well be there.
    """
    n, d = space.size(deflated.shape[0]), deflated.shape[1]
    kind, most, check = start.dtype.kind, min(most, n - d), 1
    polynomials = Polynomials(space, apply, start, deflated, points, window, most)
    while True:
        polynomials.step()
        m, sums = polynomials.m, polynomials.sums()
        polynomials.open &= sums < (n - d) / SHARE[kind] ** 2
        if m < (budget if polynomials.open.any() else check) and m < most and not polynomials.closed:
            continue
        check = m + max(2, m // 8)
        z, residuals, S = polynomials.ritz()
        inside = depth(z)
        there = np.flatnonzero(inside >= 0)
        # So deep inside that its residual does not reach out; or all that there is.
        certain = there[(residuals[there] <= inside[there]) | polynomials.closed]
        settled = (
            not certain.size and (polynomials.closed or not polynomials.open.any()) and (bounded or not there.size)
        )
        likely = bool(np.any(sums[polynomials.open] < (n - d) / LIKELY[kind] ** 2)) or (there.size > 0 and not bounded)
        likely = likely or _arriving(z, residuals, inside)
        if settled or certain.size or m == most or (m >= budget and not likely):
            candidates = certain if certain.size else there if there.size else np.arange(z.size)
            best = candidates[np.argmax(inside[candidates])]
            x = polynomials.vector(S[:, best])
            residual = np.inf if x is None else float(residuals[best])
            last = polynomials.process.last if x is None else x
            return Outlook(settled, bool(certain.size) or likely, complex(z[best]), last, residual)


def _arriving(z: Array, residuals: Array, inside: Array) -> bool:
    """Whether a Ritz value that has nearly converged, apart from the others, may end in the region."""
    distances = np.abs(z[:, None] - z)
    np.fill_diagonal(distances, np.inf)
    return bool(np.any((residuals <= ALONE * np.min(distances, axis=1)) & (inside + residuals >= 0)))
