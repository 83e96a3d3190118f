"""Where a touchpoint can be answered. In: a Touchpoint. Out: its address, the same as a QR code, and a snippet for a page."""

from collections.abc import Mapping
from urllib.parse import urlencode

import segno
from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from surveys.models import Touchpoint


def public_url(touchpoint: Touchpoint, via: str = "") -> str:
    """The open form's address; `via` says how people come to it (qr, kiosk, web; a link without)."""
    query = f"?{urlencode({'via': via})}" if via else ""
    return settings.BASE_URL + reverse("public", args=[touchpoint.public_key]) + query


def embed_snippet(touchpoint: Touchpoint, language: str = "") -> SafeString:
    """HTML that shows the form in a page of one of the touchpoint's allowed origins. Escaped like any HTML."""
    address = public_url(touchpoint, "web") + (f"&{urlencode({'lang': language})}" if language else "")
    return format_html(
        '<iframe src="{}" title="{}" width="100%" height="640" style="border:0" loading="lazy"></iframe>',
        address,
        touchpoint.label,
    )


def script_snippet(touchpoint: Touchpoint, attributes: Mapping[str, str], base: str | None = None) -> SafeString:
    """The script tag of the widget; `attributes` without their "data-", an empty one stands empty. docs/widget.md has them all."""
    address = (settings.BASE_URL if base is None else base) + "/embed.js"
    said = {"touchpoint": touchpoint.public_key, **attributes}
    return format_html(
        '<script src="{}"{} async></script>',
        address,
        format_html_join("", ' data-{}="{}"', said.items()),
    )


def qr_svg(address: str) -> SafeString:
    """An SVG element without size of its own, dark on light whatever the page's colours are: scanners want it so."""
    code = segno.make(address, error="m").svg_inline(border=4, light="#fff", dark="#000", omitsize=True)
    return SafeString(code)
