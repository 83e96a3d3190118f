"""The demo's decisions: what Harbour Tea changed, as its managers wrote it down. In: the demo's last moment and days. Out: rows, or none.

One moved what it should, one moved nothing, one is too young. `surveys.demo` tells the story that they are about and knows nothing of
them, so they come after it and go before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from metrics.models import Decision, Expectation
from metrics.models.decisions import Direction, Metric
from surveys.demo.plan import DECISION
from surveys.models import Organisation, Touchpoint

YOUNG_DAYS, OLD_DAYS = 10, 40  # how long ago the others took effect


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
        RECEIPTS: today - timedelta(days=min(OLD_DAYS, days // 2)),
        MENU: today - timedelta(days=min(YOUNG_DAYS, days // 2)),
    }
    made = []
    for written, day in began.items():
        decision = Decision.objects.create(day=day, title=written.title, done=written.done)
        decision.touchpoints.set(Touchpoint.objects.filter(slug=written.touchpoint))
        Expectation.objects.create(decision=decision, metric=written.metric, direction=Direction.UP, by=written.by)
        made.append(decision)
    return made


def remove_decisions() -> int:
    """Those of the demo, which nobody of the staff has recorded; how many."""
    rows = Decision.objects.filter(title__in=[written.title for written in ALL], created_by=None)
    count = rows.count()
    rows.delete()
    return count
