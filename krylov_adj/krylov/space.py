"""Where long vectors live: the only place with their inner products, norms, bases, sums and random numbers.

Everything in `krylov/` and `perturbation/` works on blocks (n, m) of n rows, of which a process has all, or some.
Sums of columns, products with small matrices and copies are local; what is summed over rows is asked of the space, and
so are vectors made of nothing. Small results are the same numbers on every process, so that all take the same branches
(`agree`). One process asks `WHOLE`, which costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from scipy.linalg import get_blas_funcs

Array = np.ndarray
T = TypeVar("T")

#: Random vectors are made in pieces of so many numbers, each from a seed of its own, whatever process has it.
PIECE = 1 << 16


class Space:
    """All rows are here."""

    #: Whether this process has all rows.
    whole = True
    #: The namespace of what is elementwise.
    xp: Any = np

    # ---- what processes have together ----------------------------------------------------------

    def agree(self, small: T) -> T:
        """Return the first process's result for all, of what each has computed of equal numbers.

        Rounding need not be the same everywhere: it depends on where arrays are in memory, and on the processor.
        """
        return small

    def total(self, parts: Any) -> Any:
        """Return the sum of the processes' arrays, or numbers, of one small shape."""
        return parts

    def size(self, local: int) -> int:
        """Return how many rows there are in all, of which this process has ``local``."""
        return local

    def largest(self, a: Array) -> float:
        """Return the largest of the numbers, which are not negative; zero of none."""
        return float(np.max(a, initial=0))

    def largest_of_columns(self, A: Array) -> Array:
        """Return the largest number of each column, none of which is negative, (m,)."""
        return np.asarray(A.max(axis=0, initial=0))

    def any(self, a: Array) -> bool:
        """Return whether an entry is not zero."""
        return bool(a.any())

    def equal(self, v: Array, w: Array) -> bool:
        """Return whether two vectors are the same."""
        return not self.any(v != w)

    def any_of_columns(self, V: Array) -> Array:
        """Return whether an entry of each column is not zero, (m,)."""
        return np.asarray(V.any(axis=0))

    def finite(self, a: Array) -> bool:
        """Return whether every entry is a number."""
        # The sum is finite only if every entry is (or nearly so): one pass, no mask unless in doubt.
        return bool(np.isfinite(np.sum(a)) or np.all(np.isfinite(a)))

    def finite_columns(self, V: Array) -> Array:
        """Return whether every entry of each column is a number, (m,)."""
        return np.asarray(np.all(np.isfinite(V), axis=0))

    # ---- vectors made of nothing ---------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: Any, order: Any = "C") -> Array:
        """Return an array of this process's rows, of no particular content."""
        return np.empty(shape, dtype, order)

    def zeros(self, shape: tuple[int, ...], dtype: Any, order: Any = "C") -> Array:
        """Return an array of zeros."""
        return np.zeros(shape, dtype, order)

    def random(self, local: int, dtype: Any, seed: int, columns: int | None = None) -> Array:
        """Return standard normal numbers (n,) or (n, columns), the same vectors on any number of processes.

        Both parts of a complex type are.
        """
        rng, shape = np.random.default_rng(seed), local if columns is None else (local, columns)
        v = rng.standard_normal(shape)
        if np.dtype(dtype).kind == "c":
            v = v + 1j * rng.standard_normal(shape)
        return v.astype(dtype)

    # ---- sums over rows ------------------------------------------------------------------------

    def gram(self, X: Array, Y: Array) -> Array:
        """Return Xᴴ Y; either may be a single vector."""
        return times(X.conj().T, Y)

    def dot(self, v: Array, w: Array) -> Any:
        """Return vᴴ w."""
        return np.vdot(v, w)

    def dots(self, V: Array, W: Array) -> Array:
        """Return vⱼᴴ wⱼ of every column, shape (m,), without temporaries."""
        dot = get_blas_funcs("dotc" if V.dtype.kind == "c" or W.dtype.kind == "c" else "dot", (V, W))
        return np.array([dot(V[:, j], W[:, j]) for j in range(V.shape[1])], np.result_type(V, W))

    def norm(self, v: Array) -> float:
        """Return ‖v‖ of a vector, or of a block as one vector."""
        return float(np.linalg.norm(v))

    def norms(self, V: Array) -> Array:
        """Return ‖vⱼ‖ of every column, shape (m,)."""
        return np.asarray(np.linalg.norm(V, axis=0))

    def safe_norms(self, V: Array) -> Array:
        """Return ‖vⱼ‖ of every column, safe against overflow and underflow."""
        nrm2 = get_blas_funcs("nrm2", (V,))
        return np.array([nrm2(V[:, j]) for j in range(V.shape[1])], np.finfo(V.dtype).dtype)

    def row_norms(self, rows: Array) -> Array:
        """Return ‖v‖ of vectors that are rows."""
        return np.asarray(np.linalg.norm(rows, axis=1))

    def overlaps(self, rows: Array, w: Array) -> Array:
        """Return ⟨v, w⟩ for the vectors v in the rows of an array."""
        return (rows @ w.conj()).conj()

    def stacked_overlaps(self, bases: Array, W: Array) -> Array:
        """Return ⟨v, w⟩ for every w in the rows of W (m, n) and the vectors v (j, n) of its own basis, (m, j)."""
        return (bases.conj() @ W[:, :, None])[:, :, 0]

    def bordered_overlaps(self, rows: Array, w: Array, border: int) -> Array:
        """Return `overlaps` of vectors that end with ``border`` numbers which every process has."""
        return (rows @ w.conj()).conj()

    def bordered_norm(self, w: Array, border: int) -> float:
        """Return the norm of a vector that ends with ``border`` numbers which every process has."""
        return float(np.linalg.norm(w))

    # ---- bases ---------------------------------------------------------------------------------

    def qr(self, V: Array, pivoting: bool = False) -> tuple[Array, Array]:
        """Return Q (n, d) orthonormal and R (d, d) with Q R = V, of permuted columns where ``pivoting``."""
        Q, R = la.qr(V, mode="economic", pivoting=pivoting)[:2]
        return Q, R

    def project_out(self, Q: Array, V: Array) -> Array:
        """Return V without its part along an orthonormal basis Q (n, d); V is a vector or a block."""
        return V - times(Q, self.gram(Q, V))

    def basis(self, V: Array, real: bool) -> Array:
        """Return an orthonormal basis (n, d) of the span of V; a ``real`` one of a span closed under conjugation."""
        if not real:
            return self.qr(V)[0]
        parts: list[Array] = []  # of a pair of conjugate columns one is enough
        for j, v in enumerate(V.T):
            if not any(self.equal(u, v.conj()) for u in V.T[:j]):
                parts += [v.real, v.imag] if self.any(v.imag) else [v.real]
        return self.qr(np.stack(parts, axis=1), pivoting=True)[0][:, : V.shape[1]]

    def svd(self, V: Array) -> tuple[Array, Array, Array]:
        """Return the thin singular value decomposition U, s, Wᴴ."""
        U, s, WH = la.svd(V, full_matrices=False)
        return U, s, WH

    def lstsq(self, V: Array, F: Array, revealing: bool = False) -> Array:
        """Return C of least ‖V C − F‖; ``revealing``: by QR that reveals the rank, not by singular values."""
        C: Array = la.lstsq(V, F, lapack_driver="gelsy" if revealing else "gelsd")[0]
        return C


WHOLE = Space()


@dataclass(frozen=True)
class Processes:
    """The operations of several processes together, with the same bits on all of them: four callables, no library.

    Attributes
    ----------
    rank : int
        The number of this one.
    sum : callable
        A small array's sum.
    maximum : callable
        The largest of the processes' numbers.
    gather : callable
        The processes' small arrays, in the order of the processes.
    share : callable
        The first process's small array.
    """

    rank: int
    sum: Callable[[Array], Array]
    maximum: Callable[[float], float]
    gather: Callable[[Array], Sequence[Array]]
    share: Callable[[Array], Array]


class Rows(Space):
    """Every process has some rows, ``local`` of them, in the order of the processes."""

    whole = False

    def __init__(self, processes: Processes, local: int):
        self._all, self.local = processes, local
        counts = [int(count[0]) for count in processes.gather(np.array([local]))]
        self.start, self.n = sum(counts[: processes.rank]), sum(counts)

    def agree(self, small: T) -> T:
        if isinstance(small, tuple):
            shared: Any = tuple(self.agree(part) for part in small)
            return shared
        result: Any = self._all.share(np.asarray(small))
        return result if isinstance(small, np.ndarray) else result[()].item() if np.ndim(result) == 0 else result

    def total(self, parts: Any) -> Any:
        result = self._all.sum(np.asarray(parts))
        if not np.all(np.isfinite(result)):  # of one process's rows: all see it
            raise ValueError("NaN or infinity in a sum over processes: an operator or the loss returned some")
        return result if isinstance(parts, np.ndarray) else result[()]

    def size(self, local: int) -> int:
        return self.n

    def largest(self, a: Array) -> float:
        largest = float(np.max(a, initial=0))
        return self._all.maximum(np.inf if np.isnan(largest) else largest)

    def largest_of_columns(self, A: Array) -> Array:
        return np.array([self.largest(column) for column in A.T], A.dtype)

    def any(self, a: Array) -> bool:
        return self._all.maximum(float(a.any())) > 0

    def any_of_columns(self, V: Array) -> Array:
        return np.asarray(self._all.sum(V.any(axis=0).astype(float)) > 0)

    def finite(self, a: Array) -> bool:
        return self._all.maximum(0.0 if super().finite(a) else 1.0) == 0

    def finite_columns(self, V: Array) -> Array:
        return np.asarray(self._all.sum((~np.isfinite(V)).any(axis=0).astype(float)) == 0)

    def random(self, local: int, dtype: Any, seed: int, columns: int | None = None) -> Array:
        m, parts = 1 if columns is None else columns, 2 if np.dtype(dtype).kind == "c" else 1
        numbers = np.stack([self._pieces(local, m, [seed, part] if part else seed) for part in range(parts)])
        v = numbers[0] if parts == 1 else numbers[0] + 1j * numbers[1]
        return (v if columns is None else v.reshape(local, columns)).astype(dtype)

    def _pieces(self, local: int, m: int, seed: Any) -> Array:
        """Return this process's part of all rows' numbers; the first piece is what one process alone would make."""
        start, stop = self.start * m, (self.start + local) * m
        result = np.empty(stop - start)
        for piece in range(start // PIECE, -(-stop // PIECE)):
            own = seed if piece == 0 else [*np.atleast_1d(seed).tolist(), piece]
            numbers = np.random.default_rng(own).standard_normal(PIECE)
            first, last = max(start, piece * PIECE), min(stop, (piece + 1) * PIECE)
            result[first - start : last - start] = numbers[first - piece * PIECE : last - piece * PIECE]
        return result

    def gram(self, X: Array, Y: Array) -> Array:
        return np.asarray(self.total(times(X.conj().T, Y)))

    def dot(self, v: Array, w: Array) -> Any:
        return self.total(np.vdot(v, w))

    def dots(self, V: Array, W: Array) -> Array:
        # BLAS takes no empty vectors.
        parts = super().dots(V, W) if V.shape[0] else np.zeros(V.shape[1], np.result_type(V, W))
        return np.asarray(self.total(parts))

    def norm(self, v: Array) -> float:
        return float(np.sqrt(self.total(np.linalg.norm(v) ** 2)))

    def norms(self, V: Array) -> Array:
        return np.sqrt(self.total(np.linalg.norm(V, axis=0) ** 2))

    def safe_norms(self, V: Array) -> Array:
        norms = super().safe_norms(V) if V.shape[0] else np.zeros(V.shape[1], np.finfo(V.dtype).dtype)
        unit = np.array([self._all.maximum(float(norm)) for norm in norms]).astype(norms.dtype)
        unit[unit == 0] = 1
        return unit * np.sqrt(self.total((norms / unit) ** 2))

    def row_norms(self, rows: Array) -> Array:
        return np.sqrt(self.total(np.linalg.norm(rows, axis=1) ** 2))

    def overlaps(self, rows: Array, w: Array) -> Array:
        return np.asarray(self.total(super().overlaps(rows, w)))

    def stacked_overlaps(self, bases: Array, W: Array) -> Array:
        return np.asarray(self.total(super().stacked_overlaps(bases, W)))

    def bordered_overlaps(self, rows: Array, w: Array, border: int) -> Array:
        mine = self._without_border(w, border)
        return np.asarray(self.total(super().overlaps(rows[:, :mine], w[:mine])))

    def bordered_norm(self, w: Array, border: int) -> float:
        return self.norm(w[: self._without_border(w, border)])

    def _without_border(self, w: Array, border: int) -> int:
        """Return how many numbers of a bordered vector this process counts: the border counts once."""
        return int(w.shape[0]) - (border if self._all.rank else 0)

    def qr(self, V: Array, pivoting: bool = False) -> tuple[Array, Array]:
        """Return Q and R: of every process's rows, then of what these leave, one above the other (TSQR)."""
        d = V.shape[1]
        Q, R = la.qr(np.vstack([V, np.zeros((max(d - V.shape[0], 0), d), V.dtype)]), mode="economic")
        above = np.vstack(self._all.gather(R))
        outer, R = self.agree(tuple(la.qr(above, mode="economic", pivoting=pivoting)[:2]))
        rank = self._all.rank
        return Q[: V.shape[0]] @ outer[rank * d : (rank + 1) * d], R

    def svd(self, V: Array) -> tuple[Array, Array, Array]:
        Q, R = self.qr(V)
        U, s, WH = self.agree(tuple(la.svd(R)))
        return Q @ U, s, WH

    def lstsq(self, V: Array, F: Array, revealing: bool = False) -> Array:
        Q, R = self.qr(V)
        C: Array = self.agree(super().lstsq(R, self.gram(Q, F), revealing))
        return C


def times(matrix: Any, V: Array) -> Array:
    """A V for a dense or sparse matrix A; where A is real and V complex, no complex A is made.

    Both parts of V, side by side, are a real block of twice as many columns. For a single vector and
    a sparse A, SciPy's product is the faster one (benchmarks/applications.py).
    """
    if matrix.dtype.kind == "c" or V.dtype.kind != "c" or (V.ndim == 1 and sp.issparse(matrix)):
        return matrix @ V
    parts = np.ascontiguousarray(V).view(V.real.dtype).reshape(V.shape[0], 2 * math.prod(V.shape[1:]))  # (n, 2 m)
    product = np.ascontiguousarray(matrix @ parts)
    return product.view(np.result_type(product, np.complex64)).reshape(matrix.shape[0], *V.shape[1:])
