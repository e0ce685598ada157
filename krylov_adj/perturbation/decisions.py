"""Two eigenvalues that meet on a path: whether they cross, or avoid each other.

Chains follow the weights of vectors, and these depend on the steps: a long step goes through an avoided crossing, along
the character of the vectors, short ones follow the eigenvalue around it. So chains are not what is returned. Where two
of them come close, the least gap of their eigenvalues decides, which no step changes:

    gap ≤ meeting   a crossing: labels go with the character of the vectors;
    gap > meeting   avoided: labels go with the eigenvalues, that is with the continuous root of (λ₁ − λ₂)².

There are two signs of a meeting. Between two windows the difference of the eigenvalues has turned by more than a right
angle (changed its sign): the step has gone through. Or it is smaller in the middle one of three windows, and the two
vectors have turned into each other as an avoided crossing turns them: short steps have gone around.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .chains import AVOIDED, CROSSING, EXCEPTIONAL, Defective, Meeting, Node, Rules
from .meetings import Parabola, continue_root, fit, least_gap
from .tracking import NOBODY, Window, weights

__all__ = ["Labels", "Undecided"]

Array = np.ndarray
Pair = tuple[int, int]

#: How much of the foretold turn of two vectors their weights must show.
SHOWN = 0.5

#: Avoided, but so close to an end of the path, or with so many others, that it is no event of these two.
EXCHANGED = "exchanged"


#: A third eigenvalue that has more than the rest of a plane makes (λ₁ − λ₂)² no smooth function.
PLANE = 0.8


class Undecided(Exception):
    """A step in which it is not known what two chains do where they come closest."""

    def __init__(self, pair: Pair, s: float, gap: float):
        super().__init__(pair, s, gap)
        self.pair, self.s, self.gap = pair, s, gap


class Labels:
    """The chain that every label has, along a path of so many ``points``.

    Attributes
    ----------
    chains : ndarray of int, shape (k,)
        From the last node on.
    here : ndarray of int, shape (k,)
        At the node where the last step began.
    """

    def __init__(self, first: Array, points: int, rules: Rules):
        self.chains, self.here = first.copy(), first.copy()
        self.points, self.rules = points, rules
        #: Pairs of chains whose meeting the last step has decided.
        self.decided: set[Pair] = set()
        #: Pairs of chains of which the last step, the shortest one, did not tell what they do.
        self.undecided: list[Pair] = []
        self.shortest = False
        #: Where pairs of chains that coincide now were last apart, and their difference there.
        self.together: dict[Pair, tuple[float, complex]] = {}

    def decide(
        self, before: Node | None, node: Node, after: Node, window: Callable[[float], Window], shortest: bool
    ) -> tuple[list[Meeting], bool]:
        """Return the meetings in the step from a node to the next, and whether labels change at its beginning, too.

        What is not known of a step that is not the ``shortest`` raises `Undecided`, and nothing has changed. Of the
        shortest one, what is likely is returned, and `undecided` has the pairs.

        Parameters
        ----------
        before : Node, optional
            The node before the step.
        node, after : Node
            Its ends.
        window : callable
            The window at any s in between.
        """
        kept = self.chains.copy(), self.here, self.decided, dict(self.together)
        self.here, self.undecided, self.shortest = self.chains.copy(), [], shortest
        try:
            return self._decided(before, node, after, window)
        except Undecided:
            self.chains, self.here, self.decided, self.together = kept
            raise

    def _decided(
        self, before: Node | None, node: Node, after: Node, window: Callable[[float], Window]
    ) -> tuple[list[Meeting], bool]:
        events = self._gone_through(node, after, window)
        changed = False
        if before is not None:
            around, changed = self._gone_around((before, node, after), window)
            events += around
        return events, changed

    def names(self, pair: Pair) -> Pair:
        """Return the labels that two chains have; −1 for none, which stands last."""
        found = [np.flatnonzero(self.chains == chain) for chain in pair]
        low, high = sorted(int(label[0]) if label.size else NOBODY for label in found)
        return (high, low) if low == NOBODY else (low, high)

    def _followed(self, pair: Pair) -> bool:
        return any(chain in self.chains for chain in pair)

    def entangled(self, node: Node, columns: Array, w: Array) -> bool:
        """Return whether three come together, one of them a label's: their pairs turn in a step to the values ``w``.

        Then (λ₁ − λ₂)² of two of them need not be smooth. ``columns`` are those at the end of the step, see `Match`.
        """
        here = np.flatnonzero(columns != NOBODY)
        d0, d1 = node.differences(node.chains[here]), w[columns[here]][:, None] - w[columns[here]]
        turned = (np.conj(d0) * d1).real < 0
        twice = turned.sum(axis=1) > 1
        return bool(np.any((twice | turned[:, twice].any(axis=1)) & np.isin(node.chains[here], self.chains)))

    # ---- steps that have gone through ----------------------------------------------------------

    def _turned(self, node: Node, after: Node) -> dict[Pair, tuple[float, complex, complex]]:
        """Return the pairs of chains whose difference turns in a step: where it was last, and what it was and is."""
        both = np.intersect1d(node.chains, after.chains)
        d0, d1 = node.differences(both), after.differences(both)
        limit = self.rules.together
        turned = {
            (int(both[i]), int(both[j])): (node.s, complex(d0[i, j]), complex(d1[i, j]))
            for i, j in np.argwhere((np.conj(d0) * d1).real < 0)
            if i < j and abs(d0[i, j]) > limit and abs(d1[i, j]) > limit
        }
        for pair, (s, d) in list(self.together.items()):
            new = after.difference(pair)
            if new is None:
                del self.together[pair]
            elif abs(new) > limit:
                del self.together[pair]
                if (np.conj(d) * new).real < 0:
                    turned[pair] = (s, d, new)
        for i, j in np.argwhere((np.abs(d0) > limit) & (np.abs(d1) <= limit)):
            if i < j:
                self.together[int(both[i]), int(both[j])] = (node.s, complex(d0[i, j]))
        return turned

    def _gone_through(self, node: Node, after: Node, window: Callable[[float], Window]) -> list[Meeting]:
        turned = self._turned(node, after)
        decided: dict[Pair, tuple[float, float, str | None]] = {}
        touched = set(self.chains.tolist())
        while waiting := [pair for pair in turned if pair not in decided and touched & set(pair)]:
            for pair in waiting:
                decided[pair] = self._decide(node, after, pair, turned[pair], window)
                if decided[pair][2] in (AVOIDED, EXCHANGED):  # a label may go on with the other one
                    touched |= set(pair)
        events = []
        for pair, (s, gap, kind) in sorted(decided.items(), key=lambda item: item[1][0]):
            if kind in (CROSSING, AVOIDED, EXCEPTIONAL) and self._followed(pair):
                events.append(Meeting(self.names(pair), s, gap, kind))
            if kind in (AVOIDED, EXCHANGED):
                _exchange(self.chains, pair)
        self.decided = set(turned)
        return events

    def _decide(
        self,
        node: Node,
        after: Node,
        pair: Pair,
        turned: tuple[float, complex, complex],
        window: Callable[[float], Window],
    ) -> tuple[float, float, str | None]:
        """Return where two chains are closest, how close, and what they do there.

        None of complex eigenvalues that move around each other as the weights say.
        """
        (s0, d0, d1), s1 = turned, after.s
        two = _TwoLevels((node, after), pair, window, (d0, d1))
        try:
            guess = s0 + (s1 - s0) * abs(d0) / (abs(d0) + abs(d1))
            start = [(s0, d0**2), (guess, two.D(guess)), (s1, d1**2)]
            points, known = least_gap(two.D, start, self.rules.together**2)
            s, gap, parabola = _closest(points)
            if gap <= self.rules.meeting:
                return s, gap, CROSSING
            if not (known and two.smooth and two.have_turned(s, parabola)):
                if not self.shortest:
                    raise Undecided(pair, s, gap)
                self.undecided.append(pair)
            root = continue_root(two.D, points, d0)
        except Defective as error:
            return error.window.s, 0.0, EXCEPTIONAL
        if root is None:
            return s, gap, EXCEPTIONAL
        if (np.conj(root) * d1).real >= 0:
            return s, gap, None
        return s, gap, AVOIDED if self._inside(parabola) and two.neighbours(s) else EXCHANGED

    # ---- steps that have gone around -----------------------------------------------------------

    def _gone_around(
        self, nodes: tuple[Node, Node, Node], window: Callable[[float], Window]
    ) -> tuple[list[Meeting], bool]:
        events, changed = [], False
        here = np.intersect1d(np.intersect1d(nodes[0].chains, nodes[1].chains), nodes[2].chains)
        d = [node.differences(here) for node in nodes]
        size = np.abs(d)
        least = (size[0] > size[1]) & (size[1] <= size[2]) & ((np.conj(d[0]) * d[2]).real > 0)
        for i, j in np.argwhere(least):
            pair = (int(here[i]), int(here[j]))
            if i >= j or pair in self.decided or not self._followed(pair):
                continue
            found = self._avoided(nodes, pair, [complex(part[i, j]) for part in d], window)
            if found is None:
                continue
            s, gap = found
            crosses = gap <= self.rules.meeting
            events.append(Meeting(self.names(pair), s, gap, CROSSING if crosses else AVOIDED))
            if crosses:
                _exchange(self.chains, pair)
                if s < nodes[1].s:
                    _exchange(self.here, pair)
                    changed = True
        return events, changed

    def _avoided(
        self, nodes: tuple[Node, Node, Node], pair: Pair, d: list[complex], window: Callable[[float], Window]
    ) -> tuple[float, float] | None:
        """Return where two chains are closest and how close, if their vectors turn into each other there; else None.

        They do if they turn as their parabola says. Further apart than a crossing they are no event unless the gap
        doubles on both sides within the path, and no other eigenvalue is between them.
        """
        seen = [(node.s, x**2) for node, x in zip(nodes, d, strict=True)]
        parabola = fit(seen)
        if parabola is None or abs(parabola.rest) < SHOWN * min(abs(x) for x in d) ** 2:
            return None  # a square: two that pass each other
        planes = [node.window.columns(node.columns(np.array(pair))) for node in (nodes[0], nodes[2])]
        c = weights(*planes)
        if abs(c[0, 1]) + abs(c[1, 0]) < 2 * SHOWN * parabola.turn(nodes[0].s, d[0], nodes[2].s, d[2]):
            return None
        # Half of what is asked in the end: the first parabola is the roughest.
        if abs(parabola.rest) ** 0.5 > 2 * self.rules.meeting and not self._inside(parabola, 0.5):
            return None
        try:
            two = _TwoLevels((nodes[0], nodes[2]), pair, window, (d[0], d[2]))
            points, known = least_gap(two.D, seen, self.rules.together**2)
        except Defective:
            return None
        s, gap, closest = _closest(points)
        if gap > self.rules.meeting and not (known and two.smooth):
            return None
        if not nodes[0].s < s < nodes[2].s:
            return None
        if gap > self.rules.meeting and not (self._inside(closest) and two.neighbours(s)):
            return None
        return s, gap

    def _inside(self, parabola: Parabola | None, part: float = 1.0) -> bool:
        """Return whether the gap doubles on both sides before the path ends, or ``part`` of the way to that does."""
        if parabola is None:
            return False
        s, width = parabola.middle.real, part * parabola.width
        return width <= s <= self.points - 1 - width


class _TwoLevels:
    """The two eigenpairs, at any s, that have most of the planes of two chains' vectors at both ends of a step."""

    def __init__(
        self, ends: tuple[Node, Node], pair: Pair, window: Callable[[float], Window], d: tuple[complex, complex]
    ):
        self.ends = [(node.s, difference) for node, difference in zip(ends, d, strict=True)]
        self.planes = [node.window.columns(node.columns(np.array(pair))) for node in ends]
        self.window = window
        #: Whether they had nearly all of the planes wherever they were looked at.
        self.smooth = True

    def columns(self, there: Window) -> tuple[int, int]:
        """Return their columns in a window."""
        share = sum(np.abs(weights(plane, there)).sum(axis=0) for plane in self.planes)
        i, j = np.argsort(-np.asarray(share), kind="stable")[:2]
        whole = sum(plane.w.size for plane in self.planes)
        self.smooth = self.smooth and float(share[i] + share[j]) >= PLANE * whole
        return int(i), int(j)

    def D(self, s: float) -> complex:
        """Return (λ₁ − λ₂)²."""
        there = self.window(s)
        i, j = self.columns(there)
        return complex(there.w[i] - there.w[j]) ** 2

    def have_turned(self, s: float, parabola: Parabola | None) -> bool:
        """Return whether vectors at s, where the gap is least, have turned from those at both ends as far as it says.

        Of an avoided crossing they have: by 45° at most, so that it does not matter which one is which. Next to a
        crossing that is not quite found the gap is as small, and they have not.
        """
        if parabola is None:
            return False
        there = self.window(s)
        here = there.columns(np.array(self.columns(there)))
        least = complex(np.sqrt(complex(here.w[0] - here.w[1]) ** 2))
        for (s0, d0), plane in zip(self.ends, self.planes, strict=True):
            c = np.abs(weights(plane, here))
            turned = min(c[0, 1] + c[1, 0], c[0, 0] + c[1, 1])
            start = d0 if (np.conj(d0) * least).real >= 0 else -d0
            if not abs(least) > 0 or turned < 2 * SHOWN * min(parabola.turn(s0, start, s, least), 0.5):
                return False
        return True

    def neighbours(self, s: float) -> bool:
        """Return whether no other eigenvalue is between them; always if the problem is not Hermitian."""
        there = self.window(s)
        low, high = sorted(there.w[list(self.columns(there))].real)
        return there.Y is not None or not np.any((there.w > low) & (there.w < high))


def _exchange(labels: Array, pair: Pair) -> None:
    """Exchange two chains among the labels."""
    a, b = labels == pair[0], labels == pair[1]
    labels[a], labels[b] = pair[1], pair[0]


def _closest(points: list[tuple[float, complex]]) -> tuple[float, float, Parabola | None]:
    """Return where two eigenvalues are closest, how close, and the parabola through the points next to it."""
    s, least = min(points, key=lambda point: abs(point[1]))
    return float(s), float(abs(least) ** 0.5), fit(sorted(sorted(points, key=lambda point: abs(point[0] - s))[:3]))
