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
heating = 0.8 + 2.0 * np.exp(-((x - 6.2) ** 2 + (y - 5.4) ** 2) / 2.5**2)  # 1/h
Q = ka.csr_array((np.ravel(heating), np.arange(n * n), np.arange(n * n + 1)), (n * n, n * n))
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
    w, X = ka.eigs(operator(flow(p)), k=1, sigma=np.max(heating), v0=np.ones(n * n))
    last.update(growth=getval(w[0]).real, mode=getval(X[:, 0]))
    return np.real(w[0])
