"""Pairs that any solver computed, and left eigenvectors, on plain values: what front ends make of them is theirs."""

import numpy as np
import pytest
import scipy.linalg as la

from krylov_adj.forward.given import given_eigenpairs, left_of_eigenpairs
from krylov_adj.forward.operands import value_operator

N = 12
RNG = np.random.default_rng(0)
B, D = RNG.standard_normal((2, N, N))
A = B + B.T + np.diag(3.0 * np.arange(N))
M = np.eye(N) + 0.1 * D @ D.T


def operators(A, M, hermitian):
    return value_operator(A, hermitian, "A"), None if M is None else value_operator(M, hermitian, "M")


@pytest.mark.parametrize("scale", [1.0, 1e120])
def test_given_pairs_of_a_pencil(scale):
    def pairs(A):
        w, X = la.eigh(scale * A, M)
        return w[:2], X[:, :2]

    weights, form = np.array([0.3, -1.2]), RNG.standard_normal((N, N))
    form = form + form.T

    def loss(A):
        w, X = pairs(A)
        return np.sum(weights * w) / scale + np.trace(X.T @ form @ X)

    found, maps = given_eigenpairs(*operators(scale * A, M, True), *pairs(A), hermitian=True)
    np.testing.assert_allclose(found.w, pairs(A)[0], rtol=1e-12)
    W, _ = maps.adjoint(weights / scale, 2 * form @ found.X)
    g = scale * W @ found.X.T
    direction = RNG.standard_normal((N, N))
    direction, h = direction + direction.T, 1e-5
    expected = (loss(A + h * direction) - loss(A - h * direction)) / (2 * h)
    assert abs(np.sum(g * direction) - expected) < 1e-7 * abs(expected)


def test_given_vectors_of_unit_length_are_those_of_the_pencil_in_other_lengths():
    w, X = la.eigh(A, M)
    unit = X[:, :2] / np.linalg.norm(X[:, :2], axis=0)
    found, maps = given_eigenpairs(*operators(A, M, True), w[:2], unit, hermitian=True, normalization="2")
    assert maps.systems.problem.unit
    np.testing.assert_allclose(found.X.T @ M @ found.X, np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, X: (w[:1], X), "shape"),
        (lambda w, X: (w + 0.1, X), "residual"),
        (lambda w, X: (w, 2 * X), "normalised"),
        (lambda w, X: (w, 0 * X), "zero"),
        (lambda w, X: (w * np.nan, X), "NaN"),
        (lambda w, X: (w[:0], X[:, :0]), "no pairs"),
        (lambda w, X: (w + 0.1j, X), "imaginary"),
    ],
)
def test_pairs_that_are_none(change, message):
    w, X = la.eigh(A)
    with pytest.raises(ValueError, match=message):
        given_eigenpairs(*operators(A, None, True), *change(w[:2], X[:, :2]), hermitian=True)
    with pytest.raises(ValueError, match="normalization"):
        given_eigenpairs(*operators(A, None, True), w[:2], X[:, :2], hermitian=True, normalization="M")


@pytest.mark.parametrize("scale", [1.0, 1e120])
@pytest.mark.parametrize("mass", [None, M])
def test_left_eigenvectors(scale, mass):
    w, X = la.eig(scale * (A + D), mass)
    w, X = w[:3], 1e-60 * X[:, :3] if scale > 1 else X[:, :3]
    Y, _, units, x = left_of_eigenpairs(*operators(scale * (A + D), mass, False), w, X, hermitian=False)
    Y = Y / units.m / x
    BX = X if mass is None else mass @ X
    np.testing.assert_allclose(Y.conj().T @ BX, np.eye(3), atol=1e-10)
    image = w[:, None] * Y.conj().T @ (np.eye(N) if mass is None else mass)
    left = np.max(np.abs(scale * Y.conj().T @ (A + D) - image))
    assert left <= 1e-10 * scale * np.max(np.abs(Y))


def test_left_eigenvectors_of_pairs_that_are_none():
    w, X = la.eig(A + D)
    for pairs in ((w[:2] + 1, X[:, :2]), (w[:2], X[:, :3]), (w[:2], X[:, :2] * np.nan)):
        with pytest.raises(ValueError):  # noqa: PT011
            left_of_eigenpairs(*operators(A + D, None, False), *pairs, hermitian=False)
    assert left_of_eigenpairs(*operators(A, None, True), *la.eigh(A), hermitian=True)[0] is None
