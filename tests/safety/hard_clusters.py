"""Hard problems, first part: eigenvalues that coincide, or nearly: clusters and Jordan blocks."""

from dataclasses import replace

import numpy as np
from asking import (
    BASIS,
    CUT,
    DEFECTIVE,
    LOST,
    ROUNDING,
    UNEQUAL,
    Problem,
    ask,
    attach,
    complex_weights,
    different,
    engine,
    hermitian_weights,
    mode_of,
    selection,
    sized,
    some_form,
)
from closed_forms import (
    Density,
    Subspace,
    Values,
    bulk,
    doubled_system,
    gaussian,
    general_system,
    gradient_of_density,
    gradient_of_pairs,
    hermitian_system,
    jordan_system,
    symmetrised,
    unitary,
)


def near_defective(rng, index):
    """Blocks [[3, 1], [ε, 3]] and of order 3, as they are or rotated, ε = 1e-3 … 1e-12."""
    order = 2 + index % 3 // 2
    epsilon = 10.0 ** rng.uniform(-12 if order == 2 else -9, -3)
    n = sized(rng)
    system = jordan_system(rng, n, order, epsilon, bool(index % 2), bulk(rng, n - order))
    wanted = np.array([0]) if rng.random() < 0.5 else np.arange(order)
    k = wanted.size
    loss = [
        Values(gaussian(rng, k, True), 0.1 * gaussian(rng, k, True)),
        Values(np.ones(k), np.zeros(k)),
        complex_weights(rng, n, k),
    ][index // 2 % 3]
    left = system.error / epsilon  # what rounding leaves of the derivative has to be said
    form = some_form(rng)
    options = engine(rng, False, explicit=form != "closure", standard=True)
    return Problem(
        ask(
            system,
            wanted,
            loss,
            which="LR",
            form=form,
            options=options,
            check=system.gap(range(order)),
            mode=mode_of(index),
        ),
        "may" if left > 1e-9 else "right",
        gradient_of_pairs(system, wanted, loss),
        system.error / system.gap(range(order)),
        DEFECTIVE + "|" + CUT,
        (system, wanted, loss),
        f"order {order}, epsilon {epsilon:.0e}, k {k}, {type(loss).__name__}, {options.method}",
    )


def defective(rng, index):
    """ε = 0, or below what rounding leaves of it; eigenvalues or vectors, one or all of the block."""
    order = 2 + index % 2
    rotated = index // 2 % 2 == 0
    epsilon = 0.0 if rotated else float(rng.choice([0.0, 1e-18, 1e-21]))
    n = sized(rng)
    system = jordan_system(rng, n, order, epsilon, rotated, bulk(rng, n - order))
    k = 1 if index // 4 % 2 else order
    loss = Values(np.ones(k) + np.arange(k), np.zeros(k)) if index % 3 else complex_weights(rng, n, k)
    options = engine(rng, False, standard=True)
    return Problem(
        ask(system, np.arange(k), loss, which="LR", options=options, check=np.inf, mode=mode_of(index)),
        "say",
        says=DEFECTIVE + "|" + CUT,
        dense=(system, np.arange(k), loss),
        note=f"order {order}, epsilon {epsilon:.0e}, k {k}, {type(loss).__name__}, rotated {rotated}, {options.method}",
    )


INVARIANT_GAPS = (0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, "exact", "general")


def clustered_invariant(rng, index):
    """Functions of whole eigenspaces, every gap; Σ F(w_i) x_iᴴWx_i where the gap is resolved."""
    gap = INVARIANT_GAPS[index % len(INVARIANT_GAPS)]
    size = int(rng.integers(2, 5))
    n, is_complex = sized(rng), bool(rng.integers(2))
    if gap == "general":
        return _general_cluster(rng, n, size)
    condition = None
    if gap == "exact":
        system = doubled_system(rng, n, [3.0], is_complex, size)
    else:
        top = np.r_[3.0 + gap * np.arange(size), 2.2]
        condition = None if index // 12 % 2 == 0 else 10.0 ** rng.uniform(0.5, 3)
        system = hermitian_system(rng, n, top, is_complex, condition=condition)
    members, n = np.arange(size), system.n
    extra = 0 if gap == "exact" else int(rng.integers(2))  # the simple pair next to it
    resolved = isinstance(gap, float) and gap >= 1e-12
    function = resolved and rng.random() < 0.6
    W = hermitian_weights(rng, n, is_complex)
    loss = Density(W, (1.0, -0.4, 0.3) if function else (1.0, 0.0, 0.0), 0.5)
    attainable = system.error / system.gap(members)
    given = system.M is None and rng.random() < 0.3
    form = str(rng.choice(["dense", "algebra"])) if given or system.M is not None else some_form(rng)
    call, inverse = selection(rng, True, form, 3.4)
    options = engine(rng, True, inverse=inverse and not given, explicit=form != "closure", standard=system.M is None)
    if given:
        degenerate = not resolved
        rotation = unitary(rng, size, is_complex) if degenerate else None
        gradient = attach(system, members, loss, rotation=rotation, form=form, options=options, mode=mode_of(index))
    else:

        def of_members(xp, w, X):
            return loss(xp, w[:size], X[:, :size])

        wanted = np.arange(size + extra)
        check = system.gap(wanted)
        gradient = ask(system, wanted, of_members, form=form, options=options, check=check, ncv=n - 1,
                       mode=mode_of(index), **call)  # fmt: skip
    label, says = "right", ""
    if mode_of(index) == "forward":  # the tangents of single vectors go with 1 / gap, or are said to be arbitrary
        label, says = "may", BASIS + "|" + LOST
    return Problem(
        gradient,
        label,
        gradient_of_density(system, members, loss),
        attainable,
        says,
        dense=(system, members, loss),
        note=f"gap {gap}, size {size}, F {function}, M {condition and round(condition)}, attach {given}, {form}, "
        f"{options.method}, {mode_of(index)}",
    )


def _general_cluster(rng, n, size):
    """A multiple eigenvalue of a matrix that is not Hermitian, with as many vectors: tr F(A) P and projectors."""
    is_real = bool(rng.integers(2))
    system = general_system(rng, n, np.full(size, 2.5), is_real=is_real, condition=10.0 ** rng.uniform(0, 2))
    members = np.arange(size)
    if rng.random() < 0.5:
        loss = Subspace(hermitian_weights(rng, n, True))
        mixing = gaussian(rng, (size, size), not is_real)
    else:
        a, b = gaussian(rng, 2, True)
        loss = Values(np.full(size, a), np.full(size, b))
        mixing = gaussian(rng, (size, size), not is_real)
    options = engine(rng, False, standard=True)
    if rng.random() < 0.5:
        gradient = attach(system, members, loss, rotation=mixing, options=options)
    else:
        gradient = ask(system, members, loss, which="LR", options=options, ncv=n - 2)
    return Problem(
        gradient,
        "right",
        gradient_of_pairs(system, members, loss, [members]),
        system.error / system.gap(members),
        dense=(system, members, loss),
        note=f"not Hermitian, size {size}, real {is_real}, {type(loss).__name__}, {options.method}",
    )


def clustered_reading_members(rng, index):
    """Losses that treat the members of a cluster differently: said where they coincide, right where not."""
    is_complex, n = bool(rng.integers(2)), sized(rng)
    kind = ("coinciding", "resolved")[index % 3 == 2]
    size = int(rng.integers(2, 4))
    members = np.arange(size)
    if kind == "resolved":
        gap = 10.0 ** rng.uniform(-9, -3)
        system = hermitian_system(rng, n, 3.0 + gap * np.arange(size), is_complex)
        loss = different(rng, n, size, is_complex)
        form = some_form(rng)
        options = engine(rng, True, explicit=form != "closure", standard=True)
        return Problem(
            ask(system, members, loss, which="LA", form=form, options=options, ncv=n - 1),
            "right",
            gradient_of_pairs(system, members, loss),
            system.error / system.gap(members),
            dense=(system, members, loss),
            note=f"gap {gap:.0e}, {form}, {options.method}",
        )
    what = ("vectors", "values", "function", "raise", "general values")[index // 3 % 5]
    if what == "general values":
        system = general_system(rng, n, np.full(size, 2.5), is_real=bool(rng.integers(2)), condition=5.0)
        loss, says = Values(np.arange(1.0, size + 1), np.zeros(size)), UNEQUAL + "|" + ROUNDING
        options = engine(rng, False, standard=True)
        gradient = ask(system, members, loss, which="LR", options=options, ncv=n - 2)
        return Problem(gradient, "say", says=says, dense=(system, members, loss), note=f"{what}, {options.method}")
    where = str(rng.choice(["top", "exact", "null space", "small beside ‖A‖"]))
    which = "LA" if where in ("top", "exact") else "SA"
    if where == "exact":
        system = doubled_system(rng, n, [3.0], is_complex, size)
    elif where == "top":
        system = hermitian_system(rng, n, np.full(size, 3.0), is_complex)
    else:
        level = (0.0, 1.0) if where == "null space" else (3.0, 10.0 ** rng.uniform(3, 6))
        rest = level[1] * (1.5 + 0.4 * bulk(rng, n - size))
        system = hermitian_system(rng, n, np.full(size, level[0]), is_complex, rest=rest)
    n = system.n
    options = engine(rng, True, standard=True)
    if what == "values":
        loss, says = Values(np.arange(1.0, size + 1), np.zeros(size)), UNEQUAL
    elif what == "function":  # smooth, but (gw, gX) at coinciding eigenvalues do not determine its derivative
        loss, says = Density(hermitian_weights(rng, n, is_complex), (1.0, -0.4, 0.3)), UNEQUAL + "|" + BASIS
    else:
        loss, says = different(rng, n, size, is_complex, a=0.0), BASIS
    says = says + "|" + ROUNDING
    if what == "raise":
        says, options = "ValueError: .*basis chosen", replace(options, on_gauge="raise")
    if rng.random() < 0.3:
        gradient = attach(system, members, loss, rotation=unitary(rng, size, is_complex), options=options)
    else:
        gradient = ask(system, members, loss, which=which, options=options, ncv=n - 1)
    reference = gradient_of_density(system, members, loss) if what == "function" else None
    attainable = system.error / system.gap(members)
    note = f"{what}, {where}, {options.method}"
    return Problem(gradient, "say", reference, attainable, says, (system, members, loss), note)


def simple_beside_cluster(rng, index):
    """A loss of a simple pair while others coincide: computed with it, cut, or left out."""
    hermitian, n = index % 2 == 0, sized(rng)
    size, is_complex = int(rng.integers(2, 5)), bool(rng.integers(2))
    top = np.r_[4.0, np.full(size, 3.0), 2.0]
    if hermitian:
        system = hermitian_system(rng, n, top, is_complex)
        loss = different(rng, n, 1, is_complex)
    else:
        system = general_system(rng, n, top, is_real=not is_complex, condition=10.0)
        loss = complex_weights(rng, n, 1)
    k = int(rng.choice([1, 2, size, size + 1, size + 2]))
    form = some_form(rng)
    call, inverse = selection(rng, hermitian, form, 4.4)
    options = engine(rng, hermitian, inverse=inverse, explicit=form != "closure", standard=True)

    def of_simple(xp, w, X):
        return loss(xp, w[:1], X[:, :1])

    ncv = {"ncv": min(n - 2, 2 * k + 20)}
    gradient = ask(system, np.arange(k), of_simple, form=form, options=options, check=1.0, mode=mode_of(index),
                   **ncv, **call)  # fmt: skip
    return Problem(
        gradient,
        "may" if mode_of(index) == "forward" else "right",  # tangents are those of all pairs, whatever the loss
        gradient_of_pairs(system, [0], loss),
        system.error,
        BASIS + "|" + CUT,
        dense=(system, np.array([0]), loss),
        note=f"hermitian {hermitian}, size {size}, k {k}, {form}, {options.method}, {mode_of(index)}",
    )


def cut_cluster(rng, index):
    """k cuts a cluster: refused where its members coincide, right where their gap is resolved."""
    hermitian, n, is_complex = index % 4 != 3, sized(rng), bool(rng.integers(2))
    resolved = index % 3 == 2
    size = int(rng.integers(2, 4))
    gap = 10.0 ** rng.uniform(-8, -4) if resolved else float(rng.choice([0.0, 1e-15]))
    top = 3.0 - gap * np.arange(size)
    form = some_form(rng)
    call, inverse = selection(rng, hermitian, form, 3.4)
    options = engine(rng, hermitian, inverse=inverse, explicit=form != "closure", standard=True)
    k = int(rng.integers(1, size))
    if hermitian and index % 12 == 1:  # eigenvalues only: seen where there is a shift
        form, call = "algebra", {"sigma": 3.4, "which": "LM"}
        system = hermitian_system(rng, n, top, is_complex)
        loss = Values(np.ones(k), np.zeros(k))
    elif hermitian:
        system = hermitian_system(rng, n, top, is_complex)
        loss = different(rng, n, k, is_complex)
        if index % 12 in (5, 8):  # felt by the neighbours to the order of the gap only: no 1/gap in the gradient
            x, near = system.V[:, :k], system.V[:, k:size]
            away = np.eye(n) - system.V[:, :size] @ system.V[:, :size].conj().T
            y = away @ gaussian(rng, (n, k), is_complex) + gap * near @ gaussian(rng, (size - k, k), is_complex)
            loss = replace(loss, W=symmetrised(x @ y.conj().T), V=None)
    else:
        system = general_system(rng, n, top, is_real=not is_complex, condition=5.0)
        loss = complex_weights(rng, n, k) if index % 8 == 3 else Values(np.ones(k), np.zeros(k))
    wanted = np.arange(k)
    arguments = {"form": form, "options": options, "ncv": n - 2, "mode": mode_of(index), **call}
    if resolved:
        gradient = ask(system, wanted, loss, **arguments)
        reference = gradient_of_pairs(system, wanted, loss)
        note = f"gap {gap:.0e}, k {k} of {size}, hermitian {hermitian}, {form}, {options.method}"
        return Problem(gradient, "right", reference, system.error, "", (system, wanted, loss), note)
    return Problem(
        ask(system, wanted, loss, check=1.0, **arguments),
        "say",
        says="|".join([CUT, BASIS, DEFECTIVE, UNEQUAL]),  # unequal to the conjugate of a pair that k cuts
        dense=(system, wanted, loss),
        note=f"gap {gap:.0e}, k {k} of {size}, hermitian {hermitian}, {type(loss).__name__}, {form}, {options.method}",
    )
