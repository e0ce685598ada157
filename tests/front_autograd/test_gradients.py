"""Gradients of a loss that mixes eigenvalues and eigenvectors: class × dtype × form × method.

The reference is the dense formula of oracle.py, from all eigenvectors, which shares no code with
the package; its own differences are in test_oracle.py.
"""

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad, hessian, jacobian, make_jvp
from autograd.test_util import check_grads
from oracle import cotangent, dense_pairs, difference, pairing, reference_pairs
from problems import (
    PROBLEMS,
    A_at,
    M_at,
    loss_weights,
    mixed_loss,
    mixed_loss_cotangents,
    parameters,
    start_vector,
)

import krylov_adj as ka

N = 40
FORMS = ("dense", "sparse", "closure", "algebra")
CASES = [(name, dtype) for name, problem in PROBLEMS.items() for dtype in problem.dtypes]
DOUBLE = [(name, problem.dtypes[-1]) for name, problem in PROBLEMS.items()]
TOLERANCE = {"float64": 1e-8, "complex128": 1e-8, "float32": 1e-4, "complex64": 1e-4}


def combined(terms, p):
    total = terms[0]
    for j, term in enumerate(terms[1:]):
        total = total + term * p[j]
    return total


def operator(dense, sparse, p, form):
    """S(p) = S₀ + Σ pⱼ Sⱼ in one of the forms that an operator with parameters can have."""
    if form == "dense":
        return combined(dense, p)
    if form == "algebra":
        return combined([ka.aslinearoperator(S) for S in sparse], p)
    products = [ka.aslinearoperator(S) for S in sparse]
    if form == "sparse":
        return ka.LinearOperator(
            dense[0].shape,
            lambda v: combined([S @ v for S in products], p),
            matmat=lambda V: combined([S @ V for S in products], p),
            dtype=dense[0].dtype,
        )
    return ka.LinearOperator(dense[0].shape, lambda v: combined([np.dot(S, v) for S in dense], p), dtype=dense[0].dtype)


class Case:
    """A problem of the table at a point p, its reference gradient, and the loss through the package."""

    def __init__(self, name, dtype, seed=0, n=N):
        self.problem = PROBLEMS[name]
        self.instance = self.problem.build(seed, n, dtype, sparse=True)
        self.p, self.dp = parameters(self.instance, seed)
        self.arguments = {"v0": start_vector(self.instance), **self.instance["kwargs"]}
        self.solver = getattr(ka, self.instance["solver"])

    def pairs(self, p, form="dense", **extra):
        instance = self.instance
        A = operator([instance["A0"], *instance["dA"]], instance["A_sparse"], p, form)
        M = None
        if instance["M0"] is not None:
            M = operator([instance["M0"], *instance["dM"]], instance["M_sparse"], p, form)
        arguments = dict(self.arguments)
        if arguments.get("sigma") is not None and form in ("sparse", "closure"):
            # Matrix-free operators come with an inverse of their own.
            plain = [A_at(instance, onp.asarray(value(p))), M_at(instance, onp.asarray(value(p)))]
            arguments["OPinv"] = inverse(*plain, arguments["sigma"])
        if M is not None and form in ("sparse", "closure") and arguments.get("sigma") is None:
            Minv = onp.linalg.inv(M_at(instance, onp.asarray(value(p))))
            arguments["Minv"] = ka.aslinearoperator(Minv)
        return self.solver(A, M=M, **{**arguments, **extra})

    def weights(self):
        w, X = self.pairs(self.p)
        return loss_weights(w, X.shape[0])

    def loss(self, form="dense", weights=None, **extra):
        weights = self.weights() if weights is None else weights

        def f(p):
            w, X = self.pairs(p, form, **extra)
            return mixed_loss(w, X, np, weights)

        return f

    def reference(self, weights, p=None):
        """dL/dp at p from the dense formula, in double precision."""
        instance, structure = self.instance, self.problem.structure
        p = self.p if p is None else p
        A, M = A_at(instance, p), M_at(instance, p)
        w, X = self.pairs(p)
        w, X, _ = reference_pairs(A, M, w, X, **structure)
        gw, gX = mixed_loss_cotangents(w, X, weights)
        Abar, Mbar = cotangent(A, M, w, X, gw, gX, **structure)
        g = onp.array([pairing(Abar, D) for D in instance["dA"]])
        return g if M is None else g + onp.array([pairing(Mbar, D) for D in instance["dM"]])


def value(p):
    while hasattr(p, "_value"):
        p = p._value
    return p


def inverse(A, M, sigma):
    M = onp.eye(len(A), dtype=A.dtype) if M is None else M
    return ka.aslinearoperator(onp.linalg.inv(A - A.dtype.type(sigma) * M if onp.isrealobj(sigma) else A - sigma * M))


def relative(actual, expected):
    return onp.linalg.norm(actual - expected) / onp.linalg.norm(expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_against_the_dense_formula(name, dtype, form):
    case = Case(name, dtype)
    weights = case.weights()
    g = grad(case.loss(form, weights))(case.p)
    assert g.dtype == case.p.dtype  # real parameters, in the operator's precision
    assert relative(g, case.reference(weights)) < TOLERANCE[dtype]


def methods(problem):
    yield "gmres"
    if not problem.generalized and problem.kwargs.get("sigma") is None:
        yield "augmented"
    if problem.hermitian:
        yield "minres"
    if problem.kwargs.get("sigma") is not None:
        yield "shared"


@pytest.mark.parametrize(
    ("name", "dtype", "method"),
    [(name, dtype, method) for name, dtype in CASES for method in methods(PROBLEMS[name])],
)
def test_every_method_agrees_with_the_dense_formula(name, dtype, method):
    case = Case(name, dtype, n=60)
    weights = case.weights()
    ran = []
    options = ka.Adjoint(method=method, callback=lambda report: ran.append(report.method))
    g = grad(case.loss("algebra", weights, adjoint=options))(case.p)
    assert ran[-1] == method
    assert relative(g, case.reference(weights)) < TOLERANCE[dtype]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "dtype"), DOUBLE)
def test_forward_mode_is_the_adjoint_of_reverse_mode(name, dtype, form):
    case = Case(name, dtype)
    f = case.loss(form, case.weights())
    onp.testing.assert_allclose(make_jvp(f)(case.p)(case.dp)[1], grad(f)(case.p) @ case.dp, rtol=1e-9)


@pytest.mark.parametrize("form", ["dense", "closure", "algebra"])
@pytest.mark.parametrize(("name", "dtype"), DOUBLE)
def test_second_order(name, dtype, form):
    """Hessian-vector products: reverse over reverse and forward over reverse, against differences."""
    case = Case(name, dtype, n=24)
    weights = case.weights()
    f = case.loss(form, weights)
    expected, error = difference(lambda p: case.reference(weights, p), case.p, case.dp)
    assert error < 1e-7 * onp.linalg.norm(expected)
    reverse = grad(lambda p: np.sum(grad(f)(p) * case.dp))(case.p)
    forward = make_jvp(grad(f))(case.p)(case.dp)[1]
    assert relative(reverse, expected) < 1e-6
    assert relative(forward, expected) < 1e-6


@pytest.mark.parametrize(("name", "dtype"), DOUBLE)
def test_autograds_own_checker(name, dtype):
    """Both modes, first and second order, by autograd's checker (which draws from NumPy's global state)."""
    case = Case(name, dtype, n=16)
    state = onp.random.get_state()  # noqa: NPY002
    onp.random.seed(0)  # noqa: NPY002
    try:
        check_grads(case.loss("closure", case.weights()), modes=["fwd", "rev"], order=2)(case.p)
    finally:
        onp.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
def test_a_jacobian_of_eigenvalues_solves_for_the_left_vectors_once(solver):
    """k rows, but the systems of all pairs are solved for in at most two goes (none if Hermitian)."""
    rng = onp.random.default_rng(12)
    A0, A1 = rng.normal(size=(2, 30, 30)) + 1j * rng.normal(size=(2, 30, 30))
    if solver is ka.eigsh:
        A0, A1 = A0 + A0.conj().T, A1 + A1.conj().T
    reports = []

    def levels(p):
        options = ka.Adjoint(callback=reports.append)
        w, X = solver(A0 + p[0] * A1, k=4, which="LM", v0=onp.ones(30), adjoint=options)
        return np.real(w)

    p = onp.array([0.1])
    J = jacobian(levels)(p)
    assert sum(report.method == "dense" for report in reports) == (0 if solver is ka.eigsh else 2)
    expected, error = difference(levels, p, onp.ones(1))
    onp.testing.assert_allclose(J[:, 0], expected, rtol=1e-8, atol=10 * error)


# ---- the same number however the pairs were found --------------------------------------------


@pytest.mark.parametrize("hermitian", [True, False])
def test_one_pair_does_not_depend_on_k_v0_ncv_or_which(hermitian):
    rng = onp.random.default_rng(4)
    A0, A1 = rng.normal(size=(2, 50, 50)) + 1j * rng.normal(size=(2, 50, 50))
    A0 = A0 + onp.diag(onp.r_[14.0, onp.zeros(49)]) * (1 if hermitian else 1.5)
    if hermitian:
        A0, A1 = A0 + A0.conj().T, A1 + A1.conj().T
    profile = rng.normal(size=50)

    def gradient(**arguments):
        def f(p):
            w, X = (ka.eigsh if hermitian else ka.eigs)(A0 + p * A1, **arguments)
            top = onp.argmax(value(w).real)
            return np.real(w[top]) ** 2 + np.sum(profile * np.abs(X[:, top]) ** 2)

        return grad(f)(0.1)

    first = "LA" if hermitian else "LR"
    reference = gradient(k=1, which=first, v0=onp.ones(50))
    for arguments in (
        {"k": 3, "which": first, "v0": onp.ones(50)},
        {"k": 10, "which": first, "v0": onp.ones(50)},
        {"k": 1, "which": first, "v0": rng.normal(size=50)},
        {"k": 2, "which": first, "ncv": 35, "rng": 5},
        {"k": 4, "which": "LM", "rng": 6},
        {"k": 3, "sigma": 40.0, "rng": 7},
    ):
        onp.testing.assert_allclose(gradient(**arguments), reference, rtol=1e-9, err_msg=str(arguments))


def test_the_whole_spectrum_satisfies_the_trace_identities():
    """Σλ = tr A, Σλ² = tr A²: gradients I and 2Aᵀ, Hessians 0 and known."""
    rng = onp.random.default_rng(5)
    A, D = rng.normal(size=(2, 6, 6))
    A = A + onp.diag(3.0 * onp.arange(6))  # apart from each other: second derivatives have κ²/gap in them

    def power(A, q):
        return np.sum(np.real(ka.eigs(A, k=6)[0] ** q))

    onp.testing.assert_allclose(grad(power)(A, 1), onp.eye(6), atol=1e-12)
    onp.testing.assert_allclose(grad(power)(A, 2), 2 * A.T, rtol=1e-11, atol=1e-11)
    for q, expected in ((1, onp.zeros((6, 6))), (2, 2 * D.T)):
        product = grad(lambda A, q=q: np.sum(grad(power)(A, q) * D))(A)
        onp.testing.assert_allclose(product, expected, atol=1e-8)


def test_tangents_keep_the_normalisation_and_the_gauge():
    """xᵢᴴ N dxᵢ = −½ xᵢᴴ dN xᵢ, real: no rotation along the phase."""
    for name in ("hermitian", "nonhermitian"):
        case = Case(name, "complex128")
        X, dX = make_jvp(lambda p, case=case: case.pairs(p, "closure")[1])(case.p)(case.dp)
        onp.testing.assert_allclose(onp.sum(X.conj() * dX, axis=0), 0, atol=1e-10)


# ---- similarity and scaling ------------------------------------------------------------------


def test_gradients_transform_with_the_matrix():
    """A + cI, sA, QAQᴴ: the gradient of a function of λ and |x|² transforms exactly."""
    rng = onp.random.default_rng(8)
    A = rng.normal(size=(30, 30)) + 1j * rng.normal(size=(30, 30))
    Q = onp.linalg.qr(rng.normal(size=(30, 30)) + 1j * rng.normal(size=(30, 30)))[0]
    W = rng.normal(size=(30, 30)) + 1j * rng.normal(size=(30, 30))

    def f(A, W, scale=1.0, shift=0.0):
        w, X = ka.eigs(A, k=2, which="LM", v0=onp.ones(30))
        form = np.sum(np.conj(X) * np.dot(W, X))
        return np.sum(np.abs((w - shift) / scale) ** 2) + np.abs(form) ** 2

    g = grad(f)(A, W)
    onp.testing.assert_allclose(grad(f)(7.0 * A, W, 7.0), g / 7.0, rtol=1e-9, atol=1e-11)
    onp.testing.assert_allclose(grad(f)(1e-6 * A, W, 1e-6), g * 1e6, rtol=1e-9, atol=1e-5)
    rotated = grad(f)(Q @ A @ Q.conj().T, Q @ W @ Q.conj().T)
    # autograd's gradient is the conjugate: conj(g) transforms as A does.
    onp.testing.assert_allclose(rotated.conj(), Q @ g.conj() @ Q.conj().T, rtol=1e-8, atol=1e-10)


def test_hessian_of_an_eigenvalue_is_second_order_perturbation_theory():
    rng = onp.random.default_rng(9)
    A0, A1 = rng.normal(size=(2, 12, 12))
    A0, A1 = A0 + A0.T, A1 + A1.T
    w, X = dense_pairs(A0, hermitian=True, normalization="2")
    lowest = onp.argmin(w)
    couplings = X.conj().T @ A1 @ X[:, lowest]
    others = onp.arange(12) != lowest
    expected = 2 * onp.sum(onp.abs(couplings[others]) ** 2 / (w[lowest] - w[others]))
    second = hessian(lambda p: ka.eigsh(A0 + p * A1, k=1, which="SA", v0=onp.ones(12))[0][0])(0.0)
    onp.testing.assert_allclose(second, expected, rtol=1e-10)
