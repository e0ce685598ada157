"""scikit-fem: frequencies of plates and drums, differentiated with respect to a thickness in every element.

scikit-fem computes the element matrices once; with the thickness they are scaled, and
`krylov_adj.assemble` puts them together.
"""

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad, jacobian

import krylov_adj as ka

skfem = pytest.importorskip("skfem")
helpers = pytest.importorskip("skfem.helpers")

POISSON = 0.3


@skfem.BilinearForm
def bending(u, v, _):
    """Of a Kirchhoff plate of unit flexural rigidity."""
    Hu, Hv = helpers.dd(u), helpers.dd(v)
    return (1 - POISSON) * helpers.ddot(Hu, Hv) + POISSON * helpers.trace(Hu) * helpers.trace(Hv)


@skfem.BilinearForm
def tension(u, v, _):
    return helpers.dot(helpers.grad(u), helpers.grad(v))


@skfem.BilinearForm
def inertia(u, v, _):
    return u * v


class Vibration:
    """K(t) x = λ M(t) x, clamped along the whole boundary."""

    def __init__(self, stiffness, element, power, refinements=3):
        # Longer than wide: no two frequencies coincide.
        mesh = skfem.MeshTri.init_tensor(*(onp.linspace(0, end, 2**refinements + 1) for end in (1.0, 0.8)))
        self.basis = skfem.Basis(mesh, element, intorder=4)
        self.forms, self.power = (stiffness, inertia), power
        self.local = [form.elemental(self.basis).tolocal() for form in self.forms]  # (elements, m, m)
        number = onp.full(self.basis.N, -1)
        self.free = self.basis.complement_dofs(self.basis.get_dofs())
        number[self.free] = onp.arange(self.free.size)
        self.dofs, self.n = number[self.basis.element_dofs.T], self.free.size
        self.thickness = 1.0 + 0.2 * onp.sin(onp.arange(mesh.nelements))

    def frequencies(self, t, vectors=False):
        t = t[:, None, None]
        scaled = t**self.power * self.local[0], t * self.local[1]
        K, M = (ka.assemble(matrices, self.dofs, (self.n, self.n)) for matrices in scaled)
        w, X = ka.eigsh(K, k=4, M=M, sigma=0.0, v0=onp.ones(self.n))
        return (np.sqrt(w), X) if vectors else np.sqrt(w)


CASES = {
    "plate": (bending, skfem.ElementTriMorley, 3),  # rigidity grows like t³
    "drum": (tension, skfem.ElementTriP1, 0),  # a membrane under constant tension
}


@pytest.fixture(params=CASES, scope="module")
def vibration(request):
    form, element, power = CASES[request.param]
    return Vibration(form, element(), power)


def test_the_matrices_are_scikit_fems(vibration):
    """At thickness one, assembled by scikit-fem; and its own solution of the eigenproblem."""
    K, M = (form.assemble(vibration.basis) for form in vibration.forms)
    for matrix, local in zip((K, M), vibration.local, strict=True):
        ours = ka.assemble(local, vibration.dofs, (vibration.n, vibration.n)).explicit()
        theirs = matrix[vibration.free][:, vibration.free]
        assert abs(ours - theirs).max() <= 1e-13 * abs(theirs).max()
    clamped = skfem.condense(K, M, D=vibration.basis.get_dofs())
    w, _ = skfem.solve(*clamped, solver=skfem.solver_eigen_scipy_sym(k=4, sigma=0.0))
    ones = onp.ones(vibration.thickness.size)
    onp.testing.assert_allclose(vibration.frequencies(ones), onp.sqrt(w), rtol=1e-10)


def test_gradients_with_respect_to_the_thickness(vibration):
    """Of frequencies and of a mode's shape, against differences with an estimate of their error; and exactly
    scaled: ω(s t) = s^((p − 1)/2) ω(t)."""
    t = vibration.thickness
    J, w = jacobian(vibration.frequencies)(t), vibration.frequencies(t)
    onp.testing.assert_allclose(J @ t, 0.5 * (vibration.power - 1) * w, rtol=1e-9)

    def loss(t):
        w, X = vibration.frequencies(t, vectors=True)
        return w[0] * w[3] / w[1] + np.sum(X[::3, 0] ** 2) / np.sum(X[:, 0] ** 2)

    check = ka.check_gradient(loss, t, rtol=1e-7)
    assert check.uncertainty < 1e-6 * abs(check.derivative)
    assert ka.check_gradient(loss, t, order=2, rtol=1e-5).error < 1e-5


def test_a_step_along_the_gradient_raises_the_tone(vibration):
    t = vibration.thickness
    g = grad(lambda t: vibration.frequencies(t)[0])(t)
    step = 1e-3 / onp.abs(g).max()
    assert vibration.frequencies(t + step * g)[0] > vibration.frequencies(t)[0] > vibration.frequencies(t - step * g)[0]
