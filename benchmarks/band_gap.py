"""Band gaps of a photonic crystal: linear programs on the bands' subspaces, beside ascent on single gradients.

    python benchmarks/band_gap.py [--small] [--seeds 5] [--solves 900] [--only NAME]

32 × 32 cells of permittivity 1 to 11.56 with the square's symmetry (136 numbers), 18 wave vectors, light with its
electric field along z. Starts: independent random numbers for each cell ("noise"), of five seeds; or their mean with
the best black-and-white crystal of 8 × 8 cells ("screened"). A cell of the second table has the gap over its middle
at the end, in per cent, and the eigensolves it took: one for every wave vector of every crystal tried. The 3,072 LAPACK
solves of 64 unknowns that find the screened start are not counted. Methods:

- linear programs: `examples/helpers/crystals.py`, until nothing more is promised;
- ascent: along the gradient of log λ of the two single bands at the gap's edges, projected, Armijo's steps;
- L-BFGS-B: SciPy's, on the same gradients.

The last two may take ``--solves`` eigensolves, and are shown with the best crystal that they tried.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import diags_array

import krylov_adj as ka

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
from helpers.crystals import AIR, SILICON, Crystal, draw_noise, open_gap, relative_gap, screen, walk_triangle


class Single:
    """log λ of band m + 1 at the bottom of it, minus that of band m at its top, and the gradient of these two alone."""

    def __init__(self, crystal: Crystal, most: int):
        self.crystal, self.most = crystal, most
        self.best = -np.inf
        crystal.solves = 0

    def __call__(self, x):
        crystal, m, bands = self.crystal, self.crystal.below, []
        if crystal.solves >= self.most:
            raise StopIteration
        for A in crystal.operators:
            bands.append(ka.eigsh(A, m + 1, diags_array(x[crystal.owner]), sigma=-1.0, v0=crystal.v0))
            crystal.solves += 1
        edges = crystal.edges(bands)
        self.best = max(self.best, relative_gap(edges))
        top, bottom = (
            next(np.abs(X[:, i]) ** 2 for w, X in bands if w[i] == edge)
            for i, edge in zip((m - 1, m), edges, strict=True)
        )
        # EᴴεE = 1 and A does not depend on ε: d log λ = −Eᴴ dε E.
        return np.log(edges[1] / edges[0]), crystal.sum_cells @ (top - bottom)


def ascend(crystal: Crystal, x, most: int) -> tuple[float, int]:
    single = Single(crystal, most)
    with contextlib.suppress(StopIteration):
        value, gradient = single(x)
        step = SILICON - AIR
        while step > 1e-9 * (SILICON - AIR):
            there = np.clip(x + step * gradient / np.linalg.norm(gradient), AIR, SILICON)
            reached, slope = single(there)
            if reached > value + 1e-4 * gradient @ (there - x):
                x, value, gradient, step = there, reached, slope, 3 * step
            else:
                step /= 3
    return single.best, crystal.solves


def climb_bfgs(crystal: Crystal, x, most: int) -> tuple[float, int]:
    single = Single(crystal, most)

    def loss(x):
        value, gradient = single(x)
        return -value, -gradient

    with contextlib.suppress(StopIteration):
        minimize(loss, x, jac=True, method="L-BFGS-B", bounds=[(AIR, SILICON)] * x.size, options={"maxiter": most})
    return single.best, crystal.solves


def run_program(crystal: Crystal, x, _most: int) -> tuple[float, int]:
    opened = open_gap(crystal, x)
    return opened.gap, crystal.solves


#: From a crystal, where to start, and the most eigensolves, to (gap, eigensolves).
METHODS = {
    "linear programs": run_program,
    "ascent on single gradients": ascend,
    "L-BFGS-B on single gradients": climb_bfgs,
}


def open_first(grid: int, points: int, seeds: range) -> None:
    print(
        "| TM 1–2 from noise, seed | gap at first, % | at the end, % | iterations | eigensolves | processor time, s |"
    )
    print(6 * "|---" + "|")
    for seed in seeds:
        crystal = Crystal(grid, 1, walk_triangle(points))
        started = time.process_time()
        opened = open_gap(crystal, draw_noise(crystal, seed))
        print(
            f"| {seed} | {100 * opened.history[0][1]:.1f} | {100 * opened.gap:.2f} | {len(opened.history) - 1} "
            f"| {crystal.solves} | {time.process_time() - started:.1f} |",
            flush=True,
        )


def open_third(grid: int, points: int, seeds: range, most: int, only: str) -> None:
    crystal = Crystal(grid, 3, walk_triangle(points))
    print("\n| TM 3–4 by | from |" + "".join(f" seed {seed} |" for seed in seeds) + " best, % | median, % |")
    print((4 + len(seeds)) * "|---" + "|")
    noise = [draw_noise(crystal, seed) for seed in seeds]
    screened = screen(crystal)
    starts = {"noise": noise, "screened": [0.5 * (x + screened) for x in noise]}
    for name, method in METHODS.items():
        if only not in name:
            continue
        for start, crystals in starts.items():
            print(f"| {name} | {start} |", end="", flush=True)
            gaps = []
            for x in crystals:
                gap, solves = method(crystal, x, most)
                gaps.append(100 * gap)
                print(f" {gaps[-1]:.1f} ({solves:,}) |", end="", flush=True)
            print(f" {max(gaps):.2f} | {statistics.median(gaps):.2f} |", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--solves", type=int, default=900, help="most eigensolves of an ascent (default 900)")
    parser.add_argument("--only", default="", help="the second table, of methods whose names contain this")
    options = parser.parse_args(arguments)
    if not any(options.only in name for name in METHODS):
        parser.error(f"--only {options.only}: the methods are {', '.join(METHODS)}")
    grid, points = (8, 2) if options.small else (32, 6)
    if not options.only:
        open_first(grid, points, range(options.seeds))
    open_third(grid, points, range(options.seeds), options.solves, options.only)


if __name__ == "__main__":
    main()
