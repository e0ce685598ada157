"""The promises of the package, through PyTorch: warnings, clusters, conjugate pairs, types, forms of operators."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

from torch.func import grad, hessian, jacrev, vmap  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

N, DOUBLE = 30, torch.float64


def random(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


B = random(N, N)
S = B + B.T


# ---- gauge and clusters --------------------------------------------------------------------------


Z0 = random(N, N, dtype=torch.complex128)


def hermitian(p):
    return Z0 + Z0.mH + p * torch.diag(torch.arange(N, dtype=DOUBLE)).to(Z0.dtype)


@pytest.mark.parametrize("transform", [grad, vmap, torch.func.jacrev], ids=["grad", "vmap", "jacrev"])
def test_a_loss_that_reads_a_phase(transform):
    def f(p):
        return kt.eigsh(hermitian(p), k=1, which="SA")[1][0, 0].real

    p = torch.ones((), dtype=DOUBLE)
    with pytest.warns(kt.GaugeWarning):
        vmap(grad(f))(p[None]) if transform is vmap else transform(f)(p)


def test_a_gauge_warning_can_be_an_error_or_silent():
    def f(p, on_gauge):
        return kt.eigsh(hermitian(p), k=1, which="SA", adjoint=kt.Adjoint(on_gauge=on_gauge))[1][0, 0].real

    p = torch.ones((), dtype=DOUBLE)
    with pytest.raises(ValueError, match="phase"):
        grad(f)(p, "raise")
    grad(f)(p, "ignore")


def test_a_canonical_phase_is_legal():
    def f(p, index=None):
        return kt.canonical_phase(kt.eigsh(hermitian(p), k=1, which="SA")[1], index)[1, 0].real

    p, step = torch.ones((), dtype=DOUBLE), 1e-5
    for index in (None, 2):
        difference = (f(p + step, index) - f(p - step, index)) / (2 * step)
        assert abs(grad(f)(p, index) - difference) < 1e-8
        assert torch.isfinite(hessian(f)(p, index))
    with pytest.raises(ValueError, match="have no phase"):
        kt.canonical_phase(torch.zeros(3, 1))


def rotated(values):
    Q = torch.linalg.qr(B)[0]
    return Q @ torch.diag(torch.tensor(values, dtype=DOUBLE)) @ Q.T


def test_a_cut_cluster_is_an_error_that_says_so():
    A0 = rotated([1.0, 1.0, *range(3, N + 1)])

    def f(p):
        return (kt.eigsh(A0 + p * S, k=1, which="SA")[1] ** 4).sum()

    with pytest.raises(kt.AdjointNoConvergence, match="k"):
        grad(f)(torch.zeros((), dtype=DOUBLE))

    def values(p):
        return kt.eigsh(A0 + p * S, k=1, which="SA")[0].sum()

    with pytest.warns(kt.DegeneracyWarning):
        grad(values)(torch.zeros((), dtype=DOUBLE))


def projector(A):
    """That of the two lowest eigenvalues of matrices like those below, by Newton's iteration for the sign."""
    eye = torch.eye(N, dtype=DOUBLE)
    X = (A - 2 * eye) / 20
    for _ in range(40):
        X = 1.5 * X - 0.5 * X @ X @ X
    return 0.5 * (eye - X)


@pytest.mark.parametrize(("gap", "second"), [(1e-2, 1e-10), (1e-5, 1e-8), (1e-8, 1e-5), (1e-11, None), (0.0, 1e-10)])
def test_projectors_of_clusters(gap, second):
    A0, D = rotated([1.0, 1.0 + gap, *range(3, N + 1)]), random(N, N, seed=3)

    def matrix(p):
        return A0 + p[0] * S + p[1] * (D + D.T)

    def f(p):
        X = kt.eigsh(matrix(p), k=2, which="SA")[1]
        return ((X @ X.T) * D).sum()

    def reference(p):
        return (projector(matrix(p)) * D).sum()

    p = torch.zeros(2, dtype=DOUBLE)
    assert torch.allclose(grad(f)(p), torch.autograd.functional.jacobian(reference, p), rtol=1e-8)
    p.requires_grad_()

    def second_derivatives():
        (g,) = torch.autograd.grad(f(p), p, create_graph=True)
        return torch.stack([torch.autograd.grad(g[i], p, retain_graph=True)[0] for i in range(2)])

    if second is None:  # what rounding has left is told
        with pytest.warns(kt.DegeneracyWarning, match="second derivative"):
            second_derivatives()
    else:
        expected = torch.autograd.functional.hessian(reference, p.detach())
        assert torch.allclose(second_derivatives(), expected, rtol=second, atol=second * expected.abs().max().item())


def test_conjugate_pairs():
    """Real matrices: both members of a pair, and one that k has cut, have the derivatives of dense functions."""
    A0 = B

    def reference(p, chosen):
        w, V = torch.linalg.eig(A0 + p * S)
        i = int(torch.argmin(torch.abs(w - chosen)))
        x = V[:, i] / torch.linalg.vector_norm(V[:, i])
        return w[i].imag + (torch.abs(x) ** 4).sum()

    p = torch.zeros((), dtype=DOUBLE)
    w = kt.eigs(A0, k=8, which="LI")[0]
    assert torch.equal(w[0], w[1].conj())

    def member(p, i, k):
        w, X = kt.eigs(A0 + p * S, k=k, which="LI")
        return w[i].imag + (torch.abs(X[:, i]) ** 4).sum()

    for i, k in ((0, 4), (1, 4), (0, 1), (0, 3)):
        expected = torch.autograd.functional.jacobian(lambda p, i=i: reference(p, w[i]), p)
        assert torch.allclose(grad(member)(p, i, k), expected, rtol=1e-9)
        expected = torch.autograd.functional.hessian(lambda p, i=i: reference(p, w[i]), p)
        assert torch.allclose(hessian(member)(p, i, k), expected, rtol=1e-7)


def test_a_defective_eigenvalue_is_an_error():
    A = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]], dtype=DOUBLE, requires_grad=True)
    w = kt.eigs(A, k=3)[0]
    with pytest.raises(kt.DefectiveEigenvalueError):
        w[2].real.backward()


# ---- forms of operators --------------------------------------------------------------------------


def loss(w, X):
    return w.sum() + (X[:, 0] ** 4).sum()


def test_gradients_of_matrices_are_those_of_hermitian_parts():
    A = S.clone().requires_grad_()
    loss(*kt.eigsh(A, k=2, which="SA")).backward()
    assert torch.allclose(A.grad, A.grad.T, rtol=1e-12)
    pattern = sp.csr_array(np.ones((N, N)))
    data = S.reshape(-1).clone().requires_grad_()
    loss(*kt.eigsh(kt.csr_array((data, pattern.indices, pattern.indptr), (N, N)), k=2, which="SA")).backward()
    assert torch.allclose(data.grad.reshape(N, N), A.grad, atol=1e-12)
    Z = S.clone().requires_grad_()
    H = kt.LinearOperator((N, N), lambda x: Z @ x, matmat=lambda X: Z @ X, dtype=DOUBLE)
    loss(*kt.eigsh(H, k=2, which="SA")).backward()
    assert torch.allclose(0.5 * (Z.grad + Z.grad.T), A.grad, atol=1e-12)


def test_operators_with_adjoints_and_blocks():
    def f(p, names=()):
        A = B + p * S
        known = {"rmatvec": lambda x: A.T @ x, "matmat": lambda X: A @ X, "rmatmat": lambda X: A.T @ X}
        given = {name: known[name] for name in names}
        w, X = kt.eigs(kt.LinearOperator((N, N), lambda x: A @ x, dtype=DOUBLE, **given), k=4, which="LM")
        return (torch.abs(w) ** 2).sum() + (torch.abs(X) ** 4).sum()

    p = torch.tensor(0.1, dtype=DOUBLE)
    expected, second = grad(f)(p), hessian(f)(p)
    for names in (("rmatvec",), ("matmat",), ("rmatvec", "matmat", "rmatmat")):
        assert torch.allclose(grad(f)(p, names), expected, rtol=1e-9)
        assert torch.allclose(hessian(f)(p, names), second, rtol=1e-7)

    def wrong(p):
        A = B + p * S
        operator = kt.LinearOperator((N, N), lambda x: A @ x, lambda x: A @ x, dtype=DOUBLE)
        return torch.abs(kt.eigs(operator, k=1)[0]).sum()

    with pytest.raises(ValueError, match="rmatvec"):
        grad(wrong)(p)


def test_sparse_tensors_of_first_order_alone():
    dense = torch.diag(torch.arange(1.0, 31.0, dtype=DOUBLE)) + torch.diag(torch.ones(29, dtype=DOUBLE), 1)
    dense = dense + torch.diag(torch.ones(29, dtype=DOUBLE), -1)
    expected = grad(lambda A: loss(*kt.eigsh(A, k=2, which="SA")))(dense)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PyTorch's sparse tensors are in beta state
        for layout in (torch.sparse_csr, torch.sparse_coo):
            A = dense.to_sparse_csr() if layout == torch.sparse_csr else dense.to_sparse_coo()
            A.requires_grad_()
            out = loss(*kt.eigsh(A, k=2, which="SA"))
            (g,) = torch.autograd.grad(out, A, retain_graph=True)
            assert torch.allclose(g.to_dense(), expected * (dense != 0), atol=1e-10)
            with pytest.raises(NotImplementedError, match="csr_array"):
                torch.autograd.grad(out, A, create_graph=True)


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_csr_arrays_inside_of_transforms(sigma):
    pattern = sp.csr_array((S.abs() > 1).to(DOUBLE).numpy() + np.eye(N))
    rows = np.repeat(np.arange(N), np.diff(pattern.indptr))

    def f(V, sparse):
        entries = S[rows, pattern.indices] * (V[rows] + V[pattern.indices])
        if sparse:
            indices, indptr = torch.from_numpy(pattern.indices), torch.from_numpy(pattern.indptr)
            A = kt.csr_array((entries, indices, indptr), (N, N))
        else:
            A = torch.zeros(N * N, dtype=DOUBLE).index_add(0, torch.from_numpy(rows * N + pattern.indices), entries)
            A = A.reshape(N, N)
        return loss(*kt.eigsh(A, k=2, which="SA" if sigma is None else "LM", sigma=sigma))

    V = torch.linspace(1, 2, N, dtype=DOUBLE)
    assert torch.allclose(grad(f)(V, True), grad(f)(V, False), atol=1e-10)
    assert torch.allclose(hessian(f)(V, True), hessian(f)(V, False), rtol=1e-7, atol=1e-9)
    batch = vmap(grad(lambda V: f(V, True)))(torch.stack([V, 2 * V]))
    assert torch.allclose(batch[0], grad(f)(V, False), atol=1e-10)


def test_csr_arrays_of_complex_entries():
    Z = random(N, N, dtype=torch.complex128)
    pattern = sp.csr_array(np.ones((N, N)))

    def f(z, sparse):
        entries = (Z + z * S).reshape(-1)
        A = kt.csr_array((entries, pattern.indices, pattern.indptr), (N, N)) if sparse else entries.reshape(N, N)
        w, X = kt.eigs(A, k=3)
        return (torch.abs(w) ** 2).sum() + (torch.abs(X) ** 4).sum()

    z = torch.tensor(0.1 + 0.2j, dtype=torch.complex128)
    assert torch.allclose(grad(f)(z, True), grad(f)(z, False), rtol=1e-9)
    z = z.clone().requires_grad_()
    seconds = []
    for sparse in (True, False):
        (g,) = torch.autograd.grad(f(z, sparse), z, create_graph=True)
        seconds.append(torch.autograd.grad(g.real, z)[0])
    assert torch.allclose(*seconds, rtol=1e-7)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda: kt.csr_array((torch.ones(2), [0, 5], [0, 1, 2]), (2, 2)), ValueError, "column indices"),
        (lambda: kt.csr_array((torch.ones(2), [0.5, 1.0], [0, 1, 2]), (2, 2)), TypeError, "integers"),
        (lambda: kt.csr_array((torch.ones(3), [0, 1], [0, 1, 2]), (2, 2)), ValueError, "3 data"),
        (lambda: kt.csr_array((torch.ones(2, 2), [0, 1], [0, 1, 2]), (2, 2)), ValueError, "dimension"),
        (lambda: kt.csr_array(torch.ones(2), (2, 2)), TypeError, "expected"),
        (lambda: kt.LinearOperator((2, 2), None), TypeError, "callable"),
        (lambda: kt.LinearOperator((2, 2), abs, dtype=torch.float16), TypeError, "float16"),
        (lambda: kt.eigsh("A"), TypeError, "is a str"),
        (lambda: kt.eigsh(torch.ones(3)), ValueError, "two dimensions"),
        (lambda: kt.eigsh(torch.ones(3, 2)), ValueError, "square"),
        (lambda: kt.eigsh(S, M=torch.eye(3, dtype=DOUBLE)), ValueError, "wrong M dimensions"),
        (lambda: kt.eigsh(S, k=2, adjoint="gmres"), TypeError, "Adjoint"),
        (lambda: kt.eigsh(B, k=2), ValueError, "Hermitian"),
        (lambda: kt.eigsh(S, k=2, which="XX"), ValueError, "which"),
        (lambda: kt.eigsh(S, k=0), ValueError, "k"),
        (lambda: kt.eigsh(spla.aslinearoperator(S.numpy()), k=2), TypeError, "LinearOperator"),
        (lambda: kt.eigsh(S, k=2, nonsense=1), TypeError, "nonsense"),
    ],
)
def test_bad_arguments(given, error, message):
    with pytest.raises(error, match=message):
        given()


def test_arguments_are_those_of_scipy():
    M = torch.diag(torch.linspace(1, 2, N, dtype=DOUBLE))
    w, X = kt.eigsh(S, 3, M, 0.5, "LM", np.ones(N))
    expected = spla.eigsh(S.numpy(), 3, M.numpy(), 0.5, "LM", np.ones(N))[0]
    np.testing.assert_allclose(w, expected, rtol=1e-10)
    only = kt.eigsh(S, 3, M, 0.5, v0=torch.ones(N), return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(only), np.sort(expected), rtol=1e-10)
    inverse = torch.linalg.inv(S - 0.5 * torch.eye(N, dtype=DOUBLE))
    for OPinv in (inverse, inverse.numpy(), kt.LinearOperator((N, N), lambda x: inverse @ x, dtype=DOUBLE)):
        w = kt.eigsh(S, 2, sigma=torch.tensor(0.5), OPinv=OPinv)[0]
        np.testing.assert_allclose(w, spla.eigsh(S.numpy(), 2, sigma=0.5)[0], rtol=1e-10)
    # Matrices of NumPy and SciPy are constants beside tensors.
    p = torch.ones(N, dtype=DOUBLE, requires_grad=True)
    kt.eigsh(torch.diag(p) + S, k=2, M=sp.csr_array(M.numpy()), which="SA")[0].sum().backward()
    found, p.grad = p.grad, None
    kt.eigsh(torch.diag(p) + S, k=2, M=M, which="SA")[0].sum().backward()
    assert torch.allclose(found, p.grad, rtol=1e-10)
    assert kt.eigsh(sp.csr_array(S.numpy()), k=2)[0].dtype == DOUBLE


def test_buckling():
    A, M = S @ S + torch.eye(N, dtype=DOUBLE), torch.diag(torch.linspace(1, 2, N, dtype=DOUBLE))

    def f(p):
        w, X = kt.eigsh(A + p * S, k=2, M=M, sigma=1.0, mode="buckling")
        return w.sum() + (X**4).sum()

    p, step = torch.zeros((), dtype=DOUBLE), 1e-6
    assert torch.allclose(grad(f)(p), (f(p + step) - f(p - step)) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision_stays(dtype):
    A = (random(N, N, dtype=torch.complex128) if dtype.is_complex else B).to(dtype)
    A = (A + A.mH).requires_grad_()
    w, X = kt.eigsh(A, k=2, which="SA")
    assert (w.dtype, X.dtype) == (torch.float32, dtype)
    (g,) = torch.autograd.grad(w.sum() + (torch.abs(X) ** 4).sum(), A, create_graph=True)
    assert g.dtype == dtype
    assert torch.autograd.grad((torch.abs(g) ** 2).sum(), A)[0].dtype == dtype
    w, X = kt.eigs(A.detach(), k=2)
    assert (w.dtype, X.dtype) == (torch.complex64, torch.complex64)


def test_jacobians_row_by_row():
    def f(V):
        return kt.eigsh(torch.diag(V) + S, k=3, which="SA")[0]

    V = torch.zeros(N, dtype=DOUBLE)
    X = kt.eigsh(S, k=3, which="SA")[1]
    assert torch.allclose(jacrev(f)(V), (X**2).T, atol=1e-12)


def test_an_rng_is_drawn_from_once():
    first, second = (kt.eigsh(S, k=2, rng=np.random.default_rng(4))[1] for _ in range(2))
    assert torch.equal(first, second)
    state = torch.random.get_rng_state()
    kt.eigsh(S, k=2, rng=3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_reports_come_to_the_callback():
    reports = []
    A = S.clone().requires_grad_()
    w, X = kt.eigsh(A, k=2, adjoint=kt.Adjoint(callback=reports.append))
    (X**4).sum().backward()
    assert [report.stage for report in reports] == ["forward", "adjoint"]


def test_the_package_alone_imports_no_framework():
    code = (
        "import sys, krylov_adj; krylov_adj.eigsh; assert 'torch' not in sys.modules; "
        "import krylov_adj.torch; assert 'torch' in sys.modules and 'krylov_adj.autograd.eigen' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
