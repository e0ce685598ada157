"""Where gain and loss make two modes one: an exceptional point, found and encircled.

Light in two coupled wells, gain in one and loss in the other, is a Schrödinger operator with a complex potential,

    H(z) = −∇² + V(x, y) + i z s(x),    s = ±1 on either side.

Without gain the two lowest levels are a doublet. Gain pulls them together; at an exceptional point they coalesce, and
so do their eigenvectors. `krylov_adj.find_exceptional_point` finds it by Newton's method on (λ₁ − λ₂)², which is smooth
there, and gives the series λ± = λ₀ ± c₁ s^½ + c₂ s next to it. `krylov_adj.track` follows both levels on circles around
it in the plane of complex z, by the overlaps of left and right eigenvectors: after one turn they have changed places,
and it takes two to come back. So the two levels are one function, on the two sheets of a Riemann surface.

    python examples/exceptional_point.py [--points 100] [--path 14] [--output exceptional_point.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
from autograd.tracer import getval
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--points", type=int, default=100, help="grid points in each direction (default 100)")
parser.add_argument("--path", type=int, default=14, help="points on a circle around the exceptional point (default 14)")
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


# %% Along a gain that grows, without names: at the point itself nothing tells which is which
def levels(z):
    H = getval(ka.invariant_subspace(hamiltonian(z), k=2, sigma=point.w + 0.5, v0=np.ones(N * N) + 0j).H)
    w = np.linalg.eigvals(H)
    return w[np.lexsort((w.imag, np.round(w.real, 6)))]


gain = np.concatenate([np.linspace(0.2, 0.9, 6), 1 - np.array([0.05, 0.01, 0, -0.01, -0.05]), np.linspace(1.1, 1.8, 7)])
gain = gain * point.p.real
along = np.array([levels(z + 0j) for z in gain])

# %% Around the point: circles z₀ + r exp(iθ), on which every level is followed
radii = np.array([0.25, 0.6]) * point.p.real
angle = 2 * np.pi * np.linspace(0, 1, options.path + 1)
circles = []
for r in radii:
    path = point.p + r * np.exp(1j * angle)
    with tqdm(total=options.path, desc=f"circle of radius {r:.2f}", unit="point") as bar:
        where = {"sigma": point.w.real + 0.5, "guard": 1}
        circles.append(
            ka.track(
                hamiltonian, path, k=2, hermitian=False, callback=lambda m, solves, bar=bar: bar.update(1), **where
            )
        )
print(f"on the circles: {sum(circle.solves for circle in circles)} eigensolves", end=", ")
print(f"least weight {min(circle.weight.min() for circle in circles):.2f}, {len(circles[0].unsure)} steps unsure")
w = [circle.w[:, np.argsort(circle.w[0].imag)] for circle in circles]  # the first one decays, on either circle
print(f"after one turn each level is the other: {max(np.abs(v[-1] - v[0, ::-1]).max() for v in w) < 1e-6}")

# Two turns of one level are one of both: a closed curve, on both sheets.
twice = np.array([np.concatenate([v[:, 0], v[1:, 1]]) for v in w])
print(f"after two turns each level is itself: {np.abs(twice[:, -1] - twice[:, 0]).max() < 1e-6}")

# %% The two sheets: smooth in θ over two turns, and in √r from the point outwards
twice[:, -1] = twice[:, 0]
turns = CubicSpline(np.concatenate([angle, 2 * np.pi + angle[1:]]), twice.T, bc_type="periodic")
theta = np.linspace(0, 4 * np.pi, 145)
roots = np.sqrt(np.linspace(0, radii[-1], 13))
outwards = np.concatenate([np.full((1, theta.size), point.w), turns(theta).T])
sheets = CubicSpline(np.sqrt(np.concatenate([[0.0], radii])), outwards)(roots)  # (13, 145)
z = point.p + roots[:, None] ** 2 * np.exp(1j * theta)

# %% The picture
figure = Figure(figsize=(11, 3.8), layout="constrained")
axes = [figure.add_subplot(1, 3, 1), figure.add_subplot(1, 3, 2), figure.add_subplot(1, 3, 3, projection="3d")]
for j, color in ((0, "C0"), (1, "C3")):
    axes[0].plot(gain, along[:, j].real - point.w.real, color=color)
    axes[0].plot(gain, along[:, j].imag, "--", color=color)
    for v in w:
        axes[1].plot(v[:, j].real, v[:, j].imag, ".-", color=color)
        axes[1].plot(v[:1, j].real, v[:1, j].imag, "o", color=color)
s = np.linspace(0, gain[-1] - point.p.real, 50)
for sign in (1, -1):
    axes[0].plot(point.p.real + s, (point.w + sign * c1 * s**0.5 + c2 * s).imag, "k:", lw=1)
axes[1].plot(point.w.real, point.w.imag, "k*")
axes[0].axvline(point.p.real, color="0.7", lw=0.8)
axes[0].set(title="Re λ − λ₀, and dashed Im λ with its series", xlabel="gain z")
axes[1].set(title="one turn on two circles exchanges them", xlabel="Re λ", ylabel="Im λ", aspect="equal")
half = theta.size // 2 + 1
for turn, color in ((slice(0, half), "C0"), (slice(half - 1, None), "C3")):
    axes[2].plot_surface(z.real[:, turn], z.imag[:, turn], sheets.real[:, turn], color=color, alpha=0.75, lw=0)
for r, curve in zip(radii, twice, strict=True):
    on = point.p + r * np.exp(1j * np.concatenate([angle, angle[1:]]))
    axes[2].plot(on.real, on.imag, curve.real, "k.", ms=3)
axes[2].plot([point.p.real], [point.p.imag], [point.w.real], "k*")
axes[2].set(title="both sheets of Re λ(z)", xlabel="Re z", ylabel="Im z")
axes[2].view_init(elev=22, azim=-120)
figure.savefig(options.output, dpi=100)
print(f"picture: {options.output}")
