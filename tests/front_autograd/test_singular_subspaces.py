"""Subspaces of singular vectors where singular values meet, against contour integrals over [[0, A], [Aᴴ, 0]]."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
from autograd import grad, make_jvp

import krylov_adj as ka

M_ROWS, N_COLUMNS, K = 9, 7, 3
ZERO, V = onp.zeros(2), onp.array([0.6, -0.8])
EXACT = {"rtol": 1e-13, "on_gauge": "raise"}


class Family:
    """A(p) with three singular values around 2, ``gap`` apart, and the others below 1."""

    def __init__(self, gap, is_complex, tall=True):
        rng = onp.random.default_rng(3)

        def draw(m, n):
            return rng.standard_normal((m, n)) + (1j * rng.standard_normal((m, n)) if is_complex else 0)

        self.m, self.n = (M_ROWS, N_COLUMNS) if tall else (N_COLUMNS, M_ROWS)
        U, W = onp.linalg.qr(draw(self.m, self.m))[0], onp.linalg.qr(draw(self.n, self.n))[0]
        s = onp.array([2, 2 + gap, 2.3, 0.9, 0.7, 0.4, 0.2])
        self.A = [(U[:, :7] * s) @ W[:, :7].conj().T, 0.3 * draw(self.m, self.n), 0.3 * draw(self.m, self.n)]
        self.weight, self.left, self.right = (
            draw(self.m, self.n), draw(self.m, self.m), draw(self.n, self.n)
        )  # fmt: skip

    def at(self, p):
        return self.A[0] + p[0] * self.A[1] + p[1] * self.A[2]

    def combined(self, product, image, P, Q, trace):
        """A loss of left rightᴴ, left S² rightᴴ, both projectors and tr S³."""
        return (
            np.sum(np.real(self.weight * product)) + np.sum(np.abs(image) ** 2 * np.abs(self.weight))
            + np.sum(np.real(self.left * P)) + np.sum(np.real(self.right * np.dot(Q, Q))) + trace
        )  # fmt: skip

    def loss(self, p, wrap=lambda A: A, **arguments):
        given = {"v0": onp.ones(min(self.m, self.n)), "adjoint": ka.Adjoint(**EXACT), **arguments}
        left, S, right = ka.singular_subspace(wrap(self.at(p)), K, **given)
        RH = np.conj(right).T
        return self.combined(
            np.dot(left, RH), np.dot(np.dot(left, np.dot(S, S)), RH), np.dot(left, np.conj(left).T), np.dot(right, RH),
            np.real(np.trace(np.dot(S, np.dot(S, S)))),
        )  # fmt: skip

    def exact(self, p):
        """P F(J) = (1/2πi) ∮ F(z) (z − J)⁻¹ dz around the wanted σ has the blocks ½ left F(S) rightᴴ, …"""
        m, A = self.m, self.at(p) * (1 + 0j)
        J = np.concatenate([
            np.concatenate([np.zeros((m, m)), A], axis=1),
            np.concatenate([np.conj(A).T, np.zeros((self.n, self.n))], axis=1),
        ])  # fmt: skip
        turn = 0.7 * onp.exp(2j * onp.pi * (onp.arange(64) + 0.5) / 64)
        z = (2.1 + turn)[:, None, None]
        R = np.linalg.inv(z * onp.eye(m + self.n) - J)
        F = [2 * np.sum((turn / 64)[:, None, None] * z**power * R, axis=0) for power in (0, 2, 3)]
        trace = 0.5 * np.real(np.trace(F[2]))
        return self.combined(F[0][:m, m:], F[1][:m, m:], F[0][:m, :m], F[0][m:, m:], trace)


def relative(found, exact):
    return onp.max(onp.abs(found - exact)) / onp.max(onp.abs(exact))


@pytest.mark.parametrize(
    ("gap", "is_complex", "tall"),
    [
        (0.0, True, True),
        (0.0, True, False),
        (0.0, False, True),
        (1e-12, True, True),
        (1e-6, False, False),
        (1e-2, True, True),
    ],
)
def test_derivatives_are_those_of_contour_integrals(gap, is_complex, tall):
    given = Family(gap, is_complex, tall)
    first, second = grad(given.exact)(ZERO), grad(lambda p: grad(given.exact)(p) @ V)(ZERO)
    assert relative(given.loss(ZERO), given.exact(ZERO)) < 1e-12
    assert relative(grad(given.loss)(ZERO), first) < 1e-11
    assert relative(make_jvp(given.loss)(ZERO)(V)[1], first @ V) < 1e-11
    assert relative(grad(lambda p: grad(given.loss)(p) @ V)(ZERO), second) < 1e-11
    assert relative(make_jvp(grad(given.loss))(ZERO)(V)[1], second) < 1e-11


def test_both_sides_stay_orthonormal():
    given = Family(0.0, True)

    def norms(p):
        left, S, right = ka.singular_subspace(given.at(p), K, v0=onp.ones(7), adjoint=ka.Adjoint(**EXACT))
        both = [np.dot(np.conj(B).T, B) for B in (left, right)]
        return np.real(np.sum(np.stack([np.trace(np.dot(G, np.dot(S, G))) for G in both]))) - 2 * np.real(np.trace(S))

    assert onp.max(abs(grad(norms)(V))) < 1e-11
    left, S, right = ka.singular_subspace(given.at(V), K, v0=onp.ones(7))
    onp.testing.assert_allclose(given.at(V) @ right, left @ S, atol=1e-13)
    onp.testing.assert_allclose(given.at(V).conj().T @ left, right @ S, atol=1e-13)
    onp.testing.assert_allclose(S, S.conj().T)


def test_matrix_free_and_sparse_and_a_loss_of_S_alone():
    n = 400
    D = sp.diags([-onp.ones(n - 1), onp.linspace(1, 2, n)], offsets=[-1, 0], shape=(n, n - 3)).tocsr()
    w = onp.random.default_rng(0).standard_normal(n - 3)
    reports = []

    def singular(p, explicit):
        A = ka.aslinearoperator(D) @ ka.diags_array(1 + p * w) if explicit else ka.LinearOperator(
            D.shape, lambda v: ka.aslinearoperator(D) @ ((1 + p * w) * v), dtype=float
        )  # fmt: skip
        options = ka.Adjoint(rtol=1e-12, callback=reports.append)
        return ka.singular_subspace(A, 4, v0=onp.ones(n - 3), adjoint=options)

    def values(p, explicit):
        return np.sum(singular(p, explicit)[1] ** 2)

    def energy(p, explicit):
        left, S, right = singular(p, explicit)
        return np.sum(np.dot(left, np.dot(S, right.T)) ** 2 * onp.linspace(0, 1, n)[:, None])

    for loss in (values, energy):
        h = 2e-4
        near, far = (loss(step, True) - loss(-step, True) for step in (h, 2 * h))
        difference = (8 * near - far) / (12 * h)
        for explicit in (True, False):
            reports.clear()
            assert relative(grad(loss)(0.0, explicit), difference) < 1e-8
            solved = sum(report.applications for report in reports if report.stage == "adjoint")
            assert (solved == 0) == (loss is values)


def test_what_is_refused_and_said():
    A = onp.zeros((6, 5))
    A[0, 0] = A[1, 1] = 1.0
    with pytest.raises(ValueError, match=r"zero to rounding.*Lower k to the rank of A"):
        ka.singular_subspace(A, 3, v0=onp.arange(1.0, 6.0))
    given = Family(0.0, True)

    def of_the_basis(p):
        left, _, _ = ka.singular_subspace(given.at(p), K, v0=onp.ones(7))
        return np.real(left[0, 0])

    with pytest.warns(ka.GaugeWarning):
        grad(of_the_basis)(ZERO)

    def cut(p):
        left, _, right = ka.singular_subspace(given.at(p), 2, which="LM", v0=onp.ones(7))
        return np.real(np.sum(given.weight * np.dot(left, np.conj(right).T)))

    s = onp.linalg.svd(given.A[0])[1]
    assert s[1] - s[2] < 1e-14  # 2.3, 2, 2: k = 2 cuts the double one
    with pytest.raises(ka.AdjointNoConvergence):
        grad(cut)(ZERO)


@pytest.mark.parametrize("scale", [1e-40, 1e40])
def test_units_do_not_matter(scale):
    given = Family(0.0, True)
    one, other = (ka.singular_subspace(factor * given.A[0], K, v0=onp.ones(7)) for factor in (1.0, scale))
    onp.testing.assert_allclose(
        other.left @ other.S @ other.right.conj().T / scale, one.left @ one.S @ one.right.conj().T
    )
