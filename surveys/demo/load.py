"""The demo into a database. In: the last moment, a number of days, a seed. Out: all of it in one transaction, or DemoRefused and nothing.

One transaction, since workers may be running: they must not see, decide on or send a half of it. The organisation's row is
locked first, so of two loads the second waits, then finds the first.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from ruamel.yaml import YAML

from surveys.demo.plan import make_plan
from surveys.demo.replay import Replayed, analyze, replay
from surveys.flow.programme import import_programme
from surveys.models import (
    Customer,
    Instrument,
    InteractionEvent,
    InvitationRule,
    Journey,
    Organisation,
    Response,
    Ticket,
    Touchpoint,
    Watcher,
)
from surveys.models.journeys import DEFAULT_NAME

PROGRAMME = Path(__file__).resolve().parent / "programme.yaml"
ROWS = ("journeys", "touchpoints", "instruments", "rules")
SETTINGS = ("organisation", "ticket_events", "policy")  # what every organisation has of its own
WATCHERS = (("delivery", "delivery-desk@example.com", "en"), ("hotline", "shift-lead@example.com", "zh-hans"))
DAYS, SEED = 90, 20


class DemoRefused(Exception):
    """The demo does not belong into this database, and why."""


@dataclass(frozen=True, slots=True)
class Slugs:
    """What the programme brings, by slug."""

    journeys: frozenset[str]
    touchpoints: frozenset[str]
    instruments: frozenset[str]
    rules: frozenset[str]


@lru_cache(maxsize=1)
def demo_slugs() -> Slugs:
    sections = YAML(typ="safe", pure=True).load(PROGRAMME)
    return Slugs(*(frozenset(row["slug"] for row in sections[name]) for name in ROWS))


def load_demo(
    end: datetime,
    *,
    days: int = DAYS,
    seed: int = SEED,
    beside_own: bool = False,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Replayed:
    """Replay `days` days that end at `end`. DemoRefused where there is a demo, or (unless `beside_own`) anything else.

    `progress(done, total)` is told of steps. Beside an organisation's own data, its own name, languages and policy stay.
    """
    with transaction.atomic():
        organisation = Organisation.objects.select_for_update().get(pk=Organisation.current().pk)
        own = what_is_there(organisation)
        if organisation.is_demo:
            raise DemoRefused("The demo is loaded already; remove_demo takes it away.")
        if own and not beside_own:
            raise DemoRefused(
                f"This database is in use: it has {', '.join(own)}. The demo is for an empty one; "
                "with --beside-own-data it is loaded all the same, and remove_demo takes it away again."
            )
        _refuse_taken_slugs()
        import_programme(programme(sections=ROWS if own else SETTINGS + ROWS))
        watchers = [
            Watcher.objects.create(touchpoint=Touchpoint.objects.get(slug=slug), address=address, language=language)
            for slug, address, language in WATCHERS
        ]
        rules = InvitationRule.objects.filter(slug__in=demo_slugs().rules)
        Organisation.objects.filter(pk=organisation.pk).update(is_demo=True)
        plan = make_plan(seed, end, days, Organisation.current().zone)
        total, done = len(plan.arrivals) + len(plan.visits), 0

        def step(steps: int) -> None:
            nonlocal done
            done += steps
            progress(done, total)

        replayed = replay(plan, seed, rules, watchers, step)
        if own:
            rules.update(active=False)  # or they would ask the organisation's own customers about the demo
        analyze()
    return replayed


def what_is_there(organisation: Organisation) -> list[str]:
    """What somebody has put into this database, in words; nothing for a fresh one."""
    found = []
    if organisation.name != DEFAULT_NAME:
        found.append("an organisation of its own")
    kinds: tuple[tuple[Any, str], ...] = (
        (Journey.objects.all(), "journeys"),
        (Touchpoint.objects.all(), "touchpoints"),
        (Instrument.objects.filter(builtin=False), "instruments"),
        (InvitationRule.objects.all(), "rules"),
        (Customer.objects.all(), "customers"),
        (InteractionEvent.objects.all(), "events"),
        (Ticket.objects.all(), "tickets"),
        (Response.objects.all(), "responses"),
    )
    return found + [f"{count} {word if count != 1 else word[:-1]}" for rows, word in kinds if (count := rows.count())]


def _refuse_taken_slugs() -> None:
    slugs = demo_slugs()
    taken = [
        f"{model._meta.model_name} “{slug}”"
        for model, names in (
            (Journey, slugs.journeys),
            (Touchpoint, slugs.touchpoints),
            (Instrument, slugs.instruments),
            (InvitationRule, slugs.rules),
        )
        for slug in model.objects.filter(slug__in=names).order_by("slug").values_list("slug", flat=True)
    ]
    if taken:
        raise DemoRefused(f"The demo would overwrite your {', '.join(taken)}. Nothing was changed.")


def programme(sections: Collection[str]) -> str:
    """The programme file with only these of its sections."""
    kept, keep = [], True
    for line in PROGRAMME.read_text(encoding="utf-8").splitlines(keepends=True):
        if line[:1].isalpha():
            keep = line.partition(":")[0] in sections
        kept.append(line if keep else "\n")  # a fault still names the right line
    return "".join(kept)


def own_settings(organisation: Organisation) -> dict[str, Any]:
    """All that an organisation's row says but its key and whether it is the demo's."""
    names = [field.attname for field in Organisation._meta.concrete_fields]
    return {name: getattr(organisation, name) for name in names if name not in ("id", "is_demo")}
