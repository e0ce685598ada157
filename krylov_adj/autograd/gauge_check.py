"""Does a loss depend on what an invariant subspace leaves arbitrary? By evaluating it in other bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..forward.gauge_check import GaugeDependence, gauge_dependence
from .trace import strip

__all__ = ["check_gauge"]


def check_gauge(loss: Callable[[Any, Any], Any], X: Any, H: Any, rng: Any = None) -> GaugeDependence:
    """Measure how much a loss of (X, H) depends on the basis: the derivative's check sees its first order only.

    An entry of H in the eigenbasis changes in second order only, and at H = λI not at all. This evaluates the loss
    instead, for this H and for another one next to it.

    Parameters
    ----------
    loss : callable
        ``loss(X, H)``, a real number.
    X : array, shape (n, k)
    H : array, shape (k, k)
        An invariant subspace, as of `invariant_subspace`. For a loss of eigenpairs take H = diag(w).
    rng : Generator or int, optional
        Of the phases and rotations; by default they are the same in every call.

    Returns
    -------
    GaugeDependence
        Named tuple (phase, cluster, basis): ``|f′ − f|`` over the larger of both. Rounding leaves about 1e-15 of the
        terms that the loss is made of. A function of the subspace, and of H in whatever basis, has three such numbers.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a loss that is not one real number.

    Derivative
    ----------
    None: values only.

    Examples
    --------
    >>> import numpy
    >>> import krylov_adj as ka
    >>> A = numpy.diag([1.0, 1.0, 2.0, 5.0, 6.0])
    >>> X, H = ka.invariant_subspace(A, k=3, which="SA", v0=numpy.arange(1.0, 6.0), hermitian=True)
    >>> legal = ka.check_gauge(lambda X, H: numpy.trace(H @ H) + (X @ X.T)[0, 1], X, H)
    >>> print(max(legal) < 1e-12)
    True
    >>> print(ka.check_gauge(lambda X, H: H[0, 0], X, H).basis > 1e-3)
    True
    """
    return gauge_dependence(lambda X, H: strip(loss(X, H)), np.asarray(strip(X)), np.asarray(strip(H)), rng)
