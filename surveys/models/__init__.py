"""Nouns, a file per group. Import them from here."""

from surveys.models.consents import Consent, Purpose
from surveys.models.customers import Customer, Scope, Segment, Suppression, SuppressionLift, WrittenAddress
from surveys.models.events import InteractionEvent, QuarantinedEvent
from surveys.models.instruments import Instrument, InstrumentVersion, Question, Wording
from surveys.models.invitations import (
    ARRIVED,
    Calendar,
    CalendarPass,
    DeliveryAttempt,
    Invitation,
    InvitationRule,
    Receipt,
    ReceiptKind,
    Reminder,
)
from surveys.models.journeys import Channel, Journey, Logo, Organisation, PrivacyNotice, Stage, Touchpoint
from surveys.models.keys import ApiKey
from surveys.models.ledger import DurationLedger, ScoreLedger
from surveys.models.messages import InboundText, SentMessage
from surveys.models.pace import SendingPace
from surveys.models.responses import Answer, Mode, Response, ResponseChange
from surveys.models.retention import RetentionMark
from surveys.models.staff import StandardGroup
from surveys.models.terms import ResponseTerms, TermsDue
from surveys.models.tickets import Ticket
from surveys.models.watchers import Watcher, WatcherNotice
from surveys.models.widget import IdentitySecret, WidgetCount

__all__ = [
    "ARRIVED",
    "Answer",
    "ApiKey",
    "Calendar",
    "CalendarPass",
    "Channel",
    "Consent",
    "Customer",
    "DeliveryAttempt",
    "DurationLedger",
    "IdentitySecret",
    "InboundText",
    "Instrument",
    "InstrumentVersion",
    "InteractionEvent",
    "Invitation",
    "InvitationRule",
    "Journey",
    "Logo",
    "Mode",
    "Organisation",
    "PrivacyNotice",
    "Purpose",
    "QuarantinedEvent",
    "Question",
    "Receipt",
    "ReceiptKind",
    "Reminder",
    "Response",
    "ResponseChange",
    "ResponseTerms",
    "RetentionMark",
    "Scope",
    "ScoreLedger",
    "Segment",
    "SendingPace",
    "SentMessage",
    "Stage",
    "StandardGroup",
    "Suppression",
    "SuppressionLift",
    "TermsDue",
    "Ticket",
    "Touchpoint",
    "Watcher",
    "WatcherNotice",
    "WidgetCount",
    "Wording",
    "WrittenAddress",
]
