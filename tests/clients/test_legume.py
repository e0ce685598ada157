"""legume (guided-mode expansion of photonic-crystal slabs): its `eigsh` replaced by ours.

legume has gradients of its own: of a dense `eigh`, exact, and of `eigsh`, by conjugate gradients to SciPy's default
tolerance of 1e-5, whose success it does not look at. Ours take the place of the latter. For the radiation losses
(``compute_im=True``) legume adds traced arrays to NumPy arrays in place, which autograd 1.9 refuses whatever solves the
eigenproblem; there its `zeros` are given an addition that autograd knows.
"""

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad, jacobian

import krylov_adj as ka

legume = pytest.importorskip("legume")

PARAMETERS = onp.array([0.2, 0.13, 3.0])


@pytest.fixture(autouse=True)
def _autograd():
    legume.set_backend("autograd")
    yield
    legume.set_backend("numpy")


@pytest.fixture
def ours(monkeypatch):
    """legume's backend with our function, and the calls that it got."""
    calls = []

    def eigsh(matrix, **arguments):
        calls.append((onp.iscomplexobj(getattr(matrix, "_value", matrix)), sorted(arguments)))
        return ka.eigsh(matrix, v0=onp.ones(matrix.shape[0]), **arguments)

    monkeypatch.setattr(type(legume.backend), "eigsh", staticmethod(eigsh))
    return calls


class Accumulator(onp.ndarray):
    """``total += traced`` as ``total = total + traced``."""

    def __iadd__(self, other):
        return np.add(onp.asarray(self), other)


@pytest.fixture
def sums_of_traced_arrays(monkeypatch):
    def zeros(*args, **kwargs):
        made = onp.zeros(*args, **kwargs)
        return made.view(Accumulator) if made.dtype.kind == "c" and made.ndim == 1 else made

    monkeypatch.setattr(type(legume.backend), "zeros", staticmethod(zeros))


def expand(p, solver, k=(1.3, 0.7), gmax=1.1, **arguments):
    """Of a slab with two holes, which make the matrix complex; p: radius, position, permittivity."""
    crystal = legume.PhotCryst(legume.Lattice("square"))
    crystal.add_layer(d=0.5, eps_b=12.0)
    crystal.layers[-1].add_shape(legume.Circle(eps=1.0, r=p[0], x_cent=p[1], y_cent=0.1))
    crystal.layers[-1].add_shape(legume.Circle(eps=p[2], r=0.1, x_cent=-0.3, y_cent=-0.3))
    expansion = legume.GuidedModeExp(crystal, gmax=gmax)
    options = {"gmode_inds": [0, 1], "numeig": 3, "compute_im": False, "verbose": False, **arguments}
    expansion.run(kpoints=onp.array(k)[:, None], eig_solver=solver, eig_sigma=0.0, **options)
    return expansion


def frequencies(p, solver):
    return expand(p, solver).freqs[0]


def shape(p, solver):
    return np.sum(np.abs(expand(p, solver).eigvecs[0][:, :2]) ** 4)


def losses(p, solver):
    """Imaginary parts of frequencies above the light line: functions of the eigenvectors."""
    modes = expand(p, solver, k=(0.1, 0.05), numeig=4, compute_im=True)
    return 1e3 * np.sum(modes.freqs_im[0][1:4])


def test_frequencies(ours):
    expected = jacobian(frequencies)(PARAMETERS, "eigh")
    onp.testing.assert_allclose(frequencies(PARAMETERS, "eigsh"), frequencies(PARAMETERS, "eigh"), rtol=1e-11)
    onp.testing.assert_allclose(jacobian(frequencies)(PARAMETERS, "eigsh"), expected, rtol=1e-9)
    assert ours == [(True, ["k", "sigma"])] * 2


def test_modes(ours):
    """The exact gradient of the dense solver, where legume's own for eigsh has lost digits."""
    expected = grad(shape)(PARAMETERS, "eigh")
    onp.testing.assert_allclose(grad(shape)(PARAMETERS, "eigsh"), expected, rtol=1e-8)
    assert len(ours) == 1


@pytest.mark.usefixtures("sums_of_traced_arrays")
def test_radiation_losses(ours):
    expected = grad(losses)(PARAMETERS, "eigh")
    assert losses(PARAMETERS, "eigh") > 1e-2
    onp.testing.assert_allclose(losses(PARAMETERS, "eigsh"), losses(PARAMETERS, "eigh"), rtol=1e-9)
    onp.testing.assert_allclose(grad(losses)(PARAMETERS, "eigsh"), expected, rtol=1e-7)
    assert len(ours) == 2


def test_legumes_own_gradient_of_eigsh_is_the_same_to_its_tolerance():
    expected = grad(shape)(PARAMETERS, "eigh")
    assert onp.linalg.norm(grad(shape)(PARAMETERS, "eigsh") - expected) < 1e-4 * onp.linalg.norm(expected)
