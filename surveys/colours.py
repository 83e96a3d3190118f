"""PURE: an organisation's theme: its accent colour, made readable wherever it stands, its corners, light or dark.

In: "#rrggbb" and the like. Out: colours, and the stylesheet that sets them for form.css, with the name that it is served under.
Contrast is WCAG 2.2's: (lighter + 0.05) / (darker + 0.05) of relative luminances, 1…21. Text needs 4.5 (level AA).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

WHITE, INK = "#ffffff", "#111417"
GROUND, DARK_GROUND = "#ffffff", "#14171a"  # those of form.css
ACCENT, ACCENT_IN_DARK = "#0f766e", "#5eead4"  # likewise
AA = 4.5
COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)


def is_colour(text: str) -> bool:
    return COLOUR.fullmatch(text) is not None


def luminance(colour: str) -> float:
    """Relative luminance, 0 (black) … 1 (white)."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1…21, whichever comes first."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def readable(colour: str, ground: str) -> str:
    """`colour`, moved towards black or white in small steps until it can be read on `ground`."""
    target = 0 if luminance(ground) > 0.18 else 255  # black reads better on anything lighter than this
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    for step in range(101):
        moved = "#" + "".join(f"{round(part + (target - part) * step / 100):02x}" for part in parts)
        if contrast(moved, ground) >= AA:
            break
    return moved


def on(colour: str) -> str:
    """White or ink, whichever reads better on `colour`; one of them is always AA."""
    return max((WHITE, INK), key=lambda text: contrast(text, colour))


def accent_on(ground: str, accent: str) -> str:
    """`accent` as it stands on a ground; our own is as form.css has it."""
    own = (accent.lower(), ground) == (ACCENT, DARK_GROUND)
    return ACCENT_IN_DARK if own else readable(accent, ground)


@dataclass(frozen=True, slots=True)
class Correction:
    """Where an accent cannot be read as it is, and what stands in its place."""

    scheme: str  # "light" or "dark"
    shown: str  # "#rrggbb"
    contrast: float  # of the accent as it was given, against the ground of that scheme; AA was wanted


def corrections(accent: str) -> list[Correction]:
    """What respondents see in place of `accent`, in light and in dark; nothing where it can be read as it is."""
    return [
        Correction(scheme, shown, contrast(accent, ground))
        for scheme, ground in (("light", GROUND), ("dark", DARK_GROUND))
        if (shown := accent_on(ground, accent)) != accent.lower()
    ]


def stylesheet(accent: str, radius: int, scheme: str) -> str:
    """Sets form.css's accent and corners; `scheme` ("auto", "light", "dark") says on which grounds."""

    def colours_on(ground: str) -> str:
        shown = accent_on(ground, accent)
        return f"--accent:{shown};--on-accent:{on(shown)}"

    first = colours_on(DARK_GROUND if scheme == "dark" else GROUND)
    sheet = f":root{{{first};--radius:{radius}px}}\n"
    if scheme == "auto":
        sheet += f"@media (prefers-color-scheme:dark){{:root{{{colours_on(DARK_GROUND)}}}}}\n"
    return sheet


@lru_cache(maxsize=64)
def stylesheet_name(accent: str, radius: int, scheme: str) -> str:
    """Such as "0f766e-10-auto-1a2b3c4d": all that the sheet is made of, and of what it says, so that it may be kept for good."""
    digest = sha256(stylesheet(accent, radius, scheme).encode()).hexdigest()
    return f"{accent.lower().lstrip('#')}-{radius}-{scheme}-{digest[:8]}"
