"""Events become rows once each, and customers what all systems together say of them."""

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from surveys.flow.customers import upsert_customer, upsert_customers
from surveys.flow.incoming import Catalogue, Incoming, Profile, read_event
from surveys.flow.record import RecordResult, record_events
from surveys.models import Customer, InteractionEvent, Segment, Ticket
from tests.factories import NOW, make_customer, make_organisation, make_rule, make_touchpoint

HOUR = timedelta(hours=1)


@pytest.fixture
def catalogue(db: Any) -> Catalogue:
    make_organisation()
    make_rule(make_touchpoint("delivery"), event_type="order.delivered")
    return Catalogue.load()


def event(id: str, catalogue: Catalogue, at: datetime = NOW, kind: str = "order.delivered", **data: Any) -> Incoming:
    customer = data.pop("customer", {"external_id": "C-1"})
    item = {"specversion": "1.0", "id": id, "source": "/s", "type": kind, "time": at.isoformat()}
    return read_event(item | {"data": {"touchpoint": "delivery", "customer": customer, **data}}, catalogue, NOW)


def seen(*profiles: tuple[datetime, dict[str, Any]], catalogue: Catalogue) -> Customer:
    """The customer after these profiles, each in a call of its own."""
    for at, customer in profiles:
        record_events(
            [event(f"{at}{customer}", catalogue, at, customer={"external_id": "C-1", **customer})], catalogue, NOW
        )
    return Customer.objects.get(external_id="C-1")


def test_an_absent_field_keeps_and_null_clears(catalogue):
    customer = seen(
        (NOW, {"email": "a@example.com", "name": "Li", "attributes": {"city": "Shanghai", "tier": 1}}),
        (NOW + HOUR, {"email": None, "attributes": {"city": None, "vip": True}}),
        catalogue=catalogue,
    )
    assert (customer.email, customer.name, customer.attributes) == ("", "Li", {"tier": 1, "vip": True})
    assert customer.profile_at == NOW + HOUR


def test_null_attributes_clear_them_all(catalogue):
    customer = seen((NOW, {"attributes": {"a": 1}}), (NOW + HOUR, {"attributes": None}), catalogue=catalogue)
    assert customer.attributes == {}


def test_an_older_event_only_fills_what_is_empty(catalogue):
    customer = seen(
        (NOW, {"email": "new@example.com", "attributes": {"city": "Shanghai"}}),
        (
            NOW - HOUR,
            {"email": "old@example.com", "name": "Li", "segment": None, "attributes": {"city": "Ningbo", "vip": True}},
        ),
        catalogue=catalogue,
    )
    assert (customer.email, customer.name) == ("new@example.com", "Li")
    assert customer.attributes == {"city": "Shanghai", "vip": True}
    assert customer.profile_at == NOW


def test_an_older_null_clears_nothing(catalogue):
    customer = seen(
        (NOW, {"email": "a@example.com", "attributes": {"a": 1}}),
        (NOW - HOUR, {"email": None, "attributes": None}),
        (NOW - HOUR, {"attributes": {"a": None}}),
        catalogue=catalogue,
    )
    assert (customer.email, customer.attributes) == ("a@example.com", {"a": 1})


def test_several_events_of_a_customer_in_one_batch_count_by_their_times(catalogue):
    make_customer("C-1", email="held@example.com", name="", profile_at=NOW)
    items = [
        event("3", catalogue, NOW + 2 * HOUR, customer={"external_id": "C-1", "segment": "gold"}),
        event(
            "2", catalogue, NOW + HOUR, customer={"external_id": "C-1", "segment": "silver", "phone": "+8613800000000"}
        ),
        event("1", catalogue, NOW - HOUR, customer={"external_id": "C-1", "email": "old@example.com", "name": "Li"}),
    ]
    assert record_events(items, catalogue, NOW) == RecordResult(3, 0, 3)
    customer = Customer.objects.get()
    assert (customer.email, customer.name, customer.segment) == ("held@example.com", "Li", "gold")
    assert (customer.phone, customer.profile_at) == ("+8613800000000", NOW + 2 * HOUR)


def test_a_duplicate_changes_nothing(catalogue):
    seen((NOW, {"email": "a@example.com"}), catalogue=catalogue)
    again = event(
        f"{NOW}{{'email': 'a@example.com'}}", catalogue, customer={"external_id": "C-1", "email": "b@example.com"}
    )
    assert record_events([again], catalogue, NOW) == RecordResult(0, 1)
    assert Customer.objects.get().email == "a@example.com"


def test_an_event_that_no_rule_waits_for_is_settled_at_once(catalogue):
    result = record_events([event("1", catalogue), event("2", catalogue, kind="order.paid")], catalogue, NOW)
    assert result == RecordResult(2, 0, 1)
    assert dict(InteractionEvent.objects.values_list("event_id", "decided")) == {"1": False, "2": True}


def test_a_batch_of_a_thousand_takes_few_statements(catalogue, django_assert_max_num_queries):
    items = [event(str(n), catalogue, customer={"external_id": f"C-{n % 700}", "name": str(n)}) for n in range(1000)]
    with django_assert_max_num_queries(7):  # two of them begin and end the transaction
        assert record_events(items, catalogue, NOW).accepted == 1000


@pytest.mark.django_db(transaction=True)
def test_sixteen_threads_with_the_same_events_record_each_once():
    make_organisation()
    make_rule(make_touchpoint("delivery"), event_type="order.delivered")
    catalogue = Catalogue.load()
    items = [
        event(f"o-{n}", catalogue, NOW + n * HOUR / 100, customer={"external_id": f"C-{n % 50}", "name": f"N{n}"})
        for n in range(100)
    ] + [
        event(f"t-{n}", catalogue, NOW + n * HOUR / 100, kind, reference=f"T-{n % 25}", customer={"external_id": f"C-{n}"})
        for n in range(50)
        for kind in ("ticket.opened", "ticket.resolved")
        if (kind == "ticket.opened") == (n < 25)
    ] + [event(f"x-{n}", catalogue, NOW, "order.paid", customer={"external_id": f"X-{n}"}) for n in range(50)]  # fmt: skip
    assert len(items) == 200
    results = in_threads(lambda n: record_events(items[n:] + items[:n], catalogue, NOW), range(0, 160, 10))
    assert sum(result.accepted for result in results) == 200
    assert sum(result.duplicates for result in results) == 15 * 200
    assert InteractionEvent.objects.count() == 200
    assert Ticket.objects.filter(in_ttr=True, resolved_at__isnull=False).count() == 25
    assert Customer.objects.get(external_id="C-49").name == "N99"


@pytest.mark.django_db(transaction=True)
def test_two_systems_that_write_different_fields_at_once_both_leave_their_mark():
    make_customer("C-1", email="", name="", profile_at=NOW)

    def write(n: int) -> None:
        fields = {"name": f"N{n}"} if n % 2 else {"email": f"e{n}@example.com"}
        upsert_customer(Profile("C-1", fields, {f"a{n}": n}), NOW + n * HOUR, NOW)

    in_threads(write, range(12))
    customer = Customer.objects.get()
    assert customer.attributes == {f"a{n}": n for n in range(12)}
    assert (customer.name, customer.email) != ("", "")
    assert customer.profile_at == NOW + 11 * HOUR


@pytest.mark.django_db(transaction=True)
def test_a_customer_that_is_new_to_two_writers_at_once_is_one():
    def write(n: int) -> None:
        with transaction.atomic():
            upsert_customers([(Profile(f"C-{k}", {"name": f"{n}"}, {f"a{n}": n}), NOW) for k in range(30)], NOW)

    in_threads(write, range(8))
    assert Customer.objects.count() == 30
    assert all(customer.attributes == {f"a{n}": n for n in range(8)} for customer in Customer.objects.all())


@pytest.mark.django_db(transaction=True)
def test_past_two_hundred_segments_the_rest_count_as_other_even_when_many_write_at_once():
    make_organisation()
    make_touchpoint("delivery")
    catalogue = Catalogue.load()

    def write(n: int) -> None:
        items = [
            event(f"{n}-{k}", catalogue, kind="ticket.opened", reference=f"{n}-{k}",
                  customer={"external_id": f"{n}-{k}", "segment": f"s{n}-{k}"})
            for k in range(60)
        ]  # fmt: skip
        record_events(items, catalogue, NOW)

    in_threads(write, range(4))
    assert Segment.objects.count() == 200
    assert Ticket.objects.filter(segment="other").count() == 40


def in_threads(work: Any, arguments: Iterable[int]) -> list[Any]:
    """What `work` returned for each argument, all at the same time on connections of their own."""
    results: list[Any] = []
    failures: list[BaseException] = []
    numbers = list(arguments)
    gate = threading.Barrier(len(numbers))

    def run(n: int) -> None:
        try:
            gate.wait()
            results.append(work(n))
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return results
