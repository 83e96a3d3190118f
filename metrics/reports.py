"""From a page's function to its addresses. In: `make(Request) -> Report`. Out: the page, and each of its tables as a file.

A page and its files are made by the same function of the same URL, so they hold the same. Nothing is written. What takes too long is
given up with a page that says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from metrics.display.tables import Table, csv_lines, xlsx_pieces
from metrics.filters import Filters, Offered, filter_bar, query_with
from metrics.frame import Frame, render_notice, render_page, staff_page
from metrics.limits import limited_by
from metrics.sheets import CSV_TYPE, XLSX_TYPE

PATIENCE_MS = 25_000  # queries end by themselves: a reader has gone long before
MEMORY = "64MB"  # so that a month's rows are joined without files
KINDS: Mapping[str, str] = {"csv": "CSV", "xlsx": "XLSX"}


class NotThere(Exception):
    """What the address names does not exist: (title, text) of the page that says so."""


@dataclass(frozen=True)
class Request:
    """A page's URL, read. `args` are the address's own, such as a slug; `now` is the moment to which open tickets count."""

    http: HttpRequest
    now: datetime
    frame: Frame
    filters: Filters
    args: Mapping[str, str] = field(default_factory=dict)

    def query_with(self, **changes: str) -> str:
        return query_with(self.http, **changes)


@dataclass(frozen=True)
class Report:
    """What a page shows: its title, its tables, and what else its template wants. `is_empty`: there is nothing to show.

    `says` takes the place of the sentence on days below the filters; `head` is added to the top of files.
    """

    title: str
    tables: Sequence[Table] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    is_empty: bool = False
    says: str = ""
    head: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Page:
    """One page. `fixes` says which dimension an argument of the address decides; `ignores`, which filters cannot narrow it.

    `kept` are further names of its URL, such as the metric of a trend; `extra` filters of its own; `days` the most it can show;
    `compares` is False where nothing on it is held against other days.
    """

    name: str
    route: str
    template: str
    make: Callable[[Request], Report]
    fixes: Mapping[str, str] = field(default_factory=dict)
    ignores: Sequence[str] = ()
    kept: Sequence[str] = ()
    extra: Callable[[Frame], Offered] | None = None
    days: int | None = None
    compares: bool = True

    @property
    def urls(self) -> list[URLPattern]:
        """The page's address, and below it a file per table and kind."""
        files = [
            path(f"{self.route}<slug:table>.{kind}", staff_page(partial(_file, self, kind)), name=f"{self.name}_{kind}")
            for kind in KINDS
        ]
        return [path(self.route, staff_page(partial(_page, self)), name=self.name), *files]


def _page(page: Page, http: HttpRequest, **args: str) -> HttpResponseBase:
    request = _read(page, http, args)
    report = _made(page, request)
    if isinstance(report, HttpResponse):
        return report
    bar = filter_bar(http, request.filters, *page.kept)
    query = query_with(http)
    files = {table.key: _files(page, args, table, query) for table in report.tables}
    context = {
        "title": report.title,
        "filters": {**bar, "says": report.says, "compares": page.compares},
        "tables": {table.key: table for table in report.tables},
        "files": files,
        "pairs": [(table, files[table.key]) for table in report.tables],
        "is_empty": report.is_empty,
        **report.context,
    }
    return render_page(http, page.template, request.frame, context)


def _files(page: Page, args: Mapping[str, str], table: Table, query: str) -> list[tuple[str, str]]:
    """(kind, address) of a table's files."""
    return [
        (title, reverse(f"{page.name}_{kind}", kwargs={**args, "table": table.key}) + query)
        for kind, title in KINDS.items()
    ]


def _file(page: Page, kind: str, http: HttpRequest, table: str, **args: str) -> HttpResponseBase:
    request = _read(page, http, args)
    report = _made(page, request)
    if isinstance(report, HttpResponse):
        return report
    found = next((one for one in report.tables if one.key == table), None)
    if found is None:
        raise Http404
    period = request.filters.period
    name = "-".join([page.name.replace("_", "-"), *map(str, args.values()), table, f"{period.first}", f"{period.last}"])
    says = [*file_head(page, request), *report.head]
    if kind == "csv":
        response = StreamingHttpResponse(csv_lines(found, says), content_type=CSV_TYPE)
    else:
        response = StreamingHttpResponse(xlsx_pieces(found, says), content_type=XLSX_TYPE)
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response


def _read(page: Page, http: HttpRequest, args: Mapping[str, str]) -> Request:
    now = timezone.now()
    frame = Frame.load(http, now)
    extra = page.extra(frame) if page.extra else None
    fixed = {dimension: args[name] for name, dimension in page.fixes.items() if name in args}
    filters = Filters.read(http, now, frame, extra=extra, ignores=page.ignores, fixed=fixed)
    if page.days:
        filters = filters.bounded(page.days)
    return Request(http, now, frame, filters, args)


def _made(page: Page, request: Request) -> Report | HttpResponse:
    """The report, or the page that says why there is none."""
    try:
        held = request.frame.organisation
        with patience(), limited_by(held.min_n, held.low_n):
            return page.make(request)
    except NotThere as missing:
        title, text = missing.args
        return render_notice(request.http, title, text, status=404)
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", "") != "57014":  # any other is no matter of patience
            raise
        text = _("So much cannot be counted while you wait. Choose fewer days, or a touchpoint. Nothing was lost.")
        return render_notice(request.http, _("This took too long"), text, status=503)


@contextmanager
def patience() -> Iterator[None]:
    """Queries inside end by themselves after PATIENCE_MS."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            told = "set_config('statement_timeout', %s, true), set_config('work_mem', %s, true)"
            cursor.execute(f"SELECT {told}", [str(PATIENCE_MS), MEMORY])
        yield


def file_head(page: Page, request: Request) -> list[tuple[str, str]]:
    """The top of a file: whose, which days, which filters, when it was made, where."""
    organisation, filters = request.frame.organisation, request.filters
    made = request.now.astimezone(organisation.zone)
    said = [
        (_("Organisation"), organisation.label),
        (_("Period"), f"{filters.period.first} – {filters.period.last} ({organisation.time_zone})"),
    ]
    if filters.before and page.compares:
        said.append((_("Compared with"), f"{filters.before[0]} – {filters.before[1]}"))
    return [
        *said,
        *filters.says(),
        (_("Made"), made.isoformat(timespec="seconds")),
        (_("Address"), settings.BASE_URL),
    ]
