from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.colours import (
    AA,
    ACCENT,
    ACCENT_IN_DARK,
    DARK_GROUND,
    GROUND,
    Correction,
    contrast,
    corrections,
    is_colour,
    on,
    readable,
    stylesheet,
    stylesheet_name,
)

any_colour = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def test_contrast_is_that_of_wcag():
    # WCAG 2.2, "relative luminance": black on white is 21; #767676 is the lightest grey that passes AA on white.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.01)
    assert contrast("#ffffff", "#777777") < AA


@given(any_colour, st.sampled_from([GROUND, DARK_GROUND]))
def test_any_accent_becomes_readable_on_either_ground_and_bears_a_text(colour, ground):
    shown = readable(colour, ground)
    assert contrast(shown, ground) >= AA
    assert contrast(on(shown), shown) >= AA
    assert on(shown) != shown


def test_a_readable_accent_stays_as_it_is():
    assert readable("#0f766e", GROUND) == "#0f766e"
    assert readable("#5eead4", DARK_GROUND) == "#5eead4"


def test_only_six_hexadecimal_digits_are_a_colour():
    assert is_colour("#0F766e")
    assert not any(is_colour(text) for text in ("", "red", "#fff", "#0f766e;}", "#0f766g", "#0f766e\n"))


def test_a_correction_is_told_for_each_scheme_in_which_the_accent_cannot_be_read():
    assert corrections(ACCENT) == [Correction("dark", ACCENT_IN_DARK, contrast(ACCENT, DARK_GROUND))]
    assert [found.scheme for found in corrections("#FFD400")] == ["light"]
    assert [found.scheme for found in corrections("#777777")] == ["light", "dark"]
    assert corrections("#757575") == corrections("#757575".upper())


@given(any_colour)
def test_what_is_told_is_what_the_stylesheet_says(colour):
    told = {found.scheme: found for found in corrections(colour)}
    for scheme, ground in (("light", GROUND), ("dark", DARK_GROUND)):
        shown = told[scheme].shown if scheme in told else colour
        assert f"--accent:{shown};" in stylesheet(colour, 10, scheme)
        assert (scheme in told) == (contrast(colour, ground) < AA)
        assert scheme not in told or told[scheme].contrast == contrast(colour, ground)


def test_the_standard_theme_is_what_the_form_has_by_itself():
    css = (Path(__file__).resolve().parents[2] / "static/form.css").read_text()
    light, _, dark = css.partition("@media (prefers-color-scheme: dark)")
    assert f"--ground: {GROUND}" in light
    assert f"--accent: {ACCENT}; --on-accent: {on(ACCENT)}" in light
    assert f"--ground: {DARK_GROUND}" in dark
    assert f"--accent: {ACCENT_IN_DARK}; --on-accent: {on(ACCENT_IN_DARK)}" in dark


def test_a_theme_is_light_dark_or_as_the_device_has_it():
    light, _, dark = stylesheet("#ffcc00", 4, "auto").partition("@media (prefers-color-scheme:dark)")
    assert "--accent:#ffcc00" in dark
    assert "--accent:#ffcc00" not in light
    assert "--radius:4px" in light
    assert stylesheet("#ffcc00", 4, "light") == light
    assert "--accent:#ffcc00" in stylesheet("#ffcc00", 4, "dark")
    assert "@media" not in stylesheet("#ffcc00", 4, "dark")


def test_a_theme_is_a_file_that_may_be_kept_under_the_name_that_tells_all_of_it(client):
    name = stylesheet_name("#FFCC00", 24, "dark")
    assert name.startswith("ffcc00-24-dark-")
    answer = client.get(f"/theme/{name}.css")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in answer["Cache-Control"]
    assert answer.content.decode() == stylesheet("#ffcc00", 24, "dark")
    other = client.get("/theme/ffcc00-24-dark-00000000.css")  # of another release
    assert (other.status_code, other["Cache-Control"]) == (200, "no-cache")
    for wrong in ("red", "ffcc00", "ffcc00-25-dark-00000000", "ffcc00-24-dim-00000000", "ffcc00-24-dark"):
        assert client.get(f"/theme/{wrong}.css").status_code == 404
