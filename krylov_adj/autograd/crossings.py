"""autograd: generalised gradients where eigenvalues meet, from H(p) of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd import make_jvp, make_vjp

from ..perturbation.cluster_model import ClusterGradient, matrix_of
from .spectral import hermitian_part
from .trace import is_box

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
        p ↦ (X, H), of which X is not read. Written with `autograd.numpy`; smooth in p. As derivatives at p are all that
        is asked, XᴴA(p)X serves too, with orthonormal vectors X that span the cluster's eigenspace at p, held fixed.
    p : array
        Real parameters of any shape.

    Returns
    -------
    ClusterGradient
        With H(p) evaluated, and ready for its derivatives.

    Raises
    ------
    ValueError
        p is complex; H is not square, finite and Hermitian.
    TypeError
        H depends on traced parameters besides p: generalised gradients have no derivatives here.

    Derivative
    ----------
    None: call it outside of differentiated functions. It takes autograd's reverse mode of H(p), in ``matrix`` its
    forward mode (where a function in it has none, reverse mode as often as there are numbers in H). GaugeWarnings of
    these derivatives are silenced, as S*(Y) reads the cluster as a whole for every Y; those of other calls, other
    threads' and every other warning are given.

    References
    ----------
    Overton, SIAM J. Optim. 2 (1992) 88. Lewis, Math. Oper. Res. 21 (1996) 576. docs/derivation.md.

    Examples
    --------
    The largest eigenvalue of diag(p) where two entries are the largest: steepest descent lowers both.

    >>> import autograd.numpy as np
    >>> import krylov_adj as ka
    >>> c = ka.cluster_gradient(lambda p: np.array([[p[0], p[2]], [p[2], p[1]]]), np.array([1.0, 1.0, 0.0]))
    >>> print(c.directional(np.array([0.0, 0.0, 1.0])))
    [-1.  1.]
    >>> g, Y, size, certificate = c.minimal_norm()
    >>> print(np.allclose(g, [0.5, 0.5, 0.0]), round(size, 6), certificate < 1e-12)
    True 0.707107 True
    """
    if np.iscomplexobj(p):
        raise ValueError("p must be real: pass real and imaginary parts as parameters of their own")

    def matrix(q: Any) -> Any:
        return matrix_of(H_of_p(q))

    p = np.asarray(p)
    p = p.astype(np.result_type(p.dtype, np.float32))
    vjp, H = make_vjp(matrix)(p)
    if is_box(H):
        raise TypeError(
            "H(p) depends on traced parameters besides p: call cluster_gradient outside of differentiated functions"
        )
    return ClusterGradient(p, hermitian_part(H), lambda Y: vjp(np.conj(Y)), lambda d: make_jvp(matrix)(p)(d)[1])
