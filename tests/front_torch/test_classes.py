"""Twelve problem classes × ways of differentiating, against a dense reference."""

from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap  # noqa: E402
from torch_cases import CASES, DIRECTION, P0, Case  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

FIRST, SECOND, THIRD = 1e-8, 1e-7, 1e-6


@cache
def problem(name, n, which):
    case = Case(name, n, which)
    solver = kt.eigsh if case.hermitian else kt.eigs

    def f(p):
        A = kt.LinearOperator((n, n), case.product(p), dtype=case.arrays[0].dtype) if not case.general else case.A(p)
        return case.loss(*solver(A, M=case.M(p), **case.arguments))

    A, M = case.A(torch.from_numpy(P0)), case.M(torch.from_numpy(P0))
    w = solver(A, M=M, **case.arguments)[0]
    return f, case.reference(w.numpy())


def close(found, expected, tol):
    found, expected = np.asarray(found), np.asarray(expected)
    error = np.max(np.abs(found - expected)) / max(1.0, np.max(np.abs(expected)))
    assert error <= tol, error


classes = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}")


def point():
    return torch.from_numpy(P0.copy()), torch.from_numpy(DIRECTION)


@classes
def test_reverse_mode_to_third_order(case):
    f, (value, g, H, third) = problem(*case)
    p, v = point()
    p.requires_grad_()
    out = f(p)
    close(out.detach(), value, FIRST)
    out.backward(retain_graph=True)
    close(p.grad, g, FIRST)
    (found,) = torch.autograd.grad(out, p, create_graph=True)
    close(found.detach(), g, FIRST)
    (h,) = torch.autograd.grad((found * v).sum(), p, create_graph=True)
    close(h.detach(), H @ DIRECTION, SECOND)
    (t,) = torch.autograd.grad((h * v).sum(), p)
    close(t, third, THIRD)


@classes
def test_transforms_of_first_order(case):
    f, (_, g, _, _) = problem(*case)
    p, v = point()
    close(grad(f)(p), g, FIRST)
    close(jvp(f, (p,), (v,))[1], g @ DIRECTION, FIRST)
    batch = torch.stack([p, p])
    close(vmap(grad(f))(batch), np.stack([g, g]), FIRST)


@classes
def test_transforms_of_second_order(case):
    f, (_, g, H, _) = problem(*case)
    p, v = point()
    close(hessian(f)(p), H, SECOND)
    close(jacrev(jacfwd(f))(p), H, SECOND)
    close(grad(lambda p: (grad(f)(p) * v).sum())(p), H @ DIRECTION, SECOND)
    if case[1] == 40:
        close(grad(lambda p: (vmap(grad(f))(torch.stack([p, p])) * v).sum())(p), 2 * H @ DIRECTION, SECOND)
