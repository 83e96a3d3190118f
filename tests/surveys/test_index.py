"""What responses are found by follows what they say: in seconds, and at once where words must go."""

import threading
import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from surveys import tasks
from surveys.flow.erase import erase_customer
from surveys.flow.index import has_backlog, index_waiting
from surveys.flow.respond import Given, Submission, exclude_response, include_response, record_response
from surveys.flow.retain import retain
from surveys.models import Customer, Response, ResponseTerms, TermsDue, Touchpoint
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_organisation, make_touchpoint


def record(
    text: str, touchpoint: Touchpoint | None = None, client_id: uuid.UUID | None = None, **more: Any
) -> Response:
    touchpoint = touchpoint or make_touchpoint()
    instrument = touchpoint.instrument
    assert instrument is not None
    questions = {question.key: question for question in instrument.questions.all()}
    given = [Given(questions["score"], score=2)]
    if text:
        given.append(Given(questions["comment"], text=text))
    version = instrument.current_version()
    assert version is not None
    submission = Submission(client_id or uuid.uuid4(), touchpoint, version, "link", given, **more)
    return record_response(submission, NOW).response


def terms(response: Response) -> str:
    return str(ResponseTerms.objects.get(response=response).terms)


@pytest.mark.django_db
def test_an_answer_waits_for_its_terms_in_the_transaction_that_records_it():
    make_organisation()
    response = record(
        "太慢了", reference="ord-1", facts={"carrier": "SF", "late": True, "none": None}, language="zh-hans"
    )
    assert list(TermsDue.objects.values_list("response_id", flat=True)) == [response.pk]
    assert not ResponseTerms.objects.exists()
    tasks.index_responses()
    assert not TermsDue.objects.exists()
    found = terms(response)
    for term in (
        "太慢",
        "/n2",
        "/mlink",
        "/s",
        "/gzh-hans",
        "/rord-1",
        "/fcarrier=SF",
        "/flate=true",
        "/y202611",
        "/c1",
    ):
        assert f"'{term}'" in found
    assert "none" not in found


@pytest.mark.django_db
def test_terms_follow_a_change_and_an_exclusion():
    touchpoint, client_id = make_touchpoint(), uuid.uuid4()
    response = record("slow", touchpoint, client_id)
    index_waiting()
    record("quick", touchpoint, client_id)
    index_waiting()
    assert "'quick'" in terms(response)
    assert "'slow'" not in terms(response)
    exclude_response(response.pk, "a test", User.objects.create(username="a"), NOW)
    assert "'/x1'" in terms(response)  # staff look for it at once
    include_response(response.pk)
    assert "'/x0'" in terms(response)


@pytest.mark.django_db
def test_an_erased_customers_words_are_found_no_more():
    customer = make_customer("C-1")
    response = record("slow 太慢", customer=customer, reference="ord-1", facts={"carrier": "SF"})
    index_waiting()
    erase_customer("C-1", NOW)
    found = terms(response)
    for gone in ("slow", "太慢", "ord-1", "SF"):
        assert gone not in found
    assert "'/n2'" in found


@pytest.mark.django_db
def test_words_that_are_kept_no_longer_are_found_no_more():
    organisation = make_organisation()
    organisation.retention_s = 86_400
    organisation.save()
    response = record("slow 太慢", reference="ord-1")
    index_waiting()
    retain(lambda: NOW + timedelta(days=9))
    assert not any(gone in terms(response) for gone in ("slow", "太慢", "ord-1"))


@pytest.mark.django_db(transaction=True)
def test_words_that_are_being_erased_do_not_come_back():
    """A worker that has read the words waits for nobody, and the erasure for the worker."""
    customer = make_customer("C-1")
    response = record("slow", customer=customer)
    read, go_on = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            with transaction.atomic():
                assert index_waiting() == 1
                read.set()
                assert go_on.wait(10)
        else:
            assert read.wait(10)
            threading.Timer(0.2, go_on.set).start()
            erase_customer("C-1", NOW)

    together(2, work)
    assert "slow" not in terms(response)
    assert not Customer.objects.filter(external_id="C-1").exists()


@pytest.mark.django_db(transaction=True)
def test_what_somebody_is_changing_goes_on_waiting():
    response, other = record("slow"), record("late")
    held, go_on = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            with transaction.atomic():
                Response.objects.select_for_update().get(pk=response.pk)
                held.set()
                assert go_on.wait(10)
        else:
            assert held.wait(10)
            assert index_waiting() == 1
            go_on.set()

    together(2, work)
    assert list(TermsDue.objects.values_list("response_id", flat=True)) == [response.pk]
    assert list(ResponseTerms.objects.values_list("response_id", flat=True)) == [other.pk]
    assert index_waiting() == 1


@pytest.mark.django_db
def test_a_response_that_is_gone_leaves_nothing_to_wait_for():
    TermsDue.objects.create(response_id=1)
    assert index_waiting() == 0
    assert not TermsDue.objects.exists()


@pytest.mark.django_db
def test_all_can_be_made_anew_by_a_command():
    rows = [record("slow"), record("")]
    TermsDue.objects.all().delete()
    said = StringIO()
    call_command("index_responses", stdout=said)
    assert "Every response can be found: 2." in said.getvalue()
    assert ResponseTerms.objects.filter(response__in=rows).count() == 2


@pytest.mark.django_db
def test_a_backlog_is_more_than_a_worker_makes_in_seconds(monkeypatch):
    monkeypatch.setattr("surveys.flow.index.BACKLOG", 1)
    record("slow")
    assert not has_backlog()
    record("late")
    assert has_backlog()


@pytest.mark.django_db
def test_a_long_fact_stands_by_its_digest():
    response = record("", facts={"page": "长" * 900})
    index_waiting()
    assert "'/f#" in terms(response)


def test_the_index_takes_rows_at_once(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'response_terms'")
        assert cursor.fetchone()[0] == ["fastupdate=off"]
