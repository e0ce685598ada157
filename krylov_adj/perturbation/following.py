"""Eigenpairs followed along a path: steps so short that it is known which pair is which.

A step whose weights do not tell is divided. `tracking.py` has the weights, `decisions.py` what becomes of labels where
two eigenvalues meet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..krylov.space import WHOLE
from .chains import EXCEPTIONAL, Defective, Doubt, Followed, Meeting, Node, Rules
from .decisions import Labels, Undecided
from .tracking import NOBODY, Match, Window, coinciding, match, weights

__all__ = ["follow"]

Array = np.ndarray

#: A window that is too small is widened by this factor; where a pair may have left it, in steps of this size at most.
WIDER = 1.5
SMALL_STEP = 0.25

#: A straight line between two values of (λ₁ − λ₂)² that passes zero so close, of the larger one: a branch point.
BRANCH = 0.3

#: Where a step is divided; and where of a step that would end where there are no left vectors.
HALF, ELSEWHERE = 0.5, 0.8

#: Weights in a window that lack so much of one, or have it too much: the pair is not in the window.
LACKING = 0.5


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
        self.groups = coinciding(start.w, rules.together)
        self.node = Node(start, np.arange(start.w.size), self.groups)
        self.before: Node | None = None
        self.chains = start.w.size  # how many there have been
        self.labels = Labels(first, points, rules)
        self.least = np.ones(rules.k)
        #: Points of the path where there are no left vectors.
        self.passed: set[float] = set()
        self.out = Followed(
            np.empty((points, rules.k), start.w.dtype),
            np.empty((points, start.X.shape[0], rules.k), start.X.dtype),
            np.ones((points, rules.k)),
        )
        self._record(self.node, self.labels.chains)

    def run(self) -> Followed:
        targets = [float(s) for s in range(self.points - 1, 0, -1)]
        while targets:
            s0, target = self.node.s, targets[-1]
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
            needed, strangers = self._between(found)
            long = bool(np.any(doubtful[needed]))
            if found.before.Y is not None:
                long = long or self.labels.entangled(self.node, found.columns, after.w)
            if long and target - s0 > self.rules.smallest:
                if target - s0 <= SMALL_STEP and self.most > self.K and self._has_left(found, doubtful):
                    self.K = self._wider(self.K)
                else:
                    targets.append(s0 + HALF * (target - s0))
            elif strangers and self.node.chains.size < self.most:
                self._widen()
            elif self._accept(found, doubtful, target - s0 <= self.rules.smallest):
                targets.pop()
            else:
                targets.append(s0 + HALF * (target - s0))
        self.out.events.sort(key=lambda event: event.s)
        return self.out

    # ---- windows -------------------------------------------------------------------------------

    def _columns(self) -> Array:
        """Return the columns of the labels at the node."""
        return self.node.columns(self.labels.chains)

    def _between(self, found: Match) -> tuple[Array, bool]:
        """Return the columns at the node that have to be known, and whether there are columns after that were not here.

        The labels' have to be, and what they may meet: of Hermitian problems what lies between and next to them, before
        or after, of others what is no further from them than both move. But not what has left the window.
        """
        columns = self._columns()
        before, after = found.before.w, found.after.w
        moved = np.where(found.columns == NOBODY, before, after[found.columns])
        if found.before.Y is not None:
            way = np.abs(moved - before)
            meets = np.abs(before[:, None] - before[columns]) <= way[:, None] + way[columns]
            close = np.any(meets, axis=1) & (np.abs(found.total - 1) <= LACKING)
            return np.union1d(columns, np.flatnonzero(close)), False
        of_labels = np.r_[before[columns], after[found.columns[columns]]]
        low, high = np.min(of_labels), np.max(of_labels)
        between = _reaches(before, low, high) | _reaches(moved, low, high)
        between &= np.abs(found.total - 1) <= LACKING
        strangers = np.setdiff1d(np.flatnonzero((after >= low) & (after <= high)), found.columns)
        return np.union1d(columns, np.flatnonzero(between)), bool(strangers.size)

    def _has_left(self, found: Match, doubtful: Array) -> bool:
        """Return whether a label's weights in the window lack half of one."""
        columns = self._columns()
        return bool(np.any(doubtful[columns] & (np.abs(found.total[columns] - 1) > LACKING)))

    def _wider(self, K: int) -> int:
        return min(int(WIDER * K) + 1, self.most)

    def _widen(self) -> None:
        """Add pairs to the node's window, that it had not enough of."""
        here = self.node.window
        wider = self.solve(here.s, self._wider(here.w.size))
        known = np.abs(weights(here, wider)).sum(axis=0)
        new = wider.columns(np.argsort(known, kind="stable")[: wider.w.size - here.w.size])
        self.node = Node(here.joined(new), np.r_[self.node.chains, self._new_chains(new.w.size)], self.node.free)
        self.K = max(self.K, self.node.chains.size)

    def _new_chains(self, count: int) -> Array:
        self.chains += count
        return np.arange(self.chains - count, self.chains)

    # ---- steps ---------------------------------------------------------------------------------

    def _accept(self, found: Match, doubtful: Array, shortest: bool) -> bool:
        """Take a step, unless it is too long to know what becomes of the labels; return whether it was taken."""
        kept = self.chains, self.node
        columns = self._columns()
        certain = ~doubtful
        certain[columns] = True
        rows = np.flatnonzero((found.columns != NOBODY) & certain)
        chains = np.full(found.after.w.size, NOBODY)
        chains[found.columns[rows]] = self.node.chains[rows]
        unknown = np.flatnonzero(chains == NOBODY)
        chains[unknown] = self._new_chains(unknown.size)
        split = found.before is not self.node.window
        if split:  # with the basis that its space has after it has split
            self.node = Node(found.before, self.node.chains, self.node.free)
        free = [J for J in found.groups if any(np.all(np.isin(_rows(found, J), G)) for G in self.node.free)]
        after, labels = Node(found.after, chains, free), self.labels.chains.copy()
        try:
            events, changed = self.labels.decide(
                self.before, self.node, after, lambda s: self.solve(s, self.K), shortest
            )
        except Undecided:
            self.chains, self.node = kept
            return False
        if split and self.node.on_path:
            self._record(self.node, labels)
        self._doubt(found, doubtful, after, labels)
        for pair in self.labels.undecided:
            self._not_known(pair, found, after, labels)
        self.least = np.minimum(self.least, found.weight[columns])
        for event in events:
            if event.kind == EXCEPTIONAL:
                self._exceptional(event.labels, event.s, event.gap)
                (label, other), weight = event.labels, found.weight[columns]
                if not any(doubt.s1 == after.s for doubt in self.out.doubts):  # the weights have not told
                    self.out.doubts.append(Doubt(label, other, self.node.s, after.s, float(weight[label]), 0.0))
            else:
                self.out.events.append(event)
        if changed and self.node.on_path:
            self._record(self.node, self.labels.here)
        self.before, self.node, self.groups = self.node, after, found.groups
        farthest = int(np.max(self._columns())) + 1
        self.K = min(max(self.rules.k, farthest) + self.rules.guard, self.most)
        if after.on_path:
            self.out.weight[int(after.s)] = self.least
            self.least = np.ones(self.rules.k)
            self._record(after, self.labels.chains)
            self._tell(int(after.s))
        return True

    def _tell(self, m: int) -> None:
        if self.callback is not None:
            self.callback(m)

    def _record(self, node: Node, labels: Array) -> None:
        m, columns, X = int(node.s), node.columns(labels), node.window.X
        if X.dtype != self.out.X.dtype:
            self.out.X = self.out.X.astype(np.result_type(self.out.X, X))
        self.out.w[m], self.out.X[m] = node.window.w[columns], X[:, columns]
        self.out.degenerate = [entry for entry in self.out.degenerate if entry[0] != m]
        for group in self.groups:
            together = tuple(int(label) for label in np.flatnonzero(np.isin(columns, group)))
            if together:
                self.out.degenerate.append((m, together))

    # ---- what is not known ---------------------------------------------------------------------

    def _not_known(self, pair: tuple[int, int], found: Match, after: Node, labels: Array) -> None:
        """Say of two chains in the shortest step that it is not known what they do where they come closest."""
        names = sorted(int(np.flatnonzero(labels == chain)[0]) for chain in pair if chain in labels)
        if names:
            label, other = names[0], names[1] if len(names) > 1 else NOBODY
            i = int(self.node.columns(labels)[label])
            self.out.doubts.append(
                Doubt(label, other, self.node.s, after.s, float(found.weight[i]), float(found.second[i]))
            )

    def _doubt(self, found: Match, doubtful: Array, after: Node, labels: Array) -> None:
        """Say which labels are not certain though the step cannot be divided, and whether a branch point is why."""
        s0, s1 = self.node.s, after.s
        for label, i in enumerate(self.node.columns(labels)):
            if not doubtful[i]:
                continue
            chain = after.chains[found.other[i]]
            name = np.flatnonzero(labels == chain)
            other = int(name[0]) if name.size else NOBODY
            self.out.doubts.append(Doubt(label, other, s0, s1, float(found.weight[i]), float(found.second[i])))
            pair = (int(labels[label]), int(chain))
            d0, d1 = self.node.difference(pair), after.difference(pair)
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
        told = (event for event in self.out.events if event.kind == EXCEPTIONAL and event.labels == labels)
        if not any(abs(event.s - s) < 1 for event in told):
            self.out.events.append(Meeting(labels, float(s), float(gap), EXCEPTIONAL))

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
        self._tell(m)


def _rows(found: Match, J: Array) -> Array:
    """Return the columns before of the columns J after; `NOBODY` where one is new."""
    rows = [np.flatnonzero(found.columns == j) for j in J]
    return np.array([row[0] if row.size else NOBODY for row in rows])


def _reaches(w: Array, low: float, high: float) -> Array:
    """Return which real numbers lie from ``low`` to ``high``, or next to that."""
    below, above = w[w < low], w[w > high]
    return np.asarray((w >= np.max(below, initial=-np.inf)) & (w <= np.min(above, initial=np.inf)))
