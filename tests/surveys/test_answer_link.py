"""The short way of a first answer: it leaves what the long way leaves, and nothing at all where there is more to decide."""

from datetime import timedelta

import pytest
from django.forms.models import model_to_dict

from surveys import forms
from surveys.flow.follow import follow_token
from surveys.flow.respond import Submission, answer_link, record_response
from surveys.models import Invitation, PrivacyNotice, Response, ScoreLedger, Segment, WatcherNotice
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_instrument, make_invitation, make_organisation, make_touchpoint

ZONE = "Asia/Shanghai"


@pytest.fixture
def touchpoint(db):
    make_organisation()
    found = make_touchpoint("delivery", make_instrument("nps-x"))
    found.watchers.create(address="lead@example.com")
    found.instrument.versions.update(answered=True)
    Segment.objects.create(name="gold")
    return found


def given(version, score: int = 9):
    return forms.check(forms.wordings_of(version), {"score": score, "reason": ["price"], "comment": "Kind."}).answers


def answer(
    invitation: Invitation, *, score: int = 9, zone: str = ZONE, language: str = "zh-hans", now=NOW, version=None, **how
):
    version = version or invitation.instrument.current_version()
    return answer_link(invitation.token, version.pk, given(version, score), language, zone, now, **how)


def nothing_was_recorded() -> bool:
    return not (Response.objects.exists() or ScoreLedger.objects.exists() or WatcherNotice.objects.exists())


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(("score", "notices"), [(9, 0), (2, 1)])
def test_it_leaves_the_rows_that_the_long_way_leaves(touchpoint, score, notices, complete):
    how = {"complete": complete, "edit": 1_700_000_000_000}
    how["privacy_notice_id"] = PrivacyNotice.objects.create(texts={"en": "Ours."}).pk
    customers = [make_customer(segment="gold"), make_customer(segment="gold")]
    short, long = (make_invitation(touchpoint, customer, location="sh-014") for customer in customers)
    assert answer(short, score=score, **how)
    link = follow_token(long.token)
    record_response(
        Submission(
            client_id=short.response.client_id,
            touchpoint=touchpoint,
            version=link.version,
            mode="email",
            answers=given(link.version, score),
            language="zh-hans",
            location="sh-014",
            customer=customers[1],
            invitation=link.invitation,
            **how,
        ),
        NOW,
    )
    own = {"id", "client_id", "invitation", "customer"}
    rows = [model_to_dict(Response.objects.get(invitation=one), exclude=own) for one in (short, long)]
    assert rows[0] == rows[1]
    assert (rows[0]["completed_at"], rows[0]["privacy_notice"]) == (
        NOW if complete else None,
        how["privacy_notice_id"],
    )
    assert set(Response.objects.values_list("edit", flat=True)) == {how["edit"]}
    assert (rows[0]["segment"], rows[0]["language"], str(rows[0]["day"])) == ("gold", "zh-hans", "2026-11-20")
    answers = [
        sorted(one.response.answers.values_list("question_id", "score", "choices", "text"), key=str)
        for one in Invitation.objects.order_by("id")
    ]
    assert answers[0] == answers[1]
    ledger = ScoreLedger.objects.order_by("id").values_list(
        "day", "touchpoint_id", "mode", "segment", "location", "score", "delta"
    )
    assert ledger[0] == ledger[1]
    states = Invitation.objects.values_list("status", "answered_at", "lease_until")
    assert set(states) == {("answered", NOW, None)}
    assert WatcherNotice.objects.count() == 2 * notices


def test_a_notice_that_never_was_is_none_and_a_clock_ahead_of_ours_is_ours(touchpoint):
    assert answer(make_invitation(touchpoint), privacy_notice_id=4_000_000_000, edit=10**18)
    recorded = Response.objects.get()
    assert (recorded.privacy_notice, recorded.edit) == (None, NOW.timestamp() * 1000)


def test_the_day_is_the_organisations(touchpoint):
    assert answer(make_invitation(touchpoint), now=NOW.replace(hour=16))  # midnight in Shanghai
    assert str(Response.objects.get().day) == "2026-11-21"


def test_a_language_that_the_organisation_does_not_speak_gives_way_to_the_invitations(touchpoint):
    assert answer(make_invitation(touchpoint, language="en"), language="tlh")
    assert Response.objects.get().language == "en"


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_at": NOW},
        {"status": "expired"},
        {"status": "cancelled", "reason": "erased"},
        {"status": "withheld", "reason": "unsubscribed"},
    ],
)
def test_a_link_that_is_closed_is_left_to_the_long_way(touchpoint, fields):
    assert not answer(make_invitation(touchpoint, **fields))
    assert nothing_was_recorded()


def test_a_moment_before_its_end_a_link_is_open(touchpoint):
    assert answer(make_invitation(touchpoint, expires_at=NOW + timedelta(microseconds=1)))


def test_whatever_else_must_be_decided_is_left_to_the_long_way(touchpoint):
    invitation = make_invitation(touchpoint)
    assert not answer_link("unknown", 1, [], "en", ZONE, NOW)
    assert not answer(invitation, zone="Europe/Berlin"), "the organisation's zone has changed"
    assert not answer(invitation, version=make_instrument("other").current_version())
    assert not answer(make_invitation(touchpoint, make_customer(segment="never counted")))
    assert not answer(make_invitation(touchpoint, make_customer(erased_at=NOW)))
    assert nothing_was_recorded()
    assert answer(invitation)
    assert not answer(invitation, score=3), "a second answer is a change"
    assert [row.score for row in Response.objects.all()] == [9]


def test_the_segment_is_that_of_the_named_attribute(touchpoint):
    make_organisation(segment_attribute="tier")
    assert answer(make_invitation(touchpoint, make_customer(segment="gold", attributes={"tier": None})))
    assert Response.objects.get().segment == ""
    assert not answer(make_invitation(touchpoint, make_customer(segment="gold", attributes={"tier": ["gold"]})))
    assert answer(make_invitation(touchpoint, make_customer(attributes={"tier": "gold"})))
    assert Response.objects.order_by("-id")[0].segment == "gold"


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_on_one_link_are_one_answer():
    make_organisation()
    found = make_touchpoint("delivery", make_instrument("nps-x"))
    found.instrument.versions.update(answered=True)
    invitation = make_invitation(found)
    version = found.instrument.current_version()
    forms.wordings_of(version)
    assert sorted(together(8, lambda index: answer(invitation, score=index, version=version))) == [False] * 7 + [True]
    assert (Response.objects.count(), ScoreLedger.objects.count()) == (1, 1)
