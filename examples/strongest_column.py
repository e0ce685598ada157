"""The strongest column: the lowest eigenvalue maximised where it is double.

A column of length one with the cross-section A(x), clamped at both ends, buckles under the lowest load λ of

    (A² u″)″ = −λ u″,    u = u′ = 0 at both ends,    ∫ A dx = 1

(similar cross-sections: the bending stiffness grows with A²). A uniform one carries 4π² = 39.48. Tadjbakhsh and Keller
(1962) shaped it with the derivative of the one lowest eigenvalue, and found 16π²/3 = 52.64, which no column carries:
a second mode had become the lowest. Olhoff and Rasmussen (Int. J. Solids Struct. 13 (1977) 605) gave the answer,
52.3563, at which two modes buckle under the same load.

A double eigenvalue has no gradient. `krylov_adj.cluster_gradient` has the derivatives of both as one matrix, and the
step of a proximal model that knows how far apart they are. It is compared with the gradient of the lowest eigenvalue
alone, and with a soft minimum (`krylov_adj.softmax_eigenvalue`), which is smooth but another function.

    python examples/strongest_column.py [--elements 200] [--solves 200] [--output strongest_column.png]
"""

# %% Options
import argparse
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
import numpy as onp
import skfem
from autograd import value_and_grad
from autograd.tracer import getval
from matplotlib.figure import Figure
from scipy.optimize import minimize
from skfem.helpers import dd, ddot, dot
from skfem.helpers import grad as slope

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--elements", type=int, default=200, help="elements of the column (default 200)")
parser.add_argument("--solves", type=int, default=200, help="most eigensolves of a method (default 200)")
parser.add_argument("--output", default="strongest_column.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
published, uniform = 52.3563, 4 * np.pi**2

# %% Hermite's cubic elements. A is linear in each, so that A² is a sum of three products of its values at the two ends
N = options.elements
basis = skfem.Basis(skfem.MeshLine(np.linspace(0, 1, N + 1)), skfem.ElementLineHermite())


@skfem.BilinearForm
def bending(u, v, w):
    s = np.mod(N * w.x[0], 1)
    return (1 - s) ** w.left * s**w.right * ddot(dd(u), dd(v))


@skfem.BilinearForm
def shortening(u, v, _):
    return dot(slope(u), slope(v))


parts = [bending.elemental(basis, left=2 - r, right=r).tolocal() for r in range(3)]  # (elements, 4, 4) each
free = basis.complement_dofs(basis.get_dofs())
number = np.full(basis.N, -1)  # `assemble` drops what is negative
number[free] = np.arange(free.size)
dofs = number[basis.element_dofs.T]
G = shortening.assemble(basis).tocsr()[free][:, free]
v0 = np.random.default_rng(0).standard_normal(free.size)


# %% The lowest loads, of the logarithm of A up to a factor: any numbers p are a column of volume one
def area(p):
    a = np.exp(p)
    return a / np.mean(0.5 * (a[1:] + a[:-1]))


def stiffness(p):
    a = area(p)
    left, right = a[:-1, None, None], a[1:, None, None]
    K = left**2 * parts[0] + 2 * left * right * parts[1] + right**2 * parts[2]
    return ka.assemble(K, dofs, (free.size, free.size))


lowest = []  # of each eigensolve of the method that runs


def loads(p, k=2):
    """The matrix H, (k, k), of the k lowest loads: smooth in p where they meet."""
    H = ka.invariant_subspace(stiffness(p), k, G, sigma=0.0, v0=v0, hermitian=True).H
    lowest.append(np.linalg.eigvalsh(getval(H))[:2])
    return H


def single(p):
    w = ka.eigsh(stiffness(p), 2, G, sigma=0.0, v0=v0)[0]
    lowest.append(np.sort(getval(w)))
    return w[0]


def soft(p, beta):
    return -ka.softmax_eigenvalue(-loads(p, 3), beta)


# %% Are the gradients right?
start = np.zeros(N + 1)
bent = 0.3 * np.sin(7 * np.linspace(0, 1, N + 1))
print(
    f"{N + 1} cross-sections, {free.size} unknowns. A uniform column carries {single(start):.5f} (4π² = {uniform:.5f})"
)
print(f"  {ka.check_gradient(lambda p: soft(p, 0.1), bent, step=0.1)}")


# %% The proximal model of both loads: a step is taken where it brings a tenth of what the model promises
def climb_model(p, tau=1.0):
    model = ka.cluster_gradient(lambda q: -loads(q), p)  # the largest eigenvalue of −H is minus the lowest of H
    while len(lowest) < options.solves:
        step = model.proximal(tau)
        promised = model.w[-1] - step.value
        if promised < 1e-9 * published:
            break
        there = ka.cluster_gradient(lambda q: -loads(q), p + step.d)
        gained = model.w[-1] - there.w[-1]
        if gained > 0.1 * promised:
            p, model = p + step.d, there
        tau *= 2 if gained > 0.7 * promised else 1 if gained > 0.1 * promised else 1 / 3
    return p


# %% Plain ascent on the gradient of the lowest load, Armijo's steps
def climb_single(p, step=1.0):
    value, gradient = value_and_grad(single)(p)
    while len(lowest) < options.solves:
        there, slope_there = value_and_grad(single)(p + step * gradient)
        if there > value + 1e-4 * step * np.sum(gradient**2):
            p, value, gradient, step = p + step * gradient, there, slope_there, 2 * step
        else:
            step /= 2
    return p


# %% A soft minimum of three loads by L-BFGS: where two coincide it is log(2)/β below them
def climb_soft(beta):
    def climb(p):
        limits = {"maxfun": options.solves, "maxiter": options.solves, "ftol": 1e-13, "gtol": 1e-6}
        function = value_and_grad(lambda p: -soft(p, beta))
        return minimize(function, p, jac=True, method="L-BFGS-B", options=limits).x

    return climb


# %% All of them from the uniform column
methods = {
    "plain ascent, λ₁ alone": climb_single,
    "soft minimum, β = 3": climb_soft(3.0),
    "soft minimum, β = 30": climb_soft(30.0),
    "proximal model of both": climb_model,
}
histories, columns = {}, {}
print(f"{'':24}  eigensolves  best λ₁    λ₂ there   solves until 0.1 %, 0.01 % below {published}")
warned = 0
for name, climb in methods.items():
    lowest.clear()
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always", ka.DegeneracyWarning)
        columns[name] = climb(start)
    assert not given or climb is climb_single, "only single gradients are in doubt"
    warned += len(given)
    history = np.array(lowest)
    best = np.argmax(history[:, 0])
    histories[name] = history
    first = [np.flatnonzero(history[:, 0] > (1 - share) * published) for share in (1e-3, 1e-4)]
    needed = ", ".join(f"{which[0] + 1:d}" if which.size else "never" for which in first)
    print(f"{name:24}  {len(history):11d}  {history[best, 0]:8.5f}   {history[best, 1]:8.5f}   {needed}")

print(f"{warned} gradients of λ₁ alone came with a DegeneracyWarning, none of the others.")

# %% Is it the published one, is it double, and is it stationary?
p = columns["proximal model of both"]
X, H = ka.invariant_subspace(stiffness(p), 3, G, sigma=0.0, v0=v0, hermitian=True)
w, Q = np.linalg.eigh(H)
smallest = ka.cluster_gradient(lambda q: -loads(q), p).minimal_norm()
alone = np.linalg.norm(ka.cluster_gradient(lambda q: loads(q, 1), start).gradient(np.eye(1)))
print(f"λ = {w[0]:.5f}, {w[1]:.5f}, {w[2]:.5f}; published: {published}; least area {np.min(area(p)):.3f}")
print(
    f"smallest generalised gradient {smallest.norm:.1e} (uniform: {alone:.1e}), certificate {smallest.certificate:.0e}"
)
assert abs(w[0] / published - 1) < 2000 / N**4 + 1e-6, "not the published load"  # the mesh's error, and rounded digits
assert w[1] - w[0] < 1e-3 * w[0] < w[2] - w[1], "not a double eigenvalue"
assert smallest.norm < 1e-2 * alone, "not stationary"

# %% A picture
colors = dict(zip(methods, ("#D55E00", "#999999", "#56B4E9", "#0072B2"), strict=True))
figure = Figure(figsize=(10, 5.6), layout="constrained")
panels = figure.subplot_mosaic("AC;BD", width_ratios=(1.1, 1))
x, radius = np.linspace(0, 1, N + 1), np.sqrt(area(p) / np.pi)
panels["A"].fill_between(x, -radius, radius, color="#E8C9A0")
panels["A"].plot(x, radius, x, -radius, color="#8C5A1E")
for sign in (1, -1):
    panels["A"].axhline(sign * np.pi**-0.5, color="0.4", linestyle="--", linewidth=1)
panels["A"].text(0.25, 0.6, f"uniform, λ = {uniform:.2f}", ha="center", color="0.4", fontsize=8)
panels["A"].set(title=f"the strongest column, λ = {w[0]:.4f}", xlim=(0, 1), ylim=(-0.85, 0.85), ylabel="radius")
deflections = np.zeros((basis.N, 2))
deflections[free] = X @ Q[:, :2]
u = deflections[basis.nodal_dofs[0]]  # any two vectors of the space: a mirror tells the modes apart
for parity, sign, color in (("symmetric", 1, "#0072B2"), ("antisymmetric", -1, "#D55E00")):
    mode = np.linalg.svd(u + sign * u[::-1])[0][:, 0]
    panels["B"].plot(x, mode * np.sign(mode[N // 4]) / np.max(np.abs(mode)), color=color, label=parity)
panels["B"].set(
    title="it buckles in two modes", xlim=(0, 1), ylim=(-1.1, 1.1), xlabel="x", ylabel="u", yticks=(-1, 0, 1)
)
panels["B"].legend(loc="lower left", frameon=False)
for name, history in histories.items():
    short = 1 - onp.maximum.accumulate(history[:, 0]) / w[0]
    panels["C"].semilogy(np.arange(1, len(short) + 1), np.maximum(short, 1e-8), color=colors[name], label=name)
panels["C"].set(title="what is missing", xlabel="eigensolves", ylabel="1 − λ₁/λ", xlim=(0, None), ylim=(1e-7, 1))
panels["C"].legend(frameon=False, fontsize=8)
for name in ("plain ascent, λ₁ alone", "proximal model of both"):
    shown = histories[name][:40]
    for j, style in ((0, "-"), (1, ":")):
        panels["D"].plot(np.arange(1, len(shown) + 1), shown[:, j], style, color=colors[name])
panels["D"].set(title="λ₁ (—) and λ₂ (···) as they meet", xlabel="eigensolves", ylabel="λ", xlim=(1, 40), ylim=(38, 82))
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
