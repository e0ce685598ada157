"""Where do the dampers of a tower belong?

A tower with a spire is a chain of masses, springs and dampers, one of each per storey. Its oscillations
x exp(λt) solve a quadratic eigenproblem,

    (λ² M + λ C + K) x = 0,    K = Dᵀ diag(stiffness) D,    C = Dᵀ diag(damping) D,

where D x are the drifts of the storeys. We start with damping in proportion to stiffness, as in textbooks, and
move the same total to where it makes the smallest of the first five damping ratios −Re λ/|λ| larger. SciPy gives
the plain eigenpairs, of a linearised problem; `krylov_adj.attach_nonlinear` makes them differentiable, as those of
the quadratic one.

    python examples/damped_structure.py [--points 300] [--steps 30] [--output damped_structure.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
import scipy.sparse as sp
from autograd import jacobian, value_and_grad
from autograd.tracer import getval
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.sparse.linalg import eigs

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--points", type=int, default=300, help="storeys (default 300)")
parser.add_argument("--steps", type=int, default=30, help="most steps of the optimiser (default 30)")
parser.add_argument("--output", default="damped_structure.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% The tower: height, mass density and stiffness 1, but for a slender spire on top
n, modes, total = options.points, 5, 0.02
height = (np.arange(n) + 0.5) / n
spire = height > 0.7
mass, stiffness = np.where(spire, 0.1, 1.0), np.where(spire, 0.1, 1.0)
D = sp.diags([np.ones(n), -np.ones(n - 1)], offsets=[0, -1]).tocsr() * n


# %% Plain eigenpairs: with the drifts y = D x and v = λ x, λ y = D v and λ M v = −Dᵀ (stiffness y + damping D v)
def eigenpairs(damping):
    force = -sp.diags(1 / mass) @ D.T
    blocks = [[None, D], [force @ sp.diags(stiffness), force @ sp.diags(damping) @ D]]
    A = sp.bmat(blocks, format="csc", dtype=complex)
    lam, V = eigs(A, k=modes + 3, sigma=9j, v0=np.ones(2 * n), ncv=50)  # 9j: amidst the first five
    up = [i for i in np.argsort(np.abs(lam)) if lam[i].imag > 1e-6][:modes]  # without overdamped ones
    return lam[up], V[n:, up] / np.linalg.norm(V[n:, up], axis=0)


# %% The same pairs, differentiable with respect to the damping
def eigenvalues(damping):
    def T(lam):
        return D.T @ ka.diags_array(stiffness + lam * damping) @ D + ka.diags_array(lam**2 * mass)

    return ka.attach_nonlinear(T, *eigenpairs(getval(damping)))[0]


# %% The loss: a smooth minimum of the damping ratios, of shares exp(p) of the total
history = []


def dampers(p):
    shares = stiffness * np.exp(p)
    return total * shares / np.mean(shares)


def loss(p):
    lam = eigenvalues(dampers(p))
    history.append(getval(lam))
    ratios = -np.real(lam) / np.abs(lam)
    return np.log(np.mean(np.exp(-200 * ratios))) / 200


# %% Is the gradient right?
p0 = np.zeros(n)
print(f"{n} storeys. First gradient, in a random direction:")
print(f"  {ka.check_gradient(loss, p0, step=0.03)}")

# %% Optimise
history.clear()
path = []
result = minimize(
    value_and_grad(loss),
    p0,
    jac=True,
    method="L-BFGS-B",
    callback=lambda p: path.append(history[-1]),
    options={"maxiter": options.steps},
)
path = np.array([history[0], *path])  # (steps + 1, modes)
before, after = dampers(p0), dampers(result.x)

# %% What came out
ratios = -path.real / np.abs(path)
print(f"{result.nit} steps, {result.nfev} gradients. Total damping {np.mean(before):.6f}, then {np.mean(after):.6f}.")
print("mode  frequency  damping ratio before  after")
for i in range(modes):
    print(f"{i + 1:4}  {np.abs(path[-1, i]):9.3f}  {ratios[0, i]:20.2%}  {ratios[-1, i]:5.2%}")
foot, top = np.mean(after[height < 0.2]) * 0.2 / total, np.mean(after * spire) / total
print(f"The smallest went from {min(ratios[0]):.4f} to {min(ratios[-1]):.4f}, ", end="")
print(f"with {foot:.0%} of the damping in the lowest fifth and {top:.1%} in the spire.")

# %% What a damper adds to the decay rate of each mode, by where it sits
gain = n * jacobian(lambda damping: -np.real(eigenvalues(damping)))(before)  # (modes, n)

# %% A picture
figure = Figure(figsize=(10, 5.2), layout="constrained")
towers, gains, plane = figure.subplots(1, 3, width_ratios=(1, 1, 1.6))
colors, styles = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"), ("-", "--", ":")
half = np.sqrt(stiffness)
for middle, damping in ((0, before), (2.6, after)):
    shade = colormaps["YlOrBr"](np.sqrt(damping / np.max(after)))
    towers.barh(height, 2 * half, 1.5 / n, left=middle - half, color=shade)
    towers.plot(middle - half, height, middle + half, height, color="0.3", linewidth=1)
towers.set(
    title="damping (√ scale)",
    xticks=(0, 2.6),
    xticklabels=("before", "after"),
    yticks=(0, 0.5, 1),
    ylabel="height",
    ylim=(0, 1),
    frame_on=False,
)

for i in range(3):
    gains.plot(gain[i] / np.max(gain[i]), height, styles[i], color=colors[i], label=f"mode {i + 1}")
gains.set(title="where a damper helps", xlabel="decay rate gained (scaled)", xlim=(0, None), ylim=(0, 1), yticks=())
gains.legend()

for i in range(modes):
    plane.plot(path[:, i].real, path[:, i].imag, ".-", color=colors[i], markersize=3, linewidth=0.8)
    plane.plot(path[0, i].real, path[0, i].imag, "o", color=colors[i], markerfacecolor="white")
    plane.plot(path[-1, i].real, path[-1, i].imag, "o", color=colors[i])
    place = (path[-1, i].real, path[-1, i].imag)
    plane.annotate(
        f"mode {i + 1}", place, (-14, 7), textcoords="offset points", color=colors[i], weight="bold", ha="right"
    )
edge = 1.08 * np.max(path.imag)
for worst, style in ((min(ratios[0]), ":"), (min(ratios[-1]), "--")):
    reach = -edge * np.tan(np.arcsin(worst))
    plane.plot([0, reach], [0, edge], style, color="0.4", label=f"damping ratio {worst:.1%}")
plane.set(
    title="eigenvalues, before (○) and after (●)",
    xlabel="Re λ (inverse time)",
    ylabel="Im λ",
    xlim=(None, 0),
    ylim=(0, edge),
)
plane.yaxis.tick_right()
plane.legend(loc="lower left")
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
