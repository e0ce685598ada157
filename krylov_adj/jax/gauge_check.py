"""JAX: does a loss depend on what an invariant subspace leaves arbitrary?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..forward.gauge_check import GaugeDependence, gauge_dependence

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
        Named tuple (phase, cluster, basis): ``|f′ − f|`` over the larger of both. Rounding leaves a few ε of the terms
        that the loss is made of. A function of the subspace, and of H in whatever basis, has three such numbers.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a loss that is not one real number.
    TypeError
        X or H is traced.

    Derivative
    ----------
    None: values only.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> A = jnp.diag(jnp.array([1.0, 1.0, 2.0, 5.0, 6.0]))
    >>> X, H = kj.invariant_subspace(A, k=3, which="SA", hermitian=True)
    >>> legal = kj.check_gauge(lambda X, H: jnp.trace(H @ H) + (X @ X.T)[0, 1], X, H)
    >>> print(max(legal) < 1e-5)
    True
    >>> print(kj.check_gauge(lambda X, H: H[0, 0], X, H).basis > 1e-3)
    True
    """
    X, H = _values(X, "X"), _values(H, "H")
    return gauge_dependence(lambda X, H: np.asarray(loss(jnp.asarray(X), jnp.asarray(H))), X, H, rng)


def _values(x: Any, name: str) -> np.ndarray:
    if isinstance(x, jax.core.Tracer):
        raise TypeError(f"{name} is traced: check_gauge looks at values, call it outside of jit, grad and vmap")
    return np.asarray(x)
