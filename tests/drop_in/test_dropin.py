"""Without traced operators our functions are SciPy's, to the bit; with them they give SciPy's values.

The order is SciPy's for real `eigsh`; `stated` has it for the others.
"""

import inspect

import autograd.numpy as np
import autograd.tracer
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad
from autograd.tracer import getval

import krylov_adj as ka
from krylov_adj.autograd import equations
from krylov_adj.autograd import primitives as binding

N = 60
START = onp.random.default_rng(1).standard_normal(N)
SOLVERS = {"eigs": (ka.eigs, spla.eigs), "eigsh": (ka.eigsh, spla.eigsh)}
WHICH = {"eigs": ["LM", "LR", "SR", "LI"], "eigsh": ["LM", "LA", "SA", "BE"]}
DTYPES = ("float32", "float64", "complex64", "complex128")
OUTER = {"eigsh": [5, 6.5, 8, 10, 13, -4, -5.5, -7.2, -9.1, -12], "eigs": [3 + 8j, -9 + 2j, 11 + 4j, -2 + 5j]}


def matrices(solver, dtype):
    """A and a positive definite M.

    A has a few eigenvalues far outside of [-1, 1], so that ARPACK converges in a few restarts,
    without need of random numbers: SciPy's own bits are then the same in every call. Where A is
    real and not symmetric, they come in complex pairs.
    """
    rng = onp.random.default_rng(3)
    V, B = rng.standard_normal((2, N, N))
    if onp.dtype(dtype).kind == "c":
        V, B = V + 1j * rng.standard_normal((N, N)), B + 1j * rng.standard_normal((N, N))
    blocks = [onp.diag(onp.linspace(-1, 1, N - 10))]
    if solver == "eigsh" or V.dtype.kind == "c":
        blocks += [onp.diag(OUTER[solver] + ([6.0, -5.0, 4 - 6j, 1 - 9j, -3 - 4j, -6j] if solver == "eigs" else []))]
    else:
        blocks += [onp.array([[z.real, z.imag], [-z.imag, z.real]]) for z in OUTER[solver]] + [onp.diag([6.0, -5.0])]
    Q = onp.linalg.qr(V)[0]
    A = Q @ la.block_diag(*blocks) @ Q.conj().T
    if solver == "eigs":
        T = onp.eye(N) + 0.1 * B / onp.sqrt(N)
        A = onp.linalg.solve(T, A) @ T
    else:
        A = 0.5 * (A + A.conj().T)
    return A.astype(dtype), (onp.eye(N) + 0.1 * B @ B.conj().T / N).astype(dtype)


class Counted(spla.LinearOperator):
    """SciPy's view of a matrix, counting applications."""

    def __init__(self, matrix):
        super().__init__(matrix.dtype, matrix.shape)
        self.matrix, self.count = matrix, 0

    def _matvec(self, x):
        self.count += 1
        return self.matrix @ x


def ours(matrix):
    """Our operator of a matrix, in plain NumPy, counting applications."""

    def matvec(x):
        op.count += 1
        return matrix @ x

    op = ka.LinearOperator(matrix.shape, matvec, dtype=matrix.dtype)
    op.count = 0
    return op


def identical(actual, expected):
    for a, e in zip(*(r if isinstance(r, tuple) else (r,) for r in (actual, expected)), strict=True):
        assert type(a) is type(e)
        assert a.dtype == e.dtype
        onp.testing.assert_array_equal(a, e)


def cases(solver, dtype):
    """Argument combinations, without A, M and v0."""
    real = onp.dtype(dtype).kind != "c"
    for which in WHICH[solver]:
        if which != "BE" or real:
            yield {"which": which}
    yield {"sigma": 5.2}
    if solver == "eigs":
        for part in ("r", "i") if real else (None,):
            yield {"sigma": 5 + 1j} | ({} if part is None else {"OPpart": part})
    elif real:
        yield {"sigma": 5.2, "mode": "cayley"}
        yield {"sigma": 5.2, "mode": "buckling"}
    yield {"ncv": 25, "maxiter": 300, "tol": 1e-3, "k": 2}
    # SciPy's complex eigsh ignores rng, ours does not; before 1.17 SciPy has none.
    if "rng" in inspect.signature(spla.eigs).parameters and (solver == "eigs" or real):
        yield {"rng": 7, "v0": None}


def stated(solver, dtype, case, w, X):
    """SciPy's pairs as docs/decisions.md orders them: `eigsh` ascending, `eigs` most wanted first, Im > 0 first.

    A pair of conjugates that k cuts is represented by the member with Im > 0.
    """
    real = onp.dtype(dtype).kind != "c"
    if solver == "eigsh":
        order = onp.arange(w.size) if real else onp.argsort(w)
        return w[order], X[:, order]
    sigma = case.get("sigma")
    if real:
        for i in onp.flatnonzero(w.imag < 0):
            if not onp.any(w == w[i].conj()):
                w[i], X[:, i] = w[i].conj(), X[:, i].conj()
    place = w.real + 1j * abs(w.imag) if real else w
    theta = place if sigma is None else 1 / (place - sigma)
    if sigma is not None and onp.iscomplexobj(sigma) and real:
        other = 1 / (place - onp.conj(sigma))
        theta = (theta + other) / 2 if case.get("OPpart") != "i" else (theta - other) / 2j
    key = {"LM": abs, "LR": onp.real, "SR": lambda t: -t.real, "LI": lambda t: abs(t.imag) if real else t.imag}
    order = onp.lexsort((-w.imag, -key[case.get("which", "LM")](theta)))
    return w[order], X[:, order]


@pytest.fixture
def no_primitives(monkeypatch):
    """autograd looks for Boxes in the arguments of every primitive."""

    def fail(*args):
        raise AssertionError("a primitive was reached")

    monkeypatch.setattr(autograd.tracer, "find_top_boxed_args", fail)


@pytest.mark.parametrize("form", [onp.asarray, sp.csr_array, spla.aslinearoperator])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_untraced_calls_are_scipys(solver, dtype, form, no_primitives):
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, dtype)
    compared = 0
    for case in cases(solver, dtype):
        matrix = (A @ A.conj().T if case.get("mode") == "buckling" else A).astype(dtype)
        for mass in (None, M):
            if form is spla.aslinearoperator and (mass is not None or "sigma" in case):
                continue  # SciPy would invert iteratively
            for vectors in (True, False):
                arguments = {"k": 3, "v0": START.astype(dtype)} | case
                arguments["M"] = None if mass is None else form(mass)
                actual = mine(form(matrix), return_eigenvectors=vectors, **arguments)
                if vectors or (solver == "eigsh" and onp.dtype(dtype).kind != "c"):
                    expected = scipys(form(matrix), return_eigenvectors=vectors, **arguments)
                    identical(actual, stated(solver, dtype, case, *expected) if vectors else expected)
                else:  # those of the call with vectors
                    identical(actual, mine(form(matrix), **arguments)[0])
                compared += 1
    assert compared >= 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_arpack_on_our_operators_is_scipys(solver, dtype, monkeypatch):
    """As of SciPy's operator, of the matrix where there is one; our primitives are not reached."""

    def fail(*args):
        raise AssertionError("a primitive was reached")

    monkeypatch.setattr(binding, "eigenpair_primitive", fail)
    monkeypatch.setattr(equations, "solution_primitive", fail)
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, dtype)
    values_alone = solver == "eigsh" and onp.dtype(dtype).kind != "c"

    def same(operand, plain, vectors=True, M=None, plain_M=None, OPinv=None, plain_OPinv=None, **arguments):
        arguments |= {"k": 3, "v0": START.astype(dtype), "return_eigenvectors": vectors}
        actual = mine(operand, M=M, OPinv=OPinv, solver="arpack", **arguments)
        expected = scipys(plain, M=plain_M, OPinv=plain_OPinv, **arguments)
        identical(actual, stated(solver, dtype, arguments, *expected) if vectors else expected)

    for vectors in (True, False) if values_alone else (True,):
        same(ours(A), Counted(A), vectors)
        same(ka.aslinearoperator(Counted(A)), Counted(A), vectors)
        inverse = Counted(onp.linalg.inv(M))
        same(A, A, vectors, M=ours(M), plain_M=Counted(M), Minv=inverse)
        shifted = onp.linalg.inv(A - dtype_of(A, 0.3) * onp.eye(N, dtype=dtype))
        same(ours(A), Counted(A), vectors, OPinv=ours(shifted), plain_OPinv=Counted(shifted), sigma=0.3)
        for form in (onp.asarray, sp.csr_array):
            same(ka.aslinearoperator(form(A)), form(A), vectors, sigma=0.3)
        twice = ka.aslinearoperator(sp.csr_array(A)) + ka.aslinearoperator(sp.csr_array(A))
        same(twice, sp.csr_array(A + A), vectors, sigma=0.3)


def dtype_of(A, value):
    return A.dtype.type(value)


@pytest.mark.parametrize("solver", SOLVERS)
def test_untraced_calls_cost_what_scipys_cost(solver):
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, "float64")
    for vectors in (True, False):
        for make in (Counted, ours):
            counts = []
            for function, kind in ((scipys, Counted), (mine, make)):
                a, m, minv = kind(A), kind(M), kind(onp.linalg.inv(M))
                whom = {} if function is scipys else {"solver": "arpack"}
                function(a, k=3, v0=START, return_eigenvectors=vectors, **whom)
                alone = a.count
                function(a, k=3, M=m, Minv=minv, v0=START, return_eigenvectors=vectors, **whom)
                counts.append((alone, a.count - alone, m.count, minv.count))
            # One application tells whether an operator of ours is traced; with an M, two of each tell
            # whether SciPy's vectors are eigenvectors.
            traced, checked = int(make is not Counted), 3 if mine is ka.eigs else 2 * int(vectors)
            for theirs, our, allowed in zip(*counts, (0, checked, 2 + checked, 0), strict=True):
                assert theirs <= our <= theirs + allowed + traced


@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_traced_values_are_those_of_untraced_calls(solver, dtype, k):
    """With vectors and without, order and normalisation too. Of real matrices, k = 3 or 4 cuts a complex pair."""
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, dtype)
    eye = onp.eye(N, dtype=dtype)
    real = onp.dtype(dtype).kind != "c"
    compared = 0
    # One-sided of sigma the third value lies in the bulk: in single precision SciPy's own result then
    # differs from call to call (ARPACK's restarts are random), so these are for double precision.
    extra = [{"sigma": 5.2, "which": which} for which in WHICH[solver][1:] if which != "BE" or real]
    extra = extra if dtype in ("float64", "complex128") else []
    for case in [*cases(solver, dtype), *extra]:
        matrix = (A @ A.conj().T if case.get("mode") == "buckling" else A).astype(dtype)
        rtol = 100 * case["tol"] if "tol" in case else 1e-3 if onp.finfo(dtype).eps > 1e-10 else 1e-9
        for mass in (None, M):
            for vectors in (True, False):
                arguments = {"v0": START.astype(dtype), "M": mass} | case | {"k": k}
                if solver == "eigsh" and real and not vectors:
                    expected = (scipys(matrix, return_eigenvectors=False, **arguments), None)
                else:
                    expected = stated(solver, dtype, case, *scipys(matrix, **arguments))
                results = []

                def f(p, matrix=matrix, arguments=arguments, vectors=vectors, results=results):
                    ignore = ka.Adjoint(on_gauge="ignore")  # of close eigenvalues in single precision
                    found = mine(matrix + p * eye, return_eigenvectors=vectors, adjoint=ignore, **arguments)
                    results.extend(getval(x) for x in (found if vectors else (found,)))
                    return np.real(found[0][0] if vectors else found[0])

                grad(f)(eye.real[0, 1])
                values = expected[0]
                assert results[0].dtype == values.dtype
                onp.testing.assert_allclose(results[0], values, rtol=0, atol=rtol * onp.abs(values).max())
                compared += 1
                if vectors:
                    assert results[1].dtype == expected[1].dtype
                    norms = onp.linalg.norm(expected[1], axis=0)
                    onp.testing.assert_allclose(onp.linalg.norm(results[1], axis=0), norms, rtol=rtol)
                    overlaps = onp.abs(onp.sum(expected[1].conj() * results[1], axis=0))
                    onp.testing.assert_allclose(overlaps, norms**2, rtol=10 * rtol)
    assert compared >= 20


@pytest.mark.parametrize("tracing", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_random_numbers(solver, dtype, tracing):
    """The same rng gives the same bits, another one others; the global state is left alone."""
    A = matrices(solver, dtype)[0]

    def vectors(rng):
        found = []

        def f(p):
            w, X = SOLVERS[solver][0](A + p * onp.eye(N) if tracing else A, k=3, rng=rng)
            found.append(onp.asarray(getval(X)))
            return np.real(w[0]) + np.sum(np.abs(X[:, 0]) ** 4)

        derivative = grad(f)(0.0) if tracing else f(0.0)
        return found[0], derivative

    before = onp.random.get_state()[1:3]  # noqa: NPY002
    for first, second in ((7, 7), (onp.random.default_rng(7), onp.random.default_rng(7)), (None, None)):
        (X, dX), (Y, dY) = vectors(first), vectors(second)
        assert onp.array_equal(X, Y) == (first is not None)
        assert dX == dY or first is None
    onp.testing.assert_array_equal(vectors(onp.random.default_rng(7))[0], vectors(7)[0])
    assert not onp.array_equal(vectors(7)[0], vectors(8)[0])
    after = onp.random.get_state()[1:3]  # noqa: NPY002
    onp.testing.assert_array_equal(after[0], before[0])
    assert after[1] == before[1]
