"""The request of a call of `eigs` or `eigsh`, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..perturbation.selection import Ranking, ranking
from .scaling import ONE, Units, times_number

__all__ = ["Request"]

#: Who solves: what suits the problem, or ARPACK alone.
SOLVERS = ("auto", "arpack")


@dataclass(frozen=True, eq=False)
class Request:
    """Eigenpairs that are asked for: SciPy's arguments, as plain values.

    They are not checked here: SciPy does that, and says it in its words.

    Attributes
    ----------
    k : int
    hermitian : bool
        The problem is that of `eigsh`, otherwise that of `eigs`.
    which, sigma, v0, ncv, maxiter, tol, Minv, OPinv, rng
        As in SciPy.
    mode : str
        Of `eigsh`.
    OPpart : str or None
        Of `eigs`.
    vectors : bool
        Eigenvectors are read; without them the eigenvalues' order may be another one.
    solver : {"auto", "arpack"}
        What suits the problem, or ARPACK alone.
    normalization : {"2", "M", "A"}, optional
        xᴴx = 1, xᴴMx = 1 or xᴴAx = 1, for who has to know before the pairs are computed; an error where they cannot be
        normalised so. By default that of an M that is an inner product, "2" for any other.
    units : Units, optional
        Those of the operators that the request is for; see `in_units`.
    """

    k: Any
    hermitian: bool
    which: str = "LM"
    sigma: Any = None
    v0: Any = None
    ncv: Any = None
    maxiter: Any = None
    tol: Any = 0
    Minv: Any = None
    OPinv: Any = None
    rng: Any = None
    mode: str = "normal"
    OPpart: Any = None
    vectors: bool = True
    solver: str = "auto"
    normalization: str | None = None
    units: Units = ONE

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver={self.solver!r}: expected one of {SOLVERS}")

    @property
    def name(self) -> str:
        """The name of SciPy's function."""
        return "eigsh" if self.hermitian else "eigs"

    def in_units(self, units: Units) -> Request:
        """Return the request for eigenpairs of A′ and M′, see `scaling.py`."""
        return replace(
            self,
            sigma=units.shift(self.sigma),
            OPinv=times_number(self.OPinv, units.a),
            Minv=times_number(self.Minv, units.m),
            units=units,
        )

    @property
    def buckling(self) -> bool:
        """Whether the mode is "buckling"; without sigma, SciPy does not look at it."""
        return self.hermitian and self.mode == "buckling" and self.sigma is not None

    def past_arpack(self, A: Any) -> bool:
        """Return whether k is more than ARPACK can do for n × n matrices: n of real symmetric ones, n − 1 of others."""
        return bool(self.k >= A.shape[0] - (0 if self.hermitian and A.dtype.kind != "c" else 1))

    def needs_matrix(self, A: Any) -> bool:
        """Return whether a solver needs A itself: SciPy factorises it with sigma, LAPACK always."""
        return self.sigma is not None or self.past_arpack(A)

    def basis_size(self, n: int) -> Any:
        """Return the size of ARPACK's basis: SciPy's default unless ``ncv`` is given."""
        return self.ncv or min(n, max(2 * self.k + 1, 20))

    def usual_normalization(self, M: Any) -> str:
        """Return the normalisation with an M that is an inner product, see `Eigenproblem`."""
        return "A" if self.buckling else "2" if M is None else "M"

    def ranking(self, real_A: bool, real_M: bool, standard: bool = False) -> Ranking:
        """Return how eigenvalues are ranked; ``standard``: those of (A − σM)⁻¹M as a standard problem."""
        return ranking(self.hermitian, real_A, real_M, self.which, self.sigma, self.mode, self.OPpart, standard)
