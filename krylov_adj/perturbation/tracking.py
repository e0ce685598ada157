"""Which eigenpair is which, from one point of a path of parameters to the next, by the overlaps of vectors.

Weights between a pair i before and j after, with M after and y the left vectors, yᵢᴴMxⱼ = δᵢⱼ, at either point:

    Hermitian:  c_ij = |xᵢᴴ M x′ⱼ|² / xᵢᴴ M xᵢ
    otherwise:  c_ij = (yᵢᴴ M x′ⱼ)(y′ⱼᴴ M xᵢ) / yᵢᴴ M xᵢ

Over all j either sums to one, as Σⱼ x′ⱼ y′ⱼᴴ M = I, and no scaling of vectors enters. Hermitian weights are parts of a
whole: one above ½ is the only one in its row and column. The others are complex and not bounded, so that a large |c|
tells nothing: a pair is known where |1 − c| is small. (Across an exceptional point both have c = ½.) What the window's
weights lack of one has left the window.

Eigenvalues that coincide have no vectors of their own. Their space is followed as a whole, with the basis in it that is
closest to the vectors before: with G = X′ᴴ M X = U s Vᴴ the columns of X′ U Vᴴ (the polar factor), and without an
orthonormal basis the spectral projections of both sides' vectors before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from ..krylov.precision import Precision
from ..krylov.small import column_norms, full_svd, svdvals, unchecked_inverse
from ..krylov.space import WHOLE

__all__ = ["NOBODY", "Match", "Window", "coinciding", "match", "weights"]

Array = np.ndarray

#: The column of a pair that is not found again.
NOBODY = -1

#: A weight this close to one at least: of Hermitian problems no other column can be meant then.
UNIQUE = 0.5


@dataclass(frozen=True, eq=False)
class Window:
    """Eigenpairs at one point of a path.

    Attributes
    ----------
    s : float
        Where on the path.
    w : ndarray, shape (K,)
    X, BX : ndarray, shape (n, K)
        Vectors and their images under M.
    Y, BY : ndarray, shape (n, K), or None
        Left vectors with YᴴMX = I, and MᴴY; None of a Hermitian problem, where Y is X.
    apply_B : callable
        Applies M to a block.
    """

    s: float
    w: Array
    X: Array
    BX: Array
    Y: Array | None
    BY: Array | None
    apply_B: Callable[[Array], Array]

    def columns(self, J: Array) -> Window:
        """Return some of the pairs."""
        left = (None, None) if self.Y is None or self.BY is None else (self.Y[:, J], self.BY[:, J])
        return replace(self, w=self.w[J], X=self.X[:, J], BX=self.BX[:, J], Y=left[0], BY=left[1])

    def joined(self, other: Window) -> Window:
        """Return the pairs of both."""
        blocks = (self.X, other.X), (self.BX, other.BX), (self.Y, other.Y), (self.BY, other.BY)
        X, BX, Y, BY = (None if V is None or W is None else np.hstack([V, W]) for V, W in blocks)
        assert X is not None
        assert BX is not None
        return replace(self, w=np.r_[self.w, other.w], X=X, BX=BX, Y=Y, BY=BY)

    def rotated(self, J: Array, T: Array) -> Window:
        """Return the window with the basis X T of pairs J, whose eigenvalues coincide; T unitary if Hermitian."""
        inverse = T.conj().T if self.Y is None else unchecked_inverse(WHOLE, T)
        w = self.w.astype(np.result_type(self.w, T) if self.Y is not None else self.w.dtype)
        values = np.diagonal((inverse * self.w[J]) @ T)
        w[J] = values if self.Y is not None else np.real(values)
        new = [None if V is None else V.astype(np.result_type(V, T)) for V in (self.X, self.BX, self.Y, self.BY)]
        for V, R in zip(new, (T, T, inverse.conj().T, inverse.conj().T), strict=True):
            if V is not None:
                V[:, J] = V[:, J] @ R
        X, BX, Y, BY = new
        assert X is not None
        assert BX is not None
        return replace(self, w=w, X=X, BX=BX, Y=Y, BY=BY)


@dataclass(frozen=True, eq=False)
class Match:
    """Pairs before found again after.

    Attributes
    ----------
    before, after : Window
        With the bases that were chosen where eigenvalues coincide, and the phases after those before.
    columns : ndarray of int, shape (K before,)
        The column after of every pair before, or `NOBODY`.
    weight : ndarray, shape (K before,)
        1 − |1 − c|, of a space the sum of its members': one where the pair is certain.
    second : ndarray, shape (K before,)
        The largest ``|c|`` of a pair that is not meant.
    other : ndarray of int, shape (K before,)
        Its column.
    total : ndarray, shape (K before,)
        Σ c of the window after.
    groups : list of ndarray of int
        Columns after whose eigenvalues coincide.
    """

    before: Window
    after: Window
    columns: Array
    weight: Array
    second: Array
    other: Array
    total: Array
    groups: list[Array]

    def uncertain(self, sure: float) -> Array:
        """Return for every pair before whether its weight is below ``sure``, or another one could be meant."""
        return np.asarray((self.columns == NOBODY) | (self.weight < sure) | (self.second > UNIQUE))


def weights(before: Window, after: Window) -> Array:
    """Return c (K before, K after)."""
    if before.Y is None or after.BY is None:
        total = np.real(WHOLE.dots(before.X, after.apply_B(before.X)))
        return np.asarray(np.abs(WHOLE.gram(before.X, after.BX)) ** 2 / total[:, None])
    total = WHOLE.dots(before.Y, after.apply_B(before.X))
    return np.asarray(WHOLE.gram(before.Y, after.BX) * WHOLE.gram(after.BY, before.X).T / total[:, None])


def coinciding(w: Array, tol: float) -> list[Array]:
    """Return the columns of eigenvalues closer than ``tol``, of every set of two or more."""
    near = np.abs(w[:, None] - w) <= tol
    if near.sum() == w.size:
        return []
    _, labels = connected_components(near, directed=False)
    groups = (np.flatnonzero(labels == label) for label in range(labels.max(initial=-1) + 1))
    return [group for group in groups if group.size > 1]


def match(before: Window, after: Window, followed: Array, free: list[Array], tol: float) -> Match:
    """Return which pair after is which before.

    Parameters
    ----------
    before, after : Window
    followed : ndarray of int
        The columns before that come first; others are found among what these leave, where they are certain.
    free : list of ndarray of int
        Columns before that span a space in which no basis means anything yet: they are taken as what it becomes.
    tol : float
        Eigenvalues closer than this coincide.
    """
    groups = coinciding(after.w, tol)
    for G in free:
        before = _follow_split(before, after, G, groups)
    c = weights(before, after)
    columns = _assigned(c, followed)
    rows = np.arange(len(c))
    known = columns >= 0
    share = np.where(known, c[rows, columns], 0)
    others = np.abs(c)
    others[rows[known], columns[known]] = 0
    for J in groups:
        rows_J = np.flatnonzero(known & np.isin(columns, J))
        if not rows_J.size:
            continue
        share[rows_J] = c[np.ix_(rows_J, J)].sum(axis=1)
        others[np.ix_(rows_J, J)] = 0
        after, columns[rows_J] = _closest_basis(before, after, rows_J, J)
    return Match(
        before,
        _in_phase(before, after, columns),
        columns,
        np.where(known, 1 - np.abs(1 - share), 0.0),
        others.max(axis=1, initial=0),
        others.argmax(axis=1),
        np.asarray(c.sum(axis=1)),
        groups,
    )


def _assigned(c: Array, followed: Array) -> Array:
    """Return a column for each row: the best for the ``followed`` ones, of the rest what is certain."""
    columns = np.full(len(c), NOBODY)
    rows, found = linear_sum_assignment(-np.real(c[followed]))
    columns[followed[rows]] = found
    rest = np.setdiff1d(np.arange(len(c)), followed)
    left = np.setdiff1d(np.arange(c.shape[1]), found)
    rows, found = linear_sum_assignment(-np.real(c[np.ix_(rest, left)]))
    columns[rest[rows]] = left[found]
    return columns


def _follow_split(before: Window, after: Window, G: Array, groups: list[Array]) -> Window:
    """Return the window with the basis of the columns G that its space has after, where it does not stay one there."""
    c = np.real(weights(before.columns(G), after)).sum(axis=0)
    J = np.argsort(-c, kind="stable")[: G.size]
    if J.size < G.size or any(np.all(np.isin(J, group)) for group in groups):
        return before
    if before.Y is None:
        U, _, VH = full_svd(WHOLE, WHOLE.gram(before.BX[:, G], after.X[:, J]))
        return before.rotated(G, U @ VH)
    assert before.BY is not None
    T = WHOLE.gram(before.BY[:, G], after.X[:, J])
    return before.rotated(G, T / column_norms(T)) if _regular(T) else before


def _regular(T: Array) -> bool:
    """Return whether a small square matrix is so far from singular that a basis may be multiplied with it."""
    s = svdvals(WHOLE, T)
    return bool(s[-1] > Precision.of(T.dtype).few_digits * s[0])


def _closest_basis(before: Window, after: Window, rows: Array, J: Array) -> tuple[Window, Array]:
    """Return the window with the basis of its columns J closest to vectors before, and the columns of these ``rows``.

    Where there are fewer rows than columns the rest of the basis is a complement: with projections P of the right and R
    of the left vectors, the null space of Rᴴ, so that left vectors of the rows stay in the span of R.
    """
    m = rows.size
    P = WHOLE.gram(after.BX[:, J] if after.BY is None else after.BY[:, J], before.X[:, rows])  # (|J|, m)
    if after.BY is None or before.Y is None:
        U, _, VH = full_svd(WHOLE, P)
        return after.rotated(J, np.hstack([U[:, :m] @ VH, U[:, m:]])), J[:m]
    R = WHOLE.gram(after.BX[:, J], before.Y[:, rows])
    T = np.hstack([P / column_norms(P), full_svd(WHOLE, R)[0][:, m:]])
    return (after.rotated(J, T) if _regular(T) else after), J[:m]


def _in_phase(before: Window, after: Window, columns: Array) -> Window:
    """Return the window with phases such that xᴴMx′ > 0 of every pair that was found again."""
    rows = np.flatnonzero(columns != NOBODY)
    J = columns[rows]
    inner = WHOLE.dots(before.X[:, rows], after.BX[:, J])
    size = np.abs(inner)
    phase = np.ones(after.w.size, inner.dtype)
    phase[J] = np.where(size > 0, inner.conj() / np.where(size > 0, size, 1), 1)
    new = [None if V is None else V * phase for V in (after.X, after.BX, after.Y, after.BY)]
    assert new[0] is not None
    assert new[1] is not None
    return replace(after, X=new[0], BX=new[1], Y=new[2], BY=new[3])
