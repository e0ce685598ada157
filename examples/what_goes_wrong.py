"""What goes wrong, and what you are told.

Four questions that have no answer: the slope of a level where it meets another one; a complex eigenvector's real part;
the slope of an eigenvalue at an exceptional point; and one state of a degenerate pair of which only one was computed.
Each is asked, and the warning or error that comes is printed. Next to each there is a question that has an answer, and
its gradient is checked.

    python examples/what_goes_wrong.py [--grid 40] [--output what_goes_wrong.png]
"""

# %% Options
import argparse
import os
import sys
import textwrap
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in quantum_well.py

import autograd.numpy as np
from autograd import grad, jacobian
from matplotlib.figure import Figure

import krylov_adj as ka

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=40, help="points along each side of the box (default 40)")
parser.add_argument("--output", default="what_goes_wrong.png", help="where the picture goes")
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
n, rng = options.grid, np.random.default_rng(0)
x = np.arange(1, n + 1) / (n + 1)


def told(f, p):
    """What is said about the derivative of f at p."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return f"No objection: {grad(f)(p)}"
        except (ka.GaugeWarning, ka.DegeneracyWarning, ka.AdjointNoConvergence, ka.DefectiveEigenvalueError) as said:
            return f"{type(said).__name__}: {said}"


# %% 1. Levels that cross, in a box of sides t and 1: at t = 1 the second one is double
def levels(t):
    H = -0.5 * ka.pde.laplacian((n, n), spacing=(t / (n + 1), 1 / (n + 1)))
    return ka.eigsh(H, k=4, sigma=0, v0=rng.standard_normal(n * n))[0]


texts = [told(lambda t: levels(t)[1], 1.0)]
checks = ["sum of both levels", ka.check_gradient(lambda t: np.sum(levels(t)[1:3]), 1.0)]


# %% 2. A phase that nobody chose, in a ring of 60 sites with a magnetic flux through it and a hill at its 20th
def state(height):
    hill = np.exp(-(((np.arange(60) - 20) / 5) ** 2))
    H = ka.diags_array(height * hill) - 0.5 * ka.pde.laplacian(60, 0.3, boundary=1.0)
    return ka.eigsh(H, k=1, sigma=-1, v0=rng.standard_normal(60) + 1j * rng.standard_normal(60))[1][:, 0]


texts.append(told(lambda height: np.real(state(height)[0]), 1.0))
checks += ["|ψ|²", ka.check_gradient(lambda height: np.abs(state(height)[0]) ** 2, 1.0)]

# %% 3. Eigenvalues that coalesce, in a row of ten coupled resonators: the first has a gain g, the last a loss g
ends = np.zeros(10, complex)
ends[[0, -1]] = 1j, -1j


def resonances(g):
    row = np.eye(10, k=1) + np.eye(10, k=-1)
    w = ka.eigs(ka.aslinearoperator(row) + ka.diags_array(g * ends), k=2, sigma=0.1 + 0.1j, v0=np.ones(10))[0]
    return w[np.argsort(-np.real(w) - np.imag(w))]


texts.append(told(lambda g: np.real(resonances(g)[0]), 1.0))
checks += [
    "sum of squares next to it",
    ka.check_gradient(lambda g: np.real(np.sum(resonances(g) ** 2)), 0.99, step=1e-4),
]


# %% 4. A cluster that k cuts, in a square box with a hill in the middle: its second level is double for any height
def pair(height, k):
    hill = np.exp(-((x[:, None] - 0.5) ** 2 + (x - 0.5) ** 2) / 0.1**2)
    H = ka.diags_array(height * np.ravel(hill)) - 0.5 * ka.pde.laplacian((n, n), spacing=1 / (n + 1))
    return ka.eigsh(H, k, sigma=0, v0=rng.standard_normal(n * n))[1][:, 1:]


def crowding(states):
    return np.sum(np.sum(states**2, axis=1) ** 2)


texts.append(told(lambda height: crowding(pair(height, 2)), 20.0))
checks += ["density of both states", ka.check_gradient(lambda height: crowding(pair(height, 3)), 20.0)]

# %% What was said
questions = (
    "the slope of a level that meets another",
    "the real part of a complex eigenvector",
    "the slope at an exceptional point",
    "one state of a degenerate pair, with k = 2",
)
for question, text, name, check in zip(questions, texts, checks[::2], checks[1::2], strict=True):
    print(f"\n{question}:\n{textwrap.indent(textwrap.fill(text, 110), '    ')}\n  but the {name}:\n    {check}")

# %% A picture
figure = Figure(figsize=(10, 8))
blue, red = "#0072B2", "#D55E00"
quarters = np.ravel(figure.subfigures(2, 2))
crossing, phases, exceptional, cut = (quarter.add_axes((0.15, 0.41, 0.8, 0.51)) for quarter in quarters)
for quarter, question, text in zip(quarters, questions, texts, strict=True):
    quarter.axes[0].set_title(f"Asked: {question}")
    said = textwrap.fill(text.split(". It may be")[0], 66) + " …"
    quarter.text(0.03, 0.26, said, va="top", color=red, fontsize=9)

t = np.linspace(0.85, 1.15, 25)
crossing.plot(t, [levels(side)[1:3] for side in t], color=blue)
for side in (0.9, 1.07):
    for E, slope in zip(levels(side)[1:3], jacobian(levels)(side)[1:3], strict=True):
        arrow = {"arrowstyle": "-|>", "linewidth": 2, "color": blue}
        crossing.annotate("", (side + 0.04, E + 0.04 * slope), (side, E), arrowprops=arrow)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ka.DegeneracyWarning)
    for slope in [grad(lambda t: levels(t)[1])(1.0) for _ in range(8)]:
        crossing.plot([0.96, 1.04], levels(1.0)[1] + slope * np.array([-0.04, 0.04]), color=red, linewidth=1)
crossing.set(xlabel="side t of the box", ylabel="E (ħ²/m)")
crossing.text(1.02, 25, "eight answers, from\neight start vectors", color=red)

amplitudes = np.array([state(1.0)[0] for _ in range(30)])
circle = np.abs(amplitudes[0]) * np.exp(2j * np.pi * np.linspace(0, 1, 100))
phases.plot(circle.real, circle.imag, color=blue, label="|ψ(0)|")
phases.plot(amplitudes.real, amplitudes.imag, "o", color=red, label="ψ(0), from thirty\nstart vectors")
phases.set(xlabel="Re ψ(0)", ylabel="Im ψ(0)", aspect="equal", xlim=(-0.2, 0.58), ylim=(-0.2, 0.2))
phases.legend(loc="center right")

g = 1 + np.linspace(-0.36, 0.36, 121) ** 3 / 0.36**2 / 2.5  # dense next to the exceptional point
for part, style in ((np.real, "-"), (np.imag, "--")):
    exceptional.plot(g, [part(resonances(gain)) for gain in g], style, color=blue)
for gain in (0.88, 0.96, 0.99):
    w, slopes = np.real(resonances(gain)), jacobian(lambda gain: np.real(resonances(gain)))(gain)
    for i in range(2):
        reach = min(0.04, 0.6 * np.abs(w[i] / slopes[i]))
        arrow = {"arrowstyle": "-|>", "linewidth": 2, "color": blue}
        exceptional.annotate("", (gain + reach, w[i] + reach * slopes[i]), (gain, w[i]), arrowprops=arrow)
exceptional.plot(1, 0, "o", color=red)
exceptional.text(0.86, 0.22, "Re λ")
exceptional.text(1.08, 0.27, "Im λ")
exceptional.set(xlabel="gain and loss g (couplings)", ylabel="λ (couplings)")

for _ in range(6):
    cut.contour(x, x, np.reshape(pair(20.0, 2)[:, 0], (n, n)), levels=[0], colors=red, linewidths=1)
density = np.reshape(np.sum(pair(20.0, 3) ** 2, axis=1), (n, n))
cut.imshow(density, cmap="Blues", origin="lower", extent=(0, 1, 0, 1))
cut.text(1.05, 0.75, "nodal lines\nof ψ₂, from six\nstart vectors", color=red, va="top")
cut.text(1.05, 0.35, "|ψ₂|² + |ψ₃|²", color=blue)
cut.set(xlabel="x", ylabel="y", xlim=(0, 1), ylim=(0, 1))
figure.savefig(options.output, dpi=90)
print(f"\nPicture: {options.output}")
