"""Hermitian problems by our own Lanczos: SciPy's pairs, and none missed."""

import threading
import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka
from krylov_adj.forward.hermitian import hermitian_pairs
from krylov_adj.forward.request import Request
from krylov_adj.krylov import blocks
from krylov_adj.krylov.chebyshev import LOOK, Chebyshev, design, identity_filter, survey, widened
from krylov_adj.krylov.factors import factorise
from krylov_adj.krylov.lanczos import Lanczos, wanted_pairs
from krylov_adj.krylov.ordering import ClosestTo, InvariantSubspace, LargestInModulus, Ordering, cut
from krylov_adj.krylov.space import WHOLE
from krylov_adj.perturbation.problem import Inverse, ValueOperator

N = 240


def operator(matrix, name="A", dtype=None):
    return ValueOperator(matrix.shape, dtype or matrix.dtype, lambda V: matrix @ V, lambda V: matrix @ V, name, matrix)


def solve(A, k, M=None, **arguments):
    """`hermitian_pairs` of a matrix, and how often the operator was applied."""
    op_A, inverse, sigma = operator(A), None, arguments.get("sigma")
    if sigma is not None:
        apply, adjoint, dtype = factorise(A, M, sigma)
        inverse = Inverse(sigma, ValueOperator(A.shape, dtype, apply, adjoint, "OPinv"))
    request = Request(k, True, **{"which": "SA" if sigma is None else "LM", **arguments})
    found = hermitian_pairs(request, op_A, None if M is None else operator(M, "M"), inverse)
    return found, (op_A if inverse is None else inverse.operator).applications


def rotation(n=N, seed=3, field="real"):
    rng = onp.random.default_rng(seed)
    Q = rng.standard_normal((n, n))
    return la.qr(Q if field == "real" else Q + 1j * rng.standard_normal((n, n)))[0]


def with_spectrum(w, seed=3, field="real"):
    Q = rotation(len(w), seed, field)
    A = (Q * w) @ Q.conj().T
    return 0.5 * (A + A.conj().T)


FIELDS = ["real", "complex"]


def laplacian(n):
    return sp.diags([-onp.ones(n - 1), 2 * onp.ones(n), -onp.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()


def grid(*sizes):
    matrix = laplacian(sizes[0])
    for n in sizes[1:]:
        matrix = sp.kron(matrix, sp.eye(n)) + sp.kron(sp.eye(matrix.shape[0]), laplacian(n))
    return matrix.tocsr()


def grid_values(*sizes):
    w = onp.zeros(1)
    for n in sizes:
        w = (w[:, None] + 2 - 2 * onp.cos(onp.pi * onp.arange(1, n + 1) / (n + 1))).ravel()
    return onp.sort(w)


def wanted(w, k, sigma=None, which="SA"):
    if sigma is not None:
        return onp.sort(w[onp.argsort(abs(w - sigma), kind="stable")[:k]])
    if which == "LM":
        return onp.sort(w[onp.argsort(-abs(w), kind="stable")[:k]])
    return w[:k] if which == "SA" else w[-k:]


def check(found, A, w, k, M=None, rtol=1e-13, **arguments):
    """Values against ``w``, all of the spectrum; residuals, orthonormality, order, shapes."""
    assert found is not None
    M = onp.eye(A.shape[0]) if M is None else M
    eps = onp.finfo(found.X.dtype).eps
    size = onp.max(abs(w))
    onp.testing.assert_allclose(
        found.w, wanted(w, k, arguments.get("sigma"), arguments.get("which", "SA")), rtol=0, atol=rtol * size
    )
    assert found.X.shape == (A.shape[0], k)
    residuals = onp.linalg.norm(A @ found.X - (M @ found.X) * found.w, axis=0)
    assert onp.max(residuals / onp.linalg.norm(found.X, axis=0)) <= 10 * rtol * size
    onp.testing.assert_allclose(found.X.conj().T @ (M @ found.X), onp.eye(k), atol=300 * eps)


# ---- pairs against LAPACK ----------------------------------------------------------------------

WAYS = {
    "lowest": {"which": "SA"},
    "highest": {"which": "LA"},
    "largest": {"which": "LM"},
    "below": {"sigma": -3.0},
    "inside": {"sigma": 0.0123},
}


def spectrum(kind):
    rng = onp.random.default_rng(5)
    w = onp.sort(rng.uniform(-1, 2, N))
    if kind == "multiple":
        for i, m in ((1, 3), (5, 2), (N - 4, 4), (N - 9, 3)):
            w[i : i + m] = w[i]
    elif kind == "clusters":
        for i, gap in ((0, 1e-5), (3, 1e-9), (N - 4, 1e-6), (N - 7, 1e-12)):
            w[i : i + 3] = w[i] + gap * onp.arange(3)
    elif kind == "rounded":
        w = onp.round(w, 1)
    elif kind == "outliers":
        w[-2:] += 1e6
        w[:2] -= 1e6
    elif kind == "shifted":
        w += 1e6
    elif kind == "mirrored":
        w = onp.concatenate([w[: N // 2], 0.0246 - w[: N // 2]])  # pairs at equal distances from 0.0123
    return onp.sort(w)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["simple", "multiple", "clusters", "rounded", "outliers", "shifted", "mirrored"])
@pytest.mark.parametrize("field", FIELDS)
def test_pairs_are_those_of_lapack(field, kind, way):
    w, k, arguments = spectrum(kind), 6, dict(WAYS[way])
    if "sigma" in arguments:
        arguments["sigma"] += 1e6 if kind == "shifted" else 0.0
        arguments["sigma"] -= 2e6 if kind == "outliers" and way == "below" else 0.0
    A = with_spectrum(w, field=field)
    found, _ = solve(A, k, **arguments)
    if kind == "mirrored" and way == "inside":
        distances = onp.sort(abs(w - arguments["sigma"]))[:k]  # of two at the same distance either may come
        onp.testing.assert_allclose(onp.sort(abs(found.w - arguments["sigma"])), distances, atol=1e-12)
    else:
        check(found, A, la.eigvalsh(A), k, rtol=1e-12, **arguments)


FEW = {
    "projector": onp.repeat([0.0, 1.0], [N - 30, 30]),
    "projector, its null space": onp.repeat([-1.0, 0.0], [30, N - 30]),
    "one different": onp.append(onp.ones(N - 1), 3.0),
    "three values": onp.repeat([-2.0, 1.0, 5.0], [2, 100, N - 102]),
    "low rank": onp.concatenate([[-3.0, -1.0], onp.zeros(N - 4), [1.0, 2.0]]),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("which", ["SA", "LA"])
@pytest.mark.parametrize("name", FEW)
def test_few_different_eigenvalues(name, which, field):
    A = with_spectrum(onp.sort(FEW[name]), field=field)
    found, applications = solve(A, 4, which=which)
    check(found, A, onp.sort(FEW[name]), 4, which=which)
    assert applications < 400


def test_the_identity_and_zero_are_left_to_arpack():
    for A in (onp.eye(N), onp.zeros((N, N))):
        for which in ("SA", "LA"):
            assert solve(A, 3, which=which)[0] is None
    assert solve(onp.zeros((N, N)), 3, which="LM")[0] is None
    found, _ = solve(onp.eye(N), 3, which="LM")
    onp.testing.assert_allclose(found.w, 1, rtol=1e-14)
    assert found.surplus.cut.size > 0  # there are more of them


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("way", WAYS)
def test_any_scale(way, scale):
    arguments = dict(WAYS[way])
    A = with_spectrum(spectrum("multiple"))
    if "sigma" in arguments:
        arguments["sigma"] *= scale
    found, _ = solve(scale * A, 5, **arguments)
    if "sigma" in arguments:
        arguments["sigma"] /= scale
    reference, _ = solve(A, 5, **arguments)
    onp.testing.assert_allclose(found.w / scale, reference.w, atol=1e-12)
    onp.testing.assert_allclose(found.X.T @ found.X, onp.eye(5), atol=1e-13)


@pytest.mark.parametrize("k", [1, 2, 10, 30, 60])
@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_pairs(k, way):
    w = spectrum("simple")
    A = with_spectrum(w)
    check(solve(A, k, **WAYS[way])[0], A, w, k, **WAYS[way])


@pytest.mark.parametrize("way", ["lowest", "inside"])
@pytest.mark.parametrize(("ncv", "tol"), [(10, 0), (11, 1e-4), (100, 1e-10), (239, 0)])
def test_basis_and_tolerance(ncv, tol, way):
    w = spectrum("simple")
    found, _ = solve(with_spectrum(w), 6, ncv=ncv, tol=tol, **WAYS[way])
    sigma = WAYS[way].get("sigma", 0.0)
    expected = wanted(w, 6, WAYS[way].get("sigma"))
    # A Ritz value's error is the square of its residual.
    onp.testing.assert_allclose(found.w - sigma, expected - sigma, rtol=1e-11 + tol)
    onp.testing.assert_allclose(found.X.T @ found.X, onp.eye(6), atol=1e-13)


@pytest.mark.parametrize("which", ["SA", "LA"])
def test_no_value_inside_of_the_filter_is_taken_for_a_wanted_one(which):
    # Few eigenvalues at the wanted end, far from the rest: their number is not what the filter was made for.
    w = onp.concatenate([[-1e7, -1e7], onp.linspace(0, 1, N - 4), [1e7, 1e7]])
    A = with_spectrum(onp.sort(w))
    for v0 in (None, onp.ones(N)):
        found, _ = solve(A, 3, which=which, v0=v0, ncv=22)
        check(found, A, la.eigvalsh(A), 3, which=which)


# ---- none is missed ----------------------------------------------------------------------------


def starts(Q, k):
    rng = onp.random.default_rng(8)
    r = rng.standard_normal(N)
    return {
        "ones": onp.ones(N),
        "first unit vector": onp.eye(N)[0],
        "an eigenvector": Q[:, 1].copy(),
        "orthogonal to wanted ones": r - Q[:, :3] @ (Q[:, :3].conj().T @ r),
        "orthogonal to all wanted": r - Q[:, :k] @ (Q[:, :k].conj().T @ r),
        "two eigenvectors": Q[:, 0] + Q[:, N - 1],
        "integers": onp.arange(N),
        "single": r.astype("f"),
    }


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("way", ["lowest", "below"])
@pytest.mark.parametrize("name", starts(onp.eye(N), 5))
def test_structured_start_vectors_hide_nothing(name, way, field):
    w, Q, k = spectrum("multiple"), rotation(field=field), 5
    A = with_spectrum(w, field=field)
    check(solve(A, k, v0=starts(Q, k)[name], **WAYS[way])[0], A, w, k, **WAYS[way])


@pytest.mark.parametrize("k", [2, 6, 17])
def test_cube(k):
    """SciPy's `eigsh` may miss one of the seventeen here, see benchmarks/completeness.py."""
    A = grid(20, 20, 20)
    w = grid_values(20, 20, 20)
    for seed in (0, 1) if k == 17 else (0,):
        v0 = onp.random.default_rng(seed).standard_normal(A.shape[0])
        found, _ = solve(A, k, v0=v0)
        onp.testing.assert_allclose(found.w, w[:k], atol=1e-12)
        # k = 2 and 6 cut a triple one.
        assert (found.surplus.cut.size > 0) == (k < 17)
        onp.testing.assert_allclose(found.surplus.cut, w[k - 1], atol=1e-11)


@pytest.mark.parametrize("components", [2, 5, 12])
def test_components_of_a_graph_have_a_zero_each(components):
    rng = onp.random.default_rng(2)
    blocks = []
    for _ in range(components):
        m = 240 // components
        G = onp.triu(rng.random((m, m)) < 6 / m, 1).astype(float) + onp.eye(m, k=1)
        G = (G + G.T > 0).astype(float)
        blocks.append(onp.diag(G.sum(axis=0)) - G)
    A = la.block_diag(*blocks)
    for v0 in (None, onp.ones(240)):
        found, _ = solve(A, 6, v0=v0)
        check(found, A, la.eigvalsh(A), 6)
        assert (onp.min(abs(found.surplus.cut[:, None] - found.w), initial=1.0) < 1e-12) == (components > 6)


def test_equal_blocks_and_diagonal_matrices():
    w = onp.sort(onp.random.default_rng(4).standard_normal(60))
    block = with_spectrum(w)
    for A in (la.block_diag(*[block] * 4), onp.diag(onp.repeat(w, 4)), sp.diags(onp.repeat(w, 4)).tocsr()):
        for way in ("lowest", "highest", "inside"):
            # 6 of fours: two of the second one are cut off
            found, _ = solve(A, 6, v0=onp.ones(240), **WAYS[way])
            check(found, A, onp.repeat(w, 4), 6, **WAYS[way])
            assert onp.min(abs(found.surplus.cut[:, None] - found.w)) < 1e-12


def test_both_sides_of_sigma_are_searched():
    """Multiple eigenvalues at σ ± d: the start vector has one of each, and k takes all but one."""
    w = onp.concatenate([onp.linspace(-3, -1, 117), [-0.5] * 3, [0.5] * 3, onp.linspace(1, 3, 117)])
    A = with_spectrum(w)
    for k in (5, 6):
        found, _ = solve(A, k, sigma=0.0)
        onp.testing.assert_allclose(abs(found.w), 0.5, atol=1e-13)
        assert abs(onp.sum(found.w)) < (0.6 if k == 5 else 1e-12)
    # Every computed one with a twin that was not computed has it in ``cut``.
    found, _ = solve(A, 3, sigma=0.0)
    for value in onp.unique(onp.round(found.w, 9)):
        assert onp.count_nonzero(abs(found.w - value) < 1e-9) == 3 or onp.min(abs(found.surplus.cut - value)) < 1e-9


LARGEST = Ordering()


def lanczos(A, start, dimension=30, B=None, wanted=LARGEST, seed=1, locked=None):
    rng = onp.random.default_rng(seed)

    def random():
        return rng.standard_normal(start.size).astype(start.dtype)

    return Lanczos(
        WHOLE, lambda v: A @ v, None if B is None else (lambda v: B @ v), start, dimension, wanted, random, locked
    )


def accept(theta):
    return 1e-14 * abs(theta)


@pytest.mark.parametrize(
    "wanted", [LARGEST, LargestInModulus(), ClosestTo(0.0, 1.0), ClosestTo(0.05, 0.7), ClosestTo(-0.02, 2.0)]
)
@pytest.mark.parametrize("missing", [None, 0, 2, "other end"])
def test_the_growth_test_sees_a_planted_gap(missing, wanted):
    """A start vector without one eigenvector, in coordinates where rounding does not bring it back."""
    w = onp.concatenate([[10.0, 9.0, 8.0], onp.linspace(-1, 1, N - 4), [-9.5]])
    start = onp.random.default_rng(0).standard_normal(N)
    if missing is not None:
        start[N - 1 if missing == "other end" else missing] = 0
    key = wanted.key
    for seed in range(5):
        space = lanczos(onp.diag(w), start.copy(), wanted=wanted, seed=seed)
        theta, _ = space.converge(2, accept, 1000)
        limit = 0.999 * key(theta)[1]
        past = onp.count_nonzero(key(w) >= limit)
        assert space.complete(limit) == (past == onp.count_nonzero(key(theta) >= limit))


def test_the_growth_test_sees_what_images_of_random_vectors_have_little_of():
    """With a mass they are T's images: of eigenvalues that are all next to the shift, but for one."""
    w = onp.append(onp.linspace(13.0002, 13.002, N - 1), -12.9999)
    wanted, start = ClosestTo(12.999, 1.0), onp.ones(N)
    start[-1] = 0
    for seed in range(10):
        space = lanczos(onp.diag(1 / (w - 12.999)), start, B=onp.eye(N), wanted=wanted, seed=seed)
        space.step()
        assert not space.complete(1 / 13.0)


@pytest.mark.parametrize("distance", [1e-4, 1e-8, 1e-10])
@pytest.mark.parametrize("M", [None, sp.identity(N, format="csr")])
def test_all_copies_where_sigma_is_next_to_an_eigenvalue(M, distance):
    """Next to the value that the inverse has for that one, others are small."""
    w = onp.concatenate([[10.0, 11.0, 11.0, 11.0, 12.0], onp.linspace(16, 90, N - 5)])
    for k in (3, 4, 5):
        found, _ = solve(sp.diags(w).tocsc(), k, M=M, sigma=10 + distance)
        onp.testing.assert_allclose(found.w, w[:k], rtol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 20, 21])
def test_rows_are_combined_a_few_columns_at_a_time(monkeypatch, chunk):
    monkeypatch.setattr(blocks, "CHUNK", chunk)
    rng = onp.random.default_rng(0)
    rows, Q = rng.standard_normal((5, 20)), rng.standard_normal((5, 3))
    expected = onp.concatenate([Q.T @ rows, rows[3:]])
    blocks.combine(rows, Q)
    onp.testing.assert_allclose(rows, expected, rtol=1e-12, atol=1e-14)


def test_the_growth_test_counts_what_is_only_nearly_in_hand():
    # Not converged at all: of the two largest the basis has a mixture, and one Ritz value.
    w = onp.append(onp.linspace(-1, 1, N - 2), [5.0, 5.1])
    start = onp.zeros(N)
    start[-2:] = 1
    space = lanczos(onp.diag(w), start, dimension=20)
    space.step()
    space.taken = 1
    assert space.ritz()[0] == pytest.approx(5.05)
    assert not space.complete(4.9)


def test_the_growth_test_does_not_count_what_was_not_taken():
    space = lanczos(onp.diag(onp.append(onp.linspace(-1, 1, N - 1), 5.0)), onp.ones(N))
    space.converge(1, accept, 1000)
    assert space.complete(4.9)
    space.taken = 0  # a value past the limit, in the basis and not in hand
    assert not space.complete(4.9)


def test_a_missed_value_on_the_other_side_of_sigma():
    w = onp.concatenate([[-0.5, 0.6, 0.7], onp.linspace(1, 3, N - 3)])
    v0 = onp.ones(N)
    v0[0] = 0
    for A in (onp.diag(w), sp.diags(w).tocsc()):
        found, _ = solve(A, 2, sigma=0.0, v0=v0)
        onp.testing.assert_allclose(found.w, [-0.5, 0.6])


def test_a_cut_is_known_on_both_sides():
    """k = 2 takes one of each side; what is found first of the rest are copies of one side only."""
    w = onp.concatenate([[5.0, 5.0, 5.0, -5.0, -5.0], onp.linspace(-1, 1, N - 5)])
    start = onp.ones(N)
    theta, _ = wanted_pairs(lanczos(onp.diag(w), start, wanted=LargestInModulus()), 2, accept, 1000)
    assert {-5.0, 5.0} == set(onp.round(theta[:2], 9))
    assert {-5.0, 5.0} == set(onp.round(theta[2:], 9))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("gap", [0.0, 1e-13, 1e-10, 3e-9])
@pytest.mark.parametrize("way", ["lowest", "below"])
def test_a_cluster_that_k_cuts_is_computed_on(way, gap, field):
    w = onp.sort(onp.append(onp.linspace(0, 1, N - 2), [0.5 / (N - 3), 0.5 / (N - 3) + gap]))
    found, _ = solve(with_spectrum(w, field=field), 2, **WAYS[way])
    onp.testing.assert_allclose(found.surplus.cut, w[2:3], atol=1e-13)


def test_an_operator_that_is_not_symmetric_is_left_to_arpack():
    A = with_spectrum(spectrum("simple"))
    assert solve(A + 0.1 * onp.triu(onp.ones((N, N)), 1), 3)[0] is None


def test_a_locked_basis_with_a_mass():
    rng = onp.random.default_rng(0)
    B = with_spectrum(onp.linspace(1, 50, N))
    locked = onp.linalg.solve(onp.linalg.cholesky(B).T, la.qr(rng.standard_normal((N, 3)), mode="economic")[0]).T
    onp.testing.assert_allclose(locked @ B @ locked.T, onp.eye(3), atol=1e-13)
    space = lanczos(with_spectrum(spectrum("simple")), rng.standard_normal(N), B=B, locked=locked)
    for _ in range(5):
        space.step()
    onp.testing.assert_allclose(space.V[:9] @ B @ space.V[:9].T, onp.eye(9), atol=1e-13)


def test_what_lies_in_the_basis_almost_is_projected_off_twice():
    space = lanczos(with_spectrum(spectrum("simple")), onp.ones(N))
    for _ in range(5):
        space.step()
    w = 1e9 * space.V[2] + onp.random.default_rng(0).standard_normal(N)
    v, _, norm = space._orthogonal(w, 6)
    assert onp.linalg.norm(space.V[:6] @ v) <= 1e-14 * norm


def test_vectors_leave_the_null_space_of_the_mass():
    """A little of it in the start vector grows by every step; T's images do not have it."""
    A, d = laplacian(N).toarray() + 0.1 * onp.eye(N), onp.ones(N)
    d[::3] = 0
    K, B = onp.linalg.inv(A), onp.diag(d)
    r = onp.random.default_rng(0).standard_normal(N)
    space = lanczos(K, K @ (B @ r) + 1e-4 * (r - B @ r), B=B)
    theta, S = space.converge(3, lambda theta: 1e-10 * abs(theta), 1000)
    X = space.vectors(theta, S)[:3].T
    onp.testing.assert_allclose(K @ (B @ X), X * theta[:3], atol=1e-12 * theta[0])


def test_a_basis_that_the_mass_does_not_see_is_given_up():
    """T has one value: every step divides what is in M's null space by nearly nothing."""
    rng, B = onp.random.default_rng(0), onp.diag(onp.repeat([1.0, 0.0], N // 2))
    coupling = rng.standard_normal((N // 2, N // 2))
    T = onp.block(
        [
            [onp.eye(N // 2) + 1e-9 * onp.diag(rng.random(N // 2)), onp.zeros_like(B[: N // 2, : N // 2])],
            [coupling, onp.zeros_like(coupling)],
        ]
    )
    space = lanczos(T, rng.standard_normal(N), B=B)

    def steps():
        for _ in range(25):
            space.step()

    with pytest.raises(InvariantSubspace):
        steps()


def test_the_growth_test_is_not_fooled_by_an_end_it_does_not_look_at():
    # All is in hand at the upper end; at the lower one something larger in modulus is not.
    w = onp.append(onp.linspace(-1, 1, N - 2), [-20.0, 10.0])
    start = onp.random.default_rng(0).standard_normal(N)
    start[N - 2] = 0
    space = lanczos(onp.diag(w), start, wanted=LargestInModulus())
    space.converge(1, accept, 1000)
    assert not space.complete(9.9)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("with_mass", [False, True])
def test_contraction_keeps_the_recurrence(with_mass, field):
    """T V = V H + β v⁺ eᵀ with a real H, V B-orthonormal and W = B V, after steps, a restart and more steps."""
    rng = onp.random.default_rng(6)
    B = with_spectrum(rng.uniform(0.5, 2, N), 4, field) if with_mass else None
    A = with_spectrum(onp.sort(rng.standard_normal(N)), field=field)
    start = rng.standard_normal(N)
    space = lanczos(A, start if field == "real" else start * onp.exp(1j * onp.arange(N)), dimension=16, B=B)
    T = A if B is None else A @ B

    def b_norms(R, axis):
        return onp.sqrt(onp.sum(R.conj() * (B @ R), axis=axis).real)

    for _ in range(3):
        while space.m < 16:
            space.step()
        for _ in range(2):
            V, H = space.V[: space.m].T, space.H[: space.m, : space.m]
            left = T @ V - V @ H
            expected = onp.zeros_like(left)
            theta, S, residuals = space.ritz()
            # After a contraction the coupling is a row of H, before it the last step's β.
            if space.m == space.kept:
                expected = onp.outer(space.V[space.m], space.H[space.m, : space.m])
            else:
                expected[:, -1] = space.beta * space.V[space.m]
            onp.testing.assert_allclose(left, expected, atol=1e-12)
            full = space.V[: space.m + 1]
            image = full if B is None else full @ B.T
            onp.testing.assert_allclose(full.conj() @ image.T, onp.eye(space.m + 1), atol=1e-13)
            if B is not None:
                onp.testing.assert_allclose(space.W[: space.m + 1], image, atol=1e-12)
            if space.m == space.kept:
                break
            Y = V @ S
            norms = onp.linalg.norm if B is None else b_norms
            onp.testing.assert_allclose(norms(T @ Y - Y * theta, axis=0), residuals, atol=1e-12)
            space.restart(S[:, :7], theta[:7])


def test_a_copy_that_has_just_come_does_not_spoil_the_others():
    space = lanczos(onp.eye(N), onp.ones(N), dimension=8)
    space.m, space.beta = 4, 1.0
    space.H[:4, :4] = onp.diag([2.0, 2.0, 2.0, 1.0])
    U = la.qr(onp.random.default_rng(0).standard_normal((4, 4)))[0]
    space.H[:4, :4] = U @ space.H[:4, :4] @ U.T
    theta, S, residuals = space.ritz()
    onp.testing.assert_allclose(theta, [2, 2, 2, 1], atol=1e-14)
    onp.testing.assert_allclose(S.T @ S, onp.eye(4), atol=1e-14)
    onp.testing.assert_allclose(space.H[:4, :4] @ S, S * theta, atol=1e-14)
    assert residuals[0] == residuals[1] == 0
    assert residuals[2] > 0.1


def test_cut_wants_a_neighbour_for_every_one_of_the_last():
    assert cut(onp.array([3.0, 2.0, 2.0]), 2, 1e-6)
    assert not cut(onp.array([3.0, 2.0, 1.9]), 2, 1e-6)
    assert not cut(onp.array([3.0, 2.0]), 2, 1e-6)
    assert not cut(onp.array([2.0, -2.0, 2.0]), 2, 1e-6)
    assert cut(onp.array([2.0, -2.0, 2.0, -2.0]), 2, 1e-6)


def test_search_keeps_off_what_is_locked_and_finds_all_copies():
    w = onp.concatenate([[5.0] * 4, onp.linspace(-1, 1, N - 4)])
    start = onp.random.default_rng(0).standard_normal(N)
    theta, X = wanted_pairs(lanczos(onp.diag(w), start), 4, accept, 1000)
    onp.testing.assert_allclose(theta[:4], 5, atol=1e-13)
    onp.testing.assert_allclose(X @ X.T, onp.eye(theta.size), atol=1e-13)
    # None within too few steps, and none where the space is exhausted.
    assert wanted_pairs(lanczos(onp.diag(w), start), 4, accept, 7) is None
    with pytest.raises(InvariantSubspace):
        lanczos(onp.diag(w), X[0].copy(), locked=X)


# ---- generalised problems ----------------------------------------------------------------------


def masses(name):
    rng = onp.random.default_rng(9)
    d = onp.ones(N)
    if name == "diagonal":
        return onp.diag(rng.uniform(0.5, 2, N))
    if name == "contrast":
        return onp.diag(10.0 ** rng.uniform(0, 8, N))
    if name == "consistent":
        return (sp.diags([onp.ones(N - 1), 4 * onp.ones(N), onp.ones(N - 1)], offsets=[-1, 0, 1]) / 6).tocsr()
    if name == "full":
        G = rng.standard_normal((N, N))
        return G @ G.T / N + onp.eye(N)
    if name == "complex":
        G = rng.standard_normal((N, N)) + 1j * rng.standard_normal((N, N))
        return G @ G.conj().T / N + onp.eye(N)
    d[rng.permutation(N)[: N // 3]] = 0
    return onp.diag(d)


def dense_pencil(A, M):
    """Finite eigenvalues of A x = w M x with A positive definite."""
    theta, Z = la.eigh(M.toarray() if sp.issparse(M) else M, A.toarray() if sp.issparse(A) else A)
    finite = theta > 1e-12 * theta[-1]
    return onp.sort(1 / theta[finite])


@pytest.mark.parametrize("sigma", [-0.1, 1.234])
@pytest.mark.parametrize("name", ["diagonal", "contrast", "consistent", "full", "singular", "complex"])
def test_masses(name, sigma):
    A, M = laplacian(N).toarray() * 20 + 0.1 * onp.eye(N), masses(name)
    if name == "complex":
        phases = onp.exp(1j * onp.arange(N) ** 2)
        A = phases[:, None] * A * phases.conj()
    if sp.issparse(M):
        A = sp.csr_matrix(A)
    w = dense_pencil(A, M)
    sigma = sigma * w[5]
    expected = wanted(w, 5, sigma)
    for v0 in (None, onp.ones(N), onp.eye(N)[onp.argmax(M.diagonal())]):
        found, _ = solve(A, 5, M, sigma=sigma, v0=v0)
        onp.testing.assert_allclose(found.w, expected, rtol=1e-9)
        onp.testing.assert_allclose(found.X.conj().T @ (M @ found.X), onp.eye(5), atol=1e-13)
        residuals = onp.linalg.norm(A @ found.X - (M @ found.X) * found.w, axis=0)
        size = onp.linalg.norm(M @ found.X, axis=0) * abs(found.w) + 80 * onp.linalg.norm(found.X, axis=0)
        assert onp.max(residuals / size) < 1e-11


@pytest.mark.parametrize("tol", [0, 1e-3])
def test_vectors_of_a_singular_mass_are_purified(tol):
    """Where M is zero the vectors are slaves: K x = w M x fixes them, which the M-norm does not see."""
    A, M = laplacian(N).toarray() + 0.1 * onp.eye(N), masses("singular")
    free = M.diagonal() == 0
    found, _ = solve(A, 4, M, sigma=-0.01, tol=tol, v0=onp.random.default_rng(0).standard_normal(N))
    masters = found.X[~free]
    slaves = -la.solve(A[onp.ix_(free, free)], A[onp.ix_(free, ~free)] @ masters)
    onp.testing.assert_allclose(found.X[free], slaves, atol=1e-12 + 10 * tol)
    onp.testing.assert_allclose(found.X.T @ M @ found.X, onp.eye(4), atol=1e-13)


def test_a_mass_of_low_rank_is_not_taken_for_more():
    """12 finite eigenvalues, fewer than the basis has room for."""
    A, d = laplacian(N).toarray() + 0.1 * onp.eye(N), onp.zeros(N)
    d[::20] = 1
    w = dense_pencil(A, onp.diag(d))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _ = solve(A, 3, onp.diag(d), sigma=-0.01)
    if found is not None:
        onp.testing.assert_allclose(found.w, w[:3], rtol=1e-11)
    # No start vector at all: null vectors of M.
    assert solve(A, 3, onp.diag(d), sigma=-0.01, v0=onp.eye(N)[1])[0] is None


# ---- dtype, determinism, signs, threads, cost ---------------------------------------------------


@pytest.mark.parametrize(("way", "with_mass"), [*((way, False) for way in WAYS), ("below", True), ("inside", True)])
@pytest.mark.parametrize(("field", "dtype"), [("real", "f"), ("complex", "F")])
def test_single_precision_stays_single(field, dtype, way, with_mass):
    w = spectrum("multiple")
    A = with_spectrum(w, field=field).astype(dtype)
    M = onp.diag(onp.linspace(1, 2, N)).astype(dtype) if with_mass else None
    seen = set()

    def apply(V):
        seen.add(V.dtype)
        return A @ V

    sigma, inverse = WAYS[way].get("sigma"), None
    if sigma is not None:
        solver, adjoint, _ = factorise(A, M, sigma)
        inverse = Inverse(sigma, ValueOperator(A.shape, onp.dtype(dtype), solver, adjoint, "OPinv"))
    request = Request(4, True, **{"which": "SA" if sigma is None else "LM", "v0": onp.ones(N), **WAYS[way]})
    op = ValueOperator(A.shape, onp.dtype(dtype), apply, apply, "A", A)
    found = hermitian_pairs(request, op, None if M is None else operator(M, "M"), inverse)
    assert {found.w.dtype, found.surplus.cut.dtype} == {onp.dtype("f")}
    assert found.X.dtype == dtype
    assert seen <= {onp.dtype(dtype)}
    full = la.eigvalsh(A.astype("D"), None if M is None else M.astype("D"))
    onp.testing.assert_allclose(found.w, wanted(full, 4, **{"which": "SA", **WAYS[way]}), atol=2e-5)


@pytest.mark.parametrize("way", WAYS)
def test_equal_calls_have_equal_results_and_signs_follow_v0(way):
    A = with_spectrum(spectrum("multiple"))
    first, _ = solve(A, 5, **WAYS[way])
    again, _ = solve(A, 5, **WAYS[way])
    assert onp.array_equal(first.w, again.w)
    assert onp.array_equal(first.X, again.X)
    v0 = onp.random.default_rng(4).standard_normal(N)
    found, opposite = solve(A, 5, v0=v0, **WAYS[way])[0], solve(A, 5, v0=-v0, **WAYS[way])[0]
    assert onp.all(v0 @ found.X > 0)
    assert onp.all(v0 @ opposite.X < 0)
    phased, _ = solve(with_spectrum(spectrum("multiple"), field="complex"), 5, v0=v0 * onp.exp(1j * v0), **WAYS[way])
    along = (v0 * onp.exp(-1j * v0)) @ phased.X
    onp.testing.assert_allclose(along.imag, 0, atol=1e-12)
    assert onp.all(along.real > 0)
    other, _ = solve(A, 5, rng=12, **WAYS[way])
    onp.testing.assert_allclose(other.w, first.w, atol=1e-12)
    assert not onp.array_equal(other.X, first.X)


def test_threads_do_not_meet():
    A = grid(18, 17)
    results = {}

    def run(i):
        results[i] = [solve(A, 3 + i % 2, sigma=None if i < 3 else -0.1)[0].w for _ in range(3)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for i, found in results.items():
        for w in found:
            onp.testing.assert_allclose(w, grid_values(18, 17)[: 3 + i % 2], atol=1e-12)
    assert onp.array_equal(results[0][0], results[2][0])


@pytest.mark.parametrize(
    ("make", "k", "sigma", "most"),
    [
        (lambda: grid(40, 40) + sp.diags(onp.random.default_rng(0).random(1600)), 6, None, 1.5),
        (lambda: grid(40, 40) + sp.diags(onp.random.default_rng(0).random(1600)), 1, None, 2.6),
        (lambda: laplacian(1000), 6, None, 0.3),
        (lambda: grid(40, 40) + sp.diags(onp.random.default_rng(0).random(1600)), 6, -0.1, 1.2),
        (lambda: grid(40, 39), 10, 3.3, 1.3),
    ],
)
def test_applications_beside_scipys(make, k, sigma, most):
    A, calls = make().tocsc(), [0]
    n = A.shape[0]
    v0 = onp.random.default_rng(1).standard_normal(n)
    found, applications = solve(A, k, sigma=sigma, v0=v0)
    solver = (lambda v: A @ v) if sigma is None else spla.splu(A - sigma * sp.eye(n, format="csc")).solve

    def counted(v):
        calls[0] += 1
        return solver(v)

    op = spla.LinearOperator((n, n), counted, dtype=float)
    if sigma is None:
        w = spla.eigsh(op, k=k, which="SA", v0=v0, maxiter=10**5, return_eigenvectors=False)
    else:
        w = spla.eigsh(A, k=k, sigma=sigma, OPinv=op, v0=v0, return_eigenvectors=False)
    onp.testing.assert_allclose(found.w, onp.sort(w), rtol=1e-10, atol=1e-12)
    assert applications <= most * calls[0]


def test_outliers_at_the_other_end_cost_a_few_restarts():
    w = onp.sort(onp.append(onp.random.default_rng(0).random(N - 2), [1e6, 2e6]))
    found, applications = solve(with_spectrum(w), 4, tol=1e-10)
    onp.testing.assert_allclose(found.w, w[:4], atol=1e-8)
    assert applications < 1500


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("which", ["SA", "LA"])
def test_a_projector_costs_a_few_applications(which, dtype):
    found, applications = solve(with_spectrum(onp.repeat([0.0, 1.0], N // 2)).astype(dtype), 4, which=which)
    onp.testing.assert_allclose(found.w, which == "LA", atol=1e-5 if dtype == "f" else 1e-13)
    assert applications < 60


def test_what_does_not_converge_costs_no_more_than_was_allowed():
    A = with_spectrum(onp.geomspace(1e-13, 1, N))
    for maxiter, most in ((3, 15 * N), (None, 30 * N)):
        found, applications = solve(A, 6, maxiter=maxiter)
        assert found is None
        assert applications < most


# ---- the filter --------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_filter_is_the_polynomial(side):
    q = Chebyshev(0.3, side * 0.7, 5)
    z, polynomial = onp.linspace(-3, 3, N), onp.polynomial.chebyshev.Chebyshev.basis(5)
    x = (z - 0.3) / (side * 0.7)
    applied = q.apply(lambda v: z * v, onp.ones(N))
    onp.testing.assert_allclose(applied, polynomial(x), rtol=1e-11)
    onp.testing.assert_allclose(q.inverse(applied[x > 1]), z[x > 1], rtol=1e-12)
    onp.testing.assert_allclose(q.slope(z[x > 1]), polynomial.deriv()(x[x > 1]) / 0.7, rtol=1e-11)


def test_a_filter_for_both_ends_is_odd_and_the_polynomial():
    q, polynomial = Chebyshev(0.0, 0.7, 5, both=True), onp.polynomial.chebyshev.Chebyshev.basis(5)
    z = onp.linspace(-3, 3, N)
    x = z / 0.7
    applied = q.apply(lambda v: z * v, onp.ones(N))
    onp.testing.assert_allclose(applied, polynomial(x), rtol=1e-11)
    out = abs(x) > 1
    onp.testing.assert_array_equal(q.outside(z), out)
    onp.testing.assert_allclose(q.inverse(applied[out]), z[out], rtol=1e-12)
    onp.testing.assert_allclose(q.slope(z[out]), abs(polynomial.deriv()(x[out])) / 0.7, rtol=1e-11)


def test_a_filter_for_both_ends_is_designed_by_the_modulus():
    w = onp.sort(onp.random.default_rng(0).uniform(-1, 1, 1000))
    spectrum = looked(w, onp.random.default_rng(1).standard_normal(1000), 0)
    q = design(spectrum.ritz, spectrum.count, spectrum.lower, 5, 0)
    assert q.both
    assert q.centre == 0
    assert q.degree % 2 == 1
    assert 5 < onp.count_nonzero(q.outside(w)) < 80
    halfwidths, outermost = [], -1.001 * q.halfwidth
    while q.degree > 1:
        halfwidths.append(q.halfwidth)
        q = widened(q, outermost)
    assert onp.all(onp.diff(halfwidths) < 0)
    assert q.inverse(onp.array(-3.0)) == pytest.approx(outermost)


@pytest.mark.parametrize("side", [1, -1])
def test_a_filter_that_is_made_wider_ends_without_one(side):
    q = Chebyshev(side * 0.5, side * 0.5, 20)
    edges, lower = [], []
    for _ in range(40):
        edges.append(side * (q.centre + q.halfwidth))
        if q.degree == 1:
            break
        lower.append(side * (q.centre - q.halfwidth))
        q = widened(q, side * 1.001)
    onp.testing.assert_allclose(lower, 0, atol=1e-13)  # the other end of the spectrum stays inside
    assert q.degree == 1
    assert onp.all(onp.diff(edges) < 0)
    x = (side * onp.array([0.0, 1.0]) - q.centre) / q.halfwidth
    assert onp.all(x > 1.5)
    assert x[1] > x[0]


def test_no_filter_is_increasing():
    for side in (1, -1):
        q = identity_filter(-2.0, 5.0, side)
        onp.testing.assert_allclose((side * onp.array([-2.0, 3.0]) - q.centre) / q.halfwidth, [2, 3])


def test_operators_may_return_their_own_array():
    A, image = with_spectrum(spectrum("simple")), onp.empty(N)

    def apply(v):
        return onp.dot(A, v, out=image) if v.ndim == 1 else A @ v

    found = hermitian_pairs(Request(4, True, "SA"), ValueOperator(A.shape, float, apply, apply, "A"), None, None)
    check(found, A, spectrum("simple"), 4)


def looked(w, start, side):
    space = lanczos(onp.diag(w), start, dimension=LOOK)
    for _ in range(LOOK):
        space.step()
    return survey(space, side)


def test_look_counts_eigenvalues_and_bounds_the_spectrum():
    w = onp.sort(onp.random.default_rng(0).standard_normal(1000))
    for side in (1, -1):
        spectrum = looked(w, onp.random.default_rng(1).standard_normal(1000), side)
        assert spectrum.lower <= onp.min(side * w)
        assert spectrum.norm >= onp.max(abs(w))
        assert not spectrum.clustered()
        assert not spectrum.multiple(5)
        for ritz, count in zip(spectrum.ritz, spectrum.count, strict=True):
            assert abs(onp.count_nonzero(side * w >= ritz) - count) < 100
        q = design(spectrum.ritz, spectrum.count, spectrum.lower, 5, side)
        edge = side * (q.centre + q.halfwidth)
        assert 5 < onp.count_nonzero(side * w > edge) < 80
        assert side * (q.centre - q.halfwidth) <= onp.min(side * w)
    w[:500] = w[0]
    spectrum = looked(w, onp.ones(1000), -1)
    assert spectrum.multiple(5)
    onp.testing.assert_allclose(spectrum.count[0], 250, atol=30)
    q = design(spectrum.ritz, spectrum.count, spectrum.lower, 5, -1, multiple=True)
    assert w[0] < q.edge < w[500]
    assert q.degree < 10
    w[:3] = -1e6
    assert looked(w, onp.ones(1000), 1).clustered()


# ---- through `eigsh` ---------------------------------------------------------------------------

BASE = grid(17, 15)
POTENTIAL = onp.random.default_rng(3).random(255)
WEIGHT = onp.random.default_rng(4).standard_normal(255)


def traced(p, sigma, loss, reports, field):
    H = HERMITIAN[field]
    if sigma is None:
        A = ka.LinearOperator((255, 255), lambda v: np.dot(H, v) + p * POTENTIAL * v, dtype=H.dtype)
    else:
        A = H + p * np.diag(POTENTIAL)
    options, which = ka.Adjoint(callback=reports.append), "SA" if sigma is None else "LM"
    w, X = ka.eigsh(A, k=4, sigma=sigma, which=which, adjoint=options)
    return np.sum(w * np.arange(1, 5)) if loss == "values" else np.sum(np.abs(np.dot(WEIGHT, X)) ** 2 * w)


DENSE = BASE.toarray()
HERMITIAN = {"real": DENSE, "complex": DENSE + 0.3j * (onp.eye(255, k=1) - onp.eye(255, k=-1))}


def dense_gradient(p, sigma, loss, field):
    """Perturbation theory with all eigenvectors."""
    w, X = la.eigh(HERMITIAN[field] + p * onp.diag(POTENTIAL))
    i = onp.sort(onp.argsort(abs(w - sigma))[:4]) if sigma is not None else onp.arange(4)
    D = X.conj().T @ (POTENTIAL[:, None] * X)
    dw = onp.diagonal(D)[i].real
    if loss == "values":
        return float(dw @ onp.arange(1, 5))
    gaps = w[i] - w[:, None]
    F = onp.where(gaps == 0, 0, D[:, i] / onp.where(gaps == 0, 1, gaps))
    dX = X @ F
    c = WEIGHT @ X[:, i]
    return float(onp.sum(2 * (c.conj() * (WEIGHT @ dX)).real * w[i] + abs(c) ** 2 * dw))


@pytest.mark.parametrize("sigma", [None, -0.05, 2.345])
@pytest.mark.parametrize("loss", ["values", "vectors"])
@pytest.mark.parametrize("field", FIELDS)
def test_gradients_against_the_dense_formula(field, loss, sigma):
    reports = []
    g = grad(lambda p: traced(p, sigma, loss, reports, field))(0.7)
    assert reports[0].method.endswith("Lanczos")
    onp.testing.assert_allclose(g, dense_gradient(0.7, sigma, loss, field), rtol=1e-8)


COVERED_NOT = {
    "both ends": {"which": "BE"},
    "highest next to sigma": {"sigma": -0.05, "which": "LA"},
    "buckling": {"sigma": 0.5, "mode": "buckling", "M": True},
    "cayley": {"sigma": -0.05, "mode": "cayley"},
    "M without sigma": {"M": True, "which": "SA"},
    "order 200": {"n": 200, "which": "SA"},
    "a basis without room": {"ncv": 7, "which": "SA"},
}


@pytest.mark.parametrize("name", COVERED_NOT)
def test_arpack_has_the_rest(name):
    arguments, reports = dict(COVERED_NOT[name]), []
    n = arguments.pop("n", 255)
    if arguments.pop("M", False):
        arguments["M"] = onp.diag(onp.linspace(1, 2, n))
    if "which" not in arguments:
        arguments["which"] = "LM"

    def f(p):
        A = DENSE[:n, :n] + p * np.diag(POTENTIAL[:n])
        return np.sum(ka.eigsh(A, k=4, adjoint=ka.Adjoint(callback=reports.append), **arguments)[0])

    grad(f)(0.7)
    assert reports[0].method == "ARPACK"
    w = spla.eigsh(DENSE[:n, :n] + 0.7 * onp.diag(POTENTIAL[:n]), k=4, **arguments)[0]
    onp.testing.assert_allclose(f(0.7), onp.sum(w), rtol=1e-10)


@pytest.mark.parametrize(("n", "method"), [(200, "ARPACK"), (201, "Lanczos")])
@pytest.mark.parametrize("field", FIELDS)
def test_our_solver_starts_past_200(n, method, field):
    reports = []

    def f(p):
        A = HERMITIAN[field][:n, :n] + p * np.diag(POTENTIAL[:n])
        return np.sum(ka.eigsh(A, k=3, which="SA", adjoint=ka.Adjoint(callback=reports.append))[0])

    grad(f)(0.7)
    assert reports[0].method.endswith(method)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("zeros", [0, 3])
@pytest.mark.parametrize("field", FIELDS)
def test_the_smallest_modulus_at_an_end_of_the_spectrum(field, zeros, sign):
    w = onp.linspace(0.2, 3, N)
    w[:zeros] = 0  # of which rounding makes values of either sign
    A = sign * with_spectrum(w, field=field)
    found, applications = solve(A, 5, which="SM")
    onp.testing.assert_allclose(onp.sort(abs(found.w)), w[:5], atol=1e-13)
    onp.testing.assert_allclose(found.X.conj().T @ found.X, onp.eye(5), atol=1e-13)
    assert applications < 900


@pytest.mark.parametrize("field", FIELDS)
def test_the_smallest_modulus_inside_is_left_to_arpack_after_a_look(field):
    for w in (onp.linspace(-1, 1, N), onp.append(onp.linspace(0.5, 3, N - 1), -0.6)):
        found, applications = solve(with_spectrum(onp.sort(w), field=field), 3, which="SM")
        assert found is None
        assert applications < 400  # the second one: only the pairs at the end show that there is a negative one


@pytest.mark.parametrize("vectors", [True, False])
@pytest.mark.parametrize("arguments", [{"which": "SA"}, {"which": "LA"}, {"sigma": -0.1}, {"sigma": 2.345}])
def test_values_and_order_are_scipys(arguments, vectors):
    A = BASE + sp.diags(POTENTIAL)
    seen = []

    def f(p):
        result = ka.eigsh(DENSE + p * np.diag(POTENTIAL), k=5, return_eigenvectors=vectors, **arguments)
        w = result[0] if vectors else result
        seen.append(onp.array(getattr(w, "_value", w)))
        return np.sum(w)

    grad(f)(1.0)
    expected = spla.eigsh(A, k=5, return_eigenvectors=vectors, **arguments)
    onp.testing.assert_allclose(seen[0], expected[0] if vectors else expected, rtol=1e-10)


@pytest.mark.parametrize("k", [2, 6])
def test_a_cut_cluster_is_named_for_values_without_matrix_or_inverse(k):
    """The cube's triple and sixfold eigenvalues, of which k takes one or two."""
    A, calls = grid(7, 7, 7).toarray(), [0]

    def f(p, k):
        def matvec(v):
            calls[0] += 1
            return np.dot(A, v) + p * v[::-1]

        return np.sum(
            ka.eigsh(ka.LinearOperator((343, 343), matvec, dtype=float), k=k, which="SA", v0=onp.ones(343))[0]
        )

    with pytest.warns(ka.DegeneracyWarning):
        grad(f)(0.0, k)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grad(f)(0.0, 4)  # one and three


@pytest.mark.parametrize("way", ["lowest", "below"])
@pytest.mark.parametrize(("dtype", "shift", "gap"), [("f", 0.0, 4e-6), ("f", 3.0, 3e-5), ("d", 1e4, 1e-10)])
def test_a_cut_is_known_as_far_as_rounding_tells_nothing_apart(dtype, shift, gap, way):
    """Farther away than relative nearness in the operator that Lanczos works on."""
    levels = onp.linspace(0.01, 1, N - 1)
    levels = onp.sort(onp.append(levels, levels[1] + gap))
    matrix, levels = onp.diag(levels + shift).astype(dtype), levels + shift

    def f(p):
        A = ka.aslinearoperator(matrix) * p
        if way == "lowest":
            A = ka.LinearOperator((N, N), A.matvec, dtype=matrix.dtype)
            return ka.eigsh(A, k=2, which="SA")[0][1]
        return ka.eigsh(A, k=2, sigma=shift)[0][1]

    with pytest.warns(ka.DegeneracyWarning):
        assert abs(grad(f)(matrix.dtype.type(1.0)) - levels[1]) < 1e-3 * levels[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"which": "SA", "Minv": spla.aslinearoperator(onp.eye(255))}, "Minv"),
        ({"sigma": -0.05, "Minv": spla.aslinearoperator(onp.eye(255))}, "Minv"),
        ({"which": "SA", "ncv": 3}, "ncv"),
        ({"which": "SA", "maxiter": 0}, "maxiter"),
        ({"which": "SA", "k": 0}, "k"),
        ({"which": "sa"}, "which"),
    ],
)
def test_what_scipy_refuses_is_refused(arguments, message):
    """A traced call has no other arguments than SciPy's."""
    arguments = {"k": 3, **arguments}
    for call in (spla.eigsh, lambda A, **rest: grad(lambda p: np.sum(ka.eigsh(A * p, **rest)[0]))(1.0)):
        with pytest.raises(ValueError, match=message):
            call(DENSE, **arguments)


def test_random_vectors_see_modes_where_the_mass_is_small():
    """A mode on degrees of freedom with 1e-12 of the others' mass, of which the start vector has nothing."""
    mass = onp.ones(N)
    mass[7] = 1e-12
    levels = onp.linspace(1, 100, N)
    levels[7] = 1.82  # hardly more wanted than the last one, so that it does not stand out
    v0 = onp.random.default_rng(0).standard_normal(N)
    v0[7] = 0
    found, _ = solve(sp.diags(levels * mass).tocsc(), 3, M=sp.diags(mass).tocsc(), sigma=-1.0, v0=v0)
    onp.testing.assert_allclose(found.w, onp.sort(levels)[:3], rtol=1e-9)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("distance", [1e-8, 1e-9, 1e-12, 0.0])
def test_sigma_next_to_an_eigenvalue_of_many_copies(distance, field):
    """T's rounding is that of its largest value, of which every vector of a Krylov space has some."""
    rng = onp.random.default_rng(1)
    G = rng.standard_normal((10, 10)) + (1j * rng.standard_normal((10, 10)) if field == "complex" else 0)
    block = 0.5 * (G + G.conj().T)
    A = ka.aslinearoperator(sp.csc_array(sp.block_diag([block] * 40)))
    w = onp.linalg.eigvalsh(block)[5]
    # Of several copies ARPACK, which solves where ours is spoiled, may miss some: as it always did there.
    found, X = ka.eigsh(A, k=1, sigma=w + distance, v0=rng.standard_normal(400))
    onp.testing.assert_allclose(found, w, atol=1e-13)
    assert onp.max(onp.linalg.norm(A @ X - X * found, axis=0)) < 1e-11
