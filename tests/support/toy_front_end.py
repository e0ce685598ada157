"""A front end for a toy framework: NumPy, and derivative rules by hand. Nothing of autograd is imported.

A rule is (results, vjp): ``vjp`` takes cotangents of the results and returns those of the arguments, with
df = Re Σ conj(g) dz. Run as a script by `test_front_end.py`, in a process that cannot import autograd.
"""

import sys

import numpy as np

from krylov_adj.forward.operands import value_operator
from krylov_adj.forward.request import Request
from krylov_adj.forward.solve import solve_eigenproblem, solve_nonlinear, solve_triplets
from krylov_adj.forward.triplets import TripletRequest

# ---- standard problems --------------------------------------------------------------------------


def eigenpairs(A, k, hermitian, M=None, **arguments):
    request = Request(k, hermitian, **{"v0": np.ones(len(A)), **arguments})
    operators = [None if matrix is None else value_operator(matrix, hermitian, "A") for matrix in (A, M)]
    pairs, maps = solve_eigenproblem(request, *operators)
    w, X = pairs.w, pairs.X

    def vjp(gw, gX):
        W, sigma = maps.adjoint(gw, gX)
        gA = like(A, W @ X.conj().T, hermitian)
        return gA if M is None else (gA, cotangent_of_mass(M, pairs, W, sigma, hermitian))

    return (w, X), vjp


def like(matrix, g, hermitian):
    g = 0.5 * (g + g.conj().T) if hermitian else g
    return g if np.iscomplexobj(matrix) else g.real


# ---- generalised problems -----------------------------------------------------------------------


def cotangent_of_mass(M, pairs, W, sigma, hermitian):
    w, X = pairs.w, pairs.X
    g = -W @ (X * w).conj().T
    if pairs.normalization == "M":
        g -= 0.5 * X @ sigma @ X.conj().T
    return like(M, g, hermitian or pairs.normalization == "M")


# ---- singular triplets --------------------------------------------------------------------------


def triplets(A, k, **arguments):
    request = TripletRequest(k, **{"v0": np.ones(min(A.shape)), **arguments})
    (U, s, V), maps = solve_triplets(request, value_operator(A, False, "A"))

    def vjp(gU, gs, gV):
        W, _ = maps.adjoint(gs, np.sqrt(2) * np.concatenate([gU, gV]))
        return like(A, (W[: len(U)] @ V.conj().T + U @ W[len(U) :].conj().T) / np.sqrt(2), False)

    return (U, s, V), vjp


# ---- nonlinear problems T(λ) x = 0 --------------------------------------------------------------


def nonlinear(T, slope, lam, x):
    """T(λ, p) and dT/dλ are matrices; the cotangent is that of the matrix T."""
    maps = solve_nonlinear(value_operator(T, False, "T"), lam, x, -slope @ x)

    def vjp(glam, gx):
        W, _ = maps.adjoint(np.array([glam]), gx[:, None])
        return W @ x[:, None].conj().T

    return (lam, x), vjp


# ---- checks against differences -----------------------------------------------------------------

N, STEP = 12, 1e-4


def random(*shape, complex_=False, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if complex_ else 0)


def agrees(loss, gradient, matrices, hermitian, tol=1e-7):
    """Whether gradients in all matrices are those of differences along random directions."""
    for i, (matrix, g) in enumerate(zip(matrices, gradient, strict=True)):
        D = random(*matrix.shape, complex_=np.iscomplexobj(matrix), seed=9)
        D = D + D.conj().T if hermitian or i else D  # a mass stays Hermitian
        moved = [loss(*(m + s * STEP * D if i == j else m for j, m in enumerate(matrices))) for s in (2, 1, -1, -2)]
        expected = (8 * (moved[1] - moved[2]) - (moved[0] - moved[3])) / (12 * STEP)
        found = np.sum(g.conj() * D).real
        assert abs(found - expected) <= tol * max(1, abs(expected)), (found, expected)


def check_eigenpairs(hermitian, complex_, generalised, complex_mass=False, **arguments):
    A = random(N, N, complex_=complex_) + np.diag(3.0 * np.arange(N))
    A = A + A.conj().T if hermitian else A
    B = random(N, N, complex_=complex_ or complex_mass, seed=1)
    matrices = (A, np.eye(N) + 0.1 * B @ B.conj().T) if generalised else (A,)
    weights, form = random(2, seed=2), random(N, N, complex_=np.iscomplexobj(B), seed=3)
    form = form + form.conj().T

    def loss(*matrices):
        w, X = eigenpairs(matrices[0], 2, hermitian, *matrices[1:], **arguments)[0]
        return np.sum(weights * w.real) + np.sum((X.conj() * (form @ X)).real)  # which reads no phase

    (w, X), vjp = eigenpairs(matrices[0], 2, hermitian, *matrices[1:], **arguments)
    g = vjp(weights.astype(w.dtype), 2 * form @ X)
    agrees(loss, g if generalised else (g,), matrices, hermitian)


def check_triplets(complex_):
    A = random(N, 8, complex_=complex_)
    weights, form = random(2, seed=2), random(N, 8, complex_=complex_, seed=3)

    def loss(A):
        U, s, V = triplets(A, 2)[0]
        return np.sum(weights * s) + np.sum((U.conj() * (form @ V)).real)

    (U, s, V), vjp = triplets(A, 2)
    agrees(loss, (vjp(form @ V, weights, form.conj().T @ U),), (A,), False)


def check_nonlinear():
    """λ² I + λ C + K, by its linearisation; the eigenvalue and a form of its vector."""
    C, K, form = random(N, N), random(N, N, seed=1) + np.diag(np.arange(N)), random(N, N, seed=2)
    eye, zero = np.eye(N), np.zeros((N, N))

    def solve(K):
        w, Z = np.linalg.eig(np.block([[zero, eye], [-K, -C]]))
        i = np.argmax(w.imag)
        x = Z[:N, i]
        return w[i], x / np.linalg.norm(x)

    def loss(K):
        lam, x = solve(K)
        return lam.real + (x.conj() @ form @ x).real

    lam, x = solve(K)
    _, vjp = nonlinear(lam**2 * eye + lam * C + K, 2 * lam * eye + C, lam, x)
    agrees(loss, (vjp(1.0, (form + form.T) @ x).real,), (K,), False)


CHECKS = {
    **{
        f"eigenpairs {kind} {field}": (check_eigenpairs, kind == "hermitian", field == "complex", False)
        for kind in ("hermitian", "general")
        for field in ("real", "complex")
    },
    "generalised hermitian": (check_eigenpairs, True, False, True),
    "generalised general": (check_eigenpairs, False, True, True),
    "complex mass": (check_eigenpairs, True, False, True, True),
    "triplets real": (check_triplets, False),
    "triplets complex": (check_triplets, True),
    "nonlinear": (check_nonlinear,),
}

if __name__ == "__main__":
    for name, (check, *given) in CHECKS.items():
        check(*given)
        print(name)
    loaded = sorted(name for name in sys.modules if name.startswith(("autograd.", "krylov_adj.autograd")))
    assert not loaded, loaded
