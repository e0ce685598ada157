"""What has no derivative and is not read stops no other derivative."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad, make_jvp
from autograd.tracer import getval

import krylov_adj as ka


def value(x):
    while hasattr(x, "_value"):
        x = x._value
    return onp.asarray(x)


def bogoliubov(n):
    """The linear response of a uniform condensate on n points, A(g); its Goldstone mode is a Jordan block at 0."""
    h = 2 * onp.pi / n

    def laplacian(u):
        return (2 * u - np.roll(u, 1, axis=0) - np.roll(u, -1, axis=0)) / (2 * h * h)

    def operator(g):
        def matvec(y):
            u, v = y[:n], y[n:]
            return np.concatenate([laplacian(u) + g * u + g * v, -laplacian(v) - g * v - g * u])

        return ka.LinearOperator((2 * n, 2 * n), matvec, dtype=float)

    e = (2 - 2 * onp.cos(h)) / (2 * h * h)
    return operator, e


@pytest.mark.parametrize("k", [2, 4, 6, 8])
def test_the_goldstone_mode(k):
    """ω = √(e(e + 2g)), whether or not the defective pair at zero is among the k."""
    n = 64
    operator, e = bogoliubov(n)
    omega = onp.sqrt(e * (e + 2.0))
    A = operator(1.0) @ onp.eye(2 * n)
    lu = la.lu_factor(A - 1.2 * onp.eye(2 * n))
    OPinv = ka.LinearOperator(
        A.shape, lambda v: la.lu_solve(lu, v), rmatvec=lambda v: la.lu_solve(lu, v, trans=1), dtype=float
    )

    def f(g):
        v0 = onp.random.default_rng(0).standard_normal(2 * n)
        w, X = ka.eigs(operator(g), k=k, sigma=1.2, OPinv=OPinv, v0=v0)
        near = onp.argsort(onp.abs(value(w) - omega))[:2]
        return np.mean(np.real(w[near])) + 0 * np.real(X[0, near[0]])

    assert grad(f)(1.0) == pytest.approx(e / omega, rel=1e-9)
    assert grad(grad(f))(1.0) == pytest.approx(-(e**2) / omega**3, rel=1e-8)
    if k >= 4:
        with pytest.raises(ka.DefectiveEigenvalueError, match="condition number"):
            grad(lambda g: np.sum(np.real(ka.eigs(operator(g), k=k, sigma=1.2, OPinv=OPinv, v0=onp.ones(2 * n))[0])))(
                1.0
            )


@pytest.mark.parametrize("method", ["auto", "gmres"])
@pytest.mark.parametrize("mass", [False, True])
@pytest.mark.parametrize("is_complex", [False, True])
def test_a_jordan_block_beside_what_is_read(is_complex, mass, method):
    """Values and vectors, against differences of a dense solver."""
    n, rng = 24, onp.random.default_rng(8)

    def draw(*shape):
        return rng.normal(size=shape) + (1j * rng.normal(size=shape) if is_complex else 0)

    J = onp.diag(onp.r_[6.0, 6.0, 5.0, 4.2, onp.linspace(-2, 2, n - 4)]).astype(complex if is_complex else float)
    J[0, 1] = 1.0
    V = draw(n, n) / n**0.5 + 2 * onp.eye(n)
    F = onp.eye(n) + 0.3 * draw(n, n) / n**0.5
    M = F @ F.conj().T if mass else onp.eye(n)
    A, D, W = M @ V @ J @ la.inv(V), draw(n, n) / n**0.5, draw(n, n)

    def of_pair(xp, w, x):
        return xp.real(w) + xp.imag(xp.sum(xp.conj(x) * xp.dot(W, x)))

    def f(t):
        w, X = ka.eigs(
            A + t * D,
            k=4,
            M=M if mass else None,
            sigma=5.3,
            ncv=n - 2,
            v0=onp.ones(n),
            adjoint=ka.Adjoint(method=method),
        )
        i = onp.argmin(onp.abs(value(w) - 5.0))
        return of_pair(np, w[i], X[:, i])

    def dense(t):
        w, X = la.eig(A + t * D, M)
        i = onp.argmin(onp.abs(w - 5.0))
        x = X[:, i]
        return of_pair(onp, w[i], x / onp.sqrt(onp.vdot(x, M @ x).real))

    h = 1e-4
    steps = [(dense(s) - dense(-s)) / (2 * s) for s in (h, h / 2)]
    assert grad(f)(0.0) == pytest.approx((4 * steps[1] - steps[0]) / 3, rel=1e-6)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("shape", [(12, 12), (15, 12), (12, 15)])
def test_a_singular_value_of_zero_that_is_not_read(shape, is_complex):
    """SciPy knows one of its vectors only; the other triplets are differentiable."""
    (m, n), rng = shape, onp.random.default_rng(4)

    def draw(*shape):
        return rng.normal(size=shape) + (1j * rng.normal(size=shape) if is_complex else 0)

    r = min(m, n)
    s = onp.r_[0.0, 0.5, 1.0, onp.linspace(2, 5, r - 3)]
    A = (la.qr(draw(m, m))[0][:, :r] * s) @ la.qr(draw(n, n))[0][:, :r].conj().T
    D, W = draw(m, n), draw(m, m)

    def triplets(t):
        u, s, vh = ka.svds(A + t * D, k=3, which="SM", v0=onp.ones(r))
        return u, s, vh, onp.argsort(value(s))

    def f(t):
        u, s, _, order = triplets(t)
        x = u[:, order[1]]
        return s[order[1]] + np.real(np.sum(np.conj(x) * np.dot(W, x)))

    def dense(t):
        u, s, _ = la.svd(A + t * D)
        x = u[:, r - 2]
        return s[r - 2] + onp.real(onp.vdot(x, W @ x))

    h = 1e-4
    steps = [(dense(s) - dense(-s)) / (2 * s) for s in (h, h / 2)]
    assert grad(f)(0.0) == pytest.approx((4 * steps[1] - steps[0]) / 3, rel=1e-6)
    u, s, vh, order = triplets(0.0)
    assert u.shape == (m, 3)
    assert vh.shape == (3, n)
    assert s[order[0]] < 1e-13
    with pytest.raises(ValueError, match="no singular triplets"):
        grad(lambda t: np.sum(np.abs(triplets(t)[0]) ** 4))(0.0)
    with pytest.raises(ValueError, match="no singular triplets"):
        make_jvp(f)(0.0)(1.0)


@pytest.mark.parametrize("sigma", [None, 0.9])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("solver", ["eigsh", "eigs"])
def test_a_cluster_that_is_cut_and_not_read_does_not_stop_second_derivatives(solver, is_complex, sigma):
    """k = 2 of 1, 2, 2, 3, …; the loss reads the first alone. And half of a Jordan block, for `eigs`."""
    rng = onp.random.default_rng(3)

    def draw():
        return rng.standard_normal((8, 8)) + (1j * rng.standard_normal((8, 8)) if is_complex else 0)

    D, V = onp.diag([1.0, 2, 2, 3, 3.5, 4, 5, 6]), onp.linalg.qr(draw())[0]
    blocks = [D]
    if solver == "eigs":
        V = V @ (onp.eye(8) + 0.1 * draw())
        blocks.append(D + onp.eye(8, k=1) * (onp.arange(8) == 1)[:, None])
    for block in blocks:
        A0, B = V @ block @ onp.linalg.inv(V), draw()
        if solver == "eigsh":
            A0, B = 0.5 * (A0 + A0.conj().T), B + B.conj().T
        C = onp.linalg.inv(V) @ B @ V
        first = onp.real(C[0, 0])
        second = 2 * onp.real(C[0, 1:] @ onp.linalg.solve(onp.eye(7) - block[1:, 1:], C[1:, 0]))
        call = {"k": 2, "v0": rng.standard_normal(8)}
        call |= {"sigma": sigma} if sigma else {"which": "SA" if solver == "eigsh" else "SR"}

        def f(t, A0=A0, B=B, call=call):
            w = getattr(ka, solver)(A0 + t * B, **call)[0]
            return np.real(w[onp.argmin(onp.abs(getval(w) - 1))])

        assert grad(f)(0.0) == pytest.approx(first, rel=1e-9)
        assert grad(grad(f))(0.0) == pytest.approx(second, rel=1e-8)
