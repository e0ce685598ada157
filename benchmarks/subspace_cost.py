"""Costs of derivatives of invariant subspaces, relative to the forward solve: counts, no times.

    python benchmarks/subspace_cost.py [--small]

Applications of the inverse (with sigma) or of the operator: of the traced forward call, of the adjoint of a loss of X
and H, and of one of H alone. Every row asserts its gradient against differences of the loss, that a loss of H alone of
a Hermitian problem takes no solve, and that with sigma the adjoint costs at most 0.8 of the forward solve; in the last
row, which has a Jordan block of order two among the eigenvalues and takes two stages of systems, at most as much.
"""

from __future__ import annotations

import argparse
from typing import Any

import autograd.numpy as np
import models
import numpy as onp
import scipy.sparse as sp
from autograd import grad

import krylov_adj as ka


def row(name: str, A: Any, k: int, hermitian: bool, stages: int = 1, **where: Any) -> None:
    n = A.shape[0]
    rng = onp.random.default_rng(0)
    reports: list[ka.Report] = []
    options = ka.Adjoint(callback=reports.append)
    v0 = rng.standard_normal(n).astype(A.dtype)
    diagonal = rng.standard_normal(n) * abs(A).max() / 100
    D = ka.diags_array([diagonal], offsets=[0])
    probe = rng.standard_normal((3, n)) / n**0.5

    def of_h(p, adjoint=options):
        operator = ka.aslinearoperator(A) + p * D
        space = ka.invariant_subspace(operator, k, hermitian=hermitian, v0=v0, adjoint=adjoint, **where)
        return np.real(np.trace(space.H @ space.H)), space

    def of_both(p, adjoint=options):
        square, (X, H) = of_h(p, adjoint)
        K = np.dot(probe, X)
        return square + np.real(np.sum(np.dot(K, H) * np.conj(K)))

    unit, counts, errors = "solves" if "sigma" in where else "applications", [], []
    for loss in (of_both, lambda p, adjoint=options: of_h(p, adjoint)[0]):
        reports.clear()
        gradient = float(grad(loss)(0.0))
        forward, adjoint = reports[0], reports[1:]
        assert all(report.converged for report in adjoint)
        counts.append([sum(getattr(report, unit) for report in part) for part in ([forward], adjoint)])
        if len(counts) == 1:
            method = adjoint[0].method
        quiet = ka.Adjoint()
        differences = [(loss(s, quiet) - loss(-s, quiet)) / (2 * s) for s in (1e-3, 5e-4)]
        expected = (4 * differences[1] - differences[0]) / 3
        errors.append(abs(gradient - expected) / abs(expected))
        assert errors[-1] < 1e-5, (name, gradient, expected)
    (forward_count, both), (_, alone) = counts
    if hermitian:
        assert alone == 0, (name, alone)
    if "sigma" in where:
        assert max(both, alone) <= (0.8 if stages == 1 else 1.0) * forward_count, (name, counts)
    print(
        f"| {name} | {n} | {k} | {forward.method} | {forward_count} | {method} "
        f"| {both / forward_count:.2f} ({both}) | {alone / forward_count:.2f} ({alone}) | {max(errors):.0e} |",
        flush=True,
    )


def with_jordan_block(A: sp.csr_array, eigenvalue: float) -> sp.csr_array:
    """A beside a Jordan block of order two, to which it is coupled."""
    coupling = onp.random.default_rng(1).standard_normal((2, A.shape[0])) * abs(A).max() / 100
    block = sp.csr_array(onp.array([[eigenvalue, abs(A).max() / 10], [0.0, eigenvalue]]))
    return sp.csr_array(sp.bmat([[block, sp.csr_array(coupling)], [None, A]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    small = parser.parse_args().small
    n = 24 if small else 80
    print(
        "| problem | n | k | forward by | forward | adjoint by | loss of X and H: adjoint / forward "
        "| loss of H alone | gradient against differences |\n" + 9 * "|---" + "|"
    )
    row("Schrödinger, sigma", models.schroedinger(n), 6, True, sigma=0.0)
    row("Schrödinger, no inverse", models.schroedinger(n), 6, True, which="SA")
    row("Hofstadter interior, complex, sigma", models.hofstadter(n), 6, True, sigma=0.37)
    row("advection-diffusion Pe 20, sigma", models.advection_diffusion(n, 20), 6, False, sigma=0.0)
    row("advection-diffusion Pe 200, sigma", models.advection_diffusion(n, 200), 6, False, sigma=0.0)
    row("advection-diffusion Pe 20, no inverse", models.advection_diffusion(n, 20), 6, False, which="SR", ncv=40)
    plain = models.advection_diffusion(n, 20)
    row("a Jordan block beside it, sigma", with_jordan_block(plain, 30.0), 6, False, stages=2, sigma=3.0)


if __name__ == "__main__":
    main()
