"""Events with who was asked because of them; quarantine: each fault at its place, corrected and tried again."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from surveys.admin.events import listing, written
from surveys.flow.incoming import Catalogue, InputError, read_event
from surveys.flow.quarantine import Unusable, quarantine
from surveys.models import InteractionEvent, QuarantinedEvent
from tests.factories import NOW, make_organisation, make_rule, make_touchpoint
from tests.surveys.admin.people import READS, hold_everything, list_url, page_url, sign_in, tell

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def programme(db: Any) -> None:
    make_organisation()


@pytest.fixture
def manager(db: Any):
    return sign_in(*READS, "change_quarantinedevent")


@pytest.fixture
def rung(monkeypatch):
    """Bells that an edge rings, without a broker."""
    bells: list[str] = []
    monkeypatch.setattr("surveys.admin.events.ring", lambda task: bells.append(task.name.rpartition(".")[2]))
    return bells


def event(**changes: Any) -> dict[str, Any]:
    item = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/s",
        "type": "order.delivered",
        "time": "2026-11-20T01:00:00Z",
    }
    return {**item, "subject": "C-1", **changes}


def kept(item: Any) -> QuarantinedEvent:
    with pytest.raises(InputError) as found:
        read_event(item, Catalogue.load(), NOW)
    quarantine([Unusable.of(item, found.value)], "shop", NOW)
    return QuarantinedEvent.objects.latest("id")


# --- Events -----------------------------------------------------------------------------------------------------------


def test_the_page_of_an_event_shows_its_facts_and_who_was_asked(manager):
    held = hold_everything()
    shown = manager.get(page_url(held.event)).content.decode()
    for words in ("order.delivered", "carrier", "SF", "after-delivery", "Answered", "Li Na"):
        assert words in shown, words
    withheld = manager.get(page_url(held.withheld.event)).content.decode()
    assert "Not asked: asked about this on" in withheld


@pytest.mark.parametrize(
    ("query", "count"),
    [
        *(("?type=ticket.opened", 1), ("?q=T-1", 2), ("?q=Li+Na", 4), ("?decided=no", 2), ("?decided=yes", 2)),
        *(("?time_from=2026-11-20&time_to=2026-11-20", 4), ("?time_to=2026-11-19", 0), ("?q=nobody", 0)),
    ],
)
def test_events_are_found(manager, query, count):
    hold_everything()
    assert len(manager.get(list_url(InteractionEvent, query)).context["cl"].result_list) == count


# --- Quarantine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [{}, [], {"a": {}, "b": [1, {"c~/d": None}], "e": "二"}, [[[]]], "text", None, 7.5, True]
)
def test_a_body_is_laid_out_as_json_is(value):
    assert "\n".join(line for _pointer, line in written(value)) == json.dumps(value, indent=2, ensure_ascii=False)


def test_each_error_stands_at_its_place_or_at_the_nearest_around_it():
    body = json.dumps({"id": "x", "data": {"customer": {"e~/x": 1}}})
    errors = [
        {"pointer": "/data/customer/e~0~1x", "detail": "wrong"},
        {"pointer": "/data/customer/email", "detail": "is missing"},
        {"pointer": "/source", "detail": "is required"},
        {"pointer": "", "detail": "whole"},
    ]
    _text, lines = listing(body, errors)
    told = {line.text.strip(): [detail for _pointer, detail in line.errors] for line in lines if line.errors}
    assert told == {"{": ["is required", "whole"], '"customer": {': ["is missing"], '"e~/x": 1': ["wrong"]}


@pytest.mark.parametrize("body", ["{", "", "[" * 5000 + "]" * 5000, '"\\ud83d"', '{"a\\u0000b": "\\udc00"}'])
def test_whatever_came_can_be_shown(manager, body):
    row = QuarantinedEvent.objects.create(body=body, errors=[{"pointer": "/x", "detail": "no"}], received_at=NOW)
    assert manager.get(page_url(row)).status_code == 200
    assert manager.get(list_url(QuarantinedEvent, "?state__exact=waiting")).status_code == 200


def test_a_corrected_event_is_recorded_and_the_rules_are_rung_for(manager, rung):
    make_rule(make_touchpoint("delivery"))
    row = kept(event(time="soon"))
    shown = manager.get(page_url(row)).content.decode()
    assert "<code>/time</code> “soon” is not" in shown
    done = manager.post(page_url(row, "retry"), {"body": json.dumps(event())}, follow=True)
    assert "The event is recorded." in done.content.decode()
    row.refresh_from_db()
    assert (row.state, InteractionEvent.objects.get().event_id, rung) == ("retried", "e-1", ["invite_pending"])
    assert LogEntry.objects.get().change_message == "Corrected and tried again."
    assert "Try again" not in manager.get(page_url(row)).content.decode()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (json.dumps(event(time="later")), "<code>/time</code> “later” is not"),
        ('{"id": "half a', "is not JSON"),
        ("<script>alert(1)</script>", "is not JSON"),
    ],
)
def test_what_is_still_wrong_is_kept_as_typed_with_its_errors(manager, rung, typed, told):
    row = kept(event(time="soon"))
    response = manager.post(page_url(row, "retry"), {"body": typed})
    shown = response.content.decode()
    assert response.status_code == 400
    assert response.context["typed"] == typed
    assert told in shown
    assert "<script>alert(1)" not in shown
    row.refresh_from_db()
    assert (row.state, rung, InteractionEvent.objects.count()) == ("waiting", [], 0)


def test_a_retry_of_what_is_known_says_so(manager, rung):
    row = kept(event(time="soon", id="t-1", source="/s"))
    make_touchpoint("delivery")
    tell("t-1", "ticket.opened", reference="T-1")
    done = manager.post(
        page_url(row, "retry"), {"body": json.dumps(event(id="t-1", data={"touchpoint": "delivery"}))}, follow=True
    )
    assert "was recorded before" in done.content.decode()
    assert InteractionEvent.objects.count() == 1


def test_many_are_tried_again_as_sent(manager, rung):
    cured = kept(event(data={"touchpoint": "checkout"}))
    sick = kept(event(id="e-2", time="soon"))
    make_rule(make_touchpoint("checkout"))
    chosen = {"action": "retry_selected", "_selected_action": [cured.pk, sick.pk]}
    shown = manager.post(list_url(QuarantinedEvent), chosen, follow=True).content.decode()
    assert "1 recorded, 0 known before, 1 still unusable." in shown
    assert list(QuarantinedEvent.objects.order_by("id").values_list("state", flat=True)) == ["retried", "waiting"]
    assert rung == ["invite_pending"]


def test_what_nobody_will_correct_is_put_aside_and_can_still_be_tried(manager, rung):
    make_rule(make_touchpoint("delivery"))
    one, two = kept(event(time="soon")), kept(event(time="late"))
    manager.post(page_url(one, "discard"))
    manager.post(list_url(QuarantinedEvent), {"action": "discard_selected", "_selected_action": [one.pk, two.pk]})
    assert set(QuarantinedEvent.objects.values_list("state", flat=True)) == {"discarded"}
    assert LogEntry.objects.count() == 2
    assert not manager.get(list_url(QuarantinedEvent, "?state__exact=waiting")).context["cl"].result_list
    manager.post(page_url(one, "retry"), {"body": json.dumps(event())})
    one.refresh_from_db()
    assert one.state == "retried"


def test_an_erased_body_is_not_tried_again(manager, rung):
    row = QuarantinedEvent.objects.create(body="{}", errors=[], received_at=NOW, state="discarded")
    assert "Correct it" not in manager.get(page_url(row)).content.decode()


def test_a_body_is_found_by_its_words_in_any_script(manager):
    row = kept(event(time="soon", data={"customer": {"name": "李娜"}}))
    kept(event(time="soon"))
    for query in ("?q=李娜", "?q=李娜+SHOP"):
        assert [found.pk for found in manager.get(list_url(QuarantinedEvent, query)).context["cl"].result_list] == [
            row.pk
        ]


def test_only_whoever_may_change_quarantine_settles_it():
    row = kept(event(time="soon"))
    reader = sign_in(*READS)
    for action in ("retry", "discard"):
        assert reader.post(page_url(row, action), {"body": json.dumps(event())}).status_code == 403
        assert sign_in("change_quarantinedevent").post(page_url(row, action)).status_code == 403
    reader.post(list_url(QuarantinedEvent), {"action": "discard_selected", "_selected_action": [row.pk]})
    shown = reader.get(page_url(row)).content.decode()
    assert "Try again" not in shown
    assert "Discard" not in shown
    row.refresh_from_db()
    assert row.state == "waiting"
