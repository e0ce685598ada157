"""Eigenpairs with known derivatives; what a loss is multiplied by; sizes of a problem in PyTorch."""

import time
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

from torch.func import grad, hessian, jacrev  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

N = 30


def chain(V, scale=1.0):
    def matvec(x):
        padded = torch.nn.functional.pad(x, (1, 1))
        return 2 * x - padded[:-2] - padded[2:] + V * x

    return scale * kt.eigsh(kt.LinearOperator((N, N), matvec, dtype=V.dtype), k=1, which="SA")[0][0]


def zeros():
    return torch.zeros(N, dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 1e160, 1e-160, 1e250, 1e-250])
def test_the_chain(scale):
    assert abs(chain(zeros(), scale).item() / scale - 0.010261353216210) < 1e-12
    assert abs(grad(chain)(zeros(), scale)[14].item() / scale - 0.064350623335222) < 1e-12
    assert abs(hessian(chain)(zeros(), scale)[14, 14].item() / scale + 0.203333508750) < 1e-12


def test_a_toeplitz_matrix():
    def f(p):
        def matvec(x):
            padded = torch.nn.functional.pad(x, (1, 1))
            return p[1] * x + p[2] * padded[2:] + p[0] * padded[:-2]

        return kt.eigs(kt.LinearOperator((N, N), matvec, dtype=torch.float64), k=1, which="LR")[0][0].real

    p = torch.tensor([1.3, 0.2, 0.8], dtype=torch.float64)
    assert abs(f(p).item() - 2.229143237380) < 1e-10
    np.testing.assert_allclose(grad(f)(p), [0.780439706685, 1, 1.268214523363], atol=1e-10)
    assert abs(hessian(f)(p)[0, 2].item() - 0.487774816678) < 1e-10


def test_a_mass():
    A = torch.diag(torch.arange(1.0, 31.0, dtype=torch.float64))

    def pairs(m):
        return kt.eigsh(A, k=2, M=m * torch.eye(N, dtype=torch.float64), which="LA")

    m = torch.tensor(2.0, dtype=torch.float64)
    np.testing.assert_allclose(jacrev(lambda m: pairs(m)[0])(m), [-7.25, -7.5], atol=1e-10)
    assert abs(grad(lambda m: (pairs(m)[1] ** 4).sum())(m).item() + 0.5) < 1e-10


def test_operators_in_other_units():
    """A = 1e150 A₀ is solved as A₀ is."""

    def f(p):
        A = 1e150 * (torch.diag(torch.arange(1.0, 31.0, dtype=torch.float64)) + p * torch.ones(N, N))
        w, X = kt.eigsh(A, k=2, which="SA")
        return w.sum() / 1e150 + (X[:, 0] ** 4).sum()

    def unscaled(p):
        A = torch.diag(torch.arange(1.0, 31.0, dtype=torch.float64)) + p * torch.ones(N, N)
        w, X = kt.eigsh(A, k=2, which="SA")
        return w.sum() + (X[:, 0] ** 4).sum()

    p = torch.tensor(0.1, dtype=torch.float64)
    assert abs(grad(f)(p) - grad(unscaled)(p)) < 1e-12
    assert abs(hessian(f)(p) - hessian(unscaled)(p)) < 1e-10
    batch = torch.func.vmap(grad(f))(torch.stack([p, p]))
    assert torch.allclose(batch, grad(f)(p).expand(2), rtol=1e-12)


@pytest.mark.slow
def test_a_sparse_matrix_costs_its_entries():
    n = 200_000
    S = sp.diags([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], [-1, 0, 1]).tocsr()
    data = torch.from_numpy(S.data)
    p = torch.ones(S.nnz, dtype=torch.float64, requires_grad=True)
    tracemalloc.start()
    started = time.process_time()
    w = kt.eigsh(kt.csr_array((data * p, S.indices, S.indptr), S.shape), k=2, sigma=0.0)[0].sum()
    forward = time.process_time() - started
    w.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - started - forward < forward
    assert peak < 4000 * n  # a dense matrix has 8 n² bytes
    assert abs(p.grad.sum() - w.detach()) < 1e-12  # homogeneous of degree one
