"""Hard problems: matrices of order 1 … 6 at every k, in every class; values, order and gradient."""

import autograd.numpy as anp
import numpy as np
from asking import Problem, assembled, complex_weights, different, matched, plain
from autograd import grad
from closed_forms import (
    AUTOGRAD,
    EPS,
    gaussian,
    general_system,
    gradient_of_pairs,
    hermitian_system,
    symmetrised,
    unitary,
)
from cuts import dilation, scaled

import krylov_adj as ka

KINDS = (
    "eigsh", "eigsh complex", "eigs", "eigs complex", "eigsh pencil", "eigsh complex pencil", "eigs pencil",
    "eigs complex pencil", "eigsh singular M", "svds", "svds complex",
)  # fmt: skip

#: SciPy's words for k > n.
SCIPY = r"RuntimeWarning: k >= N"
TOO_MANY = r"ValueError: .*finite"


def small_matrices(rng, index):
    """Number ``index`` has order 1 + index % 6; k is 1 … n + 1."""
    n, kind = 1 + index % 6, str(rng.choice(KINDS))
    k = int(rng.integers(1, n + 2))
    form = str(rng.choice(["dense", "algebra", "closure"]))
    if "svds" in kind:
        return _triplets(rng, n, "complex" in kind, form)
    is_complex, null = "complex" in kind, int(rng.integers(1, n)) if "singular" in kind and n > 1 else 0
    hermitian = kind.startswith("eigsh")
    system, which, sigma, k = _drawn(rng, kind, n, k, is_complex, null)
    finite = n - null
    count = min(k, finite)
    order = ranked(system.w[:finite], which, sigma, hermitian, count)[:count]
    # Ascending; eigs: most wanted first, Im > 0 first.
    wanted = np.sort(order) if hermitian else order
    wanted = wanted[np.argsort(system.w[wanted].real)] if hermitian else wanted
    call = {"which": which} if sigma is None else {"which": which, "sigma": sigma}
    form = "algebra" if "pencil" in kind and form == "closure" else form
    note = f"{kind}, n {n}, k {k}, {call}, null {null}, {form}"
    loss = different(rng, n, count, is_complex) if hermitian else complex_weights(rng, n, count)
    scipys = hermitian and not is_complex and k < n and sigma is not None  # in the order that ARPACK leaves

    def gradient():
        found = []

        def f(p):
            A = assembled(system.A, system.dA, p, form)
            M = None if system.M is None else assembled(system.M, system.dM, p, form)
            solver = ka.eigsh if hermitian else ka.eigs
            w, X = solver(A, k=k, M=M, v0=np.linspace(0.5, 1.5, n), **call)
            found[:] = [plain(w)]
            if scipys:
                at = matched(w, system.w[wanted])
                found[:] = [plain(w)[at]]
                w, X = w[at], X[:, at]
            return loss(AUTOGRAD, w[:count], X[:, :count])

        slope = grad(f)(np.zeros(len(system.dA)))
        w = found[0]
        if w.size != count:
            return np.full(count + slope.size, np.nan)
        return np.concatenate([w, slope])

    neutral = SCIPY if k > n else ""
    if k > finite and null:
        return Problem(gradient, "say", says=TOO_MANY, note=note, neutral=neutral)
    w = system.w[wanted]
    reference = np.concatenate([w.real if hermitian else w, gradient_of_pairs(system, wanted, loss)])
    return Problem(gradient, "right", reference, system.error, note=note, neutral=neutral)


def _drawn(rng, kind, n, k, is_complex, null):
    """A system whose n − null finite eigenvalues every ``which`` can rank, and none of whose pairs k cuts."""
    hermitian = kind.startswith("eigsh")
    choices = ["LM", "SM", "LA", "SA", "BE"] if hermitian else ["LM", "SM", "LR", "SR"]
    choices = choices[:-1] if hermitian and (is_complex or k == 1) else choices  # SciPy has no such "BE"
    while True:
        moduli = rng.permutation(np.arange(1, n + 1) * 0.6 + rng.uniform(-0.1, 0.1, n))
        which, sigma = str(rng.choice(choices)), None
        if null or rng.random() < 0.3:
            which, sigma = "LM", float(rng.uniform(-3, 3))
        condition = 10.0 ** rng.uniform(0.1, 1) if "pencil" in kind or null else None
        if hermitian:
            values = moduli * rng.choice([-1, 1], n)
            system = hermitian_system(rng, n, values, is_complex, condition=condition, null=null, rest=np.zeros(0))
        else:
            values = _general_values(rng, moduli, is_complex)
            mass = None
            if condition is not None:
                F = unitary(rng, n, is_complex) * np.linspace(1.0, condition**0.5, n)
                mass = symmetrised(F @ F.conj().T)
            system = general_system(rng, n, values, is_real=not is_complex, condition=3.0, mass=mass)
        w = system.w[: n - null]
        keys = np.sort(_keys(w, which, sigma))
        upper = np.sort(_keys(w[np.imag(w) >= 0], which, sigma))  # the members of a pair tie
        order = ranked(w, which, sigma, hermitian, w.size)
        cut = not is_complex and not hermitian and 0 < k < n and abs(w[order[k - 1]] - w[order[k]].conj()) < 1e-9
        distinct = upper.size < 2 or np.diff(upper).min() > 0.05
        clear = sigma is None or np.abs(w - sigma).min() > 0.1
        if distinct and clear and not cut and keys.size:
            return system, which, sigma, k


def _general_values(rng, moduli, is_complex):
    """Complex values of these moduli; of a real matrix those with Im ≥ 0, as many as make n."""
    n = len(moduli)
    if is_complex:
        return moduli * np.exp(1j * rng.uniform(0, 2 * np.pi, n))
    values, left = [], n
    for modulus in moduli:
        if left >= 2 and rng.random() < 0.5:
            values.append(modulus * np.exp(1j * rng.uniform(0.4, np.pi - 0.4)))
            left -= 2
        elif left:
            values.append(modulus * rng.choice([-1.0, 1.0]) + 0j)
            left -= 1
    return np.array(values)


def _keys(w, which, sigma):
    """What is ranked, most wanted first is smallest."""
    if sigma is not None:
        return np.abs(w - sigma)
    return {
        "LM": -np.abs(w), "SM": np.abs(w), "LA": -np.real(w), "SA": np.real(w), "LR": -np.real(w), "SR": np.real(w),
        "BE": np.real(w),
    }[which]  # fmt: skip


def ranked(w, which, sigma, hermitian, count):
    """All eigenvalues, most wanted first, of a pair the one with Im > 0 first."""
    keys = np.round(_keys(w, which, sigma), 9)
    order = np.lexsort((-np.imag(w), keys))
    if which != "BE":
        return order
    low = count // 2  # SciPy: one more from the high end where k is odd
    return np.concatenate([order[:low], order[len(w) - (count - low) :]])


def _triplets(rng, n, is_complex, form):
    """svds: SciPy's, 0 < k < min(m, n), of complex matrices one less."""
    m = int(rng.integers(1, 7))
    rank = min(m, n)
    k = int(rng.integers(1, rank + 1))
    sigma = np.arange(rank, 0, -1) * 0.6 + rng.uniform(-0.1, 0.1, rank)
    Q, P = unitary(rng, m, is_complex)[:, :rank], unitary(rng, n, is_complex)[:, :rank]
    A = (Q * sigma) @ P.conj().T
    dA = [gaussian(rng, (m, n), is_complex) for _ in range(3)]
    loss = different(rng, m + n, k, is_complex)
    which = str(rng.choice(["LM", "SM"]))
    wanted = np.arange(k) if which == "LM" else np.arange(rank - k, rank)
    note = f"svds {m}×{n}, k {k}, complex {is_complex}, {which}, {form}"

    def gradient():
        found = []

        def f(p):
            u, s, vh = ka.svds(assembled(A, dA, p, form), k=k, which=which, v0=np.linspace(0.5, 1.5, rank))
            at = matched(s, sigma[wanted])
            found[:] = [plain(s)[at]]
            return loss(AUTOGRAD, s[at], anp.concatenate([u[:, at], anp.conj(anp.transpose(vh))[:, at]]))

        slope = grad(f)(np.zeros(3))
        return np.concatenate([found[0], slope])

    if k >= rank - is_complex:
        return Problem(gradient, "say", says=r"(ValueError|TypeError): .*k", note=note)
    slope = gradient_of_pairs(dilation(A, dA, Q, P, sigma), wanted, scaled(loss))
    return Problem(gradient, "right", np.concatenate([sigma[wanted], slope]), EPS, note=note)
