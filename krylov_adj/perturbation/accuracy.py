"""Estimates of the relative error of what one solve returns, from what is known after it; one where nothing is.

Three things are in error, and add up as if they were independent:

* *solving*: ‖δu‖ of the solution on the complement, from how far it moved while its residual fell, and the residual
  times ‖R⁻¹‖;
* *the span*: couplings between computed pairs, see `couplings.py`;
* *the pairs*: of a residual r the vector is known to η = ‖R⁻¹‖‖r‖ outside of the span, and the eigenvalue to
  κ‖r‖ (η‖r‖ where Hermitian), which turns a solution w = R⁻¹f by η and changes it by ‖R⁻¹‖(η‖f‖ + |δλ|‖w‖).

‖R⁻¹‖ stands for what R⁻¹ makes of a vector in no particular direction, see `Complement`.
"""

from __future__ import annotations

import numpy as np

from ..krylov import small
from ..krylov.space import Space
from ..report.report import Report
from .cache import Cache, kept
from .completeness import Completeness
from .couplings import Coupling, Quotients, coupling_errors, divide, dropped_sizes, rotations
from .pairs import DeflatedPairs
from .solutions import Complement

Array = np.ndarray

#: Pairs whose gap times condition number is this part of the pencil's size meet in one eigenvector: 1/κ is of the size
#: of the gap next to a Jordan block of order two, and far larger where as many vectors as eigenvalues meet.
COALESCING = 0.01

#: What residuals may leave of a second derivative.
LEFT = 1e-7


class Accuracy:
    """Estimates for what solves of given pairs return.

    Parameters
    ----------
    pairs : DeflatedPairs
    conditions : ndarray, shape (k,)
        Lower bounds on their condition numbers.
    least : ndarray, shape (k,)
        Lower bounds on ‖R_i⁻¹‖ on the complement.
    solved : Complement, optional
        The solutions' part on the complement.
    """

    def __init__(self, pairs: DeflatedPairs, conditions: Array, least: Array, solved: Complement | None = None):
        self.pairs, self.known, self.least, self.cache = pairs, conditions, least, Cache()
        zero = np.zeros(pairs.w.size)
        report = Report("adjoint", "none", 0.0, zero)
        self.solved = Complement(zero[None], report, zero, zero, zero, zero, zero) if solved is None else solved

    @property
    def space(self) -> Space:
        return self.pairs.problem.space

    # ---- the pairs ---------------------------------------------------------------------------

    @kept
    def spread(self) -> float:
        """The size of the pencil's eigenvalues, from below; of T(λ) that of changes of λ that T feels."""
        norm_A, norm_B = self.pairs.problem.norms
        norm_B = self.pairs.problem.structure.size_of_images(self.space.norm, norm_B)
        spread = norm_A / norm_B + float(np.max(np.abs(self.pairs.w)))
        return spread if spread > 0 else 1.0  # A = 0 has no size

    @kept
    def gaps(self) -> Array:
        """λⱼ − λᵢ, (d, k)."""
        return self.pairs.deflation[0][:, None] - self.pairs.w

    @kept
    def lengths(self) -> Array:
        """‖xⱼ‖ of the deflation, (d,)."""
        return self.space.norms(self.pairs.deflation[1])

    @kept
    def left_lengths(self) -> Array:
        """‖yⱼ‖, (BX)ᴴY = I, of the left eigenvectors, (d,), from below where they have not been solved for."""
        pairs = self.pairs
        if pairs.problem.hermitian:
            return self.lengths / np.abs(np.real(np.diagonal(pairs.gram)))
        inside = pairs.left_lengths
        known = self.known / self.slopes / self.lengths[: pairs.w.size]
        return np.maximum(inside, known[self.pairs.members])

    @kept
    def conditions(self) -> Array:
        """‖yⱼ‖‖Bxⱼ‖, (d,)."""
        return self.left_lengths * self.space.norms(self.pairs.BX)

    @kept
    def level(self) -> Array:
        """|yⱼᴴ E xᵢ| (d, k) of the pairs' backward error E in their span: rounding, and their residuals' part in it."""
        k = self.pairs.w.size
        level = np.outer(self.left_lengths, self.lengths[:k] * self.rounding_of_products)
        level[:k] += self.left_lengths[:k, None] * np.abs(self.pairs.inner) / self.lengths[:k, None]
        return level

    @kept
    def left_level(self) -> Array:
        """|yᵢᴴ E xⱼ| (d, k), which turns yᵢ towards yⱼ as the other turns xᵢ towards xⱼ."""
        k = self.pairs.w.size
        level = np.outer(self.lengths, self.left_lengths[:k] * self.rounding_of_products)
        level[:k] += self.left_lengths[:k] * np.abs(self.pairs.inner).T / self.lengths[:k]
        return level

    @kept
    def rounding(self) -> float:
        """ε times the size of A and λB."""
        norm_A, norm_B = self.pairs.problem.norms
        return self.pairs.eps * (norm_A + float(np.max(np.abs(self.pairs.w))) * norm_B)

    @kept
    def rounding_of_products(self) -> float:
        """That of yᴴ(A − λᵢB) x for x and y of length one: of n parts in no particular direction."""
        return self.rounding / float(np.sqrt(self.pairs.problem.n))

    @kept
    def slopes(self) -> Array:
        """‖Bxᵢ‖/‖xᵢ‖, (k,): what B makes of vectors like these."""
        k = self.pairs.w.size
        return self.space.norms(self.pairs.BX[:, :k]) / self.lengths[:k]

    def goals(self, complete: Completeness | None) -> Array | None:
        """The relative residuals (k,) that a second derivative needs; None where what is asked for will do.

        That of a function of a cluster has terms with 1/gap² inside of it that cancel, down to the residuals. Gaps are
        relative to the distance to the rest of the spectrum: no other size is in it.
        """
        w, k, tau = self.pairs.w, self.pairs.w.size, self.pairs.tolerances(self.pairs.w.size)
        apart = np.abs(w[:, None] - w)
        gaps = np.where(apart > tau[:, None] + tau, apart, np.inf).min(axis=0)
        rest = np.full(k, self.spread) if complete is None else np.minimum(complete.closest, self.spread)
        goals = LEFT * (gaps / np.maximum(rest, apart.max(axis=0))) ** 2
        return goals if np.any(goals < self.pairs.options.tolerance(self.pairs.X.dtype)) else None

    @kept
    def nearness(self) -> Array:
        """One over the distance of λᵢ to eigenvalues that are not known, (k,), as far as those that are tell.

        They are as far from it as the known ones are from each other; zero where these are one, or a cluster.
        """
        w, k = self.pairs.w, self.pairs.w.size
        spacing = np.max(np.abs(w[:, None] - w), axis=1) / max(k - 1, 1)
        apart = spacing > self.pairs.precision.half * self.spread
        return np.where(apart, 1 / np.where(apart, spacing, 1), 0)

    @kept
    def far(self) -> Array:
        """The growth ‖R⁻¹v‖/‖v‖ of a vector in no particular direction, (k,), at least.

        It has 1/n of its square along every eigenvector, and the mean of 1/|λ − λᵢ|² over the spectrum is at least one
        over that of |λ − λᵢ|².
        """
        pairs = self.pairs
        zero = np.zeros(pairs.w.size)
        if pairs.deflation[0].size >= pairs.problem.n:
            return zero
        distances = pairs.problem.distances(pairs.w)
        return np.divide(1, distances, out=zero, where=distances > 0)

    @kept
    def growth(self) -> Array:
        """The growth of such a vector, (k,): that of the ones that were solved for, or by guess.

        Where none was, eigenvalues next to λᵢ, as far as those in hand tell, add 1/n of their squares.
        """
        found = np.maximum(self.solved.growth, self.least)
        near = np.where(found > 0, 0, self.nearness / self.slopes / np.sqrt(self.pairs.problem.n))
        return np.maximum(found, np.hypot(self.far, np.where(self.far > 0, near, 0)))

    @property
    def said(self) -> float:
        """The error past which a derivative is said to have lost digits."""
        return self.pairs.precision.said

    def coalescing(self, coupling: Coupling) -> bool:
        """Whether the pairs of a coupling meet in one eigenvector."""
        condition = max(self.conditions[coupling.j], self.conditions[coupling.i])
        return not self.pairs.problem.hermitian and condition * coupling.gap > COALESCING * self.spread

    def weights(self, g: Array) -> Array:
        """The cotangents g of the eigenvalues, and of those that complete the deflation.

        Of a pair and its conjugate g holds one, for both; a singular value is half the difference of σ and −σ.
        """
        pairs = self.pairs
        completed = pairs.problem.structure.completed_weights(g)
        if completed is not None:
            return completed
        if pairs.conjugate_pairing is None:
            return g
        weights = g.copy()
        for j, i in np.argwhere(np.tril(pairs.conjugate_pairing[1], -1)):
            weights[i], weights[j] = g[i] / 2, g[i].conj() / 2
        weights[pairs.cut] /= 2
        return np.concatenate([weights, weights[pairs.cut].conj()])

    # ---- solutions ---------------------------------------------------------------------------

    def adjoint(self, Z: Array, g: Array, couplings: Quotients, scale: Array) -> tuple[float, tuple[Coupling, ...]]:
        """The error of Σ zᵢxᵢᴴ, what W = Z and S say of the pencil, and the couplings that rounding has eaten.

        ``couplings`` (d, k) are those of right-hand sides of size ``scale`` (k,), g (k,) is the diagonal of (BX)ᴴZ.
        """
        k, eps = g.size, self.pairs.eps
        size = _size(self.space, Z, self.pairs.X, self.pairs.real_pencil)
        if size == 0:
            return 0.0, ()
        T = np.abs(couplings.values)
        T[np.arange(k), np.arange(k)] += np.abs(g)
        sizes = np.outer(self.lengths, scale)
        span = coupling_errors(couplings, self.gaps, sizes, self.left_level, self.weights(g), eps)
        span = (span + eps * T) * np.outer(self.left_lengths, self.lengths[:k]) / size
        parts, whole = self.left_lengths[:, None] * T, self.space.norms(Z)
        apart = small.column_norms(parts)  # parts along vectors that nearly coincide cancel
        parts *= np.minimum(1, (whole + self.solved.sizes) / np.where(apart > 0, apart, 1))
        pairs = np.hypot(self._by_pairs(parts, scale), self.turned * whole)  # the xᵢ of zᵢxᵢᴴ
        others = np.hypot(self.solved.errors, pairs) * self.lengths[:k] / size
        error = float(np.hypot(small.norm(span), small.norm(others)))
        return min(error, 1.0), self._eaten(np.where(couplings.equal, 0, span))

    def left(self, Z: Array, g: Array) -> tuple[float, tuple[Coupling, ...]]:
        """Return the same for Z = Y g."""
        zero = np.zeros(self.gaps.shape)
        return self.adjoint(Z, g, divide(zero, self.gaps, zero, zero > 0, self.pairs.eps), zero[0])

    def block(self, Z: Array) -> float:
        """The error of a solution Z without couplings of eigenpairs."""
        size = self.space.norm(Z)
        if size == 0:
            return 0.0
        T = np.zeros(self.gaps.shape)
        T[: Z.shape[1]] = np.diag(self.space.norms(Z))
        parts = np.hypot(self.solved.errors, self._by_pairs(T, np.zeros(Z.shape[1])))
        return min(small.norm(parts) / size, 1.0)

    def tangent(self, mu: Array, couplings: Quotients, scale: Array) -> tuple[float, tuple[Coupling, ...]]:
        """The error of (dw, dX), relative to w and X, and couplings whose rounding hides the rest.

        A loss may be one of the span of a cluster's members, whatever its width, and lose the couplings in it: the rest
        is all that has larger gaps.
        """
        pairs, solved, k, T = self.pairs, self.solved, mu.size, np.abs(couplings.values)
        unit = max(float(np.max(np.abs(pairs.w))), pairs.precision.half * self.spread)
        lengths, ratios = self.lengths[:k], self.lengths[:, None] / self.lengths[:k]
        outside = np.hypot(small.norm(solved.sizes / lengths), small.norm(mu) / unit)
        size = float(np.hypot(outside, small.norm(ratios * T)))
        if size == 0:
            return 0.0, ()
        lost = dropped_sizes(couplings, self.gaps, self.level)
        span = ratios * (couplings.rounding + lost + T * rotations(self.gaps, self.level))
        vectors = np.hypot(solved.errors, self._by_pairs(self.lengths[:, None] * T, scale))
        # dλ = yᴴdR: of what is left of the systems' right-hand sides the part that y has outside of the span.
        left = 0 if pairs.problem.hermitian and pairs.problem.B is None else solved.residuals
        values = self.left_lengths[:k] * (scale * (self.turned + pairs.eps) + left)
        total = np.hypot(small.norm(span), small.norm(vectors / lengths))
        error = min(float(np.hypot(total, small.norm(values) / unit)) / size, 1.0)

        order = np.argsort(np.abs(self.gaps), axis=None)
        parts, errors = (np.ravel(ratios * part)[order] for part in (T, couplings.rounding))
        wider = np.append(np.cumsum(parts[::-1] ** 2)[::-1], 0)[1:]
        rest = np.sqrt(outside**2 + wider)
        lost = np.sqrt(np.cumsum(errors**2)) / np.where(rest > 0, rest, np.inf)
        worst = int(np.argmax(lost))
        relative = np.zeros(errors.size)
        if lost[worst] > 0:
            relative[order[: worst + 1]] = errors[: worst + 1] / rest[worst]
        return error, self._eaten(relative.reshape(self.gaps.shape))

    @kept
    def turned(self) -> Array:
        """η, (k,): the angles by which residuals turn the vectors out of the span."""
        return np.minimum(self.growth * self.pairs.residuals, 1)

    @kept
    def shifts(self) -> Array:
        """|δλ| = |yᴴr|, (k,): what residuals and rounding make of the eigenvalues; of second order where Hermitian."""
        pairs = self.pairs
        k = pairs.w.size
        # Of y outside of the span only the length is known: a share of 1/√n in any direction.
        share = self.turned if pairs.problem.hermitian else 1 / np.sqrt(pairs.problem.n)
        inside = np.abs(np.diagonal(pairs.inner)) / self.lengths[:k] ** 2
        return (self.left_lengths * self.lengths)[:k] * (pairs.residuals * share + inside + self.rounding_of_products)

    def _by_pairs(self, T: Array, scale: Array) -> Array:
        """The errors of solutions that come from the pairs' own errors outside of their span, (k,).

        T (d, k) are the sizes of their parts in the span; the right-hand sides are of this ``scale`` (k,). The pairs
        are those of A + E with E = −R X⁺ for their residuals R.
        """
        pairs, growth, eta, U = self.pairs, self.solved.growth, self.turned, self.solved.sizes
        reach, tiny = growth * self.slopes, self.pairs.precision.tiny
        inside = small.column_norms(T * eta[self.pairs.members, None])
        near = 1 / np.maximum(np.abs(self.gaps), 1 / np.maximum(reach, tiny))
        feeling = self.left_lengths * self.lengths * pairs.residuals[self.pairs.members]
        coupled = small.column_norms(feeling[:, None] * near) * U  # what is closer turns with the pair
        whole = np.hypot(small.column_norms(T), U)
        moved = self.shifts * reach * (U if pairs.problem.B is None else whole)
        if pairs.problem.B is not None:  # the cotangent of B has the factor λ
            w = np.maximum(np.abs(pairs.w), np.maximum(self.shifts, tiny))
            moved = np.hypot(moved, whole * self.shifts / w)
        return small.column_norms(np.stack([inside, coupled, eta * U, self.far * eta * scale, moved]))

    def _eaten(self, relative: Array) -> tuple[Coupling, ...]:
        """The couplings with errors that together are past what is said, but for those that hardly matter."""
        np.fill_diagonal(relative, 0)
        if not small.norm(relative) > self.said:
            return ()
        chosen = np.argwhere(relative > 0.1 * np.max(relative))
        return tuple(Coupling(int(j), int(i), float(relative[j, i]), float(abs(self.gaps[j, i]))) for j, i in chosen)


def _size(space: Space, Z: Array, X: Array, real: bool) -> float:
    """‖Σ zᵢxᵢᴴ‖, or of its ``real`` part, which is small where large zᵢ cancel."""
    square = float(np.real(np.sum(space.gram(Z, Z) * space.gram(X, X).conj())))
    if real:  # ‖Re G‖² is half of ‖G‖² + Re Σ G²
        square = 0.5 * (square + float(np.real(np.sum(space.gram(Z.conj(), Z) * space.gram(X.conj(), X).conj()))))
    return float(np.sqrt(max(square, 0.0)))
