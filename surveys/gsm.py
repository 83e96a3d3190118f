"""PURE: what a text costs on the air. In: a text. Out: its encoding, its length, and how many segments carry it.

A text of GSM 03.38's letters takes 7 bits a letter: 160 in one segment, 153 in each of several, which carry a header. Any other
letter puts the whole text into UCS-2: 70 and 67. Letters of the extension table take two places, and so does what lies beyond
the basic plane (most emoji); neither is cut in half. Sources: 3GPP TS 23.038 (alphabets), 3GPP TS 23.040 (concatenation).
National shift tables are not counted on: carriers rarely offer them.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")
GSM_7, UCS_2 = "GSM-7", "UCS-2"
ROOM = {GSM_7: (160, 153), UCS_2: (70, 67)}  # alone, and as a part of several


# Marks of good print that would put a text into UCS-2 alone, and what a phone has always shown in their place.
_PLAIN = str.maketrans(
    {**dict.fromkeys("’‘‚′", "'"), **dict.fromkeys("“”„″«»", '"'), **dict.fromkeys("–—‑−", "-"), "…": "..."}
    | dict.fromkeys("\u00a0\u202f\u2009", " ")
)


def thrifty(text: str) -> str:
    """The text with plain marks where that is enough to bring it into GSM-7; else as it was."""
    plain = text.translate(_PLAIN)
    return plain if measure(plain).encoding == GSM_7 else text


@dataclass(frozen=True, slots=True)
class Size:
    """`places` are septets in GSM-7 and 16-bit units in UCS-2; `left` is how many are free in the last segment."""

    encoding: str
    places: int
    segments: int
    left: int


def measure(text: str) -> Size:
    """How a text travels. An empty one is one empty segment.

    >>> measure("a" * 161)
    Size(encoding='GSM-7', places=161, segments=2, left=145)
    """
    encoding = GSM_7 if all(letter in BASIC or letter in EXTENSION for letter in text) else UCS_2
    alone, in_several = ROOM[encoding]
    widths = [_width(letter, encoding) for letter in text]
    places = sum(widths)
    if places <= alone:
        return Size(encoding, places, 1, alone - places)
    segments, used = 1, 0
    for width in widths:
        if used + width > in_several:  # what takes two places is not cut in half: one stays empty
            segments, used = segments + 1, 0
        used += width
    return Size(encoding, places, segments, in_several - used)


def _width(letter: str, encoding: str) -> int:
    if encoding == GSM_7:
        return 2 if letter in EXTENSION else 1
    return 2 if ord(letter) > 0xFFFF else 1


def price_of(told: str) -> tuple[Decimal, str] | None:
    """The price of a segment and its unit, out of "0.0079 USD" or "0.05"; None where it is none."""
    number, _space, unit = told.strip().partition(" ")
    try:
        price = Decimal(number)
    except InvalidOperation:
        return None
    return (price, unit.strip()) if price.is_finite() and price >= 0 else None


def cost(text: str, price: Decimal, recipients: int = 1) -> Decimal:
    """What sending a text to so many people costs at a price per segment, in the price's own unit."""
    return price * measure(text).segments * recipients
