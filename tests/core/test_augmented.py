"""The shared Krylov space without an inverse: polynomial filters, restarts, real arithmetic, wrong bounds."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
from autograd import grad
from oracle import cotangent

import krylov_adj as ka
from krylov_adj.krylov import augmented
from krylov_adj.krylov.augmented import filtered_form, spectral_ends
from krylov_adj.krylov.shared import _System, _true_residuals, shared_krylov
from krylov_adj.krylov.space import WHOLE
from krylov_adj.krylov.spectral_forms import Filtered

N = 300


def complement(Q, V):
    return V - Q @ (Q.conj().T @ V)


def random_unitary(rng, n, dtype):
    V = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if dtype is complex else 0)
    return onp.linalg.qr(V)[0]


def deflated_problem(which, dtype, n=N):
    """A Hermitian A, its pairs at one end or both ends (or inside), right-hand sides and the exact solutions."""
    rng = onp.random.default_rng(4)
    U = random_unitary(rng, n, dtype)
    w = onp.cumsum(rng.uniform(0.5, 1.5, n))
    w = w - w.mean()
    order = {"SA": onp.r_[:5], "LA": onp.r_[n - 5 : n], "BE": onp.r_[0, 1, n - 2, n - 1], "inside": onp.r_[140:144]}[
        which
    ]
    Q, theta = U[:, order], w[order]
    b = complement(Q, rng.normal(size=(n, order.size)).astype(dtype) + (1j if dtype is complex else 0))
    rest = onp.setdiff1d(onp.arange(n), order)
    exact = U[:, rest] @ ((U[:, rest].conj().T @ b) / (w[rest, None] - theta))
    return (U * w) @ U.conj().T, Q, theta, b, exact, (w[rest].min(), w[rest].max())


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("which", ["SA", "LA", "BE", "inside"])
def test_filter_and_solutions(which, dtype):
    """The ends of the spectrum are bounded; |q| is at most one between and `EDGE` at the innermost pair."""
    A, Q, theta, b, exact, (smallest, largest) = deflated_problem(which, dtype)
    applied = []

    def apply(V):
        applied.append(1 if V.ndim == 1 else V.shape[1])
        return A @ V

    ends = spectral_ends(WHOLE, apply, Q, A.dtype)
    assert sum(applied) == augmented.LANCZOS_STEPS
    assert ends[0] <= smallest <= ends[1] <= ends[2] <= largest <= ends[3]
    form = filtered_form(WHOLE, apply, len(A), theta, ends)
    assert (form.degree == 1) == (which == "inside")
    if form.degree > 1:
        assert form.degree % 2 == 1
        between = onp.linspace(form.centre - form.halfwidth, form.centre + form.halfwidth, 999)
        assert onp.abs(form.shift(between)).max() < 1 + 1e-10
        onp.testing.assert_allclose(onp.abs(form.shift(theta)).min(), augmented.EDGE, rtol=1e-9)
    applied.clear()
    U, steps, moved = shared_krylov(WHOLE, form, Q, theta, b, onp.full(theta.size, 1e-10), 100, 5000, dtype is float)
    assert steps == sum(applied)
    residuals = onp.linalg.norm(complement(Q, A @ U - U * theta - b), axis=0) / onp.linalg.norm(b, axis=0)
    assert residuals.max() < 1e-10
    assert onp.linalg.norm(U - exact) < 1e-8 * onp.linalg.norm(exact)
    assert onp.all(moved < 1e-5 * onp.linalg.norm(U, axis=0))


def test_equal_magnitudes_at_both_ends():
    """±λ, a tie for ARPACK's LM, are two shifts like any others."""
    w = onp.r_[-10.0, -9.5, onp.linspace(-8, 8, 200), 9.5, 10.0]
    A, order = onp.diag(w), [0, 1, 202, 203]
    Q, b = onp.eye(204)[:, order], onp.ones((204, 4))
    b[order] = 0
    form = filtered_form(WHOLE, lambda V: A @ V, len(A), w[order], spectral_ends(WHOLE, lambda V: A @ V, Q, A.dtype))
    U, _, _ = shared_krylov(WHOLE, form, Q, w[order], b, onp.full(4, 1e-10), 100, 5000, True)
    inner = onp.arange(2, 202)
    onp.testing.assert_allclose(U[inner], 1 / (w[inner, None] - w[order]), rtol=1e-7)


@pytest.mark.parametrize("gap", [0.0, 1e-8, 1e-5])
def test_a_filter_costs_no_more_than_a_space_of_all_vectors(gap):
    """Close eigenvalues ask for a large degree, which for few unknowns took all applications and left 1e-9."""
    n = 30
    w = onp.r_[onp.linspace(-1, 1, n - 3), 3.0 + gap * onp.arange(3)]
    rng = onp.random.default_rng(8)
    V = onp.linalg.qr(rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)))[0]
    A, Q, theta = (V * w) @ V.conj().T, V[:, -3:], w[-3:]
    b = complement(Q, rng.normal(size=(n, 3)) + 0j)
    form = filtered_form(WHOLE, lambda V: A @ V, n, theta, spectral_ends(WHOLE, lambda V: A @ V, Q, A.dtype))
    U, steps, _ = shared_krylov(WHOLE, form, Q, theta, b, onp.full(3, 1e-10), 20, 1000, False)
    residuals = onp.linalg.norm(complement(Q, A @ U - U * theta - b), axis=0) / onp.linalg.norm(b, axis=0)
    assert residuals.max() < 1e-10
    assert steps < 3 * 2 * n


@pytest.mark.parametrize("real", [True, False])
def test_restarts_keep_what_was_found(real):
    """Not normal, complex shifts: twenty vectors at a time take little more than a space without a limit."""
    rng = onp.random.default_rng(5)
    n = 500
    T = onp.diag(onp.linspace(2.0, 20, n)) + onp.triu(rng.normal(size=(n, n)), 1) * 0.05
    theta = onp.array([0.3, 0.8 + 0.9j, 1.3 + 0.4j])
    b = rng.normal(size=(n, 3)) + 1j * rng.normal(size=(n, 3)) * (theta.imag != 0)
    if not real:
        T, theta, b = T * onp.exp(0.4j), theta * onp.exp(0.4j), b + 1j * rng.normal(size=(n, 3))
    taken = {}
    for dimension in (20, 400):
        types = set()

        def apply(v, types=types):
            types.add(v.dtype.kind)
            return T @ v

        form = filtered_form(WHOLE, apply, n, theta, None)
        U, taken[dimension], _ = shared_krylov(
            WHOLE, form, onp.zeros((n, 0)), theta, b, onp.full(3, 1e-10), dimension, 5000, real
        )
        assert types == {"f" if real else "c"}
        residuals = onp.linalg.norm(T @ U - U * theta - b, axis=0) / onp.linalg.norm(b, axis=0)
        assert residuals.max() < 2e-10
    assert taken[400] < taken[20] < 2 * taken[400]


def test_gives_up_where_there_is_no_solution():
    """A singular system: no residual falls, and the space is not restarted for ever."""
    w = onp.r_[1.0, 1.0, onp.linspace(3, 9, 300)]
    form = Filtered(WHOLE, lambda v: (w * v.T).T, 1.0)
    b = onp.ones((302, 1))
    U, steps, _ = shared_krylov(
        WHOLE,
        form,
        onp.eye(302)[:, :1],
        onp.array([1.0]),
        complement(onp.eye(302)[:, :1], b),
        onp.array([1e-10]),
        20,
        10**5,
        True,
    )
    assert steps < 2000
    assert onp.linalg.norm(w * U[:, 0] - U[:, 0] - b[:, 0]) > 0.5


def chain(n=400):
    rng = onp.random.default_rng(6)
    potential = onp.cumsum(rng.uniform(0, 0.02, n))
    A0 = sp.diags([-onp.ones(n - 1), 2 + potential, -onp.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
    return A0, rng.normal(size=(n, 4))


def gradient(A0, weights, reports, **options):
    n = A0.shape[0]
    product = ka.aslinearoperator(A0)

    def f(p):
        H = ka.LinearOperator((n, n), lambda v: product @ v + p * v, dtype=float)
        w, X = ka.eigsh(H, k=4, which="SA", v0=onp.ones(n), adjoint=ka.Adjoint(callback=reports.append, **options))
        return np.sum(w * np.arange(1, 5)) + np.sum(weights * X**2)

    return grad(f)(onp.linspace(0, 0.1, n))


def reference(A0, weights):
    A = A0.toarray() + onp.diag(onp.linspace(0, 0.1, len(weights)))
    w, X = onp.linalg.eigh(A)
    w, X = w[:4], X[:, :4]
    Abar, _ = cotangent(A, None, w, X, onp.arange(1.0, 5), 2 * weights * X, hermitian=True, normalization="2")
    return onp.diagonal(Abar).real


def test_the_decision_and_its_reason():
    A0, weights = chain()
    reports = []
    g = gradient(A0, weights, reports)
    onp.testing.assert_allclose(g, reference(A0, weights), rtol=1e-6, atol=1e-8 * onp.abs(g).max())
    assert reports[-1].method == "augmented"
    assert "by augmented (no inverse, Hermitian, 4 active systems) converged" in str(reports[-1])
    gradient(A0, weights * [1, 0, 0, 0], reports)
    assert reports[-1].method == "minres"
    assert reports[-1].reason == "no inverse, Hermitian, 1 active system"


def test_nothing_is_solved_for_where_all_vector_cotangents_vanish():
    A0, weights = chain()
    reports = []
    g = gradient(A0, 0 * weights, reports, method="augmented")
    assert onp.all(onp.isfinite(g))
    assert [report.applications for report in reports if report.stage == "adjoint"] in ([], [0])


@pytest.mark.parametrize("wrong", ["bound", "solution"])
def test_a_filter_that_is_wrong_is_noticed(wrong, monkeypatch):
    """A bound far inside of the spectrum makes q huge there; a solution that is none has a residual."""
    A0, weights = chain()
    if wrong == "bound":
        monkeypatch.setattr("krylov_adj.perturbation.engines.spectral_ends", lambda *a: (0.5, 0.6, 1.0, 1.1))
    else:
        monkeypatch.setattr(Filtered, "factor", lambda self, theta: onp.ones_like(theta))
    reports = []
    g = gradient(A0, weights, reports)
    onp.testing.assert_allclose(g, reference(A0, weights), rtol=1e-6, atol=1e-8 * onp.abs(g).max())
    if wrong == "solution":
        assert reports[-1].method == "augmented+minres"
        with pytest.raises(ka.AdjointNoConvergence):
            gradient(A0, weights, reports, method="augmented")


def test_true_residuals_are_those_of_every_system():
    rng = onp.random.default_rng(0)
    A, U, b, theta = rng.standard_normal((6, 6)), *rng.standard_normal((2, 6, 3)), onp.array([0.5, -1.0, 2.0])
    group = [_System(i, 1.0, theta[i], b[:, i]) for i in range(3)]
    for degree in (1, 3):
        found = _true_residuals(WHOLE, Filtered(WHOLE, A.__matmul__, 1.0, degree=degree), U, group)
        if degree == 1:
            assert found is None
        else:
            onp.testing.assert_allclose(found, onp.linalg.norm(b - A @ U + U * theta, axis=0))
