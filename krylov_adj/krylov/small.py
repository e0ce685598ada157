"""Dense algebra of small matrices, which every process has: the one home of LAPACK calls on them.

Results that steer a branch are agreed on: see `Space.agree`. Another precision or a device has this one place to serve.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg as la

from .space import Space

Array = np.ndarray


def norm(A: Array) -> float:
    """Return the Frobenius norm."""
    return float(np.linalg.norm(A))


def column_norms(A: Array) -> Array:
    """Return ‖aⱼ‖ of every column."""
    return np.asarray(np.linalg.norm(A, axis=0))


def eigh(space: Space, H: Array) -> tuple[Array, Array]:
    """Return eigenvalues, rising, and eigenvectors of a Hermitian matrix."""
    w, V = np.linalg.eigh(H)
    return space.agree((w, V))


def eigvalsh(space: Space, H: Array) -> Array:
    """Return the eigenvalues, rising, of a Hermitian matrix."""
    return space.agree(np.asarray(np.linalg.eigvalsh(H)))


def cholesky(space: Space, H: Array) -> Array:
    """Return L, lower triangular, with L Lᴴ = H, which is positive definite."""
    return space.agree(np.asarray(np.linalg.cholesky(H)))


def eigh_tridiagonal(space: Space, diagonal: Array, beside: Array) -> tuple[Array, Array]:
    """Return eigenvalues, rising, and eigenvectors of a symmetric tridiagonal matrix."""
    w, V = la.eigh_tridiagonal(diagonal, beside)
    return space.agree((w, V))


def eig(space: Space, H: Array) -> tuple[Array, Array]:
    """Return eigenvalues and eigenvectors."""
    w, V = np.linalg.eig(H)
    return space.agree((w, V))


def eigvals(space: Space, H: Array) -> Array:
    """Return the eigenvalues."""
    return space.agree(np.asarray(la.eigvals(H)))


def svd(space: Space, A: Array) -> tuple[Array, Array, Array]:
    """Return the thin singular value decomposition U, s, Vᴴ."""
    U, s, VH = np.linalg.svd(A, full_matrices=False)
    return space.agree((U, s, VH))


def full_svd(space: Space, A: Array) -> tuple[Array, Array, Array]:
    """Return the singular value decomposition U, s, Vᴴ with square U and V."""
    U, s, VH = np.linalg.svd(A)
    return space.agree((U, s, VH))


def smallest_singular(space: Space, A: Array) -> tuple[float, Array]:
    """Return the smallest singular value and its right singular vector."""
    s, VH = la.svd(A, full_matrices=False)[1:]
    value, vector = space.agree((s[-1], VH[-1].conj()))
    return float(value), vector


def svdvals(space: Space, A: Array) -> Array:
    """Return the singular values, falling."""
    return space.agree(np.asarray(la.svdvals(A)))


def full_qr(space: Space, A: Array) -> tuple[Array, Array]:
    """Return Q, square, and R with Q R = A."""
    Q, R = np.linalg.qr(A, mode="complete")
    return space.agree((Q, R))


def schur(space: Space, H: Array, first: Callable[[complex], bool]) -> tuple[Array, Array, int]:
    """Return the Schur form of H, real where H is, its basis, and how many eigenvalues come ``first``, and do.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where rounding does not let them be put in order.
    """
    output = "real" if H.dtype.kind != "c" else "complex"
    S, Q, kept = la.schur(H, output=output, sort=lambda x, y=0.0: first(x + 1j * y))
    S, Q = space.agree((S, Q))
    return S, Q, int(space.agree(kept))


def inverse(space: Space, A: Array) -> Array:
    """Return A⁻¹."""
    return space.agree(np.asarray(la.inv(A)))


def unchecked_inverse(space: Space, A: Array) -> Array:
    """Return A⁻¹, without a warning where A is ill-conditioned: that is what its size is asked for."""
    return space.agree(np.asarray(np.linalg.inv(A)))


def solve(space: Space, A: Array, B: Array) -> Array:
    """Return A⁻¹ B."""
    return space.agree(np.asarray(la.solve(A, B)))


def solve_definite(space: Space, A: Array, B: Array) -> Array:
    """Return A⁻¹ B for a Hermitian positive definite A."""
    return space.agree(np.asarray(la.solve(A, B, assume_a="pos")))


def solve_triangular(space: Space, R: Array, B: Array, transposed: bool = False) -> Array:
    """Return R⁻¹ B, or R⁻ᴴ B, for an upper triangular R."""
    trans = "C" if transposed else "N"
    return space.agree(np.asarray(la.solve_triangular(R, B, trans=trans, check_finite=False)))


def lstsq(space: Space, A: Array, B: Array) -> Array:
    """Return C of least ‖A C − B‖, by rank-revealing QR."""
    return space.agree(np.asarray(la.lstsq(A, B, lapack_driver="gelsy", check_finite=False)[0]))
