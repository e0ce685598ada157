"""PyTorch: operators made of functions, and sparse matrices, that may depend on tensors with derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..forms.patterns import check_shape, csr_pattern
from ..forms.trilinear import INPUT, OUTPUT
from .contraction import contract
from .layers import is_batched, plain_values
from .namespace import NUMPY_TYPES, xp

__all__ = ["LinearOperator", "check_dtype", "csr_array"]


def check_dtype(dtype: Any, what: str) -> Any:
    """Return a type to compute in: of integers and booleans it is double precision, as in SciPy.

    Raises
    ------
    TypeError
        For one that solvers do not compute in, such as ``torch.bfloat16``.
    """
    if dtype in NUMPY_TYPES:
        return dtype
    if isinstance(dtype, torch.dtype) and not dtype.is_floating_point and not dtype.is_complex:
        return torch.float64
    kinds = {float: torch.float64, complex: torch.complex128, int: torch.float64}
    if isinstance(dtype, type) and dtype in kinds:
        return kinds[dtype]
    named = {str(array): tensor for tensor, array in NUMPY_TYPES.items()}
    if not isinstance(dtype, torch.dtype) and getattr(dtype, "name", getattr(dtype, "__name__", dtype)) in named:
        return named[getattr(dtype, "name", getattr(dtype, "__name__", dtype))]
    raise TypeError(
        f"{what} has dtype {dtype}: eigenpairs are computed in float32, float64, complex64 and complex128 only. "
        "Convert it, or leave torch.autocast before"
    )


class LinearOperator:
    """A matrix-free operator made of functions of tensors.

    Parameters
    ----------
    shape : (int, int)
        (m, n).
    matvec : callable
        ``matvec(x)`` is A x for a tensor x of shape (n,): a closure, a method, an `torch.nn.Module`. It may read any
        tensors besides, which carry derivatives or not.
    rmatvec : callable, optional
        ``rmatvec(y)`` is Aᴴ y. By default PyTorch transposes ``matvec``.
    matmat, rmatmat : callable, optional
        The same for blocks, (n, k) to (m, k) and back. By default column by column.
    dtype : torch.dtype, optional
        float32, float64, complex64 or complex128; by default that of ``matvec(x)`` for an x of PyTorch's default
        type, or in double precision where that one does not fit. Declare complex operators.
    device : torch.device, optional
        Where ``matvec`` wants x; by default the CPU.

    Raises
    ------
    TypeError
        For a shape that is none, functions that are none, or a type that is not computed in.

    Notes
    -----
    The functions are read once in every call of a solver, which applies them a few times: what tensors they read is
    seen by PyTorch's function modes. Tensors that PyTorch's Python does not see (in a scripted module, in C++, in an
    `torch.autograd.Function` of your own) cannot carry derivatives: that is an error. Numbers that are no tensors, and
    branches, are those of the reading.

    An operator holds what it was given: it is copied and pickled with its functions, and a module may hold one.

    Derivative
    ----------
    With respect to all tensors that the functions read, and to the vector; to any order; forward and reverse.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> d = torch.arange(1.0, 10.0, dtype=torch.float64, requires_grad=True)
    >>> A = kt.LinearOperator((9, 9), lambda x: d * x, dtype=torch.float64)
    >>> w, X = kt.eigsh(A, k=1, which="SA", v0=torch.ones(9))
    >>> w.sum().backward()
    >>> print(int(d.grad.argmax()), round(float(d.grad.sum()), 10))
    0 1.0
    """

    def __init__(
        self,
        shape: tuple[int, int],
        matvec: Callable[[Any], Any],
        rmatvec: Callable[[Any], Any] | None = None,
        matmat: Callable[[Any], Any] | None = None,
        rmatmat: Callable[[Any], Any] | None = None,
        dtype: Any = None,
        *,
        device: Any = None,
    ):
        self.shape = check_shape(shape, "LinearOperator")
        for name, function in (("matvec", matvec), ("rmatvec", rmatvec), ("matmat", matmat), ("rmatmat", rmatmat)):
            if not callable(function) and (function is not None or name == "matvec"):
                raise TypeError(f"LinearOperator: {name} must be callable, not {type(function).__name__}")
        self.matvec, self.rmatvec, self.matmat, self.rmatmat = matvec, rmatvec, matmat, rmatmat
        self.dtype = None if dtype is None else check_dtype(dtype, "LinearOperator")
        self.device = torch.device("cpu") if device is None else torch.device(device)

    def __matmul__(self, x: Any) -> Any:
        if x.ndim == 1:
            return self.matvec(x)
        if self.matmat is not None:
            return self.matmat(x)
        return torch.stack([self.matvec(x[:, j]) for j in range(x.shape[1])], 1)

    def __repr__(self) -> str:
        return f"<{self.shape[0]}x{self.shape[1]} LinearOperator of dtype {self.dtype}>"


class csr_array:
    """A sparse matrix in compressed rows, differentiable in its stored entries.

    Row i holds the entries ``data[indptr[i]:indptr[i + 1]]``, in the columns ``indices[indptr[i]:indptr[i + 1]]``.
    Time and memory of a product and of its derivatives are O(nnz), on the host.

    Parameters
    ----------
    arg : tuple (data, indices, indptr)
        In SciPy's order. ``data`` is a tensor of shape (nnz,), real or complex; ``indices`` of shape (nnz,) and
        ``indptr`` of shape (m + 1,) are integers: arrays, lists or tensors, made outside of transforms. Entries in
        the same place are summed. Explicit zeros are entries like any other and have a derivative.
    shape : (int, int)
        (m, n).

    Raises
    ------
    TypeError
        Data that are no tensor of numbers, indices that are not integers or are batched.
    ValueError
        Wrong lengths or dimensions, indices out of range, an ``indptr`` that does not start at 0, decreases, or does
        not end at nnz.

    Notes
    -----
    Where it is an operand of `eigsh`, it enters by its Hermitian part, as in `krylov_adj.csr_array`.

    Derivative
    ----------
    With respect to ``data``, entry by entry, and to the vector or block it is applied to; to any order; forward and
    reverse; constructed inside of a transform or outside of it.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> def f(data):
    ...     A = kt.csr_array((data, [0, 1, 0, 1], [0, 2, 4]), (2, 2))
    ...     return (A @ torch.tensor([1.0, 2.0])).sum()
    >>> print(torch.func.grad(f)(torch.ones(4)))
    tensor([1., 2., 1., 2.])
    """

    def __init__(self, arg: tuple[Any, Any, Any], shape: tuple[int, int]):
        if not isinstance(arg, (tuple, list)) or len(arg) != 3:
            raise TypeError("expected krylov_adj.torch.csr_array((data, indices, indptr), shape)")
        data, indices, indptr = arg
        self.shape = check_shape(shape, "csr_array")
        data = data if isinstance(data, torch.Tensor) else torch.as_tensor(data)
        dtype = check_dtype(data.dtype, "csr_array: data")
        if data.ndim != 1:
            raise ValueError(f"csr_array: data must have 1 dimension(s), not shape {tuple(data.shape)}")
        self.data = data if data.dtype == dtype else data.to(dtype)
        indices, indptr = (_plain(x, f"csr_array: {of}") for x, of in ((indices, "indices"), (indptr, "indptr")))
        self.pattern = csr_pattern(data.shape[0], indices, indptr, self.shape, "csr_array")

    @property
    def dtype(self) -> Any:
        """The type of the entries."""
        return self.data.dtype

    @property
    def indices(self) -> Any:
        """The columns of the entries, a plain array."""
        return self.pattern.indices

    @property
    def indptr(self) -> Any:
        """Where rows begin, a plain array."""
        return self.pattern.indptr

    def product(self, data: Any, V: Any) -> Any:
        """Return A V for these entries."""
        return contract(self.pattern, OUTPUT, data, V)

    def adjoint_product(self, data: Any, V: Any) -> Any:
        """Return Aᴴ V for these entries."""
        return xp.conj(contract(self.pattern, INPUT, data, xp.conj(V)))  # conj(Aᵀ conj(V))

    def __matmul__(self, x: Any) -> Any:
        return self.product(self.data, x)

    def __repr__(self) -> str:
        return f"<{self.shape[0]}x{self.shape[1]} csr_array of dtype {self.dtype} with {self.data.shape[0]} entries>"


def _plain(indices: Any, what: str) -> Any:
    """Return index arrays as plain ones, also inside of a transform that has made nothing of them."""
    if not isinstance(indices, torch.Tensor):
        return indices
    if is_batched(indices):
        raise TypeError(f"{what} are a batch of vmap: where entries stand has to be the same for all examples")
    return plain_values(indices)
