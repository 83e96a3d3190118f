"""Journeys: the touchpoints of each in order, on one index, with valley, peak and end; and what of them is not measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Prefetch
from django.urls import reverse
from django.utils.translation import gettext as _

from metrics.display import comparing, figures, journey_pages
from metrics.display.journey_pages import Missing, Seen, StageSeen
from metrics.filters import carried_query
from metrics.frame import list_url, may_view, place_of
from metrics.journey import ENDS
from metrics.queries import MatrixRow, measure_matrix
from metrics.reports import NotThere, Page, Report, Request
from metrics.views.decisions import near_decisions
from surveys.models import InvitationRule, Journey, Stage, Touchpoint

SCORED = tuple(column for column in figures.COLUMNS if column[0] in ENDS)
Found = Mapping[str, Mapping[figures.Column, MatrixRow]]  # by touchpoint, what it holds now or held before


def make_list(request: Request) -> Report:
    """/admin/journeys/: every journey's line, one below the other. `?metric=` chooses the metric."""
    chosen = request.filters.narrowing.get("journey")
    found = [one for one in _journeys(request) if chosen in (None, one.slug)]
    looked = _look(request, found)
    shown = [(journey, _url(one, request)) for one, journey in zip(found, looked, strict=True)]
    context = {
        "drawings": [(journey, url, journey_pages.drawing(journey)) for journey, url in shown],
        "journeys_url": list_url(Journey) if may_view(request.http, Journey) else "",
        **_choice(request, found),
    }
    tables = [journey_pages.journeys_table(shown)]
    return Report(_("Journey scores"), tables, context, is_empty=not found)


def make_one(request: Request) -> Report:
    """/admin/journeys/{slug}/. `?metric=` chooses the metric, else each touchpoint's own."""
    every = _journeys(request)
    one = next((one for one in every if one.slug == request.args["slug"]), None)
    if one is None:
        raise NotThere(
            _("There is no journey “%(slug)s”") % {"slug": request.args["slug"]},
            _("It may have another name now. The list of journeys holds all there are."),
        )
    journey = _look(request, [one])[0]
    coverage = journey_pages.coverage_table(journey)
    decided, links = near_decisions(request)
    context = {
        "journey": journey,
        "tabs": [{"title": other.label, "url": _url(other, request), "current": other is one} for other in every],
        "list_url": reverse("journeys") + carried_query(request.http, metric=_asked(request), journey=""),
        "drawing": journey_pages.drawing(journey),
        "headline": journey_pages.headline(journey),
        "moments": journey_pages.moments(journey),
        "said": journey_pages.sentences(journey),
        "covered": journey_pages.coverage_sentence(journey),
        "gaps": coverage.rows,
        "overview_query": carried_query(request.http),
        **_choice(request, [one]),
        **links,
    }
    tables = [journey_pages.stops_table(journey), journey_pages.values_table(journey), coverage, decided]
    return Report(one.label, tables, context, is_empty=not journey.touchpoints)


def _url(journey: Journey, request: Request) -> str:
    """The journey's page with what is chosen here; a stage or a touchpoint is of one journey alone."""
    query = carried_query(request.http, metric=_asked(request), journey="", stage="", touchpoint="")
    return reverse("journey", args=[journey.slug]) + query


# --- Which metric -----------------------------------------------------------------------------------------------------


def _asked(request: Request) -> str:
    """The key of the metric that the URL names, "" for each touchpoint's own."""
    column = figures.column_of(request.http.GET.get("metric", ""))
    return figures.column_key(column) if column in SCORED and column is not None else ""


def _choice(request: Request, journeys: Sequence[Journey]) -> dict[str, Any]:
    """Tabs of the metrics that stand on these journeys."""
    slugs = {journey.slug for journey in journeys}
    held = {
        (one.instrument.metric, one.instrument.points)
        for one in request.frame.touchpoints.values()
        if one.journey and one.journey.slug in slugs and one.instrument
    }
    asked = _asked(request)
    keys = [figures.column_key(column) for column in SCORED if column in held or figures.column_key(column) == asked]
    titles = {figures.column_key(column): figures.title(column) for column in SCORED}
    tabs = [
        {"title": titles.get(key, _("Each by its own")), "query": request.query_with(metric=key), "current": key == asked}
        for key in ("", *keys)
    ]  # fmt: skip
    return {"metric_tabs": tabs if len(tabs) > 2 or asked else []}


# --- What was measured ------------------------------------------------------------------------------------------------


def _journeys(request: Request) -> list[Journey]:
    """In two queries, with their stages; one that is switched off as long as it has a touchpoint that is not."""
    in_use = {one.journey.slug for one in request.frame.touchpoints.values() if one.journey and one.active}
    rows = Journey.objects.prefetch_related(Prefetch("stages", Stage.objects.order_by("position", "slug")))
    return [journey for journey in rows if journey.active or journey.slug in in_use]


def _look(request: Request, journeys: Sequence[Journey]) -> list[journey_pages.Journey]:
    frame, filters = request.frame, request.filters
    rows = measure_matrix(filters.slice(), filters.before, now=request.now, catalogue=frame.catalogue)
    found: dict[str, dict[figures.Column, MatrixRow]] = {}
    for row in rows:
        found.setdefault(row.touchpoint, {})[row.metric, row.points] = row
    ids = frame.catalogue.touchpoint_ids(filters.slice())
    left = [one for one in frame.touchpoints.values() if ids is None or one.pk in ids]
    invited = set(InvitationRule.objects.filter(active=True).values_list("touchpoint_id", flat=True))
    stage = filters.narrowing.get("stage")
    is_whole = not {"stage", "touchpoint", "channel"} & set(filters.narrowing)
    looked = []
    for journey in journeys:
        own = [one for one in left if one.journey_id == journey.pk]
        seen = {
            one.pk: made
            for one in own
            if (made := _seen(request, one, found.get(one.slug, {}), one.pk in invited)) is not None
        }
        stages = [
            StageSeen(row.label, [seen[one.pk] for one in own if one.stage_id == row.pk and one.pk in seen])
            for row in journey.stages.all()
            if stage in (None, f"{journey.slug}/{row.slug}")
        ]
        without = [seen[one.pk] for one in own if one.stage_id is None and one.pk in seen]
        shown = [one for one in stages if one.touchpoints or is_whole]
        looked.append(
            journey_pages.look_at(
                journey.label, [*shown, *([StageSeen("", without)] if without else [])]
            )
        )  # fmt: skip
    return looked


def _seen(
    request: Request, touchpoint: Touchpoint, held: Mapping[figures.Column, MatrixRow], is_invited: bool
) -> Seen | None:
    """None where it is switched off and holds nothing: it is no longer a part of the journey."""
    place = place_of(touchpoint)
    if not touchpoint.active and not any(row.now.n for row in held.values()):
        return None
    column = _column(request, touchpoint, held)
    row = held.get(column) if column else None
    now = figures.of(row.now if row else None)
    told = None
    if column and row and row.before:
        told = comparing.tell_apart(column, row.now.distribution, row.before.distribution)
    ttr = held.get(("ttr", 0))
    return Seen(
        place,
        touchpoint.stage.label if touchpoint.stage else "",
        reverse("touchpoint_page", args=[touchpoint.slug])
        + carried_query(request.http, trend=figures.column_key(column) if column else ""),
        column,
        now,
        told,
        figures.figure(("ttr", 0), figures.of(ttr.now), None, {}) if ttr else None,
        _missing(request, touchpoint, held, now.n, is_invited),
    )


def _column(
    request: Request, touchpoint: Touchpoint, held: Mapping[figures.Column, MatrixRow]
) -> figures.Column | None:
    """The metric that the URL names, else its instrument's; where that has no answers, the one with most of them."""
    if asked := figures.column_of(_asked(request)):
        return asked
    own = (touchpoint.instrument.metric, touchpoint.instrument.points) if touchpoint.instrument else None
    answered = {column: held[column].now.n for column in SCORED if column in held and held[column].now.n}
    if own in answered or not answered:
        return own
    return max(answered, key=lambda column: answered[column])


def _missing(
    request: Request, touchpoint: Touchpoint, held: Mapping[figures.Column, MatrixRow], n: int, is_invited: bool
) -> Missing | None:
    if figures.is_enough(n):
        return None
    if n:
        return journey_pages.too_few_answers(n)
    if touchpoint.instrument is None:
        return journey_pages.no_instrument()
    own = (touchpoint.instrument.metric, touchpoint.instrument.points)
    asked = figures.column_of(_asked(request))
    if asked is not None and asked != own:
        return journey_pages.another_metric()
    return journey_pages.nobody_answered() if touchpoint.public or is_invited else journey_pages.nobody_asked()


PAGES = (
    Page("journeys", "journeys/", "staff/journeys.html", make_list, kept=("metric",)),
    Page(
        "journey",
        "journeys/<slug:slug>/",
        "staff/journey.html",
        make_one,
        fixes={"slug": "journey"},
        kept=("metric",),
    ),
)
