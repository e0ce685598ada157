"""The cost of the search for eigenvalues that k has cut or the forward solve missed.

    python benchmarks/search_cost.py [--small]

For each problem the gradient of a loss of the k eigenvalues: applications of the inverse (with sigma) or of the
operator (without), of the traced forward call, of the adjoint, and of the search, which every derivative makes once
for a call (`Report.search_solves`, `Report.search_applications`); what the search cost over the forward call; and how
far it went. No cluster is cut here; where one is, what k has cut is computed, which takes more.
"""

from __future__ import annotations

import argparse
from typing import Any

import autograd.numpy as anp
import models
import numpy as np
import scipy.sparse as sp
from autograd import grad

import krylov_adj as ka


def row(name: str, A: Any, M: Any = None, k: int = 6, hermitian: bool = True, free: bool = False, **arguments) -> None:
    n, reports = A.shape[0], list[ka.Report]()
    explicit, rng = ka.aslinearoperator(A), np.random.default_rng(0)
    D = ka.aslinearoperator(sp.diags(rng.standard_normal(n)).tocsr())
    operator = ka.LinearOperator(A.shape, explicit.matvec, matmat=explicit.matmat, dtype=A.dtype) if free else explicit
    solver, v0 = ka.eigsh if hermitian else ka.eigs, rng.standard_normal(n).astype(A.dtype)

    def f(p):
        options = ka.Adjoint(callback=reports.append)
        w, _ = solver(operator + D * p, k=k, M=M, v0=v0, adjoint=options, **arguments)
        return anp.sum(anp.real(w) * np.arange(1, k + 1))

    grad(f)(0.0)
    forward, adjoint = reports[0], [report for report in reports if report.stage == "adjoint"]
    if "sigma" in arguments:
        counts = forward.solves, sum(r.solves for r in adjoint), sum(r.search_solves for r in adjoint)
    else:
        counts = (
            forward.applications,
            sum(r.applications for r in adjoint),
            sum(r.search_applications for r in adjoint),
        )
    cells = name, n, k, forward.method, *counts, f"{counts[2] / counts[0]:.2f}", adjoint[0].completeness
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    small = parser.parse_args().small
    print(
        "| problem | n | k | forward by | forward | adjoint | search | search / forward | the report says |\n"
        + 9 * "|---"
        + "|"
    )
    for n in (30,) if small else (60, 100):
        row("Hofstadter interior, complex, sigma", models.hofstadter(n), sigma=0.37)
        for peclet in (20, 200, 1000):
            A = models.advection_diffusion(n, peclet)
            row(f"advection-diffusion Pe {peclet}, sigma", A, hermitian=False, sigma=0.0)
        K, M = models.finite_elements(n, 6 * n // 10)
        row("finite elements K x = w M x, sigma", K, M, sigma=-0.1)
    A, M = models.random_pencil(400 if small else 1500)
    row("random pencil, not Hermitian, sigma", A, M, k=5, hermitian=False, sigma=0.7)
    for n in (30,) if small else (30, 60):
        row("Schrödinger, no inverse", models.schroedinger(n), free=True, which="SA", maxiter=10**5)
        row("Hofstadter, lowest, no inverse", models.hofstadter(n), free=True, which="SA", maxiter=10**5)
        A = models.advection_diffusion(n, 20)
        row("advection-diffusion Pe 20, no inverse", A, hermitian=False, free=True, which="SR", maxiter=10**5)
        K, M = models.finite_elements(n, 6 * n // 10)
        row("finite elements K x = w M x, largest", K, M)


if __name__ == "__main__":
    main()
