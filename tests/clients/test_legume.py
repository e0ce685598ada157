"""legume (guided-mode expansion of photonic-crystal slabs): its `eigsh` replaced by ours.

legume has gradients of its own: of a dense `eigh`, exact, and of `eigsh`, by conjugate gradients to SciPy's default
tolerance of 1e-5, whose success it does not look at. Ours take the place of the latter. The imaginary parts of the
frequencies (``compute_im=True``) are left out: there legume adds traced arrays to NumPy arrays in place, which
autograd 1.9 refuses, whatever solves the eigenproblem.
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


def modes(p, solver):
    """Of a slab with two holes, which make the matrix complex; p: radius, position, permittivity."""
    crystal = legume.PhotCryst(legume.Lattice("square"))
    crystal.add_layer(d=0.5, eps_b=12.0)
    crystal.layers[-1].add_shape(legume.Circle(eps=1.0, r=p[0], x_cent=p[1], y_cent=0.1))
    crystal.layers[-1].add_shape(legume.Circle(eps=p[2], r=0.1, x_cent=-0.3, y_cent=-0.3))
    expansion = legume.GuidedModeExp(crystal, gmax=2.1)
    expansion.run(
        kpoints=onp.array([[1.3], [0.7]]), gmode_inds=[0, 1], numeig=3, eig_solver=solver, eig_sigma=0.0,
        compute_im=False, verbose=False,
    )  # fmt: skip
    return expansion.freqs[0], expansion.eigvecs[0]


def frequencies(p, solver):
    return modes(p, solver)[0]


def shape(p, solver):
    _, X = modes(p, solver)
    return np.sum(np.abs(X[:, :2]) ** 4)


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


def test_legumes_own_gradient_of_eigsh_is_the_same_to_its_tolerance():
    expected = grad(shape)(PARAMETERS, "eigh")
    assert onp.linalg.norm(grad(shape)(PARAMETERS, "eigsh") - expected) < 1e-4 * onp.linalg.norm(expected)
