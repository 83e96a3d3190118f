"""“Try it” on a rule's page: saved or as typed, streamed, for those who may; nothing is saved."""

import re
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.http import StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone, translation

from surveys.admin.dry_run import NEXT, WORDS
from surveys.flow.dry_run import Busy
from surveys.models import Invitation, InvitationRule
from tests.factories import make_customer, make_event, make_organisation, make_rule, make_touchpoint
from tests.surveys.admin.people import page_url, sign_in
from tests.surveys.admin.staff import fields_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
SEES = (
    "view_invitationrule",
    "view_interactionevent",
    "view_customer",
    "view_invitation",
    "view_touchpoint",
    "view_instrument",
)
CHANGES = (*SEES, "change_invitationrule", "add_invitationrule")
NEW = reverse("admin:surveys_invitationrule_try_new")


@pytest.fixture(autouse=True)
def organisation():
    return make_organisation()


@pytest.fixture
def rule():
    return make_rule(make_touchpoint("delivery"), slug="after-delivery", active=False)


@pytest.fixture
def manager():
    return sign_in(*CHANGES)


def came(days, customer=None, **fields):
    at = timezone.now() - days * DAY
    return make_event(customer, time=at, received_at=at, decided=True, **fields)


def run(client, url, by_script=False, **data):
    headers = {"X-Requested-With": "fetch"} if by_script else {}
    response = client.post(url, {"_run": "1", **data}, headers=headers)
    assert isinstance(response, StreamingHttpResponse), response.status_code
    return [piece.decode() for piece in response.streaming_content]


def text_of(pieces):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", "".join(pieces)))


def test_the_rules_page_offers_it_and_it_shows_progress_and_then_the_result(manager, rule):
    customer = make_customer("C-LI", name="Li Na")
    came(20, customer)
    resting = came(10, customer)
    assert page_url(rule, "try") in manager.get(page_url(rule)).content.decode()
    assert "The rule as it is saved." in manager.get(page_url(rule, "try")).content.decode()
    pieces = run(manager, page_url(rule, "try"))
    assert pieces[0].startswith("<!DOCTYPE html>") or "<html" in pieces[0]
    assert "<progress" in pieces[1]
    assert "<progress" in pieces[2]
    told = text_of(pieces)
    assert "Of 2 events in the past 30 days, 1 would have led to an invitation (50%)." in told
    assert "Asked about this recently" in told
    assert "Li Na" in told
    assert page_url(resting) in "".join(pieces)
    assert "</html>" in pieces[-1]
    assert not Invitation.objects.exists()


def test_the_script_gets_the_pieces_alone(manager, rule):
    came(1)
    pieces = run(manager, page_url(rule, "try"), by_script=True)
    assert all(piece.endswith(NEXT) for piece in pieces)
    assert "<html" not in "".join(pieces)
    assert "data-done" in pieces[-1]
    assert not any("data-done" in piece for piece in pieces[:-1])


@pytest.mark.parametrize(("days", "count"), [("7", 1), ("30", 2), ("90", 3), ("9999", 2), ("x", 2)])
def test_the_days_can_be_chosen(manager, rule, days, count):
    for ago in (6, 29, 89):
        came(ago)
    told = text_of(run(manager, page_url(rule, "try"), by_script=True, _past=days))
    assert f"Of {count} event" in told


def typed(client, url, **changes):
    """The rule's form as it stands on its page, with changes; as the button below it sends it."""
    data: dict = {**fields_of(client.get(url).content.decode())}
    for name in ("language", "next"):
        data.pop(name, None)
    return {**data, "_typed": "1", **changes}


def test_the_form_is_tried_as_typed_and_the_saved_rule_stays(manager, rule):
    came(3, facts={"vip": True})
    came(3)
    data = typed(manager, page_url(rule), when="facts.vip", active="")
    page = manager.post(page_url(rule, "try"), data).content.decode()
    assert "it is not saved" in page
    assert "facts.vip" in page
    assert "data-at-once" in page
    again = {name: values for name, values in fields_of(page).items() if name not in ("language", "next")}
    told = text_of(run(manager, page_url(rule, "try"), by_script=True, **again))
    assert "Of 2 events in the past 30 days, 1 would have led" in told
    assert "The rule's condition was not met" in told.replace("&#x27;", "'")
    rule.refresh_from_db()
    assert (rule.when, rule.active) == ("", False)


def test_a_new_rule_is_tried_before_it_is_ever_saved(manager, rule):
    came(3)
    add = reverse("admin:surveys_invitationrule_add")
    assert NEW in manager.get(add).content.decode()
    data = typed(manager, add, slug="new", event_type="order.delivered", touchpoint=str(rule.touchpoint_id))
    told = text_of(run(manager, NEW, by_script=True, **data))
    assert "Of 1 event in the past 30 days, 1 would have led" in told
    assert InvitationRule.objects.count() == 1


def test_what_is_wrong_in_the_form_is_told_and_nothing_is_tried(manager, rule):
    response = manager.post(page_url(rule, "try"), typed(manager, page_url(rule), when="facts. <", event_type=""))
    assert response.status_code == 422
    shown = response.content.decode()
    assert "The form is not complete yet" in shown
    assert "Event type" in shown
    assert "data-try" not in shown


def test_no_event_says_what_to_do(manager, rule):
    assert "No event of this type came in" in text_of(run(manager, page_url(rule, "try"), by_script=True))


def test_a_rule_that_is_on_is_held_against_what_happened(manager, rule):
    event = came(5)
    Invitation.objects.create(
        rule=rule, event=event, customer=event.customer, touchpoint=rule.touchpoint, instrument=rule.touchpoint.instrument,
        status="withheld", reason="sampled_out", decided_at=event.time,
    )  # fmt: skip
    told = text_of(run(manager, page_url(rule, "try"), by_script=True))
    assert "Of 1 events on which this rule really decided, 0 come out the same." in told
    assert "Would have been asked Not in the sample 1" in told


def test_it_speaks_the_readers_language_to_its_end_and_leaves_the_thread_as_it_was(manager, rule):
    came(3)
    response = manager.post(page_url(rule, "try"), {"_run": "1"}, headers={"Accept-Language": "zh-hans"})
    with translation.override("en"):
        told = text_of(piece.decode() for piece in response.streaming_content)
        assert translation.get_language() == "en"
    assert "最近 30 天的 1 个事件中，有 1 个会发出邀请" in told
    assert "Would have been asked" not in told


@pytest.mark.parametrize("error", [Busy(), DatabaseError("canceling statement due to statement timeout")])
def test_what_stands_in_the_way_is_told(manager, rule, monkeypatch, error):
    def refuse(*_arguments):
        raise error
        yield

    monkeypatch.setattr("surveys.admin.dry_run.dry_run", refuse)
    pieces = run(manager, page_url(rule, "try"), by_script=True)
    assert "data-done" in pieces[-1]
    assert "try" in text_of(pieces).lower()


def test_closing_the_response_ends_the_run(manager, rule, monkeypatch):
    closed = []

    def slow(*_arguments):
        from surveys.flow.dry_run import Progress

        try:
            while True:
                yield Progress(1, 0.1)
        finally:
            closed.append(True)

    monkeypatch.setattr("surveys.admin.dry_run.dry_run", slow)
    response = manager.post(page_url(rule, "try"), {"_run": "1"}, headers={"X-Requested-With": "fetch"})
    pieces = iter(response)
    next(pieces)
    next(pieces)
    response.close()
    assert closed == [True]


# --- Who may ----------------------------------------------------------------------------------------------------------


def test_whoever_may_only_look_tries_the_saved_rule_and_no_other(rule):
    came(3)
    viewer = sign_in(*SEES)
    assert page_url(rule, "try") in viewer.get(page_url(rule)).content.decode()
    assert "1 would have led" in text_of(run(viewer, page_url(rule, "try"), by_script=True))
    assert viewer.post(page_url(rule, "try"), {"_typed": "1", "_run": "1"}).status_code == 403
    assert viewer.post(NEW, {"_typed": "1", "_run": "1"}).status_code == 403


def test_others_may_not_at_all(rule):
    assert sign_in("view_customer").post(page_url(rule, "try"), {"_run": "1"}).status_code == 403


def test_customers_and_events_stay_unseen_by_those_who_may_not_see_them(rule):
    event = came(3, make_customer("C-LI", name="Li Na"))
    blind = sign_in("view_invitationrule", "view_interactionevent")
    told = "".join(run(blind, page_url(rule, "try"), by_script=True))
    assert page_url(event) in told
    assert "Li Na" not in told
    blinder = sign_in("view_invitationrule")
    told = "".join(run(blinder, page_url(rule, "try"), by_script=True))
    assert page_url(event) not in told
    assert "Would have been asked" in told


def test_an_address_without_a_rule_leads_on(manager):
    assert manager.get(NEW).status_code == 302
    assert manager.get(reverse("admin:surveys_invitationrule_try", args=[999])).status_code == 302
    assert set(WORDS) == {"asked", "waits", "absent"}
