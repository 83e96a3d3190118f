"""PURE: what happens at Harbour Tea. In: a seed, the last moment, a number of days, a time zone. Out: a Plan in order of time.

Every day is drawn from the seed and its own date, so the same seed and end give the same plan. Nothing here knows of rules or
invitations: who is asked, and who answers, turns out when the plan is replayed. Neither a database nor the clock may be here.
"""

import math
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from surveys.demo.people import REGULARS, Person, invent_people

SOURCE = "/demo/"  # every event of the demo, and no other, comes from below it
# Open forms and apps make their own ids. RFC 9562 leaves version 8 to whoever makes one: these 48 bits say that it is ours.
FIRST_ID = uuid.UUID("cccafede-0000-8000-8000-000000000000")
LAST_ID = uuid.UUID("cccafede-0000-8fff-bfff-ffffffffffff")

DECISION = 0.6  # from this share of the days on, parcels come in the evening
SHOPS = ("Old Town", "Pier 3", "Garden Lane", "Station")
DEPOTS = ("East depot", "West depot")
TEAS = {
    "en": ("Dragon Well", "Iron Goddess", "jasmine pearls", "white peony", "smoked black tea", "old Pu'er", "Phoenix oolong"),
    "zh-hans": ("龙井", "铁观音", "茉莉龙珠", "白牡丹", "正山小种", "陈年普洱", "凤凰单丛"),
}  # fmt: skip
# How people feel at each touchpoint, as the middle of a logistic scale: 0 is half way up, 2 is very content.
MOODS = {
    "online-shop": 1.35,
    "checkout": 1.3,
    "delivery": 0.85,
    "returns": 0.0,
    "gift-cards": 1.4,
    "tea-house": 1.5,
    "tasting": 2.6,
    "tea-school": 1.5,
    "hotline": 0.85,
    "chat": 1.45,
    "installation": 1.8,
    "app-order": 1.3,
    "membership": 1.6,
    "renewal": 2.1,
}
EVENING_GAIN = 0.95  # what the decision brings to the delivery
PLACES = {"Station": -0.45, "Garden Lane": 0.3, "West depot": -0.3}

MORNING, ALL_DAY = (8, 9, 9, 10, 10, 11), (9, 10, 11, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
OFFICE, EVENING = (9, 9, 10, 10, 11, 13, 14, 14, 15, 16, 17), (18, 19, 19, 20, 20, 21)
TEA_TIME = (10, 11, 13, 14, 14, 15, 15, 16, 16, 17, 19)
WEEKDAYS = {  # Monday … Sunday
    "order": (1.0, 0.9, 0.9, 0.95, 1.1, 1.15, 1.3),
    "visit": (0.6, 0.65, 0.75, 0.8, 1.1, 1.7, 1.5),
    "tasting": (0.1, 0.2, 0.6, 0.6, 1.6, 2.2, 1.7),
    "call": (1.6, 1.3, 1.15, 1.1, 1.05, 0.5, 0.3),
    "home": (1.1, 1.1, 1.1, 1.1, 1.2, 1.3, 0.1),
    "app": (1.2, 1.25, 1.2, 1.2, 1.25, 0.5, 0.4),
    "even": (1, 1, 1, 1, 1, 1, 1),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One interaction event as it is posted: received `at`; `mood` is how its customer feels about it."""

    at: datetime
    item: Mapping[str, Any]
    person: Person
    mood: float = 0.0


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody opens a touchpoint's open form, or an app or a telephone system asks; `via` is web, qr, kiosk, "", app or ivr."""

    at: datetime
    id: uuid.UUID
    touchpoint: str
    via: str
    language: str
    location: str
    mood: float
    person: Person | None = None
    is_test: bool = False  # one of our own people, to be excluded
    talks: float = 0.75  # how much is written, 1 being the usual after an invitation


@dataclass(slots=True)
class Plan:
    """All that happens, each list in order of time."""

    first: datetime
    end: datetime
    decided_at: datetime
    people: Sequence[Person]
    arrivals: list[Arrival] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    unusable: list[tuple[datetime, Mapping[str, Any]]] = field(default_factory=list)
    trial_ends_at: datetime | None = None  # the rule “app-trial” is switched off
    erased: tuple[datetime, Person] | None = None  # somebody asks to be forgotten


def make_plan(seed: int, end: datetime, days: int, zone: tzinfo) -> Plan:
    """The last `days` days before `end`. ValueError for less than one day."""
    if days < 1:
        raise ValueError("a demo has at least one day")
    return _Planner(seed, end, days, zone).plan()


class _Planner:
    """Draws one plan. Each day and each stream of it has a generator of its own."""

    def __init__(self, seed: int, end: datetime, days: int, zone: tzinfo) -> None:
        self.seed, self.days, self.zone = seed, days, zone
        self.end = end.astimezone(zone).replace(microsecond=0)
        self.first = self.end - timedelta(days=days)
        people = invent_people(seed, 60 + 20 * days, self.first.date(), days)
        self.reachable = [person for person in people if person.mailbox == "fine" and not person.weary]
        self.leaver = self.reachable.pop()
        self.people = [person for person in people if person is not self.leaver]
        self.regulars = self.people[: max(12, int(len(self.people) * REGULARS))]
        self.decided_at = self.first + timedelta(days=days) * DECISION
        self.result = Plan(self.first, self.end, self.decided_at, people)
        self.ids = 0

    def plan(self) -> Plan:
        # A few days more, so that parcels ordered before the first day arrive on it.
        for ordinal in range(self.first.date().toordinal() - 5, self.end.date().toordinal() + 1):
            day = date.fromordinal(ordinal)
            for stream in (
                self.orders,
                self.visits,
                self.tastings,
                self.calls,
                self.members,
                self.desk,
                self.open_forms,
            ):
                stream(random.Random(f"{self.seed}/{stream.__name__}/{day}"), day)
        rng = random.Random(f"{self.seed}/once")
        self.late_tills(rng)
        self.trial(rng)
        self.reopened(rng)
        self.gift_cards(rng)
        self.last_hour(rng)
        self.leave(rng)
        self.result.unusable = [(at, item) for at, item in self.wrong_events() if self.first <= at]
        self.result.arrivals.sort(key=lambda arrival: (arrival.at, str(arrival.item["id"])))
        self.result.visits.sort(key=lambda visit: (visit.at, visit.id))
        self.result.unusable.sort(key=lambda pair: pair[0])
        return self.result

    # --- Drawing ---

    def moments(
        self, rng: random.Random, day: date, mean: float, week: str, hours: Sequence[int]
    ) -> Iterator[datetime]:
        """Moments of a day in order; their number is Poisson with a mean that follows the weekday."""
        count, floor, product = 0, math.exp(-mean * WEEKDAYS[week][day.weekday()]), rng.random()
        while product > floor:
            count, product = count + 1, product * rng.random()
        seconds = sorted(rng.choice(hours) * 3600 + rng.randrange(3600) for _number in range(count))
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        yield from (midnight + timedelta(seconds=second) for second in seconds)

    def somebody(self, rng: random.Random) -> Person:
        return rng.choice(self.regulars if rng.random() < 0.3 else self.people)

    def mood(self, touchpoint: str, at: datetime, person: Person | None = None, location: str = "") -> float:
        mood = MOODS[touchpoint] + PLACES.get(location, 0.0) + (person.temper if person else 0.0)
        if touchpoint == "delivery" and at >= self.decided_at:
            mood += EVENING_GAIN
        if touchpoint == "app-order":  # it gets crowded
            mood -= 0.6 * ((at - self.first) / (self.end - self.first))
        if touchpoint == "tea-house" and at.weekday() >= 5:
            mood -= 0.2
        return mood

    def post(
        self,
        at: datetime,
        kind: str,
        id: str,
        source: str,
        person: Person,
        touchpoint: str,
        *,
        mood: float | None = None,
        received: datetime | None = None,
        **data: Any,
    ) -> None:
        """An event, if it arrives within the days of the demo."""
        arrives = received or at
        if not self.first <= arrives <= self.end:
            return
        item = {
            "specversion": "1.0",
            "id": id,
            "source": SOURCE + source,
            "type": kind,
            "time": at.isoformat(),
            "subject": person.external_id,
            "data": {"touchpoint": touchpoint, "customer": person.profile(at.date()), **data},
        }
        felt = self.mood(touchpoint, at, person, data.get("location", "")) if mood is None else mood
        self.result.arrivals.append(Arrival(arrives, item, person, felt))

    def answer(self, at: datetime, touchpoint: str, via: str, rng: random.Random, **given: Any) -> None:
        """A visit to an open form, if it is within the days of the demo."""
        # Drawn in any case: what is cut off must not shift what is kept.
        language = "zh-hans" if rng.random() < 0.58 else "en"
        bits = rng.getrandbits(12) << 64 | rng.getrandbits(62)
        if not self.first <= at <= self.end:
            return
        person: Person | None = given.pop("person", None)
        location = given.pop("location", "")
        self.result.visits.append(
            Visit(
                at,
                uuid.UUID(int=FIRST_ID.int | bits),
                touchpoint,
                via,
                person.language if person else language,
                location,
                self.mood(touchpoint, at, person, location),
                person,
                **given,
            )
        )

    # --- Streams, a day at a time ---

    def orders(self, rng: random.Random, day: date) -> None:
        """Orders, their parcels one to four days later, and what comes back."""
        for number, at in enumerate(self.moments(rng, day, 9.8, "order", ALL_DAY), 1):
            person, order = self.somebody(rng), f"HT-{day:%y%m%d}-{number:02d}"
            amount = round(rng.lognormvariate(3.7, 0.55), 2)
            facts = {"amount": amount, "currency": "EUR", "items": rng.randrange(1, 6), "is_gift": rng.random() < 0.08}
            self.post(at, "order.placed", f"{order}-placed", "shop", person, "checkout", reference=order, facts=facts)
            depot, late, u = rng.choice(DEPOTS), rng.random(), rng.random()
            improved = at >= self.decided_at
            days_taken = (1 if u < 0.7 else 2) if improved else (1 if u < 0.25 else 2 if u < 0.7 else 3)
            is_late = late < (0.08 if improved else 0.3)
            arrived = self._on(day, days_taken + is_late, rng, EVENING if improved and rng.random() < 0.7 else OFFICE)
            mood = self.mood("delivery", arrived, person, depot) - (0.9 if is_late else 0.0)
            facts = {**facts, "days": days_taken + is_late, "is_late": is_late, "evening": arrived.hour >= 18}
            self.post(
                arrived, "order.delivered", f"{order}-delivered", "shop", person, "delivery",
                mood=mood, reference=order, location=depot, facts=facts,
            )  # fmt: skip
            comes_back, machine, later = rng.random(), rng.random(), rng.randrange(1, 4)
            if comes_back < 0.12:
                opened = self._on(arrived.date(), later, rng, OFFICE)
                self._ticket(rng, opened, f"R-{order}", person, "returns", 40 * 3600, 0.8)
                back = opened + timedelta(days=2 + 5 * rng.random())
                self.post(back, "return.completed", f"{order}-returned", "shop", person, "returns", reference=order)
            if machine < 0.022:  # the fitter comes the day after, while the message about the parcel is fresh
                fitted = arrived + timedelta(hours=14 + 7 * rng.random())
                self.post(
                    fitted, "installation.done", f"{order}-fitted", "field", person, "installation", reference=order
                )

    def visits(self, rng: random.Random, day: date) -> None:
        """Tea houses: paid at the till, or answered at the table; and what is ordered ahead in the app."""
        for number, at in enumerate(self.moments(rng, day, 9.0, "visit", TEA_TIME), 1):
            person, shop = self.somebody(rng), rng.choice(SHOPS)
            facts = {"amount": round(rng.lognormvariate(3.1, 0.5), 2), "guests": rng.randrange(1, 5)}
            id = f"till-{day:%y%m%d}-{number:02d}"
            self.post(at, "visit.paid", id, "till", person, "tea-house", location=shop, facts=facts)
        for number, at in enumerate(self.moments(rng, day, 5.2, "app", (8, 8, 9, 12, 12, 13, 15, 18)), 1):
            person, shop = self.somebody(rng), rng.choice(SHOPS)
            facts = {"items": rng.randrange(1, 4), "wait_seconds": int(rng.lognormvariate(5.6, 0.5))}
            id = f"app-{day:%y%m%d}-{number:02d}"
            self.post(at, "app.order_collected", id, "app", person, "app-order", location=shop, facts=facts)

    def tastings(self, rng: random.Random, day: date) -> None:
        for number, at in enumerate(self.moments(rng, day, 3.0, "tasting", (15, 16, 19, 19, 20)), 1):
            person, shop = self.somebody(rng), rng.choice(SHOPS)
            id = f"tasting-{day:%y%m%d}-{number:02d}"
            self.post(at, "tasting.attended", id, "events", person, "tasting", location=shop)

    def calls(self, rng: random.Random, day: date) -> None:
        """Calls, and what a call leaves open."""
        for number, at in enumerate(self.moments(rng, day, 4.4, "call", OFFICE), 1):
            person, seconds = self.somebody(rng), int(rng.lognormvariate(5.3, 0.8))
            facts = {"talk_seconds": seconds, "wait_seconds": int(rng.lognormvariate(4.2, 0.9))}
            id = f"call-{day:%y%m%d}-{number:02d}"
            team = rng.choice(("Team A", "Team B"))
            self.post(at, "call.ended", id, "telephony", person, "hotline", location=team, facts=facts)
            leaves_open = rng.random() < 0.42
            if leaves_open:
                self._ticket(rng, at, f"L-{day:%y%m%d}-{number:02d}", person, "hotline", 7 * 3600, 1.15, team)
        for number, at in enumerate(self.moments(rng, day, 1.6, "home", OFFICE), 1):
            facts = {"minutes": rng.randrange(25, 120)}
            id = f"visit-{day:%y%m%d}-{number:02d}"
            self.post(at, "installation.done", id, "field", self.somebody(rng), "installation", facts=facts)

    def members(self, rng: random.Random, day: date) -> None:
        for number, at in enumerate(self.moments(rng, day, 3.2, "even", MORNING), 1):
            id = f"member-{day:%y%m%d}-{number:02d}"
            self.post(at, "membership.anniversary", id, "members", self.somebody(rng), "membership")
        for number, at in enumerate(self.moments(rng, day, 2.0, "even", ALL_DAY), 1):
            id = f"renewal-{day:%y%m%d}-{number:02d}"
            self.post(at, "membership.renewed", id, "members", self.somebody(rng), "renewal")

    def desk(self, rng: random.Random, day: date) -> None:
        """Tickets that begin in the chat."""
        for number, at in enumerate(self.moments(rng, day, 2.3, "call", ALL_DAY), 1):
            self._ticket(rng, at, f"C-{day:%y%m%d}-{number:02d}", self.somebody(rng), "chat", 3000, 1.0)

    def open_forms(self, rng: random.Random, day: date) -> None:
        for at in self.moments(rng, day, 3.3, "order", ALL_DAY):
            self.answer(at, "online-shop", "web" if rng.random() < 0.86 else "", rng)
        for at in self.moments(rng, day, 3.4, "visit", TEA_TIME):
            shop, via = rng.choice(SHOPS), "qr" if rng.random() < 0.8 else "kiosk"
            self.answer(at, "tea-house", via, rng, location=shop, is_test=rng.random() < 0.012)
        for at in self.moments(rng, day, 0.8, "tasting", (16, 17, 20, 21)):
            self.answer(at, "tasting", "qr", rng, location=rng.choice(SHOPS))
        for at in self.moments(rng, day, 0.5, "home", EVENING):
            self.answer(at, "delivery", "qr", rng, location=rng.choice(DEPOTS))
        for at in self.moments(rng, day, 1.5, "app", (8, 9, 12, 13, 18)):
            self.answer(at, "app-order", "app", rng, person=self.somebody(rng), location=rng.choice(SHOPS))
        for at in self.moments(rng, day, 0.5, "even", EVENING):
            self.answer(at, "membership", "app", rng, person=self.somebody(rng))
        for at in self.moments(rng, day, 1.2, "call", OFFICE):
            self.answer(at, "hotline", "ivr", rng, talks=0.0, location=rng.choice(("Team A", "Team B")))

    def _on(self, day: date, later: int, rng: random.Random, hours: Sequence[int]) -> datetime:
        """Some moment of a day that many days later."""
        on = date.fromordinal(day.toordinal() + later)
        return datetime(
            on.year, on.month, on.day, rng.choice(hours), rng.randrange(60), rng.randrange(60), tzinfo=self.zone
        )

    def _ticket(
        self,
        rng: random.Random,
        opened: datetime,
        reference: str,
        person: Person,
        touchpoint: str,
        typical_s: float,
        spread: float,
        location: str = "",
    ) -> None:
        """A ticket's life. How long it takes is lognormal around `typical_s`; some come back, a few are forgotten."""
        seconds = min(typical_s * rng.lognormvariate(0, spread), 45 * 86_400)
        resolved = opened + timedelta(seconds=int(seconds))
        first = opened + timedelta(seconds=int(seconds * rng.uniform(0.05, 0.5)))
        forgotten, comes_back, soon = rng.random() < 0.015, rng.random(), rng.random() < 0.4
        # Each desk has its own word for it.
        solved = {"hotline": "case.solved", "chat": "chat.solved"}.get(touchpoint, "ticket.resolved")
        steps = [("ticket.opened", opened, "opened"), ("ticket.first_response", first, "first")]
        if not forgotten:
            steps.append((solved, resolved, "resolved"))
            if comes_back < 0.07:
                again = resolved + (
                    timedelta(minutes=rng.randrange(170, 235)) if soon else timedelta(hours=6 + 50 * rng.random())
                )
                resolved = again + timedelta(seconds=int(typical_s * rng.lognormvariate(0.2, spread)))
                steps += [("ticket.reopened", again, "reopened"), (solved, resolved, "resolved-again")]
            if rng.random() < 0.3:
                steps.append(("ticket.closed", resolved + timedelta(days=2), "closed"))
        if opened < self.first:
            return  # one that began before the demo would have no opening
        # Whoever waited long is less content.
        mood = self.mood(touchpoint, resolved, person, location) - 0.35 * math.log(max(seconds, 60) / typical_s)
        for kind, at, word in steps:
            self.post(
                at, kind, f"{reference}-{word}", "helpdesk", person, touchpoint,
                mood=mood, reference=reference, location=location,
            )  # fmt: skip

    # --- What happens once ---

    def late_tills(self, rng: random.Random) -> None:
        """A till was offline for a good week; what it sends then is too old to ask about."""
        received = self.first + timedelta(days=self.days) * 0.45
        for number in range(1, 9):
            at = received - timedelta(days=8.2, minutes=37 * number)
            self.post(
                at, "visit.paid", f"till-late-{number:02d}", "till", rng.choice(self.people), "tea-house",
                received=received, location="Station", facts={"amount": 24.5, "guests": 2},
            )  # fmt: skip

    def trial(self, rng: random.Random) -> None:
        """A trial in the app; its rule is switched off while the last messages still wait."""
        ends = self.first + timedelta(days=self.days) * 0.5
        for number, person in enumerate(rng.sample(self.reachable, 8), 1):
            at = ends - timedelta(hours=3 + 5 * number)
            self.post(at, "app.trial_ended", f"trial-{number:02d}", "app", person, "app-order")
        self.result.trial_ends_at = ends

    def reopened(self, rng: random.Random) -> None:
        """Three are told that all is well, and are back before we could ask them about it."""
        day = (self.first + timedelta(days=self.days) * 0.3).date()
        for number, person in enumerate(rng.sample(self.reachable, 3), 1):
            opened = datetime(day.year, day.month, day.day, 9, 40 + number, tzinfo=self.zone)
            for word, kind, minutes in (
                ("opened", "ticket.opened", 0),
                ("resolved", "chat.solved", 15),
                ("reopened", "ticket.reopened", 240),
                ("resolved-again", "chat.solved", 1500 + 60 * number),
            ):
                reference = f"C-{day:%y%m%d}-9{number}"
                at = opened + timedelta(minutes=minutes)
                self.post(at, kind, f"{reference}-{word}", "helpdesk", person, "chat", reference=reference)

    def gift_cards(self, rng: random.Random) -> None:
        """A touchpoint that has only just opened."""
        for share in (0.9, 0.95, 0.985):
            self.answer(self.first + (self.end - self.first) * share, "gift-cards", "web", rng)

    def last_hour(self, rng: random.Random) -> None:
        """Whatever the time of day, somebody has just answered, and written something."""
        for minutes, touchpoint, via in ((2, "online-shop", "web"), (9, "tea-house", "qr"), (23, "online-shop", "web")):
            location = rng.choice(SHOPS) if via == "qr" else ""
            self.answer(self.end - timedelta(minutes=minutes), touchpoint, via, rng, talks=3.0, location=location)

    def leave(self, rng: random.Random) -> None:
        """Somebody is asked, and asks to be forgotten before answering."""
        at = self.first + timedelta(days=self.days) * 0.55
        order = f"HT-{at:%y%m%d}-99"
        self.post(at, "order.delivered", f"{order}-delivered", "shop", self.leaver, "delivery", reference=order)
        self.result.erased = (at + timedelta(hours=7), self.leaver)
        # And somebody whose server is full for days, early enough for us to give up.
        full = next(person for person in self.people if person.mailbox == "full")
        at, order = self.first + timedelta(hours=1), f"HT-{self.first:%y%m%d}-98"
        self.post(at, "order.delivered", f"{order}-delivered", "shop", full, "delivery", reference=order)

    def wrong_events(self) -> Iterator[tuple[datetime, Mapping[str, Any]]]:
        """What another system got wrong, each in a way of its own."""
        person = self.people[20]
        day = self.end.date()

        def item(number: int, hours: float, kind: str, source: str, **wrong: Any) -> tuple[datetime, Mapping[str, Any]]:
            at = self.end - timedelta(hours=hours)
            data = {"touchpoint": "delivery", "customer": person.profile(day), **wrong.pop("data", {})}
            return at, {
                "specversion": "1.0",
                "id": f"wrong-{number}",
                "source": SOURCE + source,
                "type": kind,
                "time": (at - timedelta(minutes=1)).isoformat(),
                "data": data,
                **wrong,
            }

        yield item(1, 52, "order.delivered", "shop", data={"touchpoint": "delivrey"})
        yield item(
            2, 41, "order.delivered", "shop", data={"customer": {**person.profile(day), "email": "rose.kettle@"}}
        )
        yield item(3, 29, "ticket.opened", "helpdesk", data={"touchpoint": "hotline"})
        local = (self.end - timedelta(hours=20)).replace(tzinfo=None)
        yield item(4, 20, "visit.paid", "till", time=local.isoformat(), data={"touchpoint": "tea-house"})
        yield item(
            5, 6, "call.ended", "telephony", data={"touchpoint": "hotline", "customer": {"phone": "020 7946 0000"}}
        )
        yield item(
            6, 3, "order.delivered", "shop", specversion="0.3", time=(self.end + timedelta(days=400)).isoformat()
        )
