"""One engine: a page, its files, the API, a journey's line and an alert's look say the same of the same answers."""

import csv
import io
import random
from datetime import timedelta

import openpyxl
import pytest
from django.utils import timezone

from metrics.display import figures
from metrics.display.tables import BOM
from metrics.limits import limits
from metrics.queries import Ask, Catalogue, Slice, count_many, measure
from metrics.rollup import roll_up
from surveys.models import Journey, Organisation, Segment, Touchpoint
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import answer, ticket
from tests.metrics.test_views import SCORES, login, text_of
from tests.rest import Api

pytestmark = pytest.mark.django_db

COLUMNS = {"shop": ("nps", 11), "visit": ("csat", 5), "call": ("csat", 7), "help": ("ces", 7), "desk": ("ttr", 0)}
DAYS = 30
NARROWINGS = (
    {},
    {"location": "sh-014"},
    pytest.param({"segment": "gold"}, marks=pytest.mark.slow),
    pytest.param({"mode": "sms"}, marks=pytest.mark.slow),
    pytest.param({"segment": "gold", "mode": "email"}, marks=pytest.mark.slow),
)


@pytest.fixture
def places() -> dict[str, Touchpoint]:
    """A touchpoint per metric and scale, with answers of forty days over modes, segments and locations; not all tell a segment."""
    organisation = make_organisation()
    Segment.objects.bulk_create([Segment(name="gold"), Segment(name="new")])
    journey = Journey.objects.create(slug="buying", name={"en": "Buying"})
    chance, now = random.Random(7), timezone.now()
    made = {}
    for slug, (metric, points) in COLUMNS.items():
        instrument = make_instrument(metric=metric, points=points) if points else make_instrument()
        made[slug] = place = make_touchpoint(slug, instrument, journey=journey)
        for number in range(90):
            at = now - timedelta(days=number % 40)
            keys = {"segment": ["gold", "new", ""][number % 3], "location": ["sh-014", "hz-001"][number % 2]}
            if points:
                lowest = 0 if metric == "nps" else 1
                score = chance.randrange(lowest, lowest + points)
                answer(place, score, day=organisation.day_of(at), mode=["email", "sms"][number // 2 % 2], **keys)
            else:
                ticket(place, at - timedelta(hours=1), chance.randrange(60, 3_600), **keys)
    roll_up()
    return made


def row_of(lines: list[list[str]], heads: str, name: str) -> dict[str, str]:
    """A file's row as head to value."""
    start = next(place for place, line in enumerate(lines) if heads in line)
    return next(
        dict(zip(lines[start], line, strict=False)) for line in lines[start + 1 :] if any(name == cell for cell in line)
    )


def of_csv(response) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode().removeprefix(BOM))))


def of_workbook(response) -> list[list[str]]:
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(response.streaming_content))).active
    return [["" if cell is None else str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("narrowing", NARROWINGS)
def test_every_room_says_the_same(places: dict[str, Touchpoint], narrowing: dict[str, str]) -> None:
    now, organisation = timezone.now(), Organisation.current()
    last = organisation.day_of(now)
    first = last - timedelta(days=DAYS - 1)
    member, api, catalogue = login(SCORES), Api("metrics:read"), Catalogue.load()
    query = "&".join(f"{name}={value}" for name, value in narrowing.items())
    matrix = of_csv(member.get(f"/admin/matrix.csv?{query}"))
    workbook = of_workbook(member.get(f"/admin/matrix.xlsx?{query}"))
    for slug, (metric, points) in COLUMNS.items():
        if metric == "ttr" and "mode" in narrowing:
            continue  # a ticket has none
        asked = {"touchpoint": slug, "from": first.isoformat(), "to": last.isoformat(), **narrowing}
        if metric == "csat":
            asked["scale"] = str(points)
        told = api.get(f"metrics/{metric}/", **asked)
        value = told["median"] if metric == "ttr" else told["value"]
        assert told["n"] >= limits().minimum_n

        # The overview's files hold it whole, the pages round it.
        for lines in (matrix, workbook):
            row = row_of(lines, "More than noise?", slug.title())
            assert float(row["Value"]) == pytest.approx(value, rel=1e-9)
            assert int(row["n"]) == told["n"]
            if metric != "ttr":  # the API's interval is the mean's there, the pages' the median's
                assert float(row["Value, from (95%)"]) == pytest.approx(told["ci"]["low"], rel=1e-9)
                assert float(row["Value, to (95%)"]) == pytest.approx(told["ci"]["high"], rel=1e-9)
        shown = figures.value_text(metric, value)
        for path in ("/admin/", f"/admin/touchpoints/{slug}/", "/admin/journeys/buying/"):
            text = text_of(member.get(f"{path}?{query}"))
            assert shown in text, (path, slug)
            assert f"n = {told['n']}" in text, (path, slug)

        # What an alert looks at.
        places_of = tuple(catalogue.touchpoint_ids(Slice(touchpoints=frozenset([slug]))) or ())
        keys = [narrowing.get(name, "") for name in ("mode", "segment", "location")]
        (found,) = count_many([Ask(metric, points, places_of, *keys, first, last)], catalogue)
        assert found.estimate.n == told["n"]
        assert found.estimate.value == pytest.approx(value)

        # Parts add up to the whole, in the API and in the engine below it.
        parts = api.get(f"metrics/{metric}/", **asked, group_by="segment")["groups"]
        assert sum(part["n"] for part in parts) == told["n"]
        whole = measure(
            metric,
            Slice(
                touchpoints=frozenset([slug]), day_from=first, day_to=last, scale=points if metric == "csat" else None,
                **{f"{name}s": frozenset([value]) for name, value in narrowing.items()},
            ),
            now=now,
        ).total  # fmt: skip
        assert (whole.n, whole.value) == (told["n"], told["value"])
