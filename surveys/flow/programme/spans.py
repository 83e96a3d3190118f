"""PURE: spans of time as people write them, 2h or 14d. In: text or seconds. Out: seconds or text."""

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MAX_S = 2_147_483_647  # what the column holds: 68 years

_SPAN = re.compile(r"(\d{1,10})\s*([smhdw])")


def seconds_of(text: str) -> int:
    """Seconds of "45s", "30m", "2h", "7d" or "2w"; ValueError for anything else, and past 68 years.

    >>> seconds_of("2h"), seconds_of("0s")
    (7200, 0)
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"“{text}” is not a span such as 45s, 30m, 2h or 7d")
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds > MAX_S:
        raise ValueError(f"“{text}” is too long a span")
    return seconds


def span_of(seconds: int) -> str:
    """The shortest way to write `seconds` in one unit up to days.

    >>> span_of(7200), span_of(90), span_of(14 * 86_400), span_of(0)
    ('2h', '90s', '14d', '0s')
    """
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"
