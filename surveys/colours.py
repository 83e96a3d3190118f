"""PURE: one accent colour of an organisation, made readable wherever it stands. In: "#rrggbb". Out: the same, or a stylesheet.

Contrast is WCAG 2.2's: (lighter + 0.05) / (darker + 0.05) of relative luminances, 1…21. Text needs 4.5 (level AA).
"""

import re

WHITE, INK = "#ffffff", "#111417"
GROUND, DARK_GROUND = "#ffffff", "#14171a"  # those of form.css
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


def stylesheet(colour: str) -> str:
    """Sets form.css's accent, in light and in dark."""

    def properties(ground: str) -> str:
        shown = readable(colour, ground)
        return f":root{{--accent:{shown};--on-accent:{on(shown)}}}"

    return f"{properties(GROUND)}\n@media (prefers-color-scheme: dark){{{properties(DARK_GROUND)}}}\n"
