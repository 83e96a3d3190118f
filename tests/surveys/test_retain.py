"""Old personal data goes by itself, in batches, and no count moves."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import ValidationError
from django.db import connection

from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.flow import retain as module
from surveys.flow.index import index_now
from surveys.flow.retain import KINDS, retain
from surveys.models import (
    Answer,
    Customer,
    DeliveryAttempt,
    InboundText,
    InteractionEvent,
    QuarantinedEvent,
    Response,
    ResponseChange,
    ResponseTerms,
    RetentionMark,
    SentMessage,
    Ticket,
)
from surveys.models.journeys import RETENTION_DAYS, validate_retention
from surveys.tasks import forget_old_data
from tests.factories import NOW, make_customer, make_event, make_invitation, make_organisation, make_touchpoint
from tests.metrics.raw import answer

pytestmark = pytest.mark.django_db

KEPT = timedelta(days=100)
OLD, YOUNG = NOW - KEPT - timedelta(microseconds=1), NOW - KEPT


def keep(days: float = 100) -> None:
    make_organisation(retention_s=int(timedelta(days=days).total_seconds()))


def run(**fields: int) -> int:
    return retain(lambda: NOW, **fields)


def leave_traces(at) -> dict[str, int]:
    """One row of each kind, with something personal in it, of a person who is heard of to this day."""
    place = make_touchpoint()
    person = make_customer(profile_at=NOW)
    invitation = make_invitation(place, person, decided_at=at, detail="550 no such user li@example.com")
    response = answer(place, 9, customer=person)
    Response.objects.filter(pk=response.pk).update(
        recorded_at=at, comment="I am Li", reference="order 1", facts={"a": 1}
    )
    Answer.objects.create(response=response, question=place.instrument.questions.get(key="comment"), text="I am Li")
    change = ResponseChange.objects.create(response=response, replaced_at=at, score=3, answers={"comment": "Li"})
    event = make_event(person, received_at=at, time=at, facts={"city": "Shanghai"}, reference="ord-1", decided=True)
    attempt = DeliveryAttempt.objects.create(
        invitation=invitation, at=at, mode="email", result="permanent", detail="li@example.com", address_hash="abc"
    )
    text = InboundText.objects.create(
        provider="test", message_id=f"{at}", phone="+8613800000000", text="9, thanks", received_at=at, meaning="score"
    )
    quarantined = QuarantinedEvent.objects.create(body='{"name": "Li"}', errors=[{"detail": "Li"}], received_at=at)
    message = SentMessage.objects.create(at=at, to="li@example.com", subject="Dear Li", text="Dear Li")
    return {
        "response": response.pk, "change": change.pk, "event": event.pk, "invitation": invitation.pk,
        "attempt": attempt.pk, "text": text.pk, "quarantined": quarantined.pk, "message": message.pk,
    }  # fmt: skip


def held(ids: dict[str, int]) -> dict[str, bool]:
    """What of it is still there, by kind."""
    response = Response.objects.get(pk=ids["response"])
    return {
        "response": bool(response.comment or response.reference or response.facts),
        "answers": Answer.objects.filter(response=response).exclude(text="").exists(),
        "change": bool(ResponseChange.objects.get(pk=ids["change"]).answers),
        "event": bool((row := InteractionEvent.objects.get(pk=ids["event"])).facts or row.reference),
        "invitation": bool(response.touchpoint.invitations.get(pk=ids["invitation"]).detail),
        "attempt": bool((one := DeliveryAttempt.objects.get(pk=ids["attempt"])).detail or one.address_hash),
        "text": bool((own := InboundText.objects.get(pk=ids["text"])).text or own.phone),
        "quarantined": QuarantinedEvent.objects.get(pk=ids["quarantined"]).body != "{}",
        "message": SentMessage.objects.filter(pk=ids["message"]).exists(),
        "terms": ResponseTerms.objects.filter(response=response, terms=SearchQuery("'li'", search_type="raw")).exists(),
    }


def test_what_is_older_goes_what_is_not_stays_and_no_count_moves():
    keep()
    old, young = leave_traces(OLD), leave_traces(YOUNG)
    index_now([old["response"], young["response"]])
    roll_up()
    assert verify() == []
    assert run() > 0
    assert set(held(old).values()) == {False}
    assert set(held(young).values()) == {True}
    response = Response.objects.get(pk=old["response"])
    assert (response.score, response.answers.filter(score=9).count()) == (9, 1)
    assert verify() == []
    assert run() == 0  # nothing is looked at twice


def test_nothing_goes_where_all_is_kept():
    make_organisation()
    old = leave_traces(OLD)
    index_now([old["response"]])
    assert run() == 0
    assert set(held(old).values()) == {True}


def test_each_batch_costs_the_same_and_none_is_left_out(django_assert_max_num_queries):
    keep()
    customer = make_customer(profile_at=NOW)
    for _number in range(7):
        make_event(customer, received_at=OLD, facts={"a": 1}, decided=True)
    with django_assert_max_num_queries(130):
        assert run(batch=2) >= 7
    assert not InteractionEvent.objects.exclude(facts={}).exists()
    assert RetentionMark.objects.get(kind="events").last_id == InteractionEvent.objects.latest("pk").pk


def test_it_stops_when_its_shift_is_over_and_goes_on_where_it_was():
    keep()
    customer = make_customer(profile_at=NOW)
    for _number in range(4):
        make_event(customer, received_at=OLD, facts={"a": 1}, decided=True)
    turns = iter([False, False] + [True] * 50)
    retain(lambda: NOW, over=lambda: next(turns), batch=2)
    assert InteractionEvent.objects.exclude(facts={}).count() in (2, 4)
    run()
    assert not InteractionEvent.objects.exclude(facts={}).exists()


def make_silent(**fields) -> Customer:
    customer = make_customer(**{"profile_at": OLD, **fields})
    Customer.objects.filter(pk=customer.pk).update(created_at=OLD)
    return customer


def test_who_was_not_heard_of_is_erased():
    keep()
    silent = make_silent()
    make_event(silent, received_at=OLD, time=OLD, decided=True)
    run()
    silent.refresh_from_db()
    assert silent.erased_at == NOW
    assert silent.email == ""


@pytest.mark.parametrize("trace", ["event", "invitation", "response", "ticket", "profile", "young"])
def test_whoever_was_heard_of_stays(trace):
    keep()
    person = make_silent()
    if trace == "event":
        make_event(person, received_at=YOUNG, time=OLD, decided=True)
    elif trace == "invitation":
        make_invitation(customer=person, decided_at=OLD, expires_at=YOUNG)
    elif trace == "response":
        Response.objects.filter(pk=answer(make_touchpoint(), 9, customer=person).pk).update(recorded_at=YOUNG)
    elif trace == "ticket":
        Ticket.objects.create(
            source="/t", reference="1", customer=person, in_ttr=True, opened_at=OLD, day_opened=OLD.date()
        )
    elif trace == "profile":
        Customer.objects.filter(pk=person.pk).update(profile_at=YOUNG)
    else:
        Customer.objects.filter(pk=person.pk).update(created_at=YOUNG)
    run()
    person.refresh_from_db()
    assert person.erased_at is None


def test_who_comes_back_between_looking_and_erasing_stays(monkeypatch):
    keep()
    person = make_silent()
    forget = module._forget

    def after_an_event(pk, *rest):
        make_event(person, received_at=NOW, decided=True)
        forget(pk, *rest)

    monkeypatch.setattr(module, "_forget", after_an_event)
    run()
    person.refresh_from_db()
    assert person.erased_at is None


def test_customers_are_gone_through_once_a_day():
    keep()
    run()
    late = make_silent()
    run()
    late.refresh_from_db()
    assert late.erased_at is None
    retain(lambda: NOW + timedelta(hours=21))
    late.refresh_from_db()
    assert late.erased_at is not None


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_strip_everything_once():
    keep()
    customer = make_customer(profile_at=NOW)
    for _number in range(40):
        make_event(customer, received_at=OLD, facts={"a": 1}, decided=True)

    def work(_number: int) -> int:
        try:
            return run(batch=3)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        looked = sum(pool.map(work, range(3)))
    run()
    assert not InteractionEvent.objects.exclude(facts={}).exists()
    assert looked <= 40 + Customer.objects.count() + 1


def test_the_task_needs_nothing_and_every_kind_has_its_time():
    forget_old_data()
    for kind in KINDS:
        assert kind.rows._meta.get_field(kind.time)


@pytest.mark.parametrize(("days", "good"), [(0, True), (RETENTION_DAYS, True), (RETENTION_DAYS - 1, False)])
def test_so_short_a_time_that_links_still_work_is_refused(days, good):
    if good:
        validate_retention(days * 86_400)
    else:
        with pytest.raises(ValidationError, match="at least 30 days"):
            validate_retention(days * 86_400)
