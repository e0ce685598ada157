"""Compiled programs: nothing hangs, nothing is moved or merged, errors and warnings come out."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.export  # noqa: E402, F811
import jax.numpy as jnp  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402
from krylov_adj.jax import staging  # noqa: E402
from krylov_adj.jax.reading import read  # noqa: E402

jax.config.update("jax_enable_x64", True)

N = 20
D = jnp.linspace(0.0, 3.0, N) ** 2
C = jnp.cos(jnp.arange(N))


def operator(p):
    return kj.LinearOperator((N, N), lambda x: 2 * x - jnp.roll(x, 1) - jnp.roll(x, -1) + p * (D * x))


def f(p):
    w, X = kj.eigsh(operator(p), k=2, which="SA")
    return w[0] + jnp.sum(C[:, None] * X**2)


def test_loops_checkpoints_and_linear_parts():
    g = float(jax.grad(f)(1.0))
    assert float(jax.jit(jax.grad(f))(1.0)) == pytest.approx(g, rel=1e-10)
    scanned = jax.jit(jax.grad(lambda p: jnp.sum(jax.lax.scan(lambda c, q: (c, f(p * q)), 0.0, jnp.ones(2))[1])))
    assert float(scanned(1.0)) == pytest.approx(2 * g, rel=1e-10)
    # Loop-invariant: XLA may move a callback without side effects out of the loop.
    looped = jax.jit(lambda p: jax.lax.fori_loop(0, 3, lambda i, s: s + jax.grad(f)(p), 0.0))
    assert float(looped(1.0)) == pytest.approx(3 * g, rel=1e-10)
    for again in (jax.checkpoint, jax.remat):
        assert float(jax.grad(again(f))(1.0)) == pytest.approx(g, rel=1e-10)
        assert float(jax.jit(jax.grad(again(f)))(1.0)) == pytest.approx(g, rel=1e-10)
    value, linear = jax.linearize(f, 1.0)
    assert float(linear(1.0)) == pytest.approx(g, rel=1e-10)
    assert float(jax.jit(linear)(2.0)) == pytest.approx(2 * g, rel=1e-10)
    assert float(value) == pytest.approx(float(f(1.0)))


def test_signs_are_the_same_when_a_call_runs_again():
    """A loss that reads signs, and a generator for v0, which is drawn from once."""

    def signed(p, rng):
        return kj.eigsh(operator(p), k=1, which="SA", rng=rng)[1][3, 0]

    for staged in (False, True):
        g = jax.grad(lambda p: signed(p, np.random.default_rng(1)))(1.0)
        again = jax.grad(jax.checkpoint(lambda p: signed(p, np.random.default_rng(1))))
        assert float((jax.jit(again) if staged else again)(1.0)) == pytest.approx(float(g), rel=1e-8)


def test_arguments_and_traced_shifts():
    def lowest(a, s, v0):
        A = kj.csr_array((a * D, np.arange(N), np.arange(N + 1)), (N, N))
        return kj.eigsh(A, k=1, sigma=s, v0=v0)[0][0]

    v0 = jnp.ones(N)
    for run in (lowest, jax.jit(lowest)):
        for s in (2.1, 6.0):
            near = D[jnp.argmin(jnp.abs(D - s))]
            assert float(run(1.0, s, v0)) == pytest.approx(float(near))
            assert float(jax.grad(run)(1.0, s, v0)) == pytest.approx(float(near))
            assert float(jax.grad(run, argnums=1)(1.0, s, v0)) == 0
    with pytest.raises(TypeError, match="k is traced"):
        jax.jit(lambda k: kj.eigsh(operator(1.0), k=k))(2)
    assert jax.jit(lambda: kj.eigsh(operator(1.0), k=3, which="SA", return_eigenvectors=False))().shape == (3,)


def test_shapes_are_known_before_anything_runs():
    w, X = jax.eval_shape(lambda p: kj.eigs(operator(p), k=3), 1.0)
    assert (w.shape, w.dtype, X.shape, X.dtype) == ((3,), np.complex128, (N, 3), np.complex128)
    u, s, vh = jax.eval_shape(lambda p: kj.svds(p * jnp.ones((7, 5)), k=2), jnp.float32(1.0))
    assert (u.shape, s.shape, vh.shape) == ((7, 2), (2,), (2, 5))


def test_three_programs_in_flight():
    run, found = jax.jit(jax.grad(f)), {}

    def work(i):
        found[i] = [float(run(1.0 + 0.1 * i)) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert found == {i: [pytest.approx(float(jax.grad(f)(1.0 + 0.1 * i)), rel=1e-10)] * 3 for i in range(3)}


HANGS = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import jax, jax.numpy as jnp
import krylov_adj.jax as kj
def f(p):
    A = kj.LinearOperator((200, 200), lambda x: jnp.linspace(0, 9, 200) * x - p * jnp.roll(x, 1) - p * jnp.roll(x, -1))
    B = kj.LinearOperator((200, 200), lambda x: jnp.linspace(1, 7, 200) * x - p * jnp.roll(x, 2) - p * jnp.roll(x, -2))
    return kj.eigsh(A, k=2, which="SA")[0][0] * kj.eigsh(B, k=2, which="SA")[0][1]
run = jax.jit(jax.value_and_grad(f))
found = [run(1.0 + 0.01 * i) for i in range(4)]  # dispatched asynchronously, two conversations in each
print(sum(float(g) for _, g in found), jax.grad(f)(1.0))
"""


def test_nothing_hangs_on_one_core():
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_errors_out_of_programs():
    run = jax.jit(lambda p: kj.eigsh(p * jnp.triu(jnp.ones((9, 9))), k=1)[0])
    with pytest.raises(jax.errors.JaxRuntimeError, match="ValueError"):
        run(1.0).block_until_ready()
    with pytest.raises(ValueError, match="Hermitian"), kj.errors():
        run(1.0).block_until_ready()
    J = jnp.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 5.0]])

    def defective(p):
        A = kj.LinearOperator((3, 3), lambda x: J @ x + p * jnp.roll(x, 1) * jnp.array([0.0, 1.0, 0.0]))
        return jnp.real(kj.eigs(A, k=1, which="SR")[0][0])

    with pytest.raises(kj.DefectiveEigenvalueError):
        jax.grad(defective)(0.0)
    with pytest.raises(kj.DefectiveEigenvalueError), kj.errors():
        jax.jit(jax.grad(defective))(0.0).block_until_ready()
    with pytest.raises(ZeroDivisionError), kj.errors():
        raise ZeroDivisionError  # what is not ours passes


def test_reports_come_with_errors_of_programs():
    A = jnp.diag(jnp.array([1.0, 1.0, 2.0, 3.0]))

    def cut(p):
        return kj.eigsh(p * A, k=1, which="SA")[1][0, 0] ** 2

    for run in (jax.grad(cut), jax.jit(jax.grad(cut))):
        with pytest.raises(kj.AdjointNoConvergence) as caught, kj.errors():
            jax.block_until_ready(run(1.0))
        assert list(caught.value.report.failed) == [0]


def test_programs_cannot_be_exported():
    with pytest.raises(NotImplementedError, match="krylov_adj cannot be exported"):
        jax.export.export(jax.jit(f))(1.0)


def test_an_aborted_program_leaves_no_waiting_thread(monkeypatch):
    monkeypatch.setattr(staging, "PATIENCE", 0.2)
    monkeypatch.setattr(staging, "TIMES", 0.0)

    def fails(v):
        raise OSError("the user's own")

    def matvec(x):
        return jax.pure_callback(fails, x, x)

    run = jax.jit(lambda: kj.eigsh(kj.LinearOperator((N, N), matvec, rmatvec=matvec), k=1)[0])
    with pytest.raises(jax.errors.JaxRuntimeError):
        run().block_until_ready()
    for thread in threading.enumerate():
        if thread.name.startswith("krylov_adj"):
            thread.join(timeout=10)
            assert not thread.is_alive()
    assert not staging.Conversation.running


def test_the_same_code_is_compiled_once():
    def code(p):
        return read(operator(p))[0]

    assert code(jnp.float64(1.0)) is code(jnp.float64(2.0))
    assert code(1.0) is code(1.0)
    assert code(1.0) is not code(2.0)  # a number of Python's is a literal
