"""The block-bordered systems of an invariant subspace, A X = B X H, with any H.

    adjoint:  Aᴴ Z − Bᴴ Z Hᴴ + X M = F,  (B X)ᴴ Z = G,
    tangent:  A Z − B Z H + B X M = F,   Xᴴ Z = G,

with F (n, k) and G, M (k, k), each the conjugate transpose of the other; for H = Λ they are those of eigenpairs
(`block.py`). Nothing is divided by a gap between eigenvalues of H, which may coincide and be defective.

* Adjoint. From the left with Xᴴ: XᴴX M = XᴴF − (HᴴG − G Hᴴ). Z = Φ C + U with (B X)ᴴ Φ C = G, and on the complement
  Aᴴ U − Bᴴ U Hᴴ = F − X M − (Aᴴ Φ C − Bᴴ Φ C Hᴴ). Φ = X for a Hermitian pencil, where the bracket is
  B X (H C − C H) and needs no application, else an orthonormal basis of B X.
* Tangent. Z = X C + U with XᴴX C = G and, on the complement, P (A U − B U H) = P F. Left vectors Y with (B X)ᴴ Y = I
  span the left invariant subspace, YᴴA = H YᴴB, and give M = YᴴF − (H T − T H) − (H C − C H) with T = YᴴB U;
  without them M = (B X)⁺ (F − A U + B U H) − (H C − C H).
* Complement. With H V = V D, D triangular in blocks (`krylov.block_diagonal`), the columns of U V are solutions of
  shifted systems: A ũ_j − d_jj B ũ_j = f̃_j + B Σ_i ũ_i d_ij.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import RLock

import numpy as np

from ..krylov import small
from ..krylov.block_diagonal import Blocks, block_diagonal
from ..krylov.precision import NOISE
from ..krylov.space import Space
from ..options import Adjoint
from ..report.errors import DefectiveEigenvalueError
from ..report.messages import defective_subspace
from .cache import Cache, kept
from .completeness import Completeness
from .deflated_space import DeflatedSpace
from .others import Others
from .problem import Eigenproblem, SideName, power_of_two
from .refusals import refuse, tell
from .sides import Side, adjoint_side, tangent_side
from .solutions import Complement, Solution
from .solving import solve
from .subspace_maps import PlainRightHandSide

Array = np.ndarray

#: Refinements of the equation with H: blocks of V are known to the condition of V times ε.
REFINEMENTS = 3

#: A part of F that is less than this of the other's size, ‖A‖‖gH‖, is solved for by itself: it would keep few digits.
SPLIT = 1e-4

#: A part of the limit of the subspace's condition number that a solution's size may hint at, before it is computed.
SUSPICIOUS = 0.03


@dataclass(frozen=True, eq=False)
class SubspaceSystems:
    """A given invariant subspace, and what has been found of it. Made by `of`.

    Attributes
    ----------
    pairs : DeflatedSpace
    H : ndarray, shape (k, k)
    blocks : Blocks
    others : Others
        The eigenvalues that are not those of H.
    """

    pairs: DeflatedSpace
    H: Array
    blocks: Blocks
    others: Others
    cache: Cache = field(init=False, default_factory=Cache, repr=False)

    @classmethod
    def of(
        cls, problem: Eigenproblem, X: Array, H: Array, images: tuple[Array, Array], options: Adjoint
    ) -> SubspaceSystems:
        """Return the systems of X (n, k) and H (k, k), with ``images`` A X and B X."""
        AX, BX = images
        blocks = block_diagonal(problem.space, H, problem.hermitian)
        pairs = DeflatedSpace.spanned(problem, X, BX, AX - BX @ H, blocks, options)
        return cls(pairs, H, blocks, Others(pairs))

    @property
    def problem(self) -> Eigenproblem:
        return self.pairs.problem

    @property
    def options(self) -> Adjoint:
        return self.pairs.options

    @property
    def X(self) -> Array:
        return self.pairs.basis

    @property
    def BX(self) -> Array:
        return self.pairs.image

    @property
    def lock(self) -> RLock:
        return self.cache.lock

    @kept
    def real(self) -> bool:
        """The pencil and the basis are real, and so are solutions for real right-hand sides."""
        return self.problem.real and np.isrealobj(self.X)

    @kept
    def adjoint_side(self) -> Side:
        return adjoint_side(self.pairs)

    @kept
    def tangent_side(self) -> Side:
        return tangent_side(self.pairs)

    @kept
    def left_side(self) -> Side:
        """The adjoint one for left vectors, whose right-hand sides are in the range, also of a singular system."""
        return adjoint_side(self.pairs, consistent=True)

    def complete(self) -> Completeness:
        """Return what is known of the eigenvalues that are not those of H, looked for once."""
        return self.others.completeness

    # ---- the systems -------------------------------------------------------------------------

    def solve(self, side: SideName, F: Array, G: Array, scale: Array | None = None) -> Solution:
        """Solve for right-hand sides F (n, k) and G (k, k); F comes from data of size ``scale`` (k,).

        Raises
        ------
        AdjointNoConvergence, DefectiveEigenvalueError, ValueError
        """
        space = self.problem.space
        if not (space.finite(F) and space.finite(G)):
            raise ValueError(
                f"The right-hand side of the {side} systems holds NaN or infinity: the loss, or its "
                "derivative with respect to the invariant subspace, is not finite here."
            )
        if not space.any(F) and not G.any():
            return Solution(np.zeros_like(F), np.zeros_like(G), np.zeros(len(G)))
        with self.lock:
            unit = power_of_two(space, F, G)
            F, G = F / unit, G / unit
            scale = space.norms(F) if scale is None else np.maximum(scale / unit, space.norms(F))
            Z, M, solved = (self._adjoint if side == "adjoint" else self._tangent)(F, G, scale)
            error = min(
                _relative(solved, space.norm(Z))
                + self.turned(space.norm(solved.U) / max(space.norm(F), self.pairs.precision.tiny)),
                1.0,
            )
            tell(replace(solved.report, error=error), self.options)
            return Solution(Z * unit, M * unit, solved.residuals * unit, error)

    def solve_split(self, rhs: PlainRightHandSide) -> Solution:
        """Solve the adjoint systems for F in two parts, of which either may be far smaller than the other.

        Where gH commutes with Hᴴ, as that of a function of H alone does, its solution is Y gH: then the part of the
        vectors keeps its digits by itself.

        Raises
        ------
        AdjointNoConvergence, DefectiveEigenvalueError, ValueError
        """
        space, eps, zero = self.problem.space, self.pairs.precision.eps, np.zeros_like(rhs.G)
        norm_A, norm_B = self.problem.norms
        sizes = space.norms(rhs.of_vectors)
        legal = not rhs.G.any() or not space.any(rhs.of_values)
        # What rounding of the part of H leaves in a common solution.
        hidden = np.max(sizes) <= SPLIT * (norm_A + norm_B * small.norm(self.H)) * small.norm(rhs.G)
        reads_vectors = bool(np.any(sizes > NOISE * eps * rhs.scale_of_vectors))
        if self.problem.hermitian or not rhs.G.any():
            return self.solve("adjoint", rhs.of_vectors, zero, rhs.scale_of_vectors)
        if not (legal and hidden):
            scale = rhs.scale_of_vectors + rhs.scale_of_values
            return self.solve("adjoint", rhs.of_vectors + rhs.of_values, rhs.G, scale)
        Y, error = self.left_and_error
        of_values = Solution(Y @ rhs.G, zero, np.zeros(len(zero)), error)
        if not reads_vectors:
            return of_values
        of_vectors = self.solve("adjoint", rhs.of_vectors, zero, rhs.scale_of_vectors)
        return replace(of_vectors, Z=of_vectors.Z + of_values.Z, error=max(of_vectors.error, error))

    def turned(self, growth: float) -> float:
        """Return the angle by which the residual of the subspace, and rounding, may have turned it.

        The ``growth`` of right-hand sides in the systems tells it; rounding has 1/√n of itself in any direction.
        """
        norm_A, norm_B = self.problem.norms
        rounding = self.pairs.eps * (norm_A + norm_B * small.norm(self.H)) / np.sqrt(self.problem.n)
        residual = float(np.max(self.pairs.residuals))
        return float(min(growth * np.hypot(residual, rounding), 1.0))

    @property
    def left(self) -> Array:
        """Y (n, k) with (B X)ᴴ Y = I: a basis of the left invariant subspace, solved for once."""
        return self.left_and_error[0]

    @kept
    def left_and_error(self) -> tuple[Array, float]:
        """Y, and an estimate of its relative error.

        Raises
        ------
        DefectiveEigenvalueError
            Where an eigenvalue outside of the subspace has coalesced with one inside.
        AdjointNoConvergence
        """
        space, eye = self.problem.space, np.eye(len(self.H), dtype=self.X.dtype)
        if self.problem.hermitian:
            return self.X @ small.solve_definite(space, space.gram(self.X, self.BX), eye), 0.0
        Y, _, solved = self._adjoint(np.zeros_like(self.X), eye, np.zeros(len(eye)), consistent=True)
        condition = _largest_singular(space, Y) * _largest_singular(space, self.BX)
        error = _relative(solved, space.norm(Y)) + self.turned(float(np.max(solved.growth)))
        error = min(error + self.pairs.eps * condition, 1.0)
        tell(replace(solved.report, error=error), self.options)
        if condition > self.pairs.precision.defective and self._coalesces:
            raise DefectiveEigenvalueError(defective_subspace(condition))
        return Y, error

    def _is_suspicious(self, growth: float) -> bool:
        """Whether an eigenvalue outside may have coalesced with one inside, by the growth of a right-hand side."""
        norm_A, norm_B = self.problem.norms
        if growth * norm_A > SUSPICIOUS * self.pairs.precision.defective:
            return True
        if self.options.on_gauge == "ignore":
            return False
        near = 10 * self.pairs.precision.half * (norm_A / norm_B + small.norm(self.H))  # half of a Jordan block
        return bool(np.min(self.complete().closest, initial=np.inf) <= near)

    @kept
    def _coalesces(self) -> bool:
        """Whether an eigenvalue outside is so close to one inside that rounding may have split a Jordan block.

        One of order m splits by ε^(1/m). Eigenvalues of matrices far from normal are as ill-conditioned, and apart.
        """
        norm_A, norm_B = self.problem.norms
        closest = float(np.min(self.complete().closest, initial=np.inf))
        near = self.pairs.precision.few_digits * (norm_A / norm_B + small.norm(self.H))
        return not np.isfinite(closest) or closest <= near

    def _adjoint(self, F: Array, G: Array, scale: Array, consistent: bool = False) -> tuple[Array, Array, Complement]:
        space, problem, X, H = self.problem.space, self.problem, self.X, self.H
        M = small.solve_definite(space, space.gram(X, X), space.gram(X, F) - _commutator(H.conj().T, G))
        if problem.hermitian:
            Phi, C = X, small.solve_definite(space, space.gram(X, self.BX), G)
            span = self.BX @ _commutator(H, C)
        else:
            Phi = self.pairs.Q_BX
            C = small.solve(space, space.gram(self.BX, Phi), G)
            A_terms, B_terms = self._images_of_phi
            A_terms, B_terms = A_terms @ C, B_terms @ (C @ H.conj().T)
            span = A_terms - B_terms
            scale = scale + space.norms(A_terms) + space.norms(B_terms)
        side = self.left_side if consistent else self.adjoint_side
        solved = self._complement(side, F - X @ M - span, scale + space.norms(span))
        return Phi @ C + solved.U, M, solved

    def _tangent(self, F: Array, G: Array, scale: Array) -> tuple[Array, Array, Complement]:
        space, H = self.problem.space, self.H
        C = small.solve_definite(space, space.gram(self.X, self.X), G)
        solved = self._complement(self.tangent_side, F, scale)
        U = solved.U
        if self.problem.hermitian or self.cache.has("left_and_error"):
            Y = self.left
            M = space.gram(Y, F) - _commutator(H, space.gram(Y, self.problem.apply_B(U)))
        else:
            M = space.lstsq(self.BX, F - self.image(self.tangent_side, U))
        return self.X @ C + U, M - _commutator(H, C), solved

    @kept
    def _images_of_phi(self) -> tuple[Array, Array]:
        """Aᴴ Φ and Bᴴ Φ for the orthonormal basis Φ of B X."""
        A, B, Phi = self.problem.A, self.problem.B, self.pairs.Q_BX
        return A.adjoint(Phi), Phi if B is None else B.adjoint(Phi)

    def image(self, side: Side, U: Array) -> Array:
        """Return A U − B U H, or Aᴴ U − Bᴴ U Hᴴ."""
        H = self.H.conj().T if side.adjoint else self.H
        BU = U if side.B is None else side.B(U)
        return side.A(U) - BU @ H

    # ---- on the complement -------------------------------------------------------------------

    def _complement(self, side: Side, F: Array, scale: Array) -> Complement:
        """Return U with A U − B U H = F, or Aᴴ U − Bᴴ U Hᴴ = F, on the complement; refused where it is none."""
        space, blocks = self.problem.space, self.blocks
        solved = self._in_stages(side, F, scale)
        if self.problem.hermitian or not space.any(solved.U):
            return solved
        growth = space.norm(solved.U) / space.norm(F)
        if not side.consistent and self._is_suspicious(growth):
            _ = self.left  # raises where an eigenvalue outside has coalesced with one inside
        rtol = self.options.tolerance(F.dtype)
        for step in range(REFINEMENTS + 1):
            left = side.project_out(F - self.image(side, solved.U))
            floors = side.rounding(solved.U) + self.pairs.precision.floor * scale
            # What rounding of V leaves of the equation with H, past what each system was asked for.
            wanted = np.maximum(rtol * np.maximum(space.norms(F), scale), floors)
            if step == REFINEMENTS or np.all(space.norms(left) <= max(small.norm(blocks.V), 1.0) * wanted):
                break
            more = self._in_stages(side, left, space.norms(left))
            U = side.project_in(solved.U + more.U)
            now = space.norms(side.project_out(F - self.image(side, U)))
            if not np.all(now <= 0.5 * np.maximum(space.norms(left), wanted)):
                break
            solved = _joined([solved, more], U, 1.0, space.norms(U))
        return replace(solved, errors=np.hypot(solved.errors, growth * space.norms(left)))

    def _in_stages(self, side: Side, F: Array, scale: Array) -> Complement:
        problem, space, blocks = self.problem, self.problem.space, self.blocks
        turn, back = (blocks.inverse.conj().T, blocks.V.conj().T) if side.adjoint else (blocks.V, blocks.inverse)
        # Rounding of F in the columns of F V.
        sizes = small.norm(scale) * small.column_norms(turn)
        F = side.project_out(F) @ turn
        # Inverses at a complex shift take real vectors to complex ones.
        types = [F, blocks.D, *([] if problem.inverse is None else [problem.inverse.operator.dtype])]
        U, found = np.zeros_like(F, np.result_type(*types), order="F"), list[Complement]()
        for stage in blocks.stages(side.adjoint):
            rhs = np.zeros_like(U)
            own = [(j, done) for j, done in stage if blocks.partner[j] < 0 or not self.real]
            for j, done in own:
                rhs[:, j] = F[:, j]
                if done:
                    coefficients = blocks.D[j, done].conj() if side.adjoint else blocks.D[done, j]
                    v = U[:, done] @ coefficients[:, None]
                    rhs[:, j] += (v if side.B is None else side.B(v))[:, 0]
            solved = self._solved(side, rhs, sizes)
            for j, _ in stage:
                a = blocks.partner[j]
                U[:, j] = solved.U[:, j] if a < 0 or not self.real else solved.U[:, a].conj()
            found.append(solved)
        U = U @ back
        if self.real and np.isrealobj(self.H):
            U = U.real
        return _joined(found, side.project_in(np.asfortranarray(U)), small.norm(back), space.norms(U))

    def _solved(self, side: Side, rhs: Array, scale: Array) -> Complement:
        """Return solutions of the shifted systems of one stage, refused where they are none."""
        options, hermitian = self.options, self.problem.hermitian
        complete = None if options.on_gauge == "ignore" else self.complete()
        solved = solve(side, rhs, scale, complete)
        report = solved.report
        neighbours = {i: distance * self.problem.units[1] for i, distance in report.neighbours.items()}
        report = replace(report, neighbours=neighbours)
        if complete is not None:
            report = replace(report, completeness=complete.state)
            if self.others.is_first_report():
                report = replace(report, search_applications=complete.applications, search_solves=complete.solves)
        if not hermitian and not side.consistent and not report.converged:
            _ = self.left  # raises where an eigenvalue outside has coalesced with one inside
        refuse(self.pairs, report)
        return replace(solved, report=report)


def _relative(solved: Complement, size: float) -> float:
    """Return the estimated error of a solution of this size."""
    return min(small.norm(solved.errors) / size, 1.0) if size > 0 else 0.0


def _largest_singular(space: Space, V: Array) -> float:
    """Return ‖V‖ of a long block."""
    return float(np.sqrt(max(small.eigh(space, space.gram(V, V))[0][-1], 0.0)))


def _commutator(H: Array, C: Array) -> Array:
    return H @ C - C @ H


def _joined(found: list[Complement], U: Array, factor: float, sizes: Array) -> Complement:
    """Return the stages' solutions as one, with one report; errors are multiplied by ``factor``."""
    last = found[-1]
    if len(found) == 1:
        report = last.report
    else:
        reports = [solved.report for solved in found]
        report = replace(
            last.report,
            method="+".join(dict.fromkeys(name for r in reports for name in r.method.split("+"))),
            residuals=_largest([r.residuals for r in reports]),
            floors=_largest([r.floors for r in reports]),
            iterations=sum(r.iterations for r in reports),
            applications=sum(r.applications for r in reports),
            solves=sum(r.solves for r in reports),
            search_applications=sum(r.search_applications for r in reports),
            search_solves=sum(r.search_solves for r in reports),
            reason=next((r.reason for r in reports if r.reason), ""),
        )
    errors, growth, residuals, least = (
        _largest([getattr(solved, name) for solved in found]) for name in ("errors", "growth", "residuals", "least")
    )
    return Complement(U, report, errors * factor, growth, residuals, least, sizes)


def _largest(parts: list[Array]) -> Array:
    return np.max(np.stack(parts), axis=0)
