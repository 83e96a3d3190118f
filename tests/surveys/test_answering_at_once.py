"""Answers that come at the same moment, over real connections: one link is one response, and what is counted is what stands."""

import uuid
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.flow.erase import erase_customer
from surveys.flow.respond import exclude_response, include_response
from surveys.models import Answer, Response, ScoreLedger, Suppression
from tests.concurrency import together
from tests.factories import make_api_key, make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 8


@pytest.fixture
def invitation():
    make_organisation()
    return make_invitation(make_touchpoint("delivery", public=True), make_customer("C-1"), expires_at=None)


def counted() -> dict[int, int]:
    """Score to what the ledger makes of it."""
    sums: dict[int, int] = {}
    for score, delta in ScoreLedger.objects.values_list("score", "delta"):
        sums[score] = sums.get(score, 0) + delta
    return {score: count for score, count in sums.items() if count}


def check_one_response() -> Response:
    """One response, counted once, under the score that stands; raw, ledger and cells agree before and after the roll-up."""
    response = Response.objects.get()
    assert counted() == {response.score: 1}
    assert list(Answer.objects.filter(question__key="score").values_list("score", flat=True)) == [response.score]
    assert verify() == []
    roll_up()
    assert verify() == []
    return response


def test_one_link_sent_with_different_scores_is_one_response(invitation):
    path = f"/s/{invitation.token}/"
    statuses = together(THREADS, lambda index: Client().post(path, {"score": str(index), "version": "1"}).status_code)
    assert statuses == [303] * THREADS
    response = check_one_response()
    assert response.score in range(THREADS)
    invitation.refresh_from_db()
    assert invitation.status == "answered"


def test_one_link_sent_twice_with_the_same_answer_is_one_response(invitation):
    path = f"/s/{invitation.token}/"
    fields = {"score": "9", "reason": ["price"], "comment": "Kind.", "version": "1"}
    together(THREADS, lambda _index: Client().post(path, fields))
    response = check_one_response()
    assert (response.score, response.comment, response.answers.count()) == (9, "Kind.", 3)
    assert response.changed_at is None
    assert ScoreLedger.objects.count() == 0  # rolled up: one row was written and nothing taken back


def test_one_open_form_sent_often_is_one_response(invitation):
    path = f"/t/{invitation.touchpoint.public_key}/"
    form = str(uuid.uuid4())
    together(THREADS, lambda index: Client().post(path, {"score": str(index), "form": form, "version": "1"}))
    assert str(check_one_response().client_id) == form


def test_many_people_at_one_open_form_are_as_many_responses(invitation):
    path = f"/t/{invitation.touchpoint.public_key}/"

    def answer(index: int) -> None:
        for _time in range(3):
            fields = {"score": str(index), "form": str(uuid.uuid4()), "version": "1"}
            assert Client().post(path, fields).status_code == 303

    together(THREADS, answer)
    assert Response.objects.count() == 3 * THREADS
    assert counted() == dict.fromkeys(range(THREADS), 3)
    roll_up()
    assert verify() == []


def post_response(body: dict[str, Any], key: str) -> int:
    sent = Client().post("/api/v1/responses/", body, "application/json", headers={"Authorization": f"Bearer {key}"})
    return int(sent.status_code)


def test_the_same_body_from_many_connections_is_created_once(invitation):
    key = make_api_key("responses:write")
    body = {"id": str(uuid.uuid4()), "touchpoint": "delivery", "answers": {"score": 4}}
    statuses = together(THREADS, lambda _index: post_response(body, key))
    assert sorted(statuses) == [200] * (THREADS - 1) + [201]
    check_one_response()


def test_other_bodies_under_one_id_leave_one_and_are_told_of_it(invitation):
    key = make_api_key("responses:write")
    same = {"id": str(uuid.uuid4()), "touchpoint": "delivery"}
    statuses = together(THREADS, lambda index: post_response({**same, "answers": {"score": index}}, key))
    assert sorted(statuses) == [201] + [409] * (THREADS - 1)
    assert check_one_response().score == statuses.index(201)


def test_new_customers_named_by_many_answers_at_once_are_each_one_person(invitation):
    key = make_api_key("responses:write")

    def answer(index: int) -> int:
        customer = {"external_id": f"N-{index % 2}", "attributes": {f"k{index}": index}}
        return post_response(
            {"id": str(uuid.uuid4()), "touchpoint": "delivery", "answers": {"score": 9}, "customer": customer}, key
        )

    assert together(THREADS, answer) == [201] * THREADS
    people = Response.objects.values_list("customer__external_id", "customer__attributes").distinct()
    learned = {external_id: set(attributes) for external_id, attributes in people}
    # What every one of them said is kept: nobody overwrote another.
    assert learned == {f"N-{parity}": {f"k{index}" for index in range(parity, THREADS, 2)} for parity in (0, 1)}


def test_changing_while_staff_exclude_and_include_counts_what_stands(invitation, admin_user):
    path = f"/s/{invitation.token}/"
    Client().post(path, {"score": "5", "version": "1"})
    response = Response.objects.get()

    def work(index: int) -> None:
        for score in range(4):
            if index % 2:
                Client().post(path, {"score": str(score + index), "version": "1"})
            elif index % 4:
                exclude_response(response.pk, "a test", admin_user, timezone.now())
            else:
                include_response(response.pk)

    together(THREADS, work)
    response.refresh_from_db()
    assert counted() == ({response.score: 1} if response.excluded_at is None else {})
    roll_up()
    assert verify() == []


@pytest.mark.parametrize("answered", [False, True])
def test_answering_while_being_erased_leaves_no_words_and_moves_no_number(invitation, answered):
    """Whichever comes first: an answer that was taken is counted, and nothing personal outlives the erasure."""
    path = f"/s/{invitation.token}/"
    if answered:
        Client().post(path, {"score": "9", "comment": "I am Li Na", "version": "1"})

    def work(index: int) -> int | None:
        if index == 0:
            erase_customer("C-1", timezone.now())
            return None
        fields = {"score": str(index), "comment": f"I am Li Na {index}", "version": "1"}
        return int(Client().post(path, fields).status_code)

    statuses = set(together(THREADS, work)) - {None}
    assert statuses <= {303, 404, 410}  # taken; nobody's any more; or closed between being read and being answered
    assert not Answer.objects.filter(text__contains="Li Na").exists()
    assert not Response.objects.filter(comment__contains="Li Na").exists()
    assert sum(counted().values()) == Response.objects.count() <= 1
    assert verify() == []


def test_unsubscribing_at_once_is_one_suppression_of_the_address_and_one_of_the_person(invitation):
    statuses = together(THREADS, lambda _index: Client().post(f"/u/{invitation.token}/").status_code)
    assert statuses == [200] * THREADS
    assert sorted(Suppression.objects.values_list("of_person", flat=True)) == [False, True]
