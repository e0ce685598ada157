"""A small matrix in blocks: H V = V D with a well-conditioned V, D upper triangular inside of blocks.

Sylvester equations A U − B U H = F fall apart into shifted systems in the columns of U V: independent ones where D is
diagonal, one after the other inside of a block. Eigenvalues whose vectors nearly coincide share a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import small
from .space import Space

Array = np.ndarray

#: The condition number of V above which eigenvalues are put into one block: three digits, which refinement gives back.
WELL_CONDITIONED = 1e3


@dataclass(frozen=True, eq=False)
class Blocks:
    """H V = V D.

    Attributes
    ----------
    V, inverse, D : ndarray, shape (k, k)
        Of a Hermitian H, V is unitary and D diagonal.
    blocks : tuple of tuples of int
        Columns of the blocks, in the order in which D is triangular.
    partner : ndarray of int, shape (k,)
        Of a real H, the earlier column of which a column is the conjugate, else −1.
    """

    V: Array
    inverse: Array
    D: Array
    blocks: tuple[tuple[int, ...], ...]
    partner: Array

    @property
    def w(self) -> Array:
        """The eigenvalues of H, (k,)."""
        return np.diagonal(self.D)

    def stages(self, adjoint: bool) -> list[list[tuple[int, list[int]]]]:
        """Return columns that are solved for together, each with those of its block that it needs, stage by stage."""
        found = []
        for depth in range(max(map(len, self.blocks))):
            stage = []
            for block in self.blocks:
                if depth < len(block):
                    order = block[::-1] if adjoint else block
                    stage.append((order[depth], list(order[:depth])))
            found.append(stage)
        return found


def block_diagonal(space: Space, H: Array, hermitian: bool) -> Blocks:
    """Return H in blocks; the eigenvalues of a block are those that are close to each other, no more than it takes."""
    k = len(H)
    if hermitian:
        w, V = small.eigh(space, 0.5 * (H + H.conj().T))
        return Blocks(V, V.conj().T, np.diag(w), tuple((i,) for i in range(k)), np.full(k, -1))
    w, vectors = small.eig(space, H)
    groups = [[i] for i in range(k)]
    while True:
        try:
            V, D, blocks = _in_groups(space, H, w, vectors, groups)
        except np.linalg.LinAlgError:  # rounding leaves no order of the eigenvalues: one block of all
            groups = [list(range(k))]
            V, D, blocks = _in_groups(space, H, w, vectors, groups)
        s = small.svdvals(space, V)
        if len(groups) == 1 or s[0] <= WELL_CONDITIONED * s[-1]:
            inverse = V.conj().T if len(groups) == 1 and k > 1 else small.inverse(space, V)
            return Blocks(V, inverse, D, blocks, _partners(np.isrealobj(H), V, np.diagonal(D), blocks))
        _merge_closest(w, groups)


def _in_groups(
    space: Space, H: Array, w: Array, vectors: Array, groups: list[list[int]]
) -> tuple[Array, Array, tuple[tuple[int, ...], ...]]:
    """Return V, D and the blocks for eigenvalues in groups: single ones with their vectors, others in Schur form."""
    k, start = len(H), 0
    parts, blocks, D = [], [], np.zeros((k, k), np.result_type(w, vectors))
    for group in groups:
        size = len(group)
        places = slice(start, start + size)
        if size == 1:
            parts.append(vectors[:, group])
            D[places, places] = w[group[0]]
        else:
            T, Q = _leading_schur(space, H, w, group)
            D, parts = D.astype(np.result_type(D, T)), [*parts, Q]
            D[places, places] = T
        blocks.append(tuple(range(start, start + size)))
        start += size
    return np.concatenate(parts, axis=1), D, tuple(blocks)


def _leading_schur(space: Space, H: Array, w: Array, group: list[int]) -> tuple[Array, Array]:
    """Return T (m, m) and an orthonormal Q (k, m) with H Q = Q T for the eigenvalues of a group."""
    inside, outside = w[group], np.delete(w, group)

    def first(z: complex) -> bool:
        return not outside.size or bool(np.min(np.abs(z - inside)) <= np.min(np.abs(z - outside)))

    T, Q, kept = small.schur(space, H.astype(np.result_type(H, np.complex64)), first)
    m = len(group)
    if kept != m:
        raise np.linalg.LinAlgError(f"{kept} eigenvalues for a block of {m}")
    return T[:m, :m], Q[:, :m]


def _merge_closest(w: Array, groups: list[list[int]]) -> None:
    """Join the two groups with the closest eigenvalues."""
    pairs = [(a, b) for b in range(len(groups)) for a in range(b)]
    a, b = min(pairs, key=lambda pair: np.min(np.abs(w[groups[pair[0]]][:, None] - w[groups[pair[1]]])))
    groups[a] = groups[a] + groups.pop(b)


def _partners(real: bool, V: Array, w: Array, blocks: tuple[tuple[int, ...], ...]) -> Array:
    """Return the earlier column of which each is the conjugate, to the last bit, or −1."""
    partner = np.full(len(w), -1)
    if not real:
        return partner
    single = [block[0] for block in blocks if len(block) == 1 and w[block[0]].imag != 0]
    for b in single:
        for a in single:
            if a < b and partner[a] < 0 and w[a] == w[b].conj() and np.array_equal(V[:, a], V[:, b].conj()):
                partner[b] = a
                break
    return partner
