"""Numbers, shares and powers as one reads them."""

import math

import pytest

from lab.words import percent, quantity, readable


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"), (1e-12, "0%"), (5e-5, "<0.01%"), (-1e-5, "−0.01%"), (0.0017, "0.17%"), (0.424, "42%"), (0.996, "99.6%"),
        (0.99996, "99.99%"), (1.0, "100%"), (1.004, "100.4%"), (1.2, "120%"), (-0.031, "−3.1%"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_shares(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("5e-05 above", "5·10⁻⁵ above"), ("1e+03", "10³"), ("of 2.5e-10%", "of 2.5·10⁻¹⁰%"), ("r = -0.04", "r = −0.04"),
        ("(-2)", "(−2)"), ("-1e-03", "−10⁻³"), ("3-4 x-2 p-1 10-fold", "3-4 x-2 p-1 10-fold"), ("Fig. 1e", "Fig. 1e"),
        ("'gauss-1e-05' is -1e-05", "'gauss-1e-05' is −10⁻⁵"), ("gauss-1e-05 isn't -2", "gauss-1e-05 isn't −2"),
        ("try --gamma=1e-3 or --k -3, not -3", "try --gamma=1e-3 or --k -3, not −3"),
    ],
)  # fmt: skip
def test_powers_and_signs(given, text):
    assert readable(given) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7.0193, "%", "7.019%"),
        (30.05, "dB", "30.05 dB"),
        (1013, "1", "1,013"),
        (0.6165, "median distance", "0.6165"),
        (2, "", "2"),
    ],
)
def test_numbers_with_units(value, unit, text):
    assert quantity(value, unit) == text
