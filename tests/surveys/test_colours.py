import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.colours import AA, DARK_GROUND, GROUND, contrast, is_colour, on, readable, stylesheet

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


def test_the_accents_stylesheet_is_a_file_that_may_be_kept(client):
    answer = client.get("/accent/ffcc00.css")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in answer["Cache-Control"]
    assert answer.content.decode() == stylesheet("#ffcc00")
    assert "--accent:#ffcc00" in stylesheet("#ffcc00").partition("@media")[2]
    assert "--accent:#ffcc00" not in stylesheet("#ffcc00").partition("@media")[0]
    assert client.get("/accent/red.css").status_code == 404
