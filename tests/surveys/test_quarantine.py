"""What could not be used is kept as it came, corrected and tried again."""

import json
from typing import Any

import pytest

from surveys.flow.incoming import Catalogue, InputError, read_event
from surveys.flow.quarantine import Unusable, discard, quarantine, retry
from surveys.flow.record import RecordResult
from surveys.models import InteractionEvent, QuarantinedEvent
from tests.factories import NOW, make_organisation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def programme(db: Any) -> None:
    make_organisation()
    make_rule(make_touchpoint("delivery"), event_type="order.delivered")


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


@pytest.mark.parametrize(
    "item", [event(id="a\x00b"), event(id="\ud83d"), event(time="soon"), [1, "二"], "text", None, 7]
)
def test_what_came_is_kept_as_it_came(item):
    row = kept(item)
    assert json.loads(row.body) == item
    assert row.body.isascii()
    assert (row.state, row.api_key_name, row.received_at) == ("waiting", "shop", NOW)
    assert all(error["detail"] for error in row.errors)


def test_a_corrected_event_is_recorded_and_settled():
    row = kept(event(time="soon"))
    assert retry(row.pk, json.dumps(event()), NOW) == RecordResult(1, 0, 1)
    row.refresh_from_db()
    assert (row.state, row.settled_at, row.errors) == ("retried", NOW, [])
    assert InteractionEvent.objects.get().event_id == "e-1"
    assert retry(row.pk, json.dumps(event(id="e-2")), NOW) == RecordResult(0, 1)
    assert InteractionEvent.objects.count() == 1


def test_what_is_still_unusable_stays_with_its_new_errors():
    row = kept(event(time="soon"))
    with pytest.raises(InputError):
        retry(row.pk, json.dumps(event(specversion="2")), NOW)
    row.refresh_from_db()
    assert (row.state, json.loads(row.body)["specversion"]) == ("waiting", "2")
    assert [error["pointer"] for error in row.errors] == ["/specversion"]


def test_a_correction_that_is_no_json_changes_nothing():
    row = kept(event(time="soon"))
    with pytest.raises(InputError, match="not JSON"):
        retry(row.pk, "{", NOW)
    row.refresh_from_db()
    assert json.loads(row.body) == event(time="soon")


def test_a_discarded_event_stays_and_is_no_longer_waiting():
    row = kept(event(time="soon"))
    discard(row.pk, NOW)
    row.refresh_from_db()
    assert (row.state, row.settled_at) == ("discarded", NOW)


def test_a_quarantined_event_does_not_occupy_its_pair():
    row = kept(event(time="soon"))
    other = kept(event(time=None, type="unheard.of"))
    assert retry(other.pk, json.dumps(event()), NOW).accepted == 1
    assert retry(row.pk, json.dumps(event()), NOW) == RecordResult(0, 1)
