"""Singular triplets, left eigenvectors, linear systems, nonlinear problems, given pairs: against dense functions."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

from torch.autograd import functional  # noqa: E402
from torch.func import grad, hessian, jacfwd, jacrev, vmap  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

N, DOUBLE, COMPLEX = 12, torch.float64, torch.complex128


def random(*shape, dtype=DOUBLE, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


POINT = torch.tensor([0.3, 0.5], dtype=DOUBLE)
B, D, W = random(N, N) + torch.diag(3 * torch.arange(N, dtype=DOUBLE)), random(N, N, seed=1), random(N, N, seed=2)
W = W + W.T


def functions_of(A):
    """A as an operator made of a function."""
    return kt.LinearOperator(tuple(A.shape), lambda x: A @ x, dtype=A.dtype)


def check(f, reference, first=1e-10, second=1e-8, batched=True):
    assert abs(f(POINT) - reference(POINT)) <= 1e-10
    g, H = functional.jacobian(reference, POINT), functional.hessian(reference, POINT)
    assert torch.allclose(grad(f)(POINT), g, rtol=first, atol=first)
    assert torch.allclose(hessian(f)(POINT), H, rtol=second, atol=second)
    assert torch.allclose(jacrev(jacfwd(f))(POINT), H, rtol=second, atol=second)
    p = POINT.clone().requires_grad_()
    (found,) = torch.autograd.grad(f(p), p, create_graph=True)
    assert torch.allclose(torch.autograd.grad(found[0], p)[0], H[0], rtol=second, atol=second)
    if batched:
        assert torch.allclose(vmap(grad(f))(torch.stack([POINT, POINT]))[1], g, rtol=first, atol=first)


forms = pytest.mark.parametrize("form", [lambda A: A, functions_of], ids=["dense", "functions"])


@forms
@pytest.mark.parametrize("dtype", [DOUBLE, COMPLEX], ids=["real", "complex"])
@pytest.mark.parametrize("shape", [(12, 8), (8, 12)])
def test_svds(form, dtype, shape):
    parts = [random(*shape, dtype=dtype, seed=seed) for seed in range(3)]
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)

    def loss(u, s, vh):
        return (s * weights).sum() + (torch.conj(u) * (parts[1] @ torch.conj(vh).T)).sum().real

    def matrix(p):
        return parts[0] + p[0] * parts[1] + p[1] ** 2 * parts[2]

    def reference(p):
        u, s, vh = torch.linalg.svd(matrix(p), full_matrices=False)
        return loss(u[:, :3].flip(1), s[:3].flip(0), vh[:3].flip(0))

    check(lambda p: loss(*kt.svds(form(matrix(p)), k=3)), reference)


def test_what_svds_returns():
    A = random(12, 8)
    u, s, vh = kt.svds(A, k=2)
    assert torch.equal(kt.svds(A, k=2, return_singular_vectors=False), s)
    assert kt.svds(A, k=2, return_singular_vectors="u")[2] is None
    assert kt.svds(A, k=2, return_singular_vectors="vh")[0] is None
    A = random(40, 30)
    s = kt.svds(A, k=2, return_singular_vectors=False)
    for solver in ("lobpcg", "propack"):
        assert torch.allclose(kt.svds(A, k=2, solver=solver, maxiter=300)[1].sort()[0], s.sort()[0], rtol=1e-6)
    with pytest.raises(ValueError, match="return_singular_vectors"):
        kt.svds(A, k=2, return_singular_vectors="both")


@forms
@pytest.mark.parametrize("general", [False, True], ids=["standard", "general"])
def test_left_eigenvectors(form, general):
    M0 = torch.eye(N, dtype=DOUBLE) + 0.1 * W @ W.T / N

    def mass(p):
        return M0 + 0.01 * p[1] * W @ W if general else None

    def loss(X, Y):
        return ((X @ torch.conj(Y).T).real * D).sum() + (torch.abs(Y[:, 0]) ** 2).sum()

    def f(p):
        A, M = form(B + p[0] * D), mass(p)
        w, X = kt.eigs(A, k=3, M=M)
        return loss(X, kt.left_eigenvectors(A, w, X, M=M))

    def reference(p):
        M = (mass(p) if general else torch.eye(N, dtype=DOUBLE)).to(COMPLEX)
        w, V = torch.linalg.eig(torch.linalg.solve(M, (B + p[0] * D).to(COMPLEX)))
        V = V[:, torch.argsort(-w.abs())]
        V = V / torch.sqrt((torch.conj(V) * (M @ V)).sum(0).real)
        return loss(V[:, :3], torch.conj(torch.linalg.inv(M @ V)).T[:, :3])

    check(f, reference, 1e-9, 1e-8)


def test_left_eigenvectors_of_pairs_without_derivatives():
    w, X = (t.detach() for t in kt.eigs(B, k=3))

    def f(p, w, X):
        A = B + p * D
        return (torch.abs(kt.left_eigenvectors(A, w, X)[:, 0]) ** 2).sum()

    def attached(p):
        A = B + p * D
        return (torch.abs(kt.left_eigenvectors(A, *kt.eigs(A, k=3))[:, 0]) ** 2).sum()

    zero = torch.zeros((), dtype=DOUBLE)
    assert torch.allclose(grad(f)(zero, w, X), grad(attached)(zero), rtol=1e-9)
    S = B + B.T
    w, X = kt.eigsh(S, k=2)
    assert torch.allclose(kt.left_eigenvectors(S, w, 3 * X, hermitian=True), X / 3)


@pytest.mark.parametrize(
    ("solver", "form"), [(None, "dense"), (None, "functions"), ("gmres", "dense"), ("bicgstab", "functions")]
)
def test_solve(solver, form):
    b = random(N, seed=5)

    def matrix(p):
        return B + p[0] * D + (p[1] ** 2 + 20) * torch.eye(N, dtype=DOUBLE)

    def f(p):
        A = matrix(p) if form == "dense" else functions_of(matrix(p))
        return 1e3 * (kt.solve(A, b * p[0], solver=solver) ** 3).sum()

    check(f, lambda p: 1e3 * (torch.linalg.solve(matrix(p), b * p[0]) ** 3).sum())


def test_solve_takes_blocks_and_complex_numbers():
    A, b = (B + 20 * torch.eye(N, dtype=DOUBLE)).requires_grad_(), random(N, 2, dtype=COMPLEX)
    x = kt.solve(A, b)
    assert torch.allclose(A.to(COMPLEX) @ x, b)
    (torch.abs(x) ** 2).sum().backward()
    found, A.grad = A.grad, None
    (torch.abs(torch.linalg.solve(A.to(COMPLEX), b)) ** 2).sum().backward()
    assert torch.allclose(found, A.grad)
    with pytest.raises(ValueError, match="expected b of shape"):
        kt.solve(A, b[1:])
    with pytest.raises(ValueError, match="solver='lu'"):
        kt.solve(A, b, solver="lu")


C = random(N, N, seed=4)


def quadratic(p, form):
    K = B + p[0] * D

    def T(lam):
        if form == "functions":
            return kt.LinearOperator(
                (N, N), lambda v: lam**2 * v + lam * p[1] * (C.to(v.dtype) @ v) + K.to(v.dtype) @ v, dtype=COMPLEX
            )
        matrix = lam**2 * torch.eye(N, dtype=DOUBLE) + lam * p[1] * C + K
        if form == "dense":
            return matrix
        return kt.csr_array((matrix.reshape(-1), np.tile(np.arange(N), N), np.arange(0, N * N + 1, N)), (N, N))

    return T


def linearised(p):
    """An eigenpair of the problem above, by its linearisation."""
    zero, eye = torch.zeros(N, N, dtype=DOUBLE), torch.eye(N, dtype=DOUBLE)
    companion = torch.cat([torch.cat([zero, eye], 1), torch.cat([-(B + p[0] * D), -p[1] * C], 1)])
    w, V = torch.linalg.eig(companion)
    i = int(torch.argmax(w.imag))
    x = V[:N, i]
    return w[i], x / torch.linalg.vector_norm(x)


@pytest.mark.parametrize("form", ["dense", "functions", "sparse"])
def test_attach_nonlinear(form):
    lam, x = (t.numpy() for t in linearised(POINT))

    def loss(lam, x):
        return lam.real + (torch.conj(x) * (D.to(x.dtype) @ x)).sum().real

    check(
        lambda p: loss(*kt.attach_nonlinear(quadratic(p, form), lam, x)),
        lambda p: loss(*linearised(p)),
        batched=form == "dense",
    )


def test_attach_nonlinear_takes_several_pairs_and_refuses_others():
    lam, x = (t.numpy() for t in linearised(POINT))
    both = kt.attach_nonlinear(quadratic(POINT, "dense"), np.array([lam, lam.conj()]), np.stack([x, x.conj()], 1))
    assert both[0].shape == (2,)
    assert both[1].shape == (N, 2)
    with pytest.raises(ValueError):  # noqa: PT011
        kt.attach_nonlinear(quadratic(POINT, "dense"), lam + 0.1, x)
    with pytest.raises(ValueError, match="does not depend on lam"):
        kt.attach_nonlinear(lambda lam: torch.zeros(N, N, dtype=DOUBLE), 0.0, np.eye(N)[0])


def test_attach_eigenpairs():
    S = B + B.T

    def loss(w, X):
        return w.sum() + (X**4).sum()

    def f(p, **arguments):
        A = S + p[0] * W
        M = torch.diag(1 + p[1] * torch.arange(N, dtype=DOUBLE) / N)
        L = np.linalg.cholesky(M.detach().numpy() if not arguments else M0)
        w, X = np.linalg.eigh(np.linalg.solve(L, np.linalg.solve(L, A0).T))
        X = np.linalg.solve(L.T, X[:, :3])
        return loss(*kt.attach_eigenpairs(A, w[:3], X, M=M, hermitian=True))

    A0 = (S + POINT[0] * W).numpy()
    M0 = np.diag(1 + POINT[1].item() * np.arange(N) / N)

    def solved(p):
        M = torch.diag(1 + p[1] * torch.arange(N, dtype=DOUBLE) / N)
        return loss(*kt.eigsh(S + p[0] * W, k=3, M=M, which="SA"))

    found = grad(lambda p: f(p, given=True))(POINT)
    assert torch.allclose(found, grad(solved)(POINT), rtol=1e-8)
    assert torch.allclose(hessian(lambda p: f(p, given=True))(POINT), hessian(solved)(POINT), rtol=1e-7)


def test_given_vectors_of_unit_length_of_a_pencil():
    S, M = B + B.T, torch.diag(1 + torch.arange(N, dtype=DOUBLE) / N)
    w, X = kt.eigsh(S, k=3, M=M, which="SA")
    X = X / torch.linalg.vector_norm(X, dim=0)

    def f(p):
        return (kt.attach_eigenpairs(S + p * W, w, X, M=M, hermitian=True, normalization="2")[1] ** 4).sum()

    def solved(p):
        X = kt.eigsh(S + p * W, k=3, M=M, which="SA")[1]
        return ((X / torch.linalg.vector_norm(X, dim=0)) ** 4).sum()

    zero = torch.zeros((), dtype=DOUBLE)
    assert torch.allclose(grad(f)(zero), grad(solved)(zero), rtol=1e-8)
    assert torch.allclose(hessian(f)(zero), hessian(solved)(zero), rtol=1e-7)


def test_given_pairs_that_are_none():
    w, X = kt.eigsh(B + B.T, k=2)
    for wrong in ((w + 1, X), (w, 2 * X), (w[:1], X), (w, X * float("nan"))):
        with pytest.raises(ValueError):  # noqa: PT011
            kt.attach_eigenpairs(B + B.T, *wrong, hermitian=True)
