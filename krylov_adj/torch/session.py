"""PyTorch: the results of one call of a solver, for the rules of its derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np

from ..perturbation.problem import Eigenproblem
from ..perturbation.structures import PENCIL, Pencil
from ..perturbation.subspaces import SubspaceSystems
from ..perturbation.systems import BorderedSystems

__all__ = ["Found", "FoundSubspace", "Kind", "Session", "SolvedProblem"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Found:
    """Eigenpairs of plain values, in units in which the operators are of the size of one (forward/scaling.py).

    Attributes
    ----------
    w, X : ndarray, shapes (k,) and (n, k)
    systems : BorderedSystems
    a, m : float
        What A and M were divided by.
    values, vectors : float
        What w and X are to be multiplied by.
    """

    w: Array
    X: Array
    systems: BorderedSystems
    a: float = 1.0
    m: float = 1.0
    values: float = 1.0
    vectors: float = 1.0

    @property
    def problem(self) -> Eigenproblem:
        return self.systems.problem

    @property
    def pairing(self) -> Array:
        """D and E of `conjugate_pairing`, (2, k, k); of size zero where nothing is paired."""
        pairing = self.systems.pairs.conjugate_pairing
        return np.zeros((0,), self.X.dtype) if pairing is None else np.stack(pairing).astype(self.X.dtype)

    @property
    def units(self) -> Array:
        """1/a, 1/m and what w and X are to be multiplied by, (4,)."""
        return np.array([1 / self.a, 1 / self.m, self.values, self.vectors])

    @property
    def arrays(self) -> tuple[Array, ...]:
        """Arrays that are handed on: w, X, what is paired, and the units."""
        return self.w, self.X, self.pairing, self.units


@dataclass(frozen=True, eq=False)
class FoundSubspace:
    """An invariant subspace of plain values, as `Found` is for eigenpairs.

    Attributes
    ----------
    systems : SubspaceSystems
    values, vectors, residuals : float
        What H, X and R of the systems are to be multiplied by.
    """

    systems: SubspaceSystems
    values: float
    vectors: float
    residuals: float

    @property
    def problem(self) -> Eigenproblem:
        return self.systems.problem

    @property
    def X(self) -> Array:
        return self.systems.X

    @property
    def units(self) -> Array:
        """1/a, 1/m and what H and X are to be multiplied by, (4,)."""
        a = self.residuals / self.vectors
        return np.array([1 / a, self.values / a, self.values, self.vectors])

    @property
    def arrays(self) -> tuple[Array, ...]:
        """Arrays that are handed on: H, X and the units."""
        return self.systems.H.astype(self.X.dtype), self.X, self.units


class SolvedProblem(Protocol):
    """The part of a call's problem that a session needs."""

    def solve(self, tensors: Any) -> Found | FoundSubspace:
        """Return the pairs for plain tensors."""

    def check_versions(self) -> None:
        """Raise where what was read has been changed in place."""


class Session:
    """The systems of every solve of one call: of one, or of each example of vmap, by their numbers.

    Attributes
    ----------
    normalization : str or None
    paired, unit : bool
        Conjugate pairs are paired; see `Eigenproblem`.
    trivial : bool
        All solves are in the caller's units.
    """

    def __init__(self, problem: SolvedProblem) -> None:
        self.problem, self.trivial = problem, True
        self.normalization: str | None = None
        self.paired, self.unit, self._lock = False, False, Lock()
        self._found = list[Found | FoundSubspace]()

    def add(self, found: Found | FoundSubspace) -> int:
        """Keep what a solve has found, and return its number.

        Raises
        ------
        ValueError
            Where examples of one vmap are normalised differently, or some are real and others complex.
        """
        normalization = found.problem.normalization
        with self._lock:
            if self.normalization not in (None, normalization):
                raise ValueError(
                    f"eigenvectors of one example are normalised as {self.normalization!r} and of another as "
                    f"{normalization!r}: M is an inner product for some examples of vmap only. Write a loop over them"
                )
            if self._found and self._found[0].X.dtype != found.X.dtype:
                raise ValueError(
                    f"the basis of one example of vmap is {self._found[0].X.dtype} and of another {found.X.dtype}: k "
                    "cuts a conjugate pair in some examples only. Write a loop over them, or pass a complex A"
                )
            self.normalization, self.unit = normalization, found.problem.unit
            self.paired |= isinstance(found, Found) and found.pairing.size > 0
            self.trivial &= bool(np.all(found.units == 1))
            self._found.append(found)
            return len(self._found) - 1

    def systems(self, ticket: Array, X: Array) -> BorderedSystems:
        """Return the systems of a solve, for eigenvectors that have to be those that it has found.

        Raises
        ------
        RuntimeError
            Where they are others: a forward pass that ran again was given another start vector; or where a tensor that
            the operator reads was changed in place.
        """
        found = self._kept(ticket, X)
        assert isinstance(found, Found)
        return found.systems

    def subspace(self, ticket: Array, X: Array) -> SubspaceSystems:
        """Return the same of an invariant subspace, for a basis X."""
        found = self._kept(ticket, X)
        assert isinstance(found, FoundSubspace)
        return found.systems

    def _kept(self, ticket: Array, X: Array) -> Found | FoundSubspace:
        found = self._found[int(ticket)]
        self.problem.check_versions()
        if not np.array_equal(found.X, X):
            raise RuntimeError(
                "the eigenvectors of the backward pass are not those of the forward pass: it ran again (as under "
                "torch.utils.checkpoint) with another v0, or with an rng that goes on. Pass the same v0, or none"
            )
        return found


@dataclass(frozen=True, eq=False)
class Kind:
    """The facts about eigenpairs that the maps of the core ask for, without values; it stands for pairs there."""

    hermitian: bool
    dtype: np.dtype
    structure: Pencil = PENCIL
    unit: bool = False
    conjugate_pairing: Any = None

    @property
    def problem(self) -> Kind:
        return self

    @property
    def X(self) -> Kind:
        return self
