"""Inputs that are not what they were said to be: each must be refused, with the right reason."""

import autograd.numpy as anp
import numpy as np
from asking import Problem, ask, complex_weights, different, engine
from autograd import grad
from closed_forms import AUTOGRAD, gaussian, general_system, gradient_of_pairs, hermitian_system, symmetrised

import krylov_adj as ka

NOT_HERMITIAN = r"ValueError: .*not Hermitian"
NOT_ADJOINT = r"ValueError: .*(rmatvec|adjoint)"
NOT_FINITE = r"ValueError: .*(NaN|not finite)"
NOT_PAIRS = r"ValueError: .*not eigenpairs"
NOT_DEFINITE = r"ValueError: .*not Hermitian positive definite"


def broken_promises(rng, index):
    builders = (
        _not_symmetric, _not_symmetric, _complex_symmetric, _claimed, _indefinite_mass, _mass_not_symmetric,
        _not_finite, _not_finite_later, _wrong_rmatvec, _wrong_rmatvec, _not_pairs, _wrong_vectors, _not_linear,
        _preconditioner, _loss_not_finite, _not_normalised, _other_mass, _wrong_OPinv, _wrong_adjoint_of_OPinv,
    )  # fmt: skip
    return builders[index % len(builders)](rng, index)


def _base(rng, is_complex=None, hermitian=True):
    is_complex = bool(rng.integers(2)) if is_complex is None else is_complex
    n = int(rng.integers(20, 50))
    if hermitian:
        return hermitian_system(rng, n, [3.0, 2.5], is_complex), different(rng, n, 2, is_complex)
    return general_system(rng, n, [3.0, 2.5], is_real=not is_complex, condition=5.0), complex_weights(rng, n, 2)


def _broken(gradient, says, note):
    return Problem(gradient, "say", says=says, note=note)


def _run(f, n_parameters=1):
    return lambda: grad(f)(np.zeros(n_parameters))


def _loss_of(system, loss, solver, A_of, **arguments):
    def f(p):
        w, X = solver(A_of(p), k=2, v0=np.linspace(0.5, 1.5, system.n), **arguments)
        return loss(AUTOGRAD, w, X)

    return _run(f)


def _closure(A, D, p, **functions):
    return ka.LinearOperator(A.shape, lambda v: anp.dot(A, v) + p[0] * anp.dot(D, v), dtype=A.dtype, **functions)


def _not_symmetric(rng, index):
    """eigsh of A + η E: wrong by about η, with residuals that may be small."""
    system, loss = _base(rng)
    eta = 10.0 ** rng.uniform(-4, 0)
    A = system.A + eta * gaussian(rng, system.A.shape, np.iscomplexobj(system.A)) / system.n**0.5
    D = system.dA[0]
    form = ("dense", "closure")[index % 2]
    options = engine(rng, True, explicit=form == "dense")

    def A_of(p):
        return _closure(A, D, p) if form == "closure" else A + p[0] * D

    gradient = _loss_of(system, loss, ka.eigsh, A_of, which="LA", adjoint=options)
    return _broken(gradient, NOT_HERMITIAN, f"not symmetric by {eta:.0e}, {form}, {options.method}")


def _complex_symmetric(rng, index):
    """A = Aᵀ ≠ Aᴴ."""
    system, loss = _base(rng, False)
    A = system.A + 1j * 10.0 ** rng.uniform(-3, 0) * symmetrised(rng.normal(size=system.A.shape)) / system.n**0.5
    gradient = _loss_of(system, loss, ka.eigsh, lambda p: A + p[0] * system.dA[0], which="LA")
    return _broken(gradient, NOT_HERMITIAN, "complex symmetric")


def _claimed(rng, index):
    """True pairs of A, attached with hermitian=True: one real eigenvalue with a unit vector has no residual."""
    system, loss = _base(rng, False, hermitian=False)
    A, D = system.A, symmetrised(system.dA[0])
    w, x = system.w[:1].real, system.V[:, :1].real
    loss = different(rng, system.n, 1, False)
    options = engine(rng, True)

    def f(p):
        return loss(AUTOGRAD, *ka.attach_eigenpairs(A + p[0] * D, w, x, hermitian=True, adjoint=options))

    return _broken(_run(f), NOT_HERMITIAN, f"hermitian=True of a matrix that is not, {options.method}")


def _indefinite_mass(rng, index):
    system, loss = _base(rng)
    n = system.n
    d = np.r_[rng.uniform(0.5, 2, n - 2), -rng.uniform(0.1, 2, 2)]
    Q = np.linalg.qr(gaussian(rng, (n, n), np.iscomplexobj(system.A)))[0]
    M = symmetrised((Q * d) @ Q.conj().T)
    arguments = {"which": "LM", "sigma": 0.77} if rng.random() < 0.5 else {"which": "LM"}
    gradient = _loss_of(system, loss, ka.eigsh, lambda p: system.A + p[0] * system.dA[0], M=M, **arguments)
    return _broken(gradient, NOT_DEFINITE, f"indefinite M, {arguments}")


def _mass_not_symmetric(rng, index):
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    eta = 10.0 ** rng.uniform(-4, 0)
    M = np.eye(system.n) + eta * rng.normal(size=system.A.shape) / system.n**0.5
    solver = ka.eigsh if system.hermitian else ka.eigs
    gradient = _loss_of(system, loss, solver, lambda p: system.A + p[0] * system.dA[0], M=M, which="LM")
    return _broken(gradient, NOT_DEFINITE, f"M not symmetric by {eta:.0e}")


def _not_finite(rng, index):
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    value = float(rng.choice([np.nan, np.inf]))
    spike = np.zeros(system.n)
    spike[int(rng.integers(system.n))] = value

    def A_of(p):
        return ka.LinearOperator(
            system.A.shape, lambda v: anp.dot(system.A, v) * (1 + p[0]) + spike, dtype=system.A.dtype
        )

    solver = ka.eigsh if system.hermitian else ka.eigs
    return _broken(_loss_of(system, loss, solver, A_of), NOT_FINITE, f"{value} in the matvec")


def _not_finite_later(rng, index):
    """A matvec that breaks in the backward pass only."""
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    state = {"factor": 1.0}
    options = ka.Adjoint(method="gmres")
    solver = ka.eigsh if system.hermitian else ka.eigs

    def A_of(p):
        def matvec(v):
            return anp.dot(system.A, v) * state["factor"] + p[0] * anp.dot(system.dA[0], v)

        functions = {} if system.hermitian else {"rmatvec": lambda v: anp.dot(system.A.conj().T, v) * state["factor"]}
        return ka.LinearOperator(system.A.shape, matvec, dtype=system.A.dtype, **functions)

    def f(p):
        w, X = solver(A_of(p), k=2, v0=np.linspace(0.5, 1.5, system.n), adjoint=options)
        state["factor"] = np.nan
        return loss(AUTOGRAD, w, X)

    def gradient():
        state["factor"] = 1.0
        return grad(f)(np.zeros(1))

    return _broken(gradient, NOT_FINITE, "NaN in the adjoint's matvec")


def _wrong_rmatvec(rng, index):
    """The transpose for the adjoint, a sign, a perturbation, a forgotten parameter."""
    kind = str(rng.choice(["transpose", "itself", "sign", "perturbed"]))
    system, loss = _base(rng, kind == "transpose" or None, hermitian=False)
    A, D = system.A, system.dA[0]
    AH = A.conj().T
    eta = 10.0 ** rng.uniform(-4, -1)
    wrong = {
        "transpose": A.T,
        "itself": A,
        "sign": -AH,
        "perturbed": AH + eta * gaussian(rng, A.shape, np.iscomplexobj(A)) / system.n**0.5,
    }[kind]
    form = _closure
    options = engine(rng, False, explicit=False)

    def A_of(p):
        return form(A, D, p, rmatvec=lambda v: anp.dot(wrong, v) + p[0] * anp.dot(D.conj().T, v))

    gradient = _loss_of(system, loss, ka.eigs, A_of, which="LR", adjoint=options)
    return _broken(gradient, NOT_ADJOINT, f"rmatvec {kind} {eta:.0e}, {options.method}")


def _attached(system, loss, w, X, says, note, A=None, **arguments):
    A = system.A if A is None else A

    def f(p):
        pairs = ka.attach_eigenpairs(A + p[0] * system.dA[0], w, X, hermitian=system.hermitian, **arguments)
        return loss(AUTOGRAD, *pairs)

    return _broken(_run(f), says, note)


def _not_pairs(rng, index):
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    eta = 10.0 ** rng.uniform(-4, 0)
    w = system.w[:2] + eta * np.array([1.0, 0.0])
    return _attached(system, loss, w, system.V[:, :2], NOT_PAIRS, f"an eigenvalue wrong by {eta:.0e}")


def _wrong_vectors(rng, index):
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    eta = 10.0 ** rng.uniform(-4, 0)
    X = system.V[:, :2] + eta * gaussian(rng, (system.n, 2), np.iscomplexobj(system.A)) / system.n**0.5
    X = np.linalg.qr(X)[0] if system.hermitian else X / np.linalg.norm(X, axis=0)
    return _attached(system, loss, system.w[:2], X, NOT_PAIRS, f"eigenvectors wrong by {eta:.0e}")


def _not_linear(rng, index):
    """A constant, or a term of second order, added in the matvec."""
    system, loss = _base(rng, False, hermitian=bool(rng.integers(2)))
    A, D = system.A, system.dA[0]
    eta = 10.0 ** rng.uniform(-3, 0)
    affine = bool(rng.integers(2))
    solver = ka.eigsh if system.hermitian else ka.eigs

    def A_of(p):
        def matvec(v):
            extra = eta if affine else eta * v * anp.abs(v)
            return anp.dot(A, v) + p[0] * anp.dot(D, v) + extra

        return ka.LinearOperator(A.shape, matvec, dtype=A.dtype)

    says = r"(ValueError|ArpackNoConvergence|AdjointNoConvergence|ArpackError): "
    return _broken(_loss_of(system, loss, solver, A_of), says, f"not linear by {eta:.0e}, affine {affine}")


def _preconditioner(rng, index):
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    n = system.n
    kind = str(rng.choice(["shape", "nan", "singular"]))
    bad = {
        "shape": lambda V: V[:, :1] if V.shape[1] > 1 else V[: n - 1],
        "nan": lambda V: V * np.nan,
        "singular": lambda V: V * (np.arange(n) % 2)[:, None],
    }[kind]
    options = ka.Adjoint(method="gmres", preconditioner=bad)
    solver = ka.eigsh if system.hermitian else ka.eigs
    gradient = _loss_of(system, loss, solver, lambda p: system.A + p[0] * system.dA[0], adjoint=options)
    says = r"ValueError: .*preconditioner|AdjointNoConvergence: .*did not converge"
    return _broken(gradient, says, f"preconditioner: {kind}")


def _loss_not_finite(rng, index):
    system, _ = _base(rng)

    def f(p):
        with np.errstate(all="ignore"):
            w, X = ka.eigsh(system.A + p[0] * system.dA[0], k=2, which="LA")
            return anp.sum(anp.abs(X) ** 4) / (w[0] - w[0])

    def gradient():
        with np.errstate(all="ignore"):
            return grad(f)(np.zeros(1))

    return _broken(gradient, NOT_FINITE, "a loss that is not finite")


def _not_normalised(rng, index):
    system, loss = _base(rng, hermitian=bool(rng.integers(2)))
    X = system.V[:, :2] * (1 + 10.0 ** rng.uniform(-4, 1))
    return _attached(system, loss, system.w[:2], X, r"ValueError: .*not normalised", "vectors not normalised")


def _other_mass(rng, index):
    """Pairs of the pencil (A, M), attached without M."""
    n, is_complex = int(rng.integers(20, 50)), bool(rng.integers(2))
    system = hermitian_system(rng, n, [3.0, 2.5], is_complex, condition=5.0)
    X = np.linalg.qr(system.V[:, :2])[0]
    return _attached(system, different(rng, n, 2, is_complex), system.w[:2], X, NOT_PAIRS, "pairs of another pencil")


def _wrong_OPinv(rng, index):
    system, loss = _base(rng)
    eta = 10.0 ** rng.uniform(-4, -1)
    inverse = np.linalg.inv(system.A - 3.3 * np.eye(system.n))
    inverse = inverse + eta * symmetrised(gaussian(rng, inverse.shape, np.iscomplexobj(inverse)))
    gradient = _loss_of(system, loss, ka.eigsh, lambda p: _closure(system.A, system.dA[0], p), sigma=3.3, OPinv=inverse)
    says = NOT_PAIRS + r"|ValueError: .*OPinv|AdjointNoConvergence"
    return _broken(gradient, says, f"OPinv wrong by {eta:.0e}")


def _wrong_adjoint_of_OPinv(rng, index):
    """Used for the adjoint only; residuals tell, and another engine may still solve the systems: right or refused."""
    system, loss = _base(rng, hermitian=False)
    inverse = np.linalg.inv(system.A - 3.3 * np.eye(system.n))
    operator = ka.LinearOperator(
        inverse.shape, lambda v: anp.dot(inverse, v), rmatvec=lambda v: anp.dot(inverse, v), dtype=inverse.dtype
    )
    options = ka.Adjoint(method=str(rng.choice(["auto", "shared", "gmres"])))
    gradient = ask(system, np.arange(2), loss, form="closure", options=options, sigma=3.3, OPinv=operator)
    reference = gradient_of_pairs(system, np.arange(2), loss)
    says = NOT_ADJOINT + r"|AdjointNoConvergence: .*did not converge"
    return Problem(gradient, "say", reference, system.error, says, note=f"adjoint of OPinv wrong, {options.method}")
