"""Eigenpairs of T(λ, p) x = 0: quadratic and dispersive problems, of both orders and modes."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from autograd import grad, hessian, jacobian, make_jvp
from oracle import difference

import krylov_adj as ka

N = 9
P = onp.array([0.4, -0.3])


def matrices(seed, complex_):
    rng = onp.random.default_rng(seed)
    base = rng.normal(size=(5, N, N)) + (1j * rng.normal(size=(5, N, N)) if complex_ else 0)
    return [onp.diag(onp.arange(1.0, N + 1)) * 4 + base[0], *base[1:]]


def quadratic_terms(p, parts):
    """M, C, K of λ² M + λ C + K."""
    K, K1, C, C1, M1 = parts
    return np.eye(N) + 0.2 * p[0] * M1, 0.5 * C + np.sin(p[1]) * C1, K + p[0] * p[1] * K1


def solve_quadratic(p, parts):
    """The pair of largest imaginary part by linearisation, on plain values."""
    M, C, K = (onp.asarray(term) for term in quadratic_terms(p, parts))
    Z, eye = onp.zeros((N, N)), onp.eye(N)
    w, V = la.eig(onp.block([[Z, eye], [-K, -C]]), onp.block([[eye, Z], [Z, M]]))
    lam, x = w[onp.argmax(w.imag)], V[:N, onp.argmax(w.imag)]
    return lam, x / onp.linalg.norm(x)


def loss(lam, x, W):
    q = np.sum(np.conj(x) * np.dot(W, x))
    return np.real(lam) ** 2 + np.imag(lam) * np.sum(np.abs(x) ** 4) + np.abs(q) ** 2


def value(p):
    while hasattr(p, "_value"):
        p = p._value
    return p


def quadratic(p, parts, form):
    W = matrices(7, True)[1]
    M, C, K = quadratic_terms(p, parts)

    def T(lam):
        if form == "dense":
            return lam**2 * M + lam * C + K
        if form == "algebra":
            M_, C_, K_ = (ka.aslinearoperator(term) for term in (M, C, K))
            return M_ * lam**2 + C_ * lam + K_
        return ka.LinearOperator(
            (N, N), lambda v: lam**2 * np.dot(M, v) + lam * np.dot(C, v) + np.dot(K, v), dtype=complex
        )

    lam, x = ka.attach_nonlinear(T, *solve_quadratic(value(p), parts))
    return loss(lam, x, W)


@pytest.mark.parametrize("form", ["dense", "algebra", "closure"])
@pytest.mark.parametrize("complex_", [False, True])
def test_quadratic_problem_to_second_order(form, complex_):
    parts = [part + 0j for part in matrices(0, complex_)]  # autograd warns where real meets complex

    def f(p):
        return quadratic(p, parts, form)

    W = matrices(7, True)[1]

    def reference(p):
        return loss(*solve_quadratic(p, parts), W)

    directions = onp.eye(2)
    expected = onp.array([difference(reference, P, d)[0] for d in directions])
    g = grad(f)(P)
    onp.testing.assert_allclose(g, expected, rtol=1e-8)
    onp.testing.assert_allclose(make_jvp(f)(P)(directions[0])[1], g[0], rtol=1e-10)
    H = hessian(f)(P)
    expected = onp.array([difference(grad(f), P, d)[0] for d in directions])
    onp.testing.assert_allclose(H, expected, rtol=1e-6, atol=1e-7)
    onp.testing.assert_allclose(make_jvp(grad(f))(P)(directions[1])[1], H[1], rtol=1e-8)


def test_damped_structure_with_2000_unknowns():
    """A chain of masses, springs and dampers: λ² M + λ C(c) + K(k), sparse, several pairs at once."""
    n, k = 2000, 3
    D = sp.diags([onp.ones(n), -onp.ones(n - 1)], [0, -1], format="csr")
    rng = onp.random.default_rng(3)
    stiffness = sp.diags(rng.uniform(0.5, 1.5, n))
    K = (D.T @ stiffness @ D).tocsr()
    K_left = (D.T @ sp.diags(onp.where(onp.arange(n) < n // 3, 1.0, 0.0)) @ D).tocsr()
    C = (D.T @ sp.diags(rng.uniform(0, 0.2, n)) @ D + 1e-3 * sp.identity(n)).tocsr()
    profile = onp.linspace(0, 1, n)

    def solve(p):
        A = sp.bmat([[None, sp.identity(n)], [-(K + p[0] * K_left), -p[1] * C]], format="csc")
        w, V = sp.linalg.eigs(A, k=2 * k, sigma=0.0, v0=onp.ones(2 * n), tol=0)
        up = onp.argsort(onp.where(w.imag > 0, abs(w), onp.inf))[:k]
        X = V[:n, up]
        return w[up], X / onp.linalg.norm(X, axis=0)

    wrapped = [ka.aslinearoperator(S) for S in (K, K_left, C)]
    identity = ka.aslinearoperator(sp.identity(n, format="csr"))

    def functional(w, X):
        return np.sum(np.real(w)) * 1e4 + np.sum(np.imag(w)) * 100 + np.sum(profile[:, None] * np.abs(X) ** 2)

    def f(p):
        def T(lam):
            return identity * lam**2 + wrapped[2] * (lam * p[1]) + wrapped[0] + wrapped[1] * p[0]

        return functional(*ka.attach_nonlinear(T, *solve(value(p))))

    p = onp.array([0.3, 1.2])
    for d in onp.eye(2):
        expected, error = difference(lambda p: functional(*solve(p)), p, d, h=0.05)
        assert error < 1e-5 * abs(expected)
        onp.testing.assert_allclose(grad(f)(p) @ d, expected, rtol=1e-6, atol=10 * error)


def test_dispersive_material():
    """A x = λ² ε(λ) x with ε(λ) = 1 + s/(λ₀² − λ²) in a part of the domain: rational in λ, real throughout."""
    n = 60
    A = sp.diags([2.0 * onp.ones(n), -onp.ones(n - 1), -onp.ones(n - 1)], [0, 1, -1]).tocsr() * 25.0
    inside = onp.where(onp.abs(onp.linspace(-1, 1, n)) < 0.4, 1.0, 0.0)
    profile = onp.linspace(0, 1, n) ** 2

    def permittivity(lam, p):
        return 1.0 + inside * p[0] ** 2 / (p[1] ** 2 - lam**2)

    def solve(p):
        """The lowest pair: fixed-point iteration on λ, then Newton on the smallest eigenvalue."""
        dense = A.toarray()

        def smallest(lam):
            mu, V = onp.linalg.eigh(dense - onp.diag(lam**2 * permittivity(lam, p)))
            i = onp.argmin(abs(mu))
            return mu[i], V[:, i]

        lam = 0.5
        for _ in range(40):
            mu, x = smallest(lam)
            h = 1e-6
            slope = (smallest(lam + h)[0] - smallest(lam - h)[0]) / (2 * h)
            lam -= mu / slope
            if abs(mu / slope) < 1e-15:
                break
        return lam, smallest(lam)[1]

    def f(p):
        def T(lam):
            return ka.aslinearoperator(A) - ka.LinearOperator(
                (n, n), lambda v: lam**2 * permittivity(lam, p) * v, dtype=float
            )

        lam, x = ka.attach_nonlinear(T, *solve(value(p)))
        return lam**2 + np.sum(profile * x**2)

    p = onp.array([1.3, 2.1])
    for d in onp.eye(2):
        expected, error = difference(lambda p: float(f(p)), p, d, h=0.02)
        onp.testing.assert_allclose(grad(f)(p) @ d, expected, rtol=1e-7, atol=20 * error)
    second = jacobian(grad(f))(p)
    onp.testing.assert_allclose(second, second.T, rtol=1e-9)
    expected = onp.stack([difference(grad(f), p, d, h=0.02)[0] for d in onp.eye(2)])
    onp.testing.assert_allclose(second, expected, rtol=1e-5)


def test_linear_problems_are_a_special_case():
    rng = onp.random.default_rng(11)
    A0, A1 = rng.normal(size=(2, N, N)) + 1j * rng.normal(size=(2, N, N))
    W = matrices(7, True)[1]

    def nonlinear(p):
        w, X = la.eig(A0 + value(p) * A1)
        top = onp.argmax(w.real)
        x = X[:, top] / onp.linalg.norm(X[:, top])
        return loss(*ka.attach_nonlinear(lambda lam: A0 + p * A1 - lam * np.eye(N), w[top], x), W)

    def linear(p):
        w, X = ka.eigs(A0 + p * A1, k=1, which="LR", v0=onp.ones(N))
        return loss(w[0], X[:, 0], W)

    onp.testing.assert_allclose(grad(nonlinear)(0.2), grad(linear)(0.2), rtol=1e-9)
    onp.testing.assert_allclose(hessian(nonlinear)(0.2), hessian(linear)(0.2), rtol=1e-8)


def test_bad_input():
    x = onp.ones(2) / onp.sqrt(2)

    def T(lam):
        return np.array([[1.0, 0.0], [0.0, 1.0]]) * (1.0 - lam)

    with pytest.raises(ValueError, match="these are not eigenpairs"):
        ka.attach_nonlinear(T, 1.1, x)
    with pytest.raises(ValueError, match="not normalised"):
        ka.attach_nonlinear(T, 1.0, 2 * x)
    with pytest.raises(ValueError, match="does not depend on lam"):
        ka.attach_nonlinear(lambda lam: onp.zeros((2, 2)), 1.0, x)
    with pytest.raises(ValueError, match="x has 3 entries"):
        ka.attach_nonlinear(T, 1.0, onp.ones(3) / onp.sqrt(3))
    with pytest.raises(ValueError, match="NaN or infinity"):
        ka.attach_nonlinear(T, onp.nan, x)
    with pytest.raises(ValueError, match=r"lam of shape \(k,\)"):
        ka.attach_nonlinear(T, onp.ones(2), x)
