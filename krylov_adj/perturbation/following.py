"""Eigenpairs followed along a path: steps short enough that pairs are known, and what is decided where two meet.

A *chain* is a pair followed from window to window by its weights. Weights depend on the steps: a long step goes through
an avoided crossing, along the character of the vectors, short ones follow the eigenvalue around it. So chains are not
what is returned. Where two of them come close, the least gap of the two eigenvalues decides, which no step changes:

    gap ≤ meeting   a crossing: labels go with the character of the vectors;
    gap > meeting   avoided: labels go with the eigenvalues, that is with the continuous root of (λ₁ − λ₂)².

There are two signs of a meeting. Between two windows the difference of the eigenvalues has turned by more than a right
angle (changed its sign): the step has gone through. Or it is smaller in the middle one of three windows, and the two
vectors have turned into each other as an avoided crossing turns them: short steps have gone around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..krylov.space import WHOLE
from .meetings import Parabola, continue_root, fit, least_gap
from .tracking import NOBODY, Match, Window, match, weights

__all__ = ["AVOIDED", "CROSSING", "EXCEPTIONAL", "Defective", "Doubt", "Followed", "Meeting", "Rules", "follow"]

Array = np.ndarray

CROSSING, AVOIDED, EXCEPTIONAL, EXCHANGED = "crossing", "avoided", "exceptional", "exchanged"

#: A pair that may have left the window has it widened by this factor, in steps of this size at most.
WIDER = 1.5
SMALL_STEP = 0.25

#: How much of the foretold turn of two vectors their weights must show.
SHOWN = 0.5

#: A straight line between two values of (λ₁ − λ₂)² that passes zero so close, of the larger one: a branch point.
BRANCH = 0.3

#: Where a step is divided; and where of a step that would end where there are no left vectors.
HALF, ELSEWHERE = 0.5, 0.8


class Defective(ArithmeticError):
    """There are no left vectors at a point of the path, as eigenvalues are defective there: `window` has the others."""

    def __init__(self, window: Window):
        super().__init__("defective eigenvalues")
        self.window = window


@dataclass(frozen=True)
class Rules:
    """Numbers that decide: see `krylov_adj.track`. ``together`` and ``meeting`` are distances of eigenvalues."""

    k: int
    guard: int
    together: float
    meeting: float
    sure: float
    smallest: float


@dataclass(frozen=True)
class Meeting:
    """Two labels, the second −1 of a pair that is not followed; where they are closest, how close, and its kind."""

    labels: tuple[int, int]
    s: float
    gap: float
    kind: str


@dataclass(frozen=True)
class Doubt:
    """Between ``s0`` and ``s1`` a label's weight was ``weight``, that of another column ``second``."""

    label: int
    other: int
    s0: float
    s1: float
    weight: float
    second: float


@dataclass
class Followed:
    """Values (points, k), vectors (points, n, k) and weights (points, k) of the labels, and what happened."""

    w: Array
    X: Array
    weight: Array
    events: list[Meeting] = field(default_factory=list)
    degenerate: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Node:
    """A window with the chain of every column; ``free``: columns that have coincided from the start."""

    window: Window
    chains: Array
    free: list[Array]

    def columns(self, chains: Array) -> Array:
        """Return the columns of chains, `NOBODY` for those that are not here."""
        found = self.chains[:, None] == chains
        return np.where(found.any(axis=0), found.argmax(axis=0), NOBODY)


def follow(
    window: Callable[[float, int], Window],
    points: int,
    first: Array,
    most: int,
    rules: Rules,
    callback: Callable[[int], None] | None = None,
) -> Followed:
    """Follow the pairs ``first`` (columns of the window at s = 0) to s = points − 1.

    Parameters
    ----------
    window : callable
        ``window(s, K)``: at least K pairs, or as many as there are; raises `Defective`.
    points : int
        Results are kept at s = 0, 1, … points − 1.
    first : ndarray of int, shape (k,)
    most : int
        The largest K.
    rules : Rules
    callback : callable, optional
        Told the number of every point that is reached.
    """
    return _Follower(window, points, first, most, rules, callback).run()


class _Follower:
    def __init__(
        self,
        window: Callable[[float, int], Window],
        points: int,
        first: Array,
        most: int,
        rules: Rules,
        callback: Callable[[int], None] | None,
    ):
        self.solve, self.points, self.most, self.rules, self.callback = window, points, most, rules, callback
        self.K = min(rules.k + rules.guard, most)
        start = window(0.0, self.K)
        self.groups = match(start, start, first, [], rules.together).groups
        self.node = _Node(start, np.arange(start.w.size), self.groups)
        self.before: _Node | None = None
        self.new_chain = start.w.size
        #: The chain of every label, from this node on, and at it.
        self.labels, self.labels_here = first.copy(), first.copy()
        self.least = np.ones(rules.k)
        #: Pairs of chains whose meeting the last step has decided.
        self.decided: set[tuple[int, int]] = set()
        #: Where a pair of chains was last apart, and by how much.
        self.apart: dict[tuple[int, int], tuple[float, complex]] = {}
        #: Points of the path where there are no left vectors.
        self.passed: set[float] = set()
        self._remember()
        self.out = Followed(
            np.empty((points, rules.k), start.w.dtype),
            np.empty((points, start.X.shape[0], rules.k), start.X.dtype),
            np.ones((points, rules.k)),
        )
        self._record(self.node, self.labels)

    # ---- steps ---------------------------------------------------------------------------------

    def run(self) -> Followed:
        targets = [float(s) for s in range(self.points - 1, 0, -1)]
        while targets:
            s0, target = self.node.window.s, targets[-1]
            try:
                after = self.solve(target, self.K)
            except Defective as error:
                if target == int(target) and target not in self.passed:
                    self._pass_over(error.window)
                    targets.pop()
                elif target - s0 > self.rules.smallest:
                    targets[-1] = s0 + ELSEWHERE * (target - s0)
                else:
                    raise
                continue
            found = match(self.node.window, after, self._columns(), self.node.free, self.rules.together)
            doubtful = found.uncertain(self.rules.sure)
            divisible = target - s0 > self.rules.smallest
            if divisible and np.any(doubtful[self._needed(found)]):
                if self._has_left(found, doubtful) and self.K < self.most and target - s0 <= SMALL_STEP:
                    self.K = min(int(WIDER * self.K) + 1, self.most)
                else:
                    targets.append(s0 + HALF * (target - s0))
                continue
            self._accept(found, doubtful)
            targets.pop()
        self.out.events.sort(key=lambda event: event.s)
        return self.out

    def _columns(self) -> Array:
        """Return the columns of the labels at the node."""
        return self.node.columns(self.labels)

    def _needed(self, found: Match) -> Array:
        """Return the columns that have to be known: the labels', and of Hermitian problems what lies between them."""
        columns = self._columns()
        if found.before.Y is not None:
            return columns
        before, after = found.before.w, found.after.w
        low = min(np.min(before[columns]), np.min(after[found.columns[columns]]))
        high = max(np.max(before[columns]), np.max(after[found.columns[columns]]))
        moved = np.where(found.columns == NOBODY, before, after[found.columns])
        between = ((before >= low) & (before <= high)) | ((moved >= low) & (moved <= high))
        return np.union1d(columns, np.flatnonzero(between))

    def _has_left(self, found: Match, doubtful: Array) -> bool:
        """Return whether a label's weights in the window lack half of one."""
        columns = self._columns()
        return bool(np.any(doubtful[columns] & (np.abs(found.total[columns] - 1) > 0.5)))

    def _accept(self, found: Match, doubtful: Array) -> None:
        chains = np.full(found.after.w.size, NOBODY)
        certain = ~doubtful
        certain[self._columns()] = True
        rows = np.flatnonzero((found.columns != NOBODY) & certain)
        chains[found.columns[rows]] = self.node.chains[rows]
        unknown = np.flatnonzero(chains == NOBODY)
        chains[unknown] = self.new_chain + np.arange(unknown.size)
        self.new_chain += unknown.size
        if found.before is not self.node.window:  # with the basis that its space has after it has split
            self.node = _Node(found.before, self.node.chains, self.node.free)
            if self.node.window.s == int(self.node.window.s):
                self._record(self.node, self.labels)
        free = [J for J in found.groups if any(np.all(np.isin(self._rows(found, J), G)) for G in self.node.free)]
        after = _Node(found.after, chains, free)
        self._doubt(found, doubtful, after)
        columns = self._columns()
        self.least = np.minimum(self.least, found.weight[columns])
        self.labels_here = self.labels.copy()
        events = self._gone_through(after)
        events += self._gone_around(after)
        self.out.events += events
        self.before, self.node, self.groups = self.node, after, found.groups
        self._remember()
        needed = int(np.max(self._columns())) + 1 + self.rules.guard
        self.K = min(max(self.rules.k + self.rules.guard, needed), self.most)
        s = after.window.s
        if s == int(s):
            self.out.weight[int(s)] = self.least
            self.least = np.ones(self.rules.k)
            self._record(after, self.labels)
            if self.callback is not None:
                self.callback(int(s))

    def _rows(self, found: Match, J: Array) -> Array:
        """Return the columns before of the columns J after; `NOBODY` where one is new."""
        rows = [np.flatnonzero(found.columns == j) for j in J]
        return np.array([row[0] if row.size else NOBODY for row in rows])

    def _record(self, node: _Node, labels: Array) -> None:
        m, columns = int(node.window.s), node.columns(labels)
        if node.window.X.dtype != self.out.X.dtype:
            self.out.X = self.out.X.astype(np.result_type(self.out.X, node.window.X))
        self.out.w[m], self.out.X[m] = node.window.w[columns], node.window.X[:, columns]
        self.out.degenerate = [entry for entry in self.out.degenerate if entry[0] != m]
        for group in self.groups:
            together = tuple(int(label) for label in np.flatnonzero(np.isin(columns, group)))
            if together:
                self.out.degenerate.append((m, together))

    # ---- meetings ------------------------------------------------------------------------------

    def _remember(self) -> None:
        """Keep where the labels' chains are apart from others."""
        w, chains = self.node.window.w, self.node.chains
        present = set(chains.tolist())
        self.apart = {pair: seen for pair, seen in self.apart.items() if present.issuperset(pair)}
        for a, i in zip(self.labels, self._columns(), strict=True):
            for b, j in zip(chains, range(w.size), strict=True):
                if a != b and abs(w[i] - w[j]) > self.rules.together:
                    pair, sign = ((a, b), 1) if a < b else ((b, a), -1)
                    self.apart[int(pair[0]), int(pair[1])] = (self.node.window.s, complex(sign * (w[i] - w[j])))

    def _difference(self, node: _Node, pair: tuple[int, int]) -> complex | None:
        i, j = node.columns(np.array(pair))
        return None if NOBODY in (i, j) else complex(node.window.w[i] - node.window.w[j])

    def _discriminant(self, ends: tuple[_Node, _Node], pair: tuple[int, int]) -> Callable[[float], complex]:
        """Return s ↦ (λ₁ − λ₂)² of the two pairs whose vectors have most of the plane of the chains' at both ends."""
        planes = [node.window.columns(node.columns(np.array(pair))) for node in ends]

        def D(s: float) -> complex:
            there = self.solve(s, self.K)
            share = sum(np.abs(weights(plane, there)).sum(axis=0) for plane in planes)
            i, j = np.argsort(-share, kind="stable")[:2]
            return complex(there.w[i] - there.w[j]) ** 2

        return D

    def _gone_through(self, after: _Node) -> list[Meeting]:
        """Decide the meetings of pairs whose difference has turned in this step, and return them."""
        turned: dict[tuple[int, int], tuple[float, complex, complex]] = {}
        for pair, (s, d0) in self.apart.items():
            d1 = self._difference(after, pair)
            if d1 is not None and abs(d1) > self.rules.together and (np.conj(d0) * d1).real < 0:
                turned[pair] = (s, d0, d1)
        decided: dict[tuple[int, int], tuple[float, float, str | None]] = {}
        touched = set(self.labels.tolist())
        while open_pairs := [pair for pair in turned if pair not in decided and touched & set(pair)]:
            for pair in open_pairs:
                decided[pair] = self._decide(after, pair, *turned[pair])
                if decided[pair][2] in (AVOIDED, EXCHANGED):
                    touched |= set(pair)
        events = []
        for pair, (s, gap, kind) in sorted(decided.items(), key=lambda item: item[1][0]):
            if kind in (CROSSING, AVOIDED, EXCEPTIONAL) and self._followed(pair):
                events.append(Meeting(self._names(pair), s, gap, kind))
            if kind in (AVOIDED, EXCHANGED):
                self._exchange(pair)
        self.decided = set(turned)
        return events

    def _decide(
        self, after: _Node, pair: tuple[int, int], s0: float, d0: complex, d1: complex
    ) -> tuple[float, float, str | None]:
        """Return where two chains are closest, how close, and whether they cross there or avoid each other.

        "exchanged" is avoided, too close to an end of the path to be an event. None of complex eigenvalues that move around each other as the weights say.
        """
        s1 = after.window.s
        D = self._discriminant((self.node, after), pair)
        try:
            guess = s0 + (s1 - s0) * abs(d0) / (abs(d0) + abs(d1))
            points = least_gap(D, [(s0, d0**2), (guess, D(guess)), (s1, d1**2)], self.rules.together**2)
            s, gap, parabola = _closest(points)
            if gap <= self.rules.meeting:
                return s, gap, CROSSING
            root = continue_root(D, points, d0)
        except Defective as error:
            return error.window.s, 0.0, EXCEPTIONAL
        if root is None:
            return s, gap, EXCEPTIONAL
        if (np.conj(root) * d1).real >= 0:
            return s, gap, None
        return s, gap, AVOIDED if self._inside(parabola) else EXCHANGED

    def _gone_around(self, after: _Node) -> list[Meeting]:
        """Decide the meetings of pairs whose least gap short steps have resolved, and return them."""
        if self.before is None:
            return []
        events = []
        nodes = (self.before, self.node, after)
        for pair in sorted(self.apart):
            if pair in self.decided or not self._followed(pair):
                continue
            d = [self._difference(node, pair) for node in nodes]
            if None in d or not abs(d[0]) > abs(d[1]) <= abs(d[2]) or (np.conj(d[0]) * d[2]).real <= 0:  # type: ignore[arg-type]
                continue
            found = self._avoided(nodes, pair, d)  # type: ignore[arg-type]
            if found is None:
                continue
            s, gap = found
            crosses = gap <= self.rules.meeting
            event = Meeting(self._names(pair), s, gap, CROSSING if crosses else AVOIDED)
            events.append(event)
            if crosses:
                self._exchange(pair)
                if s < self.node.window.s:
                    self._exchange_here(pair)
        return events

    def _avoided(
        self, nodes: tuple[_Node, _Node, _Node], pair: tuple[int, int], d: list[complex]
    ) -> tuple[float, float] | None:
        """Return where two chains are closest and how close, if they avoid each other there; else None.

            They do if they turn into each other as their parabola says. Those further apart than a crossing are no event
        unless the gap doubles on both sides within the path.
        """
        s = [node.window.s for node in nodes]
        parabola = fit([(s[i], d[i] ** 2) for i in range(3)])
        if parabola is None or abs(parabola.rest) < SHOWN * min(abs(x) for x in d) ** 2:
            return None  # a square: two that pass each other
        columns = [node.columns(np.array(pair)) for node in (nodes[0], nodes[2])]
        c = weights(nodes[0].window.columns(columns[0]), nodes[2].window.columns(columns[1]))
        shown = 0.5 * (abs(c[0, 1]) + abs(c[1, 0]))
        if shown < SHOWN * parabola.turn(s[0], d[0], s[2], d[2]):
            return None
        # Half of what is asked in the end: the first parabola is the roughest.
        if abs(parabola.rest) ** 0.5 > 2 * self.rules.meeting and not self._inside(parabola, 0.5):
            return None
        try:
            D = self._discriminant((nodes[0], nodes[2]), pair)
            points = least_gap(D, [(s[i], d[i] ** 2) for i in range(3)], self.rules.together**2)
        except Defective:
            return None
        at, gap, closest = _closest(points)
        if not s[0] < at < s[2] or (gap > self.rules.meeting and not self._inside(closest)):
            return None
        return at, gap

    def _inside(self, parabola: Parabola | None, part: float = 1.0) -> bool:
        """Return whether the gap doubles on both sides before the path ends, or ``part`` of the way to that does."""
        if parabola is None:
            return False
        s, width = parabola.middle.real, part * parabola.width
        return width <= s <= self.points - 1 - width

    def _names(self, pair: tuple[int, int]) -> tuple[int, int]:
        """Return the labels that two chains have, −1 for none, that last."""
        found = [np.flatnonzero(self.labels == chain) for chain in pair]
        names = sorted(int(label[0]) if label.size else NOBODY for label in found)
        return (names[1], names[0]) if names[0] == NOBODY else (names[0], names[1])

    def _followed(self, pair: tuple[int, int]) -> bool:
        return any(chain in self.labels for chain in pair)

    def _exchange(self, pair: tuple[int, int]) -> None:
        """Exchange the labels of two chains, from the next node on."""
        a, b = self.labels == pair[0], self.labels == pair[1]
        self.labels[a], self.labels[b] = pair[1], pair[0]

    def _exchange_here(self, pair: tuple[int, int]) -> None:
        """Exchange them at the node where the last step began, too."""
        a, b = self.labels_here == pair[0], self.labels_here == pair[1]
        self.labels_here[a], self.labels_here[b] = pair[1], pair[0]
        if self.node.window.s == int(self.node.window.s):
            self._record(self.node, self.labels_here)

    # ---- what is not known ---------------------------------------------------------------------

    def _doubt(self, found: Match, doubtful: Array, after: _Node) -> None:
        """Say which labels are not certain though the step cannot be divided, and whether a branch point is why."""
        s0, s1 = self.node.window.s, after.window.s
        for label, i in enumerate(self._columns()):
            if not doubtful[i]:
                continue
            chain = after.chains[found.other[i]]
            name = np.flatnonzero(self.labels == chain)
            other = int(name[0]) if name.size else NOBODY
            self.out.doubts.append(Doubt(label, other, s0, s1, float(found.weight[i]), float(found.second[i])))
            pair = (int(self.labels[label]), int(chain))
            d0, d1 = self._difference(self.node, pair), self._difference(after, pair)
            if found.before.Y is not None and d0 is not None and d1 is not None:
                self._branch((label, other), s0, d0**2, s1, d1**2)

    def _branch(self, names: tuple[int, int], s0: float, D0: complex, s1: float, D1: complex) -> None:
        """Add an exceptional point where (λ₁ − λ₂)² passes zero on a straight line from D0 to D1."""
        change = D1 - D0
        t = min(max(-(np.conj(change) * D0).real / abs(change) ** 2, 0.0), 1.0) if change else 0.0
        least = abs(D0 + t * change)
        if least <= BRANCH * max(abs(D0), abs(D1)):
            self._exceptional(names, s0 + t * (s1 - s0), least**0.5)

    def _exceptional(self, names: tuple[int, int], s: float, gap: float) -> None:
        """Add an exceptional point, once."""
        labels = (max(names), NOBODY) if NOBODY in names else (min(names), max(names))
        if not any(event.kind == EXCEPTIONAL and event.labels == labels and abs(event.s - s) < 1 for event in self.out.events):
            self.out.events.append(Meeting(labels, s, gap, EXCEPTIONAL))

    def _pass_over(self, there: Window) -> None:
        """Record a point at which eigenvalues are defective, by values alone; the next step begins before it."""
        here, columns, m = self.node.window, self._columns(), int(there.s)
        _, found = linear_sum_assignment(np.abs(here.w[columns][:, None] - there.w))
        distances = np.abs(there.w[found][:, None] - there.w)
        distances[np.arange(found.size), found] = np.inf
        i, j = (int(x) for x in np.unravel_index(distances.argmin(), distances.shape))
        name = np.flatnonzero(found == j)
        other = int(name[0]) if name.size else NOBODY
        overlap = np.abs(WHOLE.dots(here.X[:, columns], there.X[:, found]))
        weight = (overlap / (WHOLE.norms(here.X[:, columns]) * WHOLE.norms(there.X[:, found]))) ** 2
        weight[[label for label in (i, other) if label != NOBODY]] = 0
        self.out.w[m], self.out.X[m], self.out.weight[m] = there.w[found], there.X[:, found], weight
        self.out.doubts.append(Doubt(i, other, here.s, there.s, 0.0, 1.0))
        self._exceptional((i, other), there.s, float(distances.min()))
        self.passed.add(there.s)
        if self.callback is not None:
            self.callback(m)


def _closest(points: list[tuple[float, complex]]) -> tuple[float, float, Parabola | None]:
    """Return where two eigenvalues are closest, how close, and the parabola through the points next to it."""
    s, least = min(points, key=lambda point: abs(point[1]))
    return s, abs(least) ** 0.5, fit(sorted(sorted(points, key=lambda point: abs(point[0] - s))[:3]))
