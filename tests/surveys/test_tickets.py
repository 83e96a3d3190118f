"""A ticket's state follows from its events alone, whatever the order in which they come."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surveys.flow.deliver import deliver_due
from surveys.flow.incoming import TICKET_EVENTS, Catalogue, Incoming, read_event
from surveys.flow.invite import drain
from surveys.flow.record import record_events
from surveys.flow.tickets import TicketEvent, state_of
from surveys.models import Customer, DurationLedger, InteractionEvent, Invitation, Ticket
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.surveys.test_record import in_threads

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    return T0 + hours * HOUR


def state(*events: tuple[str, float]) -> Any:
    return state_of(TicketEvent(at(hours), f"ticket.{kind}") for kind, hours in events)


def test_from_the_first_opening_to_the_last_resolution():
    found = state(
        ("opened", 0), ("opened", 1), ("resolved", 2), ("resolved", 5), ("first_response", 1), ("first_response", 2)
    )
    assert (found.opened_at, found.first_response_at, found.resolved_at) == (at(0), at(1), at(5))
    assert found.in_ttr


def test_closed_and_never_resolved_counts_as_resolved_when_it_was_closed():
    assert state(("opened", 0), ("closed", 3)).resolved_at == at(3)
    assert state(("opened", 0), ("resolved", 2), ("closed", 3)).resolved_at == at(2)
    assert state(("opened", 0), ("closed", 3), ("resolved", 4)).resolved_at == at(4)
    assert state(("opened", 0), ("closed", 3), ("closed", 4)).resolved_at == at(3)


def test_a_reopening_makes_it_unresolved_again_until_the_next_resolution():
    reopened = state(("opened", 0), ("resolved", 1), ("closed", 2), ("reopened", 3))
    assert (reopened.resolved_at, reopened.closed_at, reopened.reopened_count) == (None, None, 1)
    assert reopened.in_ttr
    assert state(("opened", 0), ("resolved", 1), ("reopened", 2), ("resolved", 4)).resolved_at == at(4)
    assert state(("opened", 0), ("resolved", 1), ("reopened", 2), ("closed", 4)).resolved_at == at(4)


def test_at_the_same_time_reopened_comes_before_resolved_and_resolved_before_closed():
    assert state(("resolved", 1), ("reopened", 1), ("opened", 0)).resolved_at == at(1)
    assert state(("closed", 1), ("resolved", 1), ("opened", 1)).resolved_at == at(1)


def test_without_an_opening_or_resolved_before_it_a_ticket_is_not_in_ttr():
    assert not state(("resolved", 1)).in_ttr
    assert not state(("resolved", 1), ("opened", 2)).in_ttr
    assert state(("resolved", 1), ("opened", 1)).in_ttr
    assert state(("opened", 1)).in_ttr


def test_touchpoint_and_location_are_those_of_the_earliest_event_that_names_one():
    events = [
        TicketEvent(at(0), "ticket.opened", None, ""),
        TicketEvent(at(2), "ticket.resolved", 2, "b"),
        TicketEvent(at(1), "ticket.first_response", 1, ""),
    ]
    assert (state_of(events).touchpoint_id, state_of(events).location) == (1, "b")


kinds = st.sampled_from(TICKET_EVENTS)
ticket_events = st.builds(
    TicketEvent,
    st.integers(0, 6).map(at),
    kinds,
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from(["", "", "a", "b"]),
    st.integers(1, 2),
)


@given(st.lists(ticket_events, max_size=8), st.randoms())
def test_the_order_of_arrival_never_matters(events: list[TicketEvent], chance: random.Random):
    shuffled = chance.sample(events, len(events))
    assert state_of(shuffled) == state_of(events)


@given(st.lists(ticket_events, max_size=8))
def test_an_event_told_twice_changes_nothing_but_the_count_of_reopenings(events: list[TicketEvent]):
    once, twice = state_of(events), state_of([*events, *events])
    assert once._replace(reopened_count=0) == twice._replace(reopened_count=0)


# --- Through the database ---------------------------------------------------------------------------------------------


@pytest.fixture
def catalogue(db: Any) -> Catalogue:
    make_organisation(ticket_events={"case.solved": "ticket.resolved"})
    make_touchpoint("support")
    make_touchpoint("billing")
    return Catalogue.load()


def told(
    catalogue: Catalogue,
    kind: str,
    hours: float,
    id: str = "",
    reference: str = "T-1",
    customer: str = "C-1",
    **data: Any,
) -> Incoming:
    kind = kind if "." in kind else f"ticket.{kind}"
    item = {
        "specversion": "1.0",
        "id": id or f"{kind}{hours}",
        "source": "/desk",
        "type": kind,
        "time": at(hours).isoformat(),
    }
    return read_event(
        item | {"data": {"reference": reference, "customer": {"external_id": customer, "segment": "gold"}, **data}},
        catalogue,
        NOW,
    )


def record(catalogue: Catalogue, *events: Incoming) -> int:
    return record_events(events, catalogue, NOW).accepted


def counted() -> dict[tuple[Any, ...], int]:
    """The ledger's balance, without what cancels out."""
    total: Counter[tuple[Any, ...]] = Counter()
    for row in DurationLedger.objects.all():
        total[row.basis, row.day, row.touchpoint_id, row.segment, row.location, row.seconds, row.reopened] += row.delta
    return {key: n for key, n in total.items() if n}


def expected() -> dict[tuple[Any, ...], int]:
    """The same from the tickets as they stand."""
    total: Counter[tuple[Any, ...]] = Counter()
    for row in Ticket.objects.filter(in_ttr=True):
        same = (row.touchpoint_id or 0, row.segment, row.location)
        if row.resolved_at is not None:
            seconds = int((row.resolved_at - row.opened_at).total_seconds())
            for basis, day in (("resolved", row.day_resolved), ("opened", row.day_opened)):
                total[basis, day, *same, seconds, row.reopened_count > 0] += 1
        if row.first_response_at is not None and row.first_response_at >= row.opened_at:
            seconds = int((row.first_response_at - row.opened_at).total_seconds())
            total["answered", row.day_opened, *same, seconds, False] += 1
    return dict(total)


def test_a_resolved_ticket_is_counted_by_the_day_opened_and_by_the_day_resolved(catalogue):
    record(
        catalogue, told(catalogue, "resolved", 20, location="sh-1"), told(catalogue, "opened", 0, touchpoint="support")
    )
    ticket = Ticket.objects.get()
    assert (ticket.segment, ticket.location, ticket.touchpoint.slug) == ("gold", "sh-1", "support")
    # 12:00 UTC is 20:00 in Shanghai; twenty hours later it is the next day there.
    assert (ticket.day_opened, ticket.day_resolved) == (date(2026, 11, 1), date(2026, 11, 2))
    same = (ticket.touchpoint_id, "gold", "sh-1", 72_000, False)
    assert counted() == {("resolved", date(2026, 11, 2), *same): 1, ("opened", date(2026, 11, 1), *same): 1}


def test_an_open_ticket_is_not_in_the_ledger_and_a_mapped_type_resolves_it(catalogue):
    record(catalogue, told(catalogue, "opened", 0))
    assert not DurationLedger.objects.exists()
    record(catalogue, told(catalogue, "case.solved", 1))
    assert Ticket.objects.get().resolved_at == at(1)
    assert counted() == expected() != {}


def test_what_does_not_change_what_is_counted_writes_no_ledger_rows(catalogue):
    record(catalogue, told(catalogue, "opened", 0), told(catalogue, "resolved", 2))
    rows = DurationLedger.objects.count()
    record(catalogue, told(catalogue, "first_response", -1), told(catalogue, "closed", 3))
    assert DurationLedger.objects.count() == rows


def test_a_first_response_is_counted_by_the_day_opened_whether_resolved_or_not(catalogue):
    record(catalogue, told(catalogue, "opened", 0), told(catalogue, "first_response", 1))
    assert counted() == expected() == {("answered", date(2026, 11, 1), 0, "gold", "", 3600, False): 1}
    before = DurationLedger.objects.count()
    record(catalogue, told(catalogue, "resolved", 2))
    assert DurationLedger.objects.count() == before + 2  # what stays is not taken back and given again
    record(catalogue, told(catalogue, "first_response", 0.5), told(catalogue, "reopened", 3))
    assert counted() == expected()
    assert {key[0] for key in counted()} == {"answered"}


def test_a_response_before_the_opening_and_one_to_a_ticket_outside_ttr_are_not_counted(catalogue):
    record(catalogue, told(catalogue, "opened", 0), told(catalogue, "first_response", -1))
    record(catalogue, told(catalogue, "first_response", 1, reference="T-2"))
    assert counted() == expected() == {}


def test_a_late_earlier_event_that_names_a_touchpoint_moves_the_ticket(catalogue):
    record(catalogue, told(catalogue, "opened", 1), told(catalogue, "resolved", 2, touchpoint="support"))
    record(catalogue, told(catalogue, "first_response", 1.5, touchpoint="billing"))
    assert Ticket.objects.get().touchpoint.slug == "billing"
    assert counted() == expected()
    assert {key[2] for key in counted()} == {Ticket.objects.get().touchpoint_id}


def test_the_segment_is_that_of_first_sight(catalogue):
    record(catalogue, told(catalogue, "opened", 0))
    record(catalogue, told(catalogue, "resolved", 1, customer="C-1"))
    silver = {"external_id": "C-1", "segment": "silver"}
    item = told(catalogue, "closed", 2)
    record(catalogue, read_event(
        {"specversion": "1.0", "id": "z", "source": "/desk", "type": "ticket.reopened", "time": at(9).isoformat(),
         "data": {"reference": "T-1", "customer": silver}}, catalogue, NOW), item)  # fmt: skip
    assert Ticket.objects.get().segment == "gold"


def test_a_changed_time_zone_moves_no_day_before_a_rebuild(catalogue):
    record(catalogue, told(catalogue, "opened", 0), told(catalogue, "resolved", 20))
    make_organisation(time_zone="America/Los_Angeles")
    later = Catalogue.load()
    record(later, told(later, "reopened", 21), told(later, "resolved", 40))
    ticket = Ticket.objects.get()
    assert (ticket.day_opened, ticket.day_resolved) == (date(2026, 11, 1), date(2026, 11, 2))  # 20:00 on the 2nd there
    assert counted() == expected()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(kinds, st.integers(0, 6), st.sampled_from([None, "support", "billing"])), min_size=1, max_size=7
    ),
    st.randoms(),
)
def test_any_order_in_any_batches_with_repeats_ends_in_the_same_tickets_and_the_same_counts(catalogue, events, chance):
    outcomes = []
    for turn in range(2):
        source = f"T-{turn}-{InteractionEvent.objects.count()}"
        before = Counter(counted())
        items = [
            told(catalogue, kind, hours, f"{source}-{n}", source, **({"touchpoint": slug} if slug else {}))
            for n, (kind, hours, slug) in enumerate(events)
        ]
        if turn:
            items = chance.sample(items, len(items)) + chance.sample(items, len(items))
            cut = chance.randrange(len(items) + 1)
            accepted = record(catalogue, *items[:cut]) + record(catalogue, *items[cut:])
        else:
            accepted = sum(record(catalogue, item) for item in items)
        assert accepted == len(events)
        ticket = Ticket.objects.get(reference=source)
        fields = ("touchpoint_id", "location", "opened_at", "first_response_at", "resolved_at", "closed_at", "in_ttr")
        days = (ticket.reopened_count, ticket.day_opened, ticket.day_resolved)
        after = Counter(counted())
        after.subtract(before)
        outcomes.append(([getattr(ticket, name) for name in fields], days, {key: n for key, n in after.items() if n}))
    assert outcomes[0] == outcomes[1]
    assert counted() == expected()


@pytest.mark.django_db(transaction=True)
def test_tickets_told_by_many_at_once_are_counted_once():
    make_organisation()
    make_touchpoint("support")
    catalogue = Catalogue.load()
    rows = [("opened", 0), ("first_response", 1), ("resolved", 2), ("reopened", 3), ("resolved", 5), ("closed", 6)]
    events = [
        told(catalogue, kind, hours + n, f"{n}-{kind}-{hours}", f"T-{n}", f"C-{n % 3}")
        for n in range(8)
        for kind, hours in rows
    ]

    def post(seed: int) -> None:
        mine = random.Random(seed).sample(events, len(events))
        for start in range(0, len(mine), 7):
            record_events(mine[start : start + 7], catalogue, NOW)

    in_threads(post, range(8))
    assert InteractionEvent.objects.count() == len(events)
    assert [ticket.resolved_at - ticket.opened_at for ticket in Ticket.objects.all()] == [5 * HOUR] * 8
    assert counted() == expected()


def test_a_reopening_cancels_what_was_to_be_asked_and_nothing_about_a_later_resolution(catalogue):
    rule = make_rule(make_touchpoint(), event_type="ticket.resolved", delay_s=86_400)
    record(catalogue, told(catalogue, "opened", 0), told(catalogue, "resolved", 1), told(catalogue, "resolved", 5))
    for row in InteractionEvent.objects.filter(ticket_event="ticket.resolved"):
        make_invitation(rule.touchpoint, row.customer, rule=rule, event=row, status="scheduled", attempted_at=None)
    elsewhere = make_invitation(event=make_event(make_customer("C-9")), status="scheduled", attempted_at=None)
    record(catalogue, told(catalogue, "reopened", 3))
    found = dict(Invitation.objects.exclude(pk=elsewhere.pk).values_list("event__time", "status"))
    assert found == {at(1): "cancelled", at(5): "scheduled"}
    assert Invitation.objects.get(event__time=at(1)).reason == "reopened"
    elsewhere.refresh_from_db()
    assert elsewhere.status == "scheduled"


def test_a_ticket_that_was_reopened_before_the_rules_were_asked_leads_to_no_invitation(catalogue):
    make_rule(make_touchpoint(), event_type="ticket.resolved", max_age_s=90 * 86_400)
    catalogue = Catalogue.load()
    record(
        catalogue, told(catalogue, "opened", 0), told(catalogue, "resolved", 1),
        told(catalogue, "reopened", 3), told(catalogue, "resolved", 5),
    )  # fmt: skip
    Customer.objects.update(email="li@example.com")
    drain(lambda: NOW)
    found = Invitation.objects.order_by("event__time").values_list("event__time", "status", "reason")
    assert found[0] == (at(1), "withheld", "reopened")
    assert found[1][1:] == ("scheduled", "")


def test_a_reopening_while_the_invitation_was_held_by_a_worker_cancels_it_at_the_next_sending(catalogue):
    rule = make_rule(make_touchpoint(), event_type="ticket.resolved")
    record(catalogue, told(catalogue, "opened", 0), told(catalogue, "resolved", 1))
    event = InteractionEvent.objects.get(ticket_event="ticket.resolved")
    held = make_invitation(
        rule.touchpoint, event.customer, rule=rule, event=event, status="scheduled", attempted_at=None,
        lease_until=NOW + HOUR,
    )  # fmt: skip
    record(catalogue, told(catalogue, "reopened", 3))
    held.refresh_from_db()
    assert held.status == "scheduled"
    Customer.objects.update(email="li@example.com")
    deliver_due(NOW + 2 * HOUR)
    held.refresh_from_db()
    assert (held.status, held.reason, held.attempts) == ("cancelled", "reopened", 0)
