"""Data quality: what stands in doubt or is missing, what it does to the scores, and where to act on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Min, OuterRef, Subquery
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from metrics.display import figures
from metrics.display.figures import Column
from metrics.display.tables import Cell, Row, Table
from metrics.display.tables import Column as TableColumn
from metrics.filters import carried_query
from metrics.frame import list_url, may_view
from metrics.queries import MatrixRow, measure_matrix
from metrics.raw.quality import (
    AGAIN_HOURS,
    FAST_S,
    KINDS,
    SAME_WORDS,
    SCALES_AT_LEAST,
    Doubted,
    count_tickets_without_time,
    measure_quality,
)
from metrics.reports import Page, Report, Request
from metrics.views import answers
from metrics.views.answers import ShownAnswer
from surveys.models import QuarantinedEvent, Response, Ticket, Touchpoint
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT
from surveys.words import rounded

MAX_DAYS = 366  # raw rows are read: a longer period would keep a reader waiting
STALE_DAYS = 30  # so long without an answer, and a touchpoint is no longer listened to
SHOWN = 8  # answers of each kind
EXCLUDES = "surveys.change_response"

_TITLES: Mapping[str, Any] = {
    "suspected": gettext_lazy("Answers that look like a machine’s"),
    "repeated": gettext_lazy("Answers repeated soon after"),
    "same_words": gettext_lazy("Comments in the same words"),
    "fast": gettext_lazy("Answers sent too fast"),
    "straight": gettext_lazy("Answers with one score for everything"),
    "excluded": gettext_lazy("Answers excluded by staff"),
}
_MEANINGS: Mapping[str, Any] = {
    "suspected": gettext_lazy("Left out until somebody decides."),
    "repeated": gettext_lazy("The same customer at the same touchpoint within %(hours)d hours. Both answers count."),
    "same_words": gettext_lazy("The same comment at least %(times)d times at one touchpoint. All of them count."),
    "fast": gettext_lazy(
        "Sent less than %(seconds)d seconds after the link was opened. Speed alone proves nothing: they count."
    ),
    "straight": gettext_lazy("At least %(scales)d questions on one scale, all with the same score. They count."),
    "excluded": gettext_lazy("Out of every score, each with its reason. They stay in the list."),
}
_NUMBERS = {"hours": AGAIN_HOURS, "times": SAME_WORDS, "seconds": FAST_S, "scales": SCALES_AT_LEAST}


@dataclass(frozen=True)
class Matter:
    """One thing to look at. `effects` are sentences on scores; `links` lead to where it is acted on."""

    key: str
    title: str
    count: int
    share: str
    meaning: str
    effects: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()
    answers: Sequence[ShownAnswer] = ()
    names: Sequence[tuple[str, str, str]] = ()  # (name, address, what is to be said)


def make(request: Request) -> Report:
    """/admin/quality/."""
    frame, filters = request.frame, request.filters
    slice_ = filters.slice()
    begin, end = filters.moments(frame)
    quality = measure_quality(slice_, begin, end, OTHER_SEGMENT, frame.catalogue)
    scores = pooled_scores(measure_matrix(slice_, None, now=request.now, catalogue=frame.catalogue))
    newest = _newest(request, quality.doubted)
    effects = {
        kind: [
            (column, scores[column], changed(scores[column], doubted.scores[column], doubted.counts))
            for column in figures.COLUMNS
            if column in scores and column in doubted.scores
        ]
        for kind, doubted in quality.doubted.items()
    }
    matters = [
        Matter(
            kind,
            str(_TITLES[kind]),
            doubted.count,
            _share(doubted.count, quality.answers + (0 if doubted.counts else doubted.count)),
            _MEANINGS[kind] % _NUMBERS,
            [effect_text(column, now, then, doubted.counts) for column, now, then in effects[kind]],
            _links(request, doubted),
            newest.get(kind, ()),
        )
        for kind, doubted in quality.doubted.items()
    ]
    matters += [
        _quarantined(request),
        _without_time(request),
        *_segments(request, quality.answers, quality.without_segment, quality.other_segment),
        _stale(request),
    ]
    found = [matter for matter in matters if matter.count]
    table = effects_table(quality.doubted, effects)
    context = {
        "found": found,
        "calm": [matter.title for matter in matters if not matter.count],
        "n_text": figures.count_text(quality.answers),
        "headline": ngettext("%(count)d matter to look at", "%(count)d matters to look at", len(found))
        % {"count": len(found)},
    }
    return Report(_("Data quality"), [table] if table.rows else [], context)


def pooled_scores(rows: Sequence[MatrixRow]) -> Mapping[Column, Mapping[int, int]]:
    """Counts per score of everything the page shows, by metric and scale. Tickets have no answers to doubt."""
    total: dict[Column, dict[int, int]] = {}
    for row in rows:
        if row.points:
            counts = total.setdefault((row.metric, row.points), {})
            for score, count in row.now.distribution.items():
                counts[score] = counts.get(score, 0) + count
    return total


def changed(scores: Mapping[int, int], doubted: Mapping[int, int], counts: bool) -> dict[int, int]:
    """The scores without those answers where they count, with them where they do not. What waits for its cell is not taken away."""
    sign = -1 if counts else 1
    return {score: max(0, scores.get(score, 0) + sign * doubted.get(score, 0)) for score in {*scores, *doubted}}


def effect_text(column: Column, now: Mapping[int, int], then: Mapping[int, int], counts: bool) -> str:
    told = {"metric": figures.title(column), "now": _value(column, now), "then": _value(column, then)}
    if counts:
        return _("%(metric)s: %(now)s; without them %(then)s") % told
    return _("%(metric)s: %(now)s; with them %(then)s") % told


def _value(column: Column, counts: Mapping[int, int]) -> str:
    figure = figures.figure(column, figures.estimate(column, counts), None, {})
    return f"{figure.text} ({figure.n_text})" if figure.n_text else figure.text


def effects_table(
    doubted: Mapping[str, Doubted], effects: Mapping[str, Sequence[tuple[Column, Mapping[int, int], Mapping[int, int]]]]
) -> Table:
    """Each kind × metric: the answers in doubt, the score as it is, and as it would be."""
    rows = []
    for kind in KINDS:
        for column, now, then in effects[kind]:
            is_, would = figures.estimate(column, now), figures.estimate(column, then)
            rows.append(
                Row(
                    [
                        Cell(str(_TITLES[kind])),
                        Cell(figures.title(column)),
                        _number(sum(doubted[kind].scores[column].values())),
                        Cell(_value(column, now), is_.value if figures.is_enough(is_.n) else None),
                        Cell(_value(column, then), would.value if figures.is_enough(would.n) else None),
                    ]
                )
            )
    return Table(
        "effects",
        _("What this does to the scores"),
        [
            TableColumn(_("In doubt"), "text"),
            TableColumn(_("Metric"), "text"),
            TableColumn(_("Answers")),
            TableColumn(_("As shown")),
            TableColumn(_("Without them, or with those left out")),
        ],
        rows,
        cards=True,
    )


def _number(count: int) -> Cell:
    return Cell(f"{count:,}", count)


def _share(count: int, of: int) -> str:
    if not of:
        return ""
    percent = f"{rounded(100 * count / of, 1)}%"
    return _("%(percent)s of %(count)s answers") % {"percent": percent, "count": f"{of:,}"}


def _newest(request: Request, doubted: Mapping[str, Doubted]) -> dict[str, list[ShownAnswer]]:
    """The newest answers of each kind, in one query."""
    wanted = {pk for one in doubted.values() for pk in one.newest[:SHOWN]}
    rows = Response.objects.filter(pk__in=wanted).order_by("-responded_at", "-id")
    shown = answers.show_by_id(request.http, rows, request.frame)
    return {kind: [shown[pk] for pk in one.newest[:SHOWN] if pk in shown] for kind, one in doubted.items()}


def _links(request: Request, doubted: Doubted) -> list[tuple[str, str]]:
    http = request.http
    if not may_view(http, Response) or not doubted.count:
        return []
    if doubted.kind == "suspected":
        return [(_("Decide on them"), list_url(Response, {"suspected": "waiting"}))]
    if doubted.kind == "excluded":
        return [(_("See them and their reasons"), list_url(Response, {"excluded": "yes"}))]
    if not http.user.has_perm(EXCLUDES):
        return []
    ids = urlencode({"ids": ",".join(map(str, doubted.newest))})
    text = ngettext("Exclude %(count)d answer", "Exclude %(count)d answers", len(doubted.newest))
    return [(text % {"count": len(doubted.newest)} + " …", f"{reverse('admin:surveys_response_exclude')}?{ids}")]


def _quarantined(request: Request) -> Matter:
    waits = QuarantinedEvent.objects.filter(state=QuarantinedEvent.State.WAITING)
    count, oldest = waits.aggregate(count=Count("pk"), oldest=Min("received_at")).values()
    effects = []
    if oldest is not None:
        since = date_format(oldest.astimezone(request.frame.organisation.zone), "DATE_FORMAT")
        effects.append(_("The oldest came on %(day)s.") % {"day": since})
    seen = may_view(request.http, QuarantinedEvent)
    links = [(_("Correct and retry them"), list_url(QuarantinedEvent, {"state__exact": "waiting"}))] if seen else []
    meaning = _(
        "Nobody was asked because of them, and no ticket moved: they could not be used. Whatever the days and filters."
    )
    return Matter("quarantined", _("Events in quarantine"), count, "", meaning, effects, links)


def _without_time(request: Request) -> Matter:
    count = count_tickets_without_time(request.filters.slice(), request.frame.catalogue)
    links = [(_("See them"), list_url(Ticket, {"state": "uncounted"}))] if may_view(request.http, Ticket) else []
    meaning = _(
        "Their opening is not known, or they were resolved before it. They are in no time to resolution, whatever the days."
    )
    return Matter("without_time", _("Tickets without a time"), count, "", meaning, (), links)


def _segments(request: Request, total: int, without: int, other: int) -> list[Matter]:
    """Nothing where the organisation has no segments at all."""
    if not request.frame.segments:
        return []
    found = [
        Matter(
            "without_segment",
            _("Answers without a segment"),
            without,
            _share(without, total),
            _("They are in every total and in no segment: what a segment’s score says holds for the others only."),
        )
    ]
    if len(request.frame.segments) > MAX_SEGMENTS:
        meaning = _("There is room for %(count)d segments; what came after them counts as one.") % {
            "count": MAX_SEGMENTS
        }
        found.append(
            Matter("other_segment", _("Answers of too many segments"), max(other, 1), _share(other, total), meaning)
        )
    return found


def _stale(request: Request) -> Matter:
    """Switched-on touchpoints of the page's filters that nobody answered at for long."""
    ids = request.frame.catalogue.touchpoint_ids(request.filters.slice())
    own = Response.objects.filter(touchpoint=OuterRef("pk"), excluded_at__isnull=True).order_by("-responded_at", "-id")
    rows = Touchpoint.objects.filter(active=True).annotate(newest=Subquery(own.values("responded_at")[:1]))
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    limit = request.now - timedelta(days=STALE_DAYS)
    query = carried_query(request.http, touchpoint="", journey="", stage="", channel="")
    names = []
    for row in rows:
        if row.created_at > limit or (row.newest is not None and row.newest >= limit):
            continue
        if row.instrument_id is None:
            said = _("asks nothing: it has no instrument")
        elif row.newest is None:
            said = _("never answered")
        else:
            day = date_format(row.newest.astimezone(request.frame.organisation.zone), "DATE_FORMAT")
            said = _("last answered on %(day)s") % {"day": day}
        names.append((row.label, reverse("touchpoint_page", args=[row.slug]) + query, said))
    meaning = _("Switched on, and nobody answered for %(days)d days: what its page shows is old.") % {
        "days": STALE_DAYS
    }
    return Matter("stale", _("Touchpoints that nobody answers at"), len(names), "", meaning, names=names)


PAGE = Page("quality", "quality/", "staff/quality.html", make, days=MAX_DAYS, compares=False)
