"""The demo goes through the real pipeline, all or nothing, leaves the machine by no way, and goes away again."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from cxsurvey.server import load_demo_once
from metrics.decisions import Decisions
from metrics.demo import write_decisions
from metrics.frame import Frame
from metrics.queries import measure_weighted, weights_of
from metrics.rollup import roll_up, sweep
from metrics.slices import Slice
from metrics.verify import verify
from surveys.demo.answers import remarks
from surveys.demo.load import DemoRefused, demo_slugs, load_demo
from surveys.demo.people import SEGMENTS, invent_people
from surveys.demo.plan import make_plan
from surveys.demo.remove import NoDemo, remove_demo
from surveys.flow.addresses import normalise_email, normalise_phone
from surveys.flow.deliver import deliver_due
from surveys.flow.invite import invite_pending
from surveys.flow.warn import warn_watchers
from surveys.models import (
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    InvitationRule,
    Organisation,
    QuarantinedEvent,
    Response,
    SentMessage,
    Suppression,
    Ticket,
    Touchpoint,
    Watcher,
    WatcherNotice,
)
from tests.factories import make_customer, make_event, make_invitation, make_organisation, make_rule, make_touchpoint
from tests.smtp_sink import SmtpSink

END = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)  # 16:30 in Shanghai, a Wednesday
DAYS = 9
pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("demo")]

# What the flow can decide today; the others of Invitation.Reason belong to policies that are not there yet.
REASONS = {
    *("unsubscribed", "bounced", "no_address", "ineligible", "resting_same", "resting_any", "floor_24h", "sampled_out"),
    *("expired", "reopened", "erased", "inactive", "undeliverable"),
}


def counts() -> dict[str, int]:
    """Rows per table of ours."""
    models = [model for app in ("surveys", "metrics") for model in apps.get_app_config(app).get_models()]
    return {model._meta.db_table: model._base_manager.count() for model in models}


def drain_ledger() -> None:
    while roll_up():
        pass


# --- On an empty database, or one in use: these come first, since the demo below stays for the rest of the module ---


def test_a_database_in_use_is_left_alone(tmp_path):
    make_organisation(name={"en": "Hill Coffee"})
    make_touchpoint("counter")
    before = counts()
    with pytest.raises(DemoRefused, match="an organisation of its own, 1 touchpoint, 1 instrument"):
        load_demo(END, days=1)
    load_demo_once(tmp_path / "note")
    assert not (tmp_path / "note").exists()
    assert counts() == before
    with pytest.raises(NoDemo):
        remove_demo()


def test_beside_own_data_it_touches_nothing_of_it():
    make_organisation(name={"en": "Hill Coffee"}, time_zone="Europe/Berlin", resting_any_s=7)
    rule = make_rule(event_type="order.delivered")
    waiting = make_invitation(
        rule.touchpoint, make_customer("C-1"), rule=rule, status="scheduled", attempted_at=None, sent_at=None,
        send_at=END - timedelta(days=2),
    )  # fmt: skip
    undecided = make_event(Customer.objects.get(), type="order.delivered", time=END - timedelta(days=1))
    own = {name: value for name, value in Organisation.objects.values()[0].items() if name != "is_demo"}
    before = counts()
    load_demo(END, days=3, beside_own=True)
    waiting.refresh_from_db()
    undecided.refresh_from_db()
    assert (waiting.status, waiting.attempted_at, undecided.decided) == ("scheduled", None, False)
    assert not Invitation.objects.filter(rule=rule, event__source__startswith="/demo/").exists()
    assert list(InvitationRule.objects.filter(active=True)) == [rule]
    assert Response.objects.filter(touchpoint__slug="delivery").exists()
    remove_demo()
    drain_ledger()
    sweep()
    assert counts() == before
    assert {name: value for name, value in Organisation.objects.values()[0].items() if name != "is_demo"} == own


def test_slugs_of_ones_own_are_never_overwritten():
    make_touchpoint("delivery")
    with pytest.raises(DemoRefused, match="touchpoint “delivery”"):
        load_demo(END, days=1, beside_own=True)


def test_the_server_loads_it_once(tmp_path):
    note = tmp_path / "demo-loaded"
    note.touch()
    load_demo_once(note)
    assert not Organisation.current().is_demo


def test_remarks_are_many_and_fit_their_questions():
    from ruamel.yaml import YAML

    from surveys.demo.load import PROGRAMME

    programme = YAML(typ="safe", pure=True).load(PROGRAMME)
    options = {row["slug"]: set(row["questions"][1]["options"]) for row in programme["instruments"]}
    written = [
        (remark, options[touchpoint["instrument"]])
        for touchpoint in programme["touchpoints"]
        for band in remarks()[touchpoint["slug"]].values()
        for remark in band
    ]
    assert all(remark["reason"] in known for remark, known in written)
    for language in ("en", "zh-hans"):
        assert len({remark[language] for remark, _known in written}) >= 120


def test_nobody_in_it_can_exist():
    people = invent_people(1, 1900, END.date(), 90)
    for person in people:
        if person.email:
            assert normalise_email(person.email) == person.email
            assert person.email.endswith(("@example.com", "@example.org"))
        if person.phone:
            assert normalise_phone(person.phone) == person.phone
    for addresses in ([p.email for p in people if p.email], [p.phone for p in people if p.phone]):
        assert len(set(addresses)) == len(addresses)


@pytest.mark.slow
def test_the_whole_of_it_is_alive_and_true(capsys):
    started = time.monotonic()
    load_demo(END)
    with suppress(CommandError):
        drain_ledger()
    seconds = time.monotonic() - started
    events, answers = InteractionEvent.objects.count(), Response.objects.count()
    invited = Invitation.objects.exclude(sent_at=None)
    rate = invited.filter(status="answered").count() / invited.count()
    with capsys.disabled():
        print(  # noqa: T201
            f"\nThe demo: {events} events, {answers} answers, response rate {rate:.3f}, {seconds:.1f} s with the roll-up"
        )
    assert 5400 <= events <= 6600
    assert 1800 <= answers <= 2200
    assert 0.3 <= rate <= 0.36
    assert verify() == []
    # A story that the pages can tell: a peak, a valley, a good end, and a decision that worked.
    mean = {slug: sum(scores) / len(scores) for slug, scores in shares().items()}
    assert max(mean, key=mean.__getitem__) == "tasting"
    assert min(mean, key=mean.__getitem__) == "returns"
    assert mean["renewal"] > mean["membership"] > mean["app-order"]
    decided_at = make_plan(20, END, 90, Organisation.current().zone).decided_at
    before, after = shares(responded_at__lt=decided_at), shares(responded_at__gte=decided_at)
    assert sum(after["delivery"]) / len(after["delivery"]) > sum(before["delivery"]) / len(before["delivery"]) + 0.1
    assert all(len(scores) >= 30 for slug, scores in shares().items() if slug != "gift-cards")
    # Of three decisions one worked, one moved nothing, one is too young.
    write_decisions(END, 90)
    decisions = Decisions.load(Frame.load(None, END), END)
    judged, _beside = decisions.judge(decisions.rows)
    verdicts = {one.decision.title.partition(" · ")[0]: one.findings[0].effect.verdict for one in judged}
    assert verdicts.pop("Parcels come in the evening") in ("as_expected", "more")
    assert verdicts == {"A longer order confirmation": "no_change", "A shorter menu at the service line": "too_early"}
    # And weighted scores say something.
    last = Organisation.current().day_of(END)
    for by in ("touchpoint", "segment"):
        weights = weights_of(by, Organisation.current(), Touchpoint.objects.select_related("instrument"), "csat", 5)
        month = Slice(day_from=last - timedelta(days=29), day_to=last, scale=5)
        found = measure_weighted("csat", month, by, weights)
        assert found.total.value is not None
        assert found.total.missing == 0
        assert len({one.share for one in found.total.strata if not one.left_out}) >= 3


def shares(**when: object) -> dict[str, list[float]]:
    """Where each score lies on its scale, 0 to 1, by touchpoint."""
    found: dict[str, list[float]] = {}
    rows = Response.objects.filter(score__isnull=False, **when).select_related("touchpoint", "version__instrument")
    for row in rows:
        scale = row.version.instrument.scale
        found.setdefault(row.touchpoint.slug, []).append((row.score - scale.low) / (scale.high - scale.low))
    return found


# --- On one loaded demo ---


@pytest.fixture(scope="module")
def loaded(django_db_setup: None, django_db_blocker) -> Iterator[dict[str, object]]:
    """One demo for the whole module, committed, with a mail server that would take everything; taken away at the end."""
    sink = SmtpSink()
    sink.start()
    seen: list[int] = []
    looked: list[int] = []
    with django_db_blocker.unblock():
        before = counts()
        outside = connections["default"].copy()

        def look(done: int, total: int) -> None:
            looked.append(done)
            if len(looked) % 25 == 0:
                with outside.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM surveys_interactionevent")
                    seen.append(cursor.fetchone()[0])

        smtp = "django.core.mail.backends.smtp.EmailBackend"
        with override_settings(EMAIL_BACKEND=smtp, EMAIL_HOST="127.0.0.1", EMAIL_PORT=sink.port):
            replayed = load_demo(END, days=DAYS, progress=look)
        outside.close()
        drain_ledger()
        yield {"replayed": replayed, "before": before, "sink": sink, "seen": seen}
        remove_demo()
        drain_ledger()
        sweep()
        after = counts()
        sink.stop()
    assert after == before


def test_what_was_replayed_is_there_and_every_aggregate_agrees(loaded):
    replayed = loaded["replayed"]
    assert replayed.events == InteractionEvent.objects.count() > 50 * DAYS
    assert replayed.answers == Response.objects.count() > 15 * DAYS
    assert replayed.sent == Invitation.objects.exclude(sent_at=None).count()
    assert verify() == []
    assert Organisation.current().is_demo


def test_nobody_sees_a_half_of_it(loaded):
    assert len(loaded["seen"]) > 5
    assert set(loaded["seen"]) == {0}


def test_nothing_is_left_for_a_worker_to_decide_send_or_tell(loaded):
    now = END + timedelta(minutes=1)
    assert (invite_pending(now), deliver_due(now), warn_watchers(now)) == (0, (0, 0), 0)
    assert not Invitation.objects.filter(status="scheduled").exists()


def test_no_message_leaves_the_machine_and_each_has_its_own_date(loaded):
    sink = loaded["sink"]
    assert (sink.messages, sink.connections) == ([], 0)
    messages = list(SentMessage.objects.all())
    assert len(messages) > loaded["replayed"].sent
    assert {parsedate_to_datetime(dict(message.headers)["Date"]) for message in messages} == {
        message.at.replace(microsecond=0) for message in messages
    }
    assert len({message.at.date() for message in messages}) >= DAYS
    hosts = {message.to.partition("@")[2] for message in messages}
    assert hosts == {"example.com", "example.org"}


def test_every_reason_why_somebody_was_not_asked_is_there(loaded):
    assert set(Invitation.objects.exclude(reason="").values_list("reason", flat=True)) >= REASONS
    assert {"answered", "opened", "sent"} <= set(Invitation.objects.values_list("status", flat=True))
    results = set(DeliveryAttempt.objects.values_list("result", flat=True))
    assert results == {"sent", "temporary", "permanent"}
    assert {"bounced", "unsubscribed"} <= set(Suppression.objects.values_list("reason", flat=True))


def test_each_row_has_its_own_time_and_the_newest_are_of_now(loaded):
    first = END - timedelta(days=DAYS)
    for model, name in ((InteractionEvent, "received_at"), (Response, "recorded_at"), (Invitation, "decided_at")):
        times = list(model.objects.order_by(name).values_list(name, flat=True))
        assert first <= times[0] < first + timedelta(days=1)
        assert END - timedelta(hours=3) <= times[-1] <= END
    organisation = Organisation.current()
    newest = list(Response.objects.order_by("-responded_at")[:20])
    assert {organisation.day_of(row.responded_at) for row in newest} <= {
        organisation.day_of(END),
        organisation.day_of(END - timedelta(days=1)),
    }
    assert all(row.day == organisation.day_of(row.responded_at) for row in Response.objects.all())


def test_answers_came_in_by_every_way_and_in_both_languages(loaded):
    modes = set(Response.objects.values_list("mode", flat=True))
    assert modes == {"email", "web", "link", "qr", "kiosk", "app", "ivr"}
    assert set(Response.objects.exclude(comment="").values_list("language", flat=True)) == {"en", "zh-hans"}
    assert Response.objects.filter(mode="email", invitation=None).count() == 0
    assert set(Touchpoint.objects.filter(responses__isnull=False).values_list("channel", flat=True)) == {
        *("website", "app", "call_center", "on_site", "home_service")
    }


def test_one_touchpoint_has_three_answers_and_one_has_none(loaded):
    assert Response.objects.filter(touchpoint__slug="gift-cards").count() == 3
    assert Response.objects.filter(touchpoint__slug="tea-school").count() == 0


def test_each_of_its_segments_has_a_weight_and_touchpoints_count_by_theirs(loaded):
    named = set(Response.objects.exclude(segment="").values_list("segment", flat=True))
    assert named == set(Organisation.current().segment_weights) == set(SEGMENTS)
    weights = dict(Touchpoint.objects.values_list("slug", "weight"))
    assert len(set(weights.values())) >= 4
    assert [slug for slug, weight in weights.items() if not weight] == ["gift-cards"]


def test_tickets_are_open_resolved_and_reopened(loaded):
    assert Ticket.objects.filter(in_ttr=True, resolved_at=None).exists()
    assert Ticket.objects.filter(reopened_count__gt=0, resolved_at__isnull=False).exists()
    assert {"hotline", "chat", "returns"} == set(Ticket.objects.values_list("touchpoint__slug", flat=True))


def test_unusable_events_wait_with_what_is_wrong_with_them(loaded):
    rows = list(QuarantinedEvent.objects.filter(state="waiting"))
    assert len(rows) == 6
    pointers = {error["pointer"] for row in rows for error in row.errors}
    assert pointers >= {"/data/touchpoint", "/data/customer/email", "/data/reference", "/time", "/specversion"}


def test_watchers_were_told_when_it_happened(loaded):
    notices = list(WatcherNotice.objects.select_related("response"))
    assert notices
    assert all(notice.created_at <= notice.sent_at <= notice.created_at + timedelta(hours=10) for notice in notices)
    assert SentMessage.objects.filter(to="shift-lead@example.com", subject__contains="服务热线").exists()


def fingerprint() -> dict[str, list[tuple[object, ...]]]:
    """What must be the same in two loads: everything but row ids and tokens."""
    asked = (
        "event__event_id",
        "rule__slug",
        "status",
        "reason",
        "mode",
        "sent_at",
        "opened_at",
        "answered_at",
        "expires_at",
    )
    said = (
        "touchpoint__slug",
        "mode",
        "segment",
        "location",
        "language",
        "score",
        "comment",
        "responded_at",
        "changed_at",
    )
    events = ("source", "event_id", "time", "received_at", "customer__name", "touchpoint__slug", "facts")
    tickets = ("reference", "opened_at", "resolved_at", "reopened_count", "day_opened", "segment")
    rows = (
        (InteractionEvent, events), (Invitation, asked), (Response, said), (Ticket, tickets),
        (SentMessage, ("at", "to", "subject")), (Suppression, ("address_hash", "reason", "created_at")),
        (Customer, ("name", "email", "phone", "segment", "created_at")), (QuarantinedEvent, ("body", "received_at")),
    )  # fmt: skip
    return {model.__name__: sorted(model.objects.values_list(*names), key=repr) for model, names in rows}


@pytest.mark.slow
def test_the_same_seed_and_end_make_the_same_rows_and_another_seed_others(loaded):
    before = fingerprint()
    remove_demo()
    load_demo(END, days=DAYS)
    assert fingerprint() == before
    one, other = (make_plan(seed, END, 3, UTC) for seed in (1, 2))
    assert [arrival.item for arrival in one.arrivals] != [arrival.item for arrival in other.arrivals]


@pytest.mark.slow
def test_what_breaks_half_way_leaves_nothing(loaded):
    remove_demo()
    drain_ledger()
    sweep()
    before = counts()

    def break_down(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_demo(END, days=3, progress=break_down)
    assert counts() == before == loaded["before"]
    assert not Organisation.current().is_demo


def test_a_second_load_is_refused(loaded):
    with pytest.raises(CommandError, match="loaded already"):
        call_command("load_demo")


def test_removing_leaves_no_trace_and_no_difference(loaded):
    call_command("remove_demo", stdout=StringIO())
    assert counts() == loaded["before"]
    assert verify() == []
    organisation = Organisation.current()
    assert (organisation.is_demo, organisation.name["en"], organisation.time_zone) == (False, "My organisation", "UTC")
    with pytest.raises(CommandError, match="no demo"):
        call_command("remove_demo")


def test_aggregates_agree_before_the_minus_ones_are_drained_too(loaded):
    remove_demo()
    assert verify() == []


def test_a_touchpoint_that_somebody_has_come_to_use_stays_with_what_it_needs(loaded, client):
    path = "/t/harbour-tea-house-visit/"
    assert client.post(path, {"version": "1", "score": "6", "comment": "Mine."}).status_code == 303
    mine = make_event(make_customer("C-42"), touchpoint=Touchpoint.objects.get(slug="delivery"))
    removed = remove_demo()
    drain_ledger()
    sweep()
    assert removed.kept == ["delivery", "tea-house"]
    assert [row.comment for row in Response.objects.all()] == ["Mine."]
    assert list(InteractionEvent.objects.all()) == [mine]
    assert [row.external_id for row in Customer.objects.all()] == ["C-42"]
    assert set(Touchpoint.objects.values_list("slug", flat=True)) == {"delivery", "tea-house"}
    assert set(InvitationRule.objects.values_list("slug", flat=True)) == {"after-delivery", "after-visit"}
    assert verify() == []
    assert client.get(path).status_code == 200
    assert Organisation.current().time_zone == "Asia/Shanghai"  # the day of what stays was told by it


def test_an_organisation_that_was_renamed_keeps_its_settings(loaded):
    Organisation.objects.update(name={"en": "Hill Coffee"}, accent="#aa0000")
    remove_demo()
    organisation = Organisation.current()
    assert (organisation.name, organisation.accent, organisation.time_zone) == (
        {"en": "Hill Coffee"},
        "#aa0000",
        "Asia/Shanghai",
    )


def test_every_name_of_the_programme_is_in_both_languages(loaded):
    for touchpoint in Touchpoint.objects.select_related("journey", "stage"):
        for row in (touchpoint, touchpoint.journey, touchpoint.stage):
            assert set(row.name) == {"en", "zh-hans"}
    assert demo_slugs().touchpoints == set(Touchpoint.objects.values_list("slug", flat=True))
    assert Watcher.objects.count() == 2
