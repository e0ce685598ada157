"""The ways of `krylov.lanczos` to a few eigenpairs of a Hermitian problem: an inverse, a filter, or A itself.

What each of them finds is complete: see `krylov.lanczos`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..krylov import small
from ..krylov.chebyshev import LOOK, Chebyshev, Spectrum, counts, design, identity_filter, survey, wanted_count, widened
from ..krylov.lanczos import FARTHEST, Lanczos, wanted_pairs
from ..krylov.ordering import ClosestTo, LargestInModulus, Ordering
from ..krylov.precision import Precision
from ..perturbation.problem import Inverse, ValueOperator
from .continuation import Continuation
from .warm_start import gap_beyond

__all__ = ["Found", "LanczosSolve"]

Array = np.ndarray

#: A filter of no higher degree is not worth a new beginning.
EASY = 2

#: Steps with a filter after which its place is looked at again.
EXPLORE = 8

#: Fillings of the basis after which an inverse at another shift is given up, and how much T's wanted values may differ.
FILLINGS = 2
UNEVEN = 1e4

#: Rounding of T's values, relative to them, from which on residuals are looked at: what is asked of derivatives.
NOISY = 1e-10

#: Residuals of a filter's values are accepted from this many ε on: of multiple ones they do not get smaller.
NOISE = 10

#: Eigenvalues closer than so many ε of the size of A cannot be told apart.
ROUNDING = 100

#: Fillings of the basis within which the k-th value has to have left the filter's interval, by q of it.
TRIAL = 4
OUTSIDE = 1.01


@dataclass(frozen=True)
class Found:
    """Eigenpairs, the most wanted first, with those next to the k-th; others that are nearly converged.

    ``resolved``: rounding leaves what is next to the k-th value apart from it. ``place``: the filter, and ‖A‖.
    """

    w: Array
    X: Array
    method: str
    resolved: bool
    other_w: Array
    other_X: Array
    place: tuple[Chebyshev, float] | None = None


@dataclass(frozen=True)
class LanczosSolve:
    """The input of both ways.

    ``first`` is a random vector; ``start`` another start if there is one, for spaces that looking for a filter has not
    begun; ``most`` the steps after which to give up.
    """

    k: int
    dimension: int
    tol: float
    most: int
    random: Callable[[], Array]
    first: Array
    start: Array | None
    continuation: Continuation | None

    def inverted(self, A: ValueOperator, inverse: Inverse, M: ValueOperator | None, sigma: float) -> Found | None:
        """Return pairs by T = (A − σ′M)⁻¹M in the inner product of M, σ′ the inverse's shift."""
        B = None if M is None else M.apply
        shift, eps = float(np.real(inverse.sigma)), Precision.of(self.first.dtype).eps
        # The unit of A's and M's rounding, as `DeflatedPairs.tolerances` has it.
        size = A.space.norm(A.apply(self.first)) / A.space.norm(self.first if B is None else B(self.first))

        def image(v: Array) -> Array:
            return inverse.operator.apply(v if B is None else B(v))

        # As in ARPACK: T's range is where the eigenvectors are. And the unit of its values.
        start = image(self.first if self.start is None else self.start)
        unit = np.finfo(start.dtype).dtype.type(A.space.largest(np.abs(start)))
        if not unit > 0:
            return None

        def apply(v: Array) -> Array:
            return inverse.operator.apply(v) / unit

        def rounding(key: float) -> float:
            key *= float(unit)
            return ROUNDING * eps * (float(size) * key + abs(sigma) * key + 1)

        wanted = ClosestTo(shift - sigma, float(unit))
        lanczos = Lanczos(A.space, apply, B, start / unit, self.dimension, wanted, self.random, rounding=rounding)
        # Another shift than σ is worth no more than σ takes, and no digits, which rounding next to it costs the others.
        most = self.most if shift == sigma else min(self.most, FILLINGS * self.dimension)
        found = wanted_pairs(lanczos, self.k, lambda theta: self.tol * np.abs(theta), most)
        if found is None:
            return None
        theta, X = found
        w, last = shift + 1 / (theta * float(unit)), float(wanted.key(theta)[self.k - 1])
        uneven = np.max(np.abs(theta)) / np.min(np.abs(theta))
        half = Precision.of(self.first.dtype).half
        if uneven > UNEVEN and (shift != sigma or eps * uneven > FARTHEST or self._spoiled(A, M, w, X.T, half)):
            return None
        # Next to a multiple eigenvalue that part of T's rounding which is not Hermitian is in all its vectors.
        noise = eps * (float(size) + abs(sigma)) * float(np.max(np.abs(theta))) * float(unit)
        norm_A = A.space.norm(A.apply(self.first)) / A.space.norm(self.first) if noise > NOISY else 0.0
        clean = max(Precision.of(self.first.dtype).agreeing(X.shape[1]), self.tol)
        if noise > NOISY and self._spoiled(A, M, w, X.T, clean, float(norm_A)):
            return None
        others, V = lanczos.others(last - lanczos.near(last))
        others = shift + 1 / (others * float(unit))
        gap = gap_beyond(float(w[self.k - 1]) - sigma, others - sigma)
        if self.continuation is not None and gap is not None:
            self.continuation.gap = self.k, sigma, gap
        return Found(w, X.T, "Lanczos", rounding(last) <= FARTHEST, others, V.T)

    def _spoiled(
        self, A: ValueOperator, M: ValueOperator | None, w: Array, X: Array, limit: float, norm_A: float = 0.0
    ) -> bool:
        """Return whether residuals are past a relative limit: σ next to an eigenvalue takes digits, not ARPACK's."""
        AX, MX = A.apply(X), X if M is None else M.apply(X)
        sizes = A.space.safe_norms(np.asfortranarray(AX)) + np.abs(w) * A.space.safe_norms(np.asfortranarray(MX))
        residuals = A.space.safe_norms(np.asfortranarray(AX - MX * w))
        return bool(np.any(residuals > limit * max(float(np.max(sizes)), norm_A * float(np.max(A.space.norms(X))))))

    def largest(self, A: ValueOperator) -> Found | None:
        """Return the pairs largest in modulus: by a filter for the end that has them, or for both; else T = A."""
        eps = Precision.of(self.first.dtype).eps

        def rounding(key: float) -> float:
            return ROUNDING * eps * float(np.max(np.abs(np.diagonal(space.H)))) / key if key else np.inf

        def accept(theta: Array) -> Array:
            return np.maximum(max(self.tol, NOISE * eps) * np.abs(theta), Precision.of(float).tiny)

        dimension = max(LOOK, self.dimension)
        space = Lanczos(
            A.space, A.apply, None, self.first, dimension, LargestInModulus(), self.random, rounding=rounding
        )
        if space.converge(self.k, accept, LOOK) is None:
            for side in (1, -1):
                spectrum = survey(space, side)
                if spectrum.ritz.size == 1:  # A is a multiple of the identity
                    return None
                q = design(spectrum.ritz, spectrum.count, spectrum.lower, self.k, side)
                if -spectrum.lower < side * q.edge and q.degree > EASY:
                    return self.filtered(A, side, spectrum)
            filtered = self.filtered(A, 0, survey(space, 0))
            if filtered is not None:
                return filtered
        found = wanted_pairs(space, self.k, accept, self.most) if np.any(space.H) else None
        if found is None:
            return None
        theta, X = found
        last = abs(float(theta[self.k - 1]))
        others, V = space.others(last - space.near(last))
        return Found(theta, X.T, "Lanczos", rounding(last) <= FARTHEST, others, V.T)

    def smallest(self, A: ValueOperator) -> Found | None:
        """Return the pairs smallest in modulus, where zero is next to an end of the spectrum; None where it is not."""
        space = Lanczos(A.space, A.apply, None, self.first, max(LOOK, self.dimension), Ordering(), self.random)
        while space.steps < LOOK:
            space.step()
        theta = space.ritz()[0]
        if np.min(theta) < 0 < np.max(theta):
            return None
        side = -1 if theta[0] > 0 else 1
        found = self.filtered(A, side, survey(space, side))
        if found is None:
            return None
        # Past the last one there is none on its side. On the other side there is none beyond the first.
        return found if -side * found.w[self.k - 1] >= side * found.w[0] else None

    def filtered(self, A: ValueOperator, side: int, spectrum: Spectrum | None = None) -> Found | None:
        """Return pairs by T = q(A) with a Chebyshev polynomial that is large where the wanted eigenvalues are.

        At the lower end of the spectrum (``side`` −1), at the upper one (1) or at both (0). No polynomial where the
        first steps, from which the spectrum is known (unless it is given), find them already.
        """
        kept, before, what = self.continuation, A.applications, (self.k, side)
        placed = None if kept is None else kept.placed
        if kept is not None and self.start is not None and placed is not None and placed[0] == what:
            _, q, norm, most = placed
            found = self._with(A, side, q.extended(), norm)
            if found is not None:
                # Where it takes more than to look anew, that is for the next call.
                kept.placed = placed if A.applications - before <= most else None
                return found
        found = self._anew(A, side, spectrum)
        if kept is not None and found is not None and found.place is not None:
            kept.placed = what, *found.place, A.applications - before
        return found

    def _anew(self, A: ValueOperator, side: int, spectrum: Spectrum | None) -> Found | None:
        """Return pairs by a polynomial for what is seen of the spectrum."""
        seen, resolved = None, False
        if spectrum is None:
            dimension = max(LOOK, self.dimension)
            seen = Lanczos(A.space, lambda v: side * A.apply(v), None, self.first, dimension, Ordering(), self.random)
            resolved = seen.converge(self.k, partial(self._resolved, seen), LOOK) is not None
            spectrum = survey(seen, 1)
        if spectrum.ritz.size == 1:  # A is a multiple of the identity
            return None
        multiple, norm = spectrum.multiple(self.k), spectrum.norm
        q = design(spectrum.ritz, spectrum.count, spectrum.lower, self.k, side, multiple)
        if not side and (spectrum.clustered() or q.degree <= EASY):
            return None
        if resolved or spectrum.clustered() or q.degree <= EASY:
            width = float(spectrum.ritz[0]) - spectrum.lower
            q = identity_filter(spectrum.lower, width, side)
            if seen is not None:
                rounding = partial(_rounding, q, norm * Precision.of(self.first.dtype).eps)
                seen.become(partial(q.apply, A.apply), 1 / width, 2 - spectrum.lower / width, rounding)
            return self._with(A, side, q, norm, seen)
        del seen  # its memory is needed
        coarse, degree = spectrum.count[0] >= wanted_count(self.k) and not multiple, 0
        space = None
        while coarse and q.degree > degree:  # finer, until it is fine enough
            space = self._space(A, q, self.first, norm)
            for _ in range(min(self.k + EXPLORE, self.dimension)):
                space.step()
            theta, S, _ = space.ritz()
            outside = q.wanted.key(theta) > 1
            count = counts(S[0] ** 2, self.first.size)[outside]
            if not outside.any() or count[-1] < 2 * wanted_count(self.k):
                break
            ritz = q.inverse(theta[outside])
            q, degree = design(side * ritz if side else np.abs(ritz), count, spectrum.lower, self.k, side), q.degree
            space = None
        return self._with(A, side, q, norm, space)  # what was begun is worth more than another start

    def _resolved(self, space: Lanczos, theta: Array) -> Array:
        """Return the residuals that are accepted of values of ±A."""
        noise = NOISE * Precision.of(self.first.dtype).eps * float(np.max(np.abs(np.diagonal(space.H))))
        return np.maximum(self.tol * np.abs(theta), max(noise, Precision.of(float).tiny))

    def _space(self, A: ValueOperator, q: Chebyshev, start: Array, norm: float) -> Lanczos:
        apply, rounding = partial(q.apply, A.apply), partial(_rounding, q, norm * Precision.of(start.dtype).eps)
        return Lanczos(A.space, apply, None, start, self.dimension, q.wanted, self.random, rounding=rounding)

    def _with(
        self,
        A: ValueOperator,
        side: int,
        q: Chebyshev,
        norm: float,
        space: Lanczos | None = None,
    ) -> Found | None:
        """Return the pairs by q(A), from ``space`` where it has been begun; None if q is in a wrong place."""
        eps, start = Precision.of(self.first.dtype).eps, self.first if self.start is None else self.start

        def accept(theta: Array) -> Array:
            # An error e along an eigenvector far away is θ e in this residual, and up to ‖A‖ e in that of A.
            return np.maximum(self.tol * np.abs(q.inverse(theta)) / norm, NOISE * eps) * np.abs(theta)

        space, left = space or self._space(A, q, start, norm), self.most
        while True:
            space.converge(self.k, accept, min(TRIAL * self.dimension, left // q.degree))
            if space.m >= self.k and q.wanted.key(space.ritz()[0])[self.k - 1] > OUTSIDE:
                break
            left -= space.steps * q.degree
            if left <= self.dimension * q.degree:
                return None
            q = widened(q, float(q.inverse(space.ritz()[0][0])))
            space = self._space(A, q, start, norm)
        found = wanted_pairs(space, self.k, accept, left // q.degree)
        if found is None:
            return None
        # Eigenpairs of A on the span.
        X = np.asfortranarray(found[1].T)
        AX = A.apply(X)
        G = A.space.gram(X, AX)
        w, U = small.eigh(A.space, 0.5 * (G + G.conj().T))
        X, AX = X @ U, AX @ U
        accepted = np.maximum(1e3 * eps * norm, 10 * self.tol * np.abs(w))
        if np.any(~q.outside(w) | (A.space.safe_norms(AX - X * w) > accepted)):
            return None
        last = float(q.wanted.key(found[0])[self.k - 1])
        others, V = space.others(last - space.near(last))
        outside = q.wanted.key(others) > OUTSIDE
        method, resolved = "Lanczos" if q.degree == 1 else "filtered Lanczos", space.rounding(last) <= FARTHEST
        others, V = q.inverse(others[outside]), V[outside].T
        first = np.argsort(-np.abs(w), kind="stable") if not side else np.arange(w.size)[::-side]
        return Found(w[first], X[:, first], method, resolved, others, V, (q, norm))


def _rounding(q: Chebyshev, error: float, theta: float) -> float:
    """Return the relative error of an eigenvalue of q(A) for an ``error`` of A's."""
    return ROUNDING * error * float(q.slope(q.inverse(np.array(theta)))) / abs(theta)
