"""What a page is narrowed to: the period, what it is compared with, and the same filters on every page.

In: a URL. Out: Filters, of which slices are made, and what the filter bar draws. All of it stands in the URL, under the same names
everywhere, so that a link is a view and one page's filters serve the next. Nothing is measured here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _

from metrics.frame import Frame
from metrics.periods import COMPARISONS, KEYS, Period, read_comparison, read_period
from metrics.slices import OF_CELLS, OF_TOUCHPOINTS, Slice
from surveys.models import Channel, Mode

DIMENSIONS = (*OF_TOUCHPOINTS, *OF_CELLS)
# What each page carries on to the next.
CARRIED = ("period", "from", "to", "compare", *DIMENSIONS)
# … and by the list of answers alone.
_OF_ANSWERS = ("instrument", "score_min", "score_max", "language", "fact", "of")
MORE = ("stage", "mode", "location", *_OF_ANSWERS)  # asked for less often: folded away until one of them is chosen

Options = Sequence[tuple[str, str]]
Offered = Mapping[str, tuple[str, Options | None]]  # what can be filtered by: a title and its choices; None is any text


def offered_to(frame: Frame, journey: str = "") -> Offered:
    """Every page's own filters."""
    return {
        "journey": (_("Journey"), frame.journeys),
        "stage": (_("Stage"), frame.stages(journey)),
        "touchpoint": (_("Touchpoint"), [(slug, one.label) for slug, one in frame.touchpoints.items()]),
        "channel": (_("Channel"), [(value, str(label)) for value, label in Channel.choices]),
        "mode": (_("Collected by"), [(value, str(label)) for value, label in Mode.choices]),
        "segment": (_("Segment"), [(name, name) for name in frame.segments]),
        "location": (_("Location"), None),
    }


@dataclass(frozen=True)
class Filters:
    """What the URL asks for. Names that do not exist are left out and told in `wrong`.

    `fixed` the page sets itself; what it `ignores` is carried on but narrows nothing here. `before` are the days to compare
    with, None for none.
    """

    period: Period
    compare: str
    offered: Offered
    chosen: Mapping[str, str]
    wrong: Sequence[str] = ()
    fixed: Mapping[str, str] | None = None
    ignores: Sequence[str] = ()

    @classmethod
    def read(
        cls,
        request: HttpRequest,
        now: datetime,
        frame: Frame,
        *,
        extra: Offered | None = None,
        ignores: Sequence[str] = (),
        fixed: Mapping[str, str] | None = None,
    ) -> "Filters":
        """`extra`: filters that only this page has. `fixed`: dimensions that its address decides."""
        period = read_period(request.GET.dict(), frame.organisation.day_of(now))
        compare = read_comparison(request.GET.get("compare", ""))
        offered = {**offered_to(frame, (fixed or {}).get("journey") or request.GET.get("journey", "")), **(extra or {})}
        chosen, wrong = {}, []
        for name, (_title, options) in offered.items():
            value = request.GET.get(name, "")
            if "\0" in value or (value and options is not None and value not in dict(options)):
                wrong.append(_("There is no “%(value)s” to filter by.") % {"value": value[:60]})
                value = ""
            chosen[name] = value
        if period.wrong:
            wrong.append(_("These days cannot be shown. Below are the last 30 days."))
        return cls(period, compare, offered, chosen, wrong, fixed, ignores)

    @property
    def before(self) -> tuple[date, date] | None:
        return self.period.against(self.compare)

    @property
    def narrowing(self) -> dict[str, str]:
        """What holds on this page, by dimension and extra filter: chosen, not ignored, not decided by the page's address."""
        return {
            name: value
            for name, value in self.chosen.items()
            if value and name not in self.ignores and name not in self._decided
        }

    @property
    def _decided(self) -> frozenset[str]:
        """A page of one touchpoint has nothing to choose of its journey, stage and channel either; nor one of a journey."""
        fixed = self.fixed or {}
        if "touchpoint" in fixed:
            return frozenset(OF_TOUCHPOINTS)
        return frozenset(fixed)

    def slice(self, scale: int | None = None, **also: str) -> Slice:
        """The slice of the period. `also` narrows it further, by dimension."""
        chosen = {**self.narrowing, **(self.fixed or {}), **also}
        named: dict[str, Any] = {f"{name}s": frozenset([value]) for name, value in chosen.items() if name in DIMENSIONS}
        return Slice(day_from=self.period.first, day_to=self.period.last, scale=scale, **named)

    def slice_before(self, scale: int | None = None, **also: str) -> Slice | None:
        """The same of the days to compare with."""
        if self.before is None:
            return None
        return replace(self.slice(scale, **also), day_from=self.before[0], day_to=self.before[1])

    def bounded(self, days: int) -> "Filters":
        """At most the last `days` of the period; and it is said."""
        period = self.period
        if period.days <= days:
            return self
        told = _("This page shows %(count)d days at most: here are the last of those asked for.") % {"count": days}
        shorter = replace(period, first=period.last - timedelta(days=days - 1))
        return replace(self, period=shorter, wrong=[*self.wrong, told])

    def moments(self, frame: Frame) -> tuple[datetime, datetime]:
        """The period's beginning and end: answers from the first to before the second."""
        zone = frame.organisation.zone
        begin = datetime.combine(self.period.first, time.min, zone)
        return begin, datetime.combine(self.period.last + timedelta(days=1), time.min, zone)

    def says(self) -> list[tuple[str, str]]:
        """(title, choice) of each filter that holds, in the reader's words: for the top of a file, and for print."""
        said = []
        for name, value in self.narrowing.items():
            title, options = self.offered[name]
            said.append((title, dict(options)[value] if options is not None else value))
        return said


def query_with(request: HttpRequest, **changes: str) -> str:
    """This page's query with other values; "" takes one away. Other names, such as a page's number, stay."""
    return f"?{_changed(request.GET.copy(), changes).urlencode()}"


def carried_query(request: HttpRequest, **changes: str) -> str:
    """What another page takes over of this URL, as "?…", or "" where that is nothing."""
    query = request.GET.copy()
    for name in list(query):
        if name not in CARRIED or not query[name]:
            del query[name]
    return f"?{query.urlencode()}" if _changed(query, changes) else ""


def _changed(query: QueryDict, changes: Mapping[str, str]) -> QueryDict:
    for name, value in changes.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return query


def filter_bar(request: HttpRequest, filters: Filters, *kept: str) -> dict[str, Any]:
    """What the filter bar draws. `kept`: what else of the URL the form carries on."""
    titles = {
        "7d": _("7 days"),
        "30d": _("30 days"),
        "90d": _("90 days"),
        "month": _("This month"),
        "quarter": _("This quarter"),
        "365d": _("12 months"),
        "custom": _("Other days"),
    }
    against = {"previous": _("The days before"), "year": _("A year before"), "none": _("Nothing")}
    period = filters.period
    days = {"from": period.first.isoformat(), "to": period.last.isoformat()}
    shown = [
        name
        for name, (_title, options) in filters.offered.items()
        if name not in filters.ignores and name not in filters._decided and (options or options is None)
    ]
    carried = [name for name in filters.offered if name not in shown]
    fields = [
        {
            "name": name,
            "title": filters.offered[name][0],
            "options": filters.offered[name][1],
            "value": filters.chosen[name],
        }
        for name in shown
    ]
    return {
        "periods": [
            {
                "title": titles[key],
                "current": key == period.key,
                "query": query_with(request, period=key, **(days if key == "custom" else {"from": "", "to": ""})),
            }
            for key in KEYS
        ],
        "period": period,
        "days": days,
        "before": filters.before,
        "compare": filters.compare,
        "comparisons": [(key, against[key]) for key in COMPARISONS],
        "kept": [(name, value) for name in (*kept, *carried) if (value := request.GET.get(name, ""))],
        "fields": [field for field in fields if field["name"] not in MORE],
        "more": [field for field in fields if field["name"] in MORE],
        "more_open": any(filters.chosen[name] for name in MORE if name in shown),
        "wrong": filters.wrong,
        "is_narrowed": bool(filters.narrowing),
        "widened": query_with(request, **dict.fromkeys(shown, "")),
        "said": filters.says(),
        "does_not_apply": [filters.offered[name][0] for name in filters.ignores if filters.chosen.get(name)],
    }
