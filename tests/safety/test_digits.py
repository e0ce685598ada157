"""The estimates of errors in reports: how good they are, what they feel, and that they cost nothing."""

import autograd.numpy as np
import digits
import numpy as onp
import oracle
import problems
import pytest
from autograd import grad, make_jvp, make_vjp
from autograd.builtins import tuple as boxed

import krylov_adj as ka
from krylov_adj.perturbation.couplings import coupling_errors, divide, rotations

#: Seeds from here on were not used to find the constants.
FRESH = 9000


def test_estimates_are_as_good_as_promised():
    """A part of benchmarks/digits.py: every class of tests/support/problems.py, and of fails_safely."""
    found = [*digits.cases(FRESH, count=170, fraction=0.12), *digits.cases(FRESH + 1, count=0, fraction=0.12)]
    clear = [case for case in found if case.clear]
    assert len(clear) > 100
    assert digits.holds(found), digits.table(found)


def test_the_promise_can_be_broken():
    found = [digits.Case("adjoint", 1e-9, 1e-6, 0.0, "") for _ in range(100)]
    assert not digits.holds(found)
    assert digits.holds([digits.Case("adjoint", 2e-6, 1e-6, 0.0, "")] * 100)


# ---- what estimates feel -----------------------------------------------------------------------------


def derivative(name, dtype, side, tol=0.0, n=40, **options):
    """Estimate and true relative error of one derivative of a class of tests/support/problems.py."""
    problem = problems.PROBLEMS[name]
    instance = problem.build(5, n, dtype)
    reports = []
    adjoint = ka.Adjoint(callback=reports.append, on_gauge="ignore", **options)
    A, M, k = instance["A0"], instance["M0"], problem.kwargs["k"]
    arguments = {"v0": problems.start_vector(instance), "tol": tol, "ncv": k + 4, "adjoint": adjoint, **problem.kwargs}

    def pairs(A, M=None):
        return boxed(getattr(ka, problem.solver)(A, M=M, **arguments))

    if side == "adjoint":
        vjp, (w, X) = make_vjp(pairs)(A) if M is None else make_vjp(lambda AM: pairs(*AM))(boxed((A, M)))
        gw, gX = digits.cotangents(onp.random.default_rng(2), "mixed", w, X)
        G = vjp(boxed((gw.conj(), gX.conj())))
        G = (G if M is None else G[0]).conj()
        expected = oracle.cotangent(A, M, w, X, gw, gX, **problem.structure)[0]
        G = oracle.structured(G, A, hermitian=problem.hermitian)
        return reports[-1].error, digits.relative([G], [expected])
    one, dA, dM = A.real.dtype.type(1), instance["dA"][0], None if M is None else instance["dM"][0]
    moved = lambda t: pairs(A + t * dA, None if M is None else M + t * dM)  # noqa: E731
    (w, X), found = make_jvp(moved)(0 * one)(one)
    expected = oracle.tangent(A, M, w, X, dA, dM, **problem.structure)
    unit = onp.max(onp.abs(w))
    return reports[-1].error, digits.relative([found[0] / unit, found[1]], [expected[0] / unit, expected[1]])


CLASSES = ("hermitian", "pencil_hermitian", "nonhermitian", "pencil_nonhermitian")


@pytest.mark.parametrize("side", ["adjoint", "tangent"])
@pytest.mark.parametrize("name", CLASSES)
def test_loose_pairs_are_felt(name, side):
    """Residuals of the pairs, which the systems' own do not show."""
    tight, loose = (derivative(name, "complex128", side, tol=tol) for tol in (0.0, 1e-4))
    assert loose[1] > 1e3 * tight[1]  # there is something to be felt
    assert tight[0] < 1e-11
    assert loose[1] / 30 < loose[0] < 30 * loose[1]


@pytest.mark.parametrize("method", ["gmres", "minres", "augmented"])
@pytest.mark.parametrize("side", ["adjoint", "tangent"])
def test_loose_systems_are_felt(side, method):
    name = "hermitian" if method == "minres" else "nonhermitian"
    estimate, error = derivative(name, "complex128", side, method=method, rtol=1e-3)
    assert error > 1e-7
    assert error / 30 < estimate < 30 * error


@pytest.mark.parametrize("side", ["adjoint", "tangent"])
@pytest.mark.parametrize("name", CLASSES)
def test_single_precision_is_felt(name, side):
    estimate, error = derivative(name, "complex64", side)
    assert error > 1e-7
    assert error / 30 < estimate < 30 * error


def test_a_defect_is_felt():
    """κ²ε, of eigenvalues that meet in one vector: 1/κ is of the size of the gap."""
    Q = onp.linalg.qr(onp.random.default_rng(0).normal(size=(12, 12)))[0]
    E = onp.zeros((12, 12))
    E[1, 0] = 1.0
    for epsilon in (1e-4, 1e-7, 1e-10):
        D = onp.diag(onp.r_[1.0, 1.0, onp.linspace(-3, -1, 10)])
        D[0, 1], D[1, 0] = 1.0, epsilon
        reports = []
        options = ka.Adjoint(callback=reports.append, on_gauge="ignore")

        def f(p, A=Q @ D @ Q.T, options=options):
            w = ka.eigs(A + p * (Q @ E @ Q.T), k=2, which="LR", v0=onp.ones(12), adjoint=options)[0]
            return np.real(np.sum(w * onp.array([1.0, 0.0])))

        grad(f)(0.0)
        expected = 2.2e-16 / (4 * epsilon)  # κ = 1/(2√epsilon)
        assert expected / 30 < reports[-1].error < 100 * expected


# ---- couplings ---------------------------------------------------------------------------------------


def test_couplings_that_were_dropped_count_where_weights_differ():
    gaps = onp.array([[0.0, -1e-13], [1e-13, 0.0]])
    size, level, eps = onp.ones((2, 2)), onp.full((2, 2), 1e-30), 2.2e-16
    couplings = divide(onp.full((2, 2), 1e-15), gaps, size, gaps > 1, eps)
    assert couplings.noise.all()
    equal = coupling_errors(couplings, gaps, size, level, onp.array([2.0, 2.0]), eps)
    assert not equal.any()  # a symmetric function: the numerators were noise, truly
    unequal = coupling_errors(couplings, gaps, size, level, onp.array([2.0, 2.001]), eps)
    onp.testing.assert_allclose(unequal[0, 1], 1e-3, rtol=1e-6)  # no more than the weights differ by
    far = coupling_errors(couplings, gaps, size, level, onp.array([2.0, 3.0]), eps)
    onp.testing.assert_allclose(far[0, 1], 30 * eps / 1e-13)  # nor than the noise rule drops


def test_couplings_have_the_rounding_of_their_numerators():
    gaps, numerators = onp.array([[0.0, -1e-6], [1e-6, 0.0]]), onp.array([[0.0, 0.3], [0.3, 0.0]])
    couplings = divide(numerators, gaps, onp.full((2, 2), 5.0), gaps > 1, 1e-16)
    onp.testing.assert_allclose(couplings.rounding, [[0, 5e-10], [5e-10, 0]])
    onp.testing.assert_allclose(rotations(gaps, onp.full((2, 2), 1e-8)), [[0, 1e-2], [1e-2, 0]])
    onp.testing.assert_allclose(rotations(gaps, onp.full((2, 2), 1.0)), [[0, 1], [1, 0]])


# ---- what they cost, and where they are seen ----------------------------------------------------------


def counted(**options):
    rng, calls = onp.random.default_rng(1), []
    n = 300
    d = onp.r_[-9.0, -8.0, -7.0, onp.linspace(-1, 5, n - 3)]
    D = rng.normal(size=n)

    def f(p):
        def matvec(v):
            calls.append(v.shape)
            return d * v + p * D * v + 0.1 * (np.roll(v, 1) + np.roll(v, -1))

        A = ka.LinearOperator((n, n), matvec, dtype=float)
        w, X = ka.eigsh(A, k=2, which="SA", v0=onp.ones(n), adjoint=ka.Adjoint(**options))
        return np.sum(w) + np.sum(D * X[:, 0] ** 4)

    return f, calls


def test_an_estimate_takes_no_application(monkeypatch):
    """But for the one to a random vector that the norms are from, which is kept."""
    f, calls = counted(on_gauge="ignore")
    vjp, _ = make_vjp(f)(0.1)
    vjp(1.0)
    counts = []
    for estimated in (True, False):
        if not estimated:
            for name in ("adjoint", "left", "tangent"):
                monkeypatch.setattr(f"krylov_adj.perturbation.accuracy.Accuracy.{name}", lambda *args: (0.5, ()))
        del calls[:]
        vjp(1.0)
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_reports_and_checks_show_it(capsys):
    f, _ = counted(callback=print)
    grad(f)(0.1)
    assert "Relative error of the derivative: about " in capsys.readouterr().out
    loose = counted(rtol=1e-3, method="minres")[0]
    check = ka.check_gradient(lambda p: loose(p[0]), onp.array([0.1]), rtol=1e-2)
    assert check.estimate > 1e-8
    assert check.error < 30 * check.estimate
    assert f"of which solves estimate {check.estimate:.0e}" in str(check)
    assert ka.check_gradient(lambda p: np.sum(p**3), onp.ones(2)).estimate == 0
