"""Where gain and loss make two modes one: an exceptional point, found and encircled.

Light in two coupled wells, gain in one and loss in the other, is a Schrödinger operator with a complex potential,

    H(z) = −∇² + V(x, y) + i z s(x),    s = ±1 on either side.

Without gain the two lowest levels are a doublet. Gain pulls them together; at an exceptional point they coalesce, and
so do their eigenvectors. `krylov_adj.find_exceptional_point` finds it by Newton's method on (λ₁ − λ₂)², which is smooth
there, and gives the series λ± = λ₀ ± c₁ s^½ + c₂ s next to it. Along a closed path around the point the two levels
change places: it takes two turns to come back.

    python examples/exceptional_point.py [--points 60] [--path 48] [--output exceptional_point.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
from autograd.tracer import getval
from matplotlib.figure import Figure

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--points", type=int, default=60, help="grid points in each direction (default 60)")
parser.add_argument("--path", type=int, default=48, help="points on the path around the exceptional point (default 48)")
parser.add_argument("--output", default="exceptional_point.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% Two wells on the square [−1, 1]², and the operator H(z) for complex z
N = options.points
x = np.linspace(-1, 1, N + 2)[1:-1]
X, Y = np.meshgrid(x, x, indexing="ij")
wells = 150 * (np.minimum((X - 0.4) ** 2, (X + 0.4) ** 2) + Y**2)
side = np.sign(X).ravel()
kinetic = -ka.pde.laplacian((N, N), spacing=2 / (N + 1))


def hamiltonian(z):
    return kinetic + ka.diags_array([wells.ravel() + 1j * z * side], offsets=[0])


# %% The doublet without gain, and the exceptional point
doublet = np.sort(ka.eigs(hamiltonian(0.0 + 0j), k=2, sigma=0.0, v0=np.ones(N * N) + 0j)[0].real)
point = ka.find_exceptional_point(hamiltonian, 0.6 * (doublet[1] - doublet[0]) + 0j, near=doublet.mean())
c1, c2, _ = point.puiseux(1.0 + 0j)
print(f"levels without gain: {doublet[0]:.6f}, {doublet[1]:.6f}")
print(f"exceptional point: z = {point.p.real:.6f}, level {point.w.real:.6f}, {len(point.history) - 1} Newton steps")
print(f"slope of (λ₁ − λ₂)²: {4 * c1**2:.6f}")

# %% (λ₁ − λ₂)² is smooth through the point: its derivative agrees with differences


def discriminant(p):
    H = ka.invariant_subspace(hamiltonian(p[0] + 0j), k=2, sigma=point.w.real + 0.5, v0=np.ones(N * N) + 0j).H
    return np.real(2 * np.trace(H @ H) - np.trace(H) ** 2)


print(ka.check_gradient(discriminant, np.array([point.p.real])))


# %% Along a gain that grows, and on two turns around the point, each level followed by continuity
def levels(z):
    H = getval(ka.invariant_subspace(hamiltonian(z), k=2, sigma=point.w + 0.5, v0=np.ones(N * N) + 0j).H)
    return np.linalg.eigvals(H)


def followed(path):
    rows = [levels(path[0])]
    for z in path[1:]:
        w = levels(z)
        stay, swap = (np.abs(w[order] - rows[-1]).sum() for order in ([0, 1], [1, 0]))
        rows.append(w if stay <= swap else w[::-1])
    return np.array(rows)


gain = np.linspace(0.2, 1.8, 65) * point.p.real
along = followed(gain + 0j)
turn = np.exp(2j * np.pi * np.linspace(0, 2, 2 * options.path + 1))
around = followed(point.p + 0.5 * point.p.real * turn)
once, twice = around[options.path], around[-1]
print(f"after one turn each level is the other: {np.abs(once - around[0][::-1]).max() < 1e-6}")
print(f"after two turns each level is itself: {np.abs(twice - around[0]).max() < 1e-6}")

# %% The picture
figure = Figure(figsize=(11, 3.6), layout="constrained")
axes = figure.subplots(1, 3)
for j, color in ((0, "C0"), (1, "C3")):
    axes[0].plot(gain, along[:, j].real, color=color)
    axes[1].plot(gain, along[:, j].imag, color=color)
    first = around[: options.path + 1, j]
    axes[2].plot(first.real, first.imag, color=color)
    axes[2].plot(first[:1].real, first[:1].imag, "o", color=color)
s = np.linspace(0, gain[-1] - point.p.real, 50)
for sign in (1, -1):
    axes[1].plot(point.p.real + s, (point.w + sign * c1 * s**0.5 + c2 * s).imag, "k:", lw=1)
axes[0].set(title="levels: one where they coalesce", xlabel="gain z", ylabel="Re λ")
axes[1].set(title="growth and decay, with the series", xlabel="gain z", ylabel="Im λ")
axes[2].set(title="one turn around the point", xlabel="Re λ", ylabel="Im λ", aspect="equal")
for axis in axes[:2]:
    axis.axvline(point.p.real, color="0.7", lw=0.8)
figure.savefig(options.output, dpi=130)
print(f"picture: {options.output}")
