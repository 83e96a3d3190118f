"""Consent by mode and purpose: how it is told, which act holds, what it allows, and how it is taken back and given again."""

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from surveys.flow.addresses import address_hash
from surveys.flow.consent import Consents, Said, newest_acts, note_consents
from surveys.flow.customers import upsert_customers
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import erase_customer, export_customer
from surveys.flow.incoming import Catalogue, InputError, Profile, read_event
from surveys.flow.invite import invite_pending
from surveys.flow.record import record_events
from surveys.flow.remind import remind_due
from surveys.flow.unsubscribe import complain, rejoin_number, resubscribe, stop_number, unsubscribe
from surveys.models import Consent, Customer, Invitation, Purpose, Reminder, Scope, Suppression
from surveys.models.keys import SCOPES
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_instrument,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.rest import Api

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
PHONE = "+8613800000000"


@pytest.fixture
def customer():
    make_organisation()
    return make_customer("C-1", email="li@example.com", phone=PHONE)


def consent(customer, mode="email", given=True, at=NOW - HOUR, purpose="surveys", source="api", **words):
    said = Said(mode, purpose, given, at, **words)
    note_consents([(customer, said)], source, NOW, by="wang" if source == "staff" else "")


def holds(customer, purpose="surveys"):
    """By mode, what holds."""
    return {mode: given for (_pk, mode), given in Consents.load([customer.pk], purpose).held.items()}


def ask(customer, modes=("email", "sms"), needs=True, **rule):
    """(status, reason, mode) of an event of this customer."""
    made = make_rule(modes=list(modes), needs_consent=needs, **rule)
    event = make_event(customer, type=made.event_type)
    invite_pending(NOW)
    row = Invitation.objects.get(event=event, rule=made)
    return row.status, row.reason, row.mode


# --- What holds -------------------------------------------------------------------------------------------------------


def test_the_newest_act_by_its_own_time_holds_in_whatever_order_they_come(customer):
    consent(customer, given=False, at=NOW)
    consent(customer, given=True, at=NOW - HOUR)
    assert holds(customer) == {"email": False}
    consent(customer, given=True, at=NOW + timedelta(microseconds=1))
    assert holds(customer) == {"email": True}


def test_of_two_at_the_same_time_the_withdrawal_holds_and_the_same_act_is_one_row(customer):
    for given in (True, False, True, False):
        consent(customer, given=given)
    assert holds(customer) == {"email": False}
    assert Consent.objects.count() == 2


def test_modes_and_purposes_and_people_do_not_speak_for_each_other(customer):
    other = make_customer("other")
    consent(customer, "email")
    consent(customer, "sms", purpose="follow_up")
    consent(other, "sms", given=False)
    assert holds(customer) == {"email": True}
    assert holds(customer, "follow_up") == {"sms": True}
    assert holds(other) == {"sms": False}


# --- What it allows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "needs", "expected"),
    [
        ({}, False, ("scheduled", "", "email")),
        ({}, True, ("withheld", "consent_missing", "")),
        ({"email": True}, True, ("scheduled", "", "email")),
        ({"sms": True}, True, ("scheduled", "", "sms")),
        ({"email": False, "sms": True}, True, ("scheduled", "", "sms")),
        # Whoever took it back is not asked that way, whatever the rule says.
        ({"email": False}, False, ("scheduled", "", "sms")),
        ({"email": False, "sms": False}, False, ("withheld", "consent_missing", "")),
    ],
)
def test_the_first_mode_for_which_it_stands_is_taken(customer, given, needs, expected):
    for mode, value in given.items():
        consent(customer, mode, value)
    assert ask(customer, needs=needs) == expected


def test_consent_to_follow_ups_is_none_to_surveys(customer):
    consent(customer, purpose="follow_up")
    assert ask(customer)[1] == "consent_missing"


@pytest.mark.parametrize(
    ("fields", "suppressed", "given", "told"),
    [
        ({}, "unsubscribed", {}, "unsubscribed"),
        ({}, "bounced", {}, "bounced"),
        ({"email": ""}, "", {}, "consent_missing"),
        ({"email": ""}, "", {"email": True}, "no_address"),
    ],
)
def test_the_most_lasting_reason_is_told(fields, suppressed, given, told):
    make_organisation()
    customer = make_customer("C-1", **fields)
    for mode, value in given.items():
        consent(customer, mode, value)
    if suppressed:
        Suppression.objects.create(address_hash=address_hash(customer.email), reason=suppressed, created_at=NOW)
    assert ask(customer, ["email"])[1] == told


def test_it_is_asked_again_when_the_message_is_due(customer, mailoutbox):
    consent(customer)
    assert ask(customer, ["email"])[0] == "scheduled"
    consent(customer, given=False, at=NOW)
    assert deliver_due(NOW) == (1, 0)
    row = Invitation.objects.get()
    assert (row.status, row.reason, mailoutbox) == ("withheld", "consent_missing", [])


def test_what_was_taken_back_by_then_goes_by_the_next_mode(sms):
    make_organisation()
    customer = make_customer("C-1", email="li@example.com", phone=PHONE)
    for mode in ("email", "sms"):
        consent(customer, mode)
    assert ask(customer)[2] == "email"
    consent(customer, given=False, at=NOW)
    assert deliver_due(NOW) == (1, 1)
    assert Invitation.objects.get().mode == "sms"
    assert sms.mails == []


def test_nobody_is_reminded_who_took_it_back(customer):
    rule = make_rule(needs_consent=True)
    link = make_invitation(rule.touchpoint, customer, rule=rule)
    Reminder.objects.create(invitation=link, number=1, send_at=NOW)
    assert remind_due(NOW) == (1, 0)
    row = Reminder.objects.get()
    assert (row.status, row.reason) == ("cancelled", "consent_missing")


# --- How it is told ---------------------------------------------------------------------------------------------------


def event(*consents, **fields):
    customer = {"external_id": "C-1", "email": "li@example.com", "consents": list(consents)}
    data = {"touchpoint": "delivery", "customer": customer}
    return {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "done", "data": data, **fields}


@pytest.fixture
def api():
    make_organisation()
    make_touchpoint("delivery", make_instrument("nps-x"))
    return Api(*SCOPES)


def test_an_event_tells_it_with_its_words_and_a_redelivery_tells_nothing_new(api):
    told = {
        "mode": "email", "purpose": "surveys", "given": True, "at": "2026-05-01T10:00:00+08:00",
        "source": "checkout form", "text_version": "2026-05", "text": "You may ask me how it was.",
    }  # fmt: skip
    api.post("events/", event(told), expect=202)
    api.post("events/", event({**told, "given": False, "at": None}), expect=202)
    row = Consent.objects.get()
    assert (row.mode, row.purpose, row.given, row.source, row.detail) == (
        "email",
        "surveys",
        True,
        "api",
        "checkout form",
    )
    assert (row.text_version, row.wording, row.at.isoformat()) == (
        "2026-05", "You may ask me how it was.", "2026-05-01T02:00:00+00:00"
    )  # fmt: skip
    assert len(row.address_hash) == 64


def test_without_a_time_of_its_own_it_has_that_of_what_it_came_with(api):
    api.post("events/", event({"mode": "email", "given": True}, time="2026-05-01T10:00:00Z"), expect=202)
    assert Consent.objects.get().at.isoformat() == "2026-05-01T10:00:00+00:00"


@pytest.mark.parametrize("path", ["invitations/", "responses/"])
def test_an_invitation_and_an_answer_tell_it_too(api, path):
    customer = {"external_id": "C-1", "consents": [{"mode": "sms", "given": False}]}
    body = {"touchpoint": "delivery", "customer": customer}
    if path == "responses/":
        body |= {"id": str(uuid.uuid4()), "answers": {"score": 9}}
    api.post(path, body)
    if path == "responses/":
        api.post(path, body, expect=200)  # the same again says nothing new
    assert list(Consent.objects.values_list("mode", "given")) == [("sms", False)]


def test_a_new_customers_consent_counts_for_the_invitation_that_brings_it(api):
    row = api.post("invitations/", {
        "touchpoint": "delivery",
        "customer": {"external_id": "C-1", "email": "a@example.com", "consents": [{"mode": "email", "given": False}]},
    })  # fmt: skip
    assert (row["status"], row["reason"]) == ("withheld", "consent_missing")


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([{"mode": "fax", "given": True}], "/0/mode"),
        ([{"mode": "web", "given": True}], "/0/mode"),
        ([{"mode": "email", "given": True}, {"mode": "email", "given": True, "purpose": "ads"}], "/1/purpose"),
        ([{"mode": "email", "given": "yes"}], "/0/given"),
        ([{"mode": "email"}], "/0/given"),
        ([{"given": True}], "/0/mode"),
        ([{"mode": "email", "given": True, "at": "2026-05-01"}], "/0/at"),
        ([{"mode": "email", "given": True, "at": "2027-05-01T10:00:00Z"}], "/0/at"),
        ([{"mode": "email", "given": True, "source": "x" * 201}], "/0/source"),
        (["email"], "/0"),
        ({"email": True}, ""),
        ([{"mode": "email", "given": True}] * 51, ""),
    ],
)
def test_a_bad_item_is_refused_with_its_place_and_nothing_is_kept(api, items, pointer):
    body = event()
    body["data"]["customer"]["consents"] = items
    with pytest.raises(InputError) as error:
        read_event(body, Catalogue.load(), NOW)
    assert [where for where, _what in error.value.errors] == [f"/data/customer/consents{pointer}"]


@pytest.mark.parametrize("nothing", [None, []])
def test_null_and_an_empty_list_say_nothing(api, nothing):
    body = event()
    body["data"]["customer"]["consents"] = nothing
    record_events([read_event(body, Catalogue.load(), NOW)], Catalogue.load(), NOW)
    assert not Consent.objects.exists()


def test_many_peoples_acts_are_written_by_one_statement(customer, django_assert_num_queries):
    act = Said("email", "surveys", True)
    profiles = [(Profile(f"C-{number}", {}, {}, (act,)), NOW) for number in range(30)]
    with transaction.atomic(), django_assert_num_queries(3):  # held, new ones, acts
        upsert_customers(profiles, NOW)
    assert Consent.objects.count() == 30


def test_what_staff_write_down_has_their_name_and_where_it_was_said(customer):
    with pytest.raises(IntegrityError), transaction.atomic():
        note_consents([(customer, Said("email", "surveys", True))], "staff", NOW, by="wang")
    with pytest.raises(IntegrityError), transaction.atomic():
        note_consents([(customer, Said("email", "surveys", True, detail="by phone"))], "staff", NOW)


# --- Taken back, and given again --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ("this_survey", {"surveys": {"email": True}, "follow_up": {"email": True}}),
        ("all_surveys", {"surveys": {"email": False}, "follow_up": {"email": True}}),
        ("all_messages", {"surveys": {"email": False}, "follow_up": {"email": False}}),
    ],
)
def test_unsubscribing_takes_back_what_stands_of_that_scope_and_undoing_gives_it_again(customer, scope, left):
    for purpose in Purpose.values:
        consent(customer, purpose=purpose)
    link = make_invitation(customer=customer)
    unsubscribe(link, NOW, scope, wording="No more?")
    assert {purpose: holds(customer, purpose) for purpose in Purpose.values} == left
    acts = Consent.objects.count()
    unsubscribe(link, NOW + HOUR, scope)
    assert Consent.objects.count() == acts
    resubscribe(link, NOW + 2 * HOUR, wording="Ask me again")
    assert {holds(customer, purpose)["email"] for purpose in Purpose.values} == {True}
    acts = Consent.objects.count()
    assert not resubscribe(link, NOW + 3 * HOUR)
    assert Consent.objects.count() == acts
    if scope != "this_survey":
        assert list(Consent.objects.filter(source="page", purpose="surveys").values_list("given", "wording")) == [
            (False, "No more?"), (True, "Ask me again")
        ]  # fmt: skip


def test_undoing_gives_nothing_that_was_never_given_or_was_taken_back_elsewhere(customer):
    consent(customer, "sms", given=False)
    link = make_invitation(customer=customer)
    unsubscribe(link, NOW)
    resubscribe(link, NOW)
    assert holds(customer) == {"sms": False}


def test_an_act_whose_own_time_is_still_to_come_is_taken_back_all_the_same(customer):
    consent(customer, at=NOW + HOUR)
    link = make_invitation(customer=customer)
    unsubscribe(link, NOW)
    assert holds(customer) == {"email": False}
    resubscribe(link, NOW)
    assert holds(customer) == {"email": True}


def test_stop_takes_back_by_text_and_start_gives_again(customer):
    consent(customer)
    stop_number(PHONE, None, NOW)
    assert holds(customer) == {"email": False}
    rejoin_number(PHONE, NOW + HOUR)
    assert holds(customer) == {"email": True}
    assert list(Consent.objects.order_by("at").values_list("source", flat=True)) == ["api", "text", "text"]


def test_no_consent_lifts_a_suppression(customer):
    unsubscribe(make_invitation(customer=customer), NOW - timedelta(days=200))
    consent(customer, at=NOW)
    assert ask(customer)[1] == "unsubscribed"


def test_a_complaint_is_a_suppression_and_leaves_the_proof_as_it_is(customer):
    consent(customer)
    complain(make_invitation(customer=customer), NOW)
    assert holds(customer) == {"email": True}
    assert ask(customer)[1] == "unsubscribed"


# --- What is held -----------------------------------------------------------------------------------------------------


def test_erasing_keeps_the_proof_without_its_notes_and_a_withdrawal_stays_one(customer):
    consent(customer, detail="Li Na rang", source="staff", text_version="v1", wording="You may ask me.")
    consent(customer, "sms", given=False, at=NOW)
    assert [row["detail"] for row in export_customer("C-1")["consents"]] == ["Li Na rang", ""]
    erase_customer("C-1", NOW)
    kept = Consent.objects.order_by("at").values_list("mode", "given", "detail", "text_version", "wording")
    assert list(kept) == [("email", True, "erased", "v1", "You may ask me."), ("sms", False, "", "", "")]
    assert Consent.objects.exclude(address_hash="").count() == 2
    back = make_customer("C-1", email="li@example.com", phone=PHONE)
    assert newest_acts(back) == []  # proof of what was is no permission for what comes
    assert ask(back)[1] == "unsubscribed"
    assert set(Suppression.objects.values_list("scope", "reason")) == {(Scope.ALL_SURVEYS, "unsubscribed")}


def test_a_withdrawal_of_everything_is_one_of_all_messages_when_its_person_is_erased(customer):
    for purpose in Purpose.values:
        consent(customer, given=False, purpose=purpose)
    erase_customer("C-1", NOW)
    assert Suppression.objects.get().scope == Scope.ALL_MESSAGES
    assert Customer.objects.get().erased_at
