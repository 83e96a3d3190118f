"""From rows to the programme file. Out: YAML that imports without changing anything, in the same bytes each time.

Every key is written, defaults too: a key that is absent keeps its value, so a default left out would not travel. Built-in instruments
are written only where somebody changed them. People told of bad news are not in it: their addresses are secrets.
"""

import base64
import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from surveys.flow.builtins import standard_name, standard_terms
from surveys.flow.instruments import QuestionTerms, same_terms, terms_of_version
from surveys.flow.programme.sections import OTHERS
from surveys.flow.programme.spans import span_of
from surveys.flow.programme.values import TARGETS, as_number
from surveys.letters import LETTER_TEXTS
from surveys.models import Channel, Instrument, InvitationRule, Journey, Logo, Organisation, Touchpoint
from surveys.models.instruments import Kind
from surveys.worktime import WEEKDAYS

# Plain texts to us, something else to readers of YAML 1.1.
AMBIGUOUS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"}
SEXAGESIMAL = re.compile(r"\d+(:\d\d)+\Z")  # 10:00 is 600 to them


def export_programme() -> str:
    """The whole configuration as YAML."""
    organisation = Organisation.current()
    document = {
        "organisation": _organisation(organisation),
        "ticket_events": dict(sorted(organisation.ticket_events.items())),
        "journeys": [_journey(row) for row in Journey.objects.order_by("position", "slug").prefetch_related("stages")],
        "instruments": [_instrument(row) for row in Instrument.objects.order_by("slug") if not _is_standard(row)],
        "touchpoints": [
            _touchpoint(row)
            for row in Touchpoint.objects.order_by("position", "slug").select_related("journey", "stage", "instrument")
        ],
        "rules": [
            _rule(row) for row in InvitationRule.objects.order_by("slug").select_related("touchpoint", "instrument")
        ],
        "policy": {
            "floor": span_of(organisation.floor_s),
            "quiet_hours": dict(sorted(organisation.quiet_hours.items())),
            "resting": {"same": span_of(organisation.resting_same_s), "any": span_of(organisation.resting_any_s)},
            "preferences": {segment: list(modes) for segment, modes in sorted(organisation.preferences.items())},
        },
    }
    document |= {name: section.write() for name, section in OTHERS.items()}
    yaml = YAML()
    yaml.width = 10_000  # a folded text could not be told from a broken one
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(_styled(document), out)
    return out.getvalue()


def _organisation(row: Organisation) -> dict[str, Any]:
    return {
        **_name(row.name),
        "time_zone": row.time_zone,
        "languages": list(row.languages),
        "segment_attribute": row.segment_attribute,
        "channel_targets": {
            channel: _targets(row.channel_targets[channel])
            for channel in Channel.values
            if row.channel_targets.get(channel)
        },
        "minimum_n": row.min_n,
        "low_n": row.low_n,
        "segment_weights": dict(sorted(row.segment_weights.items())),
        "privacy": _texts(row.privacy),
        "accent": row.accent,
        "radius": row.radius,
        "scheme": row.scheme,
        "logo": _picture(row.logo) if row.logo else None,
        "phrases": {tag: dict(sorted(texts.items())) for tag, texts in sorted(row.phrases.items()) if texts},
        "sender": {"name": _texts(row.sender_name), "address": row.sender_address, "reply_to": row.reply_to},
        "working_hours": {day: list(row.working_hours[day]) for day in WEEKDAYS if row.working_hours.get(day)},
        "holidays": "-".join(filter(None, (row.holiday_country, row.holiday_subdivision))) or None,
        "closed_days": list(row.closed_days),
        "open_days": list(row.open_days),
        "retention": span_of(row.retention_s),
    }


def _picture(row: Logo) -> str:
    return f"data:{row.content_type};base64,{base64.b64encode(bytes(row.data)).decode()}"


def _journey(row: Journey) -> dict[str, Any]:
    stages = sorted(row.stages.all(), key=lambda stage: (stage.position, stage.slug))
    return {
        "slug": row.slug,
        **_name(row.name),
        "stages": [{"slug": stage.slug, **_name(stage.name)} for stage in stages],
        "active": row.active,
    }


def _touchpoint(row: Touchpoint) -> dict[str, Any]:
    return {
        "slug": row.slug,
        **_name(row.name),
        "journey": row.journey.slug if row.journey else None,
        "stage": row.stage.slug if row.stage else None,
        "channel": row.channel,
        "instrument": row.instrument.slug if row.instrument else None,
        "public": row.public,
        "public_key": row.public_key,
        "allowed_origins": list(row.allowed_origins),
        "targets": _targets(row.targets),
        "weight": as_number(row.weight),
        "active": row.active,
    }


def _targets(held: Mapping[str, float]) -> dict[str, float]:
    return {name: held[name] for name in TARGETS if name in held}


def _is_standard(row: Instrument) -> bool:
    """A built-in instrument as it is shipped."""
    if not row.builtin or not row.active or row.name != standard_name(row.slug):
        return False
    current = row.current_version()
    standard = standard_terms(row.slug)
    held = terms_of_version(current) if current else []
    return same_terms(held, standard) and not (row.max_questions or row.thanks or row.share)


def _instrument(row: Instrument) -> dict[str, Any]:
    current = row.current_version()
    return {
        "slug": row.slug,
        **_name(row.name),
        "metric": row.metric,
        "scale": row.points,
        "active": row.active,
        "max_questions": row.max_questions,
        "thanks": {band: _thanks(row.thanks[band]) for band in _bands(row) if band in row.thanks},
        "share": _link(row.share) if row.share else None,
        "questions": [_question(terms, row) for terms in terms_of_version(current)] if current else [],
    }


def _bands(row: Instrument) -> tuple[str, ...]:
    return (*(band for band, _lowest in row.scale.bands), "any")


def _thanks(page: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": _texts(page["title"]),
        "text": _texts(page["text"]),
        "links": [_link(link) for link in page["links"]],
    }


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": _texts(link["label"]), "url": link["url"]}


def _question(terms: QuestionTerms, instrument: Instrument) -> dict[str, Any]:
    found: dict[str, Any] = {"key": terms.key, "kind": terms.kind, "text": _texts(terms.text)}
    if terms.by_band:
        found["by_band"] = {band: _texts(terms.by_band[band]) for band in _bands(instrument) if band in terms.by_band}
    if terms.kind == Kind.SCALE:
        if (terms.metric, terms.points) != (instrument.metric, instrument.points):
            found |= {"metric": terms.metric, "scale": terms.points}
        found |= {"low": _texts(terms.low), "high": _texts(terms.high), "display": terms.display}
    found["required"] = terms.required
    if terms.show_if:
        found["show_if"] = {key: list(values) for key, values in sorted(terms.show_if.items())}
    if terms.options:
        found["options"] = {key: _texts(texts) for key, texts in terms.options.items()}
    return found


def _rule(row: InvitationRule) -> dict[str, Any]:
    resting = {"same": row.resting_same_s, "any": row.resting_any_s}
    return {
        "slug": row.slug,
        "event_type": row.event_type or None,
        "calendar": row.calendar or None,
        "when": row.when,
        "touchpoint": row.touchpoint.slug,
        "instrument": row.instrument.slug if row.instrument else None,
        "delay": span_of(row.delay_s),
        "max_age": span_of(row.max_age_s),
        "modes": list(row.modes),
        "consent": row.needs_consent,
        "sample": row.sample_share,
        "priority": row.priority,
        "quota": row.quota,
        "resting": {name: span_of(span) for name, span in resting.items() if span is not None},
        "exempt": {
            name: reason for name, reason in (("resting", row.exempt_resting), ("floor", row.exempt_floor)) if reason
        },
        "at": row.at_time.strftime("%H:%M") if row.at_time is not None else None,
        "days": list(row.days),
        "expires": span_of(row.expires_s),
        "reminders": [span_of(span) for span in row.reminders_s],
        "letter": {key: _texts(row.letter[key]) for key in LETTER_TEXTS if row.letter.get(key)},
        "active": row.active,
    }


def _name(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """An empty name is no name: left out, it stays as it is."""
    return {"name": _texts(texts)} if texts else {}


def _texts(texts: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(texts.items()))


def _styled(value: Any, depth: int = 0) -> Any:
    """The same tree with sections and rows in blocks, and what is inside a row on one line where it is flat."""
    if isinstance(value, Mapping):
        found = CommentedMap({_quoted(key): _styled(inner, depth + 1) for key, inner in value.items()})
        if depth > 0 and not any(isinstance(inner, Mapping | list) and inner for inner in value.values()):
            found.fa.set_flow_style() if depth > 2 or not value else found.fa.set_block_style()
        return found
    if isinstance(value, list):
        items = CommentedSeq(_styled(inner, depth + 1) for inner in value)
        if not any(isinstance(inner, Mapping) for inner in value):
            items.fa.set_flow_style()
        return items
    return _quoted(value)


def _quoted(value: Any) -> Any:
    if isinstance(value, str) and (
        value.lower() in AMBIGUOUS or SEXAGESIMAL.match(value) or "\n" in value or not value.isprintable()
    ):
        return DoubleQuotedScalarString(value)
    return value
