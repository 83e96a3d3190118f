"""A score by the language that it was given in: what no cell keeps. In: a touchpoint, a slice, a scale. Out: a Measured per language.

It reads raw answers, so its cost follows how many there are: whoever asks bounds the days (MAX_DAYS), and has patience.
"""

from datetime import UTC, datetime, time, timedelta

from django.db.models import Count

from metrics.queries import Measured, measure_histogram
from metrics.slices import OF_CELLS, Catalogue, Slice
from surveys.models import Answer
from surveys.scales import SCALES

MAX_DAYS = 366


def measure_languages(
    touchpoint_id: int, slice_: Slice, column: tuple[str, int], *, catalogue: Catalogue
) -> list[tuple[str, Measured]]:
    """By language, "" for none, those that hold anything; one query. The slice has both its days."""
    assert slice_.day_from is not None
    assert slice_.day_to is not None
    scale = SCALES[column]
    questions = [pk for pk, own in catalogue.questions.items() if own is scale]
    one = timedelta(days=1)
    rows = Answer.objects.filter(
        question__in=questions,
        score__isnull=False,
        response__touchpoint=touchpoint_id,
        response__excluded_at__isnull=True,
        response__day__range=(slice_.day_from, slice_.day_to),
        # The index on a touchpoint's answers is by moment; a day begins nowhere a whole day before or after UTC's.
        response__responded_at__gte=datetime.combine(slice_.day_from - one, time.min, UTC),
        response__responded_at__lt=datetime.combine(slice_.day_to + 2 * one, time.min, UTC),
    )
    for dimension in OF_CELLS:
        if values := slice_.values_of(dimension):
            rows = rows.filter(**{f"response__{dimension}__in": values})
    found: dict[str, list[int]] = {}
    for language, score, count in (
        rows.order_by().values_list("response__language", "score").annotate(count=Count("pk"))
    ):
        found.setdefault(language, [0] * scale.points)[score - scale.low] += count
    return [(language, measure_histogram(column, histogram)) for language, histogram in sorted(found.items())]
