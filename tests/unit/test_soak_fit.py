"""test_soak_fit: a figure that grows is told from one that only moves."""

from __future__ import annotations

import random

import pytest

from tests.load.soak.fit import fit
from tests.load.soak.report import Growth

_MOMENTS = [5.0 * number for number in range(360)]


def test_a_line_is_found_as_it_is() -> None:
    found = fit(_MOMENTS, [100 + 0.5 * moment for moment in _MOMENTS])
    assert found.slope == pytest.approx(0.5)
    assert found.growth == pytest.approx(0.5 * _MOMENTS[-1])
    assert found.grows()


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_growth_and_a_leak_below_it_is(seed: int) -> None:
    draw = random.Random(seed)
    noise = [draw.gauss(0, 3) for _ in _MOMENTS]
    assert not fit(_MOMENTS, [100 + each for each in noise]).grows()
    # A tenth of the mean in the whole time.
    assert fit(_MOMENTS, [100 + each + moment / 180 for each, moment in zip(noise, _MOMENTS, strict=True)]).grows()


def test_what_wanders_has_a_wider_error_than_what_jumps() -> None:
    draw = random.Random(1)
    wandering, jumping, at = list[float](), list[float](), 0.0
    for _ in _MOMENTS:
        at = 0.95 * at + draw.gauss(0, 1)
        wandering.append(at)
    jumping = wandering.copy()
    draw.shuffle(jumping)
    assert fit(_MOMENTS, wandering).error > 3 * fit(_MOMENTS, jumping).error


def test_a_file_or_two_are_no_growth() -> None:
    steps = [20.0] * 180 + [22.0] * 180
    assert fit(_MOMENTS, steps).growth > 2
    assert not fit(_MOMENTS, steps).grows(least=4.0)


def test_samples_that_make_no_line_are_refused() -> None:
    for moments in ([1.0, 2.0], [1.0] * 5):
        with pytest.raises(ValueError, match="samples"):
            fit(moments, moments)


def _growth(values: list[float]) -> Growth:
    quarter = len(values) // 2
    return Growth(half=fit(_MOMENTS, values), quarter=fit(_MOMENTS[quarter:], values[quarter:]))


def test_what_goes_on_to_the_end_grows_and_what_stops_does_not() -> None:
    draw = random.Random(2)
    noise = [draw.gauss(0, 0.2) for _ in _MOMENTS]
    leak = [100 + each + moment / 400 for each, moment in zip(noise, _MOMENTS, strict=True)]
    filled = [100 + each + min(4.0, moment / 200) for each, moment in zip(noise, _MOMENTS, strict=True)]
    assert _growth(leak).half.grows()
    assert _growth(filled).half.grows()
    assert _growth(leak).grows()
    assert not _growth(filled).grows()
