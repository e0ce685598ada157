"""What the forward solve found besides the wanted pairs: the derivatives' systems start from it."""

import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from autograd import grad, make_jvp
from autograd import numpy as np

import krylov_adj as ka
from krylov_adj.krylov import lanczos, ordering
from krylov_adj.krylov.lanczos import Lanczos
from krylov_adj.krylov.space import WHOLE
from krylov_adj.options import Adjoint
from krylov_adj.perturbation.block import solve_block
from krylov_adj.perturbation.pairs import DeflatedPairs
from krylov_adj.perturbation.problem import Eigenproblem, Surplus, ValueOperator
from krylov_adj.perturbation.sides import adjoint_side, tangent_side
from krylov_adj.perturbation.solving import initial_guess, solve
from krylov_adj.perturbation.systems import BorderedSystems

SIDES = {"adjoint": adjoint_side, "tangent": tangent_side}

N = 22
D2 = (N + 1) ** 2 * sp.diags([-onp.ones(N - 1), 2 * onp.ones(N), -onp.ones(N - 1)], offsets=[-1, 0, 1]).tocsr()
EYE = sp.eye(N, format="csr")
LAPLACIAN = (sp.kron(D2, EYE) + 1.7 * sp.kron(EYE, D2)).tocsr()
MASS = sp.kron(EYE, sp.diags(onp.linspace(0.2, 5, N)) - 0.05 * D2 / D2[0, 0]).tocsr()
DIAGONAL = onp.arange(N * N)
WEIGHTS = onp.random.default_rng(0).standard_normal((N * N, 4))
SLOPE = onp.random.default_rng(1).random(N * N)


def loss(k, M, sigma, reports, **arguments):
    def f(p):
        A = ka.aslinearoperator(LAPLACIAN) + ka.coo_array((50 * p * SLOPE, (DIAGONAL, DIAGONAL)), shape=LAPLACIAN.shape)
        if sigma is None:
            A = ka.LinearOperator(A.shape, A.matvec, dtype=float)
            arguments["which"] = "SA"
        options = ka.Adjoint(callback=reports.append)
        w, X = ka.eigsh(A, k=k, M=M, sigma=sigma, adjoint=options, **arguments)
        return np.sum(w) + N * np.sum(WEIGHTS[:, :k] * X**2)

    return f


def dense(k, M, p):
    """The derivative in p by all eigenpairs."""
    A = LAPLACIAN.toarray() + onp.diag(50 * p * SLOPE)
    w, X = la.eigh(A, None if M is None else M.toarray())
    C = X.T @ (50 * SLOPE[:, None] * X[:, :k])
    with onp.errstate(divide="ignore"):
        T = C / (w[:k] - w[:, None])
    T[onp.arange(k), onp.arange(k)] = 0
    return onp.trace(C[:k]) + N * onp.sum(WEIGHTS[:, :k] * 2 * X[:, :k] * (X @ T))


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("M", "sigma"), [(None, None), (None, 0.0), (MASS, 0.0), (MASS, -7.0)])
def test_fewer_steps_to_the_same_derivative(monkeypatch, k, M, sigma):
    counts = []
    for others in (Lanczos.others, lambda self, limit: (onp.zeros(0), onp.zeros((0, N * N)))):
        monkeypatch.setattr(Lanczos, "others", others)
        reports = []
        f = loss(k, M, sigma, reports)
        assert grad(f)(0.3) == pytest.approx(dense(k, M, 0.3), rel=1e-8)
        assert reports[0].method.endswith("Lanczos")
        counts.append(reports[-1].applications if sigma is None else reports[-1].solves)
        assert make_jvp(f)(0.3)(1.0)[1] == pytest.approx(dense(k, M, 0.3), rel=1e-8)
    assert counts[0] < 0.95 * counts[1]


def test_no_more_than_a_few(monkeypatch):
    """They are kept until the backward pass."""
    handed, method = [], Lanczos.others

    def record(self, limit):
        handed.append(method(self, limit))
        return handed[-1]

    monkeypatch.setattr(Lanczos, "others", record)
    monkeypatch.setattr(lanczos, "OTHERS", 3)
    grad(loss(4, None, 0.0, [], ncv=90, v0=onp.ones(N * N)))(0.3)
    theta, V = handed[0]
    assert theta.size == 3
    assert V.shape == (3, N * N)


@pytest.mark.parametrize("side", ["adjoint", "tangent"])
@pytest.mark.parametrize("wrong", ["vectors", "values", "wanted ones", "nothing"])
@pytest.mark.parametrize("mass", [False, True])
def test_what_is_wrong_does_no_harm(side, wrong, mass):
    """It is a start; where it does not help it is dropped."""
    n, k, rng = 300, 3, onp.random.default_rng(0)
    Q = la.qr(rng.standard_normal((n, n)))[0]
    levels = onp.concatenate([[1.0, 1.5, 2.2], onp.linspace(3, 40, n - 3)])
    B = onp.diag(onp.linspace(1, 3, n)) if mass else onp.eye(n)
    A = B**0.5 @ (Q * levels) @ Q.T @ B**0.5
    w, X = la.eigh(0.5 * (A + A.T), B)
    beyond = {
        "vectors": Surplus(None, w[3:6], rng.standard_normal((n, 3))),
        "values": Surplus(None, w[3:6] * [0.47, 1.7, 100], X[:, 3:6]),
        "wanted ones": Surplus(None, w[:3] + 1e-3, X[:, :3]),
        "nothing": Surplus(None, w[:0], X[:, :0]),
    }[wrong]
    F, G = rng.standard_normal((n, k)), rng.standard_normal((k, k))
    solutions = []
    for known in (None, beyond):
        operators = [ValueOperator((n, n), float, K.__matmul__, K.__matmul__, "") for K in (A, B)]
        problem = Eigenproblem(operators[0], operators[1] if mass else None, True, "M", surplus=known)
        options = Adjoint(method="minres", rtol=1e-12)
        systems = BorderedSystems.of(problem, w[:k], onp.asfortranarray(X[:, :k]), options)
        solutions.append(solve_block(systems, side, F, G).Z)
    onp.testing.assert_allclose(*solutions, atol=1e-9 * onp.max(onp.abs(solutions[0])))


@pytest.mark.parametrize("mass", [False, True])
def test_values_of_zero_are_left_out(mass):
    """T of low rank, or nearly, has them: there is no eigenvalue of A, and no image of T to be the vector."""
    n, rng = 300, onp.random.default_rng(0)
    T = onp.diag(onp.append([5.0, 4.0, 3.0, 2.0], onp.full(n - 4, 1e-15 if mass else 0.0)))
    B = onp.eye(n).__matmul__ if mass else None
    space = Lanczos(
        WHOLE,
        T.__matmul__,
        B,
        T @ rng.standard_normal(n),
        30,
        ordering.LargestInModulus(),
        lambda: rng.standard_normal(n),
    )
    for _ in range(12):
        space.step()
    space.taken = 2
    assert space.complete(3.9)
    assert onp.min(onp.abs(space.ritz()[0])) < 1e-10
    theta, V = space.others(3.9)
    onp.testing.assert_allclose(theta, [3, 2])
    onp.testing.assert_allclose(onp.abs(V[:, 2:4]), onp.eye(2), atol=1e-12)


@pytest.mark.parametrize("side", ["adjoint", "tangent"])
def test_a_start_lies_where_the_solutions_do(side):
    """Whatever the vectors are that it is made from."""
    n, k, rng = 40, 3, onp.random.default_rng(0)
    B = onp.diag(onp.linspace(1, 3, n))
    A = rng.standard_normal((n, n))
    A = A + A.T
    w, X = la.eigh(A, B)
    operators = [ValueOperator((n, n), float, K.__matmul__, K.__matmul__, "") for K in (A, B)]
    mixed = X[:, k : k + 4] + 1e-4 * rng.standard_normal((n, 4))
    problem = Eigenproblem(*operators, True, "M", surplus=Surplus(None, w[k : k + 4], mixed))
    side = SIDES[side](DeflatedPairs.of(problem, w[:k], X[:, :k], Adjoint()))
    columns = onp.arange(k)
    b = side.project_out(B @ X[:, k : k + 4] @ rng.standard_normal((4, k)))
    U, left = initial_guess(side, b, columns)
    assert onp.all(onp.linalg.norm(left, axis=0) < 0.1 * onp.linalg.norm(b, axis=0))
    onp.testing.assert_allclose(U, side.project_in(U), atol=1e-13 * onp.max(onp.abs(U)))
    onp.testing.assert_allclose(left, side.project_out(b - side.apply(U, columns)), atol=1e-12)


@pytest.mark.parametrize("side", ["adjoint", "tangent"])
def test_a_start_that_leaves_nothing(side):
    """No engine takes a right-hand side of zero: that column starts without."""
    w, eye = 2.0 ** onp.arange(8), onp.eye(8)
    operator = ValueOperator((8, 8), float, lambda V: (w * V.T).T, lambda V: (w * V.T).T, "")
    problem = Eigenproblem(operator, None, True, "2", surplus=Surplus(None, w[2:4], eye[:, 2:4]))
    side = SIDES[side](DeflatedPairs.of(problem, w[:2], eye[:, :2], Adjoint(method="minres")))
    b = onp.stack([eye[2], eye[3] + eye[5]], axis=1)
    U, left = initial_guess(side, b, onp.arange(2))
    assert not U[:, 0].any()
    onp.testing.assert_allclose(left[:, 0], b[:, 0])
    assert U[3, 1] == 1 / 6
    onp.testing.assert_allclose(solve(side, b, onp.ones(2)).U[2, 0], 1 / 3)
