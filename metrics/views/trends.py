"""What a page's trend shows. In: a URL and the metrics there are. Out: one of them, how it is cut, and the tabs that choose both."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from metrics.display import figures
from metrics.display.figures import Column
from metrics.reports import Request
from metrics.slices import INTERVALS, Interval


def asked_column(request: Request, columns: Sequence[Column]) -> Column:
    """The metric that `?trend=` names where there is any of it, else the first."""
    asked = figures.column_of(request.http.GET.get("trend", ""))
    return asked if asked is not None and asked in columns else columns[0]


def trend_tabs(request: Request, columns: Sequence[Column], current: Column) -> list[dict[str, Any]]:
    return [
        {
            "title": figures.title(column),
            "query": request.query_with(trend=figures.column_key(column)),
            "current": column == current,
        }
        for column in columns
    ]


def asked_interval(request: Request) -> Interval | None:
    """As `?interval=` names it; None for what suits the number of answers."""
    asked = request.http.GET.get("interval", "")
    return next((interval for interval in INTERVALS if interval == asked), None)


def finest_interval(request: Request) -> Interval:
    """What is to be fetched, before it is known how many answers there are, so that it can be cut as it will be asked for."""
    return asked_interval(request) or request.filters.period.finest


def trend_interval(request: Request, n: int) -> Interval:
    return asked_interval(request) or request.filters.period.interval(n)


def interval_tabs(request: Request) -> list[dict[str, Any]]:
    titles = {
        "": _("As fits"),
        "day": _("By day"),
        "week": _("By week"),
        "month": _("By month"),
        "quarter": _("By quarter"),
    }
    current = asked_interval(request) or ""
    return [
        {"title": title, "query": request.query_with(interval=key), "current": key == current}
        for key, title in titles.items()
    ]
