"""Conjugate pairs of a real pencil: which of the computed pairs belong together, and which k has cut."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def folding(w: Array, X: Array) -> tuple[Array, Array]:
    """D, E (k, k) such that cotangents g and g D + conj(g) E mean the same.

    A real pencil has R_j = conj(R_i) where pair j is the conjugate of pair i, whatever its
    parameters, so w_iᴴ R_i + w_jᴴ R_j has the real part of (w_i + conj w_j)ᴴ R_i: one system serves
    both. A real pair is its own conjugate, and only the real part of its cotangent counts.
    """
    k = w.size
    D, E = np.eye(k), np.zeros((k, k))
    for i in range(k):
        if w[i].imag == 0 and not X[:, i].imag.any():
            D[i, i] = E[i, i] = 0.5
        for j in range(i + 1, k):
            if w[i] == w[j].conj() and np.array_equal(X[:, i], X[:, j].conj()):
                D[j, j], E[j, i] = 0, 1
    return D.astype(X.real.dtype), E.astype(X.real.dtype)


def without_conjugate(w: Array, residuals: Array, eps: float) -> Array:
    """Numbers of the pairs whose conjugates were not computed."""
    # A pair's conjugate is computed too if another eigenvalue is the mirror image of its own, to
    # within its error and clearly closer than the pair itself, which may be nearly real.
    distance = np.abs(w.conj()[:, None] - w[None, :])
    np.fill_diagonal(distance, np.inf)
    error = 100 * eps * np.abs(w) + 10 * residuals
    mirrored = distance.min(axis=1) <= np.minimum(error, 0.5 * np.abs(w.imag))
    return np.flatnonzero((w.imag != 0) & ~mirrored)
