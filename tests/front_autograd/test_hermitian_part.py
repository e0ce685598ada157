"""Gradients in the entries of Hermitian matrices: of the function of the Hermitian part, in every form and mode.

The reference is the dense formula of oracle.py, projected on Hermitian directions and read at the places of the
entries.
"""

import tracemalloc

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad, make_jvp, make_vjp
from oracle import cotangent, difference, reference_pairs
from problems import PROBLEMS, A_at, M_at, loss_weights, mixed_loss, mixed_loss_cotangents, start_vector

import krylov_adj as ka

N = 14
HERMITIAN = [name for name, problem in PROBLEMS.items() if problem.hermitian]
EVERY_FORM = ("hermitian", "pencil_hermitian_interior", "buckling", "pencil_nonhermitian")
WITH_MASS = [name for name, problem in PROBLEMS.items() if not problem.hermitian and problem.normalization == "M"]


# ---- matrices as functions of their entries --------------------------------------------------


class Dense:
    """The array itself."""

    exact = True

    def __init__(self, H, rng):
        self.entries, self.n = H, len(H)

    def __call__(self, entries):
        return entries

    def gradient(self, G):
        """In the entries, in autograd's convention, df = Re Σ g de, where df = Re tr(Gᴴ dA)."""
        return G.conj()[self.places()]

    def places(self):
        """Row and column of every entry, flattened."""
        return onp.divmod(onp.arange(self.n**2), self.n)


class Csr(Dense):
    """Sorted rows; the usual case."""

    def __init__(self, H, rng):
        self.n = len(H)
        self.row, self.col = self.pattern(H, rng)
        self.entries = self.share(H[self.row, self.col], rng)

    def pattern(self, H, rng):
        return onp.nonzero(H)

    def share(self, values, rng):
        return values

    def __call__(self, entries):
        indptr = onp.concatenate([[0], onp.cumsum(onp.bincount(self.row, minlength=self.n))])
        return ka.csr_array((entries, self.col, indptr), (self.n, self.n))

    def places(self):
        return self.row, self.col


class Unsorted(Csr):
    """The columns of every row in any order."""

    def pattern(self, H, rng):
        row, col = onp.nonzero(H)
        order = onp.lexsort([rng.random(row.size), row])
        return row[order], col[order]


class Coo(Csr):
    """Any order, places that occur several times, another number of times than their mirror images."""

    def pattern(self, H, rng):
        row, col = onp.nonzero(H)
        chosen = rng.permutation(onp.concatenate([onp.arange(row.size), rng.integers(row.size, size=row.size)]))
        return row[chosen], col[chosen]

    def share(self, values, rng):
        place = self.row * self.n + self.col
        return values / onp.bincount(place)[place]

    def __call__(self, entries):
        return ka.coo_array((entries, (self.row, self.col)), (self.n, self.n))


class Lopsided(Csr):
    """Zeros are stored on one side of the diagonal only."""

    def pattern(self, H, rng):
        zeros = onp.triu(rng.random(H.shape) < 0.3, 1) & (H == 0)
        assert zeros.any()
        return onp.nonzero((H != 0) | zeros)


class Diagonals(Csr):
    """Every diagonal of the matrix, one after the other."""

    def pattern(self, H, rng):
        self.offsets = list(range(-self.n + 1, self.n))
        places = [onp.nonzero(onp.eye(self.n, k=offset)) for offset in self.offsets]
        return tuple(onp.concatenate(part) for part in zip(*places, strict=True))

    def __call__(self, entries):
        lengths = [self.n - abs(offset) for offset in self.offsets]
        ends = onp.cumsum(lengths)
        parts = [entries[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        return ka.diags_array(parts, offsets=self.offsets)


class Operator(Dense):
    """The array as an operator."""

    def __call__(self, entries):
        return ka.aslinearoperator(entries)


class Multiple(Dense):
    """A sum and a real multiple of operators: 3 (A/3 − B) + 3 B, B not traced."""

    def __init__(self, H, rng):
        super().__init__(H, rng)
        B = rng.normal(size=H.shape)
        self.B = ka.aslinearoperator(B + B.T)

    def __call__(self, entries):
        return (ka.aslinearoperator(entries) / 3 - self.B) * 3 + self.B * 3


class Product(Dense):
    """D (D⁻¹ A D⁻¹) D with a diagonal D: no entry of the factor in the middle stands alone."""

    exact = False

    def __init__(self, H, rng):
        self.n, self.d = len(H), rng.uniform(0.5, 2.0, len(H))
        self.entries = H / self.d[:, None] / self.d

    def __call__(self, entries):
        D = ka.diags_array(self.d)
        return D @ ka.aslinearoperator(entries) @ D

    def gradient(self, G):
        return (G.conj() * self.d[:, None] * self.d).ravel()


FORMS = (Dense, Csr, Unsorted, Coo, Lopsided, Diagonals, Operator, Multiple, Product)


def plain(form, entries):
    return ka.aslinearoperator(form(entries)) @ onp.eye(form.n)


def hermitian(G):
    return 0.5 * (G + G.conj().T)


def random_like(e, rng):
    d = rng.normal(size=e.shape)
    return d + 1j * rng.normal(size=e.shape) if onp.iscomplexobj(e) else d


def value(p):
    while hasattr(p, "_value"):
        p = p._value
    return p


class Case:
    """A row of the table of problems, with the entries of A and M for parameters."""

    def __init__(self, name, kind, n=N):
        self.problem = PROBLEMS[name]
        self.instance = self.problem.build(3, n, sparse=kind is Lopsided)
        rng = onp.random.default_rng(7)
        p = onp.zeros(3)
        # The upper triangle decides, so that matrices are Hermitian to the bit.
        self.A, self.M = A_at(self.instance, p), M_at(self.instance, p)
        if self.problem.hermitian:
            self.A = hermitian(self.A)
        self.forms = [kind(self.A, rng) if self.problem.hermitian else Dense(self.A, rng)]
        if self.M is not None:
            self.M = hermitian(self.M)
            self.forms.append(kind(self.M, rng))
        self.e = onp.concatenate([form.entries.ravel() for form in self.forms])
        self.d = random_like(self.e, rng)
        self.arguments = {"v0": start_vector(self.instance), **self.instance["kwargs"]}
        self.weights = loss_weights(self.pairs(self.e)[0], n)

    def parts(self, e):
        """The entries of A and of M."""
        ends = onp.cumsum([form.entries.size for form in self.forms])
        return [
            np.reshape(e[end - form.entries.size : end], form.entries.shape)
            for form, end in zip(self.forms, ends, strict=True)
        ]

    def pairs(self, e):
        A, *M = [form(part) for form, part in zip(self.forms, self.parts(e), strict=True)]
        return getattr(ka, self.problem.solver)(A, M=M[0] if M else None, **self.arguments)

    def loss(self, e):
        w, X = self.pairs(e)
        return mixed_loss(w, X, np, self.weights)

    def matrices(self, d):
        """What a direction of the entries is for the pencil: the Hermitian part of what it is for the matrices."""
        ours = []
        for form, part in zip(self.forms, self.parts(d), strict=True):
            dA = plain(form, part) - plain(form, onp.zeros(part.shape))
            ours.append(dA if form is self.forms[0] and not self.problem.hermitian else hermitian(dA))
        return ours

    def reference(self, A, M):
        """The gradient in the entries at the pencil (A, M), from the dense formula."""
        w, X = getattr(ka, self.problem.solver)(A, M=M, **self.arguments)
        w, X, _ = reference_pairs(A, M, w, X, **self.problem.structure)
        both = cotangent(A, M, w, X, *mixed_loss_cotangents(w, X, self.weights), **self.problem.structure)
        given = [G for G in both if G is not None]
        return onp.concatenate([form.gradient(G) for form, G in zip(self.forms, given, strict=True)])

    def assert_hermitian(self, g):
        """Of every matrix, entries that are mirror images of each other have conjugate gradients, to the bit."""
        for form, part in zip(self.forms, self.parts(g), strict=True):
            if form is self.forms[0] and not self.problem.hermitian:
                continue
            row, col = form.places()
            G = {}
            for i, j, entry in zip(row, col, part.ravel(), strict=True):
                assert G.setdefault((i, j), entry) == entry
            mirrored = [(entry, G[j, i].conj()) for (i, j), entry in G.items() if (j, i) in G]
            assert len(mirrored) >= form.n
            ours, others = onp.array(mirrored).T
            if form.exact:
                onp.testing.assert_array_equal(ours, others)
            else:
                onp.testing.assert_allclose(ours, others, rtol=0, atol=1e-12 * abs(ours).max())


def relative(actual, expected):
    return onp.linalg.norm(actual - expected) / onp.linalg.norm(expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in [*HERMITIAN, *WITH_MASS] for kind in (FORMS if name in EVERY_FORM else (Dense, Csr))],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_first_derivatives(name, kind):
    case = Case(name, kind)
    g = grad(case.loss)(case.e)
    expected = case.reference(case.A, case.M)
    assert relative(g, expected if onp.iscomplexobj(case.e) else expected.real) < 1e-8
    case.assert_hermitian(g)
    # Forward mode in a direction that is not Hermitian: its Hermitian part acts.
    forward = make_jvp(case.loss)(case.e)(case.d)[1]
    onp.testing.assert_allclose(forward, onp.sum(expected * case.d).real, rtol=1e-8)


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", EVERY_FORM)
def test_second_derivatives(name, kind):
    """The gradient's derivative in a direction that is not Hermitian, both ways, against differences."""
    case = Case(name, kind)
    D = case.matrices(case.d / onp.linalg.norm(case.d))

    def along(t):
        moved = [matrix + t * d for matrix, d in zip([case.A, case.M], D, strict=False)]
        return case.reference(*(moved if len(moved) == 2 else [*moved, None]))

    expected, error = difference(along, onp.array(0.0), onp.array(1.0))
    expected = expected * onp.linalg.norm(case.d)
    assert error < 1e-7 * onp.linalg.norm(expected)
    reverse = grad(lambda e: np.sum(np.real(grad(case.loss)(e) * case.d)))(case.e)
    forward = make_jvp(grad(case.loss))(case.e)(case.d)[1]
    for product in (reverse, forward):
        assert relative(product, expected if onp.iscomplexobj(case.e) else expected.real) < 1e-6
        case.assert_hermitian(product)


# ---- every call that is told that its matrices are Hermitian ---------------------------------


def matrices(seed, n, is_complex, definite=False):
    """A random Hermitian matrix, to the bit, and one that is not."""
    rng = onp.random.default_rng(seed)
    H, d = rng.normal(size=(2, n, n)) + (1j * rng.normal(size=(2, n, n)) if is_complex else 0)
    return (onp.eye(n) + 0.05 * hermitian(H) if definite else hermitian(H)), d


def weigh(X, W):
    """A loss of all vectors that knows no phases."""
    return np.sum(W * (np.real(X) ** 2 + np.imag(X) ** 2) ** 2)


def by_eigsh(A, M, k):
    return ka.eigsh(A, k, M, which="SA", v0=onp.ones(len(value(A))))


def attached(A, M, k):
    w, X = la.eigh(value(A), value(M))
    return ka.attach_eigenpairs(A, w[:k], X[:, :k], M=M, hermitian=True)


def left(A, M, k):
    w, X = la.eigh(value(A), value(M))
    return w, 1.3 * ka.left_eigenvectors(A, w[:k], X[:, :k], M=M, hermitian=True)


def left_of_traced(A, M, k):
    w, X = by_eigsh(A, M, k)
    return w, ka.left_eigenvectors(A, w, X, M=M, hermitian=True)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("pencil", [False, True])
@pytest.mark.parametrize("call", [by_eigsh, attached, left, left_of_traced])
@pytest.mark.parametrize("k", [3, 7, 8])
def test_calls_that_are_told_so(call, k, pencil, is_complex):
    """Also for all pairs; against differences along Hermitian directions."""
    n = 8
    (A, dA), (M, dM) = matrices(1, n, is_complex), matrices(2, n, is_complex, definite=True)
    W = onp.random.default_rng(3).normal(size=(n, k))

    def f(A, M):
        # All vectors of a pencil are determined by M up to phases; of a standard problem |X|² sums to one.
        w, X = call(A, M if pencil else None, k)
        order = onp.argsort(value(w))[:k]
        return weigh(X[:, order], W)

    def path(t):
        return f(A + t * hermitian(dA), M + t * hermitian(dM))

    gradients = [grad(f, argument)(A, M) for argument in range(2 if pencil else 1)]
    for g in gradients:
        onp.testing.assert_array_equal(g, g.conj().T)
        assert abs(g).max() > 0
    along = sum(onp.sum(g * d).real for g, d in zip(gradients, (dA, dM), strict=False))
    expected, error = difference(path, onp.array(0.0), onp.array(1.0), h=0.01)
    assert error < 1e-8
    onp.testing.assert_allclose(along, expected, rtol=1e-7, atol=1e-8)


def test_condition_numbers_of_a_pencil():
    (A, _), (M, dM) = matrices(4, 8, True), matrices(5, 8, True, definite=True)

    def f(M):
        w, X = by_eigsh(A, M, 3)
        return np.sum(ka.condition_numbers(A, w, X, M=M, hermitian=True) ** 2)

    g = grad(f)(M)
    onp.testing.assert_array_equal(g, g.conj().T)
    expected, error = difference(lambda t: f(M + t * hermitian(dM)), onp.array(0.0), onp.array(1.0), h=0.01)
    onp.testing.assert_allclose(onp.sum(g * dM).real, expected, rtol=1e-8, atol=10 * error)


def test_the_mass_of_a_problem_that_is_not_hermitian_is_free_where_vectors_have_unit_norm():
    """attach_eigenpairs with normalization="2" takes any M, and its derivative in all directions."""
    (A, _), rng = matrices(6, 8, True), onp.random.default_rng(66)
    M, d = rng.normal(size=(2, 8, 8)) + 1j * rng.normal(size=(2, 8, 8))
    W = rng.normal(size=(8, 3))

    def f(M):
        w, X = la.eig(A, value(M))
        first = onp.argsort(abs(w))[:3]
        X = X[:, first] / onp.linalg.norm(X[:, first], axis=0)
        return weigh(ka.attach_eigenpairs(A, w[first], X, M=M, normalization="2")[1], W)

    expected, error = difference(lambda t: f(M + t * d), onp.array(0.0), onp.array(1.0), h=1e-3)
    onp.testing.assert_allclose(onp.sum(grad(f)(M) * d).real, expected, rtol=1e-7, atol=10 * error)


# ---- descent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("k", [3, 12])
def test_descent_leaves_a_matrix_hermitian_to_the_bit(k, is_complex):
    n = 12
    A, _ = matrices(8, n, is_complex)
    target = onp.random.default_rng(1).normal(size=n)

    def f(A):
        w, X = by_eigsh(A, None, k)
        highest, Y = ka.eigsh(A, 1, which="LA", v0=onp.ones(n))  # a second call, and the matrix itself
        return weigh(X[:, :1], target[:, None]) + 0.1 * highest[0] + 0.1 * weigh(Y, 1) + 0.01 * np.sum(np.abs(A) ** 2)

    first = f(A)
    for _ in range(50):
        A = A - 0.1 * onp.conj(grad(f)(A))
        onp.testing.assert_array_equal(A, A.conj().T)
    assert f(A) < first - 0.1


@pytest.mark.parametrize("is_complex", [False, True])
def test_descent_in_stored_entries_and_in_both_matrices(is_complex):
    n = 12
    A, M = matrices(9, n, is_complex)[0], matrices(10, n, is_complex, definite=True)[0]
    A, M = onp.triu(onp.tril(A, 2), -2), onp.triu(onp.tril(M, 1), -1)
    rows, columns = onp.nonzero(A)
    offsets = (-1, 0, 1)
    target = onp.random.default_rng(1).normal(size=n)

    def operators(entries):
        a, m = entries[: rows.size], entries[rows.size :]
        parts = [m[: n - 1], m[n - 1 : 2 * n - 1], m[2 * n - 1 :]]
        return ka.coo_array((a, (rows, columns)), (n, n)), ka.diags_array(parts, offsets=offsets)

    def f(entries):
        A, M = operators(entries)
        X = ka.eigsh(A, 3, M, sigma=0.1, v0=onp.ones(n))[1]
        return weigh(X[:, :1], target[:, None])

    entries = onp.concatenate([A[rows, columns], *(onp.diag(M, k) for k in offsets)])
    values = [f(entries)]
    for _ in range(50):
        entries = entries - 0.003 * onp.conj(grad(f)(entries))
        values.append(f(entries))
        for operator in operators(entries):
            dense = operator.explicit().toarray()
            onp.testing.assert_array_equal(dense, dense.conj().T)
    assert values[-1] < min(values[:-1])


# ---- what does not change --------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_a_matrix_that_is_not_hermitian_is_refused(kind):
    case = Case("hermitian", kind)
    (wrong,) = case.parts(case.e + 1e-3 * abs(case.e).max() * case.d)
    with pytest.raises(ValueError, match="not Hermitian"):
        grad(lambda e: ka.eigsh(case.forms[0](e), 2, which="SA", v0=case.arguments["v0"])[0][0])(wrong)


def test_values_are_those_of_the_matrix_as_it_is():
    """To the bit: nothing is averaged."""
    A, _ = matrices(11, 12, True)
    A[0, 1] = onp.nextafter(A[0, 1].real, 9.0) + 1j * A[0, 1].imag
    plain_w, plain_X = by_eigsh(A, None, 3)
    seen = []

    def f(A):
        w, X = by_eigsh(A, None, 3)
        seen.append((value(w), value(X)))
        return w[0]

    grad(f)(A)
    onp.testing.assert_array_equal(seen[0][0], plain_w)
    onp.testing.assert_allclose(seen[0][1], plain_X, rtol=0, atol=1e-14)  # orthonormal to rounding when traced


def test_factors_and_stencils_beside_entries():
    """What is traced in another way than by entries: the operator as a whole is symmetrised."""
    n, rng = 9, onp.random.default_rng(120)
    (A, _), B = matrices(12, n, True), rng.normal(size=(n, n))
    velocity, W = rng.normal(size=n), rng.normal(size=(n, 2))

    def drift(t):
        return ka.pde.advection(t * velocity[None], scheme="central")

    def as_operators(t, A):  # Hermitian at t = 0 only
        return ka.aslinearoperator(A) + ka.aslinearoperator(B) * t + drift(t)

    def as_array(t, A):
        return A + t * (B + drift(1.0).explicit().toarray())

    onp.testing.assert_allclose(as_operators(0.1, A) @ onp.eye(n), as_array(0.1, A), atol=1e-14)

    def f(build, t, A):
        return weigh(ka.eigsh(build(t, A), 2, which="SA", v0=onp.ones(n))[1], W)

    for argument in (1, 2):
        ours, dense = (grad(f, argument)(build, 0.0, A) for build in (as_operators, as_array))
        onp.testing.assert_allclose(ours, dense, rtol=1e-10, atol=1e-12)
        assert onp.linalg.norm(dense) > 0.01
    direction = hermitian(B + drift(1.0).explicit().toarray())
    along, error = difference(lambda t: f(lambda t, A: A + t * direction, t, A), onp.array(0.0), onp.array(1.0))
    onp.testing.assert_allclose(grad(f, 1)(as_operators, 0.0, A), along, rtol=1e-7, atol=10 * error)


def test_a_sum_in_which_functions_take_part_is_taken_at_its_word():
    """Entries above the diagonal by a matrix, those below by a function of the same parameters: both count once."""
    n, rng = 8, onp.random.default_rng(13)
    C, W = rng.normal(size=(n, n)), rng.normal(size=(n, 2))
    base, p = onp.diag(rng.normal(size=n)), rng.normal(size=n - 1)

    def halves(p):
        upper = ka.csr_array((p, onp.arange(1, n), onp.r_[onp.arange(n), n - 1]), (n, n))
        lower = ka.LinearOperator((n, n), lambda v: np.concatenate([onp.zeros(1), p * v[:-1]]), dtype=float)
        return upper + lower + base

    def whole(p):
        return base + np.diag(p, 1) + np.diag(p, -1)

    def f(build, p):
        return weigh(np.dot(C, ka.eigsh(build(p), 2, which="SA", v0=W[:, 0])[1]), W)

    for point in (p, 0 * p):  # where the entries are zero each half is Hermitian
        ours, dense = (grad(f, 1)(build, point) for build in (halves, whole))
        onp.testing.assert_allclose(ours, dense, rtol=1e-9)
        assert onp.linalg.norm(dense) > 0.01


def test_no_second_copy_of_a_dense_matrix():
    n = 600
    A = hermitian(onp.random.default_rng(14).normal(size=(n, n)))
    W = onp.random.default_rng(14).normal(size=(n, 2))

    def f(A):
        return weigh(ka.eigsh(A, 2, which="LA", v0=onp.ones(n))[1], W)

    grad(f)(A)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        vjp, _ = make_vjp(f)(A)
        between = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.reset_peak()
        g = vjp(1.0)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert between < 0.3 * A.nbytes
    assert g.nbytes == A.nbytes
    assert peak < 2.5 * A.nbytes  # the cotangent and its mean with its mirror image


def test_memory_of_stored_entries_grows_with_their_number():
    n = 20000
    rows = onp.concatenate([onp.arange(n), onp.arange(n - 1)])  # zeros stored on one side of the diagonal
    columns = onp.concatenate([onp.arange(n), onp.arange(1, n)])
    diagonal = 1.0 + onp.arange(n) / n
    entries = onp.concatenate([diagonal, onp.zeros(n - 1)])

    def f(entries):
        A = ka.coo_array((entries, (rows, columns)), (n, n))
        return ka.eigsh(A, 1, sigma=0.9, v0=onp.ones(n))[0][0]

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        g = grad(f)(entries)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 150 * entries.nbytes  # of 10,000 that a dense matrix has
    onp.testing.assert_allclose(g[:2], [1.0, 0.0], atol=1e-8)
