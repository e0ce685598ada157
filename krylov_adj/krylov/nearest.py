"""Has T an eigenvalue next to θ? Arnoldi from a random vector, one Krylov space for several θ.

A solver of (T − θ) s = b cannot tell when b happens to lie in the range of a singular T − θ: it returns
one of many solutions, with a small residual. A random vector r has a share of about ‖r‖/√n outside of
every such range. So GMRES on (T − θ) s = r reduces its residual below that share only where no
eigenvalue is next to θ; where one is, the smallest singular value of H̲ − θ I̲ falls to its distance, and
the singular vector becomes its eigenvector. (Avron, Druinsky & Toledo, arXiv:1301.1107, estimate the
smallest singular value of a matrix from a random right-hand side, too.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import small
from .orthogonal import KrylovProcess
from .space import Space

Array = np.ndarray

#: A residual below this part of a random vector's typical share in one direction, 1/√n, leaves no room for
#: an eigenvector: fewer than one real vector in a thousand has a smaller share, and one complex in 10⁶.
SHARE = 1e-3

#: Steps between extractions.
EVERY = 2

#: Singular values are looked at where one such interval leaves more than this part of the residual.
SLOW = 0.5


def nearest(
    space: Space,
    apply: Callable[[Array], Array],
    start: Array,
    deflated: Array,
    theta: Array,
    tolerance: Array,
    dimension: int,
) -> dict[int, Array]:
    """Approximate eigenvectors of T for those θ_i that have an eigenvalue within ``tolerance`` of them, or may have.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(v)`` is T v, for single vectors.
    start : ndarray, shape (n,)
        Random; complex where T or ``deflated`` is.
    deflated : ndarray, shape (n, d)
        An orthonormal basis of what ``start`` is orthogonal to, and the space is kept orthogonal to.
    theta, tolerance : ndarray, shape (m,)
    dimension : int
        Largest dimension of the space. What is not decided by then is among the results.
    """
    theta = theta if np.any(np.imag(theta)) else np.real(theta)
    local, d = deflated.shape
    n = space.size(local)
    most = min(dimension, n - d)
    process = KrylovProcess(space, apply, start, deflated, most, most)
    open_ = list(range(theta.size))
    found: dict[int, Array] = {}
    earlier = np.full(theta.size, np.inf)
    enough = SHARE / np.sqrt(n)
    for m in range(1, most + 1):
        process.step()
        last = process.closed or m == most
        if m % EVERY and not last:
            continue
        for i in list(open_):
            K = process.H[: m + 1, :m] - theta[i] * np.eye(m + 1, m)
            # GMRES' residual for r = V e₁: what of e₁ is outside of the range of K.
            outside = float(abs(small.full_qr(space, K)[0][0, m]))
            done, slow, earlier[i] = outside <= enough, outside > SLOW * earlier[i], outside
            if not (done or slow or last):
                break  # the others can wait for this one
            # Rounding solves a singular system, too, and then a singular value shows it.
            distance, coefficients = small.smallest_singular(space, K)
            if distance <= tolerance[i] or (last and not done):
                found[i] = coefficients @ process.V[:m]
            elif not done:
                break
            open_.remove(i)
        if not open_ or last:
            break
    return found
