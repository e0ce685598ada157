"""Hard problems: pencils that were refused although right: complex shifts of real ones, and stiff masses."""

from dataclasses import replace

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from asking import LOST, Problem, ask, assembled, complex_weights, derivative, different, matched, mode_of
from closed_forms import (
    AUTOGRAD,
    EPS,
    System,
    Values,
    conditioned,
    gaussian,
    general_system,
    gradient_of_pairs,
    hermitian_system,
    symmetrised,
    unitary,
)

import krylov_adj as ka

#: Digits that the pairs themselves have lost may be said in these words.
DIGITS = LOST + r"|RuntimeWarning: .*digits"


def complex_shift(rng, index):
    """Real A, M definite, indefinite or none, pairs from a complex sigma or from LAPACK's complex routines."""
    how = ("definite", "indefinite", "attached", "indefinite", "two-norm")[index % 5]
    n, form = int(rng.integers(20, 56)), str(rng.choice(["dense", "algebra"]))
    pair = rng.random() < 0.4
    top = [3.4, 2.9 + 0.35j] if pair else [3.4, 2.8, 3.1]
    wanted = np.arange(3)
    options = ka.Adjoint(method=str(rng.choice(["auto", "gmres", "direct"])))
    if how == "two-norm":
        return _two_norm(rng, n, wanted, form, options, index)
    if how == "definite":
        F = conditioned(rng, n, False, 3.0)
        system = general_system(rng, n, top, is_real=True, condition=5.0, mass=symmetrised(F @ F.T))
    elif how == "indefinite":
        system = _indefinite(rng, n, top)
    else:
        system = general_system(rng, n, top, is_real=True, condition=5.0)
    loss = complex_weights(rng, n, 3)
    reference = gradient_of_pairs(system, wanted, loss)
    gap = min(system.gap(wanted), system.gap(wanted, wanted))
    note = f"{how}, n {n}, pair {pair}, {form}, {options.method}"
    if how == "attached":
        gradient = _attached(rng, system, wanted, loss, form, options, mode_of(index))
    else:
        sigma = complex(3.0, rng.uniform(0.05, 0.6))
        part = str(rng.choice(["r", "i"])) if how == "definite" and not pair else None
        arguments = {"sigma": sigma, "which": "LM"} | ({} if part is None else {"OPpart": part})
        gradient = ask(system, wanted, loss, form=form, options=options, mode=mode_of(index), check=gap, **arguments)
        note += f", {arguments}"
    return Problem(gradient, "right", reference, system.error, note=note)


def _indefinite(rng, n, top):
    """A x = w M x with a real symmetric M of both signs; vectors of unit 2-norm."""
    S = general_system(rng, n, top, is_real=True, condition=5.0)
    Q = unitary(rng, n, False)
    signs = np.where(np.arange(n) < n // 3, -1.0, 1.0)
    M = symmetrised((Q * (signs * np.geomspace(1.0, 3.0, n))) @ Q.T)
    dM = [0.1 * symmetrised(gaussian(rng, (n, n), False)) for _ in S.dA]
    return System(M @ S.A, S.V, S.L @ np.linalg.inv(M), S.alpha, S.dA, False, 10 * S.error, M, dM, unit=True)


def _attached(rng, system, wanted, loss, form, options, mode):
    """The pairs as complex routines return them: real ones have imaginary parts of rounding, and any phase."""
    w, X = la.eig(system.A + 0j)
    order = matched(w, system.w[wanted])
    w, X = w[order] + 1j * EPS * rng.uniform(-4, 4, 3), X[:, order] * np.exp(1j * np.arange(1, 4))

    def f(p):
        A = assembled(system.A, system.dA, p, form)
        return loss(AUTOGRAD, *ka.attach_eigenpairs(A, w, X, adjoint=options))

    return derivative(f, 3, mode)


def _two_norm(rng, n, wanted, form, options, index):
    """Pairs of a Hermitian pencil with vectors of unit 2-norm: they are M-orthogonal all the same."""
    is_complex = bool(rng.integers(2))
    system = hermitian_system(rng, n, [3.0, 2.5, 2.1], is_complex, condition=10.0)
    lengths = np.linalg.norm(system.V, axis=0)
    unit = replace(system, V=system.V / lengths, L=system.L * lengths[:, None], hermitian=False, unit=True)
    loss = different(rng, n, 3, is_complex)
    w, X = system.w[wanted].real, unit.V[:, wanted]

    def f(p):
        A, M = assembled(system.A, system.dA, p, form), assembled(system.M, system.dM, p, form)
        pairs = ka.attach_eigenpairs(A, w, X, M=M, hermitian=True, normalization="2", adjoint=options)
        return loss(AUTOGRAD, *pairs)

    reference = gradient_of_pairs(unit, wanted, lambda xp, w, X: loss(xp, xp.real(w), X))
    note = f"two-norm, n {n}, complex {is_complex}, {form}, {options.method}"
    return Problem(derivative(f, 3, mode_of(index)), "right", reference, system.error / 0.4, note=note)


# ---- stiff masses -----------------------------------------------------------------------------------


def stiff_mass(rng, index):
    """K = δ⁴/h⁴ and M = −δ²/h²: ‖K‖‖x‖²/|xᴴMx| is 10⁸ to 10¹³ times the eigenvalues that are asked for."""
    if index % 3 == 0:
        return _graded(rng, index)
    return _beam(rng, index)


def _beam(rng, index):
    """A hinged beam (or, with a complex load, a pencil that is not Hermitian): closed forms for every n."""
    n, hermitian = int(rng.integers(300, 4001)), index % 3 == 1
    h = 1.0 / (n + 1)
    T = sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]).tocsc() / h**2
    load = 0.0 if hermitian else complex(rng.normal(), rng.normal()) * 20
    K = (T @ T + load * T).tocsc()
    j = np.arange(1, 3)
    t = 4 / h**2 * np.sin(0.5 * np.pi * j * h) ** 2
    X = np.sqrt(2 * h) * np.sin(np.pi * np.outer(np.arange(1, n + 1), j) * h)  # xᵀx = 1, xᵀTx = t
    ground = rng.uniform(0.5, 2.0, n) * 100
    w = t + load
    changes = np.array([w, -w, (X**2 * ground[:, None]).sum(0) / t])  # of K, of M, of a foundation: (3, 2)
    weights = rng.uniform(0.5, 2, 2) if hermitian else gaussian(rng, 2, True)
    reference = np.real(changes @ weights)
    solver, v0 = (ka.eigsh if hermitian else ka.eigs), np.random.default_rng(7).uniform(0.5, 1.5, n)
    foundation = sp.diags_array(ground).tocsc()

    def f(p):
        A = ka.aslinearoperator(K) * (1 + p[0]) + ka.aslinearoperator(foundation) * p[2]
        values, _ = solver(A, k=2, M=ka.aslinearoperator(T) * (1 + p[1]), sigma=0.5 * t[0] + load,
                           v0=v0 if hermitian else v0 + 0j)  # fmt: skip
        return Values(weights, np.zeros(2))(AUTOGRAD, values[matched(values, w, gap=t[1] - t[0])], None)

    note = f"beam, n {n}, hermitian {hermitian}, digits {-np.log10(EPS * 16 / h**4 / t[0] / abs(w[0])):.1f}"
    return Problem(derivative(f, 3), "may", reference, EPS, DIGITS, note=note)


def _graded(rng, index):
    n, is_complex, form = int(rng.integers(20, 46)), bool(rng.integers(2)), str(rng.choice(["dense", "algebra"]))
    contrast = 10.0 ** rng.uniform(2, 3.1)
    graded, given, loss = graded_pencil(rng, n, is_complex, contrast)
    given, own = given
    w = graded.w[:2]
    options = ka.Adjoint(method=str(rng.choice(["auto", "direct", "gmres"])))
    gradient = ask(given, np.arange(2), own, form=form, options=options, sigma=0.5 * w[0], which="LM",
                   check=min(w[1] - w[0], w[0]), ncv=min(n, 20), mode=mode_of(index))  # fmt: skip
    note = f"graded, n {n}, complex {is_complex}, kappa {contrast:.0e}, {form}, {options.method}"
    return Problem(gradient, "may", gradient_of_pairs(graded, np.arange(2), loss), EPS, DIGITS, note=note)


def graded_pencil(rng, n, is_complex, contrast):
    """K = Q κ² T κ² Qᵀ, M = Q κ S κ Qᵀ, κ = 1 … contrast: y = κ²Qᵀx has a pencil that is solved to the last digits.

    T y = w κ⁻¹Sκ⁻¹ y is in the form of a `System` whose large eigenvalues are the infinite ones, nearly.
    Returned are that system, the given one with a loss of its pairs, and the same loss of y.
    """
    kappa = np.geomspace(1.0, contrast, n)
    T, S = (symmetrised(G @ G.conj().T) for G in (conditioned(rng, n, is_complex, 2.0) for _ in range(2)))
    Q = unitary(rng, n, is_complex)
    outer, inner = Q * kappa**2, Q * kappa
    small = S / np.outer(kappa, kappa)
    mu, W = la.eigh(small, T)
    mu, W = mu[::-1], W[:, ::-1]  # T-orthonormal; wanted are the largest mu
    size = np.ones(n)
    size[:2] = mu[:2] ** -0.5  # those M-normalised
    E, F = ([symmetrised(gaussian(rng, (n, n), is_complex)) / n for _ in range(2)] for _ in range(2))
    zero = np.zeros((n, n))
    dA, dM = [E[0], zero, E[1]], [zero, F[0], F[1]]
    graded = System(
        T, W * size, (W * size).conj().T, size**2, dA, True, EPS, small,
        [B / np.outer(kappa, kappa) for B in dM], mu * size**2,
    )  # fmt: skip
    w, back = graded.w[:2], Q / kappa**2
    own = different(rng, n, 2, is_complex)
    own = replace(own, a=own.a / w)

    def of_graded(xp, w, Y):
        return own(xp, w, back @ Y)

    pencil = lambda B, side: symmetrised(side @ B @ side.conj().T)  # noqa: E731
    given = System(
        pencil(T, outer), np.eye(n), np.eye(n), np.r_[w, np.full(n - 2, np.inf)], [pencil(B, outer) for B in dA],
        True, EPS, pencil(S, inner), [pencil(B, inner) for B in dM],
    )  # fmt: skip
    return graded, (given, own), of_graded
