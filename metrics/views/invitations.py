"""Pages on invitations: funnel, response rates, who is missing, message load. Nobody is named on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from metrics import reports
from metrics.decisions import markers
from metrics.display import funnel_pages, trends
from metrics.filters import Offered, carried_query
from metrics.frame import Frame, list_url, may_view
from metrics.raw.fatigue import WEARING_DAYS, measure_load, measure_objections, measure_spared, measure_wearing
from metrics.raw.funnel import Asked, Key, Passage, Segments, marginal, measure_passages, passage_interval, whole
from metrics.reports import Page, Report
from metrics.slices import Interval, Slice, starts
from surveys.admin.texts import language_name
from surveys.channels import SENDING
from surveys.models import InvitationRule, Mode

MAX_DAYS = 366  # raw rows are read: a longer period would keep a reader waiting
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
class Asking:
    """What a page is made of: the URL, read, what keys are called, and which invitations."""

    page: reports.Request
    names: Names
    asked: Asked

    @property
    def interval(self) -> Interval:
        return passage_interval(self.page.filters.period.days)

    @property
    def starts(self) -> list[date]:
        period = self.page.filters.period
        return starts(self.interval, Slice(day_from=period.first, day_to=period.last), ())

    def placed(self, held: Sequence[date]) -> list[trends.Placed]:
        """The decisions that took effect in these periods, at touchpoints that the page shows."""
        near = markers(self.page.frame, self.page.filters.slice())
        return trends.place_markers(near, held, self.interval)

    def parts(self, dimension: str, found: Mapping[str, Passage]) -> list[tuple[str, str, Passage]]:
        """(name, query, passage) of each group."""
        rows = []
        for key, passage in found.items():
            name, value = self.names.of(dimension, key)
            rows.append((name, self.page.query_with(**{dimension: value}) if value else "", passage))
        return rows

    def periods(self, found: Mapping[str, Passage]) -> list[tuple[date, Passage]]:
        """Every week or month of the period, those without invitations too."""
        return [(start, found.get(start.isoformat(), Passage())) for start in self.starts]


def _funnel(request: Asking) -> Report:
    asked_by = request.page.http.GET.get("by", "")
    by = asked_by if asked_by in BY else BY[0]
    found = measure_passages(request.asked, [by])
    total = whole(found)
    parts = funnel_pages.parts_table(by, request.parts(by, marginal(found, 0)))
    tabs = [
        {
            "title": funnel_pages.DIMENSIONS[name][0],
            "query": request.page.query_with(by=name),
            "current": name == by,
        }
        for name in BY
    ]
    tables = (funnel_pages.funnel_table(total), funnel_pages.withheld_table(total), parts)
    context = {"by_tabs": tabs, "parts_key": parts.key, **_answer(total), "said": funnel_pages.holding_back(total)}
    return Report("", tables, context, not total.decided)


def _answer(total: Passage) -> dict[str, Any]:
    """The response rate, and whether it is the last word."""
    return {
        "headline": funnel_pages.rate(_("Response rate"), funnel_pages.answered_of_sent(total)),
        "rising": funnel_pages.open_text(total.open) if total.open else "",
    }


def _rates(request: Asking) -> Report:
    found = measure_passages(request.asked, [request.interval], with_refusals=True)
    total = whole(found)
    periods = request.periods(marginal(found, 0))
    aapor = funnel_pages.aapor_table(total.cases)
    placed = request.placed([start for start, _passage in periods])
    chart = funnel_pages.rates_chart(periods, request.interval, placed)
    tables = (funnel_pages.rates_table(periods, request.interval, placed), aapor, funnel_pages.cases_table(total.cases))
    context = {
        **_answer(total),
        "of_delivered": funnel_pages.rate(
            _("Answers ÷ delivered"), funnel_pages.answered_of_delivered(total) if total.sent else None
        ),
        "chart": chart,
        "draws": any(value is not None for value in chart["values"]),
        "marks": trends.marks_of(placed),
        "ended": f"{total.cases.in_all:,}",
        "definitions": list(zip(funnel_pages.definitions(), aapor.rows, strict=True)),
    }
    return Report("", tables, context, not total.decided)


def _missing(request: Asking) -> Report:
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
    return Report("", tables, context, not total.sent)


def _last_days(asked: Asked) -> Asked:
    return replace(asked, begin=max(asked.begin, asked.end - timedelta(days=WEARING_DAYS)))


def _load(request: Asking) -> Report:
    loads = measure_load(request.asked)
    spared = measure_spared(request.asked)
    objections = measure_objections(request.asked, request.interval, request.starts)
    placed = request.placed(sorted(objections))
    chart = funnel_pages.objections_chart(objections, request.interval, placed)
    tables = (
        funnel_pages.load_table(loads),
        funnel_pages.wearing_table(measure_wearing(_last_days(request.asked))),
        funnel_pages.spared_table(spared),
        funnel_pages.objections_table(objections, request.interval, placed),
    )
    context = {
        "said": funnel_pages.load_sentences(loads),
        "chart": chart if any(value is not None for value in chart["values"]) else None,
        "drawn": "objections",
        "chart_id": "objections-data",
        "marks": trends.marks_of(placed),
    }
    return Report("", tables, context, not any(load.written_to for load in loads) and not spared.decided)


# --- From a URL to a page ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tab:
    """One of the pages. `ignores`: what narrows the others and not this one."""

    title: Any
    make: Callable[[Asking], Report]
    ignores: Sequence[str] = ()
    kept: Sequence[str] = ()


TABS: Mapping[str, Tab] = {
    "funnel": Tab(gettext_lazy("Funnel"), _funnel, kept=("by",)),
    "rates": Tab(gettext_lazy("Response rates"), _rates),
    "missing": Tab(gettext_lazy("Who is missing"), _missing),
    "load": Tab(
        gettext_lazy("Message load"),
        _load,
        ("journey", "stage", "touchpoint", "channel", "mode", "rule", "language"),
    ),
}
NOT_OF_INVITATIONS = ("location",)  # a place is an answer's, and not yet an invitation's


def _page(key: str, route: str = "") -> Page:
    tab = TABS[key]

    def make(request: reports.Request) -> Report:
        return _report(key, request, tab.make(_read(request)))

    return Page(
        f"response_{key}" if route == "" else "response",
        route or f"response/{key}/",
        f"staff/funnel/{key}.html",
        make,
        ignores=(*tab.ignores, *NOT_OF_INVITATIONS),
        kept=tab.kept,
        extra=_extra,
        days=MAX_DAYS,
        compares=False,
    )


def _extra(frame: Frame) -> Offered:
    """What only invitations can be narrowed by."""
    slugs = InvitationRule.objects.order_by("slug").values_list("slug", flat=True)
    rules = [(slug, slug) for slug in slugs]
    tags = [str(tag) for tag in frame.organisation.languages]
    return {
        "rule": (_("Rule"), [*rules, (NO_RULE, _("(no rule)"))] if rules else []),
        "language": (_("Language"), [(tag, language_name(tag)) for tag in tags]),
    }


def _report(key: str, request: reports.Request, made: Report) -> Report:
    """What is on each of the pages: the tabs, and what to do where there is nothing."""
    query = carried_query(request.http, **{name: request.http.GET.get(name, "") for name in ("rule", "language")})
    context = {
        "tabs": [
            {"title": tab.title, "url": reverse(f"response_{name}") + query, "current": name == key}
            for name, tab in TABS.items()
        ],
        "rules_url": list_url(InvitationRule) if may_view(request.http, InvitationRule) else "",
    }
    return replace(
        made, title=_("Invitations & response"), context={**context, **made.context}, says=_says(key, request)
    )


def _read(request: reports.Request) -> Asking:
    frame, filters = request.frame, request.filters
    rules = {
        row["slug"]: row for row in InvitationRule.objects.order_by("slug").values("pk", "slug", "delay_s", "expires_s")
    }
    names = Names(
        {str(row["pk"]): slug for slug, row in rules.items()},
        {str(one.pk): (slug, one.label) for slug, one in frame.touchpoints.items()},
        [str(tag) for tag in frame.organisation.languages],
    )
    begin, end = filters.moments(frame)
    chosen = filters.narrowing
    places = frame.catalogue.touchpoint_ids(filters.slice())
    rule = chosen.get("rule")
    longest = max((row["delay_s"] + row["expires_s"] for row in rules.values()), default=0) // DAY_S
    asked = Asked(
        begin=begin,
        end=end,
        now=request.now,
        zone=frame.organisation.time_zone,
        touchpoints=[one.pk for one in frame.touchpoints.values()] if places is None else places,
        rule=None if not rule else 0 if rule == NO_RULE else rules[rule]["pk"],
        mode=chosen.get("mode"),
        language=chosen.get("language"),
        segment=chosen.get("segment"),
        segments=Segments(frame.organisation.segment_attribute, frame.segments),
        slack_days=longest + 14,
    )
    return Asking(request, names, asked)


def _says(key: str, request: reports.Request) -> str:
    """Which date puts an invitation into the period."""
    period = request.filters.period
    days = {
        "first": date_format(period.first, "DATE_FORMAT"),
        "last": date_format(period.last, "DATE_FORMAT"),
        "zone": request.frame.organisation.time_zone,
    }
    if key == "load":
        return _("%(first)s to %(last)s, in the organisation’s days (%(zone)s).") % days
    return _(
        "Invitations decided on from %(first)s to %(last)s, sent or not, in the organisation’s days (%(zone)s). What became of them "
        "later is counted here, too."
    ) % days  # fmt: skip


PAGES = (_page("funnel", "response/"), *(_page(key) for key in TABS))
