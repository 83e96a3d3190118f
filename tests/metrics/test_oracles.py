"""Known answers through the whole path: recorded as customers and helpdesks do, rolled up, read over REST.

The formulas alone are held against the same values in test_formulas.py and test_significance.py. "published" and "computed" as there.
"""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from metrics.rollup import roll_up
from surveys.flow.respond import Given, Submission, record_response
from surveys.models import Touchpoint
from tests.factories import make_instrument, make_touchpoint
from tests.rest import Api

pytestmark = pytest.mark.django_db

SCALES = {"nps": ("nps", 11), "csat5": ("csat", 5), "csat7": ("csat", 7), "ces": ("ces", 7)}
DAY = date(2026, 11, 18)


def asked(kind: str) -> Touchpoint:
    metric, points = SCALES[kind]
    return make_touchpoint("desk", instrument=make_instrument(metric=metric, points=points))


def record(touchpoint: Touchpoint, scores: list[int | None], day: date = DAY) -> None:
    """Each as a form of its own, on its way through the flow."""
    assert touchpoint.instrument is not None
    version = touchpoint.instrument.current_version()
    assert version is not None
    question, comment = (touchpoint.instrument.questions.get(key=key) for key in ("score", "comment"))
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    for score in scores:
        given = [Given(comment, text="-")] if score is None else [Given(question, score=score)]
        record_response(
            Submission(
                client_id=uuid.uuid4(),
                touchpoint=touchpoint,
                version=version,
                mode="link",
                answers=given,
                responded_at=at,
            ),
            at,
        )


def measured(metric: str, **query: Any) -> dict[str, Any]:
    roll_up()
    found: dict[str, Any] = Api("metrics:read").get(f"metrics/{metric}/", touchpoint="desk", **query)
    return found


def of_thirds(detractors: int, passives: int, promoters: int) -> list[int | None]:
    return [3] * detractors + [8] * passives + [10] * promoters


@pytest.mark.parametrize(
    ("scores", "n", "value", "low", "high"),
    [
        ([0, 7, 7, 9, 9, 9], 6, 100 / 3, -26.7433, 71.1877),  # published: R package NPS; interval computed
        (of_thirds(1, 0, 0), 1, -100, None, None),  # published, as the next two
        (of_thirds(0, 1, 0), 1, 0, None, None),
        (of_thirds(0, 0, 1), 1, 100, None, None),
        (of_thirds(1, 0, 1), 2, 0, None, None),
        (of_thirds(0, 1, 1), 2, 50, None, None),
        (of_thirds(1, 1, 1), 3, 0, None, None),
        (of_thirds(6, 13, 32), 51, 50.980392, 29.2949, 67.0014),  # published: Delighted; interval computed
        ([10, 7, 3, 9], 4, 25, None, None),  # published: Formbricks
        (of_thirds(2, 0, 9), 11, 63.636364, 8.0008, 91.9992),  # computed
        (of_thirds(0, 0, 10), 10, 100, 47.5036, 100),  # computed, and clamped
        ([10, None, None], 1, 100, None, None),  # by definition: who skips is in no denominator
        ([None, None], 0, None, None, None),
        ([], 0, None, None, None),
    ],
)
def test_nps(scores: list[int | None], n: int, value: float | None, low: float | None, high: float | None) -> None:
    record(asked("nps"), scores)
    found = measured("nps")
    assert (found["n"], found["value"]) == (n, value if value is None else pytest.approx(value, abs=5e-7))
    if low is not None:
        assert (found["ci"]["low"], found["ci"]["high"]) == pytest.approx((low, high), abs=5e-5)
    assert (found["ci"] is None) == (n == 0)


def test_what_is_no_score_is_refused_and_counts_nowhere() -> None:
    """published: Formbricks: one valid 5, one text, one null: −100, n = 1."""
    asked("nps")
    api = Api("responses:write")
    for score, status in ((5, 201), ("a text", 400), (None, 400), (11, 400), (True, 400), (9.0, 400)):
        body = {"id": str(uuid.uuid4()), "touchpoint": "desk", "mode": "app", "answers": {"score": score}}
        api.post("responses/", body, expect=status)
    found = measured("nps")
    assert (found["value"], found["n"]) == (-100, 1)


@pytest.mark.parametrize(
    ("kind", "scores", "n", "value", "low", "high", "mean"),
    [
        # published: Delighted; interval computed
        ("csat5", [5] * 42 + [4] * 32 + [3] * 10 + [2] * 9 + [1] * 14, 107, 69.158879, 59.8715, 77.1183, 3.738318),
        ("csat5", [4] * 12 + [5] * 15 + [2] * 27, 54, 50, None, None, None),  # published: Chatwoot
        ("csat5", [5, 4, 2, 1], 4, 50, None, None, 3),  # published: Formbricks
        ("csat5", [1] * 5, 5, 0, 0, 43.4482, 1),  # computed with statsmodels, as the next two
        ("csat5", [5] * 5, 5, 100, 56.5518, 100, 5),
        ("csat7", [7] * 12 + [1] * 88, 100, 12, 6.9994, 19.8121, None),
    ],
)
def test_csat(
    kind: str, scores: list[int | None], n: int, value: float, low: float | None, high: float, mean: float | None
) -> None:
    record(asked(kind), scores)
    found = measured("csat", scale=kind[-1])
    assert (found["n"], found["value"], found["scale"]) == (n, pytest.approx(value, abs=5e-7), int(kind[-1]))
    if low is not None:
        assert (found["ci"]["low"], found["ci"]["high"]) == pytest.approx((low, high), abs=5e-5)
    if mean is not None:
        assert found["mean"] == pytest.approx(mean, abs=5e-7)


@pytest.mark.parametrize(
    ("scores", "mean", "ends", "easy"),
    [
        ([7, 6, 1], 4.666667, None, 66.666667),  # published (mean): Formbricks
        ([7, 6, 6, 5, 5, 5, 4, 3, 2, 1], 4.4, (3.0427, 5.7573), 60),  # computed
    ],
)
def test_ces(scores: list[int | None], mean: float, ends: tuple[float, float] | None, easy: float) -> None:
    record(asked("ces"), scores)
    found = measured("ces")
    assert (found["value"], found["easy_share"]) == pytest.approx((mean, easy), abs=5e-7)
    if ends:
        assert (found["ci"]["low"], found["ci"]["high"]) == pytest.approx(ends, abs=5e-5)


def test_the_difference_of_two_net_promoter_scores() -> None:
    """computed: 20 promoters and 10 detractors of 30 against 12 and 18: 53.3333; on adjusted counts p is 0.037054."""
    touchpoint = asked("nps")
    before = DAY - timedelta(days=1)
    record(touchpoint, of_thirds(10, 0, 20))
    record(touchpoint, of_thirds(18, 0, 12), before)
    found = measured("nps", **{"from": DAY, "to": DAY}, compare="previous")["comparison"]
    assert found["difference"] == pytest.approx(53.3333, abs=5e-5)
    assert found["p"] == pytest.approx(0.037054, abs=5e-7)
    assert found["significant"] is True


def test_time_to_resolution_with_open_tickets() -> None:
    """Freireich 1963 (lifelines): Kaplan–Meier's median is 23, that of the resolved alone 10. In hours."""
    asked("nps")
    now = timezone.now().replace(microsecond=0)
    resolved = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    still_open = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    tickets = [(now - timedelta(hours=100), hours) for hours in resolved]
    tickets += [(now - timedelta(hours=hours), 0) for hours in still_open]
    events = []
    for number, (opened, hours) in enumerate(tickets):
        times = {"opened": opened, **({"resolved": opened + timedelta(hours=hours)} if hours else {})}
        events += [
            {
                "specversion": "1.0", "id": f"{number}-{kind}", "source": "/desk", "type": f"ticket.{kind}",
                "time": at.isoformat(), "subject": f"C-{number}",
                "data": {"reference": f"T-{number}", "touchpoint": "desk"},
            }
            for kind, at in times.items()
        ]  # fmt: skip
    Api("events:write").post("events/", events, expect=202)
    found = measured("ttr")
    assert (found["n"], found["open"]) == (9, 12)
    assert found["median"] == pytest.approx(10 * 3600, rel=0.01)
    assert found["median_with_open"] == pytest.approx(23 * 3600, rel=0.01)
    assert found["value"] == pytest.approx(3600 * sum(resolved) / 9)
