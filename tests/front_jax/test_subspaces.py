"""Invariant subspaces and functions of small Hermitian matrices in JAX, where eigenvalues meet.

The references know no eigenvector and no gap: contour integrals (`subspaces.py`).
"""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from autograd import grad  # noqa: E402
from small_hermitian import hermitian_family, reference  # noqa: E402
from subspaces import family  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)

ZERO, V = np.zeros(2), np.array([0.6, -0.8])
GAPS = (0.0, 1e-12, 1e-6, 1e-2)
EXACT = kj.Adjoint(rtol=1e-13, on_gauge="raise")
#: Kinds whose second derivatives are taken by reverse over reverse, too.
BOTH = ("hermitian", "jordan2")
#: Programs take long to compile: one for each case serves all gaps.
CASES = [
    ("hermitian", True, "definite"), ("semisimple", False, "definite"), ("jordan2", True, None),
    ("pairs", False, None),
]  # fmt: skip


def error(found, exact):
    found, exact = (np.asarray(x) for x in (found, exact))
    return float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))


def contours(given):
    """Value, gradient and the second derivative along V by contour integrals."""
    f = given.reference
    return f(ZERO), grad(f)(ZERO), grad(lambda p: grad(f)(p) @ V)(ZERO)


def loss_of(given):
    """The family's loss as a function of p and of the matrices, so that one program serves all gaps."""
    where = {"which": "LA" if given.hermitian else "LR", "v0": np.ones(16)}

    def f(p, A, M, W, weights):
        A = A[0] + p[0] * A[1] + p[1] * A[2]
        M = None if M is None else M[0] + p[0] * M[1] + p[1] * M[2]
        X, H = kj.invariant_subspace(A, 5, M, hermitian=given.hermitian, adjoint=EXACT, **where)
        assert jnp.iscomplexobj(X) == jnp.iscomplexobj(H) == (np.iscomplexobj(given.W) or not given.hermitian)
        return given.loss(X, H, jnp, lambda c: W if c is given.W else weights)

    return f


@pytest.mark.parametrize(("kind", "is_complex", "mass"), CASES)
def test_derivatives_are_those_of_contour_integrals_at_every_gap(kind, is_complex, mass):
    given = family(kind, 0.0, is_complex, mass)
    f = loss_of(given)
    staged = jax.jit(
        lambda p, *rest: (
            jax.value_and_grad(f)(p, *rest),
            jax.jvp(lambda p: f(p, *rest), (p,), (V,))[1],
            jax.jvp(lambda p: jax.grad(f)(p, *rest), (p,), (V,))[1],
            *([jax.grad(lambda p: jax.grad(f)(p, *rest) @ V)(p)] if kind in BOTH else []),
        )
    )
    for gap in GAPS:
        given = family(kind, gap, is_complex, mass)
        rest = (np.array(given.A), None if given.M is None else np.array(given.M), given.W, given.V)
        expected, first, second = contours(given)
        (value, g), along, *seconds = staged(ZERO, *rest)
        assert error(value, expected) < 1e-12
        assert error(g, first) < 1e-10
        assert error(along, first @ V) < 1e-10
        for found in seconds:
            assert error(found, second) < 1e-8


# ---- functions of small matrices -------------------------------------------------------------------


def heat(unit):
    return lambda x, t: jnp.exp(-unit * t * x) * x**2


GAPS_OF_FUNCTIONS = (0.0, 1e-11, 1e-8)
AT, ALONG = np.array([0.0, 0.0, 0.8]), np.array([0.5, -1.0, 0.7])


def test_spectral_functions_at_every_gap():
    @jax.jit
    def derivatives(q, H0, H1, H2, W):
        def loss(q):
            return jnp.real(jnp.sum(W.T * kj.spectral_function(heat(1j), H0 + q[0] * H1 + q[1] * H2, q[2])))

        return jax.jacfwd(loss)(q), *jax.jvp(jax.grad(loss), (q,), (ALONG,))

    for gap in GAPS_OF_FUNCTIONS:
        H0, H1, H2, W = hermitian_family(True, gap)
        first, second = reference(1j, W, H0, H1, H2)
        for found, exact in zip(derivatives(AT, H0, H1, H2, W), (first, first, second @ ALONG), strict=True):
            assert error(found, exact) < 1e-12


def test_spectral_sums_at_every_gap():
    @jax.jit
    def derivatives(q, H0, H1, H2):
        def total(q):
            return kj.spectral_sum(heat(1.0), H0 + q[0] * H1 + q[1] * H2, q[2])

        return jax.grad(total)(q), jax.jacrev(jax.grad(total))(q)

    for gap in GAPS_OF_FUNCTIONS:
        H0, H1, H2, _ = hermitian_family(False, gap)
        for found, exact in zip(derivatives(AT, H0, H1, H2), reference(1.0, np.eye(5), H0, H1, H2), strict=True):
            assert error(found, exact) < 1e-12


def test_spectral_functions_say_what_they_do_not_take():
    H = jnp.diag(jnp.array([1.0, 1.0, 2.0]))
    with pytest.raises(TypeError, match="from its closure"):
        jax.grad(lambda b: kj.spectral_sum(lambda x: b * x, H))(2.0)
    with pytest.raises(TypeError, match="from its closure"):
        jax.jit(lambda b: kj.spectral_function(jax.jit(lambda x: b * x), H))(2.0)
    with pytest.raises(ValueError, match="elementwise"):
        kj.spectral_function(lambda x: x / x.sum(), H)
    with pytest.raises(ValueError, match="elementwise"):
        kj.spectral_function(lambda x: x[:2], H)
    with pytest.raises(ValueError, match="not Hermitian"):
        kj.spectral_function(jnp.exp, H + jnp.triu(jnp.ones((3, 3)), 1))
    staged = jax.jit(lambda H: kj.spectral_sum(jnp.log, H))
    assert staged(H) == pytest.approx(np.log(2.0), rel=1e-14)
    with pytest.raises(ValueError, match="not finite"), kj.errors():
        staged(H - jnp.eye(3)).block_until_ready()
    with pytest.raises(TypeError, match="scalars"):
        kj.spectral_sum(lambda x, a: x, H, jnp.ones(2))
    with pytest.raises(ValueError, match="positive"):
        kj.softmax_eigenvalue(H, -1.0)


def test_equal_code_with_other_numbers_is_told_apart():
    H = jnp.diag(jnp.array([1.0, 2.0]))
    assert [float(kj.spectral_sum(lambda x, c=c: c * x, H)) for c in (1.0, 2.0)] == [3.0, 6.0]
    held = [jnp.array([c, c]) for c in (1.0, 3.0)]
    assert [float(kj.spectral_sum(lambda x, c=c: c[0] * x, H)) for c in held] == [3.0, 9.0]


def test_soft_maximum_and_batches():
    """At a double eigenvalue both members weigh the same; log 2/β above it, when the third is far."""
    w = jnp.array([[0.0, 3.0, 3.0], [1.0, 1.0, 4.0]])
    soft = lambda w: kj.softmax_eigenvalue(jnp.diag(w), 50.0)  # noqa: E731
    assert error(jax.vmap(soft)(w), [3.0 + np.log(2) / 50, 4.0]) < 1e-14
    assert error(jax.jit(jax.vmap(jax.grad(soft)))(w), [[0, 0.5, 0.5], [0, 0, 1]]) < 1e-14
    smallest = jax.grad(lambda w: kj.softmax_eigenvalue(jnp.diag(w), 50.0, "smallest"))(w[1])
    assert error(smallest, [0.5, 0.5, 0]) < 1e-14
    beta = jax.grad(lambda b: kj.softmax_eigenvalue(jnp.diag(w[0]), b))(50.0)
    assert float(beta) == pytest.approx(-np.log(2) / 2500, rel=1e-12)


# ---- eager calls, other operators, batches and messages --------------------------------------------


def test_a_matrix_free_operator_eager_and_staged():
    """The second and third levels of a ring coincide; the sum of three moves by the mean of the potential."""
    n = 30

    def sums(V):
        A = kj.LinearOperator((n, n), lambda x: 2 * x - jnp.roll(x, 1) - jnp.roll(x, -1) + V * x)
        X, H = kj.invariant_subspace(A, 3, which="SA", hermitian=True, adjoint=kj.Adjoint(rtol=1e-13))
        assert X.dtype == H.dtype == np.float64
        return jnp.trace(H), (X @ X.T)[0, 1], X[0, 1]

    A, step, e = 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0), 1e-4, np.eye(n)[3]

    def projector(t):
        x = np.linalg.eigh(A + t * np.diag(e))[1][:, :3]
        return (x @ x.T)[0, 1]

    expected = (8 * (projector(step) - projector(-step)) - projector(2 * step) + projector(-2 * step)) / (12 * step)
    for transform in (lambda f: f, jax.jit):
        of_trace, of_projector = transform(jax.jacrev(lambda V: jnp.stack(sums(V)[:2])))(jnp.zeros(n))
        assert error(of_trace, np.full(n, 3 / n)) < 1e-12
        assert float(of_projector[3]) == pytest.approx(expected, rel=1e-8)
    with pytest.warns(kj.GaugeWarning, match="basis of the invariant subspace"):
        jax.grad(lambda V: sums(V)[2])(jnp.zeros(n))


def test_batches_and_units():
    """A in other units: H and its gradient are in them, X is in none; one example after the other."""
    A, E = np.diag([1.0, 1.0, 3.0, 4.0, 7.0]), np.outer(np.arange(1.0, 6.0), np.arange(1.0, 6.0))

    def f(p, size):
        X, H = kj.invariant_subspace(size * (A + p * E), 2, which="SA", hermitian=True)
        return jnp.trace(H) / size + (X @ X.T)[0, 2]

    expected = 5 + E[0, 2] / (1 - 3)  # tr XᴴEX, and the projector's x₀ x₂ to first order
    sizes = jnp.array([1e-200, 1.0, 1e200])
    for transform in (lambda f: f, jax.jit):
        g = transform(jax.vmap(jax.grad(f), (None, 0)))(0.0, sizes)
        assert error(g, np.full(3, expected)) < 1e-12
    assert error(jax.jvp(lambda p: f(p, 1e200), (0.0,), (1.0,))[1], expected) < 1e-12


def test_what_k_cuts():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    A, E = (Q * [1.0, 1, 2, 3, 4, 5, 6, 7]) @ Q.T, np.ones((8, 8))
    A = (A + A.T) / 2

    def f(p, loss):
        return loss(*kj.invariant_subspace(A + p * E, 1, which="SA", hermitian=True))

    with pytest.warns(kj.DegeneracyWarning, match="coincide with ones that were not computed"):
        jax.jit(jax.grad(lambda p: f(p, lambda X, H: jnp.trace(H))))(0.0).block_until_ready()
    with pytest.raises(kj.AdjointNoConvergence, match="increase k"):
        jax.grad(lambda p: f(p, lambda X, H: (X @ X.T)[0, 1]))(0.0)
    D = np.diag(np.r_[1.0, 1.0, np.linspace(-3, 0, 10)])
    D[0, 1] = 1
    S = np.eye(12) + 0.1 * rng.standard_normal((12, 12))
    A, E = S @ D @ np.linalg.inv(S), rng.standard_normal((12, 12))
    staged = jax.jit(jax.grad(lambda p: jnp.real(jnp.trace(kj.invariant_subspace(A + p * E, 1, which="LR").H))))
    with pytest.raises(kj.DefectiveEigenvalueError, match="Increase k"), kj.errors():
        staged(0.0).block_until_ready()


def test_given_subspaces():
    given = family("jordan2", 1e-6, True, "definite")
    A, M = given.at(ZERO)
    X, H = kj.invariant_subspace(A, 5, M, which="LR")
    first = grad(given.reference)(ZERO)

    def f(p, X, H, **arguments):
        A = given.A[0] + p[0] * given.A[1] + p[1] * given.A[2]
        M = given.M[0] + p[0] * given.M[1] + p[1] * given.M[2]
        return given.loss(*kj.attach_subspace(A, X, H, M=M, adjoint=EXACT, **arguments), jnp)

    assert error(jax.grad(f)(ZERO, X, H), first) < 1e-10
    assert error(jax.jit(jax.grad(lambda p: f(p, np.asarray(X), None)))(ZERO), first) < 1e-10
    for wrong, message in (((X, H + 1), "invariant subspace"), ((2 * X, None), "normalised"), ((X[:3], None), "shape")):
        with pytest.raises(ValueError, match=message):
            f(ZERO, *wrong)
    with pytest.raises(ValueError, match="normalization"):
        f(ZERO, X, H, normalization="A")
    S = kj.invariant_subspace(family("hermitian", 0.0, True).A[0], 5, which="LA", hermitian=True)
    assert max(kj.check_gauge(lambda X, H: given.loss(X, H, jnp), *S)) < 1e-12
    assert kj.check_gauge(lambda X, H: jnp.real(H[0, 0]), *S).basis > 1e-3
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda X, H: kj.check_gauge(lambda X, H: 0.0, X, H))(*S)


def test_generalised_gradients_of_a_double_level():
    """The two lowest levels of a ring without its constant mode: one-sided derivatives, and steepest descent."""
    n, step = 12, 1e-5
    ring = 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0) + 10 * np.ones((n, n))

    def levels(V):
        return np.linalg.eigvalsh(ring + np.diag(V))[:2]

    def subspace(V):
        return kj.invariant_subspace(ring + jnp.diag(V), 2, which="SA", hermitian=True)

    c, d = kj.cluster_gradient(subspace, jnp.zeros(n)), np.random.default_rng(0).standard_normal(n)
    assert error(c.w, levels(np.zeros(n))) < 1e-12
    expected = (-levels(2 * step * d) + 4 * levels(step * d) - 3 * levels(0 * d)) / (2 * step)
    assert error(c.directional(d), expected) < 1e-8
    g, _, size, certificate = c.minimal_norm()
    assert certificate < 1e-12
    assert error(g, np.full(n, 1 / n)) < 1e-6  # no potential splits and lowers as fast as a constant one
    assert size == pytest.approx(n**-0.5, rel=1e-6)
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda V: kj.cluster_gradient(subspace, V).H)(jnp.zeros(n))
