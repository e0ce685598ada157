"""The eigenproblem as the core sees it: operators on plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import get_ident
from typing import Any, Literal, Protocol

import numpy as np
import scipy.sparse as sp

from ..krylov.precision import Precision
from ..krylov.space import WHOLE, Space
from ..report.messages import not_finite
from .cache import Cache, kept
from .selection import Selection
from .structures import PENCIL, Pencil

Array = np.ndarray
SideName = Literal["adjoint", "tangent"]

#: Of the vector that shows the size of A and B.
SEED = 7


class KeptSolutions(Protocol):
    """Solutions of earlier problems' systems, see `krylov_adj.Continuation`."""

    def initial_guess(
        self,
        space: Space,
        side: str,
        b: Array,
        real: bool,
        project: Callable[[Array], Array],
        images: Callable[[Array], Callable[[int], Array]],
    ) -> tuple[Array, Array]:
        """U (n, m) and what it leaves of b (n, m), b_i − R_i u_i.

        ``real``: all R_i are real up to their shifts. ``project`` is onto the space of the solutions; ``images(Q)``
        gives i ↦ R_i Q.
        """

    def keep_solutions(self, space: Space, side: str, U: Array) -> None:
        """Keep the solutions U (n, m) of a side's systems."""


class ValueOperator:
    """A linear map on plain arrays, applied to blocks of columns, with its adjoint and a count.

    Parameters
    ----------
    shape : (int, int)
    dtype : dtype
        Of the map; a real map leaves real vectors real.
    apply, adjoint : callable
        ``apply(V)`` is A V and ``adjoint(V)`` is Aᴴ V for V of shape (n, m). ``adjoint`` is None
        where the adjoint is not available.
    name : str
        For messages.
    matrix : ndarray, SciPy sparse, or a function that makes one, optional
        The map itself, where it is explicit.
    by_matrix : bool, optional
        Solvers, which apply the map many times, had better apply its matrix.
    space : Space, optional
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: Any,
        apply: Callable[[Array], Array],
        adjoint: Callable[[Array], Array] | None,
        name: str,
        matrix: Any = None,
        by_matrix: bool = False,
        space: Space = WHOLE,
    ):
        self.shape, self.dtype, self.name, self.by_matrix = shape, np.dtype(dtype), name, by_matrix
        self.space = space
        self._apply, self._adjoint, self._matrix = apply, adjoint, matrix
        self._applications: dict[int, int] = {}
        self.cache = Cache()

    @property
    def applications(self) -> int:
        """Applications by this thread: a report counts those of its own solve by a difference."""
        return self._applications.get(get_ident(), 0)

    def counted_anew(self) -> ValueOperator:
        """The same map with a count of its own."""
        matrix = (lambda: self.matrix) if self.explicit else None
        return ValueOperator(
            self.shape, self.dtype, self._apply, self._adjoint, self.name, matrix, self.by_matrix, self.space
        )

    @property
    def explicit(self) -> bool:
        return self._matrix is not None

    @kept
    def matrix(self) -> Any:
        return self._matrix() if callable(self._matrix) else self._matrix

    @property
    def has_adjoint(self) -> bool:
        return self._adjoint is not None

    def apply(self, V: Array) -> Array:
        return self._counted(self._apply, V)

    def adjoint(self, V: Array) -> Array:
        if self._adjoint is None:
            raise NotImplementedError(f"{self.name} has no adjoint: give it an rmatvec")
        return self._counted(self._adjoint, V)

    def _counted(self, function: Callable[[Array], Array], V: Array) -> Array:
        thread = get_ident()
        self._applications[thread] = self._applications.get(thread, 0) + (1 if V.ndim == 1 else V.shape[1])
        result = function(V)
        if not self.space.finite(result):
            raise ValueError(not_finite(self.name))
        return result


@dataclass(frozen=True)
class Inverse:
    """The inverse (A − σB)⁻¹ of the forward pass, for the adjoint to use again."""

    sigma: complex
    operator: ValueOperator


@dataclass(frozen=True)
class Surplus:
    """Knowledge of a forward solve that proves its completeness, besides the pairs that were asked for.

    Lanczos of our own does, of Hermitian problems, and LAPACK.

    Attributes
    ----------
    cut : ndarray or None
        Eigenvalues next to the computed ones that were not computed: every computed one that has such a neighbour has
        one here. None where rounding does not let that be told.
    w : ndarray, shape (e,)
    V : ndarray, shape (n, e)
        Other eigenpairs, nearly, B-orthonormal: solutions' parts along them are known.
    """

    cut: Array | None
    w: Array
    V: Array


@dataclass(frozen=True, eq=False)
class Pairs:
    """Eigenpairs A x = w M x, in the order in which they are returned, and what else the forward pass knows.

    Attributes
    ----------
    w : ndarray, shape (k,)
    X : ndarray, shape (n, k)
        None of real `eigsh` by SciPy where no vectors were asked for.
    normalization : {"2", "M", "A"}
        xᴴx = 1, xᴴMx = 1 or xᴴAx = 1.
    method : str
        For reports.
    inverse : Inverse or None
        The inverse that was used, for derivatives to use again.
    surplus : Surplus or None
        What is known besides the pairs that were asked for.
    selection : Selection or None
        Which eigenvalues were asked for.
    units : (float, float)
        What A and the eigenvalues were divided by.
    rtol : float
        The largest residual that is accepted, relative to ‖A‖ + |w|‖M‖.
    applications, solves, ncv : int
        Applications of A, solves with the inverse, and ARPACK's basis (0 where others solved).
    """

    w: Array
    X: Any
    normalization: str
    method: str
    inverse: Inverse | None = None
    surplus: Surplus | None = None
    selection: Selection | None = None
    units: tuple[float, float] = (1.0, 1.0)
    rtol: float = 0.0
    applications: int = 0
    solves: int = 0
    ncv: int = 0


@dataclass(frozen=True)
class Eigenproblem:
    """A x = λ B x.

    Attributes
    ----------
    A, B : ValueOperator
        B is None for the standard problem.
    hermitian : bool
        A and B are Hermitian and the eigenvalues real.
    normalization : {"2", "M", "A"}
        The Hermitian matrix N of xᴴ N x = 1: the identity, B, or A (buckling mode).
    inverse : Inverse or None
    continuation : KeptSolutions, optional
        Solutions of earlier problems to start from.
    structure : Pencil, optional
        What the pairs are besides: see `structures.py`.
    surplus : Surplus, optional
    unit : bool, optional
        The vectors are handed on with unit 2-norm: phases are fixed by Im xᴴdx = 0, not by Im xᴴN dx = 0.
    units : (float, float), optional
        What A and the eigenvalues were divided by, for messages and reports.
    selection : Selection, optional
        What the forward pass was asked for; None for pairs that were given.
    mass_inverse : callable, optional
        ``mass_inverse()`` makes the function v ↦ B⁻¹v, for a problem without ``inverse``.
    space : Space, optional
        Where the vectors live.
    """

    A: ValueOperator
    B: ValueOperator | None
    hermitian: bool
    normalization: str
    inverse: Inverse | None = None
    continuation: KeptSolutions | None = None
    structure: Pencil = PENCIL
    surplus: Surplus | None = None
    units: tuple[float, float] = (1.0, 1.0)
    unit: bool = False
    selection: Selection | None = None
    mass_inverse: Callable[[], Callable[[Array], Array]] | None = None
    space: Space = WHOLE
    cache: Cache = field(init=False, default_factory=Cache, repr=False)

    @classmethod
    def of(
        cls,
        pairs: Pairs,
        A: ValueOperator,
        B: ValueOperator | None,
        hermitian: bool,
        *,
        continuation: KeptSolutions | None = None,
        mass_inverse: Callable[[], Callable[[Array], Array]] | None = None,
    ) -> Eigenproblem:
        """The problem that a forward pass has solved, with what it knows."""
        return cls(
            A,
            B,
            hermitian,
            pairs.normalization,
            inverse=pairs.inverse,
            continuation=continuation,
            surplus=pairs.surplus,
            units=pairs.units,
            selection=pairs.selection,
            mass_inverse=mass_inverse,
        )

    @property
    def n(self) -> int:
        """The order of A; of several processes each has some of the rows."""
        return self.space.size(self.A.shape[0])

    @property
    def cut(self) -> Array | None:
        """Eigenvalues next to the computed ones that were not computed; None where that is not known."""
        return None if self.surplus is None else self.surplus.cut

    @property
    def real(self) -> bool:
        """The pencil is real."""
        return all(operator is None or operator.dtype.kind != "c" for operator in (self.A, self.B))

    @property
    def explicit(self) -> bool:
        """Its matrices are at hand."""
        return self.A.explicit and (self.B is None or self.B.explicit)

    def counts(self) -> tuple[int, int]:
        """Applications of A and of the inverse so far, by this thread."""
        return self.A.applications, 0 if self.inverse is None else self.inverse.operator.applications

    def apply_B(self, V: Array) -> Array:
        return V if self.B is None else self.B.apply(V)

    @kept
    def probe(self) -> tuple[float, float, complex]:
        """‖A v‖, ‖B v‖ and (B v)ᴴ A v for one fixed pseudo-random unit vector v."""
        space = self.space
        v = space.random(self.A.shape[0], real_dtype(self.A.dtype), SEED, 1)
        v /= space.norm(v)
        Av, Bv = self.A.apply(v), self.apply_B(v)
        norm_B = 1.0 if self.B is None else space.norm(Bv)
        return space.norm(Av), norm_B, complex(space.dot(Bv[:, 0], Av[:, 0]))

    @property
    def norms(self) -> tuple[float, float]:
        """‖A v‖ and ‖B v‖ for a pseudo-random unit vector v: the norms' typical size."""
        return self.probe[:2]

    def distances(self, w: Array) -> Array:
        """‖(A − wᵢB) v‖ for that vector, (k,)."""
        norm_A, norm_B, inner = self.probe
        square = norm_A**2 - 2 * np.real(np.conj(w) * inner) + (np.abs(w) * norm_B) ** 2
        return np.sqrt(np.maximum(square, 0))

    @kept
    def dense(self) -> tuple[Array, Array]:
        """A and B as dense matrices."""
        B = np.eye(self.n, dtype=self.A.dtype) if self.B is None else _as_dense(self.B)
        return _as_dense(self.A), B

    def pencil(self, V: Array, w: Array) -> Array:
        """(A − wᵢB) vᵢ for every column i."""
        return _difference(self.A.apply(V), self.apply_B(V) * w)  # (n, m)

    def pencil_adjoint(self, V: Array, w: Array) -> Array:
        """(A − wᵢB)ᴴ vᵢ for every column i."""
        if self.hermitian:
            return self.pencil(V, w)  # w is real
        BV = V if self.B is None else self.B.adjoint(V)
        return _difference(self.A.adjoint(V), BV * np.conj(w))  # (n, m)


def _difference(AV: Array, product: Array) -> Array:
    """AV − product, in the memory of the product, which is nobody else's; AV may be the operator's."""
    same = np.result_type(AV, product) == product.dtype
    return np.subtract(AV, product, out=product if same else None)


def _as_dense(operator: ValueOperator) -> Array:
    if not operator.explicit:
        return np.asarray(operator.apply(np.eye(operator.shape[1], dtype=operator.dtype)))
    matrix = operator.matrix
    return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=operator.dtype)


def apart_from(problem: Eigenproblem, w: Array) -> Eigenproblem:
    """The problem with an inverse whose shift is none of the w to the last bit, but one by rounding.

    What is computed as (A − σB)⁻¹ is as much the inverse at any σ′ with |σ′ − σ| ≈ ε‖A‖/‖B‖.
    """
    inverse = problem.inverse
    if inverse is None or np.all(w != inverse.sigma):
        return problem
    norm_A, norm_B = problem.norms
    spacing = Precision.of(w.dtype).eps * (norm_A / norm_B + abs(inverse.sigma))
    free = next(sigma for j in range(2, w.size + 3) if np.all(w != (sigma := inverse.sigma + j * spacing)))
    return replace(problem, inverse=replace(inverse, sigma=free))


def power_of_two(space: Space, *arrays: Array) -> float:
    """A power of two of the size of the largest entry, 1 where all are zero."""
    largest = max((space.largest(np.abs(a)) for a in arrays), default=0.0)
    return float(2.0 ** np.floor(np.log2(largest))) if 0 < largest < np.inf else 1.0


def real_dtype(dtype: Any) -> np.dtype:
    """The real floating-point type of a dtype's precision."""
    return np.dtype(np.finfo(np.result_type(inexact(dtype), np.float32)).dtype)


def inexact(dtype: Any) -> np.dtype:
    """The type to compute in: of booleans and integers it is double precision, as in SciPy.

    (NumPy's promotion with single precision would leave small integers there.)
    """
    dtype = np.dtype(dtype)
    return np.dtype(float) if dtype.kind in "biu" else dtype
