"""`attach_root`: against closed forms, differences of new solutions and dense formulas, in every mode, to second order.

u³ + 3u = q has the root u = 2 sinh(arcsinh(q/2)/3), and |u|² u + 3u = q the root (q/|q|) 2 sinh(arcsinh(|q|/2)/3): with
q = B(p)⁻¹ c(p) these are systems B(p)(u³ + 3u) = c(p) with a dense, non-normal, complex Jacobian.
"""

import functools
import threading

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.optimize
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, hessian, make_jvp
from autograd.tracer import getval
from systems import D, P, difference

import krylov_adj as ka

N = 8
close = functools.partial(onp.testing.assert_allclose, rtol=1e-8, atol=1e-9)


def random(seed, *shape, dtype=float):
    rng = onp.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return values + 1j * rng.standard_normal(shape) if dtype is complex else values


U = onp.linspace(0.5, 1.5, N)
S = random(7, N, N) + 4 * onp.eye(N)


def cubic(kind):
    """F(u, p) and its root as a function of p."""
    dtype = float if kind == "real" else complex
    B = [onp.triu(random(1, N, N, dtype=dtype)) + 3 * onp.eye(N), *(0.3 * random(2, 2, N, N, dtype=dtype))]
    c = random(3, 3, N, dtype=dtype) * 4

    def system(p):
        return B[0] + np.sin(p[0]) * B[1] + p[1] ** 2 * B[2], c[0] + p[0] * c[1] + p[0] * p[1] * c[2]

    def F(u, p):
        matrix, right = system(p)
        power = np.abs(u) ** 2 * u if kind == "not holomorphic" else u**3
        return np.dot(matrix, power + 3 * u) - right

    def root(p):
        q = np.linalg.solve(*system(p))
        if kind == "not holomorphic":
            return q / np.abs(q) * 2 * np.sinh(np.arcsinh(np.abs(q) / 2) / 3)
        return 2 * np.sinh(np.arcsinh(q / 2) / 3)

    return F, root


def loss_of(u):
    weight = onp.linspace(0.5, 1.5, N)
    return np.sum(weight * np.abs(u) ** 2) + np.sum(np.real(u) ** 3) + np.sum(np.imag(u * (1 + 0.5j)))


KINDS = ("real", "holomorphic", "not holomorphic")


@pytest.mark.parametrize("kind", KINDS)
def test_closed_forms_in_every_mode(kind):
    F, root = cubic(kind)

    def f(p):
        return loss_of(ka.attach_root(lambda u: F(u, p), root(getval(p)).copy()))

    def reference(p):
        return loss_of(root(p))

    g = grad(f)(P)
    assert g.dtype == float
    close(g, grad(reference)(P))
    close(g @ D, difference(reference, P, D))
    close(make_jvp(f)(P)(D)[1], g @ D)
    expected = hessian(reference)(P)
    close(hessian(f)(P), expected)
    close(make_jvp(grad(f))(P)(D)[1], expected @ D)
    close(grad(lambda p: make_jvp(f)(p)(D)[1])(P), expected @ D)
    close(make_jvp(lambda p: make_jvp(f)(p)(D)[1])(P)(D)[1], D @ expected @ D)


def jacobian_of(kind, p):
    """The dense Jacobian by hand: complex where F is holomorphic, else of real and imaginary parts."""
    F, root = cubic(kind)
    u = root(p)
    if kind != "not holomorphic":
        matrix = onp.array([F(e, p) - F(0 * e, p) for e in onp.eye(N)]).T / 4  # B e 4 of e = 1: 1 + 3
        return matrix * (3 * u**2 + 3)
    matrix = onp.array([F(e + 0j, p) - F(0 * e + 0j, p) for e in onp.eye(N)]).T / 4
    columns = [matrix * (2 * abs(u) ** 2 + 3) + matrix * u**2, 1j * (matrix * (2 * abs(u) ** 2 + 3) - matrix * u**2)]
    return onp.block([[column.real for column in columns], [column.imag for column in columns]])


@pytest.mark.parametrize("form", ["dense", "sparse", "function", "operator", "preconditioner", "method"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_the_jacobian(kind, form):
    F, root = cubic(kind)
    matrix = jacobian_of(kind, P)
    inverse = onp.linalg.inv(matrix) + 0.02 * random(5, *matrix.shape)
    options = {
        "dense": {"J": matrix},
        "sparse": {"J": sp.csr_array(matrix)},
        "function": {"J": lambda u: sp.csc_array(matrix)},
        "operator": {"J": ka.LinearOperator(matrix.shape, lambda v: np.dot(matrix, v), dtype=matrix.dtype)},
        "preconditioner": {"adjoint": ka.Adjoint(preconditioner=ka.aslinearoperator(inverse))},
        "method": {"adjoint": ka.Adjoint(method="dense")},
    }[form]

    def f(p):
        return loss_of(ka.attach_root(lambda u: F(u, p), root(getval(p)).copy(), **options))

    close(grad(f)(P), grad(lambda p: loss_of(root(p)))(P))
    close(hessian(f)(P), hessian(lambda p: loss_of(root(p)))(P), rtol=1e-7)


def test_options_reach_the_solver():
    F, root = cubic("holomorphic")
    steps = {}
    inverse = ka.aslinearoperator(onp.linalg.inv(jacobian_of("holomorphic", P)))
    for name, given in (("none", None), ("inverse", inverse)):
        reports = []
        options = ka.Adjoint(method="gmres", preconditioner=given, callback=reports.append, rtol=1e-6)
        grad(lambda p, options=options: loss_of(ka.attach_root(lambda u: F(u, p), root(P), adjoint=options)))(P)
        (adjoint,) = [report for report in reports if report.stage == "adjoint"]
        assert adjoint.requested == 1e-6
        steps[name] = adjoint.iterations
    assert steps["inverse"] <= 2 < steps["none"]
    with pytest.raises(ka.LinearNoConvergence, match=r"A system with J was not solved, .* in 1 iterations"):
        grad(
            lambda p: loss_of(ka.attach_root(lambda u: F(u, p), root(P), adjoint=ka.Adjoint(method="gmres", maxiter=1)))
        )(P)


def test_known_second_derivative_of_a_flow_through_its_jacobian():
    """One traced step of Newton's method, or a frozen Jacobian, has the right gradient and another Hessian."""
    F, root = cubic("real")
    expected = hessian(lambda p: loss_of(root(p)))(P)

    def newton(p, at):
        u = root(getval(getval(p)))
        matrix = np.array([F(e, at) - F(0 * e, at) for e in onp.eye(N)]).T / 4 * (3 * u**2 + 3)
        return loss_of(u - np.linalg.solve(matrix, F(u, p)))

    close(grad(lambda p: newton(p, P))(P), grad(lambda p: loss_of(root(p)))(P))
    for wrong in (hessian(lambda p: newton(p, P))(P), hessian(lambda p: newton(p, p))(P)):
        assert onp.linalg.norm(wrong - expected) > 0.01 * onp.linalg.norm(expected)


# ---- several arrays ---------------------------------------------------------------------------


def test_an_eigenpair_as_a_root_of_a_complex_pencil():
    """(A − λ M) x = 0, cᴴ x = 1: a tuple of a vector and a scalar, against yᴴ(A′ − λM′)x / yᴴMx and `eigs`."""
    A, dA, M, dM = (random(seed, N, N, dtype=complex) for seed in range(4))
    M, c = M / 5 + onp.eye(N), random(9, N, dtype=complex)

    def pencil(p):
        return A + p[0] * dA, M + 0.1 * p[1] * dM

    def solved(p):
        w, X = la.eig(*pencil(p))
        i = onp.argmax(w.real)
        return X[:, i] / (c.conj() @ X[:, i]), w[i]

    def eigenvalue(p):
        def F(unknowns):
            x, lam = unknowns
            matrix, mass = pencil(p)
            return np.dot(matrix, x) - lam * np.dot(mass, x), np.dot(c.conj(), x) - 1.0

        return ka.attach_root(F, solved(getval(p)))[1]

    w, Y, X = la.eig(*pencil(P), left=True)
    i = onp.argmax(w.real)
    y, x = Y[:, i].conj(), X[:, i]
    expected = onp.array([y @ dA @ x, -w[i] * (y @ dM @ x) * 0.1]) / (y @ pencil(P)[1] @ x)
    close(grad(lambda p: np.real(eigenvalue(p)))(P) + 1j * grad(lambda p: np.imag(eigenvalue(p)))(P), expected)
    second = hessian(lambda p: np.real(eigenvalue(p)))(P)
    close(D @ second @ D, (difference(lambda p: grad(lambda p: np.real(eigenvalue(p)))(p) @ D, P, D)), rtol=1e-6)


def test_real_and_complex_arrays_together():
    """A nonlinear Schrödinger equation with its chemical potential; the phase is fixed by a second real unknown."""
    H, V = random(1, 4, 3, dtype=complex), random(2, 12)
    H = onp.diag(onp.arange(12.0)) + 0.2 * onp.outer(H.ravel(), H.ravel().conj())
    reference = onp.eye(12)[0]

    def F_of(p):
        def F(unknowns):
            psi, mu, gauge = unknowns
            x = np.reshape(psi, (12,))
            equation = np.dot(H, x) + p[0] * V * x + p[1] * np.abs(x) ** 2 * x - (mu + 1j * gauge) * x
            norm = np.sum(np.abs(x) ** 2) - 1.0
            return np.reshape(equation, (4, 3)), norm, np.imag(np.dot(reference, x))

        return F

    def packed(z):
        return (z[:12] + 1j * z[12:24]).reshape(4, 3), z[24], z[25]

    def unpacked(parts):
        x = onp.ravel(parts[0])
        return onp.concatenate([x.real, x.imag, [parts[1], parts[2]]])

    w, X = onp.linalg.eigh(H)
    start = onp.concatenate([*(lambda x: (x.real, x.imag))(X[:, 0] / X[0, 0] * abs(X[0, 0])), [w[0], 0.0]])

    def solved(p):
        return packed(scipy.optimize.fsolve(lambda z: unpacked(F_of(p)(packed(z))), start, xtol=1e-14))

    def f(p):
        psi, mu, gauge = ka.attach_root(F_of(p), solved(getval(p)))
        return mu + np.sum(np.abs(psi) ** 4) + gauge

    p = onp.array([0.1, 0.7])
    psi, mu, gauge = ka.attach_root(F_of(p), solved(p))
    assert (psi.shape, psi.dtype, mu.dtype, abs(gauge) < 1e-12) == ((4, 3), complex, float, True)
    assert ka.check_gradient(f, p, rtol=1e-7).error < 1e-6
    assert ka.check_gradient(f, p, order=2).error < 1e-5


# ---- what people do with it -------------------------------------------------------------------


def laplacian(m):
    """−Δ on m × m points of the unit square, zero at its edge."""
    line = sp.diags_array([-onp.ones(m - 1), 2 * onp.ones(m), -onp.ones(m - 1)], offsets=[-1, 0, 1]) * (m + 1) ** 2
    return sp.csc_array(sp.kronsum(line, line))


def newton(F, jacobian, u):
    for _ in range(30):
        step = spla.spsolve(jacobian(u), F(u))
        u = u - step
        if onp.linalg.norm(step) < 1e-13 * onp.linalg.norm(u):
            return u
    raise AssertionError("Newton's method did not converge")


@pytest.mark.parametrize("given", ["jacobian", "preconditioner"])
def test_a_semilinear_equation_of_ten_thousand_unknowns(given):
    m = 100
    L, forcing = laplacian(m), 400 * onp.ones(m * m)
    A, mode = ka.aslinearoperator(L), onp.sin(onp.linspace(0, 9, m * m))
    factors = spla.splu(L)

    def jacobian(u, p):
        return sp.csc_array(L * p[0] + sp.diags_array(3 * u**2))

    def options(u, p):
        if given == "jacobian":
            return {"J": jacobian(u, p)}
        return {"adjoint": ka.Adjoint(preconditioner=lambda V: factors.solve(V))}

    def mean(p):
        u = ka.attach_root(lambda u: p[0] * (A @ u) + u**3 - p[1] * forcing, root, **options(root, getval(getval(p))))
        return np.sum(mode * u**2) / m

    p, d = onp.array([1.0, 1.2]), onp.array([0.6, -0.8])
    root = newton(lambda u: p[0] * (L @ u) + u**3 - p[1] * forcing, lambda u: jacobian(u, p), forcing / 400)
    solve = spla.splu(jacobian(root, p)).solve
    first = solve(d[1] * forcing - d[0] * (L @ root))  # J u′ = −∂F/∂p d, and J u″ = −6u u′² − 2 d₀ L u′
    twice = -solve(6 * root * first**2 + 2 * d[0] * (L @ first))
    g = grad(mean)(p)
    close(g @ d, 2 * onp.sum(mode * root * first) / m)
    close(make_jvp(mean)(p)(d)[1], g @ d)
    second = make_jvp(grad(mean))(p)(d)[1]
    close(second @ d, 2 * onp.sum(mode * (first**2 + root * twice)) / m)


def test_a_self_consistent_field_with_an_eigenproblem_inside():
    """ρ = |x₀(V + gρ)|²: F solves an eigenproblem, and is differentiated in forward and reverse mode."""
    n = 40
    x = onp.linspace(-4, 4, n)
    T = (
        sp.diags_array([-0.5 * onp.ones(n - 1), onp.ones(n), -0.5 * onp.ones(n - 1)], offsets=[-1, 0, 1])
        / (x[1] - x[0]) ** 2
    )
    kinetic = ka.aslinearoperator(sp.csr_array(T))

    def ground_state(V):
        return ka.eigsh(kinetic + ka.diags_array(V), k=1, sigma=-1.0, v0=onp.ones(n))

    def F(rho, p):
        return rho - ground_state(p[0] * x**2 / 2 + p[1] * rho)[1][:, 0] ** 2

    def energy(p):
        plain, rho = getval(getval(p)), onp.ones(n) / n
        for _ in range(300):
            V = plain[0] * x**2 / 2 + plain[1] * rho
            change = rho - onp.linalg.eigh(T.toarray() + onp.diag(V))[1][:, 0] ** 2
            rho = rho - 0.6 * change
            if onp.linalg.norm(change) < 1e-14:
                break
        rho = ka.attach_root(lambda rho: F(rho, p), rho)
        return ground_state(p[0] * x**2 / 2 + p[1] * rho)[0][0] + np.sum(rho**2)

    p, d = onp.array([1.0, 3.0]), onp.array([0.6, 0.8])
    close(grad(energy)(p) @ d, difference(energy, p, d), rtol=1e-6)
    second = (grad(energy)(p + 1e-3 * d) - grad(energy)(p - 1e-3 * d)) @ d / 2e-3
    close(grad(lambda p: grad(energy)(p) @ d)(p) @ d, second, rtol=1e-5)


def test_a_base_flow_feeds_an_eigenproblem():
    """A steady state of Burgers' equation with a source, and the leading eigenvalue of its linearisation."""
    n = 40
    h = 1 / (n + 1)
    D1 = sp.csr_array(sp.diags_array([-onp.ones(n - 1), onp.ones(n - 1)], offsets=[-1, 1]) / (2 * h))
    D2 = sp.csr_array(sp.diags_array([onp.ones(n - 1), -2 * onp.ones(n), onp.ones(n - 1)], offsets=[-1, 0, 1]) / h**2)
    slope, second = ka.aslinearoperator(D1), ka.aslinearoperator(D2)
    source = onp.sin(2 * onp.pi * h * onp.arange(1, n + 1))

    def F(u, p):
        return p[0] * (second @ u) - u * (slope @ u) + p[1] * source + 3.0 * u

    def growth(p):
        plain = getval(getval(p))
        u = newton(
            lambda u: F(u, plain),
            lambda u: sp.csc_array(
                plain[0] * D2 - sp.diags_array(u) @ D1 - sp.diags_array(D1 @ u) + 3.0 * sp.eye_array(n)
            ),
            onp.zeros(n),
        )
        u = ka.attach_root(lambda u: F(u, p), u)
        L = (
            second * p[0]
            - ka.diags_array(u) @ slope
            - ka.diags_array(slope @ u)
            + 3.0 * ka.aslinearoperator(sp.eye_array(n))
        )
        return np.real(ka.eigs(L, k=1, sigma=0.0, v0=onp.ones(n))[0][0])

    p, d = onp.array([0.4, 1.5]), onp.array([0.3, -0.9])
    close(grad(growth)(p) @ d, difference(growth, p, d), rtol=1e-6)
    close(hessian(growth)(p) @ d @ d, difference(lambda p: grad(growth)(p) @ d, p, d), rtol=1e-5)


def test_a_minimum_feeds_another_root_to_third_order():
    """F is a gradient, which opens traces of its own; the second root depends on the first."""
    matrix = S @ S.T / 10 + onp.eye(N)

    def energy(u, p):
        return np.dot(u, np.dot(matrix, u)) / 2 + np.sum(np.cosh(u * p[0])) - np.sum(np.sin(p[1] * onp.arange(N)) * u)

    def minimum(p):
        hess = hessian(energy)
        u = onp.zeros(N)
        for _ in range(12):
            u = u - onp.linalg.solve(hess(u, p), grad(energy)(u, p))
        return u

    def f(p):
        plain = getval(getval(getval(p)))
        u = ka.attach_root(lambda u: grad(energy)(u, p), minimum(plain), adjoint=ka.Adjoint(method="minres"))
        q = getval(getval(getval(u)))
        v = ka.attach_root(lambda v: v**3 + 3 * v - u, 2 * onp.sinh(onp.arcsinh(q / 2) / 3))
        return np.sum(v**2) + np.sum(u**3)

    g, second = grad(f), lambda p: grad(lambda p: grad(f)(p) @ D)(p)
    close(g(P) @ D, difference(f, P, D), rtol=1e-7)
    close(second(P) @ D, difference(lambda p: g(p) @ D, P, D), rtol=1e-6)
    close(make_jvp(g)(P)(D)[1], second(P))
    close(grad(lambda p: make_jvp(f)(p)(D)[1])(P), second(P))
    third = (second(P + 1e-4 * D) - second(P - 1e-4 * D)) @ D / 2e-4
    close(grad(lambda p: second(p) @ D)(P) @ D, third, rtol=1e-5)


def test_no_forward_mode_is_needed():
    """`np.linalg.solve` of autograd has reverse mode only: J v is then the transpose of Jᵀ."""

    def f(p):
        plain = getval(getval(p))
        u = scipy.optimize.fsolve(
            lambda u: onp.linalg.solve(S, u**3 + 3 * u) - plain * onp.ones(N), onp.ones(N), xtol=1e-14
        )
        u = ka.attach_root(lambda u: np.linalg.solve(S, u**3 + 3 * u) - p * onp.ones(N), u)
        return np.sum(u**2)

    def reference(p):
        return np.sum((2 * np.sinh(np.arcsinh(p * S @ onp.ones(N) / 2) / 3)) ** 2)

    close(grad(f)(1.3), grad(reference)(1.3))
    close(grad(grad(f))(1.3), grad(grad(reference))(1.3))


def test_single_precision_stays_single():
    def f(p):
        u = ka.attach_root(lambda u: u**3 + u - p, onp.float32([1.0, 1.0]))
        assert getval(u).dtype == onp.float32
        return np.sum(u)

    g = grad(f)(onp.float32([2.0, 2.0]))
    assert g.dtype == onp.float32
    onp.testing.assert_allclose(g, [0.25, 0.25], rtol=1e-5)


def test_threads_do_not_disturb_one_another():
    F, root = cubic("holomorphic")
    expected = grad(lambda p: loss_of(root(p)))(P)
    results = [None] * 4

    def work(i):
        results[i] = grad(lambda p: loss_of(ka.attach_root(lambda u: F(u, p), root(P))))(P)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        close(result, expected)


# ---- what is refused --------------------------------------------------------------------------


JACOBIAN = S * (3 * U**2 + 1)
SINGULAR = onp.diag(onp.arange(float(N)))


def equation(u, p):
    return np.dot(S, u**3 + u) - p * np.dot(S, U**3 + U)


def folded(u, p):
    """One of the equations has a fold at u₀ = 1, p = 1."""
    return np.dot(S, np.concatenate([(u[:1] - 1) ** 2 - (p - 1), u[1:] ** 3 - 1]))


def modulus(u, p):
    return np.abs(u) ** 2 * u - p


REFUSED = {
    "not a root": (equation, U * (1 + 1e-6), {}, ValueError, r"would move it by [34]\.\de-06, with ‖u‖ = 3"),
    "one of two is not": (
        lambda u, p: (equation(u[0], p), u[1] - 1e-5 * p),
        (U, onp.float64(1.1e-5)),
        {},
        ValueError,
        r"1\.0e-06, with ‖u‖ = 1\.1e-05 \(array by array\)",
    ),
    "a fold": (folded, onp.ones(N) + 1e-8 * onp.eye(N)[0], {}, onp.linalg.LinAlgError, "at a fold or a bifurcation"),
    "exactly at a fold": (folded, onp.ones(N), {}, onp.linalg.LinAlgError, "at a fold or a bifurcation"),
    "exactly at a fold, by GMRES": (
        folded,
        onp.ones(N),
        {"adjoint": ka.Adjoint(method="gmres")},
        ka.LinearNoConvergence,
        "at a fold or a bifurcation",
    ),
    "a fold of one equation": (lambda u, p: (u - 1) ** 2 - (p - 1), 1.0, {}, onp.linalg.LinAlgError, "J v = 0 for"),
    "a free constant": (
        lambda u, p: p * np.dot(SINGULAR, u - U),
        U,
        {"J": sp.csc_array(SINGULAR)},
        onp.linalg.LinAlgError,
        "a phase, a translation, or an additive constant is free",
    ),
    "not depending on u": (lambda u, p: equation(U, p), U, {}, onp.linalg.LinAlgError, "reads u from its closure"),
    "a wrong Jacobian": (equation, U, {"J": JACOBIAN.T}, ValueError, r"J is not the Jacobian of F.*of an earlier step"),
    "a slightly wrong one": (equation, U, {"J": JACOBIAN + 1e-6}, ValueError, r"J is not the Jacobian of F"),
    "a wrong operator": (
        equation,
        U,
        {"J": ka.LinearOperator((N, N), lambda v: np.dot(JACOBIAN.T, v), dtype=float)},
        ValueError,
        "J is not the Jacobian of F",
    ),
    "a complex Jacobian": (equation, U, {"J": JACOBIAN + 0j}, TypeError, "J is complex, and F is a function of real"),
    "moduli with a complex Jacobian": (
        modulus,
        onp.ones(2) + 0j,
        {"J": 3 * onp.eye(2) + 0j},
        ValueError,
        r"F is not complex-linear in u .* then J is real and of order 2n",
    ),
    "a Jacobian of another shape": (equation, U, {"J": JACOBIAN[:4]}, ValueError, r"J has shape \(4, 8\), expected"),
    "too few equations": (lambda u, p: equation(u, p)[:3], U, {}, ValueError, "F has 3 equations and u 8 unknowns"),
    "real equations of complex u": (
        lambda u, p: np.abs(u) ** 2 - p,
        onp.ones(2) + 0j,
        {},
        ValueError,
        "2 equations and u 4 unknowns .real and imaginary parts counted",
    ),
    "a tuple for an array": (lambda u, p: (equation(u, p),), U, {}, TypeError, "must be one array, as u is"),
    "an array for a tuple": (lambda u, p: equation(u[0], p), (U,), {}, TypeError, "must be a tuple of arrays, as u is"),
    "an array of objects": (lambda u, p: onp.array([p * 1.0 - u[0]]), U[:1], {}, TypeError, "Use autograd.numpy"),
    "a sparse matrix": (lambda u, p: sp.csr_array(S) @ u - p * (S @ U), U, {}, TypeError, "aslinearoperator.S. @ v"),
    "NaN": (equation, U * onp.nan, {}, ValueError, "u holds NaN"),
    "nothing": (lambda u, p: (), (), {}, ValueError, "an empty tuple"),
    "strings": (equation, onp.array(["a"]), {}, TypeError, "u must be made of numbers"),
    "eigenproblems' method": (equation, U, {"adjoint": ka.Adjoint(method="shared")}, ValueError, "for eigenproblems"),
    "direct without a matrix": (equation, U, {"adjoint": ka.Adjoint(method="direct")}, ValueError, "needs J="),
    "a restart": (equation, U, {"adjoint": ka.Adjoint(restart=3)}, ValueError, "takes no restart="),
    "no options": (equation, U, {"adjoint": {"method": "direct"}}, TypeError, "must be krylov_adj.Adjoint"),
    "two ways": (
        equation,
        U,
        {"J": JACOBIAN, "adjoint": ka.Adjoint(method="direct", preconditioner=lambda V: V)},
        ValueError,
        "takes no preconditioner",
    ),
    "minres": (equation, U, {"adjoint": ka.Adjoint(method="minres")}, ValueError, "needs a Hermitian A"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    F, u, options, kind, text = REFUSED[name]

    def f(p):
        root = ka.attach_root(lambda u: F(u, p), u, **options)
        return np.sum(np.real(root[0] if isinstance(root, tuple) else root))

    with pytest.raises(kind, match=text):
        grad(f)(1.0)


def test_not_a_function():
    with pytest.raises(TypeError, match="F must be a function of u, not ndarray"):
        ka.attach_root(U, U)


def test_close_to_a_fold_the_derivative_is_right():
    for distance in (1e-4, 1e-2):
        u = onp.ones(N) + distance * onp.eye(N)[0]
        g = grad(lambda p, u=u: ka.attach_root(lambda u: folded(u, p), u)[0])(1 + distance**2)
        onp.testing.assert_allclose(g, 1 / (2 * distance), rtol=1e-6)


def test_ill_conditioned_equations_are_as_exact_as_rounding_allows():
    """A beam, κ = 1e10: no solver can make a step of Newton's method smaller than half of the digits."""
    n = 400
    second = sp.diags_array([-onp.ones(n - 1), 2 * onp.ones(n), -onp.ones(n - 1)], offsets=[-1, 0, 1]) * (n + 1) ** 2
    K = sp.csc_array(second @ second)
    beam = ka.aslinearoperator(K)
    jacobian = lambda u: sp.csc_array(K + sp.diags_array(150 * u**2))  # noqa: E731
    u = spla.spsolve(K, 100 * onp.ones(n))
    for _ in range(6):
        u = u - spla.spsolve(jacobian(u), K @ u + 50 * u**3 - 100)
    g = grad(lambda p: np.sum(ka.attach_root(lambda u: p * (beam @ u) + 50 * u**3 - 100, u, J=jacobian)))(1.0)
    onp.testing.assert_allclose(g, -onp.sum(spla.spsolve(jacobian(u), K @ u)), rtol=1e-5)


def test_nothing_traced_returns_what_was_given():
    u = ka.attach_root(lambda u: equation(u, 1.0), U)
    assert type(u) is onp.ndarray
    onp.testing.assert_array_equal(u, U)
    pair = ka.attach_root(lambda u: (u[0] - 1, u[1] - 2), (1, onp.array([[2]])))
    assert [type(part) for part in pair] == [onp.ndarray, onp.ndarray]
    assert [part.dtype for part in pair] == [float, float]


@pytest.mark.parametrize("scale", [1e-6, 1e-10])
def test_equations_of_other_sizes(scale):
    """Residuals in one norm would say nothing of the small ones."""
    rng = onp.random.default_rng(5)
    n = 40
    Q = onp.eye(n) + 0.1 * rng.standard_normal((n, n)) / n**0.5
    rows, u = onp.where(rng.random(n) < 0.5, 1.0, scale), onp.linspace(1, 2, n)
    target = Q @ u + u**3

    def value(p, part):
        return np.log(ka.attach_root(lambda v: rows * (np.dot(Q, v) + v**3 - p * target), u)[part])

    for part in (int(onp.argmin(rows)), int(onp.argmax(rows))):
        exact = onp.linalg.solve(Q + onp.diag(3 * u**2), target)[part] / u[part]
        assert grad(value)(1.0, part) == pytest.approx(exact, rel=1e-8)
        assert make_jvp(lambda p, part=part: value(p, part))(1.0)(1.0)[1] == pytest.approx(exact, rel=1e-8)


def test_a_complex_jacobian_beside_conjugates_of_the_parameters():
    """F is holomorphic in u, of a tuple with a real array beside: real and imaginary parts, and J in them."""
    rng = onp.random.default_rng(6)
    Q = onp.eye(4) + 0.2 * (rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4)))
    u = rng.standard_normal(4) + 1j * rng.standard_normal(4)

    def F(v, p):  # |v|² times zero at u, so that its first derivative is Q, and it is not holomorphic next to u
        return np.dot(Q, v) - p * (Q @ u) + (v - u) * np.conj(v - u)

    def value(p):
        return np.real(np.sum(onp.arange(1, 5) * 1j * ka.attach_root(lambda v: F(v, p), u, J=Q)))

    exact = onp.real(onp.sum(onp.arange(1, 5) * 1j * u))
    assert grad(value)(1.0) == pytest.approx(exact, rel=1e-9)
    assert make_jvp(value)(1.0)(1.0)[1] == pytest.approx(exact, rel=1e-9)
