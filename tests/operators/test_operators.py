"""`LinearOperator`, `aslinearoperator` and the algebra, against dense matrices.

Every expression of operators stands next to its dense counterpart; values, dtypes, adjoints and
derivatives of both are compared. The counterpart's derivatives come from autograd alone.
"""

import inspect
import re
from importlib.metadata import version

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, hessian
from autograd.tracer import isbox

import krylov_adj as ka

N = 6

#: Of the operator and of the vectors.
DTYPES = [(d, d) for d in ("float32", "float64", "complex64", "complex128")]
DTYPES += [("float32", "complex64"), ("float64", "complex128")]


def random(seed, shape, dtype="float64"):
    rng = onp.random.default_rng(seed)
    values = rng.standard_normal(shape)
    if onp.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def close(actual, expected, eps=2.3e-16):
    scale = max(1.0, float(onp.max(onp.abs(expected), initial=0)))
    onp.testing.assert_allclose(actual, expected, rtol=0, atol=500 * eps * scale)


def same(actual, expected):
    """Equal values, shape and dtype."""
    actual, expected = onp.asarray(actual), onp.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    close(actual, expected, onp.finfo(expected.dtype).eps)


def times(matrix):
    zero = matrix.dtype.type(0)  # autograd's dot wants both real or both complex
    return lambda v: np.dot(matrix, v + zero)


def closure(matrix, **functions):
    return ka.LinearOperator(matrix.shape, times(matrix), dtype=matrix.dtype, **functions)


FORMS = {
    "dense": ka.aslinearoperator,
    "csr_array": lambda m: ka.aslinearoperator(sp.csr_array(m)),
    "csc_matrix": lambda m: ka.aslinearoperator(sp.csc_matrix(m)),
    "scipy operator": lambda m: ka.aslinearoperator(spla.aslinearoperator(m)),
    "closure": closure,
    "rmatvec": lambda m: closure(m, rmatvec=times(m.conj().T)),
    "blocks": lambda m: closure(m, matmat=times(m), rmatmat=times(m.conj().T)),
}

#: name: (operators a, b and scalar t -> operator, matrices A, B and t -> matrix)
# autograd lets an operator answer for a traced number on its left since 1.9.
ON_THE_LEFT = tuple(map(int, version("autograd").split(".")[:2])) >= (1, 9)


def left(t, a):
    return t * a if ON_THE_LEFT or not isbox(t) else a * t


ALGEBRA = {
    "a + b": (lambda a, b, t: a + b, lambda A, B, t: A + B),
    "a - b": (lambda a, b, t: a - b, lambda A, B, t: A - B),
    "-a": (lambda a, b, t: -a, lambda A, B, t: -A),
    "a @ b": (lambda a, b, t: a @ b, lambda A, B, t: np.dot(A, B)),
    "a * b": (lambda a, b, t: a * b, lambda A, B, t: np.dot(A, B)),
    "a * t": (lambda a, b, t: a * t, lambda A, B, t: A * t),
    "t * a": (lambda a, b, t: left(t, a), lambda A, B, t: A * t),
    "a / t": (lambda a, b, t: a / t, lambda A, B, t: A / t),
    "a ** 0": (lambda a, b, t: a**0, lambda A, B, t: onp.eye(N, dtype=A.dtype)),
    "a ** 3": (lambda a, b, t: a**3, lambda A, B, t: np.dot(A, np.dot(A, A))),
    "a.T": (lambda a, b, t: a.T, lambda A, B, t: A.T),
    "a.H": (lambda a, b, t: a.H, lambda A, B, t: np.conj(A).T),
    "a.T.H": (lambda a, b, t: a.T.H, lambda A, B, t: np.conj(A)),
    "all": (
        lambda a, b, t: (left(t, a) + b.H) @ a.T - b / t,
        lambda A, B, t: np.dot(A * t + np.conj(B).T, A.T) - B / t,
    ),
}


@pytest.mark.parametrize("dtypes", DTYPES, ids="-".join)
@pytest.mark.parametrize("name", ALGEBRA)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_dtypes(form, name, dtypes):
    A, B, X = random(0, (N, N), dtypes[0]), random(1, (N, N), dtypes[0]), random(3, (N, 3), dtypes[1])
    make, dense = ALGEBRA[name]
    op, matrix, x = make(FORMS[form](A), FORMS[form](B), 1.7), dense(A, B, 1.7), X[:, 0]
    assert isinstance(op, ka.LinearOperator)
    assert op.dtype == matrix.dtype
    adjoint = matrix.conj().T
    for result, expected in (
        (op @ x, matrix @ x),
        (op(x), matrix @ x),
        (op.matvec(x), matrix @ x),
        (op.matvec(x[:, None]), (matrix @ x)[:, None]),
        (op @ X, matrix @ X),
        (op.dot(X), matrix @ X),
        (op.rmatvec(x), adjoint @ x),
        (op.rmatvec(x[:, None]), (adjoint @ x)[:, None]),
        (op.rmatmat(X), adjoint @ X),
        (op.H @ X, adjoint @ X),
        (op.T @ x, matrix.T @ x),
        (x @ op, x @ matrix),
        (X.T @ op, X.T @ matrix),
        (op.prepared() @ x, matrix @ x),
        (op.prepared().H @ X, adjoint @ X),
    ):
        same(result, expected)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("form", FORMS)
def test_rectangular(form, dtype):
    A, x, y = random(0, (3, 5), dtype), random(1, 5, dtype), random(2, (3, 2), dtype)
    op = FORMS[form](A)
    same(op @ x, A @ x)
    same(op.H @ y, A.conj().T @ y)
    same((op.H @ op) @ x, A.conj().T @ (A @ x))
    same(x @ op.T, x @ A.T)
    for wrong in (y[:, 0], onp.ones(4), onp.ones((5, 2, 2)), onp.ones((1, 5))):
        with pytest.raises(ValueError, match=r"dimension mismatch: operator of shape \(3, 5\)"):
            op @ wrong
    with pytest.raises(ValueError, match=r"dimension mismatch.*\(5, 3\).*\(5,\)"):
        op.rmatvec(x)
    with pytest.raises(ValueError, match=r"shapes \(3, 5\) and \(3, 5\)"):
        op @ op
    with pytest.raises(ValueError, match=r"shapes \(3, 5\) and \(5, 3\)"):
        op + op.T
    with pytest.raises(ValueError, match="square"):
        op**2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scalar", [2, 1.7, onp.float64(1.7), onp.float32(1.7), onp.array(1.7), onp.int64(3), 1j, 0])
def test_scalars(scalar, dtype):
    """A Python number does not widen a single precision operator; whatever does, the dtype says so."""
    A, x = random(0, (N, N), dtype), random(1, N, dtype)
    for op in (closure(A), ka.aslinearoperator(A), ka.aslinearoperator(sp.csr_array(A))):
        made = [op * scalar, scalar * op, op.dot(scalar)] + ([op / scalar] if scalar else [])
        for i, scaled in enumerate(made):
            matrix = A * scalar if i < 3 else A / scalar
            for result, expected in ((scaled @ x, matrix @ x), (scaled.H @ x, matrix.conj().T @ x)):
                assert result.dtype == scaled.dtype
                close(result, expected, onp.finfo(dtype).eps)
            if type(scalar) in (int, float, complex):
                assert scaled.dtype == matrix.dtype


def test_what_is_no_operand():
    op = closure(random(0, (N, N)))
    for wrong in ("2", None, object()):
        with pytest.raises(TypeError):
            op + wrong
        with pytest.raises((TypeError, ValueError)):
            op * wrong
    with pytest.raises(ValueError, match="Scalar operands are not allowed"):
        op @ 2.0
    for power in (-1, 1.5):
        with pytest.raises(ValueError, match="power"):
            op**power
    with pytest.raises(TypeError):
        2.0 / op
    with pytest.raises(TypeError, match="matvec must be callable"):
        ka.LinearOperator((N, N), random(0, (N, N)))
    with pytest.raises(ValueError, match=r"two dimensions, not shape \(6,\)"):
        ka.aslinearoperator(onp.ones(N))
    with pytest.raises(TypeError):
        ka.aslinearoperator("matrix")


THEIRS = {"csr_array": sp.csr_array, "csr_matrix": sp.csr_matrix, "scipy operator": spla.aslinearoperator}


@pytest.mark.parametrize("left", ["ours", "theirs"])
@pytest.mark.parametrize("kind", THEIRS)
def test_other_operands_on_either_side(kind, left):
    """Traces survive; where SciPy's own operator stands on the left and makes the sum, an error says why not."""
    A, B, x = random(0, (N, N)), random(1, (N, N)), random(2, N)
    A, B = A + A.T, B + B.T
    op, other = closure(A), THEIRS[kind](B)
    first, second, P, Q = (op, other, A, B) if left == "ours" else (other, op, B, A)
    same((first + second) @ x, (P + Q) @ x)
    same((first - second) @ x, (P - Q) @ x)
    same((first @ second) @ x, P @ Q @ x)

    def f(p):
        op = ka.LinearOperator((N, N), lambda v: p * np.dot(A, v), dtype=float)
        total = op + other if left == "ours" else other + op
        return ka.eigsh(total, k=1, which="LA", v0=onp.ones(N))[0][0]

    if kind == "scipy operator" and left == "theirs":
        with pytest.raises(TypeError, match=r"traced value reached an operator of SciPy's.*krylov_adj"):
            grad(f)(0.7)
    else:
        x = onp.linalg.eigh(0.7 * A + B)[1][:, -1]
        onp.testing.assert_allclose(grad(f)(0.7), x @ A @ x, rtol=1e-10)


def test_arrays_on_either_side():
    A, B, x = random(0, (N, N)), random(1, (N, N)), random(2, N)
    op = closure(A)
    for total, expected in ((op + B, A + B), (B + op, A + B), (op - B, A - B), (B - op, B - A)):
        same(total @ x, expected @ x)
    same(op @ B, A @ B)
    same(B @ op, B @ A)


@pytest.mark.filterwarnings("ignore:.*called without specifying `atol`:DeprecationWarning")  # before SciPy 1.12
def test_scipy_takes_our_operators():
    S, b = random(0, (N, N)), random(1, N)
    S = S @ S.T + N * onp.eye(N)
    op = closure(S)
    for solve in (spla.gmres, spla.cg, spla.bicg, spla.minres):
        tolerance = "rtol" if "rtol" in inspect.signature(solve).parameters else "tol"  # before SciPy 1.12
        x, info = solve(op, b, **{tolerance: 1e-12})
        assert info == 0
        onp.testing.assert_allclose(x, onp.linalg.solve(S, b), rtol=1e-9)
    onp.testing.assert_allclose(spla.lsqr(op, b, atol=1e-14, btol=1e-14)[0], onp.linalg.solve(S, b), rtol=1e-9)
    w = spla.eigsh(op, k=2, return_eigenvectors=False)
    onp.testing.assert_allclose(onp.sort(w), onp.linalg.eigvalsh(S)[-2:], rtol=1e-12)
    onp.testing.assert_allclose(spla.svds(op, k=1)[1], [onp.linalg.eigvalsh(S)[-1]], rtol=1e-10)
    close(spla.aslinearoperator(op).H.matmat(onp.eye(N)), S)
    assert isinstance(spla.aslinearoperator(op), ka.LinearOperator)


def test_what_a_matvec_may_return():
    """A list and a column are arrays to SciPy, and must not be concatenated by + and *."""
    x = onp.array([3.0, 4.0])
    for matvec in (lambda v: [v[0], 2 * v[1]], lambda v: onp.array([[v[0]], [2 * v[1]]])):
        op = ka.LinearOperator((2, 2), matvec, dtype=float)
        for other, expected in ((op, [3, 8]), (2 * op, [6, 16]), (op + op, [6, 16]), (op @ op, [3, 16])):
            result = other @ x
            assert isinstance(result, onp.ndarray)
            onp.testing.assert_array_equal(result, expected)
    for value in (onp.ones(3), onp.ones((2, 2)), 1.0, onp.ones((1, 2))):
        op = ka.LinearOperator((2, 2), lambda v, value=value: value, dtype=float)
        with pytest.raises(ValueError, match=r"matvec returned shape .*expected \(2,\).*operator of shape \(2, 2\)"):
            op @ x
    op = ka.LinearOperator((2, 2), lambda v: v, rmatvec=lambda v: v[:1], matmat=lambda V: V[:, :1], dtype=float)
    with pytest.raises(ValueError, match=r"rmatvec returned shape \(1,\), expected \(2,\)"):
        op.H @ x
    with pytest.raises(ValueError, match=r"matmat returned shape \(2, 1\), expected \(2, 3\)"):
        op @ onp.ones((2, 3))
    op = ka.LinearOperator((2, 2), lambda v: 1j * v, dtype=float)
    for apply in (lambda: op @ x, lambda: op.H @ x):
        with pytest.raises(TypeError, match=r"complex values from an operator of dtype float64.*dtype=complex"):
            apply()


PLAIN = {
    "S @ v": lambda S, v: S @ v,
    "S.dot(v)": lambda S, v: S.dot(v),
    "in place": lambda S, v: onp.add(onp.zeros(N), v, out=onp.zeros(N)),
    "compiled": lambda S, v: onp.fft.fft(v).real,
    "numpy.roll": lambda S, v: onp.roll(v, 1),
    "numpy.dot": lambda S, v: onp.dot(S.toarray(), v),
    "numpy.concatenate": lambda S, v: onp.concatenate([v[1:], v[:1]]),
    "numpy.array": lambda S, v: onp.array([2 * x for x in v]),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_matvec_that_autograd_cannot_transpose(name):
    """Either it is transposed after all, or it is an error that says what to do, never a zero."""
    S, x = sp.csr_array(random(0, (N, N))), random(1, N)
    op = ka.LinearOperator((N, N), lambda v: PLAIN[name](S, v), dtype=float)
    matrix = op @ onp.eye(N)
    for apply in (lambda: op.rmatvec(x), lambda: op.prepared().H @ x, lambda: (2 * op + op).T @ (x / 3)):
        message = None
        try:
            result = apply()
        except TypeError as error:
            message = str(error)
        if message is None:
            close(result, matrix.T @ x)
        else:
            assert re.search(r"cannot transpose matvec.*aslinearoperator\(S\) @ v.*autograd.numpy.*rmatvec=", message)


# ---- derivatives ---------------------------------------------------------------------------

C = random(9, N, "complex128")


def loss(y):
    """Not linear, and neither even nor real in y."""
    return np.sum(np.real(C * y)) ** 2 + np.sum(np.abs(y) ** 4)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", ALGEBRA)
@pytest.mark.parametrize("form", FORMS)
def test_gradients_in_the_vector_and_in_a_scalar(form, name, dtype):
    """First and second order; the scalar on the left and on the right (autograd >= 1.9)."""
    A, B, x = random(0, (N, N), dtype), random(1, (N, N), dtype), random(2, N, dtype)
    make, dense = ALGEBRA[name]

    def ours(s, t):
        return loss(make(FORMS[form](A), FORMS[form](B), t) @ (x * s))

    def theirs(s, t):
        return loss(np.dot(dense(A, B, t), x * s))

    def second(f, s, t):
        return grad(lambda s: np.dot(grad(f)(s, t), random(6, N)))(s)

    s, t = random(5, N), 0.8
    close(grad(ours)(s, t), grad(theirs)(s, t))
    close(second(ours, s, t), second(theirs, s, t))
    if name in ("a * t", "t * a", "a / t", "all"):
        close(grad(ours, 1)(s, t), grad(theirs, 1)(s, t))
        close(grad(grad(ours, 1), 1)(s, t), grad(grad(theirs, 1), 1)(s, t))
        close(grad(grad(ours, 1))(s, t), grad(grad(theirs, 1))(s, t))


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("vector", ["float64", "complex128"])
@pytest.mark.parametrize("matrix", ["float64", "complex128"])
def test_gradients_in_traced_dense_entries(matrix, vector, adjoint):
    """Also of a real matrix next to a complex vector and the reverse: by differences, since there
    autograd's own dot warns and is no reference."""
    D, A, x, d = random(0, (N, N), matrix), random(1, (N, N), matrix), random(2, N, vector), random(3, N, vector)

    def f(p):
        op = ka.aslinearoperator(A + p[0] ** 2 * D)
        op = 2.0 * (op.H if adjoint else op) + ka.aslinearoperator(A).T
        return loss(op @ (x + p[1] * d))

    p = onp.array([0.6, -0.3])
    h = 1e-4
    g = [(f(p + h * e) - f(p - h * e)) / (2 * h) for e in onp.eye(2)]
    onp.testing.assert_allclose(grad(f)(p), g, rtol=1e-6)
    H = [(grad(f)(p + h * e) - grad(f)(p - h * e)) / (2 * h) for e in onp.eye(2)]
    onp.testing.assert_allclose(hessian(f)(p), H, rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_real_vector_gets_a_real_gradient_from_a_complex_operator(form):
    A, x = random(0, (N, N), "complex128"), random(1, N)
    g = grad(lambda x: np.sum(np.real(C * (FORMS[form](A) @ x))))(x)
    same(g, onp.real(A.T @ C))
    g = grad(lambda x: np.sum(np.real(C * (FORMS[form](A).H @ x))))(x)
    same(g, onp.real(A.conj() @ C))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_derived_adjoint_carries_the_closures_parameters(dtype):
    A, D, x = random(0, (N, N), dtype), random(1, (N, N), dtype), random(2, N, "complex128")

    def ours(p):
        op = ka.LinearOperator((N, N), lambda v: np.dot(A + p**2 * D, v), dtype=dtype)
        return loss(op.H @ x)

    def theirs(p):
        return loss(np.dot(np.conj(A + 0j + p**2 * D).T, x))

    for f, g in ((ours, theirs), (grad(ours), grad(theirs)), (grad(grad(ours)), grad(grad(theirs)))):
        close(f(0.7), g(0.7))


# ---- caches, explicit, prepared ------------------------------------------------------------


def test_adjoints_are_fresh_after_the_closures_state_changes():
    class Model:
        d = onp.arange(1.0, N + 1)

        def apply(self, v):
            return np.roll(v, 1) * self.d

    model, x = Model(), random(0, N)
    op = ka.LinearOperator((N, N), model.apply, dtype=float)
    total = 2.0 * op.T + op
    same(op.rmatvec(x), onp.roll(model.d * x, -1))
    prepared = op.prepared()
    same(prepared.rmatvec(x), onp.roll(model.d * x, -1))
    model.d = onp.arange(7.0, N + 7)
    same(op.rmatvec(x), onp.roll(model.d * x, -1))
    same(total @ x, 2 * onp.roll(model.d * x, -1) + onp.roll(x, 1) * model.d)


@pytest.mark.parametrize("name", ALGEBRA)
@pytest.mark.parametrize("form", FORMS)
def test_explicit_is_the_matrix_or_none(form, name):
    A, B = random(0, (N, N)), random(1, (N, N))
    make, dense = ALGEBRA[name]
    explicit = make(FORMS[form](A), FORMS[form](B), 1.7).explicit()
    if form in ("dense", "csr_array", "csc_matrix") or name == "a ** 0":
        assert sp.issparse(explicit) == (form != "dense" or name == "a ** 0")
        assert not isinstance(explicit, onp.matrix)
        same(explicit.toarray() if sp.issparse(explicit) else explicit, dense(A, B, 1.7))
    else:
        assert explicit is None
    traced = []
    grad(lambda t: traced.append(make(ka.aslinearoperator(A * t), ka.aslinearoperator(B), t).explicit()) or t)(1.0)
    assert not any(isbox(m) for m in traced)
    close(traced[0].toarray() if sp.issparse(traced[0]) else traced[0], dense(A, B, 1.0))


def test_explicit_of_sparse_and_dense_together_is_an_array():
    """SciPy makes a numpy.matrix of them, whose products have other shapes."""
    A, B = random(0, (N, N)), random(1, (N, N))
    for op in (
        ka.aslinearoperator(sp.csr_matrix(A)) + ka.aslinearoperator(B),
        ka.aslinearoperator(B) - ka.aslinearoperator(sp.csr_matrix(A)),
    ):
        assert not isinstance(op.explicit(), onp.matrix)
        same(onp.asarray(op.explicit()) @ B[0], op @ B[0])


def test_a_traced_number_on_the_left_is_right_or_an_error_that_says_what_to_write():
    op, x = ka.aslinearoperator(random(0, (N, N))), random(1, N)

    def f(t):
        return np.sum((t * op) @ x)

    if ON_THE_LEFT:
        onp.testing.assert_allclose(grad(f)(0.7), onp.sum(random(0, (N, N)) @ x), rtol=1e-12)
    else:
        with pytest.raises(TypeError, match=r"write op \* t, not t \* op"):
            grad(f)(0.7)
