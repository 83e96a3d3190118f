"""Whatever customers, staff and helpdesks do, in whatever order: cells + ledger = raw, and the metric is the raw one."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.queries import Slice, measure
from metrics.rollup import roll_up
from metrics.tasks import roll_up as roll_up_task
from metrics.verify import verify
from surveys.flow.incoming import Catalogue, read_event
from surveys.flow.record import record_events
from surveys.flow.respond import Given, Submission, exclude_response, include_response, record_response
from surveys.models import Response, Ticket, Touchpoint
from tests.factories import NOW, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db

KINDS = ("opened", "first_response", "resolved", "reopened", "closed")
few = st.integers(0, 4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), few, st.integers(0, 11), st.integers(0, 60)),  # 11: the scale is skipped
        st.tuples(st.just("exclude"), few, st.booleans(), st.just(0)),
        st.tuples(st.just("ticket"), few, st.sampled_from(KINDS), st.integers(0, 90)),
        st.tuples(st.just("roll_up"), st.just(0), st.integers(1, 6), st.just(0)),
    ),
    max_size=40,
)


def send_answer(touchpoint: Touchpoint, form: int, score: int, days: int) -> None:
    instrument = touchpoint.instrument
    assert instrument is not None
    version = instrument.current_version()
    assert version is not None
    question, comment = instrument.questions.get(key="score"), instrument.questions.get(key="comment")
    answers = [Given(comment, text=f"{score}")] + ([Given(question, score=score)] if score <= 10 else [])
    submission = Submission(
        client_id=uuid.UUID(int=form), touchpoint=touchpoint, version=version, mode="link", answers=answers,
        responded_at=NOW - timedelta(days=days),
    )  # fmt: skip
    record_response(submission, NOW)


def send_ticket_event(touchpoint: Touchpoint, number: int, kind: str, hours: int) -> None:
    time = NOW - timedelta(days=40) + timedelta(hours=hours * 7)
    named = {"touchpoint": touchpoint.slug} if number % 2 else {}
    event: dict[str, Any] = {
        "specversion": "1.0", "id": f"{number}-{kind}-{hours}", "source": "/desk", "type": f"ticket.{kind}",
        "time": time.isoformat(), "subject": f"C-{number}", "data": {"reference": f"T-{number}", **named},
    }  # fmt: skip
    catalogue = Catalogue.load()
    record_events([read_event(event, catalogue, NOW)], catalogue, NOW)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_sequence_of_what_people_do_leaves_no_difference(steps: list[tuple[str, int, Any, int]]) -> None:
    with transaction.atomic():
        make_organisation()
        touchpoint = make_touchpoint("desk")
        for what, which, value, when in steps:
            if what == "answer":
                send_answer(touchpoint, which, value, when)
            elif what == "ticket":
                send_ticket_event(touchpoint, which, value, when)
            elif what == "roll_up":
                roll_up(limit=value)
            else:
                for response in Response.objects.filter(client_id=uuid.UUID(int=which)):
                    exclude_response(response.pk, "test", None, NOW) if value else include_response(response.pk)
            assert verify() == []
        roll_up_task()
        assert verify() == []
        scores = [r.score for r in Response.objects.filter(excluded_at=None) if r.score is not None]
        nps = measure("nps", Slice(), now=NOW).total
        assert nps.n == len(scores)
        assert nps.value == (100 * sum((s >= 9) - (s <= 6) for s in scores) / len(scores) if scores else None)
        tickets = list(Ticket.objects.filter(in_ttr=True))
        seconds = [(t.resolved_at - t.opened_at).total_seconds() for t in tickets if t.resolved_at and t.opened_at]
        ttr = measure("ttr", Slice(), now=NOW).total
        assert (ttr.n, ttr.extra["open"]) == (len(seconds), len(tickets) - len(seconds))
        assert ttr.value == (pytest.approx(sum(seconds) / len(seconds)) if seconds else None)
        transaction.set_rollback(True)
