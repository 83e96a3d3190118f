"""What must not be sent, in three scopes: who sets which, what each speaks against, who lifts it, and what is kept of that."""

import importlib
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from surveys.flow.addresses import address_hash, customer_hash
from surveys.flow.ask import ask_customer
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import erase_customer, export_customer
from surveys.flow.invite import Histories, invite_customer, invite_pending
from surveys.flow.suppress import Stops, hashes_against, suppress, suppress_bounced
from surveys.flow.unsubscribe import complain, lift_suppression, rejoin_number, resubscribe, stop_number, unsubscribe
from surveys.models import Customer, Invitation, Organisation, Scope, Suppression, SuppressionLift
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=400)
PHONE = "+8613800000000"
EMAIL = "li@example.com"


@pytest.fixture
def customer():
    make_organisation()
    return make_customer("C-1", email=EMAIL, phone=PHONE)


@pytest.fixture
def about():
    """Two touchpoints, each with a rule that asks by email."""
    found = [make_touchpoint(), make_touchpoint()]
    for number, touchpoint in enumerate(found):
        make_rule(touchpoint, event_type=f"done.{number}")
    return found


def asked(customer, number=0):
    """What becomes of an event of this customer: (status, reason)."""
    event = make_event(Customer.objects.get(pk=customer.pk), type=f"done.{number}", time=LATER)
    invite_pending(LATER)
    row = Invitation.objects.get(event=event)
    return row.status, row.reason


def link_of(customer, touchpoint, **fields):
    return make_invitation(touchpoint, customer, **fields)


@pytest.mark.parametrize(
    ("scope", "refused"), [("this_survey", [0]), ("all_surveys", [0, 1]), ("all_messages", [0, 1])]
)
def test_a_scope_speaks_against_its_own_surveys_alone(customer, about, scope, refused):
    unsubscribe(link_of(customer, about[0]), NOW, scope)
    for number in (0, 1):
        assert (asked(customer, number)[1] == "unsubscribed") == (number in refused)


@pytest.mark.parametrize(
    ("scope", "told"), [("this_survey", ""), ("all_surveys", ""), ("all_messages", "unsubscribed")]
)
def test_a_message_that_is_no_survey_asks_for_all_messages_alone(customer, about, scope, told):
    unsubscribe(link_of(customer, about[0]), NOW, scope)
    stops = Stops.load(hashes_against(customer))
    assert stops.against(customer, EMAIL, survey=None) == told
    assert stops.against(customer, EMAIL, survey=about[0].pk) == "unsubscribed"


@pytest.mark.parametrize(
    ("act", "scope"),
    [
        (lambda link: unsubscribe(link, NOW), "all_surveys"),
        (lambda link: stop_number(PHONE, None, NOW), "all_messages"),
        (lambda link: complain(link, NOW), "all_messages"),
        (lambda link: suppress_bounced(address_hash(EMAIL), "550", NOW), "all_messages"),
    ],
    ids=["unsubscribe", "stop", "complaint", "bounce"],
)
def test_each_act_has_its_scope(customer, about, act, scope):
    act(link_of(customer, about[0]))
    assert set(Suppression.objects.values_list("scope", flat=True)) == {scope}


def test_what_waits_for_one_survey_is_withdrawn_and_what_waits_for_another_stays(customer, about):
    waits = {"status": "scheduled", "attempted_at": None, "sent_at": None, "send_at": LATER}
    this, other = (link_of(customer, touchpoint, **waits) for touchpoint in about)
    unsubscribe(link_of(customer, about[0]), NOW, Scope.THIS_SURVEY)
    for link, status in ((this, "withheld"), (other, "scheduled")):
        link.refresh_from_db()
        assert link.status == status


def test_it_is_asked_again_when_a_message_is_due(customer, about, mailoutbox):
    """Somebody else has the same address: theirs was scheduled before, and nobody withdrew it."""
    other = make_customer("C-2", email=EMAIL)
    waits = {"status": "scheduled", "attempted_at": None, "sent_at": None, "send_at": LATER}
    link = link_of(other, about[0], **waits)
    unsubscribe(link_of(customer, about[0]), NOW, Scope.THIS_SURVEY)
    assert deliver_due(LATER) == (1, 0)
    link.refresh_from_db()
    assert (link.status, link.reason, mailoutbox) == ("withheld", "unsubscribed", [])


def test_a_bounce_beside_an_unsubscription_is_kept_for_itself_and_the_more_lasting_is_told(customer, about):
    suppress_bounced(address_hash(EMAIL), "550", NOW)
    assert asked(customer)[1] == "bounced"
    link = link_of(customer, about[0])
    unsubscribe(link, NOW, Scope.ALL_MESSAGES)
    assert asked(customer)[1] == "unsubscribed"
    assert resubscribe(link, LATER)
    assert asked(customer)[1] == "bounced"


def test_an_address_that_becomes_known_later_is_not_written_to(about):
    make_organisation()
    customer = make_customer("C-1", email="")
    unsubscribe(link_of(customer, about[0]), NOW)
    assert Suppression.objects.get().of_person
    assert asked(customer)[1] == "unsubscribed"
    Customer.objects.update(email="new@example.com", phone=PHONE)
    assert asked(customer)[1] == "unsubscribed"
    # It is this person's own wish: somebody else may have the address.
    assert asked(make_customer("C-2", email="new@example.com"))[1] == ""


def test_nor_is_it_asked_on_a_page_unless_that_is_another_survey(customer, about):
    unsubscribe(link_of(customer, about[0]), NOW, Scope.THIS_SURVEY)
    reasons = [ask_customer("C-1", touchpoint, touchpoint.instrument, LATER).reason for touchpoint in about]
    assert reasons == ["unsubscribed", ""]


@pytest.mark.parametrize("by", ["address", "person"])
def test_it_survives_erasure_and_coming_back(customer, about, by):
    unsubscribe(link_of(customer, about[0]), NOW, Scope.THIS_SURVEY)
    erase_customer("C-1", NOW)
    back = (
        make_customer("C-9", email="LI@example.com") if by == "address" else make_customer("C-1", email="n@example.com")
    )
    assert asked(back, 0)[1] == "unsubscribed"
    assert asked(back, 1)[1] == ""


def test_an_erased_customer_whose_link_is_still_open_somewhere_suppresses_nobody(customer, about):
    link = link_of(customer, about[0], status="answered")
    erase_customer("C-1", NOW)
    unsubscribe(link, NOW)
    assert not Suppression.objects.exists()


# --- Taking it back ---------------------------------------------------------------------------------------------------


def test_the_person_takes_back_whatever_they_asked_for_and_it_is_kept(customer, about):
    link = link_of(customer, about[0])
    for scope in Scope.values:
        unsubscribe(link, NOW, scope)
    assert resubscribe(link, LATER)
    assert not resubscribe(link, LATER)  # twice is the same as once
    assert not Suppression.objects.exists()
    kept = SuppressionLift.objects.values_list("reason", "scope", "since", "lifted_at", "source", "lifted_by_name")
    assert set(kept) == {("unsubscribed", scope, NOW, LATER, "page", "") for scope in Scope.values}
    assert SuppressionLift.objects.count() == 9  # two addresses and the person, in three scopes
    assert asked(customer)[0] == "scheduled"


@pytest.mark.parametrize("reason", ["bounced", "complained"])
def test_neither_the_page_nor_start_lifts_a_bounce_or_a_complaint(customer, about, reason):
    link = link_of(customer, about[0])
    suppress([address_hash(EMAIL), address_hash(PHONE)], reason, NOW, person=customer_hash("C-1"))
    assert not resubscribe(link, LATER)
    assert not rejoin_number(PHONE, LATER)
    assert Suppression.objects.count() == 3


def test_the_page_does_not_undo_the_stop_of_a_number_and_start_does(customer, about):
    link = link_of(customer, about[0])
    stop_number(PHONE, None, NOW)
    assert resubscribe(link, LATER)
    assert [row.address_hash for row in Suppression.objects.all()] == [address_hash(PHONE)]
    assert rejoin_number(PHONE, LATER)
    assert not Suppression.objects.exists()
    assert set(SuppressionLift.objects.values_list("source", flat=True)) == {"page", "text"}


def test_what_the_page_asks_for_beside_a_stop_is_not_lifted_by_start(customer, about):
    stop_number(PHONE, None, NOW)
    unsubscribe(link_of(customer, about[0]), NOW, Scope.ALL_MESSAGES)
    assert rejoin_number(PHONE, LATER)
    assert [row.address_hash for row in Suppression.objects.all()] == [address_hash(EMAIL)]


def test_staff_lift_with_a_reason_and_who_it_was_outlives_their_account(customer, about):
    suppress_bounced(address_hash(EMAIL), "550 no such user", NOW)
    staff = User.objects.create_user("wang")
    row = Suppression.objects.get()
    assert lift_suppression(row.pk, LATER, staff, "The mailbox works again.")
    assert not lift_suppression(row.pk, LATER, staff, "Again.")
    staff.delete()
    kept = SuppressionLift.objects.get()
    assert (kept.lifted_by, kept.lifted_by_name, kept.why) == (None, "wang", "The mailbox works again.")
    assert (kept.reason, kept.scope, kept.since, kept.detail) == ("bounced", "all_messages", NOW, "550 no such user")


def test_an_act_of_staff_has_a_name(customer):
    suppress_bounced(address_hash(EMAIL), "", NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        SuppressionLift.objects.create(
            address_hash="x", reason="bounced", since=NOW, lifted_at=NOW, source="staff", lifted_by_name=""
        )


# --- What is held -----------------------------------------------------------------------------------------------------


def test_an_export_tells_what_stands_and_what_was_lifted_and_erasing_takes_the_words(customer, about):
    link = link_of(customer, about[0])
    unsubscribe(link, NOW, Scope.THIS_SURVEY)
    suppress_bounced(address_hash(EMAIL), f"550 {EMAIL}", NOW)
    lift_suppression(
        Suppression.objects.get(reason="bounced").pk, LATER, User.objects.create_user("wang"), "Li Na rang"
    )
    held = export_customer("C-1")
    assert [(row["of"], row["scope"], row["touchpoint"]) for row in held["suppressions"]].count(
        ("address", "this_survey", about[0].slug)
    ) == 2  # fmt: skip
    [lifted] = held["lifted_suppressions"]
    assert (lifted["reason"], lifted["why"], lifted["source"]) == ("bounced", "Li Na rang", "staff")
    assert "wang" not in repr(held)
    erase_customer("C-1", LATER)
    kept = SuppressionLift.objects.get()
    assert (kept.detail, kept.why, kept.reason) == ("", "", "bounced")


@pytest.mark.parametrize("fields", [{"scope": "this_survey"}, {"scope": "all_surveys", "touchpoint_key": 7}])
def test_a_survey_has_its_touchpoint_and_nothing_else_has_one(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        Suppression.objects.create(address_hash="x", reason="bounced", created_at=NOW, **fields)


def test_a_history_is_read_by_as_many_queries_for_one_as_for_many(customer, django_assert_num_queries):
    many = [customer, *(make_customer(f"other-{number}") for number in range(20))]
    organisation = Organisation.current()
    for people in ([customer], many):
        with django_assert_num_queries(QUERIES):
            Histories.load(people, organisation)


QUERIES = 6


def test_a_direct_invitation_meets_the_same_list(customer, about):
    unsubscribe(link_of(customer, about[0]), NOW, Scope.THIS_SURVEY)
    reasons = [invite_customer(customer, touchpoint, touchpoint.instrument, LATER).reason for touchpoint in about]
    assert reasons[0] == "unsubscribed"
    assert reasons[1] != "unsubscribed"


def test_who_had_unsubscribed_before_there_were_scopes_gets_no_more_surveys_and_who_wrote_stop_no_message(db):
    migration = importlib.import_module("surveys.migrations.0007_suppression_scopes")
    rows = {"link": ("unsubscribed", ""), "stop": ("unsubscribed", "n" * 64), "bounce": ("bounced", "")}
    for hashed, (reason, origin) in rows.items():
        Suppression.objects.create(address_hash=hashed, reason=reason, origin_hash=origin, created_at=NOW)
    migration.ask_no_more(apps, None)
    assert dict(Suppression.objects.values_list("address_hash", "scope")) == {
        "link": "all_surveys", "stop": "all_messages", "bounce": "all_messages"
    }  # fmt: skip
