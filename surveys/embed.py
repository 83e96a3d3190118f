"""The widget's two scripts as they are served to other sites. In: their sources in static/. Out: the same without comments and
indents, and with what only the server knows: the tab's word in every language, and the address of the second script.

Nothing of a visitor is read here, no cookie, no database: a foreign page's load time must not depend on ours.
"""

import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_http_methods

from surveys.phrases import LANGUAGES, STANDARD

SOURCES = settings.BASE_DIR / "static"
LABELS = 'const LABELS = { en: "Feedback" };'
CARD = 'const CARD = "embed-card.js";'
HOUR, DAY, YEAR = 3600, 86400, 31536000


@dataclass(frozen=True, slots=True)
class Script:
    """What is sent, with and without compression; `version` changes with it."""

    plain: bytes
    packed: bytes
    version: str


def stripped(source: str) -> str:
    """JavaScript without indents, empty lines and lines that are a comment alone. No such line may stand in a text."""
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/** ")))


def labels() -> dict[str, str]:
    """What the side tab says, by the first part of a language's tag; Chinese has two."""
    found: dict[str, str] = {}
    for language in LANGUAGES:
        with translation.override(language):
            text = STANDARD["feedback"]
        name = language if language == "zh-hant" else language.split("-")[0]
        if language == "en" or text != found["en"]:
            found[name] = text
    return found


@cache
def script(name: str) -> Script:
    """`embed.js` or `embed-card.js`; made once in a process."""
    source = (SOURCES / name).read_text()
    if name == "embed.js":
        words = re.sub(r'"(\w+)":', r"\1:", json.dumps(labels(), ensure_ascii=False, separators=(",", ":")))
        address = f"embed-card.js?v={script('embed-card.js').version}"
        source = source.replace(LABELS, f"const LABELS = {words};").replace(CARD, f'const CARD = "{address}";')
    plain = stripped(source).encode()
    return Script(plain, gzip.compress(plain, 9, mtime=0), hashlib.sha256(plain).hexdigest()[:12])


@require_http_methods(["GET", "HEAD"])
def embed(request: HttpRequest) -> HttpResponseBase:
    """/embed.js: kept for an hour, since its address never changes; asked again with its ETag after that."""
    return _served(request, script("embed.js"), f"public, max-age={HOUR}, stale-while-revalidate={DAY}")


@require_http_methods(["GET", "HEAD"])
def card(request: HttpRequest) -> HttpResponseBase:
    """/embed-card.js?v=…: its address changes with it, so whoever asks for this one may keep it."""
    found = script("embed-card.js")
    is_current = request.GET.get("v") == found.version
    return _served(request, found, f"public, max-age={YEAR}, immutable" if is_current else "no-cache")


def _served(request: HttpRequest, found: Script, cache_control: str) -> HttpResponseBase:
    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    etag = f'"{found.version}{"-gz" if takes_gzip else ""}"'
    response = HttpResponse(
        found.packed if takes_gzip else found.plain,
        content_type="text/javascript; charset=utf-8",
        headers={
            "Cache-Control": cache_control,
            "ETag": etag,
            "Vary": "Accept-Encoding",
            # Any page may load it, with `crossorigin` and under Cross-Origin-Embedder-Policy too: it holds no secret.
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Timing-Allow-Origin": "*",
        },
    )
    if takes_gzip:
        response["Content-Encoding"] = "gzip"
    return get_conditional_response(request, etag, None, response) or response
