"""Hard problems: one vjp that several threads call, and gradients in whole Hermitian matrices."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import autograd.numpy as anp
import numpy as np
from asking import Problem, assembled, different, matched, some_form
from autograd import grad, make_jvp, make_vjp
from closed_forms import (
    AUTOGRAD,
    Weighted,
    gaussian,
    general_system,
    gradient_of_pairs,
    hermitian_system,
)

import krylov_adj as ka

THREADS = 4

#: Seconds between changes of threads: shorter than a small solve, so that they meet in the middle of one.
SWITCH = 1e-6


def shared_vjp(rng, index):
    """The rows of a Jacobian of eigenvalues, or of |x_r|², in a pool of threads."""
    hermitian, values = index % 3 == 2, index % 2 == 0
    n, k, is_complex, form = int(rng.integers(20, 56)), 4, bool(rng.integers(2)), some_form(rng)
    top = [3.0, 2.7, 2.4, 2.1]
    if hermitian:
        system = hermitian_system(rng, n, top, is_complex)
    else:
        system = general_system(rng, n, top, is_real=not is_complex, condition=5.0)
    wanted = np.arange(k)
    rows = rng.integers(0, n, k)
    method = str(rng.choice(["auto", "gmres", "direct"] if form != "closure" else ["auto", "gmres"]))
    options = ka.Adjoint(method=method)

    def entries(w, X):
        return anp.real(w) if values else anp.sum(anp.real(anp.conj(X[rows]) * X[rows]) * np.eye(k), 0)

    def f(p):
        solver = ka.eigsh if hermitian else ka.eigs
        w, X = solver(assembled(system.A, system.dA, p, form), k=k, which="LA" if hermitian else "LR",
                      v0=np.linspace(0.5, 1.5, n).astype(system.A.dtype), adjoint=options)  # fmt: skip
        order = matched(w, system.w[wanted], gap=0.3)
        return entries(w[order], X[:, order])

    def gradient():
        vjp, _ = make_vjp(f)(np.zeros(3))
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                return np.concatenate(list(pool.map(vjp, np.eye(k))))
        finally:
            sys.setswitchinterval(interval)

    def row(i):
        if values:
            return Weighted(np.zeros((n, n)), np.eye(k)[i], np.zeros(k))
        W = np.zeros((n, n))
        W[rows[i], rows[i]] = 1.0
        return Weighted(W, np.zeros(k), np.eye(k)[i])

    reference = np.concatenate([gradient_of_pairs(system, wanted, row(i)) for i in range(k)])
    note = f"threads, hermitian {hermitian}, values {values}, n {n}, complex {is_complex}, {form}, {method}"
    return Problem(gradient, "right", reference, system.error / 0.3, note=note)


def hermitian_part(rng, index):
    """The gradient of `eigsh` in all entries of A (and M), dense or stored: that of the Hermitian part."""
    n, is_complex, pencil = int(rng.integers(6, 13)), bool(rng.integers(2)), index % 3 == 1
    sparse, forward = index % 3 == 2, index % 5 == 4
    system = hermitian_system(rng, n, [3.0, 2.5], is_complex, condition=5.0 if pencil else None)
    loss, wanted = different(rng, n, 2, is_complex), np.arange(2)
    method = str(rng.choice(["auto", "gmres", "minres"]))
    options, v0 = ka.Adjoint(method=method), np.linspace(0.5, 1.5, n).astype(system.A.dtype)
    mass = (system.M,) if pencil else ()

    def f(A, *M):
        if sparse:
            A = ka.csr_array((A.reshape(-1), np.tile(np.arange(n), n), n * np.arange(n + 1)), (n, n))
        w, X = ka.eigsh(A, k=2, M=M[0] if M else None, which="LA", v0=v0, adjoint=options)
        order = matched(w, system.w[wanted], gap=0.4)
        return loss(AUTOGRAD, w[order], X[:, order])

    if forward:
        change = gaussian(rng, (n, n), is_complex)
        directions = replace(system, dA=[0.5 * (change + change.conj().T)], dM=[np.zeros((n, n))])

        def gradient():
            return np.array([make_jvp(f, 0)(system.A, *mass)(change)[1]])

        reference = gradient_of_pairs(directions, wanted, loss)
    else:

        def gradient():
            return np.concatenate([grad(f, i)(system.A, *mass).ravel() for i in range(1 + pencil)])

        reference = np.concatenate([_in_entries(system, wanted, loss, of_mass) for of_mass in range(1 + pencil)])
    note = f"Hermitian part, n {n}, complex {is_complex}, pencil {pencil}, stored {sparse}, forward {forward}, {method}"
    return Problem(gradient, "right", reference, system.error / 0.4, note=note)


def _in_entries(system, wanted, loss, of_mass):
    """The matrix G, Gᵀ Hermitian, of df = Re Σ G_ij dA_ij for all Hermitian dA (dM), as autograd returns it."""
    n, G = system.n, np.zeros((system.n, system.n), system.A.dtype)
    basis, places = [], []
    for i in range(n):
        for j in range(i, n):
            for factor in (1.0, 1.0j) if np.iscomplexobj(system.A) and i != j else (1.0,):
                E = np.zeros((n, n), system.A.dtype)
                E[i, j] += factor
                E[j, i] += np.conj(factor) if i != j else 0
                basis.append(E)
                places.append((i, j, factor))
    zero = [np.zeros((n, n))] * len(basis)
    parts = (zero, basis) if of_mass else (basis, zero)
    slopes = gradient_of_pairs(replace(system, dA=parts[0], dM=parts[1]), wanted, loss)
    for (i, j, factor), slope in zip(places, slopes, strict=True):
        # Of E_ij + E_ji the slope is 2 Re G_ij, of i(E_ij − E_ji) it is −2 Im G_ij.
        G[i, j] += slope * np.conj(factor) / (1 if i == j else 2)
    upper = np.triu(G, 1)
    return (np.diag(np.diagonal(G)) + upper + upper.conj().T).ravel()
