import uuid
from datetime import timedelta

import pytest

from metrics.verify import verify
from surveys.flow.respond import (
    BodyConflict,
    Given,
    InvitationExpired,
    Submission,
    exclude_response,
    include_response,
    record_response,
)
from surveys.flow.warn import warn_watchers
from surveys.models import Answer, PrivacyNotice, Response, ScoreLedger, Watcher, WatcherNotice
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


# --- Partial answers, and what came of them --------------------------------------------------------------------------

CLOCK = int(NOW.timestamp() * 1000)


def at(seconds: float) -> dict:
    """The page's clock, and ours, so long after NOW."""
    return {"edit": CLOCK + int(seconds * 1000)}


def record(touchpoint, form, score, seconds=0.0, comment="", **fields):
    """What a page sends so long after NOW; it arrives at once unless `late` says by how many seconds."""
    late = fields.pop("late", 0)
    submission = submit(touchpoint, score, comment, client_id=form, **at(seconds), **fields)
    return record_response(submission, NOW + timedelta(seconds=seconds + late))


def counted():
    sums = {}
    for score, delta in ledger():
        sums[score] = sums.get(score, 0) + delta
    return {score: count for score, count in sums.items() if count}


def test_a_score_alone_is_a_partial_response_and_what_follows_is_added_to_it():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    assert record(touchpoint, form, 9, complete=False).response.completed_at is None
    assert counted() == {9: 1}
    assert record(touchpoint, form, 9, 30, "Kind.").changed
    response = Response.objects.get()
    assert (response.score, response.comment, response.completed_at) == (9, "Kind.", NOW + timedelta(seconds=30))
    assert ledger() == [(9, 1)]
    assert verify() == []


def test_the_last_answer_counts_and_the_former_ones_are_kept():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, complete=False)
    record(touchpoint, form, 4, 10, "Late.", complete=False)
    record(touchpoint, form, 5, 20, "Late.")
    response = Response.objects.get()
    assert (response.score, counted()) == (5, {5: 1})
    history = response.changes.values_list("score", "answers")
    assert list(history) == [(9, {"score": 9}), (4, {"score": 4, "comment": "Late."})]
    assert verify() == []


@pytest.mark.parametrize("seconds", [5, 10])
def test_a_partial_answer_that_arrives_after_send_changes_nothing(seconds):
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, 10, "Kind.")
    assert not record(touchpoint, form, 3, seconds, complete=False, late=60).changed
    response = Response.objects.get()
    assert (response.score, response.comment, ledger()) == (9, "Kind.", [(9, 1)])
    assert not response.changes.exists()


def test_one_that_was_made_after_send_is_a_change():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, 10)
    assert record(touchpoint, form, 3, 20, complete=False).changed
    response = Response.objects.get()
    assert (response.score, response.suspected_at, response.completed_at is None) == (3, None, False)


def test_a_send_that_was_kept_on_a_device_does_not_undo_a_newer_one():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 3, 100, complete=False)
    assert not record(touchpoint, form, 9, 50, late=86_400).changed
    response = Response.objects.get()
    assert (response.score, response.completed_at is None) == (3, False)
    assert record(touchpoint, form, 9, 200, late=86_400).changed
    assert counted() == {9: 1}


def test_a_page_without_a_clock_sends_what_counts_when_it_comes():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 3, 100, complete=False)
    record_response(submit(touchpoint, 9, client_id=form), NOW + timedelta(seconds=90))
    assert Response.objects.get().score == 9
    record_response(submit(touchpoint, 8, client_id=form), NOW + timedelta(seconds=110))
    assert not record(touchpoint, form, 1, 105, complete=False, late=10).changed
    assert Response.objects.get().score == 8


def test_a_clock_that_is_ahead_of_ours_does_not_lock_the_answer():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record_response(submit(touchpoint, 9, client_id=form, edit=10**18), NOW)
    assert record(touchpoint, form, 4, 10).changed


def test_what_a_scanner_recorded_is_left_out_until_somebody_presses_send():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    Watcher.objects.create(touchpoint=touchpoint, address="boss@example.com")
    record(touchpoint, form, 0, complete=False, from_scanner=True)
    response = Response.objects.get()
    assert (response.suspected_at, response.excluded_reason, counted()) == (NOW, "suspected_bot", {})
    assert warn_watchers(NOW) == 0
    assert verify() == []
    record(touchpoint, form, 1, 60, from_scanner=True)
    response.refresh_from_db()
    assert (response.excluded_at, response.excluded_reason, counted()) == (None, "", {1: 1})
    assert response.suspected_at == NOW, "that it looked so is kept"
    assert warn_watchers(NOW + timedelta(minutes=2)) == 1
    assert verify() == []


def test_a_send_out_of_a_scanners_network_is_an_answer():
    record(make_touchpoint(), uuid.uuid4(), 9, from_scanner=True)
    assert (Response.objects.get().suspected_at, counted()) == (None, {9: 1})


def test_a_scanner_that_follows_the_link_of_somebody_who_has_answered_changes_nothing():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, complete=False)
    assert not record(touchpoint, form, 0, 60, complete=False, from_scanner=True).changed
    assert (Response.objects.get().suspected_at, counted()) == (None, {9: 1})


@pytest.mark.parametrize(("pause", "suspected"), [(1.999, True), (2.0, False)])
def test_several_scores_at_once_are_a_machines(pause, suspected):
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, complete=False)
    record(touchpoint, form, 3, pause, complete=False)
    response = Response.objects.get()
    assert (response.score, response.suspected_at is not None) == (3, suspected)
    assert counted() == ({} if suspected else {3: 1})
    record(touchpoint, form, 4, pause + 0.1, complete=False)
    record(touchpoint, form, 4, pause + 0.2)
    assert counted() == {4: 1}, "a press of Send is an answer, however fast"
    assert verify() == []


def test_the_same_score_with_more_to_it_is_never_suspicious():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, complete=False)
    record(touchpoint, form, 9, 0.1, "Kind.", complete=False)
    assert Response.objects.get().suspected_at is None


def test_what_staff_decided_stays_when_send_is_pressed(admin_user):
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, complete=False, from_scanner=True)
    response = Response.objects.get()
    exclude_response(response.pk, "a scanner, the log says", admin_user, NOW)
    record(touchpoint, form, 3, 60)
    response.refresh_from_db()
    assert (response.score, response.excluded_reason, counted()) == (3, "a scanner, the log says", {})
    include_response(response.pk)
    assert counted() == {3: 1}
    assert verify() == []


def test_a_suspicion_that_staff_have_lifted_does_not_come_back(admin_user):
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    record(touchpoint, form, 9, complete=False, from_scanner=True)
    include_response(Response.objects.get().pk)
    record(touchpoint, form, 3, 1, complete=False, from_scanner=True)
    assert (Response.objects.get().excluded_at, counted()) == (None, {3: 1})
    assert verify() == []


def test_an_answer_is_held_against_the_wording_notice_and_language_of_its_last_change():
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    first, second = (PrivacyNotice.objects.create(texts={"en": text}) for text in ("Old.", "New."))
    record(touchpoint, form, 9, complete=False, privacy_notice_id=first.pk, reference="ord-1", facts={"cart": 3})
    old = touchpoint.instrument.current_version()
    new = touchpoint.instrument.versions.create(number=2)
    old.wordings.update(version=new)
    record(touchpoint, form, 3, 60, privacy_notice_id=second.pk, language="zh-hans")
    response = Response.objects.get()
    assert (response.version, response.privacy_notice, response.language) == (new, second, "zh-hans")
    assert (response.reference, response.facts) == ("ord-1", {"cart": 3})
    assert response.version.answered


@pytest.mark.parametrize("answered", [False, True])
def test_a_notice_that_never_was_is_none_and_no_error(answered):
    touchpoint, form = make_touchpoint(), uuid.uuid4()
    if answered:
        record(touchpoint, form, 9)
    record(touchpoint, form, 8, 10, privacy_notice_id=4_000_000_000)
    assert (Response.objects.get().privacy_notice, counted()) == (None, {8: 1})


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("linked", [False, True])
def test_a_partial_answer_and_send_at_the_same_moment_are_one_response_that_says_what_was_sent(linked):
    invitation = make_invitation(expires_at=None) if linked else None
    touchpoint, form = invitation.touchpoint if invitation else make_touchpoint(), uuid.uuid4()
    sent = [
        submit(touchpoint, score, client_id=form, invitation=invitation, complete=score == 7, edit=CLOCK + score)
        for score in range(8)
    ]
    together(8, lambda index: record_response(sent[index], NOW + timedelta(seconds=1)))
    response = Response.objects.get()
    assert (response.score, response.completed_at is None) == (7, False)
    assert (response.excluded_at, counted()) == (None, {7: 1})
    assert verify() == []
