"""Answers that look like a machine's: why, the two decisions, and what a response's page tells of how it came to be."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.flow.instruments import QuestionTerms, publish_version
from surveys.flow.respond import Given, Submission, exclude_response, record_response
from surveys.models import Question, Response, ScoreLedger
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_instrument, make_invitation, make_organisation, make_touchpoint
from tests.surveys.admin.people import READS, answer, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db
XSS = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def organisation(db):
    return make_organisation(privacy={"en": "We keep it for a year.", "zh-hans": "保留一年。"})


@pytest.fixture
def shop():
    return make_touchpoint("shop", make_instrument("nps-shop", "nps", 11), channel="on_site")


@pytest.fixture
def manager(db):
    return sign_in(*READS, "change_response")


def touched(touchpoint, *scores, apart=timedelta(seconds=1), from_scanner=False, **fields):
    """Recorded by a page by itself, each score a while after the one before, on one link."""
    invitation = make_invitation(touchpoint, make_customer(), expires_at=None)
    version = touchpoint.instrument.current_version()
    question = touchpoint.instrument.questions.get(key="score")
    for number, score in enumerate(scores):
        submission = Submission(
            uuid.uuid4(), touchpoint, version, "email", [Given(question, score=score)],
            customer=invitation.customer, invitation=invitation, complete=False, edit=number + 1,
            from_scanner=from_scanner, **fields,
        )  # fmt: skip
        recorded = record_response(submission, NOW + number * apart)
    return recorded.response


def rushed(touchpoint):
    return Response.objects.get(pk=touched(touchpoint, 3, 9).pk)


LIST, ACT = "/admin/responses/?from=2000-01-01", list_url(Response) + "act/"


def found(client, query):
    return {line.pk for line in client.get(f"{LIST}&{query}").context["lines"]}


def decide(client, row, decision):
    return client.post(page_url(row, "decide"), {"decision": decision}, follow=True).content.decode()


def counted():
    return sum(ScoreLedger.objects.values_list("delta", flat=True))


def test_the_list_tells_suspected_partial_and_complete_ones_apart(manager, shop):
    suspect, partial, complete = rushed(shop), touched(shop, 5), answer(shop, 7)
    left_out, kept = rushed(shop), rushed(shop)
    decide(manager, left_out, "leave_out")
    decide(manager, kept, "count")
    assert found(manager, "state=suspected") == {suspect.pk}
    assert found(manager, "state=suspected_left_out") == {left_out.pk}
    assert found(manager, "state=suspected_counted") == {kept.pk}
    assert found(manager, "state=complete") == {complete.pk}
    assert found(manager, "state=partial") == {suspect.pk, partial.pk, left_out.pk, kept.pk}
    shown = manager.get(f"{LIST}&state=suspected").content.decode()
    assert "Looks like a machine’s</span>" in shown
    assert "Partial</span>" in shown


def test_why_it_looks_like_a_machines_is_told(manager, shop):
    assert "two scores came within two seconds" in manager.get(page_url(rushed(shop))).content.decode()
    scanned = touched(shop, 9, from_scanner=True)
    assert "from a network in which machines look" in manager.get(page_url(scanned)).content.decode()
    # A second score from such a network, but long after the first: it is the network that makes it suspect.
    late = touched(shop, 9, 2, apart=timedelta(minutes=5), from_scanner=True)
    assert "from a network in which machines look" in manager.get(page_url(late)).content.decode()


def test_a_suspect_counts_once_somebody_says_so(manager, shop):
    row = rushed(shop)
    assert counted() == 0
    page = manager.get(page_url(row)).content.decode()
    assert "Count it" in page
    assert "Exclude from metrics" not in page  # one decision at a time
    assert "counts from now on" in decide(manager, row, "count")
    row.refresh_from_db()
    assert (row.excluded_at, row.excluded_reason, row.excluded_by) == (None, "", None)
    assert row.suspected_at == NOW + timedelta(seconds=1)
    assert counted() == 1
    roll_up()
    assert verify() == []
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(row.pk), "Counts, although it looks like a machine’s.")
    assert "counts all the same" in manager.get(page_url(row)).content.decode()


def test_a_suspect_that_is_left_out_says_by_whom_and_stays_out(manager, shop):
    row = rushed(shop)
    page = decide(manager, row, "leave_out")
    row.refresh_from_db()
    assert row.excluded_by.username.startswith("staff-")
    assert row.excluded_by.username in page
    assert "Left out: it looks like a machine’s." in page
    assert counted() == 0
    question = shop.instrument.questions.get(key="score")
    sent = Submission(
        row.client_id, shop, row.version, "email", [Given(question, score=9)], invitation=row.invitation, edit=9
    )
    record_response(sent, timezone.now())  # "Send", after the decision
    row.refresh_from_db()
    assert row.excluded_at is not None
    assert counted() == 0
    assert verify() == []


def test_a_decision_to_count_is_final_for_the_suspicion(manager, shop):
    row = rushed(shop)
    decide(manager, row, "count")
    question = shop.instrument.questions.get(key="score")
    again = Submission(
        row.client_id, shop, row.version, "email", [Given(question, score=1)],
        invitation=row.invitation, complete=False, edit=9, from_scanner=True,
    )  # fmt: skip
    record_response(again, timezone.now())
    row.refresh_from_db()
    assert row.excluded_at is None
    assert found(manager, "state=suspected") == set()


def test_whoever_decides_second_is_told_and_changes_nothing(manager, shop):
    row = rushed(shop)
    other = sign_in(*READS, "change_response")
    decide(other, row, "leave_out")
    assert "no longer waits for a decision" in decide(manager, row, "count")
    row.refresh_from_db()
    assert row.excluded_at is not None
    assert LogEntry.objects.count() == 1


def test_what_is_pressed_send_meanwhile_is_not_left_out_by_an_old_page(manager, shop):
    row = rushed(shop)
    question = shop.instrument.questions.get(key="score")
    sent = Submission(row.client_id, shop, row.version, "email", [Given(question, score=9)], invitation=row.invitation)
    record_response(sent, timezone.now())
    assert "no longer waits for a decision" in decide(manager, row, "leave_out")
    assert counted() == 1


@pytest.mark.parametrize("decision", ["", "maybe", XSS])
def test_no_decision_is_none(manager, shop, decision):
    row = rushed(shop)
    decide(manager, row, decision)
    assert not LogEntry.objects.exists()
    assert manager.get(page_url(row, "decide")).status_code == 302
    row.refresh_from_db()
    assert row.is_suspect


def test_only_whoever_may_change_responses_decides(shop):
    row = rushed(shop)
    for client in (sign_in(*READS), sign_in("change_response")):
        assert client.post(page_url(row, "decide"), {"decision": "count"}).status_code == 403
    assert Client().post(page_url(row, "decide"), {"decision": "count"}).status_code == 302  # to the login
    reader = sign_in(*READS)
    assert "Count it" not in reader.get(page_url(row)).content.decode()
    for act in ("count", "leave_out"):
        assert reader.post(ACT, {"act": act, "id": [row.pk]}).status_code == 403
    row.refresh_from_db()
    assert row.is_suspect


def test_several_are_decided_from_the_list_and_others_are_passed_over(manager, shop):
    suspects = [rushed(shop), rushed(shop)]
    excluded = answer(shop, 2)
    exclude_response(excluded.pk, "a test", None, NOW)
    ids = [row.pk for row in (*suspects, excluded)]
    shown = manager.post(ACT, {"act": "count", "id": ids, "next": LIST}, follow=True)
    assert "2 answers count from now on." in shown.content.decode()
    excluded.refresh_from_db()
    assert LogEntry.objects.count() == 2
    again = manager.post(ACT, {"act": "leave_out", "id": ids, "next": LIST}, follow=True)
    assert "None of these waits for a decision." in again.content.decode()
    assert verify() == []


def test_what_waits_stands_on_the_overview(shop):
    rushed(shop)
    client = sign_in(*READS)
    client.get("/")
    from django.contrib.auth.models import Permission, User

    user = User.objects.get(pk=client.session["_auth_user_id"])
    user.user_permissions.add(Permission.objects.get(codename="view_scorecell"))
    assert "/admin/responses/?state=suspected&amp;from=2000-01-01" in client.get("/admin/").content.decode()


# --- How a response came to be ----------------------------------------------------------------------------------------


def test_earlier_answers_stand_below_in_words(manager, shop):
    row = touched(shop, 3, 9, apart=timedelta(minutes=5))
    page = manager.get(page_url(row)).content.decode()
    assert "What it said before" in page
    assert "Detractor" in page
    assert "Promoter" in page
    assert "Partial" in page
    assert "What it said before" not in manager.get(page_url(answer(shop, 9))).content.decode()


def test_yes_no_and_contact_permission_are_told_in_words(manager):
    instrument = make_instrument("asks", "nps", 11)
    publish_version(
        instrument,
        [
            QuestionTerms("score", "scale", {"en": "How likely?"}),
            QuestionTerms("again", "yes_no", {"en": "Would you come again?"}),
            QuestionTerms("comment", "verbatim", {"en": "Why?"}, by_band={"promoters": {"en": "What was best?"}}),
            QuestionTerms("contact", "contact", {}),
        ],
    )
    touchpoint = make_touchpoint("asked", instrument)
    rows = {question.key: question for question in Question.objects.filter(instrument=instrument)}
    given = [
        Given(rows["score"], score=10), Given(rows["again"], choices=("no",)),
        Given(rows["comment"], text=XSS), Given(rows["contact"], choices=("yes",)),
    ]  # fmt: skip

    submission = Submission(uuid.uuid4(), touchpoint, instrument.current_version(), "link", given, language="zh-hans")
    page = manager.get(page_url(record_response(submission, NOW).response)).content.decode()
    assert "<h3>Would you come again?</h3>\n          \n          <p>No</p>" in page
    assert "<h3>What was best?</h3>" in page
    assert "<h3>May we contact you about this?</h3>" in page
    assert "我们可以就此事联系您吗？" in page  # as the customer saw it
    assert XSS not in page


def test_reference_facts_and_the_notice_of_that_day_are_told(manager, shop, organisation):
    facts = {"plan": "gold", "cart": 3, XSS: XSS}
    row = answer(
        shop, 9, privacy_notice_id=organisation.privacy_notice_id, reference="ord-1", facts=facts, language="zh-hans"
    )
    first = organisation.privacy_notice_id
    organisation.privacy = {"en": "Another one."}
    organisation.save()
    page = manager.get(page_url(row)).content.decode()
    for text in ("ord-1", "plan", "gold", "&lt;script&gt;", f"version {first}", "保留一年。"):
        assert text in page
    assert "Another one." not in page
    assert XSS not in page
    assert found(manager, "of=ord-1") == {row.pk} == found(manager, "fact=cart+%3D+3")
    # What a site says of its page may name its customer.
    assert found(sign_in("view_response"), "q=ord-1") == set()
    blind = sign_in("view_response").get(page_url(row)).content.decode()
    assert "ord-1" not in blind
    assert "gold" not in blind


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_decides(shop):
    row = rushed(shop)
    clients = [sign_in(*READS, "change_response") for _person in range(6)]
    pages = together(6, lambda n: decide(clients[n], row, "count" if n % 2 else "leave_out"))
    assert sum("no longer waits for a decision" in page for page in pages) == 5
    entry = LogEntry.objects.get()
    row.refresh_from_db()
    assert not row.is_suspect
    assert counted() == (1 if "Counts" in entry.change_message else 0)
    assert (row.excluded_at is None) == ("Counts" in entry.change_message)
    assert verify() == []
