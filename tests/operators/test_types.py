"""Booleans, integers, operators that say no type, and traced values in SciPy's operators."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka

N = 12
V0 = onp.ones(N)
BAND = onp.diag(onp.arange(2, N + 2)) + onp.eye(N, k=1, dtype=int) + onp.eye(N, k=-1, dtype=int)
MASS = onp.eye(N, dtype=int)
MASS[0, 0] = 3
TYPES = ("int64", "int8", "uint8", "bool")
FORMS = {
    "array": onp.asarray,
    "sparse array": sp.csr_array,
    "sparse matrix": sp.coo_matrix,
    "SciPy's operator": spla.aslinearoperator,
    "ours": ka.aslinearoperator,
    "ours, sparse": lambda A: ka.aslinearoperator(sp.csr_array(A)),
    "a function": lambda A: ka.LinearOperator(A.shape, lambda v: np.dot(A, v), lambda v: np.dot(A.T, v), dtype=A.dtype),
    "a type that is found": lambda A: ka.LinearOperator(A.shape, lambda v: np.dot(A, v), lambda v: np.dot(A.T, v)),
}
ENTRIES = onp.nonzero(BAND)


def form_of(form, A):
    if form == "csr_array of ours":
        return ka.coo_array((A[ENTRIES], ENTRIES), A.shape)
    return FORMS[form](A)


MATRICES = [(form, dtype) for form in FORMS for dtype in TYPES] + [("csr_array of ours", t) for t in TYPES[:3]]


def in_type(A, dtype):
    return onp.asarray(A).astype(dtype)


@pytest.mark.parametrize("sigma", [None, 0.3])
@pytest.mark.parametrize(("form", "dtype"), MATRICES)
def test_as_the_matrix(form, dtype, sigma):
    """As its own double-precision copy, in double precision: values, vectors, gradients, every k."""
    A = in_type(BAND, dtype)
    operand, dense = form_of(form, A), A.astype(float)
    given = {} if sigma is None else {"sigma": sigma}
    if sigma is not None and form in ("SciPy's operator", "a function", "a type that is found"):
        given["OPinv"] = la.inv(dense - sigma * onp.eye(N))
    for solver in (ka.eigsh, ka.eigs):
        for k in (2, N - 1, N):
            w, X = solver(operand, k=k, v0=V0, **given)
            assert w.dtype == (float if solver is ka.eigsh else complex)
            expected = solver(dense, k=k, v0=V0, **given)[0]
            onp.testing.assert_allclose(w, expected, rtol=1e-10, atol=1e-12)
            assert la.norm(dense @ X - X * w) < 1e-10 * la.norm(dense)

        def f(p, solver=solver):
            return np.real(solver(ka.aslinearoperator(operand) * p, k=2, v0=V0, **given)[0][0])

        if sigma is None or "OPinv" not in given:
            assert grad(f)(1.0) == pytest.approx(f(1.0), rel=1e-10)


@pytest.mark.parametrize("sigma", [None, 0.3])
@pytest.mark.parametrize(("form", "dtype"), MATRICES)
def test_as_the_mass(form, dtype, sigma):
    """The identity, or a matrix of whole numbers; SciPy's own factors of small integers are wrong."""
    B = in_type(onp.eye(N) if dtype == "bool" else MASS, dtype)
    if form == "csr_array of ours":
        B = B + in_type(onp.zeros((N, N)), dtype)
    M, dense = form_of(form, B), B.astype(float)
    # SciPy says that M, which is in double precision then, is not in that of A.
    single = [] if form in ("ours", "ours, sparse", "csr_array of ours") else [BAND.astype("float32")]
    for A in (BAND.astype(float), BAND, sp.csr_array(BAND), *single):
        a = A.toarray() if sp.issparse(A) else A
        given = {"v0": V0, "sigma": sigma}
        if form in ("SciPy's operator", "a function", "a type that is found"):
            inverse = la.inv(dense) if sigma is None else la.inv(a.astype(float) - sigma * dense)
            given["Minv" if sigma is None else "OPinv"] = inverse.astype(a.dtype if a.dtype.kind == "f" else float)
        rtol = 1e-4 if a.dtype == "float32" else 1e-10
        right = la.eigvalsh(a.astype(float), dense)
        for solver in (ka.eigsh, ka.eigs):
            for k in (2, N):
                w = solver(A, k=k, M=M, **given)[0]
                expected = right if k == N else right[:2] if sigma else right[-2:]
                onp.testing.assert_allclose(onp.sort(w.real), onp.sort(expected), rtol=rtol)

            def f(p, solver=solver, A=A, given=given):
                return np.real(solver(ka.aslinearoperator(A) * p, k=2, M=M, **given)[0][0])

            if "OPinv" not in given:
                assert grad(f)(1.0) == pytest.approx(f(1.0), rel=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mass_of_whole_numbers_keeps_the_precision_of_A(dtype):
    for M in (onp.eye(N, dtype=bool), MASS, sp.csr_array(MASS.astype("int8"))):
        for A in (BAND.astype(dtype), ka.aslinearoperator(BAND.astype(dtype))):
            for k in (2, N):
                w, X = ka.eigsh(A, k=k, M=M, sigma=0.1, v0=V0)
                assert w.dtype == X.dtype == dtype


@pytest.mark.parametrize(("form", "dtype"), MATRICES)
def test_elsewhere(form, dtype):
    """`solve`, `inverse`, `svds`, `attach_eigenpairs`, left eigenvectors, algebra, the check of operators."""
    A = in_type(BAND, dtype)
    if dtype == "bool":
        A = A & onp.tri(N, dtype=bool)  # which is not singular
    operand, dense = form_of(form, A), A.astype(float)
    b = onp.arange(1.0, N + 1)
    x = la.solve(dense, b)
    onp.testing.assert_allclose(ka.solve(operand, b, rtol=1e-13), x, rtol=1e-9)
    onp.testing.assert_allclose(ka.inverse(operand) @ b, x, rtol=1e-7)
    gradient = grad(lambda p: np.sum(ka.solve(ka.aslinearoperator(operand) * p, b)))(1.0)
    assert gradient == pytest.approx(-onp.sum(x), rel=1e-7)
    s = ka.svds(ka.aslinearoperator(operand), k=2, v0=V0)[1]
    if isinstance(operand, spla.LinearOperator):
        onp.testing.assert_allclose(ka.svds(operand, k=2, v0=V0)[1], s, rtol=1e-12)
    elif dtype == "bool":  # SciPy's words
        with pytest.raises(ValueError, match="data type"):
            ka.svds(operand, k=2, v0=V0)
    assert s.dtype == float
    onp.testing.assert_allclose(s, la.svdvals(dense)[1::-1], rtol=1e-10)
    assert grad(lambda p: np.sum(ka.svds(ka.aslinearoperator(operand) * p, k=2, v0=V0)[1]))(1.0) == pytest.approx(
        sum(s)
    )
    w, X = la.eig(dense)
    w, X = w[:1], X[:, :1]
    if dtype != "bool":  # a Jordan block
        Y = ka.left_eigenvectors(operand, w, X)
        assert la.norm(Y.conj().T @ dense - w * Y.conj().T) < 1e-10
    values, _ = ka.attach_eigenpairs(operand, w, X)
    assert values.dtype == complex
    assert "adjoint" in ka.check_operator(operand)
    assert ka.aslinearoperator(operand).dtype == float
    two = ka.aslinearoperator(operand) @ ka.aslinearoperator(operand)
    onp.testing.assert_allclose(two @ b, dense @ dense @ b)
    onp.testing.assert_allclose(ka.kron(operand, operand) @ onp.ones(N * N), onp.kron(dense, dense) @ onp.ones(N * N))


def test_coefficients_of_small_integers():
    """In double precision; numbers of SciPy's int8 would leave single precision."""
    coefficient = onp.array([1, 2, 1, 1, 3, 1, 2])
    expected = ka.pde.diffusion(coefficient.astype(float))
    A = ka.pde.diffusion(coefficient.astype("int8"))
    assert A.dtype == float
    x = onp.linspace(0, 1, A.shape[1]) ** 3
    onp.testing.assert_allclose(A @ x, expected @ x, rtol=1e-14)


# ---- operators that say no type ------------------------------------------------------------------


class Untyped(spla.LinearOperator):
    """SciPy's class, with the type left open, of whole numbers or not."""

    def __init__(self, matrix):
        super().__init__(None, matrix.shape)
        self.matrix = matrix

    def _matvec(self, x):
        return self.matrix @ x

    def _rmatvec(self, x):
        return self.matrix.conj().T @ x


class UntypedOfOurs(ka.LinearOperator):
    def __init__(self, matrix):
        spla.LinearOperator.__init__(self, None, matrix.shape)
        self.matrix = matrix

    def _matvec(self, x):
        return np.dot(self.matrix, x)

    def _rmatvec(self, x):
        return np.dot(self.matrix.conj().T, x)


@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32", "int8"])
@pytest.mark.parametrize("kind", [Untyped, UntypedOfOurs])
def test_an_operator_without_a_type(kind, dtype):
    H = BAND + (1j * (onp.eye(N, k=2) - onp.eye(N, k=-2)) if dtype == "complex128" else 0)
    H = H.astype(dtype)
    dense = H.astype(complex if dtype == "complex128" else float)
    right = la.eigvalsh(dense)
    rtol = 1e-4 if dtype == "float32" else 1e-9
    real = onp.finfo(ka.aslinearoperator(kind(H)).dtype).dtype
    assert real == ("float32" if dtype == "float32" else "float64")
    for solver in (ka.eigsh, ka.eigs):
        for k in (2, N):
            w = solver(kind(H), k=k, v0=V0.astype(dense.dtype))[0]
            onp.testing.assert_allclose(onp.sort(w.real), right[-k:], rtol=rtol)
        w = solver(kind(H), k=2, M=kind(MASS.astype(dtype)), Minv=kind(la.inv(MASS).astype(dense.dtype)))[0]
        onp.testing.assert_allclose(onp.sort(w.real), la.eigvalsh(dense, MASS)[-2:], rtol=rtol)
        w = solver(kind(H), k=2, sigma=0.3, OPinv=kind(la.inv(dense - 0.3 * onp.eye(N))))[0]
        onp.testing.assert_allclose(onp.sort(w.real), right[:2], rtol=rtol)
        gradient = grad(lambda p, solver=solver: np.real(solver(ka.aslinearoperator(kind(H)) * p, k=1)[0][0]))(1.0)
        assert gradient == pytest.approx(right[-1], rel=rtol)
    onp.testing.assert_allclose(ka.svds(kind(H), k=2)[1], onp.sort(abs(right))[-2:], rtol=rtol)
    b = onp.arange(1.0, N + 1)
    onp.testing.assert_allclose(ka.solve(kind(H), b), la.solve(dense, b), rtol=1e-3 if dtype == "float32" else 1e-7)
    w, X = la.eigh(dense)
    ka.attach_eigenpairs(kind(H), w[:2], X[:, :2], hermitian=True)
    both = kind(H) + ka.aslinearoperator(H) if kind is UntypedOfOurs else ka.aslinearoperator(H) + kind(H)
    onp.testing.assert_allclose(both @ b, 2 * dense @ b, rtol=1e-5)
    onp.testing.assert_allclose(ka.aslinearoperator(kind(H)) @ (1j * b), 1j * (dense @ b), rtol=1e-5)
    assert kind(H).dtype == (None if kind is Untyped else dtype)


# ---- traced values in SciPy's operators ----------------------------------------------------------


def holding(p, dtype=None, with_adjoint=True):
    """A diagonal matrix that depends on p, as SciPy's operator, which knows no traced values."""
    d = onp.arange(1.0, N + 1)

    def apply(v):
        return p * (d * onp.ravel(v))

    return spla.LinearOperator((N, N), apply, rmatvec=apply if with_adjoint else None, dtype=dtype)


EYE = onp.eye(N)
OURS = ka.aslinearoperator(BAND.astype(float))
W, X = la.eigh(BAND)
INVERSE, PROFILE = la.inv(BAND), onp.linspace(1, 2, N)
WHERE = {
    "aslinearoperator": lambda A: ka.aslinearoperator(A) @ V0,
    "of a block": lambda A: ka.aslinearoperator(A) @ EYE,
    "of a complex vector": lambda A: ka.aslinearoperator(A) @ (1j * V0),
    "its adjoint": lambda A: ka.aslinearoperator(A).H @ V0,
    "in a sum": lambda A: (OURS + A) @ V0,
    "in a sum of SciPy's": lambda A: ka.aslinearoperator(A + A) @ V0,
    "on the left of a sum": lambda A: ka.aslinearoperator(A + OURS) @ V0,
    "in a product": lambda A: (OURS @ A) @ V0,
    "on the left of a product": lambda A: ka.aslinearoperator(A @ OURS) @ V0,
    "kron": lambda A: ka.kron(A, EYE) @ onp.ones(N * N),
    "kronsum": lambda A: ka.kronsum(A, EYE) @ onp.ones(N * N),
    "eigsh": lambda A: ka.eigsh(A, k=2)[0],
    "eigs": lambda A: ka.eigs(A, k=2)[0],
    "eigsh, k = n": lambda A: ka.eigsh(A, k=N)[0],
    "eigs, k = n": lambda A: ka.eigs(A, k=N)[0],
    "eigsh, M": lambda A: ka.eigsh(BAND.astype(float), k=2, M=A, Minv=EYE)[0],
    "eigs, M": lambda A: ka.eigs(BAND.astype(float), k=2, M=A, Minv=EYE)[0],
    "ours, M": lambda A: ka.eigs(OURS, k=2, M=A, Minv=EYE)[0],
    "Minv": lambda A: ka.eigsh(BAND.astype(float), k=2, M=EYE, Minv=A)[0],
    "Minv of ours": lambda A: ka.eigsh(OURS, k=2, M=EYE, Minv=A)[0],
    "OPinv": lambda A: ka.eigsh(BAND.astype(float), k=2, sigma=0.1, OPinv=A)[0],
    "OPinv of ours": lambda A: ka.eigs(OURS, k=2, sigma=0.1, OPinv=A)[0],
    "svds": lambda A: ka.svds(A, k=2)[1],
    "solve": lambda A: ka.solve(A, V0),
    "inverse": lambda A: ka.inverse(A) @ V0,
    "a preconditioner of solve": lambda A: ka.solve(OURS, V0, solver="gmres", preconditioner=A),
    "attach_eigenpairs": lambda A: ka.attach_eigenpairs(A, W[:2], X[:, :2])[0],
    "attach_eigenpairs, M": lambda A: ka.attach_eigenpairs(BAND, W[:2], X[:, :2], M=A)[0],
    "left_eigenvectors": lambda A: ka.left_eigenvectors(A, W[:2], X[:, :2]),
    "attach_nonlinear": lambda A: ka.attach_nonlinear(lambda lam: A, 1.0, V0)[1],
    "check_operator": lambda A: len(ka.check_operator(A)),
}


@pytest.mark.parametrize("dtype", [None, float])
@pytest.mark.parametrize("where", WHERE)
def test_a_traced_value_in_an_operator_of_scipys(where, dtype):
    """Our words, wherever it enters, and never a gradient without it."""

    def f(p):
        return np.sum(np.real(WHERE[where](holding(p, dtype))))

    with pytest.raises(TypeError, match=r"A traced value reached an operator of SciPy's.*krylov_adj.LinearOperator"):
        grad(f)(2.0)


@pytest.mark.parametrize("dtype", [None, float])
def test_a_traced_value_in_what_a_derivative_uses(dtype):
    """A preconditioner, an inverse: they say how to compute. SciPy's cannot hold a traced value; ours may."""

    def f(p, preconditioner=None, OPinv=None):
        options = ka.Adjoint(method="gmres", preconditioner=preconditioner and preconditioner(p))
        sigma, OPinv = (None, None) if OPinv is None else (0.0, OPinv(p))
        _, Y = ka.attach_eigenpairs(OURS * p, 2 * W[:2], X[:, :2], OPinv=OPinv, sigma=sigma, adjoint=options)
        return np.sum(PROFILE[:, None] * Y**4)

    expected = grad(f)(2.0)
    for name in ("preconditioner", "OPinv"):
        with pytest.raises(TypeError, match=r"A traced value reached an operator of SciPy's"):
            grad(f)(2.0, **{name: lambda p: holding(p, dtype)})

    def ours(p):
        return ka.LinearOperator(
            (N, N), lambda v: np.dot(INVERSE, v) / p, lambda v: np.dot(INVERSE, v) / p, dtype=float
        )

    for more in (
        {"preconditioner": ours},
        {"preconditioner": lambda p: lambda V: np.dot(INVERSE, V) / p},
        {"OPinv": ours},
    ):
        onp.testing.assert_allclose(grad(f)(2.0, **more), expected, atol=1e-8)


def test_an_error_of_the_users_own_keeps_its_words():
    def refuse(v):
        raise ValueError("the mesh has no cells")

    A = spla.LinearOperator((N, N), refuse, dtype=float)
    for call in (lambda: ka.aslinearoperator(A) @ V0, lambda: ka.eigsh(A, k=2), lambda: ka.svds(A, k=2)):
        with pytest.raises(ValueError, match="the mesh has no cells"):
            call()


@pytest.mark.parametrize("call", [{"which": "SA"}, {"sigma": -0.3}])
@pytest.mark.parametrize("k", [2, 7, 8])
def test_a_real_matrix_with_a_complex_mass(k, call):
    """Solvers take their type from A, and would discard imaginary parts of M."""
    rng = onp.random.default_rng(0)
    A, K, B = rng.standard_normal((3, 8, 8))
    A, B, M = A + A.T, B + B.T, 40 * onp.eye(8) + 1j * (K - K.T)
    expected = la.eigh(A, M)[0]
    for form in (A, sp.csr_array(A), ka.aslinearoperator(A)):
        w = ka.eigsh(form, k=k, M=M, v0=onp.ones(8), **call)[0]
        assert onp.max(onp.min(onp.abs(w[:, None] - expected), axis=1)) < 1e-14

    def f(t):
        return np.sum(ka.eigsh(A + t * B, k=k, M=M, v0=onp.ones(8), **call)[0])

    w, X = ka.eigsh(A, k=k, M=M, v0=onp.ones(8), **call)
    assert grad(f)(0.0) == pytest.approx(onp.trace(X.conj().T @ B @ X).real, rel=1e-9)
