"""How time, applications and memory grow with the number of unknowns.

    python benchmarks/scaling.py                    the table, and the exponents of its growth
    python benchmarks/scaling.py --million          100³ points, matrix-free, k = 4: n = 1,000,000
    python benchmarks/scaling.py --small            a quick look

The problem is −∇² + V on the unit square or cube, with V traced in every point, and the loss reads
the four lowest eigenvectors. "matrix-free" applies `pde.laplacian` and V (``which="SA"``); "sigma"
factorises the assembled matrix at a shift below the spectrum. tol = 0 and the default ncv forward,
rtol = 1e-10 for the adjoint.

V is a sum of functions of one coordinate each. The package does not know that, but the reference
does: all eigenvectors are products of one-dimensional ones (LAPACK), so that the whole gradient, n
numbers, is known independently. Every row asserts that ours agrees with it to 1e-7, and prints the error.

Every figure is measured in a process of its own, one for SciPy's plain ``eigsh`` (on the same
operator) and one for value and gradient: processor time; applications of the operator (with sigma:
of the inverse), adjoint over forward; and the peak of the resident memory over what the process held
before the call, when the problem was set up. The exponents p are least-squares fits of n^p.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import autograd.numpy as anp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import value_and_grad

import krylov_adj as ka

K = 4
STRENGTHS = (300.0, 500.0, 800.0)
WEIGHTS = np.array([1.0, -0.7, 0.5, 0.9])
ACCURACY = 1e-7


@dataclass(frozen=True)
class Well:
    """−∇² + V on N^d points of the unit cube, zero on the boundary, V a sum over the axes."""

    d: int
    N: int

    @property
    def n(self) -> int:
        return self.N**self.d

    @property
    def h(self) -> float:
        return 1 / (self.N + 1)

    def along(self, axis: int) -> np.ndarray:
        """What V adds along an axis, (N,): a different one for each, so that no level is degenerate."""
        x = self.h * np.arange(1, self.N + 1)
        return STRENGTHS[axis] * (x - 0.5 + 0.05 * axis) ** 2

    def potential(self) -> np.ndarray:
        """V, flattened."""
        return sum(self._spread(self.along(axis), axis) for axis in range(self.d)).ravel()

    def _spread(self, values: np.ndarray, axis: int) -> np.ndarray:
        return values.reshape([self.N if a == axis else 1 for a in range(self.d)])

    def reference(self) -> tuple[np.ndarray, np.ndarray]:
        """The k lowest levels, and the gradient of `loss`, from one-dimensional eigenproblems."""
        ends = np.ones(self.N - 1)
        stencil = (np.diag(np.full(self.N, 2.0)) - np.diag(ends, 1) - np.diag(ends, -1)) / self.h**2
        pairs = [np.linalg.eigh(stencil + np.diag(self.along(axis))) for axis in range(self.d)]
        levels = sum(self._spread(w, axis) for axis, (w, _) in enumerate(pairs))  # on the grid of all states
        lowest = np.argsort(levels, axis=None)[:K]
        gradient = np.zeros([self.N] * self.d)
        for weight, state in zip(WEIGHTS, lowest, strict=True):
            at = np.unravel_index(state, levels.shape)
            x = np.ones([1] * self.d)
            for axis, (_, Q) in enumerate(pairs):
                x = x * self._spread(Q[:, at[axis]], axis)
            z = 4 * weight * self.n * x**3  # the cotangent of x, then its coefficients in all eigenvectors
            for axis, (_, Q) in enumerate(pairs):
                z = np.moveaxis(np.tensordot(Q, z, axes=(0, axis)), 0, axis)
            z[at] = 0.0
            z /= np.where(levels == levels[at], 1, levels[at] - levels)
            for axis, (_, Q) in enumerate(pairs):
                z = np.moveaxis(np.tensordot(Q, z, axes=(1, axis)), 0, axis)
            gradient += z * x
        return levels.ravel()[lowest], gradient.ravel()


def loss(n: int, X):
    """The weighted participation of the vectors: whatever their signs."""
    return n * anp.sum(WEIGHTS * anp.sum(X**4, axis=0))


def matrix(well: Well) -> sp.csr_array:
    """The operator without V, assembled by SciPy."""
    line = sp.csr_array(sp.diags([2.0, -1.0, -1.0], offsets=[0, 1, -1], shape=(well.N, well.N)) / well.h**2)
    total = line
    for _ in range(well.d - 1):
        total = sp.kronsum(line, total)
    return sp.csr_array(total)


def operator(well: Well, V, kind: str):
    """−∇² + V; V may be traced."""
    if kind == "sigma":
        points = np.arange(well.n)
        return ka.aslinearoperator(matrix(well)) + ka.coo_array((V, (points, points)), shape=(well.n, well.n))
    minus_laplacian = -ka.pde.laplacian((well.N,) * well.d, spacing=well.h)
    return minus_laplacian + ka.LinearOperator(
        (well.n, well.n), lambda u: V * u, matmat=lambda U: anp.reshape(V, (-1, 1)) * U, dtype=float
    )


def peak_memory(restart: bool = False) -> int:
    """Bytes; the highest resident memory of this process, on Linux since the last ``restart``."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if restart:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024


def measure(well: Well, kind: str, what: str) -> dict:
    """One figure's process: SciPy's eigsh, or value and gradient."""
    V = well.potential()
    arguments = {"k": K, "v0": np.random.default_rng(0).standard_normal(well.n)}
    arguments |= {"sigma": 0.0} if kind == "sigma" else {"which": "SA", "maxiter": 10**5}
    result: dict = {"n": well.n}
    if what == "scipy":
        A = matrix(well) + sp.diags(V) if kind == "sigma" else spla.aslinearoperator(operator(well, V, kind))
        before, start = peak_memory(restart=True), time.process_time()
        spla.eigsh(A, **arguments)
        return result | {"seconds": time.process_time() - start, "bytes": peak_memory() - before}
    reports: list[ka.Report] = []

    def f(V):
        options = ka.Adjoint(callback=reports.append)
        return loss(well.n, ka.eigsh(operator(well, V, kind), adjoint=options, **arguments)[1])

    before, start = peak_memory(restart=True), time.process_time()
    gradient = value_and_grad(f)(V)[1]
    result |= {"seconds": time.process_time() - start, "bytes": peak_memory() - before}
    adjoint = reports[-1]
    counts = [(r.solves if kind == "sigma" else r.applications) for r in reports]
    _, expected = well.reference()
    error = float(np.linalg.norm(gradient - expected) / np.linalg.norm(expected))
    assert adjoint.converged, adjoint
    assert error < ACCURACY, error
    return result | {"forward": counts[0], "adjoint": counts[1], "method": adjoint.method, "error": error}


def in_a_process(well: Well, kind: str, what: str) -> dict:
    """`measure` in a new interpreter: peak memory is that of a process."""
    command = [sys.executable, __file__, "--measure", str(well.d), str(well.N), kind, what]
    finished = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{finished.stderr}")
    return json.loads(finished.stdout)


HEADER = (
    "| problem | n | adjoint by | adjoint / forward applications | time: SciPy's eigsh, s | value and gradient, s "
    "| ratio | memory: SciPy's eigsh, MB | value and gradient, MB | ratio | gradient's error |\n" + 11 * "|---" + "|"
)


def row(d: int, N: int, kind: str) -> dict:
    """Measure and print one row."""
    well = Well(d, N)
    plain, ours = (in_a_process(well, kind, what) for what in ("scipy", "gradient"))
    name = f"{d}-D, {kind}"
    print(
        f"| {name} | {well.n:,} | {ours['method']} | {ours['adjoint']} / {ours['forward']} | {plain['seconds']:.2f} "
        f"| {ours['seconds']:.2f} | {ours['seconds'] / plain['seconds']:.2f} | {plain['bytes'] / 1e6:.0f} "
        f"| {ours['bytes'] / 1e6:.0f} | {ours['bytes'] / plain['bytes']:.2f} | {ours['error']:.0e} |",
        flush=True,
    )
    return {
        "name": name,
        "n": well.n,
        "applications, forward": ours["forward"],
        "applications, adjoint": ours["adjoint"],
        "time, SciPy's eigsh": plain["seconds"],
        "time, value and gradient": ours["seconds"],
        "memory, SciPy's eigsh": plain["bytes"],
        "memory, value and gradient": ours["bytes"],
    }


def growth(rows: list[dict]) -> None:
    """The exponents of n, of every problem measured at three sizes or more."""
    quantities = [key for key in rows[0] if key not in ("name", "n")]
    print("\n| grows like n^p, p = | " + " | ".join(quantities) + " |\n" + "|---" * (len(quantities) + 1) + "|")
    for name in dict.fromkeys(row["name"] for row in rows):
        same = [row for row in rows if row["name"] == name]
        logs = np.log([[row["n"], *(max(row[key], 1e-9) for key in quantities)] for row in same])
        slopes = [np.polyfit(logs[:, 0], column, 1)[0] for column in logs[:, 1:].T]
        print(f"| {name} | " + " | ".join(f"{slope:.2f}" for slope in slopes) + " |")


SIZES = {  # grid points along an axis; with sigma up to what a factorisation without nested dissection takes
    (2, "matrix-free"): (100, 178, 316, 562),
    (3, "matrix-free"): (22, 46, 68, 100),
    (2, "sigma"): (100, 178, 316, 562, 1000),
    (3, "sigma"): (16, 22, 32),
}
SMALL = {(2, "matrix-free"): (30, 42), (3, "sigma"): (9, 11)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    parser.add_argument("--million", action="store_true", help="only 100³ points, matrix-free")
    parser.add_argument("--only", help='one problem, such as "2-D, sigma"')
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        d, N, kind, what = options.measure
        print(json.dumps(measure(Well(int(d), int(N)), kind, what)))
        return
    print(HEADER)
    if options.million:
        row(3, 100, "matrix-free")
        return
    rows = [
        row(d, N, kind)
        for (d, kind), sizes in (SMALL if options.small else SIZES).items()
        if options.only in (None, f"{d}-D, {kind}")
        for N in sizes
    ]
    growth(rows)


if __name__ == "__main__":
    main()
