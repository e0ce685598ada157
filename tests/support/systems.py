"""Linear systems A(p) x = b(p) for the tests of `solve`, in every form, and what they are compared with."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp

import krylov_adj as ka
from krylov_adj.krylov import linear_system

N, M = 12, 2
P = onp.array([0.3, -0.2])
D = onp.array([0.7, -1.1])


def random(seed, shape, dtype):
    rng = onp.random.default_rng(seed)
    values = rng.normal(size=shape)
    return values + 1j * rng.normal(size=shape) if dtype is complex else values


def problem(kind, dtype):
    """A₀, A₁, A₂ with A(p) = A₀ + sin(p₀) A₁ + p₁² A₂, and b₀, b₁ with b(p) = b₀ + p₁ b₁."""
    A = random(1, (3, N, N), dtype) / onp.sqrt(N)
    if kind == "definite":
        A = [(S @ S.conj().T + 0.3 * onp.eye(N)) for S in A]
    elif kind == "indefinite":
        A = [S + S.conj().T for S in A]
        A[0] = A[0] + onp.diag(3.0 * (-1.0) ** onp.arange(N))
    else:  # far from normal: a strong upper triangle
        A = [onp.triu(2 * S, 1) + 0.2 * S for S in A]
        A[0] = A[0] + 3 * onp.eye(N)
    return list(A), random(2, (2, N, M), dtype)


def operator(A, p, form):
    coefficients = (1.0, np.sin(p[0]), p[1] ** 2)
    if form == "dense":
        return A[0] + A[1] * coefficients[1] + A[2] * coefficients[2]
    if form == "algebra":
        S = [ka.aslinearoperator(sp.csr_array(a)) for a in A]
        return S[0] + S[1] * coefficients[1] + S[2] * coefficients[2]
    return ka.LinearOperator(
        (N, N), lambda v: sum(c * np.dot(a, v) for c, a in zip(coefficients, A, strict=True)), dtype=A[0].dtype
    )


WEIGHT = onp.linspace(0.5, 1.5, N)[:, None] * onp.array([1.0, -0.6])


def loss_of(x):
    return np.sum(WEIGHT * np.abs(x) ** 2) + np.sum(np.real(x) ** 3) + np.sum(np.imag(x * (1 + 0.5j)))


SUITABLE = {
    "direct": ("definite", "indefinite", "non-normal"),
    "gmres": ("definite", "indefinite", "non-normal"),
    "minres": ("definite", "indefinite"),
    "cg": ("definite",),
    "bicgstab": ("definite", "non-normal"),
    "gcrot": ("definite", "indefinite", "non-normal"),
}
CASES = [
    pytest.param(solver, kind, dtype, form, id=f"{solver}-{kind}-{dtype.__name__}-{form}")
    for solver, kinds in SUITABLE.items()
    for kind in kinds
    for dtype in (float, complex)
    for form in ("dense", "algebra", "closure")
    if not (solver == "direct" and form == "closure")
]


def losses(solver, kind, dtype, form, rtol=1e-13):
    """The loss by `solve`, and by NumPy's dense solve."""
    A, b = problem(kind, dtype)
    return (
        lambda p: loss_of(ka.solve(operator(A, p, form), b[0] + p[1] * b[1], solver=solver, rtol=rtol)),
        lambda p: loss_of(np.linalg.solve(operator(A, p, "dense"), b[0] + p[1] * b[1])),
    )


def difference(f, p, direction, h=2e-3):
    """Central differences at h and h/2, extrapolated."""
    central = [(f(p + s * direction) - f(p - s * direction)) / (2 * s) for s in (h, h / 2)]
    return (4 * central[1] - central[0]) / 3


def record_reports(monkeypatch):
    """The reports of all solves from now on, as they are logged."""
    found = []
    monkeypatch.setattr(linear_system.logger, "info", lambda text, report: found.append(report))
    return found
