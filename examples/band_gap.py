"""Open band gaps by linear programs on the subspaces of bands that meet.

photonic_crystal.py opens a gap with a smooth maximum and minimum of bands. Here the edges are what they are: where the
gap is largest, many bands share each edge, at many wave vectors, and no single one has a gradient that leads on.
`krylov_adj.invariant_subspace` has the bands next to the gap as spaces, orthonormal where bands coincide too, and the
derivatives of a space's small matrix H are exact there. A linear program with cuts by eigenvectors finds the largest
gap of all these spaces at once; helpers/crystals.py derives it. HiGHS, in SciPy, solves it, and a trust region does the
rest. Two gaps for light with its electric field along z, between permittivities of 1 and 11.56:

- above the first band, from random numbers: any start leads to the same crystal;
- above the third, where random numbers end in one of three local optima: three rods in a cell, the best, a ring, or two
  rods, which part other bands. A start that has a gap on a grid of 8 × 8 cells, the best of all 1,024 black-and-white
  crystals, mixed half and half with the random numbers, leads to the three rods. benchmarks/band_gap.py compares starts
  and methods.

    python examples/band_gap.py [--grid 32] [--points 6] [--seed 0] [--output band_gap.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
from helpers.crystals import AIR, SILICON, Crystal, draw_noise, open_gap, relative_gap, screen, walk_triangle
from matplotlib.figure import Figure
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=32, help="cells along each side, a multiple of 8 (default 32)")
parser.add_argument("--points", type=int, default=6, help="wave vectors on each side of the triangle (default 6)")
parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default 0)")
parser.add_argument("--output", default="band_gap.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% Are the program's matrices the derivatives? At M, where bands coincide
first, third = (Crystal(options.grid, below, walk_triangle(options.points)) for below in (1, 3))
at_M, below = 2 * options.points, 3
x = draw_noise(third, options.seed)


def bands_at_M(x):
    M = ka.diags_array(x[third.owner])
    return ka.invariant_subspace(third.operators[at_M], below + 1, M, sigma=-1.0, v0=third.v0, hermitian=True).H


print(f"{x.size} permittivities, {len(third.operators)} wave vectors. The sum of four bands at M:")
print(f"  {ka.check_gradient(lambda x: np.real(np.trace(bands_at_M(x))), x)}")
# In H's eigenbasis its derivative is −½ (diag(w) T + T diag(w)), T = Σ dᵢTᵢ: is that what krylov_adj computes?
direction = np.random.default_rng(1).standard_normal(x.size)
w, E = (part[..., : below + 1] for part in third.bands(x)[at_M])
T = np.tensordot(direction, third.sensitivities(E), 1)
slopes = np.linalg.eigvalsh(-0.5 * (w[:, None] + w) * T)
error = np.max(np.abs(slopes - np.linalg.eigvalsh(ka.cluster_gradient(bands_at_M, x).matrix(direction))))
error /= np.max(np.abs(slopes))
print(f"Derivatives of four bands as one matrix: krylov_adj's and the program's agree to {error:.0e}")
assert error < 1e-8, "the program's matrices are not the derivatives"

# %% Open both gaps
noise = draw_noise(first, options.seed)
starts = noise, 0.5 * (noise + screen(third))
found = []
for crystal, start in zip((first, third), starts, strict=True):
    m = crystal.below
    with tqdm(desc=f"TM {m}–{m + 1}", unit="step") as bar:

        def progress(reached, bar=bar):
            bar.set_postfix(gap=f"{reached[1]:.1%}")
            bar.update()

        opened = open_gap(crystal, start, report=progress)
    found.append(opened)
    gaps = ", ".join(f"{100 * gap:.1f}" for _, gap in opened.history)
    print(f"TM {m}–{m + 1}: gap over its middle {gaps} %: {opened.reason}")
    print(
        f"         {opened.history[-1][0]} eigensolves, {opened.cuts} cuts by eigenvectors, {opened.gap:.2%} at the end"
    )
    assert opened.gap > 0.3, "the gap has not opened"

# %% Bands before and after, on a finer path
wave_vectors = np.concatenate([walk_triangle(2 * options.points), np.zeros((1, 2))])
along = np.append(0, np.cumsum(np.linalg.norm(np.diff(wave_vectors, axis=0), axis=1)))
figure = Figure(figsize=(11, 6), layout="constrained")
panels = figure.subplots(2, 4, width_ratios=(1, 1.4, 1, 1.4))
for row, crystal, start, opened in zip(panels, (first, third), starts, found, strict=True):
    m = crystal.below
    fine = Crystal(options.grid, m, wave_vectors)
    for name, x, cells, diagram in (("before", start, *row[:2]), ("after", opened.x, *row[2:])):
        bands = fine.bands(x, more=3)
        frequencies = np.array([np.sqrt(np.maximum(w, 0)) for w, _ in bands]) / (2 * np.pi)
        image = np.roll(np.tile(crystal.permittivity(x), (3, 3)), options.grid // 2, (0, 1))
        cells.imshow(image, cmap="cividis_r", vmin=AIR, vmax=SILICON, extent=(0, 3, 0, 3))
        cells.plot([1, 2, 2, 1, 1], [1, 1, 2, 2, 1], "k--", linewidth=1)
        cells.set(title=f"TM {m}–{m + 1}, {name}", xticks=range(4), yticks=range(4))
        diagram.plot(along, frequencies[:, :m], color="#0072B2")
        diagram.plot(along, frequencies[:, m:], color="#D55E00")
        gap, (low, high) = relative_gap(fine.edges(bands)), np.sqrt(np.maximum(fine.edges(bands), 0)) / (2 * np.pi)
        if gap > 0:
            diagram.axhspan(low, high, color="#F0E442", alpha=0.5)
            diagram.text(along[-1] / 2, (low + high) / 2, f"gap {gap:.1%}", ha="center", va="center", weight="bold")
        diagram.set(
            xlim=(0, along[-1]),
            ylim=(0, 0.9),
            xticks=along[:: 2 * options.points],
            xticklabels="ΓXMΓ",
            ylabel="ω a / 2πc",
        )
        diagram.grid(axis="x")
        print(f"TM {m}–{m + 1} {name}, {len(wave_vectors)} wave vectors: {100 * gap:.1f} %")
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
