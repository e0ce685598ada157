"""Generalised gradients where eigenvalues meet, from H(p) of the cluster, for any framework.

S(d) is a tangent and S*(Y) a cotangent of H(p): nothing of the size m² p is needed but where rows are asked for.
`crossings.py` has the mathematics in the m² numbers of Y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..krylov.precision import Precision
from ..krylov.small import eigh, eigvalsh, norm
from ..krylov.space import WHOLE
from ..report.errors import GaugeWarning
from ..report.report import silencing
from .crossings import coefficients, combine, hermitian_basis, largest_sum, minimise

__all__ = ["ClusterGradient", "MinimalNorm", "Proximal", "matrix_of"]


def matrix_of(result: Any) -> Any:
    """Return H of what a user's function returns: H, or X and H."""
    return result[1] if isinstance(result, tuple) else result


class MinimalNorm(NamedTuple):
    """The smallest generalised gradient g = S*(Y), its norm, and Σ λᵢ(S(−g)) + ‖g‖² of the r largest.

    The certificate is zero but for rounding: ‖g‖ is off by less than its square root.
    """

    g: np.ndarray
    Y: np.ndarray
    norm: float
    certificate: float


class Proximal(NamedTuple):
    """The step d = −τ S*(Y) and what the model promises at its end: the sum of the r largest of H + S(d)."""

    d: np.ndarray
    Y: np.ndarray
    value: float


class ClusterGradient:
    """Derivatives of the eigenvalues of a cluster, made by `krylov_adj.cluster_gradient`.

    S(d) = dH[d], (m, m), is linear in the direction d, and S*(Y) = ∇ Re tr(YᴴH), of the shape of p, in Y.

    Attributes
    ----------
    w : array, shape (m,)
        The eigenvalues, rising.
    H : array, shape (m, m)
    basis : array, shape (q, m, m)
        An orthonormal basis of the Hermitian matrices, q = m² (m(m + 1)/2 where H is real), ⟨E, F⟩ = Re tr EᴴF.

    Notes
    -----
    `minimal_norm` and `proximal` need the Gram matrix of the S*(E), q cotangents once; their own work is in q numbers.
    For minima of the *smallest* eigenvalue pass −H. For maxima of it g is the direction of steepest ascent.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import krylov_adj as ka
    >>> c = ka.cluster_gradient(lambda p: p[0] * np.eye(2) + p[1] * np.array([[0, 1], [1, 0]]), np.array([2.0, 0.0]))
    >>> print(c.w, c.gradient(np.eye(2)))
    [2. 2.] [2. 0.]
    """

    def __init__(
        self,
        p: np.ndarray,
        H: np.ndarray,
        pull: Callable[[np.ndarray], np.ndarray],
        push: Callable[[np.ndarray], np.ndarray],
    ):
        """``pull`` is S* of Hermitian Y of H's type, ``push`` is S, with NotImplementedError where there is none."""
        self.p, self.H, self._pull, self._push = p, H, pull, push
        self.w, self._Q = eigh(WHOLE, self.H)
        self.basis = hermitian_basis(len(self.H), np.iscomplexobj(self.H))
        self._rows: np.ndarray | None = None
        self._gram: np.ndarray | None = None

    def gradient(self, Y: Any) -> np.ndarray:
        """Return S*(Y) = ∇ Re tr(YᴴH), of the shape of p, for a Hermitian Y: one cotangent.

        With Y = I that of the sum of all eigenvalues. For Y ⪰ 0, tr Y = 1 an element of the generalised gradient of the
        largest.
        """
        Y = np.asarray(Y)
        if Y.shape != self.H.shape:
            raise ValueError(f"Y must have the shape of H, {self.H.shape}, not {Y.shape}")
        Y = 0.5 * (Y + Y.conj().T)  # dH is Hermitian
        Y = Y if np.iscomplexobj(self.H) else np.real(Y)
        with silencing(GaugeWarning):
            return np.asarray(self._pull(Y.astype(self.H.dtype)))

    def matrix(self, d: Any) -> np.ndarray:
        """Return S(d), (m, m), Hermitian, of a direction d of the shape of p: one tangent, or none after `gram`."""
        d = np.asarray(d)
        if d.shape != self.p.shape or np.iscomplexobj(d):
            raise ValueError(f"d must be real and of the shape of p, {self.p.shape}, not {d.shape}")
        if self._rows is not None:
            return combine(self._rows.reshape(len(self.basis), -1) @ d.ravel(), self.basis)
        try:
            with silencing(GaugeWarning):
                S = np.asarray(self._push(d.astype(self.p.dtype)))
        except NotImplementedError:  # a function without a forward mode
            return combine(np.array([np.sum(self.gradient(E) * d) for E in self.basis]), self.basis)
        return 0.5 * (S + S.conj().T)

    def directional(self, d: Any) -> np.ndarray:
        """Return the one-sided derivatives of the eigenvalues `w` along d, (m,), in the order of w.

        Rising among eigenvalues that coincide. Those count as coinciding that half of their digits do not tell apart;
        others split before any step, and have each their own derivative.
        """
        S = self._Q.conj().T @ self.matrix(d) @ self._Q
        apart = np.diff(self.w) > Precision.of(self.H.dtype).half * np.max(np.abs(self.w))
        groups = np.split(np.arange(len(self.w)), np.flatnonzero(apart) + 1)
        return np.concatenate([eigvalsh(WHOLE, S[np.ix_(group, group)]) for group in groups])

    def gram(self, stored: bool = True) -> np.ndarray:
        """Return ⟨S*(E), S*(F)⟩ of the basis, (q, q), which is computed once.

        Parameters
        ----------
        stored : bool, optional
            Keep all S*(E), q times the size of p, for later use: q cotangents. Otherwise nothing is kept: q cotangents
            and as many tangents.
        """
        if self._gram is not None:
            return self._gram
        q = len(self.basis)
        if stored:
            self._rows = np.array([self.gradient(E) for E in self.basis])
            R = self._rows.reshape(q, -1).astype(float, copy=False)
            G = R @ R.T
        else:
            G = np.array([coefficients(self.basis, self.matrix(self.gradient(E))) for E in self.basis])
        if not np.all(np.isfinite(G)):
            raise ValueError("derivatives of H(p) hold NaN or infinity, or overflow where they are squared")
        if 0 < np.max(np.abs(G)) < Precision.of(G.dtype).tiny / Precision.of(G.dtype).eps:
            raise ValueError("derivatives of H(p) underflow where they are squared: choose other units")
        self._gram = 0.5 * (G + G.T)
        return self._gram

    def minimal_norm(self, r: int = 1) -> MinimalNorm:
        """Return the smallest of the generalised gradients of the sum of the r largest eigenvalues of the cluster.

        −g is their direction of steepest descent, at the rate ‖g‖; g = 0 says that p is stationary. The eigenvalues
        count as coinciding, however far apart they are: where they differ by δ, the S*(Y) are δ-subgradients, and −g
        lowers all that are within δ of the largest. `proximal` knows the differences.

        Parameters
        ----------
        r : int, optional
            From 1 to m.

        Returns
        -------
        MinimalNorm
            (g, Y, norm, certificate): ``g`` of the shape of p; ``Y`` with g = S*(Y), 0 ⪯ Y ⪯ I, tr Y = r.
        """
        G, r = self.gram(), self._check_count(r)
        found = minimise(G, np.zeros(len(G)), self.basis, r)
        g = self._combined(found.y, found.Y)
        return MinimalNorm(g, found.Y, norm(g), found.gap)

    def proximal(self, tau: float, r: int = 1) -> Proximal:
        """Return the step that minimises the sum of the r largest eigenvalues of H + S(d), plus ‖d‖²/2τ.

        Unlike `minimal_norm` it knows how far apart the eigenvalues are, and serves where they nearly coincide.

        Parameters
        ----------
        tau : float
            Positive. Compare what the step brings with what the model promises, ``value``, and lower or raise τ.
        r : int, optional
            From 1 to m.

        Returns
        -------
        Proximal
            (d, Y, value): ``d`` = −τ S*(Y) of the shape of p.
        """
        if not 0 < tau < np.inf:
            raise ValueError(f"tau must be positive and finite, not {tau!r}")
        G, r = self.gram(), self._check_count(r)
        shifted = self.H - self.w[-1] * np.eye(len(self.H))  # differences are what counts: no digits are lost
        found = minimise(tau * G, coefficients(self.basis, shifted), self.basis, r)
        d = -tau * self._combined(found.y, found.Y)
        S = -tau * combine(G @ found.y, self.basis)
        return Proximal(d, found.Y, r * float(self.w[-1]) + largest_sum(shifted + S, r))

    def _combined(self, y: np.ndarray, Y: np.ndarray) -> np.ndarray:
        if self._rows is None:
            return self.gradient(Y)
        return combine(y, self._rows).astype(self.p.dtype)

    def _check_count(self, r: int) -> int:
        if not 1 <= r <= len(self.w) or r != int(r):
            raise ValueError(f"r must be a whole number from 1 to {len(self.w)}, the eigenvalues of H, not {r!r}")
        return int(r)
