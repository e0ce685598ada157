"""Structures of a problem's eigenpairs: singular triplets of a matrix, or a pair of T(λ) x = 0.

All are pairs of A x = λ B x to the solvers. A structure says what is known besides, and what it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Pencil:
    """Eigenpairs of a pencil, and nothing besides."""

    #: They are triplets: messages say so, and what completes the deflation are mirror images, not conjugates.
    mirrored = False
    #: There is one eigenvalue, 0 of A = T(λ), with the vector −T′(λ) x in the place of B x.
    nonlinear = False

    def eigenvalues(self, w: Array) -> Array:
        """Return the eigenvalues of A, (k,), for those of the problem."""
        return w

    def images(self, apply_B: Callable[[Array], Array], X: Array) -> Array:
        """Return B X, (n, d)."""
        return apply_B(X)

    def size_of_images(self, norm: Callable[[Array], float], norm_B: float) -> float:
        """Return the size of B x, relative to that of x."""
        return norm_B

    def complete(self, w: Array, X: Array, cut: Array) -> tuple[Array, Array]:
        """Return the deflation, (d,) and (n, d), with the conjugates of the pairs ``cut``."""
        if not cut.size:
            return w, X
        return np.r_[w, w[cut].conj()], np.c_[X, X[:, cut].conj()]

    def completing(self, k: int, cut: Array) -> Array:
        """Return the numbers of the pairs that the members of the deflation after the k-th complete."""
        return cut

    def name(self, i: int) -> str:
        """Return the name of what completes pair i."""
        return f"the conjugate of {i}"

    def apart_from_completion(self, w: Array, deflated: Array) -> Array:
        """Return the eigenvalues that may coincide: all that are deflated."""
        return deflated

    def completed_weights(self, g: Array) -> Array | None:
        """Return cotangents of all that is deflated for those of λ, (k,), or None where conjugation says it."""
        return None

    def ranked(self, w: Array) -> Array:
        """Return what the solver's ranking sees of eigenvalues."""
        return w

    def without_forbidden(self, xp: Any, X: Any, G: Any) -> Any:
        """Return cotangents or tangents G of X without what the vectors' normalisation forbids besides XᴴNX = I."""
        return G


PENCIL = Pencil()


@dataclass(frozen=True, eq=False)
class Triplets(Pencil):
    """Singular triplets of C, (σ, (u, v)/√2) of A = [[0, C], [Cᴴ, 0]], see `singular.py`.

    Their mirror images (−σ, (u, −v)/√2) are known with them. C has so many ``rows``.
    """

    rows: int
    mirrored = True

    def complete(self, w: Array, X: Array, cut: Array) -> tuple[Array, Array]:
        return np.r_[w, -w], np.c_[X, mirror_images(X, self.rows)]

    def completing(self, k: int, cut: Array) -> Array:
        return np.arange(k)

    def name(self, i: int) -> str:
        return f"the mirror image of {i}"

    def apart_from_completion(self, w: Array, deflated: Array) -> Array:
        return w

    def completed_weights(self, g: Array) -> Array | None:
        """A singular value is half the difference of σ and −σ."""
        return np.concatenate([g, -g]) / 2

    def ranked(self, w: Array) -> Array:
        """σ², of AᴴA, from which SciPy has them."""
        return w**2

    def without_forbidden(self, xp: Any, X: Any, G: Any) -> Any:
        """G without the part along changes that UᴴU = VᴴV = I forbids, for X = (U, V)/√2.

        Singular vectors keep both, which is more than XᴴX = I: of gU the part U S with S = ½(UᴴgU + gUᴴU) has
        Re tr(SᴴUᴴdU) = 0. Only what is left of it is divided by σᵢ + σⱼ. The map is its own adjoint, so that it
        serves tangents as well.
        """

        def half(Y: Any, G: Any) -> Any:
            K = xp.conj(Y).T @ G
            return G - Y @ (K + xp.conj(K).T)  # 2 YYᴴ is the projector onto the span

        rows = self.rows
        return xp.concatenate([half(X[:rows], G[:rows]), half(X[rows:], G[rows:])])


@dataclass(frozen=True, eq=False)
class Nonlinear(Pencil):
    """A pair of T(λ) x = 0, treated as one of A = T(λ), B = I at the eigenvalue 0 of A.

    ``slope`` (n, 1) is −T′(λ) x, which stands for B x.
    """

    slope: Array
    nonlinear = True

    def eigenvalues(self, w: Array) -> Array:
        return np.zeros_like(w)

    def images(self, apply_B: Callable[[Array], Array], X: Array) -> Array:
        return self.slope

    def size_of_images(self, norm: Callable[[Array], float], norm_B: float) -> float:
        return norm(self.slope)


def mirror_images(X: Array, rows: int) -> Array:
    """Return D X, the eigenvectors of −σ."""
    return np.concatenate([X[:rows], -X[rows:]])
