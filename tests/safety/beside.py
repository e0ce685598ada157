"""Hard problems: what has no derivative beside pairs that have one, and are all that the loss reads."""

import autograd.numpy as anp
import numpy as np
from asking import BASIS, CUT, DEFECTIVE, LOST, Problem, ask, ask_triplets, derivative, different, engine, matched
from closed_forms import (
    EPS,
    System,
    Weighted,
    conditioned,
    gaussian,
    gradient_of_pairs,
    symmetrised,
    unitary,
)
from contours import Cluster
from cuts import dilation, scaled

import krylov_adj as ka

#: Tangents are those of all pairs, whatever the loss: there what has none may be said, or refused.
ANY = "|".join([BASIS, CUT, DEFECTIVE, LOST, r"AdjointNoConvergence: .*singular to working precision"])


def beside(rng, index):
    builders = (_jordan, _null_triplets, _jordan, _goldstone, _smallest_triplets)
    return builders[index % len(builders)](rng, index)


def _jordan(rng, index):
    """A Jordan block of order 2 or 3 among the pairs, or cut by k; the loss reads simple ones before and after."""
    n, is_complex, order = int(rng.integers(8, 41)), bool(rng.integers(2)), int(rng.integers(2, 4))
    form, mode = str(rng.choice(["dense", "algebra", "closure"])), "forward" if rng.random() < 0.2 else "reverse"
    J = np.diag(np.r_[4.0, np.full(order, 3.0), 2.5, 2.1, np.linspace(-1, 1, n - order - 3)])
    J[1 : order + 1, 1 : order + 1] += np.eye(order, k=1)
    S = conditioned(rng, n, is_complex, 10.0 ** rng.uniform(0, 1))
    A = S @ J @ np.linalg.inv(S)
    dA = [gaussian(rng, (n, n), is_complex) for _ in range(3)]
    w = np.diagonal(J).astype(complex)
    k = int(rng.integers(2, order + 4))
    read = np.array([i for i in (0, order + 1, order + 2) if i < k])
    weights = rng.uniform(0.5, 2, read.size)
    W = gaussian(rng, (n, n), True) / n**0.5
    b, V = rng.uniform(0.5, 2, read.size), rng.uniform(0.5, 2, (n, read.size))
    loss = Weighted(symmetrised(W), weights, b, V)
    system = System(A, np.eye(n), np.eye(n), w, dA, False, EPS)
    options = engine(rng, False, explicit=form != "closure")
    inverse = form != "closure" and rng.random() < 0.3
    call = {"sigma": 4.5, "which": "LM"} if inverse else {"which": "LR"}

    def of_simple(xp, w, X):
        return loss(xp, w[read], X[:, read])

    gradient = ask(system, np.arange(k), of_simple, form=form, options=options, check=1.0, ncv=min(n, 40), mode=mode,
                   **call)  # fmt: skip
    note = f"Jordan {order}, n {n}, complex {is_complex}, k {k}, reads {read}, {form}, {options.method}, {call}, {mode}"
    reference = separately(A, dA, w, read, loss)
    # Those next to the block are as ill-conditioned as its resolvent at their distance.
    return Problem(gradient, "may" if mode == "forward" else "right", reference, 1e-13, ANY, note=note)


def separately(A, dA, w, read, loss):
    """The gradient of a `Weighted` loss of simple eigenvalues of a matrix, each from a circle of its own."""
    total = 0.0
    for column, i in enumerate(read):
        others = w[np.abs(w - w[i]) > 0]
        cluster = Cluster(A, None, dA, [], w[[i]], others, np.zeros(len(dA)))
        value = cluster.sum_of(lambda z: z, np.ones_like)
        P = cluster.orthogonal_projector()
        diagonal = np.real(np.diagonal(P.first, axis1=1, axis2=2))
        total = total + np.real(loss.a[column] * value.first)
        total = total + np.real(loss.b[column] * np.einsum("ij,qji->q", loss.W, P.first))
        total = total + diagonal @ (2 * loss.V[:, column] * np.real(np.diagonal(P.value)))
    return total


def _goldstone(rng, index):
    """Bogoliubov and de Gennes: a Jordan block at 0; the mean of the two eigenvalues of the first sound mode."""
    n, k, mode = int(rng.integers(8, 25)) * 2, int(rng.integers(2, 7)), "forward" if rng.random() < 0.2 else "reverse"
    h = 2 * np.pi / n
    e = (2 - 2 * np.cos(h)) / (2 * h * h)
    g = float(rng.uniform(0.5, 1.5))
    omega = np.sqrt(e * (e + 2 * g))

    def operator(p):
        def lap(u):
            return (2 * u - anp.roll(u, 1, axis=0) - anp.roll(u, -1, axis=0)) / (2 * h * h) * (1 + p[1])

        def matvec(y):
            u, v, s = y[:n], y[n:], g * (1 + p[0])
            return anp.concatenate([lap(u) + s * u + s * v, -lap(v) - s * v - s * u])

        return ka.LinearOperator((2 * n, 2 * n), matvec)

    dense = np.stack([operator(np.zeros(2)).matvec(x) for x in np.eye(2 * n)], axis=1)
    sigma = 1.02 * omega
    inverse = np.linalg.inv(dense - sigma * np.eye(2 * n))
    OPinv = ka.LinearOperator(
        dense.shape, lambda v: anp.dot(inverse, v), rmatvec=lambda v: anp.dot(inverse.T, v), dtype=float
    )

    def f(p):
        w, _ = ka.eigs(operator(p), k=k, sigma=sigma, OPinv=OPinv, v0=np.random.default_rng(7).uniform(0.5, 1.5, 2 * n))
        order = matched(w, [omega, omega], gap=0.1)
        return anp.real(anp.sum(w[order])) / 2

    reference = np.array([g * e / omega, e * (e + g) / omega])
    label = "may" if mode == "forward" else "right"
    note = f"Goldstone mode, n {2 * n}, k {k}, g {g:.2f}, {mode}"
    return Problem(derivative(f, 2, mode), label, reference, 1e-13, ANY, note=note)


def _null_triplets(rng, index):
    """k above the rank: triplets of σ = 0 are computed, and not read."""
    m, n = (int(v) for v in rng.integers(8, 31, 2))
    rank = int(rng.integers(2, min(m, n) - 1))
    k = min(rank + int(rng.integers(1, 3)), min(m, n) - 2)
    sigma = np.r_[np.linspace(3.0, 0.6, rank), np.zeros(min(m, n) - rank)]
    return _triplets(rng, m, n, sigma, min(k, rank + 2), np.arange(min(k, rank)), "LM", index)


def _smallest_triplets(rng, index):
    """which="SM" of a singular matrix, a loss of the smallest that is not zero."""
    m = n = int(rng.integers(8, 31))
    null = int(rng.integers(1, 3))
    sigma = np.r_[np.zeros(null), np.linspace(0.6, 3.0, n - null)]
    return _triplets(rng, m, n, sigma, null + 2, np.arange(null, null + 2), "SM", index)


def _triplets(rng, m, n, sigma, k, read, which, index):
    is_complex, form = bool(rng.integers(2)), str(rng.choice(["dense", "algebra", "closure"]))
    mode, rank = "forward" if rng.random() < 0.2 else "reverse", sigma.size
    Q, P = unitary(rng, m, is_complex)[:, :rank], unitary(rng, n, is_complex)[:, :rank]
    A = (Q * sigma) @ P.conj().T
    dA = [gaussian(rng, (m, n), is_complex) for _ in range(3)]
    loss = different(rng, m + n, read.size, is_complex)

    def of_positive(xp, s, X):
        return loss(xp, s[read], X[:, read])

    options = engine(rng, True, explicit=form != "closure")
    gradient = ask_triplets(A, dA, np.arange(k), sigma, of_positive, k=k, form=form, options=options, check=1.0,
                            which=which, mode=mode)  # fmt: skip
    reference = gradient_of_pairs(dilation(A, dA, Q, P, sigma), read, scaled(loss))
    says = ANY + r"|ValueError: The triplets that SciPy returned are no singular triplets"
    zeros = np.sum(sigma == 0)
    note = f"svds {m}×{n}, complex {is_complex}, zeros {zeros}, k {k}, {which}, {form}, {options.method}, {mode}"
    return Problem(gradient, "may" if mode == "forward" else "right", reference, 1e-13, says, note=note)
