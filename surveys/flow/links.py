"""Where a touchpoint can be answered. In: a Touchpoint, and a place. Out: addresses, the same as QR codes, a snippet for a page.

An address that is printed cannot be called back: it hangs on walls for years. So `/t/{public_key}/`, `via=qr` and `loc` never change
their names or what they mean, and nothing that may change (a language, a version) is ever put into a code.
"""

import io
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

import segno
from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.db import connection
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from surveys.models import InteractionEvent, Invitation, InvitationRule, Response, Touchpoint

CODE_MAX = 1273  # bytes that the largest code holds at the highest error correction (ISO/IEC 18004, version 40-H)
QUIET_ZONE = 4  # modules of white around a code, as its standard asks
PNG_SIDE = 1600  # pixels at least: sharp on a poster, and whole pixels per module
KNOWN_AT_MOST = 300
TRIAL_TOKEN = "test"  # in the place of an invitation's; no invitation's is so short
TRIAL_AGE = timedelta(days=30)
_TRIAL = TimestampSigner(salt="surveys.trial")


def public_url(touchpoint: Touchpoint, via: str = "", location: str = "") -> str:
    """The open form's address; `via` says how people come to it (qr, kiosk, web; a link without), `location` where they are."""
    told = {"via": via, "loc": location}
    query = urlencode({name: value for name, value in told.items() if value})
    return settings.BASE_URL + reverse("public", args=[touchpoint.public_key]) + (f"?{query}" if query else "")


def typed_url(touchpoint: Touchpoint) -> str:
    """The shortest form of the address that leads there when somebody types it; it says nothing of a place."""
    return public_url(touchpoint).partition("://")[2].rstrip("/")


def trial_query(rule: InvitationRule, language: str) -> str:
    """What makes the open form's address one where staff try what a rule asks: open or not, nothing is recorded there.

    Signed, so that a form that is closed opens for nobody else.
    """
    return urlencode({"test": "1", "trial": _TRIAL.sign(str(rule.pk)), "lang": language})


def tried_rule(signed: str, touchpoint: Touchpoint) -> InvitationRule | None:
    """The rule of `trial_query`; None where the signature is wrong, too old, or another touchpoint's."""
    try:
        pk = _TRIAL.unsign(signed[:100], max_age=TRIAL_AGE)
    except BadSignature:
        return None
    return InvitationRule.objects.filter(pk=int(pk), touchpoint=touchpoint).first()


def leads_somewhere(touchpoint: Touchpoint) -> bool:
    """Whether the open form is there: else a code leads to a page that knows of no survey."""
    return touchpoint.public and touchpoint.active and touchpoint.instrument_id is not None


def is_only_here() -> bool:
    """Whether the public address is this machine's own name for itself: nobody else's phone gets there."""
    host = urlsplit(settings.BASE_URL).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


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


def qr_code(address: str) -> segno.QRCode:
    """The highest error correction: a quarter of it may be scratched or stained. ValueError past CODE_MAX."""
    return segno.make_qr(address, error="h")


def qr_svg(address: str) -> SafeString:
    """An SVG element without size of its own, dark on light whatever the page's colours are: scanners want it so."""
    code = qr_code(address).svg_inline(border=QUIET_ZONE, light="#fff", dark="#000", omitsize=True)
    return SafeString(code)


def qr_svg_file(address: str) -> bytes:
    """An SVG document, for whoever lays out a page of their own."""
    return _drawn(address, "svg", scale=10, xmldecl=True)


def qr_png_file(address: str) -> bytes:
    """A PNG of at least PNG_SIDE pixels a side, with as many pixels to every module."""
    modules, _height = qr_code(address).symbol_size(border=QUIET_ZONE)
    return _drawn(address, "png", scale=-(-PNG_SIDE // modules))


def _drawn(address: str, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    qr_code(address).save(out, kind=kind, border=QUIET_ZONE, light="#fff", dark="#000", **options)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class KnownLocation:
    """A place that something was heard of: when last, and how many answers that count came from there."""

    name: str
    latest_at: datetime
    answers: int


_KNOWN = f"""
SELECT location, max(latest), sum(answers)::bigint FROM (
    SELECT location, max(responded_at) AS latest, count(*) FILTER (WHERE excluded_at IS NULL) AS answers
    FROM {Response._meta.db_table} WHERE touchpoint_id = %(id)s AND location <> '' GROUP BY location
    UNION ALL
    SELECT location, max(time), 0
    FROM {InteractionEvent._meta.db_table} WHERE touchpoint_id = %(id)s AND location <> '' GROUP BY location
    UNION ALL
    SELECT location, max(decided_at), 0
    FROM {Invitation._meta.db_table} WHERE touchpoint_id = %(id)s AND location <> '' GROUP BY location
) AS heard GROUP BY location ORDER BY max(latest) DESC, location LIMIT %(most)s
"""


def known_locations(touchpoint: Touchpoint) -> list[KnownLocation]:
    """Where this touchpoint's answers, events and invitations came from, the newest first; KNOWN_AT_MOST of them."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, {"id": touchpoint.pk, "most": KNOWN_AT_MOST})
        return [KnownLocation(*row) for row in cursor.fetchall()]
