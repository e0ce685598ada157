"""``solver="auto"`` on operators of ours: one function, traced or not. ``solver="arpack"``: SciPy's ARPACK."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_jvp
from autograd.tracer import getval

import krylov_adj as ka


def toric_code(rows, columns):
    """H = −t Σ plaquettes − Σ stars on the edges of a torus: permutations, and the sum of the signs.

    Its ground state, −t·(plaquettes) − (stars), is fourfold: no local operator tells the four apart.
    """

    def edge(x, y, direction):
        return 1 << (2 * ((x % rows) * columns + y % columns) + direction)

    places = [(x, y) for x in range(rows) for y in range(columns)]
    stars = [edge(x, y, 0) | edge(x, y, 1) | edge(x - 1, y, 0) | edge(x, y - 1, 1) for x, y in places]
    plaquettes = [edge(x, y, 0) | edge(x, y, 1) | edge(x, y + 1, 0) | edge(x + 1, y, 1) for x, y in places]
    states = onp.arange(1 << (2 * rows * columns))
    parity = sum(onp.array([(-1.0) ** bin(s & p).count("1") for s in states]) for p in plaquettes)
    return [states ^ star for star in stars], parity


PERMUTATIONS, SIGNS = toric_code(2, 3)


def hamiltonian(t):
    def apply(v):
        return -t * SIGNS * v - sum(v[p] for p in PERMUTATIONS)

    return ka.LinearOperator((SIGNS.size,) * 2, apply, dtype=float)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_all_ground_states_of_a_toric_code(seed):
    """12 spins. ARPACK may miss a copy; a plain call of our operator does not, as a traced one does not."""
    arguments = {"k": 4, "which": "SA"}
    if seed is not None:
        arguments["v0"] = onp.random.default_rng(seed).standard_normal(SIGNS.size)
    w, X = ka.eigsh(hamiltonian(1.0), **arguments)
    onp.testing.assert_allclose(w, -12, rtol=1e-12)
    found = []

    def f(t):
        w, X = ka.eigsh(hamiltonian(t), **arguments)
        found.append((getval(w), getval(X)))
        return np.sum(w)

    assert grad(f)(1.0) == pytest.approx(-24, rel=1e-12)  # every plaquette, four times
    onp.testing.assert_array_equal(found[0][0], w)
    onp.testing.assert_array_equal(found[0][1], X)


def test_arpack_on_a_toric_code_is_scipys():
    """Whatever it misses, in both."""
    v0 = onp.random.default_rng(0).standard_normal(SIGNS.size)
    plain = spla.LinearOperator((SIGNS.size,) * 2, hamiltonian(1.0).matvec, dtype=float)
    expected = spla.eigsh(plain, k=4, which="SA", v0=v0)[0]
    onp.testing.assert_array_equal(ka.eigsh(hamiltonian(1.0), k=4, which="SA", v0=v0, solver="arpack")[0], expected)
    found, reports = [], []

    def f(t):
        options = ka.Adjoint(callback=reports.append, on_gauge="ignore")
        found.append(ka.eigsh(hamiltonian(t), k=4, which="SA", v0=v0, solver="arpack", adjoint=options)[0])
        return np.sum(found[-1])

    grad(f)(1.0)
    onp.testing.assert_allclose(getval(found[0]), expected, rtol=1e-12)
    assert reports[0].method == "ARPACK"


N = 230
RNG = onp.random.default_rng(1)
G, G2 = RNG.standard_normal((2, N, N)) / N**0.5
EYE = onp.eye(N)
LEVELS = onp.arange(1.0, N + 1)
CASES = {
    "symmetric": (ka.eigsh, onp.diag(LEVELS) + G + G.T),
    "hermitian": (ka.eigsh, onp.diag(LEVELS) + G + G.T + 1j * (G2 - G2.T)),
    "real": (ka.eigs, onp.diag(LEVELS) + G + 3 * onp.diag(onp.r_[onp.ones(60), onp.zeros(N - 61)], 1)),
    "complex": (ka.eigs, onp.diag(LEVELS) + G + 1j * G2),
}
MASS = EYE + 0.2 * (G @ G.T)
ARGUMENTS = {
    "largest": {},
    "lowest": {"which": "SA"},
    "sigma": {"sigma": 7.3},
    "complex sigma": {"sigma": 7.3 + 1j},
    "mass, sigma": {"M": MASS, "sigma": 7.3},
    "mass": {"M": MASS, "which": "LA"},
    "a tolerance": {"tol": 1e-6, "sigma": 7.3},
}
FORMS = {
    "dense": ka.aslinearoperator,
    "sparse": lambda A: ka.csr_array((A.ravel(), onp.tile(onp.arange(N), N), onp.arange(0, N * N + 1, N)), (N, N)),
    "a function": lambda A: ka.LinearOperator(A.shape, lambda v: np.dot(A, v), dtype=A.dtype),
    "a sum": lambda A: ka.aslinearoperator(A) + 0 * ka.aslinearoperator(sp.csr_array(EYE)),
}


def cases():
    for kind, (solver, _) in CASES.items():
        for name, arguments in ARGUMENTS.items():
            for form in FORMS:
                hermitian = solver is ka.eigsh
                if form == "a function" and "sigma" in arguments:
                    continue  # SciPy would invert iteratively
                if form in ("sparse", "a sum") and name in ("mass", "largest"):
                    continue
                if name == "complex sigma" and (kind == "symmetric" or hermitian):
                    continue
                yield kind, name, form


@pytest.mark.parametrize(("kind", "name", "form"), list(cases()))
def test_values_do_not_depend_on_tracing(kind, name, form):
    """To the bit: with vectors and without, and with forward mode."""
    solver, A = CASES[kind]
    arguments = dict(ARGUMENTS[name])
    if solver is ka.eigs and arguments.get("which"):
        arguments["which"] = arguments["which"][0] + "R"
    if "M" in arguments and A.dtype.kind == "c":
        arguments["M"] = MASS + 0.1j * (G2 - G2.T) @ (G2 - G2.T) @ (G2 - G2.T) / N
        arguments["M"] = 0.5 * (arguments["M"] + arguments["M"].conj().T)

    def call(t, vectors):
        operator = FORMS[form](A) * (1.0 if t is None else t)
        return solver(operator, k=4, v0=onp.ones(N), return_eigenvectors=vectors, **arguments)

    plain = call(None, True)
    alone = call(None, False)
    found = []

    def f(t, vectors):
        result = call(t, vectors)
        found.append(tuple(getval(x) for x in (result if vectors else (result,))))
        return np.real(result[0][0] if vectors else result[0])

    grad(f)(1.0, True)
    grad(f)(1.0, False)
    make_jvp(lambda t: f(t, True))(1.0)(1.0)
    for got, expected in zip(found, (plain, (alone,), plain), strict=True):
        for a, e in zip(got, expected, strict=True):
            onp.testing.assert_array_equal(a, e)
    if kind != "symmetric":
        onp.testing.assert_array_equal(alone, plain[0])
    M = arguments.get("M")
    right = la.eigvalsh(A, M) if solver is ka.eigsh else la.eigvals(A, M)
    assert onp.max(abs(right[:, None] - plain[0]).min(axis=0)) < 1e-7 * abs(plain[0]).max()


def test_an_optimisation_sees_one_function():
    """A line search calls f alone, and its gradient elsewhere; f is even where eigenvalues are multiple."""
    v0 = onp.random.default_rng(0).standard_normal(SIGNS.size)

    def f(t):
        return np.sum(ka.eigsh(hamiltonian(t), k=4, which="SA", v0=v0)[0])

    for t in (0.7, 1.0, 1.3):
        values = []
        grad(lambda t, values=values: values.append(f(t)) or values[-1])(t)
        assert f(t) == getval(values[0])
        assert f(t) == pytest.approx(-24 * t - 24)


@pytest.mark.parametrize("kind", CASES)
def test_arpack_in_both(kind):
    """Reports name ARPACK; plain arrays are SciPy's whatever ``solver`` says."""
    solver, A = CASES[kind]
    for arguments in ({}, {"sigma": 7.3}):
        reports = []

        def f(t, whom, arguments=arguments, reports=reports):
            options = ka.Adjoint(callback=reports.append)
            return np.real(solver(A * t, k=3, v0=onp.ones(N), adjoint=options, solver=whom, **arguments)[0][0])

        grad(f)(1.0, "auto")
        grad(f)(1.0, "arpack")
        methods = [report.method for report in reports if report.stage == "forward"]
        assert methods == [methods[0], "ARPACK"]
        assert (methods[0] != "ARPACK") == (solver is ka.eigsh)
        reports.clear()
        plain = [solver(A, k=3, v0=onp.ones(N), solver=whom, **arguments) for whom in ("auto", "arpack")]
        for a, b in zip(*plain, strict=True):
            onp.testing.assert_array_equal(a, b)
        assert not reports


def test_a_warm_start_is_the_same_traced_or_not():
    """Arnoldi's, which a second call of `eigs` with sigma runs; ARPACK's with ``solver="arpack"``."""
    A = CASES["complex"][1]
    methods = []

    def call(t, warm, **more):
        options = ka.Adjoint(callback=lambda report: methods.append(report.method))
        return ka.eigs(
            ka.aslinearoperator(A) * t, k=3, sigma=7.3, v0=onp.ones(N), continuation=warm, adjoint=options, **more
        )

    found = []
    for traced in (False, True):
        warm = ka.Continuation()
        for t in (1.0, 1.001):
            if traced:
                grad(lambda t, warm=warm: found.append(call(t, warm)[0]) or np.real(found[-1][0]))(t)
            else:
                found.append(call(t, warm)[0])
    for a, b in ((0, 2), (1, 3)):
        onp.testing.assert_array_equal(getval(found[a]), getval(found[b]))
    assert methods[:2] == ["ARPACK", "Arnoldi"]
    warm = ka.Continuation()  # and for values alone
    for w, t in zip(found[:2], (1.0, 1.001), strict=True):
        onp.testing.assert_array_equal(call(t, warm, return_eigenvectors=False), w)
    methods.clear()
    warm = ka.Continuation()
    for t in (1.0, 1.001):
        grad(lambda t, warm=warm: np.real(call(t, warm, solver="arpack")[0][0]))(t)
    assert "Arnoldi" not in methods


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_what_the_check_of_an_untraced_call_costs(kind):
    """Of an operator of ours, where both run ARPACK: docs/performance.md."""
    solver, A = CASES[kind]
    k, counts = 5, []
    for whom in ("auto", "arpack"):

        def apply(v, counts=counts):
            counts[-1] += 1
            return A @ v

        counts.append(0)
        solver(ka.LinearOperator(A.shape, apply, dtype=A.dtype), k=k, v0=onp.ones(N), solver=whom)
    assert 0 < counts[0] - counts[1] <= (2 * k if kind == "real" else k) + 3


@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
@pytest.mark.parametrize("value", ["ARPACK", "lanczos", None, "lobpcg", 1])
def test_an_unknown_solver(solver, value):
    for A in (onp.eye(8), ka.aslinearoperator(onp.eye(8))):
        with pytest.raises(ValueError, match=r"solver=.*: expected one of \('auto', 'arpack'\)"):
            solver(A, k=2, solver=value)
    with pytest.raises(TypeError):  # after all of SciPy's, by keyword only
        solver(onp.eye(8), 2, None, None, "LM", None, None, None, 0, True, None, None, None, None, "auto")
