"""Generalised gradients of a cluster of eigenvalues, in the few numbers that a small Hermitian matrix has.

Let H(p), m × m, carry a cluster of m eigenvalues. S(d) = dH[d] is linear in the direction d, and so is its transpose,
S*(Y) = ∇ Re tr(Yᴴ H). Where the eigenvalues coincide, those of S(d) are their one-sided derivatives, and the sum of the
r largest has the generalised gradient (Clarke's) {S*(Y): 0 ⪯ Y ⪯ I, tr Y = r}. With an orthonormal basis E_a of the
Hermitian matrices and the Gram matrix G_ab = ⟨S*(E_a), S*(E_b)⟩ everything is a problem of at most m² real numbers y,
Y = Σ y_a E_a:

    minimise ½ yᵀG y − cᵀy    over    0 ⪯ Y ⪯ I,   tr Y = r.

c = 0: the element of smallest norm, whose negative is the direction of steepest descent. τG and c from H: the dual of
the proximal model, minimise Σ_{i ≤ r} λᵢ(H + S(d)) + ‖d‖²/2τ, which is solved by d = −τ S*(Y).

Newton's method on the barrier −μ log det Y (− μ log det(I − Y) for r > 1), in coordinates in which its Hessian is μ
times the identity. Small eigenvalues of Y, and of I − Y, keep their digits, so that μ may go down to rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..krylov.precision import Precision
from ..krylov.small import cholesky, eigh, eigvalsh, full_qr, norm, svd
from ..krylov.space import WHOLE

__all__ = ["Optimum", "coefficients", "combine", "hermitian_basis", "largest_sum", "minimise"]

Array = np.ndarray

#: Each barrier is this part of the one before. Two or three steps of Newton's method follow it from one to the next.
SHRINK = 0.15

#: Steps of one barrier end where the square of Newton's step, in the barrier's own units, is below this: within a tenth
#: of the radius of quadratic convergence, the next barrier starts as well as from the exact minimum.
CENTRED = 1e-2

#: More steps of one barrier than this are rounding: a step takes away a constant, or squares the error.
STEPS = 50

#: Part of the way to the boundary that a step goes at most.
INSIDE = 0.9


class Optimum(NamedTuple):
    """The minimiser Y, its coefficients, and by how much its value may exceed the minimum."""

    Y: Array
    y: Array
    gap: float


def hermitian_basis(m: int, is_complex: bool) -> Array:
    """Return a basis, (q, m, m), of the Hermitian (real symmetric) matrices, orthonormal by ⟨E, F⟩ = Re tr EᴴF."""
    basis = []
    for a in range(m):
        for b in range(a, m):
            E = np.zeros((m, m), complex if is_complex else float)
            E[a, b] = E[b, a] = 1.0 if a == b else 0.5**0.5
            basis.append(E)
            if is_complex and a != b:
                basis.append(1j * np.triu(E) - 1j * np.tril(E))
    return np.array(basis)


def coefficients(basis: Array, Y: Array) -> Array:
    """Return ⟨E_a, Y⟩, (q,); of several Y, (n, m, m), a row for each, (n, q)."""
    flat = np.reshape(Y, (*np.shape(Y)[:-2], -1))
    return np.asarray(np.real(flat @ basis.reshape(len(basis), -1).conj().T))


def combine(y: Array, basis: Array) -> Array:
    """Return Σ y_a E_a."""
    return np.asarray((y @ basis.reshape(len(basis), -1)).reshape(basis.shape[1:]))


def largest_sum(H: Array, r: int) -> float:
    """Return the sum of the r largest eigenvalues of a Hermitian matrix."""
    return float(np.sum(eigvalsh(WHOLE, H)[-r:]))


def minimise(G: Array, c: Array, basis: Array, r: int) -> Optimum:
    """Return the minimiser of ½ yᵀG y − cᵀy over 0 ⪯ Y ⪯ I, tr Y = r.

    The gap is computed from Y by duality; ½ ‖S*(Y) − S*(Y⋆)‖² is below it.
    """
    m = basis.shape[1]
    identity = np.eye(m).astype(basis.dtype)
    best = _optimum(G, c, basis, identity * (r / m), r)
    if r == m:
        return best
    if 2 * r > m:  # I − Y, of trace m − r: for r = m − 1 its upper bound follows from the trace
        one = coefficients(basis, identity)
        other = minimise(G, G @ one - c, basis, m - r)
        return _optimum(G, c, basis, identity - other.Y, r)
    scale = norm(G) + norm(c)
    state = Spectrum(identity, np.full(m, r / m), np.full(m, 1 - r / m if r > 1 else np.inf))
    eps, mu = Precision.of(G.dtype).eps, scale
    while mu * m > eps * scale:
        last, decrement = mu * SHRINK * m <= eps * scale, np.inf
        for _ in range(STEPS):
            state, new = _newton_step(G, c, basis, state, mu)
            # What steps leave is μ times the decrement, and Y is off by its root: at the end until rounding.
            if (new <= CENTRED and not last) or new >= decrement or new <= eps:
                break
            decrement = new
        reached = _optimum(G, c, basis, state.matrix, r)
        best = reached if reached.gap <= best.gap + eps * scale else best
        mu *= SHRINK
    return best


def _optimum(G: Array, c: Array, basis: Array, Y: Array, r: int) -> Optimum:
    y = coefficients(basis, Y)
    slope = G @ y - c
    # The least of ⟨slope, Z⟩ over all Z that are allowed is minus the sum of the r largest eigenvalues of −slope.
    return Optimum(Y, y, max(0.0, float(slope @ y) + largest_sum(-combine(slope, basis), r)))


class Spectrum(NamedTuple):
    """Y = U diag(y) Uᴴ and I − Y = U diag(z) Uᴴ, both with the digits of their small eigenvalues.

    z is infinite for r = 1, where Y ⪯ I follows from the trace.
    """

    U: Array
    y: Array
    z: Array

    @property
    def matrix(self) -> Array:
        return (self.U * self.y) @ self.U.conj().T

    def moved(self, change: Array, length: float) -> Spectrum:
        """Return that of Y + length · U change Uᴴ.

        From singular values of factors: those of √y have half of the digits of the smallest y at least. Next to one,
        z is what has to have digits, and comes from the factor of I − Y.
        """
        identity = np.eye(len(self.y))
        L = (self.U * self.y**0.5) @ cholesky(WHOLE, identity + length * _scaled(change, self.y))
        U, s, _ = svd(WHOLE, L)
        if not np.isfinite(self.z[0]):
            return Spectrum(U, s**2, self.z)
        K = (self.U * self.z**0.5) @ cholesky(WHOLE, identity - length * _scaled(change, self.z))
        large = s**2 > 0.5
        UH = U[:, large].conj().T
        P, t, _ = svd(WHOLE, UH @ K)
        y, z = s[~large] ** 2, t**2
        return Spectrum(np.hstack([U[:, large] @ P, U[:, ~large]]), np.r_[1 - z, y], np.r_[z, 1 - y])


def _scaled(E: Array, d: Array) -> Array:
    """Return diag(d)^−½ E diag(d)^−½."""
    return E / np.sqrt(d[:, None] * d)


def _newton_step(G: Array, c: Array, basis: Array, state: Spectrum, mu: float) -> tuple[Spectrum, float]:
    """Return Y after a step towards the minimum with the barrier μ, and the decrement, in units of μ.

    In the eigenbasis of Y the barrier's Hessian is diagonal, 1/(yᵢyⱼ) + 1/(zᵢzⱼ): coordinates of that length make it I.
    """
    U, y, z = state
    width = (1 / (y[:, None] * y) + 1 / (z[:, None] * z)) ** -0.5
    units = basis * width  # (q, m, m), in the eigenbasis
    T = coefficients(basis, U @ units @ U.conj().T)  # (q, q), a row for each of them
    slope = T @ (G @ coefficients(basis, state.matrix) - c) / mu - coefficients(units, np.diag(1 / y - 1 / z))
    step = _step_along(T @ G @ T.T / mu + np.eye(len(basis)), slope, coefficients(units, np.eye(len(y))))
    change = combine(step, units)
    lowest = min(float(eigvalsh(WHOLE, _scaled(change, y))[0]), float(eigvalsh(WHOLE, _scaled(-change, z))[0]))
    length = 1.0 if lowest > -INSIDE else INSIDE / -lowest
    return state.moved(change, length), float(-slope @ step)


def _step_along(hessian: Array, slope: Array, trace: Array) -> Array:
    """Return Newton's step in the plane of no trace. The Hessian's eigenvalues are one at least, and some are huge."""
    plane = full_qr(WHOLE, trace[:, None])[0][:, 1:]  # (q, q − 1)
    h, V = eigh(WHOLE, plane.T @ hessian @ plane)
    V = plane @ V
    return np.asarray(-V @ ((V.T @ slope) / np.maximum(h, 1.0)))
