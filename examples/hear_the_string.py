"""Hear the density of a string.

A string of length 1 and tension 1 with the density ρ(x) sounds at the angular frequencies ω of

    −u″ = ω² ρ(x) u,    u(0) = 0,    and    u(1) = 0 (held)    or    u′(1) = 0 (its right end let go).

The tones of the held string alone cannot tell it from its mirror image. Both spectra together determine ρ
(Borg 1946, Krein 1951). We hear the first six tones of each and look for ρ by Newton's method, whose products
with the Hessian are second derivatives of eigenvalues, through `krylov_adj.eigsh`.

    python examples/hear_the_string.py [--points 1000] [--output hear_the_string.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
import scipy.sparse as sp
from autograd import grad, make_vjp
from matplotlib import colormaps
from matplotlib.figure import Figure

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--points", type=int, default=1000, help="points along the string (default 1000)")
parser.add_argument("--output", default="hear_the_string.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% The string: K u = ω² M u, with K for the tension and M = diag(ρ)
n = options.points
x = np.arange(1, n + 1) / (n + 1)
slope = sp.diags([np.ones(n), -np.ones(n)], offsets=[0, -1], shape=(n + 1, n)).tocsr() * (n + 1)
K_held = slope.T @ slope
K_let_go = slope[:-1].T @ slope[:-1]  # without the last spring
v0 = np.random.default_rng(0).standard_normal(n)  # a symmetric start would miss every other tone

reports = []
adjoint = ka.Adjoint(callback=reports.append)


def frequencies(rho, tones=6):
    M = ka.diags_array(rho)
    spectra = [ka.eigsh(K, tones, M, sigma=0, v0=v0, adjoint=adjoint)[0] for K in (K_held, K_let_go)]
    return np.sqrt(np.concatenate(spectra))


# %% What we hear, as many unknowns as tones, and the loss: squared intervals between the tones, in log ω
true = 1 + 1.5 * np.exp(-(((x - 0.3) / 0.08) ** 2)) - 0.5 * np.exp(-(((x - 0.75) / 0.1) ** 2))
heard = frequencies(true)
cosines = np.cos(np.pi * np.outer(x, np.arange(heard.size)))  # the true density is close to, not of this form


def density(p):
    return np.exp(cosines @ p)


def loss(p):
    return np.sum(np.log(frequencies(density(p)) / heard) ** 2)


# %% Are the derivatives right?
p = np.zeros(heard.size)
print(f"{n} points, {p.size} unknowns. Derivatives at ρ = 1, in a random direction:")
print(f"  gradient: {ka.check_gradient(loss, p)}")
print(f"  Hessian:  {ka.check_gradient(loss, p, order=2)}")


# %% A Newton step: H s = −g by conjugate gradients, as far as the curvature and the trust region allow
def steihaug(hvp, g, radius, tolerance):
    s, r = np.zeros_like(g), -g  # r = −g − H s
    d = r
    for iteration in range(1, 3 * g.size):
        Hd = hvp(d)
        length = (r @ r) / (d @ Hd) if d @ Hd > 0 else np.inf
        if d @ Hd <= 0 or np.linalg.norm(s + length * d) >= radius:  # to the edge of the region
            length = (np.sqrt((s @ d) ** 2 + (d @ d) * (radius**2 - s @ s)) - s @ d) / (d @ d)
            return s + length * d, r - length * Hd, iteration
        s, last, r = s + length * d, r, r - length * Hd
        if np.linalg.norm(r) <= tolerance:
            break
        d = r + (r @ r) / (last @ last) * d
    return s, r, iteration


# %% Newton's method. One trace gives the gradient and all products with the Hessian at that point.
value, radius, steps, solved, products = loss(p), 0.5, [], [], 0
print("\nstep     loss  cents out of tune  |gradient|  CG steps  linear systems")
while True:
    hvp, g = make_vjp(grad(loss))(p)
    size = np.linalg.norm(g)
    steps.append((density(p), value, size))
    cents = 1200 / np.log(2) * np.sqrt(value / heard.size)
    print(f"{len(steps) - 1:4}  {value:.1e}  {cents:17.3g}  {size:10.1e}", end="")
    if size <= 1e-10 * steps[0][2] or len(steps) > 20:
        break
    reports.clear()
    s, r, iterations = steihaug(hvp, g, radius, min(0.01, size / steps[0][2]) * size)
    solved.append(np.sum([(report.residuals.size, report.solves) for report in reports], axis=0))
    products += iterations
    print(f"  {iterations:8}  {solved[-1][0]:14}")
    trial = loss(p + s)
    agreement = 2 * (value - trial) / (s @ (r - g))  # with the quadratic model
    if agreement < 0.25:
        radius = np.linalg.norm(s) / 4
    elif agreement > 0.75 and np.linalg.norm(s) > 0.99 * radius:
        radius = 2 * radius
    if trial < value:
        p, value = p + s, trial
systems, applications = np.sum(solved, axis=0)
found = density(p)
print(f"\n\n{len(steps) - 1} Newton steps, {products} products with the Hessian: ", end="")
print(f"{systems / products / heard.size:.2g} linear systems per tone and product, {applications} applications of 1/K")
print(f"Density off by at most {np.max(np.abs(found - true)):.2g}, at the start {np.max(np.abs(1 - true)):.2g}")

# %% A picture
figure = Figure(figsize=(10, 5.4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
strings, densities = left.subplots(2, height_ratios=(1, 3))
convergence, tuning = right.subplots(2)

shades = colormaps["plasma"](np.linspace(0.85, 0.1, len(steps)))
for step, (rho, _, _) in enumerate(steps):
    densities.plot(x, rho, color=shades[step], linewidth=2 if step == len(steps) - 1 else 1)
densities.plot(x, true, color="0.8", linewidth=8, zorder=1)
densities.set(xlim=(0, 1), ylim=(0, None), xlabel="x / length", ylabel="density ρ, at every Newton step")
for row, rho, color in ((2, steps[0][0], shades[0]), (1, found, shades[-1]), (0, true, "0.7")):
    strings.fill_between(x, row - 0.3 * np.sqrt(rho), row + 0.3 * np.sqrt(rho), color=color, linewidth=0)
strings.set(xlim=(0, 1), xticks=(), yticks=(0, 1, 2), yticklabels=("true", "found", "start"), frame_on=False)

convergence.semilogy([size / steps[0][2] for _, _, size in steps], "o-", color="0.3", label="gradient")
convergence.semilogy([value / steps[0][1] for _, value, _ in steps], "s--", color="0.3", label="loss")
convergence.set(
    title="Newton's method",
    xlabel="step",
    ylabel="relative to the start",
    ylim=(1e-30, 1e2),
    yticks=(1, 1e-8, 1e-16, 1e-24),
)
convergence.legend()

tone, expected = np.arange(1, 13), frequencies(true, 12)
for name, rho, color in (("start", steps[0][0], shades[0]), ("found", found, shades[-1])):
    held, let_go = np.reshape(1200 * np.log2(frequencies(rho, 12) / expected), (2, 12))
    tuning.plot(tone, held, "o", color=color, label=f"{name}, held")
    tuning.plot(tone, let_go, "o", color=color, markerfacecolor="none", label=f"{name}, let go")
tuning.axvspan(0.5, 6.5, color="0.92", zorder=0)
tuning.set(
    title="out of tune, before and after", ylabel="cents", xlabel="tone (shaded: heard)", xticks=tone, ylim=(-80, 380)
)
tuning.legend(ncols=2)
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
