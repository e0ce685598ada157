"""Kinds of problems: types of A and M, modes, units, all pairs. Against differences, at first and second order."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

from torch.func import grad, hessian, vmap  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

N, DOUBLE, COMPLEX = 24, torch.float64, torch.complex128
GENERATOR = torch.Generator().manual_seed(0)


def random(*shape, dtype=DOUBLE):
    return torch.randn(*shape, dtype=dtype, generator=GENERATOR)


A0, A1, Z = random(N, N) + 2 * torch.diag(torch.arange(N, dtype=DOUBLE)), random(N, N), random(N, N, dtype=COMPLEX)
H0, H1, D, EYE = A0 + A0.T, A1 + A1.T, random(N), torch.eye(N, dtype=DOUBLE)
M0, COMPLEX_M = EYE + 0.1 * A1 @ A1.T / N, EYE + 0.1 * Z @ Z.mH / N
COMPLEX_H = Z + Z.mH + torch.diag(4 * torch.arange(N, dtype=DOUBLE)).to(COMPLEX)
POINT = torch.tensor([0.3, 0.2], dtype=DOUBLE)


def functions_of(A):
    return kt.LinearOperator(tuple(A.shape), lambda x: A @ x, dtype=A.dtype)


def diagonal(data):
    return kt.csr_array((data, np.arange(N), np.arange(N + 1)), (N, N))


def rescaled(pairs, of_values, of_vectors=1.0):
    return pairs[0] * of_values, pairs[1] * of_vectors


def triplets(A, factor):
    u, s, _ = kt.svds(A, k=3)
    return s * factor, u


KINDS = {
    "real A, complex M": lambda p: kt.eigsh(H0 + p[0] * H1, k=3, M=COMPLEX_M + p[1] * EYE, which="SA"),
    "complex A, real M": lambda p: kt.eigsh(COMPLEX_H + p[0] * H1, k=3, M=M0 + p[1] * EYE, which="SA"),
    "general, complex M": lambda p: kt.eigs(A0 + p[0] * A1, k=3, M=COMPLEX_M + p[1] * EYE),
    "general, functions": lambda p: kt.eigs(functions_of(A0 + p[0] * A1), k=3, M=M0 + p[1] * EYE),
    "M that is no inner product": lambda p: kt.eigs(A0 + p[0] * A1, k=3, M=A1 + 4 * EYE + p[1] * A0, sigma=0.1),
    "sigma": lambda p: kt.eigsh(H0 + p[0] * H1, k=3, M=M0 + p[1] * EYE, sigma=0.1),
    "sparse M": lambda p: kt.eigsh(
        H0 + p[0] * H1, k=3, M=diagonal(1 + p[1] * torch.arange(N, dtype=DOUBLE) / N), sigma=0.3
    ),
    "buckling": lambda p: kt.eigsh(
        H1 @ H1 + EYE + p[0] * torch.diag(D**2), k=3, M=H0 + p[1] * H1, sigma=1.0, mode="buckling"
    ),
    "cayley": lambda p: kt.eigsh(H0 + p[0] * H1, k=3, M=M0 + p[1] * EYE, sigma=0.1, mode="cayley"),
    "other units of A and M": lambda p: rescaled(
        kt.eigsh(1e100 * (H0 + p[0] * H1), k=3, M=1e-100 * (M0 + p[1] * EYE), which="SA"), 1e-200, 1e-50
    ),
    "other units, general": lambda p: rescaled(kt.eigs(1e-120 * (A0 + p[0] * A1 + p[1] * H1), k=3), 1e120),
    "other units, triplets": lambda p: triplets(1e-120 * (A0 + p[0] * A1 + p[1] * H1), 1e120),
    "all pairs": lambda p: kt.eigsh(H0 + p[0] * H1 + p[1] * torch.diag(D), k=N),
    "all pairs, general": lambda p: kt.eigs(A0 + p[0] * A1 + p[1] * torch.diag(D), k=N),
    "values alone": lambda p: (
        kt.eigs(A0 + p[0] * A1 + p[1] * torch.diag(D), k=4, return_eigenvectors=False),
        torch.ones(N, 1, dtype=DOUBLE),
    ),
}


def differences(f):
    """The derivatives of f (of arrays, too) at the point, of fourth order."""
    rows = []
    for direction in torch.eye(2, dtype=DOUBLE):
        at = [f(POINT + s * 1e-4 * direction) for s in (2, 1, -1, -2)]
        rows.append((8 * (at[1] - at[2]) - (at[0] - at[3])) / 12e-4)
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_against_differences(kind):
    def f(p):
        w, X = KINDS[kind](p)
        return (torch.abs(w) ** 2).sum() + (D[:, None] * torch.abs(X) ** 2).sum()

    g, H = grad(f)(POINT), hessian(f)(POINT)
    assert torch.allclose(g, differences(f), rtol=0, atol=1e-8 * g.abs().max().item())
    assert torch.allclose(H, differences(grad(f)), rtol=0, atol=1e-8 * H.abs().max().item())
    p = POINT.clone().requires_grad_()
    (first,) = torch.autograd.grad(f(p), p, create_graph=True)
    (second,) = torch.autograd.grad(first[0], p)
    assert torch.allclose(second, H[0], rtol=0, atol=1e-10 * H.abs().max().item())
    batch = vmap(grad(f))(torch.stack([POINT, POINT + 0.1]))
    assert torch.allclose(batch[0], g, rtol=1e-10)
