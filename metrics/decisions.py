"""Decisions as trends show them. In: touchpoints and days. Out: markers. Whether a decision worked is not told here."""

from collections.abc import Sequence

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q
from django.urls import reverse

from metrics.frame import Frame
from metrics.models import Decision
from metrics.pages import Marker
from metrics.slices import Slice


def markers(frame: Frame, slice_: Slice) -> Sequence[Marker]:
    """The decisions that hold at the slice's touchpoints and took effect in its days, oldest first, in one query.

    Withdrawn ones are not among them. What else narrows the slice, such as a segment, does not: the change was made all the same.
    """
    rows = Decision.objects.filter(withdrawn=False)
    if slice_.day_from:
        rows = rows.filter(day__gte=slice_.day_from)
    if slice_.day_to:
        rows = rows.filter(day__lte=slice_.day_to)
    ids = frame.catalogue.touchpoint_ids(slice_)
    if ids is not None:
        rows = rows.filter(Q(pk__in=Decision.touchpoints.through.objects.filter(touchpoint__in=ids).values("decision")))
    found = (
        rows.annotate(places=ArrayAgg("touchpoints")).order_by("day", "pk").values_list("pk", "day", "title", "places")
    )
    names = {touchpoint.pk: touchpoint.label for touchpoint in frame.touchpoints.values()}
    return [
        Marker(
            day,
            title,
            [names[place] for place in names if place in places],
            reverse("admin:metrics_decision_change", args=[pk]),
        )
        for pk, day, title, places in found
    ]
