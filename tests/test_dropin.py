"""Without traced operators our functions are SciPy's, to the bit; with them they give SciPy's values."""

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
from krylov_adj.bindings import autograd as binding
from krylov_adj.bindings import block

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


def cured(solver, case, dtype, vectors):
    """Where SciPy returns zeros for eigenvalues."""
    return not vectors and onp.iscomplexobj(case.get("sigma", 0)) and onp.dtype(dtype).kind != "c"


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
                arguments = {"k": 3, "v0": START.astype(dtype), "return_eigenvectors": vectors} | case
                arguments["M"] = None if mass is None else form(mass)
                actual = mine(form(matrix), **arguments)
                if not cured(solver, case, dtype, vectors):
                    identical(actual, scipys(form(matrix), **arguments))
                    compared += 1
    assert compared >= 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_untraced_calls_of_our_operators_are_scipys(solver, dtype, monkeypatch):
    """As of SciPy's operator, of the matrix where there is one; our primitives are not reached."""

    def fail(*args):
        raise AssertionError("a primitive was reached")

    monkeypatch.setattr(binding, "eigenpair_primitive", fail)
    monkeypatch.setattr(block, "block_primitive", fail)
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, dtype)
    v0 = START.astype(dtype)
    for vectors in (True, False):
        kwargs = {"k": 3, "v0": v0, "return_eigenvectors": vectors}
        identical(mine(ours(A), **kwargs), scipys(Counted(A), **kwargs))
        identical(mine(ka.aslinearoperator(Counted(A)), **kwargs), scipys(Counted(A), **kwargs))
        inverse = Counted(onp.linalg.inv(M))
        identical(mine(A, M=ours(M), Minv=inverse, **kwargs), scipys(A, M=Counted(M), Minv=inverse, **kwargs))
        shifted = onp.linalg.inv(A - dtype_of(A, 0.3) * onp.eye(N, dtype=dtype))
        identical(
            mine(ours(A), sigma=0.3, OPinv=ours(shifted), **kwargs),
            scipys(Counted(A), sigma=0.3, OPinv=Counted(shifted), **kwargs),
        )
        for form in (onp.asarray, sp.csr_array):
            identical(mine(ka.aslinearoperator(form(A)), sigma=0.3, **kwargs), scipys(form(A), sigma=0.3, **kwargs))
        twice = ka.aslinearoperator(sp.csr_array(A)) + ka.aslinearoperator(sp.csr_array(A))
        identical(mine(twice, sigma=0.3, **kwargs), scipys(sp.csr_array(A + A), sigma=0.3, **kwargs))


def dtype_of(A, value):
    return A.dtype.type(value)


@pytest.mark.parametrize("tracing", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_dense_fallback(solver, dtype, tracing):
    """SciPy's warning and its n pairs at its own normalisation."""
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, dtype)
    for k in (N - 1, N, N + 2):
        if solver == "eigsh" and dtype == "float64" and k == N - 1:
            continue
        for mass in (None, M):
            results = []

            def f(p, k=k, mass=mass, results=results):
                w, X = mine(A + p * onp.eye(N) if tracing else A, k=k, M=mass)
                results.append((getval(w), getval(X)))
                return np.real(w[0])

            with pytest.warns(RuntimeWarning, match="k >= N") as theirs:
                expected = scipys(A, k=k, M=mass)
            with pytest.warns(RuntimeWarning, match="k >= N") as caught:
                derivative = grad(f)(0.0) if tracing else f(0.0)
            assert [str(w.message) for w in caught] == [str(w.message) for w in theirs]
            if tracing:  # and made orthonormal to the last bit
                for ours, reference in zip(results[0], expected, strict=True):
                    onp.testing.assert_allclose(ours, reference, rtol=1e-9, atol=1e-12)
            else:
                identical(results[0], expected)
            if tracing:  # dw = x^H x / x^H M x with the left vector: by differences
                h = 1e-5
                shifted = [scipy_nearest(A + s * h * onp.eye(N), mass, expected[0][0]) for s in (1, -1)]
                onp.testing.assert_allclose(derivative, (shifted[0] - shifted[1]).real / (2 * h), rtol=1e-6)


def scipy_nearest(A, M, w):
    values = la.eigvals(A, M)
    return values[onp.argmin(onp.abs(values - w))]


@pytest.mark.parametrize("solver", SOLVERS)
def test_untraced_calls_cost_what_scipys_cost(solver):
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, "float64")
    for vectors in (True, False):
        for make in (Counted, ours):
            counts = []
            for function, kind in ((scipys, Counted), (mine, make)):
                a, m, minv = kind(A), kind(M), kind(onp.linalg.inv(M))
                function(a, k=3, v0=START, return_eigenvectors=vectors)
                alone = a.count
                function(a, k=3, M=m, Minv=minv, v0=START, return_eigenvectors=vectors)
                counts.append((alone, a.count - alone, m.count, minv.count))
            # One application tells whether an operator of ours is traced; with an M, two of each tell
            # whether SciPy's vectors are eigenvectors.
            traced, checked = int(make is not Counted), (2 if mine is ka.eigsh else 3) * int(vectors)
            for theirs, our, allowed in zip(*counts, (0, checked, 2 + checked, 0), strict=True):
                assert theirs <= our <= theirs + allowed + traced


@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_traced_values_are_scipys_in_scipys_order(solver, dtype, k):
    """With vectors and without, normalisation too. Of real matrices, k = 3 or 4 cuts a complex pair."""
    mine, scipys = SOLVERS[solver]
    A, M = matrices(solver, dtype)
    eye = onp.eye(N, dtype=dtype)
    compared = refused = 0
    # One-sided of sigma the third value lies in the bulk: in single precision SciPy's own result then
    # differs from call to call (ARPACK's restarts are random), so these are for double precision.
    extra = [{"sigma": 5.2, "which": which} for which in WHICH[solver][1:] if which != "BE" or dtype[0] == "f"]
    extra = extra if dtype in ("float64", "complex128") else []
    for case in [*cases(solver, dtype), *extra]:
        matrix = (A @ A.conj().T if case.get("mode") == "buckling" else A).astype(dtype)
        rtol = 100 * case["tol"] if "tol" in case else 1e-3 if onp.finfo(dtype).eps > 1e-10 else 1e-9
        for mass in (None, M):
            for vectors in (True, False):
                arguments = {"v0": START.astype(dtype), "return_eigenvectors": vectors, "M": mass} | case | {"k": k}
                expected = scipys(matrix, **arguments)
                results = []

                def f(p, matrix=matrix, arguments=arguments, vectors=vectors, results=results):
                    found = mine(matrix + p * eye, **arguments)
                    results.extend(getval(x) for x in (found if vectors else (found,)))
                    return np.real(found[0][0] if vectors else found[0])

                try:
                    grad(f)(eye.real[0, 1])
                except ValueError as error:
                    message = str(error)
                    refused += 1
                else:
                    message = None
                if message is not None:
                    assert "SciPy selects other eigenvalues when asked for the values only" in message
                    assert not vectors
                    assert solver == "eigs"
                    assert dtype[0] == "f"
                    continue
                if cured(solver, case, dtype, vectors):
                    continue
                values = expected[0] if vectors else expected
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
    assert refused <= compared / 3


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
