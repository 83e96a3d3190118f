"""“Try it”: what a rule, as it stands in the form, would have done with the events of the past days.

In: a rule's page or its form as typed. Out: a page that grows while the run goes on: progress, then the result. A script takes the same
pieces over without leaving the page; without it the page is simply as long as the run. Nothing is saved and nobody is written to.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from time import monotonic
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from surveys.admin.configuration import ConfigAdmin, list_url
from surveys.admin.records import SEES_PEOPLE, customer_link, link, moment, page_of
from surveys.flow.dry_run import ABSENT, ASKED, WAITS, Busy, Progress, Result, Sample, dry_run
from surveys.flow.eligibility import REASONS
from surveys.flow.programme.spans import span_of
from surveys.models import InteractionEvent, Invitation, InvitationRule
from surveys.words import rounded

May = Callable[[str], bool]
SPANS = (7, 30, 90)
USUAL = 30
PAUSE_S = 0.3  # between two pieces; writing one is how it is noticed that the reader is gone
NEXT = "\n<!-- next -->\n"  # between the pieces that the script takes over
PLACE = "<!-- the run -->"  # where they go on a page without it
SCRIPT = "fetch"
SEES_EVENTS = "surveys.view_interactionevent"
OWN = ("csrfmiddlewaretoken", "_past", "_run", "_typed")

WORDS = {
    ASKED: gettext_lazy("Would have been asked"),
    WAITS: gettext_lazy("Would be asked; the message would still wait"),
    ABSENT: gettext_lazy("No decision: the rule was off, or not there yet"),
}
REALLY = {
    ASKED: gettext_lazy("Asked"),
    WAITS: gettext_lazy("Waiting to be sent"),
    ABSENT: WORDS[ABSENT],
}


@dataclass(frozen=True)
class Bar:
    """One outcome: how many, what share, and some of its events."""

    key: str
    label: str
    count: str
    share: str
    part: float  # of the most frequent, 0…100
    samples: list["Line"]
    more: int = 0

    @property
    def has_ends(self) -> bool:
        return any(line.until for line in self.samples)


@dataclass(frozen=True)
class Line:
    at: str
    event: SafeString | str
    customer: SafeString | str
    until: str
    url: str


@dataclass(frozen=True)
class Day:
    label: str
    events: int
    asked: int
    high: float  # of the busiest day, 0…100
    part: float


class DryRunPages(ConfigAdmin):
    """What the admin of rules has beside its lists and forms."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [
            path("try/", view, name="surveys_invitationrule_try_new"),
            path("<path:object_id>/try/", view, name="surveys_invitationrule_try"),
            *super().get_urls(),
        ]

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        place = "try_new" if obj is None else "try"
        url = reverse(f"admin:surveys_invitationrule_{place}", args=[] if obj is None else [obj.pk])
        context |= {"try_url": url, "may_try": self._may_try(request, obj, True)}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def try_view(self, request: HttpRequest, object_id: str | None = None) -> HttpResponseBase:
        """GET and POST show what is to be tried, POST with `_run` tries it. POST may bring the form of the rule as typed."""
        row = self.get_object(request, object_id) if object_id is not None else None
        if object_id is not None and row is None:
            return self.missing(request, object_id)
        typed = request.method == "POST" and "_typed" in request.POST
        if not self._may_try(request, row, typed):
            raise PermissionDenied
        if row is None and not typed:
            return HttpResponseRedirect(list_url(InvitationRule))
        rule = row
        if typed:
            form = self.get_form(request, row, change=row is not None)(request.POST, request.FILES, instance=row)
            if not form.is_valid():
                wrong = [
                    (str(form.fields[name].label) if name in form.fields else "", str(error))
                    for name, errors in form.errors.items()
                    for error in errors
                ]
                return self._try_page(request, row, wrong=wrong, status=422)
            rule = self.save_form(
                request, form, change=row is not None
            )  # not saved: Django's name for "made of the form"
        assert isinstance(rule, InvitationRule)
        if rule.calendar:
            return self._try_page(request, row, on_calendar=True)
        if request.method == "POST" and "_run" in request.POST:
            return self._run(request, rule, row)
        return self._try_page(request, row, rule=rule, at_once=typed)

    def _may_try(self, request: HttpRequest, row: Any, typed: bool) -> bool:
        if not typed:
            return bool(self.has_view_permission(request, row))
        return bool(self.has_change_permission(request, row) if row is not None else self.has_add_permission(request))

    def _try_page(self, request: HttpRequest, row: Any, *, status: int = 200, **context: Any) -> TemplateResponse:
        rule: InvitationRule | None = context.get("rule")
        name = rule.slug if rule is not None else row.slug if row is not None else request.POST.get("slug", "")
        held = [(key, value) for key, values in request.POST.lists() if key not in OWN for value in values]
        response = self.page(
            request,
            "staff/dry_run.html",
            status=status,
            title=_("Try it: %(rule)s") % {"rule": name},
            row=row,
            held=held,
            typed="_typed" in request.POST,
            spans=[(days, days == _span_in(request)) for days in SPANS],
            about=_about(rule) if rule is not None else [],
            place=SafeString(PLACE),
            **context,
        )
        response["Cache-Control"] = "no-store"
        return response

    def _run(self, request: HttpRequest, rule: InvitationRule, row: Any) -> HttpResponseBase:
        by_script = request.headers.get("X-Requested-With") == SCRIPT
        before, after = "", ""
        if not by_script:
            page = self._try_page(request, row, rule=rule)
            before, _place, after = page.render().content.decode().partition(PLACE)
        pieces = _pieces(request, rule, _span_in(request), timezone.now())
        response = StreamingHttpResponse(_framed(pieces, before, after), content_type="text/html; charset=utf-8")
        response["Cache-Control"] = "no-store"
        response["X-Accel-Buffering"] = "no"  # a proxy that waits for the end would hide the progress
        return response


def _span_in(request: HttpRequest) -> int:
    given = request.POST.get("_past", "")  # a rule has days of its own
    return int(given) if given in map(str, SPANS) else USUAL


def _about(rule: InvitationRule) -> list[tuple[str, Any]]:
    """What is tried, so that nobody takes the saved rule for the typed one."""
    listed: list[tuple[str, Any]] = [
        (_("Event type"), rule.event_type),
        (_("When"), Truncator(rule.when).chars(300) or _("always")),
        (_("Touchpoint"), rule.touchpoint.label),
        (_("Delay"), span_of(rule.delay_s) if rule.delay_s else _("none")),
    ]
    if rule.sample_share < 1:
        listed.append((_("Sample, %"), rounded(100 * rule.sample_share, 1)))
    if rule.quota is not None:
        listed.append((_("Messages a day at most"), rule.quota))
    return listed


def _framed(pieces: Iterator[str], before: str, after: str) -> Iterator[str]:
    """The pieces alone for the script, else within their page. Closed when the reader is gone, which ends the run."""
    with closing(pieces):  # type: ignore[type-var]
        if before:
            yield before
        for piece in pieces:
            yield piece + NEXT
        if after:
            yield after


def _pieces(request: HttpRequest, rule: InvitationRule, days: int, now: datetime) -> Iterator[str]:
    """The run as HTML. It is read when the request's middleware has ended: the language and the clock are taken along."""
    may = request.user.has_perm
    may(SEES_PEOPLE)  # permissions are read, and kept, before the run's transaction
    return _told(rule, days, now, may, translation.get_language() or "en", timezone.get_current_timezone())


def _told(rule: InvitationRule, days: int, now: datetime, may: May, language: str, zone: tzinfo) -> Iterator[str]:
    def piece(template: str, **context: Any) -> str:
        return render_to_string(f"staff/{template}.html", {"days": days, **context})

    with translation.override(language), timezone.override(zone):
        yield piece("_dry_run_progress", share=0, events=number_format(0))
        result: Result | None = None
        told_at = 0.0
        try:
            with closing(dry_run(rule, now - timedelta(days=days), now)) as steps:  # type: ignore[type-var]
                for step in steps:
                    if isinstance(step, Progress):
                        if monotonic() - told_at < PAUSE_S:
                            continue
                        told_at = monotonic()
                        events = number_format(step.events, force_grouping=True)
                        yield piece("_dry_run_progress", share=int(100 * step.share), events=events)
                    else:
                        result = step
        except Busy:
            yield piece("_dry_run_failed", busy=True)
            return
        except DatabaseError:
            yield piece("_dry_run_failed", busy=False)
            return
        assert result is not None
        yield piece("_dry_run", **_shown(result, days, may))


def _shown(result: Result, days: int, may: May) -> dict[str, Any]:
    asked = result.outcomes[ASKED] + result.outcomes[WAITS]
    share = 100 * asked / result.events if result.events else 0.0
    named = {
        "events": number_format(result.events, force_grouping=True),
        "asked": number_format(asked, force_grouping=True),
        "share": rounded(share, 0 if share >= 10 else 1),
        "days": days,
    }
    answer = ngettext(
        "Of %(events)s event in the past %(days)s days, %(asked)s would have led to an invitation (%(share)s%%).",
        "Of %(events)s events in the past %(days)s days, %(asked)s would have led to an invitation (%(share)s%%).",
        result.events,
    )
    return {
        "answer": answer % named if result.events else "",
        "n": named["events"],
        "bars": _bars(result, may),
        "calendar": _days(result),
        "sees_events": may(SEES_EVENTS),
        "sees_people": may(SEES_PEOPLE),
        **_compared(result),
    }


def _word(outcome: str) -> str:
    reasons: dict[Any, Any] = dict(Invitation.Reason.choices)
    return str(WORDS.get(outcome) or reasons.get(outcome, outcome))


def _bars(result: Result, may: May) -> list[Bar]:
    """First who would have been asked, then the reasons, the most frequent first."""
    counts = result.outcomes
    reasons = [key for key in counts if key not in (ASKED, WAITS)]
    reasons.sort(key=lambda key: (-counts[key], REASONS.index(key) if key in REASONS else len(REASONS)))
    most = max(counts.values(), default=1)
    lines = _lines(result, may)
    bars = []
    for key in (ASKED, *([WAITS] if counts[WAITS] else []), *reasons):
        share = 100 * counts[key] / result.events if result.events else 0.0
        samples = lines.get(key, [])
        bars.append(
            Bar(
                key,
                _word(key),
                number_format(counts[key], force_grouping=True),
                rounded(share, 1),
                100 * counts[key] / most,
                samples,
                max(0, counts[key] - len(samples)),
            )
        )
    return bars


def _lines(result: Result, may: May) -> dict[str, list[Line]]:
    """The newest events of each outcome, for those who may see events."""
    if not may(SEES_EVENTS):
        return {}
    wanted = [sample.event for samples in result.samples.values() for sample in samples]
    rows = InteractionEvent.objects.filter(pk__in=wanted).select_related("customer").in_bulk()
    return {
        key: [_line(sample, rows[sample.event], may) for sample in reversed(samples) if sample.event in rows]
        for key, samples in result.samples.items()
    }


def _line(sample: Sample, row: InteractionEvent, may: May) -> Line:
    who = customer_link(row.customer) if may(SEES_PEOPLE) else ""
    return Line(
        moment(sample.at), link(row, row.event_id), who, moment(sample.until) if sample.until else "", page_of(row)
    )


def _days(result: Result) -> list[Day]:
    """Every day of the span, also those on which nothing came."""
    if not result.days:
        return []
    busiest = max(events for events, _asked in result.days.values())
    day, last = min(result.days), max(result.days)
    shown = []
    while day <= last:
        events, asked = result.days.get(day, (0, 0))
        label = date_format(day, pgettext("date format of a day in a year", "j M"))
        shown.append(Day(label, events, asked, 100 * events / busiest, 100 * asked / events if events else 0.0))
        day += timedelta(days=1)
    return shown


def _compared(result: Result) -> dict[str, Any]:
    """Against what the rule really decided; nothing where it decided on none of these events."""
    held = {pair: count for pair, count in result.really.items() if pair[1] != ABSENT}
    total = sum(held.values())
    if not total:
        return {"compared": 0}
    same = sum(count for (would, really), count in held.items() if would == really)
    differing = sorted((pair for pair in held if pair[0] != pair[1]), key=lambda pair: (-held[pair], pair))
    return {
        "compared": number_format(total, force_grouping=True),
        "same": number_format(same, force_grouping=True),
        "differing": [
            (_word(would), str(REALLY.get(really) or _word(really)), number_format(held[would, really]))
            for would, really in differing
        ],
        "undecided": number_format(sum(result.really.values()) - total) if sum(result.really.values()) > total else "",
    }
