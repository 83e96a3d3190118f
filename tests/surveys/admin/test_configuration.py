"""Journeys, touchpoints, rules and the organisation, as managers change them: every page is opened and sent as a browser would."""

import json
from datetime import date, time

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from surveys.admin.fields import PreferencesField
from surveys.flow.groups import MANAGER, VIEWER
from surveys.flow.links import public_url
from surveys.flow.programme import export_programme
from surveys.models import InvitationRule, Journey, Organisation, Stage, Ticket, Touchpoint, Watcher
from surveys.worktime import WEEKDAYS
from tests.factories import (
    make_customer,
    make_instrument,
    make_invitation,
    make_organisation,
    make_rule,
    make_touchpoint,
)
from tests.surveys.admin.people import answer
from tests.surveys.admin.staff import errors_in, fields_of, send, sign_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager():
    make_organisation()
    return sign_in_as(MANAGER)


def page(row, action: str = "change") -> str:
    return reverse(f"admin:surveys_{row._meta.model_name}_{action}", args=[row.pk])


def add(model) -> str:
    return reverse(f"admin:surveys_{model._meta.model_name}_add")


def make_journey() -> Journey:
    journey = Journey.objects.create(slug="purchase", name={"en": "Buying", "zh-hans": "购买", "de": "Einkauf"})
    for position, slug in enumerate(("buy", "use")):
        Stage.objects.create(journey=journey, slug=slug, name={"en": slug.title()}, position=position)
    return journey


# --- Saving what was not changed --------------------------------------------------------------------------------------


def make_everything() -> list:
    organisation = make_organisation(
        languages=["en", "zh-hans"], ticket_events={"case.solved": "ticket.resolved"},
        quiet_hours={"sms": "20:00-09:00"}, privacy={"en": "We keep it.", "fr": "On garde."}, segment_attribute="tier",
        preferences={"gold": ["sms", "email"], "blue": ["ivr"]}, segment_weights={"gold": 2.5, "": 1}, min_n=8, low_n=40,
        holiday_country="DE", holiday_subdivision="BY",
        working_hours={"mon": ["09:00-12:00", "13:00-18:00"], "sat": ["00:00-24:00"]}, closed_days=["2026-12-24", "2026-12-31"],
        open_days=["2026-10-03"],
        channel_targets={"website": {"nps": 40, "ttr_hours": 1.5}},
    )  # fmt: skip
    journey = make_journey()
    touchpoint = make_touchpoint(
        "delivery", journey=journey, stage=journey.stages.first(), targets={"csat": 85.5, "ttr_hours": 24}, public=True,
        allowed_origins=["https://shop.example.com"], name={"en": "Delivery", "zh-hans": "配送", "de": "Lieferung"},
    )  # fmt: skip
    Watcher.objects.create(touchpoint=touchpoint, address="boss@shop.example", language="zh-hans")
    rule = make_rule(
        touchpoint, when="facts.wait_seconds < 3600", delay_s=7200, modes=["sms", "email"], sample_share=0.125,
        reminders_s=[3 * 86_400, 7 * 86_400], resting_same_s=None, resting_any_s=0, priority=-3, quota=500,
        at_time=time(9, 30), days=["mon", "sat"], exempt_floor="A recall cannot wait.",
    )  # fmt: skip
    return [organisation, journey, touchpoint, touchpoint.instrument, rule]


@pytest.mark.parametrize("index", range(5))
def test_saving_a_page_unchanged_changes_nothing(manager, index):
    """Not even what the page does not show, such as languages that the organisation does not use."""
    row = make_everything()[index]
    before = export_programme()
    entries = LogEntry.objects.count()
    response = send(manager, page(row))
    assert response.status_code == 302, errors_in(response)
    assert export_programme() == before
    said = json.loads(LogEntry.objects.order_by("-pk")[0].change_message) if LogEntry.objects.count() > entries else []
    assert said == []


def test_every_change_is_in_the_history(manager):
    touchpoint = make_touchpoint("delivery")
    assert send(manager, page(touchpoint), targets_nps="30").status_code == 302
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.pk) == (str(touchpoint.pk), manager.user.pk)
    assert json.loads(entry.change_message) == [{"changed": {"fields": ["Targets"]}}]
    assert manager.get(page(touchpoint, "history")).status_code == 200


# --- Texts ------------------------------------------------------------------------------------------------------------


def test_a_name_has_one_input_for_each_language_of_the_organisation(manager):
    journey = make_journey()
    fields = fields_of(manager.get(page(journey)).content.decode())
    assert (fields["name__en"], fields["name__zh-hans"]) == (["Buying"], ["购买"])
    assert "name__de" not in fields
    send(manager, page(journey), **{"name__en": "Purchase", "name__zh-hans": ""})
    journey.refresh_from_db()
    assert journey.name == {"en": "Purchase", "de": "Einkauf"}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"name__en": "", "name__zh-hans": "  "}, "in one language at least"),
        ({"name__en": "x" * 201}, "201 characters; at most 200 fit"),
        ({"name__en": "a\x00b"}, "cannot be stored"),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(manager, texts, said):
    journey = make_journey()
    journey.name = {"en": "Buying"}
    journey.save()
    assert said in errors_in(send(manager, page(journey), **texts))
    journey.refresh_from_db()
    assert journey.name == {"en": "Buying"}


def test_what_was_typed_stands_there_again_after_an_error(manager):
    journey = make_journey()
    response = send(manager, page(journey), **{"name__zh-hans": "采购", "slug": "not a slug"})
    assert fields_of(response.content.decode())["name__zh-hans"] == ["采购"]


# --- Journeys and touchpoints -----------------------------------------------------------------------------------------


def test_a_journey_is_made_with_its_stages(manager):
    empty = {"stages-TOTAL_FORMS": "1", "stages-0-slug": "buy", "stages-0-name__en": "Buy", "stages-0-position": "0"}
    response = send(manager, add(Journey), **{"slug": "purchase", "name__en": "Buying", **empty})
    assert response.status_code == 302, errors_in(response)
    assert [stage.slug for stage in Journey.objects.get().stages.all()] == ["buy"]


def test_a_touchpoint_is_made_and_takes_the_journey_of_its_stage(manager):
    journey = make_journey()
    stage = journey.stages.last()
    response = send(
        manager, add(Touchpoint), slug="delivery", name__en="Delivery", channel="home_service", stage=stage.pk,
        allowed_origins="https://Shop.example.com/\nhttp://localhost:3000", targets_csat="85", targets_ttr_hours="1.5",
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    row = Touchpoint.objects.get()
    assert (row.journey, row.stage) == (journey, stage)
    assert row.allowed_origins == ["https://shop.example.com", "http://localhost:3000"]
    assert row.targets == {"csat": 85, "ttr_hours": 1.5}


def test_a_stage_of_another_journey_is_refused(manager):
    stage = make_journey().stages.first()
    other = Journey.objects.create(slug="other", name={"en": "Other"})
    touchpoint = make_touchpoint()
    assert "another journey" in errors_in(send(manager, page(touchpoint), journey=other.pk, stage=stage.pk))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("targets_nps", "101", "-100 to 100"),
        ("targets_csat", "junk", "0 to 100"),
        ("targets_ces", "nan", "1 to 7"),
        ("targets_ttr_hours", "-1", "0 to 100,000"),
        ("allowed_origins", "https://shop.example.com/path", "no path"),
        ("allowed_origins", "*", "is not an origin"),
        ("allowed_origins", "javascript:alert(1)", "is not an origin"),
        ("slug", "two words", "slug"),
        ("channel", "fax", "fax"),
    ],
)
def test_a_touchpoint_that_cannot_be_is_refused(manager, field, value, said):
    assert said in errors_in(send(manager, page(make_touchpoint()), **{field: value}))


def test_channel_and_slug_are_fixed_once_answered(manager):
    touchpoint = make_touchpoint("delivery", channel="home_service")
    free = fields_of(manager.get(page(touchpoint)).content.decode())
    assert {"slug", "channel"} <= free.keys()
    answer(touchpoint, 9)
    fixed = fields_of(manager.get(page(touchpoint)).content.decode())
    assert not {"slug", "channel"} & fixed.keys()
    send(manager, page(touchpoint), slug="other", channel="website")  # somebody insists
    touchpoint.refresh_from_db()
    assert (touchpoint.slug, touchpoint.channel) == ("delivery", "home_service")


def test_what_has_history_is_not_deleted_and_what_has_none_may_be(manager):
    used, unused = make_touchpoint(), make_touchpoint()
    answer(used, 9)
    assert manager.post(page(used, "delete"), {"post": "yes"}).status_code == 403
    assert manager.post(page(unused, "delete"), {"post": "yes"}).status_code == 302
    assert list(Touchpoint.objects.all()) == [used]
    data = {"action": "delete_selected", "_selected_action": [used.pk], "post": "yes"}
    manager.post(reverse("admin:surveys_touchpoint_changelist"), data)
    assert Touchpoint.objects.exists()


def test_slugs_of_journeys_and_stages_are_fixed_once_a_touchpoint_is_answered(manager):
    journey = make_journey()
    answer(make_touchpoint(journey=journey, stage=journey.stages.first()), 9)
    response = send(manager, page(journey), **{"slug": "x", "stages-0-slug": "x", "stages-1-slug": "consume"})
    assert response.status_code == 302, errors_in(response)
    journey.refresh_from_db()
    assert journey.slug == "purchase"
    assert sorted(journey.stages.values_list("slug", flat=True)) == ["buy", "consume"]


def test_the_page_of_a_touchpoint_holds_its_link_code_and_snippet(manager):
    touchpoint = make_touchpoint("delivery", public=True)
    shown = manager.get(page(touchpoint)).content.decode()
    assert public_url(touchpoint) in shown
    assert "&lt;iframe src=" in shown
    assert "<svg" in shown
    assert "/admin/touchpoints/delivery/" in shown


def test_people_are_named_who_are_told_of_bad_news(manager):
    touchpoint = make_touchpoint()

    def tell(address: str):
        total = Watcher.objects.count() + 1
        row = {"TOTAL_FORMS": total, f"{total - 1}-address": address, f"{total - 1}-language": "zh-hans"}
        row |= {f"{total - 1}-active": "on", f"{total - 1}-touchpoint": touchpoint.pk}
        return send(manager, page(touchpoint), **{f"watchers-{name}": value for name, value in row.items()})

    assert tell("boss@shop.example").status_code == 302
    assert tell("slack://TokenA/TokenB/TokenC").status_code in (200, 302)
    assert Watcher.objects.get(address="boss@shop.example").language == "zh-hans"
    for wrong in ("nobody", "nonsense://x", "a@b@c"):
        assert errors_in(tell(wrong))


# --- Rules ------------------------------------------------------------------------------------------------------------


def test_a_new_rules_form_holds_what_the_programme_file_takes_for_granted(manager):
    fields = fields_of(manager.get(add(InvitationRule)).content.decode())
    shown = {name: fields[name][0] for name in ("delay_s", "max_age_s", "sample_share", "expires_s", "active")}
    assert shown == {"delay_s": "0s", "max_age_s": "7d", "sample_share": "100", "expires_s": "14d", "active": "on"}


def test_a_rule_is_made_from_what_people_write(manager):
    touchpoint = make_touchpoint("delivery")
    response = send(
        manager, add(InvitationRule), slug="after", event_type="order.delivered", touchpoint=touchpoint.pk,
        when="facts.wait_seconds < 3600", delay_s="2h", max_age_s="1w", sample_share="12.5", modes_0="sms",
        modes_1="email", expires_s="10d", reminders_s="3d、 7d", resting_same_s="", resting_any_s="0s",
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    row = InvitationRule.objects.get()
    assert (row.delay_s, row.max_age_s, row.expires_s) == (7200, 604_800, 864_000)
    assert row.reminders_s == [259_200, 604_800]
    assert (row.modes, row.sample_share) == (["sms", "email"], 0.125)
    assert (row.resting_same_s, row.resting_any_s) == (None, 0)
    assert (row.priority, row.quota, row.at_time, row.days, row.exempt_resting) == (0, None, None, [], "")


def test_a_rules_policy_is_what_people_write_and_what_they_take_away(manager):
    rule = make_rule()
    response = send(
        manager, page(rule), priority="−5", quota="500", at_time="9：30", days=["sat", "mon"], exempt_resting=" A recall. ",
        exempt_floor="",
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    rule.refresh_from_db()
    assert (rule.priority, rule.quota, rule.at_time, rule.days) == (-5, 500, time(9, 30), ["mon", "sat"])
    assert (rule.exempt_resting, rule.exempt_floor) == ("A recall.", "")
    send(manager, page(rule), priority="", quota="", at_time="", days=list(WEEKDAYS), exempt_resting=" ")
    rule.refresh_from_db()
    assert (rule.priority, rule.quota, rule.at_time, rule.days, rule.exempt_resting) == (0, None, None, [], "")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("when", "facts.wait <", "The expression ends too early, at character 13"),
        ("when", "fact.wait < 3", "“fact” is not known; a name starts with facts, customer or event, at character 1"),
        ("when", "facts.a == 'x", "A text that is not closed, at character 12"),
        ("delay_s", "soon", "“soon” is not a span of time"),
        ("delay_s", "100w1", "is not a span"),
        ("max_age_s", "0s", "longer than nothing"),
        ("sample_share", "101", "0 to 100"),
        ("sample_share", "-1", "0 to 100"),
        ("modes_1", "email", "stands twice"),
        ("reminders_s", "7d, 3d", "in the order"),
        ("reminders_s", "14d", "before the link expires"),
        ("expires_s", "", "required"),
        ("reminders_s", "1d, 2d, 3d", "more than twice"),
        ("priority", "101", "-100 to 100"),
        ("quota", "2.5", "whole number"),
        ("at_time", "25:00", "not a time of day"),
        ("days", ["friday"], "not one of"),
        ("exempt_floor", "x" * 501, "500"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(manager, field, value, said):
    rule = make_rule()
    assert said in errors_in(send(manager, page(rule), **{field: value}))
    rule.refresh_from_db()
    assert (rule.when, rule.modes, rule.sample_share) == ("", ["email"], 1.0)


def test_a_wrong_expression_is_told_in_the_readers_language(manager):
    manager.cookies["django_language"] = "zh-hans"
    assert "表达式提前结束，第 13 个字符" in errors_in(send(manager, page(make_rule()), when="facts.wait <"))


def test_a_rule_needs_an_instrument_from_somewhere(manager):
    bare = make_touchpoint()
    Touchpoint.objects.filter(pk=bare.pk).update(instrument=None)
    assert "names an instrument" in errors_in(send(manager, page(make_rule(bare))))
    assert send(manager, page(make_rule(bare)), instrument=make_instrument().pk).status_code == 302


def test_a_rules_slug_is_fixed_once_it_decided(manager):
    rule = make_rule()
    make_invitation(rule.touchpoint, rule=rule)
    assert "slug" not in fields_of(manager.get(page(rule)).content.decode())
    assert manager.post(page(rule, "delete"), {"post": "yes"}).status_code == 403


def test_a_rule_may_have_a_calendar_in_the_place_of_an_event(manager):
    make_rule(make_touchpoint("delivery"), slug="after")
    touchpoint = make_touchpoint("relationship")
    response = send(
        manager, add(InvitationRule), slug="loyalty", calendar="quarter", touchpoint=touchpoint.pk, modes_0="email",
        when="customer.segment == 'gold'",
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    rule = InvitationRule.objects.get(slug="loyalty")
    assert (rule.calendar, rule.event_type) == ("quarter", "")
    listed = manager.get(reverse("admin:surveys_invitationrule_changelist")).content.decode()
    assert "Each quarter" in listed
    assert "order.delivered" in listed
    assert send(manager, page(rule), calendar="year").status_code == 302
    make_invitation(rule.touchpoint, rule=rule, event=None, period=date(2026, 1, 1))
    assert "stays with events" in errors_in(send(manager, page(rule), calendar="", event_type="order.paid"))
    assert send(manager, page(rule), calendar="month").status_code == 302


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event_type": "order.paid"}, "not both"),
        pytest.param({"calendar": ""}, "This or a calendar", marks=pytest.mark.slow),
        pytest.param({"calendar": "weekly"}, "not one of", marks=pytest.mark.slow),
        pytest.param({"delay_s": "2h"}, "no event after which it could wait", marks=pytest.mark.slow),
        ({"when": "facts.wait > 3"}, "“facts” is not known to a rule on a calendar"),
        ({"touchpoint": "delivery"}, "The rule “after” asks there"),
    ],
)
def test_a_calendar_that_cannot_work_is_refused(manager, changes, said):
    make_rule(make_touchpoint("delivery"), slug="after")
    rule = make_rule(make_touchpoint("relationship"), event_type="", calendar="quarter")
    if "touchpoint" in changes:
        changes = {"touchpoint": Touchpoint.objects.get(slug=changes["touchpoint"]).pk}
    assert said in errors_in(send(manager, page(rule), **changes))


def test_an_event_is_refused_where_a_calendar_asks(manager):
    rule = make_rule(make_touchpoint("relationship"), slug="loyalty", event_type="", calendar="quarter")
    other = make_rule(make_touchpoint("delivery"))
    assert "The rule “loyalty” asks there" in errors_in(send(manager, page(other), touchpoint=rule.touchpoint_id))


# --- The organisation -------------------------------------------------------------------------------------------------


def test_the_organisation_is_one_page(manager):
    listed = manager.get(reverse("admin:surveys_organisation_changelist"))
    assert listed.url == page(Organisation.current())
    assert manager.get(reverse("admin:surveys_organisation_add")).status_code == 403
    assert manager.post(page(Organisation.current(), "delete"), {"post": "yes"}).status_code == 403


def test_changing_the_time_zone_says_what_to_run_once_there_are_days(manager):
    here = page(Organisation.current())
    assert "rebuild_rollups" not in _said(send(manager, here, time_zone="Europe/Berlin"))
    answer(make_touchpoint(), 9)
    assert "rebuild_rollups" in _said(send(manager, here, time_zone="Asia/Tokyo"))
    assert "rebuild_rollups" not in _said(send(manager, here, segment_attribute="tier"))


def _said(response) -> str:
    assert response.status_code == 302, errors_in(response)
    return " ".join(str(message) for message in response.wsgi_request._messages)


def test_languages_keep_their_order_and_others_can_be_named(manager):
    here = page(Organisation.current())
    response = send(manager, here, languages_first="zh-hans", languages_known=["en"], languages_others="DE, pt_BR")
    assert response.status_code == 302, errors_in(response)
    assert Organisation.current().languages == ["zh-hans", "en", "de", "pt-br"]
    assert "languages_known" in fields_of(manager.get(here).content.decode())
    assert "is not a language" in errors_in(send(manager, here, languages_others="!"))


def test_what_a_helpdesk_calls_its_events_is_mapped(manager):
    here = page(Organisation.current())
    rows = {"ticket_events__theirs": ["case.solved", "", "case.new"]}
    rows["ticket_events__ours"] = ["ticket.resolved", "", "ticket.opened"]
    assert send(manager, here, **rows).status_code == 302
    assert Organisation.current().ticket_events == {"case.solved": "ticket.resolved", "case.new": "ticket.opened"}
    rows["ticket_events__theirs"] = ["case.solved", "", "case.solved"]
    assert "stands twice" in errors_in(send(manager, here, **rows))
    rows["ticket_events__ours"] = ["", "", ""]
    assert "Choose what" in errors_in(send(manager, here, **rows))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quiet_hours_email", "9-17", "is not a span of the day"),
        ("quiet_hours_sms", "20:00-20:00", "is not a span of the day"),
        ("time_zone", "Mars/Base", "Mars/Base"),
        ("floor_s", "1 day", "is not a span of time"),
    ],
)
def test_an_organisation_that_cannot_be_is_refused(manager, field, value, said):
    assert said in errors_in(send(manager, page(Organisation.current()), **{field: value}))


def test_working_time_is_typed_as_people_write_it(manager):
    here = page(Organisation.current())
    typed = {
        "working_hours_mon": "9：00 至 12:00，13:00–18:00",
        "working_hours_tue": "09:00-18:00",
        "holiday_country": "CN",
    }
    response = send(manager, here, **typed, closed_days="2026-12-24、2026-01-02\n2026-12-24", open_days="")
    assert response.status_code == 302, errors_in(response)
    organisation = Organisation.current()
    assert organisation.working_hours == {"mon": ["09:00-12:00", "13:00-18:00"], "tue": ["09:00-18:00"]}
    assert (organisation.holiday_country, organisation.closed_days) == ("CN", ["2026-01-02", "2026-12-24"])
    shown = manager.get(here).content.decode()
    assert "09:00-12:00, 13:00-18:00" in shown
    assert "China · CN" in shown
    assert "中国 · CN" in manager.get(here, headers={"accept-language": "zh-hans"}).content.decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"working_hours_fri": "18:00-09:00"}, "are no hours in order"),
        ({"working_hours_fri": "all day"}, "are no hours in order"),
        ({"holiday_country": "XX"}, "XX"),
        ({"holiday_subdivision": "BY"}, "Choose the country"),
        ({"holiday_country": "DE", "holiday_subdivision": "Bavaria"}, "BY, HB"),
        ({"closed_days": "24.12.2026"}, "is not a day such as"),
        ({"closed_days": "2026-10-01", "open_days": "2026-10-01"}, "a closed day and an open one"),
    ],
)
def test_working_time_that_cannot_be_is_refused(manager, typed, said):
    assert said in errors_in(send(manager, page(Organisation.current()), **typed))


def test_changing_working_time_says_what_to_run_once_there_are_tickets(manager):
    here = page(Organisation.current())
    assert "rebuild_rollups" not in _said(send(manager, here, working_hours_mon="09:00-18:00"))
    Ticket.objects.create(source="/desk", reference="T-1", customer=make_customer())
    assert "rebuild_rollups" not in _said(send(manager, here, segment_attribute="tier"))
    assert "rebuild_rollups" in _said(send(manager, here, working_hours_mon="09:00-17:00"))


def test_quiet_hours_may_be_written_as_in_chinese(manager):
    assert send(manager, page(Organisation.current()), quiet_hours_sms="20：00 至 09：00").status_code == 302
    assert Organisation.current().quiet_hours == {"sms": "20:00-09:00"}


def test_a_channel_has_targets_in_a_table_of_its_own(manager):
    here = page(Organisation.current())
    assert send(manager, here, channel_targets_website_nps="40", channel_targets_app_ttr_hours="1,5").status_code == 302
    assert Organisation.current().channel_targets == {"website": {"nps": 40}, "app": {"ttr_hours": 1.5}}
    assert send(manager, here, channel_targets_website_nps="").status_code == 302
    assert Organisation.current().channel_targets == {"app": {"ttr_hours": 1.5}}
    assert "-100 to 100" in errors_in(send(manager, here, channel_targets_website_nps="101"))
    assert Organisation.current().channel_targets == {"app": {"ttr_hours": 1.5}}


def test_the_means_that_a_segment_prefers_stand_in_an_order(manager):
    here = page(Organisation.current())
    rows = {"preferences__segment": ["gold", "", " blue "], "preferences__0": ["sms", "", "email"]}
    rows |= {"preferences__1": ["email", "", ""], "preferences__2": ["", "", ""]}
    assert send(manager, here, **rows).status_code == 302
    assert Organisation.current().preferences == {"gold": ["sms", "email"], "blue": ["email"]}
    assert "“gold” stands twice" in errors_in(
        send(manager, here, **{**rows, "preferences__segment": ["gold", "", "gold"]})
    )
    assert Organisation.current().preferences == {"gold": ["sms", "email"], "blue": ["email"]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("gold", ["email", "email"]), "A mode stands twice"),
        (("gold", ["", ""]), "by which means “gold” is asked"),
        (("", ["email"]), "1 to 100 characters"),
        (("gold", ["fax"]), "not one of the choices"),
    ],
)
def test_a_preference_of_a_segment_that_cannot_be_is_refused(row, said):
    with pytest.raises(ValidationError, match=said):
        PreferencesField().clean([row])


def test_weights_of_segments_stand_in_rows_and_few_is_never_fewer_than_fewest(manager):
    here = page(Organisation.current())
    rows = {"segment_weights__segment": ["gold", "", " blue "], "segment_weights__weight": ["2,5", "", "1"]}
    assert send(manager, here, **rows, min_n="10", low_n="50").status_code == 302
    held = Organisation.current()
    assert (held.segment_weights, held.min_n, held.low_n) == ({"gold": 2.5, "blue": 1}, 10, 50)
    assert "“gold” stands twice" in errors_in(
        send(manager, here, **{**rows, "segment_weights__segment": ["gold", "", "gold"]})
    )
    assert "from 0 to" in errors_in(send(manager, here, **{**rows, "segment_weights__weight": ["", "", "1"]}))
    assert "Not below the fewest answers" in errors_in(send(manager, here, min_n="10", low_n="9"))
    assert "from 2 to 100" in errors_in(send(manager, here, min_n="1"))


def test_a_rules_page_says_what_its_sample_gives(manager):
    rule = make_rule(make_touchpoint("delivery"), sample_share=0.5)
    assert "What the sample gives" not in manager.get(add(InvitationRule)).content.decode()
    for number in range(20):
        told = {"status": "answered", "answered_at": timezone.now()} if number < 10 else {}
        make_invitation(rule.touchpoint, rule=rule, decided_at=timezone.now(), **told)
    said = manager.get(page(rule)).content.decode()
    assert "In the past 30 days 20 could have been asked, 20 were, and 50% of them answered." in said
    assert "A sample of 50% gives about 5 answers a month: an interval of about ±69 points." in said


def test_a_touchpoints_weight_is_never_below_nothing(manager):
    here = page(make_touchpoint("delivery"))
    assert send(manager, here, weight="0.5").status_code == 302
    assert Touchpoint.objects.get(slug="delivery").weight == 0.5
    assert errors_in(send(manager, here, weight="-1"))


# --- Whoever may only look --------------------------------------------------------------------------------------------


def test_no_field_is_raw_json_even_for_those_who_only_look(manager):
    rows = make_everything()
    client = sign_in_as(VIEWER)
    client.user.user_permissions.set(_views())
    for row in rows:
        shown = client.get(page(row)).content.decode()
        assert "{&#x27;" not in shown, row
        assert "&quot;en&quot;" not in shown, row
        assert "[&#x27;" not in shown, row
        assert client.post(page(row), {}).status_code == 403


def _views():
    from django.contrib.auth.models import Permission

    names = ("organisation", "journey", "stage", "touchpoint", "watcher", "instrument", "invitationrule")
    return Permission.objects.filter(codename__in=[f"view_{name}" for name in names])
