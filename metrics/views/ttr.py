"""Pages on tickets: how long they stay open, by day resolved, by day opened, and what customers say of the wait.

By day resolved is workload, by day opened is a cohort: they are two pages and never one number. `?clock=business` tells all of it in
the organisation's working time. Nobody is named; a ticket's own page is linked to for those who may open it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from metrics import formulas, reports
from metrics.decisions import markers
from metrics.display import trends, ttr_pages
from metrics.display.figures import HOUR_S, is_enough
from metrics.display.ttr_pages import Answer, Clock, Cohort
from metrics.filters import carried_query
from metrics.frame import may_view, row_url
from metrics.queries import Durations, measure_ages, measure_durations, measure_waiting
from metrics.raw import experience
from metrics.raw.experience import Asked
from metrics.reports import Page, Report
from metrics.significance import Counts
from metrics.slices import Interval, Slice, starts
from metrics.views.decisions import near_decisions
from surveys.models import Channel, Organisation, Ticket

MAX_DAYS = 366  # where raw rows are read
OLDEST = 20
FALLBACK_FACT = "wait_seconds"
T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """What a page is made of: the URL, read, and which clock."""

    page: reports.Request
    clock: Clock

    @property
    def slice(self) -> Slice:
        return self.page.filters.slice()

    @property
    def slice_before(self) -> Slice | None:
        return self.page.filters.slice_before()

    @property
    def measured(self) -> dict[str, Any]:
        """What every measurement here is given."""
        return {"hours": self.clock.hours, "catalogue": self.page.frame.catalogue}

    @property
    def raw(self) -> Asked:
        filters = self.page.filters
        return Asked(
            filters.period.first,
            filters.period.last,
            self.page.frame.catalogue.touchpoint_ids(self.slice),
            filters.narrowing.get("segment"),
            filters.narrowing.get("location"),
            self.clock.hours is not None,
        )

    def cohort(self, slice_: Slice) -> Cohort:
        resolved = measure_durations("opened", slice_, **self.measured).total
        return Cohort(resolved.buckets, measure_waiting(slice_, now=self.page.now, **self.measured).total)

    def without_business_time(self) -> int:
        """How many tickets resolved in these days have no business time yet: they were resolved before there were any hours."""
        if self.clock.hours is None:
            return 0
        catalogue = self.page.frame.catalogue
        all_of_them = measure_durations("resolved", self.slice, catalogue=catalogue).total.n
        return max(0, all_of_them - measure_durations("resolved", self.slice, **self.measured).total.n)

    def interval(self, n: int) -> Interval:
        return self.page.filters.period.interval(n)

    def periods(self, held: Mapping[date, T], nothing: T, interval: Interval) -> list[tuple[date, T]]:
        """Every period of the days asked for, those without tickets too."""
        return [(start, held.get(start, nothing)) for start in starts(interval, self.slice, held)]

    def placed(self, held: Sequence[tuple[date, Any]], interval: Interval) -> list[trends.Placed]:
        """The decisions that took effect in these periods, at touchpoints that the page shows."""
        near = markers(self.page.frame, self.slice)
        return trends.place_markers(near, [start for start, _part in held], interval)

    def name_of(self, dimension: str, key: str) -> tuple[str, str]:
        """What a group is called, and the query that narrows the page to it."""
        if dimension == "touchpoint":
            name = self.page.frame.touchpoints[key].label if key in self.page.frame.touchpoints else ""
        elif dimension == "channel":
            name = str(Channel(key).label) if key in Channel.values else ""
        else:
            name = key
        return name or _("(none)"), self.page.query_with(**{dimension: key}) if key else ""


def _read(page: reports.Request) -> Asking:
    """The clock that the URL asks for; where the organisation has no hours, calendar time, and the page says why."""
    organisation = page.frame.organisation
    hours = organisation.work_calendar if page.http.GET.get("clock") == "business" else None
    return Asking(page, Clock(hours))


# --- How long tickets stay open ---------------------------------------------------------------------------------------


def _stay(asking: Asking) -> Report:
    cohort = asking.cohort(asking.slice)
    resolved = measure_durations("resolved", asking.slice, **asking.measured).total
    answered = measure_durations("answered", asking.slice, **asking.measured).total
    ages = measure_ages(
        replace(asking.slice, day_from=None, day_to=None), asking.clock.edges, now=asking.page.now, **asking.measured
    )
    cohort_change = resolved_change = None
    if (before := asking.slice_before) is not None:
        cohort_change = ttr_pages.change(cohort.counts, asking.cohort(before).counts, "median_with_open", asking.clock)
        earlier = measure_durations("resolved", before, **asking.measured).total
        resolved_change = ttr_pages.change(Counts(resolved.buckets), Counts(earlier.buckets), "median", asking.clock)
    steps = formulas.kaplan_meier_steps(cohort.resolved, cohort.waiting)
    curve = ttr_pages.curve_chart(steps, cohort.median, asking.clock)
    decided, links = near_decisions(asking.page)
    tables = [
        ttr_pages.curve_table(steps, cohort.n, asking.clock),
        ttr_pages.ages_table(ages, asking.clock),
        *_oldest(asking),
        decided,
    ]
    context = {
        **links,
        "cohort": ttr_pages.answer(cohort.median, asking.clock, cohort_change),
        "cohort_open": f"{cohort.open:,}",
        "cohort_n": f"{cohort.n:,}",
        "resolved": ttr_pages.answer(formulas.ttr_median(resolved.buckets), asking.clock, resolved_change),
        "spent": ttr_pages.spent(resolved, asking.clock),
        "reopened": ttr_pages.percent_cell(formulas.share_of(resolved.reopened, resolved.n)),
        "curve": curve if len(curve["points"]) > 1 and is_enough(cohort.n) else None,
        "ages": ages,
        "first": _first_response(asking, answered),
        "first_spent": ttr_pages.spent(answered, asking.clock),
        "unanswered": f"{ages.unanswered:,}",
        "open_now": f"{ages.n:,}",
    }
    return Report("", tables, context, not (cohort.n or resolved.n or ages.n))


def _first_response(asking: Asking, answered: Durations) -> Answer:
    return ttr_pages.answer(formulas.ttr_median(answered.buckets), asking.clock)


def _oldest(asking: Asking) -> Sequence[Any]:
    """Only for those who may see tickets at all."""
    frame = asking.page.frame
    if not may_view(asking.page.http, Ticket):
        return []
    tickets = experience.oldest_open(asking.raw, OLDEST)
    names = {one.pk: one.label for one in frame.touchpoints.values()}
    urls = {ticket.id: row_url(Ticket, ticket.id) for ticket in tickets}
    hours = frame.organisation.work_calendar
    clocks = [Clock(), *([Clock(hours)] if hours else [])]
    return [ttr_pages.oldest_table(tickets, names, urls, asking.page.now, frame.organisation.zone, clocks)]


# --- By day resolved, by day opened -----------------------------------------------------------------------------------

OF_TICKETS = ("touchpoint", "segment", "location")


def _workload(asking: Asking) -> Report:
    total = measure_durations("resolved", asking.slice, **asking.measured).total
    interval = asking.interval(total.n)
    series = measure_durations("resolved", asking.slice, interval=interval, **asking.measured).series
    periods = asking.periods(series, Durations(), interval)
    placed = asking.placed(periods, interval)
    tables = [ttr_pages.resolved_periods(periods, interval, asking.clock, placed)]
    by = {
        dimension: measure_durations("resolved", asking.slice, group_by=dimension, **asking.measured).groups
        for dimension in OF_TICKETS
    }
    by = {"touchpoint": by["touchpoint"], "channel": _by_channel(asking, by["touchpoint"], _sum), **by}
    held_to = _held_to_targets(asking, by["touchpoint"])
    if held_to:
        tables.append(ttr_pages.targets_table(held_to, asking.clock))
    for dimension, groups in by.items():
        if len(groups) > 1 or dimension == "touchpoint":
            parts = [(*asking.name_of(dimension, key), held) for key, held in groups.items()]
            tables.append(ttr_pages.resolved_parts(dimension, parts, asking.clock))
    chart = ttr_pages.trend_chart(
        _("Median, by day resolved (%(clock)s)") % {"clock": asking.clock.name},
        [(start, formulas.ttr_median(held.buckets), False) for start, held in periods],
        interval, asking.clock, _only_target(asking), placed,
    )  # fmt: skip
    context = {
        "answer": ttr_pages.answer(formulas.ttr_median(total.buckets), asking.clock),
        "spent": ttr_pages.spent(total, asking.clock),
        "reopened": ttr_pages.percent_cell(formulas.share_of(total.reopened, total.n)),
        "within": _within_all(held_to),
        "chart": chart if any(value is not None for value in chart["values"]) else None,
        "marks": trends.marks_of(placed),
    }
    return Report("", tables, context, not total.n)


def _targets(asking: Asking) -> dict[str, float]:
    """Seconds by slug. Targets are hours of the calendar: business time is not held against them."""
    if asking.clock.hours is not None:
        return {}
    return {
        slug: float(one.targets["ttr_hours"]) * HOUR_S
        for slug, one in asking.page.frame.touchpoints.items()
        if "ttr_hours" in one.targets
    }


def _only_target(asking: Asking) -> float | None:
    """A line in the chart, where the page shows one touchpoint."""
    return _targets(asking).get(asking.page.filters.narrowing.get("touchpoint", ""))


def _held_to_targets(asking: Asking, groups: Mapping[str, Durations]) -> list[tuple[str, str, Durations, float]]:
    targets = _targets(asking)
    return [
        (*asking.name_of("touchpoint", slug), held, targets[slug]) for slug, held in groups.items() if slug in targets
    ]


def _within_all(parts: Sequence[tuple[str, str, Durations, float]]) -> Any:
    """The share resolved within the target of their own touchpoint, over all touchpoints that have one; None for none."""
    within = [formulas.count_within(held.buckets, target) for _name, _query, held, target in parts]
    n = sum(held.n for _name, _query, held, _target in parts)
    return ttr_pages.percent_cell(formulas.share_of(sum(within), n)) if n else None


def _by_channel(asking: Asking, groups: Mapping[str, T], add: Callable[[Sequence[T]], T]) -> dict[str, T]:
    """Touchpoints' parts, by the channel of each; "" for tickets that name no touchpoint."""
    found: dict[str, list[T]] = {}
    for slug, part in groups.items():
        place = asking.page.frame.touchpoints.get(slug)
        found.setdefault(place.channel if place else "", []).append(part)
    return {channel: add(parts) for channel, parts in found.items()}


def _sum(parts: Sequence[Durations]) -> Durations:
    return Durations(
        _sum_buckets([part.buckets for part in parts]),
        sum(part.n for part in parts),
        sum(part.sum_s for part in parts),
        sum(part.reopened for part in parts),
    )


def _sum_buckets(parts: Sequence[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for part in parts:
        for bucket, count in part.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def _sum_cohorts(parts: Sequence[Cohort]) -> Cohort:
    return Cohort(_sum_buckets([part.resolved for part in parts]), _sum_buckets([part.waiting for part in parts]))


def _cohorts(asking: Asking) -> Report:
    now = asking.page.now

    def split(**by: Any) -> tuple[dict[Any, Cohort], dict[Any, Cohort]]:
        """By period and by group."""
        done = measure_durations("opened", asking.slice, **by, **asking.measured)
        open_ = measure_waiting(asking.slice, now=now, **by, **asking.measured)
        series = {
            key: Cohort(done.series[key].buckets if key in done.series else {}, open_.series.get(key, {}))
            for key in {*done.series, *open_.series}
        }
        groups = {
            key: Cohort(done.groups[key].buckets if key in done.groups else {}, open_.groups.get(key, {}))
            for key in {*done.groups, *open_.groups}
        }
        return series, groups

    _none, by_place = split(group_by="touchpoint")
    total = _sum_cohorts(list(by_place.values()))
    interval = asking.interval(total.n)
    periods = asking.periods(split(interval=interval)[0], Cohort({}, {}), interval)
    placed = asking.placed(periods, interval)
    tables = [ttr_pages.cohort_periods(periods, interval, asking.clock, placed)]
    by = {"touchpoint": by_place, "channel": _by_channel(asking, by_place, _sum_cohorts)}
    by |= {dimension: split(group_by=dimension)[1] for dimension in OF_TICKETS[1:]}
    for dimension, groups in by.items():
        if len(groups) > 1 or dimension == "touchpoint":
            parts = [(*asking.name_of(dimension, key), cohort) for key, cohort in groups.items() if cohort.n]
            tables.append(ttr_pages.cohort_parts(dimension, parts, asking.clock))
    chart = ttr_pages.trend_chart(
        _("Median with open ones counted, by day opened (%(clock)s)") % {"clock": asking.clock.name},
        [(start, cohort.median, cohort.open > 0) for start, cohort in periods],
        interval, asking.clock, _only_target(asking), placed,
    )  # fmt: skip
    context = {
        "answer": ttr_pages.answer(total.median, asking.clock),
        "cohort_open": f"{total.open:,}",
        "cohort_n": f"{total.n:,}",
        "chart": chart if any(value is not None for value in chart["values"]) else None,
        "marks": trends.marks_of(placed),
    }
    return Report("", tables, context, not total.n)


# --- What customers say of the wait -----------------------------------------------------------------------------------


def _experience(asking: Asking) -> Report:
    http = asking.page.http
    by_ttr = experience.scores_by_ttr(asking.raw, asking.clock.edges)
    numbers = experience.numeric_facts()
    fact = http.GET.get("fact", "")[:100].replace("\0", "") or _default(numbers)
    by_fact = experience.scores_by_fact(asking.raw, fact) if fact else []
    attributes = experience.opening_facts()
    attribute = http.GET.get("attribute", "")[:100].replace("\0", "") or (attributes[0] if attributes else "")
    tables = [
        ttr_pages.scores_table(
            "scores-by-ttr",
            _("Scores by how long the ticket took"),
            _(
                "Answers given in these days after their ticket was resolved, by its time to resolution in %(clock)s. The ticket is the "
                "one whose event led to the question or, on a form, the one whose reference the page passed on for that customer."
            )
            % {"clock": asking.clock.name},
            _("How long"), asking.clock.bins(), by_ttr,
        ),
    ]  # fmt: skip
    if fact:
        tables.append(
            ttr_pages.scores_table(
                "scores-by-fact",
                _("Scores by “%(fact)s”") % {"fact": fact},
                _(
                    "Answers given in these days, in four parts of as many answers as ties allow, from the least to the greatest "
                    "“%(fact)s” of the answer itself or of the event that it was asked about."
                )
                % {"fact": fact},
                fact, ttr_pages.quarters(by_fact, fact), by_fact,
            )
        )  # fmt: skip
    if attribute:
        held = experience.durations_by_fact(asking.raw, attribute)
        tables.append(ttr_pages.facts_table(attribute, held, asking.clock))
    context = {
        "facts": _choices(asking, "fact", fact, numbers),
        "attributes": _choices(asking, "attribute", attribute, attributes),
        "has_scores": bool(by_ttr),
    }
    return Report("", tables, context)


def _default(numbers: Sequence[str]) -> str:
    return FALLBACK_FACT if FALLBACK_FACT in numbers else numbers[0] if numbers else ""


def _choices(asking: Asking, name: str, current: str, known: Sequence[str]) -> list[dict[str, Any]]:
    listed = list(known) if current in known or not current else [current, *known]
    return [{"title": one, "query": asking.page.query_with(**{name: one}), "current": one == current} for one in listed]


# --- From a URL to a page ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tab:
    """One of the pages; `days` as `Page` has it. `compares`: whether anything on it is held against other days."""

    title: Any
    make: Callable[[Asking], Report]
    template: str
    says: Any
    compares: bool = False
    days: int | None = None
    kept: Sequence[str] = ()


TABS: Mapping[str, Tab] = {
    "ttr": Tab(
        gettext_lazy("Time to resolution"),
        _stay,
        "staff/ttr/stay.html",
        gettext_lazy("%(first)s to %(last)s, in the organisation’s days (%(zone)s); durations in %(clock)s."),
        compares=True,
    ),
    "ttr_workload": Tab(
        gettext_lazy("By day resolved"),
        _workload,
        "staff/ttr/workload.html",
        gettext_lazy(
            "Tickets resolved from %(first)s to %(last)s (%(zone)s), whenever they were opened; durations in %(clock)s."
        ),
    ),
    "ttr_cohorts": Tab(
        gettext_lazy("By day opened"),
        _cohorts,
        "staff/ttr/cohorts.html",
        gettext_lazy("Tickets opened from %(first)s to %(last)s (%(zone)s), resolved or not; durations in %(clock)s."),
    ),
    "ttr_experience": Tab(
        gettext_lazy("What customers say"),
        _experience,
        "staff/ttr/experience.html",
        gettext_lazy(
            "Answers given, and tickets resolved, from %(first)s to %(last)s (%(zone)s); durations in %(clock)s."
        ),
        days=MAX_DAYS,
        kept=("fact", "attribute"),
    ),
}
ROUTES = {
    "ttr": "ttr/",
    "ttr_workload": "ttr/resolved/",
    "ttr_cohorts": "ttr/opened/",
    "ttr_experience": "ttr/experience/",
}


def _page(key: str) -> Page:
    tab = TABS[key]

    def make(request: reports.Request) -> Report:
        asking = _read(request)
        return _report(key, asking, tab.make(asking))

    return Page(
        key,
        ROUTES[key],
        tab.template,
        make,
        ignores=("mode",),
        kept=("clock", *tab.kept),
        days=tab.days,
        compares=tab.compares,
    )


def _report(key: str, asking: Asking, made: Report) -> Report:
    """What is on each of the pages: the tabs, the clock, and what to do where there is nothing."""
    http, organisation = asking.page.http, asking.page.frame.organisation
    period = asking.page.filters.period
    asked_business = http.GET.get("clock") == "business"
    query = carried_query(http, clock="business" if asked_business else "")
    context = {
        "tabs": [
            {"title": tab.title, "url": reverse(name) + query, "current": name == key} for name, tab in TABS.items()
        ],
        "clock": asking.clock,
        "clocks": [
            {
                "title": _("Calendar time"),
                "query": asking.page.query_with(clock=""),
                "current": asking.clock.hours is None,
            },
            {
                "title": _("Business time"),
                "query": asking.page.query_with(clock="business"),
                "current": asking.clock.hours is not None,
            },
        ],
        "has_hours": organisation.work_calendar is not None,
        "without_business_time": asking.without_business_time(),
        "settings_url": row_url(Organisation, organisation.pk) if may_view(http, Organisation) else "",
    }
    days = {
        "first": date_format(period.first, "DATE_FORMAT"),
        "last": date_format(period.last, "DATE_FORMAT"),
        "zone": organisation.time_zone,
        "clock": asking.clock.name,
    }
    return replace(
        made,
        title=_("Time to resolution"),
        context={**context, **made.context},
        says=TABS[key].says % days,
        head=ttr_pages.in_files(asking.clock),
    )


PAGES = tuple(_page(key) for key in TABS)
