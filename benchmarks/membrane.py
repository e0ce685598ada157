"""The generalised gradient of a double eigenvalue with a million unknowns and a million parameters.

    python benchmarks/membrane.py [--small]

The square membrane −Δ + diag(p) on N × N points at p = 0, whose second eigenvalue is double: modes (1, 2) and (2, 1).
`invariant_subspace` with sigma finds its space; a loss of H alone needs no further solve. Known are S*(Y) for Y = E₁₁,
(E₁₂ + E₂₁)/√2, E₂₂, which are x₁², √2 x₁x₂ and x₂² of the modes, and the norm of the smallest element of the
generalised gradient, √1.625/(N + 1).
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np
import scipy.sparse as sp

import krylov_adj as ka


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="N = 100 in place of 1000")
    N = 100 if parser.parse_args().small else 1000
    one = sp.diags([-np.ones(N - 1), 2 * np.ones(N), -np.ones(N - 1)], offsets=[-1, 0, 1])
    laplacian = ka.aslinearoperator(sp.kronsum(one, one, format="csr"))
    modes = [np.sin(np.pi * m * np.arange(1, N + 1) / (N + 1)) * np.sqrt(2 / (N + 1)) for m in (1, 2)]
    exact = np.stack([np.kron(modes[0], modes[1]), np.kron(modes[1], modes[0])], axis=1)
    double = sum(4 * np.sin(np.pi * m / (2 * (N + 1))) ** 2 for m in (1, 2))
    calls = []

    def subspace(p: np.ndarray) -> Any:
        A = laplacian + ka.diags_array(p)
        options = ka.Adjoint(callback=calls.append)
        return ka.invariant_subspace(A, 2, sigma=0.9 * double, hermitian=True, adjoint=options)

    start = time.perf_counter()
    cluster = ka.cluster_gradient(subspace, np.zeros(N * N))
    forward = time.perf_counter() - start
    X = subspace(np.zeros(N * N)).X
    T = X.T @ exact  # the solver's basis of the eigenspace
    units = [np.diag([1.0, 0.0]), np.array([[0, 1], [1, 0]]) / np.sqrt(2), np.diag([0.0, 1.0])]
    known = exact[:, 0] ** 2, np.sqrt(2) * exact[:, 0] * exact[:, 1], exact[:, 1] ** 2
    errors = []
    for E, row in zip(units, known, strict=True):
        errors.append(np.max(np.abs(cluster.gradient(T @ E @ T.T) - row)) / np.max(np.abs(row)))
    start = time.perf_counter()
    _, _, norm, certificate = cluster.minimal_norm()
    solve = time.perf_counter() - start
    reference = np.sqrt(1.625) / (N + 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    solves = sum(report.solves for report in calls if report.stage == "adjoint")
    print(f"n = p = {N * N}: eigenvalue {abs(np.mean(cluster.w) / double - 1):.0e} off, rows {max(errors):.0e} off,")
    print(f"norm {abs(norm / reference - 1):.0e} off, certificate {certificate:.0e}; {solves} solves of the adjoint;")
    print(f"subspace {forward:.1f} s, smallest element {solve:.1f} s, {memory:.1f} GiB")
    assert max(errors) < 1e-8
    assert abs(norm / reference - 1) < 1e-8
    assert solves == 0


if __name__ == "__main__":
    main()
