"""Learn to tell crossing tracks apart.

Charged particles leave hits in a detector; which hits belong together? Spectral clustering joins near hits i, j by an
edge of weight wᵢⱼ and looks at the leading eigenvectors of D^−½ W D^−½, with the degrees D of W on its diagonal. Where
tracks cross, being near is not enough. We let the weights depend on all that the detector sees,

    wᵢⱼ = exp(−θ · fᵢⱼ),    f: squares of distance, angles to the hits' directions, difference in charge,

and learn θ from a few events whose tracks are known (Bach & Jordan 2004): the projector X Xᵀ onto the leading
eigenvectors shall be the one onto the tracks. It does not care about signs, or the basis that the eigenvectors form.

    python examples/spectral_clustering.py [--tracks 8] [--steps 30] [--output spectral_clustering.png]
"""

# %% Options
import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
from autograd import value_and_grad
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.linalg import polar, qr
from scipy.optimize import linear_sum_assignment, minimize
from scipy.spatial import KDTree
from tqdm import tqdm

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--tracks", type=int, default=8, help="tracks in an event (default 8)")
parser.add_argument("--steps", type=int, default=30, help="most steps of the optimiser (default 30)")
parser.add_argument("--output", default="spectral_clustering.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
tracks = options.tracks


# %% An event: tracks, bent by a magnetic field, cross a chamber 1 m wide; hits with directions and charges, smeared
def event(seed, hits=100):
    rng = np.random.default_rng(seed)
    angle, offset = rng.uniform(0, np.pi, tracks), rng.uniform(-0.3, 0.3, tracks)[:, None]
    bend = rng.uniform(-0.8, 0.8, tracks)[:, None]  # 1/m
    s = rng.uniform(-0.7, 0.7, (tracks, hits))  # m, along the tracks
    along, across = np.exp(1j * angle)[:, None], 1j * np.exp(1j * angle)[:, None]
    z = s * along + (offset + bend * s**2 / 2) * across  # the place x + i y
    z = z + 0.002 * (rng.standard_normal(s.shape) + 1j * rng.standard_normal(s.shape))
    direction = angle[:, None] + bend * s + 0.05 * rng.standard_normal(s.shape)
    charge = rng.uniform(1, 3, tracks)[:, None] * (1 + 0.15 * rng.standard_normal(s.shape))
    inside = np.maximum(np.abs(z.real), np.abs(z.imag)) < 0.5
    return z[inside], direction[inside], charge[inside], np.nonzero(inside)[0]  # the last: the track


# %% Its graph: an edge for every two hits less than 20 cm apart, and what is seen of it
def graph(z, direction, charge):
    place = np.stack([z.real, z.imag], axis=1)
    i, j = KDTree(place).query_pairs(0.2, output_type="ndarray").T
    line = np.angle(z[j] - z[i])
    angles = np.sin(line - direction[i]) ** 2 + np.sin(line - direction[j]) ** 2
    features = np.stack([np.abs((z[i] - z[j]) / 0.2) ** 2, angles, (charge[i] - charge[j]) ** 2], axis=1)
    return i, j, features  # (edges,), (edges,), (edges, 3)


# %% The eigenvectors, next to the eigenvalue 1 that each track alone would have
def eigenvectors(theta, i, j, features):
    w, n = np.exp(-features @ theta) + 1e-6, np.max(j) + 1
    places = np.concatenate([i, j]), np.concatenate([j, i])
    degrees = ka.coo_array((np.concatenate([w, w]), places), (n, n)) @ np.ones(n)
    w = w / np.sqrt(degrees[i] * degrees[j])
    return ka.eigsh(ka.coo_array((np.concatenate([w, w]), places), (n, n)), tracks, sigma=1.01, v0=np.ones(n))[1]


# %% The loss: how far the tracks are from the space of the eigenvectors, in three events
def tracks_of(owner):  # orthonormal columns, one for each track
    members = np.eye(tracks)[owner]
    return members / np.sqrt(np.sum(members, axis=0))


known = [(graph(z, direction, charge), tracks_of(owner)) for z, direction, charge, owner in map(event, (1, 2, 3))]


def loss(p):
    overlaps = [np.sum((eigenvectors(np.exp(p), *edges).T @ truth) ** 2) for edges, truth in known]
    return 1 - np.mean(np.array(overlaps)) / tracks


# %% Is the gradient right? (p = log θ)
p0 = np.zeros(3)
print(f"{sum(edges[0].size for edges, _ in known)} edges. First gradient, in a random direction:")
print(f"  {ka.check_gradient(loss, p0)}")

# %% Learn
history = []
with tqdm(total=options.steps, desc="learning", unit="step") as bar:

    def progress(p):
        history.append(p)
        bar.update()

    result = minimize(
        value_and_grad(loss), p0, jac=True, method="L-BFGS-B", callback=progress, options={"maxiter": options.steps}
    )
print(f"Loss {loss(p0):.3f}, after {result.nit} steps {result.fun:.3f}. θ of distance, angles, charge: ", end="")
print(", ".join(f"{theta:.3g}" for theta in np.exp(result.x)))


# %% Groups from eigenvectors (Damle, Minden & Ying 2019), named after the tracks that they fit best
def groups(p, z, direction, charge, owner):
    X = eigenvectors(np.exp(p), *graph(z, direction, charge))
    pivots = qr(X.T, mode="r", pivoting=True)[1][:tracks]
    found = np.argmax(np.abs(X @ polar(X[pivots].T)[0]), axis=1)
    table = np.eye(tracks)[found].T @ np.eye(tracks)[owner]  # hits, by group and track
    return linear_sum_assignment(-table)[1][found]


new = [event(seed) for seed in tqdm(range(4, 24), desc="new events")]
scores = np.array([[np.mean(groups(p, *hits) == hits[3]) for hits in new] for p in (p0, result.x)])
print(f"{len(new)} new events: {np.mean(scores[0]):.1%} of the hits in the right group, after {np.mean(scores[1]):.1%}")

# %% A picture of a typical new event
shown = new[np.argsort(scores[1])[len(new) // 2]]
figure = Figure(figsize=(10, 4.6), layout="constrained")
panels = figure.subplot_mosaic("BAW;BAS", width_ratios=(1.4, 1.4, 1))
palette = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
for name, p, title in (("B", p0, "before"), ("A", result.x, "after")):
    i, j, features = graph(*shown[:3])
    weights = np.exp(-features @ np.exp(p))
    places = 100 * np.stack([shown[0].real, shown[0].imag], axis=1)  # cm
    edges = LineCollection(places[np.stack([i, j], axis=1)], color="0.5", linewidths=0.4, alpha=0.5 * weights, zorder=0)
    panels[name].add_collection(edges)
    found = groups(p, *shown)
    for group in range(tracks):
        panels[name].plot(*places[found == group].T, "oDs^vP"[group % 6], color=palette[group % 8], markersize=3.5)
    panels[name].set(title=f"groups {title}: {np.mean(found == shown[3]):.0%} of the hits right", aspect="equal")
    panels[name].set(xlabel="x (cm)", ylabel="y (cm)", xlim=(-52, 52), ylim=(-52, 52))
panels["A"].set(ylabel="", yticklabels=())

steps = np.exp([p0, *history])
for feature, (name, style) in enumerate(zip(("distance", "angles", "charge"), ("-", "--", "-."), strict=True)):
    panels["W"].semilogy(steps[:, feature], style, color=palette[(5, 6, 3)[feature]], label=name)
panels["W"].set(title="what counts: θ", xlabel="step", ylim=(1e-4, 1e3))
panels["W"].legend(fontsize="small")
bins = np.linspace(0, 100, 21)
for score, color, name in zip(100 * scores, (palette[1], palette[5]), ("before", "after"), strict=True):
    panels["S"].hist(score, bins, color=color, label=name)
panels["S"].set(title=f"{len(new)} new events", xlabel="hits in the right group (%)", ylabel="events")
panels["S"].legend(fontsize="small")
figure.savefig(options.output, dpi=90)
print(f"Picture: {options.output}")
