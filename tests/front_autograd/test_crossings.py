"""Generalised gradients of clusters, against one-sided differences, other minimisers and closed forms."""

from itertools import pairwise

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad

import krylov_adj as ka

N, P = 12, 7
CASES = [(m, is_complex) for m in (2, 3, 4) for is_complex in (False, True)]


class Family:
    """A(p) = A₀ + Σ pⱼ Aⱼ + (Σ p)² A′ whose m largest eigenvalues are 2 + split at p = 0."""

    def __init__(self, m, is_complex, split=0.0, seed=0):
        rng = onp.random.default_rng([seed, m, is_complex])

        def draw():
            B = rng.normal(size=(N, N)) + (1j * rng.normal(size=(N, N)) if is_complex else 0)
            return (B + B.conj().T) / 2

        Q = onp.linalg.qr(draw())[0]
        w = onp.r_[onp.linspace(-1, 1, N - m), 2.0 + split * onp.arange(m)]
        A = (Q * w) @ Q.conj().T
        self.m, self.A0, self.A1, self.second = m, (A + A.conj().T) / 2, onp.array([draw() for _ in range(P)]), draw()
        self.X = Q[:, N - m :] @ onp.linalg.qr(draw()[:m, :m])[0]
        self.rng = rng

    def A(self, p):
        return self.A0 + np.tensordot(p, self.A1, 1) + np.sum(p) ** 2 * self.second

    def H(self, p):
        return self.X.conj().T @ self.A(p) @ self.X

    def cluster(self):
        return ka.cluster_gradient(self.H, onp.zeros(P))

    def slopes(self, d):
        """One-sided derivatives of the cluster's eigenvalues along d, by differences extrapolated to the step zero."""
        base = onp.linalg.eigvalsh(self.A0)[-self.m :]
        steps = 4e-3 / 2.0 ** onp.arange(6)
        rows = [(onp.linalg.eigvalsh(self.A(t * d))[-self.m :] - base) / t for t in steps]
        for order in range(1, 6):
            rows = [b + (b - a) / (2**order - 1) for a, b in pairwise(rows)]
        return rows[0]


@pytest.mark.parametrize(("m", "is_complex"), CASES)
def test_directional_derivatives(m, is_complex):
    family = Family(m, is_complex)
    cluster = family.cluster()
    assert cluster.w == pytest.approx(2.0, abs=1e-13)
    for _ in range(20):
        d = family.rng.normal(size=P)
        d /= onp.linalg.norm(d)
        assert cluster.directional(d) == pytest.approx(family.slopes(d), abs=1e-8)
        assert cluster.directional(d) == pytest.approx(-cluster.directional(-d)[::-1], abs=1e-13)


def test_directional_derivatives_where_eigenvalues_do_not_coincide():
    """Those that do are one group, each of the others has its own derivative."""
    family = Family(4, True, split=0.1)
    d = family.rng.normal(size=P)
    assert family.cluster().directional(d) == pytest.approx(family.slopes(d), abs=1e-7)

    def H(p):
        return np.array([[1.0 + p[0], p[1], p[2]], [p[1], 1.0 - p[0], p[2]], [p[2], p[2], 2.0 + p[0]]])

    cluster = ka.cluster_gradient(H, onp.zeros(3))
    assert cluster.directional(onp.array([0.0, 1.0, 5.0])) == pytest.approx([-1.0, 1.0, 0.0], abs=1e-15)


@pytest.mark.parametrize(("m", "is_complex"), CASES)
def test_the_two_maps_are_each_others_transposes(m, is_complex):
    family = Family(m, is_complex)
    cluster = family.cluster()
    Y, d = family.X[:m].conj() @ family.X[:m].T, family.rng.normal(size=P)
    Y = Y + Y.conj().T
    expected = onp.real(onp.sum(Y.conj() * cluster.matrix(d)))
    assert cluster.gradient(Y) @ d == pytest.approx(expected, rel=1e-13)
    assert cluster.gradient(onp.eye(m)) == pytest.approx(grad(lambda p: np.real(np.trace(family.H(p))))(onp.zeros(P)))
    S = cluster.matrix(d)
    kept = family.cluster()
    G = kept.gram()
    assert onp.array_equal(G, G.T)
    assert kept.matrix(d) == pytest.approx(S, abs=1e-13)  # from the rows
    assert kept.minimal_norm().g.shape == (P,)
    unstored = family.cluster()
    assert unstored.gram(stored=False) == pytest.approx(G, rel=1e-12, abs=1e-12)
    assert unstored._rows is None
    assert unstored.minimal_norm().g == pytest.approx(kept.minimal_norm().g, abs=1e-10)


# --------------------------------------------------------------------------------------------
# Smallest elements and proximal steps.
# --------------------------------------------------------------------------------------------


def nearest(Y, r):
    """The nearest matrix with 0 ⪯ Y ⪯ I, tr Y = r."""
    w, Q = onp.linalg.eigh((Y + Y.conj().T) / 2)
    corners = onp.sort(onp.r_[w - 1, w])  # between them the trace is linear in the shift
    sums = onp.clip(w - corners[:, None], 0, 1).sum(axis=1)
    shift = onp.interp(-r, -sums, corners)
    return (Q * onp.clip(w - shift, 0, 1)) @ Q.conj().T


def accelerated(cluster, r, tau=None):
    """S*(Y) at the minimum of ½ τ ‖S*(Y)‖² − ⟨H, Y⟩ (½ ‖S*(Y)‖²) by projected gradients, accelerated, with restarts."""
    E, G = cluster.basis, cluster.gram()
    C, G = (0 * cluster.H, G) if tau is None else (cluster.H - cluster.w[-1] * onp.eye(len(cluster.w)), tau * G)
    length = 1 / onp.linalg.norm(G, 2)

    def slope(Y):
        y = onp.real(onp.einsum("qab,ab->q", E.conj(), Y))
        return onp.tensordot(G @ y, E, 1) - C

    Y = V = onp.eye(len(cluster.w)) * r / len(cluster.w)
    t = 1.0
    for _ in range(3000):
        D = slope(V)
        new = nearest(V - length * D, r)
        if onp.linalg.norm(new - V) < 1e-14:
            break
        if t > 1 and onp.real(onp.sum(D.conj() * (new - Y))) > 0:
            t, V = 1.0, Y
            continue
        t, last = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        Y, V = new, new + (last - 1) / t * (new - Y)
    return cluster.gradient(new)


@pytest.mark.parametrize(("m", "is_complex"), CASES)
def test_smallest_element(m, is_complex):
    family = Family(m, is_complex)
    cluster = family.cluster()
    for r in range(1, m + 1):
        found = cluster.minimal_norm(r)
        size = onp.linalg.norm(cluster.gram())
        assert found.certificate <= 1e-13 * size
        S = onp.linalg.eigvalsh(cluster.matrix(-found.g))
        assert onp.sum(S[-r:]) + found.norm**2 == pytest.approx(0, abs=1e-12 * size)
        w = onp.linalg.eigvalsh(found.Y)
        assert -1e-14 <= w[0] <= w[-1] <= 1 + 1e-13
        assert onp.trace(found.Y) == pytest.approx(r, abs=1e-12)
        assert found.g == pytest.approx(cluster.gradient(found.Y), abs=1e-12)
        assert found.norm == onp.linalg.norm(found.g)
        assert found.g == pytest.approx(accelerated(cluster, r), abs=1e-8)
        if found.norm > 1e-6:  # the rate at which the r largest fall
            slopes = family.slopes(-found.g / found.norm)
            assert onp.sum(onp.sort(slopes)[-r:]) == pytest.approx(-found.norm, abs=1e-7)


@pytest.mark.parametrize("split", [0.0, 1e-9, 0.02])
@pytest.mark.parametrize(("m", "is_complex"), CASES)
def test_proximal_step(m, is_complex, split):
    family = Family(m, is_complex, split)
    cluster = family.cluster()
    for r in range(1, m + 1):
        for tau in (1e-3, 0.3):
            d, Y, value = cluster.proximal(tau, r)
            assert d == pytest.approx(-tau * cluster.gradient(Y), abs=1e-12 * tau)
            model = onp.sum(onp.linalg.eigvalsh(cluster.H + cluster.matrix(d))[-r:])
            assert value == pytest.approx(model, rel=1e-14)
            # what the model and its dual have to have in common at the minimum
            dual = onp.real(onp.sum(Y.conj() * cluster.H)) - d @ d / (2 * tau)
            assert model + d @ d / (2 * tau) == pytest.approx(dual, abs=1e-12 * (1 + tau))
    assert cluster.proximal(0.3).d == pytest.approx(-0.3 * accelerated(cluster, 1, 0.3), abs=1e-8)


def test_a_stationary_crossing_has_the_gradient_zero():
    cluster = ka.cluster_gradient(lambda p: np.array([[1 + p[0], p[1]], [p[1], 1 - p[0]]]), onp.zeros(2))
    found = cluster.minimal_norm()
    assert found.norm < 1e-8
    assert pytest.approx(onp.eye(2) / 2, abs=1e-8) == found.Y
    assert onp.linalg.norm(cluster.proximal(1.0).d) < 1e-8


@pytest.mark.filterwarnings("ignore:Output seems independent of input:UserWarning")  # autograd's
def test_what_does_not_depend_on_the_parameters():
    cluster = ka.cluster_gradient(lambda p: onp.eye(3), onp.zeros(2))
    assert not cluster.minimal_norm().g.any()
    assert not cluster.directional(onp.ones(2)).any()


def test_proximal_steps_descend_to_the_least_largest_eigenvalue():
    """min λmax(diag(1, 2, 3) + p-dependent part of trace zero) is the mean, where all three meet."""

    def H(p):
        return np.array([[1 + p[0], p[2], 0.0], [p[2], 2 + p[1], p[3]], [0.0, p[3], 3 - p[0] - p[1]]])

    p = onp.array([0.1, -0.2, 0.3, 0.2])
    for _ in range(60):
        p = p + ka.cluster_gradient(H, p).proximal(0.5).d
    assert onp.linalg.eigvalsh(H(p)) == pytest.approx(2.0, abs=1e-10)


@pytest.mark.parametrize("points", [30, 1000])
def test_a_membrane(points):
    """−Δ + p on a square: the pair (1, 2), (2, 1) of the string's modes has rows x₁², √2 x₁x₂, x₂² in closed form."""
    i = onp.arange(1, points + 1) * onp.pi / (points + 1)
    s1, s2 = (onp.sin(j * i) * (2 / (points + 1)) ** 0.5 for j in (1, 2))
    x1, x2 = onp.outer(s1, s2).ravel(), onp.outer(s2, s1).ravel()
    X = onp.column_stack([x1, x2])
    w = 4 * (onp.sin(i[0] / 2) ** 2 + onp.sin(i[0]) ** 2)
    cluster = ka.cluster_gradient(lambda p: (X, w * onp.eye(2) + np.dot(X.T, p[:, None] * X)), onp.zeros(points**2))
    cluster.gram()
    for row, exact in zip(cluster._rows, (x1**2, 2**0.5 * x1 * x2, x2**2), strict=True):
        assert onp.linalg.norm(row - exact) <= 1e-13 * onp.linalg.norm(exact)
    found = cluster.minimal_norm()
    assert found.norm == pytest.approx(1.625**0.5 / (points + 1), rel=1e-10)


# --------------------------------------------------------------------------------------------
# What is said, and what is refused.
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_gauge", ["warn", "raise"])
def test_only_its_own_gauge_warnings_are_silent(on_gauge):
    """Here the phase of an eigenvector is read, which is said to others, before and after."""
    family = Family(2, True, split=0.1)
    options = ka.Adjoint(on_gauge=on_gauge)

    def H(p):
        w, X = ka.eigsh(family.A(p), k=1, which="LA", v0=onp.ones(N) + 0j, adjoint=options)
        return (w[0] + np.real(X[1, 0])) * onp.eye(1)

    def said():
        if on_gauge == "raise":
            with pytest.raises(ValueError, match="phase"):
                grad(lambda p: H(p)[0, 0])(onp.zeros(P))
        else:
            with pytest.warns(ka.GaugeWarning):
                grad(lambda p: H(p)[0, 0])(onp.zeros(P))

    said()
    cluster = ka.cluster_gradient(H, onp.zeros(P))
    d = family.rng.normal(size=P)
    assert cluster.gradient(onp.eye(1)) @ d == pytest.approx(cluster.directional(d)[0], rel=1e-8)
    assert cluster.minimal_norm().norm > 0
    said()


def test_without_a_forward_mode():
    """autograd's inv has none: tangents are made of cotangents."""
    family = Family(3, False)

    def H(p):
        return np.linalg.inv(np.linalg.inv(family.H(p)))

    cluster = ka.cluster_gradient(H, onp.zeros(P))
    d = family.rng.normal(size=P)
    assert cluster.matrix(d) == pytest.approx(family.cluster().matrix(d), abs=1e-11)
    assert cluster.gram(stored=False) == pytest.approx(family.cluster().gram(), abs=1e-10)


def test_shapes_and_types_of_parameters():
    def H(p):
        return np.sum(p) * onp.eye(2, dtype=onp.float32) + p[0, 0] * onp.ones((2, 2), onp.float32)

    cluster = ka.cluster_gradient(H, onp.ones((2, 3), onp.float32))
    found = cluster.minimal_norm()
    assert found.g.shape == (2, 3)
    assert found.g.dtype == onp.float32
    assert cluster.proximal(1.0).d.shape == (2, 3)
    scalar = ka.cluster_gradient(lambda p: p * onp.diag([1.0, -1.0]), 0)
    assert scalar.directional(2.0) == pytest.approx([-2.0, 2.0])
    assert abs(scalar.minimal_norm().g) < 1e-8


def test_bad_arguments_are_refused():
    eye = onp.eye(2)
    with pytest.raises(ValueError, match="p must be real"):
        ka.cluster_gradient(lambda p: p[0] * eye, onp.ones(1) + 0j)
    with pytest.raises(ValueError, match="square matrix"):
        ka.cluster_gradient(lambda p: p[0] * onp.ones(3), onp.ones(1))
    with pytest.raises(ValueError, match="not Hermitian"):
        ka.cluster_gradient(lambda p: p[0] * onp.array([[1.0, 2.0], [0.0, 1.0]]), onp.ones(1))
    with pytest.raises(TypeError, match="outside of differentiated functions"):
        grad(lambda t: ka.cluster_gradient(lambda p: (p[0] + t) * eye, onp.ones(1)).w[0])(1.0)
    cluster = ka.cluster_gradient(lambda p: p[0] * eye, onp.ones(1))
    with pytest.raises(ValueError, match="shape of H"):
        cluster.gradient(onp.eye(3))
    for d in (onp.ones(2), onp.ones(1) + 0j):
        with pytest.raises(ValueError, match="d must be real and of the shape of p"):
            cluster.matrix(d)
    for r in (0, 3, 1.5):
        with pytest.raises(ValueError, match="whole number from 1 to 2"):
            cluster.minimal_norm(r)
    for tau in (0.0, -1.0, onp.inf, onp.nan):
        with pytest.raises(ValueError, match="tau must be positive"):
            cluster.proximal(tau)
    tiny = ka.cluster_gradient(lambda p: eye + 1e-150 * p[0] * eye, onp.ones(1))
    with pytest.raises(ValueError, match="choose other units"):
        tiny.proximal(1.0)
    infinite = ka.cluster_gradient(lambda p: np.sqrt(p[0]) * eye, onp.zeros(1))
    with onp.errstate(divide="ignore", invalid="ignore"), pytest.raises(ValueError, match="NaN or infinity"):
        infinite.minimal_norm()
