"""Data quality: which answers stand in doubt, at each rule's own boundary, and what they do to the scores."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics.queries import Catalogue, Slice
from metrics.raw.quality import AGAIN_HOURS, FAST_S, Doubted, count_tickets_without_time, measure_quality
from metrics.rollup import roll_up
from metrics.views.quality import STALE_DAYS, changed, effect_text
from surveys.flow.respond import exclude_response
from surveys.models import Answer, QuarantinedEvent, Question, Response, Segment, Ticket, Touchpoint, Wording
from tests.factories import make_customer, make_instrument, make_invitation, make_organisation, make_touchpoint
from tests.metrics.raw import answer, ticket
from tests.metrics.test_views import SCORES, login, text_of

pytestmark = pytest.mark.django_db

ONE = timedelta(microseconds=1)


def found(**slice_: frozenset[str]):
    now = timezone.now()
    begin, end = now - timedelta(days=30), now + timedelta(days=1)
    return measure_quality(Slice(**slice_), begin, end, "other", Catalogue.load())


def at(row: Response, moment, **fields) -> Response:
    Response.objects.filter(pk=row.pk).update(responded_at=moment, **fields)
    return row


@pytest.fixture
def place() -> Touchpoint:
    make_organisation()
    return make_touchpoint("desk")


@pytest.mark.parametrize(
    ("after", "count"), [(timedelta(hours=AGAIN_HOURS) - ONE, 1), (timedelta(hours=AGAIN_HOURS), 0)]
)
def test_who_answers_again_soon_after_is_listed(place, after, count):
    now, customer = timezone.now(), make_customer()
    at(answer(place, 9, customer=customer), now - timedelta(days=3))
    second = at(answer(place, 2, customer=customer), now - timedelta(days=3) + after)
    at(answer(place, 2), now - timedelta(days=3) + after)  # nobody known cannot be known again
    repeated = found().doubted["repeated"]
    assert repeated.count == count
    assert repeated.newest == ([second.pk] if count else [])
    assert repeated.scores == ({("nps", 11): {2: 1}} if count else {})


@pytest.mark.parametrize(
    ("took", "count"), [(timedelta(seconds=FAST_S) - ONE, 1), (timedelta(seconds=FAST_S), 0), (-ONE, 0)]
)
def test_who_sends_sooner_than_one_can_read_is_listed(place, took, count):
    opened = timezone.now() - timedelta(days=1)
    invitation = make_invitation(place, opened_at=opened)
    at(answer(place, 5, invitation=invitation), opened, completed_at=opened + took)
    assert found().doubted["fast"].count == count


@pytest.mark.parametrize(
    ("comments", "count"),
    [
        (["Buy my pills now"] * 2, 0),
        (["Buy my pills now", " buy my pills NOW ", "Buy my pills now"], 3),
        (["Thank you"] * 5, 0),
    ],
)
def test_the_same_words_at_one_place_are_listed(place, comments, count):
    for comment in comments:
        at(answer(place, 9), timezone.now(), comment=comment)
    at(answer(make_touchpoint("elsewhere"), 9), timezone.now(), comment="Buy my pills now")
    assert found().doubted["same_words"].count == count


def battery(scores: list[int]) -> Response:
    """An answer to so many questions on 7 points beside the instrument's own on 11."""
    instrument = make_instrument()
    place = make_touchpoint(instrument=instrument)
    row = at(answer(place, 5), timezone.now())
    for number, score in enumerate(scores):
        question = Question.objects.create(
            instrument=instrument, key=f"q{number}", kind="scale", metric="ces", points=7
        )
        Wording.objects.create(version=row.version, question=question, position=10 + number)
        Answer.objects.create(response=row, question=question, score=score)
    return row


@pytest.mark.parametrize(("scores", "count"), [([5, 5, 5], 1), ([5, 5], 0), ([5, 5, 6], 0)])
def test_one_score_for_everything_is_listed(scores, count):
    make_organisation()
    row = battery(scores)
    straight = found().doubted["straight"]
    assert straight.count == count
    if count:
        assert straight.newest == [row.pk]
        assert straight.scores == {("nps", 11): {5: 1}, ("ces", 7): {5: 3}}


def test_what_staff_left_out_is_told_apart_from_what_waits(place):
    now = timezone.now()
    waits = at(answer(place, 10), now, suspected_at=now, excluded_at=now, excluded_reason="suspected_bot")
    out = at(answer(place, 0), now)
    exclude_response(out.pk, "a test of ours", login(is_superuser=True).session and None, now)
    quality = found()
    assert quality.doubted["suspected"].newest == [waits.pk]
    assert quality.answers == 0
    assert not quality.doubted["suspected"].counts
    assert quality.doubted["repeated"].counts


def test_a_slice_narrows_it(place):
    customer = make_customer()
    for _time in range(2):
        at(answer(place, 5, customer=customer, segment="gold", mode="sms"), timezone.now())
    assert found(segments=frozenset(["gold"]), modes=frozenset(["sms"])).doubted["repeated"].count == 1
    assert found(segments=frozenset(["new"])).doubted["repeated"].count == 0
    assert found(touchpoints=frozenset(["desk"])).answers == 2
    assert found(locations=frozenset(["x"])).answers == 0


def test_segments_that_are_missing_are_counted(place):
    for segment in ("", "", "gold", "other"):
        at(answer(place, 5, segment=segment), timezone.now())
    quality = found()
    assert (quality.answers, quality.without_segment, quality.other_segment) == (4, 2, 1)


def test_tickets_without_a_time_are_counted_whatever_the_days(place):
    now = timezone.now()
    ticket(place, now - timedelta(days=900))
    ticket(None, now)
    Ticket.objects.update(in_ttr=False)
    ticket(place, now)
    assert count_tickets_without_time(Slice(), Catalogue.load()) == 2
    assert count_tickets_without_time(Slice(touchpoints=frozenset(["desk"])), Catalogue.load()) == 1


def test_scores_are_told_without_what_counts_and_with_what_does_not():
    now = {0: 10, 10: 10}
    assert changed(now, {0: 5}, counts=True) == {0: 5, 10: 10}
    assert changed(now, {0: 5}, counts=False) == {0: 15, 10: 10}
    assert changed({0: 1}, {0: 3}, counts=True) == {0: 0}  # cells come a moment later than answers
    assert (
        effect_text(("nps", 11), now, {0: 5, 10: 10}, True)
        == "NPS: 0 (n = 20, low n); without them +33 (n = 15, low n)"
    )
    assert effect_text(("nps", 11), now, {10: 4}, False) == "NPS: 0 (n = 20, low n); with them n = 4, too few"
    assert Doubted("fast").counts


# --- The page ---------------------------------------------------------------------------------------------------------


def test_a_calm_page_says_what_was_looked_for(place):
    at(answer(place, 9), timezone.now())
    roll_up()
    text = text_of(login(SCORES).get("/admin/quality/"))
    assert "Nothing stands in doubt n = 1" in text
    assert "Looked for, none found: Answers that look like a machine’s · Answers repeated soon after" in text


def test_the_page_tells_what_is_doubted_what_it_does_and_where_to_act(place):
    now = timezone.now()
    day = make_organisation().day_of(now)
    customer = make_customer()
    for score in (10, 10, 10, 10, 10, 0):
        at(answer(place, score, customer=customer, day=day), now)
    QuarantinedEvent.objects.create(body="{}", received_at=now)
    Segment.objects.create(name="gold")
    roll_up()
    member = login(SCORES, "surveys.view_response", "surveys.change_response")
    with CaptureQueriesContext(connection) as queries:
        response = member.get("/admin/quality/")
    assert len([one for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]) <= 15
    text = text_of(response)
    assert "3 matters to look at n = 6" in text
    assert "Answers repeated soon after Exclude 5 answers … 5 83.3% of 6 answers" in text
    assert "NPS: +67 (n = 6, low n); without them n = 1, too few" in text
    assert "Answers without a segment 6 100.0% of 6 answers" in text
    assert "Events in quarantine 1" in text
    page = response.content.decode()
    assert "/admin/surveys/response/exclude/?ids=" in page
    assert "Exclude 5" not in text_of(login(SCORES, "surveys.view_response").get("/admin/quality/"))
    lines = b"".join(member.get("/admin/quality/effects.csv").streaming_content).decode()
    assert "Answers repeated soon after,NPS,5," in lines


@pytest.mark.parametrize(("days", "told"), [(STALE_DAYS - 1, False), (STALE_DAYS + 1, True)])
def test_a_touchpoint_that_nobody_answers_at_is_named(place, days, told):
    now = timezone.now()
    Touchpoint.objects.update(created_at=now - timedelta(days=400))
    at(answer(place, 9), now - timedelta(days=days))
    off = make_touchpoint("switched-off", active=False)
    Touchpoint.objects.filter(pk=off.pk).update(created_at=now - timedelta(days=400))
    text = text_of(login(SCORES).get("/admin/quality/"))
    assert ("Desk last answered on" in text) is told
    assert text.count("Switched-Off") == 1  # in the filter alone


def test_a_young_touchpoint_is_not_stale(place):
    assert "never answered" not in text_of(login(SCORES).get("/admin/quality/"))
