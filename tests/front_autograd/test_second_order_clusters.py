"""Second derivatives of functions of a whole cluster, in every mode, against contour integrals that know no gap.

Reverse over reverse and forward over reverse lose ε/gap; forward over forward has the vectors' true motion in it,
and loses ε/gap², which is said.
"""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad, make_jvp

import krylov_adj as ka

GAPS = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
EPS = 2.2e-16


def second_derivative(P, h=0.04):
    """P″(0) of a smooth function of one number, by extrapolated central differences."""
    table = [[(P(s) - 2 * P(0.0) + P(-s)) / s**2] for s in (h, h / 2, h / 4, h / 8)]
    for column in range(1, 4):
        for row in range(3, column - 1, -1):
            fine, coarse = table[row][column - 1], table[row - 1][column - 1]
            table[row].append(fine + (fine - coarse) / (4**column - 1))
    return table[3][3]


def projector(A, M, circle, nodes=64):
    """(1/2πi)∮ (z M − A)⁻¹ M dz around the cluster."""
    centre, radius = circle
    turn = radius * onp.exp(2j * onp.pi * (onp.arange(nodes) + 0.5) / nodes)
    return sum(la.solve((centre + z) * M - A, M) * z for z in turn) / nodes


class Family:
    """A(t) = A + t D (and M(t)) with two eigenvalues 1, 1 + gap apart from all others; a loss of their span."""

    def __init__(self, kind, n, gap, is_complex, seed=3):
        self.kind, self.rng = kind, onp.random.default_rng(seed)
        self.is_complex, self.n = is_complex, n
        rest = onp.linspace(2.5, 9, n - 2)
        w = onp.r_[1.0, 1.0 + gap, rest]
        self.hermitian = kind not in ("eigs", "svds")
        self.M, self.dM = onp.eye(n), onp.zeros((n, n))
        if kind == "svds":
            Q, S = self.unitary(), self.unitary()
            self.A, self.D = (Q * w) @ S, self.draw() / n**0.5
        elif self.hermitian:
            F, Q = onp.eye(n), self.unitary()
            if kind == "pencil":
                F = onp.eye(n) + 0.3 * self.draw() / n**0.5
                self.M, self.dM = self.symmetric(F @ F.conj().T), 0.2 * self.symmetric(self.draw()) / n**0.5
            self.A, self.D = self.symmetric(F @ (Q * w) @ Q.conj().T @ F.conj().T), self.symmetric(self.draw()) / n**0.5
        else:
            V = self.unitary() @ onp.diag(onp.linspace(1, 2, n)) @ self.unitary()
            self.A, self.D = (V * w) @ la.inv(V), self.draw() / n**0.5
        self.W = self.symmetric(self.draw()) / n**0.5
        self.v0 = self.rng.standard_normal(n)

    def draw(self):
        G = self.rng.standard_normal((self.n, self.n))
        return G + 1j * self.rng.standard_normal((self.n, self.n)) if self.is_complex else G

    def unitary(self):
        return la.qr(self.draw())[0]

    def symmetric(self, G):
        return 0.5 * (G + G.conj().T)

    def loss(self, t, **options):
        """tr(W Π), Π the orthogonal projector onto the span (with M: X Xᴴ)."""
        A, adjoint = self.A + t * self.D, ka.Adjoint(**options)
        call = {"k": 2, "v0": self.v0, "adjoint": adjoint}
        if self.kind == "svds":
            X = ka.svds(A, which="SM", **call)[0]
        elif self.kind == "eigs":
            X = ka.eigs(A, which="SR", **call)[1]
        elif self.kind == "sigma":
            X = ka.eigsh(A, sigma=0.8, **call)[1]
        elif self.kind == "pencil":
            X = ka.eigsh(A, M=self.M + t * self.dM, sigma=0.8, **call)[1]
        else:
            X = ka.eigsh(A, which="SA", **call)[1]
        XH = np.conj(X).T
        G, S = np.dot(XH, X), np.dot(XH, np.dot(self.W, X))
        if self.kind == "pencil":
            return np.real(np.trace(S))
        # tr(G⁻¹ S), which autograd's forward mode can do
        adjugate = G[1, 1] * S[0, 0] - G[0, 1] * S[1, 0] - G[1, 0] * S[0, 1] + G[0, 0] * S[1, 1]
        return np.real(adjugate / (G[0, 0] * G[1, 1] - G[0, 1] * G[1, 0]))

    def reference(self):
        def value(t):
            A, M = self.A + t * self.D, self.M + t * self.dM
            if self.kind == "svds":
                A = A @ A.conj().T
                return onp.trace(self.W @ projector(A, M, (1.0, 1.5))).real
            P = projector(A, M, (1.0, 0.7))
            if self.kind == "pencil":
                return onp.trace(self.W @ P @ la.inv(M)).real  # X Xᴴ = P M⁻¹
            U = la.svd(P)[0][:, :2]
            return onp.trace(U.conj().T @ self.W @ U).real

        return second_derivative(value)

    def derivative(self, mode, **options):
        def f(t):
            return self.loss(t, **options)

        def tangent(f):
            return lambda t: make_jvp(f)(t)(1.0)[1]

        return {
            "reverse over reverse": lambda: grad(grad(f))(0.0),
            "forward over reverse": lambda: tangent(grad(f))(0.0),
            "forward over forward": lambda: tangent(tangent(f))(0.0),
        }[mode]


def judged(family, mode, **options):
    """Relative error of a second derivative, and what was said."""
    expected = family.reference()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = family.derivative(mode, **options)()
    return abs(value - expected) / abs(expected), [str(entry.message) for entry in caught]


CLASSES = [("eigsh", 8), ("sigma", 20), ("pencil", 20), ("eigs", 20), ("svds", 16)]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(("kind", "n"), CLASSES)
def test_reverse_over_reverse(kind, n, is_complex, gap):
    error, said = judged(Family(kind, n, gap, is_complex), "reverse over reverse")
    if gap == 0.0 or gap >= 1e-9:
        assert error < 1e-6
        assert said == []
    assert error < 1e-4 or said


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("mode", ["forward over reverse", "forward over forward"])
@pytest.mark.parametrize(("kind", "n"), CLASSES)
def test_forward_modes_are_right_or_say_what_they_lose(kind, n, mode, gap):
    family = Family(kind, n, gap, True)
    error, said = judged(family, mode)
    assert error < 1e-4 or said
    if gap >= 1e-3:
        assert error < 1e-6
        assert said == []
    if mode == "forward over reverse" and gap >= 1e-10:
        assert error < 1e-6 + 1e3 * EPS / gap
    if mode == "forward over forward" and gap == 1e-8:
        assert "reverse over reverse" in said[-1]
        with pytest.raises(ValueError, match="second derivative in forward mode"):
            family.derivative(mode, on_gauge="raise")()


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-4])
@pytest.mark.parametrize("kind", ["eigsh", "sigma", "eigs"])
def test_above_the_dense_order(kind, gap):
    error, said = judged(Family(kind, 260, gap, kind == "sigma"), "reverse over reverse")
    assert error < 1e-6
    assert said == []


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("kind", ["eigsh", "sigma", "pencil", "eigs"])
def test_the_mean_of_a_degenerate_cluster_has_a_second_derivative(kind, is_complex):
    """w̄ = tr(A P)/2: right, and nothing to say about it, so that on_gauge="raise" lets it pass."""
    family = Family(kind, 20, 0.0, is_complex)
    options = ka.Adjoint(on_gauge="raise")
    call = {"k": 2, "v0": family.v0, "adjoint": options}
    call |= {"which": "SR"} if kind == "eigs" else {"which": "SA"} if kind == "eigsh" else {"sigma": 0.8}

    def mean(t):
        A = family.A + t * family.D
        M = {"M": family.M + t * family.dM} if kind == "pencil" else {}
        w = (ka.eigs if kind == "eigs" else ka.eigsh)(A, **M, **call)[0]
        return np.mean(np.real(w))

    def value(t):
        A, M = family.A + t * family.D, family.M + t * family.dM
        C = projector(A, M, (1.0, 0.7)) @ la.solve(M, A)
        return 0.5 * onp.trace(C).real

    assert grad(grad(mean))(0.0) == pytest.approx(second_derivative(value), rel=1e-6)


def test_members_of_a_cluster_keep_their_own_second_derivatives():
    """Even and odd states of a double well: couplings that vanish by symmetry have derivatives, which count."""
    n = 40
    x = onp.linspace(-4, 4, n)
    h = x[1] - x[0]
    well = 0.6 * (x**2 - 4) ** 2
    T = (2 * onp.eye(n) - onp.eye(n, k=1) - onp.eye(n, k=-1)) / (2 * h * h)
    tilt = onp.diag(x)
    w, X = la.eigh(T + onp.diag(well))
    assert 1e-5 < w[1] - w[0] < 1e-2

    def f(t):
        X = ka.eigsh(T + onp.diag(well) + t * tilt, k=2, which="SA", v0=onp.ones(n) + 0.1 * x)[1]
        return np.sum(X[:, 0] ** 4)

    def exact(t):
        return onp.sum(la.eigh(T + onp.diag(well) + t * tilt)[1][:, 0] ** 4)

    expected = second_derivative(exact, h=0.1 * (w[1] - w[0]))
    assert grad(grad(f))(0.0) == pytest.approx(expected, rel=1e-5)
    assert make_jvp(grad(f))(0.0)(1.0)[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gap", [1e-9, 1e-8, 1e-6, 1e-2])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("kind", ["eigsh", "sigma", "pencil"])
def test_spectral_functions_in_forward_over_reverse_say_what_they_lose(kind, is_complex, gap):
    """tr(W f(A) Π): the terms with 1/gap² cancel to a number of the size of one."""
    family = Family(kind, 16, gap, is_complex)
    call = {"k": 2, "v0": family.v0} | ({"which": "SA"} if kind == "eigsh" else {"sigma": 0.8})

    def f(t):
        M = {"M": family.M + t * family.dM} if kind == "pencil" else {}
        w, X = ka.eigsh(family.A + t * family.D, **M, **call)
        return np.real(np.sum(np.exp(-w) * np.sum(np.conj(X) * np.dot(family.W, X), axis=0)))

    def value(t):
        A, M = family.A + t * family.D, family.M + t * family.dM
        turn = 0.7 * onp.exp(2j * onp.pi * (onp.arange(64) + 0.5) / 64)
        return sum(onp.trace(family.W @ la.inv((1 + z) * M - A)) * onp.exp(-1 - z) * z for z in turn).real / 64

    expected = second_derivative(value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = abs(make_jvp(grad(f))(0.0)(1.0)[1] - expected) / abs(expected)
    assert error < 1e-4 or caught
    if gap == 1e-2:
        assert error < 1e-6
        assert not caught


@pytest.mark.parametrize("gap", [1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("is_complex", [False, True])
def test_residuals_of_iterative_engines_are_not_amplified_by_gaps(is_complex, gap):
    """They are in terms with 1/gap² that cancel: Σ w², and functions of left eigenvectors."""
    family = Family("eigs", 20, gap, is_complex)
    call = {"k": 2, "which": "SR", "v0": family.v0, "adjoint": ka.Adjoint(method="gmres")}

    def squares(t):
        return np.real(np.sum(ka.eigs(family.A + t * family.D, **call)[0] ** 2))

    def left(t):
        A = family.A + t * family.D
        w, X = ka.eigs(A, **call)
        Y = ka.left_eigenvectors(A, w, X, adjoint=call["adjoint"])
        return np.real(np.sum(np.conj(Y) * np.dot(family.W, X)))  # tr(W P)

    def value(loss, t):
        A = family.A + t * family.D
        P = projector(A, onp.eye(20), (1.0, 0.7))
        return onp.trace(A @ A @ P if loss is squares else family.W @ P).real

    for loss in (squares, left):
        expected = second_derivative(lambda t, loss=loss: value(loss, t))
        modes = [
            lambda loss=loss: grad(lambda t: make_jvp(loss)(t)(1.0)[1])(0.0),
            lambda loss=loss: make_jvp(grad(loss))(0.0)(1.0)[1],
            lambda loss=loss: grad(grad(loss))(0.0),
        ]
        for number, mode in enumerate(modes):
            # The first has the true motion of left eigenvectors in it.
            rounding = 1e3 * EPS / gap ** (2 if number == 0 and loss is left else 1)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                error = abs(mode() - expected) / abs(expected)
            assert error < 1e-6 + rounding
            assert error < 1e-4 or caught
            assert error > 1e-6 or not caught


@pytest.mark.parametrize("gap", [1e-9, 1e-8])
@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize("is_complex", [False, True])
def test_spectral_functions_of_left_vectors_say_what_they_lose(is_complex, seed, gap):
    """tr(W f(A) P): normalisation moves vectors that are not orthogonal along themselves, as 1/gap too."""
    family = Family("eigs", 14, gap, is_complex, seed)
    call = {"k": 2, "which": "SR", "v0": family.v0}

    def f(t):
        A = family.A + t * family.D
        w, X = ka.eigs(A, **call)
        Y = ka.left_eigenvectors(A, w, X)
        return np.real(np.sum(np.exp(-w) * np.sum(np.conj(Y) * np.dot(family.W, X), axis=0)))

    def value(t):
        A = family.A + t * family.D
        turn = 0.7 * onp.exp(2j * onp.pi * (onp.arange(64) + 0.5) / 64)
        resolvents = (la.inv((1 + z) * onp.eye(14) - A) * onp.exp(-1 - z) * z for z in turn)
        return onp.trace(family.W @ sum(resolvents)).real / 64

    expected = second_derivative(value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = abs(make_jvp(grad(f))(0.0)(1.0)[1] - expected) / abs(expected)
    assert error < 1e-4 or caught
