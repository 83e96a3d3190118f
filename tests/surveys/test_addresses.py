"""Addresses have one spelling, whoever wrote them, and a hash that outlives them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.flow.addresses import address_hash, normalise_email, normalise_phone


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("li@example.com", "li@example.com"),
        ("  li@Example.COM \n", "li@example.com"),
        ("Li.Na+news@Example.com", "Li.Na+news@example.com"),  # the part before the @ is the mailbox's own
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("x@a-b.example", "x@a-b.example"),
        ("李娜@例子.公司", "李娜@例子.公司"),
        ("ü@müller.example", "ü@müller.example"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
        ("li@1.example.com", "li@1.example.com"),
    ],
)
def test_an_email_keeps_its_mailbox_and_lowers_its_domain(given_, kept):
    assert normalise_email(given_) == kept
    assert normalise_email(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "li",
        "li@",
        "@example.com",
        "li@example",
        "li@example.",
        "li@.com",
        "li@-a.com",
        "li@a-.com",
        "li@exa mple.com",
        "li na@example.com",
        "li@@example.com",
        "li@a@example.com",
        ".li@example.com",
        "li.@example.com",
        "l..i@example.com",
        "Li Na <li@example.com>",
        "li@example.com,wang@example.com",
        "li@example.com\nBcc: all@example.com",
        "li\x00@example.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 250}.com",
        f"a@{'.'.join(['b' * 60] * 5)}.com",
        "li@[127.0.0.1]",
        '"li"@example.com',
        "mailto:li@example.com",
    ],
)
def test_what_is_no_email_is_refused(text):
    with pytest.raises(ValueError, match="is not an email address"):
        normalise_email(text)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("+8613800000000", "+8613800000000"),
        ("+86 138 0000 0000", "+8613800000000"),
        ("+49 (0)30 123456", "+4930123456"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("tel:+44-20-7946-0958", "+442079460958"),
        ("+\uff18\uff1613800000000", "+8613800000000"),  # full-width digits, as a Chinese keyboard writes them
    ],
)
def test_a_phone_is_kept_as_e164(given_, kept):
    assert normalise_phone(given_) == kept
    assert normalise_phone(kept) == kept


@pytest.mark.parametrize(
    "text", ["", "13800000000", "138", "+86", "+8613", "+999123456789", "phone", "+86138000000001234567"]
)
def test_what_is_no_international_number_is_refused(text):
    with pytest.raises(ValueError, match="phone number"):
        normalise_phone(text)


def test_the_hash_is_the_same_for_every_spelling_and_another_for_another_address():
    same = {address_hash(text) for text in ("li@example.com", "LI@example.com", " li@EXAMPLE.com ")}
    assert len(same) == 1
    assert address_hash("li@example.org") not in same
    assert address_hash("+8613800000000") not in same


def test_the_hash_needs_the_secret_key(settings):
    """Whoever has the table alone cannot try addresses against it."""
    before = address_hash("li@example.com")
    assert len(before) == 64
    settings.SECRET_KEY = "another"
    assert address_hash("li@example.com") != before


@given(st.text(max_size=300))
def test_whatever_is_taken_for_an_email_is_taken_again_unchanged(text):
    try:
        kept = normalise_email(text)
    except ValueError:
        return
    assert normalise_email(kept) == kept
    assert len(kept) <= 254
    assert not any(character.isspace() or character in '\x00<>,;:"' for character in kept)


@given(st.text(max_size=60))
def test_whatever_is_taken_for_a_phone_is_e164(text):
    try:
        kept = normalise_phone(text)
    except ValueError:
        return
    assert kept[0] == "+"
    assert kept[1:].isascii()
    assert kept[1:].isdigit()
    assert 4 <= len(kept) <= 18
