"""Gradients of eigenvalues and eigenvectors as an expert writes them with SciPy, for one problem at a time.

Nothing here imports the package. With w and X from ARPACK and the cotangents df = Re Σ (conj(gw) dw +
gXᴴdX) of the loss, every way computes the W of

    df = Re Σᵢ wᵢᴴ (dA − λᵢ dM) xᵢ − ½ Σᵢ Re(xᵢᴴgᵢ) xᵢᴴ dM xᵢ

    (A − λᵢM)ᴴ wᵢ = −hᵢ,   (M xᵢ)ᴴ wᵢ = gλᵢ,   hᵢ = gᵢ − M xᵢ (xᵢᴴgᵢ),

and the parameters' own part is a line of NumPy. Factorisations are made the best way SciPy has: of
Hermitian matrices in SuperLU's symmetric mode, and once for ARPACK and preconditioner together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

Array = np.ndarray
RTOL = 1e-10
#: Its name was another before SciPy 1.12.
TOLERANCE = {"rtol" if "rtol" in inspect.signature(spla.gmres).parameters else "tol": RTOL}
SYMMETRIC = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


@dataclass(frozen=True)
class Pencil:
    """A x = λ M x, the k pairs next to sigma (or, without sigma, the lowest)."""

    A: sp.csr_array
    M: sp.csr_array | None
    k: int
    hermitian: bool
    sigma: float | None

    @property
    def n(self) -> int:
        return self.A.shape[0]

    @property
    def arguments(self) -> dict:
        """Of SciPy's and of our functions alike."""
        selected = {"sigma": self.sigma} if self.sigma is not None else {"which": "SA", "maxiter": 10**5}
        v0 = np.random.default_rng(0).standard_normal(self.n).astype(self.A.dtype)
        return {"k": self.k, "M": self.M, "v0": v0, **selected}

    @property
    def solver(self) -> Callable:
        return spla.eigsh if self.hermitian else spla.eigs

    def plain(self) -> tuple[Array, Array]:
        """SciPy's call as everybody writes it."""
        return self.solver(self.A, **self.arguments)

    def nearest(self, w: Array) -> Array:
        """The k eigenvalues next to sigma, or the lowest, in order."""
        distance = w.real if self.sigma is None else np.abs(w - self.sigma)
        return np.argsort(distance, kind="stable")[: self.k]

    def times_M(self, V: Array) -> Array:
        return V if self.M is None else self.M @ V


@dataclass(frozen=True)
class Forward:
    """ARPACK's pairs, and the factors it used."""

    w: Array
    X: Array
    lu: spla.SuperLU | None


def compressed(K: Any) -> Any:
    """K by columns, with the indices that SuperLU takes in every version of SciPy."""
    K = sp.csc_matrix(K)
    K.indices, K.indptr = K.indices.astype(np.intc), K.indptr.astype(np.intc)
    return K


def factors(pencil: Pencil) -> spla.SuperLU:
    """LU of A − σM."""
    matrix = compressed(pencil.A - pencil.sigma * (sp.eye(pencil.n) if pencil.M is None else pencil.M))
    return spla.splu(matrix, **SYMMETRIC) if pencil.hermitian else spla.splu(matrix)


def forward(pencil: Pencil) -> Forward:
    if pencil.sigma is None:
        return sorted_pairs(pencil, *pencil.plain())
    lu = factors(pencil)
    OPinv = spla.LinearOperator(pencil.A.shape, lu.solve, dtype=pencil.A.dtype)
    return sorted_pairs(pencil, *pencil.solver(pencil.A, OPinv=OPinv, **pencil.arguments), lu)


def sorted_pairs(pencil: Pencil, w: Array, X: Array, lu: spla.SuperLU | None = None) -> Forward:
    order = pencil.nearest(w)
    return Forward(w[order], X[:, order], lu)


def right_hand_sides(pencil: Pencil, X: Array, gX: Array) -> Array:
    """−h."""
    return pencil.times_M(X) * np.sum(X.conj() * gX, axis=0) - gX


# ---- losses of eigenvalues ---------------------------------------------------------------------


def hellmann_feynman(pencil: Pencil, pairs: Forward, gw: Array, gX: Array) -> Array:
    """w = gλ x: for Hermitian pencils and losses of eigenvalues alone."""
    return pairs.X * gw


def left_eigenvectors(pencil: Pencil, pairs: Forward, gw: Array, gX: Array) -> Array:
    """w = gλ y with (Mx)ᴴy = 1: ARPACK once more, on Aᴴ, with the same factors; matched by eigenvalue."""
    A_H = sp.csr_array(pencil.A.conj().T)
    OPinv = spla.LinearOperator(A_H.shape, lambda v: pairs.lu.solve(v, "H"), dtype=A_H.dtype)
    theta, Y = spla.eigs(A_H, OPinv=OPinv, **pencil.arguments)
    Y = Y[:, [int(np.argmin(np.abs(theta.conj() - w))) for w in pairs.w]]
    return Y / np.conj(np.sum(Y.conj() * pencil.times_M(pairs.X), axis=0)) * gw


# ---- losses of eigenvectors --------------------------------------------------------------------


def bordered_lu(pencil: Pencil, pairs: Forward, gw: Array, gX: Array, refine: int = 0) -> Array:
    """A sparse LU of [(A − λᵢM)ᴴ  xᵢ; (M xᵢ)ᴴ  0] for every pair (Nelson's method, bordered)."""
    rhs, MX = right_hand_sides(pencil, pairs.X, gX), pencil.times_M(pairs.X)
    W = np.zeros(pairs.X.shape, np.result_type(pairs.X, pairs.w))
    M = sp.eye(pencil.n) if pencil.M is None else pencil.M
    for i, w in enumerate(pairs.w):
        R = (pencil.A - w * M).conj().T
        K = compressed(sp.bmat([[R, sp.csc_array(pairs.X[:, [i]])], [sp.csc_array(MX[:, [i]].conj().T), None]]))
        lu, b = spla.splu(K), np.r_[rhs[:, i], gw[i]].astype(K.dtype)
        z = lu.solve(b)
        for _ in range(refine):
            z += lu.solve(b - K @ z)
        W[:, i] = z[:-1]
    return W


def minres(pencil: Pencil, pairs: Forward, gw: Array, gX: Array) -> Array:
    """SciPy's MINRES for every pair, all computed vectors deflated; Hermitian (real), no inverse."""
    w, X = pairs.w, pairs.X
    rhs, W = right_hand_sides(pencil, X, gX), X * gw
    for i in range(w.size):
        along = X.T @ rhs[:, i]
        gaps = w - w[i]
        W[:, i] += X @ np.divide(along, gaps, out=np.zeros_like(along), where=np.arange(w.size) != i)

        def deflated(v: Array, i: int = i) -> Array:
            v = v - X @ (X.T @ v)
            v = pencil.A @ v - w[i] * v
            return v - X @ (X.T @ v)

        operator = spla.LinearOperator(pencil.A.shape, deflated, dtype=X.dtype)
        u, info = spla.minres(operator, rhs[:, i] - X @ along, maxiter=10**5, **TOLERANCE)
        if info:
            raise RuntimeError(f"MINRES: info = {info}")
        W[:, i] += u - X @ (X.T @ u)
    return W


def gmres(pencil: Pencil, pairs: Forward, gw: Array, gX: Array) -> Array:
    """SciPy's GMRES for every pair, preconditioned with ARPACK's factors, all computed vectors deflated."""
    w, X = pairs.w, pairs.X
    MX = pencil.times_M(X)
    Q, Q_M = la.qr(X, mode="economic")[0], la.qr(MX, mode="economic")[0]
    gram, A_H = MX.conj().T @ Q_M, sp.csr_array(pencil.A.conj().T)
    M_H = None if pencil.M is None else sp.csr_array(pencil.M.conj().T)
    rhs = right_hand_sides(pencil, X, gX)
    W = np.zeros(X.shape, np.result_type(X, w))
    for i in range(w.size):

        def adjoint(v: Array, i: int = i) -> Array:
            return A_H @ v - np.conj(w[i]) * (v if M_H is None else M_H @ v)

        def deflated(v: Array, adjoint: Callable = adjoint) -> Array:
            v = adjoint(v - Q_M @ (Q_M.conj().T @ v))
            return v - Q @ (Q.conj().T @ v)

        gaps = np.conj(w - w[i])
        t = np.divide(X.conj().T @ rhs[:, i], gaps, out=np.zeros(w.size, W.dtype), where=np.arange(w.size) != i)
        t[i] = gw[i]  # (M x_j)ᴴ w_i
        span = Q_M @ la.solve(gram, t)
        b = rhs[:, i] - adjoint(span)
        b = b - Q @ (Q.conj().T @ b)
        solve = partial(_solve_adjoint, pairs.lu, A_H.dtype.kind == "c")
        precondition = spla.LinearOperator(A_H.shape, solve, dtype=W.dtype)
        operator = spla.LinearOperator(A_H.shape, deflated, dtype=W.dtype)
        u, info = spla.gmres(operator, b.astype(W.dtype), restart=60, maxiter=20, M=precondition, atol=0.0, **TOLERANCE)
        if info:
            raise RuntimeError(f"GMRES: info = {info}")
        W[:, i] = span + u - Q_M @ (Q_M.conj().T @ u)
    return W


def _solve_adjoint(lu: spla.SuperLU, is_complex: bool, v: Array) -> Array:
    if np.iscomplexobj(v) and not is_complex:
        parts = lu.solve(np.stack([v.real, v.imag], axis=1), "H")
        return parts[:, 0] + 1j * parts[:, 1]
    return lu.solve(v, "H")
