"""Staff pages on invitations: funnel, response rates, who is missing, message load. In: a URL with filters. Out: pages and CSV files.

A page and its files are made by the same function of the same URL, so they hold the same. Nothing is written, nobody is named. What
takes too long is given up with a page that says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from metrics import funnel_pages
from metrics.fatigue import WEARING_DAYS, measure_load, measure_objections, measure_spared, measure_wearing
from metrics.funnel import Asked, Key, Passage, Segments, marginal, measure_passages, passage_interval, whole
from metrics.slices import Interval, Slice, starts
from metrics.tables import Table, csv_lines
from metrics.views import (
    Filters,
    Frame,
    Offered,
    filter_bar,
    list_url,
    may_view,
    query_with,
    render_notice,
    render_page,
    staff_page,
)
from surveys.admin.texts import language_name
from surveys.channels import SENDING
from surveys.models import InvitationRule, Mode

MAX_DAYS = 366  # raw rows are read: a longer period would keep a reader waiting
PATIENCE_MS = 25_000
MEMORY = "64MB"  # so that a month's invitations are joined without files
NO_RULE = "~"  # no slug holds it
DAY_S = 86_400
BY = ("rule", "touchpoint", "mode", "language")
MISSING_BY = ("segment", "mode", "language")


@dataclass(frozen=True)
class Names:
    """What keys are called, and by which value the URL narrows to them ("" where it cannot)."""

    rules: Mapping[str, str]
    touchpoints: Mapping[str, tuple[str, str]]  # id -> (slug, label)
    languages: Sequence[str]

    def of(self, dimension: str, key: str) -> tuple[str, str]:
        """(name, value in the URL)."""
        if dimension == "rule":
            return (self.rules.get(key, key), self.rules.get(key, "")) if key != "0" else (_("(no rule)"), NO_RULE)
        if dimension == "touchpoint":
            slug, label = self.touchpoints.get(key, ("", key))
            return label, slug
        if dimension == "mode":
            return _mode(key), key if key in SENDING else ""
        if dimension == "language":
            return language_name(key) if key else _("(none)"), key if key in self.languages else ""
        return key or _("(none)"), key


def _mode(key: str) -> str:
    return str(Mode(key).label) if key in Mode.values else key or _("(none)")


@dataclass(frozen=True)
class Request:
    """A page's URL, read."""

    http: HttpRequest
    frame: Frame
    filters: Filters
    offered: Offered
    names: Names
    asked: Asked

    @property
    def interval(self) -> Interval:
        return passage_interval(self.filters.period.days)

    @property
    def starts(self) -> list[date]:
        period = self.filters.period
        return starts(self.interval, Slice(day_from=period.first, day_to=period.last), ())

    def parts(self, dimension: str, found: Mapping[str, Passage]) -> list[tuple[str, str, Passage]]:
        """(name, query, passage) of each group."""
        rows = []
        for key, passage in found.items():
            name, value = self.names.of(dimension, key)
            rows.append((name, query_with(self.http, **{dimension: value}) if value else "", passage))
        return rows

    def periods(self, found: Mapping[str, Passage]) -> list[tuple[date, Passage]]:
        """Every week or month of the period, those without invitations too."""
        return [(start, found.get(start.isoformat(), Passage())) for start in self.starts]


@dataclass(frozen=True)
class Report:
    """What a page shows: its tables by key, and what else its template wants. `is_empty`: nothing was decided on."""

    tables: Mapping[str, Table]
    context: Mapping[str, Any] = field(default_factory=dict)
    is_empty: bool = False


@dataclass(frozen=True)
class Page:
    """One of the tabs. `filters`: what narrows it beside the period."""

    title: Any
    make: Callable[[Request], Report]
    filters: Sequence[str]
    kept: Sequence[str] = ()


def _keyed(*tables: Table) -> dict[str, Table]:
    return {table.key: table for table in tables}


def _funnel(request: Request) -> Report:
    asked_by = request.http.GET.get("by", "")
    by = asked_by if asked_by in BY else BY[0]
    found = measure_passages(request.asked, [by])
    total = whole(found)
    parts = funnel_pages.parts_table(by, request.parts(by, marginal(found, 0)))
    tabs = [
        {
            "title": funnel_pages.DIMENSIONS[name][0],
            "query": query_with(request.http, by=name),
            "current": name == by,
        }
        for name in BY
    ]
    tables = (funnel_pages.funnel_table(total), funnel_pages.withheld_table(total), parts)
    context = {"by_tabs": tabs, "parts_key": parts.key, **_answer(total), "said": funnel_pages.holding_back(total)}
    return Report(_keyed(*tables), context, not total.decided)


def _answer(total: Passage) -> dict[str, Any]:
    """The response rate, and whether it is the last word."""
    return {
        "headline": funnel_pages.rate(_("Response rate"), funnel_pages.answered_of_sent(total)),
        "rising": funnel_pages.open_text(total.open) if total.open else "",
    }


def _rates(request: Request) -> Report:
    found = measure_passages(request.asked, [request.interval], with_refusals=True)
    total = whole(found)
    periods = request.periods(marginal(found, 0))
    aapor = funnel_pages.aapor_table(total.cases)
    chart = funnel_pages.rates_chart(periods, request.interval)
    tables = _keyed(funnel_pages.rates_table(periods, request.interval), aapor, funnel_pages.cases_table(total.cases))
    context = {
        **_answer(total),
        "of_delivered": funnel_pages.rate(
            _("Answers ÷ delivered"), funnel_pages.answered_of_delivered(total) if total.sent else None
        ),
        "chart": chart,
        "draws": any(value is not None for value in chart["values"]),
        "ended": f"{total.cases.in_all:,}",
        "definitions": list(zip(funnel_pages.definitions(), aapor.rows, strict=True)),
    }
    return Report(tables, context, not total.decided)


def _missing(request: Request) -> Report:
    found: Mapping[Key, Passage] = measure_passages(request.asked, MISSING_BY, only_sent=True)
    total = whole(found)
    standings = {
        name: funnel_pages.standings(request.parts(name, marginal(found, place)))
        for place, name in enumerate(MISSING_BY)
    }
    told = [(str(funnel_pages.DIMENSIONS[name][0]), groups) for name, groups in standings.items()]
    tables = [
        funnel_pages.standings_table(name, groups)
        for name, groups in standings.items()
        if len(groups) > 1 or name == "segment"
    ]
    context = {**_answer(total), "said": funnel_pages.missing_sentences(told), "alone": len(told) - len(tables)}
    return Report(_keyed(*tables), context, not total.sent)


def _last_days(asked: Asked) -> Asked:
    return replace(asked, begin=max(asked.begin, asked.end - timedelta(days=WEARING_DAYS)))


def _load(request: Request) -> Report:
    loads = measure_load(request.asked)
    spared = measure_spared(request.asked)
    objections = measure_objections(request.asked, request.interval, request.starts)
    chart = funnel_pages.objections_chart(objections, request.interval)
    tables = _keyed(
        funnel_pages.load_table(loads),
        funnel_pages.wearing_table(measure_wearing(_last_days(request.asked))),
        funnel_pages.spared_table(spared),
        funnel_pages.objections_table(objections, request.interval),
    )
    context = {
        "said": funnel_pages.load_sentences(loads),
        "chart": chart if any(value is not None for value in chart["values"]) else None,
        "drawn": "objections",
        "chart_id": "objections-data",
    }
    return Report(tables, context, not any(load.written_to for load in loads) and not spared.decided)


EVERY_FILTER = ("touchpoint", "rule", "mode", "language", "segment")
PAGES: Mapping[str, Page] = {
    "funnel": Page(gettext_lazy("Funnel"), _funnel, EVERY_FILTER, ("by",)),
    "rates": Page(gettext_lazy("Response rates"), _rates, EVERY_FILTER),
    "missing": Page(gettext_lazy("Who is missing"), _missing, EVERY_FILTER),
    "load": Page(gettext_lazy("Message load"), _load, ("segment",)),
}


# --- From a URL to a page or a file -----------------------------------------------------------------------------------


@staff_page
def response_page(request: HttpRequest, page: str = "funnel") -> HttpResponse:
    """/admin/response/ and /admin/response/{page}/."""
    read, one = _read(request, page), PAGES[page]
    try:
        with _patience():
            report = one.make(read)
    except OperationalError as error:
        return _gave_up(request, error)
    filters = filter_bar(request, read.filters, read.offered, *one.kept)
    files = {key: reverse("response_csv", args=[page, key]) + _carry(request, one) for key in report.tables}
    context = {
        "title": _("Invitations & response"),
        "page": page,
        "tabs": [
            {"title": other.title, "url": _page_url(key) + _carry(request, other), "current": key == page}
            for key, other in PAGES.items()
        ],
        "filters": {**filters, "says": _says(read, page), "is_narrowed": any(read.filters.chosen.values())},
        "tables": report.tables,
        "files": files,
        "pairs": [(report.tables[key], file) for key, file in files.items()],
        "is_empty": report.is_empty,
        "rules_url": list_url(InvitationRule, {}).rstrip("?") if may_view(request, InvitationRule) else "",
        **report.context,
    }
    return render_page(request, f"staff/funnel/{page}.html", read.frame, context)


@staff_page
def response_csv(request: HttpRequest, page: str, table: str) -> HttpResponseBase:
    """/admin/response/{page}/{table}.csv: one table of the page, by the same filters."""
    read = _read(request, page)
    try:
        with _patience():
            report = PAGES[page].make(read)
    except OperationalError as error:
        return _gave_up(request, error)
    if table not in report.tables:
        raise Http404
    period = read.filters.period
    name = f"{page}-{table}-{period.first}-{period.last}.csv"
    lines = csv_lines(report.tables[table], _file_says(read))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _page_url(page: str) -> str:
    return reverse("response") if page == "funnel" else reverse("response_page", args=[page])


def _carry(request: HttpRequest, page: Page) -> str:
    """What of this URL means something to the page."""
    own = (*page.filters, *page.kept)
    return query_with(request, **{name: "" for name in (*EVERY_FILTER, "by") if name not in own})


@contextmanager
def _patience() -> Iterator[None]:
    """Queries that end by themselves: a reader has gone long before."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            told = "set_config('statement_timeout', %s, true), set_config('work_mem', %s, true)"
            cursor.execute(f"SELECT {told}", [str(PATIENCE_MS), MEMORY])
        yield


def _gave_up(request: HttpRequest, error: OperationalError) -> HttpResponse:
    if getattr(error.__cause__, "pgcode", "") != "57014":  # any other is no matter of patience
        raise error
    text = _(
        "So many invitations cannot be counted while you wait. Choose fewer days, or a touchpoint. Nothing was lost."
    )
    return render_notice(request, _("This took too long"), text, status=503)


def _read(http: HttpRequest, page: str) -> Request:
    if page not in PAGES:
        raise Http404
    now = timezone.now()
    frame = Frame.load(http, now)
    rules = {
        row["slug"]: row for row in InvitationRule.objects.order_by("slug").values("pk", "slug", "delay_s", "expires_s")
    }
    tags = [str(tag) for tag in frame.organisation.languages]
    names = Names(
        {str(row["pk"]): slug for slug, row in rules.items()},
        {str(one.pk): (slug, one.label) for slug, one in frame.touchpoints.items()},
        tags,
    )
    every: Offered = {
        "touchpoint": (_("Touchpoint"), [(slug, one.label) for slug, one in frame.touchpoints.items()]),
        "rule": (_("Rule"), [*((slug, slug) for slug in rules), (NO_RULE, _("(no rule)"))] if rules else []),
        "mode": (_("Sent by"), [(mode, str(Mode(mode).label)) for mode in SENDING]),
        "language": (_("Language"), [(tag, language_name(tag)) for tag in tags]),
        "segment": (_("Segment"), frame.segment_choices),
    }
    offered = {name: every[name] for name in PAGES[page].filters}
    filters = _bounded(Filters.read(http, now, frame, offered))
    begin, end = filters.moments(frame.organisation)
    chosen = filters.chosen
    touchpoint, rule = chosen.get("touchpoint"), chosen.get("rule")
    longest = max((row["delay_s"] + row["expires_s"] for row in rules.values()), default=0) // DAY_S
    asked = Asked(
        begin=begin,
        end=end,
        now=now,
        zone=frame.organisation.time_zone,
        touchpoints=[frame.touchpoints[touchpoint].pk]
        if touchpoint
        else [one.pk for one in frame.touchpoints.values()],
        rule=None if not rule else 0 if rule == NO_RULE else rules[rule]["pk"],
        mode=chosen.get("mode") or None,
        language=chosen.get("language") or None,
        segment=chosen.get("segment") or None,
        segments=Segments(frame.organisation.segment_attribute, frame.segments),
        slack_days=longest + 14,
    )
    return Request(http, frame, filters, offered, names, asked)


def _bounded(filters: Filters) -> Filters:
    """At most MAX_DAYS, the last ones; and it is said."""
    period = filters.period
    if period.days <= MAX_DAYS:
        return filters
    told = _("These pages show %(count)d days at most: here are the last of those asked for.") % {"count": MAX_DAYS}
    shorter = replace(period, first=period.last - timedelta(days=MAX_DAYS - 1))
    return replace(filters, period=shorter, wrong=[*filters.wrong, told])


def _days(request: Request) -> dict[str, str]:
    period = request.filters.period
    return {
        "first": date_format(period.first, "DATE_FORMAT"),
        "last": date_format(period.last, "DATE_FORMAT"),
        "zone": request.frame.organisation.time_zone,
    }


def _says(request: Request, page: str) -> str:
    """Which date puts an invitation into the period."""
    if page == "load":
        return _("%(first)s to %(last)s, in the organisation’s days (%(zone)s).") % _days(request)
    return _(
        "Invitations decided on from %(first)s to %(last)s, sent or not, in the organisation’s days (%(zone)s). What became of them "
        "later is counted here, too."
    ) % _days(request)  # fmt: skip


def _file_says(request: Request) -> list[tuple[str, str]]:
    """The top of a file: whose, which days, which filters, when it was made."""
    organisation = request.frame.organisation
    made: datetime = request.asked.now.astimezone(organisation.zone)
    said = [
        (_("Organisation"), organisation.label),
        (_("Period"), f"{request.filters.period.first} – {request.filters.period.last} ({organisation.time_zone})"),
    ]
    for name, value in request.filters.chosen.items():
        if value:
            title, options = request.offered[name]
            said.append((title, dict(options)[value]))
    return [*said, (_("Made"), made.isoformat(timespec="seconds")), (_("Address"), settings.BASE_URL)]
