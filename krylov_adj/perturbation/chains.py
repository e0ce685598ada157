"""Eigenpairs that are followed along a path: windows whose columns have names, rules, and what has happened.

A *chain* is a pair followed from window to window by its weights, a *label* the number of one that is returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .tracking import NOBODY, Window

__all__ = ["AVOIDED", "CROSSING", "EXCEPTIONAL", "Defective", "Doubt", "Followed", "Meeting", "Node", "Rules"]

Array = np.ndarray

#: Kinds of meetings.
CROSSING, AVOIDED, EXCEPTIONAL = "crossing", "avoided", "exceptional"


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
class Node:
    """A window with the chain of every column; ``free``: columns that have coincided from the start."""

    window: Window
    chains: Array
    free: list[Array]

    @property
    def s(self) -> float:
        """Where on the path."""
        return self.window.s

    @property
    def on_path(self) -> bool:
        """Whether it is one of the points of the path."""
        return self.s == int(self.s)

    def columns(self, chains: Array) -> Array:
        """Return the columns of chains, `NOBODY` for those that are not here."""
        found = self.chains[:, None] == chains
        return np.where(found.any(axis=0), found.argmax(axis=0), NOBODY)

    def differences(self, chains: Array) -> Array:
        """Return λᵢ − λⱼ of chains that are here, a row and a column for each."""
        w = self.window.w[self.columns(chains)]
        return np.asarray(w[:, None] - w)

    def difference(self, pair: tuple[int, int]) -> complex | None:
        """Return λ₁ − λ₂ of two chains; None where one is not here."""
        i, j = self.columns(np.array(pair))
        return None if NOBODY in (i, j) else complex(self.window.w[i] - self.window.w[j])
