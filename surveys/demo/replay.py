"""A plan through the real pipeline. In: a Plan. Out: everything that would be there had it happened, each row at its own time.

Nothing is written but by `flow/` and the form's own functions; whoever is asked decides, opens and answers only on getting the
message. The clock is never read. Must run inside a transaction: nobody may see, decide or send a half of it.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.mail import EmailMessage
from django.db import connection
from django.db.models import Q
from django.http import QueryDict
from django.utils import translation

from surveys.api.responses import read_submission
from surveys.demo.answers import Pen
from surveys.demo.mail import FULL, GONE, SLOW, DemoMailbox, channels
from surveys.demo.plan import SOURCE, Arrival, Plan, Visit
from surveys.flow import deliver, expire, invite, warn
from surveys.flow.addresses import address_hash
from surveys.flow.erase import erase_customer
from surveys.flow.follow import follow_token, note_opened
from surveys.flow.incoming import Catalogue, InputError, read_event
from surveys.flow.quarantine import Unusable, quarantine
from surveys.flow.record import record_events
from surveys.flow.respond import exclude_response, record_response
from surveys.flow.unsubscribe import unsubscribe
from surveys.forms import check, posted_values, submission_of_link, submission_of_open_form, wordings_of
from surveys.models import InstrumentVersion, Invitation, InvitationRule, Touchpoint, Watcher, Wording, WrittenAddress

KEY_NAME = "Harbour Tea (demo)"  # as whose events wait in quarantine
TRIAL_RULE = "app-trial"
# Of those who get a message: who answers, and who only looks.
ANSWERS = {
    "checkout": 0.33,
    "delivery": 0.34,
    "returns": 0.41,
    "tea-house": 0.27,
    "tasting": 0.47,
    "hotline": 0.3,
    "chat": 0.42,
    "installation": 0.4,
    "app-order": 0.24,
    "membership": 0.29,
    "renewal": 0.37,
}
SEGMENT_ANSWERS = {"gold": 0.06, "silver": 0.01, "new": -0.03}
LOOKS = 0.3
UNSUBSCRIBES = 0.006
CHANGES = 0.03
TIRED_AFTER = timedelta(days=13)  # before the link expires
SETTLES = timedelta(
    days=7
)  # what a full mailbox refuses takes so long to be given up: none of it may be left at the end
NIGHT_ENDS = time(7, 10)
FRESH_STATISTICS = (0.01, 0.06, 0.3)  # the tables start empty, and PostgreSQL plans for what it knows


@dataclass(frozen=True, slots=True)
class Replayed:
    """How much there is now."""

    events: int
    sent: int
    answers: int


class Replay:
    """One run of one plan."""

    def __init__(
        self,
        plan: Plan,
        seed: int,
        rules: Iterable[InvitationRule],
        watchers: Iterable[Watcher],
        progress: Callable[[int], Any],
    ) -> None:
        self.plan, self.seed, self.progress = plan, seed, progress
        self.now = plan.first
        self.mailbox = DemoMailbox(lambda: self.now, self.refuses)
        self.channels = channels(self.mailbox)
        self.pen = Pen(seed)
        self.by_email = {person.email: person for person in plan.people if person.email}
        self.moods = {str(arrival.item["id"]): arrival for arrival in plan.arrivals}
        self.refused: set[str] = set()  # Message-IDs
        self.todo: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self.order = itertools.count()
        self.catalogue = Catalogue.load()
        self.touchpoints = {row.slug: row for row in Touchpoint.objects.select_related("instrument")}
        self.rules = [rule.pk for rule in rules]
        self.own = Q(rule__in=self.rules)  # what others have waiting is not ours to send
        self.watchers = list(watchers)
        self.watched = {watcher.touchpoint.slug for watcher in self.watchers}
        self.versions: dict[str, tuple[InstrumentVersion, list[Wording]]] = {}
        self.bad_news = False  # may be waiting
        self.sent = self.answers = 0

    def run(self) -> Replayed:
        for visit in self.plan.visits:
            self.at(visit.at, self._visit(visit))
        for at, item in self.plan.unusable:
            self.at(at, self._refuse(item))
        if self.plan.trial_ends_at is not None:
            self.at(self.plan.trial_ends_at, self.end_trial)
        if self.plan.erased is not None:
            at, person = self.plan.erased
            self.at(at, lambda now: erase_customer(person.external_id, now))
        arrivals = self._within_reach()
        position, statistics = 0, list(FRESH_STATISTICS)
        for tick in self.ticks():
            self.act(tick)
            self.now = tick
            start = position
            while position < len(arrivals) and arrivals[position].at <= tick:
                position += 1
            self.receive(arrivals[start:position])
            self.progress(position - start)
            if statistics and position >= statistics[0] * len(arrivals):
                statistics.pop(0)
                analyze()
        expire.expire_due(self.now)
        if self.plan.erased is not None:  # nobody could tell afterwards whose it was
            WrittenAddress.objects.filter(address_hash=address_hash(self.plan.erased[1].email)).delete()
        left = Invitation.objects.filter(status=Invitation.Status.SCHEDULED, event__source__startswith=SOURCE).count()
        if left:  # a worker would send them for real
            raise RuntimeError(f"{left} invitations of the demo are still to be sent")
        return Replayed(len(arrivals), self.sent, self.answers)

    def _within_reach(self) -> list[Arrival]:
        """Without events whose message would be due only after the end."""
        delays: dict[str, timedelta] = {}
        for event_type, delay_s in InvitationRule.objects.values_list("event_type", "delay_s"):
            delays[event_type] = max(timedelta(seconds=delay_s), delays.get(event_type, timedelta()))
        kinds = self.catalogue.organisation.ticket_events
        found = []
        for arrival in self.plan.arrivals:
            kind = str(arrival.item["type"])
            delay = max(delays.get(name, timedelta()) for name in (kind, kinds.get(kind, kind)))
            if datetime.fromisoformat(arrival.item["time"]) + delay <= self.plan.end:
                found.append(arrival)
        return found

    def ticks(self) -> Iterator[datetime]:
        """When other systems post what they have and the worker works: every two hours by day, once by night, at the end."""
        rng = random.Random(f"{self.seed}/ticks")
        midnight = self.plan.first.replace(hour=0, minute=0, second=0)
        while midnight <= self.plan.end:
            for hour in (3, 8.5, 10, 12, 14, 16, 17.5, 19.5, 21.5):
                tick = midnight + timedelta(hours=hour, seconds=rng.randrange(3000))
                if self.plan.first < tick < self.plan.end:
                    yield tick
            midnight += timedelta(days=1)
        yield self.plan.end

    # --- What our side does ---

    def receive(self, arrivals: Sequence[Arrival]) -> None:
        """Events are posted; the worker decides, sends, warns and closes what is over."""
        undecided = 0
        if arrivals:
            items = [read_event(arrival.item, self.catalogue, self.now) for arrival in arrivals]
            undecided = record_events(items, self.catalogue, self.now).undecided
        if undecided:
            invite.drain(lambda: self.now, among=Q(source__startswith=SOURCE), by=Q(pk__in=self.rules))
        self.send()
        if self.bad_news:
            warn.warn_watchers(self.now, self.mailbox, Q(watcher__in=self.watchers))
            self.mailbox.collect()
            self.bad_news = False
        if self.now.hour < 4:
            expire.expire_due(self.now)

    def send(self) -> None:
        deliver.drain(lambda: self.now, channels=self.channels, among=self.own)
        tokens = [row.message_id[1:].partition("@")[0] for row in self.mailbox.collect()]
        if not tokens:
            return
        self.sent += len(tokens)
        found = Invitation.objects.filter(token__in=tokens).values_list(
            "token", "event__event_id", "touchpoint__slug", "language"
        )
        for token, event_id, touchpoint, language in sorted(found, key=lambda row: row[1]):
            self.meet(str(token), self.moods[event_id], touchpoint, language)

    def refuses(self, address: str, message: EmailMessage) -> tuple[int, bytes] | None:
        """What the server of an address says of a message."""
        person = self.by_email.get(address)
        if person is None or person.mailbox == "fine":
            return None
        if person.mailbox == "gone":
            return GONE
        message_id = message.extra_headers["Message-ID"]
        is_first = message_id not in self.refused
        if is_first and self.now + SETTLES > self.plan.end:
            return None
        self.refused.add(message_id)
        return FULL if person.mailbox == "full" else SLOW if is_first else None

    def end_trial(self, now: datetime) -> None:
        """A manager switches the rule off; what it had scheduled will not be sent."""
        InvitationRule.objects.filter(slug=TRIAL_RULE).update(active=False)
        self.catalogue = Catalogue.load()

    # --- What customers do ---

    def at(self, moment: datetime, act: Callable[[datetime], None]) -> None:
        if moment <= self.plan.end:
            heapq.heappush(self.todo, (moment, next(self.order), act))

    def act(self, until: datetime) -> None:
        while self.todo and self.todo[0][0] <= until:
            self.now, _order, act = heapq.heappop(self.todo)
            act(self.now)

    def meet(self, token: str, arrival: Arrival, touchpoint: str, language: str) -> None:
        """A message has come: what its customer will do about it, and when."""
        person = arrival.person
        rng = random.Random(f"{self.seed}/{arrival.item['id']}")
        u, hours, again = rng.random(), rng.lognormvariate(0.9, 1.5), rng.random() < CHANGES
        moment = self._awake(self.now + min(timedelta(hours=hours), TIRED_AFTER), rng)
        if self.plan.erased is not None and person is self.plan.erased[1]:
            return
        if person.weary or rng.random() < UNSUBSCRIBES:
            self.at(moment, lambda now: self._unsubscribe(token, now))
            return
        share = ANSWERS[touchpoint] + SEGMENT_ANSWERS[person.segment_on(self.now.date())]
        if u < share:
            answers = [rng.getrandbits(64)] + ([rng.getrandbits(64)] if again else [])
            for number, draw in enumerate(answers):
                self.at(moment + number * timedelta(minutes=3), self._post(token, arrival, language, draw))
        elif u < share + LOOKS:
            self.at(moment, lambda now: self._look(token, now))

    def _awake(self, moment: datetime, rng: random.Random) -> datetime:
        local = moment.astimezone(self.plan.end.tzinfo)
        if local.time() < NIGHT_ENDS:
            return local.replace(hour=7, minute=10) + timedelta(minutes=rng.randrange(170))
        return local

    def _look(self, token: str, now: datetime) -> None:
        link = follow_token(token)
        if link is not None and not link.is_closed(now):
            note_opened(link.invitation, now)

    def _unsubscribe(self, token: str, now: datetime) -> None:
        unsubscribe(Invitation.objects.get(token=token), now)

    def _post(self, token: str, arrival: Arrival, language: str, draw: int) -> Callable[[datetime], None]:
        """Opens the link of the message, fills the form in, presses Send."""

        def act(now: datetime) -> None:
            link = follow_token(token)
            if link is None or link.is_closed(now):
                return
            note_opened(link.invitation, now - timedelta(seconds=25))
            wordings = wordings_of(link.version)
            fields = self.fields(
                draw, link.invitation.touchpoint.slug, wordings, language, arrival, link.invitation.location
            )
            checked = check(wordings, posted_values(wordings, posted(fields)))
            record_response(submission_of_link(link, checked.answers, language), now)
            self.note_answer(link.invitation.touchpoint.slug, is_new=link.response is None)

        return act

    def _visit(self, visit: Visit) -> Callable[[datetime], None]:
        """An answer without an invitation: in an open form, or collected by the app or the telephone system."""

        def act(now: datetime) -> None:
            touchpoint = self.touchpoints[visit.touchpoint]
            version, wordings = self._asked(touchpoint)
            fields = self.fields(
                visit.id.int, visit.touchpoint, wordings, visit.language, visit, visit.location, visit.talks
            )
            if visit.via in ("app", "ivr"):
                submission = read_submission(body_of(visit, fields), now)
            else:
                checked = check(wordings, posted_values(wordings, posted(fields)))
                submission = submission_of_open_form(
                    touchpoint, version, checked.answers,
                    organisation=self.catalogue.organisation, form_id=visit.id, via=visit.via, location=visit.location,
                    language=visit.language,
                )  # fmt: skip
            recorded = record_response(submission, now)
            if visit.is_test:
                exclude_response(recorded.response.pk, "Test by our own staff", None, now + timedelta(minutes=20))
            self.note_answer(visit.touchpoint)
            self.progress(1)

        return act

    def note_answer(self, touchpoint: str, *, is_new: bool = True) -> None:
        self.answers += is_new
        self.bad_news = self.bad_news or touchpoint in self.watched

    def _asked(self, touchpoint: Touchpoint) -> tuple[InstrumentVersion, list[Wording]]:
        """The version that an open form shows, with its wordings."""
        if touchpoint.slug not in self.versions:
            assert touchpoint.instrument is not None
            version = touchpoint.instrument.versions.order_by("-number")[0]
            self.versions[touchpoint.slug] = version, wordings_of(version)
        return self.versions[touchpoint.slug]

    def fields(
        self,
        draw: int,
        touchpoint: str,
        wordings: Sequence[Wording],
        language: str,
        felt: Arrival | Visit,
        location: str,
        talks: float = 1.0,
    ) -> dict[str, Any]:
        by_key = {wording.question.key: wording for wording in wordings}
        return self.pen.fields(
            random.Random(draw),
            touchpoint,
            by_key["score"].question.scale,
            language,
            felt.mood,
            evenings=felt.at >= self.plan.decided_at,
            location=location,
            reasons=list(by_key["reason"].options),
            talks=talks,
        )

    def _refuse(self, item: Mapping[str, Any]) -> Callable[[datetime], None]:
        """An event that cannot be used, as POST events/ would keep it."""

        def act(now: datetime) -> None:
            try:
                read_event(item, self.catalogue, now)
            except InputError as error:
                quarantine([Unusable.of(item, error)], KEY_NAME, now)

        return act


def posted(fields: Mapping[str, Any]) -> QueryDict:
    """Fields as a browser posts them."""
    return QueryDict(urlencode(fields, doseq=True))


def body_of(visit: Visit, fields: dict[str, Any]) -> dict[str, Any]:
    """The body of POST responses/ for an answer that another system collected."""
    body: dict[str, Any] = {
        "id": str(visit.id),
        "touchpoint": visit.touchpoint,
        "mode": visit.via,
        "language": visit.language,
        "location": visit.location,
        "answers": fields,
        "responded_at": visit.at.isoformat(),
    }
    if visit.person is not None:
        body["customer"] = visit.person.profile(visit.at.date())
    return body


def replay(
    plan: Plan,
    seed: int,
    rules: Iterable[InvitationRule],
    watchers: Iterable[Watcher],
    progress: Callable[[int], Any] = lambda steps: None,
) -> Replayed:
    """Run a plan by these rules, telling these watchers. In English, whatever language the caller has on."""
    with translation.override("en"):
        return Replay(plan, seed, rules, watchers, progress).run()


def analyze() -> None:
    """Let PostgreSQL know what has come in, inside the transaction that brings it."""
    tables = [table for table in connection.introspection.table_names() if table.startswith("surveys_")]
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(sorted(tables))}")
