"""Table of test problems A(p) x = w M(p) x, and a loss of their eigenpairs.

``PROBLEMS`` maps names to `Problem`. ``PROBLEMS[name].build(seed, n, dtype)`` gives a dict, the
*instance*, with

    A(p) = A0 + sum_j p_j dA[j],      M(p) = M0 + sum_j p_j dM[j],      p real, shape (3,),

and the arguments of the SciPy call that computes the pairs. Structure is kept for every real p;
a positive definite M stays so for ``sum |p_j| <= P_RADIUS``, and the wanted eigenvalues stay
apart there.

The spectra are prescribed, so that the wanted eigenvalues are simple and well separated:

    standard       A = V D V^-1                      (V unitary for Hermitian problems)
    pencil         A = F S F^H,  M = F F^H,          S = V D V^-1
    free mass      A = K S,      M = K               K neither Hermitian nor definite
    buckling       A = F F^H,    M = F S F^H         (x^H A x = 1, eigenvalues 1 / eig(S))

With ``sparse=True`` the factors V, F, K are products of a few layers of disjoint 2 x 2 blocks. Their
inverses are such products too, so the matrices are banded and still have the prescribed spectra.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

PARAMETERS = 3
P_RADIUS = 0.1

REAL = ("float32", "float64")
COMPLEX = ("complex64", "complex128")


@dataclass(frozen=True)
class Problem:
    """
    One row of the table.

    Attributes
    ----------
    name : str
    builder : callable
        ``builder(seed, n, dtype, sparse)``, see `build`.
    solver : {"eigs", "eigsh"}
        The SciPy function.
    kwargs : mapping
        Its arguments besides `A` and `M`: k, which, sigma, mode, OPpart.
    hermitian : bool
    normalization : {"2", "M", "A"}
        What the returned vectors satisfy: ``x^H x = 1``, ``x^H M x = 1`` or ``x^H A x = 1``.
    is_real : bool
        Whether the matrices are real.
    generalized : bool
        Whether there is an M.
    scipy_valid : bool
        False where SciPy returns numbers that are not eigenpairs, with vectors of norm 1e-15, or
        raises, not reproducibly (M neither Hermitian nor definite).
    """

    name: str
    builder: Callable[..., dict]
    solver: str
    kwargs: Mapping[str, object]
    hermitian: bool
    normalization: str
    is_real: bool
    generalized: bool
    scipy_valid: bool = True

    @property
    def dtypes(self):
        """Names of the dtypes that the class allows."""
        return REAL if self.is_real else COMPLEX

    @property
    def structure(self):
        """The keywords that every function of the dense oracle takes."""
        return {"hermitian": self.hermitian, "normalization": self.normalization}

    def build(self, seed, n, dtype=None, sparse=False):
        """
        Return an instance.

        Parameters
        ----------
        seed : int
        n : int
            Size, at least 10.
        dtype : dtype_like, optional
            One of `dtypes`; the double-precision one by default.
        sparse : bool
            Build from banded factors and add the sparse matrices.

        Returns
        -------
        instance : dict
            ``A0, dA, M0, dM`` (dense; `M0` None and `dM` empty without M), ``A_sparse, M_sparse``
            (lists ``[A0, *dA]``, ``[M0, *dM]`` of ``csr_array``; only with ``sparse=True``),
            ``solver, kwargs, hermitian, normalization, is_real, name``.
        """
        dtype = np.dtype(self.dtypes[-1] if dtype is None else dtype)
        if dtype.name not in self.dtypes:
            raise ValueError(f"{self.name} allows {self.dtypes}, not {dtype.name}")
        if n < 10:
            raise ValueError(f"n={n} is too small for the prescribed spectra, which need 10")
        matrices = self.builder(np.random.default_rng([seed, n]), n, sparse)
        A, M = ([matrix.astype(dtype) for matrix in matrices[key]] for key in "AM")
        instance = {
            "name": self.name,
            "solver": self.solver,
            "kwargs": dict(self.kwargs),
            "is_real": self.is_real,
            **self.structure,
        }
        if sparse:
            A, M = ([scipy.sparse.csr_array(matrix) for matrix in part] for part in (A, M))
            instance.update(A_sparse=A, M_sparse=M)
            A, M = ([matrix.toarray() for matrix in part] for part in (A, M))
        instance.update(A0=A[0], dA=A[1:], M0=M[0] if M else None, dM=M[1:])
        return instance


# ---------------------------------------------------------------------------------------------
# Factors: dense, or sparse with a sparse inverse


def _gaussian(rng, shape, is_real):
    sample = rng.standard_normal(shape)
    return sample if is_real else (sample + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def _dense_factor(rng, n, is_real, singular_values):
    """Return (F, F^-1) with the given extreme singular values."""
    left, right = (np.linalg.qr(_gaussian(rng, (n, n), is_real))[0] for _ in range(2))
    s = np.geomspace(*singular_values, n)
    return (left * s) @ right, (right.conj().T / s) @ left.conj().T


def block_diagonal(blocks):
    return scipy.sparse.csr_array(scipy.sparse.block_diag([scipy.sparse.coo_array(block) for block in blocks]))


def _sparse_factor(rng, n, is_real, singular_values, layers=3):
    """Return (F, F^-1), both of bandwidth `layers`, as products of disjoint 2 x 2 blocks."""
    F = inverse = scipy.sparse.csr_array(scipy.sparse.identity(n))
    for layer in range(layers):
        start = layer % 2
        blocks, inverses = [np.eye(1)] * start, [np.eye(1)] * start
        for _ in range((n - start) // 2):
            block, inverted = _dense_factor(rng, 2, is_real, np.power(singular_values, 1 / layers))
            blocks.append(block)
            inverses.append(inverted)
        if (n - start) % 2:
            blocks.append(np.eye(1))
            inverses.append(np.eye(1))
        F = F @ block_diagonal(blocks)
        inverse = block_diagonal(inverses) @ inverse
    return F, inverse


def _factor(rng, n, is_real, sparse, singular_values=(1.0, 1.0)):
    return (_sparse_factor if sparse else _dense_factor)(rng, n, is_real, singular_values)


def _direction(rng, n, is_real, sparse, hermitian, scale):
    """A random direction of spectral norm about `scale`."""
    D = _gaussian(rng, (n, n), is_real)
    if sparse:
        D = np.where(rng.random((n, n)) < 3 / n, D, 0)
    if hermitian:
        D = D + D.conj().T
    D = D * (0.5 * scale * np.sqrt(n) / np.linalg.norm(D))
    return scipy.sparse.csr_array(D) if sparse else D


# ---------------------------------------------------------------------------------------------
# Spectra: lists of eigenvalues; in real problems a complex one stands for a conjugate pair


def _low(rng, n, is_real):
    """Four wanted at the lower end."""
    return [-6.1, -5.0, -4.1, -3.0, *np.sort(rng.uniform(-1.2, 6.0, n - 4))]


def _interior(rng, n, is_real):
    """Four wanted around 0.3, eigenvalues on both sides."""
    outer = rng.uniform(3.8, 7.0, n - 4) * np.where(np.arange(n - 4) % 2, 1, -1)
    return [-1.3, -0.4, 0.7, 1.6, *outer]


def _right(rng, n, is_real, wanted=(6.0 + 1.5j, 4.8, 3.4 + 2.5j)):
    """Wanted at the right end, a cloud at its left."""

    def cloud(m):
        return rng.uniform(-4, 1.2, m) + 1j * rng.uniform(0.3, 2, m)

    return _fill(wanted, n, is_real, cloud, single=0.5)


def _near(rng, n, is_real, wanted, centre):
    """Wanted near a shift, a ring around."""

    def ring(m):
        return centre + rng.uniform(5, 8, m) * np.exp(1j * np.pi * rng.uniform(0.05, 0.95, m))

    return _fill(wanted, n, is_real, ring, single=np.real(centre) + 5.5)


def _fill(wanted, n, is_real, cloud, single):
    """Complete `wanted` to dimension n; lower and upper half plane alternate in complex problems."""
    if not is_real:
        rest = cloud(n - len(wanted))
        return [*wanted, *np.where(np.arange(len(rest)) % 2, rest, rest.conj())]
    missing = n - sum(2 if np.imag(value) else 1 for value in wanted)
    # An odd dimension needs a real eigenvalue.
    return [*wanted, *cloud(missing // 2), *[single] * (missing % 2)]


def _buckling_loads(rng, n, is_real):
    """Four wanted by |w / (w - 2)|, loads of both signs; 1.2 is nearer to 2 than 3.4, but not wanted."""
    m = n - 5
    rest = np.where(np.arange(m) % 2, rng.uniform(6.5, 12, m), -rng.uniform(3, 8, m))
    return [1.55, 1.9, 2.4, 3.4, 1.2, *rest]


def _cayley_values(rng, n, is_real):
    """Four wanted by |(w + 1) / (w - 1)|; 0.1 is nearer to 1 than 2.5, but not wanted."""
    m = n - 5
    rest = np.where(np.arange(m) % 2, rng.uniform(6, 9, m), -rng.uniform(3, 6, m))
    return [0.5, 0.85, 1.35, 2.5, 0.1, *rest]


def _block_diagonal(values, is_real):
    """D with the given eigenvalues; a conjugate pair is a real 2 x 2 block."""
    blocks = []
    for value in values:
        if is_real and np.imag(value):
            blocks.append(np.array([[value.real, value.imag], [-value.imag, value.real]]))
        else:
            blocks.append(np.array([[np.real(value) if is_real else value]]))
    return block_diagonal(blocks)


# ---------------------------------------------------------------------------------------------
# Families


def _standard_matrix(rng, n, sparse, is_real, hermitian, values):
    V, inverse = _factor(rng, n, is_real, sparse, (1.0, 1.0) if hermitian else (3.0, 0.4))
    S = V @ (_block_diagonal(values, is_real) @ inverse)
    return 0.5 * (S + S.conj().T) if hermitian else S


def _symmetrised(H):
    return 0.5 * (H + H.conj().T)


def _family(rng, n, sparse, *, kind, is_real, hermitian, spectrum):
    """Return ``{"A": [A0, dA...], "M": [M0, dM...]}`` in double precision."""
    values = spectrum(rng, n, is_real)
    if kind == "buckling":
        values = 1 / np.array(values)
    S = _standard_matrix(rng, n, sparse, is_real, hermitian, values)

    def directions(scale, hermitian):
        return [_direction(rng, n, is_real, sparse, hermitian, scale) for _ in range(PARAMETERS)]

    if kind == "standard":
        return {"A": [S, *directions(1.0, hermitian)], "M": []}
    if kind == "free mass":
        K, _ = _factor(rng, n, is_real, sparse, (1.5, 0.6))
        return {"A": [K @ S, *directions(1.0, False)], "M": [K, *directions(0.25, False)]}
    F, _ = _factor(rng, n, is_real, sparse, (1.5, 0.7))
    definite = _symmetrised(F @ F.conj().T)
    if kind == "pencil":
        A = F @ S @ F.conj().T
        A = _symmetrised(A) if hermitian else A
        return {"A": [A, *directions(1.0, hermitian)], "M": [definite, *directions(0.25, True)]}
    assert kind == "buckling"
    M = _symmetrised(F @ S @ F.conj().T)
    return {"A": [definite, *directions(0.25, True)], "M": [M, *directions(0.1, True)]}


def _problem(name, solver, spectrum, *, kind="standard", is_real, scipy_valid=True, **kwargs):
    hermitian = solver == "eigsh"
    normalization = {"standard": "2", "free mass": "2", "pencil": "M", "buckling": "A"}[kind]
    builder = partial(_family, kind=kind, is_real=is_real, hermitian=hermitian, spectrum=spectrum)
    return Problem(
        name=name,
        builder=builder,
        solver=solver,
        kwargs=MappingProxyType(kwargs),
        hermitian=hermitian,
        normalization=normalization,
        is_real=is_real,
        generalized=kind != "standard",
        scipy_valid=scipy_valid,
    )


_REAL_SHIFT, _COMPLEX_SHIFT, _PAIR_SHIFT = 0.4, 0.4 + 0.7j, 1.0 + 1.5j
_right_cut = partial(_right, wanted=(6.0 + 1.5j, 4.6 + 2.2j))
_right_complex = partial(_right, wanted=(6.0 + 1.0j, 4.9 - 2.0j, 3.9 + 0.5j, 2.8 - 1.0j))
_near_real = partial(_near, wanted=(0.9 + 0.8j, -0.2, 1.9), centre=_REAL_SHIFT)
_near_complex = partial(
    _near,
    wanted=tuple(_COMPLEX_SHIFT + offset for offset in (0.4 + 0.3j, -0.7 + 0.5j, 0.3 - 1.2j, 1.5 + 0.6j)),
    centre=_COMPLEX_SHIFT,
)
_near_pair = partial(_near, wanted=(1.3 + 1.4j, 0.4 + 1.9j), centre=_PAIR_SHIFT.real)

_ROWS = (
    # Hermitian
    _problem("symmetric", "eigsh", _low, is_real=True, k=4, which="SA"),
    _problem("symmetric_interior", "eigsh", _interior, is_real=True, k=4, sigma=0.3),
    _problem("hermitian", "eigsh", _low, is_real=False, k=4, which="SA"),
    _problem("hermitian_interior", "eigsh", _interior, is_real=False, k=4, sigma=0.3),
    # Hermitian pencils
    _problem("pencil_symmetric", "eigsh", _low, kind="pencil", is_real=True, k=4, which="SA"),
    _problem("pencil_symmetric_interior", "eigsh", _interior, kind="pencil", is_real=True, k=4, sigma=0.3),
    _problem("pencil_hermitian", "eigsh", _low, kind="pencil", is_real=False, k=4, which="SA"),
    _problem("pencil_hermitian_interior", "eigsh", _interior, kind="pencil", is_real=False, k=4, sigma=0.3),
    _problem("buckling", "eigsh", _buckling_loads, kind="buckling", is_real=True, k=4, sigma=2.0, mode="buckling"),
    _problem("cayley", "eigsh", _cayley_values, kind="pencil", is_real=True, k=4, sigma=1.0, mode="cayley"),
    _problem("cayley_standard", "eigsh", _cayley_values, is_real=True, k=4, sigma=1.0, mode="cayley"),
    # Real and not symmetric: conjugate pairs; cut by k; near a real shift; near a complex shift
    _problem("nonsymmetric", "eigs", _right, is_real=True, k=5, which="LR"),
    _problem("nonsymmetric_cut", "eigs", _right_cut, is_real=True, k=3, which="LR"),
    _problem("nonsymmetric_shift", "eigs", _near_real, is_real=True, k=4, sigma=_REAL_SHIFT),
    _problem("nonsymmetric_complex_shift", "eigs", _near_pair, is_real=True, k=4, sigma=_PAIR_SHIFT, OPpart="r"),
    _problem(
        "nonsymmetric_complex_shift_cut",
        "eigs",
        _near_pair,
        is_real=True,
        k=3,
        sigma=_PAIR_SHIFT,
        OPpart="i",
    ),
    # Complex and not Hermitian
    _problem("nonhermitian", "eigs", _right_complex, is_real=False, k=4, which="LR"),
    _problem("nonhermitian_shift", "eigs", _near_complex, is_real=False, k=4, sigma=_COMPLEX_SHIFT),
    # A not Hermitian, M Hermitian positive definite
    _problem("pencil_nonsymmetric", "eigs", _right, kind="pencil", is_real=True, k=5, which="LR"),
    _problem("pencil_nonsymmetric_cut", "eigs", _right_cut, kind="pencil", is_real=True, k=3, which="LR"),
    _problem("pencil_nonsymmetric_shift", "eigs", _near_real, kind="pencil", is_real=True, k=4, sigma=_REAL_SHIFT),
    _problem(
        "pencil_nonsymmetric_complex_shift",
        "eigs",
        _near_pair,
        kind="pencil",
        is_real=True,
        k=4,
        sigma=_PAIR_SHIFT,
        OPpart="r",
    ),
    _problem("pencil_nonhermitian", "eigs", _right_complex, kind="pencil", is_real=False, k=4, which="LR"),
    _problem(
        "pencil_nonhermitian_shift",
        "eigs",
        _near_complex,
        kind="pencil",
        is_real=False,
        k=4,
        sigma=_COMPLEX_SHIFT,
    ),
    # M neither Hermitian nor definite: SciPy's own result is not an eigenpair
    _problem(
        "free_mass_real",
        "eigs",
        _near_real,
        kind="free mass",
        is_real=True,
        k=4,
        sigma=_REAL_SHIFT,
        scipy_valid=False,
    ),
    _problem(
        "free_mass_complex",
        "eigs",
        _near_complex,
        kind="free mass",
        is_real=False,
        k=4,
        sigma=_COMPLEX_SHIFT,
        scipy_valid=False,
    ),
)
PROBLEMS = {problem.name: problem for problem in _ROWS}


# ---------------------------------------------------------------------------------------------
# Instances


def parameters(instance, seed=0, radius=0.5 * P_RADIUS):
    """Return (p, dp): a point with ``sum |p_j| = radius``, a unit direction; in the instance's precision."""
    rng = np.random.default_rng(seed)
    p, dp = rng.standard_normal((2, PARAMETERS))
    real = instance["A0"].real.dtype
    return (p * radius / np.abs(p).sum()).astype(real), (dp / np.linalg.norm(dp)).astype(real)


def A_at(instance, p):
    """A(p), dense; differentiable in p under autograd. Give p in the precision of the instance."""
    return _combine([instance["A0"], *instance["dA"]], p)


def M_at(instance, p):
    """M(p), dense, or None."""
    return None if instance["M0"] is None else _combine([instance["M0"], *instance["dM"]], p)


def apply_sparse(matrices, p, x):
    """
    ``(S0 + sum_j p_j S_j) @ x`` for a list of sparse matrices ``[S0, S1, ...]``, products only.

    The sparse matrices are applied to plain arrays: with traced `p` this is what a closure over
    sparse products looks like. For traced `x`, apply through the library's operators instead.
    """
    return _combine([matrix @ x for matrix in matrices], p)


def _combine(terms, p):
    total = terms[0]
    for j, term in enumerate(terms[1:]):
        total = total + p[j] * term
    return total


def start_vector(instance, seed=0):
    """A reproducible `v0` of the instance's dtype."""
    dtype = instance["A0"].dtype
    return _gaussian(np.random.default_rng(seed), len(instance["A0"]), instance["is_real"]).astype(dtype)


def scipy_pairs(instance, p=None, *, sparse=False, **overrides):
    """
    What SciPy returns for an instance.

    Parameters
    ----------
    instance : dict
    p : (3,) array_like, optional
        Zero by default.
    sparse : bool
        Pass ``csr_array``s; the instance must have been built with ``sparse=True``.
    **overrides
        Further or other arguments of the SciPy function.
    """
    p = np.zeros(PARAMETERS, instance["A0"].real.dtype) if p is None else p
    if sparse:
        A = _combine(instance["A_sparse"], p)
        M = _combine(instance["M_sparse"], p) if instance["M_sparse"] else None
    else:
        A, M = A_at(instance, p), M_at(instance, p)
    solver = getattr(scipy.sparse.linalg, instance["solver"])
    arguments = {"v0": start_vector(instance), **instance["kwargs"], **overrides}
    return solver(A, M=M, **arguments)


def wanted(w, instance):
    """
    Which of all eigenvalues SciPy's `which`, `sigma`, `mode` and `OPpart` ask for.

    Parameters
    ----------
    w : (n,) ndarray
        All eigenvalues.
    instance : dict

    Returns
    -------
    index : (k,) ndarray of int
        Best first. Where k cuts a conjugate pair of a real matrix, either member may be in.
    """
    w = np.asarray(w)
    kwargs, real_general = instance["kwargs"], instance["is_real"] and not instance["hermitian"]
    k, which, sigma = kwargs["k"], kwargs.get("which", "LM"), kwargs.get("sigma")
    mode, part = kwargs.get("mode", "normal"), kwargs.get("OPpart") or "r"
    if sigma is None:
        transformed = w
    elif mode == "buckling":
        transformed = w / (w - sigma)
    elif mode == "cayley":
        transformed = (w + sigma) / (w - sigma)
    elif real_general and np.imag(sigma):
        # ARPACK sees the real or imaginary part of (A - sigma M)^-1 as an operator.
        one, other = 1 / (w - sigma), 1 / (w - np.conj(sigma))
        transformed = (one + other) / 2 if part.lower() == "r" else (one - other) / 2j
    else:
        transformed = 1 / (w - sigma)

    def ranking(values):
        if which[1] == "M":
            key = np.abs(values)
        elif which[1] == "I":
            key = np.abs(values.imag) if real_general else values.imag
        else:
            key = values.real
        return np.argsort(key if which[0] == "S" else -key, kind="stable")

    index = ranking(transformed)
    chosen = index[:k]
    if not real_general:
        return chosen
    tiny = 1e-9 * np.abs(w).max()
    cut = [np.abs(w[chosen] - value.conj()).min() > tiny for value in w[chosen]]
    if not any(cut):
        return chosen
    # ARPACK finds the pair; SciPy drops the worst of the k + 1 by its own measure.
    chosen = index[: k + 1]
    rank = ranking(1 / (w - sigma) if sigma is not None else w)
    return rank[np.isin(rank, chosen)][:k]


# ---------------------------------------------------------------------------------------------
# A loss of eigenpairs


@dataclass(frozen=True)
class LossWeights:
    """
    Weights of `mixed_loss`; those of pair i belong to the eigenvalue ``w_ref[i]``.

    Attributes
    ----------
    w_ref : (k,) ndarray
        Eigenvalues the weights are matched to.
    real, imag, square, quartic, form, product : (k,) ndarray
        One weight per pair and term.
    shift : complex
    site, profile : (n,) ndarray
        Real weights of the components.
    W : (n, n) ndarray
        Complex matrix without structure.
    """

    w_ref: np.ndarray
    real: np.ndarray
    imag: np.ndarray
    square: np.ndarray
    quartic: np.ndarray
    form: np.ndarray
    product: np.ndarray
    shift: complex
    site: np.ndarray
    profile: np.ndarray
    W: np.ndarray

    def order(self, w):
        """Return the permutation that brings per-pair weights into the order of `w`."""
        while hasattr(w, "_value"):  # a traced value
            w = w._value
        order = np.abs(np.asarray(w)[:, None] - self.w_ref[None, :]).argmin(axis=1)
        if len(set(order)) < len(order):
            raise ValueError(f"eigenvalues {w} do not match {self.w_ref} one to one")
        return order


def loss_weights(w_ref, n, seed=0):
    """Return random `LossWeights` in the precision of `w_ref`, (k,), for vectors of length n."""
    w_ref = np.asarray(w_ref)
    real = w_ref.real.dtype
    rng = np.random.default_rng(seed)
    per_pair = (rng.uniform(0.3, 1.0, (6, len(w_ref))) * rng.choice([-1, 1], (6, len(w_ref)))).astype(real)
    per_pair[2] *= 0.1  # keep the square of eigenvalues from dominating
    site, profile = rng.uniform(0.5, 2.0, (2, n)).astype(real)
    W = (_gaussian(rng, (n, n), False) / np.sqrt(n)).astype(np.result_type(real, np.complex64))
    return LossWeights(w_ref, *per_pair, shift=complex(0.7, -0.4), site=site, profile=profile, W=W)


def mixed_loss(w, X, xp, weights):
    """
    A real loss of eigenvalues and, phase by phase invariantly, of every eigenvector.

    Per pair, with its own weights (z = x^H W x):

        real Re w + imag Im w + square |w - shift|^2 / 2
        + quartic sum_r site_r |x_r|^4 + form |z|^2 + product Re(w) sum_r profile_r |x_r|^2

    It does not depend on the order of the pairs (weights are matched to eigenvalues), nor on the
    phases of the vectors; it does depend on their normalisation.

    Parameters
    ----------
    w, X : (k,), (n, k) arrays
        Real or complex, plain or traced.
    xp : module
        numpy or autograd.numpy.
    weights : LossWeights

    Returns
    -------
    loss : real scalar
    """
    order = weights.order(w)
    a, b = xp.real(X), xp.imag(X)
    density = a**2 + b**2  # (n, k)
    # W is split into real matrices, so that no product mixes real and complex arguments.
    Wr, Wi = weights.W.real.copy(), weights.W.imag.copy()
    Wra, Wrb, Wia, Wib = xp.dot(Wr, a), xp.dot(Wr, b), xp.dot(Wi, a), xp.dot(Wi, b)
    z_real = xp.sum(a * Wra + b * Wrb - a * Wib + b * Wia, axis=0)
    z_imag = xp.sum(a * Wrb - b * Wra + a * Wia + b * Wib, axis=0)
    u, v = xp.real(w), xp.imag(w)
    shift = weights.shift
    terms = (
        weights.real[order] * u
        + weights.imag[order] * v
        + weights.square[order] * ((u - shift.real) ** 2 + (v - shift.imag) ** 2) / 2
        + weights.quartic[order] * xp.dot(weights.site, density**2)
        + weights.form[order] * (z_real**2 + z_imag**2)
        + weights.product[order] * u * xp.dot(weights.profile, density)
    )
    return xp.sum(terms)


def mixed_loss_cotangents(w, X, weights):
    """
    Core cotangents of `mixed_loss`, by hand, in plain numpy.

    Returns
    -------
    gw : (k,) ndarray
    gX : (n, k) ndarray
        With ``df = Re sum_i (conj(gw_i) dw_i + gX_i^H dx_i)``; real where `w`, `X` are.
    """
    w, X, order = np.asarray(w), np.asarray(X), weights.order(w)
    density = np.abs(X) ** 2
    WX = weights.W @ X
    z = np.sum(X.conj() * WX, axis=0)
    gw = weights.real[order] + 1j * weights.imag[order] + weights.square[order] * (w - weights.shift)
    gw = gw + weights.product[order] * (weights.profile @ density)
    gX = 4 * weights.quartic[order] * (weights.site[:, None] * density) * X
    gX = gX + 2 * weights.form[order] * (z * (weights.W.conj().T @ X) + z.conj() * WX)
    gX = gX + 2 * weights.product[order] * w.real * (weights.profile[:, None] * X)
    return gw if np.iscomplexobj(w) else gw.real, gX if np.iscomplexobj(X) else gX.real
