"""Clusters, cut clusters, gauges and defects: right, or said."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad
from oracle import difference

import krylov_adj as ka

N = 14  # of one block; the operator has two


def family(gap, complex_, seed=0, pencil=False):
    """A(p) = U(p) diag(d, d + gap) U(p)ᴴ on an isometry U(p): eigenvalues that stay as close as they are.

    Block form: A = V (B(p) ⊕ (B(p) + gap)) Vᴴ with a fixed unitary V that mixes the blocks.
    """
    rng = onp.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape) + (1j * rng.normal(size=shape) if complex_ else 0)

    B0, B1 = draw(N, N), draw(N, N)
    B0, B1 = B0 + B0.conj().T, B1 + B1.conj().T
    V = onp.linalg.qr(draw(2 * N, 2 * N))[0]
    C = draw(N, N)
    C0, C1 = onp.eye(N) + 0.05 * C @ C.conj().T, 0.05 * (C + C.conj().T)

    def doubled(S, shift=0.0):
        Z = onp.zeros((N, N))
        return onp.block([[S, Z], [Z, S + shift * onp.eye(N)]])

    A0, A1 = V @ doubled(B0, gap) @ V.conj().T, V @ doubled(B1) @ V.conj().T
    M0, M1 = V @ doubled(C0) @ V.conj().T, V @ doubled(C1) @ V.conj().T
    symmetric = [(S + S.conj().T) / 2 for S in (A0, A1, M0, M1)]
    blocks = (B0, B1, C0, C1)
    W = onp.diag(rng.uniform(-1, 1, 2 * N))
    return symmetric, blocks, V, W


def projector_loss(X, W):
    """Σ |P_ab|² weights + ⟨W, P⟩ of P = X Xᴴ: a function of the eigenspace alone."""
    P = np.dot(X, np.conj(X).T)
    return np.sum(np.real(W * P)) + np.sum(np.abs(P) ** 2 * onp.abs(W))


def pairs_of(family_, p, k, pencil, **extra):
    A0, A1, M0, M1 = family_[0]
    M = M0 + p * M1 if pencil else None
    return ka.eigsh(A0 + p * A1, k=k, M=M, which="SA", v0=onp.cos(onp.arange(2 * N)), **extra)


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 0.0])
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("pencil", [False, True])
@pytest.mark.parametrize("method", ["dense", "minres"])
def test_functions_of_the_eigenspace_are_right_at_every_gap(gap, complex_, pencil, method):
    """Catalogue 4: no division by the gap survives in what does not depend on it."""
    family_ = family(gap, complex_)

    def f(p):
        w, X = pairs_of(family_, p, 4, pencil, adjoint=ka.Adjoint(method=method))
        return projector_loss(X[:, :4], family_[3]) + np.sum(w)

    def reference(p):
        A0, A1, M0, M1 = family_[0]
        w, X = la.eigh(A0 + p * A1, M0 + p * M1 if pencil else None)
        return projector_loss(X[:, :4], family_[3]) + np.sum(w[:4])

    expected, error = difference(reference, 0.1, 1.0, h=0.05)
    onp.testing.assert_allclose(grad(f)(0.1), expected, rtol=1e-8, atol=10 * error)


@pytest.mark.parametrize("gap", [1e-2, 1e-5, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize("complex_", [False, True])
def test_spectral_functions_lose_no_more_than_rounding_over_gap(gap, complex_):
    """f = Σ F(λᵢ) xᵢᴴ W xᵢ: the coupling is of the order of the gap and must be divided by it, not masked.

    Reference: the block form has f = Σ over blocks of tr(F(B + shift) Vᴴ W V), smooth in the gap.
    """
    family_ = family(gap, complex_, seed=1)
    (A0, A1, _, _), (B0, B1, _, _), V, W = family_
    ignore = ka.Adjoint(on_gauge="ignore")  # that rounding is felt in other directions, which mix the blocks

    def f(p):
        w, X = pairs_of(family_, p, 2 * N - 2, False, adjoint=ignore)
        rest = ka.eigsh(A0 + p * A1, k=2, which="LA", v0=onp.cos(onp.arange(2 * N)), adjoint=ignore)
        return sum(np.sum(np.sin(w) * np.sum(np.real(np.conj(X) * np.dot(W, X)), axis=0)) for w, X in ((w, X), rest))

    def reference(p):
        # sin(A) is analytic in A: by the blocks, whose eigenvalues are simple.
        w, U = onp.linalg.eigh(B0 + p * B1)
        blocks = [U @ onp.diag(onp.sin(w + shift)) @ U.conj().T for shift in (0.0, gap)]
        return onp.real(onp.trace(V @ la.block_diag(*blocks) @ V.conj().T @ W))

    expected, error = difference(reference, 0.1, 1.0, h=0.05)
    onp.testing.assert_allclose(grad(f)(0.1), expected, rtol=max(1e-9, 1e2 * onp.finfo(float).eps / gap), atol=error)


@pytest.mark.parametrize("complex_", [False, True])
def test_a_loss_that_reads_the_basis_gives_one_warning(complex_):
    """Catalogue 5."""
    family_ = family(0.0, complex_)
    profile = onp.linspace(0, 1, 2 * N)

    def f(p):
        w, X = pairs_of(family_, p, 4, False)
        return np.sum(profile * np.abs(X[:, 0]) ** 2)

    with pytest.warns(ka.GaugeWarning, match=r"basis.*\(\d, \d\).*gap.*\(a\).*\(b\).*increase k") as caught:
        g = grad(f)(0.1)
    assert len(caught) == 1
    assert onp.isfinite(g)
    with pytest.raises(ValueError, match="basis chosen"):
        grad(lambda p: f_with(family_, p, profile, ka.Adjoint(on_gauge="raise")))(0.1)
    grad(lambda p: f_with(family_, p, profile, ka.Adjoint(on_gauge="ignore")))(0.1)


def f_with(family_, p, profile, options):
    w, X = pairs_of(family_, p, 4, False, adjoint=options)
    return np.sum(profile * np.abs(X[:, 0]) ** 2)


@pytest.mark.parametrize("seed", range(1, 7))
def test_twins_that_rounding_has_split_are_twins(seed):
    """A ring: levels 2 and 3 coincide, and ARPACK's values differ by a few ε‖A‖, more than 100 ε max|w|."""
    n = 400
    profile = onp.random.default_rng(2).uniform(0, 1, n)

    def f(V):
        H = ka.LinearOperator((n, n), lambda x: V * x - np.roll(x, 1) - np.roll(x, -1), dtype=float)
        w, X = ka.eigsh(H, k=3, which="SA", v0=onp.random.default_rng(seed).standard_normal(n))
        return np.sum(profile * X[:, 1] ** 4)

    with pytest.warns(ka.GaugeWarning, match=r"basis.*\(1, 2\)"):
        g = grad(f)(onp.zeros(n))
    assert onp.abs(g).max() < 1


def test_a_simple_pair_is_right_while_others_coincide():
    """Catalogue 5: NaN in torch and JAX."""
    rng = onp.random.default_rng(3)
    spectrum = onp.r_[-3.0, 1.0, 1.0, 1.0, onp.linspace(2, 5, 16)]
    Q = onp.linalg.qr(rng.normal(size=(20, 20)) + 1j * rng.normal(size=(20, 20)))[0]
    A0 = (Q * spectrum) @ Q.conj().T
    A0 = (A0 + A0.conj().T) / 2
    A1 = rng.normal(size=(20, 20)) + 1j * rng.normal(size=(20, 20))
    A1 = A1 + A1.conj().T
    profile = rng.normal(size=20)

    def f(p):
        w, X = ka.eigsh(A0 + p * A1, k=4, which="SA", v0=onp.ones(20))
        lowest = int(onp.argmin(w._value if hasattr(w, "_value") else w))
        return w[lowest] + np.sum(profile * np.abs(X[:, lowest]) ** 2)

    def reference(p):
        w, X = onp.linalg.eigh(A0 + p * A1)
        return w[0] + onp.sum(profile * onp.abs(X[:, 0]) ** 2)

    expected, error = difference(reference, 0.0, 1.0, h=0.05)
    onp.testing.assert_allclose(grad(f)(0.0), expected, rtol=1e-8, atol=10 * error)


def test_unequal_weights_in_a_cluster_give_a_degeneracy_warning():
    family_ = family(0.0, False)

    def f(p):
        w, X = pairs_of(family_, p, 4, False)
        return w[0] + 2 * w[2] + 2 * w[3]

    with pytest.warns(ka.DegeneracyWarning, match=r"coincide differently: numbers \[0, 1\] at .*generalised") as caught:
        g = grad(f)(0.1)
    assert len(caught) == 1
    # An element of Clarke's generalised gradient: here the eigenvalues move together, and it is exact.
    expected, error = difference(lambda p: float(f(p)), 0.1, 1.0, h=0.05)
    onp.testing.assert_allclose(g, expected, rtol=1e-8, atol=10 * error)


@pytest.mark.parametrize("method", ["dense", "minres", "gmres", "shared", "direct"])
@pytest.mark.parametrize("gap", [0.0, 1e-13])
def test_a_cluster_cut_at_k_is_named(method, gap):
    """Catalogue 8."""
    family_ = family(gap, True)
    A0, A1, _, _ = family_[0]
    profile = onp.linspace(0, 1, 2 * N)
    lowest = onp.linalg.eigvalsh(A0)[0]

    def f(p):
        sigma = {"sigma": lowest - 1.0, "which": "LM"} if method == "shared" else {"which": "SA"}
        w, X = ka.eigsh(A0 + p * A1, k=3, v0=onp.cos(onp.arange(2 * N)), adjoint=ka.Adjoint(method=method), **sigma)
        return np.sum(profile[:, None] * np.abs(X) ** 2)

    with pytest.raises(ka.AdjointNoConvergence, match=r"\(w = .*increase k") as caught:
        grad(f)(0.0)
    assert caught.value.report.neighbours
    assert not caught.value.report.converged


def test_projector_loss_of_a_degenerate_pair_with_a_moving_mass():
    """Catalogue 20: the Hermitian part of XᴴG belongs to the normalisation off the diagonal too."""
    (A0, _, M0, M1), _, _, W = family(0.0, True, seed=5)

    def f(p):
        w, X = ka.eigsh(A0, k=2, M=M0 + p * M1, which="SA", v0=onp.cos(onp.arange(2 * N)))
        return projector_loss(X, W)

    def reference(p):
        return projector_loss(la.eigh(A0, M0 + p * M1)[1][:, :2], W)

    expected, error = difference(reference, 0.1, 1.0, h=0.05)
    onp.testing.assert_allclose(grad(f)(0.1), expected, rtol=1e-8, atol=10 * error)


# ---- defects ---------------------------------------------------------------------------------


def exceptional(eps, n=12, seed=0):
    """[[1, 1], [eps, 1]] beside a well separated spectrum, in a random orthogonal frame."""
    rng = onp.random.default_rng(seed)
    Q = onp.linalg.qr(rng.normal(size=(n, n)))[0]
    D = onp.diag(onp.r_[1.0, 1.0, onp.linspace(-3, -1, n - 2)])
    D[0, 1] = 1.0
    E = onp.zeros((n, n))
    E[1, 0] = 1.0
    return Q @ (D + eps * E) @ Q.T, Q @ E @ Q.T


@pytest.mark.parametrize("eps", [1e-4, 1e-8])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_near_an_exceptional_point(eps, k):
    """Catalogue 10: dλ/dε = 1/(2√ε)."""
    A, E = exceptional(eps)

    def f(p):
        w, X = ka.eigs(A + p * E, k=k, which="LR", v0=onp.ones(12))
        return np.real(w[int(onp.argmax([complex(x).real for x in onp.asarray(unboxed(w))]))])

    g = grad(f)(0.0)
    onp.testing.assert_allclose(g, 0.5 / onp.sqrt(eps), rtol=1e-13 / eps + 1e-8)


def unboxed(x):
    while hasattr(x, "_value"):
        x = x._value
    return x


def test_nearly_defective_eigenvalues_are_said():
    A = onp.array([[1.0, 1.0], [1e-12, 1.0]])
    E = onp.array([[0.0, 0.0], [1.0, 0.0]])

    def f(p):
        return np.real(np.sum(ka.eigs(A + p * E, k=2)[0] * onp.array([1.0, 0.0])))

    with pytest.warns(ka.DegeneracyWarning, match="condition numbers .*κ²ε"):
        g = grad(f)(0.0)
    onp.testing.assert_allclose(abs(g), 5e5, rtol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_jordan_block_is_refused(k):
    """Catalogue 10: every dense package returns a number silently."""
    A, E = exceptional(0.0)

    def f(p):
        w, X = ka.eigs(A + p * E, k=k, which="LR", v0=onp.ones(12))
        return np.real(w[0])

    with pytest.raises((ka.DefectiveEigenvalueError, ka.AdjointNoConvergence), match=r"defective|increase k"):
        grad(f)(0.0)


def test_an_exact_jordan_block():
    A = onp.array([[1.0, 1.0], [0.0, 1.0]])

    def f(A):
        return np.real(np.sum(ka.eigs(A, k=2)[0]))

    with pytest.raises(ka.DefectiveEigenvalueError, match="condition number"):
        grad(f)(A)
