"""Subclasses of LinearOperator, SciPy's and ours, that define their methods in SciPy's way."""

import pickle

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka

RNG = onp.random.default_rng(2)
N = 5
A = {
    "float64": RNG.standard_normal((N, N)),
    "complex128": RNG.standard_normal((N, N)) + 1j * RNG.standard_normal((N, N)),
}
X = RNG.standard_normal((N, 3)) + 1j * RNG.standard_normal((N, 3))


def vector(self, v):
    return np.dot(self.matrix, np.ravel(v) + self.zero)


def adjoint_vector(self, v):
    return np.dot(np.conj(self.matrix).T, np.ravel(v) + self.zero)


def block(self, V):
    return np.dot(self.matrix, V + self.zero)


def adjoint_block(self, V):
    return np.dot(np.conj(self.matrix).T, V + self.zero)


#: What a subclass may define. In SciPy's classes all but the last two come with an adjoint.
METHODS = {
    "_matvec, _rmatvec": {"_matvec": vector, "_rmatvec": adjoint_vector},
    "_matmat, _rmatmat": {"_matmat": block, "_rmatmat": adjoint_block},
    "all": {"_matvec": vector, "_rmatvec": adjoint_vector, "_matmat": block, "_rmatmat": adjoint_block},
    "_adjoint": {"_matvec": vector, "_adjoint": lambda self: type(self)(np.conj(self.matrix).T)},
    "_matvec": {"_matvec": vector},
    "_matmat": {"_matmat": block},
}


def subclass(base, methods, declared=True, init=True):
    def start(self, matrix):
        self.matrix = matrix
        self.zero = onp.zeros((), getattr(matrix, "_value", matrix).dtype)
        dtype = self.zero.dtype if declared else None
        if init:
            super(cls, self).__init__(dtype=dtype, shape=matrix.shape)
        else:
            spla.LinearOperator.__init__(self, dtype, matrix.shape)
        if not declared and base is spla.LinearOperator:
            self._init_dtype()

    cls = type("Own", (base,), {"__init__": start, **methods})
    return cls


@pytest.mark.parametrize("dtype", A)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["scipy", "scipy undeclared", "ours", "ours undeclared", "ours, SciPy's __init__"])
def test_values_and_adjoints(kind, name, dtype):
    base = spla.LinearOperator if kind.startswith("scipy") else ka.LinearOperator
    declared = "undeclared" not in kind
    methods = METHODS[name]
    if base is spla.LinearOperator and name == "_matmat, _rmatmat":
        methods = {
            **methods,
            "_rmatvec": adjoint_vector,
        }  # without it SciPy had no adjoint for vectors in its older versions
    made = subclass(base, methods, declared, "__init__" not in kind)(A[dtype])
    op, matrix = ka.aslinearoperator(made), A[dtype]
    assert op.dtype == onp.dtype(dtype)
    for V in (X, X.real):
        onp.testing.assert_allclose(op @ V, matrix @ V, rtol=1e-13)
        onp.testing.assert_allclose(op @ V[:, 0], matrix @ V[:, 0], rtol=1e-13)
        onp.testing.assert_allclose((2 * op + op) @ V, 3 * matrix @ V, rtol=1e-13)
        onp.testing.assert_allclose(spla.aslinearoperator(made) @ V, matrix @ V, rtol=1e-13)
        if base is spla.LinearOperator and name in ("_matvec", "_matmat"):
            with pytest.raises((NotImplementedError, TypeError)):
                op.H @ V
            continue
        for result in (op.H @ V, op.prepared().H @ V, op.plain().H @ V):
            onp.testing.assert_allclose(result, matrix.conj().T @ V, rtol=1e-12)
        onp.testing.assert_allclose(op.H @ V[:, 0], matrix.conj().T @ V[:, 0], rtol=1e-12)
        ka.check_operator(made)


@pytest.mark.parametrize("name", METHODS)
def test_our_subclasses_are_differentiable(name):
    own, D = subclass(ka.LinearOperator, METHODS[name]), RNG.standard_normal((N, N))

    def f(p):
        op = own(A["float64"] + p * D)
        return np.sum((op @ onp.ones(N)) ** 2) + np.sum((op.H @ onp.ones(N)) ** 4)

    def g(p):
        matrix = A["float64"] + p * D
        return np.sum(np.sum(matrix, axis=1) ** 2) + np.sum(np.sum(matrix, axis=0) ** 4)

    onp.testing.assert_allclose(grad(f)(0.3), grad(g)(0.3), rtol=1e-12)
    onp.testing.assert_allclose(grad(grad(f))(0.3), grad(grad(g))(0.3), rtol=1e-12)

    def lowest(p):
        matrix = A["float64"] + p * D
        return ka.eigsh(own(matrix + matrix.T), k=1, which="SA", v0=onp.ones(N))[0][0]

    x = onp.linalg.eigh(A["float64"] + A["float64"].T)[1][:, 0]
    onp.testing.assert_allclose(grad(lowest)(0.0), 2 * x @ D @ x, rtol=1e-9)


def test_eigenpairs_of_a_subclass_of_scipys():
    """As a constant next to a traced operator."""
    S = A["float64"] + A["float64"].T
    constant = subclass(spla.LinearOperator, METHODS["_matvec, _rmatvec"])(S)

    def lowest(p):
        return ka.eigsh(ka.aslinearoperator(constant) + np.diag(p), k=1, which="SA", v0=onp.ones(N))[0][0]

    x = onp.linalg.eigh(S)[1][:, 0]
    onp.testing.assert_allclose(grad(lowest)(onp.zeros(N)), x**2, rtol=1e-8)
    onp.testing.assert_array_equal(
        ka.eigsh(constant, k=1, v0=onp.ones(N))[0], spla.eigsh(constant, k=1, v0=onp.ones(N))[0]
    )


class DropsImaginaryParts(spla.LinearOperator):
    """As code does that writes into a real array."""

    def __init__(self):
        super().__init__(float, (N, N))

    def _matvec(self, v):
        out = onp.zeros(N)
        out[:] = A["float64"] @ v.real.ravel()
        return out

    def _rmatvec(self, v):
        return A["float64"].T @ v.real.ravel()


def test_a_real_operator_of_scipys_gets_real_vectors():
    op = ka.aslinearoperator(DropsImaginaryParts())
    onp.testing.assert_allclose(op @ X, A["float64"] @ X, rtol=1e-13)
    onp.testing.assert_allclose(op.H @ X[:, 0], A["float64"].T @ X[:, 0], rtol=1e-13)


class Doubles(ka.LinearOperator):
    def __init__(self, n):
        super().__init__(shape=(n, n), dtype=float)

    def _matvec(self, v):
        return 2.0 * v

    def _adjoint(self):
        return Doubles(self.shape[0])


def test_a_subclass_can_be_pickled():
    twin = pickle.loads(pickle.dumps(Doubles(3) + ka.aslinearoperator(onp.eye(3))))
    onp.testing.assert_array_equal(twin.H @ onp.ones(3), 3 * onp.ones(3))


def test_what_is_refused():
    class Positional(ka.LinearOperator):
        def __init__(self):
            super().__init__(float, (N, N))

        _matvec = vector

    with pytest.raises(TypeError, match=r"shape must be two integers.*in SciPy's base class it is \(dtype, shape\)"):
        Positional()

    class Nothing(ka.LinearOperator):
        def __init__(self):
            spla.LinearOperator.__init__(self, float, (N, N))

    with pytest.raises(TypeError, match="Nothing defines neither _matvec nor _matmat"):
        Nothing() @ onp.ones(N)
    with pytest.raises(TypeError, match="matvec must be callable, not NoneType"):
        ka.LinearOperator((N, N))
