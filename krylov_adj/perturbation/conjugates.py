"""Conjugate pairs of a real pencil: which of the computed pairs belong together, and which k has cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..krylov.precision import Precision
from ..krylov.space import Space

Array = np.ndarray

#: A conjugate counts as computed where γδ is below this part of the pair's error. Of one that was cut, δ is at least
#: (error)/γ, by what is known of x; of one that was computed, γδ is of second order in the error.
EXPLAINED = 0.01


def conjugate_pairing(space: Space, w: Array, X: Array) -> tuple[Array, Array]:
    """D, E (k, k) such that cotangents g and g D + conj(g) E mean the same.

    A real pencil has R_j = conj(R_i) where pair j is the conjugate of pair i, whatever its
    parameters, so w_iᴴ R_i + w_jᴴ R_j has the real part of (w_i + conj w_j)ᴴ R_i: one system serves
    both. A real pair is its own conjugate, and only the real part of its cotangent counts.
    """
    k = w.size
    D, E = np.eye(k), np.zeros((k, k))
    for i in range(k):
        if w[i].imag == 0 and not space.any(X[:, i].imag):
            D[i, i] = E[i, i] = 0.5
        for j in range(i + 1, k):
            if w[i] == w[j].conj() and space.equal(X[:, i], X[:, j].conj()):
                D[j, j], E[j, i] = 0, 1
    return D.astype(X.real.dtype), E.astype(X.real.dtype)


def without_conjugate(
    space: Space,
    w: Array,
    X: Array,
    residuals: Array,
    apply_B: Callable[[Array], Array],
    norms: Callable[[], tuple[float, float]],
) -> Array:
    """Numbers of the pairs whose conjugates are no part of what was computed: k has cut them.

    A conjugate (conj w, conj x) is a part of it where conj x is in the span of X, and conj w one of the w. Of a complex
    pair that is the other member, in whatever phase; of a real pair itself, though rounding may have left w an
    imaginary part and x a phase; of a real cluster the members together. Let conj x be at a distance δ from the span,
    and conj w at γ from the nearest of the w. Either alone can be told from zero by condition numbers only, which are
    not known here; a pencil changed by γδ/4 has a span that is closed under conjugation (docs/derivation.md).

    ``residuals`` (k,) are ‖A x − λ B x‖/‖x‖, and ``norms()`` those of A and B.
    """
    mirrored = np.zeros(w.size, dtype=bool)
    for i in range(w.size):
        partners = np.flatnonzero(w == w[i].conj())
        mirrored[i] = w[i].imag == 0 or any(space.equal(X[:, j], X[:, i].conj()) for j in partners)
    unsettled = np.flatnonzero(~mirrored)  # of a real solver's results, what k has cut
    if not unsettled.size:
        return unsettled
    V = X[:, unsettled].conj() / space.norms(X[:, unsettled])
    V = space.project_out(space.qr(X)[0], V)
    delta = space.norms(apply_B(V))
    gamma = np.min(np.abs(w[unsettled].conj()[:, None] - w), axis=1)
    norm_A, norm_B = norms()
    error = residuals[unsettled] + Precision.of(X.dtype).eps * (norm_A + np.abs(w[unsettled]) * norm_B)
    return unsettled[gamma * delta > EXPLAINED * error]
