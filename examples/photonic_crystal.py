"""Open a band gap in a photonic crystal.

Light in a two-dimensional crystal of permittivity ε(x, y), with its electric field E along z, has the bands ω(k) of

    −∇² E = (ω/c)² ε E,    E(r + R) = exp(ik·R) E(r)    for lattice vectors R.

We start from a weak, random contrast and choose ε of every grid cell between air and silicon, so that light of some
frequency goes nowhere: above the third band, below the fourth. Where bands cross, a single one has no gradient; a
smooth maximum of all that shall be below the gap, and a smooth minimum of those above, have one everywhere that
matters. `krylov_adj.pde.laplacian` has the Bloch boundaries.

    python examples/photonic_crystal.py [--grid 32] [--steps 60] [--output photonic_crystal.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
from autograd import value_and_grad
from autograd.tracer import getval
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=32, help="cells along each side (default 32)")
parser.add_argument("--steps", type=int, default=60, help="most steps of the optimiser (default 60)")
parser.add_argument("--output", default="photonic_crystal.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% The bands at a wave vector (kx, ky) in units of 1/a, as frequencies in units of 2πc/a
n, below, bands = options.grid, 3, 7  # a gap above the third of seven bands
air, silicon = 1.0, 12.1  # permittivities (silicon: at 1.55 µm)
v0 = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, n * n))


def frequencies(epsilon, k):
    A = -ka.pde.laplacian((n, n), spacing=1 / n, boundary=k)
    M = ka.diags_array(np.ravel(epsilon))
    w = np.sort(ka.eigsh(A, bands, M, sigma=-0.5, v0=v0)[0])  # SciPy does not sort those of complex matrices
    return np.sqrt(np.abs(w)) / (2 * np.pi)  # abs: rounding at k = 0


# %% The permittivity: one number for each cell of an eighth of the unit cell, which has the square's symmetry
i, j = np.meshgrid(np.minimum(np.arange(n), n - 1 - np.arange(n)), np.arange(n), indexing="ij")
j = np.minimum(j, n - 1 - j)  # two mirrors, and the diagonals
_, first, owner = np.unique(np.ravel(np.maximum(i, j) * n + np.minimum(i, j)), return_index=True, return_inverse=True)


def permittivity(p):
    share = 0.5 + 0.5 * np.tanh(p)
    return np.reshape((air + (silicon - air) * share)[owner], (n, n))


# %% The loss: the relative width of the gap, its edges smooth, from wave vectors around the irreducible triangle
def triangle(points):
    leg, zero, one = np.linspace(0, np.pi, points, endpoint=False), np.zeros(points), np.full(points, np.pi)
    return np.concatenate([np.stack([leg, zero], 1), np.stack([one, leg], 1), np.stack([one - leg, one - leg], 1)])


sampled = 0.95 * triangle(4) + 0.05 * np.array([2, 1]) * np.pi / 3  # not on the edge: there symmetry makes bands meet
last = {}


def loss(p, sharp=80.0):
    epsilon = permittivity(p)
    w = np.stack([frequencies(epsilon, k) for k in sampled])  # (wave vectors, bands)
    last["edges"] = np.max(getval(w)[:, below - 1]), np.min(getval(w)[:, below])
    low = np.log(np.sum(np.exp(sharp * w[:, :below]))) / sharp
    high = -np.log(np.sum(np.exp(-sharp * w[:, below:]))) / sharp
    return -2 * (high - low) / (high + low)


# %% Is the gradient right?
noise = gaussian_filter(np.random.default_rng(4).standard_normal((n, n)), n / 8, mode="wrap")
p0 = np.ravel(0.5 * noise / np.max(np.abs(noise)) - 0.6)[first]
print(f"{p0.size} permittivities, {len(sampled)} wave vectors. First gradient, in a random direction:")
print(f"  {ka.check_gradient(loss, p0)}")

# %% Optimise
history = [last["edges"]]
with tqdm(total=options.steps, desc="opening", unit="step") as bar:

    def progress(p):
        history.append(last["edges"])
        bar.set_postfix(edges="{:.3f} … {:.3f}".format(*last["edges"]))
        bar.update()

    result = minimize(
        value_and_grad(loss), p0, jac=True, method="L-BFGS-B", callback=progress, options={"maxiter": options.steps}
    )

# %% What came out, on a finer path
wave_vectors = np.concatenate([triangle(16), np.zeros((1, 2))])
crystals = [permittivity(p) for p in (p0, result.x)]
diagrams = [np.array([frequencies(epsilon, k) for k in tqdm(wave_vectors, desc="bands")]) for epsilon in crystals]
for name, w in zip(("before", "after"), diagrams, strict=True):
    low, high = np.max(w[:, below - 1]), np.min(w[:, below])
    print(f"{name}: band {below} up to {low:.4f}, band {below + 1} from {high:.4f} (2πc/a)", end="")
    print(f", gap {2 * (high - low) / (high + low):.1%}" if high > low else ", no gap")
print(f"The middle of the gap is at a wavelength of 1.55 µm where a = {1.55 * (low + high) / 2:.3f} µm.")

# %% A picture
figure = Figure(figsize=(10, 5.2), layout="constrained")
panels = figure.subplot_mosaic("ABC;DBC", width_ratios=(1, 1.5, 1.5))
for name, epsilon, title in zip("AD", crystals, ("before", "after"), strict=True):
    image = panels[name].imshow(
        np.roll(np.tile(epsilon, (3, 3)), n // 2, (0, 1)), cmap="cividis_r", vmin=air, vmax=silicon, extent=(0, 3, 0, 3)
    )
    panels[name].plot([1, 2, 2, 1, 1], [1, 1, 2, 2, 1], "k--", linewidth=1)
    panels[name].set(title=f"crystal {title}", ylabel="y / a", xticks=range(4), yticks=range(4))
panels["D"].set(xlabel="x / a")
figure.colorbar(image, ax=panels["D"], location="bottom", label="permittivity")
along = np.append(0, np.cumsum(np.linalg.norm(np.diff(wave_vectors, axis=0), axis=1)))
for name, w, title in zip("BC", diagrams, ("bands before", "bands after"), strict=True):
    low, high = np.max(w[:, below - 1]), np.min(w[:, below])
    panels[name].plot(along, w[:, :below], color="#0072B2")
    panels[name].plot(along, w[:, below:], color="#D55E00")
    if high > low:
        panels[name].axhspan(low, high, color="#F0E442", alpha=0.5)
        label = f"gap {2 * (high - low) / (high + low):.1%}"
        panels[name].text(along[-1] / 2, (low + high) / 2, label, ha="center", va="center", weight="bold")
    panels[name].set(title=title, xlim=(0, along[-1]), ylim=(0, 0.8), xticks=along[::16], xticklabels="ΓXMΓ")
    panels[name].set(xlabel="wave vector", ylabel="ω a / 2πc" if name == "B" else "")
    panels[name].grid(axis="x")
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
