"""Operators applied by their assembled matrix, and as they are given: what solvers should do.

    python benchmarks/applications.py [--small]

Times are processor times, medians; each figure is the time as given (matrix-free, factor by factor) over
that of SciPy's product with the assembled matrix, for one vector and for a block of six. "assembly" is
the time of assembling, in products with a vector. The last part is the product of a real sparse
matrix with complex vectors and blocks: SciPy's, and by parts, over that by real blocks of twice as many
columns, which the package takes for blocks. Every operator is compared with its matrix first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

import krylov_adj as ka
from krylov_adj.krylov.space import times


def seconds(function: Callable[[], object], repeat: int = 7) -> float:
    function()
    record = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        record.append(time.process_time() - start)
    return float(np.median(record))


def diagonal(values: np.ndarray):
    return ka.csr_array((values, np.arange(values.size), np.arange(values.size + 1)), (values.size,) * 2)


def operators(grid: tuple[int, ...]):
    rng = np.random.default_rng(0)
    n = int(np.prod(grid))
    V, c = diagonal(rng.uniform(size=n)), 1.0 + rng.uniform(size=grid)
    sparse = ka.pde.laplacian(grid).explicit()
    entries = ka.csr_array((sparse.data, sparse.indices, sparse.indptr), sparse.shape)
    line = [diagonal(rng.uniform(size=size)) - ka.pde.laplacian(size) for size in grid]
    yield "−∇·c∇", ka.pde.diffusion(c)
    yield "−½∇² + V", -0.5 * ka.pde.laplacian(grid) + V
    yield "V A V, sparse A", V @ entries @ V
    yield "A A, sparse A", entries @ entries
    if len(grid) > 1:
        yield "Kronecker sum", ka.kronsum(*line)
        yield "Kronecker product", ka.kron(*line)


def row(grid: tuple[int, ...], name: str, operator) -> tuple[float, float]:
    n, rng = operator.shape[0], np.random.default_rng(1)
    x, X = rng.standard_normal(n), rng.standard_normal((n, 6))
    matrix, given = operator.explicit(), operator.plain()
    for V in (x, X):
        assert np.allclose(given._apply(V), matrix @ V, rtol=0, atol=1e-11 * abs(matrix).sum(axis=1).max())
    product = seconds(lambda: matrix @ x)
    ratios = seconds(lambda: given._apply(x)) / product, seconds(lambda: given._apply(X)) / seconds(lambda: matrix @ X)
    assembly = seconds(operator.explicit, 3) / product
    chosen = "matrix" if operator.applied_by_matrix() else "as given"
    sizes = "×".join(map(str, grid))
    print(f"{sizes:>12}  {name:<18} {ratios[0]:8.2f} {ratios[1]:8.2f} {assembly:9.0f}   {chosen}")
    return ratios


def complex_row(grid: tuple[int, ...]) -> None:
    matrix = sp.csr_array(ka.pde.laplacian(grid).explicit())
    rng = np.random.default_rng(2)
    Z = rng.standard_normal((matrix.shape[0], 6)) + 1j * rng.standard_normal((matrix.shape[0], 6))
    ratios = []
    for V in (Z[:, 0].copy(), Z):
        block = V.reshape(len(V), -1)
        assert np.allclose(times(matrix, block), matrix @ block, rtol=1e-12, atol=1e-12)
        ours = seconds(lambda block=block: times(matrix, block))
        ratios.append(seconds(lambda V=V: matrix @ V) / ours)
        ratios.append(seconds(lambda V=V: matrix @ V.real + 1j * (matrix @ V.imag)) / ours)
    sizes = "×".join(map(str, grid))
    print(f"{sizes:>12}  vector {ratios[0]:6.2f} {ratios[1]:6.2f}   block {ratios[2]:6.2f} {ratios[3]:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    grids = ((30, 20), (12, 10, 8)) if small else ((1000,), (100, 100), (400, 400), (30, 30, 30), (100, 100, 100))
    print(f"{'grid':>12}  {'operator':<18} {'vector':>8} {'block':>8} {'assembly':>9}   solvers use")
    for grid in grids:
        for name, operator in operators(grid):
            if name == "Kronecker product" and len(grid) > 2 and not small:
                continue  # 27 entries in a row
            row(grid, name, operator)
    print("\nreal matrix, complex vectors: SciPy's product and by parts, over that by real blocks")
    for grid in grids:
        complex_row(grid)


if __name__ == "__main__":
    main()
