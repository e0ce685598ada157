"""Long vectors are summed over in `krylov/space.py` only, and in rows over several processes as in one."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg as la

import krylov_adj as ka
from krylov_adj.krylov import small
from krylov_adj.krylov.arnoldi import arnoldi
from krylov_adj.krylov.augmented import filtered_form, spectral_ends
from krylov_adj.krylov.complement import look_outside
from krylov_adj.krylov.gmres import gmres
from krylov_adj.krylov.lanczos import Lanczos, wanted_pairs
from krylov_adj.krylov.minres import minres
from krylov_adj.krylov.nearest import nearest
from krylov_adj.krylov.ordering import LargestInModulus
from krylov_adj.krylov.shared import shared_krylov
from krylov_adj.krylov.space import WHOLE, Processes, Rows, Space
from krylov_adj.perturbation.block import solve_block
from krylov_adj.perturbation.problem import Eigenproblem, ValueOperator
from krylov_adj.perturbation.systems import BorderedSystems

PACKAGE = Path(ka.__file__).parent
N = 240

# ---- the files -------------------------------------------------------------------------------

SUMS = [
    r"np\.(vdot|inner|einsum|tensordot)\b",
    r"np\.linalg\.[a-z]\w*",
    r"\bla\.(qr|svd|lstsq|solve|inv|pinv|eig\w*|schur|svdvals|norm)\b",
    r"\.conj\(\)\.T @",
    r"default_rng|RandomState|np\.random",
    r"get_blas_funcs\(\W*\"(dot|nrm2)",
]
#: What stands elsewhere, and why.
ALLOWED = {
    ("krylov/shared.py", ".conj().T @"): "coefficients of a restart, m × m",
    ("perturbation/cluster_model.py", ".conj().T @"): "a basis of a cluster's matrix, m × m",
    ("perturbation/maps.py", "np.einsum"): "of one process's rows, and then summed by the space",
    ("perturbation/rest.py", "*"): "LAPACK on whole matrices, of one process only",
    ("krylov/small.py", "*"): "the home of LAPACK on small matrices",
    ("krylov/space.py", "*"): "the place",
}


def sums_in(source):
    code = re.sub(r"\"\"\".*?\"\"\"", "", source, flags=re.DOTALL)
    code = re.sub(r"#.*", "", code)
    return [match.group(0) for pattern in SUMS for match in re.finditer(pattern, code)]


def test_sums_over_rows_stand_in_one_place():
    found = set()
    for folder in ("krylov", "perturbation"):
        for path in sorted((PACKAGE / folder).glob("*.py")):
            name = f"{folder}/{path.name}"
            if (name, "*") not in ALLOWED:
                found |= {(name, what) for what in sums_in(path.read_text("utf-8"))}
    assert found == {key for key in ALLOWED if key[1] != "*"}


@pytest.mark.parametrize(
    "line",
    [
        "np.vdot(v, w)",
        "np.linalg.norm(V, axis=0)",
        "np.linalg.qr(V)",
        'la.qr(V, mode="economic")',
        "X.conj().T @ Y",
        "rng = np.random.default_rng(3)",
    ],
)
def test_a_sum_elsewhere_is_seen(line):
    assert sums_in(f"def f():\n    return {line}")
    assert not sums_in(f"def f():\n    # {line}\n    return 1")


# ---- arrays that refuse sums -----------------------------------------------------------------


class Long(np.ndarray):
    """A block of long vectors, which refuses whatever sums over its rows: a space strips it first."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **arguments):
        if method == "reduce" and N in np.shape(inputs[0]):
            raise AssertionError(f"{ufunc.__name__}.{method} over long vectors")
        if ufunc is np.matmul and np.shape(inputs[0])[-1] == N and np.shape(inputs[0]) != (N, N):
            raise AssertionError("a product that sums over rows")
        plain = [np.asarray(x) if isinstance(x, Long) else x for x in inputs]
        given = {} if out is None else {"out": tuple(np.asarray(x) if isinstance(x, Long) else x for x in out)}
        result = getattr(ufunc, method)(*plain, **given, **arguments)
        if out is not None:
            return out[0]
        return result.view(Long) if isinstance(result, np.ndarray) and N in result.shape else result

    def __array_function__(self, function, types, arguments, keywords):
        name = f"{function.__module__}.{function.__name__}"
        if "linalg" in name or function.__name__ in {
            "vdot",
            "dot",
            "sum",
            "max",
            "min",
            "any",
            "all",
            "einsum",
            "mean",
        }:
            raise AssertionError(f"{name} of long vectors")
        return super().__array_function__(function, types, arguments, keywords)


def plain(value):
    return np.asarray(value) if isinstance(value, Long) else value


def stripping(name):
    def method(self, *arguments, **keywords):
        self.calls.add(name)
        result = getattr(Space, name)(self, *map(plain, arguments), **keywords)
        parts = result if isinstance(result, tuple) else (result,)
        made = tuple(part.view(Long) if isinstance(part, np.ndarray) and N in part.shape else part for part in parts)
        return made if isinstance(result, tuple) else made[0]

    return method


METHODS = [name for name, value in vars(Space).items() if callable(value) and not name.startswith("_")]
Counted = type("Counted", (Space,), {name: stripping(name) for name in METHODS if name != "agree"})


@pytest.mark.parametrize("side", ["adjoint", "tangent"])
@pytest.mark.parametrize("method", ["minres", "gmres", "augmented"])
def test_the_core_sums_through_its_space_only(method, side):
    space = Counted()
    space.calls = set()
    rng = np.random.default_rng(0)
    A = np.diag(np.linspace(1, 20, N)) + 0.01 * rng.standard_normal((N, N))
    A = A + A.T if method != "gmres" else A
    w, X = np.linalg.eigh(A) if method != "gmres" else np.linalg.eig(A)
    order = np.argsort(w.real)[:3]
    w, X = w[order], np.asfortranarray(X[:, order])
    F, G = rng.standard_normal((N, 3)), rng.standard_normal((3, 3))
    solutions = []
    for where, wrap in ((WHOLE, np.asarray), (space, lambda V: V.view(Long))):

        def apply(V, matrix=A, wrap=wrap):
            return wrap(matrix @ np.asarray(V))

        operator = ValueOperator((N, N), float, apply, lambda V, f=apply: f(V, A.T), "A", space=where)
        problem = Eigenproblem(operator, None, method != "gmres", "2", space=where)
        systems = BorderedSystems.of(problem, w, wrap(X), ka.Adjoint(method=method, rtol=1e-10))
        solutions.append(np.asarray(solve_block(systems, side, wrap(F.copy()), G).Z))
    np.testing.assert_allclose(*solutions, rtol=1e-12, atol=1e-14)
    assert len(space.calls) > 8


# ---- rows on several processes -----------------------------------------------------------------


class Team:
    """Processes that are threads, and what they can do together."""

    def __init__(self, size):
        self.size, self.barrier, self.slots = size, threading.Barrier(size, timeout=60), [None] * size

    def exchange(self, rank, value):
        self.slots[rank] = value
        self.barrier.wait()
        values = list(self.slots)
        self.barrier.wait()
        return values

    def processes(self, rank):
        return Processes(
            rank,
            sum=lambda a: sum(self.exchange(rank, np.array(a))),
            maximum=lambda x: max(self.exchange(rank, x)),
            gather=lambda a: self.exchange(rank, np.array(a)),
            share=lambda a: self.exchange(rank, np.array(a))[0],
        )

    def run(self, function, sizes, kind=Rows):
        """function(space, rows) on every process; rows is the slice of them that it has."""
        results, errors = [None] * self.size, []

        def work(rank):
            try:
                space = kind(self.processes(rank), sizes[rank])
                results[rank] = function(space, slice(space.start, space.start + sizes[rank]))
            except Exception as error:
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
        return results


SIZES = [[N], [100, N - 100], [N - 1, 0, 1], [60, 60, 0, N - 120]]


def everywhere(function, sizes, rows_of, kind=Rows):
    """The result on one process and on several, whose rows are put together."""
    expected = function(WHOLE, slice(None))
    parts = Team(len(sizes)).run(function, sizes, kind)
    for i, value in enumerate(expected):
        if rows_of[i]:
            found = np.concatenate([part[i] for part in parts])
        else:
            found = parts[0][i]
            for part in parts:
                np.testing.assert_array_equal(part[i], found)
        # Rounding may cost or save a step.
        np.testing.assert_allclose(found, value, rtol=1e-7, atol=2 if isinstance(value, int) else 1e-9)


def blocks(dtype):
    rng = np.random.default_rng(1)
    V, W = rng.standard_normal((2, N, 4))
    return (V, W) if dtype is float else (V + 1j * W, W - 1j * V[::-1])


def sums_of(dtype):
    """What a space computes of blocks."""
    V, W = blocks(dtype)

    def sums(space, rows):
        v, w = np.asfortranarray(V[rows]), np.asfortranarray(W[rows])
        x, y = np.ascontiguousarray(v[:, 0]), np.ascontiguousarray(w[:, 0])
        border = np.arange(1.0, 4)
        bordered = np.concatenate([v.T, np.tile(border, (4, 1))], axis=1)
        last = np.concatenate([y, border])
        Q, R = space.qr(v)
        U, s, WH = space.svd(v)
        return (
            space.gram(v, w), space.dot(x, y), space.dots(v, w), space.norm(x), space.norms(v), space.safe_norms(v),
            space.row_norms(v.T), space.overlaps(v.T, y), space.bordered_overlaps(bordered, last, 3),
            space.bordered_norm(last, 3), space.lstsq(v, w), space.size(len(v)), space.largest(np.abs(v)),
            space.largest_of_columns(np.abs(v)), space.any(v), space.any_of_columns(v), space.finite(v),
            space.finite_columns(v), space.equal(x, x), space.stacked_overlaps(np.stack([v.T, w.T]), w.T[:2]),
            np.abs(R), s, np.ones(1) * space.total(np.sum(np.abs(v))),
            space.random(len(v), dtype, 5, 2).real, Q @ R, (U * s) @ WH,
        )  # fmt: skip

    return sums


SUMMED = [False] * 23 + [True] * 3


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [float, complex])
def test_sums_in_rows(sizes, dtype):
    everywhere(sums_of(dtype), sizes, SUMMED)


LOCAL = [
    name
    for name in METHODS
    if name in vars(Rows) and name not in {"agree", "any", "any_of_columns", "finite", "finite_columns"}
]


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_sum_is_noticed(name):
    kind = type("Local", (Rows,), {name: getattr(Space, name)})
    with pytest.raises((AssertionError, ValueError)):
        everywhere(sums_of(float), [100, N - 100], SUMMED, kind)


def looks_at(change):
    """Whether a space sees what one process has."""

    def looks(space, rows):
        v, w = np.zeros((N, 2))[rows], np.zeros((N, 2))
        w[-1, 1], w = change, w[rows]
        u = np.zeros(N)
        u[-1] = 1
        return (
            [space.any(v), space.any(u[rows]), space.finite(v), space.finite(w)],
            space.finite_columns(w), space.equal(v[:, 0], u[rows]), space.any_of_columns(u[rows][:, None]),
        )  # fmt: skip

    return looks


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("change", [np.nan, np.inf])
def test_one_process_sees_what_another_has(sizes, change):
    everywhere(looks_at(change), sizes, [False] * 4)


@pytest.mark.parametrize("name", ["any", "any_of_columns", "finite", "finite_columns"])
def test_a_local_look_is_noticed(name):
    kind = type("Local", (Rows,), {name: getattr(Space, name)})
    with pytest.raises(AssertionError):
        everywhere(looks_at(np.nan), [100, N - 100], [False] * 4, kind)


def matrix(hermitian):
    rng = np.random.default_rng(2)
    A = np.diag(np.r_[np.linspace(1, 2, N - 4), 5.0, 6.0, 8.0, 11.0]) + 0.2 * rng.standard_normal((N, N)) / N**0.5
    return A + A.T if hermitian else A


def distributed(space, rows, A):
    """v ↦ A v by rows, of vectors that every process has some rows of."""

    def apply(v):
        if space.whole:
            return A @ v
        whole = np.concatenate(space._all.gather(v))
        return A[rows] @ whole

    return apply


def engine(name, space, rows):
    hermitian = name in ("minres", "augmented", "lanczos", "ends")
    A, rng = matrix(hermitian), np.random.default_rng(3)
    b, start = rng.standard_normal((N, 2)), rng.standard_normal(N)
    apply = distributed(space, rows, A)
    b, start = np.asfortranarray(b[rows]), start[rows]
    if name == "minres":
        return minres(space, lambda V, columns: apply(V), b, np.full(2, 1e-10), 500)[:2]
    if name == "gmres":
        return gmres(space, lambda V, columns: apply(V), b, np.full(2, 1e-10), 500, 60)[:2]
    if name == "ends":
        return (np.array(spectral_ends(space, apply, np.zeros((len(b), 0)), np.dtype(float))),)
    if name == "augmented":
        w, X = np.linalg.eigh(A)
        Q = X[rows, -2:]
        ends = spectral_ends(space, apply, Q, np.dtype(float))
        form = filtered_form(space, apply, N, w[-2:], ends)
        rhs = np.asfortranarray(space.project_out(Q, b))
        return shared_krylov(space, form, Q, w[-2:], rhs, np.full(2, 1e-10), 40, 1000, True)[:2]
    if name == "arnoldi":
        found = arnoldi(space, apply, start, 3, 1e-10, 80)
        return found.X * 1.0, found.theta
    if name == "nearest":
        exact = np.linalg.eigvals(A)
        theta = np.array([exact[np.argmax(exact.real)].real, 100.0])
        return (np.array(sorted(nearest(space, apply, start, np.zeros((len(b), 0)), theta, np.full(2, 1e-8), 60))),)
    if name == "complement":
        arguments = (np.zeros((len(b), 0)), np.array([30.0 + 0j, 20.0]), lambda z: z.real - 20.0, False, 40, 20, 60)
        seen = look_outside(space, apply, start, *arguments)
        return (np.array([seen.settled, seen.likely]),)
    if name == "basis":
        return (np.abs(space.basis(b, False)),)
    random = np.random.default_rng(9)
    lanczos = Lanczos(space, apply, None, start, 40, LargestInModulus(), lambda: random.standard_normal(N)[rows])
    theta, X = wanted_pairs(lanczos, 2, lambda values: 1e-10 * np.abs(values), 2000)
    return np.abs(X.T), theta


ENGINES = {
    "minres": [True, False],
    "gmres": [True, False],
    "augmented": [True, False],
    "arnoldi": [True, False],
    "ends": [False],
    "nearest": [False],
    "complement": [False],
    "lanczos": [True, False],
    "basis": [True],
}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", ENGINES)
def test_engines_in_rows(name, sizes):
    everywhere(lambda space, rows: engine(name, space, rows), sizes, ENGINES[name])


def test_small_results_are_agreed_on():
    """With last bits that differ between processes, all go on with the first one's."""
    A = np.random.default_rng(0).standard_normal((6, 6))

    def results(space, rows):
        mine = A * (1 + np.finfo(float).eps * (0 if space.whole else space._all.rank))
        return (
            *small.eigh(space, mine + mine.T),
            *small.svd(space, mine),
            small.solve(space, mine, A),
            small.inverse(space, mine),
        )

    everywhere(results, [100, N - 100], [False] * 7)
    with pytest.raises(AssertionError):
        everywhere(results, [100, N - 100], [False] * 7, type("Local", (Rows,), {"agree": Space.agree}))


@pytest.mark.parametrize("sizes", SIZES[1:], ids=str)
@pytest.mark.parametrize("side", ["adjoint", "tangent"])
@pytest.mark.parametrize(
    ("method", "mass"),
    [*((method, False) for method in ("minres", "gmres", "augmented", "auto")), ("minres", True), ("gmres", True)],
)
def test_block_bordered_systems_in_rows(method, side, sizes, mass):
    rng = np.random.default_rng(0)
    A = matrix(method != "gmres")
    B = np.diag(np.linspace(1, 2, N)) + (0.01 * np.ones((N, N)) if mass else 0) if mass else np.eye(N)
    w, X = la.eigh(A, B) if method != "gmres" else la.eig(A, B)
    order = np.argsort(-w.real)[:3]
    w, X = w[order], X[:, order]
    if np.isrealobj(A) and method == "gmres":
        w, X = w.real, X.real
    F, G = rng.standard_normal((N, 3)), rng.standard_normal((3, 3))

    def solved(space, rows):
        local = X[rows].shape[0]

        def operator(K, name):
            apply, adjoint = distributed(space, rows, K), distributed(space, rows, K.T)
            return ValueOperator((local, local), float, apply, adjoint, name, space=space)

        B_operator = operator(B, "M") if mass else None
        problem = Eigenproblem(operator(A, "A"), B_operator, method != "gmres", "M" if mass else "2", space=space)
        options = ka.Adjoint(method=method, rtol=1e-10)
        systems = BorderedSystems.of(problem, w, np.asfortranarray(X[rows]), options)
        solution = solve_block(systems, side, np.asfortranarray(F[rows]), G.copy())
        return solution.Z, solution.M

    expected = solved(WHOLE, slice(None))
    parts = Team(len(sizes)).run(solved, sizes)
    Z = np.concatenate([part[0] for part in parts])
    np.testing.assert_allclose(Z, expected[0], rtol=1e-6, atol=1e-8 * np.max(np.abs(expected[0])))
    for part in parts:
        np.testing.assert_array_equal(part[1], parts[0][1])
    np.testing.assert_allclose(parts[0][1], expected[1], rtol=1e-6, atol=1e-8 * np.max(np.abs(expected[1])))
