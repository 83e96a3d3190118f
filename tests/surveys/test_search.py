"""Whatever is asked for, each page holds what a plain reading of all rows would, and no page reads all rows."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from surveys.flow import search
from surveys.flow.index import index_waiting, wait_for_all
from surveys.flow.search import Asked, Place, find_responses, response_conditions, scores_of
from surveys.models import Answer, Customer, Response, ResponseTerms, TermsDue, Touchpoint
from surveys.scales import SCALES
from surveys.terms import read_query
from tests.factories import NOW, make_customer, make_instrument, make_touchpoint

pytestmark = pytest.mark.django_db
WORDS = ("slow", "quick", "太慢了", "很快", "courier", "包装破损")


def fill(count: int = 80) -> list[Response]:
    """Answers of seven months that differ in all that can be asked for, by chance but always alike."""
    luck = random.Random(7)
    places = [
        make_touchpoint("a", make_instrument("nps-x")),
        make_touchpoint("b", make_instrument("csat-x", "csat", 5), channel="app"),
        make_touchpoint("c", make_instrument("ces-x", "ces", 7)),
    ]
    people = [make_customer(f"P-{number}") for number in range(3)]
    rows = []
    for number in range(count):
        place = luck.choice(places)
        assert place.instrument is not None
        comment = " ".join(luck.sample(WORDS, luck.randint(0, 3)))
        scale = place.instrument.scale
        is_suspected, is_excluded = luck.random() < 0.1, luck.random() < 0.2
        at = NOW - timedelta(days=luck.randint(0, 210))
        rows.append(
            Response(
                client_id=uuid.UUID(int=number), touchpoint=place, version=place.instrument.current_version(),
                mode=luck.choice(["email", "qr"]), segment=luck.choice(["gold", ""]), location=luck.choice(["x", "y", ""]),
                language=luck.choice(["en", "zh-hans"]), day=at.date(), responded_at=at, recorded_at=at,
                score=luck.choice([None, *scale.scores]), comment=comment, reference=luck.choice(["", "ord-1"]),
                completed_at=luck.choice([at, None]), facts=luck.choice([{}, {"carrier": "SF", "late": True}]),
                customer=luck.choice([None, *people]), suspected_at=at if is_suspected else None,
                excluded_at=at if is_suspected or is_excluded else None,
                excluded_reason="why" if is_suspected or is_excluded else "",
            )
        )  # fmt: skip
    Response.objects.bulk_create(rows)
    wait_for_all()
    return list(Response.objects.select_related("version__instrument"))


def holds(row: Response, asked: Asked) -> bool:
    """What `asked` says, in plain Python."""
    instrument = row.version.instrument
    plain = (
        (asked.touchpoints, row.touchpoint_id), (asked.metrics, instrument.metric), (asked.modes, row.mode),
        (asked.instruments, instrument.slug), (asked.segments, row.segment), (asked.locations, row.location),
        (asked.languages, row.language),
    )  # fmt: skip
    if any(wanted is not None and value not in wanted for wanted, value in plain):
        return False
    if asked.bands is not None:
        scores = [score for band in asked.bands for score in scores_of(instrument.scale, band)]
        if row.score not in scores:
            return False
    low, high = asked.score_min, asked.score_max
    if (low is not None or high is not None) and row.score is None:
        return False
    flags = (
        (asked.has_comment, row.comment != ""), (asked.is_excluded, row.excluded_at is not None),
        (asked.is_complete, row.completed_at is not None),
    )  # fmt: skip
    if any(wanted is not None and wanted != value for wanted, value in flags):
        return False
    score = row.score if row.score is not None else 0
    return (
        (low is None or score >= low)
        and (high is None or score <= high)
        and (asked.suspected is None or (asked.suspected == "waiting" and row.is_suspect))
        and all(told(row.facts.get(key)) == value for key, value in asked.facts)
        and (asked.customer is None or row.customer_id == asked.customer)
        and (asked.of is None or asked.of in (row.reference, row.customer and row.customer.external_id))
        and (asked.begin is None or row.responded_at >= asked.begin)
        and (asked.end is None or row.responded_at < asked.end)
        and (asked.text is None or asked.text.is_in([row.comment]))
    )


def told(fact: Any) -> str:
    return fact if isinstance(fact, str) else str(fact).lower()


def pages(asked: Asked, limit: int, oldest_first: bool = False) -> Iterator[list[int]]:
    after: Place | None = None
    while True:
        found = find_responses(asked, limit, after, oldest_first=oldest_first)
        yield [place.id for place in found.places]
        if not found.more:
            return
        after = found.places[-1]


def every_question() -> list[Asked]:
    ids = dict(Touchpoint.objects.values_list("slug", "pk"))
    begin = NOW - timedelta(days=150)
    return [
        Asked(),
        Asked(touchpoints=[ids["a"]]),
        Asked(touchpoints=[ids["a"], ids["b"]], modes=["qr"]),
        Asked(touchpoints=[]),
        Asked(metrics=["csat", "ces"], segments=[""]),
        Asked(instruments=["ces-x"], languages=["zh-hans"]),
        Asked(segments=["gold"], locations=["x", ""]),
        Asked(bands=["worst"]),
        Asked(bands=["best", "middle"], text=read_query("慢")),
        Asked(score_min=3, score_max=6),
        Asked(score_max=0),
        Asked(has_comment=False),
        Asked(has_comment=True, is_excluded=True),
        Asked(is_excluded=False, is_complete=False),
        Asked(suspected="waiting"),
        Asked(facts=[("carrier", "SF")], modes=["email"]),
        Asked(facts=[("late", "true")]),
        Asked(facts=[("late", "false")]),
        Asked(of="ord-1"),
        Asked(of="P-1"),
        Asked(of="nobody"),
        Asked(customer=Customer.objects.get(external_id="P-2").pk, modes=["qr"]),
        Asked(begin=begin, end=begin + timedelta(days=60)),
        Asked(begin=begin, text=read_query("slow")),
        Asked(end=begin, text=read_query("太慢 quick")),
        Asked(text=read_query('"slow quick"')),
        Asked(text=read_query("nothing")),
        Asked(text=read_query("?!")),
        Asked(begin=NOW, end=NOW - timedelta(days=1)),
    ]


@pytest.mark.parametrize("state", ["indexed", "waiting", "half", "analysed"])
def test_pages_hold_what_all_rows_would(state, monkeypatch):
    rows = fill()
    if state != "waiting":
        while index_waiting():
            pass
    if state == "half":  # some were changed since: what the index says of them is no longer so
        stale = rows[::3]
        ResponseTerms.objects.filter(response__in=stale).update(terms="'slow' '/s' '/y202611'")
        TermsDue.objects.bulk_create(TermsDue(response_id=row.pk) for row in stale)
    if state == "analysed":  # then it is known what is rare, and asked for without months
        monkeypatch.setattr(search, "RARE", 25)
        analyse()
    monkeypatch.setattr(search, "WALK", 7)  # so that the index is asked
    monkeypatch.setattr(search, "WALK_EACH", 1)
    newest = sorted(rows, key=lambda row: (row.responded_at, row.pk), reverse=True)
    for asked in every_question():
        wanted = [row.pk for row in newest if holds(row, asked)]
        assert [pk for page in pages(asked, 10) for pk in page] == wanted, asked
        assert [pk for page in pages(asked, 10, oldest_first=True) for pk in page] == wanted[::-1], asked
        assert len(next(pages(asked, 10))) == min(10, len(wanted))


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE surveys_response, surveys_responseterms, surveys_termsdue")


def test_the_beginning_of_a_frequent_word_is_left_to_the_rows_of_a_rare_one(monkeypatch):
    """Of it the index would read every use, for a handful of rows that are left."""
    fill(300)
    Response.objects.filter(pk=Response.objects.latest("pk").pk).update(comment="A scorpion courier", segment="vip")
    while index_waiting():
        pass
    analyse()
    monkeypatch.setattr(search, "RARE", 40)

    def said(**asked: Any) -> tuple[str, bool] | None:
        terms = search._Terms.of(Asked(**asked))
        assert terms is not None
        with connection.cursor() as cursor:
            return terms.of_rare(cursor)

    assert said(text=read_query("courier")) is None
    assert said(text=read_query("courier slow"), modes=["qr"]) is None
    assert said(text=read_query("scorpion courier")) == ("('scorpion':*)", True)
    assert said(text=read_query("courier"), segments=["vip"]) == ("('/svip')", True)
    assert said(text=read_query('"courier"'), segments=["vip"]) == ("('/svip') & ('courier')", False)
    assert said(modes=["qr"], segments=["vip"]) == ("('/mqr') & ('/svip')", False)


def test_a_condition_says_the_same():
    rows = fill()
    while index_waiting():
        pass
    for asked in every_question():
        condition = response_conditions(asked)
        found = set()
        if condition is not None:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT r.id FROM surveys_response r WHERE {condition[0]}", condition[1])
                found = {row[0] for row in cursor.fetchall()}
        assert found == {row.pk for row in rows if holds(row, asked)}, asked


def test_another_texts_words_are_found_too():
    [row, *_rest] = fill(3)
    question = row.version.instrument.questions.get(key="comment")
    Answer.objects.create(response=row, question=question, text="The box was wet, 箱子湿了")
    for _state in range(2):
        assert [place.id for place in find_responses(Asked(text=read_query("湿了 wet")), 9).places] == [row.pk]
        index_waiting()


def test_no_page_reads_all_rows(monkeypatch):
    """As PostgreSQL plans it: neither answers nor terms are read from end to end, however little is found."""
    fill(300)
    while index_waiting():
        pass
    TermsDue.objects.bulk_create(TermsDue(response_id=row.pk) for row in Response.objects.all()[:20])
    analyse()
    monkeypatch.setattr(search, "WALK", 20)
    for asked in every_question():
        with search._patience(), CaptureQueriesContext(connection) as queries:
            find_responses(asked, 5)
            find_responses(asked, 5, Place(NOW - timedelta(days=30), 0), oldest_first=True)
        for query in queries:
            if not query["sql"].startswith(("SELECT r", "WITH w")):
                continue
            with search._patience(), connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {query['sql']}")
                plan = "\n".join(row[0] for row in cursor.fetchall())
            for table in ("surveys_response ", "surveys_responseterms", "surveys_answer"):
                assert f"Seq Scan on {table}" not in plan, f"{asked}\n{plan}"


def test_a_word_that_nobody_used_costs_a_handful_of_queries():
    fill(30)
    Response.objects.filter(pk=Response.objects.earliest("responded_at").pk).update(
        responded_at=datetime(2006, 1, 1, tzinfo=UTC)
    )
    while index_waiting():
        pass
    with CaptureQueriesContext(connection) as queries, pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "WALK", 5)
        patch.setattr(search, "WALK_EACH", 1)
        assert not find_responses(Asked(text=read_query("nothing")), 5).places
    assert len(queries) < 20  # twenty years of months


def test_a_place_stands_in_an_address():
    place = Place(datetime(2026, 11, 20, 1, 2, 3, 999_999, tzinfo=UTC), 7)
    assert Place.read(place.key) == place
    for wrong in ("", "x", "1", "1.x", "99999999999999999999.1"):
        with pytest.raises(ValueError):  # noqa: PT011
            Place.read(wrong)


def test_every_score_has_one_tone():
    for scale in SCALES.values():
        tones = [list(scores_of(scale, tone)) for tone in search.TONES]
        assert list(chain(*tones)) == list(scale.scores)
        assert all(before[-1] < after[0] for before, after in pairwise(tones))


def test_patience_ends(monkeypatch: Any):
    from django.db import OperationalError

    monkeypatch.setattr(search, "PATIENCE_MS", 1)
    with pytest.raises(OperationalError), search._patience(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")
