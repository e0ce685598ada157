"""The benchmark of finite elements at a reduced size: its accuracies, and memory for each stored entry."""

import fem
import numpy as np
import pytest


def test_gradients_with_respect_to_a_density_in_every_element():
    small, large = fem.measure(900, differences=False), fem.measure(3600)
    fem.check(small)
    fem.check(large)
    assert large.lu_error < 1e-9
    assert large.bytes_per_entry < 1.1 * small.bytes_per_entry


def test_the_checks_of_the_benchmark_can_fail():
    good = fem.measure(400, differences=False)
    fem.check(good)
    for worse in ({"frequency_error": 1e-6}, {"lu_error": 1e-6}, {"bytes_per_entry": 1e4}):
        with pytest.raises(AssertionError):
            fem.check(good._replace(**worse))
    with pytest.raises(AssertionError):
        fem.check(good._replace(difference_error=1e-6, difference_uncertainty=1e-8))


def test_the_references_see_a_wrong_gradient():
    """The bordered systems of another density are not those of this one."""
    membrane, other = fem.Membrane(400), fem.Membrane(400)
    other.density = 1.01 * other.density**2
    a, b = fem.energy_gradient_by_lu(membrane), fem.energy_gradient_by_lu(other)
    assert fem.relative(a, b) > 1e-2
    assert not np.allclose(fem.frequency_gradients(membrane), fem.frequency_gradients(other), rtol=1e-3)
