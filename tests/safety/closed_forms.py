"""Eigenproblems built from their eigenpairs, and derivatives in closed form from the construction.

Nothing here imports the package. A `System` is a pencil A x = w M x of which *all* eigenpairs are
known before the matrices are formed,

    L A V = diag(alpha),   L M V = diag(beta),   w = alpha / beta   (beta = 0: infinite),

with directions dA_q, dM_q of the parameters p, A(p) = A + Σ p_q dA_q. Perturbation theory gives, for
F_i = (dA − w_i dM) v_i and a wanted pair i (β_i = 1),

    dw_i = L_i F_i,    dv_i = Σ_j v_j c_ji,    c_ji = L_j F_i / (w_i β_j − α_j)   for j ≠ i,

and c_ii from the normalisation vᴴNv = 1 and the gauge Im vᴴN dv = 0. For a loss that does not change
when the vectors of a cluster are mixed, the c_ji inside of the cluster may be any that keep the
normalisation: −½ v_jᴴ dM v_i for M-orthonormal ones, zero otherwise.
"""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from autograd import grad

EPS = float(np.finfo(float).eps)
Array = np.ndarray


@dataclass(frozen=True)
class System:
    """A pencil with known eigenpairs; ``error`` is what rounding of the data does to eigenvalues.

    Vectors are normalised by M where there is one; ``unit``: to xᴴx = 1 all the same.
    """

    A: Array
    V: Array
    L: Array
    alpha: Array
    dA: list
    hermitian: bool
    error: float
    M: Array | None = None
    dM: list = field(default_factory=list)
    beta: Array | None = None
    unit: bool = False

    @property
    def n(self):
        return len(self.A)

    @property
    def w(self):
        """Eigenvalues; those that M's null space makes infinite as inf."""
        with np.errstate(divide="ignore"):
            return self.alpha if self.beta is None else self.alpha / self.beta

    @property
    def infinite_scale(self):
        return np.ones(self.n) if self.beta is None else self.beta

    def gap(self, wanted, others=None):
        """The smallest distance from wanted eigenvalues to all others, or to those of ``others``."""
        w = self.w
        others = np.setdiff1d(np.arange(self.n), wanted) if others is None else others
        return min((float(np.abs(w[i] - w[j])) for i in wanted for j in others if i != j), default=np.inf)


# ---- matrices -------------------------------------------------------------------------------


def gaussian(rng, shape, is_complex):
    return rng.normal(size=shape) + (1j * rng.normal(size=shape) if is_complex else 0)


def unitary(rng, n, is_complex):
    return np.linalg.qr(gaussian(rng, (n, n), is_complex))[0]


def conditioned(rng, n, is_complex, condition):
    """A random matrix with singular values from 1 down to 1 / condition."""
    singular = np.geomspace(1.0, 1.0 / condition, n)
    return (unitary(rng, n, is_complex) * singular) @ unitary(rng, n, is_complex)


def symmetrised(S):
    return 0.5 * (S + S.conj().T)


def bulk(rng, n):
    """n distinct numbers in [−1, 1]."""
    return np.linspace(-1, 1, n) + rng.uniform(-0.3, 0.3, n) / n


def hermitian_system(rng, n, top, is_complex, *, condition=None, null=0, directions=3, rest=None):
    """Hermitian A, or a Hermitian pencil with cond(M) = condition, the first eigenvalues prescribed.

    A = F Q diag Qᴴ Fᴴ and M = F Fᴴ; the last ``null`` eigenvalues are infinite (M singular). The
    others are ``rest``, by default in [−1, 1].
    """
    alpha = np.r_[np.asarray(top, float), bulk(rng, n - len(top)) if rest is None else rest]
    Q = unitary(rng, n, is_complex)
    D = [symmetrised(gaussian(rng, (n, n), is_complex)) for _ in range(2 * directions)]
    norm = np.abs(alpha).max()
    if condition is None:
        A = symmetrised((Q * alpha) @ Q.conj().T)
        return System(A, Q, Q.conj().T, alpha, D[:directions], True, EPS * norm)
    F = conditioned(rng, n, is_complex, condition**0.5) @ Q
    beta = np.ones(n)
    beta[n - null :] = 0.0
    A, M = symmetrised((F * alpha) @ F.conj().T), symmetrised((F * beta) @ F.conj().T)
    L = np.linalg.inv(F)
    dA, dM = ([symmetrised(F @ S @ F.conj().T) for S in part] for part in (D[:directions], D[directions:]))
    return System(A, L.conj().T, L, alpha, dA, True, EPS * condition * norm, M, [0.3 * S for S in dM], beta)


def doubled_system(rng, n, top, is_complex, copies):
    """I ⊗ H, its rows and columns shuffled: every eigenvalue exactly ``copies`` times."""
    one = hermitian_system(rng, n // copies, top, is_complex)
    order = rng.permutation(copies * one.n)
    A = np.kron(np.eye(copies), one.A)[np.ix_(order, order)]
    V = np.kron(np.eye(copies), one.V)[order]
    columns = np.argsort(-np.tile(one.alpha, copies), kind="stable")  # members of a cluster side by side
    V, alpha = V[:, columns], np.tile(one.alpha, copies)[columns]
    D = [symmetrised(gaussian(rng, A.shape, is_complex)) for _ in range(3)]
    return System(A, V, V.conj().T, alpha, D, True, one.error)


def general_system(rng, n, top, *, is_real=False, condition=10.0, mass=None):
    """A = V diag V⁻¹ (times M from the left): top eigenvalues prescribed, cond(V) = condition.

    Real ones take complex values in the upper half plane only and add the conjugates.
    """
    top = np.asarray(top, complex)
    if is_real and np.any(top.imag < 0):
        raise ValueError(f"of a pair the member in the upper half plane, not {top}")
    if is_real:
        top = np.concatenate([[v] if v.imag == 0 else [v, v.conj()] for v in top])
        alpha = np.r_[top, bulk(rng, n - len(top))]
    else:
        alpha = np.r_[top, bulk(rng, n - len(top)) * np.exp(1j * rng.uniform(0, 2 * np.pi, n - len(top)))]
    V = conditioned(rng, n, not is_real, condition).astype(complex)
    if is_real:
        for j in np.flatnonzero(alpha.imag > 0):
            V[:, j], V[:, j + 1] = V[:, j] + 1j * V[:, j + 1], V[:, j] - 1j * V[:, j + 1]
    return from_vectors(rng, V, alpha, is_real=is_real, error=EPS * condition**2 * np.abs(alpha).max(), mass=mass)


def single(system):
    """The system in single precision."""

    def cast(S):
        return None if S is None else S.astype(np.complex64 if np.iscomplexobj(S) else np.float32)

    error = system.error * float(np.finfo(np.float32).eps) / EPS
    A, M = cast(system.A), cast(system.M)
    return replace(system, A=A, M=M, dA=[cast(S) for S in system.dA], dM=[cast(S) for S in system.dM], error=error)


def from_vectors(rng, V, alpha, *, is_real, error, mass=None, L=None, A=None):
    """The system of given right eigenvectors; xᴴx = 1, or xᴴMx = 1 where there is a mass matrix."""
    n = len(V)
    N = np.eye(n) if mass is None else mass
    V = V / np.sqrt(np.einsum("ij,ij->j", V.conj(), N @ V).real)
    if L is None:
        L = np.linalg.inv(V if mass is None else mass @ V)
    else:
        L = L / np.einsum("ij,ji->i", L, N @ V)[:, None]
    if A is None:
        A = (V * alpha) @ L if mass is None else mass @ (V * alpha) @ L @ mass
        A = A.real if is_real else A
    dA = [gaussian(rng, (n, n), not is_real) for _ in range(3)]
    dM = [] if mass is None else [0.1 * symmetrised(gaussian(rng, (n, n), not is_real)) for _ in range(3)]
    return System(A, V, L, alpha.astype(complex), dA, False, error, mass, dM)


def jordan_system(rng, n, order, epsilon, rotated, bottom):
    """One block of the given order, eigenvalues 3 + ε^(1/m) ω^k, next to a diagonal; real, rotated or as it is.

    The block is upper triangular with ε in the corner; the first direction is that of ε.
    """
    m = order
    roots = epsilon ** (1 / m) * np.exp(2j * np.pi * np.arange(m) / m)
    roots = roots.real if m == 2 else roots
    J = 3 * np.eye(m) + np.eye(m, k=1)
    J[m - 1, 0] += epsilon
    A = np.diag(np.r_[np.zeros(m), bottom])
    A[:m, :m] = J
    right = np.eye(n, dtype=roots.dtype)
    left = np.eye(n, dtype=roots.dtype)
    right[:m, :m] = roots[None, :] ** np.arange(m)[:, None]
    left[:m, :m] = roots[:, None] ** (m - 1 - np.arange(m))[None, :]
    corner = np.zeros((n, n))
    corner[m - 1, 0] = 1.0
    U = unitary(rng, n, False) if rotated else np.eye(n)[rng.permutation(n)]
    A, corner, right, left = U @ A @ U.T, U @ corner @ U.T, U @ right, left @ U.T
    alpha = np.r_[3 + roots, bottom]
    error = EPS * np.linalg.norm(A, 2)
    if epsilon > 0:
        system = from_vectors(rng, right, alpha, is_real=True, error=error, L=left, A=A)
    else:  # there are no left eigenvectors of unit product
        system = System(A, right, left, alpha, [gaussian(rng, (n, n), False) for _ in range(3)], False, error)
    system.dA[0] = corner
    return system


def toeplitz_system(rng, n, ratio):
    """tridiag(b, a, c) with b / c = ratio: w = a + 2√(bc) cos θ, vectors (b/c)^{j/2} sin jθ, all exact."""
    theta = np.pi * np.arange(1, n + 1) / (n + 1)
    c = 1.0 / np.sqrt(ratio)
    b = 1.0 / c
    A = np.diag(np.full(n, 0.5)) + b * np.eye(n, k=-1) + c * np.eye(n, k=1)
    j = np.arange(1, n + 1)
    growth = np.exp(0.5 * j * np.log(ratio))[:, None]
    sines = np.sin(np.outer(j, theta))
    V, L = growth * sines, (sines / growth).T
    condition = np.linalg.cond(V / np.linalg.norm(V, axis=0))
    error = EPS * condition * np.linalg.norm(A, 2)
    return from_vectors(rng, V, 0.5 + 2 * np.cos(theta), is_real=True, error=error, L=L, A=A)


def chiral_system(rng, n, top, is_complex):
    """[[0, B], [Bᴴ, 0]] with the singular values ``top`` and smaller ones: eigenvalues ±σ.

    The directions keep the form. Ordered +σ₁, −σ₁, +σ₂, …
    """
    half = n // 2
    sigma = np.r_[np.asarray(top, float), np.linspace(0.1, 0.9, half - len(top))]
    U, W = unitary(rng, half, is_complex), unitary(rng, half, is_complex)
    Z = np.zeros((half, half))

    def block(B):
        return np.block([[Z, B], [B.conj().T, Z]])

    V = np.concatenate([np.stack([U, U], axis=2), np.stack([W, -W], axis=2)]).reshape(n, n) / np.sqrt(2)
    alpha = np.stack([sigma, -sigma], axis=1).ravel()
    dA = [block(gaussian(rng, (half, half), is_complex)) for _ in range(3)]
    return System(block((U * sigma) @ W.conj().T), V, V.conj().T, alpha, dA, True, EPS * sigma.max())


def cyclic_system(rng, third, top):
    """Block-cyclic [[0, B₁, 0], [0, 0, B₂], [B₃, 0, 0]]: w³ = d, three of equal modulus for every d."""
    d = np.r_[np.asarray(top, complex), 0.9 * bulk(rng, third - len(top)) + 0.02j]
    U = [conditioned(rng, third, True, 3.0) for _ in range(3)]
    inverses = [np.linalg.inv(S) for S in U]
    Z = np.zeros((third, third))
    B1, B2, B3 = (U[0] * d) @ inverses[1], U[1] @ inverses[2], U[2] @ inverses[0]
    A = np.block([[Z, B1, Z], [Z, Z, B2], [B3, Z, Z]])
    vectors, alpha = [], []
    for k in range(third):
        for q in range(3):
            root = d[k] ** (1 / 3) * np.exp(2j * np.pi * q / 3)
            # B₃x = wz, B₂z = wy, B₁y = wx with x = U₁e, z = U₃e/w, y = U₂e/w².
            vectors.append(np.concatenate([U[0][:, k], U[1][:, k] / root**2, U[2][:, k] / root]))
            alpha.append(root)
    V = np.stack(vectors, axis=1)
    V, alpha = V / np.linalg.norm(V, axis=0), np.array(alpha)
    error = EPS * np.linalg.cond(V) ** 2 * np.abs(alpha).max()
    return from_vectors(rng, V, alpha, is_real=False, error=error, A=A)


# ---- derivatives ----------------------------------------------------------------------------


def tangents(system, wanted, dA, dM, clusters):
    """(dw, dV) of the wanted pairs in one direction; ``clusters`` lists groups of indices."""
    V, L, w = system.V, system.L, system.w
    alpha, beta = system.alpha, system.infinite_scale
    together = {i: set(group) for group in clusters for i in group}
    zero = np.zeros((system.n, system.n))
    plain = system.M is None or system.unit
    dN = zero if plain else dM
    dw, dV = [], []
    for i in wanted:
        v = V[:, i]
        F = L @ (dA @ v - (0 if system.M is None else w[i] * (dM @ v)))
        inside = np.array([j in together.get(i, {i}) for j in range(system.n)])
        c = np.where(inside, 0, F / np.where(inside, 1, w[i] * beta - alpha))
        dw.append(F[i])
        if system.hermitian:
            along = -0.5 * (V.conj().T @ (dN @ v))
            c = np.where(inside, along, c)
        else:
            Nv = v if plain else system.M @ v
            c[i] = -np.vdot(Nv, V @ c) - 0.5 * np.vdot(v, dN @ v).real
        dV.append(V @ c)
    return np.array(dw), np.stack(dV, axis=1)


def gradient_of_pairs(system, wanted, loss, clusters=()):
    """df/dp of loss(w, X) for the wanted pairs, from `tangents` and the loss's own cotangents."""
    wanted = np.asarray(wanted)
    w, X = system.w[wanted], system.V[:, wanted]
    w = w.real if system.hermitian else w
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Output seems independent of input")
        gw = grad(lambda w: loss(AUTOGRAD, w, X))(w)
        gX = grad(lambda X: loss(AUTOGRAD, w, X))(X)
    result = []
    for q, dA in enumerate(system.dA):
        dw, dX = tangents(system, wanted, dA, system.dM[q] if system.dM else None, clusters)
        result.append(np.real(np.sum(gw * dw) + np.sum(gX * dX)))  # autograd: df = Re Σ g dz
    return np.array(result)


def gradient_of_density(system, members, loss):
    """df/dp of a `Density` loss of a Hermitian system by divided differences, at any gap.

    ρ = Σ F(w_i) v_i v_iᴴ over the members; with C = VᴴdA V and N = VᴴdM V,

        Vᴴ-components of dρ:  C ∘ Γ[F] − N ∘ Γ[w F],   Γ[G]_ij = (G_i − G_j) / (w_i − w_j),

    F zero outside of the cluster; inside the quotients of a polynomial are polynomials.
    """
    V, w, n = system.V, system.w.real, system.n
    inside = np.isin(np.arange(n), members)
    a, b, c = loss.coefficients
    F = np.where(inside, a + b * w + c * w**2, 0.0)
    both = inside[:, None] & inside[None, :]
    outside = ~inside
    asked = inside[:, None] ^ inside[None, :]  # others are polynomials, or not needed
    gaps = np.where(asked, w[:, None] - w[None, :], 1.0)
    s, product = w[:, None] + w[None, :], w[:, None] * w[None, :]
    quotients_F = np.where(both, b + c * s, (F[:, None] - F[None, :]) / gaps)
    quotients_wF = np.where(both, a + b * s + c * (s**2 - product), (w * F)[:, None] / gaps - (w * F)[None, :] / gaps)
    quotients_F[np.ix_(outside, outside)] = quotients_wF[np.ix_(outside, outside)] = 0.0
    rho = (V * F) @ V.conj().T
    weight = V.conj().T @ (loss.W + np.diag(2 * loss.quartic * np.diag(rho).real)) @ V
    result = []
    for q, dA in enumerate(system.dA):
        change = (V.conj().T @ dA @ V) * quotients_F
        if system.M is not None:
            change = change - (V.conj().T @ system.dM[q] @ V) * quotients_wF
        result.append(np.sum(weight.conj() * change).real)
    return np.array(result)


# ---- losses ---------------------------------------------------------------------------------


class _Autograd:
    """The array functions that losses use, as every peer offers them."""

    def __init__(self):
        import autograd.numpy as anp

        self.sum, self.abs, self.real, self.conj = anp.sum, anp.abs, anp.real, anp.conj
        self.inv = anp.linalg.inv

    @staticmethod
    def asarray(W):
        return W


AUTOGRAD = _Autograd()


@dataclass(frozen=True)
class Density:
    """Re tr(W ρ) + quartic Σ_r ρ_rr², ρ = Σ F(w_i) x_i x_iᴴ, F(w) = a + b w + c w²: a function of A."""

    W: Array
    coefficients: tuple = (1.0, 0.0, 0.0)
    quartic: float = 0.0

    def __call__(self, xp, w, X):
        a, b, c = self.coefficients
        F = a + b * w + c * w**2
        diagonal = xp.sum(xp.real(xp.conj(X) * X * F), 1)
        return xp.sum(xp.real(xp.conj(X) * (xp.asarray(self.W) @ X) * F)) + self.quartic * xp.sum(diagonal**2)


@dataclass(frozen=True)
class Weighted:
    """Re Σ (a_i w_i + b_i x_iᴴ W x_i) + Σ_ri V_ri |x_ri|⁴: every pair with weights of its own."""

    W: Array
    a: Array
    b: Array
    V: Array | None = None

    def __call__(self, xp, w, X):
        forms = xp.sum(xp.conj(X) * (xp.asarray(self.W) @ X), 0)
        total = xp.real(xp.sum(xp.asarray(self.a) * w)) + xp.real(xp.sum(xp.asarray(self.b) * forms))
        if self.V is not None:
            total = total + xp.sum(xp.real(xp.asarray(self.V) * xp.real(xp.conj(X) * X) ** 2))
        return total


@dataclass(frozen=True)
class Values:
    """Re Σ (a_i w_i + b_i w_i²)."""

    a: Array
    b: Array

    def __call__(self, xp, w, X):
        return xp.real(xp.sum(xp.asarray(self.a) * w + xp.asarray(self.b) * w**2))


@dataclass(frozen=True)
class Subspace:
    """Re tr(W P), P = X (XᴴX)⁻¹ Xᴴ the orthogonal projector: any basis gives the same."""

    W: Array

    def __call__(self, xp, w, X):
        XH = xp.conj(X).T
        return xp.real(xp.sum(xp.conj(xp.asarray(self.W)) * (X @ xp.inv(XH @ X) @ XH)))


@dataclass(frozen=True)
class Phases:
    """A legal loss plus ``strength`` times one that reads phases."""

    legal: Weighted
    u: Array
    kind: str
    strength: float

    def __call__(self, xp, w, X):
        u = xp.asarray(self.u)
        if self.kind == "overlap":  # Re ⟨u, x⟩
            illegal = xp.sum(xp.real(xp.conj(u) @ X))
        elif self.kind == "square":  # Re xᵀx, changes with twice the phase
            illegal = xp.sum(xp.real(X * X))
        else:  # one entry
            illegal = xp.sum(xp.real(X[3] * (0.6 + 0.8j)))
        return self.legal(xp, w, X) + self.strength * illegal


@dataclass(frozen=True)
class Canonical:
    """A loss of the vectors whose entry in row ``index`` has been made real and positive."""

    loss: Phases
    index: int

    def __call__(self, xp, w, X):
        pivot = X[self.index]
        return self.loss(xp, w, X * xp.conj(pivot) / xp.abs(pivot))
