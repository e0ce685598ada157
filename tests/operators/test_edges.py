"""Paths that users seldom take and the tests of one module do not: each with what it must do."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka

N = 16
RNG = onp.random.default_rng(5)
G = RNG.standard_normal((N, N))
S = G + G.T
EYE = onp.eye(N)
V0 = onp.ones(N)
COMPLEX = onp.diag(onp.arange(1.0, N + 1)) + 0.1 * (G + 1j * RNG.standard_normal((N, N)))


def test_imaginary_rounding_of_hermitian_eigenvalues_is_dropped():
    """As a solver for general matrices returns them."""
    w, X = onp.linalg.eigh(S)

    def f(p):
        values, vectors = ka.attach_eigenpairs(S + p * EYE, w[:2] + 1e-14j, X[:, :2], hermitian=True)
        return np.sum(values)

    assert grad(f)(0.0) == pytest.approx(2.0, abs=1e-12)
    values, _ = ka.attach_eigenpairs(S, w[:2] + 1e-14j, X[:, :2], hermitian=True)
    assert values.dtype == float


def test_shapes_of_nonlinear_pairs():
    with pytest.raises(ValueError, match=r"expected a scalar lam and x of shape \(n,\), got \(\) and \(2, 1\)"):
        ka.attach_nonlinear(lambda lam: EYE, 1.0, onp.ones((2, 1)))
    with pytest.raises(ValueError, match=r"got \(1, 1\) and \(2,\)"):
        ka.attach_nonlinear(lambda lam: EYE, [[1.0]], onp.ones(2))


def test_an_inverse_without_adjoint_is_not_used_backward():
    """Of a problem that is not Hermitian: GMRES takes over, and the gradient is that of the dense matrix."""
    lu = spla.splu(sp.csc_array(COMPLEX))
    inverse = spla.LinearOperator((N, N), lu.solve, dtype=complex)
    reports = []

    def f(p, OPinv, method):
        A = ka.LinearOperator((N, N), lambda v: np.dot(COMPLEX + p * np.diag(onp.arange(N) + 0j), v), dtype=complex)
        adjoint = ka.Adjoint(method=method, callback=reports.append)
        w, X = ka.eigs(A, k=2, sigma=0.0, OPinv=OPinv, v0=V0 + 0j, adjoint=adjoint)
        return np.real(w[0]) + np.abs(X[0, 0]) ** 2

    with_adjoint = spla.LinearOperator((N, N), lu.solve, rmatvec=lambda v: lu.solve(v, "H"), dtype=complex)
    reference = grad(f)(0.0, with_adjoint, "shared")
    assert reports[-1].method == "shared"
    assert grad(f)(0.0, inverse, "gmres") == pytest.approx(reference, rel=1e-7)
    assert reports[-1].method == "gmres"
    with pytest.raises(ValueError, match=r"method='shared'.*needs an inverse.*rmatvec"):
        grad(f)(0.0, inverse, "shared")


def test_a_singular_mass_needs_sigma():
    M = sp.csc_array(onp.diag(onp.r_[0.0, onp.ones(N - 1)]))
    A = sp.csc_array(onp.diag(onp.arange(1.0, N + 1)))
    for mass in (M, M.toarray()):
        with pytest.raises(ValueError, match=r"M is not .*: (it is singular|its lowest eigenvalue is).*give sigma"):
            ka.eigs(A, k=2, M=mass, return_eigenvectors=False)
    w = ka.eigsh(A, k=2, M=M, sigma=0.1, ncv=10, v0=V0, return_eigenvectors=False)
    assert onp.sort(w) == pytest.approx([2.0, 3.0])


def test_an_adjoint_that_does_not_exist_is_named():
    """`solve` asks for it in the backward pass only; a Hermitian solver does without."""
    A = spla.LinearOperator((N, N), lambda v: S @ v + 20 * v, dtype=float)
    b = RNG.standard_normal(N)
    with pytest.raises(NotImplementedError, match=r"A has no adjoint, which gradients need: give it rmatvec"):
        grad(lambda b: np.sum(ka.solve(A, b, solver="gmres") ** 2))(b)
    g = grad(lambda b: np.sum(ka.solve(A, b, solver="minres") ** 2))(b)
    x = onp.linalg.solve(S + 20 * EYE, b)
    assert g == pytest.approx(2 * onp.linalg.solve(S + 20 * EYE, x), rel=1e-6)


def test_operators_and_arrays_in_arithmetic():
    A = ka.aslinearoperator(sp.csr_array(G))
    block = RNG.standard_normal((N, 3))
    for operator, matrix in ((A, G), (A.T, G.T), (2 * A - A.H, 2 * G - G.T), (S - A, S - G)):
        assert onp.allclose(operator @ block, matrix @ block)
        assert onp.allclose(operator.matmat(block), matrix @ block)
        assert onp.allclose(operator.rmatmat(block), matrix.T @ block)
        assert onp.allclose(spla.aslinearoperator(operator).rmatvec(block[:, 0]), matrix.T @ block[:, 0])
    assert onp.allclose(block.T @ A, block.T @ G)
    assert onp.allclose(onp.ones(N) @ A, onp.ones(N) @ G)
    with pytest.raises(TypeError, match=r"unsupported operand|ufunc"):
        onp.float64(2.0) / A


def test_entries_and_indices_have_the_right_number_of_dimensions():
    with pytest.raises(ValueError, match=r"csr_array: indices must have 1 dimension\(s\), not shape \(1, 2\)"):
        ka.csr_array((onp.ones(2), [[0, 1]], [0, 1, 2]), (2, 2))


def test_the_transpose_of_a_constant_function_is_zero():
    zero = ka.LinearOperator((3, 3), lambda v: np.zeros(3), dtype=float)
    assert onp.array_equal(zero.H @ onp.ones(3), onp.zeros(3))
    constant = ka.LinearOperator((3, 3), lambda v: np.ones(3), dtype=float)
    with pytest.raises(TypeError, match="its result does not depend, for autograd, on the vector"):
        constant.H @ onp.ones(3)
