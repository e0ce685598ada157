"""The Hermitian part of matrices, which is all that a Hermitian problem depends on.

A is Hermitian at the parameters where it is read, but its entries are parameters too, each by itself, and the
function of the entries that a solver computes has a derivative in directions dA that no Hermitian A can take, which
means nothing. So the derivative is that of the function of H = ½(A + Aᴴ), which is A where A is Hermitian: a
direction dA acts by its Hermitian part, and the gradient is Hermitian, so that a step along it leaves A Hermitian.
"""

from __future__ import annotations

import copy
from enum import IntEnum

import numpy as np

from ..elementary import hermitian_entries, xp
from ..trace import is_box, strip
from .algebra import Adjoint, AssembledOnce, Composite, Scaled, Sum, Transpose
from .base import LinearOperator
from .csr import csr_array
from .kronecker import KroneckerSum
from .matrices import Constant, Dense
from .sparse import coo_array
from .stencils import Stencil

__all__ = ["hermitian_part"]

#: Compositions whose Hermitian part is the same composition of Hermitian parts.
ADDITIVE = (Sum, KroneckerSum, Adjoint, Transpose, AssembledOnce)


class Traced(IntEnum):
    """The traced parts of an operator, as far as they can be told."""

    NOTHING = 0
    #: Entries of matrices that stand in a sum of constants and of such.
    ENTRIES = 1
    #: Anything else that is known with its adjoint.
    OTHERS = 2
    #: What functions read.
    UNKNOWN = 3


def hermitian_part(a: LinearOperator) -> LinearOperator:
    """½(A + Aᴴ) of an operator that is Hermitian: its values, with the derivatives of that.

    Matrices are symmetrised entry by entry, so that gradients are Hermitian to the bit; where parameters enter in
    another way too (products, factors, stencils) the operator is applied twice. One in which functions take part
    is taken at its word: what they read may be what makes the sum Hermitian, and cannot be asked for.
    """
    kind = _traced(a)
    if kind is Traced.ENTRIES:
        return _of_entries(a)
    if kind is Traced.OTHERS and a.has_matrix():
        a = _of_entries(a)
        return (a + a.H) * 0.5
    return a


def _traced(a: LinearOperator) -> Traced:
    if isinstance(a, Constant):
        return Traced.NOTHING
    if isinstance(a, Dense):
        return Traced.ENTRIES if is_box(a.matrix) else Traced.NOTHING
    if isinstance(a, csr_array):
        return Traced.ENTRIES if is_box(a._data) else Traced.NOTHING
    if isinstance(a, Stencil):
        return Traced.OTHERS if is_box(a._coefficients) else Traced.NOTHING
    if not isinstance(a, Composite):
        return Traced.UNKNOWN
    kind = max(map(_traced, a._operands))
    if isinstance(a, Scaled) and is_box(a._factor):
        return max(kind, Traced.OTHERS)
    return max(kind, Traced.OTHERS) if kind is Traced.ENTRIES and not _is_additive(a) else kind


def _is_additive(a: Composite) -> bool:
    return isinstance(a, ADDITIVE) or (isinstance(a, Scaled) and not np.iscomplexobj(strip(a._factor)))


def _of_entries(a: LinearOperator) -> LinearOperator:
    """The same operator with the entries of its terms symmetrised."""
    if isinstance(a, Dense):
        return Dense(hermitian_entries(a.matrix, np.transpose))
    if isinstance(a, csr_array):
        return _of_stored_entries(a) if is_box(a._data) else a
    if isinstance(a, Composite) and _is_additive(a):
        return a._of(tuple(map(_of_entries, a._operands)))
    return a


def _of_stored_entries(a: csr_array) -> csr_array:
    mirror = a._pattern.mirror
    if mirror is None:  # with zeros where mirror images are missing, and one entry in every place
        rows, columns = a._pattern.rows, a._pattern.indices
        entries = xp.concatenate([a._data, np.zeros(rows.size, a.dtype)])
        places = np.concatenate([rows, columns]), np.concatenate([columns, rows])
        a = coo_array((entries, places), a.shape)
        mirror = a._pattern.mirror
    assert mirror is not None
    twin = copy.copy(a)
    twin._data = hermitian_entries(a._data, lambda entries: entries.take(mirror))
    return twin
