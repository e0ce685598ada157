"""Thick-restart Lanczos for the forward pass, and the proof that it has seen every eigenvector.

T is real and self-adjoint in the inner product of B: T = A, a polynomial of A, or (A − σB)⁻¹B. The basis V is
B-orthonormal and T V = V H + v⁺ β eᵀ. When it is full it is contracted to the wanted half of the Ritz vectors, on
which H is diagonal with one more row, the residuals (Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000) 602).
A step subtracts what the recurrence knows and then, once, what is left along the whole basis; twice where
that was not small (Daniel, Gragg, Kaufman & Stewart, Math. Comp. 30 (1976) 772).

A single start vector has no more than one direction of every eigenspace, and none of one that it is
orthogonal to (symmetry); a multiple eigenvalue's other copies come by rounding, or do not. What was missed,
an eigenvector z with Tz = θz orthogonal to those in hand, is looked for: `Lanczos.complete` runs Lanczos from a random
vector r on the compression C of T to the complement of

* the eigenvectors X in hand, and
* the Ritz vectors y_j of values θ_j < θ that are known well: from yᵀB(T y − θ_j y) = 0 and ‖T y − θ_j y‖ = ρ_j,
  |zᵀB y_j| ≤ ρ_j/(θ − θ_j), so that C has an eigenvalue within Σ ρ_j²/(θ − θ_j) of θ, kept below a tenth of what
  `nearness` tells apart.

With the orthonormal polynomials p_j of that process zᵀB v_j = p_j(θ) zᵀB r, and because the v_j are
orthonormal (zᵀB r)² Σ p_j(θ)² ≤ 1; the sum grows with θ past the largest Ritz value. A random unit r has a share
of z of about 1/√n. So once Σ p_j² is so large that the share would have to be a thousandth of this, there is no such z.
The sum grows fast, because what lies next to θ is in X or known well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .blocks import steps_to_go

Array = np.ndarray
Apply = Callable[[Array], Array]

#: A random vector's share of a direction is taken to be at least this part of its typical size.
SHARE = 1e-3

#: Steps of the search for what was missed.
SEARCH = 60


def nearness(dtype: np.dtype) -> float:
    """Values closer to the last wanted one than this, relatively, are computed too: k may cut a cluster."""
    return float(np.finfo(dtype).eps ** 0.4)


class Lanczos:
    """A basis of at most ``dimension`` vectors, kept B-orthogonal to ``locked`` ones.

    Parameters
    ----------
    apply : callable
        ``apply(B v)`` is T v.
    B : callable or None
    start : ndarray, shape (n,)
    dimension : int
    key : callable
        How much a value is wanted, vectorised.
    locked : ndarray, shape (d, n), optional
        B-orthonormal eigenvectors of T.
    """

    def __init__(
        self,
        apply: Apply,
        B: Apply | None,
        start: Array,
        dimension: int,
        key: Callable[[Array], Array],
        locked: Array | None = None,
    ):
        n, dtype = start.size, start.dtype
        self.apply, self.B, self.key, self.dimension = apply, B, key, dimension
        self.locked = 0 if locked is None else locked.shape[0]
        self.V = np.empty((self.locked + dimension + 1, n), dtype)
        self.W = self.V if B is None else np.empty_like(self.V)
        if locked is not None:
            self.V[: self.locked] = locked
            if B is not None:
                for i in range(self.locked):
                    self.W[i] = B(locked[i])
        self.H = np.zeros((dimension + 1, dimension + 1))
        self.m = self.kept = self.steps = 0
        self.beta = 0.0
        self._store(0, *self._orthogonal(start.copy(), self.locked))

    # ---- one step ----------------------------------------------------------------------------

    def _orthogonal(self, w: Array, rows: int) -> tuple[Array, Array, float]:
        """w (in place) without its part in the first rows, its image and its norm."""
        V, W = self.V[:rows], self.W[:rows]
        for _ in range(3):
            h = W @ w
            w -= h @ V
            image = w if self.B is None else self.B(w)
            norm = float(np.sqrt(max(float(np.dot(w, image)), 0.0)))
            if np.linalg.norm(h) <= norm:
                break
        return w, image, norm

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
        H[j, j] = alpha = float(np.dot(W[j], w))
        w = w - V.dtype.type(alpha) * V[j]
        if j > self.kept:
            w -= V.dtype.type(H[j, j - 1]) * V[j - 1]
        elif j:
            w -= H[j, :j].astype(V.dtype) @ V[:j]
        w, image, norm = self._orthogonal(w, self.locked + j + 1)
        self.beta = norm
        if norm <= np.finfo(V.dtype).eps * np.max(
            np.abs(H[: j + 1, : j + 1])
        ):  # an invariant subspace: go on elsewhere
            self.beta = 0.0
            random = np.random.default_rng(j).standard_normal(w.size).astype(V.dtype)
            w, image, norm = self._orthogonal(random, self.locked + j + 1)
        H[j + 1, j] = H[j, j + 1] = self.beta
        self._store(j + 1, w, image, norm)
        self.m = j + 1

    # ---- Ritz pairs --------------------------------------------------------------------------

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values, the most wanted first, their coefficients, and their residuals' B-norms."""
        theta, S = np.linalg.eigh(self.H[: self.m, : self.m])
        order = np.argsort(-self.key(theta), kind="stable")
        S = S[:, order]
        return theta[order], S, self.beta * np.abs(S[-1])

    def vectors(self, theta: Array, S: Array) -> Array:
        """Ritz vectors as rows; where B may be singular as T's images, which have the part in its null space."""
        V = self.V[self.locked :]
        if self.B is None:
            return S.T.astype(V.dtype) @ V[: self.m]
        image = self.H[: self.m + 1, : self.m] @ S / theta
        return image.T.astype(V.dtype) @ V[: self.m + 1]

    def restart(self, S: Array, theta: Array) -> None:
        """Contract the basis to the given Ritz vectors."""
        keep, dtype = theta.size, self.V.dtype
        for stored in (self.V,) if self.B is None else (self.V, self.W):
            rows = stored[self.locked :]
            rows[:keep] = S.T.astype(dtype) @ rows[: self.m]
            rows[keep] = rows[self.m]
        self.H[:] = 0
        self.H[np.arange(keep), np.arange(keep)] = theta
        self.H[keep, :keep] = self.H[:keep, keep] = self.beta * S[-1]
        self.m = self.kept = keep

    def converge(self, k: int, accept: Callable[[Array], Array], most: int) -> tuple[Array, Array] | None:
        """The k most wanted Ritz pairs and those `nearness` to the last of them; None past ``most`` steps.

        ``accept(theta)`` is the largest residual accepted of each.
        """
        wanted, check, history = k, 0, list[tuple[int, float]]()
        near = nearness(self.V.dtype)
        while True:
            if self.m >= min(max(check, wanted + 1), self.dimension):
                theta, S, residuals = self.ritz()
                worst = float(np.max(residuals[:wanted] / accept(theta[:wanted])))
                if worst <= 1:
                    seen = self.seen(self.key(theta)[k - 1] - near * abs(theta[k - 1]))
                    if seen <= wanted or wanted >= self.dimension - 2:
                        return theta[:wanted], S[:, :wanted]
                    wanted, history = min(seen, self.dimension - 2), []
                else:
                    history.append((self.steps, worst))
                if self.steps >= most:
                    return None
                if self.m == self.dimension:
                    keep = min(max(wanted + 2, self.dimension // 2), self.dimension - 2)
                    self.restart(S[:, :keep], theta[:keep])
                check = self.m + steps_to_go(history)
            self.step()

    def seen(self, limit: float) -> int:
        """How many Ritz values are wanted as much as ``limit``, or will be when they have converged."""
        theta, _, residuals = self.ritz()
        arriving = np.where(residuals <= 1e-2 * np.abs(theta), residuals, 0)
        return int(np.count_nonzero(self.key(theta) + arriving >= limit))

    # ---- what the start vector had no share of -----------------------------------------------

    def complete(self, limit: float, ends: bool, random: Array) -> bool:
        """Whether no eigenvector outside of the basis has a value wanted as much as ``limit``.

        The basis is contracted to the Ritz vectors that this needs. ``random`` (n,) is overwritten; ``ends``: values
        at both ends of the spectrum are wanted. Three-term recurrence without storage: what its rounding
        loses are copies of values that have converged, of which none may.
        """
        theta, S, residuals = self.ritz()
        key, small = self.key(theta), 0.1 * nearness(self.V.dtype) * limit / self.m
        known = (key >= limit) | (residuals**2 <= small * np.abs(limit - key))
        self.restart(S[:, known], theta[known])
        rows, enough = self.locked + self.m, random.size / SHARE**2
        side = np.array([1.0, -1.0] if ends else [1.0])
        older, old, total = np.zeros(side.size), np.ones(side.size), np.ones(side.size)
        v, image, norm = self._orthogonal(random, rows)
        before, beta = np.zeros_like(v), 0.0
        for _ in range(SEARCH):
            v, image = v / v.dtype.type(norm), image / v.dtype.type(norm)
            w = self.apply(image)
            self.steps += 1
            alpha = float(np.dot(image, w))
            w = w - v.dtype.type(alpha) * v - v.dtype.type(beta) * before
            w, image, norm = self._orthogonal(w, rows)
            if norm <= np.finfo(v.dtype).eps * max(abs(alpha), beta):
                return False
            new = ((limit - side * alpha) * old - beta * older) / norm  # p_j(±limit) times (±1)^j
            if np.any(new <= 0):  # a Ritz value is past the limit
                return False
            older, old, total = old, new, total + new**2
            if np.all(total >= enough):
                return True
            before, v, beta = v, w, norm
        return False


def wanted_pairs(
    lanczos: Lanczos, k: int, accept: Callable[[Array], Array], most: int, random: Callable[[], Array], ends: bool
) -> tuple[Array, Array] | None:
    """The k most wanted eigenpairs of T and those `nearness` to the last, values (k + e,) and vectors (k + e, n).

    None where they have not converged within ``most`` steps. ``random()`` makes start vectors; ``ends``: values at
    both ends of the spectrum are wanted, largest in modulus, else the largest.
    """
    found = lanczos.converge(k, accept, most)
    if found is None:
        return None
    theta, X = found[0], lanczos.vectors(*found)
    key, near, steps = lanczos.key, nearness(X.dtype), lanczos.steps

    while True:
        limit, before = float(key(theta)[k - 1] - near * abs(theta[k - 1])), lanczos.steps
        if lanczos.complete(limit, ends, random()):
            return theta, X
        steps += lanczos.steps - before
        # Something is there: eigenvectors of the complement of what is known.
        lanczos = Lanczos(lanczos.apply, lanczos.B, random(), lanczos.dimension, key, X)
        more = 0
        while True:
            more += 1
            found = lanczos.converge(more, accept, most - steps)
            if found is None:
                return None
            values = np.concatenate([theta, found[0]])
            order = np.argsort(-key(values), kind="stable")
            limit = float(key(values)[order[k - 1]] - near * abs(values[order[k - 1]]))
            more = found[0].size
            if more >= lanczos.dimension - 4 or lanczos.seen(limit) <= more:
                break
        steps += lanczos.steps
        wanted = order[key(values)[order] >= limit]
        X = np.concatenate([X, lanczos.vectors(*found)])[wanted]
        missed = bool(np.any(wanted >= theta.size))
        theta = values[wanted]
        if not missed:
            return theta, X
