"""What could not be used, kept with its reason. In: decoded JSON and errors. Out: QuarantinedEvent rows; a retry's result."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from surveys.flow.incoming import Catalogue, InputError, read_event
from surveys.flow.record import RecordResult, record_events
from surveys.models import QuarantinedEvent


@dataclass(frozen=True, slots=True)
class Unusable:
    """An item that could not be used, in what can be stored and answered: `errors` are of {"pointer", "detail"}."""

    id: str | None
    body: str
    errors: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, item: Any, error: InputError) -> "Unusable":
        """ASCII-escaped, so that even what no text column can hold is kept as it came."""
        id = item.get("id") if isinstance(item, dict) else None
        found = _storable(id)[:200] if isinstance(id, str) else None
        return cls(found, _escaped(item), _errors(error))


def _errors(error: InputError) -> tuple[dict[str, str], ...]:
    return tuple({"pointer": _storable(pointer), "detail": _storable(detail)} for pointer, detail in error.errors)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def quarantine(items: Iterable[Unusable], api_key_name: str, now: datetime) -> None:
    """Keep unusable items. They do not occupy their (source, id): sent again, an event is tried again."""
    QuarantinedEvent.objects.bulk_create(
        QuarantinedEvent(body=item.body, errors=list(item.errors), received_at=now, api_key_name=api_key_name)
        for item in items
    )


def retry(row_id: int, body: str, now: datetime) -> RecordResult:
    """Try a quarantined event again, with the body as a manager corrected it; whoever calls this rings as after `record_events`.

    InputError where it is still unusable: it stays in quarantine, with the new body (unless that is no JSON) and the new errors.
    """
    item = _decoded(body)
    try:
        with transaction.atomic():
            row = QuarantinedEvent.objects.select_for_update().get(pk=row_id)
            if row.state == QuarantinedEvent.State.RETRIED:
                return RecordResult(0, 1)
            catalogue = Catalogue.load()
            result = record_events([read_event(item, catalogue, now)], catalogue, now)
            row.body, row.errors, row.state, row.settled_at = _escaped(item), [], QuarantinedEvent.State.RETRIED, now
            row.save()
            return result
    except InputError as error:
        QuarantinedEvent.objects.filter(pk=row_id).update(body=_escaped(item), errors=list(_errors(error)))
        raise


def _escaped(item: Any) -> str:
    return json.dumps(item, ensure_ascii=True)


def discard(row_id: int, now: datetime) -> None:
    """Put aside what nobody will correct; the row stays."""
    waiting = QuarantinedEvent.objects.filter(pk=row_id, state=QuarantinedEvent.State.WAITING)
    waiting.update(state=QuarantinedEvent.State.DISCARDED, settled_at=now)


def _decoded(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError([("", f"is not JSON: {error}.")]) from None
