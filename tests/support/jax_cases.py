"""Twelve classes of eigenproblems as functions of three parameters, and a dense oracle of its own.

The oracle takes Newton steps on (A − λM) x = 0, cᴴx = 1 from constant dense eigenpairs: two steps are exact to third
order in the parameters, as each doubles the order that is right.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg as la

CLASSES = {
    "symmetric": (40, "SA"),
    "symmetric, larger": (205, "LA"),
    "Hermitian": (40, "SA"),
    "Hermitian, larger": (205, "SA"),
    "real": (40, "LR"),
    "real, larger": (205, "LR"),
    "complex": (40, "LR"),
    "complex, larger": (205, "LR"),
    "symmetric pencil": (40, "LA"),
    "Hermitian pencil": (40, "LA"),
    "real pencil": (40, "LR"),
    "complex pencil": (40, "LR"),
}
P0, V = np.array([0.3, 0.7, 0.2]), np.array([0.5, -1.0, 0.4])


def pairs(A, M, w, X, steps=2):
    """The eigenpairs next to the values w and vectors X, differentiable to third order; xᴴMx = 1."""
    A, M = A + 0j, M + 0j

    def one(pair):
        w, x = pair
        c = x / jnp.vdot(x, x)
        for _ in range(steps):
            K = jnp.block([[A - w * M, -(M @ x)[:, None]], [jnp.conj(c)[None], jnp.zeros((1, 1))]])
            r = jnp.concatenate([A @ x - w * (M @ x), (jnp.vdot(c, x) - 1)[None]])
            d = jnp.linalg.solve(K, r)
            x, w = x - d[:-1], w - d[-1]
        return w, x / jnp.sqrt(jnp.real(jnp.vdot(x, M @ x)))

    # One after the other: XLA's batched factorisations wait for each other on few cores.
    w, X = jax.lax.map(one, (w, X.T))
    return w, X.T


class Case:
    """A(p) = A0 + p₀ A1 + sin(p₁) A2, M(p) = M0 + p₁ M1 + 0.1 p₂ I, and a loss of values and vectors."""

    def __init__(self, name):
        self.n, which = CLASSES[name]
        self.hermitian = "ermitian" in name or "symmetric" in name
        self.complex, self.general = "complex" in name or "ermitian" in name, "pencil" in name
        n, rng = self.n, np.random.default_rng(len(name) * 7 + self.n)

        def random(*shape):
            return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if self.complex else 0)

        A0, A1, A2 = (random(n, n) / np.sqrt(n) for _ in range(3))
        M0, M1 = random(n, n), random(n, n)
        if self.hermitian:
            A0, A1, A2 = ((B + B.conj().T) / 2 for B in (A0, A1, A2))
        M0, M1 = M0 @ M0.conj().T / n + 2 * np.eye(n), (M1 + M1.conj().T) / 2 / n
        self.A0, self.A1, self.A2 = A0 + np.diag(np.linspace(0, 4, n)), A1, A2
        self.M0, self.M1 = M0, M1
        self.k = 4
        self.C, self.u, self.D = rng.standard_normal((n, self.k)), rng.standard_normal(self.k), rng.standard_normal(n)
        shifted = self.general and not self.hermitian
        self.arguments = {"sigma": 5.0} if shifted else {"which": which}

    def A(self, p):
        return self.A0 + p[0] * self.A1 + jnp.sin(p[1]) * self.A2

    def M(self, p):
        return self.M0 + p[1] * self.M1 + 0.1 * p[2] * np.eye(self.n)

    def loss(self, w, X):
        return loss((self.C, self.u, self.D), w, X)

    def oracle(self, w):
        """The loss at P0 of the pairs next to w, its gradient, and derivatives of that along V and along V twice."""
        A, M = np.asarray(self.A(P0)), np.asarray(self.M(P0)) if self.general else np.eye(self.n)
        values, vectors = la.eig(A, M)
        near = [int(np.argmin(np.abs(values - x))) for x in np.asarray(w)]
        masses = (self.M0, self.M1) if self.general else (np.eye(self.n), np.zeros((self.n, self.n)))
        pencil = [B.astype(complex) for B in (self.A0, self.A1, self.A2, *masses)]
        weights = self.C, self.u, self.D
        found = dense_derivatives(pencil, float(self.general), weights, values[near].astype(complex), vectors[:, near])
        return [np.asarray(x) for x in found]


@jax.jit
def dense_derivatives(pencil, general, weights, values, vectors):
    """The oracle's, of complex matrices whatever the class: one program of one size serves all classes."""
    A0, A1, A2, M0, M1 = pencil

    def dense(p):
        A = A0 + p[0] * A1 + jnp.sin(p[1]) * A2
        M = M0 + p[1] * M1 + 0.1 * general * p[2] * jnp.eye(len(M0))
        return loss(weights, *pairs(A, M, values, vectors + 0j))

    def second(p):
        return jax.jvp(jax.value_and_grad(dense), (p,), (V,))

    ((f, g), (_, Hv)), (_, (_, third)) = jax.jvp(second, (P0,), (V,))
    return f, g, Hv, third


def loss(weights, w, X):
    """Σ u Re λ + 0.3 Σ |λ|² + Σ C |X|² + |x₀ᴴ D x₁|², which reads no phase."""
    C, u, D = weights
    squares, coupling = jnp.abs(X) ** 2, jnp.sum(jnp.conj(X[:, 0]) * D * X[:, 1])
    return jnp.sum(u * jnp.real(w) + 0.3 * jnp.abs(w) ** 2) + jnp.sum(C * squares) + jnp.abs(coupling) ** 2


def error(found, expected):
    """The largest error relative to the largest entry."""
    return float(np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected)))
