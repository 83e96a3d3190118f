"""PURE: what an instrument's thank-you page and share link may be. In: what a manager wrote. Out: what is wrong with it.

{"detractors": {"title": {…}, "text": {…}, "links": [{"label": {…}, "url": "https://…"}]}, "any": {…}}: a block for each band of the
scale, and one for all others. The share link is {"label": {…}, "url": "https://…"}, shown to everyone alike. What is empty is left out.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from surveys.scales import SCALES

ANY = "any"
MOST_LINKS = 3
LONGEST_URL = 500
WEB = ("http", "https")


def is_link(text: str) -> bool:
    """Where a customer may be sent: a web address, a letter or a call, and nothing that a browser would run.

    >>> is_link("https://shop.example.com/help?a=1"), is_link("mailto:help@example.com"), is_link("tel:+49 30 1234")
    (True, True, True)
    >>> is_link("javascript:alert(1)"), is_link("//example.com"), is_link("https://"), is_link("shop.example.com")
    (False, False, False, False)
    """
    if len(text) > LONGEST_URL or re.search(r"[\x00-\x1f\x7f\\<>\"`{}|^]", text) or text != text.strip():
        return False
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme in WEB:
        return bool(host) and " " not in text
    if parts.scheme == "mailto":
        return re.match(r"[^@\s?]+@[^@\s?]+\.[^@\s?]+(\?|$)", parts.path + ("?" if parts.query else "")) is not None
    return parts.scheme == "tel" and re.fullmatch(r"\+?[0-9 ().\-]{3,30}", parts.path) is not None


def bands_of(metric: str, points: int) -> list[str]:
    """The blocks that a thank-you page may have: the scale's bands, the worst first, then the one for all others."""
    return [*(band for band, _lowest in SCALES[metric, points].bands), ANY]


def thanks_faults(metric: str, points: int, thanks: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(band, what is wrong there), in order."""
    known = bands_of(metric, points)
    faults: list[tuple[str, str]] = []
    for band, block in thanks.items():
        if band not in known:
            faults.append(
                (
                    band,
                    _("“%(band)s” is not a band of this scale; it has %(bands)s.")
                    % {"band": band, "bands": ", ".join(known)},
                )
            )
            continue
        links = block.get("links", [])
        if len(links) > MOST_LINKS:
            faults.append((band, _("At most %(count)d links stand on one page.") % {"count": MOST_LINKS}))
        faults += [(band, fault) for link in links for fault in link_faults(link)]
    return faults


def link_faults(link: Mapping[str, Any]) -> list[str]:
    """A link needs an address and words to press. An empty one is none, and no fault."""
    url, label = str(link.get("url", "")), link.get("label", {})
    if not url and not any(label.values()):
        return []
    if not url:
        return [_("A link needs an address.")]
    if not is_link(url):
        return [
            _("“%(url)s” is no address for a link: it starts with https://, http://, mailto: or tel:.")
            % {"url": url[:100]}
        ]
    return [] if any(label.values()) else [_("The link to %(url)s needs a label.") % {"url": url[:100]}]
