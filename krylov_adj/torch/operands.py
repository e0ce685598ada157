"""PyTorch: operands of solvers with their tensors taken out: as functions of these, and as plain values."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ..forward.operands import matrix_operator
from ..perturbation.problem import ValueOperator
from .functions import ReadFunction, check_values, read_function
from .layers import is_active, is_batched, plain_values, strip
from .namespace import NUMPY_TYPES, to_numpy, to_tensor, xp
from .operators import LinearOperator, check_dtype, csr_array
from .pullback import pullback, without_autocast

__all__ = ["Operand", "read"]

Array = np.ndarray
#: A product of the tensors that were taken out, in order, and a vector or block.
Product = Callable[[Sequence[Any], Any], Any]


@dataclass(frozen=True, eq=False)
class Operand:
    """x ↦ A x as a function of the tensors that A reads.

    Attributes
    ----------
    shape : (int, int)
    dtype : torch.dtype
    device : torch.device
    tensors : list
        Those that derivatives or batches may pass through.
    product, adjoint_product : callable
        Of tensors and a block (n, k) of the operand's type. Without ``adjoint_product`` PyTorch transposes the product.
    explicit : callable or None
        ``explicit(arrays)`` is the matrix of plain arrays in the place of the tensors.
    watched : list of (tensor, int)
        All that is read, with the versions.
    """

    shape: tuple[int, int]
    dtype: Any
    device: Any
    tensors: list[Any]
    product: Product
    adjoint_product: Product | None
    explicit: Callable[[Sequence[Array]], Any] | None = None
    watched: Sequence[tuple[Any, int]] = ()

    @property
    def numpy_dtype(self) -> np.dtype:
        return NUMPY_TYPES[self.dtype]

    @property
    def active(self) -> bool:
        """Whether a derivative or a batch does pass through what it reads."""
        return any(is_active(t) for t in self.tensors)

    def apply(self, tensors: Sequence[Any], V: Any, adjoint: bool = False) -> Any:
        """Return A V or Aᴴ V for V of shape (n,) or (n, k), in the operand's precision."""
        if V.is_complex() and not self.dtype.is_complex:
            return self.apply(tensors, V.real, adjoint) + 1j * self.apply(tensors, xp.imag(V), adjoint)
        V = V if V.dtype == self.dtype else V.to(self.dtype)
        if not adjoint:
            return self.product(tensors, V)
        if self.adjoint_product is not None:
            return self.adjoint_product(tensors, V)
        zero = torch.zeros((self.shape[1], *V.shape[1:]), dtype=self.dtype, device=self.device)
        # PyTorch's transpose is the conjugate one.
        return pullback(lambda x: (self.product(tensors, x),), [zero], [True], [V])[0]

    def hermitian_part(self) -> Operand:
        """Return ½(A + Aᴴ) of a matrix, for derivatives; what is made of functions is taken at its word."""
        if self.explicit is None:
            return self

        def product(tensors: Sequence[Any], V: Any) -> Any:
            assert self.adjoint_product is not None
            return 0.5 * (self.product(tensors, V) + self.adjoint_product(tensors, V))

        return replace(self, product=product, adjoint_product=product)

    def value(self, tensors: Sequence[Any], hermitian: bool, name: str) -> ValueOperator:
        """Return the operand on plain arrays, for plain tensors in the place of those that were taken out."""
        if self.explicit is not None:
            return matrix_operator(self.explicit([to_numpy(t) for t in tensors]), hermitian, name)
        forward = self._on_host(self.product, tensors, self.shape[0])
        if hermitian:
            return ValueOperator(self.shape, self.numpy_dtype, forward, forward, name)
        if self.adjoint_product is not None:
            backward = self._on_host(self.adjoint_product, tensors, self.shape[1])
        else:
            backward = self._transposed(tensors)
        return ValueOperator(self.shape, self.numpy_dtype, forward, backward, name)

    def _on_host(self, product: Product, tensors: Sequence[Any], rows: int) -> Callable[[Array], Array]:
        def column(v: Array) -> Array:
            x = to_device(v, self.dtype, self.device)
            if not torch.is_grad_enabled():  # as in every Function
                return to_numpy(product(tensors, x))
            with torch.no_grad():
                return to_numpy(product(tensors, x))

        return self._by_parts(column)

    def _transposed(self, tensors: Sequence[Any]) -> Callable[[Array], Array]:
        """Return the adjoint by PyTorch's transpose of a product that runs once."""
        graph: list[tuple[Any, Any]] = []  # made when it is needed

        def column(v: Array) -> Array:
            g = to_device(v, self.dtype, self.device)
            with torch.inference_mode(False), torch.enable_grad():
                if not graph:
                    x = torch.zeros(self.shape[1], dtype=self.dtype, device=self.device, requires_grad=True)
                    given = [t.clone() if t.is_inference() else t for t in tensors]
                    graph.append((x, self.product(given, x)))
                x, y = graph[0]
                if not y.requires_grad:
                    return np.zeros(self.shape[1], self.numpy_dtype)
                g = g.clone() if g.is_inference() else g
                found = torch.autograd.grad(y, x, g, retain_graph=True, allow_unused=True)[0]
            return np.zeros(self.shape[1], self.numpy_dtype) if found is None else to_numpy(found)

        return self._by_parts(column)

    def _by_parts(self, column: Callable[[Array], Array]) -> Callable[[Array], Array]:
        """Return the function of a vector for blocks and, of a real operand, for complex vectors."""

        def apply(V: Array) -> Array:
            if np.iscomplexobj(V) and not self.dtype.is_complex:
                return np.asarray(apply(V.real) + 1j * apply(V.imag))
            if V.ndim == 1:
                return column(V)
            return np.stack([column(V[:, j]) for j in range(V.shape[1])], axis=1)

        return apply

    def check_versions(self) -> None:
        """Raise where what was read has been changed in place.

        Raises
        ------
        RuntimeError
        """
        for t, version in self.watched:
            if t._version != version:
                raise RuntimeError(
                    f"a tensor of shape {tuple(t.shape)} that the operator reads has been changed in place since the "
                    "forward pass (an optimiser's step, or an assignment): the derivative would be that of another "
                    "operator. Take the derivative before, or clone the tensor for the operator"
                )


def to_device(v: Array, dtype: Any, device: Any) -> Any:
    """Return a plain vector as a tensor for a product, which does not write into it."""
    if v.dtype != NUMPY_TYPES[dtype]:
        v = v.astype(NUMPY_TYPES[dtype])
    if not v.flags.writeable or (not v.flags.c_contiguous and any(stride < 0 for stride in v.strides)):
        v = v.copy()
    t = torch.from_numpy(v)
    return t if device.type == "cpu" else t.to(device)


def read(A: Any, name: str, variable: Any = None) -> Operand:
    """Return an argument of a solver as an operand; a tensor ``variable`` counts as one with derivatives.

    Raises
    ------
    TypeError
        Where it is no operator, or reads what PyTorch does not show.
    ValueError
        Where it has no two dimensions, or returns another shape than it should.
    """
    if isinstance(A, LinearOperator):
        return _read_functions(A, variable)
    if isinstance(A, csr_array):
        return _read_sparse(A)
    if isinstance(A, torch.Tensor):
        if A.layout in (torch.sparse_csr, torch.sparse_coo):
            return _read_sparse(_from_torch(A))
        if A.layout != torch.strided:
            raise TypeError(f"{name} has layout {A.layout}: expected dense, sparse_csr or sparse_coo")
        if A.ndim != 2:
            raise ValueError(f"expected a matrix {name} of two dimensions, not shape {tuple(A.shape)}")
        return _read_dense(A, name)
    if sp.issparse(A):
        A = sp.csr_array(A)
        data = A.data if A.dtype.kind in "fc" else A.data.astype(float)
        return _read_sparse(csr_array((to_tensor(data), A.indices, A.indptr), A.shape))
    if isinstance(A, np.ndarray):
        return read(to_tensor(A if A.dtype.kind in "fc" else A.astype(float)), name)
    raise TypeError(
        f"{name} is a {type(A).__name__}: expected a tensor, an array, a sparse matrix, krylov_adj.torch.csr_array or "
        "krylov_adj.torch.LinearOperator(shape, matvec)"
    )


def versions(tensors: Sequence[Any]) -> list[tuple[Any, int]]:
    """Return the tensors with their versions; those of inference mode have none."""
    plain = [strip(t) for t in tensors]
    return [(t, t._version) for t in plain if not t.is_inference()]


def _read_dense(A: Any, name: str) -> Operand:
    check_values(A, name)
    dtype = check_dtype(A.dtype, name)
    A = A if A.dtype == dtype else A.to(dtype)
    return Operand(
        tuple(A.shape),
        dtype,
        A.device,
        [A],
        lambda tensors, V: tensors[0] @ V,
        lambda tensors, V: xp.conj(tensors[0]).mT @ V,
        lambda arrays: arrays[0],
        watched=versions([A]),
    )


def _read_sparse(A: csr_array) -> Operand:
    check_values(A.data, "csr_array: data")
    return Operand(
        A.shape,
        A.dtype,
        A.data.device,
        [A.data],
        lambda tensors, V: A.product(tensors[0], V),
        lambda tensors, V: A.adjoint_product(tensors[0], V),
        lambda arrays: A.pattern.matrix(arrays[0]),
        watched=versions([A.data]),
    )


def _from_torch(A: Any) -> csr_array:
    """Return one of PyTorch's sparse tensors, whose derivatives of first order alone are right."""
    if is_batched(A):
        raise TypeError("a batch of sparse tensors: vmap over the entries of krylov_adj.torch.csr_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that their support is in a beta state
        if A.layout == torch.sparse_csr:
            return csr_array((FirstOrder.apply(A.values()), A.col_indices(), A.crow_indices()), tuple(A.shape))
        A = A.coalesce()
        rows, columns = A.indices()
        indptr = np.concatenate([[0], np.cumsum(np.bincount(plain_values(rows), minlength=A.shape[0]))])
        return csr_array((FirstOrder.apply(A.values()), columns, indptr), tuple(A.shape))


class FirstOrder(torch.autograd.Function):
    """The entries of PyTorch's own sparse tensors, whose second derivatives it drops without an error."""

    @staticmethod
    def forward(values: Any) -> Any:
        return values.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        if torch.is_grad_enabled():
            raise NotImplementedError(_lost("create_graph=True, or a transform of torch.func,"))
        return g

    @staticmethod
    def jvp(ctx: Any, dvalues: Any) -> Any:
        raise NotImplementedError(_lost("forward mode"))

    @staticmethod
    def vmap(info: Any, in_dims: Any, values: Any) -> Any:
        raise NotImplementedError(_lost("vmap"))


def _lost(what: str) -> str:
    return (
        f"{what} through a torch.sparse tensor: PyTorch loses derivatives past the first there, without an error. "
        "Use krylov_adj.torch.csr_array((values, col_indices, crow_indices), shape)"
    )


# ---- functions -----------------------------------------------------------------------------------


def _read_functions(A: LinearOperator, variable: Any) -> Operand:
    dtype = A.dtype or _own_dtype(A)
    functions = {
        "matvec": (A.matvec, A.shape[1], A.shape[0]),
        "rmatvec": (A.rmatvec, A.shape[0], A.shape[1]),
    }
    blocks = {"matmat": (A.matmat, A.shape[1], A.shape[0]), "rmatmat": (A.rmatmat, A.shape[0], A.shape[1])}
    found: dict[str, ReadFunction] = {}
    for called, (function, columns, rows) in (functions | blocks).items():
        if function is not None:
            given = (columns, 1) if called in blocks else (columns,)
            expected = (rows, 1) if called in blocks else (rows,)
            found[called] = read_function(function, called, given, expected, dtype, A.device, variable)
    tensors = {number: t for function in found.values() for number, t in function.traced.items()}
    watched = {number: t for function in found.values() for number, t in function.read.items()}
    written = {number for function in found.values() for number in function.written}
    order = list(tensors)

    def product(single: ReadFunction | None, block: ReadFunction | None) -> Product | None:
        if single is None and block is None:
            return None

        def apply(given: Sequence[Any], V: Any) -> Any:
            instead = dict(zip(order, given, strict=True))
            if V.ndim == 1:
                if single is None:
                    assert block is not None
                    return block.call(instead, V[:, None])[:, 0]
                return single.call(instead, V)
            if block is not None:
                return block.call(instead, V)
            assert single is not None
            return torch.stack([single.call(instead, V[:, j]) for j in range(V.shape[1])], 1)

        return apply

    forward, backward = (found.get("matvec"), found.get("matmat")), (found.get("rmatvec"), found.get("rmatmat"))
    apply = product(*forward)
    assert apply is not None
    return Operand(
        A.shape,
        dtype,
        A.device,
        list(tensors.values()),
        apply,
        product(*backward),
        None,
        versions([t for number, t in watched.items() if number not in written]),
    )


def _own_dtype(A: LinearOperator) -> Any:
    """Return the type of ``matvec``'s results, as SciPy finds it."""
    error: Exception | None = None
    for dtype in (torch.get_default_dtype(), torch.float64, torch.complex128):
        try:
            with torch.no_grad(), without_autocast(A.device):
                y = A.matvec(torch.ones(A.shape[1], dtype=dtype, device=A.device))
        except RuntimeError as raised:  # PyTorch's products of two types
            error = error or raised
            continue
        return check_dtype(torch.promote_types(y.dtype, dtype), "the result of matvec")
    assert error is not None
    raise error
