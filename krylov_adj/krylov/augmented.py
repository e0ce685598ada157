"""The shared Krylov space without an inverse: which polynomial filter, if any.

Where A is Hermitian and the eigenvalues in hand lie at an end of its spectrum (or at both), the
ones that were not computed fill an interval [a, b] between. The Chebyshev polynomial q = T_d of [a, b] is at
most one there and grows quickly outside: q(A) has the wanted shifts as far apart from the rest, in
relative terms, as d steps of the Krylov process could make them, and its Krylov space needs d times fewer vectors to
be stored and to be kept orthogonal (polynomial preconditioning: Embree, Loe & Morgan, SIAM J. Sci. Comput.
43 (2021) A1). b is bounded by a few Lanczos steps (Zhou & Li, J. Chem. Phys. 134 (2011) 244106); a is put
where |q(λ)| is `EDGE` at the innermost λ. Eigenvalues outside of [a, b] cost steps, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import small
from .precision import Precision
from .space import Space
from .spectral_forms import Filtered

Array = np.ndarray
#: Bound below, smallest and largest Ritz value, bound above.
Ends = tuple[float, float, float, float]

#: |q| at the innermost eigenvalue in hand. Between 1.5 and 6 the number of applications hardly changes.
EDGE = 2.5

#: Degrees are odd, so that eigenvalues at both ends (±λ) stay apart, and at most this large.
LARGEST_DEGREE = 31

#: Nor larger than n over this: without a filter a space of n vectors has every solution, so that one of twenty
#: filtered vectors must not take more than 2n applications.
APPLICATIONS = 10

#: Lanczos steps for the ends of the spectrum.
LANCZOS_STEPS = 12

#: Of the start vector.
SEED = 11


def spectral_ends(
    space: Space, apply: Callable[[Array], Array], deflated: Array, dtype: np.dtype
) -> tuple[float, float, float, float]:
    """The extreme Ritz values of a Hermitian A, and bounds of its spectrum beyond them.

    On the complement of an orthonormal ``deflated`` (n, d), by Lanczos from a fixed pseudo-random vector. The
    bounds lie outside of the extreme Ritz values by the largest of all Ritz vectors' residuals: the extreme
    one's own is too small, and q = T_d grows fast on what lies outside.
    """
    n, d = deflated.shape
    v = space.random(n, dtype, SEED)
    steps = min(LANCZOS_STEPS, space.size(n) - d)
    basis: list[Array] = []
    alpha, beta = np.zeros(steps), np.zeros(steps)
    for j in range(steps):
        v = space.project_out(deflated, v)
        for u in basis:
            v = v - u * space.dot(u, v)
        norm = space.norm(v)
        if j:
            beta[j - 1] = norm
            if norm <= Precision.of(v.dtype).eps * np.max(np.abs(alpha)):
                steps = j
                break
        v = v / norm
        basis.append(v)
        v = apply(v)
        alpha[j] = np.real(space.dot(basis[-1], v))
    v = space.project_out(deflated, v)
    for u in basis:
        v = v - u * space.dot(u, v)
    left = space.norm(v)
    ritz, S = small.eigh_tridiagonal(space, alpha[:steps], beta[: steps - 1])
    reach = left * float(np.max(np.abs(S[-1])))
    return float(ritz[0]) - reach, float(ritz[0]), float(ritz[-1]), float(ritz[-1]) + reach


def filtered_form(space: Space, apply: Callable[[Array], Array], n: int, theta: Array, ends: Ends | None) -> Filtered:
    """The form for shifts θ; ``ends`` of the spectrum of a Hermitian operator of order n, None for another operator."""
    spread = float(np.max(np.abs(theta[:, None] - theta)))
    extent = 0.5 * spread or 1e-2 * float(np.max(np.abs(theta))) or 1.0
    if ends is None:
        return Filtered(space, apply, extent)
    lower, smallest, largest, upper = ends
    below, above = theta[theta < smallest], theta[theta > largest]
    width = upper - lower
    if below.size + above.size < theta.size or not width > 0:
        return Filtered(space, apply, extent)
    gaps = [np.ptp(group) / (group.size - 1) for group in (below, above) if group.size > 1]
    gap = max([1e-3 * width] if not any(gaps) else [1e-4 * width, *gaps])
    degree = 2 * int(min(0.3 * np.sqrt(width / gap), LARGEST_DEGREE, n / APPLICATIONS) / 2) + 1
    x = float(np.cosh(np.arccosh(EDGE) / degree))  # |q| is EDGE at centre ± x · halfwidth
    if below.size and above.size:
        centre = 0.5 * float(below.max() + above.min())
        halfwidth = 0.5 * float(above.min() - below.max()) / x
    elif below.size:
        edge = float(below.max())
        halfwidth = (upper - edge) / (1 + x)
        centre = upper - halfwidth
    else:
        edge = float(above.min())
        halfwidth = (edge - lower) / (1 + x)
        centre = lower + halfwidth
    return Filtered(space, apply, max(extent, 1e-3 * (x - 1) * halfwidth), centre, halfwidth, degree)
