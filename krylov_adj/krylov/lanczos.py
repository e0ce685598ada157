"""Thick-restart Lanczos for the forward pass, and the proof that it has seen every eigenvector.

T is self-adjoint in the inner product of B: T = A, a polynomial of A, or (A − σB)⁻¹B, real or complex. The basis V is
B-orthonormal and T V = V H + v⁺ β eᵀ, with real H and β of complex T, too. When it is full it is contracted to the
wanted half of the Ritz vectors, on which H is diagonal with one more row, the residuals (Wu & Simon, SIAM J. Matrix
Anal. Appl. 22 (2000) 602). A step subtracts what the recurrence knows and then, once, what is left along the whole
basis; twice where that was not small (Daniel, Gragg, Kaufman & Stewart, Math. Comp. 30 (1976) 772).

A single start vector has no more than one direction of every eigenspace, and none of one that it is
orthogonal to (symmetry); a multiple eigenvalue's other copies come by rounding, or do not. Whether one was missed,
`Lanczos.complete` finds out for all values past a limit ℓ.

*Counting.* Y are Ritz vectors, p of them with values past ℓ and q with values θ_j < ℓ, with T Y = Y Θ + R, YᴴBR = 0
and the residuals' norms ρ_j; C is the compression of T to the B-orthogonal complement of Y. In the basis of Y and its
complement T is [[Θ, Rᴴ], [R, C]]. If C < ℓ, then for ℓ′ = ℓ + ε, ε = Σ_q ρ_j²/(ℓ − θ_j), T − ℓ′ has no
more positive eigenvalues than its Schur complement Θ − ℓ′ + Rᴴ(ℓ′ − C)⁻¹R (Haynsworth), whose block of the q is
negative: ‖(ℓ′ − C)⁻¹‖ < 1/ε. So at most p eigenvalues of T are larger than ℓ′, however good or bad the p vectors are.
The q are chosen such that ε is a tenth of what `Precision.near` tells apart.

*Growth.* C < ℓ is decided by Lanczos on C from a random vector r. Let Cz = ζz with ζ ≥ ℓ. With the orthonormal
polynomials p_j of that process zᴴB v_j = p_j(ζ) zᴴB r, and because the v_j are orthonormal |zᴴB r|² Σ p_j(ζ)² ≤ 1;
past the largest Ritz value p_j² grows with ζ, so that Σ p_j(ℓ)² bounds it from below. A random unit r has a share
of z of about 1/√n. So once Σ p_j(ℓ)² is so large that the share would have to be a thousandth of this, there is no
such z. The sum grows fast, because what lies next to ℓ is in Y.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import small
from .blocks import combine, steps_to_go
from .ordering import InvariantSubspace, Ordering, cut
from .precision import Precision
from .space import Space

Array = np.ndarray
Apply = Callable[[Array], Array]

#: A random vector's share of a direction is taken to be at least this part of its typical size.
SHARE = 1e-3

#: Steps of the test for what was missed.
SEARCH = 60

#: Relative residual of a value that is taken for the largest of what was missed.
SEARCHED = 1e-6


#: Values next to the last wanted one, see `Precision.near`, are never looked for farther away than this.
FARTHEST = 2e-2


#: At most so many eigenpairs besides the wanted ones are handed on, with keys down to this part of theirs.
OTHERS = 8
REACH = 1e-2


class Lanczos:
    """A basis of at most ``dimension`` vectors, kept B-orthogonal to ``locked`` ones.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(B v)`` is T v.
    B : callable or None
    start : ndarray, shape (n,), or None
        None for a random one, besides ``locked``.
    dimension : int
    wanted : Ordering
        Which values are.
    random : callable
        ``random()`` makes a vector, another one every time.
    locked : ndarray, shape (d, n), optional
        B-orthonormal eigenvectors of T.
    rounding : callable, optional
        How far from a key, relatively, others cannot be told apart, up to `FARTHEST`: they are next to it.
    """

    def __init__(
        self,
        space: Space,
        apply: Apply,
        B: Apply | None,
        start: Array | None,
        dimension: int,
        wanted: Ordering,
        random: Callable[[], Array],
        locked: Array | None = None,
        rounding: Callable[[float], float] = lambda key: 0.0,
    ):
        given = next(vectors for vectors in (start, locked) if vectors is not None)
        n, dtype = given.shape[-1], given.dtype
        self.space = space
        self.apply, self.B, self.wanted, self.random, self.dimension = apply, B, wanted, random, dimension
        self.rounding = rounding
        self.locked = 0 if locked is None else locked.shape[0]
        self.V = space.empty((self.locked + dimension + 1, n), dtype)
        self.W = self.V if B is None else np.empty_like(self.V)
        if locked is not None:
            self.V[: self.locked] = locked
            if B is not None:
                for i in range(self.locked):
                    self.W[i] = B(locked[i])
        self.H = np.zeros((dimension + 1, dimension + 1))
        self.m = self.kept = self.steps = self.taken = 0
        self.beta = 0.0
        self._store(0, *(self._new(self.locked) if start is None else self._elsewhere(start.copy(), self.locked)))

    def near(self, key: float) -> float:
        """The distance from a key within which others count as next to it."""
        return abs(key) * min(max(Precision.of(self.V.dtype).near, self.rounding(key)), FARTHEST)

    # ---- one step ----------------------------------------------------------------------------

    def _square(self, v: Array, image: Array) -> float:
        """vᴴ C v of a self-adjoint C: the imaginary part is rounding."""
        return float(self.space.dot(v, image).real)

    def _orthogonal(self, w: Array, rows: int) -> tuple[Array, Array, float]:
        """w (in place) without its part in the first rows, its image and its norm."""
        V, W = self.V[:rows], self.W[:rows]
        for _ in range(3):
            h = self.space.overlaps(W, w)
            w -= h @ V
            image = w if self.B is None else self.B(w)
            norm = float(np.sqrt(max(self._square(w, image), 0.0)))
            if small.norm(h) <= norm:
                break
        return w, image, norm

    def _elsewhere(self, w: Array, rows: int) -> tuple[Array, Array, float]:
        """Return a vector outside of the basis' span, made orthogonal as by `_orthogonal`."""
        square = self._square(w, w if self.B is None else self.B(w))
        w, image, norm = self._orthogonal(w, rows)
        if not norm**2 > Precision.of(w.dtype).eps * max(square, 0.0):  # negative where B is no inner product
            raise InvariantSubspace
        return w, image, norm

    def _new(self, rows: int) -> tuple[Array, Array, float]:
        """A random vector, as `_elsewhere`.

        Of T's range, where eigenvectors have a part in B's null space, but not T's image of any vector: next to what
        T has a large value for, others would drown.
        """
        w, image, norm = self._elsewhere(self.random(), rows)
        return (w, image, norm) if self.B is None else self._elsewhere(self.apply(image / image.dtype.type(norm)), rows)

    def _seen_by_B(self, w: Array, norm: float) -> None:
        """Every step divides the part of w in B's null space by its norm: where T has few values it grows for ever."""
        if self.B is not None and norm > 0:
            size = self.space.norm(self.V[self.locked])
            if self.space.norm(w) / norm > size / Precision.of(w.dtype).half:
                raise InvariantSubspace

    def _store(self, j: int, w: Array, image: Array, norm: float) -> None:
        row = self.locked + j
        np.divide(w, norm, out=self.V[row])
        if self.B is not None:
            np.divide(image, norm, out=self.W[row])

    def step(self) -> None:
        j, H = self.m, self.H
        V, W = self.V[self.locked :], self.W[self.locked :]
        w = self.apply(W[j])
        self.steps += 1
        H[j, j] = alpha = self._square(W[j], w)
        w = w - V.dtype.type(alpha) * V[j]
        if j > self.kept:
            w -= V.dtype.type(H[j, j - 1]) * V[j - 1]
        elif j:
            w -= H[j, :j].astype(V.dtype) @ V[:j]
        w, image, norm = self._orthogonal(w, self.locked + j + 1)
        self._seen_by_B(w, norm)
        self.beta = norm
        if norm <= Precision.of(V.dtype).floor * np.max(np.abs(H[: j + 1, : j + 1])):
            # An invariant subspace: go on elsewhere.
            self.beta = 0.0
            w, image, norm = self._new(self.locked + j + 1)
        H[j + 1, j] = H[j, j + 1] = self.beta
        self._store(j + 1, w, image, norm)
        self.m = j + 1

    # ---- Ritz pairs --------------------------------------------------------------------------

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values, the most wanted first, their coefficients, and their residuals' B-norms.

        Of values that coincide, all but the last have residual zero: a copy that has just come by rounding does not
        spoil those that have converged.
        """
        theta, S = small.eigh(self.space, self.H[: self.m, : self.m])
        apart = np.diff(theta) > Precision.of(self.V.dtype).noise * np.abs(theta[1:])
        for group in [] if apart.all() else np.split(np.arange(self.m), np.flatnonzero(apart) + 1):
            if group.size > 1:
                theta[group] = np.mean(theta[group])
                Q = small.full_qr(self.space, S[-1, group][:, None])[0]
                S[:, group] = S[:, group] @ Q[:, ::-1]
                S[-1, group[:-1]] = 0
        order = np.argsort(-self.wanted.key(theta), kind="stable")
        S = S[:, order]
        return theta[order], S, self.beta * np.abs(S[-1])

    def vectors(self, theta: Array, S: Array) -> Array:
        """Ritz vectors as rows; where B may be singular as T's images, which have the part in its null space."""
        V = self.V[self.locked :]
        if self.B is None:
            return S.T.astype(V.dtype) @ V[: self.m]
        # Of the images, the closest orthonormal vectors: they are so only to the residuals' squares.
        P, _, Q = small.svd(self.space, self.H[: self.m + 1, : self.m] @ S / theta)
        return (P @ Q).T.astype(V.dtype) @ V[: self.m + 1]

    def restart(self, S: Array, theta: Array) -> None:
        """Contract the basis to the given Ritz vectors."""
        keep, dtype = theta.size, self.V.dtype
        for stored in (self.V,) if self.B is None else (self.V, self.W):
            rows = stored[self.locked :]
            combine(rows[: self.m], S.astype(dtype))
            rows[keep] = rows[self.m]
        self.H[:] = 0
        self.H[np.arange(keep), np.arange(keep)] = theta
        self.H[keep, :keep] = self.H[:keep, keep] = self.beta * S[-1]
        self.m = self.kept = keep

    def become(self, apply: Apply, factor: float, shift: float, rounding: Callable[[float], float]) -> None:
        """The same space for factor T + shift (factor > 0), applied by ``apply``."""
        self.apply, self.rounding = apply, rounding
        self.H *= factor
        self.beta *= factor
        self.H[np.arange(self.m), np.arange(self.m)] += shift

    def converge(self, k: int, accept: Callable[[Array], Array], most: int) -> tuple[Array, Array] | None:
        """The k most wanted Ritz pairs and those next to the last of them; None past ``most`` steps.

        ``accept(theta)`` is the largest residual accepted of each.
        """
        wanted, check, history = k, 0, list[tuple[int, float]]()
        widest = max(k, (k + self.dimension) // 2)  # room for the steps between restarts
        while True:
            if self.m >= min(max(check, wanted + 1), self.dimension):
                theta, S, residuals = self.ritz()
                accepted = accept(theta)
                excess = np.where(residuals > 0, np.inf, 0.0)
                np.divide(residuals, accepted, out=excess, where=accepted > 0)
                done = int(np.argmax(np.append(excess > 1, True)))
                if done >= k:
                    key = self.wanted.key(theta)
                    near = self.near(key[k - 1])
                    seen = max(self.seen(key[k - 1] - near), k)
                    if seen <= done or done >= widest or cut(self.wanted.signed(theta[:done]), k, near):
                        self.taken = min(seen, done)
                        return theta[: self.taken], S[:, : self.taken]
                    wanted, history = min(seen, widest), []
                else:
                    history.append((self.steps, float(np.max(excess[:wanted]))))
                if self.steps >= most:
                    return None
                if self.m == self.dimension:
                    keep = min(max(wanted + 2, self.dimension // 2), self.dimension - 2)
                    self.restart(S[:, :keep], theta[:keep])
                check = self.m + steps_to_go(history)
            self.step()

    def seen(self, limit: float) -> int:
        """Return how many Ritz values are wanted as much as ``limit``, or will be when they have converged."""
        theta, _, residuals = self.ritz()
        arriving = np.where(residuals <= 1e-2 * np.abs(theta), residuals, 0)
        key = self.wanted.key
        return int(np.count_nonzero(np.maximum(key(theta - arriving), key(theta + arriving)) >= limit))

    def others(self, limit: float) -> tuple[Array, Array]:
        """Ritz values less wanted than ``limit``, and vectors as rows: after `complete`, nearly eigenpairs.

        Not those so far from it that they are of no use, and rounding perhaps.
        """
        theta, S, _ = self.ritz()
        key = self.wanted.key(theta)
        less = np.flatnonzero((key < limit) & (key > REACH * limit))[:OTHERS]
        return theta[less], self.vectors(theta[less], S[:, less])

    # ---- what the start vector had no share of -----------------------------------------------

    def complete(self, limit: float, steps: int = SEARCH) -> bool:
        """Whether no eigenvector outside of the basis has a value wanted as much as ``limit``.

        The basis is contracted to the Ritz vectors that this needs. Three-term recurrence without storage: what its
        rounding loses are copies of values that have converged, of which none may.
        """
        theta, S, residuals = self.ritz()
        bound = np.array(self.wanted.beyond(limit))
        within, small = 1 - theta / bound[:, None], 0.1 * Precision.of(self.V.dtype).near / self.m
        known = np.all((within > 0) & ((residuals / bound[:, None]) ** 2 <= small * within), axis=0)
        known[: self.taken] = True
        self.restart(S[:, known], theta[known])
        # An image has less of what is next to the smaller bound, by as much as T's values differ, if none is past them.
        share = SHARE if self.B is None else SHARE * np.abs(bound) / np.max(np.abs(bound))
        rows, enough = self.locked + self.m, self.space.size(self.V.shape[1]) / np.broadcast_to(share, bound.shape) ** 2
        older, old, total = np.zeros(bound.size), np.ones(bound.size), np.ones(bound.size)
        try:
            v, image, norm = self._new(rows)
        except InvariantSubspace:
            return True
        before, beta, least = np.zeros_like(v), 0.0, float(Precision.of(v.dtype).eps * np.max(np.abs(bound)))
        for _ in range(steps):
            v, image = v / v.dtype.type(norm), image / v.dtype.type(norm)
            w = self.apply(image)
            self.steps += 1
            alpha = self._square(image, w)
            w = w - v.dtype.type(alpha) * v - v.dtype.type(beta) * before
            w, image, norm = self._orthogonal(w, rows)
            self._seen_by_B(w, norm)
            # p_j(ℓ) times the sign of ℓ^j; less than that where r has no share of what is left.
            new = ((np.abs(bound) - np.sign(bound) * alpha) * old - beta * older) / max(norm, least)
            if np.any(new <= 0):  # a Ritz value is past the limit
                return False
            total += new**2
            slow = total < enough
            if not slow.any():
                return True
            bound, enough, older, old, total = bound[slow], enough[slow], old[slow], new[slow], total[slow]
            if norm <= least:
                return False
            before, v, beta = v, w, norm
        return False


def wanted_pairs(lanczos: Lanczos, k: int, accept: Callable[[Array], Array], most: int) -> tuple[Array, Array] | None:
    """The k most wanted eigenpairs of T and some next to the last, values (k + e,) and vectors (k + e, n).

    All of those, or so many that every value next to the last of the k has one next to it. None where they have
    not converged within ``most`` steps.
    """
    found = lanczos.converge(k, accept, most)
    if found is None:
        return None
    theta, X = found[0], lanczos.vectors(*found)
    wanted, steps, patience = lanczos.wanted, lanczos.steps, SEARCH

    def searched(values: Array) -> Array:
        # What converges so far from a random vector is the largest on its side.
        return np.minimum(accept(values), SEARCHED * np.abs(values))

    while True:
        last, before = float(wanted.key(theta)[k - 1]), lanczos.steps
        if lanczos.complete(last - lanczos.near(last), patience):
            return theta, X
        steps += lanczos.steps - before
        if steps >= most:
            return None
        # Something is there: eigenvectors of the complement of what is known.
        random = lanczos.random
        lanczos = Lanczos(
            lanczos.space, lanczos.apply, lanczos.B, None, lanczos.dimension, wanted, random, X, lanczos.rounding
        )
        more = 0
        while True:
            patience *= 2  # a proof takes long where others are just past the limit
            found = lanczos.converge(more + 1, searched, most - steps)
            if found is None:
                return None
            more = found[0].size
            values = np.concatenate([theta, found[0]])
            key = wanted.key(values)
            order = np.argsort(-key, kind="stable")
            near = lanczos.near(float(key[order[k - 1]]))
            limit = float(key[order[k - 1]] - near)
            chosen = order[key[order] >= limit]
            missed, full = bool(np.any(chosen >= theta.size)), 2 * more >= lanczos.dimension
            # What was found has one direction of every eigenspace that is left: there may be any number of copies.
            copies = missed and key[theta.size] <= last + Precision.of(X.dtype).tied * abs(last)
            copies = copies and cut(wanted.signed(values[chosen]), k, near)
            if missed and (copies or full or lanczos.seen(limit) <= more):
                theta, X = values[chosen], np.concatenate([X, lanczos.vectors(*found)])[chosen]
                if copies and lanczos.complete(limit + 2 * near, patience):
                    return theta, X
                break
            # One that is there need not have converged: on the side of T's spectrum where others are next to it.
            if not missed and lanczos.complete(limit, patience):
                return theta, X
            if full:
                break
        steps += lanczos.steps
