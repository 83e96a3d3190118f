"""From JSON to events that can be recorded. In: decoded JSON and a Catalogue. Out: Incoming events, or errors with pointers.

Nothing is written here. Shapes are checked by msgspec, which is fast enough for batches of a thousand; what msgspec cannot say
(addresses, times, slugs) is checked by hand.
"""

import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from surveys.flow.addresses import normalise_email, normalise_phone
from surveys.flow.consent import Said
from surveys.flow.json_text import json_text
from surveys.models import InvitationRule, Organisation, Purpose, Touchpoint
from surveys.models.responses import SENT_MODES
from surveys.texts import normalise_tag

FUTURE = timedelta(hours=24)
MAX_FREE_LENGTH = 16_384  # facts, or attributes, of one event
MAX_FREE_DEPTH = 8
MAX_CONSENTS = 50  # of one customer in one event
TICKET_EVENTS = ("ticket.opened", "ticket.first_response", "ticket.reopened", "ticket.resolved", "ticket.closed")

Short = Annotated[str, Meta(min_length=1, max_length=200)]
Name = Annotated[str, Meta(max_length=100)]
Maybe = UnsetType | None
Shape = TypeVar("Shape", bound=Struct)


class ConsentIn(Struct):
    """One act of giving or withdrawing consent."""

    mode: str
    given: bool
    purpose: str = Purpose.SURVEYS
    at: Annotated[str, Meta(max_length=64)] | None = None
    source: Annotated[str, Meta(max_length=200)] = ""
    text_version: Annotated[str, Meta(max_length=100)] = ""
    text: Annotated[str, Meta(max_length=4000)] = ""


class CustomerIn(Struct):
    """A customer as the contract has it; UNSET keeps what is known, null clears it."""

    external_id: Short | Maybe = UNSET
    email: Annotated[str, Meta(max_length=254)] | Maybe = UNSET
    phone: Annotated[str, Meta(max_length=40)] | Maybe = UNSET
    name: Annotated[str, Meta(max_length=200)] | Maybe = UNSET
    language: Annotated[str, Meta(max_length=20)] | Maybe = UNSET
    time_zone: Annotated[str, Meta(max_length=64)] | Maybe = UNSET
    segment: Name | Maybe = UNSET
    preferred_modes: Annotated[list[str], Meta(max_length=20)] | Maybe = UNSET
    attributes: dict[str, Any] | Maybe = UNSET
    consents: Annotated[list[ConsentIn], Meta(max_length=MAX_CONSENTS)] | Maybe = UNSET


class DataIn(Struct):
    touchpoint: Name | None = None
    reference: Annotated[str, Meta(max_length=200)] | None = None
    location: Name | None = None
    customer: CustomerIn | None = None
    facts: dict[str, Any] | None = None


class EventIn(Struct):
    """A CloudEvents 1.0 envelope; extension attributes are allowed and ignored."""

    # `data` may be null: CloudEvents leaves it out as it likes.

    specversion: str
    id: Short
    source: Short
    type: Annotated[str, Meta(min_length=1, max_length=100)]
    time: Annotated[str, Meta(max_length=64)] | None = None
    subject: Annotated[str, Meta(max_length=200)] | None = None
    data: DataIn | None = None
    data_base64: Any = None


class InputError(ValueError):
    """Unusable input: `errors` holds (JSON Pointer, what is wrong)."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer}: {detail}" for pointer, detail in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Profile:
    """What one event says of a customer: `fields` has only what was given, cleared ones as "", attributes with null to remove."""

    external_id: str
    fields: Mapping[str, str]
    attributes: Mapping[str, Any] | None
    consents: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event that can be recorded."""

    source: str
    event_id: str
    type: str
    time: datetime
    profile: Profile
    touchpoint_id: int | None
    ticket_event: str
    reference: str
    location: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What validation must know of the configuration, read once per request."""

    organisation: Organisation
    touchpoints: Mapping[str, int]
    rule_touchpoints: Mapping[str, frozenset[int]]  # event type -> touchpoints of active rules

    @classmethod
    def load(cls) -> "Catalogue":
        rules: dict[str, set[int]] = {}
        active = InvitationRule.objects.filter(active=True, calendar="")  # a calendar waits for no event
        for event_type, touchpoint_id in active.values_list("event_type", "touchpoint_id"):
            rules.setdefault(event_type, set()).add(touchpoint_id)
        return cls(
            Organisation.current(),
            dict(Touchpoint.objects.values_list("slug", "id")),
            {event_type: frozenset(ids) for event_type, ids in rules.items()},
        )

    def is_asked_about(self, event_type: str, ticket_event: str) -> bool:
        """Whether an active rule waits for this type of event."""
        return event_type in self.rule_touchpoints or ticket_event in self.rule_touchpoints


def read_event(item: Any, catalogue: Catalogue, now: datetime) -> Incoming:
    """One event of decoded JSON. InputError with every pointer that is known to be wrong."""
    refuse_unstorable(item)
    event: EventIn = _shaped(item, EventIn)
    errors: list[tuple[str, str]] = []
    if event.specversion != "1.0":
        errors.append(("/specversion", "must be “1.0”."))
    time = read_time(event.time, now, "/time", errors) if event.time is not None else now
    if event.data_base64 is not None:
        errors.append(("/data_base64", "is not understood; send the data as JSON in “data”."))
    data = event.data or DataIn()
    customer = data.customer or CustomerIn()
    external_id = customer.external_id or event.subject
    if not external_id:
        errors.append(("/data/customer/external_id", "is missing, and so is “subject”."))
    profile = read_profile(customer, external_id or "", "/data/customer", errors, now)
    _check_free(data.facts, "/data/facts", errors)
    ticket_event = str(catalogue.organisation.ticket_events.get(event.type, event.type))
    if ticket_event not in TICKET_EVENTS:
        ticket_event = ""
    if ticket_event and not data.reference:
        errors.append(("/data/reference", "is missing: it is the ticket's id."))
    touchpoint_id = _touchpoint(data.touchpoint, event.type, ticket_event, catalogue, errors)
    if errors:
        raise InputError(errors)
    return Incoming(
        event.source,
        event.id,
        event.type,
        time,
        profile,
        touchpoint_id,
        ticket_event,
        data.reference or "",
        data.location or "",
        data.facts or {},
    )


def _touchpoint(
    slug: str | None, event_type: str, ticket_event: str, catalogue: Catalogue, errors: list[tuple[str, str]]
) -> int | None:
    if slug is not None:
        if slug not in catalogue.touchpoints:
            errors.append(("/data/touchpoint", f"“{slug}” is not a touchpoint."))
        return catalogue.touchpoints.get(slug)
    candidates = catalogue.rule_touchpoints.get(event_type) or catalogue.rule_touchpoints.get(ticket_event, frozenset())
    if len(candidates) == 1:
        return next(iter(candidates))
    if ticket_event:
        return None  # a ticket's touchpoint is that of its earliest event that names one
    how_many = "no touchpoint" if not candidates else f"{len(candidates)} touchpoints"
    errors.append(("/data/touchpoint", f"is missing, and the type “{event_type}” belongs to {how_many}."))
    return None


def read_profile(
    customer: CustomerIn, external_id: str, pointer: str, errors: list[tuple[str, str]], now: datetime
) -> Profile:
    """The profile in one spelling; what is wrong is appended to `errors`."""
    consents = tuple(_consents(customer.consents or (), f"{pointer}/consents", errors, now))
    fields: dict[str, str] = {}
    for name, normalise in _FIELDS:
        value = getattr(customer, name)
        if value is UNSET:
            continue
        if value is None or value == "":
            fields[name] = ""
            continue
        try:
            fields[name] = normalise(value)
        except ValueError as error:
            errors.append((f"{pointer}/{name}", f"“{value}” {error}."))
    if customer.preferred_modes is not UNSET:
        fields["preferred_modes"] = _read_modes(customer.preferred_modes or (), f"{pointer}/preferred_modes", errors)
    attributes = customer.attributes
    if attributes is None:
        return Profile(external_id, fields, None, consents)
    if attributes is UNSET:
        return Profile(external_id, fields, {}, consents)
    _check_free(attributes, f"{pointer}/attributes", errors)
    return Profile(external_id, fields, attributes, consents)


def _consents(given: Iterable[ConsentIn], pointer: str, errors: list[tuple[str, str]], now: datetime) -> Iterator[Said]:
    for index, item in enumerate(given):
        at = f"{pointer}/{index}"
        for name, value, known in (("mode", item.mode, SENT_MODES), ("purpose", item.purpose, Purpose.values)):
            if value not in known:
                errors.append((f"{at}/{name}", f"“{value}” is not known; it is one of {', '.join(known)}."))
        moment = read_time(item.at, now, f"{at}/at", errors) if item.at is not None else None
        yield Said(item.mode, item.purpose, item.given, moment, item.source.strip(), item.text_version, item.text)


def _read_modes(modes: Sequence[str], pointer: str, errors: list[tuple[str, str]]) -> str:
    """Modes in an order of preference, each once, as the column has them."""
    for place, mode in enumerate(modes):
        if mode not in SENT_MODES:
            errors.append(
                (f"{pointer}/{place}", f"“{mode}” is not a mode that sends; there are {', '.join(SENT_MODES)}.")
            )
        elif mode in modes[:place]:
            errors.append((f"{pointer}/{place}", f"“{mode}” stands twice."))
    return ",".join(modes)


def read_time(text: str, now: datetime, pointer: str, errors: list[tuple[str, str]]) -> datetime:
    """An RFC 3339 time with an offset, at most 24 h ahead; otherwise `now`, with the fault appended to `errors`."""
    try:
        time = datetime.fromisoformat(text.upper()) if _RFC3339.fullmatch(text) else None
    except ValueError:
        time = None
    if time is None:
        errors.append((pointer, f"“{text}” is not an RFC 3339 time such as 2026-11-20T09:30:00+08:00."))
    elif time.tzinfo is None:
        errors.append((pointer, f"“{text}” has no offset; write it as in 2026-11-20T09:30:00+08:00."))
    elif not 1970 <= time.year <= 9000:
        errors.append((pointer, f"“{text}” is not a time that can be meant."))
    elif time > now + FUTURE:
        errors.append((pointer, f"“{text}” is more than 24 hours ahead of now."))
    else:
        return time
    return now


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?")


def _known_time_zone(text: str) -> str:
    if text not in _time_zones():
        raise ValueError("is not a time zone such as Asia/Shanghai")
    return text


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


_FIELDS = (
    ("email", normalise_email),
    ("phone", normalise_phone),
    ("name", str.strip),
    ("language", normalise_tag),
    ("time_zone", _known_time_zone),
    ("segment", str.strip),
)


def _shaped(item: Any, shape: type[Shape], pointer: str = "") -> Shape:
    """`item` as a struct; InputError with every place where it has another shape."""
    try:
        return msgspec.convert(item, shape, strict=True)
    except msgspec.ValidationError:
        raise InputError(list(_misshapen(item, shape, pointer))) from None


def _misshapen(item: Any, shape: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """msgspec stops at the first fault; this goes field by field, and is only asked about what is faulty."""
    try:
        msgspec.convert(item, shape, strict=True)
    except msgspec.ValidationError as error:
        struct = next((kind for kind in (shape, *get_args(shape)) if _is_struct(kind)), None)
        if struct is None or not isinstance(item, dict):
            below, detail = pointed(str(error))
            yield pointer + below, detail
            return
        for known in msgspec.structs.fields(struct):
            if known.encode_name in item:
                yield from _misshapen(item[known.encode_name], known.type, f"{pointer}/{known.encode_name}")
            elif known.required:
                yield f"{pointer}/{known.encode_name}", "is missing."


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def shaped_customer(item: Any, pointer: str) -> CustomerIn:
    """A customer object of another document; InputError with pointers below `pointer`."""
    return _shaped(item, CustomerIn, pointer)


_PATH = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")


def pointed(message: str) -> tuple[str, str]:
    """msgspec's message as (JSON Pointer, detail)."""
    found = _PATH.fullmatch(message)
    what, path = (found["what"], found["path"] or "") if found else (message, "")
    pointer = re.sub(r"\[(\d+)\]", r"/\1", path.replace("[...]", "")).replace(".", "/")
    missing = _MISSING.match(what)
    if missing:
        return f"{pointer}/{missing['name']}", "is missing."
    return pointer, f"{what[:1].lower()}{what[1:]}."


def _check_free(value: Any, pointer: str, errors: list[tuple[str, str]]) -> None:
    """Free JSON stays within bounds: it is kept for years and tested by rules."""
    if not value:
        return
    if _depth(value, MAX_FREE_DEPTH) > MAX_FREE_DEPTH:
        errors.append((pointer, f"is nested more than {MAX_FREE_DEPTH} deep."))
        return
    text = json_text(value)
    if len(text) > MAX_FREE_LENGTH:
        errors.append((pointer, f"has more than {MAX_FREE_LENGTH} characters of JSON."))
    elif "null" in text and not _is_finite(value):  # the encoder writes what is infinite as null
        errors.append((pointer, "has a number that is too large."))


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict | list):
        return all(_is_finite(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return True


def _depth(value: Any, limit: int) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    if limit <= 0:
        return 1
    return 1 + max((_depth(item, limit - 1) for item in value if isinstance(item, dict | list)), default=0)


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def refuse_unstorable(item: Any) -> None:
    """InputError for NUL characters and lone surrogates, which no database text can hold, with their pointers."""
    with suppress(UnicodeEncodeError, OverflowError):
        if b"\\u0000" not in msgspec.json.encode(item):
            return  # by far the most, and by far the fastest way to know
    errors: list[tuple[str, str]] = []
    _find_unstorable(item, "", errors)
    if errors:
        raise InputError(errors)


def _find_unstorable(value: Any, pointer: str, errors: list[tuple[str, str]]) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            what = "a NUL character" if "\x00" in value else "a lone surrogate"
            errors.append((pointer, f"contains {what}, which cannot be stored."))
    elif isinstance(value, dict):
        for key, inner in value.items():
            name = _UNSTORABLE.sub("\ufffd", key)
            if name != key:
                errors.append((pointer, "has a key with a NUL character or a lone surrogate."))
            _find_unstorable(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", errors)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _find_unstorable(inner, f"{pointer}/{index}", errors)
