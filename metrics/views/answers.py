"""Answers as pages show them beside a number. In: a query of responses. Out: what a list prints, for who may see it."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.http import HttpRequest

from metrics.display import figures
from metrics.frame import SEES_ANSWERS, Frame, may_view, row_url
from metrics.reports import Request
from metrics.slices import OF_CELLS
from surveys.models import Response, Touchpoint
from surveys.words import band_tone, band_word


@dataclass(frozen=True)
class ShownAnswer:
    """One answer as lists show it. `comment` is "" for whoever may not read it."""

    touchpoint: Touchpoint
    responded_at: datetime
    mode: str
    segment: str
    score: str
    tone: str
    band: str
    comment: str
    url: str


def narrowed(request: Request) -> QuerySet[Response]:
    """The answers of the page's slice that count, newest first: raw rows, there before any cell is."""
    begin, end = request.filters.moments(request.frame)
    rows = Response.objects.filter(excluded_at__isnull=True, responded_at__gte=begin, responded_at__lt=end)
    slice_ = request.filters.slice()
    ids = request.frame.catalogue.touchpoint_ids(slice_)
    if ids is not None:
        rows = rows.filter(touchpoint_id__in=ids)
    for dimension in OF_CELLS:
        if values := slice_.values_of(dimension):
            rows = rows.filter(**{f"{dimension}__in": values})
    return rows.order_by("-responded_at", "-id")


def show(request: HttpRequest, rows: QuerySet[Response], frame: Frame) -> list[ShownAnswer]:
    """The answers in the order of `rows`."""
    return list(show_by_id(request, rows, frame).values())


def show_by_id(request: HttpRequest, rows: QuerySet[Response], frame: Frame) -> dict[int, ShownAnswer]:
    """Answers by their ids. Comments are not even fetched for those who may not read them."""
    may_read, may_open = request.user.has_perm(SEES_ANSWERS), may_view(request, Response)
    names = {touchpoint.pk: touchpoint for touchpoint in frame.touchpoints.values()}
    if not may_read:
        rows = rows.defer("comment")
    answers = {}
    for row in rows.select_related("version__instrument"):
        metric, points = row.version.instrument.metric, row.version.instrument.points
        answers[row.pk] = ShownAnswer(
            names[row.touchpoint_id],
            row.responded_at,
            row.get_mode_display(),
            row.segment,
            figures.score_text(metric, points, row.score),
            band_tone(metric, points, row.score),
            band_word(metric, points, row.score),
            row.comment if may_read else "",
            row_url(Response, row.pk) if may_open else "",
        )
    return answers
