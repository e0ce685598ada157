"""Generalised gradients where eigenvalues meet, from H(p) of the cluster, for JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..perturbation.cluster_model import ClusterGradient, matrix_of
from ..perturbation.spectral_values import check_hermitian

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
        p ↦ (X, H), of which X is not read. Written with `jax.numpy`; smooth in p. As derivatives at p are all that
        is asked, XᴴA(p)X serves too, with orthonormal vectors X that span the cluster's eigenspace at p, held fixed.
    p : array
        Real parameters of any shape.

    Returns
    -------
    ClusterGradient
        With H(p) evaluated, and ready for its derivatives. All that it takes and returns are NumPy arrays.

    Raises
    ------
    ValueError
        p is complex; H is not square, finite and Hermitian.
    TypeError
        p is traced.

    Derivative
    ----------
    None: its results are constants. It takes reverse and forward mode of H(p). GaugeWarnings of these derivatives are
    silenced, as S*(Y) reads the cluster as a whole for every Y; those of other calls, other threads' (those of a
    compiled H(p)) and every other warning are given.

    References
    ----------
    Overton, SIAM J. Optim. 2 (1992) 88. Lewis, Math. Oper. Res. 21 (1996) 576. docs/derivation.md.

    Examples
    --------
    The largest eigenvalue of diag(p) where two entries are the largest: steepest descent lowers both.

    >>> import jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> c = kj.cluster_gradient(lambda p: jnp.array([[p[0], p[2]], [p[2], p[1]]]), jnp.array([1.0, 1.0, 0.0]))
    >>> g, Y, size, certificate = c.minimal_norm()
    >>> print(g.round(5), round(size, 4), certificate < 1e-5)
    [0.5 0.5 0. ] 0.7071 True
    """
    if isinstance(p, jax.core.Tracer):
        raise TypeError("p is traced: generalised gradients are values, call cluster_gradient outside of jit and grad")
    p = jnp.asarray(p)
    if jnp.iscomplexobj(p):
        raise ValueError("p must be real: pass real and imaginary parts as parameters of their own")
    p = p if jnp.issubdtype(p.dtype, jnp.inexact) else p.astype(jnp.result_type(float))

    def matrix(q: Any) -> Any:
        return matrix_of(H_of_p(q))

    H, vjp = jax.vjp(matrix, p)
    if isinstance(H, jax.core.Tracer):
        raise TypeError(
            "H(p) depends on traced parameters besides p: call cluster_gradient outside of differentiated functions"
        )
    values = np.asarray(H)
    check_hermitian(values)
    part = 0.5 * (values + values.conj().T)

    def push(d: np.ndarray) -> np.ndarray:
        return np.asarray(jax.jvp(matrix, (p,), (jnp.asarray(d),))[1])

    return ClusterGradient(np.asarray(p), part, lambda Y: np.asarray(vjp(jnp.asarray(Y.conj()))[0]), push)
