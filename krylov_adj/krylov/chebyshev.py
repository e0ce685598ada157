"""Chebyshev polynomials of an operator that make one end of its spectrum large, and where to put them.

The polynomial T_d of an interval [a, b] is at most one there and grows quickly outside. Lanczos with q(A) = T_d
in the place of A sees the wanted eigenvalues, outside of the interval, as far apart from the rest as d steps with A
would make them, and has d times fewer vectors to store, to orthogonalise and to restart (polynomial
preconditioning: Embree, Loe & Morgan, SIAM J. Sci. Comput. 43 (2021) A1; Chebyshev filters: Zhou, Saad, Tiago &
Chelikowsky, J. Comput. Phys. 219 (2006) 172).

The interval's inner edge has to lie beyond the k-th eigenvalue, which is not known. The Gauss quadrature of a
few Lanczos steps from a random vector tells how many eigenvalues there are up to any point, to within a
factor that does not matter here (Lin, Saad & Yang, SIAM Review 58 (2016) 34, call it a density of states). Where it
does not resolve that end of the spectrum, its own outermost Ritz value is an edge that does no harm, and the same
quadrature of q(A) has a finer one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from . import small
from .lanczos import Lanczos
from .ordering import LargestInModulus, Ordering
from .precision import Precision

Array = np.ndarray

#: q of the outermost eigenvalue. Less takes more vectors and hardly fewer applications, 8 a twelfth more of these.
GROWTH = 3.0

LARGEST_DEGREE = 100

#: Lanczos steps of the first look at the spectrum.
LOOK = 30


@dataclass(frozen=True)
class Chebyshev:
    """q(z) = T_d(x), x = (z − centre)/halfwidth; a negative halfwidth has x > 1 below the interval.

    ``both``: eigenvalues are wanted on both sides of an interval around zero. The degree is odd then, so that q has the
    sign of z, and λ and −λ stay apart.
    """

    centre: float
    halfwidth: float
    degree: int
    both: bool = False

    @property
    def edge(self) -> float:
        """The end of the interval next to the wanted eigenvalues."""
        return self.centre + self.halfwidth

    def extended(self) -> Chebyshev:
        """The interval longer by a hundredth at the other end, for a spectrum that has moved a little."""
        more = 0.01 * self.halfwidth
        return replace(self, centre=self.centre - more, halfwidth=self.halfwidth + more)

    def apply(self, operator: Callable[[Array], Array], v: Array) -> Array:
        """q(A) v by the three-term recurrence."""
        before, now = v, self._mapped(operator, v, 1.0)
        for _ in range(self.degree - 1):
            after = self._mapped(operator, now, 2.0)
            after -= before
            before, now = now, after
        return now

    def _mapped(self, operator: Callable[[Array], Array], v: Array, factor: float) -> Array:
        # The image may be the operator's own array.
        w = operator(v) - v.dtype.type(self.centre) * v
        w *= v.dtype.type(factor / self.halfwidth)
        return w

    @property
    def wanted(self) -> Ordering:
        """Which values of q(A) are."""
        return LargestInModulus() if self.both else Ordering()

    def outside(self, z: Array) -> Array:
        """Whether z is out of the interval, where eigenvalues are wanted."""
        x = (z - self.centre) / self.halfwidth
        return (np.abs(x) if self.both else x) > 1

    def inverse(self, q: Array) -> Array:
        """The z of x ≥ 1 with q(z) = q; the edge of the interval for q < 1. Of ``both`` sides, with the sign of q."""
        x = np.cosh(np.arccosh(np.maximum(self.wanted.key(q), 1.0)) / self.degree)
        return self.centre + self.halfwidth * (np.copysign(x, q) if self.both else x)

    def slope(self, z: Array) -> Array:
        """|q′(z)| for x ≥ 1."""
        x = np.maximum(self.wanted.key((z - self.centre) / self.halfwidth), 1.0)
        t = np.arccosh(x)
        steep = np.where(t > 0, np.sinh(self.degree * t) / np.where(t > 0, np.sinh(t), 1), self.degree)
        return self.degree * steep / abs(self.halfwidth)


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of A, −A or |A|, as a few Lanczos steps from a random vector know it: wanted ones are largest.

    Attributes
    ----------
    ritz : ndarray
        Ritz values, largest first.
    count : ndarray
        About how many eigenvalues there are from each Ritz value on.
    lower : float
        A bound below the spectrum; of |A| zero.
    norm : float
        ‖A‖, from above.
    settled : bool
        The largest Ritz value is an eigenvalue.
    """

    ritz: Array
    count: Array
    lower: float
    norm: float
    settled: bool

    def multiple(self, k: int) -> bool:
        """Whether the largest eigenvalue is so many times there that the k-th is the same."""
        return self.settled and bool(self.count[0] >= wanted_count(k))

    def clustered(self) -> bool:
        """Whether few Ritz values are far from the wanted end: Krylov spaces find outliers, polynomials do not."""
        width = self.ritz[0] - self.ritz[-1]
        return bool(3 * np.count_nonzero(self.ritz < self.ritz[0] - 0.1 * width) <= self.ritz.size)


def survey(space: Lanczos, side: int) -> Spectrum:
    """Return the spectrum of ``side`` (1 or −1) times T, or of |T| (0), as a random vector's Krylov space knows it."""
    precision, H = Precision.of(space.V.dtype), space.H[: space.m, : space.m]
    ritz, S = small.eigh(space.space, H)
    ritz = side * ritz if side else np.abs(ritz)
    order = np.argsort(-ritz, kind="stable")
    ritz, weights, residuals = ritz[order], S[0, order] ** 2, space.beta * np.abs(S[-1, order])
    reach = float(np.max(residuals))
    # Values that came again, of multiple eigenvalues.
    apart = max(precision.half * (ritz[0] - ritz[-1]), precision.tied * np.max(np.abs(ritz)))
    first = np.append(0, 1 + np.flatnonzero(ritz[:-1] - ritz[1:] > apart))
    ritz, weights, residuals = ritz[first], np.add.reduceat(weights, first), np.minimum.reduceat(residuals, first)
    # The extreme Ritz vector's own residual is too small a margin: q grows fast on what lies outside.
    lower = float(ritz[-1] - reach) if side else 0.0
    settled = bool(ritz.size > 1 and residuals[0] <= 1e-3 * (ritz[0] - ritz[1]))
    norm = max(abs(lower), abs(float(ritz[0]) + reach))
    return Spectrum(ritz, counts(weights, space.space.size(space.V.shape[1])), lower, norm, settled)


def counts(weights: Array, n: int) -> Array:
    """Return how many of n eigenvalues lie above each node of a Gauss quadrature, with half of the node's own."""
    return n * (np.cumsum(weights) - 0.5 * weights)


def wanted_count(k: int) -> int:
    """Return how many eigenvalues the filter is to leave outside of its interval.

    More than k, because their count is a statistical one; those past the k-th cost steps, not applications.
    """
    return 3 * k + 5


def design(ritz: Array, count: Array, lower: float, k: int, side: int, multiple: bool = False) -> Chebyshev:
    """The filter for the k largest eigenvalues of ``side`` A, or of |A| (0), as a `Spectrum` has ``ritz``, ``count``.

    ``multiple``: the largest Ritz value is an eigenvalue, and they are all the same.
    """
    wanted = wanted_count(k)
    resolved = count[0] < wanted
    edge = float(np.interp(wanted, count, ritz)) if resolved else float(ritz[0])
    top = float(ritz[0])
    if multiple:
        edge = 0.5 * float(ritz[0] + ritz[1])
    elif ritz.size > 1 and (not resolved or top - edge < 0.3 * (ritz[0] - ritz[1])):
        # Eigenvalues go on past the outermost Ritz value, about as densely as they are next to it.
        beyond = count[0] * (ritz[0] - ritz[1]) / max(count[1] - count[0], 1.0)
        top += float(min(beyond, ritz[0] - ritz[1]))
    width = edge - lower if side else 2 * edge
    x = 1 + 2 * max((top - edge) / width, Precision.of(float).eps)
    degree = int(np.clip(np.arccosh(GROWTH) / np.arccosh(x), 1, LARGEST_DEGREE))
    if not side:
        return Chebyshev(0.0, edge, degree - 1 + degree % 2, both=True)
    return Chebyshev(side * 0.5 * (edge + lower), side * 0.5 * width, degree)


def identity_filter(lower: float, width: float, side: int) -> Chebyshev:
    """No filter: a linear map of the spectrum of ``side`` A, from ``lower`` on, to [2, 3]."""
    return Chebyshev(side * (lower - 2 * width), side * width, 1)


def widened(q: Chebyshev, outermost: float) -> Chebyshev:
    """The filter with its inner edge twice as far from the outermost eigenvalue, and at least as far as q resolves.

    Where the interval would be empty, no filter at all.
    """
    if q.both:
        moved = max(abs(outermost) - q.edge, 5 / q.degree**2 * q.halfwidth)
        half = q.halfwidth - moved
        return replace(q, halfwidth=half) if half > 0 else Chebyshev(0.0, abs(outermost) / GROWTH, 1, both=True)
    moved = max(abs(outermost - q.edge), 5 / q.degree**2 * abs(q.halfwidth))
    if not moved < 2 * abs(q.halfwidth):
        lower, side = q.centre - q.halfwidth, 1 if q.halfwidth > 0 else -1
        return identity_filter(side * lower, 2 * abs(q.halfwidth) + moved, side)
    half = float(np.copysign(0.5 * moved, q.halfwidth))
    return replace(q, centre=q.centre - half, halfwidth=q.halfwidth - half)
