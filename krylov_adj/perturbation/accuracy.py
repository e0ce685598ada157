"""Estimates of the relative error of what one solve returns, from what is known after it.

Three things are in error, and add up as if they were independent:

* *solving*: ‖δu‖ of the solution on the complement, from how far it moved while its residual fell, and the residual
  times ‖R⁻¹‖;
* *the span*: couplings between computed pairs, see `couplings.py`;
* *the pairs*: of a residual r the vector is known to η = ‖R⁻¹‖‖r‖ outside of the span, and the eigenvalue to
  κ‖r‖ (η‖r‖ where Hermitian), which turns a solution w = R⁻¹f by η and changes it by ‖R⁻¹‖(η‖f‖ + |δλ|‖w‖).

‖R⁻¹‖ stands for what R⁻¹ makes of a vector in no particular direction, see `Complement`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .couplings import Coupling, Quotients, coupling_errors, divide, rotations

if TYPE_CHECKING:
    from .bordered import BorderedSystems
    from .deflated import Complement

Array = np.ndarray

#: Errors past this are said: those of 1e-4 are, though the estimate be three times too small. In single precision
#: rounding alone is past it: there what is lost of its digits, in machine epsilons.
SAID = 3e-5
SAID_EPSILONS = 1e3

#: Pairs whose gap times condition number is this part of the pencil's size meet in one eigenvector: 1/κ is of the size
#: of the gap next to a Jordan block of order two, and far larger where as many vectors as eigenvalues meet.
COALESCING = 0.01


class Accuracy:
    """Estimates for the solutions of given bordered systems.

    Parameters
    ----------
    systems : BorderedSystems
    """

    def __init__(self, systems: BorderedSystems):
        self.systems = systems

    # ---- the pairs ---------------------------------------------------------------------------

    @cached_property
    def spread(self) -> float:
        """The size of the pencil's eigenvalues, from below; of T(λ) that of changes of λ that T feels."""
        norm_A, norm_B = self.systems.problem.norms
        if self.systems.problem.slope is not None:
            norm_B = float(np.linalg.norm(self.systems.problem.slope))
        spread = norm_A / norm_B + float(np.max(np.abs(self.systems.w)))
        return spread if spread > 0 else 1.0  # A = 0 has no size

    @cached_property
    def rounding(self) -> float:
        """ε times the size of A and λB."""
        norm_A, norm_B = self.systems.problem.norms
        return self.systems.eps * (norm_A + float(np.max(np.abs(self.systems.w))) * norm_B)

    @cached_property
    def lengths(self) -> Array:
        """‖xⱼ‖ of the deflation, (d,)."""
        return np.linalg.norm(self.systems.deflation[1], axis=0)

    @cached_property
    def left_lengths(self) -> Array:
        """‖yⱼ‖, (BX)ᴴY = I, of the left eigenvectors in the span, (d,)."""
        if self.systems.problem.hermitian:
            return self.lengths / np.abs(np.real(np.diagonal(self.systems.gram)))
        return self.systems.left_lengths

    @cached_property
    def conditions(self) -> Array:
        """‖yⱼ‖‖Bxⱼ‖, (d,), from below."""
        return self.left_lengths * np.linalg.norm(self.systems.BX, axis=0)

    @cached_property
    def level(self) -> Array:
        """|yⱼᴴ E xᵢ| (d, k) of the pairs' backward error E in their span: rounding, and their residuals' part in it."""
        k = self.systems.w.size
        level = self.systems.eps * self.spread * np.outer(self.conditions, np.ones(k))
        level[:k] += np.abs(self.systems.inner) / self.lengths[:k] ** 2
        return level

    @property
    def said(self) -> float:
        """The error past which a derivative is said to have lost digits."""
        return max(SAID, SAID_EPSILONS * self.systems.eps)

    def coalescing(self, coupling: Coupling) -> bool:
        """Whether the pairs of a coupling meet in one eigenvector."""
        condition = max(self.conditions[coupling.j], self.conditions[coupling.i])
        return not self.systems.problem.hermitian and condition * coupling.gap > COALESCING * self.spread

    def weights(self, g: Array) -> Array:
        """The cotangents g of the eigenvalues, and of those that complete the deflation.

        Of a pair and its conjugate g holds one, for both; a singular value is half the difference of σ and −σ.
        """
        systems = self.systems
        if systems.problem.rows is not None:
            return np.concatenate([g, -g]) / 2
        if systems.folding is None:
            return g
        weights = g.copy()
        for j, i in np.argwhere(np.tril(systems.folding[1], -1)):
            weights[i], weights[j] = g[i] / 2, g[i].conj() / 2
        weights[systems.cut] /= 2
        return np.concatenate([weights, weights[systems.cut].conj()])

    # ---- solutions ---------------------------------------------------------------------------

    def adjoint(
        self, Z: Array, g: Array, couplings: Quotients, gaps: Array, scale: Array, errors: Array, growth: Array
    ) -> tuple[float, tuple[Coupling, ...]]:
        """The error of Σ zᵢxᵢᴴ, what W = Z and S say of the pencil, and the couplings that rounding has eaten.

        ``couplings`` (d, k) with their ``gaps`` are those of right-hand sides of size ``scale`` (k,), g (k,) is the
        diagonal of (BX)ᴴZ; ``errors`` and ``growth`` are those of `Complement`.
        """
        k = self.systems.w.size
        size = _size(Z, self.systems.X)
        if size == 0:
            return 0.0, ()
        eps, weights = self.systems.eps, self.weights(g)
        span = coupling_errors(couplings, gaps, np.outer(self.lengths, scale), self.level, weights, eps)
        span += eps * self.conditions[:, None] * (np.abs(couplings.values) + np.eye(*gaps.shape) * np.abs(g))
        span = span * np.outer(self.left_lengths, self.lengths[:k]) / size
        others = np.stack([errors, self._by_pairs(Z, scale, growth)]) * self.lengths[:k] / size
        error = float(np.hypot(np.linalg.norm(span), np.linalg.norm(others)))
        return error, self._eaten(np.where(couplings.equal, 0, span), gaps)

    def left(self, Z: Array, g: Array, errors: Array, growth: Array) -> tuple[float, tuple[Coupling, ...]]:
        """Likewise of Z = Y g, the errors those of Y."""
        gaps, k = self.systems.deflation[0][:, None] - self.systems.w, g.size
        zero = np.zeros(gaps.shape)
        couplings = divide(zero, gaps, zero, zero > 0, self.systems.eps)
        return self.adjoint(Z, g, couplings, gaps, np.zeros(k), np.abs(g) * errors, growth)

    def block(self, Z: Array, solved: Complement) -> float:
        """The error of a solution Z without couplings of eigenpairs."""
        size = float(np.linalg.norm(Z))
        scale = np.zeros(self.systems.w.size)
        others = np.stack([solved.errors, self._by_pairs(Z, scale, solved.growth)])
        return float(np.linalg.norm(others)) / size if size > 0 else 0.0

    def tangent(
        self, Z: Array, mu: Array, couplings: Quotients, gaps: Array, scale: Array, solved: Complement
    ) -> tuple[float, tuple[Coupling, ...]]:
        """The error of (dw, dX), dw relative to the eigenvalues' size, and couplings whose rounding hides the rest.

        A loss may be one of the span of a cluster's members, whatever its width, and lose the couplings in it: the rest
        is all that has larger gaps.
        """
        k, unit, lengths = self.systems.w.size, self.spread, self.lengths[:, None]
        outside = float(np.hypot(np.linalg.norm(solved.U), np.linalg.norm(mu) / unit))
        span = lengths * (couplings.rounding + np.abs(couplings.values) * rotations(gaps, self.level))
        values = self.conditions[:k] * scale * (solved.growth * self.systems.residuals + self.systems.eps) / unit
        others = np.stack([solved.errors, self._by_pairs(Z, scale, solved.growth), values])
        size = float(np.hypot(outside, np.linalg.norm(lengths * couplings.values)))
        if size == 0:
            return 0.0, ()
        error = float(np.hypot(np.linalg.norm(span), np.linalg.norm(others))) / size

        order = np.argsort(np.abs(gaps), axis=None)
        parts, errors = (np.ravel(lengths * np.abs(part))[order] for part in (couplings.values, couplings.rounding))
        wider = np.append(np.cumsum(parts[::-1] ** 2)[::-1], 0)[1:]
        rest = np.sqrt(outside**2 + wider)
        lost = np.sqrt(np.cumsum(errors**2)) / np.where(rest > 0, rest, np.inf)
        worst = int(np.argmax(lost))
        relative = np.zeros(gaps.size)
        if lost[worst] > 0:
            relative[order[: worst + 1]] = errors[: worst + 1] / rest[worst]
        return error, self._eaten(relative.reshape(gaps.shape), gaps)

    def _by_pairs(self, Z: Array, scale: Array, growth: Array) -> Array:
        """What the pairs' own errors outside of their span make of solutions Z of right-hand sides of this size."""
        systems, k = self.systems, scale.size
        vectors = growth * systems.residuals
        factor = np.minimum(vectors, 1) if systems.problem.hermitian else self.conditions[:k]
        values = factor * systems.residuals + systems.eps * self.spread
        size = np.linalg.norm(Z, axis=0)
        return vectors * size + growth * (vectors * scale + values * size)

    def _eaten(self, relative: Array, gaps: Array) -> tuple[Coupling, ...]:
        """The couplings with errors that together are past what is said, but for those that hardly matter."""
        np.fill_diagonal(relative, 0)
        if not np.linalg.norm(relative) > self.said:
            return ()
        chosen = np.argwhere(relative > 0.1 * np.max(relative))
        return tuple(Coupling(int(j), int(i), float(relative[j, i]), float(abs(gaps[j, i]))) for j, i in chosen)


def _size(Z: Array, X: Array) -> float:
    """‖Σ zᵢxᵢᴴ‖, which is small where large zᵢ cancel."""
    return float(np.sqrt(abs(np.vdot(X.conj().T @ X, (Z.conj().T @ Z).conj()))))
