"""A customer's data goes; what was counted stays, and the external id is free for a new person."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.test import Client

from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due
from surveys.flow.erase import NoSuchCustomer, erase_customer, export_customer
from surveys.flow.incoming import Catalogue, read_event
from surveys.flow.record import record_events
from surveys.models import (
    Answer,
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    QuarantinedEvent,
    Response,
    SentMessage,
    Suppression,
    Ticket,
)
from tests.factories import NOW, make_api_key, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=1)


def tell(id: str, kind: str = "order.delivered", **data: Any) -> None:
    catalogue = Catalogue.load()
    item = {"specversion": "1.0", "id": id, "source": "/s", "type": kind, "time": NOW.isoformat(), "subject": "C 港/1"}
    record_events([read_event(item | {"data": {"touchpoint": "delivery", **data}}, catalogue, NOW)], catalogue, NOW)


@pytest.fixture
def customer(db: Any) -> Customer:
    """Someone of whom everything is held that can be."""
    make_organisation()
    touchpoint = make_touchpoint("delivery")
    profile = {"email": "li@example.com", "phone": "+8613800000000", "name": "Li Na", "segment": "gold"}
    tell(
        "o-1",
        customer={**profile, "attributes": {"city": "Shanghai"}},
        facts={"note": "Li Na was out"},
        location="sh-1",
    )
    tell("t-1", "ticket.opened", reference="T-1")
    tell("t-2", "ticket.closed", reference="T-1")
    customer = Customer.objects.get()
    answered = make_invitation(
        touchpoint, customer, status="answered", event=InteractionEvent.objects.get(event_id="o-1")
    )
    make_invitation(touchpoint, customer, status="scheduled", attempted_at=None, sent_at=None)
    make_invitation(touchpoint, customer, status="withheld", reason="resting_same", token=None, detail="until then")
    DeliveryAttempt.objects.create(
        invitation=answered, mode="email", at=NOW, message_id="<m-1@x>", result="sent", detail="250 li@example.com"
    )
    response = Response.objects.create(
        client_id=uuid.uuid4(), invitation=answered, customer=customer, touchpoint=touchpoint,
        version=touchpoint.instrument.current_version(), mode="email", segment="gold", location="sh-1", day=NOW.date(),
        responded_at=NOW, recorded_at=NOW, score=9, comment="I am Li Na", body_hash="b" * 64,
    )  # fmt: skip
    score, comment = (touchpoint.instrument.questions.get(key=key) for key in ("score", "comment"))
    Answer.objects.create(response=response, question=score, score=9)
    Answer.objects.create(response=response, question=comment, text="I am Li Na")
    SentMessage.objects.create(at=NOW, to="former@example.com", subject="Li Na", message_id="<m-1@x>")
    SentMessage.objects.create(at=NOW, to="LI@example.com", subject="Hello Li Na")
    SentMessage.objects.create(
        at=NOW, to="boss@shop.example", subject="!", text=f"I am Li Na\nx/response/{response.pk}/change/"
    )
    SentMessage.objects.create(at=NOW, to="other@example.com", subject="Hello")
    Suppression.objects.create(
        address_hash=address_hash("li@example.com"), reason="bounced", detail="550 <li@example.com>", created_at=NOW
    )
    for number, body in enumerate([{"subject": "C 港/1"}, {"data": [{"x": "Li@Example.com"}]}, {"subject": "C 港/12"}]):
        row = QuarantinedEvent.objects.create(body=json.dumps(body), errors=[{"detail": "Li Na"}], received_at=NOW)
        assert row.pk, number
    LogEntry.objects.create(
        user=User.objects.create(username="staff"), content_type=ContentType.objects.get_for_model(Customer),
        object_id=str(customer.pk), object_repr="Li Na", action_flag=CHANGE,
    )  # fmt: skip
    return customer


def everything() -> str:
    """Every row of every table of this test's concern, as one text."""
    models = (Customer, InteractionEvent, Ticket, Invitation, DeliveryAttempt, Response, Answer, SentMessage, LogEntry)
    return repr([list(model.objects.values()) for model in (*models, Suppression)])


def test_nothing_personal_is_left(customer):
    before = everything()
    erase_customer("C 港/1", LATER)
    after = everything()
    for word in ("Li Na", "li@example.com", "LI@example.com", "former@", "13800000000", "Shanghai", "港", "I am"):
        assert word in before, word
        assert word not in after, word
    bodies = list(QuarantinedEvent.objects.order_by("id").values_list("body", "state"))
    assert bodies == [("{}", "discarded"), ("{}", "discarded"), (json.dumps({"subject": "C 港/12"}), "waiting")]
    assert SentMessage.objects.get().to == "other@example.com"


def test_a_letter_to_a_former_address_goes_too(customer, settings):
    """Through the real sending: what an attempt remembers of its letter must be what the mailbox kept."""
    settings.EMAIL_BACKEND = "surveys.mailbox.MailboxBackend"
    SentMessage.objects.all().delete()
    Suppression.objects.all().delete()
    make_invitation(make_touchpoint(), customer, status="scheduled", attempted_at=None, sent_at=None, expires_at=None)
    Invitation.objects.exclude(status="scheduled").update(attempted_at=None)
    Response.objects.update(responded_at=NOW - timedelta(days=365))
    deliver_due(LATER)
    assert SentMessage.objects.filter(to="li@example.com").exists()
    Customer.objects.update(email="li.na@example.com")
    erase_customer("C 港/1", LATER)
    assert not SentMessage.objects.exists()


@pytest.mark.parametrize(
    "reply", ["", "451 4.7.1 <li@example.com> try later", "550 5.1.1 <li@example.com> no such user"]
)
def test_a_letter_that_was_on_its_way_leaves_nothing_of_the_person_either(customer, settings, smtp_sink, reply):
    """Erased after the letter was written and before the mail server's word on it came."""
    if reply:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
        smtp_sink.refuse_all = reply
    else:
        settings.EMAIL_BACKEND = "surveys.mailbox.MailboxBackend"
    Suppression.objects.all().delete()
    Invitation.objects.exclude(status="scheduled").update(attempted_at=None)
    Response.objects.update(responded_at=NOW - timedelta(days=365))
    asked = []
    assert deliver_due(LATER, over=lambda: asked.append(1) or erase_customer("C 港/1", LATER))[0] == 1
    assert asked == [1]
    after = everything()
    for word in ("Li Na", "li@example.com", "港"):
        assert word not in after, word
    assert DeliveryAttempt.objects.filter(message_id__contains="@").count() == 2  # that it went out is known


def test_what_was_counted_stays(customer):
    kept = ("client_id", "score", "day", "touchpoint_id", "mode", "segment", "location", "body_hash", "responded_at")
    before = Response.objects.values(*kept).get()
    tickets = (
        Ticket.objects.exclude(customer=None).values("opened_at", "resolved_at", "segment", "location", "in_ttr").get()
    )
    erase_customer("C 港/1", LATER)
    assert Response.objects.values(*kept).get() == before
    assert Answer.objects.get(score__isnull=False).score == 9
    assert Ticket.objects.values("opened_at", "resolved_at", "segment", "location", "in_ttr").get() == tickets
    assert set(InteractionEvent.objects.values_list("source", "event_id")) == {
        ("/s", "o-1"),
        ("/s", "t-1"),
        ("/s", "t-2"),
    }
    assert Suppression.objects.count() == 1


def test_what_waits_is_not_sent_and_what_is_out_can_no_longer_be_answered(customer):
    erase_customer("C 港/1", LATER)
    rows = Invitation.objects.order_by("id").values_list("status", "reason", "expires_at")
    assert list(rows) == [("answered", "", LATER), ("cancelled", "erased", LATER), ("withheld", "resting_same", LATER)]


def test_the_same_id_again_is_a_new_person_and_a_redelivery_stays_a_duplicate(customer):
    erase_customer("C 港/1", LATER)
    tell("o-1", customer={"email": "li@example.com"})
    assert Customer.objects.count() == 1
    tell("o-2", customer={"email": "li@example.com"})
    new = Customer.objects.get(external_id="C 港/1")
    assert (new.email, new.name, new.pk == customer.pk) == ("li@example.com", "", False)
    erase_customer("C 港/1", LATER)
    with pytest.raises(NoSuchCustomer):
        erase_customer("C 港/1", LATER)


def test_the_api_erases_once_and_exports_what_is_held(customer):
    client = Client(headers={"Authorization": f"Bearer {make_api_key('customers:read', 'customers:write')}"})
    url = "/api/v1/customers/C%20%E6%B8%AF%2F1/"
    held = client.get(url + "export/").json()
    assert held["customer"]["email"] == "li@example.com"
    assert {key: len(rows) for key, rows in held.items() if key != "customer"} == {
        "events": 3, "tickets": 1, "invitations": 3, "responses": 1, "suppressions": 1, "lifted_suppressions": 0, "consents": 0,
        "messages": 2, "texts": 0, "quarantine": 2,
    }  # fmt: skip
    assert held["responses"][0]["answers"] == {"score": 9, "comment": "I am Li Na"}
    assert "token" not in json.dumps(held)
    assert client.delete(url).status_code == 204
    for answer in (client.delete(url), client.get(url + "export/"), client.delete("/api/v1/customers/a%00b/")):
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    erased = Customer.objects.get().external_id
    assert client.delete(f"/api/v1/customers/{erased}/").status_code == 404


def test_each_right_needs_its_scope(customer):
    for scope, export, erase in (("customers:read", 200, 403), ("customers:write", 403, 204)):
        client = Client(headers={"Authorization": f"Bearer {make_api_key(scope)}"})
        assert client.get("/api/v1/customers/C%20%E6%B8%AF%2F1/export/").status_code == export
        assert client.delete("/api/v1/customers/C%20%E6%B8%AF%2F1/").status_code == erase


def test_the_command_erases_and_says_when_there_is_nobody(customer, capsys):
    call_command("erase_customer", "C 港/1")
    assert "Erased" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Nobody"):
        call_command("erase_customer", "C 港/1")


def test_an_export_of_nobody_is_refused(db):
    with pytest.raises(NoSuchCustomer):
        export_customer("nobody")
