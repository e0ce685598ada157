"""The hard problems of fails_safely.py: second part, and the table of all classes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from asking import (
    BASIS,
    CUT,
    DEFECTIVE,
    NOT_CONVERGED,
    PHASE,
    Problem,
    ask,
    assembled,
    complex_weights,
    derivative,
    different,
    engine,
    hermitian_weights,
    matched,
    mode_of,
    nothing,
    sized,
    some_form,
)
from closed_forms import (
    AUTOGRAD,
    EPS,
    Canonical,
    Density,
    Phases,
    System,
    Values,
    Weighted,
    bulk,
    chiral_system,
    conditioned,
    cyclic_system,
    gaussian,
    general_system,
    gradient_of_density,
    gradient_of_pairs,
    hermitian_system,
    jordan_system,
    single,
    symmetrised,
    toeplitz_system,
)
from hard_clusters import (
    clustered_invariant,
    clustered_reading_members,
    cut_cluster,
    defective,
    near_defective,
    simple_beside_cluster,
)

import krylov_adj as ka


def ties(rng, index):
    """Equal modulus, not repeated: ±w, block-cyclic, conjugate pairs; complete, and cut by k."""
    kind = ("chiral", "chiral cut", "cyclic", "conjugate", "conjugate cut", "nearly real", "nearly real cut")[index % 7]
    form, is_complex = some_form(rng), bool(rng.integers(2))
    n = 2 * int(rng.integers(10, 27))
    hermitian = kind.startswith("chiral")
    options = engine(rng, hermitian, explicit=form != "closure")
    key = nothing
    if kind == "chiral":
        system = chiral_system(rng, n, [3.0, 2.0, 1.5], is_complex)
        k = int(rng.choice([2, 4]))
        loss = different(rng, n, k, is_complex)
    elif kind == "chiral cut":  # |x_r|² and w² are the same for both members
        system = chiral_system(rng, n, [3.0, 2.0, 1.5], is_complex)
        k, key = 1, np.abs
        V = rng.uniform(0.5, 2, (n, 1))
        even = Weighted(np.zeros((n, n)), np.zeros(1), np.zeros(1), V)
        square = Values(np.zeros(1), np.ones(1))

        def loss(xp, w, X):
            return even(xp, w, X) + square(xp, w, X)
    elif kind == "cyclic":
        system = cyclic_system(rng, n // 3, [20.0 + 2j, 8.0 - 1j])
        n = system.n
        k = int(rng.choice([3, 6]))
        loss = complex_weights(rng, n, k)
    else:
        imag = 10.0 ** rng.uniform(-8, -3) if "nearly" in kind else 1.0
        system = general_system(rng, n, [2.5 + 1j * imag, 1.5 + 1.2j], is_real=True, condition=10.0)
        k = 1 if "cut" in kind else 2 if "nearly" in kind else int(rng.choice([2, 4]))
        if k > 1:
            loss = complex_weights(rng, n, k)
        else:  # a real loss of either member: Re w, |x_r|²
            loss = Weighted(np.diag(rng.normal(size=n)), np.ones(1), np.ones(1), rng.uniform(0.5, 2, (n, 1)))

            def key(w):
                return w.real + 1j * np.abs(w.imag)

    wanted = np.arange(k)
    gap = 1.0 if kind in ("chiral cut", "conjugate cut") else min(system.gap(wanted), system.gap(wanted, wanted))
    if "nearly" in kind:
        gap = 2 * imag
    return Problem(
        ask(system, wanted, loss, form=form, options=options, key=key, check=gap, mode=mode_of(index)),
        "right",
        gradient_of_pairs(system, wanted, loss),
        system.error / 0.5,  # the members of a pair that is nearly real may come as near as they like
        dense=(system, wanted, loss) if "cut" not in kind else None,
        note=f"{kind}, gap {gap:.0e}, k {k}, {form}, {options.method}",
    )


def ill_conditioned_mass(rng, index):
    """cond(M) = 1e2 … 1e10, and singular M, with sigma and without; M-normalised."""
    kind = ("eigsh", "eigsh sigma", "eigs", "eigs sigma", "singular", "singular without sigma")[index % 6]
    condition = 10.0 ** rng.uniform(2, 10 if "eigsh" in kind else 7)
    n, is_complex = sized(rng), bool(rng.integers(2))
    top = [3.0, 2.5, 2.1]
    form = str(rng.choice(["dense", "algebra"]))
    wanted = np.arange(3)
    if kind.startswith("eigs ") or kind == "eigs":
        F = conditioned(rng, n, is_complex, condition**0.5)
        S = general_system(rng, n, top, is_real=not is_complex, condition=5.0)
        F_H = F.conj().T
        V, L = np.linalg.solve(F_H, S.V), S.L @ np.linalg.inv(F)  # A = F S Fᴴ, M = F Fᴴ
        M = symmetrised(F @ F_H)
        lengths = np.sqrt(np.einsum("ij,ij->j", V.conj(), M @ V).real)
        dA = [F @ D @ F_H for D in S.dA]
        dM = [0.2 * symmetrised(F @ D @ F_H) for D in S.dA]
        error = EPS * condition * 25 * 3
        system = System(F @ S.A @ F_H, V / lengths, L * lengths[:, None], S.alpha, dA, False, error, M, dM)
        loss, arguments = complex_weights(rng, n, 3), {"which": "LR"}
        scale = np.linalg.norm(system.V[:, :3], axis=0)
    else:
        null = 3 if "singular" in kind else 0
        condition = condition if not null else 10.0 ** rng.uniform(1, 4)
        system = hermitian_system(rng, n, top, is_complex, condition=condition, null=null)
        loss, arguments = different(rng, n, 3, is_complex), {"which": "LA"}
        scale = np.linalg.norm(system.V[:, :3], axis=0)
    # M-normalised vectors may be long: keep all terms of the loss of one size.
    loss = replace(loss, b=loss.b / scale**2, V=loss.V / scale**4)
    if ("sigma" in kind and "without" not in kind) or kind == "singular":
        arguments = {"which": "LM", "sigma": 3.3}
    inverse = "sigma" in arguments
    options = engine(rng, system.hermitian, inverse=inverse)
    note = f"{kind}, cond(M) {condition:.0e}, {form}, {options.method}"
    # M singular: SciPy factorises it and, where no pivot is exactly zero, iterates on noise.
    gradient = ask(system, wanted, loss, form=form, options=options, check=np.inf if "without" in kind else 0.4,
                   **arguments)  # fmt: skip
    if kind == "singular without sigma":
        says = r"(ValueError|RuntimeError|LinAlgError|EigenNoConvergence|ArpackNoConvergence|ArpackError): "
        return Problem(gradient, "say", says=says, note=note)
    reference = gradient_of_pairs(system, wanted, loss)
    attainable = system.error / 0.4
    label = "may" if attainable > 1e-7 else "right"
    return Problem(gradient, label, reference, attainable, r"ValueError: .*residuals", None, note)


def wild_scalings(rng, index):
    """The loss, A and M times 1e-13 … 1e13; A + cI."""
    kind = ("loss", "A", "both", "M", "shift", "general A", "general loss", "cluster")[index % 8]
    n, is_complex, form = sized(rng), bool(rng.integers(2)), some_form(rng)
    wanted = np.arange(3)
    exponents = rng.choice([-13, 13, *rng.uniform(-13, 13, 2)], 2)
    weight = 10.0 ** exponents[0] if kind in ("loss", "both", "general loss", "cluster") else 1.0
    size = 10.0 ** exponents[1] if kind in ("A", "both", "general A", "cluster") else 1.0
    mass = 10.0 ** exponents[1] if kind == "M" else 1.0
    if "general" in kind:
        system = general_system(rng, n, [3.0 + 0.5j, 2.5, 2.0 - 0.7j], condition=10.0)
    elif kind == "cluster":
        system = hermitian_system(rng, n, [3.0, 3.0, 3.0], is_complex)
    else:
        system = hermitian_system(rng, n, [3.0, 2.5, 2.1], is_complex, condition=20.0 if kind == "M" else None)
    if kind == "shift":
        shift = 10.0 ** rng.uniform(1, 6)
        A = system.A + shift * np.eye(n)
        system = replace(system, A=A, alpha=system.alpha + shift, error=EPS * shift)
    # A(p) scales as a whole: w ~ size / mass; vectors ~ mass^-1/2.
    system = replace(
        system,
        A=size * system.A,
        alpha=size * system.alpha / mass,
        dA=[size * D for D in system.dA],
        M=None if system.M is None else mass * system.M,
        dM=[mass * D for D in system.dM],
        V=system.V / mass**0.5,
        L=system.L / mass**0.5,
        error=size / mass * system.error,
    )
    level = size / mass
    if kind == "cluster":
        loss = Density(hermitian_weights(rng, n, is_complex), (1.0, 0.0, 0.0), 0.5)
        reference = gradient_of_density(system, wanted, loss)
    else:
        loss = complex_weights(rng, n, 3) if "general" in kind else different(rng, n, 3, is_complex)
        V = loss.V if kind != "M" else loss.V * mass**2
        loss = replace(loss, a=loss.a / level, b=loss.b * mass, V=V)
        reference = gradient_of_pairs(system, wanted, loss)
    inverse = kind in ("loss", "A", "both") and form != "closure" and rng.random() < 0.5
    arguments = {"sigma": 3.3 * level, "which": "LM"} if inverse else {"which": "LR" if "general" in kind else "LA"}
    options = engine(rng, system.hermitian, inverse=inverse, explicit=form != "closure")
    return Problem(
        ask(system, wanted, loss, form=form, options=options, weight=weight, mode=mode_of(index), **arguments),
        "right",
        weight * reference,
        system.error / (0.4 * level),
        dense=(system, wanted, lambda xp, w, X: weight * loss(xp, w, X)),
        note=f"{kind}, loss {weight:.0e}, A {size:.0e}, M {mass:.0e}, {form}, {options.method}",
    )


def non_normal(rng, index):
    """cond(V) = 1e1 … 1e5, random and Toeplitz (known exactly)."""
    n, form = sized(rng), some_form(rng)
    options = engine(rng, False, explicit=form != "closure")
    if index % 2:
        n = int(rng.integers(20, 34))
        system = toeplitz_system(rng, n, 10.0 ** rng.uniform(0.1, 10.0 / n))
        k = int(rng.integers(1, 4))
        V = system.V
    else:
        is_real = bool(rng.integers(2))
        condition = 10.0 ** rng.uniform(1, 5)
        system = general_system(rng, n, [3.0, 2.5 + 0.5j, 2.0 + 0.3j], is_real=is_real, condition=condition)
        k, V = 3, system.V
    if index % 3 == 0:
        loss = Values(gaussian(rng, k, True), np.zeros(k))
    else:
        loss = complex_weights(rng, n, k)
    wanted = np.arange(k)
    gap = min(system.gap(wanted), system.gap(wanted, wanted) if k > 1 else np.inf)
    attainable = system.error / gap
    label = "may" if attainable > 1e-9 else "right"
    return Problem(
        ask(system, wanted, loss, which="LR", form=form, options=options, check=gap, mode=mode_of(index)),
        label,
        gradient_of_pairs(system, wanted, loss),
        attainable,
        DEFECTIVE,
        (system, wanted, loss),
        f"cond(V) {np.linalg.cond(V):.0e}, Toeplitz {bool(index % 2)}, {type(loss).__name__}, {form}, {options.method}",
    )


def gauge_dependent(rng, index):
    """Losses that read phases: said. Through canonical_phase, and phase-free ones: right."""
    kind = ("say", "say", "raise", "canonical", "legal", "weak")[index % 6]
    hermitian, n, form = bool(index // 6 % 2), sized(rng), some_form(rng)
    if hermitian:
        system = hermitian_system(rng, n, [3.0, 2.5], True)
        legal = different(rng, n, 2, True)
    else:
        system = general_system(rng, n, [3.0 + 1j, 2.5], condition=10.0)
        legal = complex_weights(rng, n, 2)
    wanted = np.arange(2)
    options = engine(rng, hermitian, explicit=form != "closure")
    which = {"which": "LA" if hermitian else "LR"}
    u = gaussian(rng, n, True)
    strength = 0.0 if kind == "legal" else 10.0 ** rng.uniform(-5, -2) if kind == "weak" else 1.0
    loss = Phases(legal, u, str(rng.choice(["overlap", "square", "entry"])), strength)
    dense = (system, wanted, loss)
    note = f"{kind}, {loss.kind}, hermitian {hermitian}, {form}, {options.method}"
    attainable = system.error / 0.4
    if kind == "canonical":
        reference = gradient_of_pairs(system, wanted, Canonical(loss, index=5))

        def canonical(xp, w, X):
            return loss(xp, w, ka.canonical_phase(X, index=5))

        gradient = ask(system, wanted, canonical, form=form, options=options, **which)
        return Problem(gradient, "right", reference, attainable, dense=None, note=note)
    if kind == "legal":
        reference = gradient_of_pairs(system, wanted, loss)
        gradient = ask(system, wanted, loss, form=form, options=options, **which)
        return Problem(gradient, "right", reference, attainable, dense=dense, note=note)
    says = PHASE
    if kind == "raise":
        options, says = replace(options, on_gauge="raise"), r"ValueError: .*depends on the phase"
    gradient = ask(system, wanted, loss, form=form, options=options, **which)
    return Problem(gradient, "say", says=says, dense=dense if kind != "raise" else None, note=note)


def tight_maxiter(rng, index):
    """Few iterations where many are needed: no Krylov space of dimension 3 solves for 60 eigenvalues."""
    kind = ("adjoint", "adjoint", "shared", "warn", "forward")[index % 5]
    hermitian, is_complex = bool(rng.integers(2)), bool(rng.integers(2))
    n, steps = int(rng.integers(60, 81)), int(rng.integers(1, 4))
    top = [3.0, 2.6, 2.3]
    if hermitian:
        system = hermitian_system(rng, n, top, is_complex)
        loss = different(rng, n, 3, is_complex)
    else:
        system = general_system(rng, n, top, is_real=not is_complex, condition=3.0)
        loss = complex_weights(rng, n, 3)
    wanted = np.arange(3)
    arguments = {"which": "LA" if hermitian else "LR"}
    says = NOT_CONVERGED
    method = str(rng.choice(["minres", "gmres"])) if hermitian else "gmres"
    if kind == "shared":
        arguments, method = {"sigma": 3.2, "which": "LM"}, "shared"
    options = ka.Adjoint(method=method, maxiter=steps, on_failure="warn" if kind == "warn" else "raise")
    if kind == "warn":
        says = r"RuntimeWarning: .*did not converge"
    if kind == "forward":
        system = hermitian_system(rng, n, [1.06, 1.03], is_complex) if hermitian else system
        wanted = np.arange(2)
        loss = different(rng, n, 2, is_complex) if hermitian else complex_weights(rng, n, 2)
        arguments |= {"maxiter": 1, "ncv": 5}
        says, options = r"ArpackNoConvergence: .*No convergence", None
    return Problem(
        ask(system, wanted, loss, options=options, check=np.inf, **arguments),
        "say",
        gradient_of_pairs(system, wanted, loss),
        system.error / 0.03,
        says,
        note=f"{kind}, {method}, maxiter {steps}, hermitian {hermitian}",
    )


def other_modes(rng, index):
    """Buckling and cayley mode, and shifts next to eigenvalues; simple pairs and clusters."""
    kind = ("buckling", "cayley", "shift")[index % 3]
    n, form = sized(rng), str(rng.choice(["dense", "algebra"]))
    cluster = bool(index // 3 % 2)
    members = np.arange(2)
    gap = float(rng.choice([0.0, 1e-10, 1e-6, 1e-4, 1e-2])) if cluster else 0.5
    system = hermitian_system(rng, n, [3.0, 3.0 - gap], False, condition=None if kind == "shift" else 20.0)
    if cluster:
        loss = Density(hermitian_weights(rng, n, False), (1.0, 0.0, 0.0), 0.5)
        reference, attainable = gradient_of_density(system, members, loss), system.error
    else:
        loss = different(rng, n, 2, False, a=0.0)
        reference, attainable = gradient_of_pairs(system, members, loss), system.error / 0.5
    options = engine(rng, True, inverse=True)
    label, says = "right", ""
    if kind == "buckling":  # M x = μ A x with μ = 1 / w: the roles of A and M swapped
        shifted = hermitian_swapped(system)
        sigma = 1 / 3.4
        gradient = ask_with_mode(shifted, members, loss, form, options, sigma, "buckling")
    elif kind == "cayley":
        gradient = ask_with_mode(system, members, loss, form, options, 3.4, "cayley")
    else:
        offset = 10.0 ** rng.uniform(-14, -6)
        gradient = ask(system, members, loss, form=form, options=options, sigma=3.0 + offset, which="LM", check=1.0)
        label, says = "may", r"(RuntimeError|ArpackError|ValueError|AdjointNoConvergence|LinAlgError)"
        kind = f"shift at distance {offset:.0e}"
    note = f"{kind}, gap {gap:.0e}, cluster {cluster}, {form}, {options.method}"
    return Problem(gradient, label, reference, attainable, says, None, note)


def ask_with_mode(system, members, loss, form, options, sigma, mode):
    """gradient() by eigsh in buckling or cayley mode."""
    v0 = np.random.default_rng(7).uniform(0.5, 1.5, system.n)

    def f(p):
        A, M = assembled(system.A, system.dA, p, form), assembled(system.M, system.dM, p, form)
        w, X = ka.eigsh(A, k=2, M=M, sigma=sigma, mode=mode, v0=v0, ncv=system.n - 1, adjoint=options)
        order = matched(w, system.w[members], np.real, 0.5)
        return loss(AUTOGRAD, w[order], X[:, order])

    return derivative(f, len(system.dA))


def hermitian_swapped(system):
    """(M, A) for (A, M): the eigenvalues are inverted, the vectors stay, normalised with the new A."""
    return replace(system, A=system.M, M=system.A, dA=system.dM, dM=system.dA, alpha=1 / system.alpha)


def single_precision(rng, index):
    """float32 and complex64, of several classes; the attainable error is single precision's."""
    kind = ("hermitian", "general", "pencil", "cluster", "members", "cut", "phase", "jordan")[index % 8]
    n, is_complex, k = sized(rng), bool(rng.integers(2)), 2
    form = str(rng.choice(["dense", "algebra"]))
    says, label, reference, call, check = "", "right", None, {"which": "LA"}, None
    members = np.arange(k)
    if kind in ("general", "phase"):
        system = general_system(rng, n, [3.0, 2.5], is_real=kind == "general" and not is_complex, condition=3.0)
        call = {"which": "LR"}
        loss = complex_weights(rng, n, k)
        reference = gradient_of_pairs(system, members, loss)
        if kind == "phase":
            loss, label, says = Phases(loss, gaussian(rng, n, True), "overlap", 1.0), "say", PHASE
    elif kind == "jordan":
        system = jordan_system(rng, n, 2, 0.0, True, bulk(rng, n - 2))
        call, label, says, check = {"which": "LR"}, "say", DEFECTIVE + "|" + CUT, np.inf
        loss = complex_weights(rng, n, k)
    elif kind in ("cluster", "members", "cut"):
        gap = float(rng.choice([0.0, 1e-7, 1e-4])) if kind == "cluster" else 0.0
        system = hermitian_system(rng, n, [3.0, 3.0 + gap], is_complex)
        if kind == "cluster":
            loss = Density(hermitian_weights(rng, n, is_complex), (1.0, 0.0, 0.0), 0.5)
            reference = gradient_of_density(system, members, loss)
        else:
            k = 1 if kind == "cut" else 2
            loss = different(rng, n, k, is_complex, a=0.0)
            label, says = "say", CUT if kind == "cut" else BASIS
        check, members = 0.5, np.arange(k)
    else:
        system = hermitian_system(rng, n, [3.0, 2.5], is_complex, condition=5.0 if kind == "pencil" else None)
        loss = different(rng, n, k, is_complex)
        reference = gradient_of_pairs(system, members, loss)
    system = single(system)
    options = engine(rng, system.hermitian)
    gradient = ask(system, members, loss, form=form, options=options, check=check, ncv=n - 2, **call)
    note = f"{kind}, complex {is_complex}, {form}, {options.method}"
    return Problem(gradient, label, reference, system.error / 0.4, says, None, note)


CLASSES: dict[str, tuple[int, Callable[[Any, int], Problem]]] = {
    "near-defective": (18, near_defective),
    "defective": (16, defective),
    "clusters, legal losses": (36, clustered_invariant),
    "clusters, members read": (30, clustered_reading_members),
    "simple beside a cluster": (12, simple_beside_cluster),
    "cut clusters": (24, cut_cluster),
    "ties in modulus": (21, ties),
    "ill-conditioned M": (18, ill_conditioned_mass),
    "wild scalings": (24, wild_scalings),
    "non-normal": (18, non_normal),
    "gauge": (18, gauge_dependent),
    "tight maxiter": (15, tight_maxiter),
    "other modes": (12, other_modes),
    "single precision": (16, single_precision),
}
