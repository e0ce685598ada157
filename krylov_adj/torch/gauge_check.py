"""PyTorch: does a loss depend on what an invariant subspace leaves arbitrary?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..forward.gauge_check import GaugeDependence, gauge_dependence
from .attached import plain_argument
from .namespace import to_numpy, to_tensor

__all__ = ["check_gauge"]


def check_gauge(loss: Callable[[Any, Any], Any], X: Any, H: Any, rng: Any = None) -> GaugeDependence:
    """Measure how much a loss of (X, H) depends on the basis: the derivative's check sees its first order only.

    An entry of H in the eigenbasis changes in second order only, and at H = λI not at all. This evaluates the loss
    instead, for this H and for another one next to it.

    Parameters
    ----------
    loss : callable
        ``loss(X, H)`` of tensors, a real number.
    X : tensor, shape (n, k)
    H : tensor, shape (k, k)
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
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> A = torch.diag(torch.tensor([1.0, 1.0, 2.0, 5.0, 6.0], dtype=torch.float64))
    >>> X, H = kt.invariant_subspace(A, k=3, which="SA", hermitian=True)
    >>> legal = kt.check_gauge(lambda X, H: torch.trace(H @ H) + (X @ X.T)[0, 1], X, H)
    >>> print(max(legal) < 1e-12)
    True
    >>> print(kt.check_gauge(lambda X, H: H[0, 0], X, H).basis > 1e-3)
    True
    """
    device = X.device if isinstance(X, torch.Tensor) else None
    X, H = (np.asarray(plain_argument(t, name)) for t, name in ((X, "X"), (H, "H")))

    def plain(X: Any, H: Any) -> Any:
        value = loss(to_tensor(X, device), to_tensor(H, device))
        return to_numpy(value) if isinstance(value, torch.Tensor) else value

    with torch.no_grad():
        return gauge_dependence(plain, X, H, rng)
