"""Bring your own eigenpairs: which side of a quantum dot molecule does the electron choose?

Two lenses of In(Ga)As in GaAs, one above the other, share an electron. Its mean height ⟨z⟩ in the ground state
responds to any change of the potential: a gate, a strained layer, a charge nearby. In three dimensions a factorisation
would not fit, so SciPy's LOBPCG finds the states, with an algebraic multigrid preconditioner from PyAMG.
`krylov_adj.attach_eigenpairs` makes them differentiable, and the same preconditioner serves the adjoint equations.

    python examples/own_eigenpairs.py [--grid 36] [--output own_eigenpairs.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
import pyamg
import scipy.sparse as sp
from autograd import grad
from autograd.tracer import getval
from matplotlib.figure import Figure
from scipy.sparse.linalg import lobpcg
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=36, help="points along x and y (default 36), 3/2 as many along z")
parser.add_argument("--output", default="own_eigenpairs.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% The dots: lengths in nm, energies in meV; ħ²/m = 1270 meV nm² for an effective mass m = 0.06 mₑ
shape = (options.grid, options.grid, 3 * options.grid // 2)
n, h = options.grid**2 * shape[2], 26.0 / options.grid
x, y, z = np.meshgrid(*(h * (np.arange(m) - (m - 1) / 2) for m in shape), indexing="ij")
rng = np.random.default_rng(1)
lenses = [(z > foot) & ((x**2 + y**2) / 9.0**2 + ((z - foot) / 6.0) ** 2 < 1) for foot in (-8, 2.0)]
V0 = np.where(lenses[0] | lenses[1], 100 + 30 * rng.standard_normal(shape), 600.0)  # an alloy is never even


def hamiltonian(V):
    return ka.diags_array(np.ravel(V)) - 635 * ka.pde.laplacian(shape, h)


# %% The states, by LOBPCG on plain values; one multigrid hierarchy will do for every potential near by
H0 = sp.csr_matrix(hamiltonian(V0).explicit())
multigrid = pyamg.smoothed_aggregation_solver(H0).aspreconditioner()
last = {"X": rng.standard_normal((n, 6))}  # two more than we read, to converge faster


def eigenpairs(V, k=4):
    w, X = lobpcg(hamiltonian(V).explicit(), last["X"].copy(), M=multigrid, tol=3e-7, largest=False, maxiter=80)
    last["X"] = X  # where the next solve starts
    return w[:k], X[:, :k]


# %% The same, differentiable, and the mean height of the ground state
reports = []


def states(V, preconditioner=multigrid):
    adjoint = ka.Adjoint(preconditioner=preconditioner, callback=reports.append)
    return ka.attach_eigenpairs(hamiltonian(V), *eigenpairs(getval(V)), hermitian=True, adjoint=adjoint)


def height(V, **settings):
    return np.sum(states(V, **settings)[1][:, 0] ** 2 * np.ravel(z))


# %% Is the gradient right? Along an electric field F in meV/nm, 10 kV/cm each
print(f"{n} unknowns. Derivative by the electric field:")
print(f"  {ka.check_gradient(lambda F: height(V0 + F * z), 0.0, step=0.02)}")

# %% The gradient, and what the preconditioner saves
response = {}
for name, preconditioner in (("with multigrid", multigrid), ("without", None)):
    response[name] = grad(height)(V0, preconditioner=preconditioner) / h**3  # nm / meV / nm³
    print(f"  adjoint {name}: {reports[-1].applications} applications of H by {reports[-1].method}")
E, X = eigenpairs(V0)

# %% The electron crosses over: levels and height in a field
fields = np.linspace(-1.0, 0.8, 10)
sweep = []
for F in tqdm(fields, desc="electric field"):
    w, Y = eigenpairs(V0 + F * z)
    sweep.append([*w[:2], Y[:, 0] ** 2 @ np.ravel(z)])
levels, heights = np.array(sweep)[:, :2], np.array(sweep)[:, 2]
slopes = [X[:, i] ** 2 @ np.ravel(z) for i in range(2)]  # dE/dF, Hellmann–Feynman
softness = np.sum(response["with multigrid"] * z) * h**3
print(f"E₁ = {E[0]:.2f} meV, E₂ = {E[1]:.2f} meV, ⟨z⟩ = {slopes[0]:.3f} nm, d⟨z⟩/dF = {softness:.3f} nm / (meV/nm)")

# %% A picture: slices through the middle
figure = Figure(figsize=(10, 5.8), layout="constrained")
panels = figure.subplot_mosaic("VRE;12H", width_ratios=(1, 1, 1.1))
middle, box = shape[1] // 2, {"origin": "lower", "extent": (x[0, 0, 0], -x[0, 0, 0], z[0, 0, 0], -z[0, 0, 0])}
slices = {
    "V": (V0, "potential (meV)", "cividis"),
    "R": (1e3 * response["with multigrid"], "d⟨z⟩/dV (10⁻³ / meV nm²)", "PuOr_r"),
}
for i in range(2):
    slices[f"{i + 1}"] = np.reshape(X[:, i] ** 2, shape) / h**3, f"$|\\psi_{i + 1}|^2$ (nm⁻³)", "magma"
for name, (field, title, colormap) in slices.items():
    cut = field[:, middle].T
    most = np.max(np.abs(cut))
    image = panels[name].imshow(cut, cmap=colormap, vmin=-most if name == "R" else 0, vmax=most, **box)
    panels[name].contour((lenses[0] | lenses[1])[:, middle].T, levels=[0.5], colors="0.6", linewidths=0.7, **box)
    panels[name].set(
        title=title, ylim=(-11, 11), xlabel="x (nm)" if name in "12" else "", ylabel="z (nm)" if name in "V1" else ""
    )
    figure.colorbar(image, ax=panels[name], shrink=0.75)

for i, color in enumerate(("#0072B2", "#D55E00")):
    panels["E"].plot(fields, levels[:, i], "o-", color=color, markersize=4, label=f"$E_{i + 1}$")
    panels["E"].plot(fields, E[i] + slopes[i] * fields, "--", color=color, linewidth=1)
panels["E"].set(title="levels, and their slopes", ylabel="E (meV)", ylim=(np.min(levels) - 2, np.max(levels) + 2))
panels["E"].legend()
panels["H"].plot(fields, heights, "o-", color="#0072B2", markersize=4)
panels["H"].plot(fields, slopes[0] + softness * fields, "--", color="#0072B2", linewidth=1)
panels["H"].set(
    title="height, and its slope",
    xlabel="electric field (10 kV/cm)",
    ylabel="⟨z⟩ of the ground state (nm)",
    ylim=(-7, 7),
)
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
