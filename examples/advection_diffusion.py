"""Stir a tank so that it does not run away.

A liquid in a square tank heats itself, more so around a hot spot, and is cooled by the walls. Small excess
temperatures T exp(λt) obey

    λ T = κ ∇²T − v·∇T + q T,    T = 0 at the walls.

At rest the rightmost eigenvalue λ is positive: the tank runs away. A flow v carries heat from the middle to the walls.
We look for the flow of a given root-mean-square speed that pushes λ furthest to the left. The operator is not
symmetric; `krylov_adj.eigs` needs no left eigenvectors.

    python examples/advection_diffusion.py [--grid 100] [--steps 40] [--output advection_diffusion.png]
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
from scipy.optimize import minimize
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=100, help="points along each side (default 100)")
parser.add_argument("--steps", type=int, default=40, help="most steps of the optimiser (default 40)")
parser.add_argument("--output", default="advection_diffusion.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% The tank at rest: 10 cm wide, water; times in hours, lengths in cm
n, side, kappa, speed = options.grid, 10.0, 5.2, 20.0  # κ in cm²/h, root-mean-square speed in cm/h
h = side / (n + 1)
x, y = np.meshgrid(h * np.arange(1, n + 1), h * np.arange(1, n + 1), indexing="ij")
heating = 1.8 + 2.0 * np.exp(-((x - 6.2) ** 2 + (y - 5.4) ** 2) / 2.5**2)  # 1/h
hottest = np.max(heating)
Q = ka.diags_array(np.ravel(heating))
at_rest = kappa * ka.pde.laplacian((n, n), h) + Q

# %% A flow without sources: v = (∂ψ/∂y, −∂ψ/∂x), ψ made of 6 × 6 standing waves of amplitudes p
waves = np.pi * np.arange(1, 7) / side
sines, cosines = np.sin(np.outer(x[:, 0], waves)), waves * np.cos(np.outer(x[:, 0], waves))  # (n, 6), the derivatives
favour = 1 / (waves[:, None] ** 2 + waves**2)


def flow(p):
    amplitudes = favour * np.reshape(p, favour.shape)
    v = np.stack([sines @ amplitudes @ cosines.T, -cosines @ amplitudes @ sines.T])
    return v * speed / np.sqrt(np.mean(np.sum(v**2, axis=0)))


def operator(v):
    return at_rest - ka.pde.advection(v, h, boundary="dirichlet", scheme="central")


# %% The rightmost eigenvalue. It is real (Perron, Frobenius) and below the largest q, so the next to that.
last = {}


def growth(p):
    w, X = ka.eigs(operator(flow(p)), k=1, sigma=hottest, v0=np.ones(n * n))
    last.update(growth=getval(w[0]).real, mode=getval(X[:, 0]))
    return np.real(w[0])


# %% Is the gradient right? The first flow is one large vortex
p0 = np.zeros(waves.size**2)
p0[0] = 1.0
print(f"{n * n} unknowns. First gradient, in a random direction:")
print(f"  {ka.check_gradient(growth, p0)}")

# %% Optimise
history = [last["growth"]]
with tqdm(total=options.steps, desc="stirring", unit="step") as bar:

    def progress(p):
        history.append(last["growth"])
        bar.set_postfix(growth=f"{last['growth']:.3f}/h")
        bar.update()

    result = minimize(
        value_and_grad(growth), p0, jac=True, method="L-BFGS-B", callback=progress, options={"maxiter": options.steps}
    )

# %% What came out: the spectra, and the modes that decide
flows = {"at rest": np.zeros((2, n, n)), "one vortex": flow(p0), "best flow": flow(result.x)}
spectra, modes = {}, {}
for name, v in flows.items():
    w, X = ka.eigs(operator(v), k=16, sigma=hottest, v0=np.ones(n * n))
    rightmost = np.argmax(w.real)
    spectra[name], modes[name] = w, np.abs(np.reshape(X[:, rightmost], (n, n)))
    rate = w[rightmost].real
    print(f"{name:10}: {rate:+.3f}/h, {'grows' if rate > 0 else 'decays'} e-fold in {abs(1 / rate):.2f} h")

# %% A picture
figure = Figure(figsize=(10, 6.6), layout="constrained")
panels = figure.subplot_mosaic([[*flows], ["spectrum", "spectrum", "history"]], height_ratios=(1.3, 1))
colors = dict(zip(flows, ("0.45", "#D55E00", "#0072B2"), strict=True))
for name, v in flows.items():
    panel, T = panels[name], modes[name]
    image = panel.imshow(T.T / np.max(T), cmap="inferno", origin="lower", extent=(0, side, 0, side), vmin=0)
    if np.any(v):
        strength = np.hypot(*v).T
        panel.streamplot(
            x[:, 0],
            y[0],
            *np.swapaxes(v, 1, 2),
            color="w",
            linewidth=1.8 * strength / np.max(strength),
            arrowsize=0.7,
            density=0.9,
        )
    panel.contour(x, y, heating, levels=[1.8 + 1.0], colors="#56B4E9", linestyles="--")
    panel.set(
        title=f"{name}: λ = {np.max(spectra[name].real):+.2f} / h".replace("-", "−"), xlabel="x (cm)", ylabel="y (cm)"
    )
    panel.title.set_color(colors[name])
    panel.set(xlim=(0, side), ylim=(0, side))
figure.colorbar(image, ax=panels["best flow"], label="temperature (scaled)")

for marker, (name, w) in zip("sDo", spectra.items(), strict=True):
    panels["spectrum"].plot(w.real, w.imag, marker, color=colors[name], label=name, alpha=0.8)
panels["spectrum"].axvspan(0, 3.4, color="0.9", zorder=0)
panels["spectrum"].text(
    1.25, 0.95, "runs away", ha="center", transform=panels["spectrum"].get_xaxis_transform(), va="top"
)
panels["spectrum"].set(title="eigenvalues", xlabel="Re λ (1/h)", ylabel="Im λ (1/h)", xlim=(-9, 3.4))
panels["spectrum"].legend(loc="lower right")
panels["history"].plot(history, ".-", color=colors["best flow"])
panels["history"].axhline(0, color="0.6")
panels["history"].set(title="rightmost eigenvalue", xlabel="step", ylabel="λ (1/h)")
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
