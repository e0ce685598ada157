"""The deflated vectors and facts about them: computed eigenvectors, conjugates or mirror images that complete them.

The right eigenvectors X = (x_1 … x_k) of A x = λ B x deflate the systems of every derivative, without any left
eigenvector. With R_i = (A − λ_i B)ᴴ, (B X)^⊥ is mapped by R_i into X^⊥, and X^⊥ by R_iᴴ into (B X)^⊥ up to the
span of B X; there only eigenvalues that were *not* computed are seen (`sides.py`). Which eigenvalues count as one is
decided here: see `DeflatedPairs.tolerances`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..krylov import small
from ..krylov.precision import INDISTINCT, Precision
from ..krylov.space import Space, times
from ..options import Adjoint
from .cache import Cache, kept
from .conjugates import conjugate_pairing, without_conjugate
from .couplings import Quotients, divide
from .problem import Eigenproblem, apart_from
from .spans import left_basis, left_lengths, overlaps

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class DeflatedPairs:
    """Given eigenpairs and what deflation needs of them. Made by `of`.

    Attributes
    ----------
    problem : Eigenproblem
        Whose inverse has a shift that is none of the w.
    w : ndarray, shape (k,)
        Zeros for T(λ) of a nonlinear problem, see `Eigenproblem`.
    X : ndarray, shape (n, k)
        Converged eigenvectors, normalised as the problem says.
    options : Adjoint
    residuals : ndarray, shape (k,)
        ‖A x − λ B x‖ / ‖x‖ of the pairs.
    inner : ndarray, shape (k, k)
        Xᴴ (A X − B X Λ), their part in the span.
    """

    problem: Eigenproblem
    w: Array
    X: Array
    options: Adjoint
    residuals: Array
    inner: Array
    cache: Cache = field(init=False, default_factory=Cache, repr=False)

    @classmethod
    def of(
        cls,
        problem: Eigenproblem,
        w: Array,
        X: Array,
        options: Adjoint,
        residuals: Array | None = None,
        inner: Array | None = None,
    ) -> DeflatedPairs:
        """The pairs; their residuals are zero unless given."""
        w = problem.structure.eigenvalues(w)
        residuals = np.zeros(w.size) if residuals is None else residuals
        inner = np.zeros((w.size, w.size)) if inner is None else inner
        return cls(apart_from(problem, w), w, X, options, residuals, inner)

    def some(self, chosen: Array) -> DeflatedPairs:
        """Some of the pairs."""
        inner = self.inner[np.ix_(chosen, chosen)]
        X = np.asfortranarray(self.X[:, chosen])
        return DeflatedPairs.of(self.problem, self.w[chosen], X, self.options, self.residuals[chosen], inner)

    @property
    def space(self) -> Space:
        return self.problem.space

    @property
    def precision(self) -> Precision:
        return Precision.of(self.X.dtype)

    @property
    def eps(self) -> float:
        return self.precision.eps

    # ---- what is deflated --------------------------------------------------------------------

    @kept
    def real_pencil(self) -> bool:
        """The pencil is real and its eigenvectors are not: pairs come with their conjugates."""
        return self.problem.real and np.iscomplexobj(self.X)

    @kept
    def conjugate_pairing(self) -> tuple[Array, Array] | None:
        """D, E (k, k) such that cotangents g and g D + conj(g) E mean the same; None for D = I."""
        return conjugate_pairing(self.space, self.w, self.X) if self.real_pencil else None

    @kept
    def cut(self) -> Array:
        """Numbers of the pairs of a real pencil whose conjugates were not computed."""
        if not self.real_pencil:
            return np.zeros(0, dtype=int)
        return without_conjugate(
            self.space, self.w, self.X, self.residuals, self.problem.apply_B, lambda: self.problem.norms
        )

    @kept
    def deflation(self) -> tuple[Array, Array]:
        """(w, X), completed by the conjugate of every complex pair of a real pencil that k cut.

        Of singular triplets, by their mirror images.
        """
        return self.problem.structure.complete(self.w, self.X, self.cut)

    @kept
    def members(self) -> Array:
        """Which computed pair every member of the deflation is, or completes, (d,)."""
        k = self.w.size
        return np.concatenate([np.arange(k), self.problem.structure.completing(k, self.cut)])

    def name(self, j: int) -> str:
        """The name of the member j of the deflation, for messages."""
        k = self.w.size
        return str(j) if j < k else self.problem.structure.name(int(self.members[j]))

    @property
    def given_w(self) -> Array:
        """The eigenvalues as the user knows them, with those that complete the deflation."""
        return self.deflation[0] * self.problem.units[1]

    @kept
    def BX(self) -> Array:
        return self.problem.structure.images(self.problem.apply_B, self.deflation[1])

    @kept
    def bases(self) -> tuple[Array, Array]:
        """Orthonormal bases (n, d) of the deflated vectors and of their images under B."""
        X = self.deflation[1]
        if self.problem.B is None and self.problem.hermitian:
            return X, X
        Q_X = self.space.basis(X, self.real_pencil)
        same = self.problem.B is None and not self.problem.structure.nonlinear
        return Q_X, Q_X if same else self.space.basis(self.BX, self.real_pencil)

    @property
    def Q_X(self) -> Array:
        return self.bases[0]

    @property
    def Q_BX(self) -> Array:
        return self.bases[1]

    @kept
    def compressor(self) -> Array:
        """(B X)⁺, (k, n), of the computed vectors: P with P B X = I."""
        Q, R = self.space.qr(self.BX[:, : self.w.size])
        return small.solve_triangular(self.space, R, Q.conj().T)

    @kept
    def dual(self) -> Array:
        """B Q (QᴴBQ)⁻¹ for the basis Q of X: its columns are dual to those of Q."""
        if self.problem.B is None:
            return self.Q_X
        BQ = self.problem.B.apply(self.Q_X)
        return BQ @ small.inverse(self.space, self.space.gram(self.Q_X, BQ))

    # ---- which eigenvalues count as one ------------------------------------------------------

    @kept
    def seen(self) -> Array:
        """The part of B that each vector sees, see `examine.py`."""
        if self.problem.B is None:
            return np.ones(self.w.size)
        BX = self.BX[:, : self.w.size]
        return overlaps(self.space, self.X, self.X if self.problem.hermitian else BX, BX) / self.problem.norms[1]

    def tolerances(self, d: int) -> Array:
        """τ for the first d pairs: eigenvalues closer than τᵢ + τⱼ count as one.

        By default what tells nothing apart: ten times the pair's residual, which bounds the error of
        a Hermitian problem's eigenvalue, and what rounding changes of it, δλ of `examine.py`, or 50 ε of the
        size of A and λB where the vector sees all of B, whose norms are estimated from below.
        """
        if self.options.cluster_tol is not None:
            return np.full(d, 0.5 * self.options.cluster_tol * np.max(np.abs(self.w)))
        norm_A, norm_B = self.problem.norms
        size = self.eps * (norm_A / norm_B + np.max(np.abs(self.w)))
        rounding = size * np.maximum(INDISTINCT, 1 / np.maximum(self.seen, self.eps))
        tau = 10 * self.residuals / norm_B + rounding
        return np.concatenate([tau, np.full(d - tau.size, np.max(rounding))])  # what conjugation completed

    @kept
    def vanishing(self) -> Array:
        """The singular values that coincide with their mirror images: they are zero."""
        return self.w <= self.tolerances(self.w.size)

    def coinciding(self) -> list[list[int]]:
        """Groups of two or more members of the deflation, without mirror images, that count as one."""
        w = self.problem.structure.apart_from_completion(self.w, self.deflation[0])
        tau = self.tolerances(w.size)
        groups: list[list[int]] = []
        for i in range(w.size):
            for group in groups:
                if any(abs(w[i] - w[j]) <= tau[i] + tau[j] for j in group):
                    group.append(i)
                    break
            else:
                groups.append([i])
        return [group for group in groups if len(group) > 1]

    def divide(self, numerators: Array, gaps: Array, size: Array, first: int = 0) -> Quotients:
        """numerators / gaps of the members of the deflation from number ``first`` on.

        Eigenvalues within ``cluster_tol`` count as equal.
        """
        tau = self.tolerances(self.deflation[0].size)
        equal = np.abs(gaps) <= tau[first : first + len(gaps), None] + tau[: self.w.size]
        return divide(numerators, gaps, size, equal, self.eps, first)

    # ---- left eigenvectors, as far as the span tells -------------------------------------------

    @kept
    def phi(self) -> Array:
        """Φ (n, d), a basis in which left eigenvectors have well-conditioned coefficients."""
        return self.deflation[1] if self.problem.hermitian else left_basis(self.space, self.Q_X, self.Q_BX)

    @kept
    def gram(self) -> Array:
        """(B X)ᴴ Φ; diagonal for a Hermitian pencil."""
        return self.space.gram(self.phi, self.BX).conj().T

    @kept
    def images(self) -> tuple[Array, Array]:
        """Aᴴ Φ and Bᴴ Φ of a pencil that is not Hermitian."""
        A, B = self.problem.A, self.problem.B
        return A.adjoint(self.phi), self.phi if B is None else B.adjoint(self.phi)

    def image_of_span(self, C: Array) -> tuple[Array, Array]:
        """R_i Φ c_i of a pencil that is not Hermitian, and the size of the terms that it is the difference of."""
        AP, BP = self.images
        A_terms, B_terms = times(AP, C), times(BP, C) * np.conj(self.w)
        sizes = self.space.norms(A_terms) + self.space.norms(B_terms)
        return np.subtract(A_terms, B_terms, out=B_terms), sizes

    @kept
    def left_lengths(self) -> Array:
        """‖y‖ (d,) from below, of the left eigenvectors' parts in the span."""
        return left_lengths(self.space, self.Q_BX, self.BX)

    @kept
    def conditions(self) -> Array:
        """Lower bounds on the eigenvalues' condition numbers ‖y‖‖Bx‖, (Bx)ᴴy = 1; ones if Hermitian.

        From the part of y in the deflation space, which shows the coalescence of computed pairs.
        """
        k = self.w.size
        if self.problem.hermitian:
            return np.ones(k)
        return self.left_lengths[:k] * self.space.norms(self.BX[:, :k])
