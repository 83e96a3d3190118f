"""From the programme file to rows. In: its text. Out: rows created or updated by slug, or every fault with its line.

All or nothing: everything happens in one transaction, and one fault undoes it. Nothing is ever deleted. A key that is absent keeps
its value, a map or list that is given replaces the whole one. Must not be here: YAML itself (document) and its writing (writing).
"""

import base64
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction

from surveys.expressions import CALENDAR_ROOTS, ExpressionError, parse
from surveys.flow.builtins import SCALE_OF, standard_labels, standard_terms
from surveys.flow.calendar import mixed_with
from surveys.flow.fixed import has_answers, is_answered, keeps_slug
from surveys.flow.incoming import TICKET_EVENTS
from surveys.flow.instruments import InstrumentError, QuestionTerms, publish_version
from surveys.flow.logo import MOST_BYTES, LogoError, keep_logo, read_logo
from surveys.flow.programme.document import Fault, Faults, Place, each_once, read_document
from surveys.flow.programme.sections import OTHERS
from surveys.flow.programme.values import (
    COLOUR,
    EXEMPTION,
    LABEL,
    LINKS,
    NAME,
    NOTICE,
    PRIORITY,
    PUBLIC_KEY,
    QUESTIONS,
    QUOTA,
    RADIUS,
    REMINDERS,
    SENDER_NAME,
    SENTENCE,
    TARGETS,
    hour_of,
    is_hours,
    is_link,
    is_rising,
    is_segment,
    origin_of,
    reminders_fit,
)
from surveys.letters import LETTER_PLACES, LETTER_TEXTS, is_one_line, longest_of, strange_letter_places
from surveys.models import (
    Calendar,
    Channel,
    Instrument,
    InvitationRule,
    Journey,
    Organisation,
    Response,
    Stage,
    Ticket,
    Touchpoint,
)
from surveys.models.instruments import Display, Kind, Metric
from surveys.models.journeys import (
    DAY_S,
    LOW_N_AT_MOST,
    MIN_N_AT_LEAST,
    MIN_N_AT_MOST,
    RETENTION_DAYS,
    WEIGHT_AT_MOST,
    Scheme,
    time_zone_names,
)
from surveys.models.responses import SENT_MODES
from surveys.phrases import LANGUAGES, PHRASES, strange_places
from surveys.scales import SCALES
from surveys.texts import normalise_tag
from surveys.worktime import OWN_DAYS, WEEKDAYS, read_day, read_place, read_spans

WORK = ("working_hours", "holiday_country", "holiday_subdivision", "closed_days", "open_days")
SECTIONS = ("organisation", "ticket_events", "journeys", "touchpoints", "instruments", "rules", "policy")


class ProgrammeError(ValueError):
    """A file that cannot be imported, with all that is wrong with it, by line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(slots=True)
class Imported:
    """What an import did: (what, slug, changed fields) for each row created (no fields) or changed; and what to know."""

    created: list[tuple[str, str]] = field(default_factory=list)
    changed: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.created and not self.changed


class _DryRun(Exception):
    """Undoes what was only tried."""


def import_programme(text: str, *, dry_run: bool = False) -> Imported:
    """Create or update the configuration by slug; ProgrammeError, and nothing changed, where anything is wrong."""
    faults = Faults(text.removeprefix("\ufeff"))
    root = read_document(faults)
    imported = Imported()
    try:
        with transaction.atomic():
            if root is not None:
                _Import(root, imported).run()
            if faults:
                raise ProgrammeError(faults.sorted())
            if dry_run:
                raise _DryRun
    except _DryRun:
        pass
    return imported


class _Import:
    """One run over one document. `faults` are collected throughout; rows that depend on a faulty one are passed over."""

    def __init__(self, root: Place, imported: Imported) -> None:
        self.root = root
        self.imported = imported
        self.organisation = Organisation.current()
        # What the file speaks of, faulty or not, so that one fault is not told again wherever the slug is used.
        self.mentioned: dict[str, set[str]] = {}

    def run(self) -> None:
        if self.root.is_null:
            self.root.fail("The file is empty.")
            return
        sections = self.root.keys((*SECTIONS, *OTHERS))
        if sections is None:
            return
        # One import at a time.
        self.organisation = Organisation.objects.select_for_update().get(pk=self.organisation.pk)
        for name in ("journeys", "touchpoints", "instruments", "rules", *OTHERS):
            self.mentioned[name] = _slugs_in(sections.get(name))
        for name in ("organisation", "ticket_events", "policy", "journeys", "instruments", "touchpoints", "rules"):
            if name in sections:
                getattr(self, f"read_{name}")(sections[name])
        for name, section in OTHERS.items():
            if name in sections:
                section.read(self, sections[name])

    @property
    def language(self) -> str:
        return self.organisation.default_language

    # --- Saving ---

    def save(self, row: models.Model, what: str, slug: str, values: Mapping[str, Any]) -> None:
        """Write `values` on a row where they differ from what it holds."""
        is_new = row._state.adding
        changed = [name for name, value in values.items() if getattr(row, name) != value]
        if not changed and not is_new:
            return
        for name in changed:
            setattr(row, name, values[name])
        if is_new:
            row.save()
            self.imported.created.append((what, slug))
        else:
            row.save(update_fields=changed)
            self.imported.changed.append((what, slug, tuple(name.removesuffix("_id") for name in changed)))

    def place_in_order(self, rows: "Iterable[Any]", slugs: Sequence[str], what: str) -> None:
        """Give the rows of the file the order of the file; those that it does not name keep their place among all."""
        ordered = sorted(rows, key=lambda row: (row.position, row.slug))
        by_slug = {row.slug: row for row in ordered}
        listed = [by_slug[slug] for slug in slugs if slug in by_slug]
        named = set(slugs)
        seats = iter(listed)
        wanted = [next(seats) if row.slug in named else row for row in ordered]
        if wanted == ordered:
            return
        for position, row in enumerate(wanted):
            self.save(row, what, row.slug, {"position": position})

    # --- Organisation and policy ---

    def read_organisation(self, place: Place) -> None:
        known = (
            "name",
            "time_zone",
            "languages",
            "segment_attribute",
            "channel_targets",
            "privacy",
            "accent",
            "radius",
            "scheme",
            "logo",
            "phrases",
            "sender",
            "working_hours",
            "holidays",
            "closed_days",
            "open_days",
            "minimum_n",
            "low_n",
            "segment_weights",
            "retention",
        )
        keys = place.keys(known)
        if keys is None:
            return
        values: dict[str, Any] = {}
        _read(keys, "languages", _languages, values)
        first = [*values.get("languages", ()), *self.organisation.languages, "en"][0]
        _read(keys, "name", lambda at: at.texts(first, NAME), values)
        _read(keys, "privacy", lambda at: {} if _is_nothing(at) else at.texts(first, NOTICE), values)
        _read(keys, "time_zone", _time_zone, values)
        _read(keys, "segment_attribute", lambda at: "" if at.is_null else at.text(100, empty=True), values)
        _read(keys, "channel_targets", _channel_targets, values)
        _read(keys, "accent", _colour, values)
        _read(keys, "radius", lambda at: at.number(0, RADIUS), values)
        _read(keys, "scheme", lambda at: at.choice(Scheme.values), values)
        if "logo" in keys:
            values |= _logo(keys["logo"])
        _read(keys, "phrases", _phrases, values)
        _read(keys, "retention", _retention, values, "retention_s")
        if "sender" in keys:
            values |= _sender(keys["sender"], first)
        self._read_work(keys, values)
        _read(keys, "minimum_n", lambda at: _whole(at, MIN_N_AT_LEAST, MIN_N_AT_MOST), values, "min_n")
        _read(keys, "low_n", lambda at: _whole(at, MIN_N_AT_LEAST, LOW_N_AT_MOST), values)
        self._check_few(keys, values)
        _read(keys, "segment_weights", _segment_weights, values)
        if values.get("time_zone", self.organisation.time_zone) != self.organisation.time_zone:
            self._note_time_zone()
        self._note_hours(values)
        self.save(self.organisation, "organisation", "", values)

    def _read_work(self, keys: dict[str, Place], values: dict[str, Any]) -> None:
        """When the organisation works. A day is open or closed, not both, also where the file names only one of the lists."""
        _read(keys, "working_hours", _working_hours, values)
        if "holidays" in keys:
            found = _holidays(keys["holidays"])
            if found is not None:
                values["holiday_country"], values["holiday_subdivision"] = found
        _read(keys, "closed_days", _own_days, values)
        _read(keys, "open_days", _own_days, values)
        closed = values.get("closed_days", self.organisation.closed_days)
        both = sorted(set(closed) & set(values.get("open_days", self.organisation.open_days)))
        at = keys.get("open_days") or keys.get("closed_days")
        if both and at is not None:
            at.fail(f"{both[0]} is a closed day and an open one.")

    def _check_few(self, keys: Mapping[str, Place], values: Mapping[str, Any]) -> None:
        low, least = values.get("low_n", self.organisation.low_n), values.get("min_n", self.organisation.min_n)
        at = keys.get("low_n", keys.get("minimum_n"))
        if at is not None and low < least:
            at.fail(f"low_n ({low}) is below minimum_n ({least}).")

    def _note_time_zone(self) -> None:
        if Response.objects.exists():
            self.imported.notes.append("The time zone changed: run rebuild_rollups, so that stored days follow.")

    def _note_hours(self, values: dict[str, Any]) -> None:
        changed = any(
            getattr(self.organisation, name) != values.get(name, getattr(self.organisation, name)) for name in WORK
        )
        if changed and Ticket.objects.exists():
            self.imported.notes.append(
                "Working time changed: run rebuild_rollups, so that stored business times follow."
            )

    def read_ticket_events(self, place: Place) -> None:
        entries = {} if place.is_null else place.entries()
        if entries is None:
            return
        mapped: dict[str, str] = {}
        for event_type, at in entries.items():
            if not 1 <= len(event_type) <= 100:
                at.fail("An event type has 1 to 100 characters.")
                continue
            ours = at.choice(TICKET_EVENTS)
            if ours is not None:
                mapped[event_type] = ours
        self.save(self.organisation, "organisation", "", {"ticket_events": mapped})

    def read_policy(self, place: Place) -> None:
        keys = place.keys(("floor", "quiet_hours", "resting", "preferences"))
        if keys is None:
            return
        values: dict[str, Any] = {}
        _read(keys, "floor", Place.span, values, "floor_s")
        _read(keys, "quiet_hours", _quiet_hours, values)
        _read(keys, "preferences", _preferences, values)
        if "resting" in keys:
            resting = _resting(keys["resting"])
            if resting is not None:
                values["resting_same_s"] = resting.get("same", 90 * DAY_S)
                values["resting_any_s"] = resting.get("any", 30 * DAY_S)
        self.save(self.organisation, "policy", "", values)

    # --- Journeys ---

    def read_journeys(self, place: Place) -> None:
        rows = {row.slug: row for row in Journey.objects.all()}
        slugs: list[str] = []
        for slug, at, keys in _rows_in(place, ("slug", "name", "stages", "active")):
            slugs.append(slug)
            row = rows.get(slug) or Journey(slug=slug, name={"en": title_of(slug)}, position=len(rows))
            rows[slug] = row
            values: dict[str, Any] = {}
            _read(keys, "name", lambda at: at.texts(self.language, NAME), values)
            _read(keys, "active", Place.flag, values)
            self.save(row, "journey", slug, values)
            if "stages" in keys:
                self._read_stages(row, keys["stages"])
        self.place_in_order(rows.values(), slugs, "journey")

    def _read_stages(self, journey: Journey, place: Place) -> None:
        items = place.items()
        if items is None:
            return
        rows = {row.slug: row for row in journey.stages.all()}
        slugs: list[str] = []
        for slug, at in each_once(items, _stage_slug):
            slugs.append(slug)
            row = rows.get(slug) or Stage(journey=journey, slug=slug, name={"en": title_of(slug)}, position=len(rows))
            rows[slug] = row
            values: dict[str, Any] = {}
            keys = (at.keys(("slug", "name")) or {}) if at.is_map else {}
            _read(keys, "name", lambda at: at.texts(self.language, NAME), values)
            self.save(row, "stage", f"{journey.slug}.{slug}", values)
        self.place_in_order(rows.values(), slugs, "stage")

    # --- Instruments ---

    def read_instruments(self, place: Place) -> None:
        rows = {row.slug: row for row in Instrument.objects.all()}
        known = ("slug", "name", "metric", "scale", "active", "max_questions", "thanks", "share", "questions")
        for slug, at, keys in _rows_in(place, known):
            row = rows.get(slug)
            before = len(at.faults)
            scale = self._scale_of(row, at, keys)
            questions = self._questions(keys["questions"], scale) if "questions" in keys and scale else None
            values: dict[str, Any] = {}
            _read(keys, "name", lambda at: at.texts(self.language, NAME), values)
            _read(keys, "active", Place.flag, values)
            _read(keys, "max_questions", lambda at: at.number(0, QUESTIONS), values)
            _read(keys, "thanks", lambda at, scale=scale: self._thanks(at, scale), values)  # type: ignore[misc]
            _read(keys, "share", self._share_link, values)
            if len(at.faults) > before or scale is None:
                continue
            metric, points = scale
            if row is None:
                row = Instrument(slug=slug, name={"en": title_of(slug)})
                if questions is None:
                    builtin = next(name for name, known in SCALE_OF.items() if (known.metric, known.points) == scale)
                    questions = standard_terms(builtin)
            self.save(row, "instrument", slug, {**values, "metric": metric, "points": points})
            if questions is not None:
                self._publish(row, questions, keys.get("questions", at))

    def _scale_of(self, row: Instrument | None, place: Place, keys: Mapping[str, Place]) -> tuple[str, int] | None:
        """(metric, points) of an instrument; None with the fault noted."""
        metric: str | None = row.metric if row else None
        if "metric" in keys:
            metric = keys["metric"].choice(Metric.values)
            if metric is None:
                return None
        if metric is None:
            place.fail("A new instrument needs its metric: nps, csat or ces.")
            return None
        points = _points(keys.get("scale"), place, metric, row.points if row and row.metric == metric else None)
        if points is None:
            return None
        if row is not None and (metric, points) != (row.metric, row.points):
            at = keys["metric"] if metric != row.metric else keys.get("scale", place)
            if row.builtin:
                at.fail("The metric and scale of a built-in instrument are fixed.")
                return None
            if is_answered(row):
                at.fail("This instrument has answers, so its metric and scale are fixed. Make a new instrument.")
                return None
            if "questions" not in keys:
                at.fail("Another metric or scale needs its questions, too.")
                return None
        return metric, points

    def _questions(self, place: Place, scale: tuple[str, int]) -> list[QuestionTerms] | None:
        items = place.items()
        if items is None:
            return None
        return [terms for item in items if (terms := self._question(item, scale)) is not None]

    def _question(self, place: Place, scale: tuple[str, int]) -> QuestionTerms | None:
        known = (
            *("key", "kind", "text", "by_band", "low", "high", "display"),
            *("required", "show_if", "options", "metric", "scale"),
        )
        keys = place.keys(known)
        if keys is None:
            return None
        values: dict[str, Any] = {}
        _read(keys, "key", lambda at: at.text(40), values)
        _read(keys, "kind", lambda at: at.choice(Kind.values), values)
        if values.get("kind") == Kind.CONTACT:
            values["text"] = {}  # it has a standard text
        for name in ("key", "kind", "text"):
            if name not in keys and name not in values:
                place.fail(f"A question needs “{name}”.")
        _read(keys, "text", lambda at: self._words(at, SENTENCE), values)
        _read(keys, "by_band", lambda at: self._by_band(at, scale), values)
        _read(keys, "display", lambda at: at.choice(Display.values), values)
        _read(keys, "required", Place.flag, values)
        for name in ("low", "high"):
            _read(keys, name, lambda at: {} if _is_nothing(at) else at.texts(self.language, LABEL), values)
        _read(keys, "show_if", _condition, values)
        _read(keys, "options", self._options, values)
        _read(keys, "metric", lambda at: at.choice(Metric.values), values)
        if "scale" in keys:
            values["points"] = _points(keys["scale"], place, values.get("metric", scale[0]), None) or 0
        elif values.get("metric", scale[0]) != scale[0]:
            values["points"] = _points(None, place, values["metric"], None) or 0
        if not {"key", "kind", "text"} <= values.keys():
            return None
        if values["kind"] == Kind.SCALE:
            metric, points = values.get("metric") or scale[0], values.get("points") or scale[1]
            if (metric, points) in SCALES:
                low, high = standard_labels(metric, points)
                values = {"low": low, "high": high, **values}
        return QuestionTerms(**values)

    def _words(self, place: Place, longest: int) -> dict[str, str] | None:
        """Texts, or none at all."""
        return {} if _is_nothing(place) else place.texts(self.language, longest)

    def _by_band(self, place: Place, scale: tuple[str, int]) -> dict[str, dict[str, str]] | None:
        keys = {} if _is_nothing(place) else place.keys(_bands(scale))
        if keys is None:
            return None
        read = {band: at.texts(self.language, SENTENCE) for band, at in keys.items()}
        return {band: texts for band, texts in read.items() if texts is not None}

    def _thanks(self, place: Place, scale: tuple[str, int] | None) -> dict[str, Any] | None:
        keys = {} if _is_nothing(place) else place.keys((*_bands(scale), "any"))
        if keys is None or scale is None:
            return None
        found: dict[str, Any] = {}
        for band, at in keys.items():
            said = at.keys(("title", "text", "links")) or {}
            page: dict[str, Any] = {}
            _read(said, "title", lambda at: self._words(at, LABEL), page)
            _read(said, "text", lambda at: self._words(at, SENTENCE), page)
            _read(said, "links", lambda at: [] if at.is_null else at.list_of(self._link), page)
            if len(page.get("links", ())) > LINKS:
                said["links"].fail(f"A thank-you page has at most {LINKS} links.")
            if any(page.values()):
                found[band] = {"title": {}, "text": {}, "links": [], **page}
        return found

    def _link(self, place: Place) -> dict[str, Any] | None:
        keys = place.keys(("label", "url"))
        if keys is None:
            return None
        for name in ("label", "url"):
            if name not in keys:
                place.fail(f"A link needs its “{name}”.")
        found: dict[str, Any] = {}
        _read(keys, "label", lambda at: at.texts(self.language, LABEL), found)
        _read(keys, "url", _link_address, found)
        return found if len(found) == 2 else None

    def _share_link(self, place: Place) -> dict[str, Any] | None:
        return {} if _is_nothing(place) else self._link(place)

    def _options(self, place: Place) -> dict[str, dict[str, str]] | None:
        entries = {} if place.is_null else place.entries()
        if entries is None:
            return None
        read = {key: at.texts(self.language, LABEL) for key, at in entries.items()}
        return {key: texts for key, texts in read.items() if texts is not None}

    def _publish(self, instrument: Instrument, questions: Sequence[QuestionTerms], place: Place) -> None:
        before = instrument.current_version()
        held = list(before.wordings.values_list("id", flat=True)) if before else []
        try:
            version = publish_version(instrument, questions)
        except InstrumentError as error:
            items = (place.items() or []) if not place.is_map else []
            for fault in error.faults:
                at = items[fault.index] if 0 <= fault.index < len(items) else place
                named = at.entries() or {} if at.is_map else {}
                named.get(fault.field, at).fail(fault.message)
            return
        if before is not None and list(version.wordings.values_list("id", flat=True)) != held:
            self.imported.changed.append(("instrument", instrument.slug, (f"questions (version {version.number})",)))

    # --- Touchpoints ---

    def read_touchpoints(self, place: Place) -> None:
        rows = {row.slug: row for row in Touchpoint.objects.all()}
        journeys = {row.slug: row for row in Journey.objects.all()}
        stages = {(row.journey_id, row.slug): row for row in Stage.objects.all()}
        instruments = {row.slug: row for row in Instrument.objects.all()}
        owners = {row.public_key: row.slug for row in rows.values()}
        slugs: list[str] = []
        known = (
            *("slug", "name", "journey", "stage", "channel", "instrument"),
            *("public", "public_key", "allowed_origins", "targets", "weight", "active"),
        )
        for slug, at, keys in _rows_in(place, known):
            slugs.append(slug)
            row = rows.get(slug)
            values: dict[str, Any] = {}
            _read(keys, "name", lambda at: at.texts(self.language, NAME), values)
            _read(keys, "channel", lambda at: at.choice(Channel.values), values)
            self._check_channel(row, at, keys, values)
            self.read_reference(keys, "journey", journeys, "journeys", values)
            self._read_stage(row, keys, stages, values)
            self.read_reference(keys, "instrument", instruments, "instruments", values)
            for name in ("public", "active"):
                _read(keys, name, Place.flag, values)
            _read(keys, "public_key", lambda at, slug=slug: _public_key(at, owners, slug), values)  # type: ignore[misc]
            _read(keys, "allowed_origins", lambda at: [] if at.is_null else at.list_of(_origin), values)
            _read(keys, "targets", _targets, values)
            _read(keys, "weight", lambda at: at.number(0, WEIGHT_AT_MOST), values)
            if row is None and "channel" not in values:
                continue
            row = row or Touchpoint(slug=slug, name={"en": title_of(slug)}, position=len(rows))
            rows[slug] = row
            self.save(row, "touchpoint", slug, values)
        self.place_in_order(rows.values(), slugs, "touchpoint")

    def _check_channel(
        self, row: Touchpoint | None, place: Place, keys: Mapping[str, Place], values: Mapping[str, Any]
    ) -> None:
        if row is None:
            if "channel" not in keys:
                place.fail(f"A new touchpoint needs its channel: {', '.join(Channel.values)}.")
        elif "channel" in values and values["channel"] != row.channel and has_answers(row):
            keys["channel"].fail(f"This touchpoint has answers, so its channel stays {row.channel}.")

    def read_reference(
        self, keys: Mapping[str, Place], name: str, rows: Mapping[str, Any], section: str, values: dict[str, Any]
    ) -> None:
        """A slug of another section, or null; unknown ones are faults, those that are faulty themselves are not told twice."""
        at = keys.get(name)
        if at is None:
            return
        if at.is_null:
            values[f"{name}_id"] = None
            return
        slug = at.slug()
        if slug is None:
            return
        if slug in rows:
            values[f"{name}_id"] = rows[slug].pk
        elif slug not in self.mentioned[section]:
            at.fail(f"There is no {name} “{slug}”{_meant(slug, [*rows, *self.mentioned[section]])}.")

    def _read_stage(
        self,
        row: Touchpoint | None,
        keys: Mapping[str, Place],
        stages: Mapping[tuple[int, str], Stage],
        values: dict[str, Any],
    ) -> None:
        journey_id = values.get("journey_id", row.journey_id if row else None)
        at = keys.get("stage")
        if at is None:
            held = row.stage if row is not None else None
            if held is not None and held.journey_id != journey_id:
                keys["journey"].fail("This touchpoint's stage is of another journey; name its stage, too, or null.")
            return
        if at.is_null:
            values["stage_id"] = None
            return
        slug = at.slug()
        if slug is None:
            return
        if "journey" in keys and "journey_id" not in values:
            return  # its fault has been told
        if journey_id is None:
            at.fail("A stage needs its journey.")
        elif (journey_id, slug) in stages:
            values["stage_id"] = stages[journey_id, slug].pk
        else:
            there = [name for owner, name in stages if owner == journey_id]
            at.fail(f"The journey has no stage “{slug}”; it has {', '.join(there) or 'none'}.")

    # --- Rules ---

    def read_rules(self, place: Place) -> None:
        rows = {row.slug: row for row in InvitationRule.objects.all()}
        touchpoints = {row.slug: row for row in Touchpoint.objects.all()}
        instruments = {row.slug: row for row in Instrument.objects.all()}
        known = (
            *("slug", "event_type", "calendar", "when", "touchpoint", "instrument", "delay", "max_age", "modes"),
            *(
                "consent",
                "sample",
                "priority",
                "quota",
                "resting",
                "exempt",
                "at",
                "days",
                "expires",
                "reminders",
                "letter",
                "active",
            ),
        )
        read: list[tuple[InvitationRule, Place]] = []
        for slug, at, keys in _rows_in(place, known):
            row = rows.get(slug)
            values: dict[str, Any] = {}
            _read(keys, "event_type", lambda at: "" if at.is_null else at.text(100), values)
            _read(keys, "calendar", lambda at: "" if at.is_null else at.choice(Calendar.values), values)
            _read(keys, "when", _when, values)
            self.read_reference(keys, "touchpoint", touchpoints, "touchpoints", values)
            if "touchpoint_id" in values and values["touchpoint_id"] is None:
                keys["touchpoint"].fail("A rule needs its touchpoint.")
                continue
            self.read_reference(keys, "instrument", instruments, "instruments", values)
            _read(keys, "delay", Place.span, values, "delay_s")
            _read(keys, "max_age", _positive_span, values, "max_age_s")
            _read(keys, "modes", _modes, values)
            _read(keys, "consent", Place.flag, values, "needs_consent")
            _read(keys, "sample", _share, values, "sample_share")
            _read(keys, "priority", lambda at: _whole(at, -PRIORITY, PRIORITY), values)
            self._read_limits(keys, values)
            _read(keys, "days", _days, values)
            _read(keys, "expires", _positive_span, values, "expires_s")
            _read(keys, "reminders", _reminders, values, "reminders_s")
            _read(keys, "letter", self._letter, values)
            _read(keys, "active", Place.flag, values)
            if "resting" in keys:
                resting = _resting(keys["resting"])
                if resting is not None:
                    values["resting_same_s"] = resting.get("same")
                    values["resting_any_s"] = resting.get("any")
            if row is None:
                if "event_type" not in keys and "calendar" not in keys:
                    at.fail("A new rule needs “event_type”, or “calendar”.")
                if "touchpoint" not in keys:
                    at.fail("A new rule needs “touchpoint”.")
                if not values.keys() & {"event_type", "calendar"} or "touchpoint_id" not in values:
                    continue
                row = InvitationRule(slug=slug, modes=["email"])
                rows[slug] = row
            if not self._check_occasion(row, at, keys, values):
                continue
            self._check_reminders(row, at, keys, values)
            if not at.faults:  # one that is only faulty is not missing
                self._check_instrument(row, at, values)
            self.save(row, "rule", slug, values)
            read.append((row, at))
        for row, at in read:  # once all of them are where the file wants them
            other = mixed_with(row.touchpoint_id, row.calendar, row.pk)
            if other:
                at.fail(
                    f"The rule “{other}” of the other kind asks at the same touchpoint: a rule on a calendar needs one of its own, "
                    "so that its figures stay apart."
                )

    def _check_occasion(
        self, row: InvitationRule, place: Place, keys: Mapping[str, Place], values: Mapping[str, Any]
    ) -> bool:
        """An event or a calendar, and what goes with a calendar; whether the rule can be saved at all."""
        event_type = values.get("event_type", row.event_type)
        calendar = values.get("calendar", row.calendar)
        if bool(event_type) == bool(calendar):
            both = "not both" if calendar else "and here is neither"
            keys.get("calendar", keys.get("event_type", place)).fail(f"A rule has an event type or a calendar, {both}.")
            return False
        if not row._state.adding and bool(calendar) != bool(row.calendar) and keeps_slug(row):
            keys.get("calendar", place).fail(
                "This rule has decided on customers, so it stays with events or with a calendar. Make a new one."
            )
            return False
        if calendar:
            if values.get("delay_s", row.delay_s):
                keys.get("delay", place).fail(
                    "A rule on a calendar has no event after which it could wait: its delay is 0s."
                )
            try:
                parse(values.get("when", row.when), CALENDAR_ROOTS)
            except ExpressionError as error:
                at = keys.get("when", place)
                at.faults.add(at.line_at(error.position) if "when" in keys else at.line, at.path, f"{error}.")
        return True

    def _letter(self, place: Place) -> dict[str, dict[str, str]] | None:
        """A rule's own texts of its letters; what is empty is left to the phrases."""
        keys = {} if _is_nothing(place) else place.keys(LETTER_TEXTS)
        if keys is None:
            return None
        found: dict[str, dict[str, str]] = {}
        for key, at in keys.items():
            texts = self._words(at, longest_of(key))
            if not texts:
                continue
            written = at.entries() or {} if at.is_map else {}
            for tag, text in texts.items():
                strange = strange_letter_places(text)
                if strange:
                    known = ", ".join(f"{{{name}}}" for name in LETTER_PLACES)
                    own = next((inner for name, inner in written.items() if normalise_tag(name) == tag), at)
                    own.fail(f"{{{strange[0]}}} is filled in by nothing; known are {known}.")
            found[key] = {tag: " ".join(text.split()) if is_one_line(key) else text for tag, text in texts.items()}
        return found

    def _read_limits(self, keys: Mapping[str, Place], values: dict[str, Any]) -> None:
        """What may be taken away with null: a quota, an hour, exemptions."""
        for name, column, read in (("quota", "quota", lambda at: _whole(at, 0, QUOTA)), ("at", "at_time", _hour)):
            if name in keys:
                value = None if keys[name].is_null else read(keys[name])
                if value is not None or keys[name].is_null:
                    values[column] = value
        exempt = _exempt(keys["exempt"]) if "exempt" in keys else None
        if exempt is not None:
            values["exempt_resting"], values["exempt_floor"] = exempt.get("resting", ""), exempt.get("floor", "")

    def _check_reminders(
        self, row: InvitationRule, place: Place, keys: Mapping[str, Place], values: Mapping[str, Any]
    ) -> None:
        reminders = values.get("reminders_s", row.reminders_s)
        expires = values.get("expires_s", row.expires_s)
        if not reminders_fit(reminders, expires):
            keys.get("reminders", keys.get("expires", place)).fail("A reminder must come before the link expires.")

    def _check_instrument(self, row: InvitationRule, place: Place, values: Mapping[str, Any]) -> None:
        if values.get("instrument_id", row.instrument_id) is not None:
            return
        touchpoint = Touchpoint.objects.get(pk=values.get("touchpoint_id", row.touchpoint_id))
        if touchpoint.instrument_id is None:
            place.fail(f"Neither this rule nor its touchpoint “{touchpoint.slug}” names an instrument.")


# --- Reading single values ---


def _read(
    keys: Mapping[str, Place], name: str, read: Callable[[Place], Any], values: dict[str, Any], column: str = ""
) -> None:
    """What stands under `name`, if anything does and it can be read, into `values`."""
    if name in keys:
        value = read(keys[name])
        if value is not None:
            values[column or name] = value


def _rows_in(place: Place, known: Sequence[str]) -> Iterable[tuple[str, Place, dict[str, Place]]]:
    """(slug, place, keys) of each row of a section; paths below it name the slug."""
    items = place.items()
    if items is None:
        return
    for slug, item in each_once(items, _own_slug):
        at = item.named(slug)
        keys = at.keys(known)
        if keys is not None:
            yield slug, at, keys


def _own_slug(place: Place) -> str | None:
    keys = place.entries()
    if keys is None:
        return None
    if "slug" not in keys:
        place.fail("This needs its “slug”.")
        return None
    return keys["slug"].slug()


def _stage_slug(place: Place) -> str | None:
    return _own_slug(place) if place.is_map else place.slug()


def _slugs_in(section: Place | None) -> set[str]:
    """The slugs that a section speaks of, without noting faults: its own reading will."""
    if section is None:
        return set()
    quiet = Place(section.node, section.path, Faults(section.faults.source))
    keys = [item.entries() or {} for item in quiet.items() or []]
    return {slug for found in keys if "slug" in found and (slug := found["slug"].slug())}


def title_of(slug: str) -> str:
    """A readable name of a slug that was given none: "after_sales" is "After sales"."""
    words = re.sub(r"[_-]+", " ", slug).strip()
    return words[:1].upper() + words[1:] if words else slug


def _meant(slug: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(slug, list(known), n=1)
    return f"; do you mean “{close[0]}”" if close else ""


def _is_nothing(place: Place) -> bool:
    """null, an empty text or an empty map: take it away."""
    return place.is_null or (not place.node.value and not str(place.node.tag).endswith(":seq"))


def _languages(place: Place) -> list[str] | None:
    languages = place.list_of(Place.language)
    if languages is not None and not languages:
        place.fail("At least one language is wanted.")
        return None
    if languages and len(set(languages)) < len(languages):
        place.fail("A language stands twice.")
        return None
    return languages


def _time_zone(place: Place) -> str | None:
    value = place.text(64)
    if value is not None and value not in time_zone_names():
        place.fail(f"“{value}” is not a time zone such as Asia/Shanghai.")
        return None
    return value


def _colour(place: Place) -> str | None:
    value = place.text(7)
    if value is not None and not COLOUR.match(value):
        place.fail(f'“{value}” is not a colour such as "#0f766e".')
        return None
    return value


def _bands(scale: tuple[str, int] | None) -> tuple[str, ...]:
    """The bands of an instrument's scale; none where it is not known, whose fault has been told."""
    return tuple(band for band, _lowest in SCALES[scale].bands) if scale is not None and scale in SCALES else ()


def _link_address(place: Place) -> str | None:
    value = place.text(500)
    if value is not None and not is_link(value):
        place.fail(f"“{value}” is not a link such as https://shop.example.com/help.")
        return None
    return value


def _logo(place: Place) -> dict[str, str | None]:
    """A picture as a data: URI, or null for none; {} with the fault noted for anything else."""
    if place.is_null:
        return {"logo_id": None}
    value = place.text(4 * MOST_BYTES // 3 + 100)
    if value is None:
        return {}
    head, _comma, body = value.partition(",")
    try:
        if not re.fullmatch(r"data:[a-z/+]+;base64", head):
            raise ValueError
        data = base64.b64decode(body, validate=True)
    except ValueError:
        place.fail("A logo is written as data:image/png;base64,…")
        return {}
    try:
        return {"logo_id": keep_logo(data, read_logo(data)).pk}
    except LogoError as error:
        place.fail(str(error))
        return {}


def _phrases(place: Place) -> dict[str, dict[str, str]] | None:
    """Language to key to text, each with the places that ours has."""
    entries = {} if place.is_null else place.entries()
    if entries is None:
        return None
    found: dict[str, dict[str, str]] = {}
    for name, at in entries.items():
        tag = normalise_tag(name)
        if tag not in LANGUAGES:
            at.fail(f"There are no phrases in “{name}”; there are some in {', '.join(LANGUAGES)}.")
            continue
        found[tag] = {}
        for key, written in (at.keys(tuple(PHRASES)) or {}).items():
            text = written.text(SENTENCE)
            strange = strange_places(key, text or "")
            if strange:
                written.fail(f"%({strange[0]})s is no place of this phrase.")
            elif text:
                found[tag][key] = text
    return {tag: texts for tag, texts in found.items() if texts}


def _sender(place: Place, first: str) -> dict[str, Any]:
    """Whom letters are from, in columns. A map that is given replaces the whole: what it leaves out is the deployment's."""
    keys = {} if _is_nothing(place) else place.keys(("name", "address", "reply_to"))
    if keys is None:
        return {}
    values: dict[str, Any] = {"sender_name": {}, "sender_address": "", "reply_to": ""}
    _read(keys, "name", lambda at: {} if _is_nothing(at) else at.texts(first, SENDER_NAME), values, "sender_name")
    _read(keys, "address", _address, values, "sender_address")
    _read(keys, "reply_to", _address, values)
    return values


def _address(place: Place) -> str | None:
    if _is_nothing(place):
        return ""
    value = place.text(254)
    try:
        validate_email(value)
    except ValidationError:
        if value is not None:
            place.fail(f"“{value}” is not an email address.")
        return None
    return value


def _retention(place: Place) -> int | None:
    seconds = place.span()
    if seconds is not None and 0 < seconds < RETENTION_DAYS * DAY_S:
        place.fail(f"Personal data is kept for at least {RETENTION_DAYS}d, or for ever: 0s.")
        return None
    return seconds


def _quiet_hours(place: Place) -> dict[str, str] | None:
    entries = {} if place.is_null else place.entries()
    if entries is None:
        return None
    found: dict[str, str] = {}
    for mode, at in entries.items():
        value = at.text(11)
        if mode not in SENT_MODES:
            at.fail(f"“{mode}” is not a mode that sends; known are {', '.join(SENT_MODES)}.")
        elif value is not None and not is_hours(value):
            at.fail(f'“{value}” is not a span of the day such as "20:00-09:00".')
        elif value is not None:
            found[mode] = value
    return found


def _working_hours(place: Place) -> dict[str, list[str]] | None:
    """Weekday to its spans; one span may stand without a list. A weekday without any is a day off."""
    entries = {} if _is_nothing(place) else place.entries()
    if entries is None:
        return None
    found: dict[str, list[str]] = {}
    for weekday, at in entries.items():
        if weekday not in WEEKDAYS:
            at.fail(f"“{weekday}” is not a weekday; it is one of {', '.join(WEEKDAYS)}.")
            continue
        spans = [] if at.is_null else at.list_of(lambda one: one.text(11)) if not at.is_text else [at.text(11) or ""]
        if spans is None:
            continue
        try:
            read_spans(spans)
        except ValueError as error:
            at.fail(str(error))
            continue
        if spans:
            found[weekday] = spans
    return {weekday: found[weekday] for weekday in WEEKDAYS if weekday in found}


def _holidays(place: Place) -> tuple[str, str] | None:
    if _is_nothing(place):
        return "", ""
    value = place.text(43)
    try:
        return None if value is None else read_place(value)
    except ValueError as error:
        place.fail(str(error))
        return None


def _own_days(place: Place) -> list[str] | None:
    days = [] if place.is_null else place.list_of(_day)
    if days is not None and len(days) > OWN_DAYS:
        place.fail(f"At most {OWN_DAYS} days fit here.")
        return None
    return None if days is None else sorted(set(days))


def _day(place: Place) -> str | None:
    value = place.text(10)
    try:
        return None if value is None else read_day(value)
    except ValueError as error:
        place.fail(str(error))
        return None


def _preferences(place: Place) -> dict[str, list[str]] | None:
    """Segment to the modes in which it is asked first; an empty list is no preference."""
    entries = {} if place.is_null else place.entries()
    if entries is None:
        return None
    found: dict[str, list[str]] = {}
    for segment, at in entries.items():
        if not is_segment(segment):
            at.fail("A segment has 1 to 100 characters.")
            continue
        modes = None if at.is_null or at.items() == [] else _modes(at)
        if modes:
            found[segment] = modes
    return found


def _segment_weights(place: Place) -> dict[str, int | float] | None:
    """Segment to how much it counts; "" is who has none."""
    entries = {} if place.is_null else place.entries()
    if entries is None:
        return None
    found: dict[str, int | float] = {}
    for segment, at in entries.items():
        if segment and not is_segment(segment):
            at.fail("A segment has 1 to 100 characters.")
            continue
        weight = at.number(0, WEIGHT_AT_MOST)
        if weight is not None:
            found[segment] = weight
    return found


def _resting(place: Place) -> dict[str, int] | None:
    if place.is_null:
        return {}
    keys = place.keys(("same", "any"))
    if keys is None:
        return None
    read = {name: at.span() for name, at in keys.items()}
    return {name: span for name, span in read.items() if span is not None}


def _points(place: Place | None, owner: Place, metric: str, held: int | None) -> int | None:
    """The number of points of a metric's scale: as written, as it was, or the only one there is."""
    offered = [points for known, points in SCALES if known == metric]
    if place is None:
        if held is not None:
            return held
        if len(offered) == 1:
            return offered[0]
        owner.fail(f"“scale” is missing: {metric} has {' or '.join(map(str, offered))} points.")
        return None
    written = place.plain()
    if written not in offered or isinstance(written, bool):
        place.fail(f"{metric} has {' or '.join(map(str, offered))} points, not {written}.")
        return None
    return int(written)


def _condition(place: Place) -> dict[str, list[Any]] | None:
    entries = {} if place.is_null else place.entries()
    if entries is None:
        return None
    found: dict[str, list[Any]] = {}
    for key, at in entries.items():
        values = [at.plain()] if at.is_text else at.list_of(Place.plain)
        if values is not None:
            found[key] = values
    return found


def _public_key(place: Place, owners: dict[str, str], slug: str) -> str | None:
    """A key of 8 to 32 characters that no other touchpoint has."""
    value = place.text(32)
    if value is None:
        return None
    if not PUBLIC_KEY.match(value):
        place.fail("A public key has 8 to 32 letters, digits, - and _.")
        return None
    owner = owners.setdefault(value, slug)
    if owner != slug:
        place.fail(f"The touchpoint “{owner}” already has this public key.")
        return None
    return value


def _origin(place: Place) -> str | None:
    """scheme://host[:port], in lower case."""
    value = place.text(300)
    if value is None:
        return None
    try:
        return origin_of(value)
    except ValueError as error:
        place.fail(str(error))
        return None


def _targets(place: Place) -> dict[str, int | float] | None:
    keys = {} if place.is_null else place.keys(tuple(TARGETS))
    if keys is None:
        return None
    read = {name: at.number(*TARGETS[name]) for name, at in keys.items()}
    return {name: value for name, value in read.items() if value is not None}


def _channel_targets(place: Place) -> dict[str, dict[str, int | float]] | None:
    """Channel to its targets; a channel without any is left out."""
    keys = {} if place.is_null else place.keys(tuple(Channel.values))
    if keys is None:
        return None
    read = {channel: _targets(at) for channel, at in keys.items()}
    return {channel: targets for channel, targets in read.items() if targets}


def _when(place: Place) -> str | None:
    """An expression that can be evaluated; what is wrong is told in its own line."""
    if place.is_null:
        return ""
    value = place.text(2000, empty=True)
    if value is None:
        return None
    try:
        parse(value)
    except ExpressionError as error:
        place.faults.add(place.line_at(error.position), place.path, f"{error}.")
        return None
    return value


def _positive_span(place: Place) -> int | None:
    value = place.span()
    if value == 0:
        place.fail("This must be longer than nothing.")
        return None
    return value


def _modes(place: Place) -> list[str] | None:
    modes = place.list_of(lambda at: at.choice(SENT_MODES))
    if modes is not None and not modes:
        place.fail("At least one mode is wanted, such as [email].")
        return None
    if modes and len(set(modes)) < len(modes):
        place.fail("A mode stands twice.")
        return None
    return modes


def _share(place: Place) -> float | None:
    value = place.number(0, 1)
    return None if value is None else float(value)


def _whole(place: Place, low: int, high: int) -> int | None:
    value = place.number(low, high)
    if isinstance(value, float):
        place.fail("A whole number is wanted here.")
        return None
    return value


def _hour(place: Place) -> time | None:
    value = place.text(5)
    if value is None:
        return None
    try:
        return hour_of(value)
    except ValueError as error:
        place.fail(str(error))
        return None


def _days(place: Place) -> list[str] | None:
    """Days of the week in their order, each once; none or all are every day."""
    days = [] if place.is_null else place.list_of(lambda at: at.choice(WEEKDAYS))
    if days is None:
        return None
    if len(set(days)) < len(days):
        place.fail("A day stands twice.")
        return None
    return [] if len(days) == len(WEEKDAYS) else sorted(days, key=WEEKDAYS.index)


def _exempt(place: Place) -> dict[str, str] | None:
    """What a rule is exempt from, with the reason for each; a plain text is the reason for both."""
    if _is_nothing(place):
        return {}
    if place.is_text:
        reason = place.text(EXEMPTION)
        return None if reason is None else {"resting": reason, "floor": reason}
    keys = place.keys(("resting", "floor"))
    if keys is None:
        return None
    found: dict[str, str] = {}
    for name, at in keys.items():
        reason = None if _is_nothing(at) else at.text(EXEMPTION)
        if reason is not None:
            found[name] = reason
    return found


def _reminders(place: Place) -> list[int] | None:
    spans = [] if place.is_null else place.list_of(_positive_span)
    if spans and len(spans) > REMINDERS:
        place.fail(f"Nobody is reminded more than {REMINDERS} times.")
        return None
    if spans and not is_rising(spans):
        place.fail("Reminders stand in the order in which they are sent.")
        return None
    return spans


# Other apps' sections (sections.py) read as ours do.
read_key, rows_in = _read, _rows_in
