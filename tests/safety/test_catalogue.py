"""The catalogue of wrong derivatives, as far as no other file has it.

Elsewhere: 1, 2, 3, 9, 13 test_gradients.py; 14, 15 test_anchor.py; 11, 12, 16, 18, 19, 20 test_resources.py;
17 test_inputs.py; 4, 5, 8, 10, 20 in their first form test_clusters.py. References here are closed forms
of the construction (tests/safety/closed_forms.py) and the dense oracle.
"""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from asking import ask, assembled, attach, complex_weights, different
from autograd import grad, make_jvp
from closed_forms import (
    AUTOGRAD,
    Density,
    Subspace,
    Values,
    bulk,
    chiral_system,
    cyclic_system,
    doubled_system,
    gaussian,
    general_system,
    gradient_of_density,
    gradient_of_pairs,
    hermitian_system,
    jordan_system,
    symmetrised,
    unitary,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import cotangent, pairing, reference_pairs
from problems import loss_weights, mixed_loss, mixed_loss_cotangents

import krylov_adj as ka
from krylov_adj.perturbation import engines

N = 30


def relative(g, expected):
    return onp.linalg.norm(g - expected) / onp.linalg.norm(expected)


def quietly(gradient):
    """The gradient, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return gradient()


def methods(hermitian):
    return ["dense", "gmres", "direct", *(["minres"] if hermitian else [])]


# ---- 4: clusters whatever their basis, order, company -------------------------------------------


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("method", methods(True))
def test_4_any_basis_any_order_any_company(is_complex, method):
    """Catalogue 4: the pairs of a complete cluster may be mixed and shuffled, with others among them."""
    rng = onp.random.default_rng(0)
    system = hermitian_system(rng, N, [3.0, 3.0, 3.0, 2.0], is_complex)
    loss = Density(symmetrised(gaussian(rng, (N, N), is_complex)), (1.0, 0.0, 0.0), 0.7)
    expected = gradient_of_density(system, range(3), loss)
    for order in ([0, 1, 2], [2, 0, 1], [3, 1, 2, 0], [0, 3, 1, 2]):
        mixing = onp.eye(4, dtype=complex if is_complex else float)
        mixing[:3, :3] = unitary(rng, 3, is_complex)
        mixing = mixing[onp.ix_(range(4), order)] if len(order) == 4 else mixing[:3, :3][:, order]
        members = [i for i, j in enumerate(order) if j < 3]

        def of_members(xp, w, X, members=members):
            return loss(xp, w[onp.array(members)], X[:, onp.array(members)])

        # With the simple pair among them the eigenvalues are shuffled too.
        w = system.w.real[:4] if len(order) == 4 else system.w.real[:3]
        X = (system.V[:, :4] if len(order) == 4 else system.V[:, :3]) @ mixing
        w = w[order]

        def f(p, w=w, X=X, of_members=of_members):
            A = assembled(system.A, system.dA, p, "dense")
            pairs = ka.attach_eigenpairs(A, w, X, hermitian=True, adjoint=ka.Adjoint(method=method))
            return of_members(AUTOGRAD, *pairs)

        assert relative(quietly(lambda f=f: grad(f)(onp.zeros(3))), expected) < 1e-8


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-6, 1e-7, 1e-9])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("pencil", [False, True])
@pytest.mark.parametrize("form", ["dense", "closure"])
def test_4_vectors_that_arpack_returns_not_quite_orthogonal(gap, is_complex, pencil, form):
    """Catalogue 4: ARPACK's vectors of a cluster are orthogonal to ε/gap only, which the gap divides again."""
    worst = 0.0
    for seed in range(4):
        rng = onp.random.default_rng(seed)
        system = hermitian_system(rng, N, 3.0 + gap * onp.arange(3), is_complex, condition=30.0 if pencil else None)
        loss = Density(symmetrised(gaussian(rng, (N, N), is_complex)), (1.0, 0.0, 0.0), 0.7)
        gradient = ask(system, range(3), loss, which="LA", form=form, check=1.0, ncv=N - 1)
        worst = max(worst, relative(quietly(gradient), gradient_of_density(system, range(3), loss)))
    assert worst < 1e-8


def test_4_and_pairs_given_by_others_not_quite_orthogonal():
    """Catalogue 4: residuals of 1e-15 at a gap of 1e-6 admit vectors orthogonal to 1e-9 only."""
    rng = onp.random.default_rng(1)
    system = hermitian_system(rng, N, [3.0, 3.0 + 1e-6], False)
    loss = Density(symmetrised(gaussian(rng, (N, N), False)), (1.0, 0.0, 0.0), 0.7)
    tilt = onp.array([[1.0, 1e-9], [0.0, 1.0]])
    assert (
        relative(quietly(attach(system, range(2), loss, rotation=tilt)), gradient_of_density(system, [0, 1], loss))
        < 1e-8
    )


@pytest.mark.parametrize("is_real", [False, True])
@pytest.mark.parametrize("method", methods(False))
def test_4_invariant_subspaces_of_a_matrix_that_is_not_hermitian(is_real, method):
    """Catalogue 4: a multiple eigenvalue with as many vectors; its mean and the projector on its space."""
    for seed in range(3):
        rng = onp.random.default_rng(seed)
        system = general_system(rng, N, [2.5, 2.5, 2.5], is_real=is_real, condition=20.0)
        for loss in (Subspace(symmetrised(gaussian(rng, (N, N), True))), Values(onp.ones(3), onp.full(3, 0.3))):
            mixing = unitary(rng, 3, not is_real)
            gradient = attach(system, range(3), loss, rotation=mixing, options=ka.Adjoint(method=method))
            assert relative(quietly(gradient), gradient_of_pairs(system, range(3), loss, [range(3)])) < 1e-8


def test_4_forward_mode_of_a_function_of_the_eigenspace():
    """Catalogue 4: the tangents of single vectors are arbitrary there, what the projector gets of them is not."""
    rng = onp.random.default_rng(3)
    for gap in (0.0, 1e-8, 1e-3):
        system = hermitian_system(rng, N, [3.0, 3.0 + gap], True)
        loss = Density(symmetrised(gaussian(rng, (N, N), True)), (1.0, 0.0, 0.0), 0.7)
        forward = ask(system, range(2), loss, which="LA", mode="forward", check=1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ka.GaugeWarning)
            g = forward()
        assert relative(g, gradient_of_density(system, range(2), loss)) < max(1e-8, 1e-13 / gap if gap else 0)


# ---- 5: losses that read the members of a cluster ------------------------------------------------

SPECTRA = {
    "top": lambda rng: ("LA", [3.0, 3.0], None),
    "null space": lambda rng: ("SA", [0.0, 0.0], 1.5 + 0.4 * bulk(rng, N - 2)),
    "small beside the norm": lambda rng: ("SA", [3.0, 3.0], 1e5 * (1.5 + 0.4 * bulk(rng, N - 2))),
}


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("what", ["vectors", "values"])
def test_5_reading_a_member_gives_exactly_one_warning(spectrum, what, is_complex):
    """Catalogue 5: however small the eigenvalue is beside ‖A‖, which is what rounding is relative to."""
    for seed in range(4):
        rng = onp.random.default_rng(seed)
        which, top, rest = SPECTRA[spectrum](rng)
        system = hermitian_system(rng, N, top, is_complex, rest=rest)
        loss = (
            different(rng, N, 2, is_complex, a=0.0)
            if what == "vectors"
            else Values(onp.array([1.0, 2.0]), onp.zeros(2))
        )
        gradient = ask(system, range(2), loss, which=which, check=onp.inf, ncv=N - 1)
        category = ka.GaugeWarning if what == "vectors" else ka.DegeneracyWarning
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            g = gradient()
        assert [entry.category for entry in caught] == [category]
        assert onp.all(onp.isfinite(g))


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_5_a_legal_loss_of_such_a_cluster_is_right(spectrum, is_complex):
    """Catalogue 5: and no needless word."""
    for seed in range(4):
        rng = onp.random.default_rng(seed)
        which, top, rest = SPECTRA[spectrum](rng)
        system = hermitian_system(rng, N, top, is_complex, rest=rest)
        loss = Density(symmetrised(gaussian(rng, (N, N), is_complex)), (1.0, 0.0, 0.0), 0.7)
        gradient = ask(system, range(2), loss, which=which, check=onp.inf, ncv=N - 1)
        assert relative(quietly(gradient), gradient_of_density(system, range(2), loss)) < 1e-8


@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize("method", methods(False))
def test_5_a_simple_pair_beside_a_multiple_one_that_is_not_hermitian(k, method):
    """Catalogue 5: the multiple eigenvalue left out, cut, and complete."""
    rng = onp.random.default_rng(5)
    system = general_system(rng, N, [4.0, 3.0, 3.0, 3.0], condition=10.0)
    loss = complex_weights(rng, N, 1)

    def of_simple(xp, w, X):
        return loss(xp, w[:1], X[:, :1])

    gradient = ask(system, range(k), of_simple, which="LR", check=1.0, options=ka.Adjoint(method=method))
    assert relative(quietly(gradient), gradient_of_pairs(system, [0], loss)) < 1e-8


def test_5_members_of_a_cluster_that_is_not_hermitian():
    """Catalogue 5: there the split of a multiple eigenvalue is no more smooth than that of a Hermitian one."""
    rng = onp.random.default_rng(6)
    system = general_system(rng, N, [3.0, 3.0], condition=5.0)
    for loss in (Values(onp.array([1.0, 2.0]), onp.zeros(2)), complex_weights(rng, N, 2)):
        with pytest.warns((ka.DegeneracyWarning, ka.GaugeWarning)):
            attach(system, range(2), loss)()


# ---- 6 and 7: equal modulus; conjugate pairs -----------------------------------------------------


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(
    ("n", "method"),
    [(30, method) for method in ("auto", *methods(True))]
    + [(240, method) for method in ("auto", *methods(True)) if method not in ("dense", "gmres")],  # slow there
)
def test_6_plus_and_minus_of_one_modulus(is_complex, method, n):
    """Catalogue 6: which="LM" sees ±λ as equal; two of them, four, and a pair that k cuts."""
    rng = onp.random.default_rng(7)
    system = chiral_system(rng, n, [3.0, 2.0, 1.5], is_complex)
    options = ka.Adjoint(method=method)
    for k in (2, 4):
        loss = different(rng, n, k, is_complex)
        gradient = ask(system, range(k), loss, options=options)
        assert relative(quietly(gradient), gradient_of_pairs(system, range(k), loss)) < 1e-7

    def even(xp, w, X):  # the same for both members
        return xp.sum(xp.real(xp.conj(X) * X) ** 2) + xp.sum(w**2)

    gradient = ask(system, [0], even, options=options, key=onp.abs, check=1.0)
    assert relative(quietly(gradient), gradient_of_pairs(system, [0], even)) < 1e-7


@pytest.mark.parametrize("method", ["auto", *methods(False)])
@pytest.mark.parametrize("k", [3, 6])
def test_6_block_cyclic(method, k):
    """Catalogue 6: w, w e^{2πi/3}, w e^{4πi/3} for every w (KrylovKit's issue 98)."""
    rng = onp.random.default_rng(8)
    system = cyclic_system(rng, 12, [20.0 + 2j, 8.0 - 1j])
    loss = complex_weights(rng, system.n, k)
    gradient = ask(system, range(k), loss, options=ka.Adjoint(method=method))
    assert relative(quietly(gradient), gradient_of_pairs(system, range(k), loss)) < 1e-8


@pytest.mark.parametrize("method", ["auto", *methods(False)])
@pytest.mark.parametrize("imag", [1.0, 1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("k", [1, 2])
def test_7_a_conjugate_pair_that_straddles_k(method, imag, k):
    """Catalogue 7: the loss is real and the same for both members; the gradient is real and right."""
    rng = onp.random.default_rng(9)
    system = general_system(rng, N, [2.5 + 1j * imag], is_real=True, condition=10.0)
    profile, W = rng.uniform(0.5, 2, (N, 1)), gaussian(rng, (N, N), False)

    def loss(xp, w, X):
        w, X = w[:1], X[:, :1]
        return xp.sum(xp.real(w**2)) + xp.sum(profile * xp.real(xp.conj(X) * X) ** 2) + xp.sum(xp.abs(W @ X) ** 4)

    def upper(w):
        return w.real + 1j * onp.abs(w.imag)

    expected = gradient_of_pairs(system, [0], loss)
    gradient = ask(
        system, range(k), loss, which="LR", options=ka.Adjoint(method=method), key=upper if k == 1 else onp.asarray,
        check=1.0 if k == 1 else 2 * imag,
    )  # fmt: skip
    g = quietly(gradient)
    assert g.dtype == onp.float64
    assert relative(g, expected) < max(1e-8, 100 * system.error / imag)


# ---- 8 and 10: cut clusters, defects --------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", *methods(False)])
@pytest.mark.parametrize("what", ["vectors", "values"])
def test_8_a_cut_cluster_that_is_not_hermitian(method, what):
    """Catalogue 8. Of a loss of the eigenvalue alone every system is consistent: the cut is looked for."""
    for seed in range(4):
        rng = onp.random.default_rng(seed)
        top = [3.0, 3.0] if seed % 2 else [3.0 + 0.7j, 3.0 + 0.7j]
        system = general_system(rng, N, top, is_real=bool(seed % 2), condition=5.0)
        loss = complex_weights(rng, N, 1) if what == "vectors" else Values(onp.ones(1), onp.zeros(1))
        gradient = ask(system, [0], loss, which="LR", options=ka.Adjoint(method=method), check=1.0, ncv=N - 2)
        if what == "values":
            with pytest.warns(ka.DegeneracyWarning, match="increase k"):
                gradient()
            continue
        with pytest.raises(
            (ka.AdjointNoConvergence, ka.DefectiveEigenvalueError), match=r"increase k|condition number"
        ):
            gradient()


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("hermitian", [False, True])
def test_8_eigenvalues_of_a_cut_cluster_by_shift_invert(hermitian, is_complex, monkeypatch):
    """Catalogue 8: with an inverse at hand the cut is seen, whatever the loss; and none where there is none."""
    monkeypatch.setattr(engines, "DENSE_ORDER", 0)
    for seed in range(4):
        rng = onp.random.default_rng(seed)
        top = [3.0, 3.0, 2.5]
        if hermitian:
            system = hermitian_system(rng, N, top, is_complex, condition=20.0 if seed % 2 else None)
        else:
            top = onp.array(top) + (0.7j if is_complex else 0)
            system = general_system(rng, N, top, is_real=not is_complex, condition=5.0)
        for k, complete in ((1, False), (2, True), (3, True)):
            loss = Values(onp.ones(k), onp.zeros(k))
            gradient = ask(system, range(k), loss, sigma=3.3, check=0.4, ncv=N - 2)
            if complete:
                groups = [[0, 1], [2]][: k - 1]
                expected = gradient_of_pairs(system, range(k), loss, groups)
                assert relative(quietly(gradient), expected) < 1e-8
            else:
                # A double eigenvalue that rounding has made a complex pair is seen as a pair that k cuts.
                with pytest.warns(ka.DegeneracyWarning, match="increase k"):
                    gradient()


def test_8_normal_matrices_and_their_consistent_systems():
    """Catalogue 8: of a circulant matrix left and right eigenvectors coincide, and nothing is left to solve."""
    first = onp.zeros(N)
    first[1], first[-1], first[2] = 1.0, 0.25, -0.3
    C = la.circulant(first)

    def f(p, A):
        D = onp.diag(onp.arange(1.0, len(A) + 1))
        options = ka.Adjoint(method="gmres")
        w, _ = ka.eigs(ka.aslinearoperator(A) + ka.aslinearoperator(D) * p, k=2, which="LI", rng=0, adjoint=options)
        return np.sum(np.real(w))

    # Eigenvectors are waves, |x|² = 1/n: both derivatives are the mean of D.
    assert abs(grad(f)(0.0, C) - (N + 1)) < 1e-8
    with pytest.warns(ka.DegeneracyWarning, match="increase k"):
        grad(f)(0.0, onp.kron(onp.eye(2), C))


@pytest.mark.parametrize("method", ["auto", *methods(True)])
@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("felt", [True, False])
def test_8_a_neighbour_at_a_resolved_gap_is_no_failure(method, gap, felt):
    """Catalogue 8: right to ε/gap, whether or not the loss feels the neighbour that k leaves out.

    Where it does not, the solution has no component of 1/gap in front of which a residual were small,
    and a residual of rtol would be an error of rtol/gap.
    """
    rng = onp.random.default_rng(11)
    system = hermitian_system(rng, N, [3.0, 3.0 - gap], True)
    loss = different(rng, N, 1, True)
    if not felt:
        x, near = system.V[:, :1], system.V[:, 1:2]
        y = gaussian(rng, (N, 1), True)
        y = y - system.V[:, :2] @ (system.V[:, :2].conj().T @ y) + gap * near
        loss = type(loss)(symmetrised(x @ y.conj().T), loss.a, loss.b)
    gradient = ask(system, [0], loss, which="LA", options=ka.Adjoint(method=method), ncv=N - 1)
    assert relative(quietly(gradient), gradient_of_pairs(system, [0], loss)) < 1e-6 + 100 * system.error / gap


@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("method", ["auto", *methods(False)])
def test_8_and_of_a_matrix_that_is_not_hermitian(gap, method):
    """Catalogue 8: the left vector of an eigenvalue whose neighbour k leaves out."""
    rng = onp.random.default_rng(12)
    system = general_system(rng, N, [3.0, 3.0 - gap], condition=5.0)
    loss = Values(onp.ones(1), onp.zeros(1))
    gradient = ask(system, [0], loss, which="LR", options=ka.Adjoint(method=method), ncv=N - 2)
    assert relative(quietly(gradient), gradient_of_pairs(system, [0], loss)) < 1e-6 + 100 * system.error / gap


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("epsilon", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("rotated", [False, True])
def test_10_near_a_jordan_block(order, epsilon, rotated):
    """Catalogue 10: dλ/dε = ε^(1/m − 1)/m, or (at a condition number past which digits are lost) said."""
    rng = onp.random.default_rng(13)
    system = jordan_system(rng, N, order, epsilon, rotated, bulk(rng, N - order))
    for k in (1, order):
        loss = Values(onp.ones(k) / k, onp.zeros(k))
        gradient = ask(system, range(k), loss, which="LR", check=system.gap(range(order)))
        expected = gradient_of_pairs(system, range(k), loss)
        if k == 1:
            onp.testing.assert_allclose(expected[0], epsilon ** (1 / order - 1) / order, rtol=1e-7)
        attainable = system.error / epsilon
        if attainable < 1e-9:
            assert relative(quietly(gradient), expected) < max(1e-8, 100 * attainable)
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                g = gradient()
            except (ka.DefectiveEigenvalueError, ka.AdjointNoConvergence):  # test_10_at_a_jordan_block reads the texts
                assert attainable > 1e-6
                continue
        assert relative(g, expected) < max(1e-8, 100 * attainable)
        assert {entry.category for entry in caught} <= {ka.DegeneracyWarning}
        assert caught or attainable < 1e-4


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("what", ["vectors", "values"])
@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("method", ["auto", *methods(False)])
def test_10_at_a_jordan_block(order, rotated, what, mode, method):
    """Catalogue 10: an error, or a warning of the condition number, for one pair of the block and for all."""
    for seed in range(3):
        rng = onp.random.default_rng(seed)
        system = jordan_system(rng, N, order, 0.0, rotated, bulk(rng, N - order))
        for k in (1, order):
            loss = complex_weights(rng, N, k) if what == "vectors" else Values(1.0 + onp.arange(k), onp.zeros(k))
            options = ka.Adjoint(method=method)
            gradient = ask(system, range(k), loss, which="LR", check=onp.inf, options=options, mode=mode)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(
                    (ka.DefectiveEigenvalueError, ka.AdjointNoConvergence, ka.DegeneracyWarning),
                    match=r"condition number|increase k",
                ):
                    gradient()


# ---- 12 and 13: tolerances and transformations ----------------------------------------------------


@pytest.mark.parametrize("hermitian", [True, False])
def test_12_the_error_falls_with_the_forward_tolerance(hermitian):
    """Catalogue 12: in proportion to tol, no faster and no slower than its residuals do."""
    rng = onp.random.default_rng(14)
    n = 300
    if hermitian:
        system = hermitian_system(rng, n, [1.08, 1.05], True)
        loss = different(rng, n, 2, True)
    else:
        system = general_system(rng, n, [1.3 + 0.2j, 1.2], condition=3.0)
        loss = complex_weights(rng, n, 2)
    expected = gradient_of_pairs(system, range(2), loss)
    which = "LA" if hermitian else "LR"
    errors = []
    for tol in (1e-4, 1e-7, 1e-10):
        errors.append(relative(quietly(ask(system, range(2), loss, which=which, tol=tol, ncv=12)), expected))
        assert errors[-1] < 1e3 * tol
    assert errors[0] > 30 * errors[1] > 900 * errors[2]


@pytest.mark.parametrize("is_complex", [False, True])
def test_13_gradients_of_a_pencil_transform_with_it(is_complex):
    """Catalogue 13: A + cM, sA, tM, and a congruence of both."""
    rng = onp.random.default_rng(15)
    system = hermitian_system(rng, N, [3.0, 2.5], is_complex, condition=30.0)
    S = gaussian(rng, (N, N), is_complex) + 5 * onp.eye(N)
    loss = different(rng, N, 2, is_complex, quartic=False)

    def gradient(A, M, directions, W, shift=0.0, scale=1.0, mass=1.0):
        dA, dM = directions

        def f(p):
            w, X = ka.eigsh(assembled(A, dA, p, "algebra"), k=2, M=assembled(M, dM, p, "algebra"), which="LA",
                            v0=onp.ones(N))  # fmt: skip
            w = (w - shift) * mass / scale
            return type(loss)(W, loss.a, loss.b)(AUTOGRAD, w, X * mass**0.5)

        return grad(f)(onp.zeros(3))

    A, M, dA, dM, W = system.A, system.M, system.dA, system.dM, loss.W
    expected = gradient(A, M, (dA, dM), W)
    shifted = [D + 0.7 * E for D, E in zip(dA, dM, strict=True)]
    onp.testing.assert_allclose(gradient(A + 0.7 * M, M, (shifted, dM), W, shift=0.7), expected, rtol=1e-8, atol=1e-9)
    scaled = [1e-5 * D for D in dA]
    onp.testing.assert_allclose(gradient(1e-5 * A, M, (scaled, dM), W, scale=1e-5), expected, rtol=1e-8, atol=1e-9)
    heavy = [1e4 * D for D in dM]
    onp.testing.assert_allclose(gradient(A, 1e4 * M, (dA, heavy), W, mass=1e4), expected, rtol=1e-8, atol=1e-9)
    congruent = [symmetrised(S.conj().T @ D @ S) for D in (A, M, *dA, *dM)]
    g = gradient(congruent[0], congruent[1], (congruent[2:5], congruent[5:]), S.conj().T @ W @ S)
    onp.testing.assert_allclose(g, expected, rtol=1e-8, atol=1e-9)


# ---- 20: signs and normalisation -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dense", "minres"])
def test_20_a_sign_dependent_loss_through_canonical_phase(method):
    """Catalogue 20: linear in a real vector; with the convention it is the same for every start vector."""
    rng = onp.random.default_rng(16)
    system = hermitian_system(rng, N, [3.0, 2.5], False)
    u = rng.normal(size=(N, 2))
    pivot = onp.argmax(onp.abs(system.V[:, :2]), axis=0)
    signs = onp.sign(system.V[pivot, [0, 1]])

    def f(p, v0):
        w, X = ka.eigsh(assembled(system.A, system.dA, p, "dense"), k=2, which="LA", v0=v0,
                        adjoint=ka.Adjoint(method=method))  # fmt: skip
        order = onp.argsort(-onp.asarray(w._value if hasattr(w, "_value") else w))
        return np.sum(u * ka.canonical_phase(X[:, order])) ** 3

    def reference(xp, w, X):
        return xp.sum(u * (X * signs)) ** 3

    expected = gradient_of_pairs(system, [0, 1], reference)
    for seed in range(6):
        v0 = onp.random.default_rng(seed).normal(size=N)
        assert relative(grad(f)(onp.zeros(3), v0), expected) < 1e-8


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_20_a_projector_of_a_degenerate_pair_with_a_moving_mass(is_complex, given):
    """Catalogue 20: whatever basis of the pair comes back or is given."""
    rng = onp.random.default_rng(17)
    system = hermitian_system(rng, N, [3.0, 3.0], is_complex, condition=50.0)
    loss = Density(symmetrised(gaussian(rng, (N, N), is_complex)), (1.0, 0.0, 0.0), 0.7)
    if given:
        gradient = attach(system, range(2), loss, rotation=unitary(rng, 2, is_complex))
    else:
        gradient = ask(system, range(2), loss, which="LA", check=1.0, ncv=N - 1)
    assert relative(quietly(gradient), gradient_of_density(system, range(2), loss)) < 1e-8


@pytest.mark.parametrize("is_complex", [False, True])
def test_20_projectors_of_close_pairs_of_an_ill_conditioned_mass(is_complex):
    """Catalogue 20: couplings that ought to cancel are noise of terms that M makes larger than they are."""
    for seed in range(24):
        rng = onp.random.default_rng(seed)
        top = onp.r_[3.0 + 1e-12 * onp.arange(3), 2.2]
        system = hermitian_system(rng, N, top, is_complex, condition=1e5)
        loss = Density(symmetrised(gaussian(rng, (N, N), is_complex)), (1.0, 0.0, 0.0), 0.5)
        gradient = ask(system, range(3), loss, which="LA", check=1.0, ncv=N - 1)
        assert relative(gradient(), gradient_of_density(system, range(3), loss)) < 1e-6


def test_20_exact_copies():
    """Catalogue 20: eigenvalues that coincide to the last bit, with all of their directions mixing them."""
    rng = onp.random.default_rng(18)
    system = doubled_system(rng, N, [3.0], True, 3)
    loss = Density(symmetrised(gaussian(rng, (N, N), True)), (1.0, 0.0, 0.0), 0.7)
    gradient = ask(system, range(3), loss, which="LA", check=1.0, ncv=N - 1)
    assert relative(quietly(gradient), gradient_of_density(system, range(3), loss)) < 1e-8


# ---- 21: what no one thought of ---------------------------------------------------------------------


@st.composite
def cases(draw):
    """A random eigenproblem, how it is put, and how it is solved."""
    hermitian = draw(st.booleans())
    is_complex = draw(st.booleans())
    dtype = {
        (False, False): "float64", (False, True): "float32", (True, False): "complex128", (True, True): "complex64",
    }[is_complex, draw(st.integers(0, 3)) == 0]  # fmt: skip
    n = draw(st.integers(5, 26))
    form = draw(st.sampled_from(["dense", "algebra", "closure"]))
    names = ["auto", "gmres", "dense"] + (["minres"] if hermitian else []) + (["direct"] if form != "closure" else [])
    return {
        "hermitian": hermitian,
        "dtype": onp.dtype(dtype),
        "n": n,
        "k": draw(st.integers(1, min(n - 3, 5))),
        "pencil": draw(st.booleans()),
        "form": form,
        "method": draw(st.sampled_from(names)),
        "which": draw(st.sampled_from(["LA", "SA", "LM"] if hermitian else ["LR", "SR", "LM"])),
        "scale": draw(st.sampled_from([1.0, 1.0, 1e-6, 1e5])),
        "seed": draw(st.integers(0, 10**6)),
        "mode": draw(st.sampled_from(["reverse", "reverse", "forward"])),
    }


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(cases())
def test_21_random_problems_against_the_dense_oracle(case):
    """Catalogue 21."""
    rng = onp.random.default_rng(case["seed"])
    n, dtype, hermitian, k = case["n"], case["dtype"], case["hermitian"], case["k"]

    def draw():
        S = gaussian(rng, (n, n), dtype.kind == "c")
        return symmetrised(S) if hermitian else S

    matrices = [case["scale"] * draw() for _ in range(3)]
    A0, dA = matrices[0].astype(dtype), [S.astype(dtype) for S in matrices[1:]]
    M0, dM = None, []
    if case["pencil"]:
        F = gaussian(rng, (n, n), dtype.kind == "c")
        M0 = (onp.eye(n) + F @ F.conj().T / n).astype(dtype)
        dM = [symmetrised(gaussian(rng, (n, n), dtype.kind == "c")).astype(dtype) for _ in range(2)]
    double = onp.complex128 if dtype.kind == "c" else onp.float64
    A, M = A0.astype(double), None if M0 is None else M0.astype(double)
    structure = {"hermitian": hermitian, "normalization": "M" if case["pencil"] else "2"}
    solver = ka.eigsh if hermitian else ka.eigs
    v0 = rng.uniform(0.5, 1.5, n).astype(dtype)

    def pairs(p):
        mass = None if M0 is None else assembled(M0, dM, p, "dense" if case["form"] == "closure" else case["form"])
        return solver(assembled(A0, dA, p, case["form"]), k=k, M=mass, which=case["which"], v0=v0,
                      adjoint=ka.Adjoint(method=case["method"]))  # fmt: skip

    p = onp.zeros(2, dtype.type(0).real.dtype)
    w, X = pairs(p)
    everything = onp.linalg.eigvals(A if M is None else onp.linalg.solve(M, A))
    gaps = onp.sort(onp.abs(w[:, None] - everything[None, :]), axis=1)[:, 1]
    assume(gaps.min() > 0.05 * onp.abs(everything).max())
    weights = loss_weights(w / case["scale"], n)

    def f(p):
        w, X = pairs(p)
        return mixed_loss(w / dtype.type(case["scale"]).real, X, np, weights)

    w, X, _ = reference_pairs(A, M, w, X, **structure)
    gw, gX = mixed_loss_cotangents(w / case["scale"], X, weights)
    Abar, Mbar = cotangent(A, M, w, X, gw / case["scale"], gX, **structure)
    expected = onp.array([pairing(Abar, D) for D in dA])
    if dM:
        expected = expected + onp.array([pairing(Mbar, D) for D in dM])
    size = onp.linalg.norm(Abar) * onp.linalg.norm(dA[0]) / n  # a random direction's share of the gradient
    if case["mode"] == "reverse":
        g = grad(f)(p)
        assert g.dtype == p.dtype
    else:
        g = onp.array([make_jvp(f)(p)(e)[1] for e in onp.eye(2, dtype=p.dtype)])
    tolerance = 1e-7 if p.dtype == onp.float64 else 5e-3
    assert onp.linalg.norm(g - expected) < tolerance * (onp.linalg.norm(expected) + size), case
