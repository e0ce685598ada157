"""`eigs` and `eigsh` for every k up to n, and past it: which pairs, how normalised, in which order.

Expected values are LAPACK's, of all eigenvalues, selected here by SciPy's definitions.
"""

import functools
import warnings

import autograd.numpy as np
import numpy as onp
import oracle
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_jvp
from autograd.tracer import getval

import krylov_adj as ka
from krylov_adj.forward.lapack import dense_pairs
from krylov_adj.forward.request import Request

KINDS = {"symmetric": (True, True), "hermitian": (True, False), "real": (False, True), "complex": (False, False)}
MASSES = ("none", "definite", "singular")
WHICH = {True: ("LM", "SM", "LA", "SA"), False: ("LM", "SM", "LR", "SR", "LI", "SI")}


def random(shape, real, seed):
    rng = onp.random.default_rng(seed)
    return rng.standard_normal(shape) + (0 if real else 1j * rng.standard_normal(shape))


@functools.cache
def matrix(kind, n):
    hermitian, real = KINDS[kind]
    G = random((n, n), real, n)
    return G + G.conj().T if hermitian else G


@functools.cache
def mass(name, n, real):
    """None, definite, or of rank n − 2 (at least one; 0 × 0 has none)."""
    if name == "none":
        return None
    B = random((n, n), real, 100 + n)
    if name == "definite":
        return onp.eye(n) + 0.3 * B @ B.conj().T / n
    B = B[:, : max(n - 2, min(n - 1, 1))]
    return B @ B.conj().T


@functools.cache
def spectrum(kind, n, name):
    """All finite eigenvalues."""
    A, M = matrix(kind, n), mass(name, n, KINDS[kind][1])
    if name == "singular":
        alpha, beta = la.eig(A, M, right=False, homogeneous_eigvals=True)
        finite = abs(beta) > 1e-9 * max(abs(beta).max(), 1)
        w = alpha[finite] / beta[finite]
        return onp.sort(w.real) if KINDS[kind][0] else w
    return la.eigvalsh(A, M) if KINDS[kind][0] else la.eigvals(A, M)


def theta(w, kind, sigma, mode="normal", part="r"):
    """What SciPy's ``which`` ranks."""
    hermitian, real = KINDS[kind]
    if sigma is None:
        return w
    if mode == "buckling":
        return w / (w - sigma)
    if mode == "cayley":
        return (w + sigma) / (w - sigma)
    if not hermitian and real and onp.imag(sigma) != 0:
        a, b = 1 / (w - sigma), 1 / (w - onp.conj(sigma))
        return (a + b) / 2 if part == "r" else (a - b) / 2j
    return 1 / (w - sigma)


def rank(w, kind, which, sigma, mode="normal", part="r"):
    t, real = theta(w, kind, sigma, mode, part), KINDS[kind][1]
    size = {"M": abs(t), "A": t.real, "R": t.real, "I": abs(t.imag) if real else t.imag}[which[1]]
    return -size if which[0] == "S" else size


def check(kind, A, M, k, w, X, spectrum, which, sigma, mode="normal", part="r"):
    """The right ones, in order, eigenpairs, normalised."""
    n, (hermitian, real) = A.shape[0], KINDS[kind]
    assert w.shape == (min(k, n),)
    key = onp.sort(rank(spectrum, kind, which, sigma, mode, part))[::-1][:k]
    got = rank(w, kind, which, sigma, mode, part)
    onp.testing.assert_allclose(onp.sort(got)[::-1], key, rtol=1e-7, atol=1e-9 * abs(key).max())
    onp.testing.assert_array_less(abs(spectrum[:, None] - w).min(axis=0), 1e-7 * max(1, abs(w).max()))
    if hermitian:
        assert w.dtype == float
        assert (real and k < n) or onp.all(onp.diff(w) >= 0)
    else:
        assert w.dtype == X.dtype == complex
        assert onp.all(onp.diff(got) <= 1e-9 * abs(got).max())
        if real:
            assert_pairs_stand_together(w)
    N = A if mode == "buckling" else onp.eye(n) if M is None else M
    residual = A @ X - (X if M is None else M @ X) * w
    assert la.norm(residual) <= 1e-8 * (la.norm(A) + abs(w).max()) * la.norm(X)
    onp.testing.assert_allclose(onp.einsum("ij,ij->j", X.conj(), N @ X), 1, rtol=1e-8)
    if hermitian:
        onp.testing.assert_allclose(X.conj().T @ N @ X, onp.eye(min(k, n)), atol=1e-8)


def assert_pairs_stand_together(w):
    """Im > 0 first, and only the last one may be alone."""
    i = 0
    while i < w.size:
        if w[i].imag == 0:
            i += 1
            continue
        assert w[i].imag > 0
        assert i + 1 == w.size or w[i + 1] == w[i].conj()
        i += 2


def calls(kind, masses=MASSES, orders=(1, 2, 3, 4, 6)):
    """(n, name of M, sigma, which, k) that SciPy's own ARPACK selects for, or LAPACK does."""
    hermitian, real = KINDS[kind]
    for n in orders:
        for name in masses:
            for sigma in (None, 0.3) if hermitian else (None, 0.3, 0.3 + 0.7j):
                for which in WHICH[hermitian]:
                    for k in range(1, n + 2):
                        arpack = k < (n if hermitian and real else n - 1)
                        if name == "singular" and sigma is None and arpack:
                            continue  # an error: it needs sigma
                        if arpack and onp.imag(sigma or 0) and real and cuts(kind, n, name, which, sigma, k):
                            continue  # SciPy selects by another rank than it documents, see docs/limits.md
                        yield n, name, sigma, which, k


def cuts(kind, n, name, which, sigma, k):
    key = onp.sort(rank(spectrum(kind, n, name), kind, which, sigma))[::-1]
    return k < key.size and abs(key[k] - key[k - 1]) < 1e-9


def call(kind, A, k, M, **arguments):
    return (ka.eigsh if KINDS[kind][0] else ka.eigs)(A, k=k, M=M, v0=1 + 0.1 * onp.arange(A.shape[0]), **arguments)


@pytest.mark.filterwarnings("ignore:k >= N:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_k(kind):
    """k = 1 … n + 1 of n up to 6; values alone are the same."""
    seen = 0
    for n, name, sigma, which, k in calls(kind):
        A, M, right = matrix(kind, n), mass(name, n, KINDS[kind][1]), spectrum(kind, n, name)
        if right.size < min(k, n):
            with pytest.raises(
                ValueError, match=rf"k = {min(k, n)} eigenvalues were asked for, and {right.size} of the"
            ):
                call(kind, A, k, M, sigma=sigma, which=which)
            continue
        w, X = call(kind, A, k, M, sigma=sigma, which=which)
        check(kind, A, M, k, w, X, right, which, sigma)
        alone = call(kind, A, k, M, sigma=sigma, which=which, return_eigenvectors=False)
        if kind == "symmetric" and k < n:  # SciPy's own order
            onp.testing.assert_allclose(onp.sort(alone), w, rtol=1e-9, atol=1e-12)
        else:
            onp.testing.assert_array_equal(alone, w)
        seen += 1
    assert seen > 200


def loss(w, X, weights):
    return np.sum(weights[0][: w.shape[0]] * np.real(w)) + np.sum(weights[1][:, : w.shape[0]] * np.abs(X) ** 4)


@pytest.mark.filterwarnings("ignore:k >= N:RuntimeWarning")
@pytest.mark.parametrize("name", ["none", "definite"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_every_k(kind, name):
    """Against the dense formula, in A and in M, of the values of the untraced call."""
    hermitian, real = KINDS[kind]
    normalization = "2" if name == "none" else "M"
    rng, seen = onp.random.default_rng(5), 0
    for n, _, sigma, which, k in calls(kind, (name,), (1, 2, 3, 5)):
        if which not in ("SA", "SR", "LM"):
            continue
        A, M = matrix(kind, n), mass(name, n, real)
        weights, found = (rng.standard_normal(n), rng.standard_normal((n, n))), []

        def f(A, M, weights=weights, found=found, k=k, sigma=sigma, which=which):
            w, X = call(kind, A, k, M, sigma=sigma, which=which)
            found.append((getval(w), getval(X)))
            return loss(w, X, weights)

        if M is None:
            gradients = (grad(lambda A, f=f: f(A, None))(A),)
        else:
            gradients = grad(f, (0, 1))(A, M)
        w, X = found[0]
        expected = call(kind, A, k, M, sigma=sigma, which=which)
        onp.testing.assert_allclose(w, expected[0], rtol=1e-9, atol=1e-11)
        onp.testing.assert_allclose(abs(X), abs(expected[1]), rtol=1e-8, atol=1e-9)
        m = w.size
        gX = 4 * weights[1][:, :m] * abs(X) ** 2 * X
        right = oracle.cotangent(A, M, w, X, weights[0][:m], gX, hermitian=hermitian, normalization=normalization)
        for g, r, like, structured in zip(gradients, right, (A, M), (hermitian, True), strict=False):
            g = oracle.structured(onp.conj(g), like, hermitian=structured)
            onp.testing.assert_allclose(g, r, rtol=1e-6, atol=1e-8 * max(1, la.norm(r)))
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_with_a_singular_mass(kind):
    """Along a direction of A and of M (which keeps its rank), against differences; forward mode too."""
    hermitian, real = KINDS[kind]
    for n, k in ((4, 1), (4, 2), (6, 3), (6, 4)):
        A, B = matrix(kind, n), random((n, n - 2), real, 7)
        dA, dB = matrix(kind, n + 1)[:n, :n], 0.3 * random((n, n - 2), real, 8)
        rng = onp.random.default_rng(n)
        weights = rng.standard_normal(n), rng.standard_normal((n, n))

        def f(t, A=A, B=B, dA=dA, dB=dB, k=k, weights=weights):
            C = B + t * dB
            w, X = call(kind, A + t * dA, k, np.dot(C, np.conj(C).T), sigma=0.3)
            return loss(w, X, weights)

        expected, error = oracle.difference(f, 0.0, 1.0, h=1e-3)
        assert error < 1e-6 * max(1, abs(expected))
        onp.testing.assert_allclose(grad(f)(0.0), expected, rtol=1e-6, atol=1e-8)
        onp.testing.assert_allclose(make_jvp(f)(0.0)(1.0)[1], expected, rtol=1e-6, atol=1e-8)


def test_two_levels():
    """The lower one of a spin in a field (t, 0, 1): −√(1 + t²), by every means."""
    sx, sz = onp.array([[0, 1], [1, 0]]), onp.diag([1, -1])
    for one in (1, 1.0, 1 + 0j):
        for solver, which in ((ka.eigsh, "SA"), (ka.eigs, "SR")):
            for vectors in (True, False):

                def f(t, one=one, solver=solver, which=which, vectors=vectors):
                    found = solver(one * sx + t * sz, k=1, which=which, return_eigenvectors=vectors)
                    return np.real((found[0] if vectors else found)[0])

                assert f(0.5) == pytest.approx(-1.118033988749895, rel=1e-14)
                assert grad(f)(0.5) == pytest.approx(-0.4472135954999579, rel=1e-12)
                assert grad(grad(f))(0.5) == pytest.approx(-(1.25**-1.5), rel=1e-10)


@pytest.mark.parametrize("mode", ["normal", "buckling", "cayley"])
@pytest.mark.parametrize("singular", [False, True])
def test_modes(mode, singular):
    """All pairs; in buckling mode those that A normalises, of an indefinite M."""
    n = 5
    G, M = random((n, n), True, 1), matrix("symmetric", n)
    A = matrix("symmetric", n + 1)[:n, :n]
    if mode == "buckling":
        A = G @ G.T
    else:
        M = G @ G.T
    if singular:  # of both; the inner product too
        Q = onp.linalg.qr(G)[0]
        A, M = (Q @ onp.diag(d) @ Q.T for d in ([4.0, 3, 2, 0, 1], [1.0, -1, 0, 2, 3]))
        if mode != "buckling":
            A, M = M, A
    right = la.eigvals(A, M).real if not singular else onp.array([4.0, -3, 1 / 3])
    if singular and mode != "buckling":
        right = onp.array([0.25, -1 / 3, 0, 3])
    k = right.size
    for which in ("LM", "SM", "LA", "SA"):
        w, X = ka.eigsh(A, k=k, M=M, sigma=0.7, mode=mode, which=which)
        check("symmetric", A, M, k, w, X, right, which, 0.7, mode)

        def f(t, which=which):
            w, X = ka.eigsh(A * (1 + t), k=k, M=M * (1 + t) ** 2, sigma=0.7, mode=mode, which=which)
            return np.sum(w) + np.sum(X**4)

        degree = {"buckling": -2}.get(mode, -4)
        assert grad(f)(0.0) == pytest.approx(-onp.sum(w) + degree * onp.sum(X**4), rel=1e-9)
    if singular:
        with pytest.raises(ValueError, match=rf"{k} of the 5 eigenvalues are finite"):
            ka.eigsh(A, k=k + 1, M=M, sigma=0.7, mode=mode)


@pytest.mark.parametrize("part", ["r", "i"])
def test_the_part_of_a_complex_shift(part):
    """Of real matrices at a complex sigma SciPy ranks by Re or Im of the inverse's eigenvalues."""
    A, right = matrix("real", 6), spectrum("real", 6, "none")
    for which in WHICH[False]:
        w, X = ka.eigs(A, k=5, sigma=0.3 + 0.7j, which=which, OPpart=part)
        check("real", A, None, 5, w, X, right, which, 0.3 + 0.7j, part=part)


@pytest.mark.parametrize("constraints", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_constraints(kind, constraints):
    """[[K, C], [Cᴴ, 0]] x = w [[I, 0], [0, 0]] x: infinite eigenvalues in Jordan blocks, which rounding makes 1/√ε."""
    hermitian, real = KINDS[kind]
    n = 7
    K, C = matrix(kind, n), random((n, constraints), real, 3)
    Z = la.null_space(C.conj().T)
    right = la.eigvals(Z.conj().T @ K @ Z)
    right = right.real if hermitian else right
    A = onp.block([[K, C], [C.conj().T, onp.zeros((constraints, constraints))]])
    M = onp.diag(onp.r_[onp.ones(n), onp.zeros(constraints)])
    for k in (1, right.size):
        w, X = call(kind, A, k, M, sigma=0.1)
        check(kind, A, M, k, w, X, right, "LM", 0.1)
        assert la.norm(C.conj().T @ X[:n]) < 1e-10
    with pytest.raises(ValueError, match=rf"{right.size} of the {n + constraints} eigenvalues are finite"):
        call(kind, A, right.size + 1, M, sigma=0.1)


def test_a_mass_that_is_no_inner_product():
    """`eigs` solves any pencil, at unit 2-norm; `eigsh` does not."""
    A, n = matrix("complex", 5), 5
    for M in (onp.diag([1.0, -1, 2, 3, 4]), random((n, n), False, 9), onp.diag([1, -1.0, 2, 0, 0])):
        right = la.eigvals(A, M)
        right = right[onp.isfinite(right) & (abs(right) < 1e8)]
        for k in (4, 5):
            if k > right.size:
                with pytest.raises(
                    ValueError, match="k = 4 eigenvalues were asked for, and 3 of the 5 eigenvalues are"
                ):
                    ka.eigs(A, k=4, M=M)
                continue
            w, X = ka.eigs(A, k=k, M=M, which="LR")
            onp.testing.assert_allclose(la.norm(X, axis=0), 1, rtol=1e-12)
            assert la.norm(A @ X - M @ X * w) < 1e-10 * la.norm(A)
            onp.testing.assert_allclose(w.real, onp.sort(right.real)[::-1][:k], rtol=1e-9)
            gradient = grad(lambda t, M=M, k=k: np.sum(np.real(ka.eigs(A * t, k=k, M=M, which="LR")[0])))(1.0)
            assert gradient == pytest.approx(onp.sum(w.real), rel=1e-9)
        with pytest.raises(ValueError, match="M is not Hermitian positive definite"):
            ka.eigsh(matrix("hermitian", n), k=5, M=M)


def test_a_pencil_of_which_every_number_is_an_eigenvalue():
    A = onp.diag([1.0, 2, 3, 0])
    for solver in (ka.eigsh, ka.eigs):
        with pytest.raises(ValueError, match=r"A − sM is singular for every s.*null vector in common"):
            solver(A, k=4, M=onp.diag([1.0, 1, 1, 0]))


FORMS = {
    "sparse": sp.csr_array,
    "SciPy's operator": spla.aslinearoperator,
    "ours": ka.aslinearoperator,
    "ours, sparse": lambda A: ka.aslinearoperator(sp.csr_array(A)),
    "a function": lambda A: ka.LinearOperator(A.shape, lambda v: np.dot(A, v), dtype=A.dtype),
    "one of matmat": lambda A: ka.LinearOperator(
        A.shape, lambda v: np.dot(A, v), lambda v: np.dot(A.conj().T, v), lambda V: np.dot(A, V), dtype=A.dtype
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["none", "definite", "singular"])
def test_operators_are_made_dense(kind, form, name):
    """Of order up to 200, traced or not, and with ``solver="arpack"``, which cannot either."""
    for n in (1, 2, 6):
        A, M, right = matrix(kind, n), mass(name, n, KINDS[kind][1]), spectrum(kind, n, name)
        k = right.size
        if not k:
            continue
        arguments = {"sigma": 0.3, "which": "SA" if KINDS[kind][0] else "SR"}
        expected = call(kind, A, k, M, **arguments)
        own = FORMS[form](A)
        mass_own = None if M is None else FORMS[form](M)
        for more in ({}, {"solver": "arpack"}):
            w, X = call(kind, own, k, mass_own, **arguments, **more)
            check(kind, A, M, k, w, X, right, arguments["which"], 0.3)
            onp.testing.assert_allclose(w, expected[0], rtol=1e-9, atol=1e-12)

        def f(t, own=own, k=k, mass_own=mass_own, arguments=arguments):
            return np.sum(np.real(call(kind, ka.aslinearoperator(own) * t, k, mass_own, **arguments)[0]))

        assert grad(f)(1.0) == pytest.approx(onp.sum(expected[0].real), rel=1e-8)


def test_operators_of_order_200():
    d = onp.arange(1.0, 201.0)
    A = ka.LinearOperator((200, 200), lambda v: d * v, lambda v: d * v, dtype=float)
    onp.testing.assert_allclose(ka.eigsh(A, k=200)[0], d)
    onp.testing.assert_allclose(ka.eigs(A, k=199, which="SR", return_eigenvectors=False), d[:199])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_types(dtype):
    """The same for every k, real eigenvalues of `eigs` included."""
    A = onp.diag(onp.arange(1, 6)).astype(dtype)
    for M in (None, onp.eye(5, dtype=dtype)):
        for k in (2, 4, 5):
            for form in (onp.asarray, ka.aslinearoperator):
                w, X = ka.eigs(form(A), k=k, M=M)
                assert w.dtype == X.dtype == onp.result_type(dtype, "complex64")
                w, X = ka.eigsh(form(A), k=k, M=M)
                assert X.dtype == dtype
                assert w.dtype == A.real.dtype


def test_more_pairs_than_there_are():
    """SciPy's warning, from where the call is; none for k ≤ n."""
    for kind, (hermitian, _) in KINDS.items():
        A = matrix(kind, 4)
        solver, scipys = (ka.eigsh, spla.eigsh) if hermitian else (ka.eigs, spla.eigs)

        def traced(k, solver=solver, A=A):
            return grad(lambda t: np.real(solver(A * t, k=k)[0][0]))(1.0)

        with pytest.warns(RuntimeWarning) as theirs:
            scipys(A, k=6)
        with pytest.warns(RuntimeWarning) as ours:
            solver(A, k=6)
        assert ours[0].filename == __file__
        with pytest.warns(RuntimeWarning) as of_a_traced_call:
            traced(6)
        assert of_a_traced_call[0].filename == __file__
        for seen in (ours, of_a_traced_call):
            assert [str(w.message) for w in seen] == [str(w.message) for w in theirs]
        for k in (3, 4):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert solver(A, k=k)[0].shape == (k,)
                traced(k)


REFUSED = {
    "which": ({"which": "XX"}, {"which": "BE"}, {"which": "sm"}, {"which": "LA"}, {"which": "LR"}),
    "k": ({"k": 0}, {"k": -1}),
    "inverses": ({"OPinv": onp.eye(6)}, {"Minv": onp.eye(6)}, {"sigma": 0.2, "Minv": onp.eye(6), "M": onp.eye(6)}),
    "mode": ({"mode": "foo", "sigma": 0.2}, {"mode": "buckling", "sigma": 0.2}, {"mode": "foo"}),
    "part": ({"OPpart": "i"}, {"OPpart": "x", "sigma": 0.2}, {"OPpart": "i", "sigma": 0.2}),
    "sigma": ({"sigma": 0.2 + 0.1j}, {"sigma": onp.nan}, {"sigma": onp.inf}),
    "k of another type": ({"k": None}, {"k": "6"}),
}


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_scipy_refuses_is_refused_for_every_k(kind, name):
    """SciPy itself looks at nothing but k where it turns to LAPACK."""
    hermitian = KINDS[kind][0]
    A = matrix(kind, 6)
    A = A @ A.conj().T  # which buckling needs
    refused = 0
    for arguments in REFUSED[name]:
        if ("mode" in arguments and not hermitian) or ("OPpart" in arguments and hermitian):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                (spla.eigsh if hermitian else spla.eigs)(A, **{"k": 2, **arguments})
            theirs = None
        except (ValueError, TypeError) as error:
            theirs = type(error)
        if theirs is None and name == "sigma":
            continue  # SciPy before 1.15 drops the imaginary part
        for k in (5, 6):
            for traced in (False, True):

                def f(t, k=k, arguments=arguments):
                    return np.real(call(kind, A * t, **{"k": k, "M": None, **arguments})[0][0])

                if theirs is None:
                    grad(f)(1.0) if traced else f(1.0)
                else:
                    with pytest.raises(theirs):
                        grad(f)(1.0) if traced else f(1.0)
                    refused += 1
    assert refused or name in ("mode", "part")


def test_a_fractional_k_is_refused():
    """SciPy crashes."""
    for k in (6.0, 6.5):
        with pytest.raises(TypeError, match="integer"):
            ka.eigsh(onp.eye(6), k=k)


# ---- order -------------------------------------------------------------------------------------


def orders_of(A, k, **arguments):
    """w of the same matrix with other rounding, as array, operator, traced, with vectors and without."""
    n = A.shape[0]
    found, rng = [], onp.random.default_rng(0)
    for seed in range(6):
        v0 = rng.standard_normal(n)
        turn = onp.eye(n)[rng.permutation(n)] if seed else onp.eye(n)
        B = turn @ A @ turn.T
        found.append(ka.eigs(B, k=k, v0=v0, **arguments)[0])
        found.append(ka.eigs(B, k=k, v0=v0, return_eigenvectors=False, **arguments))
        found.append(ka.eigs(ka.aslinearoperator(sp.csr_array(B)), k=k, v0=v0, **arguments)[0])
        for vectors in (True, False):

            def f(t, B=B, v0=v0, vectors=vectors):
                w = ka.eigs(B * t, k=k, v0=v0, return_eigenvectors=vectors, **arguments)
                found.append(getval(w[0] if vectors else w))
                return np.sum(np.real(w[0] if vectors else w))

            grad(f)(1.0)
    return found


TIES = {
    "roots of unity": (onp.roll(onp.eye(12), 1, axis=0), 12, {}),
    "plus and minus": (onp.diag(onp.r_[onp.arange(1.0, 7), -onp.arange(1.0, 7)]), 12, {}),
    "on a vertical line": (la.block_diag(*([[0.5, b], [-b, 0.5]] for b in (1.0, 2, 3, 4, 5, 6))), 12, {"which": "LR"}),
    "pairs that are alike": (la.block_diag(*([[1.0, 2], [-2, 1]],) * 6), 12, {}),
    "about sigma": (onp.diag(onp.r_[3 + onp.arange(1.0, 7), 3 - onp.arange(1.0, 7)]), 12, {"sigma": 3.0}),
    "by ARPACK": (la.block_diag(*([[0, b], [-b, 0]] for b in onp.arange(1.0, 15))), 6, {"which": "LR", "sigma": 1.0}),
    "by ARPACK, signs": (onp.diag(onp.r_[onp.arange(1.0, 15), -onp.arange(1.0, 15)]), 6, {}),
}


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("name", TIES)
def test_rounding_decides_no_order(name, dtype):
    A, k, arguments = TIES[name]
    first, *others = orders_of(A.astype(dtype), k, **arguments)
    for w in others:
        onp.testing.assert_allclose(w, first, rtol=1e-9, atol=1e-9)
    if dtype is float:
        assert_pairs_stand_together(first)
    key = abs(first - arguments.get("sigma", 0)) if arguments.get("which", "LM") == "LM" else None
    if key is not None:
        assert onp.all(onp.diff(key if "sigma" in arguments else -key) >= -1e-9)
    ties = onp.flatnonzero(abs(onp.diff(key)) < 1e-9) if key is not None else []
    for i in ties:  # the larger real part, then the larger imaginary part
        assert first[i].real >= first[i + 1].real - 1e-9


@pytest.mark.parametrize("sigma", [None, 0.2])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 7, 38, 39, 40])
def test_the_member_of_a_pair_that_k_cuts(k, dtype, sigma):
    """With vectors and without, traced and not: the one with Im w > 0, and no more wanted eigenvalue is lost for it."""
    blocks = [[[3.0 + j, 1 + j], [-1.0 - j, 3 + j]] for j in range(18)]
    T = onp.eye(40) + 0.3 * random((40, 40), True, 2) / 40**0.5
    A = (onp.linalg.inv(T) @ la.block_diag(*blocks, 2.0, 7.5, 9.9, 1.0) @ T).astype(dtype)
    right = la.eigvals(A)
    key = onp.round(abs(right) if sigma is None else -abs(right - sigma), 8)
    order = onp.lexsort((-right.imag, -key))
    if dtype is complex and 0 < k < 39 and key[order[k - 1]] == key[order[k]]:
        return  # of a complex matrix, ARPACK chooses
    right = right[order][:k]
    for vectors in (True, False):
        found = ka.eigs(A, k=k, sigma=sigma, v0=onp.ones(40), return_eigenvectors=vectors)
        onp.testing.assert_allclose(found[0] if vectors else found, right, rtol=1e-8)

        def f(t, vectors=vectors):
            found = ka.eigs(A * t, k=k, sigma=sigma, v0=onp.ones(40), return_eigenvectors=vectors)
            w = found[0] if vectors else found
            onp.testing.assert_allclose(getval(w), right, rtol=1e-8)
            return np.sum(np.real(w) + np.imag(w))

        assert grad(f)(1.0) == pytest.approx(onp.sum(right.real + right.imag), rel=1e-7)


# ---- what k cuts -------------------------------------------------------------------------------


def test_what_k_cuts_of_a_small_matrix_is_known():
    """The forward solve has all eigenvalues: nothing is searched for, and nothing missed."""
    H = matrix("hermitian", 4)
    A = onp.diag([0.0, 1, 1]) + 0j

    def f(t, i, **arguments):
        return ka.eigsh(A + t * H[:3, :3], k=2, which="SA", **arguments)[0][i]

    with pytest.warns(ka.DegeneracyWarning, match=r"coincide with ones that were not computed.*1 \(w = 1\)"):
        grad(f)(0.0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grad(f)(0.0, 0) == pytest.approx(H[0, 0].real)


def test_what_the_dense_solve_knows_besides():
    """All other eigenvalues; of a pair that k cuts, the conjugate is known with the member that is returned."""
    A = la.block_diag([[1.0, 3], [-3, 1]], [[0, 2], [-2, 0]], 1.5)
    for k, others in ((1, [2j, -2j, 1.5]), (2, [2j, -2j, 1.5]), (3, [1.5]), (4, [1.5]), (5, []), (6, [])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = dense_pairs(Request(k, False), A, None)
        onp.testing.assert_allclose(found.surplus.cut, others, atol=1e-12)
    found = dense_pairs(Request(2, True), A + A.T, None)
    onp.testing.assert_allclose(found.w, [2, 3], atol=1e-12)
    onp.testing.assert_allclose(found.surplus.cut, [2, 0, 0], atol=1e-12)
