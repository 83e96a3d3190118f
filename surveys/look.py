"""What every respondent's page has of its organisation's look. In: an Organisation. Out: what templates/respondent/base.html asks for."""

from functools import lru_cache
from typing import Any

from surveys import colours
from surveys.models import Logo, Organisation
from surveys.models.journeys import Scheme

# What form.css has by itself: accent, corner radius, light or dark.
STANDARD = (colours.ACCENT, 10, Scheme.AUTO)
LOGO_HEIGHT, LOGO_WIDTH = 40, 220  # at most, in pixels


def look_of(organisation: Organisation) -> dict[str, Any]:
    """The theme's name ("" for the standard one), light or dark, and the logo (None where there is none)."""
    own = (organisation.accent.lower(), organisation.radius, organisation.scheme)
    has_own = own != STANDARD and colours.is_colour(organisation.accent)
    return {
        "theme": colours.stylesheet_name(*own) if has_own else "",
        "scheme": organisation.scheme,
        "logo": _logo(organisation.logo_id) if organisation.logo_id else None,
    }


def _logo(digest: str) -> dict[str, Any]:
    """With the size at which it is shown, so that nothing jumps when it arrives."""
    width, height = _size_of_logo(digest)
    scale = min(LOGO_HEIGHT / height, LOGO_WIDTH / width) if width and height else 0
    return {
        "digest": digest,
        "width": round(width * scale) or LOGO_HEIGHT,
        "height": round(height * scale) or LOGO_HEIGHT,
    }


@lru_cache(maxsize=16)
def _size_of_logo(digest: str) -> tuple[int, int]:
    """In pixels. A picture never changes under its digest, and its bytes are no business of a form's."""
    return Logo.objects.values_list("width", "height").get(pk=digest)
