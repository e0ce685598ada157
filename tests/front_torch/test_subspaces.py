"""Invariant subspaces and functions of small Hermitian matrices in PyTorch, where eigenvalues meet.

The references know no eigenvector and no gap: contour integrals (`subspaces.py`).
"""

import numpy as np
import pytest
import scipy.linalg as la

torch = pytest.importorskip("torch")

from autograd import grad  # noqa: E402
from small_hermitian import hermitian_family, reference  # noqa: E402
from subspaces import family  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

ZERO, V = np.zeros(2), np.array([0.6, -0.8])
GAPS = (0.0, 1e-12, 1e-6, 1e-2)
CASES = [
    ("hermitian", False, None), ("hermitian", False, "definite"),
    ("hermitian", True, None), ("hermitian", True, "definite"),
    ("semisimple", True, None), ("semisimple", False, "definite"),
    ("jordan2", True, None), ("jordan2", True, "definite"),
    ("pairs", False, None), ("pairs", False, "definite"),
]  # fmt: skip


class Namespace:
    """PyTorch in the words that the family's loss is written in."""

    conj, trace, sum, abs = torch.conj, torch.trace, torch.sum, torch.abs
    dot = staticmethod(torch.matmul)
    real = staticmethod(lambda x: x.real if x.is_complex() else x)
    imag = staticmethod(lambda x: x.imag if x.is_complex() else torch.zeros_like(x))


def plain(a):
    return torch.from_numpy(np.ascontiguousarray(a))


def tensor(p):
    return torch.tensor(p, dtype=torch.float64)


def pencil_of(given):
    A = [plain(a) for a in given.A]
    M = None if given.M is None else [plain(a) for a in given.M]
    return lambda p: (A[0] + p[0] * A[1] + p[1] * A[2], None if M is None else M[0] + p[0] * M[1] + p[1] * M[2])


def loss_of(given, **adjoint):
    """The family's loss as a function of a tensor p."""
    pencil, W = pencil_of(given), given.W
    options = kt.Adjoint(rtol=1e-13, on_gauge="raise", **adjoint)
    where = {"which": "LA" if given.hermitian else "LR", "v0": np.ones(16)}

    def f(p):
        A, M = pencil(p)
        X, H = kt.invariant_subspace(A, 5, M, hermitian=given.hermitian, adjoint=options, **where)
        assert X.is_complex() == np.iscomplexobj(W)
        return given.loss(X, H, Namespace, plain)

    return f


def error(found, exact):
    found, exact = (np.asarray(x) for x in (found, exact))
    return float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))


def contours(given):
    """Value, gradient and the second derivative along V by contour integrals."""
    f = given.reference
    return f(ZERO), grad(f)(ZERO), grad(lambda p: grad(f)(p) @ V)(ZERO)


def derivatives(f):
    """Value, gradient, derivative along V forward, and second ones along V in four ways."""
    p, v = tensor(ZERO), tensor(V)
    q = p.clone().requires_grad_()
    value = f(q)
    (g,) = torch.autograd.grad(value, q, create_graph=True)
    (double,) = torch.autograd.grad((g * v).sum(), q)
    along = torch.func.jvp(f, (p,), (v,))[1]
    over = torch.func.jvp(torch.func.grad(f), (p,), (v,))[1]
    back = torch.func.grad(lambda p: torch.func.jvp(f, (p,), (v,))[1])(p)
    return value.item(), g.detach(), along, [double, over, back]


@pytest.mark.parametrize(("kind", "is_complex", "mass"), CASES)
def test_derivatives_are_those_of_contour_integrals_at_every_gap(kind, is_complex, mass):
    for gap in GAPS:
        given = family(kind, gap, is_complex, mass)
        expected, first, second = contours(given)
        value, g, along, seconds = derivatives(loss_of(given))
        assert error(value, expected) < 1e-12
        assert error(g, first) < 1e-10
        assert error(along, first @ V) < 1e-10
        for found in seconds:
            assert error(found, second) < 1e-8


# ---- functions of small matrices -------------------------------------------------------------------


def heat(unit):
    return lambda x, t: torch.exp(-unit * t * x) * x**2


@pytest.mark.parametrize(
    ("is_complex", "unit", "gap"),
    [(False, 1.0, 0.0), (False, 1.0, 1e-8), (True, 1j, 0.0), (True, 1j, 1e-11), (True, 1j, 1e-8)],
)
def test_spectral_functions_at_every_gap(is_complex, unit, gap):
    H0, H1, H2, W = hermitian_family(is_complex, gap)
    first, second = reference(unit, W, H0, H1, H2)
    of_sum, of_sum2 = reference(unit, np.eye(5), H0, H1, H2)
    H0, H1, H2, W = map(plain, (H0, H1, H2, W))

    def matrix(q):
        return H0 + q[0] * H1 + q[1] * H2

    def loss(q):
        return torch.sum(W.T * kt.spectral_function(heat(unit), matrix(q), q[2])).real

    def summed(q):
        return kt.spectral_sum(heat(unit), matrix(q), q[2]).real

    q = tensor([0.0, 0.0, 0.8])
    assert error(torch.func.grad(loss)(q), first) < 1e-12
    assert error(torch.func.jacfwd(loss)(q), first) < 1e-12
    assert error(torch.func.hessian(loss)(q), second) < 1e-12
    assert error(torch.autograd.functional.hessian(loss, q), second) < 1e-12
    assert error(torch.func.grad(summed)(q), of_sum) < 1e-12
    assert error(torch.func.jacrev(torch.func.jacfwd(summed))(q), of_sum2) < 1e-12


def test_spectral_functions_say_what_they_do_not_take():
    H, b = torch.diag(tensor([1.0, 1.0, 2.0])), tensor(2.0).requires_grad_()
    with pytest.raises(TypeError, match="from its closure"):
        kt.spectral_sum(lambda x: b * x, H)
    with pytest.raises(TypeError, match="from its closure"):
        torch.func.grad(lambda b: kt.spectral_sum(lambda x: b * x, H))(tensor(2.0))
    with pytest.raises(ValueError, match="elementwise"):
        kt.spectral_function(lambda x: x / x.sum(), H)
    with pytest.raises(ValueError, match="not Hermitian"):
        kt.spectral_function(torch.exp, H + torch.triu(torch.ones(3, 3, dtype=H.dtype), 1))
    with pytest.raises(ValueError, match="not finite"):
        kt.spectral_sum(torch.log, H - torch.eye(3))
    with pytest.raises(TypeError, match="scalars"):
        kt.spectral_sum(lambda x, a: x, H, torch.ones(2))
    with pytest.raises(ValueError, match="positive"):
        kt.softmax_eigenvalue(H, -1.0)


def test_soft_maximum_and_batches():
    """At a double eigenvalue both members weigh the same; log 2/β above it, when the third is far."""
    w = tensor([[0.0, 3.0, 3.0], [1.0, 1.0, 4.0]])
    value = torch.func.vmap(lambda w: kt.softmax_eigenvalue(torch.diag(w), 50.0))(w)
    assert error(value, [3.0 + np.log(2) / 50, 4.0]) < 1e-14
    g = torch.func.vmap(torch.func.grad(lambda w: kt.softmax_eigenvalue(torch.diag(w), 50.0)))(w)
    assert error(g, [[0, 0.5, 0.5], [0, 0, 1]]) < 1e-14
    smallest = torch.func.grad(lambda w: kt.softmax_eigenvalue(torch.diag(w), 50.0, "smallest"))(w[1])
    assert error(smallest, [0.5, 0.5, 0]) < 1e-14
    beta = torch.func.grad(lambda b: kt.softmax_eigenvalue(torch.diag(w[0]), b))(tensor(50.0))
    assert beta.item() == pytest.approx(-np.log(2) / 2500, rel=1e-12)


# ---- other operators, transforms and messages ------------------------------------------------------


def test_a_matrix_free_operator_and_its_projector():
    """The second and third levels of a ring coincide; the trace over them moves by Σ V |x|² of cos and sin: mean V."""
    n = 30
    V = torch.zeros(n, dtype=torch.float64)

    def sums(V):
        A = kt.LinearOperator((n, n), lambda x: 2 * x - x.roll(1) - x.roll(-1) + V * x, dtype=torch.float64)
        X, H = kt.invariant_subspace(A, 3, which="SA", hermitian=True, adjoint=kt.Adjoint(rtol=1e-13))
        return torch.trace(H), (X @ X.T)[0, 1], X[0, 1]

    g = torch.func.grad(lambda V: sums(V)[0])(V)
    assert error(g, np.full(n, 3 / n)) < 1e-12  # x₀² + x₁² + x₂² = 1/n + 2/n at every point
    with pytest.warns(kt.GaugeWarning, match="basis of the invariant subspace"):
        torch.func.grad(lambda V: sums(V)[2])(V)
    # Differences of a dense projector, which the triple is apart from the rest of the spectrum.
    A, step, e = 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0), 1e-4, np.eye(n)[3]

    def projector(t):
        x = np.linalg.eigh(A + t * np.diag(e))[1][:, :3]
        return (x @ x.T)[0, 1]

    expected = (8 * (projector(step) - projector(-step)) - projector(2 * step) + projector(-2 * step)) / (12 * step)
    assert torch.func.grad(lambda V: sums(V)[1])(V)[3].item() == pytest.approx(expected, rel=1e-8)


def test_batches_checkpoints_and_changes_in_place():
    given = family("jordan2", 0.0, True, None)
    f, one = loss_of(given), tensor(ZERO)
    both = torch.stack([one, one + 1e-3])
    g = torch.func.vmap(torch.func.grad(f))(both)
    assert error(g[1], torch.func.grad(f)(both[1])) < 1e-12
    p = one.clone().requires_grad_()
    torch.utils.checkpoint.checkpoint(f, p, use_reentrant=False).backward()
    assert error(p.grad, g[0]) < 1e-12
    A = torch.diag(tensor([1.0, 1.0, 3.0, 4.0])).requires_grad_()
    X, H = kt.invariant_subspace(A, 2, which="SA", hermitian=True)
    with torch.no_grad():
        A.add_(1.0)
    with pytest.raises(RuntimeError, match=r"changed in place|inplace operation"):
        torch.trace(H).backward()


def test_what_k_cuts():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    A, E = plain((Q * [1.0, 1, 2, 3, 4, 5, 6, 7]) @ Q.T), torch.ones(8, 8, dtype=torch.float64)
    A = (A + A.T) / 2

    def f(p, loss, k):
        return loss(*kt.invariant_subspace(A + p * E, k, which="SA", hermitian=True))

    with pytest.warns(kt.DegeneracyWarning, match="coincide with ones that were not computed"):
        torch.func.grad(f)(tensor(0.0), lambda X, H: torch.trace(H), 1)
    with pytest.raises(kt.AdjointNoConvergence, match="increase k"):
        torch.func.grad(f)(tensor(0.0), lambda X, H: (X @ X.T)[0, 1], 1)
    D = np.diag(np.r_[1.0, 1.0, np.linspace(-3, 0, 10)])
    D[0, 1] = 1
    S = np.eye(12) + 0.1 * rng.standard_normal((12, 12))
    A, E = plain(S @ D @ np.linalg.inv(S)), plain(rng.standard_normal((12, 12)))
    with pytest.raises(kt.DefectiveEigenvalueError, match="Increase k"):
        torch.func.grad(lambda p: torch.trace(kt.invariant_subspace(A + p * E, 1, which="LR").H).real)(tensor(0.0))


def test_real_where_no_conjugate_pair_is_cut():
    """A real matrix with the eigenvalues 3, 2 ± i, 0 …"""
    rng = np.random.default_rng(1)
    D = np.diag(np.r_[3.0, 2, 2, np.linspace(-2, 0, 7)])
    D[1, 2], D[2, 1] = 1, -1
    S = np.eye(10) + 0.2 * rng.standard_normal((10, 10))
    A, E = S @ D @ np.linalg.inv(S), rng.standard_normal((10, 10))
    for k, is_complex in ((3, False), (2, True)):
        p = tensor(0.0).requires_grad_()
        X, H = kt.invariant_subspace(plain(A) + p * plain(E), k, which="LR")
        assert X.is_complex() == H.is_complex() == is_complex
        torch.trace(H).real.backward()
        w, Y, Z = la.eig(A, left=True)
        order = np.argsort(-w.real - 1e-9 * w.imag)[:k]
        exact = sum((Y[:, i].conj() @ E @ Z[:, i]) / (Y[:, i].conj() @ Z[:, i]) for i in order).real
        assert p.grad.item() == pytest.approx(exact, rel=1e-10)


def test_given_subspaces():
    given = family("jordan2", 1e-6, True, "definite")
    pencil = pencil_of(given)
    with torch.no_grad():
        A, M = pencil(tensor(ZERO))
        X, H = kt.invariant_subspace(A, 5, M, which="LR")
    first = grad(given.reference)(ZERO)

    def f(p, X, H):
        A, M = pencil(p)
        return given.loss(*kt.attach_subspace(A, X, H, M=M, adjoint=kt.Adjoint(rtol=1e-13)), Namespace, plain)

    assert error(torch.func.grad(f)(tensor(ZERO), X.numpy(), H), first) < 1e-10
    assert error(torch.func.grad(f)(tensor(ZERO), X, None), first) < 1e-10
    with pytest.raises(ValueError, match="invariant subspace"):
        f(tensor(ZERO), X, H + 1)
    with pytest.raises(ValueError, match="normalised"):
        f(tensor(ZERO), 2 * X, None)
    with pytest.raises(ValueError, match="expected X of shape"):
        f(tensor(ZERO), X[:3], None)
    legal = kt.check_gauge(lambda X, H: given.loss(X, H, Namespace, plain), *(t.numpy() for t in _hermitian_subspace()))
    assert max(legal) < 1e-12
    assert kt.check_gauge(lambda X, H: H[0, 0].real, *_hermitian_subspace()).basis > 1e-3


def _hermitian_subspace():
    A = plain(family("hermitian", 0.0, True).A[0])
    return kt.invariant_subspace(A, 5, which="LA", hermitian=True)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_units(size):
    """A in other units: H and its gradient are in them, X is in none."""
    A, E = np.diag([1.0, 1.0, 3.0, 4.0, 7.0]), np.outer(np.arange(1.0, 6.0), np.arange(1.0, 6.0))

    def f(p):
        X, H = kt.invariant_subspace(size * (plain(A) + p * plain(E)), 2, which="SA", hermitian=True)
        return torch.trace(H) / size + (X @ X.T)[0, 2]

    expected = 5 + E[0, 2] / (1 - 3)  # tr XᴴEX, and the projector's x₀ x₂ to first order
    assert torch.func.grad(f)(tensor(0.0)).item() == pytest.approx(expected, rel=1e-12)
    assert torch.func.jvp(f, (tensor(0.0),), (tensor(1.0),))[1].item() == pytest.approx(expected, rel=1e-12)


def test_single_precision():
    A = torch.diag(torch.tensor([1.0, 1.0, 3.0, 4.0, 7.0]))
    E = torch.outer(torch.arange(1.0, 6.0), torch.arange(1.0, 6.0))

    def f(p):
        X, H = kt.invariant_subspace(A + p * E, 2, which="SA", hermitian=True)
        assert X.dtype == H.dtype == torch.float32
        return torch.trace(H) + (X @ X.T)[0, 2] + kt.spectral_sum(torch.exp, H) / np.e

    assert torch.func.grad(f)(torch.tensor(0.0)).item() == pytest.approx(5 + E[0, 2].item() / -2 + 5, rel=1e-4)


def test_generalised_gradients_of_a_double_level():
    """The two lowest levels of a ring without its constant mode: one-sided derivatives, and steepest descent."""
    n, rng, step = 12, np.random.default_rng(0), 1e-5
    ring = 2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0) + 10 * np.ones((n, n))

    def levels(V):
        return np.linalg.eigvalsh(ring + np.diag(V))[:2]

    def subspace(V):
        return kt.invariant_subspace(plain(ring) + torch.diag(V), 2, which="SA", hermitian=True)

    c = kt.cluster_gradient(subspace, torch.zeros(n, dtype=torch.float64))
    assert error(c.w, levels(np.zeros(n))) < 1e-12
    for _ in range(3):
        d = rng.standard_normal(n)
        expected = (-levels(2 * step * d) + 4 * levels(step * d) - 3 * levels(0 * d)) / (2 * step)
        assert error(c.directional(d), expected) < 1e-8
    g, _, size, certificate = c.minimal_norm()
    assert certificate < 1e-12
    assert error(g, np.full(n, 1 / n)) < 1e-6  # no potential splits and lowers as fast as a constant one
    assert size == pytest.approx(n**-0.5, rel=1e-6)
    with pytest.raises(ValueError, match="must be real"):
        kt.cluster_gradient(subspace, torch.zeros(n, dtype=torch.complex128))
