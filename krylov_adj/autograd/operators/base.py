"""Linear operators whose results may be traced: SciPy's interface, never coercing a Box.

Every operator maps vectors (n,) and blocks (n, m) by ``_apply`` and ``_apply_adjoint``. The other
kinds of operator (dense, constant, sums, products, …) are made by `aslinearoperator` and by the
algebra; scalars and dense matrices in them may be traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...forms.probing import Places, probe, read_places
from ...forward.operands import random_vector
from ...report.container_messages import sparse_times_traced
from ..elementary import deepest_level, xp
from ..trace import guarded, is_box, strip, transpose, without_boxes
from .interface import SciPyInterface

__all__ = ["LinearOperator"]


class LinearOperator(SciPyInterface):
    """A linear map given by functions, whose results may be traced by autograd.

    A `scipy.sparse.linalg.LinearOperator` (and accepted wherever SciPy takes one) that never
    coerces what its functions return, so that parameters may sit anywhere in their closures.

    Parameters
    ----------
    shape : (int, int)
    matvec : callable
        ``matvec(v)`` is A v for v of shape (n,). Written with `autograd.numpy`. Sparse matrices
        inside of it are best applied through ``aslinearoperator(S) @ v``, which is differentiable
        in v.
    rmatvec : callable, optional
        ``rmatvec(v)`` is Aᴴ v. Where not given it is autograd's own transpose of ``matvec``.
    matmat, rmatmat : callable, optional
        The same for blocks of shape (n, m); where not given, column by column.
    dtype : dtype, optional
        Where not given, the type of ``matvec`` of an int8 vector, as in SciPy. Solvers compute with booleans and
        integers in double precision. A real operator is
        applied to the real and imaginary parts of a complex vector separately, and must return
        real results.
    sparsity : SciPy sparse matrix, optional
        Its stored entries are the places where the operator's may be other than zero. Then the operator has a
        matrix: for ``sigma``, direct solves, ``explicit()`` for preconditioners, and solvers apply it.
    grid, reach : tuple of int, optional
        The same for a stencil on a grid (C order) that couples points up to ``reach`` apart along each axis;
        ``grid=(nx, ny), reach=(1, 1)`` has room for nine points. It may wrap around the edges.

    Raises
    ------
    ValueError
        From an application: a result or an argument of the wrong shape. From ``explicit()``: entries outside of the
        pattern. A pattern of another shape.
    TypeError
        From an application: complex results of an operator declared real; a ``matvec`` that
        autograd cannot transpose.

    Notes
    -----
    The matrix of an operator with a pattern is found by as many products as there are colours of columns that share no
    row (seven for a five-point stencil, nine for nine points, 27 in three dimensions), and checked on one random
    vector, anew in every solve. Derivatives go through the functions.

    A subclass may define ``_matvec`` (and ``_rmatvec`` or ``_adjoint``, ``_matmat``, ``_rmatmat``) in place of
    the functions, as subclasses of SciPy's class do.

    ``+ - * / @ ** .T .H`` make new operators; scalar factors may be traced. With autograd ≥ 1.9 a
    traced scalar may stand on either side, before that on the right: ``op * t``. ``A[rows][:, columns]`` is the
    operator between some rows and columns (slices, indices, masks), ``toarray()`` the dense matrix.

    Derivative
    ----------
    ``op @ x`` is differentiable in x and in everything that the functions read, to any order.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def f(v):
    ...     A = ka.LinearOperator((3, 3), lambda x: v * x + np.roll(x, 1), dtype=float)
    ...     return np.sum((2.0 * A).H @ np.ones(3))
    >>> grad(f)(np.array([1.0, 2.0, 3.0]))
    array([2., 2., 2.])
    """

    #: Where entries may stand, for probing.
    _places: Places | None = None

    def __init__(
        self,
        shape: tuple[int, int],
        matvec: Callable[[Any], Any] | None = None,
        rmatvec: Callable[[Any], Any] | None = None,
        matmat: Callable[[Any], Any] | None = None,
        rmatmat: Callable[[Any], Any] | None = None,
        dtype: Any = None,
        *,
        sparsity: Any = None,
        grid: Any = None,
        reach: Any = None,
    ):
        if isinstance(shape, (type, str, np.dtype)):
            raise TypeError(
                f"LinearOperator: shape must be two integers, not {shape!r}. Arguments come in the order (shape, "
                "matvec, ...) here; in SciPy's base class it is (dtype, shape): name them, shape=..., dtype=..."
            )
        super().__init__(dtype=dtype, shape=shape)
        self._places = sparsity if isinstance(sparsity, Places) else read_places(sparsity, grid, reach, shape)
        own = self._overridden()
        given = {"matvec": matvec, "rmatvec": rmatvec, "matmat": matmat, "rmatmat": rmatmat}
        for name, function in given.items():
            needed = name == "matvec" and own[0] is None and own[2] is None
            if not (callable(function) or (function is None and not needed)):
                raise TypeError(f"LinearOperator: {name} must be callable, not {type(function).__name__}")
        self._functions = tuple(mine or function for mine, function in zip(own, given.values(), strict=True))
        self._init_dtype()

    @property
    def dtype(self) -> Any:
        """That of the map; found by an application where a subclass has left it to us."""
        if self._dtype is None:
            self._init_dtype()
        return self._dtype

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        self._dtype = dtype

    def _init_dtype(self) -> None:
        if self._dtype is None:
            single, _, block, _ = self._functions
            v = np.zeros(self.shape[1], np.int8)
            self._dtype = np.dtype(float)  # for functions that look
            self._dtype = np.asarray(strip(single(v) if single is not None else block(v[:, None]))).dtype

    def _overridden(self) -> tuple[Any, ...]:
        """The methods that a subclass defines in SciPy's way: _matvec, _rmatvec (or _adjoint), _matmat, _rmatmat."""
        names = ("_matvec", "_rmatvec", "_matmat", "_rmatmat")
        own = [
            None if getattr(type(self), name) is getattr(LinearOperator, name) else getattr(self, name)
            for name in names
        ]
        if own[1] is None and own[3] is None and type(self)._adjoint is not LinearOperator._adjoint:
            own[1] = self._by_own_adjoint
        return tuple(own)

    def _by_own_adjoint(self, v: Any) -> Any:
        return self._arithmetic.as_operator(self._adjoint())._apply(v)

    @functools.cached_property
    def _functions(self) -> tuple[Any, ...]:
        """matvec, rmatvec, matmat, rmatmat; here for a subclass that has called SciPy's ``__init__``, not ours."""
        own = self._overridden()
        if own[0] is None and own[2] is None:
            raise TypeError(f"{type(self).__name__} defines neither _matvec nor _matmat")
        return own

    # ---- what every kind of operator implements ----------------------------------------------

    def _apply(self, X: Any) -> Any:
        matvec, _, matmat, _ = self._functions
        return self._call(matvec, matmat, X, self.shape[0], "matvec")

    def _apply_adjoint(self, X: Any) -> Any:
        _, rmatvec, _, rmatmat = self._functions
        if rmatvec is None and rmatmat is None:
            return self.prepared()._apply_adjoint(X)
        return self._call(rmatvec, rmatmat, X, self.shape[1], "rmatvec")

    def prepared(self) -> LinearOperator:
        """The same operator with its adjoint at hand, traced now if it has to be.

        For solvers, which apply the adjoint many times: the result is valid as long as what the
        functions read does not change, and may be used after the surrounding trace has ended.
        """
        matvec, rmatvec, matmat, rmatmat = self._functions
        if rmatvec is not None or rmatmat is not None:
            return self
        point = random_vector(self.shape[1], self.dtype)
        try:
            transposed = transpose(self._apply, point)
        except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
            raise TypeError(
                f"autograd cannot transpose matvec to get the operator's adjoint ({type(error).__name__}: "
                f"{error}). It may be that (a) a SciPy sparse matrix is applied to the vector: use "
                "krylov_adj.aslinearoperator(S) @ v; (b) matvec uses numpy where it should use "
                "autograd.numpy, or assigns in place: rewrite it; (c) it calls compiled code: pass rmatvec=."
            ) from error
        return LinearOperator(
            self.shape,
            matvec or self._apply,
            lambda v: xp.conj(transposed(xp.conj(v))),
            matmat,
            None,
            self.dtype,
            sparsity=self._places,
        )

    def plain(self) -> LinearOperator:
        """The same operator for plain vectors, with fewer Boxes to strip from its results."""
        if type(self) is not LinearOperator:
            return self
        matvec, rmatvec, matmat, rmatmat = map(without_boxes, self._functions)
        return LinearOperator(self.shape, matvec, rmatvec, matmat, rmatmat, self.dtype, sparsity=self._places)

    def explicit(self) -> Any:
        """The plain matrix (ndarray or SciPy sparse) of the operator's value, assembled anew, or None."""
        if self._places is None:
            return None
        apply = guarded(self.plain()._apply, deepest_level(self))
        return probe(
            lambda V: strip(apply(V)) if self.applies_blocks() else np.stack([strip(apply(v)) for v in V.T], axis=1),
            self._places,
            self.dtype,
        )

    def has_matrix(self) -> bool:
        """Whether ``explicit()`` is a matrix, without assembling it."""
        return self._places is not None or type(self).explicit is not LinearOperator.explicit

    def applied_by_matrix(self) -> bool:
        """Whether solvers, which apply the operator many times, should apply its matrix."""
        return self.has_matrix()

    def applies_blocks(self) -> bool:
        """Whether a block is applied at once, not column by column."""
        return self._functions[2] is not None

    def _call(self, single: Any, block: Any, X: Any, rows: int, name: str) -> Any:
        if _complex(X) and self.dtype.kind != "c":
            return self._call(single, block, xp.real(X), rows, name) + 1j * self._call(
                single, block, xp.imag(X), rows, name
            )
        if X.ndim == 1:
            if single is None:
                return self._call(single, block, xp.reshape(X, (-1, 1)), rows, name)[:, 0]
            return self._checked(_call_named(single, X), (rows,), name)
        if block is not None:
            return self._checked(_call_named(block, X), (rows, X.shape[1]), name.replace("vec", "mat"))
        if X.shape[1] == 0:
            return np.zeros((rows, 0), np.result_type(self.dtype, strip(X).dtype))
        columns = [self._checked(_call_named(single, X[:, j]), (rows,), name) for j in range(X.shape[1])]
        return xp.stack(columns, axis=1)

    def _checked(self, result: Any, shape: tuple[int, ...], name: str) -> Any:
        if type(result) is np.ndarray and result.shape == shape and result.dtype.kind in ("f", self.dtype.kind):
            return result  # what nearly every application gives
        if not is_box(result):
            result = np.asarray(result)
        if strip(result).dtype == object:
            raise TypeError(
                f"{name} returned an array of objects: it gave a traced value to a NumPy or SciPy function that "
                "does not know it. Use autograd.numpy, and krylov_adj.aslinearoperator(S) @ v for sparse matrices"
            )
        if np.shape(strip(result)) != shape:
            if np.shape(strip(result)) == (*shape, 1):
                return xp.reshape(result, shape)
            raise ValueError(
                f"{name} returned shape {np.shape(strip(result))}, expected {shape} from an operator of shape "
                f"{self.shape}"
            )
        if _complex(result) and self.dtype.kind != "c":
            raise TypeError(
                f"{name} returned complex values from an operator of dtype {self.dtype}; declare it with "
                "LinearOperator(..., dtype=complex)"
            )
        return result


def _call_named(function: Callable[[Any], Any], X: Any) -> Any:
    """function(X), with an error that says so where it multiplies a SciPy matrix with a traced vector."""
    try:
        return function(X)
    except TypeError as error:
        if "dtype('O')" not in str(error):
            raise
        raise TypeError(sparse_times_traced()) from error


def _complex(X: Any) -> bool:
    return bool(np.iscomplexobj(strip(X)))
