"""Band gaps of square photonic crystals, opened by linear programs: for `band_gap.py` and `benchmarks/band_gap.py`.

Light with its electric field E along z, in a crystal of permittivity ε(x, y) and lattice constant one, has the bands
λ = (ω/c)² of

    −∇² E = λ ε E,    E(r + R) = exp(ik·R) E(r)    for lattice vectors R.

The permittivities of the cells, all between air and silicon, are to part the bands m and m + 1 as far as possible, at
all wave vectors k. The edges of an optimal gap are attained by many bands, at many k: the gap has no gradient there.

At some permittivities let Φ, ΦᴴεΦ = I, span the eigenvectors at one k of bands close to the gap, −∇² be diag(w) there,
and Tᵢ = Φᴴ(∂ε/∂xᵢ)Φ. With ε = Σ xᵢ ∂ε/∂xᵢ and s = 1/λ the bands in the span of Φ are below λ where Σ xᵢTᵢ ⪰ s diag(w),
and above it where Σ xᵢTᵢ ⪯ s diag(w). The largest gap (s₊ − s₋)/(s₊ + s₋) of all these spans, below and above, is a
linear program in (t x, t s₊, t s₋, t) with t (s₊ + s₋) = 1, but for the matrix inequalities. Each of them says
vᴴ(…)v ≥ 0 for every v. The program starts with unit vectors v, and gets those eigenvectors for which its solution
violates it.

H. Men, N. C. Nguyen, R. M. Freund, P. A. Parrilo, J. Peraire, J. Comput. Phys. 229 (2010) 3706 (subspaces, with
semidefinite programs); A. Charnes, W. W. Cooper, Nav. Res. Logist. 9 (1962) 181 (t); J. E. Kelley, J. SIAM 8 (1960) 703
(cutting planes).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

import krylov_adj as ka

AIR, SILICON = 1.0, 11.56
CORNERS = np.array([[0.0, 0.0], [np.pi, 0.0], [np.pi, np.pi]])  # Γ, X and M

#: Cells along each side of the crystals that are all tried: 10 numbers, with the symmetry.
COARSE = 8

#: Bands are in the program whose λ is within this factor of the edge of the gap, this many for a wave vector and side.
REACH, MOST = 1.35, 5

#: A cut, a row of norm one, counts as kept where it is violated by no more than this: HiGHS keeps rows to 1e-7, and
#: would be asked for cuts that it has already. The relative gap is off by about as much, a tenth of what ends a run.
KEPT = 1e-6

#: Most rounds of cuts of one program. After them it is refused.
ROUNDS = 60


class Crystal:
    """A grid of cells over the unit cell, one permittivity for all cells that the symmetry makes equal.

    ``symmetric``: the symmetry of the square, for which wave vectors around the triangle Γ – X – M are enough.
    Otherwise each cell has its own.
    """

    def __init__(self, grid: int, below: int, wave_vectors: np.ndarray, symmetric: bool = True):
        n = grid**2
        self.grid, self.below, self.wave_vectors = grid, below, wave_vectors
        self.owner = np.arange(n)
        if symmetric:
            i = np.minimum(np.arange(grid), grid - 1 - np.arange(grid))
            orbit = np.maximum.outer(i, i) * grid + np.minimum.outer(i, i)
            self.owner = np.unique(orbit.ravel(), return_inverse=True)[1].ravel()
        self.size = int(self.owner.max()) + 1
        self.sum_cells = sp.csr_array((np.ones(n), (self.owner, np.arange(n))), (self.size, n))
        shape, spacing = (grid, grid), 1 / grid
        self.operators = [-ka.pde.laplacian(shape, spacing=spacing, boundary=k).explicit() for k in wave_vectors]
        self.v0 = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, n))
        self.solves = 0

    def permittivity(self, x):
        """The permittivity of every cell, (grid, grid)."""
        return x[self.owner].reshape(self.grid, self.grid)

    def bands(self, x, more: int = 4):
        """The lowest bands of every wave vector: λ and E, rising, EᴴεE = I where they coincide too."""
        M, found = sp.diags_array(x[self.owner]), []
        for A in self.operators:
            X, H = ka.invariant_subspace(A, self.below + more, M, sigma=-1.0, v0=self.v0, hermitian=True)
            w, Q = np.linalg.eigh(H)
            found.append((w, X @ Q))
            self.solves += 1
        return found

    def sensitivities(self, E):
        """The matrices Eᴴ (∂ε/∂xᵢ) E of all permittivities, (size, p, p), of p bands."""
        p = E.shape[1]
        products = E.conj()[:, :, None] * E[:, None, :]
        return (self.sum_cells @ products.reshape(-1, p * p)).reshape(-1, p, p)

    def edges(self, bands):
        """λ at the top of band m and at the bottom of band m + 1."""
        return max(w[self.below - 1] for w, _ in bands), min(w[self.below] for w, _ in bands)


def walk_triangle(points: int) -> np.ndarray:
    """Wave vectors Γ – X – M – Γ around the irreducible part of the Brillouin zone, ``points`` on each leg."""
    leg, zero, one = np.linspace(0, np.pi, points, endpoint=False), np.zeros(points), np.full(points, np.pi)
    return np.concatenate([np.stack([leg, zero], 1), np.stack([one, leg], 1), np.stack([one - leg, one - leg], 1)])


def relative_gap(edges) -> float:
    """The gap between the frequencies √λ over their mean. Negative: the bands overlap."""
    low, high = np.sqrt(np.maximum(edges, 0))  # at Γ the lowest λ is zero, but for rounding
    return 2 * (high - low) / (high + low)


def relative_width(edges) -> float:
    """The program's own objective: the same of λ, and half of it."""
    return (edges[1] - edges[0]) / (edges[1] + edges[0])


def draw_noise(crystal: Crystal, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(AIR, SILICON, crystal.size)


def screen(crystal: Crystal) -> np.ndarray:
    """The best of all crystals of 8 × 8 cells of air or silicon at Γ, X and M, on the crystal's own grid.

    1,024 crystals of 64 unknowns at three wave vectors, all by LAPACK: about as much work as one iteration of a program
    on the grid of 32 × 32.
    """
    if crystal.grid % COARSE:
        raise ValueError(
            f"a grid of {crystal.grid} cells is no refinement of one of {COARSE}: take a multiple of {COARSE}"
        )
    small = Crystal(COARSE, crystal.below, CORNERS)
    operators = [np.real(A.toarray()) for A in small.operators]  # exp(ik·R) = ±1
    best, best_gap = np.zeros(0), -np.inf
    for number in range(2**small.size):
        x = np.where(number >> np.arange(small.size) & 1, SILICON, AIR)
        r = x[small.owner] ** -0.5
        found = relative_gap(small.edges([(np.linalg.eigvalsh(r[:, None] * A * r), None) for A in operators]))
        if found > best_gap + 1e-9:  # a crystal moved by half a period is the same one: the first of the two
            best, best_gap = x, found
    cells = np.kron(small.permittivity(best), np.ones((crystal.grid // COARSE,) * 2))
    return crystal.sum_cells @ cells.ravel() / (crystal.sum_cells @ np.ones(cells.size))


class Span(NamedTuple):
    """Bands close to the gap at one wave vector: their λ, (p,), and Tᵢ, (size, p, p). ``side``: 1 below, −1 above."""

    w: np.ndarray
    T: np.ndarray
    side: int

    def worst(self, x, s):
        """Eigenvectors, as rows, of side (s diag(w) − Σ xᵢTᵢ) to positive eigenvalues: it may have none."""
        excess, V = np.linalg.eigh(self.side * (s * np.diag(self.w) - np.tensordot(x, self.T, 1)))
        return V[:, excess > 0].T

    def cut(self, v):
        """The row of vᴴ side (s diag(w) − Σ xᵢTᵢ) v ≤ 0 for the unknowns (t x, t s₊, t s₋)."""
        s = float(np.abs(v) ** 2 @ self.w)
        row = np.append(-np.real(np.einsum("a,iab,b->i", v.conj(), self.T, v)), [s, 0.0] if self.side > 0 else [0.0, s])
        return self.side * row / np.linalg.norm(row)


def take_spans(crystal: Crystal, bands) -> list[Span]:
    """The bands close to the gap, chosen anew in every iteration."""
    (top, bottom), m, spans = crystal.edges(bands), crystal.below, []
    for w, X in bands:
        chosen = (
            (np.flatnonzero(w[:m] > top / REACH)[-MOST:], 1),
            (np.flatnonzero(w[m:] < bottom * REACH)[:MOST] + m, -1),
        )
        for which, side in chosen:
            if which.size:
                spans.append(Span(w[which], crystal.sensitivities(X[:, which]), side))
    return spans


def solve_program(spans: list[Span], low, high):
    """The permittivities between ``low`` and ``high`` of the largest gap of all spans, that gap, and how many cuts."""
    if np.any(low > high):
        worst = np.argmax(low - high)
        raise ValueError(f"no permittivity between {low[worst]:g} and {high[worst]:g}, the bounds of number {worst}")
    Q = len(low)
    identity, zero = sp.eye_array(Q), sp.csr_array((Q, 2))
    box = sp.vstack([sp.hstack([identity, zero, -high[:, None]]), sp.hstack([-identity, zero, low[:, None]])])
    cost, scale = np.zeros(Q + 3), np.zeros((1, Q + 3))
    cost[Q : Q + 2], scale[0, Q : Q + 2] = (-1, 1), 1
    rows = [span.cut(v) for span in spans for v in np.eye(len(span.w))]
    started = len(rows)
    for _ in range(ROUNDS):
        inequalities = sp.vstack([sp.hstack([sp.csr_array(np.array(rows)), sp.csr_array((len(rows), 1))]), box])
        limits = np.zeros(inequalities.shape[0])
        solved = linprog(cost, inequalities.tocsr(), limits, scale, [1.0], method="highs")
        if solved.status != 0:
            raise RuntimeError(f"HiGHS found no solution of {inequalities.shape[0]} inequalities: {solved.message}")
        x, s, t = solved.x[:Q], solved.x[Q : Q + 2], solved.x[Q + 2]  # x and s times t
        new = []
        for span in spans:
            own = s[0] if span.side > 0 else s[1]
            candidates = [span.cut(v) for v in span.worst(x, own)]
            new += [row for row in candidates if row @ solved.x[: Q + 2] > KEPT]
        if not new:
            return x / t, s[0] - s[1], len(rows) - started
        rows += new
    raise RuntimeError(f"{len(rows) - started} cuts of {ROUNDS} rounds have not made the matrix inequalities hold")


class Opened(NamedTuple):
    """The crystal's permittivities, its relative gap, and of every iteration (eigensolves, relative gap)."""

    x: np.ndarray
    gap: float
    history: list[tuple[int, float]]
    cuts: int
    reason: str


def open_gap(crystal: Crystal, x, iterations: int = 60, report=None) -> Opened:
    """Open the gap from x on: programs in a trust region, which grows and shrinks with what they promise and bring."""
    crystal.solves, cuts = 0, 0
    width = SILICON - AIR
    trust, bands = 0.3 * width, crystal.bands(x)
    history, reason = [(crystal.solves, relative_gap(crystal.edges(bands)))], "iterations"
    for _ in range(iterations):
        low, high = np.maximum(AIR, x - trust), np.minimum(SILICON, x + trust)
        there, promised, added = solve_program(take_spans(crystal, bands), low, high)
        there, before = np.clip(there, AIR, SILICON), relative_width(crystal.edges(bands))
        promised, cuts = promised - before, cuts + added
        if promised < 1e-5:
            reason = "nothing more is promised"
            break
        new = crystal.bands(there)
        gained = relative_width(crystal.edges(new)) - before
        if gained > 0.1 * promised:
            x, bands = there, new
            trust = min(2 * trust, width) if gained > 0.7 * promised else trust
        else:
            trust /= 3
        history.append((crystal.solves, relative_gap(crystal.edges(bands))))
        if report is not None:
            report(history[-1])
        if trust < 1e-4 * width:
            reason = "the trust region has shrunk to nothing"
            break
    return Opened(x, history[-1][1], history, cuts, reason)
