"""What PyTorch does with functions: transforms, modes, hooks, modules. Right, or refused with a reason of ours."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

from torch import nn  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.func import functional_call, grad, hessian, jacfwd, jvp, vmap  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import krylov_adj.torch as kt  # noqa: E402

N, DOUBLE = 30, torch.float64


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


B = random(N, N)
B = B + B.T
V0 = torch.linspace(0, 1, N, dtype=DOUBLE)


def laplacian(x):
    padded = nn.functional.pad(x, (1, 1))
    return 2 * x - padded[:-2] - padded[2:]


def pairs(V, **arguments):
    A = kt.LinearOperator((N, N), lambda x: laplacian(x) + V * x, dtype=V.dtype)
    return kt.eigsh(A, k=2, which="SA", **arguments)


def loss_of(w, X):
    return w.sum() + (X[:, 0] ** 4).sum()


def loss(V):
    return loss_of(*pairs(V))


def traced():
    return V0.clone().requires_grad_()


def small(v):
    w, X = kt.eigsh(torch.diag(v) + B[:6, :6], k=2, which="SA")
    return w, kt.canonical_phase(X)


SMALL = torch.arange(6.0, dtype=DOUBLE)


# ---- gradcheck, batches ------------------------------------------------------------------------


def test_gradcheck():
    v = SMALL.clone().requires_grad_()
    assert torch.autograd.gradcheck(small, v, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(small, v, check_fwd_over_rev=True)


def test_older_batches_are_refused():
    v = SMALL.clone().requires_grad_()
    w = small(v)[0]
    with pytest.raises(NotImplementedError, match="is_grads_batched"):
        torch.autograd.grad(w, v, torch.eye(2, dtype=DOUBLE), is_grads_batched=True)
    for strategy in ("reverse-mode", "forward-mode"):
        with pytest.raises(NotImplementedError, match="vectorize"):
            torch.autograd.functional.jacobian(lambda v: small(v)[0], SMALL, vectorize=True, strategy=strategy)


def test_forward_mode_inside_of_forward_mode_is_refused():
    with pytest.raises(NotImplementedError, match="forward mode"):
        jacfwd(jacfwd(loss))(V0)


def test_a_batch_of_operators_and_an_empty_one():
    batch = torch.stack([V0, 2 * V0, V0 + 1])
    expected = torch.stack([grad(loss)(V) for V in batch])
    assert torch.equal(vmap(grad(loss))(batch), expected)
    with pytest.raises(ValueError, match="batch of size 0"):
        vmap(loss)(batch[:0])
    with pytest.raises(TypeError, match="sigma is a batch"):
        vmap(lambda s: kt.eigsh(B, k=2, sigma=s)[0])(torch.ones(2))


# ---- in-place changes, modes, hooks, threads ---------------------------------------------------


def test_a_parameter_that_has_been_changed_in_place():
    V = traced()
    w, X = pairs(V)
    with torch.no_grad():
        V += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w[0].backward()


def test_a_constant_that_has_been_changed_in_place():
    W, p = V0.clone(), torch.ones((), dtype=DOUBLE, requires_grad=True)
    w, X = kt.eigsh(kt.LinearOperator((N, N), lambda x: p * W * x + B @ x, dtype=DOUBLE), k=2, which="SA")
    W += 1
    with pytest.raises(RuntimeError, match="changed in place since the forward pass"):
        loss_of(w, X).backward()


def test_a_graph_that_is_retained():
    V = traced()
    out = loss(V)
    first = torch.autograd.grad(out, V, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(out, V)[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode):
    expected = pairs(V0)[0]
    with mode():
        V = V0.clone()
        w = pairs(V)[0]
        assert not w.requires_grad
        assert torch.equal(w, expected)
        kt.eigs(kt.LinearOperator((N, N), lambda x: V * x + x.roll(1), dtype=DOUBLE), k=2)  # which is transposed


def test_threads():
    expected, found, errors = [grad(loss)(V0 + i) for i in range(4)], [None] * 4, []

    def run(i):
        try:
            V = (V0 + i).requires_grad_()
            loss(V).backward()
            found[i] = V.grad
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(found, expected, strict=True))


def test_hooks_on_saved_tensors():
    V = traced()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        (g,) = torch.autograd.grad(loss(V), V, create_graph=True)
        (h,) = torch.autograd.grad(g[3], V)
    assert torch.allclose(g, grad(loss)(V0), rtol=1e-12)
    assert torch.allclose(h, hessian(loss)(V0)[3], rtol=1e-8)


def test_checkpoint():
    """A vector's entry, whose sign would be another one with a random start."""

    def entry(V, rng=None):
        return pairs(V, rng=rng)[1][3, 0]

    V = traced()
    expected = torch.autograd.grad(entry(V), V)[0]
    assert torch.equal(torch.autograd.grad(checkpoint(entry, V, use_reentrant=False), V)[0], expected)
    checkpoint(entry, V, use_reentrant=True).backward()
    assert torch.equal(V.grad, expected)
    found = torch.autograd.grad(checkpoint(entry, V, 5, use_reentrant=False), V)[0]  # an integer begins anew
    assert torch.allclose(found.abs(), expected.abs(), rtol=1e-8)


def test_a_checkpoint_with_random_numbers_that_go_on_is_an_error():
    """In silence the sign of the second run would be taken for that of the first."""
    rng, V = np.random.default_rng(0), traced()
    with pytest.raises(RuntimeError, match="not those of the forward pass"):  # noqa: PT012
        for _ in range(20):
            out = checkpoint(lambda V: pairs(V, rng=rng)[1][3, 0] ** 3, V, use_reentrant=False)
            out.backward()


def test_autocast_keeps_precision():
    V = V0.float().requires_grad_()
    w, X = kt.eigsh(torch.diag(V) + B.float(), k=2, which="SA")
    expected = torch.autograd.grad(loss_of(w, X), V)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        A = torch.diag(V) + B.float()
        w, X = kt.eigsh(kt.LinearOperator((N, N), lambda x: A @ x, dtype=torch.float32), k=2, which="SA")
        found = torch.autograd.grad(loss_of(w, X), V)[0]
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(TypeError, match="bfloat16"):
        kt.eigsh(B.bfloat16(), k=2)


# ---- programs that are traced ------------------------------------------------------------------


def test_programs_that_would_keep_the_pairs_are_refused():
    with pytest.raises(NotImplementedError, match="make_fx"):
        make_fx(lambda V: pairs(V)[0])(V0)
    with pytest.raises(TypeError, match="no values"):
        kt.eigsh(torch.zeros(N, N, device="meta"), k=2)


def test_compiled_functions_break_the_graph():
    def f(V):
        return (pairs(V * 2)[0] * 3).sum()

    V = traced()
    expected = torch.autograd.grad(f(V), V)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        found = torch.autograd.grad(torch.compile(f, backend="eager")(V), V)[0]
    assert torch.equal(found, expected)


def test_scripted_modules_and_own_functions_are_refused():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, p, x):
            ctx.save_for_backward(p, x)
            return p * x

        @staticmethod
        def backward(ctx, g):
            p, x = ctx.saved_tensors
            return g * x, g * p

    class Diagonal(nn.Module):
        def __init__(self):
            super().__init__()
            self.V = nn.Parameter(V0.clone())

        def forward(self, x):
            return self.V * x

    V = traced()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that scripts are deprecated
        scripted = torch.jit.script(Diagonal())
    for matvec in (scripted, lambda x: Square.apply(V, x)):
        with pytest.raises(TypeError, match="PyTorch does not show"):
            kt.eigsh(kt.LinearOperator((N, N), matvec, dtype=DOUBLE), k=2)


# ---- modules -----------------------------------------------------------------------------------


class Hamiltonian(nn.Module):
    def __init__(self):
        super().__init__()
        self.V = nn.Parameter(V0**2)
        self.register_buffer("scale", torch.tensor(2.0, dtype=DOUBLE))

    def forward(self):
        return loss_of(*pairs(self.scale * self.V))


def test_modules_and_functional_call():
    module = Hamiltonian()
    module().backward()
    expected = grad(lambda V: loss(2 * V))
    assert torch.allclose(module.V.grad, expected(V0**2), rtol=1e-12)
    other = (V0 - 0.3).abs()

    def call(V):
        return functional_call(module, {"V": V}, ())

    assert torch.allclose(grad(call)(other), expected(other), rtol=1e-12)  # when the call has ended
    assert torch.allclose(hessian(call)(other), hessian(lambda V: loss(2 * V))(other), rtol=1e-8, atol=1e-10)
    V = other.clone().requires_grad_()
    call(V).backward()
    assert torch.allclose(V.grad, expected(other), rtol=1e-12)


def test_numbers_that_change_before_the_backward_pass():
    factor, V = [2.0], traced()
    w, X = kt.eigsh(
        kt.LinearOperator((N, N), lambda x: laplacian(x) + factor[0] * V * x, dtype=DOUBLE), k=2, which="SA"
    )
    factor[0] = 3.0
    loss_of(w, X).backward()
    assert torch.allclose(V.grad, grad(lambda V: loss(2 * V))(V0), rtol=1e-12)


def test_a_module_that_is_the_operator():
    layer = nn.Linear(N, N, bias=False, dtype=DOUBLE)
    w, X = kt.eigs(kt.LinearOperator((N, N), layer), k=2)
    (torch.abs(w) ** 2).sum().backward()
    weight = layer.weight.detach().clone().requires_grad_()
    w = kt.eigs(weight, k=2)[0]
    (torch.abs(w) ** 2).sum().backward()
    assert torch.allclose(layer.weight.grad, weight.grad, atol=1e-10)


def test_operators_are_copied_and_pickled():
    layer = nn.Linear(N, N, bias=False, dtype=DOUBLE)
    A = kt.LinearOperator((N, N), layer, dtype=DOUBLE)
    S = kt.csr_array((V0, np.arange(N), np.arange(N + 1)), (N, N))
    for twin in (copy.deepcopy(A), pickle.loads(pickle.dumps(A))):
        assert torch.equal(twin @ V0, A @ V0)
    for twin in (copy.deepcopy(S), pickle.loads(pickle.dumps(S))):
        assert torch.equal(twin @ V0, S @ V0)


# ---- what a matvec may do ----------------------------------------------------------------------


def dense_loss(V):
    return loss_of(*kt.eigsh(torch.diag(V) + B, k=2, which="SA"))


def test_a_sparse_matrix_inside_of_a_matvec():
    def f(V):
        S = kt.csr_array((V, np.arange(N), np.arange(N + 1)), (N, N))
        return loss_of(*kt.eigsh(kt.LinearOperator((N, N), lambda x: S @ x + B @ x, dtype=DOUBLE), k=2, which="SA"))

    assert torch.allclose(grad(f)(V0), grad(dense_loss)(V0), atol=1e-12)
    assert torch.allclose(hessian(f)(V0), hessian(dense_loss)(V0), atol=1e-10)


def test_solving_inside_of_a_matvec():
    def f(V):
        A = torch.diag(V) + B + 30 * torch.eye(N, dtype=DOUBLE)
        return kt.eigsh(kt.LinearOperator((N, N), lambda x: kt.solve(A, x), dtype=DOUBLE), k=1, which="LM")[0].sum()

    def direct(V):
        return 1 / (kt.eigsh(torch.diag(V) + B, k=1, which="SA")[0] + 30).sum()

    assert torch.allclose(grad(f)(V0), grad(direct)(V0), atol=1e-10)


def test_transforms_inside_of_a_matvec():
    """Products with a Hessian; their parameter carries a derivative."""

    def f(p):
        def matvec(x):
            return jvp(grad(lambda t: (p * t**4).sum() + t @ B @ t / 2), (V0,), (x,))[1]

        return kt.eigsh(kt.LinearOperator((N, N), matvec, dtype=DOUBLE), k=1, which="SA")[0][0]

    def direct(p):
        return kt.eigsh(torch.diag(12 * p * V0**2) + B, k=1, which="SA")[0][0]

    p = torch.ones((), dtype=DOUBLE)
    assert torch.allclose(grad(f)(p), grad(direct)(p), atol=1e-10)


def test_indices_and_masks_inside_of_a_matvec():
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    back = torch.argsort(order)

    def f(V):
        mask = torch.arange(N) % 2 == 0  # made inside of the transform
        A = kt.LinearOperator(
            (N, N), lambda x: torch.where(mask, V * x, 2 * V * x) + (B @ x[order])[back], dtype=DOUBLE
        )
        return loss_of(*kt.eigsh(A, k=2, which="SA"))

    def direct(V):
        P = torch.eye(N, dtype=DOUBLE)[order]
        A = torch.diag(torch.where(torch.arange(N) % 2 == 0, V, 2 * V)) + P.T @ B @ P
        return loss_of(*kt.eigsh(A, k=2, which="SA"))

    expected, second = grad(direct)(V0), hessian(direct)(V0)
    assert torch.allclose(grad(f)(V0), expected, atol=1e-12)
    assert torch.allclose(hessian(f)(V0), second, atol=1e-10)
    assert torch.allclose(vmap(grad(f))(torch.stack([V0, V0]))[1], expected, atol=1e-12)


def test_forward_mode_outside_of_transforms():
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(loss(forward_ad.make_dual(V0, V0))).tangent
    assert torch.allclose(found, grad(loss)(V0) @ V0, rtol=1e-10)


def test_a_matvec_that_keeps_memory_of_its_own():
    out, V = torch.empty(N, dtype=DOUBLE), traced()

    def matvec(x):
        out.copy_(B @ x)
        return out.clone() + V * x

    w, X = kt.eigsh(kt.LinearOperator((N, N), matvec, dtype=DOUBLE), k=2, which="SA")
    found = torch.autograd.grad(w.sum(), V)[0]
    assert torch.allclose(found, grad(lambda V: kt.eigsh(torch.diag(V) + B, k=2, which="SA")[0].sum())(V0), atol=1e-10)


@pytest.mark.parametrize(
    ("matvec", "error", "message"),
    [
        (lambda x: x[:-1], ValueError, "returned shape"),
        (lambda x: x.numpy(), TypeError, "expected a tensor"),
        (lambda x: 1j * x, TypeError, "complex values"),
        (lambda x: x.float(), TypeError, "float32"),
        (lambda x: x * float("nan"), ValueError, "NaN"),
        (lambda x: x.roll(1), ValueError, "Hermitian"),
    ],
)
def test_a_wrong_matvec(matvec, error, message):
    with pytest.raises(error, match=message):
        kt.eigsh(kt.LinearOperator((N, N), matvec, dtype=DOUBLE), k=2)


PULLED = {
    "dense": lambda A, V: kt.eigsh(A + torch.diag(V), k=2, which="SA", v0=np.ones(8))[0],
    "closure": lambda A, V: kt.eigsh(
        kt.LinearOperator((8, 8), lambda x: A @ x + V * x, dtype=A.dtype), k=2, which="SA", v0=np.ones(8)
    )[0],
    "csr_array": lambda A, V: kt.eigsh(
        kt.csr_array((torch.diag(A) + V, np.arange(8), np.arange(9)), (8, 8)), k=2, sigma=0.0
    )[0],
    "solve": lambda A, V: kt.solve(A + torch.diag(V), torch.ones(8, dtype=A.dtype)),
    "subspace": lambda A, V: kt.invariant_subspace(A + torch.diag(V), 2, which="SA", hermitian=True)[1].diagonal(),
}


@pytest.mark.parametrize("kind", PULLED)
def test_pullbacks_that_are_called_after_their_transform(kind):
    """`torch.func.vjp` hands out a function; when it is called, the transform that it belongs to has ended."""
    A, V = torch.diag(torch.arange(1.0, 9.0, dtype=torch.float64)), torch.linspace(0, 0.1, 8, dtype=torch.float64)

    def f(V):
        return (PULLED[kind](A, V) ** 2).sum()

    value, pull = torch.func.vjp(f, V)
    g = torch.func.grad(f)(V)
    assert float(torch.max(torch.abs(g))) > 0.1
    torch.testing.assert_close(pull(torch.ones_like(value))[0], g, rtol=1e-12, atol=1e-14)
    h = torch.func.jacrev(lambda V: torch.func.vjp(f, V)[1](torch.ones_like(value))[0])(V)
    torch.testing.assert_close(h, torch.func.hessian(f)(V), rtol=1e-10, atol=1e-12)
    of_g = torch.func.vjp(torch.func.grad(f), V)[1]
    torch.testing.assert_close(of_g(V)[0], h @ V, rtol=1e-10, atol=1e-12)
