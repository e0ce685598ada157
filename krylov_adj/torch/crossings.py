"""PyTorch: generalised gradients where eigenvalues meet, from H(p) of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..perturbation.cluster_model import ClusterGradient, matrix_of
from ..perturbation.spectral_values import check_hermitian
from .attached import plain_tensor
from .namespace import to_numpy, to_tensor

__all__ = ["cluster_gradient"]


def cluster_gradient(H_of_p: Callable[[Any], Any], p: Any) -> ClusterGradient:
    """The generalised gradient (Clarke's) of eigenvalues that coincide, or nearly, at the parameters p.

    A multiple eigenvalue has no gradient: its members have one-sided derivatives, the eigenvalues of a matrix S(d), in
    each direction d. A descent method needs no more than H(p) of the cluster has: those derivatives, the direction of
    steepest descent, and the step of a proximal model.

    Parameters
    ----------
    H_of_p : callable
        p ↦ H, shape (m, m), Hermitian, whose eigenvalues are those of the *whole* cluster and of nothing else; or
        p ↦ (X, H), of which X is not read. Written with `torch`; smooth in p. As derivatives at p are all that
        is asked, XᴴA(p)X serves too, with orthonormal vectors X that span the cluster's eigenspace at p, held fixed.
    p : tensor
        Real parameters of any shape.

    Returns
    -------
    ClusterGradient
        With H(p) evaluated, and ready for its derivatives. All that it takes and returns are NumPy arrays.

    Raises
    ------
    ValueError
        p is complex; H is not square, finite and Hermitian.

    Derivative
    ----------
    None: its results are constants. It takes reverse and forward mode of H(p). GaugeWarnings of these derivatives are
    silenced, as S*(Y) reads the cluster as a whole for every Y; those of other calls, other threads' and every other
    warning are given.

    References
    ----------
    Overton, SIAM J. Optim. 2 (1992) 88. Lewis, Math. Oper. Res. 21 (1996) 576. docs/derivation.md.

    Examples
    --------
    The largest eigenvalue of diag(p) where two entries are the largest: steepest descent lowers both.

    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> def H(p):
    ...     return torch.stack([p[0], p[2], p[2], p[1]]).reshape(2, 2)
    >>> c = kt.cluster_gradient(H, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    >>> g, Y, size, certificate = c.minimal_norm()
    >>> print(g.round(12), round(size, 6), certificate < 1e-12)
    [0.5 0.5 0. ] 0.707107 True
    """
    p = plain_tensor(p, "p")
    if p.is_complex():
        raise ValueError("p must be real: pass real and imaginary parts as parameters of their own")
    p = p if p.is_floating_point() else p.to(torch.float64)

    def matrix(q: Any) -> Any:
        return matrix_of(H_of_p(q))

    with torch.enable_grad():
        H, vjp = torch.func.vjp(matrix, p)
    values = to_numpy(H.detach())
    check_hermitian(values)

    def push(d: np.ndarray) -> np.ndarray:
        return to_numpy(torch.func.jvp(matrix, (p,), (to_tensor(d, p.device),))[1])

    part = 0.5 * (values + values.conj().T)
    return ClusterGradient(to_numpy(p), part, lambda Y: to_numpy(vjp(to_tensor(Y, H.device))[0]), push)
