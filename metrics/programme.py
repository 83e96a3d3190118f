"""Teams and alert rules in the programme file. In: their sections. Out: rows by slug; and the sections as they are exported.

Secrets are never exported: of a team's addresses only email addresses and env:NAME are in the file, and an import that lists them
leaves the others alone.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from metrics.models import AlertRule, Team, TeamAddress
from metrics.models.alerts import METRICS, AlertKind, Baseline, rule_faults
from surveys.flow.programme.document import Place
from surveys.flow.programme.reading import read_key, rows_in, title_of
from surveys.flow.programme.sections import Section, add_section
from surveys.flow.programme.spans import span_of
from surveys.flow.programme.values import NAME, as_number
from surveys.flow.tell import FROM_ENVIRONMENT, is_address
from surveys.models import Channel, Journey, Mode, Stage, Touchpoint
from surveys.scales import SCALES

DAY_S = 86_400
MOST_DAYS = 366
# Column to its key where they differ, for faults.
KEYS = {"points": "scale", "window_days": "window", "baseline_days": "baseline_window", "longer_than_s": "longer_than"}


def read_teams(run: Any, place: Place) -> None:
    rows = {row.slug: row for row in Team.objects.all()}
    for slug, _at, keys in rows_in(place, ("slug", "name", "language", "addresses", "active")):
        row = rows.get(slug) or Team(slug=slug, name={"en": title_of(slug)})
        rows[slug] = row
        values: dict[str, Any] = {}
        read_key(keys, "name", lambda at: at.texts(run.language, NAME), values)
        read_key(keys, "language", Place.language, values)
        read_key(keys, "active", Place.flag, values)
        run.save(row, "team", slug, values)
        addresses = (
            keys["addresses"].list_of(_address) if "addresses" in keys and not keys["addresses"].is_null else None
        )
        if addresses is not None:
            _set_addresses(run, row, addresses)


def _address(place: Place) -> str | None:
    value = place.text(500)
    if value is None or is_address(value):
        return value
    try:
        validate_email(value)
    except ValidationError:
        place.fail("This is neither an email address nor one of Apprise's nor env:NAME.")
        return None
    return value


def _set_addresses(run: Any, team: Team, wanted: list[str]) -> None:
    """Nothing is deleted: an address that is no longer in the list is switched off, one that is never written stays as it is."""
    held = {row.address: row for row in team.addresses.all()}
    changed = [TeamAddress(team=team, address=address) for address in dict.fromkeys(wanted) if address not in held]
    for address, row in held.items():
        active = address in wanted or (row.active and not _may_be_written(address))
        if row.active != active:
            row.active = active
            changed.append(row)
    for row in changed:
        row.save()
    if changed:
        run.imported.changed.append(("team", team.slug, ("addresses",)))


def _may_be_written(address: str) -> bool:
    return "://" not in address or bool(FROM_ENVIRONMENT.match(address))


def write_teams() -> list[dict[str, Any]]:
    return [
        {
            "slug": row.slug,
            "name": dict(sorted(row.name.items())),
            "language": row.language,
            "addresses": sorted(
                one.address for one in row.addresses.all() if one.active and _may_be_written(one.address)
            ),
            "active": row.active,
        }
        for row in Team.objects.order_by("slug").prefetch_related("addresses")
    ]


KNOWN = (
    *(
        "slug",
        "name",
        "kind",
        "metric",
        "scale",
        "touchpoint",
        "journey",
        "stage",
        "channel",
        "mode",
        "segment",
        "location",
    ),
    *("window", "target", "baseline", "baseline_window", "longer_than", "at_least", "alone", "teams", "active"),
)


def read_alerts(run: Any, place: Place) -> None:
    rows = {row.slug: row for row in AlertRule.objects.all()}
    touchpoints = {row.slug: row for row in Touchpoint.objects.all()}
    journeys = {row.slug: row for row in Journey.objects.all()}
    stages = {row.key: row for row in Stage.objects.select_related("journey")}
    teams = {row.slug: row for row in Team.objects.all()}
    for slug, at, keys in rows_in(place, KNOWN):
        row = rows.get(slug)
        if row is None and "kind" not in keys:
            at.fail("A new alert rule needs its “kind”.")
            continue
        before = len(at.faults)
        values: dict[str, Any] = {}
        read_key(
            keys,
            "name",
            lambda at: {} if at.is_null or (at.is_map and not at.entries()) else at.texts(run.language, NAME),
            values,
        )
        read_key(keys, "kind", lambda at: at.choice(AlertKind.values), values)
        read_key(keys, "metric", lambda at: "" if at.is_null else at.choice([key for key, _label in METRICS]), values)
        read_key(
            keys,
            "scale",
            lambda at: 0 if at.is_null else at.number(0, max(points for _metric, points in SCALES)),
            values,
            "points",
        )
        run.read_reference(keys, "touchpoint", touchpoints, "touchpoints", values)
        run.read_reference(keys, "journey", journeys, "journeys", values)
        if "stage" in keys:
            values["stage_id"] = None if keys["stage"].is_null else _stage(keys["stage"], stages)
        read_key(keys, "channel", lambda at: "" if at.is_null else at.choice(Channel.values), values)
        read_key(keys, "mode", lambda at: "" if at.is_null else at.choice(Mode.values), values)
        for name in ("segment", "location"):
            read_key(keys, name, lambda at: "" if at.is_null else at.text(100, empty=True), values)
        read_key(keys, "window", _days, values, "window_days")
        read_key(keys, "baseline", lambda at: at.choice(Baseline.values), values)
        read_key(keys, "alone", Place.flag, values)
        read_key(keys, "active", Place.flag, values)
        for name, column, read in (
            ("target", "target", lambda at: at.number(-100, 100_000)),
            ("baseline_window", "baseline_days", _days),
            ("longer_than", "longer_than_s", Place.span),
            ("at_least", "at_least", lambda at: at.number(1, 1_000_000)),
        ):
            if name in keys:  # null takes it away
                value = None if keys[name].is_null else read(keys[name])
                if value is not None or keys[name].is_null:
                    values[column] = value
        named = keys["teams"].list_of(Place.slug) if "teams" in keys and not keys["teams"].is_null else None
        for unknown in [slug for slug in named or () if slug not in teams]:
            if unknown not in run.mentioned.get("teams", ()):
                keys["teams"].fail(f"There is no team “{unknown}”.")
        if len(at.faults) > before:
            continue
        row = row or AlertRule(slug=slug)
        rows[slug] = row
        _check(row, values, at, keys)
        if len(at.faults) > before:
            continue
        run.save(row, "alert rule", slug, values)
        if named is not None and set(row.teams.all()) != {teams[slug] for slug in named}:
            row.teams.set(teams[slug] for slug in named)
            run.imported.changed.append(("alert rule", slug, ("teams",)))


def _check(row: AlertRule, values: dict[str, Any], place: Place, keys: dict[str, Place]) -> None:
    """What the rule would be, judged as the admin judges it."""
    wanted = AlertRule(
        **{field.attname: getattr(row, field.attname) for field in AlertRule._meta.concrete_fields} | values
    )
    for column, said in rule_faults(wanted).items():
        keys.get(KEYS.get(column, column), place).fail(str(said))


def _stage(place: Place, stages: dict[str, Stage]) -> int | None:
    value = place.text(121)
    if value is not None and value not in stages:
        place.fail(f"There is no stage “{value}”: it is written journey/stage.")
        return None
    return stages[value].pk if value is not None else None


def _days(place: Place) -> int | None:
    seconds = place.span()
    if seconds is None:
        return None
    days, rest = divmod(seconds, DAY_S)
    if rest or not 1 <= days <= MOST_DAYS:
        place.fail(f"Whole days are wanted here, from 1d to {MOST_DAYS}d.")
        return None
    return days


def write_alerts() -> list[dict[str, Any]]:
    rows = (
        AlertRule.objects.order_by("slug")
        .select_related("touchpoint", "journey", "stage__journey")
        .prefetch_related("teams")
    )
    return [
        {
            "slug": row.slug,
            "name": dict(sorted(row.name.items())),
            "kind": row.kind,
            "metric": row.metric or None,
            "scale": row.points or None,
            "touchpoint": row.touchpoint.slug if row.touchpoint else None,
            "journey": row.journey.slug if row.journey else None,
            "stage": row.stage.key if row.stage else None,
            "channel": row.channel or None,
            "mode": row.mode or None,
            "segment": row.segment,
            "location": row.location,
            "window": f"{row.window_days}d",
            "target": None if row.target is None else as_number(row.target),
            "baseline": row.baseline,
            "baseline_window": f"{row.baseline_days}d" if row.baseline_days else None,
            "longer_than": span_of(row.longer_than_s) if row.longer_than_s else None,
            "at_least": row.at_least,
            "alone": row.alone,
            "teams": sorted(team.slug for team in row.teams.all()),
            "active": row.active,
        }
        for row in rows
    ]


def connect() -> None:
    add_section(Section("teams", read_teams, write_teams))
    add_section(Section("alerts", read_alerts, write_alerts))
