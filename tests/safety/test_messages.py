"""Every text that the package can say: brought about, and read.

A message has the numbers that were seen, the likely causes (a) (b), and what to try.
"""

import inspect
import logging
import re
import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_jvp
from autograd.extend import defvjp, primitive

import krylov_adj as ka
from krylov_adj.forward.operands import value_operator
from krylov_adj.forward.request import Request
from krylov_adj.forward.solve import solve_eigenproblem
from krylov_adj.forward.subspace import basis_of
from krylov_adj.perturbation.problem import Eigenproblem, Pairs
from krylov_adj.report import linear_messages, messages, tracking_messages

N = 20
RNG = onp.random.default_rng(0)
G = RNG.standard_normal((N, N))
S, C = G + G.T, G + 1j * RNG.standard_normal((N, N))
H = C + C.conj().T
Q = onp.linalg.qr(G)[0]
U = onp.linalg.qr(C)[0]
EYE, V0 = onp.eye(N), onp.ones(N)
PROFILE = onp.linspace(0.5, 1.5, N)
NUMBER = r"\d(\.\d+)?(e[+-]\d+)?"


def symmetric(spectrum):
    A = (Q * onp.asarray(spectrum)) @ Q.T
    return 0.5 * (A + A.T)


def jordan(epsilon):
    D = onp.diag(onp.r_[2.0, 2.0, onp.linspace(-1, 1, N - 2)])
    D[0, 1], D[1, 0] = 1.0, epsilon
    return Q @ D @ Q.T


def derivative(solver, A, loss, direction=S, **arguments):
    """The gradient in p of a loss of the pairs of A + p·direction."""

    def f(p):
        return loss(*solver(A + p * direction, v0=V0, **arguments))

    return grad(f)(0.0)


def vectors(w, X):
    return np.sum(PROFILE * np.abs(X[:, 0]) ** 4)


def closure(A, dtype=float, **functions):
    return ka.LinearOperator((N, N), lambda v: np.dot(A, v), dtype=dtype, **functions)


# ---- what brings each text about ---------------------------------------------------------------


def cut_cluster():
    A = symmetric(onp.r_[0.5, 0.5, onp.linspace(1, 3, N - 2)])
    derivative(ka.eigsh, A, vectors, k=1, which="SA")


def not_converged():
    derivative(ka.eigsh, S, vectors, k=2, adjoint=ka.Adjoint(method="minres", maxiter=2))


def not_converged_warned():
    options = ka.Adjoint(method="minres", maxiter=2, on_failure="warn")
    derivative(ka.eigsh, S, vectors, k=2, adjoint=options)


def defective():
    derivative(ka.eigs, jordan(0.0), lambda w, X: np.real(np.sum(w * onp.array([1.0, 0.5]))), k=2, which="LR")


def nearly_defective():
    derivative(ka.eigs, jordan(1e-12), lambda w, X: np.real(np.sum(w * onp.array([1.0, 0.5]))), k=2, which="LR")


def reads_phase():
    derivative(ka.eigsh, H, lambda w, X: np.sum(PROFILE[:, None] * np.real(X)), k=2)


def reads_phase_refused():
    derivative(
        ka.eigsh, H, lambda w, X: np.sum(PROFILE[:, None] * np.real(X)), k=2, adjoint=ka.Adjoint(on_gauge="raise")
    )


DOUBLE = symmetric(onp.r_[0.5, 0.5, onp.linspace(1, 3, N - 2)])


def reads_basis():
    derivative(ka.eigsh, DOUBLE, vectors, k=2, which="SA")


def lost_couplings():
    A = symmetric(onp.r_[0.5, 0.5 + 2e-12, onp.linspace(1, 3, N - 2)])
    derivative(ka.eigsh, A, lambda w, X: np.sum(w * np.sum(X * np.dot(S, X), axis=0)), k=2, which="SA")


def of_projector(gap):
    """A function of one number that reads a cluster's projector."""
    A = symmetric(onp.r_[0.5, 0.5 + gap, onp.linspace(1, 3, N - 2)])

    def f(t):
        X = ka.eigsh(A + t * S / N, k=2, which="SA", v0=V0)[1]
        return np.sum(X * np.dot(U.real, X))

    return f


def lost_second_derivative():
    grad(grad(of_projector(1e-12)))(0.0)


def moves_within_cluster():
    f = of_projector(1e-8)
    make_jvp(lambda t: make_jvp(f)(t)(1.0)[1])(0.0)(1.0)


def unequal_weights():
    derivative(ka.eigsh, DOUBLE, lambda w, X: w[0] + 3 * w[1], k=2, which="SA")


def defective_subspace():
    A = jordan(0.0)
    grad(lambda p: np.real(np.trace(ka.invariant_subspace(A + p * S, k=1, which="LR").H)))(0.0)


def dependent_basis():
    """A triangular matrix with a Jordan block, in which both computed eigenvectors are one to the last bit."""
    n = 300
    A = onp.diag(onp.r_[9.0, 9.0, onp.linspace(1, 3, n - 2)])
    A[0, 1] = 1.0
    X, problem = onp.eye(n)[:, [0, 0]], Eigenproblem(value_operator(A, False, "A"), None, False, "2")
    basis_of(problem, Pairs(onp.array([9.0, 9.0]), X, "2", "ARPACK"))


def no_exceptional_point():
    A = onp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    D = [onp.diag([1.0, -1.0, 0.0]), onp.diag([0.0, 0.0, 9.0])]
    ka.find_exceptional_point(lambda p: A + p[0] * D[0] + p[0] ** 2 * D[1], [0.3], near=0.0)


def bordered_needs_matrices():
    chain = ka.LinearOperator((300, 300), lambda x: x * onp.linspace(1, 9, 300), dtype=complex)
    ka.find_exceptional_point(lambda p: chain, [0.3, 0.1], near=1.0, method="bordered")


def path_is_traced():
    grad(lambda p: ka.track(lambda s: onp.diag([1.0, 2.0, 4.0]), [0.0, p], k=1).w[-1, 0])(1.0)


def unsure_tracking():
    """Two that coincide, and split along other vectors."""
    turned = onp.diag([0.0, 0.0, 3.0, 4.0]) + 0.0

    def A(p):
        corner = onp.array([[p, 0], [0, -p]]) if p < 0 else onp.array([[0, p], [p, 0]])
        return turned + onp.block([[corner, onp.zeros((2, 2))], [onp.zeros((2, 4))]])

    ka.track(A, [-1.0, 0.0, 1.0], k=2)


def basis_not_normalised():
    ka.attach_subspace(S, 2 * onp.eye(N)[:, :2])


def few_digits_of_subspace():
    T = onp.diag(onp.full(29, 1.0), 1) + onp.diag(onp.full(29, 0.1), -1)
    grad(lambda p: np.real(np.trace(ka.invariant_subspace(T + p * T.T, 4, which="LR", v0=onp.ones(30)).H)))(0.0)


def not_a_subspace():
    ka.attach_subspace(S, onp.eye(N)[:, :2])


def reads_subspace_basis():
    grad(lambda p: ka.invariant_subspace(S + p * DOUBLE, k=2, which="SA", v0=V0, hermitian=True).X[0, 0])(0.0)


def cut_eigenvalues():
    derivative(ka.eigsh, DOUBLE, lambda w, X: w[0], k=1, sigma=0.1)


def close_eigenvalues():
    A = symmetric(onp.r_[0.5, 0.5 + 1e-11, onp.linspace(1, 3, N - 2)])
    derivative(ka.eigsh, A, lambda w, X: w[0], k=1, which="SA")


def missed_eigenvalues():
    """A start vector that has no part in the lowest eigenvector."""
    v0, A = onp.r_[0.0, onp.ones(N - 1)], onp.diag(onp.r_[0.1, onp.linspace(1, 3, N - 1)])
    grad(lambda p: ka.eigsh(A + p * S, k=1, which="SA", v0=v0, ncv=8)[0][0])(0.0)


def out_of_range():
    ka.eigsh(1e200 * S, k=2, M=1e-200 * EYE)


def value_out_of_range():
    ka.eigsh((1e38 * symmetric(onp.linspace(1, 3, N))).astype("f"), k=2, M=(0.05 * EYE).astype("f"), v0=V0)


def shift_out_of_range():
    ka.eigsh(1e-40 * S, k=2, sigma=1.0)


def not_finite():
    f = grad(lambda p: ka.eigsh(ka.LinearOperator((N, N), lambda v: p * v + onp.nan, dtype=float), k=2, v0=V0)[0][0])
    f(1.0)


def loss_not_finite():
    with onp.errstate(all="ignore"):
        derivative(ka.eigsh, S, lambda w, X: np.sum(X[:, 0] ** 4) / (w[0] - w[0]), k=2)


W, X = onp.linalg.eigh(S)


def not_eigenpairs():
    ka.attach_eigenpairs(S, W[:2] + onp.array([0.0, 0.5]), X[:, :2], hermitian=True)


def not_the_eigenvalue():
    A = onp.diag(onp.r_[1e-3, 1e6 * onp.arange(1.0, N)])
    ka.attach_eigenpairs(A, onp.array([2e-3]), EYE[:, :1], hermitian=True)


def not_the_eigenvalue_after_a_zero():
    """The one that is furthest from what is accepted, not the one of the largest relative deviation."""
    A = onp.diag(onp.r_[0.0, 1e-3, 1e6 * onp.arange(2.0, N)])
    ka.attach_eigenpairs(A, onp.array([1e-12, 2e-3]), EYE[:, :2], hermitian=True)


def second_differences(n):
    return (
        sp.diags_array([-onp.ones(n - 1), 2 * onp.ones(n), -onp.ones(n - 1)], offsets=[-1, 0, 1]).tocsc() * (n + 1) ** 2
    )


def few_digits():
    M = second_differences(3000)
    w, X = spla.eigsh((M @ M).tocsc(), k=1, M=M, sigma=0.0, v0=onp.ones(3000))
    ka.attach_eigenpairs(M @ M, w, X, M=M, hermitian=True)


def not_in_the_span():
    M = second_differences(2000)
    ka.eigsh(M @ M, k=2, M=M - 20 * sp.identity(2000), sigma=20.0, v0=onp.ones(2000))


def dependent_vectors():
    ka.attach_eigenpairs(EYE, onp.ones(2), EYE[:, [0, 0]], hermitian=True)


def not_normalised():
    ka.attach_eigenpairs(S, W[:2], 3 * X[:, :2], hermitian=True)


INDEFINITE = onp.diag(onp.r_[-1.0, onp.ones(N - 1)])


def other_normalization():
    """Of a front end that states it: the pencil is solved, its vectors are not M-normalised."""
    operators = [value_operator(matrix, False, "A") for matrix in (S, INDEFINITE)]
    solve_eigenproblem(Request(2, False, sigma=0.3, normalization="M"), *operators)


def not_positive_definite_eigsh():
    derivative(ka.eigsh, S, vectors, k=2, M=INDEFINITE)


def not_positive_definite_eigs():
    derivative(ka.eigs, S, vectors, k=2, M=INDEFINITE)


def needs_OPinv():
    M = closure(INDEFINITE)
    grad(lambda p: np.real(ka.eigs(closure(G + p * EYE), k=2, M=M, sigma=0.1, v0=V0)[0][0]))(0.0)


def infinite_eigenvalue():
    """M of rank 1, which no row shows, and too large for LAPACK."""
    M = sp.csc_array((onp.ones(211), onp.arange(211), onp.r_[0, onp.full(211, 211)]), shape=(211, 211))
    ka.eigs(sp.diags(onp.arange(1.0, 212), format="csc"), k=2, M=M, sigma=0.1, v0=onp.ones(211))


def fewer_finite():
    ka.eigsh(S, k=3, M=onp.diag(onp.r_[1.0, 1.0, onp.zeros(N - 2)]), sigma=0.1)


def fewer_finite_buckling():
    ka.eigsh(EYE, k=2, M=onp.diag(onp.r_[1.0, onp.zeros(N - 1)]), sigma=0.1, mode="buckling")


def singular_pencil():
    ka.eigs(onp.diag(onp.r_[0.0, onp.ones(N - 1)]), k=N, M=onp.diag(onp.r_[0.0, onp.arange(1.0, N)]))


def basis_past_finite():
    M = sp.diags(onp.r_[onp.ones(9), onp.zeros(221)], format="csc")
    ka.eigsh(sp.diags(onp.arange(1.0, 231), format="csc"), k=3, M=M, sigma=0.1)


def buckling_needs_semidefinite():
    ka.eigsh(S, k=N, M=EYE, sigma=0.1, mode="buckling")


def operator_not_hermitian():
    """Of the vector alone it cannot be seen: A x = x holds exactly."""
    A = onp.diag(onp.arange(1.0, N + 1)) + 0.3 * onp.triu(onp.ones((N, N)), 1)
    grad(lambda p: ka.attach_eigenpairs(A + p * S, onp.ones(1), EYE[:, :1], hermitian=True)[0][0])(0.0)


def operator_adjoint_wrong():
    f = grad(lambda p: np.real(ka.eigs(closure(G + p * EYE, rmatvec=lambda v: np.dot(G, v)), k=2, v0=V0)[0][0]))
    f(0.0)


def boxes_in_scipy():
    def f(p):
        A = spla.LinearOperator((N, N), lambda v: np.dot(S + p * EYE, v), dtype=float)
        return ka.eigsh(A, k=2, v0=V0)[0][0]

    grad(f)(0.0)


B = onp.diag(onp.arange(1.0, N + 1)) + 0.1 * G


def linear_not_converged():
    ka.solve(closure(B, rmatvec=lambda v: np.dot(B.T, v)), V0, solver="bicgstab", rtol=1e-15)
    ka.solve(closure(onp.diag(onp.r_[0.0, onp.ones(N - 1)])), V0, solver="gmres")


def singular_pivot():
    ka.solve(onp.diag(onp.r_[0.0, onp.ones(N - 1)]), V0, solver="direct")


def singular_refinement():
    ka.solve(Q @ onp.diag(onp.r_[1e-17, onp.ones(N - 1)]) @ G, V0, solver="direct")


def needs_hermitian():
    ka.solve(closure(B), V0, solver="cg")


def indefinite_preconditioner():
    ka.solve(closure(onp.diag(onp.arange(1.0, N + 1))), V0, solver="minres", preconditioner=lambda V: -V)


def method_minres():
    derivative(ka.eigs, G, vectors, k=2, adjoint=ka.Adjoint(method="minres"))


def method_direct():
    f = grad(lambda p: vectors(*ka.eigsh(closure(S + p * EYE), k=2, v0=V0, adjoint=ka.Adjoint(method="direct"))))
    f(0.0)


def method_shared():
    derivative(ka.eigsh, S, vectors, k=2, adjoint=ka.Adjoint(method="shared"))


def method_augmented():
    derivative(ka.eigsh, S, vectors, k=2, M=onp.diag(onp.arange(1.0, N + 1)), adjoint=ka.Adjoint(method="augmented"))


def preconditioner_shape():
    options = ka.Adjoint(method="gmres", preconditioner=lambda V: V[:3])
    derivative(ka.eigsh, S, vectors, k=2, adjoint=options)


def preconditioner_without_adjoint():
    P = spla.LinearOperator((N, N), matvec=lambda v: v, dtype=float)
    derivative(ka.eigs, G, vectors, k=2, adjoint=ka.Adjoint(method="gmres", preconditioner=P))


def preconditioner_indefinite():
    options = ka.Adjoint(method="minres", preconditioner=lambda V: -V)
    derivative(ka.eigsh, S, vectors, k=2, adjoint=options)


def imaginary_parts():
    ka.attach_eigenpairs(S, W[:2] + 0.5j, X[:, :2], hermitian=True)


def adds_shapes():
    closure(S) + ka.LinearOperator((N, 3), lambda v: v, dtype=float)


def multiplies_shapes():
    closure(S) @ ka.LinearOperator((3, N), lambda v: v, dtype=float)


def no_phase():
    ka.canonical_phase(onp.zeros((3, 1)))


def pairs_less_traced():
    def inner(p):
        w, X = ka.eigs(G * p, k=2, v0=V0)
        return grad(lambda q: np.sum(np.abs(ka.left_eigenvectors(G * p * q, w, X)) ** 2))(1.0)

    grad(inner)(1.0)


# ---- singular values: rank two, with three triplets asked for ---------------------------------------

RANK_TWO = (U[:, :2] * onp.array([3.0, 2.0])) @ onp.linalg.qr(C.T)[0][:, :2].conj().T


def triplets(A, loss, k=3, **arguments):
    return grad(lambda p: loss(*ka.svds(A * (1 + p), k=k, v0=V0, **arguments)))(0.0)


def in_words_of_eigenpairs():
    triplets(DOUBLE, lambda u, s, vh: np.sum(u[:, 0] ** 4), k=1, which="SM")


def triplets_not_resolved():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LOBPCG's own
        triplets(S, lambda u, s, vh: np.sum(s), k=2, solver="lobpcg", maxiter=1, rng=1)


def vanishing_triplets():
    triplets(RANK_TWO, lambda u, s, vh: np.sum(PROFILE * np.abs(u[:, 0]) ** 4))


def zero_in_subspace():
    ka.singular_subspace(RANK_TWO, k=3, v0=V0)


def reads_zero():
    triplets(RANK_TWO, lambda u, s, vh: np.sum(s))


def reads_null_vectors():
    """What u and v of σ = 0 are together: their phases are independent."""
    u, _, vh = ka.svds(RANK_TWO, k=3, v0=V0)
    triplets(RANK_TWO, lambda a, s, bh: np.imag(np.sum(u[:, 0].conj() * a[:, 0]) * np.sum(bh[0] * vh[0].conj())))


def gradient_disagrees():
    f = primitive(lambda x: np.sum(x**2))
    defvjp(f, lambda ans, x: lambda g: g * x)
    ka.check_gradient(f, PROFILE)


def differences_uncertain():
    """The first step is too long for a wave, and all are too short for the noise upon it."""
    rng = onp.random.default_rng(0)
    f = primitive(lambda x: np.sum(np.sin(1e5 * x)) + 0.1 * rng.standard_normal())
    defvjp(f, lambda ans, x: lambda g: g * 1e5 * np.cos(1e5 * x))
    ka.check_gradient(f, PROFILE)


# What is raised or warned, and what the text must hold, in this order. Where a class is a warning
# the gradient is returned all the same.
TEXTS = {
    cut_cluster: (ka.AdjointNoConvergence, r"0 \(w = 0\.5\): NUMBER.*\(a\) k cuts a cluster: increase k.*\(b\).*\(c\)"),
    not_converged: (
        ka.AdjointNoConvergence,
        r"adjoint systems of 1 of 2 eigenpairs did not converge.*\{0: NUMBER\} with 1\.0e-10 requested, after 2 "
        r"iterations of minres.*\(a\).*increase k.*\(b\).*sigma.*\(c\).*preconditioner.*maxiter.*\(d\) rtol",
    ),
    not_converged_warned: (RuntimeWarning, r"did not converge.*\{0: NUMBER\}.*\(a\).*\(d\)"),
    defective: (
        ka.DefectiveEigenvalueError,
        r"eigenvalue 2\S* \(number \d\) is defective.*condition number is NUMBER.*\(a\).*Jordan block.*mean.*\(b\)",
    ),
    nearly_defective: (
        ka.DegeneracyWarning,
        r"nearly defective; condition numbers \{0: NUMBER.*κ²ε, here NUMBER.*\(a\).*move them away.*\(b\)"
        r".*on_gauge='ignore'",
    ),
    reads_phase: (
        ka.GaugeWarning,
        r"phase of eigenvectors.*\{0: NUMBER, 1: NUMBER\}.*\(a\).*\|x\|².*\(b\).*canonical_phase.*on_gauge='ignore'",
    ),
    reads_phase_refused: (ValueError, r"phase of eigenvectors.*\{0: NUMBER, 1: NUMBER\}.*\(a\).*\(b\)"),
    reads_basis: (
        ka.GaugeWarning,
        r"basis chosen inside a degenerate eigenspace: pairs \[\(0, 1\)\], gap NUMBER.*NUMBER relative.*\(a\)"
        r".*projector.*\(b\).*increase k.*\(c\).*on_gauge='ignore'",
    ),
    lost_couplings: (
        ka.DegeneracyWarning,
        r"rounding makes an error of about NUMBER of the derivative: pairs \[\(0, 1\)\], gap NUMBER.*do not carry.*"
        r"\(a\).*mean.*projector.*differences.*\(b\).*move the parameters.*\(c\).*reverse mode.*on_gauge='ignore'",
    ),
    lost_second_derivative: (
        ka.DegeneracyWarning,
        r"cancel in it.*an error of about NUMBER of this derivative.*\(a\).*whole cluster.*mean.*\(b\).*move the "
        r"parameters.*on_gauge='ignore'",
    ),
    moves_within_cluster: (
        ka.DegeneracyWarning,
        r"forward mode.*an error of about NUMBER of its second derivative.*\(a\).*reverse over reverse.*\(b\).*single "
        r"vectors.*on_gauge='ignore'",
    ),
    unequal_weights: (
        ka.DegeneracyWarning,
        r"coincide differently: numbers \[0, 1\] at 0\.5\..*generalised gradient is returned.*\(a\).*mean.*\(b\)"
        r".*F\(wᵢ\) xᵢᴴWxᵢ.*has one.*do not carry.*\(c\).*increase k.*\(d\).*move the parameters.*on_gauge='ignore'",
    ),
    defective_subspace: (
        ka.DefectiveEigenvalueError, r"condition number NUMBER: .*coalesced with one inside.*Increase k",
    ),
    dependent_basis: (ValueError, r"The 2 eigenvectors.*span 1 dimensions only.*attach_subspace"),
    no_exceptional_point: (
        ka.ExceptionalPointNotFound, r"was NUMBER and is NUMBER, at p = .*\(a\).*avoid.*\(b\).*start.*\(c\)"
    ),
    bordered_needs_matrices: (
        ValueError, r"method='bordered' factorises.*of order 300.*no matrix.*csr_array.*method='block'"
    ),
    path_is_traced: (TypeError, r"depends on traced values.*no derivative.*attach_eigenpairs.*as sigma"),
    unsure_tracking: (
        ka.TrackingWarning,
        r"pair 0 \(or 1\) between s = 1 and NUMBER, p = NUMBER, weight NUMBER; pair 1.*may be exchanged.*\(a\).*"
        r"find_exceptional_point.*\(b\).*move the path.*\(c\).*guard.*\(d\).*smallest=",
    ),
    basis_not_normalised: (ValueError, r"XᴴX deviates from the identity by NUMBER"),
    few_digits_of_subspace: (
        ka.DegeneracyWarning,
        r"an error of about NUMBER of the derivative.*\(a\).*increase k.*\(b\).*tol.*\(c\).*balance",
    ),
    not_a_subspace: (
        ValueError, r"no invariant subspace: .* is NUMBER of .*NUMBER is accepted.*\(a\) .*tol.*\(b\).*\(c\).*\(d\)"
    ),
    reads_subspace_basis: (
        ka.GaugeWarning, r"basis of the invariant subspace.*by NUMBER of.*spectral_sum.*check_gauge",
    ),
    cut_eigenvalues: (
        ka.DegeneracyWarning,
        r"coincide with ones that were not computed; number and distance: \{0 \(w = 0\.5\): NUMBER\}.*generalised "
        r"gradient is returned.*Clarke.*\(a\).*increase k.*mean.*\(b\).*v0.*\(c\).*move the parameters"
        r".*on_gauge='ignore'",
    ),
    close_eigenvalues: (
        ka.DegeneracyWarning,
        r"so close to ones that were not computed that rounding mixes.*\{0 \(w = 0\.5\): NUMBER, NUMBER\}.*\(a\)"
        r".*increase k.*mean.*\(b\).*move the parameters.*on_gauge='ignore'",
    ),
    missed_eigenvalues: (
        ka.DegeneracyWarning,
        r"eigenvalues \{0\.1\} were not computed.*than the pairs \{0\}, which the loss reads.*not those that were "
        r"asked for.*\(a\).*v0.*\(b\).*ncv or k.*\(c\).*tol.*on_gauge='ignore'",
    ),
    out_of_range: (ValueError, r"eigenvalue is NUMBER times 2\^1344, outside .* float64.*\(a\) A.* rescale.*\(b\)"),
    value_out_of_range: (ValueError, r"eigenvalue is NUMBER times 2\^\d+, outside .* float32.*\(a\).*\(b\) single"),
    shift_out_of_range: (
        ValueError,
        r"sigma = 1 is more than 1/ε = 5e\+15 times the entries of A, which are up to NUMBER.*\(a\) .*units.*\(b\)",
    ),
    not_finite: (ValueError, r"matvec returned NaN or infinity.*\(a\) the parameters.*\(b\) a division by zero"),
    loss_not_finite: (ValueError, r"NaN or infinity: the loss, or its derivative .* is not finite here"),
    not_eigenpairs: (
        ValueError,
        r"residuals .* which is up to NUMBER.*\{1: NUMBER\} exceed 1\.5e-08.*\(a\) they belong to other"
        r".*\(b\).*rtol=.*\(c\).*not Hermitian.*\(d\)",
    ),
    not_the_eigenvalue: (
        ValueError,
        r"eigenvalue 0\.002 \(number 0\).*NUMBER away, where NUMBER would be.*\(a\).*orders.*\(b\).*\(c\)",
    ),
    not_the_eigenvalue_after_a_zero: (ValueError, r"eigenvalue 0\.002 \(number 1\).*NUMBER away, where NUMBER"),
    few_digits: (
        ka.DegeneracyWarning,
        r"few digits.*\{0 \(w = NUMBER\): NUMBER\}.*of ‖M‖ the vectors see NUMBER.*\(a\).*slope.*\(b\).*scale.*\(c\)"
        r".*on_gauge='ignore'",
    ),
    not_in_the_span: (
        ValueError,
        r"component of NUMBER of.*where NUMBER would be accepted.*\(a\) M is not.*eigs with sigma.*\(b\).*tol.*\(c\)",
    ),
    dependent_vectors: (ValueError, r"linearly dependent: singular values.*NUMBER.*\(a\).*another v0.*\(b\)"),
    not_normalised: (ValueError, r"XᴴX deviates from one by 8\.0e\+00. Scale the columns, or name .*normalization="),
    other_normalization: (ValueError, r"normalization='M'.*can only give '2': M may not be Hermitian"),
    not_positive_definite_eigsh: (ValueError, r"diagonal holds -1\.0e\+00.*What to try: with sigma.*buckling.*eigs\("),
    not_positive_definite_eigs: (ValueError, r"diagonal holds -1\.0e\+00.*What to try: give sigma.*M⁻¹A"),
    needs_OPinv: (ValueError, r"M is not Hermitian positive definite and the matrices are not explicit: pass OPinv"),
    infinite_eigenvalue: (ValueError, r"1 of the 2 eigenvalues is infinite.*\(a\) M is singular.*\(b\).*mode="),
    fewer_finite: (ValueError, r"k = 3 eigen.* 2 of the 20 eigenvalues are finite\. .*\(a\).*k <= 2; \(b\).*entries"),
    fewer_finite_buckling: (ValueError, r"and 1 of the 20 eigenvalues is finite and not zero.*\(a\).*k <= 1; \(b\)"),
    singular_pencil: (ValueError, r"A − sM is singular.*condition number is (NUMBER|inf).*\(a\).*null vector.*\(b\)"),
    basis_past_finite: (ValueError, r"ncv = 20 vectors.*rank 9 at most.*\(a\) k = 3 is more.*\(b\).*ncv <= 9"),
    buckling_needs_semidefinite: (ValueError, r'"buckling" needs.*semidefinite A.*-NUMBER.*\(a\).*\(b\).*"cayley"'),
    operator_not_hermitian: (ValueError, r"A is not Hermitian.*NUMBER of.*\(a\).*check_operator.*\(b\).*use eigs"),
    operator_adjoint_wrong: (ValueError, r"adjoint of A is wrong.*NUMBER of.*\(a\) rmatvec.*leave it.*\(b\).*\(c\)"),
    boxes_in_scipy: (TypeError, r"traced value.*\(a\).*krylov_adj.LinearOperator.*\(b\).*krylov_adj.aslinearoperator"),
    linear_not_converged: (
        ka.LinearNoConvergence,
        r"did not solve A x = b for 1 of 1 right-hand sides.*\{0: NUMBER\} with NUMBER requested, after \d+ iterations"
        r".*\(a\) A is singular.*\(b\).*\(c\).*preconditioner=.*\(d\).*rtol=",
    ),
    singular_pivot: (onp.linalg.LinAlgError, r"zero pivot.*\(a\).*boundary condition.*\(b\).*bifurcation"),
    singular_refinement: (onp.linalg.LinAlgError, r"changes the solution of a system by NUMBER of its.*\(a\).*\(b\)"),
    needs_hermitian: (ValueError, r"solver='cg' needs a Hermitian A.*NUMBER of its terms.*\(a\).*gmres.*\(b\).*\(c\)"),
    indefinite_preconditioner: (ValueError, r"solver='minres' needs a positive.*-NUMBER for.*\(a\).*\(b\).*gmres"),
    method_minres: (ValueError, r"method='minres'.*Hermitian problems; use 'gmres' or 'auto'"),
    method_direct: (ValueError, r"method='direct'.*explicit \(dense or sparse\) A and M; use 'auto'"),
    method_shared: (ValueError, r"method='shared'.*needs an inverse: pass sigma"),
    method_augmented: (ValueError, r"method='augmented'.*standard eigenproblem.*pass sigma.*'minres' or 'gmres'"),
    preconditioner_shape: (ValueError, r"preconditioner returned shape \(3, 1\) for a block of shape \(20, 1\)"),
    preconditioner_without_adjoint: (NotImplementedError, r"preconditioner has no adjoint.*rmatvec.*P\.matmat"),
    preconditioner_indefinite: (ValueError, r"MINRES is not positive definite: vᴴPv = -NUMBER.*method='gmres'"),
    imaginary_parts: (ValueError, r"hermitian=True, but eigenvalues have imaginary parts up to 5\.0e-01"),
    adds_shapes: (ValueError, r"cannot add operators of shapes \(20, 20\) and \(20, 3\)"),
    multiplies_shapes: (ValueError, r"cannot multiply operators of shapes \(20, 20\) and \(3, 20\)"),
    pairs_less_traced: (ValueError, r"traced values that w and X do not depend on.*\(a\).*krylov_adj.eigs.*\(b\)"),
    in_words_of_eigenpairs: (
        ka.AdjointNoConvergence,
        r"for svds w = σ and x = \(u, v\)/√2 of.*0 \(w = 0\.5\): NUMBER.*\(a\).*increase k.*\(b\).*\(c\)",
    ),
    triplets_not_resolved: (
        ValueError,
        r"no singular triplets of A.*\{0 \(σ = NUMBER\): NUMBER, NUMBER.*\(a\).*lower k.*\(b\).*eigsh.*\(c\).*\(d\)",
    ),
    vanishing_triplets: (ka.AdjointNoConvergence, r"\{0 \(σ = NUMBER\)\} are zero.*\(a\).*lower k.*\(b\).*null space"),
    zero_in_subspace: (ValueError, r"zero to rounding, NUMBER: the subspace.*Lower k to the rank of A"),
    reads_zero: (
        ka.DegeneracyWarning,
        r"zero to working precision, \{0: NUMBER\}.*\(a\).*lower k.*\(b\).*on_gauge='ignore'",
    ),
    reads_null_vectors: (
        ka.GaugeWarning,
        r"left and right.*pairs \(u, v\) \[\(0, 0\)\], NUMBER of.*\(a\).*lower k.*\(b\).*on_gauge='ignore'",
    ),
    gradient_disagrees: (
        AssertionError,
        r"disagrees with differences: derivative -?NUMBER, differences -?NUMBER ± NUMBER, relative error NUMBER \(step "
        r"NUMBER\), the best known of steps from NUMBER to NUMBER.*\(a\).*\(b\).*v0.*\(c\).*tol.*\(d\).*traced",
    ),
    differences_uncertain: (
        AssertionError,
        r"too uncertain to tell anything: derivative.* \(step NUMBER\), the best known of steps from NUMBER to NUMBER"
        r".*\(a\).*v0.*\(b\).*tol.*\(c\).*step=",
    ),
    no_phase: (ValueError, r"entries \[0\] of columns \[0\] are zero and have no phase"),
}  # fmt: skip

# The functions of messages.py whose texts the cases above read, where the names differ.
READ_BY = {
    "not_positive_definite": "not_positive_definite_eigsh",
    "singular": "singular_pivot",
}


def said(case):
    """The text of the error, or of the one warning, that the case is there for."""
    category, _ = TEXTS[case]
    if not issubclass(category, Warning):
        with pytest.raises(category) as raised:
            case()
        return str(raised.value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case()
    assert [entry.category for entry in caught] == [category]  # once
    return str(caught[0].message)


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.__name__)
def test_the_text(case):
    message = said(case)
    assert re.search(TEXTS[case][1].replace("NUMBER", NUMBER), message, re.DOTALL), message


def test_every_text_of_messages_is_read():
    texts = [
        name
        for module in (messages, linear_messages, tracking_messages)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
    ]
    assert len(texts) > 15
    cases = {case.__name__ for case in TEXTS}
    assert [name for name in texts if READ_BY.get(name, name) not in cases] == []


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.__name__)
def test_causes_come_in_order_and_sentences_end(case):
    """(a), (b), … without gaps; a final stop; no doubled blanks or unfilled braces."""
    message = said(case)
    causes = re.findall(r"\(([a-e])\)", message)
    assert causes == list("abcde")[: len(causes)]
    assert len(causes) != 1
    assert "  " not in message
    assert "None" not in message
    if causes:
        assert message.endswith(".")


# ---- the exceptions' attributes, the reports, the log ---------------------------------------------


def test_the_tangent_is_named_as_such():
    options = ka.Adjoint(method="minres", maxiter=2)
    f = make_jvp(lambda p: vectors(*ka.eigsh(S + p * DOUBLE, k=2, v0=V0, adjoint=options)))
    with pytest.raises(ka.AdjointNoConvergence, match="The tangent systems of 2 of 2"):
        f(0.0)(1.0)


def test_the_exception_carries_the_report():
    for case in (not_converged, cut_cluster):
        with pytest.raises(ka.AdjointNoConvergence) as caught:
            case()
        report = caught.value.report
        assert isinstance(report, ka.Report)
        assert report.stage == "adjoint"
        assert not report.converged
        assert report.failed.tolist() == [0]
        assert (report.applications > 0) == (case is not_converged)  # what is singular is not solved for
    with pytest.raises(ka.LinearNoConvergence) as caught:
        linear_not_converged()
    assert not caught.value.report.converged


def test_exceptions_are_what_one_would_catch():
    assert issubclass(ka.AdjointNoConvergence, RuntimeError)
    assert issubclass(ka.DefectiveEigenvalueError, ArithmeticError)
    assert issubclass(ka.GaugeWarning, UserWarning)
    assert issubclass(ka.DegeneracyWarning, UserWarning)
    assert ka.EigenNoConvergence is spla.ArpackNoConvergence


@pytest.mark.parametrize(
    ("solver", "arguments", "method"),
    [(ka.eigsh, {}, "minres"), (ka.eigs, {}, "gmres"), (ka.eigsh, {"sigma": 0.1}, "shared"), (ka.eigs, {}, "dense")],
)
def test_reports_read_as_sentences(solver, arguments, method, caplog):
    """By callback, by print and in the log, the same; forward and adjoint, one sentence each."""
    received = []
    options = ka.Adjoint(method=method, callback=received.append)
    with caplog.at_level(logging.INFO, logger="krylov_adj"):
        derivative(solver, S, vectors, k=2, adjoint=options, **arguments)
    assert [report.stage for report in received] == ["forward", "adjoint"]
    assert [record.getMessage() for record in caplog.records] == [str(report) for report in received]
    forward, adjoint = received
    assert "ARPACK" in str(forward)
    assert re.search(
        rf"adjoint solve by {method} \(as asked for\) converged: 2 systems, largest relative residual {NUMBER}",
        str(adjoint),
    )
    assert f"{adjoint.iterations} iterations" in str(adjoint)
    assert f"{adjoint.applications} applications" in str(adjoint)
    assert all(str(report).endswith(".") and "\n" not in str(report) for report in received)


def test_the_report_of_many_restarts_names_a_larger_basis():
    """Where it was SciPy's, or one's own; the number is right, and the advice helps."""
    n, calls = 300, []

    def steps(**arguments):
        reports = []

        def f(p):
            A = ka.LinearOperator(
                (n, n), lambda v: p * (2 * v - np.append(v[1:], 0.0) - np.append(0.0, v[:-1])), dtype=float
            )
            options = ka.Adjoint(callback=reports.append)
            v0 = onp.linspace(1, 2, n)  # even and odd
            w, _ = ka.eigs(A, k=2, which="SR", v0=v0, maxiter=10**5, adjoint=options, **arguments)
            return np.sum(np.real(w))

        grad(f)(1.0)
        calls.append(reports[0].applications)
        return reports[0]

    usual = steps()
    assert usual.ncv == 20
    assert f"ARPACK restarted a lot: {usual.applications} steps in a basis of ncv = 20 vectors. With ncv=40" in str(
        usual
    )
    assert str(usual).endswith("where an application is expensive.")
    larger = steps(ncv=40)
    assert larger.ncv == 40
    assert larger.applications < 0.9 * usual.applications
    assert "restarted" not in str(steps(ncv=150))


def test_a_report_of_a_failure_says_so():
    with pytest.raises(ka.AdjointNoConvergence) as caught:
        not_converged()
    assert "did NOT converge" in str(caught.value.report)


def test_reports_hold_condition_numbers_and_gauge():
    received = []
    options = ka.Adjoint(callback=received.append, on_gauge="ignore")
    derivative(ka.eigs, jordan(1e-6), lambda w, X: np.real(np.sum(w)), k=2, which="LR", adjoint=options)
    conditions = received[-1].conditions
    assert conditions.shape == (2,)
    assert onp.all((conditions > 100) & (conditions < 2000))  # 1 / (2 √ε), and what U adds
    derivative(ka.eigsh, H, lambda w, X: np.sum(PROFILE * np.real(X[:, 0])), k=2, adjoint=options)
    assert received[-1].gauge[0] > 1e-3
    assert received[-1].gauge[1] == 0


def test_silence(capsys, caplog):
    """on_gauge="ignore" is silent, and nothing is printed or logged above INFO."""
    options = ka.Adjoint(on_gauge="ignore")
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG, logger="krylov_adj"):
        warnings.simplefilter("error")
        for solver, A, loss, arguments in (
            (ka.eigsh, DOUBLE, vectors, {"which": "SA"}),
            (ka.eigsh, DOUBLE, lambda w, X: w[0] + 3 * w[1], {"which": "SA"}),
            (ka.eigsh, H, lambda w, X: np.sum(PROFILE[:, None] * np.real(X)), {}),
        ):
            assert onp.isfinite(derivative(solver, A, loss, k=2, adjoint=options, **arguments))
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize(
    "case", [not_converged, cut_cluster, defective, not_eigenpairs, reads_basis, linear_not_converged]
)
def test_nothing_is_printed(case, capsys):
    assert said(case)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_sparse_forms_say_the_same():
    A = sp.csr_array(onp.where(onp.abs(DOUBLE) > 0, DOUBLE, 0))
    with pytest.raises(ka.AdjointNoConvergence, match="increase k"):
        grad(lambda p: vectors(*ka.eigsh(ka.aslinearoperator(A) + ka.aslinearoperator(S) * p, k=1, which="SA", v0=V0)))(
            0.0
        )
