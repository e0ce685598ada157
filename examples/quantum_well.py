"""Tune a quantum well to a chord.

A particle in a two-dimensional potential V has the levels Eᵢ and states ψᵢ of

    H = −½ ∇² + V(x, y),    ψ = 0 on the walls    (ħ = m = 1).

We start from an oblong bowl and ask for a V whose first four levels stand as 4 : 5 : 6 : 8, a major
chord with its octave, and whose ground state sits around a spot of our choice. H has 40,000 unknowns
and is never assembled; `krylov_adj.eigsh` gives the levels, the states, and the gradient of any
function of them with respect to V.

    python examples/quantum_well.py [--grid 200] [--steps 40] [--output quantum_well.png]
"""

# %% Options
import argparse
import os
import sys

# Threads help little with vectors this short, and BLAS threads that share their cores with other
# programs can make the solver many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import autograd.numpy as np
from autograd import value_and_grad
from autograd.tracer import getval
from matplotlib.figure import Figure
from scipy.optimize import minimize
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=200, help="points along each side (default 200)")
parser.add_argument("--steps", type=int, default=40, help="most steps of the optimiser (default 40)")
parser.add_argument("--output", default="quantum_well.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% What we ask for
chord, unit = np.array([4, 5, 6, 8]), 0.3
targets = unit * chord
spot, radius = (1.5, 1.0), 1.0  # the ground state's root-mean-square distance from the spot

# %% The Hamiltonian
n, side = options.grid, 8.0
h = side / (n + 1)
axis = h * np.arange(1, n + 1) - side / 2
x, y = np.meshgrid(axis, axis, indexing="ij")


def hamiltonian(V):
    def matvec(psi):
        psi = np.reshape(psi, (n, n))
        u = np.pad(psi, 1, mode="constant")  # the walls
        laplacian = (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * psi) / h**2
        return np.ravel(-0.5 * laplacian + V * psi)

    return ka.LinearOperator((n * n, n * n), matvec, dtype=float)


# %% The potential: a bowl, and 12 × 12 standing waves with amplitudes p, the long ones favoured
waves = np.arange(1, 13)
sines = np.sin(np.pi * np.outer(axis / side + 0.5, waves))  # (n, 12)
favour = 1 / np.sqrt(1 + (waves[:, None] ** 2 + waves**2) / 8)
bowl = 0.4 * x**2 + 0.65 * y**2


def potential(p):
    return bowl + sines @ (favour * np.reshape(p, (12, 12))) @ sines.T


# %% The loss: levels, and where the ground state is
reports = []
adjoint = ka.Adjoint(callback=reports.append)
distance2 = np.ravel((x - spot[0]) ** 2 + (y - spot[1]) ** 2)
warm = ka.Continuation()  # every solve starts from what the last ones left
last = {}


def loss(p):
    H = hamiltonian(potential(p))
    w, X = ka.eigsh(H, k=4, which="SA", tol=1e-8, adjoint=adjoint, continuation=warm)
    spread = np.sum(X[:, 0] ** 2 * distance2)
    value = np.sum((w - targets) ** 2) + (spread - radius**2) ** 2
    # Plain numbers, for us to look at.
    last.update(w=getval(w), X=getval(X), rms=getval(spread) ** 0.5, loss=getval(value))
    return value


# %% Is the gradient right?
p0 = np.zeros(waves.size**2)
print(f"{n * n} unknowns. First gradient, in a random direction:")
print(f"  {ka.check_gradient(loss, p0)}")

# %% Optimise
history = [last["w"]]
start_rms = last["rms"]
bar = tqdm(total=options.steps, desc="tuning", unit="step")


def progress(p):
    history.append(last["w"])
    bar.set_postfix(loss=f"{last['loss']:.1e}")
    bar.update()


result = minimize(
    value_and_grad(loss),
    p0,
    jac=True,
    method="L-BFGS-B",
    callback=progress,
    options={"maxiter": options.steps, "ftol": 1e-8},
)
bar.close()
V, w, X = potential(result.x), last["w"], last["X"]

# %% What came out
print(f"Loss {result.fun:.1e} after {result.nit} steps, {result.nfev} gradients.")
print("level   start   final  target")
for i in range(4):
    print(f"  E{i + 1}  {history[0][i]:.4f}  {w[i]:.4f}  {targets[i]:.4f}")
print(f"  rms  {start_rms:.4f}  {last['rms']:.4f}  {radius:.4f}  (ground state's distance from the spot)")
for stage in ("forward", "adjoint"):
    solves = [report for report in reports if report.stage == stage]
    residual = max(np.max(report.residuals) for report in solves)
    print(
        f"{stage}: largest relative residual {residual:.1e}, "
        f"{sum(report.applications for report in solves) / len(solves):.0f} applications of H on average"
    )

# %% A picture
colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"]
figure = Figure(figsize=(10, 5.4), layout="constrained")
panels = figure.subplot_mosaic("AAABBBLLLLLL;111222333444")
box = {"origin": "lower", "extent": (-side / 2, side / 2) * 2}
for name, title, landscape in (("A", "potential before", bowl), ("B", "potential after", V)):
    panels[name].imshow(landscape.T, cmap="gray", vmin=V.min(), vmax=8, **box)
    panels[name].contour(landscape.T, levels=targets, colors=colors, linewidths=1.2, **box)
    panels[name].set_title(title)

for i, level in enumerate(np.transpose(history) / unit):
    panels["L"].plot(level, color=colors[i], marker=".")
    panels["L"].axhline(chord[i], color=colors[i], linestyle="--", linewidth=0.8)
panels["L"].set(title="levels, in units of the chord", xlabel="step", yticks=chord)
panels["L"].yaxis.tick_right()

angle = np.linspace(0, 2 * np.pi, 100)
for i in range(4):
    density = np.reshape(X[:, i] ** 2, (n, n))
    panels[f"{i + 1}"].imshow(density.T, cmap="magma", **box)
    panels[f"{i + 1}"].contour(V.T, levels=[w[i]], colors=colors[i], linewidths=0.7, **box)
    panels[f"{i + 1}"].set_title(f"$|\\psi_{i + 1}|^2$,  E = {w[i]:.4f}", color=colors[i])
circle = spot[0] + radius * np.cos(angle), spot[1] + radius * np.sin(angle)
for name in "B1":
    panels[name].plot(*circle, color="white", linestyle=":", linewidth=1)
    panels[name].plot(*spot, "+", color="white", markersize=9)
for name in "AB1234":
    panels[name].set(xticks=[], yticks=[], xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))

figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
