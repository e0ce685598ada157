"""PyAMG: multigrid as a preconditioner of the adjoint systems, and of LOBPCG whose pairs are then attached."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka

pyamg = pytest.importorskip("pyamg")

SIDE = 24
N = SIDE**2
LAPLACIAN = -ka.pde.laplacian((SIDE, SIDE), (1.0, 0.9)).explicit()
POTENTIAL = 0.5 * onp.random.default_rng(0).uniform(size=N)
FULL = sp.csr_array(LAPLACIAN + sp.diags(POTENTIAL))
WEIGHTS = onp.linspace(0.5, 1.5, N)


def multigrid(A):
    return pyamg.smoothed_aggregation_solver(sp.csr_matrix(A)).aspreconditioner()


def hamiltonian(V):
    """Matrix-free, as far as the solvers can tell."""
    L = ka.aslinearoperator(LAPLACIAN)
    return ka.LinearOperator((N, N), lambda x: L @ x + V * x, matmat=lambda X: L @ X + V[:, None] * X, dtype=float)


def loss(w, X):
    return w[0] * w[1] + np.sum(WEIGHTS * X[:, 0] ** 2 * X[:, 1] ** 2)


def reference(V):
    """The gradient by a dense adjoint solve, from LAPACK's pairs."""
    A = LAPLACIAN.toarray() + onp.diag(V)

    def f(V):
        w, X = onp.linalg.eigh(A)
        A_traced = ka.aslinearoperator(LAPLACIAN) + np.diag(V)
        return loss(
            *ka.attach_eigenpairs(A_traced, w[:3], X[:, :3], hermitian=True, adjoint=ka.Adjoint(method="dense"))
        )

    return grad(f)(V)


def test_a_preconditioner_of_the_adjoint():
    """As right as without, in a third of the applications, from the same start."""
    expected, applications = reference(POTENTIAL), {}
    w, X = onp.linalg.eigh(LAPLACIAN.toarray() + onp.diag(POTENTIAL))
    for name, preconditioner in (("multigrid", multigrid(FULL)), ("none", None)):
        reports = []
        options = ka.Adjoint(preconditioner=preconditioner, callback=reports.append)

        def f(V, options=options):
            return loss(*ka.eigsh(hamiltonian(V), k=3, which="SA", v0=onp.ones(N), adjoint=options))

        def attached(V, options=options):
            return loss(*ka.attach_eigenpairs(hamiltonian(V), w[:3], X[:, :3], hermitian=True, adjoint=options))

        for function in (f, attached):
            reports.clear()
            g = grad(function)(POTENTIAL)
            assert onp.linalg.norm(g - expected) < 1e-8 * onp.linalg.norm(expected)
        applications[name] = sum(report.applications for report in reports if report.stage == "adjoint")
    assert 0 < applications["multigrid"] < applications["none"] / 3


def test_lobpcg_with_multigrid_and_attached_pairs():
    expected = reference(POTENTIAL)
    M = multigrid(FULL)
    X0 = onp.random.default_rng(1).standard_normal((N, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # LOBPCG's remark that it cannot do better
        w, X = spla.lobpcg(FULL, X0, M=M, tol=1e-10, maxiter=60, largest=False)
    onp.testing.assert_allclose(w, onp.linalg.eigvalsh(FULL.toarray())[:5], rtol=1e-10)

    def f(V):
        return loss(*ka.attach_eigenpairs(hamiltonian(V), w[:3], X[:, :3], hermitian=True, adjoint=options))

    options = ka.Adjoint(preconditioner=M)
    g = grad(f)(POTENTIAL)
    assert onp.linalg.norm(g - expected) < 1e-7 * onp.linalg.norm(expected)


def test_a_preconditioner_of_linear_systems():
    """Conjugate gradients for A x = b and for its derivative."""
    M = multigrid(FULL)

    def f(V):
        return np.sum(WEIGHTS * ka.solve(hamiltonian(V), onp.ones(N), solver="cg", preconditioner=M) ** 2)

    x = spla.spsolve(FULL.tocsc(), onp.ones(N))
    onp.testing.assert_allclose(grad(f)(POTENTIAL), -2 * x * spla.spsolve(FULL.tocsc(), WEIGHTS * x), rtol=1e-7)


def test_of_a_complex_hamiltonian():
    """PyAMG's cycle is real, and its operator has no rmatvec: the vectors are complex, the problem is Hermitian."""
    B = sp.csr_array(sp.diags([0.3j * onp.ones(N - 1), -0.3j * onp.ones(N - 1)], offsets=[-1, 1]))
    M, gradients = multigrid(FULL), []
    for options in (ka.Adjoint(preconditioner=M), ka.Adjoint()):

        def f(V, options=options):
            A = hamiltonian(V) + ka.aslinearoperator(B)
            w, X = ka.eigsh(A, k=3, which="SA", v0=onp.ones(N) + 0j, adjoint=options)
            return np.sum(w[:2]) + np.sum(WEIGHTS * np.abs(X[:, 0]) ** 4)

        gradients.append(grad(f)(POTENTIAL))
    assert onp.linalg.norm(gradients[0] - gradients[1]) < 1e-8 * onp.linalg.norm(gradients[1])
