"""Problems of twelve classes for front ends of PyTorch, and a dense reference that shares nothing with the package.

A(p) = A0 + p₀ A1 + sin(p₁) A2, M(p) = M0 + p₁ M1 + 0.1 p₂ I, and a loss of values and vectors that reads no phase.
The reference differentiates two Newton steps from constant dense pairs, which are exact to third order.
"""

import numpy as np
import scipy.linalg as la
import torch

CASES = [
    ("symmetric", 40, "SA"),
    ("symmetric", 210, "LA"),
    ("complex hermitian", 40, "SA"),
    ("complex hermitian", 205, "SA"),
    ("nonhermitian", 40, "LR"),
    ("nonhermitian", 205, "LR"),
    ("complex nonhermitian", 40, "LR"),
    ("complex nonhermitian", 205, "LR"),
    ("general symmetric", 40, "LA"),
    ("general complex hermitian", 40, "LA"),
    ("general nonhermitian", 40, "LR"),
    ("general complex nonhermitian", 40, "LR"),
]
P0, DIRECTION = np.array([0.3, 0.7, 0.2]), np.array([0.5, -1.0, 0.4])


def hermitian_part(B):
    return (B + B.conj().T) / 2


class Case:
    """f = Σ u Re λ + 0.3 Σ |λ|² + Σ C |X|² + |x₀ᴴ D x₁|²."""

    def __init__(self, name, n, which):
        self.n, self.complex, self.hermitian = n, "complex" in name, "nonhermitian" not in name
        self.general = "general" in name
        rng = np.random.default_rng(len(name) * 7 + n)

        def random(*shape, complex_=False):
            return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if complex_ else 0)

        A0, A1, A2 = (random(n, n, complex_=self.complex) / np.sqrt(n) for _ in range(3))
        M0, M1 = random(n, n, complex_=self.complex), random(n, n, complex_=self.complex)
        if self.hermitian:
            A0, A1, A2 = map(hermitian_part, (A0, A1, A2))
        M0, M1 = hermitian_part(M0 @ M0.conj().T / n) + 2 * np.eye(n), hermitian_part(M1) / n
        arrays = [A0 + np.diag(np.linspace(0, 4, n)), A1, A2, M0, M1]
        self.arrays = [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]
        self.k = 3 if self.hermitian else 4
        self.C, self.u, self.D = map(torch.from_numpy, (random(n, self.k), random(self.k), random(n)))
        chosen = {"sigma": 5.0} if self.general and not self.hermitian else {"which": which}
        self.arguments = {"k": self.k, "v0": np.ones(n), **chosen}

    def A(self, p):
        return self.arrays[0] + p[0] * self.arrays[1] + torch.sin(p[1]) * self.arrays[2]

    def M(self, p):
        return (
            self.arrays[3] + p[1] * self.arrays[4] + 0.1 * p[2] * torch.eye(self.n, dtype=p.dtype)
            if self.general
            else None
        )

    def product(self, p):
        """A(p) x without A(p)."""

        def matvec(x):
            return self.arrays[0] @ x + p[0] * (self.arrays[1] @ x) + torch.sin(p[1]) * (self.arrays[2] @ x)

        return matvec

    def loss(self, w, X):
        w, X = w + 0j, X + 0j
        vectors = torch.sum(self.C * torch.abs(X) ** 2)
        overlap = torch.abs(torch.sum(torch.conj(X[:, 0]) * self.D * X[:, 1])) ** 2
        return torch.sum(self.u * w.real) + 0.3 * torch.sum(torch.abs(w) ** 2) + vectors + overlap

    def reference(self, w):
        """f, ∇f, H and D³f[v, v, ·] at P0, for the pairs next to w."""
        p, v = torch.from_numpy(P0.copy()).requires_grad_(), torch.from_numpy(DIRECTION)

        def dense(p):
            return self.loss(*newton_pairs(self.A(p), self.M(p), w))

        f = dense(p)
        (g,) = torch.autograd.grad(f, p, create_graph=True)
        (h,) = torch.autograd.grad((g * v).sum(), p, create_graph=True)
        (third,) = torch.autograd.grad((h * v).sum(), p)
        H = torch.autograd.functional.hessian(dense, torch.from_numpy(P0.copy()))
        return [x.detach().numpy() for x in (f, g, H, third)]


def newton_pairs(A, M, near, steps=2):
    """Eigenpairs with xᴴMx = 1 by Newton steps from constant ones, the nearest to ``near``."""
    A = A.to(torch.complex128)
    n = A.shape[0]
    M = torch.eye(n, dtype=torch.complex128) if M is None else M.to(torch.complex128)
    W, V = la.eig(A.detach().numpy(), M.detach().numpy())
    values, vectors = [], []
    for target in np.asarray(near):
        j = int(np.argmin(np.abs(W - target)))
        lam, x = torch.tensor(W[j]), torch.from_numpy(V[:, j].copy())
        c = x / torch.vdot(x, x)
        for _ in range(steps):
            left = torch.cat([A - lam * M, c.conj()[None]])
            right = torch.cat([-(M @ x), torch.zeros(1, dtype=torch.complex128)])[:, None]
            residual = torch.cat([A @ x - lam * (M @ x), (torch.vdot(c, x) - 1)[None]])
            d = torch.linalg.solve(torch.cat([left, right], 1), residual)
            x, lam = x - d[:-1], lam - d[-1]
        values.append(lam)
        vectors.append(x / torch.sqrt(torch.vdot(x, M @ x).real))
    return torch.stack(values), torch.stack(vectors, 1)
