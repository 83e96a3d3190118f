"""The demo out of a database. In: the database. Out: none of the demo's rows left, all else untouched, and what had to be kept.

What is the demo's is told by where it came from: its customers (by external id) and all that is theirs, events below /demo/,
answers with ids of its own kind, and the slugs of its programme. Aggregates follow through the ledger: −1 for whatever counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from surveys.demo.load import SETTINGS, WATCHERS, demo_slugs, own_settings, programme
from surveys.demo.people import EXTERNAL_ID, SEGMENTS
from surveys.demo.plan import FIRST_ID, LAST_ID, SOURCE
from surveys.demo.replay import KEY_NAME
from surveys.flow.addresses import address_hash, customer_hash
from surveys.flow.durations import DURATIONS
from surveys.flow.locks import lock_people
from surveys.flow.programme import import_programme
from surveys.models import (
    Answer,
    CalendarPass,
    Consent,
    Customer,
    DeliveryAttempt,
    DurationLedger,
    InboundText,
    Instrument,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Journey,
    Organisation,
    PrivacyNotice,
    QuarantinedEvent,
    Reminder,
    Response,
    ResponseChange,
    ResponseTerms,
    ScoreLedger,
    Segment,
    SentMessage,
    Stage,
    Suppression,
    SuppressionLift,
    TermsDue,
    Ticket,
    Touchpoint,
    Watcher,
    WatcherNotice,
    WidgetCount,
    Wording,
    WrittenAddress,
)
from surveys.models.journeys import DEFAULT_NAME
from surveys.signals import ledger_written

_tables = {model: model._meta.db_table for model in (Answer, Response, Ticket, ScoreLedger, DurationLedger)}
_UNCOUNT_SCORES = f"""
INSERT INTO {_tables[ScoreLedger]} (day, touchpoint_id, question_id, mode, segment, location, score, delta)
SELECT r.day, r.touchpoint_id, a.question_id, r.mode, r.segment, r.location, a.score, -1
FROM {_tables[Answer]} a JOIN {_tables[Response]} r ON r.id = a.response_id
WHERE r.id = ANY(%s) AND r.excluded_at IS NULL AND a.score IS NOT NULL
"""
_UNCOUNT_TICKETS = f"""
INSERT INTO {_tables[DurationLedger]} (basis, day, touchpoint_id, segment, location, seconds, reopened, delta)
SELECT side.basis, side.day, coalesce(t.touchpoint_id, 0), t.segment, t.location, side.seconds, side.reopened, -1
FROM {_tables[Ticket]} t
CROSS JOIN LATERAL (VALUES {", ".join(duration.side for duration in DURATIONS)}) AS side (basis, day, seconds, reopened)
WHERE t.id = ANY(%s) AND t.in_ttr AND side.seconds IS NOT NULL
"""


class NoDemo(Exception):
    """There is nothing to take away."""


@dataclass(slots=True)
class Removed:
    """How many rows went, by kind; `kept`: slugs of touchpoints that somebody has come to use."""

    rows: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def remove_demo() -> Removed:
    """Take the demo away, in one transaction. NoDemo where there is none."""
    removed = Removed()
    with transaction.atomic():
        organisation = Organisation.objects.select_for_update().get(pk=Organisation.current().pk)
        if not organisation.is_demo:
            raise NoDemo
        _remove_data(removed)
        _remove_configuration(removed)
        _restore(organisation)
    return removed


# --- What happened ---


def _remove_data(removed: Removed) -> None:
    erased = InteractionEvent.objects.filter(source__startswith=SOURCE).values("customer")
    people = Customer.objects.filter(Q(external_id__startswith=EXTERNAL_ID) | Q(erased_at__isnull=False, pk__in=erased))
    # Locked, so that whoever answers or edits right now is waited for, and seen.
    customers = [person.pk for person in lock_people(people)]
    events = _locked(InteractionEvent.objects.filter(Q(source__startswith=SOURCE) | Q(customer__in=customers)))
    tickets = _locked(Ticket.objects.filter(Q(source__startswith=SOURCE) | Q(customer__in=customers)))
    invitations = _locked(Invitation.objects.filter(Q(event__in=events) | Q(customer__in=customers)))
    own_ids = Q(client_id__gte=FIRST_ID, client_id__lte=LAST_ID)
    responses = _locked(Response.objects.filter(own_ids | Q(invitation__in=invitations) | Q(customer__in=customers)))
    with connection.cursor() as cursor:
        cursor.execute(_UNCOUNT_SCORES, [responses])
        cursor.execute(_UNCOUNT_TICKETS, [tickets])
    ledger_written.send(sender=Response)

    addresses = [address for pair in people.values_list("email", "phone") for address in pair if address]
    tokens = {token for token in Invitation.objects.filter(pk__in=invitations).values_list("token", flat=True) if token}
    _remove_messages(removed, {*addresses, *(address for _slug, address, _language in WATCHERS)}, tokens)
    hashes = [address_hash(address) for address in addresses]
    hashes += [customer_hash(external_id) for external_id in people.values_list("external_id", flat=True)]
    _delete(removed, Suppression.objects.filter(address_hash__in=hashes))
    _delete(removed, SuppressionLift.objects.filter(address_hash__in=hashes))
    _delete(removed, Consent.objects.filter(customer__in=customers))
    _delete(removed, WrittenAddress.objects.filter(address_hash__in=hashes))
    _delete(removed, QuarantinedEvent.objects.filter(api_key_name=KEY_NAME, body__contains=f'"{SOURCE}'))
    _delete(removed, WatcherNotice.objects.filter(response__in=responses))
    _delete(removed, Answer.objects.filter(response__in=responses))
    _delete(removed, ResponseChange.objects.filter(response__in=responses))
    TermsDue.objects.filter(response_id__in=responses).delete()
    _delete(removed, ResponseTerms.objects.filter(response__in=responses))
    _delete(removed, Response.objects.filter(pk__in=responses))
    _delete(removed, Reminder.objects.filter(invitation__in=invitations))
    _delete(removed, DeliveryAttempt.objects.filter(invitation__in=invitations))
    _delete(removed, InboundText.objects.filter(invitation__in=invitations))
    _delete(removed, Invitation.objects.filter(pk__in=invitations))
    _delete(removed, InteractionEvent.objects.filter(pk__in=events))
    _delete(removed, Ticket.objects.filter(pk__in=tickets))
    _delete(removed, Customer.objects.filter(pk__in=customers))
    for name in SEGMENTS:
        if not any(model.objects.filter(segment=name).exists() for model in (Customer, Response, Ticket)):
            _delete(removed, Segment.objects.filter(name=name))


def _remove_messages(removed: Removed, addresses: set[str], tokens: set[str]) -> None:
    """Letters by their invitation's token, which stands in their Message-ID; news of bad answers by whom it went to."""
    known = SentMessage.objects.values_list("pk", "to", "message_id")
    ids = [pk for pk, to, message_id in known if to in addresses or message_id[1:].partition("@")[0] in tokens]
    _delete(removed, SentMessage.objects.filter(pk__in=ids))


def _locked(rows: "QuerySet[Any]") -> list[int]:
    return list(rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))


def _delete(removed: Removed, rows: "QuerySet[Any]") -> None:
    """Delete exactly these rows; what still points to them is a fault that the database refuses."""
    count = rows._raw_delete(rows.db)
    if count:
        name = str(rows.model._meta.db_table.removeprefix("surveys_"))
        removed.rows[name] = removed.rows.get(name, 0) + count


# --- What was set up ---


def _remove_configuration(removed: Removed) -> None:
    slugs = demo_slugs()
    touchpoints = list(Touchpoint.objects.filter(slug__in=slugs.touchpoints).order_by("slug"))
    going = [touchpoint for touchpoint in touchpoints if not _is_in_use(touchpoint, slugs.rules)]
    removed.kept = [touchpoint.slug for touchpoint in touchpoints if touchpoint not in going]
    rules = InvitationRule.objects.filter(slug__in=slugs.rules, touchpoint__in=going)
    _delete(removed, CalendarPass.objects.filter(rule__in=rules))
    _delete(removed, rules)
    addresses = {address for _slug, address, _language in WATCHERS}
    watchers = list(
        Watcher.objects.filter(Q(touchpoint__in=going) | Q(address__in=addresses)).values_list("pk", flat=True)
    )
    _delete(removed, WatcherNotice.objects.filter(watcher__in=watchers))
    _delete(removed, Watcher.objects.filter(pk__in=watchers))
    _delete(removed, WidgetCount.objects.filter(touchpoint__in=going))
    for relation in Touchpoint._meta.related_objects:
        if (
            relation.many_to_many
        ):  # what the staff wrote down about several touchpoints stays, and no longer names these
            linked = relation.field.m2m_reverse_name()  # type: ignore[attr-defined]
            through: Any = relation.through  # type: ignore[attr-defined]
            _delete(removed, through.objects.filter(**{f"{linked}__in": [touchpoint.pk for touchpoint in going]}))
    _delete(removed, Touchpoint.objects.filter(pk__in=[touchpoint.pk for touchpoint in going]))
    for instrument in Instrument.objects.filter(slug__in=slugs.instruments):
        asked = Response.objects.filter(version__instrument=instrument).exists()
        if not asked and not _any(instrument, "touchpoints", "rules", "invitations"):
            _delete(removed, Wording.objects.filter(version__instrument=instrument))
            _delete(removed, instrument.questions.all())
            _delete(removed, instrument.versions.all())
            _delete(removed, Instrument.objects.filter(pk=instrument.pk))
    for journey in Journey.objects.filter(slug__in=slugs.journeys):
        if not _is_pointed_to(journey, apart_from=(Stage,)) and not any(map(_is_pointed_to, journey.stages.all())):
            _delete(removed, journey.stages.all())
            _delete(removed, Journey.objects.filter(pk=journey.pk))


def _is_in_use(touchpoint: Touchpoint, own_rules: Iterable[str]) -> bool:
    """Whether anything is left of it that the demo did not bring."""
    others = InvitationRule.objects.filter(touchpoint=touchpoint).exclude(slug__in=own_rules)
    return others.exists() or _is_pointed_to(touchpoint, apart_from=(InvitationRule, Watcher, WidgetCount))


def _is_pointed_to(row: Any, apart_from: Sequence[type[Any]] = ()) -> bool:
    """Whether rows of any model, of apps above this one too, hold it. What names several of its kind only names fewer."""
    return any(
        relation.related_model._default_manager.filter(**{relation.field.name: row}).exists()
        for relation in row._meta.related_objects
        if not relation.many_to_many and relation.related_model not in apart_from
    )


def _any(row: Any, *relations: str) -> bool:
    return any(getattr(row, relation).exists() for relation in relations)


def _restore(organisation: Organisation) -> None:
    """Defaults where the organisation is still the demo's; one that has another name by now is somebody's."""
    organisation.is_demo = False
    before = own_settings(organisation)
    demo = _demo_settings()
    if before["name"] == demo["name"]:
        defaults = {
            **own_settings(Organisation()),
            "name": DEFAULT_NAME,
            "languages": ["en", "zh-hans"],
            "time_zone": settings.CX_TIME_ZONE,
        }
        if Response.objects.exists() or Ticket.objects.exists():
            del defaults["time_zone"]  # stored days are of this zone
        for name, value in defaults.items():
            if before[name] == demo[name]:
                setattr(organisation, name, value)
    organisation.save()
    given_under = Response.objects.filter(privacy_notice=OuterRef("pk"))
    held = [organisation.privacy_notice_id] if organisation.privacy_notice_id else []
    PrivacyNotice.objects.exclude(pk__in=held).filter(~Exists(given_under)).delete()


class _OnlyTried(Exception):
    """Undoes what was tried."""


def _demo_settings() -> dict[str, Any]:
    """What the programme file sets on an organisation, whatever stands on it now."""
    found: dict[str, Any] = {}
    try:
        with transaction.atomic():
            import_programme(programme(sections=SETTINGS))
            found = own_settings(Organisation.current())
            raise _OnlyTried
    except _OnlyTried:
        return found
