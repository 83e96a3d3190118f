"""Where a link leads: one statement tells all that its form needs, and nobody's form whom nobody may ask any more."""

from datetime import timedelta

import pytest

from surveys.flow.erase import erase_customer
from surveys.flow.follow import follow_token
from surveys.flow.instruments import QuestionTerms, publish_version, terms_of_version
from surveys.models import Customer, Invitation, Segment
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT
from tests.factories import NOW, make_customer, make_instrument, make_invitation, make_organisation, make_touchpoint
from tests.metrics.raw import answer

pytestmark = pytest.mark.django_db


@pytest.fixture
def invitation() -> Invitation:
    make_organisation(segment_attribute="tier", privacy={"en": "We keep it to ourselves."})
    customer = make_customer("C-1", segment="gold", attributes={"tier": "platinum"})
    return make_invitation(make_touchpoint("delivery"), customer, location="sh-014", language="zh-hans")


def test_one_statement_tells_all_that_the_form_needs(invitation, django_assert_num_queries):
    Segment.objects.create(name="platinum")
    follow_token("")  # a connection plans the statement once
    with django_assert_num_queries(1):
        link = follow_token(invitation.token)
    with django_assert_num_queries(0):
        assert link is not None
        assert link.organisation.name["zh-hans"] == "港湾茶"
        assert link.organisation.time_zone == "Asia/Shanghai"
        assert link.organisation.privacy == {"en": "We keep it to ourselves."}
        assert (link.invitation.pk, link.invitation.location) == (invitation.pk, "sh-014")
        assert link.invitation.touchpoint.slug == "delivery"
        assert link.invitation.customer.attributes == {"tier": "platinum"}
        assert (link.version.number, link.response, link.segment) == (1, None, "platinum")


@pytest.mark.parametrize("token", ["", "unknown", "'; --", "x" * 500, "%", "港"])
def test_an_unknown_token_leads_nowhere(invitation, token):
    assert follow_token(token) is None


def test_a_token_is_itself_and_not_a_part_or_another_case_of_it(invitation):
    assert follow_token(invitation.token[:-1]) is None
    assert follow_token(invitation.token.swapcase()) is None
    assert follow_token(invitation.token + " ") is None


def test_a_customer_who_was_erased_is_asked_nothing(invitation):
    erase_customer("C-1", NOW)
    assert follow_token(invitation.token) is None


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_it_is_the_newest_version_unless_the_form_says_which_it_shows(invitation):
    first = invitation.instrument.current_version()
    answer(make_touchpoint(instrument=invitation.instrument), 9)
    type(first).objects.filter(pk=first.pk).update(answered=True)
    more = QuestionTerms(key="more", kind="verbatim", text={"en": "Anything else?"})
    second = publish_version(invitation.instrument, [*terms_of_version(first), more])
    assert (first.number, second.number) == (1, 2)
    assert follow_token(invitation.token).version.number == 2
    assert follow_token(invitation.token, first.pk).version.number == 1
    assert follow_token(invitation.token, second.pk).version.number == 2
    for unknown in (0, 10**9):
        assert follow_token(invitation.token, unknown).version.number == 2


def test_a_version_of_another_instrument_is_none_of_this_one(invitation):
    other = make_instrument("other", "csat", 5).versions.get()
    assert follow_token(invitation.token, other.pk).version.instrument_id == invitation.instrument_id


# --- Segments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "segment", "attributes", "counted"),
    [
        ("", "gold", {"tier": "platinum"}, "gold"),
        ("tier", "gold", {"tier": "platinum"}, "platinum"),
        ("tier", "gold", {}, ""),
        ("tier", "gold", {"tier": ""}, ""),
        ("tier", "gold", {"tier": None}, ""),
        ("tier", "gold", {"tier": 7}, "7"),
        ("tier", "gold", {"tier": True}, "true"),
        ("", "", {}, ""),
    ],
)
def test_a_segment_is_the_organisations_attribute_or_the_customers_own(
    invitation, attribute, segment, attributes, counted
):
    """The form and the API say the same: what a number becomes is decided once."""
    from surveys.flow.segments import segment_of

    organisation = make_organisation(segment_attribute=attribute)
    Customer.objects.update(segment=segment, attributes=attributes)
    for name in {counted} - {""}:
        Segment.objects.create(name=name)
    assert segment_of(segment, attributes, organisation) == counted
    assert follow_token(invitation.token).segment == counted


def test_a_segment_that_is_not_counted_yet_is_left_to_be_counted(invitation):
    assert follow_token(invitation.token).segment is None
    Segment.objects.create(name="platinum")
    assert follow_token(invitation.token).segment == "platinum"


def test_past_the_most_that_are_kept_apart_it_is_still_left_to_be_counted(invitation):
    Segment.objects.bulk_create(Segment(name=f"s-{number}") for number in range(MAX_SEGMENTS))
    assert follow_token(invitation.token).segment is None
    Customer.objects.update(attributes={"tier": OTHER_SEGMENT})
    assert follow_token(invitation.token).segment == OTHER_SEGMENT


# --- Closed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "closed"),
    [
        ("scheduled", False),
        ("sent", False),
        ("delivered", False),
        ("opened", False),
        ("answered", False),
        ("failed", False),  # the mail may have arrived all the same
        ("expired", True),
        ("cancelled", True),
        ("withheld", True),
    ],
)
def test_a_link_is_closed_by_its_status(invitation, status, closed):
    reason = "a reason" if status in ("failed", "cancelled", "withheld") else ""
    Invitation.objects.update(status=status, reason=reason)
    assert follow_token(invitation.token).is_closed(NOW) is closed


@pytest.mark.parametrize(("late", "closed"), [(-1, False), (0, True), (1, True)])
def test_a_link_is_closed_by_its_time(invitation, late, closed):
    link = follow_token(invitation.token)
    assert link.is_closed(invitation.expires_at + timedelta(seconds=late)) is closed


def test_a_link_without_an_end_stays_open(invitation):
    Invitation.objects.update(expires_at=None)
    assert not follow_token(invitation.token).is_closed(NOW + timedelta(days=36_500))


def test_an_answered_link_knows_its_answer(invitation):
    response = answer(invitation.touchpoint, 9)
    type(response).objects.update(invitation=invitation)
    assert follow_token(invitation.token).response.pk == response.pk
