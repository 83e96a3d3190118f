"""A person of whom everything is held that can be, and staff who may see some of it."""

import itertools
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from surveys.flow.addresses import address_hash
from surveys.flow.incoming import Catalogue, read_event
from surveys.flow.record import record_events
from surveys.flow.respond import Given, Submission, record_response
from surveys.models import (
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    Response,
    SentMessage,
    Suppression,
    Ticket,
    Touchpoint,
    Watcher,
    WatcherNotice,
)
from tests.factories import NOW, make_customer, make_event, make_invitation, make_rule, make_touchpoint

NAME, ADDRESS, COMMENT = "Li Na", "li@example.com", "I am Li Na, and the tea was cold"
PERSONAL = (NAME, ADDRESS, "+8613800000000", "C-LI", "Shanghai")
_names = itertools.count(1)

# Everything of ours that a CX manager reads.
READS = tuple(
    f"view_{name}"
    for name in (
        *("customer", "response", "interactionevent", "quarantinedevent", "invitation", "deliveryattempt"),
        *("suppression", "suppressionlift", "consent", "ticket", "sentmessage", "watchernotice"),
    )
)


def sign_in(*codenames: str) -> Client:
    """A browser of a member of staff with these permissions of ours, and no other."""
    user = User.objects.create_user(f"staff-{next(_names)}", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames, content_type__app_label="surveys"))
    assert user.user_permissions.count() == len(codenames)
    client = Client()
    client.force_login(user)
    return client


def list_url(model: Any, query: str = "") -> str:
    return reverse(f"admin:surveys_{model._meta.model_name}_changelist") + query


def page_url(row: Any, action: str = "change") -> str:
    return reverse(f"admin:surveys_{row._meta.model_name}_{action}", args=[row.pk])


def answer(touchpoint: Touchpoint, score: int | None = None, comment: str = "", **fields: Any) -> Response:
    """Recorded by the flow, in version 1 of the touchpoint's instrument."""
    version = touchpoint.instrument.current_version()
    questions = {question.key: question for question in touchpoint.instrument.questions.all()}
    given = [Given(questions["score"], score=score)] if score is not None else []
    given += [Given(questions["comment"], text=comment)] if comment else []
    now = fields.pop("now", NOW)
    defaults: dict[str, Any] = {"mode": "email", "language": "en", **fields}
    submission = Submission(uuid.uuid4(), touchpoint, version, answers=given, **defaults)
    return record_response(submission, now).response


def tell(id: str, kind: str, minutes: int = 0, **data: Any) -> None:
    catalogue = Catalogue.load()
    time = NOW + timedelta(minutes=minutes)
    item = {"specversion": "1.0", "id": id, "source": "/s", "type": kind, "time": time.isoformat(), "subject": "C-LI"}
    record_events([read_event(item | {"data": data}, catalogue, NOW)], catalogue, NOW)


@dataclass
class Held:
    customer: Customer
    touchpoint: Touchpoint
    event: InteractionEvent
    ticket: Ticket
    asked: Invitation
    withheld: Invitation
    attempt: DeliveryAttempt
    response: Response
    message: SentMessage
    suppression: Suppression
    notice: WatcherNotice

    def pages(self) -> list[Any]:
        rows = (self.customer, self.event, self.ticket, self.asked, self.attempt)
        return [*rows, self.response, self.message, self.suppression, self.notice]


def hold_everything() -> Held:
    """One customer with an event, a ticket, an invitation and its answer, one that was withheld, a letter, a suppression, a notice."""
    touchpoint = make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"})
    customer = make_customer(
        "C-LI", name=NAME, email=ADDRESS, phone="+8613800000000", segment="gold", attributes={"city": "Shanghai"}
    )
    rule = make_rule(touchpoint, slug="after-delivery")
    event = make_event(
        customer, touchpoint=touchpoint, facts={"carrier": "SF", "note": "for Li Na"}, time=NOW - timedelta(hours=3)
    )
    tell("t-1", "ticket.opened", -120, touchpoint="delivery", reference="T-1")
    tell("t-2", "ticket.resolved", -60, reference="T-1")
    asked = make_invitation(touchpoint, customer, event=event, rule=rule, decided_at=NOW - timedelta(minutes=50))
    withheld = make_invitation(
        touchpoint, customer, status="withheld", reason="resting_same", token=None, sent_at=None,
        detail=f"until {(NOW + timedelta(days=90)).isoformat(timespec='seconds')}", rule=rule,
        decided_at=NOW + timedelta(hours=2), event=make_event(customer),
    )  # fmt: skip
    attempt = DeliveryAttempt.objects.create(
        invitation=asked, mode="email", at=NOW - timedelta(minutes=40), result="temporary",
        message_id=f"<{asked.token}@cx>", detail=f"451 {ADDRESS} is busy",
    )  # fmt: skip
    watcher = Watcher.objects.create(touchpoint=touchpoint, address="boss@shop.example", last_error="OSError: away")
    response = answer(touchpoint, 3, COMMENT, customer=customer, invitation=asked, location="sh-1")
    notice = WatcherNotice.objects.get()
    WatcherNotice.objects.update(attempts=1)
    message = SentMessage.objects.create(
        at=NOW, to=ADDRESS, subject=f"How was it, {NAME}?", message_id=f"<{asked.token}@cx>",
        headers=[["Message-ID", f"<{asked.token}@cx>"], ["To", ADDRESS]], text=f"Hello {NAME}: http://testserver/s/x/",
        html='<!doctype html><html lang="en"><body><script>alert(1)</script><a href="/s/x/">10</a></body></html>',
    )  # fmt: skip
    suppression = Suppression.objects.create(
        address_hash=address_hash(ADDRESS), reason="bounced", detail=f"550 {ADDRESS}", created_at=NOW
    )
    ticket = Ticket.objects.get()
    assert watcher.pk
    return Held(
        customer, touchpoint, event, ticket, asked, withheld, attempt, response, message, suppression, notice
    )  # fmt: skip
