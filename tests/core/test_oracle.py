"""The reference itself: exact cases, differences of re-solved problems, SciPy's conventions."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
from oracle import (
    cotangent,
    dense_pairs,
    difference,
    inner_products,
    metric,
    pairing,
    reference_pairs,
    rotate,
    structured,
    tangent,
)
from problems import (
    P_RADIUS,
    PARAMETERS,
    PROBLEMS,
    A_at,
    M_at,
    apply_sparse,
    loss_weights,
    mixed_loss,
    mixed_loss_cotangents,
    parameters,
    scipy_pairs,
    start_vector,
    wanted,
)

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
SIZES = {name: 12 + i % 9 for i, name in enumerate(PROBLEMS)}  # 12 ... 20, odd ones too


def selected(problem, instance, p):
    """Return (A, M, w, X): the pencil at p and its wanted pairs, with phases turned at random."""
    A, M = A_at(instance, p), M_at(instance, p)
    w, V = dense_pairs(A, M, **problem.structure)
    index = wanted(w, instance)
    w, X = w[index], V[:, index]
    turn = np.random.default_rng(7).standard_normal((2, len(index)))
    return A, M, w, X * (np.sign(turn[0]) if np.isrealobj(X) else np.exp(1j * turn[0]))


def at_a_point(problem, seed=0):
    instance = problem.build(seed, SIZES[problem.name])
    p, dp = parameters(instance, seed)
    A, M, w, X = selected(problem, instance, p)
    dA = sum(step * D for step, D in zip(dp, instance["dA"], strict=True))
    dM = sum(step * D for step, D in zip(dp, instance["dM"], strict=True)) if problem.generalized else None
    return instance, p, dp, A, M, w, X, dA, dM


def resolver(problem, instance, w, X, N):
    """Return f(p): eigenpairs of the re-solved problem, matched with (w, X) and rotated onto X."""

    def pairs(p):
        near = reference_pairs(A_at(instance, p), M_at(instance, p), w, X, **problem.structure)
        return near[0], rotate(near[1], X, N)

    return pairs


def relative(error, scale):
    return np.linalg.norm(error) / np.linalg.norm(scale)


# ---------------------------------------------------------------------------------------------
# Pieces


@every_problem
def test_dense_pairs_solve_the_pencil_and_are_normalised(problem):
    instance = problem.build(3, 30)
    A, M = instance["A0"], instance["M0"]
    w, V = dense_pairs(A, M, **problem.structure)
    assert np.abs(A @ V - (V if M is None else M @ V) * w).max() < 1e-11
    np.testing.assert_allclose(inner_products(V, metric(A, M, problem.normalization), V), 1, atol=1e-13)
    assert np.isrealobj(w) == problem.hermitian


def test_dense_pairs_refuses_infinite_eigenvalues_and_a_metric_that_is_not_positive():
    A, M = np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 0.0, -1.0])
    with pytest.raises(ValueError, match="infinite"):
        dense_pairs(A, M, hermitian=True, normalization="A")
    with pytest.raises(ValueError, match="infinite"):
        dense_pairs(A, M, hermitian=False, normalization="2")
    with pytest.raises(ValueError, match="does not normalise"):
        dense_pairs(A, np.diag([1.0, 1.0, -1.0]), hermitian=False, normalization="M")


def test_reference_pairs_matches_by_overlap_and_refuses_what_is_no_pair():
    structure = {"hermitian": True, "normalization": "2"}
    A = np.diag([1.0, 2.0, 3.0, 4.0])
    X = -np.eye(4, dtype=np.float32)[:, [2, 0]]
    w, Xref, index = reference_pairs(A, None, np.float32([3.001, 1]), X, **structure)
    assert index.tolist() == [2, 0]
    assert w.tolist() == [3, 1]
    assert w.dtype == np.float64
    np.testing.assert_array_equal(Xref, X)
    with pytest.raises(ValueError, match="not an eigenpair"):
        reference_pairs(A, None, [3.0], np.ones((4, 1)) / 2, **structure)
    with pytest.raises(ValueError, match="same eigenpair"):
        reference_pairs(A, None, [3.0, 3.0], X[:, [0, 0]], **structure)
    with pytest.raises(ValueError, match="shape"):
        reference_pairs(A, None, [3.0, 1.0], X[:, :1], **structure)


def test_rotate():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 3)) + 1j * rng.standard_normal((6, 3))
    N = np.diag(np.arange(1.0, 7.0))
    turned = X * np.exp(1j * np.array([0.3, 2.0, -3.0]))
    np.testing.assert_allclose(rotate(turned, X), X, rtol=1e-14)
    other = rotate(X + 0.1 * rng.standard_normal((6, 3)), X, N)
    overlap = inner_products(X, N, other)
    assert np.abs(overlap.imag).max() < 1e-14 * overlap.real.min()
    np.testing.assert_array_equal(rotate(X.real * [1, -1, 1], X.real), X.real)
    with pytest.raises(ValueError, match="orthogonal"):
        rotate(np.eye(2), np.eye(2)[::-1])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-4)])
def test_difference_estimates_its_own_error(dtype, tolerance):
    p, dp = np.array([0.3, 1.1], dtype), np.array([0.6, -0.8])

    def f(p):
        assert p.dtype == dtype
        return np.array([np.exp(p[0]) * p[1], np.sin(3 * p[1])])

    value, error = difference(f, p, dp)
    exact = [np.exp(0.3) * (0.6 * 1.1 - 0.8), -2.4 * np.cos(3.3)]
    assert np.abs(value - exact).max() < tolerance
    assert np.abs(value - exact).max() < 50 * error < 50 * tolerance
    assert np.isscalar(difference(lambda p: p @ p, p, dp)[0])


# ---------------------------------------------------------------------------------------------
# Derivatives: exact cases


@every_problem
def test_tangent_along_a_change_of_basis(problem):
    # x -> exp(p G) x leaves every eigenvalue: dX = G X up to norm and phase.
    instance = problem.build(1, 30)
    A, M, w, X = selected(problem, instance, np.zeros(PARAMETERS))
    rng = np.random.default_rng(2)
    G = rng.standard_normal(A.shape) + (0 if problem.is_real else 1j * rng.standard_normal(A.shape))
    N = metric(A, M, problem.normalization)
    if problem.normalization != "2":  # congruence: N moves along
        left = G.conj().T
    elif problem.hermitian:
        G = G - G.conj().T
        left = -G
    elif M is None:
        left = -G
    else:
        left = rng.standard_normal(A.shape)  # any equivalence keeps the pencil's eigenvalues
    dA, dM = -(left @ A + A @ G), None if M is None else -(left @ M + M @ G)
    dw, dX = tangent(A, M, w, X, dA, dM, **problem.structure)
    along = inner_products(X, N, G @ X)
    expected = G @ X - X * (1j * along.imag if problem.normalization != "2" else along)
    scale = np.linalg.norm(G, 2)
    assert np.abs(dw).max() < 1e-12 * scale * np.abs(w).max()
    np.testing.assert_allclose(dX, expected, atol=1e-11 * scale)


@every_problem
def test_tangent_of_scalings(problem):
    instance = problem.build(1, 14)
    A, M, w, X = selected(problem, instance, np.zeros(PARAMETERS))
    if problem.normalization != "A":
        dw, dX = tangent(A, M, w, X, np.eye(14) if M is None else M, None, **problem.structure)
        np.testing.assert_allclose(dw, np.ones(len(w)), rtol=1e-12)
        np.testing.assert_allclose(dX, np.zeros_like(X), atol=1e-12)
    dw, dX = tangent(A, M, w, X, A, None, **problem.structure)
    np.testing.assert_allclose(dw, w, rtol=1e-12)
    np.testing.assert_allclose(dX, -X / 2 if problem.normalization == "A" else 0 * X, atol=1e-11)
    if M is not None:
        dw, dX = tangent(A, M, w, X, None, M, **problem.structure)
        np.testing.assert_allclose(dw, -w, rtol=1e-12)
        np.testing.assert_allclose(dX, -X / 2 if problem.normalization == "M" else 0 * X, atol=1e-11)


# ---------------------------------------------------------------------------------------------
# Derivatives: differences and adjointness


@every_problem
def test_tangent_against_differences(problem):
    instance, p, dp, A, M, w, X, dA, dM = at_a_point(problem)
    N = metric(A, M, problem.normalization)
    pairs = resolver(problem, instance, w, X, N)
    dw, dX = tangent(A, M, w, X, dA, dM, **problem.structure)
    for j, exact in enumerate((dw, dX)):
        value, _ = difference(lambda p, j=j: pairs(p)[j], p, dp)
        assert relative(value - exact, exact) < 1e-7
    assert np.abs(inner_products(X, N, dX).imag).max() < 1e-12 * np.abs(dX).max()
    assert dw.dtype == w.dtype
    assert dX.dtype == X.dtype


@every_problem
def test_cotangent_against_differences_of_a_loss(problem):
    instance, p, dp, A, M, w, X, dA, dM = at_a_point(problem, seed=1)
    weights = loss_weights(w, len(X))
    pairs = resolver(problem, instance, w, X, metric(A, M, problem.normalization))
    gw, gX = mixed_loss_cotangents(w, X, weights)
    Abar, Mbar = cotangent(A, M, w, X, gw, gX, **problem.structure)
    gradient = pairing(Abar, dA) + (0 if M is None else pairing(Mbar, dM))
    value, _ = difference(lambda p: mixed_loss(*pairs(p), np, weights), p, dp)
    assert abs(value - gradient) < 1e-7 * (np.abs(gw).max() + np.abs(gX).max())
    assert Abar.dtype == A.dtype
    assert Mbar is None if M is None else Mbar.dtype == M.dtype


@every_problem
@pytest.mark.parametrize("part", ["both", "values", "vectors"])
def test_tangent_and_cotangent_are_adjoint(problem, part):
    # Random cotangents, gauge-dependent ones included: the gauge is part of the definition.
    _, _, _, A, M, w, X, dA, dM = at_a_point(problem, seed=2)
    rng = np.random.default_rng(3)

    def random_like(a):
        return rng.standard_normal(a.shape) + (0 if np.isrealobj(a) else 1j * rng.standard_normal(a.shape))

    gw = None if part == "vectors" else random_like(w)
    gX = None if part == "values" else random_like(X)
    dw, dX = tangent(A, M, w, X, dA, dM, **problem.structure)
    Abar, Mbar = cotangent(A, M, w, X, gw, gX, **problem.structure)
    forward = (0 if gw is None else pairing(gw, dw)) + (0 if gX is None else pairing(gX, dX))
    backward = pairing(Abar, dA) + (0 if M is None else pairing(Mbar, dM))
    assert abs(forward - backward) < 1e-10 * max(1, abs(forward))
    np.testing.assert_array_equal(Abar, structured(Abar, A, hermitian=problem.hermitian))


def test_structured_is_the_projection_that_structured_directions_see():
    rng = np.random.default_rng(0)
    G, D = rng.standard_normal((2, 5, 5)) + 1j * rng.standard_normal((2, 5, 5))
    H = D + D.conj().T
    assert abs(pairing(structured(G, D, hermitian=True), H) - pairing(G, H)) < 1e-13
    assert abs(pairing(structured(G, D.real, hermitian=False), D.real) - pairing(G, D.real)) < 1e-13
    assert structured(G, D.real, hermitian=True).dtype == np.float64


# ---------------------------------------------------------------------------------------------
# The loss


@pytest.mark.parametrize("values", ["real", "complex"])
@pytest.mark.parametrize("vectors", ["real", "complex"])
def test_loss_cotangents(values, vectors):
    rng = np.random.default_rng(4)
    n, k = 9, 3
    w, dw = rng.standard_normal((2, k)) + (1j * rng.standard_normal((2, k)) if values == "complex" else 0)
    X, dX = rng.standard_normal((2, n, k)) + (1j * rng.standard_normal((2, n, k)) if vectors == "complex" else 0)
    weights = loss_weights(w, n)
    gw, gX = mixed_loss_cotangents(w, X, weights)
    assert gw.dtype == w.dtype
    assert gX.dtype == X.dtype
    value, _ = difference(lambda t: mixed_loss(w + t[0] * dw, X + t[0] * dX, np, weights), [0.0], [1.0])
    assert abs(value - pairing(gw, dw) - pairing(gX, dX)) < 1e-8
    # autograd's gradient is the conjugate
    aw, aX = (autograd.grad(lambda w, X: mixed_loss(w, X, anp, weights), argnum)(w, X) for argnum in (0, 1))
    np.testing.assert_allclose(aw, gw.conj(), rtol=1e-12)
    np.testing.assert_allclose(aX, gX.conj(), rtol=1e-12)


def test_loss_ignores_order_and_phase_but_not_the_norm():
    instance, *_, w, X, _, _ = at_a_point(PROBLEMS["nonhermitian"])
    weights = loss_weights(w, len(X))
    loss = mixed_loss(w, X, np, weights)
    permutation = np.array([2, 0, 3, 1])
    turned = X * np.exp(1j * np.arange(4))
    assert abs(mixed_loss(w[permutation], turned[:, permutation], np, weights) - loss) < 1e-12
    gw, gX = mixed_loss_cotangents(w, X, weights)
    gw2, gX2 = mixed_loss_cotangents(w[permutation], turned[:, permutation], weights)
    np.testing.assert_allclose(gw2, gw[permutation], rtol=1e-12)
    np.testing.assert_allclose(gX2, (gX * np.exp(1j * np.arange(4)))[:, permutation], rtol=1e-12)
    assert np.abs(inner_products(X, np.eye(len(X)), gX).imag).max() < 1e-13
    assert abs(mixed_loss(w, 1.1 * X, np, weights) - loss) > 1e-3
    with pytest.raises(ValueError, match="one to one"):
        mixed_loss(w[[0, 0, 1, 2]], X, np, weights)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_loss_keeps_single_precision(dtype):
    rng = np.random.default_rng(0)
    w, X = rng.standard_normal(2).astype(dtype), rng.standard_normal((5, 2)).astype(dtype)
    weights = loss_weights(w, 5)
    assert mixed_loss(w, X, np, weights).dtype == np.float32
    gw, gX = mixed_loss_cotangents(w, X, weights)
    assert gw.dtype == dtype
    assert gX.dtype == dtype


# ---------------------------------------------------------------------------------------------
# The table, and what SciPy makes of it


@every_problem
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_builders_keep_structure(problem, sparse):
    n = 24
    for dtype in problem.dtypes:
        instance = problem.build(5, n, dtype, sparse=sparse)
        p, dp = parameters(instance, 5, radius=P_RADIUS)
        A, M = A_at(instance, p), M_at(instance, p)
        assert np.abs(p).sum() == pytest.approx(P_RADIUS)
        for matrix in (A, M) if problem.generalized else (A,):
            assert matrix.dtype == dtype
            assert np.isrealobj(matrix) == problem.is_real
        if problem.hermitian:
            np.testing.assert_array_equal(A, A.conj().T)
        if problem.normalization != "2":
            np.testing.assert_array_equal(M, M.conj().T)
            assert np.linalg.eigvalsh(metric(A, M, problem.normalization)).min() > 0.1
        if problem.normalization == "A":
            assert np.linalg.eigvalsh(M)[0] < -0.1 < 0.1 < np.linalg.eigvalsh(M)[-1]
        if not problem.scipy_valid:
            assert np.abs(M - M.conj().T).max() > 0.1
            values = np.linalg.eigvalsh(M + M.conj().T)
            assert values[0] < -0.1 < 0.1 < values[-1]
        w, _ = dense_pairs(A, M, **problem.structure)
        chosen = w[wanted(w, instance)]
        gaps = np.abs(chosen[:, None] - w[None, :])
        assert np.sort(gaps, axis=1)[:, 1].min() > 0.25  # simple, and apart from all others
        if not problem.hermitian:
            assert np.linalg.norm(A @ A.conj().T - A.conj().T @ A) > 0.1 * np.linalg.norm(A) ** 2 / n
        if not sparse:
            continue
        x = start_vector(instance)
        np.testing.assert_allclose(apply_sparse(instance["A_sparse"], p, x), A @ x, rtol=1e-4, atol=1e-4)
        assert instance["A_sparse"][0].nnz < 0.8 * n * n
        assert all(matrix.dtype == dtype for matrix in instance["A_sparse"] + instance["M_sparse"])


def test_builders_are_reproducible_and_refuse_wrong_dtypes():
    problem = PROBLEMS["pencil_nonhermitian"]
    one, two, other = (problem.build(seed, 12) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["A0"], two["A0"])
    assert np.abs(one["A0"] - other["A0"]).max() > 0.1
    with pytest.raises(ValueError, match="not float64"):
        problem.build(0, 12, "float64")
    with pytest.raises(ValueError, match="too small"):
        problem.build(0, 9)


@every_problem
def test_the_family_is_differentiable_in_p(problem):
    instance = problem.build(0, 12)
    p, dp = parameters(instance)
    for family in (A_at, M_at) if problem.generalized else (A_at,):

        def f(p, xp=anp, family=family):
            return xp.sum(xp.abs(family(instance, p)) ** 2)

        value, _ = difference(lambda p, f=f: f(p, np), p, dp)
        assert autograd.grad(f)(p) @ dp == pytest.approx(value, rel=1e-9)


def test_complex_problems_are_complex_and_pairs_are_where_they_should_be():
    for problem in PROBLEMS.values():
        instance = problem.build(0, 16)
        w, V = dense_pairs(instance["A0"], instance["M0"], **problem.structure)
        chosen = w[wanted(w, instance)]
        assert len(chosen) == problem.kwargs["k"]
        if not problem.is_real:
            assert np.abs(instance["A0"].imag).max() > 0.1
        if problem.is_real and not problem.hermitian:
            conjugate_in = [np.abs(chosen - value.conj()).min() < 1e-9 for value in chosen]
            assert all(conjugate_in) == ("cut" not in problem.name)
            assert np.abs(chosen.imag).max() > 0.5


@every_problem
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_scipy_returns_the_wanted_pairs_normalised_as_the_table_says(problem, sparse):
    for dtype in problem.dtypes:
        instance = problem.build(6, 40, dtype, sparse=sparse)
        A, M = instance["A0"], instance["M0"]
        if problem.scipy_valid:
            w, X = scipy_pairs(instance, sparse=sparse)
        else:  # the standard operator, in unit 2-norm
            shifted = scipy.linalg.lu_factor(A - problem.kwargs["sigma"] * M)
            operator = scipy.linalg.lu_solve(shifted, M).astype(dtype)
            nu, X = scipy.sparse.linalg.eigs(operator, problem.kwargs["k"], v0=start_vector(instance))
            w = problem.kwargs["sigma"] + 1 / nu
        tolerance = 2000 * np.finfo(dtype).eps
        assert X.shape == (40, problem.kwargs["k"])
        assert w.dtype == (w.real.dtype if problem.hermitian else np.result_type(dtype, np.complex64))
        residual = A @ X - (X if M is None else M @ X) * w
        assert (np.linalg.norm(residual, axis=0) < tolerance * np.linalg.norm(A @ X, axis=0)).all()
        N = metric(A, M, problem.normalization)
        np.testing.assert_allclose(inner_products(X, N, X), 1, atol=tolerance)
        w_all, _ = dense_pairs(A, M, **problem.structure)
        chosen = w_all[wanted(w_all, instance)]
        w_ref, X_ref, _ = reference_pairs(A, M, w, X, **problem.structure)
        np.testing.assert_allclose(w_ref, w, atol=10 * tolerance)
        np.testing.assert_allclose(X_ref, X, atol=10 * tolerance)
        if problem.is_real and not problem.hermitian:
            # SciPy may keep either member of a pair that k cuts.
            w, chosen = (np.where(values.imag < 0, values.conj(), values) for values in (w, chosen))
        np.testing.assert_allclose(np.sort_complex(w), np.sort_complex(chosen), atol=10 * tolerance)
