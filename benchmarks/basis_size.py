"""What a larger basis saves where ARPACK restarts a lot: the rule behind the report's advice.

    python benchmarks/basis_size.py [--small]

Applications and processor time of SciPy's call at multiples of the default ncv, over those at the
default.
"""

from __future__ import annotations

import argparse
import time

import models
import numpy as np
import scipy.sparse.linalg as spla

FACTORS = (1, 1.5, 2, 3, 4, 6)


def row(name: str, A, k: int, solver: str, **arguments) -> None:
    n, cells, first = A.shape[0], [], (1, 1.0)
    default = max(2 * k + 1, 20)
    v0 = np.random.default_rng(0).standard_normal(n)
    for factor in FACTORS:
        calls = [0]

        def apply(v, calls=calls):
            calls[0] += 1
            return A @ v

        operator = spla.LinearOperator(A.shape, apply, dtype=A.dtype)
        start = time.process_time()
        w, X = getattr(spla, solver)(operator, k, v0=v0, ncv=int(factor * default), maxiter=10**6, **arguments)
        taken = time.process_time() - start
        assert np.linalg.norm(A @ X - X * w) < 1e-6 * abs(A).max()
        if factor == 1:
            first = calls[0], taken
        cells.append(f"{calls[0] / first[0]:5.2f} {taken / first[1]:5.2f}")
    print(f"{name:32s} {n:6d} {first[0]:5d} / {default:2d}   " + "   ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    sizes = (20, 30) if parser.parse_args().small else (60, 100)
    print(f"{'':32s} {'':6s} {'':12s} applications and time at ncv over its default")
    print(f"{'problem':32s} {'n':>6s} steps / ncv   " + "   ".join(f"{factor:^11g}" for factor in FACTORS))
    for n in sizes:
        row("Schrödinger", models.schroedinger(n), 4, "eigsh", which="SA")
        row("Schrödinger, tol 1e-8", models.schroedinger(n), 4, "eigsh", which="SA", tol=1e-8)
        row("Schrödinger, k = 12", models.schroedinger(n), 12, "eigsh", which="SA")
        row("advection-diffusion", models.advection_diffusion(n // 2, 20), 4, "eigs", which="SR")
        row("Hofstadter, lowest", models.hofstadter(n), 6, "eigsh", which="SA")


if __name__ == "__main__":
    main()
