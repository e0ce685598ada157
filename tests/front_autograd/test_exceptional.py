"""Exceptional points: found, told from semisimple crossings, and the series of eigenvalues next to them."""

import contextlib

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp

import krylov_adj as ka

N = 12


def moving_frame(n=N, seed=0):
    """A(z) with the eigenvalues 1 ± √z, in a frame that moves with z; and A(z), M(z)."""
    rng = onp.random.default_rng(seed)
    F0, F1 = onp.eye(n) + 0.1 * rng.standard_normal((n, n)), 0.1 * rng.standard_normal((n, n))
    C = onp.eye(n) + 0.1 * rng.standard_normal((n, n))
    B, E = onp.zeros((n, n), complex), onp.zeros((n, n))
    B[:2, :2], B[2:, 2:], E[1, 0] = [[1, 1], [0, 1]], onp.diag(onp.linspace(4, 8, n - 2)), 1.0

    def A(z):
        frame = F0 + z * F1
        return np.dot(np.dot(frame, B + z * E), np.linalg.inv(frame))

    def pencil(z):
        M = C @ C.T + np.real(z) * onp.eye(n) + 0j
        return np.dot(M, A(z)), M  # complex: autograd warns of cotangents that it makes real

    return A, pencil


METHODS = pytest.mark.parametrize("method", ["block", "bordered"])


@METHODS
@pytest.mark.parametrize("with_mass", [False, True])
@pytest.mark.parametrize("start", [0.4 + 0j, 0.3 - 0.3j, 0.1j])
def test_newton_finds_the_point_of_a_moving_frame_in_six_steps(start, with_mass, method):
    point = ka.find_exceptional_point(moving_frame()[with_mass], start, near=1.0, method=method)
    assert abs(point.p) < 1e-12
    assert abs(point.w - 1) < 1e-12
    assert point.kind == "exceptional"
    assert len(point.history) - 1 <= 6
    for direction, root in ((1.0 + 0j, 1.0), (1j, 1j)):
        c1, c2, c3 = point.puiseux(direction)
        assert abs(c1**2 - root) < 1e-10
        assert abs(c2) < 1e-9
        assert abs(c3) < 1e-9


@METHODS
def test_the_series_is_that_of_the_eigenvalues(method):
    rng = onp.random.default_rng(4)
    A = [(rng.standard_normal((N, N)) + 1j * rng.standard_normal((N, N))) / onp.sqrt(N) for _ in range(3)]
    A[0][:2, :2] = [[3, 1], [0.1, 3]]
    A[0][2:, :2] *= 0.1

    def family(p):
        return A[0] + p[0] * A[1] + p[1] * A[2]

    point = ka.find_exceptional_point(family, [0.0, 0.0], near=3.0, method=method)
    direction = onp.array([0.6, 0.8])
    c1, c2, c3 = point.puiseux(direction)
    errors = []
    for s in (1e-2, 1e-3):
        w = la.eigvals(family(point.p + s * direction))
        pair = w[onp.argsort(abs(w - point.w))[:2]]
        series = onp.array([point.w + sign * (c1 * s**0.5 + c3 * s**1.5) + c2 * s for sign in (1, -1)])
        errors.append(min(onp.max(abs(pair - series)), onp.max(abs(pair - series[::-1]))))
    assert errors[1] < 0.02 * errors[0] < 1e-3  # s²: a hundredth
    assert onp.linalg.norm(family(point.p) @ point.X - point.X @ point.H) < 1e-13


@METHODS
def test_a_semisimple_crossing_is_told_from_an_exceptional_point(method):
    rng = onp.random.default_rng(0)
    D = [(G + G.T) / 10 for G in rng.standard_normal((2, N, N))]
    H = onp.diag(onp.r_[1, 1, onp.linspace(3, 6, N - 2)])
    at = onp.array([0.1, -0.05])

    def family(p):
        return H + (p[0] - at[0]) * D[0] + (p[1] - at[1]) * D[1]

    point = ka.find_exceptional_point(family, [0.3, 0.2], near=1.0, method=method)
    assert point.kind == "semisimple"
    assert onp.max(onp.abs(point.p - at)) < 1e-12
    assert len(point.history) <= 8
    with pytest.raises(ValueError, match="not to first order"):
        point.puiseux([1.0, 0.0])


@METHODS
def test_one_real_parameter_of_a_sparse_matrix_with_gain_and_loss(method):
    """Two wells, with gain in one and loss in the other: a chain of n = 400 in sparse arithmetic."""
    n = 400
    x = onp.linspace(-1, 1, n)
    T = sp.diags_array([-onp.ones(n - 1), 2 * onp.ones(n), -onp.ones(n - 1)], offsets=[-1, 0, 1]) * (n / 2) ** 2
    wells = 40 * onp.minimum((x - 0.5) ** 2, (x + 0.5) ** 2) * 4

    def hamiltonian(p):
        return ka.aslinearoperator(T.tocsr() + 0j) + ka.diags_array([wells + 1j * p[0] * np.sign(x)], offsets=[0])

    level = la.eigvalsh(T.toarray() + onp.diag(wells))[:2]
    point = ka.find_exceptional_point(hamiltonian, [0.5 * (level[1] - level[0])], near=level.mean(), method=method)
    assert point.kind == "exceptional"
    w = la.eigvals(T.toarray() + onp.diag(wells + 1j * point.p[0] * onp.sign(x)))
    pair = w[onp.argsort(abs(w - point.w))[:2]]
    assert abs(pair[0] - pair[1]) < 1e-4 * abs(point.w)


@METHODS
def test_what_is_not_found_raises_with_the_history(method):
    avoided = onp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    gap, away = onp.diag([1.0, -1.0, 0.0]), onp.diag([0.0, 0.0, 9.0])
    with pytest.raises(ka.ExceptionalPointNotFound, match="avoid each other") as caught:
        ka.find_exceptional_point(lambda p: avoided + p[0] * gap + p[0] ** 2 * away, [0.3], near=0.0, method=method)
    assert caught.value.history[-1][0] >= 4  # (λ₁ − λ₂)² = 4 (1 + p²)
    with pytest.raises(ka.ExceptionalPointNotFound, match="in 1 steps"):
        ka.find_exceptional_point(moving_frame()[0], 0.4 + 0j, near=1.0, maxiter=1, method=method)


def test_the_bordered_matrix_converges_from_far_away_and_says_what_it_needs():
    """From twelve points, up to four times as far as where the others begin: all but a few, and none in silence."""
    frame, found = moving_frame()[0], 0
    for start in np.outer([0.5, 1.5], np.exp(2j * np.pi * np.arange(6) / 6)).ravel():
        with contextlib.suppress(ka.ExceptionalPointNotFound):
            found += abs(ka.find_exceptional_point(frame, start, near=1.0, method="bordered").p) < 1e-10
    assert found >= 10
    n = 300
    D = np.linspace(1, 9, n) + 0j
    chain = ka.LinearOperator((n, n), lambda x: D * x, dtype=complex)
    with pytest.raises(ValueError, match=r"order 300.*no matrix.*method='block'"):
        ka.find_exceptional_point(lambda p: chain, [0.3, 0.1], near=1.0, method="bordered")
    with pytest.raises(ValueError, match="method='border': expected one of"):
        ka.find_exceptional_point(frame, 0.1j, near=1.0, method="border")


@pytest.mark.parametrize("p0", [onp.nan, "near", [[0.1, 0.2]], onp.array([0.1j, 0.2]), []])
def test_what_is_no_parameter_is_an_error(p0):
    with pytest.raises(ValueError, match="expected"):
        ka.find_exceptional_point(moving_frame()[0], p0, near=1.0)
    point = ka.find_exceptional_point(moving_frame()[0], 0.1j, near=1.0)
    with pytest.raises(ValueError, match="direction"):
        point.puiseux(0j)


@pytest.mark.parametrize("method", ["block", "bordered"])
def test_the_meeting_of_another_pair_is_not_taken_for_the_one_that_was_asked_for(method):
    def mirrored(p):  # ±√(1 + p²), which never meet, and 3
        return np.array([[1.0, p[0], 0.0], [p[0], -1.0, 0.0], [0.0, 0.0, 3.0]])

    with pytest.raises(ka.ExceptionalPointNotFound, match=r"\(c\) two other eigenvalues meet"):
        ka.find_exceptional_point(mirrored, [0.3], near=0.0, method=method)

    def lines(p):  # two that meet at 0.3, and both meet the third one further away
        return np.diag(np.concatenate([np.array([1.0]) * p - 0.4, np.array([1.0]) * -p + 0.2, np.array([3.0])]))

    try:
        found = ka.find_exceptional_point(lines, [0.0], near=-0.1, method=method)
    except ka.ExceptionalPointNotFound:
        assert method == "bordered"
    else:
        assert found.p[0] == pytest.approx(0.3)
        assert found.w == pytest.approx(-0.1)
