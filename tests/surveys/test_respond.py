import uuid
from datetime import timedelta

import pytest

from surveys.flow.respond import (
    BodyConflict,
    Given,
    InvitationExpired,
    Submission,
    exclude_response,
    include_response,
    record_response,
)
from surveys.models import Answer, Response, ScoreLedger, Watcher, WatcherNotice
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db


def submit(touchpoint, score=9, comment="", **fields):
    version = touchpoint.instrument.current_version()
    questions = {question.key: question for question in touchpoint.instrument.questions.all()}
    answers = [] if score is None else [Given(questions["score"], score=score)]
    if comment:
        answers.append(Given(questions["comment"], text=comment))
    defaults = {"client_id": uuid.uuid4(), "mode": "link", "language": "en"}
    return Submission(touchpoint=touchpoint, version=version, answers=answers, **{**defaults, **fields})


def ledger():
    return list(ScoreLedger.objects.order_by("id").values_list("score", "delta"))


def test_an_answer_becomes_a_response_with_a_ledger_row():
    make_organisation()
    touchpoint = make_touchpoint()
    customer = make_customer(segment="gold")
    recorded = record_response(submit(touchpoint, 9, "Kind.", customer=customer, location="sh-014", mode="qr"), NOW)
    response = recorded.response
    assert (recorded.created, recorded.changed) == (True, False)
    assert (response.score, response.comment, response.segment, response.mode) == (9, "Kind.", "gold", "qr")
    assert Answer.objects.filter(response=response).count() == 2
    row = ScoreLedger.objects.get()
    assert (row.day, row.touchpoint_id, row.mode, row.segment, row.location, row.score, row.delta) == (
        response.day,
        touchpoint.pk,
        "qr",
        "gold",
        "sh-014",
        9,
        1,
    )
    assert row.question_id == touchpoint.instrument.questions.get(key="score").pk


@pytest.mark.parametrize(("hour", "day"), [(15, 20), (16, 21)])
def test_the_day_is_the_organisations(hour, day):
    make_organisation(time_zone="Asia/Shanghai")
    response = record_response(submit(make_touchpoint()), NOW.replace(hour=hour)).response
    assert response.day.day == day


def test_the_same_form_again_changes_nothing():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record_response(submit(touchpoint, 9, client_id=form), NOW)
    again = record_response(submit(touchpoint, 9, client_id=form), NOW + timedelta(minutes=1))
    assert (again.created, again.changed) == (False, False)
    assert ledger() == [(9, 1)]


def test_a_changed_answer_subtracts_what_it_added_under_the_same_key():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    customer = make_customer(segment="gold")
    record_response(submit(touchpoint, 9, client_id=form, customer=customer), NOW)
    customer.segment = "silver"
    customer.save()
    changed = record_response(submit(touchpoint, 3, client_id=form, customer=customer), NOW + timedelta(days=2))
    assert changed.changed
    assert ledger() == [(9, 1), (9, -1), (3, 1)]
    assert ScoreLedger.objects.values("day", "segment", "mode").distinct().count() == 1
    assert Response.objects.get().score == 3


def test_a_comment_added_later_leaves_the_score_alone():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record_response(submit(touchpoint, 9, client_id=form), NOW)
    assert record_response(submit(touchpoint, 9, "More.", client_id=form), NOW).changed
    assert ledger() == [(9, 1)]
    assert Response.objects.get().comment == "More."


def test_an_invitation_is_answered_once():
    invitation = make_invitation()
    for score in (9, 2):
        record_response(submit(invitation.touchpoint, score, invitation=invitation, customer=invitation.customer), NOW)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.answered_at) == ("answered", NOW)
    assert Response.objects.get().score == 2


def test_an_expired_link_takes_no_answer():
    invitation = make_invitation(expires_at=NOW)
    with pytest.raises(InvitationExpired):
        record_response(submit(invitation.touchpoint, invitation=invitation), NOW)
    record_response(submit(invitation.touchpoint, invitation=invitation), NOW - timedelta(seconds=1))
    assert Response.objects.count() == 1


def test_the_same_id_with_another_body_is_a_conflict():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record_response(submit(touchpoint, client_id=form, body_hash="a" * 64), NOW)
    assert not record_response(submit(touchpoint, client_id=form, body_hash="a" * 64), NOW).created
    with pytest.raises(BodyConflict):
        record_response(submit(touchpoint, 1, client_id=form, body_hash="b" * 64), NOW)


def test_excluding_and_including_move_the_ledger_and_an_edit_in_between_does_not(admin_user):
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    response = record_response(submit(touchpoint, 9, client_id=form), NOW).response
    for _twice in range(2):
        exclude_response(response.pk, "a test of ours", admin_user, NOW)
    record_response(submit(touchpoint, 4, client_id=form), NOW)
    assert ledger() == [(9, 1), (9, -1)]
    for _twice in range(2):
        include_response(response.pk)
    assert ledger() == [(9, 1), (9, -1), (4, 1)]


def test_an_exclusion_needs_a_reason(admin_user):
    response = record_response(submit(make_touchpoint()), NOW).response
    with pytest.raises(ValueError, match="reason"):
        exclude_response(response.pk, "  ", admin_user, NOW)


@pytest.mark.parametrize(("score", "notices"), [(6, 1), (7, 0)])
def test_watchers_are_told_of_the_lowest_band_only(score, notices):
    touchpoint = make_touchpoint()
    Watcher.objects.create(touchpoint=touchpoint, address="boss@example.com")
    Watcher.objects.create(touchpoint=touchpoint, address="gone@example.com", active=False)
    record_response(submit(touchpoint, score), NOW)
    assert WatcherNotice.objects.count() == notices


def test_the_first_answer_freezes_the_wording():
    touchpoint = make_touchpoint()
    record_response(submit(touchpoint), NOW)
    assert touchpoint.instrument.current_version().answered


@pytest.mark.django_db(transaction=True)
def test_one_form_sent_many_times_at_once_is_one_response():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    together(8, lambda _index: record_response(submit(touchpoint, 9, client_id=form), NOW))
    assert (Response.objects.count(), ledger()) == (1, [(9, 1)])


@pytest.mark.django_db(transaction=True)
def test_one_link_answered_many_times_at_once_is_one_response():
    invitation = make_invitation()
    submissions = [submit(invitation.touchpoint, score, invitation=invitation) for score in range(8)]
    together(8, lambda index: record_response(submissions[index], NOW))
    response = Response.objects.get()
    counted = {}
    for score, delta in ledger():
        counted[score] = counted.get(score, 0) + delta
    assert {score: count for score, count in counted.items() if count} == {response.score: 1}
