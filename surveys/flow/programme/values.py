"""PURE: what single values of the configuration may be, for the programme file and for the staff's forms alike.

In: what somebody wrote. Out: the value as it is kept, or ValueError. No line numbers (document) and no rows (reading).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import time
from itertools import pairwise
from urllib.parse import urlsplit

TARGETS: Mapping[str, tuple[float, float]] = {
    "nps": (-100, 100),
    "csat": (0, 100),
    "ces": (1, 7),
    "ttr_hours": (0, 100_000),
}
NAME, LABEL, SENTENCE, NOTICE = 200, 200, 1000, 4000  # the longest texts, in characters
SENDER_NAME = 100  # a phone's list of mails shows some thirty of them
RADIUS, QUESTIONS, LINKS = 24, 50, 3  # at most: pixels, questions asked of one person, links of a thank-you page
LINK_SCHEMES = ("https", "http", "mailto", "tel")
_NOT_IN_LINKS = frozenset('<>"`{}|^\\')  # RFC 3986 has them nowhere
PUBLIC_KEY = re.compile(r"[A-Za-z0-9_-]{8,32}\Z")
REMINDERS, PRIORITY, QUOTA, EXEMPTION = 2, 100, 1_000_000, 500  # at most: of one letter, up and down, a day, characters
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_HOUR = re.compile(r"([01]?\d|2[0-3]):[0-5]\d\Z")
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d\Z")


def is_hours(text: str) -> bool:
    """A span of the day that is not empty, such as 20:00-09:00.

    >>> is_hours("20:00-09:00"), is_hours("20:00-20:00"), is_hours("8-9")
    (True, False, False)
    """
    return bool(_HOURS.match(text)) and text[:5] != text[6:]


def is_segment(name: str) -> bool:
    """What a segment can be called: of an event or an attribute, without space around it."""
    return 1 <= len(name) <= 100 and name == name.strip() and not re.search("[\x00\ud800-\udfff]", name)


def hour_of(text: str) -> time:
    """The time of day of "10:00" or "9:30"; ValueError for anything else.

    >>> hour_of("9:30")
    datetime.time(9, 30)
    """
    if not _HOUR.match(text):
        raise ValueError(f'“{text}” is not a time of day such as "10:00".')
    hour, _colon, minute = text.partition(":")
    return time(int(hour), int(minute))


def origin_of(text: str) -> str:
    """scheme://host[:port] in lower case, as browsers write it; ValueError for anything else.

    >>> origin_of("https://Shop.example.com/")
    'https://shop.example.com'
    """
    try:
        parts = urlsplit(text.lower().removesuffix("/"))
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    is_origin = parts.scheme in ("http", "https") and parts.hostname and re.fullmatch(r"[a-z0-9.\-:]+", parts.hostname)
    if not is_origin or parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"“{text}” is not an origin such as https://shop.example.com.")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    is_usual = port == {"http": 80, "https": 443}[parts.scheme]  # which browsers leave out
    return f"{parts.scheme}://{host}" + (f":{port}" if port and not is_usual else "")


def is_link(text: str) -> bool:
    """An address that a page may lead to: a web address, a letter or a call, and nothing that a browser would run.

    >>> is_link("https://shop.example.com/help"), is_link("mailto:care@example.com"), is_link("javascript:alert(1)")
    (True, True, False)
    >>> is_link("https://"), is_link("shop.example.com"), is_link("mailto:nobody"), is_link("tel:+8610-1234")
    (False, False, False, True)
    """
    if any(not letter.isprintable() or letter.isspace() or letter in _NOT_IN_LINKS for letter in text):
        return False
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme not in LINK_SCHEMES:
        return False
    if parts.scheme == "mailto":
        return re.fullmatch(r"[^@?]+@[^@?]+\.[^@?.]+", parts.path) is not None
    if parts.scheme == "tel":
        return re.fullmatch(r"\+?[0-9().\-]{3,30}", text.partition(":")[2]) is not None
    return bool(host)


def is_rising(spans: Sequence[int]) -> bool:
    """Each later than the one before: the order in which reminders are sent."""
    return all(earlier < later for earlier, later in pairwise(spans))


def reminders_fit(spans: Sequence[int], expires_s: int) -> bool:
    """The last reminder comes before the link expires."""
    return not spans or spans[-1] < expires_s


def as_number(value: float) -> int | float:
    """An int where it is whole, so that 85.0 and 85 are the same target."""
    return int(value) if float(value).is_integer() else value
