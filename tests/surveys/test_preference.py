"""By which means somebody is asked first: the customer's wish, else the segment's, else the rule's order; at arrival and at sending."""

from datetime import timedelta

import pytest

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import erase_customer, export_customer
from surveys.flow.incoming import Catalogue, InputError, read_event
from surveys.flow.invite import invite_pending
from surveys.flow.preference import Order, order_of_modes
from surveys.flow.programme import ProgrammeError, export_programme, import_programme
from surveys.flow.record import record_events
from surveys.models import Customer, Invitation, Organisation, Suppression
from tests.factories import NOW, make_customer, make_event, make_organisation, make_rule, make_touchpoint

BOTH = ["email", "sms"]
PHONE = "+8613800000000"


def order(own="", segment="", preferences=None, allowed=BOTH, **organisation):
    customer = Customer(preferred_modes=own, segment=segment, attributes={"tier": "gold"})
    return order_of_modes(customer, allowed, Organisation(preferences=preferences or {}, **organisation))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, Order(("email", "sms"), "rule")),
        ({"own": "sms"}, Order(("sms", "email"), "customer")),
        ({"own": "sms,email"}, Order(("sms", "email"), "customer")),
        ({"segment": "gold", "preferences": {"gold": ["sms"]}}, Order(("sms", "email"), "segment")),
        ({"segment": "gold", "preferences": {"blue": ["sms"]}}, Order(("email", "sms"), "rule")),
        (
            {"own": "email", "segment": "gold", "preferences": {"gold": ["sms"]}},
            Order(("email", "sms"), "customer"),
        ),
        # Of what the rule does not list nothing is used: such a preference says nothing, and the next one is asked.
        ({"own": "ivr,sms"}, Order(("sms", "email"), "customer")),
        ({"own": "ivr", "segment": "gold", "preferences": {"gold": ["sms"]}}, Order(("sms", "email"), "segment")),
        ({"own": "sms", "allowed": ["email"]}, Order(("email",), "rule")),
        ({"own": "sms", "allowed": []}, Order((), "rule")),
        # The segment is the attribute's, where the organisation names one.
        ({"preferences": {"gold": ["sms"]}, "segment_attribute": "tier"}, Order(("sms", "email"), "segment")),
    ],
)
def test_whose_wish_the_order_is(given, wanted):
    assert order(**given) == wanted


# --- Arrival and sending ---


def invited(rule_modes=BOTH, **customer) -> Invitation:
    make_organisation(preferences={"gold": ["sms", "email"]})
    make_rule(make_touchpoint("delivery"), modes=list(rule_modes))
    make_event(make_customer("C-1", **{"phone": PHONE, **customer}))
    invite_pending(NOW)
    return Invitation.objects.get()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("customer", "mode"),
    [
        ({}, "email"),
        ({"preferred_modes": "sms"}, "sms"),
        ({"segment": "gold"}, "sms"),
        ({"segment": "gold", "preferred_modes": "email"}, "email"),
        ({"preferred_modes": "sms", "phone": ""}, "email"),
    ],
)
def test_the_dearest_mode_with_an_address_is_planned(customer, mode):
    assert invited(**customer).mode == mode


@pytest.mark.django_db
def test_a_mode_that_the_rule_does_not_list_is_never_used():
    invitation = invited(["email"], email="", preferred_modes="sms")
    assert (invitation.status, invitation.reason) == ("withheld", "no_address")


@pytest.mark.django_db
def test_a_suppressed_address_gives_way_to_the_next_of_the_preference():
    Suppression.objects.create(address_hash=address_hash(PHONE), reason="unsubscribed", created_at=NOW)
    assert invited(preferred_modes="sms,email").mode == "email"


@pytest.mark.django_db
def test_a_wish_that_is_heard_before_the_message_leaves_is_followed(sms):
    invitation = invited()
    assert invitation.mode == "email"
    Customer.objects.update(preferred_modes="sms")
    assert deliver_due(NOW) == (1, 1)
    assert (len(sms.texts), len(sms.mails)) == (1, 0)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.mode) == ("sent", "sms")


@pytest.mark.django_db
def test_what_fails_for_good_goes_on_by_what_is_preferred_next(sms):
    invitation = invited(preferred_modes="sms")
    sms.answer = (400, {"code": 21211, "message": "not a number"}, {})
    assert deliver_due(NOW) == (1, 0)
    invitation.refresh_from_db()
    assert invitation.status == "scheduled"
    deliver_due(NOW)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.mode) == ("sent", "email")


# --- What systems say ---


def hear(id, at=NOW, **customer):
    """The preference after an event that says this of the customer."""
    item = {"specversion": "1.0", "id": id, "source": "/s", "type": "order.delivered", "time": at.isoformat()}
    item["data"] = {"touchpoint": "delivery", "customer": {"external_id": "C-1", **customer}}
    catalogue = Catalogue.load()
    record_events([read_event(item, catalogue, NOW)], catalogue, NOW)
    return Customer.objects.get(external_id="C-1").preference


@pytest.mark.django_db
def test_a_preference_is_learned_kept_and_cleared():
    make_organisation()
    make_touchpoint("delivery")
    assert hear("e-1", preferred_modes=["sms", "email"]) == ["sms", "email"]
    assert hear("e-2", name="Li") == ["sms", "email"]
    assert hear("e-3", NOW - timedelta(days=1), preferred_modes=["email"]) == ["sms", "email"]
    assert hear("e-4", preferred_modes=["email"]) == ["email"]
    assert hear("e-5", preferred_modes=None) == []
    assert hear("e-6", preferred_modes=["sms"]) == ["sms"]
    assert hear("e-7", preferred_modes=[]) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("modes", "errors"),
    [
        (["fax"], [("/data/customer/preferred_modes/0", "“fax” is not a mode that sends; there are email, sms, ivr.")]),
        (["sms", "sms"], [("/data/customer/preferred_modes/1", "“sms” stands twice.")]),
        ("sms", [("/data/customer/preferred_modes", "expected `array | null`, got `str`.")]),
        ([1], [("/data/customer/preferred_modes/0", "expected `str`, got `int`.")]),
        (["sms"] * 21, [("/data/customer/preferred_modes", "expected `array` of length <= 20.")]),
    ],
)
def test_a_wrong_preference_is_refused_with_its_pointer(modes, errors):
    make_organisation()
    item = {"specversion": "1.0", "id": "e", "source": "/s", "type": "x", "subject": "C-1"}
    item["data"] = {"customer": {"preferred_modes": modes}}
    with pytest.raises(InputError) as caught:
        read_event(item, Catalogue.load(), NOW)
    assert [error for error in caught.value.errors if "preferred" in error[0]] == errors


@pytest.mark.django_db
def test_it_is_exported_and_erased_with_the_person():
    make_customer("C-1", preferred_modes="sms,email")
    assert export_customer("C-1")["customer"]["preferred_modes"] == ["sms", "email"]
    erase_customer("C-1", NOW)
    assert Customer.objects.get().preferred_modes == ""


# --- The programme file ---


@pytest.mark.django_db
def test_the_preferences_of_segments_travel_in_the_file():
    make_organisation()
    import_programme("policy: {preferences: {gold: [sms, email], 银卡: [email], none: [], nothing: null}}")
    assert Organisation.current().preferences == {"gold": ["sms", "email"], "银卡": ["email"]}
    written = export_programme()
    assert import_programme(written).is_empty
    assert export_programme() == written
    import_programme("policy: {floor: 24h}")
    assert "gold" in Organisation.current().preferences
    import_programme("policy: {preferences: {}}")
    assert Organisation.current().preferences == {}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("preferences", "said"),
    [
        ("{gold: [fax]}", "“fax” is not known here"),
        ("{gold: [sms, sms]}", "A mode stands twice"),
        ("{gold: sms}", "A list is wanted here"),
        ('{" ": [sms]}', "A segment has 1 to 100 characters"),
        ("[gold]", "A map is wanted here"),
    ],
)
def test_a_preference_that_cannot_be_is_told_with_its_line(preferences, said):
    with pytest.raises(ProgrammeError) as caught:
        import_programme(f"policy:\n  preferences: {preferences}")
    [fault] = caught.value.faults
    assert (fault.line, said in fault.message) == (2, True), fault
