"""What must not be sent, what was lifted and by whom, and who consented to what: found, read, lifted with a reason, written down."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from surveys.flow.addresses import address_hash
from surveys.flow.erase import erase_customer
from surveys.flow.suppress import suppress
from surveys.flow.unsubscribe import resubscribe, unsubscribe
from surveys.models import Consent, Customer, Scope, Suppression, SuppressionLift
from tests.factories import NOW, make_organisation
from tests.surveys.admin.people import ADDRESS, READS, hold_everything, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db
WORD_OF_MOUTH = {
    "mode": "email", "purpose": "surveys", "given": "yes", "detail": "call 4711", "at": "", "text_version": "v3",
    "wording": "May we ask you?",
}  # fmt: skip


@pytest.fixture
def held(db):
    make_organisation()
    return hold_everything()


@pytest.fixture
def manager():
    return sign_in(*READS)


def found(client, model, query):
    return {row.pk for row in client.get(list_url(model, query)).context["cl"].result_list}


def text_of(client, url, **options):
    response = client.get(url, **options)
    assert response.status_code == 200
    return response.content.decode()


# --- Suppressions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [ADDRESS, "LI@Example.com", " li@example.com "])
def test_a_suppression_is_found_by_the_whole_address_and_keeps_none(manager, held, typed):
    Suppression.objects.create(address_hash="0" * 64, reason="complained", created_at=held.suppression.created_at)
    assert found(manager, Suppression, f"?q={typed}") == {held.suppression.pk}
    assert found(manager, Suppression, "?q=li@example") == set()
    assert found(manager, Suppression, "?reason__exact=bounced") == {held.suppression.pk}


def test_a_persons_own_is_found_by_their_id_and_says_what_it_is_about(manager, held):
    unsubscribe(held.asked, NOW, Scope.THIS_SURVEY)
    person = Suppression.objects.get(of_person=True)
    assert found(manager, Suppression, "?q=C-LI") == {person.pk}
    assert found(manager, Suppression, "?scope__exact=this_survey&q=C-LI") == {person.pk}
    for shown in (text_of(manager, list_url(Suppression)), text_of(manager, page_url(person))):
        assert "This survey: Delivery" in shown
        assert "the person, by any address" in shown


def test_lifting_needs_a_reason_and_keeps_who_when_why_and_what_stood_there(held):
    client = sign_in(*READS, "delete_suppression")
    url = page_url(held.suppression, "lift")
    before = timezone.now()
    for nothing in ({}, {"reason": " "}):
        assert "This field is required." in client.post(url, nothing).content.decode()
    assert Suppression.objects.exists()
    assert "Lifted." in client.post(url, {"reason": "asked by phone"}, follow=True).content.decode()
    assert not Suppression.objects.exists()
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.change_message) == (DELETION, "Suppression lifted")
    assert ADDRESS not in entry.object_repr
    assert client.post(url, {"reason": "again"}).status_code == 302
    kept = SuppressionLift.objects.get()
    assert (kept.reason, kept.scope, kept.since, kept.why) == ("bounced", "all_messages", NOW, "asked by phone")
    assert kept.lifted_at >= before
    name = User.objects.get().username
    # Where staff can read it, also after the row is gone: in a list, on a page, with the customer, and if it comes again.
    suppress([address_hash(ADDRESS)], "bounced", NOW)
    pages = (list_url(SuppressionLift), page_url(kept), page_url(held.customer), page_url(Suppression.objects.get()))
    for page in pages:
        shown = text_of(client, page)
        assert f"Staff: {name}" in shown, page
        assert "asked by phone" in shown, page


def test_what_staff_wrote_about_a_person_is_told_to_whoever_may_view_customers(held):
    client = sign_in(*READS, "delete_suppression")
    client.post(page_url(held.suppression, "lift"), {"reason": "Li Na rang"})
    kept = SuppressionLift.objects.get()
    other = sign_in("view_suppressionlift")
    for page in (list_url(SuppressionLift), page_url(kept)):
        assert "Li Na" in text_of(client, page)
        assert "Li Na" not in text_of(other, page)
    erase_customer("C-LI", NOW)
    assert "Li Na" not in text_of(client, page_url(kept))


def test_a_complaint_is_lifted_with_a_warning_and_nothing_else_is(held):
    client = sign_in(*READS, "delete_suppression")
    for reason, warns in (("complained", True), ("bounced", False), ("unsubscribed", False)):
        Suppression.objects.update(reason=reason)
        assert ("called a message spam" in text_of(client, page_url(held.suppression, "lift"))) == warns
    Suppression.objects.update(reason="complained")
    client.post(page_url(held.suppression, "lift"), {"reason": "asked by phone"})
    assert SuppressionLift.objects.get().reason == "complained"


def test_only_whoever_may_delete_suppressions_lifts_one(held, manager):
    assert manager.post(page_url(held.suppression, "lift"), {"reason": "x"}).status_code == 403
    assert sign_in("delete_suppression").post(page_url(held.suppression, "lift"), {"reason": "x"}).status_code == 403
    assert page_url(held.suppression, "lift") not in text_of(manager, page_url(held.suppression))
    assert manager.get(page_url(held.suppression, "delete")).status_code == 403
    assert Suppression.objects.exists()


def test_a_list_of_what_was_lifted_takes_few_queries(held, manager, django_assert_max_num_queries):
    unsubscribe(held.asked, NOW, Scope.THIS_SURVEY)
    resubscribe(held.asked, NOW)
    assert SuppressionLift.objects.count() == 3
    for model in (SuppressionLift, Suppression, Consent):
        with django_assert_max_num_queries(13):
            assert manager.get(list_url(model)).status_code == 200


# --- On the customer's page -------------------------------------------------------------------------------------------


def test_the_customers_page_says_what_stands_once_and_the_list_who_is_asked_in_part(held, manager):
    Suppression.objects.all().delete()
    unsubscribe(held.asked, NOW, Scope.THIS_SURVEY)
    shown = text_of(manager, page_url(held.customer))
    state = shown[shown.index("rec-state") : shown.index("rec-actions")]
    assert state.count("Unsubscribed") == 1
    assert "This survey: Delivery" in state
    assert state.count("/suppression/") == 3  # person, email, phone
    assert "Not about everything" in text_of(manager, list_url(Customer))
    unsubscribe(held.asked, NOW)
    assert "Not about everything" not in text_of(manager, list_url(Customer))


def test_consent_is_written_down_with_its_source_and_holds_at_once(held):
    client = sign_in(*READS, "add_consent")
    url = page_url(held.customer, "consent")
    assert url in text_of(client, page_url(held.customer))
    assert "This field is required." in client.post(url, {**WORD_OF_MOUTH, "detail": " "}).content.decode()
    assert not Consent.objects.exists()
    shown = client.post(url, WORD_OF_MOUTH, follow=True).content.decode()
    name = User.objects.get().username
    for words in ("Surveys · Email", "Given", f"Staff: {name} · call 4711", "v3", "May we ask you?"):
        assert words in shown, words
    client.post(url, {**WORD_OF_MOUTH, "given": "no"})
    newest, first = Consent.objects.order_by("-at")
    assert (newest.given, newest.source, newest.recorded_by_name) == (False, "staff", name)
    assert first.at <= newest.at
    assert "Withdrawn" in text_of(client, page_url(held.customer))
    assert "call 4711" in text_of(client, page_url(first))


def test_what_was_said_earlier_has_its_own_time_on_the_organisations_clock_and_nothing_is_said_in_the_future(held):
    client = sign_in(*READS, "add_consent")
    url = page_url(held.customer, "consent")
    client.post(url, {**WORD_OF_MOUTH, "at": "2026-05-03T10:00"})
    assert Consent.objects.get().at.isoformat() == "2026-05-03T02:00:00+00:00"
    ahead = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert "This is still to come." in client.post(url, {**WORD_OF_MOUTH, "at": ahead}).content.decode()
    for wrong in ({"mode": "fax"}, {"purpose": "ads"}, {"given": "perhaps"}, {"at": "junk"}):
        assert client.post(url, {**WORD_OF_MOUTH, **wrong}).status_code == 200
    assert Consent.objects.count() == 1


def test_only_whoever_may_write_consent_down_does(held, manager):
    url = page_url(held.customer, "consent")
    assert manager.post(url, WORD_OF_MOUTH).status_code == 403
    assert url not in text_of(manager, page_url(held.customer))
    blind = sign_in(*(name for name in READS if name != "view_consent"))
    assert "Rules that need consent" in text_of(manager, page_url(held.customer))
    assert "Rules that need consent" not in text_of(blind, page_url(held.customer))
    erase_customer("C-LI", NOW)
    assert sign_in(*READS, "add_consent").post(url, WORD_OF_MOUTH).status_code == 302
    assert not Consent.objects.exists()
