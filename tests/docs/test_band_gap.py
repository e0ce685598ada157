"""The linear programs of examples/band_gap.py keep what they promise.

Without symmetry they need cuts, which the crystals of the example do not.
"""

from types import SimpleNamespace

import band_gap
import numpy as np
import pytest
from helpers import crystals
from helpers.crystals import (
    AIR,
    CORNERS,
    KEPT,
    SILICON,
    Crystal,
    draw_noise,
    relative_gap,
    relative_width,
    screen,
    solve_program,
    take_spans,
)


@pytest.fixture(scope="module")
def crystal():
    """Without symmetry: 64 permittivities, wave vectors of no symmetry besides Γ, X and M."""
    wave_vectors = np.concatenate([np.random.default_rng(1).uniform(-np.pi, np.pi, (6, 2)), CORNERS])
    return Crystal(8, 3, wave_vectors, symmetric=False)


@pytest.fixture(scope="module")
def start(crystal):
    x = 0.5 * (draw_noise(crystal, 0) + 5.0)
    return x, crystal.bands(x)


def test_bands_that_coincide_are_orthonormal():
    """All permittivities the same, plane waves: λ = |k + G|²/ε, of which seven coincide in groups at Γ."""
    crystal = Crystal(8, 3, CORNERS)
    for w, E in crystal.bands(np.full(crystal.size, 2.0)):
        np.testing.assert_allclose(2.0 * E.conj().T @ E, np.eye(7), atol=1e-10)
        assert np.min(np.diff(w)) < 1e-9 * w[-1]


def test_a_short_step_brings_what_is_promised(crystal, start):
    x, bands = start
    before = relative_width(crystal.edges(bands))
    for trust, accuracy in ((1e-2, 1e-3), (1e-3, 1e-4)):  # first order
        there, promised, _ = solve_program(
            take_spans(crystal, bands), np.maximum(AIR, x - trust), np.minimum(SILICON, x + trust)
        )
        assert np.max(np.abs(there - x)) < trust * (1 + 1e-6)
        gained = relative_width(crystal.edges(crystal.bands(there))) - before
        assert gained > 0
        assert gained == pytest.approx(promised - before, rel=accuracy)


def test_cuts_make_the_matrix_inequalities_hold(crystal, start):
    x, bands = start
    spans = take_spans(crystal, bands)
    low, high = np.full(x.size, AIR), np.full(x.size, SILICON)
    there, width, cuts = solve_program(spans, low, high)
    assert cuts > 0
    assert np.max([len(span.w) for span in spans]) > 1
    # s₊ and s₋ up to a factor: the smallest and largest that the crystal allows have this width between them.
    s = {}
    for side, best in ((1, min), (-1, max)):
        values = []
        for span in spans:
            if span.side == side:
                root = span.w**-0.5
                eigenvalues = np.linalg.eigvalsh(root[:, None] * np.tensordot(there, span.T, 1) * root)
                values.append(best(eigenvalues))
        s[side] = best(values)
    assert (s[1] - s[-1]) / (s[1] + s[-1]) == pytest.approx(width, abs=20 * KEPT)
    assert width > relative_width(crystal.edges(bands))


def test_a_program_without_a_solution_says_so(crystal, start, monkeypatch):
    x, bands = start
    spans = take_spans(crystal, bands)
    with pytest.raises(ValueError, match="no permittivity between 12"):
        solve_program(spans, np.full(x.size, 12.0), np.full(x.size, 11.0))
    monkeypatch.setattr(crystals, "linprog", lambda *_, **__: SimpleNamespace(status=4, message="numerical trouble"))
    with pytest.raises(RuntimeError, match=r"HiGHS found no solution of .*: numerical trouble"):
        solve_program(spans, x - 0.1, x + 0.1)


def test_screening_finds_a_crystal_with_a_gap():
    crystal = Crystal(16, 3, CORNERS)
    x = screen(crystal)
    cells = crystal.permittivity(x)
    assert set(np.unique(cells)) == {AIR, SILICON}
    np.testing.assert_array_equal(cells[::2, ::2], cells[1::2, 1::2])  # blocks of 2 × 2
    assert relative_gap(crystal.edges(crystal.bands(x))) > 0.2
    with pytest.raises(ValueError, match="12 cells is no refinement"):
        screen(Crystal(12, 3, CORNERS))
    other = Crystal(8, 1, CORNERS)
    assert relative_gap(other.edges(other.bands(screen(other)))) > 0.3


def test_the_gradient_of_single_bands(crystal, start):
    single = band_gap.Single(crystal, 100)
    x, d = start[0], np.random.default_rng(2).standard_normal(crystal.size)
    _, gradient = single(x)
    ends = [single(x + h * d)[0] for h in (1e-5, -1e-5)]
    assert gradient @ d == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)
