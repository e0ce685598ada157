"""Vibration of a membrane with a density in every element: what a gradient costs and how good it is.

    python benchmarks/fem.py [unknowns] [--check lu|differences|both]

K x = λ M(ρ) x by bilinear finite elements on the rectangle (0, 1) × (0, 0.8), clamped; 100,000
unknowns unless told. The gradients with respect to all densities (1) of the six lowest frequencies
ω = √λ, each by itself, and (2) of a functional of the mode shapes, the energy that the six modes
have in a window, with weights. They are compared with

* frequencies: ∂ω/∂ρₑ = −½ ω xᵀ mₑ x, entry by entry, from eigenpairs that SciPy computed by itself;
* mode shapes: the adjoint equations as bordered systems

      [ K − λM   M x ] [z]   [−∂f/∂x]          df/dρₑ = −λ zᵀmₑx + ½ η xᵀmₑx,
      [ xᵀM       0  ] [η] = [   0   ],

  one sparse LU for each mode, entry by entry; and, in one direction, differences extrapolated
  twice (Richardson), whose own error is estimated from the last two extrapolations.

Memory is what NumPy and Python allocate at their peak (tracemalloc; SuperLU's factors are not
seen by it), at the size given and at a quarter of it, per stored entry of K. It exits with an
error where an accuracy is worse than 1e-7, or memory grows faster than the entries.
"""

from __future__ import annotations

import argparse
import resource
import time
import tracemalloc
from typing import NamedTuple

import autograd.numpy as anp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, jacobian

import krylov_adj as ka

K_PAIRS = 6
WEIGHTS = np.array([1.0, -0.6, 0.8, 0.5, -0.9, 0.7])
ACCURACY = 1e-7
#: The peak that is accepted, in bytes for each stored entry of K. Two bases of the shared Krylov space, of up to
#: 100 vectors each, are about half of it.
BYTES_PER_ENTRY = 500


class Membrane:
    """Bilinear rectangles; unknowns are the values at the inner nodes."""

    def __init__(self, unknowns: int):
        side = round(unknowns**0.5)
        self.cells = side + 1
        hx, hy = 1.0 / self.cells, 0.8 / self.cells
        number = np.full((self.cells + 1, self.cells + 1), -1)
        number[1:-1, 1:-1] = np.arange(side**2).reshape(side, side)
        corners = [number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]]  # x first
        self.dofs = np.stack([corner.ravel() for corner in corners], axis=1)  # (elements, 4)
        self.n = side**2
        stiff, mass = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([[2.0, 1.0], [1.0, 2.0]]) / 6
        self.stiffness = hy / hx * np.kron(mass, stiff) + hx / hy * np.kron(stiff, mass)  # (4, 4), y ⊗ x
        self.mass = hx * hy * np.kron(mass, mass)
        centre = (np.arange(self.cells) + 0.5) / self.cells
        x, y = np.meshgrid(centre, centre, indexing="ij")
        self.density = (1.0 + 0.5 * x * y + 0.3 * np.sin(5 * x) * np.cos(3 * y)).ravel()
        node = np.arange(1, self.cells) / self.cells
        inside = (node[:, None] < 0.5) & (node[None, :] < 0.4)
        self.window = hx * hy * inside.ravel()
        self.v0 = np.random.default_rng(0).standard_normal(self.n)
        ones = np.ones((self.dofs.shape[0], 1, 1))
        self.K = ka.assemble(ones * self.stiffness, self.dofs, (self.n, self.n))
        self.nnz = self.K.explicit().nnz

    def M(self, density):
        return ka.assemble(anp.reshape(density, (-1, 1, 1)) * self.mass, self.dofs, (self.n, self.n))

    def pairs(self, density):
        return ka.eigsh(self.K, k=K_PAIRS, M=self.M(density), sigma=0.0, v0=self.v0)

    def frequencies(self, density):
        return anp.sqrt(self.pairs(density)[0])

    def energy(self, density):
        _, X = self.pairs(density)
        return anp.sum(WEIGHTS * anp.sum(self.window[:, None] * X**2, axis=0))

    def scipy_pairs(self, density):
        return spla.eigsh(self.K.explicit(), K_PAIRS, self.M(density).explicit(), sigma=0.0, v0=self.v0)

    def by_element(self, z, x):
        """zᵀ mₑ x for every element."""
        z, x = (np.append(v, 0.0)[self.dofs] for v in (z, x))  # node −1 is clamped
        return np.einsum("ei,ij,ej->e", z, self.mass, x)


def frequency_gradients(membrane: Membrane) -> np.ndarray:
    w, X = membrane.scipy_pairs(membrane.density)
    return np.array([-0.5 * w[i] ** 0.5 * membrane.by_element(X[:, i], X[:, i]) for i in range(K_PAIRS)])


def energy_gradient_by_lu(membrane: Membrane) -> np.ndarray:
    K, M = membrane.K.explicit(), membrane.M(membrane.density).explicit()
    w, X = membrane.scipy_pairs(membrane.density)
    total = np.zeros(membrane.density.size)
    for i in range(K_PAIRS):
        x = X[:, i]
        Mx = (M @ x)[:, None]
        bordered = sp.bmat([[K - w[i] * M, sp.csr_array(Mx)], [sp.csr_array(Mx.T), None]], format="csc")
        rhs = np.append(-2 * WEIGHTS[i] * membrane.window * x, 0.0)
        lu = spla.splu(bordered)
        solution = lu.solve(rhs)
        solution += lu.solve(rhs - bordered @ solution)
        total += -w[i] * membrane.by_element(solution[:-1], x) + 0.5 * solution[-1] * membrane.by_element(x, x)
    return total


def by_differences(membrane: Membrane, direction: np.ndarray, step: float) -> tuple[float, float]:
    """Of the energy, and its estimated error: central differences at h, h/2, h/4, extrapolated twice."""

    def central(h: float) -> float:
        values = [membrane.energy(membrane.density + s * h * direction) for s in (1, -1)]
        return float(values[0] - values[1]) / (2 * h)

    d = [central(step / 2**i) for i in range(3)]
    first = [d[1] + (d[1] - d[0]) / 3, d[2] + (d[2] - d[1]) / 3]
    best = first[1] + (first[1] - first[0]) / 15
    return best, abs(best - first[1]) + 1e-12 * abs(best)


class Result(NamedTuple):
    unknowns: int
    entries: int
    frequency_error: float
    lu_error: float | None
    difference_error: float | None
    difference_uncertainty: float | None
    bytes_per_entry: float
    seconds: dict[str, float]


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def measure(unknowns: int, lu: bool = True, differences: bool = True) -> Result:
    membrane = Membrane(unknowns)
    rho, seconds = membrane.density, {}

    def timed(name, function):
        start = time.process_time()
        result = function()
        seconds[name] = time.process_time() - start
        return result

    timed("SciPy, values and vectors", lambda: membrane.scipy_pairs(rho))
    J = timed("six frequencies and their gradients", lambda: jacobian(membrane.frequencies)(rho))
    g = timed("mode shapes and their gradient", lambda: grad(membrane.energy)(rho))
    exact = frequency_gradients(membrane)
    frequency_error = max(relative(J[i], exact[i]) for i in range(K_PAIRS))
    lu_error = relative(g, timed("bordered LU", lambda: energy_gradient_by_lu(membrane))) if lu else None
    error = uncertainty = None
    if differences:
        direction = np.cos(7 * np.arange(rho.size) / rho.size) * rho
        value, uncertainty = by_differences(membrane, direction, 4e-3)
        error, uncertainty = abs(g @ direction - value) / abs(value), uncertainty / abs(value)
    tracemalloc.start()
    grad(membrane.energy)(rho)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Result(membrane.n, membrane.nnz, frequency_error, lu_error, error, uncertainty, peak / membrane.nnz, seconds)


def check(result: Result) -> None:
    assert result.frequency_error < ACCURACY, result
    assert result.lu_error is None or result.lu_error < ACCURACY, result
    if result.difference_error is not None:
        assert result.difference_uncertainty < ACCURACY, result
        assert result.difference_error < ACCURACY + result.difference_uncertainty, result
    assert result.bytes_per_entry < BYTES_PER_ENTRY, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unknowns", nargs="?", type=int, default=100_000)
    parser.add_argument("--check", choices=("lu", "differences", "both"), default="both")
    arguments = parser.parse_args()
    results = []
    for unknowns in (arguments.unknowns // 4, arguments.unknowns):
        result = measure(unknowns, arguments.check != "differences", arguments.check != "lu")
        results.append(result)
        print(f"{result.unknowns} unknowns, {result.entries} entries in K")
        print(f"  gradients of six frequencies: largest relative error {result.frequency_error:.1e}")
        if result.lu_error is not None:
            print(f"  gradient of the mode shapes: relative error {result.lu_error:.1e} against bordered LU")
        if result.difference_error is not None:
            print(
                f"    in one direction {result.difference_error:.1e} against differences, good to "
                f"{result.difference_uncertainty:.0e}"
            )
        print(f"  peak memory of a gradient: {result.bytes_per_entry:.0f} bytes per entry of K, besides the factors")
        for name, value in result.seconds.items():
            print(f"    {value:7.2f} s  {name}")
        check(result)
    growth = results[1].bytes_per_entry / results[0].bytes_per_entry
    print(f"memory per entry, at {results[1].unknowns} over {results[0].unknowns} unknowns: {growth:.2f}")
    print(f"peak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")
    assert growth < 1.1, growth


if __name__ == "__main__":
    main()
