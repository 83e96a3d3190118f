"""Which metric a page's trend shows. In: a URL and the metrics there are. Out: one of them, and the tabs that choose it."""

from collections.abc import Sequence
from typing import Any

from metrics import pages
from metrics.pages import Column
from metrics.reports import Request


def asked_column(request: Request, columns: Sequence[Column]) -> Column:
    """The metric that `?trend=` names where there is any of it, else the first."""
    asked = pages.column_of(request.http.GET.get("trend", ""))
    return asked if asked is not None and asked in columns else columns[0]


def trend_tabs(request: Request, columns: Sequence[Column], current: Column) -> list[dict[str, Any]]:
    return [
        {
            "title": pages.title(column),
            "query": request.query_with(trend=pages.column_key(column)),
            "current": column == current,
        }
        for column in columns
    ]
