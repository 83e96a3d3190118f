"""Whatever customers, staff and helpdesks do, in whatever order: cells + ledger = raw, and the metric is the raw one."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from metrics.days import redate
from metrics.queries import Slice, measure
from metrics.rollup import roll_up, sweep
from metrics.tasks import roll_up as roll_up_task
from metrics.verify import verify
from surveys.flow.erase import NoSuchCustomer, erase_customer
from surveys.flow.incoming import Catalogue, read_event
from surveys.flow.record import record_events
from surveys.flow.respond import (
    Given,
    Submission,
    decide_suspect,
    exclude_response,
    include_response,
    record_response,
)
from surveys.flow.retain import retain
from surveys.models import Customer, Organisation, Response, Ticket
from tests.factories import NOW, make_customer, make_instrument, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db

KINDS = ("opened", "first_response", "resolved", "reopened", "closed")
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York")
few = st.integers(0, 4)


class People(RuleBasedStateMachine):
    """Five forms, five customers and five tickets, and all that may happen to them. `done` counts steps over every run."""

    done = 0

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.organisation = make_organisation(retention_s=30 * 86_400)
        self.touchpoint = make_touchpoint("desk", make_instrument("nps-x"))
        self.user, _made = User.objects.get_or_create(username="boss")
        self.clock = NOW
        self.edit = 0

    def teardown(self) -> None:
        try:
            roll_up_task()
            sweep()
            assert verify() == []
            self.metrics_are_raw()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    def metrics_are_raw(self) -> None:
        scores = [row.score for row in Response.objects.filter(excluded_at=None) if row.score is not None]
        nps = measure("nps", Slice(), now=self.clock).total
        assert nps.n == len(scores)
        assert nps.value == (100 * sum((s >= 9) - (s <= 6) for s in scores) / len(scores) if scores else None)
        tickets = list(Ticket.objects.filter(in_ttr=True))
        seconds = [(t.resolved_at - t.opened_at).total_seconds() for t in tickets if t.resolved_at and t.opened_at]
        ttr = measure("ttr", Slice(), now=self.clock).total
        assert (ttr.n, ttr.extra["open"]) == (len(seconds), len(tickets) - len(seconds))
        assert ttr.value == (pytest.approx(sum(seconds) / len(seconds)) if seconds else None)

    # --- What customers do ---

    @rule(form=few, score=st.integers(0, 11), days=st.integers(0, 60), sent=st.booleans(), scanned=st.booleans())
    def answer(self, form: int, score: int, days: int, sent: bool, scanned: bool) -> None:
        """A first answer to a form, or a change of it. 11: the scale is skipped."""
        instrument = self.touchpoint.instrument
        assert instrument is not None
        question, comment = instrument.questions.get(key="score"), instrument.questions.get(key="comment")
        answers = [Given(comment, text=f"{score}")] + ([Given(question, score=score)] if score <= 10 else [])
        version = instrument.current_version()
        assert version is not None
        self.edit += 1
        owner = Customer.objects.filter(external_id=f"C-{form}").first() or make_customer(f"C-{form}")
        submission = Submission(
            client_id=uuid.UUID(int=form), touchpoint=self.touchpoint, version=version, mode="link", answers=answers,
            customer=owner, responded_at=self.clock - timedelta(days=days), complete=sent, from_scanner=scanned, edit=self.edit,
        )  # fmt: skip
        record_response(submission, self.clock)

    @rule(number=few)
    def erase(self, number: int) -> None:
        try:
            erase_customer(f"C-{number}", self.clock)
        except NoSuchCustomer:
            assert not Customer.objects.filter(external_id=f"C-{number}").exists()

    # --- What staff do ---

    @rule(form=few, out=st.booleans())
    def exclude(self, form: int, out: bool) -> None:
        for response in Response.objects.filter(client_id=uuid.UUID(int=form)):
            if out:
                exclude_response(response.pk, "a test", self.user, self.clock)
            else:
                include_response(response.pk)

    @rule(form=few, counts=st.booleans())
    def decide(self, form: int, counts: bool) -> None:
        for response in Response.objects.filter(client_id=uuid.UUID(int=form)):
            decide_suspect(response.pk, counts, self.user, self.clock)

    @rule(zone=st.sampled_from(ZONES))
    def move_days(self, zone: str) -> None:
        Organisation.objects.update(time_zone=zone)
        redate()

    # --- What helpdesks do ---

    @rule(number=few, kind=st.sampled_from(KINDS), hours=st.integers(0, 90))
    def ticket(self, number: int, kind: str, hours: int) -> None:
        """In any order, more than once, too late."""
        time = NOW - timedelta(days=40) + timedelta(hours=hours * 7)
        named = {"touchpoint": self.touchpoint.slug} if number % 2 else {}
        event: dict[str, Any] = {
            "specversion": "1.0", "id": f"{number}-{kind}-{hours}", "source": "/desk", "type": f"ticket.{kind}",
            "time": time.isoformat(), "subject": f"C-{number}", "data": {"reference": f"T-{number}", **named},
        }  # fmt: skip
        catalogue = Catalogue.load()
        record_events([read_event(event, catalogue, self.clock)], catalogue, self.clock)

    # --- What workers do ---

    @rule(limit=st.integers(1, 6))
    def drain(self, limit: int) -> None:
        roll_up(limit=limit)

    @rule()
    def clean(self) -> None:
        sweep()

    @precondition(lambda self: self.clock < NOW + timedelta(days=90))
    @rule(days=st.integers(1, 20))
    def time_passes(self, days: int) -> None:
        self.clock += timedelta(days=days)
        retain(lambda: self.clock)

    @invariant()
    def nothing_differs(self) -> None:
        type(self).done += 1
        assert verify() == []


def walk(runs: int, steps: int) -> None:
    People.done = 0
    quiet = list(HealthCheck)  # steps are slow, and the database outlives each of them
    run_state_machine_as_test(
        People,
        settings=settings(max_examples=runs, stateful_step_count=steps, deadline=None, suppress_health_check=quiet),
    )


def test_three_hundred_steps_of_what_people_do_leave_no_difference() -> None:
    walk(7, 60)
    assert People.done >= 300, People.done


@pytest.mark.slow
def test_thousands_of_steps_of_what_people_do_leave_no_difference() -> None:
    walk(150, 80)
    assert People.done >= 300, People.done0
