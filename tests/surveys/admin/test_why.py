"""“Why?”: the answer in a sentence, the gates below it, and the search by what a support agent has; what may not be seen stays unseen."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from surveys.admin.why import AGAINST, ANSWERS, NAMES, SAID, chain_of
from surveys.flow.invite import invite_pending
from surveys.flow.occasions import cases_of_event
from surveys.flow.why import AFTER, ARRIVAL, Answer, Case
from surveys.models import Customer, InteractionEvent, QuarantinedEvent
from tests.factories import (
    NOW,
    make_customer,
    make_event,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.surveys.admin.people import ADDRESS, PERSONAL, READS, hold_everything, page_url, sign_in

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
SEARCH = "/admin/why/"
DECISIONS = ("view_interactionevent", "view_invitation")


@pytest.fixture(autouse=True)
def organisation():
    return make_organisation()


@pytest.fixture
def manager():
    return sign_in(*READS)


def resting():
    """One who was asked about the same touchpoint on 3 November; the event that came today."""
    rule = make_rule(make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"}), slug="after-delivery")
    customer = make_customer("C-LI", email=ADDRESS)
    make_invitation(rule.touchpoint, customer, attempted_at=NOW - 17 * DAY, decided_at=NOW - 17 * DAY)
    event = make_event(customer)
    invite_pending(NOW)
    return event


def search(client, term):
    return client.get(SEARCH, {"q": term}).content.decode()


def test_the_answer_is_a_whole_sentence_on_the_page_of_the_event_in_both_languages(manager):
    url = page_url(resting())
    shown = manager.get(url).content.decode()
    assert "Not asked: asked about this on 3 November 2026; may be asked again on 1 February 2027." in shown
    assert "Message about Delivery, 3 Nov 2026, 10:00" in shown
    chinese = manager.get(url, headers={"Accept-Language": "zh-hans"}).content.decode()
    assert "未邀请：2026年11月3日已就此询问过；2027年2月1日起可再次邀请。" in chinese
    assert "关于配送的消息" in chinese


def test_the_page_of_the_invitation_tells_the_same(manager):
    event = resting()
    row = event.invitations.get()
    assert "may be asked again on 1 February 2027." in manager.get(page_url(row)).content.decode()


def test_the_customers_page_leads_to_the_reasons(manager):
    event = resting()
    shown = manager.get(page_url(event.customer)).content.decode()
    assert f'class="why-link" href="{page_url(event)}"' in shown
    assert f'class="why-link" href="{page_url(event.invitations.get())}"' in shown


def test_every_gate_and_every_sentence_there_is_has_words():
    assert {*ARRIVAL, *AFTER, "withdrawn"} == set(NAMES)
    values = {"type": "t", "rule": "r", "mode": "m", "at": "a", "asked": "b", "last": "l", "until": "u", "period": "p"}
    for language in ("en", "zh-hans"):
        with translation.override(language):
            for template in (*ANSWERS.values(), *SAID.values(), *AGAINST.values()):
                text = str(template)
                assert "_" not in text % {**values, "quota": 1, "share": "5 %", "age": "1", "most": "2", "reason": "x"}
    assert Answer("absent_none").said in ANSWERS
    assert Case(NOW).invitation is None


def test_a_rule_that_was_switched_off_and_a_type_without_one_are_told(manager):
    make_rule(slug="trial", active=False)
    shown = manager.get(page_url(make_event(decided=True))).content.decode()
    assert "Not asked: the rule “trial” waits for such events, and is switched off." in shown
    other = manager.get(page_url(make_event(type="order.paid", decided=True))).content.decode()
    assert "Not asked: no rule waits for events of the type “order.paid”." in other


def test_facts_and_carriers_words_are_told_only_to_those_who_may_view_customers():
    held = hold_everything()
    rule = held.asked.rule
    rule.when = "facts.carrier == 'SF' and facts.note"
    rule.save()
    full = sign_in(*READS).get(page_url(held.asked)).content.decode()
    assert "facts.carrier" in full
    assert "for Li Na" in full
    assert f"451 {ADDRESS} is busy" in full
    assert "Detractor" in full
    bare = sign_in("view_invitation").get(page_url(held.asked)).content.decode()
    assert "Temporary failure" in bare
    for word in (*PERSONAL, "for Li Na", "451", "Detractor"):
        assert word not in bare, word


def test_without_the_right_to_see_invitations_the_event_says_nothing_of_decisions():
    event = resting()
    shown = sign_in("view_interactionevent", "view_customer").get(page_url(event)).content.decode()
    assert "Not asked" not in shown
    assert "those who may see invitations" in shown


# --- The search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term",
    ["C-LI", ADDRESS, "LI@Example.com", " li@example.com ", "+8613800000000", "+86 138-0000-0000", "8613800000000"],
)
def test_a_customer_is_found_by_what_an_agent_has(manager, term):
    event = resting()
    Customer.objects.filter(external_id="C-LI").update(phone="+8613800000000")
    make_event(make_customer("C-OTHER"))
    shown = search(manager, term)
    assert shown.count('<li>\n    <p class="why-line">') == 2
    assert page_url(event) in shown
    assert "may be asked again on 1 February 2027." in shown
    assert "C-OTHER" not in shown


def test_occasions_stand_newest_first_with_those_that_no_event_brought(manager):
    event = resting()
    make_event(event.customer, type="order.placed", time=NOW - 30 * DAY, decided=True)
    shown = search(manager, "C-LI")
    places = [shown.index(word) for word in ("order.delivered", "Invitation without an event", "order.placed")]
    assert places == sorted(places)


def test_an_event_is_found_by_its_id_its_reference_and_its_tickets(manager):
    held = hold_everything()
    event = make_event(held.customer, event_id="ord-7-paid", source="/shop", reference="ord-7", decided=True)
    make_event(source="/other", event_id="x", decided=True)
    for term in ("ord-7-paid", "ord-7"):
        assert page_url(event) in search(manager, term)
    assert search(manager, "T-1").count("ticket.") >= 2
    InteractionEvent.objects.update(received_at=timezone.now() - 100 * DAY)
    assert page_url(event) not in search(manager, "ord-7")
    assert page_url(event) in search(manager, "ord-7-paid")


def test_an_id_is_found_in_whatever_source_it_came_from(manager):
    for number in range(5):
        make_event(source=f"/shop-{number}", event_id="same", decided=True)
    assert search(manager, "same").count("Why?</a>") == 5


def test_nothing_typed_and_nothing_found_say_what_to_do(manager):
    make_event()
    assert "Type what the customer" in search(manager, "")
    assert "Nothing is known by this." in search(manager, "nobody")
    assert manager.get(SEARCH, {"q": "a\x00b", "page": "x"}).status_code == 200


def test_what_could_not_be_used_is_told_beside_it(manager):
    QuarantinedEvent.objects.create(
        body='{"subject": "C-LI", "type": "order.delivered"}', errors=[{"pointer": "/time", "detail": "is no time"}],
        received_at=NOW,
    )  # fmt: skip
    assert "is no time" in search(manager, "C-LI")
    assert (
        "Nobody was asked because of this event"
        in manager.get(page_url(QuarantinedEvent.objects.get())).content.decode()
    )
    blind = sign_in(*DECISIONS, "view_customer")
    assert "is no time" not in search(blind, "C-LI")


def test_whoever_may_not_see_customers_finds_events_and_nobody():
    held = hold_everything()
    client = sign_in(*DECISIONS)
    for term in ("C-LI", ADDRESS, "+8613800000000"):
        assert "Nothing is known by this." in search(client, term)
    shown = search(client, held.event.event_id)
    assert page_url(held.event) in shown
    for word in PERSONAL:
        assert word not in shown.replace(held.event.event_id, ""), word


@pytest.mark.parametrize("codename", DECISIONS)
def test_the_search_needs_both_the_events_and_the_decisions(codename):
    assert sign_in(codename, "view_customer").get(SEARCH).status_code == 403
    assert reverse("why") == SEARCH


def test_a_page_of_occasions_costs_as_many_queries_as_one(manager, django_assert_max_num_queries):
    event = resting()
    for number in range(40):
        make_event(event.customer, time=NOW - (number + 1) * DAY, decided=True)
    with django_assert_max_num_queries(24):
        shown = search(manager, "C-LI")
    assert shown.count("Why?</a>") == 30
    assert "Older" in shown


def test_a_chain_reads_its_rows_with_a_bounded_number_of_queries(django_assert_max_num_queries):
    event = resting()
    for number in range(10):
        make_invitation(None, event.customer, attempted_at=NOW - (20 + number) * DAY)
    with django_assert_max_num_queries(16):
        for case in cases_of_event(event, NOW):
            chain_of(case, lambda permission: True)
