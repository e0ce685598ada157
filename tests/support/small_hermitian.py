"""Small Hermitian matrices with a cluster, and derivatives of their functions by contour integrals."""

import numpy as np


def hermitian_family(is_complex, gap, seed=0):
    """H₀, H₁, H₂ with a cluster of three eigenvalues in H₀, and a weight."""
    rng = np.random.default_rng(seed)

    def draw():
        B = rng.standard_normal((5, 5)) + (1j * rng.standard_normal((5, 5)) if is_complex else 0)
        return (B + B.conj().T) / 2

    Q = np.linalg.qr(draw())[0]
    H = (Q * np.r_[0.7 + gap * np.array([0.0, 1.0, 1.7]), 1.3, 2.0]) @ Q.conj().T
    return (H + H.conj().T) / 2, draw() / 4, draw() / 4, rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5))


def around(F, H, *products):
    """(1/2πi) ∮ F(z) Σ R E R E′ … R dz, R = 1/(z − H), around all eigenvalues."""
    turn = 1.2 * np.exp(2j * np.pi * (np.arange(240) + 0.5) / 240)
    R = np.linalg.inv((1.35 + turn)[:, None, None] * np.eye(5) - H)
    total = 0
    for product in products:
        term = R
        for E in product:
            term = term @ E @ R
        total = total + term
    return np.tensordot(turn * F(1.35 + turn) / 240, total, 1)


def reference(unit, W, H0, H1, H2):
    """Gradient and Hessian in (p₁, p₂, t) of Re tr W F(H₀ + p₁H₁ + p₂H₂, t) at (0, 0, 0.8)."""

    def value(times, *products):
        F = lambda z: np.exp(-unit * 0.8 * z) * z**2 * (-unit * z) ** times  # noqa: E731
        return np.real(np.trace(W @ around(F, H0, *products)))

    mixed = value(0, [H1, H2], [H2, H1])
    first = [value(0, [H1]), value(0, [H2]), value(1, [])]
    second = [
        [value(0, [H1, H1], [H1, H1]), mixed, value(1, [H1])],
        [mixed, value(0, [H2, H2], [H2, H2]), value(1, [H2])],
        [value(1, [H1]), value(1, [H2]), value(2, [])],
    ]
    return np.array(first), np.array(second)
