"""Ledger rows become cells once, at every grain, whoever drains, rebuilds or writes at the same time."""

import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.buckets import bucket_edges, bucket_sql
from metrics.formulas import bucket_of
from metrics.models import DurationCell, Grain, ScoreCell
from metrics.rollup import DRAINER_LOCK, LedgerTouched, rebuild, roll_up
from metrics.tasks import roll_up as roll_up_task
from metrics.verify import verify
from surveys.models import DurationLedger, Response, ScoreLedger, Ticket
from tests.factories import make_touchpoint
from tests.metrics.raw import DAY, answer, change, exclude, noon, reopen, ticket

NEXT_MONTH = date(2026, 12, 2)


def scores(grain: Grain) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Cells of a grain, without those that are all zero."""
    cells = ScoreCell.objects.filter(grain=grain).values_list(
        "day", "mode", "segment", "location", *(f"s{n}" for n in range(11))
    )
    return {cell[:4]: cell[4:] for cell in cells if any(cell[4:])}


def histogram(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"s{score}", 0) for score in range(11))


@pytest.mark.django_db
def test_an_answer_is_counted_at_every_grain_and_leaves_the_ledger() -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 9, mode="email", segment="gold", location="sh-014")
    answer(touchpoint, 9, mode="sms", segment="gold", location="sh-014")
    answer(touchpoint, 0, day=NEXT_MONTH, mode="sms")
    assert roll_up() == 3
    assert scores(Grain.DAY_FULL) == {
        (DAY, "email", "gold", "sh-014"): histogram(s9=1),
        (DAY, "sms", "gold", "sh-014"): histogram(s9=1),
        (NEXT_MONTH, "sms", "", ""): histogram(s0=1),
    }
    assert scores(Grain.DAY_TOTAL) == {(DAY, "", "", ""): histogram(s9=2), (NEXT_MONTH, "", "", ""): histogram(s0=1)}
    assert scores(Grain.MONTH_FULL) == {
        (date(2026, 11, 1), "email", "gold", "sh-014"): histogram(s9=1),
        (date(2026, 11, 1), "sms", "gold", "sh-014"): histogram(s9=1),
        (date(2026, 12, 1), "sms", "", ""): histogram(s0=1),
    }
    assert scores(Grain.MONTH_TOTAL) == {
        (date(2026, 11, 1), "", "", ""): histogram(s9=2),
        (date(2026, 12, 1), "", "", ""): histogram(s0=1),
    }
    assert scores(Grain.DAY_MODE) == {
        (DAY, "email", "", ""): histogram(s9=1),
        (DAY, "sms", "", ""): histogram(s9=1),
        (NEXT_MONTH, "sms", "", ""): histogram(s0=1),
    }
    assert scores(Grain.MONTH_SEGMENT) == {
        (date(2026, 11, 1), "", "gold", ""): histogram(s9=2),
        (date(2026, 12, 1), "", "", ""): histogram(s0=1),
    }
    assert scores(Grain.MONTH_LOCATION) == {
        (date(2026, 11, 1), "", "", "sh-014"): histogram(s9=2),
        (date(2026, 12, 1), "", "", ""): histogram(s0=1),
    }
    assert not ScoreLedger.objects.exists()
    assert roll_up() == 0


@pytest.mark.django_db
def test_a_corrected_and_an_excluded_answer_give_back_what_they_added() -> None:
    touchpoint = make_touchpoint()
    corrected, excluded = answer(touchpoint, 3), answer(touchpoint, 10)
    roll_up()
    change(corrected, 8)
    exclude(excluded)
    roll_up()
    assert scores(Grain.DAY_TOTAL) == {(DAY, "", "", ""): histogram(s8=1)}
    exclude(excluded, out=False)
    roll_up()
    assert scores(Grain.MONTH_TOTAL) == {(date(2026, 11, 1), "", "", ""): histogram(s8=1, s10=1)}
    assert verify() == []


@pytest.mark.django_db
def test_a_ticket_is_counted_by_the_day_resolved_and_by_the_day_opened() -> None:
    touchpoint = make_touchpoint()
    ticket(touchpoint, noon(DAY), seconds=86_400, reopened=1, segment="gold")
    ticket(None, noon(DAY), seconds=0)
    ticket(touchpoint, noon(DAY))
    assert roll_up() == 4
    cells = DurationCell.objects.filter(grain=Grain.DAY_FULL).order_by("basis", "touchpoint_id")
    assert [
        (cell.basis, cell.day, cell.touchpoint_id, cell.segment, cell.bucket, cell.n, cell.sum_s, cell.reopened)
        for cell in cells
    ] == [
        ("opened", DAY, 0, "", bucket_of(0), 1, 0, 0),
        ("opened", DAY, touchpoint.pk, "gold", bucket_of(86_400), 1, 86_400, 1),
        ("resolved", DAY, 0, "", bucket_of(0), 1, 0, 0),
        ("resolved", DAY + timedelta(days=1), touchpoint.pk, "gold", bucket_of(86_400), 1, 86_400, 1),
    ]
    assert verify() == []


@pytest.mark.django_db
def test_a_reopened_ticket_leaves_the_cells() -> None:
    made = ticket(make_touchpoint(), noon(DAY), seconds=60)
    roll_up()
    reopen(made)
    roll_up()
    assert not DurationCell.objects.exclude(n=0, sum_s=0, reopened=0).exists()
    assert verify() == []


@pytest.mark.django_db
def test_the_database_and_python_put_every_duration_into_the_same_bucket() -> None:
    edges, _buckets = bucket_edges()
    seconds = sorted({edge + near for edge in edges for near in (-1, 0, 1) if edge + near >= 0})
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT s, {bucket_sql('s')} FROM unnest(%s::bigint[]) AS s", [seconds])
        assert dict(cursor.fetchall()) == {second: bucket_of(second) for second in seconds}


@pytest.mark.django_db
def test_a_batch_is_bounded_and_the_task_drains_all_of_them() -> None:
    touchpoint = make_touchpoint()
    for score in range(11):
        answer(touchpoint, score)
    assert roll_up(limit=4) == 4
    assert ScoreLedger.objects.count() == 7
    roll_up_task()
    assert not ScoreLedger.objects.exists()
    assert scores(Grain.DAY_TOTAL) == {(DAY, "", "", ""): (1,) * 11}


# --- Side by side -----------------------------------------------------------------------------------------------------


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """`work` on a connection of its own, started."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_a_row_that_commits_late_with_a_lower_id_is_not_skipped() -> None:
    touchpoint = make_touchpoint()
    written, may_commit = threading.Event(), threading.Event()

    def late_writer() -> None:
        with transaction.atomic():
            answer(touchpoint, 1)
            written.set()
            assert may_commit.wait(10)

    thread = in_thread(late_writer)
    assert written.wait(10)
    answer(touchpoint, 10)
    assert roll_up() == 1
    may_commit.set()
    thread.join()
    assert roll_up() == 1
    assert scores(Grain.DAY_TOTAL) == {(DAY, "", "", ""): histogram(s1=1, s10=1)}


@pytest.mark.django_db(transaction=True)
def test_a_second_drainer_leaves_the_first_one_alone() -> None:
    answer(make_touchpoint(), 5)
    locked, may_go = threading.Event(), threading.Event()

    def first_drainer() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAINER_LOCK])
            locked.set()
            assert may_go.wait(10)

    thread = in_thread(first_drainer)
    assert locked.wait(10)
    assert roll_up() == 0
    may_go.set()
    thread.join()
    assert roll_up() == 1


@pytest.mark.django_db(transaction=True)
def test_a_drainer_that_dies_before_its_commit_has_done_nothing() -> None:
    answer(make_touchpoint(), 5)
    with transaction.atomic():
        assert roll_up() == 1
        transaction.set_rollback(True)
    assert ScoreLedger.objects.count() == 1
    assert not ScoreCell.objects.exists()
    assert verify() == []


@pytest.mark.django_db(transaction=True)
def test_ledger_rows_that_somebody_else_deletes_meanwhile_are_not_counted() -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 5)
    answer(touchpoint, 9)
    raised: list[Exception] = []

    def drainer() -> None:
        try:
            roll_up()
        except LedgerTouched as error:
            raised.append(error)

    with transaction.atomic():
        ScoreLedger.objects.filter(score=5).delete()
        thread = in_thread(drainer)
        with connection.cursor() as cursor:
            waiting = 0
            while not waiting:  # until the drainer has counted the row and waits to delete it
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
                waiting = cursor.fetchone()[0]
    thread.join()
    assert len(raised) == 1
    assert not ScoreCell.objects.exists()
    assert roll_up() == 1


@pytest.mark.django_db(transaction=True)
def test_rebuild_and_verify_agree_with_raw_while_three_writers_and_two_drainers_run() -> None:
    touchpoints = [make_touchpoint() for _ in range(2)]
    stop = threading.Event()
    seen: list[Any] = []
    counts = [0, 0, 0]

    def writer(number: int) -> None:
        while not stop.is_set():
            day = DAY + timedelta(days=(counts[number] * 13) % 70)
            response = answer(touchpoints[number % 2], counts[number] % 11, day=day)
            change(response, (counts[number] + 3) % 11)
            if counts[number] % 3 == 0:
                exclude(response)
            made = ticket(touchpoints[number % 2], noon(day), seconds=counts[number] * 60)
            if counts[number] % 2:
                reopen(made)
            counts[number] += 1

    def drainer() -> None:
        while not stop.is_set():
            roll_up()

    def verifier() -> None:
        while not stop.is_set():
            seen.extend(verify())

    threads = [in_thread(lambda number=number: writer(number)) for number in range(3)]  # type: ignore[misc]
    threads += [in_thread(drainer), in_thread(drainer), in_thread(verifier)]
    try:
        while min(counts) < 5:
            rebuild()
        for _ in range(5):
            rebuild()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen == []
    assert verify() == []
    roll_up_task()
    assert verify() == []
    assert not ScoreLedger.objects.exists()
    assert not DurationLedger.objects.exists()
    counted = sum(
        sum(counts)
        for counts in ScoreCell.objects.filter(grain=Grain.MONTH_TOTAL).values_list(*(f"s{n}" for n in range(11)))
    )
    assert counted == Response.objects.filter(excluded_at=None).count()


@pytest.mark.django_db(transaction=True)
def test_rebuild_makes_lost_and_wrong_cells_right_and_tells_of_its_progress() -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 9)
    answer(touchpoint, 2, day=NEXT_MONTH)
    ticket(touchpoint, noon(DAY), seconds=100)
    roll_up()
    ScoreCell.objects.filter(grain=Grain.DAY_FULL, day=DAY).delete()
    ScoreCell.objects.filter(grain=Grain.MONTH_TOTAL).update(s3=7)
    DurationCell.objects.update(sum_s=1)
    assert len(verify()) == 1 + 2 + 2 * 14
    told: list[tuple[int, int]] = []
    rebuild(lambda done, total: told.append((done, total)))
    assert verify() == []
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.django_db(transaction=True)
def test_rebuild_writes_what_is_wrong_and_leaves_alone_what_is_right() -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 9)
    ticket(touchpoint, noon(DAY), seconds=100)
    roll_up()
    written = places()
    DurationCell.objects.filter(grain=Grain.DAY_TOTAL, basis="opened").update(sum_s=1)
    ScoreCell.objects.filter(grain=Grain.MONTH_MODE).delete()
    ScoreCell.objects.create(grain=Grain.DAY_TOTAL, day=NEXT_MONTH, touchpoint_id=7, question_id=7, s1=1)
    assert len(verify()) == 3
    rebuild()
    assert verify() == []
    assert not ScoreCell.objects.filter(touchpoint_id=7).exists()
    assert {key[:3] for key, place in places().items() if written[key] != place} == {
        ("metrics_durationcell", "opened", Grain.DAY_TOTAL),
        ("metrics_scorecell", "", Grain.MONTH_MODE),
    }


def places() -> dict[tuple[Any, ...], str]:
    """Where each cell lies: somewhere else when it has been written again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'metrics_durationcell', basis, grain, day, bucket, ctid::text FROM metrics_durationcell UNION ALL "
            "SELECT 'metrics_scorecell', '', grain, day, 0, ctid::text FROM metrics_scorecell"
        )
        return {row[:-1]: row[-1] for row in cursor.fetchall()}


@pytest.mark.django_db(transaction=True)
def test_rebuild_of_nothing_is_nothing() -> None:
    rebuild()
    assert verify() == []


# --- Whatever happens -------------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.integers(0, 10), st.integers(0, 40)),
        st.tuples(st.just("change"), st.integers(0, 10), st.integers(0, 20)),
        st.tuples(st.just("exclude"), st.booleans(), st.integers(0, 20)),
        st.tuples(st.just("ticket"), st.integers(0, 10**7), st.integers(0, 40)),
        st.tuples(st.just("reopen"), st.just(0), st.integers(0, 20)),
        st.tuples(st.just("roll_up"), st.integers(1, 5), st.just(0)),
    ),
    max_size=30,
)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_sequence_of_answers_changes_and_exclusions_leaves_no_difference(steps: list[tuple[str, Any, int]]) -> None:
    with transaction.atomic():
        touchpoint = make_touchpoint()
        for what, value, which in steps:
            responses, tickets = list(Response.objects.order_by("pk")), list(Ticket.objects.order_by("pk"))
            if what == "answer":
                answer(touchpoint, value, day=DAY + timedelta(days=which), segment="gold" if which % 2 else "")
            elif what == "change" and responses:
                change(responses[which % len(responses)], value)
            elif what == "exclude" and responses:
                exclude(responses[which % len(responses)], out=value)
            elif what == "ticket":
                ticket(touchpoint if which % 3 else None, noon(DAY + timedelta(days=which)), seconds=value)
            elif what == "reopen" and tickets:
                reopen(tickets[which % len(tickets)])
            elif what == "roll_up":
                roll_up(limit=value)
            assert verify() == []
        roll_up_task()
        assert verify() == []
        assert not ScoreLedger.objects.exists()
        transaction.set_rollback(True)
