"""PyLops: its operators as A, M, and as parts of traced operators."""

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad

import krylov_adj as ka

pylops = pytest.importorskip("pylops")

N = 30
RNG = onp.random.default_rng(0)

OPERATORS = {
    "first derivative": pylops.FirstDerivative(N, dtype="float64"),
    "second derivative": pylops.SecondDerivative(N, edge=True, dtype="float64"),
    "Laplacian": pylops.Laplacian((5, 6), dtype="float64"),
    "convolution": pylops.signalprocessing.Convolve1D(N, onp.array([0.5, 2.0, -0.3]), offset=1),
    "matrix": pylops.MatrixMult(RNG.standard_normal((12, N)) + 1j * RNG.standard_normal((12, N)), dtype="complex128"),
    "blocks": pylops.VStack([pylops.Identity(N), 2.0 * pylops.FirstDerivative(N)]),
    "real Fourier transform": pylops.signalprocessing.FFT(N, real=True, dtype="float64"),
    "Fourier transform": pylops.signalprocessing.FFT(N, dtype="complex128"),
    "restriction": pylops.Restriction(N, onp.arange(0, N, 3)),
}


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - {"real Fourier transform"}))
def test_operators_pass_the_check(name):
    ka.check_operator(OPERATORS[name])
    op, dense = ka.aslinearoperator(OPERATORS[name]), OPERATORS[name].todense()
    onp.testing.assert_allclose(op @ onp.eye(N), dense, atol=1e-13)
    onp.testing.assert_allclose(op.H @ onp.eye(dense.shape[0]), dense.conj().T, atol=1e-13)


def test_derivatives_pass_through():
    op, x = ka.aslinearoperator(OPERATORS["matrix"]), RNG.standard_normal(N)
    expected = 2 * onp.real(OPERATORS["matrix"].todense().conj().T @ (OPERATORS["matrix"] @ x))
    onp.testing.assert_allclose(grad(lambda x: np.sum(np.abs(op @ x) ** 2))(x), expected, rtol=1e-12)


def test_eigenpairs_of_an_operator_of_theirs_with_a_traced_coefficient():
    """Dᴴ c D + 1, matrix-free."""
    D = ka.aslinearoperator(OPERATORS["second derivative"])
    dense = OPERATORS["second derivative"].todense()

    def operator(c):
        diagonal = ka.csr_array((c, onp.arange(N), onp.arange(N + 1)), (N, N))
        return D.H @ diagonal @ D + ka.aslinearoperator(pylops.Identity(N))

    def f(c):
        w, X = ka.eigsh(operator(c), k=2, which="LA", v0=onp.ones(N), tol=1e-14)
        return np.sum(w) + np.sum(X[:, 0] ** 4)

    def exact(c):
        w, X = onp.linalg.eigh(dense.T @ (c[:, None] * dense) + onp.eye(N))
        return onp.sum(w[-2:]) + onp.sum(X[:, -2] ** 4)

    c = 1.0 + 0.5 * onp.sin(onp.arange(N))
    h = 1e-4
    differences = [(exact(c + h * e) - exact(c - h * e)) / (2 * h) for e in onp.eye(N)]
    onp.testing.assert_allclose(f(c), exact(c), rtol=1e-9)
    onp.testing.assert_allclose(grad(f)(c), differences, rtol=0, atol=1e-6 * onp.abs(differences).max())


def test_as_A_and_M_without_traces():
    """Straight to SciPy, as A; and next to a traced M."""
    A = pylops.MatrixMult(onp.diag(onp.arange(1.0, N + 1)))
    w = ka.eigsh(A, k=2, which="LA", v0=onp.ones(N), return_eigenvectors=False)
    onp.testing.assert_allclose(w, [N - 1, N], rtol=1e-12)

    def lowest(m):
        return ka.eigsh(A, k=1, M=np.diag(m), which="LA", v0=onp.ones(N))[0][0]

    g = grad(lowest)(onp.ones(N))
    onp.testing.assert_allclose(g[-1], -N, rtol=1e-10)
    assert onp.abs(g[:-1]).max() < 1e-10


def test_linear_systems():
    A = OPERATORS["convolution"]

    def f(b):
        return np.sum(ka.solve(A, b) ** 2)

    b, dense = RNG.standard_normal(N), A.todense()
    x = onp.linalg.solve(dense, b)
    onp.testing.assert_allclose(grad(f)(b), 2 * onp.linalg.solve(dense.T, x), rtol=1e-8)
    onp.testing.assert_allclose(ka.inverse(A).H @ b, onp.linalg.solve(dense.T, b), rtol=1e-8)
