"""What Harbour Tea decided, and what it watches: the demo's decisions, alert rules and team. In: its last moment, its days. Out: rows.

Of the decisions one moved what it should, one moved nothing, one is too young. The team has no address: no message leaves the machine.
`surveys.demo` tells the story that they are about and knows nothing of them, so they come after it and go before it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from metrics.display.figures import COLUMNS, column_key
from metrics.effects import windows
from metrics.models import AlertRule, Decision, Expectation, Team
from metrics.models.alerts import AlertKind
from metrics.models.decisions import WINDOW_DAYS, Direction, Metric
from metrics.significance import Counts, compare
from surveys.demo.load import DemoRefused
from surveys.demo.plan import DECISION
from surveys.models import Organisation, Response, Touchpoint

YOUNG_DAYS, OLD_DAYS = 10, 40  # how long ago the others took effect
CALM_P = 0.3  # answers on both sides of a day that differ by no more than this say nothing, corrected or not


@dataclass(frozen=True)
class Written:
    """What was written down. Texts are in both of the demo's languages, since a decision has one text for everybody."""

    title: str
    done: str
    touchpoint: str
    metric: str
    by: float


EVENINGS = Written(
    "Parcels come in the evening · 包裹改在傍晚送达",
    "Couriers come between six and nine, when people are at home. · 快递员在六点到九点之间上门，此时客户在家。",
    "delivery", Metric.CSAT5, 10,
)  # fmt: skip
RECEIPTS = Written(
    "A longer order confirmation · 更详细的下单确认",
    "The confirmation lists how each tea is brewed. · 下单确认中附上每款茶的冲泡方法。",
    "checkout", Metric.CES, 0.5,
)  # fmt: skip
MENU = Written(
    "A shorter menu at the service line · 服务热线菜单精简",
    "Three choices in place of seven. · 七个选项减为三个。",
    "hotline", Metric.CSAT5, 5,
)  # fmt: skip
ALL: Sequence[Written] = (EVENINGS, RECEIPTS, MENU)


def write_decisions(end: datetime, days: int) -> list[Decision]:
    """Into a database that holds the demo of the `days` days before `end`. Safe to repeat."""
    remove_decisions()
    organisation = Organisation.current()
    decided = organisation.day_of(end - timedelta(days=days) * (1 - DECISION))
    today = organisation.day_of(end)
    began: dict[Written, date] = {
        EVENINGS: decided,
        RECEIPTS: _calm_day(RECEIPTS, today, days),
        MENU: today - timedelta(days=min(YOUNG_DAYS, days // 2)),
    }
    made = []
    for written, day in began.items():
        decision = Decision.objects.create(day=day, title=written.title, done=written.done)
        decision.touchpoints.set(Touchpoint.objects.filter(slug=written.touchpoint))
        Expectation.objects.create(decision=decision, metric=written.metric, direction=Direction.UP, by=written.by)
        made.append(decision)
    return made


def _calm_day(written: Written, today: date, days: int) -> date:
    """The day nearest to OLD_DAYS ago around which answers did not move: one null effect in twenty looks like one, at any seed.

    Where the demo is too short for both sides of a day, half of it ago.
    """
    near = today - timedelta(days=min(OLD_DAYS, days // 2))
    rows = Response.objects.filter(touchpoint__slug=written.touchpoint, excluded_at=None).values_list("day", "score")
    answers = [(day, score) for day, score in rows if score is not None]
    column = next(one for one in COLUMNS if column_key(one) == written.metric)
    ago = range(WINDOW_DAYS, days - WINDOW_DAYS + 1)
    for day in sorted((today - timedelta(days=one) for one in ago), key=lambda day: abs(day - near)):
        before, after = (
            Counts(Counter(score for on, score in answers if first <= on <= last))
            for first, last in windows(day, WINDOW_DAYS)
        )
        p = compare(*column, after, before).p
        if p is not None and p > CALM_P:
            return day
    return near


def remove_decisions() -> int:
    """Those of the demo, which nobody of the staff has recorded; how many."""
    rows = Decision.objects.filter(title__in=[written.title for written in ALL], created_by=None)
    count = rows.count()
    rows.delete()
    return count


# --- What is watched --------------------------------------------------------------------------------------------------

TEAM = "harbour-tea-service"
HOUR_S = 3600
# By slug; those of the demo are told by it. `at` is the touchpoint.
ALERT_RULES: dict[str, dict[str, Any]] = {
    "harbour-tea-delivery-target": {
        "name": {"en": "Delivery misses its target", "zh-hans": "配送未达目标"},
        "at": "delivery", "kind": AlertKind.BELOW_TARGET, "metric": "csat", "points": 5, "window_days": 28,
    },
    "harbour-tea-hotline-waits": {
        "name": {"en": "Calls that nobody solves", "zh-hans": "来电问题久未解决"},
        "at": "hotline", "kind": AlertKind.OPEN_LONGER, "longer_than_s": 48 * HOUR_S,
    },
    "harbour-tea-app-drop": {
        "name": {"en": "Members are less loyal", "zh-hans": "会员忠诚度下降"},
        "kind": AlertKind.DROP, "metric": "nps", "channel": "app", "window_days": 28,
    },
}  # fmt: skip


def write_alerts() -> list[AlertRule]:
    """A team and its rules, into a database that holds the demo. DemoRefused where a slug of them is somebody's own."""
    taken = [
        *AlertRule.objects.filter(slug__in=ALERT_RULES).values_list("slug", flat=True),
        *Team.objects.filter(slug=TEAM).values_list("slug", flat=True),
    ]
    if taken:
        raise DemoRefused(f"The demo would overwrite your {', '.join(taken)}. Nothing was changed.")
    team = Team.objects.create(slug=TEAM, name={"en": "Service team", "zh-hans": "服务团队"})
    made = []
    for slug, fields in ALERT_RULES.items():
        given = {name: value for name, value in fields.items() if name != "at"}
        place = Touchpoint.objects.get(slug=fields["at"]) if "at" in fields else None
        rule = AlertRule.objects.create(slug=slug, touchpoint=place, **given)
        rule.teams.set([team])
        made.append(rule)
    return made


def remove_alerts() -> int:
    """The demo's rules with all that they found, and its team; how many rules."""
    rows = AlertRule.objects.filter(slug__in=ALERT_RULES)
    count = rows.count()
    rows.delete()
    Team.objects.filter(slug=TEAM).delete()
    return count
