"""Keep a plate quiet where a motor runs.

A steel plate, clamped along one edge, vibrates at the frequencies f of

    ∇·∇·(D(t) κ(u)) = (2πf)² ρ t u,    D ∝ t³,

with the deflection u, its curvatures κ and a thickness t for each element. We move material, the mass staying what it
is, until no frequency is near that of a motor. The sum over all computed frequencies of what each costs is smooth even
where two of them cross. scikit-fem gives the matrices of the elements (Morley's), `krylov_adj.assemble` adds them up.

    python examples/plate.py [--elements 24] [--steps 60] [--output plate.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
import scipy.sparse as sp
import skfem
from autograd import value_and_grad
from autograd.tracer import getval
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.spatial import KDTree
from skfem.helpers import dd, ddot, eye, trace
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--elements", type=int, default=24, help="squares, of four triangles, across the plate (default 24)"
)
parser.add_argument("--steps", type=int, default=60, help="most steps of the optimiser (default 60)")
parser.add_argument("--output", default="plate.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% Steel, in SI units, and the plate: 0.3 m × 0.2 m, clamped at x = 0
young, poisson, density = 2.1e11, 0.3, 7850.0
length, width, thickness = 0.3, 0.2, 3e-3
N = options.elements
quads = skfem.MeshQuad.init_tensor(np.linspace(0, length, 3 * N // 2 + 1), np.linspace(0, width, N + 1))
mesh = quads.to_meshtri(style="x")
basis = skfem.Basis(mesh, skfem.ElementTriMorley())


@skfem.BilinearForm
def bending(u, v, _):  # for t = 1
    curvature = dd(u)
    moment = (1 - poisson) * curvature + poisson * eye(trace(curvature), 2)
    return young / 12 / (1 - poisson**2) * ddot(moment, dd(v))


@skfem.BilinearForm
def inertia(u, v, _):
    return density * u * v


K_elements, M_elements = bending.elemental(basis).tolocal(), inertia.elemental(basis).tolocal()  # (elements, 6, 6)
free = basis.complement_dofs(basis.get_dofs(lambda x: x[0] == 0))
number = np.full(basis.N, -1)  # `assemble` drops what is negative
number[free] = np.arange(free.size)
dofs = number[basis.element_dofs.T]


# %% Its frequencies
def frequencies(t, k=8):
    shape = (free.size, free.size)
    K = ka.assemble(t[:, None, None] ** 3 * K_elements, dofs, shape)
    M = ka.assemble(t[:, None, None] * M_elements, dofs, shape)
    w, X = ka.eigsh(K, k, M, sigma=0, v0=np.ones(free.size))
    return np.sqrt(w) / (2 * np.pi), X


# %% The thickness of each element: smooth over 15 mm, thick at most four times thin, the mass given
centres = np.mean(mesh.p[:, mesh.t], axis=1).T
areas = np.sum(basis.dx, axis=1)
distances = KDTree(centres).sparse_distance_matrix(KDTree(centres), 0.015, output_type="coo_matrix")
smoothing = sp.csr_array(((1 - distances.data / 0.015) * areas[distances.col], (distances.row, distances.col)))
smoothing = ka.aslinearoperator(sp.diags(1 / smoothing.sum(axis=1)) @ smoothing)


def thicknesses(p):
    shape = 1 + 0.6 * (smoothing @ np.tanh(p))
    return thickness * shape * np.sum(areas) / np.sum(areas * shape)


# %% The loss: a smooth maximum of −(log f / motor)², so that the nearest frequency moves away
motor, last = 100.0, {}


def loss(p, sharp=30.0):
    f = frequencies(thicknesses(p))[0]
    last["f"] = getval(f)
    return np.log(np.sum(np.exp(-sharp * np.log(f / motor) ** 2))) / sharp


# %% Is the gradient right?
p0 = np.zeros(mesh.nelements)
print(f"{mesh.nelements} thicknesses, {free.size} degrees of freedom. First gradient, in a random direction:")
print(f"  {ka.check_gradient(loss, p0)}")

# %% Optimise
history = [last["f"]]
with tqdm(total=options.steps, desc="moving material", unit="step") as bar:

    def progress(p):
        history.append(last["f"])
        bar.set_postfix(nearest=f"{min(last['f'], key=lambda f: abs(np.log(f / motor))):.1f} Hz")
        bar.update()

    result = minimize(
        value_and_grad(loss), p0, jac=True, method="L-BFGS-B", callback=progress, options={"maxiter": options.steps}
    )

# %% What came out
t = thicknesses(result.x)
f, X = frequencies(t)
print(f"Mass {1e3 * density * np.sum(areas * t):.1f} g, at the start {1e3 * density * thickness * np.sum(areas):.1f} g")
print("frequencies (Hz) before: " + "  ".join(f"{value:6.1f}" for value in history[0][:6]))
print("                  after: " + "  ".join(f"{value:6.1f}" for value in f[:6]))

# %% A picture
figure = Figure(figsize=(10, 5.6), layout="constrained")
panels = figure.subplot_mosaic("PPHH;1234", height_ratios=(2, 1))
corners = 100 * mesh.p[0], 100 * mesh.p[1], mesh.t.T  # cm
image = panels["P"].tripcolor(*corners, facecolors=1e3 * t, cmap="cividis_r", edgecolors="face")
figure.colorbar(image, ax=panels["P"], label="thickness (mm)", location="left")
panels["P"].set(title="the plate, clamped on the left", xlabel="x (cm)", ylabel="y (cm)", aspect="equal")

lines = np.array(history)
panels["H"].axhline(motor, color="#D55E00", linestyle="--")
panels["H"].text(len(lines) - 1, 1.05 * motor, f"motor: {motor:g} Hz", color="#D55E00", ha="right")
panels["H"].semilogy(lines, color="#0072B2")
panels["H"].set(title="natural frequencies", xlabel="step", ylabel="f (Hz)")
ticks = [20, 50, 100, 200, 500]
panels["H"].set_yticks(ticks, ticks)
panels["H"].yaxis.set_minor_formatter("")

for mode in range(4):
    deflection = np.zeros(basis.N)
    deflection[free] = X[:, mode]
    deflection = deflection[basis.nodal_dofs[0]]
    panel, most = panels[f"{mode + 1}"], np.max(np.abs(deflection))
    panel.tripcolor(*corners, deflection, shading="gouraud", cmap="PuOr", vmin=-most, vmax=most)
    panel.set(title=f"$f_{mode + 1}$ = {f[mode]:.1f} Hz", aspect="equal", xticks=(), yticks=())
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
