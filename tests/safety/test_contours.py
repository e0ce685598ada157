"""The references of the benchmark of wrong gradients that know no gap, against differences and dense formulas."""

from dataclasses import replace

import beside
import numpy as np
import pencils
import pytest
import scipy.linalg as la
import shared
from asking import different
from autograd import grad
from closed_forms import AUTOGRAD, gaussian, general_system, gradient_of_pairs, hermitian_system, unitary
from contours import Cluster, circle
from cuts import dilation
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import difference
from scipy.sparse.linalg import eigs, eigsh
from small_matrices import ranked
from whole_clusters import OfCluster

D = np.array([0.7, -0.6])


def the_system(kind, gap, seed=0):
    """A pencil of order 9, its cluster of two, and the blocks (rows) that a loss of it reads."""
    rng = np.random.default_rng(seed)
    top, is_complex = 3.0 + gap * np.arange(2), "complex" in kind
    if "eigs " in kind:
        system = general_system(rng, 9, top, is_real=not is_complex, condition=4.0)
        if "pencil" in kind:
            F = unitary(rng, 9, is_complex) * np.linspace(1, 2, 9)
            system = general_system(rng, 9, top, is_real=not is_complex, condition=4.0, mass=F @ F.conj().T)
    elif "svds" in kind:
        sigma = np.r_[top, 1.0, 0.6]
        Q, P = unitary(rng, 5, is_complex)[:, :4], unitary(rng, 4, is_complex)
        changes = [gaussian(rng, (5, 4), is_complex) for _ in range(2)]
        system = dilation((Q * sigma) @ P.conj().T, changes, Q, P, sigma)
    else:
        system = hermitian_system(rng, 9, top, is_complex, condition=5.0 if "pencil" in kind else None)
    return replace(system, dA=system.dA[:2], dM=system.dM[:2])


def moved(system, p):
    A = system.A + sum(a * B for a, B in zip(p, system.dA, strict=True))
    return A, None if system.M is None else system.M + sum(a * B for a, B in zip(p, system.dM, strict=True))


def cluster_of(system, p=(0.0, 0.0)):
    A, M = moved(system, p)
    return Cluster(A, M, system.dA, system.dM, system.w[:2], system.w[2:], D)


def the_loss(kind, what, n, seed=0):
    rng = np.random.default_rng(seed)
    W = gaussian(rng, (n, n), kind != "real")
    W = W if what == "left" else 0.5 * (W + W.conj().T)
    return OfCluster(what, W, 2, 0.6, 2.9, 0.8 - 0.5j if "eigs " in kind else 0.8, "eigs " in kind, "svds" in kind)


KINDS = ("real", "complex", "complex pencil", "eigs real", "eigs complex", "eigs complex pencil", "svds complex")
LOSSES = ("projector", "heat", "mean", "squares", "free energy")
CASES = [(kind, what) for kind in KINDS for what in LOSSES if not ("eigs " in kind and what in ("heat", "free energy"))]
CASES += [("eigs real", "left"), ("eigs complex", "left"), ("eigs complex pencil", "left")]


@pytest.mark.parametrize(("kind", "what"), CASES)
def test_the_value_of_a_loss_is_that_of_the_dense_pairs(kind, what):
    system = the_system(kind, 0.3)
    loss, w = the_loss(kind, what, system.n), system.w[:2]
    X = system.V[:, :2] * (np.sqrt(2) if "svds" in kind else 1.0)
    Y = system.L[:2].conj().T  # yᴴMx = 1
    w = w.real if system.hermitian else w
    np.testing.assert_allclose(loss(AUTOGRAD, w, X, Y), loss.jet(cluster_of(system)).value, rtol=1e-12)


@pytest.mark.parametrize("gap", [0.3, 1e-7, 0.0])
@pytest.mark.parametrize(("kind", "what"), CASES)
def test_derivatives_are_those_of_differences(kind, what, gap):
    """Of the value for the gradient, and of the gradient for its derivative along d: at any gap."""
    system = the_system(kind, gap)
    loss = the_loss(kind, what, system.n)
    jet = loss.jet(cluster_of(system))
    slope, error = difference(lambda p: loss.jet(cluster_of(system, p)).value, np.zeros(2), D, h=0.01, levels=4)
    assert error < 1e-6 * abs(slope)
    assert jet.along == pytest.approx(slope, rel=1e-6, abs=10 * error)
    np.testing.assert_allclose(jet.first @ D, jet.along, rtol=1e-12)
    second, error = difference(lambda p: loss.jet(cluster_of(system, p)).first, np.zeros(2), D, h=0.01, levels=4)
    np.testing.assert_allclose(jet.second, second, atol=1e-6 * np.linalg.norm(second) + 10 * error)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.sampled_from(["real", "complex", "complex pencil"]), st.floats(-3, -1))
def test_contours_and_sums_over_pairs_agree(seed, kind, exponent):
    """Where the gap is resolved by both."""
    system = the_system(kind, 10.0**exponent, seed)
    loss = the_loss(kind, "heat", 9, seed)
    expected = gradient_of_pairs(system, np.arange(2), loss)
    np.testing.assert_allclose(loss.jet(cluster_of(system)).first, expected, atol=1e-9 * np.linalg.norm(expected))


def test_a_circle_holds_the_cluster_alone():
    z, weights = circle([3.0, 3.2], [1.0, 5.5])
    w = np.array([3.0, 3.2, 1.0, 5.5])
    np.testing.assert_allclose(weights @ (1 / (z[:, None] - w)), [1, 1, 0, 0], atol=1e-14)
    with pytest.raises(ValueError, match="no circle holds the cluster alone"):
        circle([3.0, 4.0], [3.4])


def test_pairs_beside_a_jordan_block_one_by_one():
    """The sum over circles is that over pairs, where there are pairs; and differences of a dense solve, where not."""
    rng = np.random.default_rng(3)
    system = general_system(rng, 10, [3.0, 2.5, 2.0 + 0.3j], condition=4.0)
    loss = replace(different(rng, 10, 2, True), a=np.array([0.3, 0.9]))
    read = np.array([0, 2])
    expected = gradient_of_pairs(system, read, loss)
    np.testing.assert_allclose(beside.separately(system.A, system.dA, system.w, read, loss), expected, rtol=1e-10)
    J = np.diag([3.0, 2.0, 2.0, 1.0, 0.5, 0.0])
    J[1, 2] = 1.0
    S = gaussian(rng, (6, 6), False)
    A, dA = S @ J @ np.linalg.inv(S), [gaussian(rng, (6, 6), False)]
    loss = different(rng, 6, 1, False)

    def value(p):
        w, X = la.eig(A + p[0] * dA[0])
        i = np.argmin(np.abs(w - 3))
        return loss(AUTOGRAD, w[[i]], X[:, [i]])

    expected, error = difference(value, np.zeros(1), np.ones(1), h=1e-3)
    found = beside.separately(A, dA, np.diagonal(J).astype(complex), np.array([0]), loss)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=10 * error)


def test_pencils_of_any_signature_have_vectors_of_unit_norm():
    """Closed forms of an indefinite M, against differences of LAPACK's."""
    rng = np.random.default_rng(4)
    system = pencils._indefinite(rng, 9, [3.4, 2.8, 3.1])
    loss = different(rng, 9, 3, False)
    assert min(la.eigvalsh(system.M)) < 0

    def value(p):
        w, X = la.eig(system.A + p * system.dA[0], system.M + p * system.dM[0])
        order = [np.argmin(np.abs(w - value)) for value in system.w[:3]]
        return loss(AUTOGRAD, w[order], X[:, order] / np.linalg.norm(X[:, order], axis=0))

    expected, error = difference(lambda p: value(p[0]), np.zeros(1), np.ones(1), h=1e-3)
    found = gradient_of_pairs(system, np.arange(3), loss)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=10 * error)


@pytest.mark.parametrize("index", [0, 3])
def test_stiff_pencils_are_solved_in_coordinates_where_they_are_not(index):
    """The reference of a graded pencil of order 20 and more, against differences of its own mild form."""
    rng = np.random.default_rng([index, 8])
    graded, _, loss = pencils.graded_pencil(rng, 20, bool(index), 300.0)
    expected = gradient_of_pairs(graded, np.arange(2), loss)

    def value(p):
        A, M = moved(graded, p)
        mu, Y = la.eigh(M, A)
        w, Y = 1 / mu[::-1][:2], Y[:, ::-1][:, :2]
        lengths = np.sqrt(np.einsum("ij,ij->j", Y.conj(), M @ Y).real)
        return loss(AUTOGRAD, w, Y / lengths)

    for q, direction in enumerate(np.eye(3)):
        slope, error = difference(value, np.zeros(3), direction, h=1e-2)
        assert expected[q] == pytest.approx(slope, rel=1e-6, abs=10 * error)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("of_mass", [False, True])
def test_entries_of_a_hermitian_gradient(is_complex, of_mass):
    rng = np.random.default_rng(5)
    system = hermitian_system(rng, 6, [3.0, 2.5], is_complex, condition=4.0)
    loss = different(rng, 6, 2, is_complex)
    G = shared._in_entries(system, np.arange(2), loss, of_mass).reshape(6, 6)
    np.testing.assert_allclose(G, G.conj().T)
    change = system.dM[0] if of_mass else system.dA[0]
    zero = [np.zeros((6, 6))]
    directions = replace(system, dA=zero if of_mass else [change], dM=[change] if of_mass else zero)
    expected = gradient_of_pairs(directions, np.arange(2), loss)[0]
    assert np.real(np.sum(G * change)) == pytest.approx(expected, rel=1e-10)


def test_autograd_returns_a_gradient_in_that_convention():
    """df = Re Σ g dA, of a function of a Hermitian matrix whose gradient is known."""
    rng = np.random.default_rng(6)
    C = gaussian(rng, (4, 4), True)
    g = grad(lambda A: AUTOGRAD.real(AUTOGRAD.sum(A * C)))(gaussian(rng, (4, 4), True))
    np.testing.assert_allclose(g, C)


@pytest.mark.parametrize(
    ("which", "sigma"), [(which, None) for which in ("LM", "SM", "LA", "SA", "BE")] + [("LM", 0.75)]
)
def test_what_which_names_is_what_eigsh_returns(which, sigma):
    w = np.array([-3.1, -1.2, 0.4, 1.9, 2.6, 4.0, -0.9])
    for k in range(2 if which == "BE" else 1, 6):  # ARPACK has no "BE" of one
        named = np.sort(w[ranked(w, which, sigma, True, k)[:k]])
        found = eigsh(np.diag(w), k, which=which, sigma=sigma, v0=np.ones(7))[0]
        np.testing.assert_allclose(np.sort(found), named)


@pytest.mark.parametrize("which", ["LM", "SM", "LR", "SR"])
def test_what_which_names_is_what_eigs_returns(which):
    rng = np.random.default_rng(7)
    system = general_system(rng, 9, [3.0, 2.2 + 1j, -2.6, 1.4, 0.2 + 0.5j, -0.9], is_real=True, condition=3.0)
    for k in (1, 3, 4):
        named = system.w[ranked(system.w, which, None, False, k)[:k]]
        if named[-1].imag > 0:
            continue  # k cuts a pair
        found = eigs(system.A, k, which=which, v0=np.ones(9))[0]
        np.testing.assert_allclose(np.sort_complex(found.round(9)), np.sort_complex(named.round(9)), atol=1e-8)
