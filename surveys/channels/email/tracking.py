"""What a provider posts about its letters, through anymail's own webhook views. In: requests. Out: Reports, in one vocabulary.

Anymail checks signature or secret and reads the provider's form; here it is decided what that means for us. Opens and clicks are no
news: we do not track, and a machine that looks at links would be taken for a reader.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anymail.exceptions import AnymailError, AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.views.generic import View

from surveys.channels.email.refusals import OURS, judge, spoken_code
from surveys.channels.email.refusals import SOFT as SOFT_ONE
from surveys.letters import (
    BOUNCED,
    COMPLAINED,
    DEFERRED,
    DELIVERED,
    FAILED,
    REJECTED,
    SOFT,
    UNSUBSCRIBED,
    Forged,
    Report,
    Unreadable,
)

# Where the name of a view cannot be had from that of its provider.
_VIEWS = {"mandrill": "MandrillCombinedWebhookView"}
_NAMES = {
    "amazon_ses": "AmazonSES",
    "mailersend": "MailerSend",
    "sendgrid": "SendGrid",
    "sparkpost": "SparkPost",
    "unisender_go": "UnisenderGo",
}
_DETAILS = ("description", "mta_response")


def view() -> type[View] | None:
    """Anymail's view for the webhooks of the provider that EMAIL_URL names; None where nobody may speak for it.

    ImproperlyConfigured (or ImportError) where something that it needs is missing.
    """
    return webhook_view("Tracking")


def webhook_view(purpose: str) -> type[View] | None:
    """`view`, of what is said about letters ("Tracking") or of mails that come in ("Inbound")."""
    name = settings.CX_EMAIL_PROVIDER
    if not name or not settings.CX_EMAIL_IS_HEARD:
        return None
    found = _VIEWS.get(name, f"{_NAMES.get(name, name.title())}{purpose}WebhookView")
    kind: type[View] = import_string(f"anymail.webhooks.{name}.{found}")
    return kind


def read_reports(kind: type[Any], request: HttpRequest) -> list[Report]:
    """What one request says of our letters. Forged where it is not the provider's, Unreadable where it is not in its form."""
    try:
        return [report for event in read_events(kind, request) if (report := report_of(event)) is not None]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def read_events(kind: type[Any], request: HttpRequest) -> list[Any]:
    """Anymail's events of one request. Forged, Unreadable."""
    webhook = kind()
    webhook.setup(request)
    try:
        webhook.run_validators(request)
        return list(webhook.parse_events(request))
    except AnymailWebhookValidationFailure as error:
        raise Forged(str(error)) from None
    except (
        AnymailError,
        ImproperlyConfigured,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def report_of(event: AnymailTrackingEvent) -> Report | None:
    """None for what changes nothing, or speaks of no message of ours."""
    if event.event_type not in _KINDS or not event.message_id:
        return None
    kind = _KINDS[event.event_type](event)
    said = (getattr(event, name) for name in _DETAILS)
    detail = ": ".join(dict.fromkeys(" ".join(str(text).split()) for text in said if text))
    return Report(str(event.message_id), kind, detail)


def _kind_of_bounce(event: AnymailTrackingEvent) -> str:
    """Anymail's "bounced" is hard and soft, and a block for our sake too."""
    named = _provider_says(event)
    if named not in ("", BOUNCED):
        return named
    if said := next(filter(None, map(spoken_code, _texts_of(event))), ""):
        verdict = judge(550, said)
        if verdict == OURS:
            return FAILED
        if verdict == SOFT_ONE and not named:
            return SOFT
    return FAILED if event.reject_reason in _NOT_THEIRS and not named else BOUNCED


def _texts_of(event: AnymailTrackingEvent) -> list[Any]:
    """Where an enhanced status code may stand."""
    return [
        event.mta_response,
        event.description,
        *_found(event, (("event-data", "delivery-status", "enhanced-code"),)),
    ]


def _kind_of_rejection(event: AnymailTrackingEvent) -> str:
    """The provider did not even try, because of what it knows of the address, or of us."""
    return _REJECTIONS.get(event.reject_reason, REJECTED)


def _provider_says(event: AnymailTrackingEvent) -> str:
    """What the provider's own word for the kind of bounce means, which anymail does not keep: "" where it has none."""
    for path, found in zip(_WORDS, _found(event, _WORDS), strict=True):
        if kind := _MEANINGS.get(f"{path[-1]}={found}".casefold()):
            return kind
    return ""


def _found(event: AnymailTrackingEvent, paths: Sequence[tuple[str, ...]]) -> list[str]:
    """What stands at these places of the provider's event; "" for nothing."""
    values = []
    for path in paths:
        found: Any = event.esp_event
        for step in path:
            found = found.get(step) if isinstance(found, Mapping) else None
        values.append("" if found is None or isinstance(found, Mapping | list) else str(found))
    return values


_KINDS: Mapping[str, Callable[[AnymailTrackingEvent], str]] = {
    EventType.DELIVERED: lambda _event: DELIVERED,
    EventType.DEFERRED: lambda _event: DEFERRED,
    EventType.BOUNCED: _kind_of_bounce,
    EventType.REJECTED: _kind_of_rejection,
    EventType.FAILED: lambda _event: FAILED,
    EventType.COMPLAINED: lambda _event: COMPLAINED,
    EventType.UNSUBSCRIBED: lambda _event: UNSUBSCRIBED,
}
_REJECTIONS: Mapping[str | None, str] = {
    RejectReason.INVALID: BOUNCED,
    RejectReason.BOUNCED: BOUNCED,
    RejectReason.SPAM: COMPLAINED,
    RejectReason.UNSUBSCRIBED: UNSUBSCRIBED,
}
# A receiver that takes us for a spammer says nothing of whom we wrote to.
_NOT_THEIRS = frozenset({RejectReason.SPAM, RejectReason.BLOCKED})
# Where providers say what kind of bounce it was, and what that means. The more exact place goes first.
_WORDS: tuple[tuple[str, ...], ...] = (
    ("error",),  # Mailjet
    ("hard_bounce",),  # Mailjet
    ("bounce", "bounceType"),  # Amazon SES
    ("event-data", "reason"),  # Mailgun
    ("event",),  # Brevo, Mandrill
    ("data", "bounce", "type"),  # Resend
    ("type",),  # MailerSend, SendGrid
    ("Type",),  # Postmark
    ("msys", "message_event", "bounce_class"),  # SparkPost
    ("delivery_info", "delivery_status"),  # Unisender Go
)
_MEANINGS: Mapping[str, str] = {
    "error=quota exceeded": SOFT,
    "error=relay/access denied": FAILED,
    "hard_bounce=false": SOFT,
    "hard_bounce=true": BOUNCED,
    "bouncetype=transient": SOFT,
    "bouncetype=undetermined": SOFT,
    "bouncetype=permanent": BOUNCED,
    "reason=old": SOFT,  # tried for as long as it tries
    "reason=suppress-bounce": BOUNCED,
    "reason=suppress-complaint": COMPLAINED,
    "reason=suppress-unsubscribe": UNSUBSCRIBED,
    "event=soft_bounce": SOFT,
    "event=hard_bounce": BOUNCED,
    "event=invalid_email": BOUNCED,
    "type=transient": SOFT,
    "type=undetermined": SOFT,
    "type=permanent": BOUNCED,
    "type=activity.soft_bounced": SOFT,
    "type=activity.hard_bounced": BOUNCED,
    "type=blocked": FAILED,  # SendGrid: the receiver refused us, or is out of order
    "type=softbounce": SOFT,
    "type=hardbounce": BOUNCED,
    "type=virusnotification": FAILED,
    **{f"bounce_class={number}": SOFT for number in (1, 20, 21, 22, 24, 40, 70)},
    **{f"bounce_class={number}": FAILED for number in (23, 25, 50, 51, 52, 53, 54)},
    "bounce_class=10": BOUNCED,
    "bounce_class=30": BOUNCED,
    **{f"delivery_status=err_{word}": FAILED for word in ("too_large", "spam_rejected", "spam_skipped", "blacklisted")},
    **{f"delivery_status=err_{word}": SOFT for word in ("mailbox_full", "unreachable", "delivery_failed", "lost")},
    "delivery_status=err_unsubscribed": UNSUBSCRIBED,
}
