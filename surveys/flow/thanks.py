"""What an instrument's thank-you page and share link may be. In: what a manager wrote. Out: what is wrong with it.

{"detractors": {"title": {…}, "text": {…}, "links": [{"label": {…}, "url": "https://…"}]}, "any": {…}}: a block for each band of the
scale, and one for all others. The share link is {"label": {…}, "url": "https://…"}, shown to everyone alike.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from surveys.flow.programme.values import is_link
from surveys.scales import SCALES

ANY = "any"
LONGEST_URL = 500


def bands_of(metric: str, points: int) -> list[str]:
    """The blocks that a thank-you page may have: the scale's bands, the worst first, then the one for all others."""
    return [*(band for band, _lowest in SCALES[metric, points].bands), ANY]


def link_faults(link: Mapping[str, Any]) -> list[str]:
    """A link needs an address and words to press. An empty one is none, and no fault."""
    url, label = str(link.get("url", "")), link.get("label", {})
    if not url and not any(label.values()):
        return []
    if not url:
        return [_("A link needs an address.")]
    if len(url) > LONGEST_URL or not is_link(url):
        return [
            _("“%(url)s” is no address for a link: it starts with https://, http://, mailto: or tel:.")
            % {"url": url[:100]}
        ]
    return [] if any(label.values()) else [_("The link to %(url)s needs a label.") % {"url": url[:100]}]
