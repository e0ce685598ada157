"""Families of matrices with an invariant subspace in which eigenvalues meet, and its functions by contour integrals.

    S[F] = (1/2πi) ∮ F(z) (z M − A)⁻¹ M dz

is F(M⁻¹A) on the invariant subspace and zero on the rest. For U = S[1] U₀ with a fixed U₀, a smooth basis, and an
orthonormal one X (XᴴNX = I, A X = M X H),

    X Xᴴ = U (UᴴNU)⁻¹ Uᴴ,   X F(H) Xᴴ = S[F] X Xᴴ,   tr F(H) = tr S[F].

No eigenvector, and no gap inside of the circle, is in any of it. Derivatives are autograd's through inverses.
"""

from dataclasses import dataclass
from typing import Any

import autograd.numpy as np
import numpy as onp

N, K, Q = 16, 5, 2
POINTS = 64
#: Eigenvalues that are wanted are within 0.5 of 1, the others farther than 2 from it.
CENTRE, RADIUS = 1.0, 1.1


@dataclass
class Family:
    """A(p) = A₀ + Σ p_q A_q, M(p) likewise or None; W and V weight a loss."""

    hermitian: bool
    A: list[Any]
    M: list[Any] | None
    W: Any
    V: Any
    normalization: str

    def at(self, p):
        A = self.A[0] + sum(p[q] * self.A[q + 1] for q in range(Q))
        return A, None if self.M is None else self.M[0] + sum(p[q] * self.M[q + 1] for q in range(Q))

    def loss(self, X, H, xp=np, array=lambda c: c):
        """A function of X Xᴴ, H's invariants and X F(H) Xᴴ; ``array`` makes one of the namespace xp of a constant."""
        XH = xp.conj(X).T
        P = xp.dot(X, XH)
        H2 = xp.dot(H, H)
        mixed = xp.dot(xp.dot(X, H2), XH)
        return self._sum(P, xp.trace(xp.dot(H, H2)), xp.trace(H2), mixed, xp, array)

    def reference(self, p):
        """The same by contour integrals."""
        A, M = self.at(p)
        A, M = A * (1 + 0j), np.eye(N) + 0j if M is None else M * (1 + 0j)
        turn = RADIUS * onp.exp(2j * onp.pi * (onp.arange(POINTS) + 0.5) / POINTS)
        z = (CENTRE + turn)[:, None, None]
        RM = np.matmul(np.linalg.inv(z * M - A), M)
        S = [np.sum((turn / POINTS)[:, None, None] * z**m * RM, axis=0) for m in (0, 2, 3)]
        U = np.dot(S[0], self._start(S[0]))
        NU = U if self.normalization == "2" else np.dot(M, U)
        P = np.dot(np.dot(U, np.linalg.inv(np.dot(np.conj(U).T, NU))), np.conj(U).T)
        return self._sum(P, np.trace(S[2]), np.trace(S[1]), np.dot(S[1], P))

    def _start(self, S):
        """U₀: any fixed matrix that the projector does not map to something nearly singular; its own range."""
        if not hasattr(self, "kept"):
            self.kept = onp.linalg.svd(onp.asarray(getattr(S, "_value", S), complex))[0][:, :K]
        return self.kept

    def _sum(self, P, cube, square, mixed, xp=np, array=lambda c: c):
        W, V = array(self.W), array(self.V)
        return (
            xp.sum(xp.real(W * P)) + xp.sum(V * xp.abs(P) ** 2)
            + xp.real(cube) + xp.imag(square) + xp.real(square) + xp.sum(xp.real(W.T * mixed))
        )  # fmt: skip


#: Blocks of the wanted eigenvalues, a gap inside: what meets, and whether the family is Hermitian.
KINDS = {
    "hermitian": (True, lambda g: onp.diag([1, 1 + g, 1 + 2 * g, 1.4, 0.7])),
    "semisimple": (False, lambda g: onp.diag([1, 1 + g, 1.3, 0.8, 1.2])),
    "jordan2": (False, lambda g: _blocks([[1, 1], [g, 1]], [[1.3]], [[0.8]], [[1.2]])),
    "jordan3": (False, lambda g: _blocks([[1, 1, 0], [0, 1, 1], [g, 0, 1]], [[1.3]], [[0.8]])),
    "pairs": (False, lambda g: _blocks([[1, 0.3], [-0.3, 1]], [[1 + g, 0.3], [-0.3, 1 + g]], [[0.8]])),
}


def _blocks(*blocks):
    size = sum(len(block) for block in blocks)
    D, start = onp.zeros((size, size)), 0
    for block in map(onp.array, blocks):
        D[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return D


def family(kind, gap, is_complex, mass=None, seed=0):
    """``mass``: None, "definite" or "any"."""
    hermitian, block = KINDS[kind]
    rng = onp.random.default_rng(seed)

    def draw(size=1.0, symmetric=hermitian):
        G = rng.standard_normal((N, N)) + (1j * rng.standard_normal((N, N)) if is_complex else 0)
        G = size * G / onp.sqrt(N)
        return 0.5 * (G + G.conj().T) if symmetric else G

    rest = onp.linspace(-3, -1.2, N - K)
    D = _blocks(block(gap), *([[value]] for value in rest)).astype(complex if is_complex else float)
    frame = onp.eye(N) + draw(0.5, False)
    M, normalization = None, "2"
    if mass is not None:
        C = onp.eye(N) + draw(0.3, False)
        M0 = C if mass == "any" else C @ C.conj().T
        M = [M0, *(draw(0.2, mass == "definite") for _ in range(Q))]
        normalization = "2" if mass == "any" else "M"
    if hermitian:
        L = onp.eye(N) if M is None else onp.linalg.cholesky(M[0])
        U = onp.linalg.qr(frame)[0]
        A0 = L @ U @ D @ U.conj().T @ L.conj().T
        A0 = 0.5 * (A0 + A0.conj().T)
    else:
        A0 = frame @ D @ onp.linalg.inv(frame)
        A0 = A0 if M is None else M[0] @ A0
    W = draw(2.0, True)
    return Family(hermitian, [A0, *(draw() for _ in range(Q))], M, W, rng.random((N, N)), normalization)
