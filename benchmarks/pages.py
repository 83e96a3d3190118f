"""The product's URLs, and stand-ins for pages that `dashboard` measures before they are there: what they will ask of `metrics`.

In: a URL with days and filters, as the pages read them. Out: JSON of what was measured. A stand-in goes when its page comes.
"""

from datetime import date
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.utils import timezone

from metrics.queries import Catalogue, Measured, Slice, measure, measure_matrix


def _slice(request: HttpRequest, **fixed: frozenset[str]) -> Slice:
    narrowed: dict[str, Any] = {
        f"{name}s": frozenset([request.GET[name]]) for name in ("mode", "segment", "location") if name in request.GET
    }
    first, last = date.fromisoformat(request.GET["from"]), date.fromisoformat(request.GET["to"])
    return Slice(day_from=first, day_to=last, **narrowed, **fixed)


def _shown(measured: Measured) -> dict[str, Any]:
    return {"n": measured.n, "value": measured.value, "low": measured.low, "high": measured.high, **measured.extra}


def journey(request: HttpRequest) -> JsonResponse:
    """Its touchpoints with every metric, now and before."""
    asked = _slice(request, journeys=frozenset(["j0"]))
    assert asked.day_from is not None
    assert asked.day_to is not None
    before = (asked.day_from - (asked.day_to - asked.day_from), asked.day_from)
    rows = measure_matrix(asked, before, now=timezone.now())
    return JsonResponse({"rows": [{"touchpoint": row.touchpoint, **_shown(row.now)} for row in rows]})


def ttr(request: HttpRequest) -> JsonResponse:
    """By month, by channel and by segment; the curve comes from the same cells as its median."""
    catalogue, now, asked = Catalogue.load(), timezone.now(), _slice(request)
    found = measure("ttr", asked, now=now, interval="month", group_by="channel", catalogue=catalogue)
    by_segment = measure("ttr", asked, now=now, group_by="segment", catalogue=catalogue)
    parts = [*found.series, *found.groups, *by_segment.groups]
    return JsonResponse({"total": _shown(found.total), "parts": [_shown(part) for _key, part in parts]})


urlpatterns = [
    path("bench/journey/", journey),
    path("bench/ttr/", ttr),
    path("", include("cxsurvey.urls")),
]
