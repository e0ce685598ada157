"""Hard problems: functions of a whole cluster, to first and second order, in every mode, at every gap."""

from dataclasses import dataclass, replace

import autograd.numpy as anp
import numpy as np
from asking import LOST, Problem, ask, ask_triplets, engine, hermitian_weights, some_form
from closed_forms import EPS, gaussian, general_system, hermitian_system, symmetrised, unitary
from contours import Cluster, Jet

Array = np.ndarray

GAPS = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
KINDS = ("real", "complex", "pencil", "complex pencil", "eigs real", "eigs complex", "svds", "svds complex")
FIRST = ("reverse", "reverse", "forward")
SECOND = ("reverse over reverse", "hvp", "forward over reverse", "reverse over forward", "forward over forward")

#: One problem in so many is above the dense bounds.
LARGE = 16


@dataclass(frozen=True)
class OfCluster:
    """A loss of all members of a cluster that does not change when they are mixed.

    projector       Σ x_iᴴWx_i + ½ Σ_r (Σ_i |x_ri|²)² of an orthonormal basis of the span (Gram and
                    Schmidt's where ``oblique``)
    heat            Σ e^{−t(w_i − c)} x_iᴴWx_i, and the same quartic term with e^{−t(w_i − c)} |x_ri|²
    left            Re Σ e^{−t(w_i − c)} y_iᴴWx_i with the left eigenvectors y_i
    mean, squares   Re a (Σ w)/size, Re a Σ w²
    free energy     −log Σ e^{−t(w_i − c)} / t

    For singular triplets x_i is (u_i, v_i), of squared length 2.
    """

    kind: str
    W: Array
    size: int
    rate: float = 0.7
    centre: complex = 0.0
    weight: complex = 1.0
    oblique: bool = False
    triplets: bool = False

    def __call__(self, xp, w, X, Y=None):
        if self.kind == "mean":
            return anp.real(self.weight * anp.sum(w)) / self.size
        if self.kind == "squares":
            return anp.real(self.weight * anp.sum(w * w))
        decay = anp.exp(-self.rate * (w - self.centre))
        if self.kind == "free energy":
            return -anp.log(anp.sum(anp.real(decay))) / self.rate
        if self.kind == "left":
            return anp.real(anp.sum(decay * anp.sum(anp.conj(Y) * anp.dot(self.W, X), 0)))
        basis = orthonormalised(X) if self.oblique else [X[:, i] for i in range(self.size)]
        F = anp.ones(self.size) if self.kind == "projector" else decay
        diagonal = sum(F[i] * anp.real(anp.conj(x) * x) for i, x in enumerate(basis))
        forms = sum(F[i] * anp.real(anp.sum(anp.conj(x) * anp.dot(self.W, x))) for i, x in enumerate(basis))
        return forms + 0.5 * anp.sum(diagonal**2)

    def jet(self, cluster):
        """The value, the gradient and the Hessian times d, from contour integrals."""
        F = lambda z: np.exp(-self.rate * (z - self.centre))  # noqa: E731
        dF = lambda z: -self.rate * F(z)  # noqa: E731
        if self.kind == "mean":
            return cluster.sum_of(lambda z: z, np.ones_like).map(lambda S: np.real(self.weight * S / self.size))
        if self.kind == "squares":
            return cluster.sum_of(lambda z: z**2, lambda z: 2 * z).map(lambda S: np.real(self.weight * S))
        if self.kind == "free energy":
            total = cluster.sum_of(F, dF).map(np.real)
            S = total.value
            return total.apply(-np.log(S) / self.rate, -1 / (self.rate * S), 1 / (self.rate * S**2))
        if self.oblique and self.kind == "projector":
            rho = cluster.orthogonal_projector()
        else:
            rho = cluster.density(np.ones_like if self.kind == "projector" else F)
            rho = rho.map(lambda S: 2 * S) if self.triplets else rho
        forms = rho.map(lambda S: np.real(np.einsum("ij,...ji->...", self.W, S)))
        if self.kind == "left":
            return forms
        diagonal = rho.map(lambda S: np.real(np.diagonal(S, axis1=-2, axis2=-1)))
        value, along = diagonal.value, diagonal.along
        second = diagonal.first @ along + diagonal.second @ value
        return forms + Jet(0.5 * np.sum(value**2), diagonal.first @ value, second, along @ value)


def orthonormalised(X):
    """The columns of Gram and Schmidt's basis, in functions that autograd differentiates in every mode."""
    basis = []
    for j in range(X.shape[1]):
        x = X[:, j]
        for q in basis:
            x = x - q * anp.sum(anp.conj(q) * x)
        basis.append(x / anp.sqrt(anp.sum(anp.real(anp.conj(x) * x))))
    return basis


def first_order(rng, index):
    return whole_cluster(rng, index, FIRST[index % len(FIRST)])


def second_order(rng, index):
    return whole_cluster(rng, index, SECOND[index // 3 % len(SECOND)])


def whole_cluster(rng, index, mode):
    """The gap, the mode and the size of the matrix by number, everything else at random."""
    gap, large = GAPS[index % len(GAPS)], index % LARGE == LARGE - 1
    kind = str(rng.choice(KINDS))
    is_complex, order = "complex" in kind, 2 if mode in SECOND else 1
    n, size = int(rng.integers(201, 221) if large else rng.integers(12, 31)), int(rng.integers(2, 4))
    top = 3.0 + gap * np.arange(size)
    d = rng.uniform(0.5, 1.0, 2) * rng.choice([-1, 1], 2)
    if "svds" in kind:
        return _of_triplets(rng, n, size, top, is_complex, mode, d, gap)
    form = some_form(rng)
    if "eigs" in kind:
        condition = 10.0 ** rng.uniform(0, 1.5)
        system = general_system(rng, n, top - 0.2, is_real=not is_complex, condition=condition)
        call, inverse = {"which": "LR"}, False
    else:
        condition = 10.0 ** rng.uniform(0.5, 2) if "pencil" in kind else None
        system = hermitian_system(rng, n, top, is_complex, condition=condition)
        inverse = form != "closure" and rng.random() < 0.35
        call = {"sigma": 3.4, "which": "LM"} if inverse else {"which": "LA"}
    system = replace(system, dA=system.dA[:2], dM=system.dM[:2])
    members = np.arange(size)
    loss = _loss(rng, system.n, size, is_complex, "eigs" in kind, system.w[0])
    cluster = Cluster(system.A, system.M, system.dA, system.dM, system.w[members], system.w[size:], d)
    options = engine(rng, system.hermitian, inverse=inverse, explicit=form != "closure")
    ncv = {"ncv": 60} if large else {"ncv": n - 2}
    gradient = ask(system, members, loss, form=form, options=options, mode=mode, direction=d,
                   left=loss.kind == "left", **ncv, **call)  # fmt: skip
    note = f"{kind}, {loss.kind}, gap {gap:.0e}, size {size}, n {n}, {mode}, {form}, {options.method}, {call}"
    return _problem(gradient, loss.jet(cluster), order, system.error / system.gap(members), mode, gap, note)


def _of_triplets(rng, n, size, top, is_complex, mode, d, gap):
    """Singular triplets of an m × n matrix: the cluster at +σ of [[0, A], [Aᴴ, 0]]."""
    n = max(n, 16)  # SciPy: k < min(m, n), for complex matrices less than that by two
    m = n // 2 + int(rng.integers(-3, 4))
    n = n - m
    rank = min(m, n)
    sigma = np.r_[top, np.linspace(0.2, 1.0, rank - size) + rng.uniform(-0.02, 0.02, rank - size)]
    A = (unitary(rng, m, is_complex)[:, :rank] * sigma) @ unitary(rng, n, is_complex)[:, :rank].conj().T
    dA = [gaussian(rng, (m, n), is_complex) for _ in range(2)]
    block = lambda B: np.block([[np.zeros((m, m)), B], [B.conj().T, np.zeros((n, n))]])  # noqa: E731
    loss = replace(_loss(rng, m + n, size, is_complex, False, top[0]), triplets=True)
    outside = np.r_[sigma[size:], -sigma, 0.0]
    cluster = Cluster(block(A), None, [block(B) for B in dA], [], top, outside, d)
    form = some_form(rng)
    options = engine(rng, True, explicit=form == "dense")
    gradient = ask_triplets(A, dA, np.arange(size), sigma, loss, form=form, options=options, mode=mode, direction=d)
    note = (
        f"svds {m}×{n}, complex {is_complex}, {loss.kind}, gap {gap:.0e}, size {size}, {mode}, {form}, {options.method}"
    )
    return _problem(gradient, loss.jet(cluster), 2 if mode in SECOND else 1, EPS * 3, mode, gap, note)


def _loss(rng, n, size, is_complex, oblique, centre):
    kinds = ("projector", "heat", "mean", "squares", "free energy")
    if oblique:
        kinds = ("projector", "left", "mean", "squares")
    kind = str(rng.choice(kinds))
    W = hermitian_weights(rng, n, is_complex)
    weight = 1.0
    if oblique:
        weight = complex(gaussian(rng, (), True))
        W = gaussian(rng, (n, n), True) / n**0.5
        W = W if kind == "left" else symmetrised(W)
    return OfCluster(kind, W, size, float(rng.uniform(0.3, 1.5)), centre, weight, oblique)


def _problem(gradient, jet, order, attainable, mode, gap, note):
    """``may``: forward modes return the motion of the vectors, and may say what is noise in it, whatever the loss."""
    noisy = "forward" in mode and EPS / max(gap, EPS) ** order > 1e-9
    reference = jet.first if order == 1 else jet.second
    return Problem(gradient, "may" if noisy else "right", reference, attainable, LOST, note=note)
