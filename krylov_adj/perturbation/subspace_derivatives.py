"""First derivatives of an invariant subspace on plain values: from cotangents and tangents to those of residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .gauge import check_basis, check_cut, check_digits
from .problem import SideName, power_of_two
from .solutions import Solution
from .subspace_maps import basis_dependence, begin_adjoint, finish_tangent, split_right_hand_side
from .subspaces import SubspaceSystems

__all__ = ["SubspaceMaps", "solve_space_adjoint", "solve_space_tangent"]

Array = np.ndarray


def solve_space_adjoint(systems: SubspaceSystems, NX: Array, gX: Array, gH: Array) -> Solution:
    """Return the solution of the adjoint systems for cotangents gX (n, k) and gH (k, k) of the size of one.

    gH is Hermitian where the problem is: then a loss of H alone needs no solve, and the solution is zero.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError, ValueError

    Warns
    -----
    GaugeWarning, DegeneracyWarning
    """
    problem, X, H = systems.problem, systems.X, systems.H
    check_basis(systems.pairs, basis_dependence(problem, X, H, gX, gH))
    parts = split_right_hand_side(problem, X, NX, H, gX, gH)
    solution = systems.solve_split(parts)
    _check_digits(systems, solution.error)
    if gX.any() or gH.any():
        _check_cut(systems, not gX.any() and not parts.of_values.any())
    return solution


def solve_space_tangent(systems: SubspaceSystems, F: Array) -> Solution:
    """Return the solution of the tangent systems for F = −dR, (n, k), in the gauge Xᴴ Z = 0.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError, ValueError

    Warns
    -----
    DegeneracyWarning
    """
    solution = systems.solve("tangent", F, np.zeros((F.shape[1],) * 2, F.dtype))
    _check_digits(systems, solution.error)
    _check_cut(systems, False)
    return solution


def _check_digits(systems: SubspaceSystems, error: float) -> None:
    """Say what digits are lost, unless k cuts a cluster, which is said or refused by itself."""
    if systems.options.on_gauge != "ignore" and not systems.complete().cut:
        check_digits(systems.pairs, error)


def _check_cut(systems: SubspaceSystems, alone: bool) -> None:
    """Say what is read of eigenvalues that were cut or missed; unless ``alone``, a cut is refused by its systems."""
    if systems.options.on_gauge != "ignore":
        complete = systems.complete()
        check_cut(systems.pairs, complete if alone else replace(complete, cut={}))


@dataclass(frozen=True)
class SubspaceMaps:
    """The derivative maps of an invariant subspace, for front ends that need first derivatives.

    X and H are functions of R = A X − B X H and S = XᴴNX − I with X and H in them held fixed. Arguments and results of
    H come first, as eigenvalues do in the maps of eigenpairs.

    Attributes
    ----------
    systems : SubspaceSystems
    values, vectors, residuals : float
        What H, X and R of the systems are multiplied by, in the units of the caller.
    """

    systems: SubspaceSystems
    values: float = 1.0
    vectors: float = 1.0
    residuals: float = 1.0

    @property
    def X(self) -> Array:
        """The basis in the units of the systems, (n, k)."""
        return self.systems.X

    def normaliser(self) -> Array:
        """N X, (n, k), in the units of the systems."""
        problem = self.systems.problem
        if problem.normalization == "2":
            return self.X
        assert problem.B is not None
        NX = self.systems.BX
        return NX if problem.hermitian else 0.5 * (NX + problem.B.adjoint(self.X))

    def adjoint(self, gH: Array, gX: Array) -> tuple[Array, Array]:
        """W (n, k) and σ (k, k) with df = Re tr(Wᴴ dR) − ½ Re tr(σᴴ dS), for cotangents of H and X.

        Raises
        ------
        AdjointNoConvergence, DefectiveEigenvalueError, ValueError

        Warns
        -----
        GaugeWarning, DegeneracyWarning
        """
        systems = self.systems
        gH, gX = np.asarray(gH) * self.values, np.asarray(gX) * self.vectors
        unit = power_of_two(systems.problem.space, gX, gH)
        gX, gH = gX / unit, gH / unit
        solution = self.solved("adjoint", gH, gX)
        rhs = begin_adjoint(np, systems.problem.hermitian, systems.X, self.normaliser(), systems.H, gX, gH)
        W = solution.Z if rhs.inside is None else rhs.inside + solution.Z
        return W * (unit / self.residuals), rhs.sigma * unit

    def tangent(self, dR: Array, dS: Array | None = None) -> tuple[Array, Array]:
        """dH (k, k) and dX (n, k) for tangents of R (n, k) and S (k, k), which is None where N is fixed.

        Raises
        ------
        AdjointNoConvergence, DefectiveEigenvalueError, ValueError

        Warns
        -----
        DegeneracyWarning
        """
        systems, solution = self.systems, self.solved("tangent", -np.asarray(dR) / self.residuals)
        hermitian, NX = systems.problem.hermitian, self.normaliser()
        dX, dH = finish_tangent(np, hermitian, systems.X, NX, systems.H, solution.Z, solution.M, dS)
        return dH * self.values, dX * self.vectors

    def solved(self, side: SideName, *rhs: Array) -> Solution:
        """Return the solution for −dR of the tangent systems, or for gH and gX, in the units of the systems."""
        systems = self.systems
        if side == "tangent":
            return solve_space_tangent(systems, np.asfortranarray(rhs[0]))
        gH, gX = rhs
        gH = 0.5 * (gH + gH.conj().T) if systems.problem.hermitian else gH
        return solve_space_adjoint(systems, self.normaliser(), gX, gH)
