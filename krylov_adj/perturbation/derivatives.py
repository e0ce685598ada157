"""First derivatives of eigenpairs on plain values: cotangents and tangents in, those of the residuals out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..options import Adjoint
from .block import solve_adjoint, solve_tangent
from .maps import Reading, RightHandSide, begin_adjoint, finish_tangent, pair_conjugates, read_cotangents
from .problem import Eigenproblem, Pairs, power_of_two
from .solutions import PairSolution
from .systems import BorderedSystems

__all__ = ["Maps", "derivative_maps"]

Array = np.ndarray


@dataclass(frozen=True)
class SolvedAdjoint:
    """The adjoint ``systems`` of the ``chosen`` pairs, by number, with right-hand side, reading and solution."""

    systems: BorderedSystems
    chosen: Array
    rhs: RightHandSide
    reading: Reading
    solution: PairSolution


@dataclass(frozen=True)
class Maps:
    """The derivative maps of eigenpairs (λ, X), for front ends that need first derivatives.

    The pairs are functions of R = A X − B X Λ and S = XᴴNX − I with λ and X in them held fixed; complex numbers enter
    a real f as df = Re Σ conj(g) dz.

    Attributes
    ----------
    systems : BorderedSystems
    values, vectors, residuals : float
        What λ, X and R of the systems are multiplied by, in the units of the caller.
    """

    systems: BorderedSystems
    values: float = 1.0
    vectors: float = 1.0
    residuals: float = 1.0

    @property
    def X(self) -> Array:
        """The eigenvectors in the units of the systems, (n, k)."""
        return self.systems.pairs.X

    def normaliser(self) -> Array:
        """N X, (n, k), in the units of the systems; of a matrix N that is not Hermitian its Hermitian part is meant."""
        problem, X = self.systems.problem, self.X
        if problem.normalization == "2":
            return X
        operator = problem.A if problem.normalization == "A" else problem.B
        assert operator is not None
        NX = operator.apply(X)
        return NX if problem.hermitian else 0.5 * (NX + operator.adjoint(X))

    def adjoint(self, gw: Array, gX: Array) -> tuple[Array, Array]:
        """W (n, k) and σ (k, k) with df = Re Σ ( wᵢᴴ dRᵢ ) − ½ Re tr(σᴴ dS), for cotangents of λ and X.

        Raises
        ------
        AdjointNoConvergence, DefectiveEigenvalueError, ValueError

        Warns
        -----
        GaugeWarning, DegeneracyWarning
        """
        X = self.X
        gw, gX = np.asarray(gw) * self.values, np.asarray(gX) * self.vectors
        unit = power_of_two(self.systems.pairs.space, gw, gX)
        solved = self.solved_adjoint(gw / unit, gX / unit, np.zeros((2, gw.size)), False)
        chosen, sigma_of_chosen = solved.chosen, solved.rhs.sigma
        W, sigma = np.zeros(X.shape, solved.solution.Z.dtype), np.zeros((X.shape[1],) * 2, sigma_of_chosen.dtype)
        W[:, chosen], sigma[np.ix_(chosen, chosen)] = solved.solution.Z, sigma_of_chosen
        return W * (unit / self.residuals), sigma * unit

    def solved_adjoint(self, gw: Array, gX: Array, carried: Array, again: bool) -> SolvedAdjoint:
        """The adjoint systems of the pairs that cotangents read and that have a derivative, in the systems' units.

        ``carried`` (2, k) is that of `Reading`. ``again``: what is made of the solution is differentiated again.
        """
        systems = self.systems
        chosen = systems.differentiable((gw != 0) | systems.pairs.space.any_of_columns(gX), again)
        chosen = np.arange(gw.size) if chosen is None else chosen
        part = systems if chosen.size == gw.size else systems.restricted(chosen)
        some = replace(self, systems=part)
        weights, carried = gw[chosen], carried[:, chosen]
        reads_vectors = part.pairs.space.any(gX)
        gw, vectors = pair_conjugates(np, part.pairs, weights, gX[:, chosen] if reads_vectors else None)
        NX = some.normaliser() if reads_vectors else None
        reading = read_cotangents(part.pairs, weights, NX, gw, vectors, carried)
        rhs = begin_adjoint(np, part.pairs, some.X, NX, gw, vectors)
        solution = solve_adjoint(part, rhs.F, rhs.N, rhs.gw, reading, again)
        return SolvedAdjoint(part, chosen, rhs, reading, solution)

    def tangent(self, dR: Array, dS: Array | None = None) -> tuple[Array, Array]:
        """dλ (k,) and dX (n, k) for tangents of R (n, k) and S (k, k), which is None where N is fixed.

        Raises
        ------
        AdjointNoConvergence, DefectiveEigenvalueError, ValueError

        Warns
        -----
        GaugeWarning, DegeneracyWarning
        """
        pairs = self.systems.pairs
        solution = solve_tangent(self.systems, -np.asarray(dR) / self.residuals, False)
        V = solution.Z + pairs.X @ solution.couplings.values
        dX = finish_tangent(np, pairs, pairs.X, self.normaliser(), V, dS)
        dw = -np.diagonal(solution.M)
        return (np.real(dw) if np.isrealobj(pairs.w) else dw) * self.values, dX * self.vectors


def derivative_maps(problem: Eigenproblem, pairs: Pairs, R: Array, options: Adjoint) -> Maps:
    """Return the maps of pairs with the residuals R = A X − B X Λ, (n, k)."""
    space, w, X = problem.space, pairs.w, pairs.X
    sizes = space.norms(R) / space.norms(X)
    return Maps(BorderedSystems.of(problem, w, X, options, sizes, space.gram(X, R)))
