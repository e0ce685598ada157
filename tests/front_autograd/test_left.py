"""Left eigenvectors and condition numbers against dense ones, from all eigenvectors."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from autograd import grad, make_jvp
from oracle import dense_pairs, difference, metric, rotate, tangent
from problems import PROBLEMS, A_at, M_at, parameters, start_vector

import krylov_adj as ka

N = 24
NAMES = [name for name, problem in PROBLEMS.items() if problem.dtypes]
GENERAL = [name for name in NAMES if not PROBLEMS[name].hermitian]


class Case:
    """A problem of the table along a line p(t) = p + t dp, and a loss of its two-sided pairs."""

    def __init__(self, name, dtype=None, n=N, form="dense", **adjoint):
        self.problem = PROBLEMS[name]
        self.instance = self.problem.build(0, n, dtype)
        self.p, self.dp = parameters(self.instance, 0)
        self.arguments = {"v0": start_vector(self.instance), **self.instance["kwargs"]}
        self.form, self.adjoint = form, ka.Adjoint(**adjoint)
        rng = onp.random.default_rng(1)
        self.C = rng.standard_normal((n, n))
        if not (self.problem.hermitian and self.problem.is_real):
            self.C = self.C + 1j * rng.standard_normal((n, n))
        self.weights = rng.uniform(0.5, 1.5, 20)

    def pencil(self, t):
        A, M = A_at(self.instance, self.p), M_at(self.instance, self.p)
        A = A + t * sum(d * s for d, s in zip(self.instance["dA"], self.dp, strict=True))
        M = M if M is None else M + t * sum(d * s for d, s in zip(self.instance["dM"], self.dp, strict=True))
        if self.form == "closure":
            A, M = (
                S if S is None else ka.LinearOperator(S.shape, lambda v, S=S: np.dot(S, v), dtype=S.dtype)
                for S in (A, M)
            )
        return A, M

    def pairs(self, t):
        A, M = self.pencil(t)
        arguments = dict(self.arguments)
        if self.form == "closure" and M is not None:
            plain = [A_at(self.instance, self.p), M_at(self.instance, self.p)]
            if arguments.get("sigma") is None:
                arguments["Minv"] = ka.aslinearoperator(onp.linalg.inv(plain[1]))
            else:
                arguments["OPinv"] = ka.aslinearoperator(onp.linalg.inv(plain[0] - arguments["sigma"] * plain[1]))
        elif self.form == "closure" and arguments.get("sigma") is not None:
            A0 = A_at(self.instance, self.p)
            arguments["OPinv"] = ka.aslinearoperator(onp.linalg.inv(A0 - arguments["sigma"] * onp.eye(len(A0))))
        w, X = getattr(ka, self.instance["solver"])(A, M=M, adjoint=self.adjoint, **arguments)
        return A, M, w, X

    def left(self, t):
        A, M, w, X = self.pairs(t)
        return X, ka.left_eigenvectors(A, w, X, M=M, hermitian=self.problem.hermitian, adjoint=self.adjoint)

    def loss(self, X, Y):
        forms = np.sum(np.conj(Y) * np.dot(self.C, X), axis=0)
        k = forms.shape[0]
        return np.sum(self.weights[:k] * (np.abs(forms - 0.3) ** 2 + np.sum(np.abs(Y) ** 4, axis=0)))

    def f(self, t):
        return self.loss(*self.left(t))

    def reference(self, t=0.0):
        """X, Y, dX, dY along dp in double precision, with the phases of `pairs`."""
        form, self.form = self.form, "dense"
        A, M, w, X = self.pairs(t)
        self.form = form
        structure = self.problem.structure
        A, M = onp.asarray(A, complex), None if M is None else onp.asarray(M, complex)
        W, V = dense_pairs(A, M, **structure)
        V = V.astype(complex)
        index = onp.argmax(
            onp.abs(X.conj().T @ (V / onp.linalg.norm(V, axis=0))) - onp.abs(w[:, None] - W) / abs(W).max(), 1
        )
        V[:, index] = rotate(V[:, index], X, metric(A, M, structure["normalization"]))
        dA, dM = (
            None if not self.instance[key] else sum(d * s for d, s in zip(self.instance[key], self.dp, strict=True))
            for key in ("dA", "dM")
        )
        dV = tangent(A, M, W, V, dA, dM, **structure)[1]
        B = onp.eye(len(A)) if M is None else M
        YH = onp.linalg.inv(B @ V)
        dYH = -YH @ (B @ dV if dM is None else dM @ V + B @ dV) @ YH
        return V[:, index], YH[index].conj().T, dV[:, index], dYH[index].conj().T

    def slope(self, t=0.0):
        X, Y, dX, dY = self.reference(t)
        return make_jvp(lambda s: self.loss(X + s * dX, Y + s * dY))(0.0)(1.0)[1]


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    """Left eigenvectors, biorthogonal, and no primitive's business."""
    case = Case(name)
    X, Y = case.left(0.0)
    A, M, w, _ = case.pairs(0.0)
    B = onp.eye(N) if M is None else M
    onp.testing.assert_allclose(Y.conj().T @ B @ X, onp.eye(w.size), atol=1e-9)
    residual = Y.conj().T @ A - w[:, None] * (Y.conj().T @ B)
    assert onp.abs(residual).max() < 1e-8 * onp.abs(A).max() * onp.linalg.norm(Y, axis=0).max()


@pytest.mark.parametrize("form", ["dense", "closure"])
@pytest.mark.parametrize("name", NAMES)
def test_gradient(name, form):
    case = Case(name, form=form)
    assert grad(case.f)(0.0) == pytest.approx(case.slope(), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_second_order(name):
    case = Case(name)
    expected, error = difference(case.slope, 0.0, 1.0, h=0.02)
    assert error < 1e-6 * abs(expected)
    assert grad(grad(case.f))(0.0) == pytest.approx(expected, rel=2e-6)
    assert make_jvp(grad(case.f))(0.0)(1.0)[1] == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("name", GENERAL)
def test_forward_mode(name):
    case = Case(name)
    X, Y, _, dY = case.reference()
    value, actual = make_jvp(lambda t: case.left(t)[1])(0.0)(1.0)
    phase = onp.sum(Y.conj() * value, axis=0) / onp.sum(onp.abs(Y) ** 2, axis=0)
    onp.testing.assert_allclose(actual, dY * phase, atol=1e-7 * onp.abs(dY).max())


def nonnormal(values, n, seed=0, dtype=complex):
    rng = onp.random.default_rng(seed)
    V = onp.eye(n) + 0.4 * rng.standard_normal((n, n)) / onp.sqrt(n)
    if onp.dtype(dtype).kind == "c":
        V = V + 0.4j * rng.standard_normal((n, n)) / onp.sqrt(n)
    return V @ onp.diag(values) @ onp.linalg.inv(V), V


@pytest.mark.parametrize("method", ["gmres", "direct", "dense", "auto", "shared"])
@pytest.mark.parametrize("dtype", [float, complex])
def test_every_method_on_a_larger_matrix(method, dtype):
    """n past what "auto" solves densely; a real matrix's complex pairs, one of which k cuts."""
    n = 230
    values = onp.diag(onp.r_[onp.linspace(1, 2, n - 6), 3, 3, 4, 4, 5, 6]).astype(complex)
    for i, imaginary in ((n - 6, 1.0), (n - 4, 2.0)):
        values[i : i + 2, i : i + 2] = [[values[i, i], imaginary], [-imaginary, values[i, i]]]
    rng = onp.random.default_rng(2)
    V = onp.eye(n) + 0.3 * rng.standard_normal((n, n)) / onp.sqrt(n)
    A = sp.csr_array((V @ (values.real if dtype is float else values) @ onp.linalg.inv(V)).astype(dtype))
    sigma = 5.2 if method == "shared" else None
    w, X = ka.eigs(A, k=3, v0=onp.ones(n), **({"which": "LM"} if sigma is None else {"sigma": sigma}))
    Y = ka.left_eigenvectors(A, w, X, sigma=sigma, adjoint=ka.Adjoint(method=method))
    onp.testing.assert_allclose(Y.conj().T @ X, onp.eye(3), atol=1e-8)
    assert onp.abs(Y.conj().T @ A - w[:, None] * Y.conj().T).max() < 1e-8

    def f(p):
        operator = ka.aslinearoperator(A) + ka.aslinearoperator(sp.diags(onp.linspace(0, 1, n))) * p
        w, X = ka.eigs(operator, k=3, v0=onp.ones(n), **({"which": "LM"} if sigma is None else {"sigma": sigma}))
        Y = ka.left_eigenvectors(operator, w, X, sigma=sigma, adjoint=ka.Adjoint(method=method))
        return np.sum(np.abs(X) ** 2 * np.abs(Y) ** 2)

    expected, error = difference(f, 0.0, 1.0, h=0.02)
    assert error < 1e-7 * abs(expected)
    assert grad(f)(0.0) == pytest.approx(expected, rel=1e-6)


# ---- clusters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0, 1e-13, 1e-10, 1e-7, 1e-4, 1e-2])
@pytest.mark.parametrize("n", [N, 220])
def test_spectral_projectors_are_right_at_every_gap(n, gap):
    """f(P), P = X Yᴴ; dP = P dA S + S dA P with the reduced resolvent of a group, no division inside of it."""
    w = onp.r_[onp.linspace(-1, 1, n - 3), 3.0, 3.0 + gap, 4.0].astype(complex)
    A, V = nonnormal(w, n)
    rng = onp.random.default_rng(3)
    D, C = (rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n)) for _ in range(2))
    D = D / onp.linalg.norm(D, 2)
    inside = onp.arange(n) >= n - 3
    VH = onp.linalg.inv(V)
    P = V[:, inside] @ VH[inside]
    image = VH @ D @ V
    gaps = w[:, None] - w[None, :]
    coupled = inside[:, None] != inside[None, :]
    sign = onp.where(inside[:, None], 1.0, -1.0)
    dP = V @ onp.where(coupled, sign * image / onp.where(coupled, gaps, 1), 0) @ VH
    expected = 2 * onp.real(onp.vdot(P - C, dP))

    def f(p):
        values, X = ka.eigs(A + p * D, k=3, which="LM", v0=rng.standard_normal(n))
        Y = ka.left_eigenvectors(A + p * D, values, X)
        return np.sum(np.abs(np.dot(X, np.conj(Y).T) - C) ** 2)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grad(f)(0.0) == pytest.approx(expected, rel=1e-7)


def test_a_semisimple_cluster_is_biorthogonal():
    A, V = nonnormal(onp.r_[onp.linspace(-1, 1, N - 2), 3.0, 3.0], N)
    mix = onp.array([[1.0, 0.4j], [0.3, 1.0]])
    X = V[:, -2:] @ mix
    Y = ka.left_eigenvectors(A, onp.full(2, 3.0 + 0j), X)
    onp.testing.assert_allclose(Y.conj().T @ X, onp.eye(2), atol=1e-11)
    onp.testing.assert_allclose(Y.conj().T @ A, 3.0 * Y.conj().T, atol=1e-10)


def test_a_cut_cluster_and_a_defective_eigenvalue_are_refused():
    A, V = nonnormal(onp.r_[onp.linspace(-1, 1, N - 2), 3.0, 3.0], N)
    x = V[:, -1:] / onp.linalg.norm(V[:, -1])
    with pytest.raises(ka.AdjointNoConvergence, match="k cuts a cluster: increase k"):
        ka.left_eigenvectors(A, onp.array([3.0 + 0j]), x)
    J = onp.diag(onp.r_[onp.linspace(-1, 1, N - 2), 3.0, 3.0]).astype(complex)
    J[-2, -1] = 1.0
    A = V @ J @ onp.linalg.inv(V)
    x = V[:, -2:-1] / onp.linalg.norm(V[:, -2])
    with pytest.raises((ka.DefectiveEigenvalueError, ka.AdjointNoConvergence)):
        ka.left_eigenvectors(A, onp.array([3.0 + 0j]), x)
    w, X = la.eig(A)
    chosen = onp.argsort(-w.real)[:2]
    with pytest.raises(ka.DefectiveEigenvalueError, match="is defective to working precision"):
        ka.left_eigenvectors(A, w[chosen], X[:, chosen])


# ---- traces -----------------------------------------------------------------------------------------


def test_plain_pairs_of_a_traced_matrix_are_attached():
    case = Case("complex non-Hermitian" if "complex non-Hermitian" in PROBLEMS else GENERAL[-1])
    if case.instance["M0"] is not None:
        case = next(
            Case(name) for name in GENERAL if PROBLEMS[name].normalization == "2" and not PROBLEMS[name].generalized
        )
    A, _, w, X = case.pairs(0.0)
    D = onp.random.default_rng(4).standard_normal((N, N)).astype(A.dtype)

    def with_plain(p):
        return case.loss(X, ka.left_eigenvectors(A + p * D, w, X))

    def with_attached(p):
        Y = ka.left_eigenvectors(A + p * D, *ka.attach_eigenpairs(A + p * D, w, X))
        return case.loss(X, Y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ka.GaugeWarning)  # X is held fixed in the loss
        assert grad(with_plain)(0.0) == pytest.approx(grad(with_attached)(0.0), rel=1e-10)


def test_the_scale_of_the_pairs_is_followed():
    """Y(A, w, c X) = Y / conj c, with a traced c, and its derivative."""
    A, _ = nonnormal(onp.r_[onp.linspace(-1, 1, N - 2), 3.0, 4.0], N)
    D = onp.random.default_rng(5).standard_normal((N, N))

    def f(p, scaled):
        w, X = ka.eigs(A + p * D, k=2, v0=onp.ones(N))
        c = np.exp(p + 0.3) if scaled else 1.0
        Y = ka.left_eigenvectors(A + p * D, w, X * c)
        return np.sum(np.abs(Y * c) ** 2)

    assert grad(f)(0.1, True) == pytest.approx(grad(f)(0.1, False), rel=1e-9)
    assert grad(grad(f))(0.1, True) == pytest.approx(grad(grad(f))(0.1, False), rel=1e-7)


def test_bad_input():
    A, _ = nonnormal(onp.r_[onp.linspace(-1, 1, N - 2), 3.0, 4.0], N)
    w, X = ka.eigs(A, k=2, v0=onp.ones(N))
    with pytest.raises(ValueError, match=r"expected w of shape \(k,\) and X of shape \(24, k\)"):
        ka.left_eigenvectors(A, w, X[:, :1])
    with pytest.raises(ValueError, match="w or X holds NaN"):
        ka.left_eigenvectors(A, w * onp.nan, X)
    with pytest.raises(ValueError, match="these are not eigenpairs"):
        ka.left_eigenvectors(A, w + 0.1, X)
    with pytest.raises(TypeError, match="adjoint must be"):
        ka.left_eigenvectors(A, w, X, adjoint="gmres")

    def inner(p):
        w, X = ka.eigs(A * p, k=2, v0=onp.ones(N))
        return grad(lambda q: np.sum(np.abs(ka.left_eigenvectors(A * p * q, w, X)) ** 2))(1.0)

    with pytest.raises(ValueError, match="depend on traced values that w and X do not depend on"):
        grad(inner)(1.0)


def test_single_precision_stays():
    A, _ = nonnormal(onp.r_[onp.linspace(-1, 1, N - 2), 3.0, 4.0], N, dtype=float)
    A = A.astype("float32")

    def f(A):
        w, X = ka.eigs(A, k=2, v0=onp.ones(N, "float32"))
        Y = ka.left_eigenvectors(A, w, X)
        assert Y.dtype == onp.dtype("complex64")
        return np.sum(np.abs(Y) ** 4)

    g = grad(f)(A)
    assert g.dtype == onp.dtype("float32")
    onp.testing.assert_allclose(
        g,
        grad(lambda A: np.sum(np.abs(ka.left_eigenvectors(A, *ka.eigs(A, k=2, v0=onp.ones(N)))) ** 4))(A.astype(float)),
        rtol=1e-3,
        atol=1e-3,
    )


# ---- condition numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_condition_numbers(name):
    case = Case(name)

    def kappa(t):
        A, M, w, X = case.pairs(t)
        return ka.condition_numbers(A, w, X, M=M, hermitian=case.problem.hermitian)

    X, Y, dX, dY = case.reference()
    norms = np.linalg.norm(X, axis=0) * np.linalg.norm(Y, axis=0)
    onp.testing.assert_allclose(kappa(0.0), norms, rtol=1e-7)
    slope = onp.real(onp.sum(X.conj() * dX, axis=0)) / onp.sum(onp.abs(X) ** 2, axis=0)
    slope = norms * (slope + onp.real(onp.sum(Y.conj() * dY, axis=0)) / onp.sum(onp.abs(Y) ** 2, axis=0))
    weights = onp.linspace(1, 2, slope.size)
    scale = onp.abs(slope).max() + norms.max()
    assert grad(lambda t: np.sum(weights * kappa(t)))(0.0) == pytest.approx(weights @ slope, rel=1e-7, abs=1e-8 * scale)


def test_condition_numbers_are_attained():
    """dA = ε y xᴴ / ‖x‖‖y‖ moves w by κ ε; and with M, dA and dM together by κ(1 + |w|) ε."""
    rng = onp.random.default_rng(6)
    A, _ = nonnormal(onp.r_[onp.linspace(-1, 1, N - 1), 3.0], N)
    B = rng.standard_normal((N, N))
    M = onp.eye(N) + 0.1 * B @ B.T / N
    w, X = ka.eigs(A, k=1, M=M, v0=onp.ones(N))
    kappa, Y = ka.condition_numbers(A, w, X, M=M), ka.left_eigenvectors(A, w, X, M=M)
    E = 1e-7 * Y @ X.conj().T / (onp.linalg.norm(X) * onp.linalg.norm(Y))
    moved = la.eigvals(A + E, M - E * onp.conj(w) / onp.abs(w))
    change = moved[onp.argmin(onp.abs(moved - w))] - w
    assert abs(change[0]) == pytest.approx(kappa[0] * 1e-7 * (1 + abs(w[0])), rel=1e-4)


def test_normal_matrices_have_condition_one():
    A = onp.diag(onp.arange(1.0, 13.0))
    w, X = ka.eigs(A, k=3, v0=onp.ones(12))
    onp.testing.assert_allclose(ka.condition_numbers(A, w, X), 1, rtol=1e-12)
    w, X = ka.eigsh(A, k=3, v0=onp.ones(12))
    onp.testing.assert_allclose(ka.condition_numbers(A, w, X, hermitian=True), 1, rtol=1e-12)


# ---- values alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_values_alone_are_differentiable(name):
    """``return_eigenvectors=False``: to second order, against the derivative with vectors."""
    case = Case(name)
    solver = getattr(ka, case.instance["solver"])

    def f(t, vectors):
        A, M = case.pencil(t)
        result = solver(A, M=M, return_eigenvectors=vectors, **case.arguments)
        w = result[0] if vectors else result
        return np.sum(np.abs(w - 0.3) ** 4)

    assert f(0.0, False) == pytest.approx(f(0.0, True), rel=1e-9)
    assert grad(f)(0.0, False) == pytest.approx(grad(f)(0.0, True), rel=1e-8)
    assert grad(grad(f))(0.0, False) == pytest.approx(grad(grad(f))(0.0, True), rel=1e-6)
    expected, error = difference(lambda t: f(t, True), 0.0, 1.0, h=0.02)
    assert grad(f)(0.0, False) == pytest.approx(expected, rel=1e-6, abs=10 * error)
