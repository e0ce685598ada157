"""The forward call with ``sigma``: SuperLU's ordering for symmetric patterns against SciPy's default.

    python benchmarks/symmetric_ordering.py [--small]

Each row: fill and processor time of the same ARPACK call (medians of alternating runs), with the
factors that traced calls use over SciPy's own, and the largest residual of the eigenpairs,
relative to max|A|, of both. "Refined" rows are indefinite: every solve has a step of refinement.
"""

from __future__ import annotations

import argparse
from unittest import mock

import models
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from adjoint_cost import median_times

from krylov_adj.krylov.factors import factorise


def row(name: str, A, M, sigma: complex, solver: str, k: int = 6) -> None:
    n = A.shape[0]
    v0 = np.random.default_rng(0).standard_normal(n)
    function, splu = getattr(spla, solver), spla.splu
    factors: list = []

    def record(*args, **kwargs):
        factors.append(splu(*args, **kwargs))
        return factors[-1]

    def theirs():
        return function(A, k, M, sigma=sigma, v0=v0)

    def ours():
        apply, _, dtype = factorise(A, M, sigma, function is spla.eigsh)
        return function(A, k, M, sigma=sigma, v0=v0, OPinv=spla.LinearOperator(A.shape, apply, dtype=dtype))

    residuals = []
    with mock.patch.object(spla, "splu", record):
        for solve in (theirs, ours):
            w, X = solve()
            R = A @ X - (X if M is None else M @ X) * w
            residuals.append(np.max(np.linalg.norm(R, axis=0) / np.linalg.norm(X, axis=0)) / abs(A).max())
        factorise(A, M, sigma)
        fill = factors[-1].nnz
    assert residuals[1] < max(10 * residuals[0], 1e-11), (name, residuals)
    default = splu((A - sigma * (sp.identity(n) if M is None else M)).tocsc()).nnz
    t = median_times([theirs, ours], repeat=5)
    print(
        f"{name:40s} {n:7d}  {fill / default:5.2f}  {t[1] / t[0]:5.2f}   {residuals[0]:.0e}  {residuals[1]:.0e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    small = parser.parse_args().small
    n = 30 if small else 100
    print(f"{'problem':40s} {'n':>7s}   fill   time   residuals: SciPy, ours")
    for size in (30,) if small else (100, 200):
        row("Schrödinger, sigma = 0", models.schroedinger(size), None, 0.0, "eigsh")
    row("finite elements K x = w M x, k = 10", *models.finite_elements(n, 6 * n // 10), -0.1, "eigsh", 10)
    D = models.schroedinger(n)
    row("Schrödinger, interior (refined)", D, None, float(D.diagonal().mean()) / 4, "eigsh")
    row("Hofstadter interior, complex (refined)", models.hofstadter(n), None, 0.37, "eigsh")
    for peclet in (20, 1000):
        row(f"advection-diffusion Pe {peclet}", models.advection_diffusion(n, peclet), None, 0.0, "eigs")
    row("random pencil (no symmetric pattern)", *models.random_pencil(15 * n), 0.7, "eigs")


if __name__ == "__main__":
    main()
