"""How often does a forward solve return other eigenvalues than those that were asked for?

    python benchmarks/completeness.py [--small]

Laplacians of squares and cubes, whose eigenvalues are known and often multiple, by SciPy's `eigsh` and by a
traced call of ours, from the same random start vectors. A call misses an eigenvalue where its values differ
from the known ones by more than 1e-6 of the largest. All residuals are small all the same. SciPy's figures
depend on rounding, and so on its version and its BLAS.
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import value_and_grad
from autograd.tracer import getval

import krylov_adj as ka


def laplacian(n: int, d: int) -> tuple[sp.csr_array, np.ndarray]:
    """On n^d points, zero on the boundary, and its eigenvalues."""
    one = sp.diags([2 * np.ones(n), -np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1, -1])
    A, w = one, 4 * np.sin(np.pi * np.arange(1, n + 1) / (2 * (n + 1))) ** 2
    values = w
    for _ in range(d - 1):
        A = sp.kron(A, sp.eye(n)) + sp.kron(sp.eye(A.shape[0]), one)
        values = np.add.outer(values, w).ravel()
    return A.tocsr(), np.sort(values)


def ours(A: sp.csr_array, k: int, v0: np.ndarray) -> tuple[np.ndarray, int]:
    """The values of a traced call, and its applications."""
    seen: list[np.ndarray] = []
    reports: list[ka.Report] = []
    explicit = ka.aslinearoperator(A)

    def total(p):
        operator = ka.LinearOperator(A.shape, lambda v: p * explicit.matvec(v), dtype=float)
        w, _ = ka.eigsh(
            operator, k=k, which="SA", v0=v0, adjoint=ka.Adjoint(on_gauge="ignore", callback=reports.append)
        )
        seen.append(getval(w))
        return w.sum()

    value_and_grad(total)(1.0)
    return seen[0], reports[0].applications


def theirs(A: sp.csr_array, k: int, v0: np.ndarray) -> tuple[np.ndarray, int]:
    calls = [0]

    def matvec(v):
        calls[0] += 1
        return A @ v

    operator = spla.LinearOperator(A.shape, matvec, dtype=float)
    return spla.eigsh(operator, k=k, which="SA", v0=v0, maxiter=10**6)[0], calls[0]


def row(name: str, n: int, d: int, k: int, starts: int) -> None:
    A, exact = laplacian(n, d)
    missed, applications = [], []
    for solve in (theirs, ours):
        results = [solve(A, k, np.random.default_rng(seed).standard_normal(n**d)) for seed in range(starts)]
        missed.append(sum(np.max(np.abs(np.sort(w) - exact[:k])) > 1e-6 * exact[k] for w, _ in results))
        applications.append(int(np.median([count for _, count in results])))
    assert missed[1] == 0, name
    wrong = " | ".join(f"{count} of {starts}" for count in missed)
    print(f"| {name} | {n**d} | {k} | {wrong} | {applications[0]} | {applications[1]} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few start vectors, for a quick look")
    starts = 2 if parser.parse_args().small else 12
    print(
        "| Laplacian of | n | k | wrong: SciPy | krylov_adj | applications: SciPy | krylov_adj |\n" + 7 * "|---" + "|"
    )
    for k in (6, 13, 20):
        row("the square", 50, 2, k, starts)
    for k in (4, 11, 17, 20):
        row("the cube", 20, 3, k, starts)


if __name__ == "__main__":
    main()
