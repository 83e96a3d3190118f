"""Alerts that stand now, as every page's frame brings them along. In: its query, the touchpoints. Out: Alerts with rules, in order.

They come as JSON within a query that is made anyway, so they cost no query. What they say stands in `metrics.display.alert_pages`;
nothing is measured here, and nothing fires.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import JSONObject

from metrics.models import Alert, AlertRule
from surveys.models import Journey, Stage, Touchpoint

MOST = 100  # where more stand, the page of alerts has them all
_OF_RULE = (
    "id", "slug", "name", "kind", "metric", "points", "touchpoint_id", "channel", "mode", "segment", "location", "baseline",
    "longer_than_s",
)  # fmt: skip


def standing_as_json() -> QuerySet[Any]:
    """MOST of them and one more, each as JSON: those that nobody has seen yet, then those that stand for longest."""
    journeys = {
        "journey_slug": "rule__journey__slug",
        "journey_name": "rule__journey__name",
        "stage_slug": "rule__stage__slug",
        "stage_name": "rule__stage__name",
        "stage_of_slug": "rule__stage__journey__slug",
        "stage_of_name": "rule__stage__journey__name",
    }
    own = {name: name for name in ("id", "fired_at", "latest", "acknowledged_at")}
    told = JSONObject(**own, **journeys, **{f"rule_{name}": f"rule__{name}" for name in _OF_RULE})
    newest_last = (F("acknowledged_at").asc(nulls_first=True), "fired_at", "id")
    return Alert.objects.filter(cleared_at__isnull=True).order_by(*newest_last).values(held=told)[: MOST + 1]


def alerts_of(held: Iterable[Mapping[str, Any]], touchpoints: Iterable[Touchpoint]) -> list[Alert]:
    """The same as Alerts with their rules, touchpoints, journeys and stages; not to be saved. `fired` is not fetched."""
    places = {touchpoint.pk: touchpoint for touchpoint in touchpoints}
    return [_alert_of(one, places) for one in held]


def _alert_of(held: Mapping[str, Any], places: Mapping[int, Touchpoint]) -> Alert:
    rule = AlertRule(**{name: held[f"rule_{name}"] for name in _OF_RULE if name != "touchpoint_id"})
    rule.touchpoint = places.get(held["rule_touchpoint_id"])
    if held["journey_slug"]:
        rule.journey = Journey(slug=held["journey_slug"], name=held["journey_name"])
    if held["stage_slug"]:
        journey = Journey(slug=held["stage_of_slug"], name=held["stage_of_name"])
        rule.stage = Stage(slug=held["stage_slug"], name=held["stage_name"], journey=journey)
    seen_at = held["acknowledged_at"]
    return Alert(
        id=held["id"],
        rule=rule,
        fired_at=datetime.fromisoformat(held["fired_at"]),
        latest=held["latest"],
        acknowledged_at=datetime.fromisoformat(seen_at) if seen_at else None,
    )


def watches(rule: AlertRule, chosen: Mapping[str, str]) -> bool:
    """Whether these filters leave the rule on a page: a rule of everything is left by none, as on the page of alerts."""
    place, stage = rule.touchpoint, rule.stage
    found: Mapping[str, set[Any]] = {
        "journey": {rule.journey and rule.journey.slug, place and place.journey and place.journey.slug},
        "stage": {stage and stage.key, place and place.stage and place.stage.key},
        "touchpoint": {place and place.slug},
        "channel": {rule.channel, place and place.channel},
        "mode": {rule.mode},
        "segment": {rule.segment},
        "location": {rule.location},
    }
    return all(value in found[name] for name, value in chosen.items() if name in found)
