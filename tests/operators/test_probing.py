"""The matrix of operators given by functions and the places of their entries: exact, with few products, checked."""

import functools

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka

close = functools.partial(onp.testing.assert_allclose, rtol=1e-9, atol=1e-11)


def closure(S, calls=None, **places):
    """A function of v alone, without matmat."""
    constant = ka.aslinearoperator(S)

    def matvec(v):
        if calls is not None:
            calls.append(v)
        return constant @ v

    return ka.LinearOperator(S.shape, matvec, dtype=S.dtype, **places)


def five_points(m, periodic=False):
    line = sp.diags_array([-onp.ones(m - 1), 2 * onp.ones(m), -onp.ones(m - 1)], offsets=[-1, 0, 1])
    if periodic:
        line = line + sp.diags_array([-onp.ones(1)] * 2, offsets=[m - 1, 1 - m])
    return sp.csr_array(sp.kronsum(line, line))


def random(seed, *shape):
    rng = onp.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def banded(n, dtype=complex):
    S = sp.csr_array(sp.diags_array([random(k, n - abs(o)) for k, o in enumerate((-2, 0, 1))], offsets=[-2, 0, 1]))
    return S if dtype is complex else sp.csr_array(S.real.astype(dtype))


@pytest.mark.parametrize(
    ("S", "places", "products"),
    [
        (five_points(20), {"sparsity": five_points(20)}, 7),
        (five_points(20), {"grid": (20, 20), "reach": (1, 1)}, 9),
        (five_points(21, periodic=True), {"grid": (21, 21), "reach": (1, 1)}, 9 + 1 + 9),
        (banded(50), {"sparsity": banded(50).toarray() != 0}, 4),
        (banded(50), {"grid": 50, "reach": 2}, 5),
        (sp.csr_array(random(1, 30, 20) * (onp.arange(20) % 7 == onp.arange(30)[:, None] % 7)), None, 3),
    ],
)
def test_the_matrix_is_exact_and_takes_few_products(S, places, products):
    calls = []
    operator = closure(S, calls, **(places or {"sparsity": S}))
    assert operator.has_matrix()
    calls.clear()
    close(operator.explicit().toarray(), S.toarray(), rtol=1e-13)
    assert len(calls) <= products + 2  # one that is compared, one that tells what is traced


@pytest.mark.parametrize("dtype", [onp.float32, float, onp.complex64, complex])
def test_types_and_blocks(dtype):
    S = sp.csr_array(banded(30).astype(dtype) if onp.dtype(dtype).kind == "c" else banded(30, dtype))
    M = S.toarray()
    for functions in (
        {"matvec": lambda v: np.dot(M, v)},
        {"matvec": lambda v: np.dot(M, v), "matmat": lambda V: np.dot(M, V)},
    ):
        operator = ka.LinearOperator(S.shape, dtype=dtype, sparsity=S, **functions)
        assert operator.explicit().dtype == dtype
        onp.testing.assert_array_equal(operator.explicit().toarray(), M)
        for algebra in (operator.H, operator * 2.0, operator + S, operator.prepared(), operator.plain()):
            assert algebra.has_matrix()
        onp.testing.assert_array_equal(operator.H.explicit().toarray(), M.conj().T)
        ka.check_operator(operator)


def schroedinger(m):
    """−Δ + V on a grid, by functions, V traced."""
    L = ka.aslinearoperator(five_points(m))

    def operator(V, **places):
        return ka.LinearOperator((m * m, m * m), lambda v: L @ v + V * v, dtype=float, **places)

    return operator, 4 + onp.random.default_rng(1).uniform(size=m * m)


def test_interior_eigenvalues_of_a_closure():
    m = 20
    operator, V = schroedinger(m)
    calls = []

    def f(V, **places):
        w, X = ka.eigsh(
            operator(V, **places), k=3, sigma=8.1, v0=onp.ones(m * m), adjoint=ka.Adjoint(callback=calls.append)
        )
        return np.sum(w**2) + np.sum(X[:, 0] ** 4)

    def reference(V):
        w, X = ka.eigsh(ka.diags_array(V) + five_points(m), k=3, sigma=8.1, v0=onp.ones(m * m))
        return np.sum(w**2) + np.sum(X[:, 0] ** 4)

    g = grad(lambda V: f(V, grid=(m, m), reach=(1, 1)))(V)
    close(g, grad(reference)(V), rtol=1e-7, atol=1e-10)
    assert {report.method for report in calls if report.stage == "adjoint"} == {"shared"}
    with pytest.raises(ValueError, match=r"sparsity=S .*grid=\(nx, ny\) with reach=\(1, 1\) for a stencil.*OPinv="):
        f(V)


def test_direct_solves_and_non_hermitian_eigenvalues_of_traced_closures():
    S, D = banded(60) + 8 * sp.eye_array(60), banded(60, float)
    constant, changed = ka.aslinearoperator(sp.csr_array(S)), ka.aslinearoperator(D)
    pattern = abs(sp.csr_array(S)) + abs(D)

    def made(p, **places):
        return ka.LinearOperator((60, 60), lambda v: constant @ v + p * (changed @ v), dtype=complex, **places)

    def solved(p, operator):
        return np.sum(np.abs(ka.solve(operator(p), onp.ones(60))) ** 2)

    def eigenvalue(p, operator):
        return np.real(ka.eigs(operator(p), k=2, sigma=7.0 + 1j, v0=onp.ones(60) + 0j)[0][0] ** 2)

    def direct(p):
        return made(p, sparsity=pattern)

    def explicit(p):
        return constant + changed * p

    for f in (solved, eigenvalue):
        first = [grad(functools.partial(f, operator=form))(0.3) for form in (direct, explicit)]
        close(*first, rtol=1e-8)
        second = [grad(grad(functools.partial(f, operator=form)))(0.3) for form in (direct, explicit)]
        close(*second, rtol=1e-7)
    ka.solve(made(0.3, sparsity=pattern), onp.ones(60), solver="direct")
    with pytest.raises(ValueError, match=r"or sparsity=, the places of its entries"):
        ka.solve(made(0.3), onp.ones(60), solver="direct")


def test_a_preconditioner_from_the_matrix():
    operator, V = schroedinger(40)
    A = operator(V, grid=(40, 40), reach=(1, 1))
    incomplete = spla.spilu(sp.csc_array(A.explicit()), drop_tol=1e-3)
    x = ka.solve(A, onp.ones(1600), solver="gmres", preconditioner=lambda B: incomplete.solve(B))
    close(A @ x, onp.ones(1600), rtol=1e-8)


def test_a_pattern_that_is_too_small_is_noticed():
    S = five_points(20)
    without = sp.csr_array(sp.triu(S))
    with pytest.raises(ValueError, match=r"entries where its pattern has none.*entries are missing in sparsity"):
        closure(S, sparsity=without).explicit()
    S = S + sp.coo_array(([1e-9], ([3], [250])), shape=S.shape)
    with pytest.raises(ValueError, match=r"reach=\(1, 1\) is too short for the stencil on grid=\(20, 20\)"):
        closure(S, grid=(20, 20), reach=(1, 1)).explicit()
    with pytest.raises(ValueError, match="entries where its pattern has none"):
        ka.eigsh(closure(S, sparsity=five_points(20)), k=1, sigma=0.0)
    with pytest.raises(ValueError, match="NaN or infinity where its matrix was probed"):
        ka.LinearOperator((3, 3), lambda v: v * onp.nan, dtype=float, sparsity=onp.eye(3)).explicit()


BAD = {
    "another shape": (ValueError, r"sparsity has shape \(3, 3\), the operator \(4, 4\)", {"sparsity": onp.eye(3)}),
    "no matrix": (TypeError, "not list; for a stencil on a grid pass grid=", {"sparsity": [[1]]}),
    "both": (TypeError, "not both", {"sparsity": onp.eye(4), "grid": 4, "reach": 1}),
    "no reach": (TypeError, "grid= and reach= go together", {"grid": (2, 2)}),
    "no grid": (TypeError, "grid= and reach= go together", {"reach": (1, 1)}),
    "another grid": (
        ValueError,
        r"grid=\(3, 2\) has 6 points, the operator shape \(4, 4\)",
        {"grid": (3, 2), "reach": (1, 1)},
    ),
    "axes": (ValueError, r"grid=\(2, 2\) has 2 axes, reach 1", {"grid": (2, 2), "reach": 1}),
    "floats": (TypeError, "must be integers", {"grid": (2, 2), "reach": (1.0, 1)}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_places(name):
    error, text, places = BAD[name]
    with pytest.raises(error, match=text):
        ka.LinearOperator((4, 4), lambda v: v, dtype=float, **places)
