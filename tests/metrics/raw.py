"""Raw answers and tickets with their ledger rows, as `surveys.flow` leaves them, for tests of what is built on top.

The flow itself is tested elsewhere; here many rows with chosen days, scores and keys are wanted in few lines.
"""

import itertools
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from surveys.models import Answer, DurationLedger, Organisation, Question, Response, ScoreLedger, Ticket, Touchpoint
from surveys.worktime import business_seconds
from tests.factories import make_customer

DAY = date(2026, 11, 18)
_numbers = itertools.count(1)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def score_question(touchpoint: Touchpoint) -> Question:
    assert touchpoint.instrument is not None
    return touchpoint.instrument.questions.get(key="score")


@transaction.atomic
def answer(
    touchpoint: Touchpoint, score: int, day: date = DAY, question: Question | None = None, **fields: Any
) -> Response:
    """A counted answer; `fields` are mode, segment, location."""
    question = question or score_question(touchpoint)
    version = question.instrument.versions.get()
    stored = {"mode": "email", "segment": "", "location": "", **fields}
    response = Response.objects.create(
        client_id=uuid.uuid4(), touchpoint=touchpoint, version=version, day=day, responded_at=noon(day),
        recorded_at=noon(day), score=score, **stored,
    )  # fmt: skip
    Answer.objects.create(response=response, question=question, score=score)
    _count(response, question.pk, score, +1)
    return response


@transaction.atomic
def change(response: Response, score: int) -> None:
    """The customer corrects the answer; nothing is counted of an excluded one."""
    response = Response.objects.select_for_update().get(pk=response.pk)
    held = Answer.objects.get(response=response)
    if response.excluded_at is None:
        _count(response, held.question_id, held.score, -1)
        _count(response, held.question_id, score, +1)
    Answer.objects.filter(pk=held.pk).update(score=score)
    Response.objects.filter(pk=response.pk).update(score=score)


@transaction.atomic
def exclude(response: Response, out: bool = True) -> None:
    """Staff take an answer out, or back in."""
    response = Response.objects.select_for_update().get(pk=response.pk)
    if (response.excluded_at is not None) == out:
        return
    held = Answer.objects.get(response=response)
    _count(response, held.question_id, held.score, -1 if out else +1)
    Response.objects.filter(pk=response.pk).update(
        excluded_at=noon(response.day) if out else None, excluded_reason="test" if out else ""
    )


def count(touchpoint: Touchpoint, scores: dict[int, int], days_ago: int = 1, **fields: Any) -> None:
    """So many answers of each score, as their ledger rows alone: for pages that read cells and no raw answer."""
    day = Organisation.current().day_of(timezone.now() - timedelta(days=days_ago))
    key = {"mode": "email", "segment": "", "location": "", **fields}
    question = score_question(touchpoint).pk
    ScoreLedger.objects.bulk_create(
        ScoreLedger(day=day, touchpoint_id=touchpoint.pk, question_id=question, score=score, delta=1, **key)
        for score, n in scores.items()
        for _answer in range(n)
    )


def _count(response: Response, question_id: int, score: int | None, delta: int) -> None:
    assert score is not None
    ScoreLedger.objects.create(
        day=response.day, touchpoint_id=response.touchpoint_id, question_id=question_id, mode=response.mode,
        segment=response.segment, location=response.location, score=score, delta=delta,
    )  # fmt: skip


@transaction.atomic
def ticket(
    touchpoint: Touchpoint | None, opened: datetime, seconds: int | None = None, reopened: int = 0, **fields: Any
) -> Ticket:
    """A ticket in TTR, resolved after `seconds` or open; days are UTC's. `fields` are segment, location. In business time, too."""
    resolved = None if seconds is None else opened + timedelta(seconds=seconds)
    hours = Organisation.current().work_calendar
    business_s = business_seconds(opened, resolved, hours) if hours and resolved else None
    made = Ticket.objects.create(
        source="/test", reference=f"t-{next(_numbers)}", customer=make_customer(), touchpoint=touchpoint, in_ttr=True,
        opened_at=opened, resolved_at=resolved, day_opened=opened.date(), day_resolved=resolved and resolved.date(),
        reopened_count=reopened, business_s=business_s, **fields,
    )  # fmt: skip
    if resolved is not None:
        _count_ticket(made, +1)
    return made


@transaction.atomic
def reopen(made: Ticket) -> None:
    made = Ticket.objects.select_for_update().get(pk=made.pk)
    if made.resolved_at is not None:
        _count_ticket(made, -1)
    Ticket.objects.filter(pk=made.pk).update(
        resolved_at=None, day_resolved=None, business_s=None, reopened_count=made.reopened_count + 1
    )


def _count_ticket(made: Ticket, delta: int) -> None:
    assert made.opened_at is not None
    assert made.resolved_at is not None
    assert made.day_opened is not None
    assert made.day_resolved is not None
    seconds = int((made.resolved_at - made.opened_at).total_seconds())
    for suffix, lasted in (("", seconds), ("-business", made.business_s)):
        for basis, day in (("resolved", made.day_resolved), ("opened", made.day_opened)):
            if lasted is not None:
                DurationLedger.objects.create(
                    basis=basis + suffix, day=day, touchpoint_id=made.touchpoint_id or 0, segment=made.segment,
                    location=made.location, seconds=lasted, reopened=made.reopened_count > 0, delta=delta,
                )  # fmt: skip
