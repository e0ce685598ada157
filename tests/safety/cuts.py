"""Hard problems: clusters that k cuts, in every class, for every ``which``, at every n."""

from dataclasses import dataclass, replace

import numpy as np
from asking import (
    BASIS,
    CUT,
    DEFECTIVE,
    LOST,
    Problem,
    ask,
    ask_triplets,
    complex_weights,
    different,
    engine,
    some_form,
)
from closed_forms import (
    EPS,
    System,
    Values,
    bulk,
    gaussian,
    general_system,
    gradient_of_pairs,
    hermitian_system,
    symmetrised,
    unitary,
)

SAID = "|".join([CUT, BASIS, DEFECTIVE, LOST])
KINDS = ("eigsh", "eigs", "eigsh pencil", "eigsh", "eigs", "svds", "eigsh", "eigs pairs", "eigs pencil")
GAPS = (0.0, 0.0, 1e-15, 0.0, "resolved")
#: Every so many problems one is above the dense bounds.
LARGE = 6

#: Below these orders every cut is looked for in the dense spectrum.
DENSE, DENSE_HERMITIAN = 200, 400


@dataclass(frozen=True)
class Loss:
    """A `Values` or `Weighted` loss of the pairs with these numbers only."""

    of: object
    numbers: slice

    def __call__(self, xp, w, X):
        return self.of(xp, w[self.numbers], X[:, self.numbers])


def cut_anywhere(rng, index):
    if index % LARGE == LARGE - 1:
        return _above(rng, index // LARGE)
    kind = KINDS[index % len(KINDS)]
    n, is_complex = int(rng.integers(4, 13) if rng.random() < 0.5 else rng.integers(13, 56)), bool(rng.integers(2))
    return _cut(rng, kind, n, is_complex, some_form(rng), GAPS[index % len(GAPS)])


def _above(rng, index):
    """Above the dense bounds: separated from the rest as below them, or eigenvalues of a square's symmetry."""
    if index % 2:
        return _square(rng, index // 2)
    kind = KINDS[index // 2 % len(KINDS)]
    form = some_form(rng)
    low = DENSE_HERMITIAN if kind.startswith("eigsh") and form != "closure" else DENSE
    n = int(rng.integers(low + 1, low + 120))
    return _cut(rng, kind, n, bool(rng.integers(2)), form, 0.0, above=True)


def _read(rng, hermitian, n, k, simple, is_complex):
    """What the loss reads: eigenvalues alone (twice as often), vectors, or only what was not cut."""
    what = str(rng.choice(["values", "values", "vectors", "not read"]))
    what = "values" if what == "not read" and not simple else what
    numbers = slice(0, simple) if what == "not read" else slice(0, k)
    count = numbers.stop
    if what == "values":
        weights = rng.uniform(0.5, 2, k) if hermitian else gaussian(rng, k, True)
        return what, Loss(Values(weights, 0.1 * weights), numbers)
    if hermitian:
        return what, Loss(different(rng, n, count, is_complex), numbers)
    return what, Loss(complex_weights(rng, n, count), numbers)


def _cut(rng, kind, n, is_complex, form, gap, above=False):
    """Wanted first: ``simple`` simple eigenvalues and ``taken`` of the ``size`` of a cluster."""
    hermitian, resolved = kind.startswith("eigsh") or kind == "svds", gap == "resolved"
    gap = 10.0 ** rng.uniform(-12, -6) if resolved else gap
    simple, size = int(rng.integers(0, 2)), int(rng.integers(2, 4))
    size = min(size, n - simple - 1)
    taken = int(rng.integers(1, size))
    k = simple + taken
    what, loss = _read(rng, hermitian, n, k, simple, is_complex)
    top = np.r_[4.0 * np.ones(simple), 3.0 - gap * np.arange(size)]
    wanted, extra = np.arange(k), {"ncv": min(n, 2 * k + 40)}
    reports = []
    mode = "forward" if rng.random() < 0.2 else "reverse"
    common = {"mode": mode, "reports": reports, "check": 0.5}
    if kind == "eigs pairs":  # a complex pair twice, and one of the two taken
        if is_complex or n < 6:
            kind = "eigs"
        else:
            top = np.r_[4.0 * np.ones(simple), 2.9 + 0.6j, 2.9 - gap + 0.6j]
            taken, size, k = 2, 4, simple + 2
            what, loss = _read(rng, False, n, k, simple, False)
            wanted, extra = np.arange(k), {"ncv": min(n, 2 * k + 40)}
    if kind == "svds":
        return _cut_triplets(rng, n, is_complex, form, gap, resolved, top, k, what, above, common)
    if hermitian:
        system, call = _hermitian(rng, n, top, is_complex, kind, k, taken, form)
    else:
        system, call = _general(rng, n, top, is_complex, kind, form)
    if above and call.get("which") in ("LA", "LR") and "low" not in call and rng.random() < 0.5:
        # Zero, which is the eigenvalue of what is deflated, is then more wanted than any other.
        M = np.eye(n) if system.M is None else system.M
        alpha = system.alpha - 10.0 * system.infinite_scale
        system = replace(system, A=system.A - 10.0 * M, alpha=alpha, error=10 * system.error)
    if system.M is not None and form == "closure":
        form = "algebra"
    options = engine(rng, hermitian, inverse="sigma" in call, explicit=form != "closure")
    wanted = wanted if "low" not in call else np.r_[wanted, size + simple + np.arange(call["low"])]
    k += call.pop("low", 0)
    note = (
        f"{kind}, n {n}, complex {is_complex}, gap {gap:.0e}, {taken} of {size} after {simple}, {what}, {form}, "
        f"{mode}, {options.method}, {call}"
    )

    def of_cut(xp, w, X):
        return loss(xp, w[: simple + taken], X[:, : simple + taken])

    gradient = ask(system, wanted, of_cut, form=form, options=options, **common, **extra, **call)
    return _problem(
        gradient, system, wanted[: simple + taken], loss, what, resolved, simple, mode, note, above, reports
    )


def _problem(gradient, system, wanted, loss, what, resolved, simple, mode, note, above, reports):
    reads, gap = what != "not read", system.gap(wanted)
    if resolved or not reads:
        members = wanted if reads else wanted[:simple]
        of = loss.of
        reference = gradient_of_pairs(system, members, of)
        rest = min(system.gap(wanted[:simple]) if simple else 1.0, 1.0)
        # Tangents are those of all pairs, whatever the loss; so near to another pair either is right.
        lost = resolved and system.error / gap > 1e-7
        label = "may" if lost or mode == "forward" else "right"
        return Problem(gradient, label, reference, system.error / rest, SAID, note=note)
    return Problem(gradient, "say", says=SAID, note=note, above=above, reports=reports)


def _hermitian(rng, n, top, is_complex, kind, k, taken, form):
    """The cluster where ``which`` looks first, wanted eigenvalues first in the list."""
    condition = 10.0 ** rng.uniform(0.5, 2) if "pencil" in kind else None
    which = str(rng.choice(["SA", "LA", "LM", "SM", "sigma", "inside"] + ([] if is_complex else ["BE"])))
    if n > DENSE and which == "SM":
        which = "inside"
    if which == "inside" and form == "closure":
        which = "LA"
    if which == "sigma" and form == "closure":
        which = "SA"
    call, low = {"which": which}, 0
    rest = bulk(rng, n - len(top))
    if which in ("SM", "inside"):  # around zero, the rest is pushed away from it
        top = 0.02 * (4.5 - top) * (1 if rng.random() < 0.5 else -1)  # the simple one stays nearest
        rest = rest + 0.3 * np.where(rest > 0, 1, -1)
        if which == "inside":
            call = {"sigma": 1e-3, "which": "LM"}
    elif which == "SA":
        top = -top
    elif which == "LM":
        top = top * (1 if rng.random() < 0.5 else -1)
    elif which == "BE":
        sign = 1 if rng.random() < 0.5 else -1  # SciPy: one more from the high end where k is odd
        low = k if sign < 0 or rng.random() < 0.5 else k - 1
        top = sign * top
        if low > n - len(top) or k + low >= n:
            top, low, call = np.abs(top), 0, {"which": "LA"}
        else:
            rest = np.sort(rest)[::sign]
            rest[:low] = -sign * (5.0 + np.arange(low))
            call["low"] = low
    elif which == "sigma":
        call = {"sigma": 4.4, "which": "LM"}
    return hermitian_system(rng, n, top, is_complex, condition=condition, rest=rest), call


def _general(rng, n, top, is_complex, kind, form):
    condition = 10.0 ** rng.uniform(0, 1.5)
    which = str(rng.choice(["LM", "LR", "SR", "sigma"]))
    which = "LR" if which == "sigma" and form == "closure" else which
    top = -np.conj(top) if which == "SR" else top  # of a pair the member with Im > 0
    call = {"sigma": 4.4, "which": "LM"} if which == "sigma" else {"which": which}
    mass = None
    if "pencil" in kind:
        F = unitary(rng, n, is_complex) * np.geomspace(1.0, 3.0, n)
        mass = symmetrised(F @ F.conj().T)
    system = general_system(rng, n, top, is_real=not is_complex, condition=condition, mass=mass)
    return system, call


def _cut_triplets(rng, n, is_complex, form, gap, resolved, top, k, what, above, common):
    """A cluster of singular values, largest or (dense n only) smallest."""
    m = n + int(rng.integers(-1, 6))
    rank = min(m, n)
    top = top[: max(k + 1, min(len(top), rank - 1))]
    which = "LM" if above or rng.random() < 0.7 else "SM"
    rest = np.linspace(0.2, 1.0, rank - len(top)) + rng.uniform(-0.02, 0.02, rank - len(top))
    sigma = np.r_[top, rest] if which == "LM" else np.r_[top[0] + 0.5 - 0.2 * (top - 3), 5 + rest]
    Q, P = unitary(rng, m, is_complex)[:, :rank], unitary(rng, n, is_complex)[:, :rank]
    A = (Q * sigma) @ P.conj().T
    dA = [gaussian(rng, (m, n), is_complex) for _ in range(3)]
    simple = int(np.sum(top == 4.0))
    numbers = slice(0, simple) if what == "not read" else slice(0, k)
    if what == "values":
        of = Values(rng.uniform(0.5, 2, k), np.zeros(k))
    else:
        of = different(rng, m + n, numbers.stop, is_complex)
    loss, wanted = Loss(of, numbers), np.arange(k)
    options = engine(rng, True, explicit=form != "closure")
    gradient = ask_triplets(A, dA, wanted, sigma, loss, form=form, options=options, which=which, **common)
    note = f"svds {m}×{n}, complex {is_complex}, {which}, gap {gap:.0e}, k {k}, {what}, {form}, {options.method}"
    system = dilation(A, dA, Q, P, sigma)
    problem = _problem(
        gradient, system, wanted, replace(loss, of=scaled(of)), what, resolved, simple, common["mode"], note, above,
        common["reports"],
    )  # fmt: skip
    return problem


@dataclass(frozen=True)
class scaled:
    """A loss of (u, v), given (u, v)/√2."""

    of: object

    def __call__(self, xp, w, X):
        return self.of(xp, w, np.sqrt(2) * X)


def dilation(A, dA, Q, P, sigma):
    """[[0, A], [Aᴴ, 0]] with all of its eigenpairs: σ first, then −σ, then the null space."""
    m, n = A.shape
    block = lambda B: np.block([[np.zeros((m, m)), B], [B.conj().T, np.zeros((n, n))]])  # noqa: E731
    plus, minus = np.concatenate([Q, P]) / np.sqrt(2), np.concatenate([Q, -P]) / np.sqrt(2)
    null_Q = np.linalg.svd(Q)[0][:, len(sigma) :]
    null_P = np.linalg.svd(P)[0][:, len(sigma) :]
    null = np.block([[null_Q, np.zeros((m, null_P.shape[1]))], [np.zeros((n, null_Q.shape[1])), null_P]])
    V = np.concatenate([plus, minus, null], axis=1)
    alpha = np.r_[sigma, -sigma, np.zeros(null.shape[1])]
    return System(block(A), V, V.conj().T, alpha, [block(B) for B in dA], True, EPS * sigma.max())


def _square(rng, index):
    """H ⊗ I + I ⊗ H: a_i + a_j twice for every i ≠ j, as on a square; k = 2 takes one of a₁ + a₂."""
    kind = ("eigsh", "eigs")[index % 2]
    is_complex, form = bool(rng.integers(2)), some_form(rng)
    low = DENSE_HERMITIAN if kind == "eigsh" and form != "closure" else DENSE
    side = int(np.ceil(np.sqrt(low + 1))) + int(rng.integers(0, 3))
    step = np.eye(side, k=1)
    phase = np.exp(0.3j) if is_complex else 1.0
    H = 2 * np.eye(side) - phase * step - np.conj(phase) * step.T
    H = H + np.diag(rng.uniform(0, 0.3, side))
    if kind == "eigs":
        H = H + 0.2 * (step - step.T)
    a = np.linalg.eigvals(H) if kind == "eigs" else np.linalg.eigvalsh(H)
    a = a[np.argsort(a.real)]
    A = np.kron(H, np.eye(side)) + np.kron(np.eye(side), H)
    w = np.add.outer(a, a).ravel()
    w = w[np.argsort(w.real, kind="stable")]
    n = side**2
    dA = [np.diag(rng.normal(size=n)) for _ in range(3)]
    dA = dA if kind == "eigsh" else [D + gaussian(rng, (n, n), is_complex) / n for D in dA]
    system = System(A, np.eye(n), np.eye(n), w, dA, kind == "eigsh", EPS * 8)
    what, loss = _read(rng, kind == "eigsh", n, 2, 0, is_complex)
    inverse = form != "closure" and rng.random() < 0.3
    call = {"sigma": -0.1, "which": "LM"} if inverse else {"which": "SA" if kind == "eigsh" else "SR"}
    options = engine(rng, kind == "eigsh", inverse=inverse, explicit=form != "closure")
    reports = []
    gradient = ask(
        system, np.arange(2), loss, form=form, options=options, check=abs(w[3] - w[2]), reports=reports, **call
    )
    note = f"square, {kind}, n {n}, complex {is_complex}, {what}, {form}, {options.method}, {call}"
    return Problem(gradient, "say", says=SAID, note=note, above=True, reports=reports)
