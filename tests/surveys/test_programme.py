import base64
import uuid
from datetime import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from surveys.flow.programme import ProgrammeError, export_programme, import_programme
from surveys.flow.programme.document import Faults, read_document
from surveys.flow.programme.values import origin_of
from surveys.models import (
    Answer,
    Instrument,
    InstrumentVersion,
    InvitationRule,
    Journey,
    Organisation,
    Response,
    Stage,
    Ticket,
    Touchpoint,
    Wording,
)
from surveys.worktime import WEEKDAYS
from tests.factories import NOW, make_customer, make_touchpoint

pytestmark = pytest.mark.django_db

# The contract's own example, with its ellipses filled in.
CONTRACT = """\
organisation: {name: {en: Harbour Tea, zh-hans: 港湾茶}, time_zone: Asia/Shanghai, languages: [en, zh-hans], segment_attribute: tier}
ticket_events: {case.solved: ticket.resolved}
journeys:
  - {slug: purchase, name: {en: Buying, zh-hans: 购买}, stages: [awareness, consider, buy, use, after_sales]}
touchpoints:
  - {slug: delivery, name: {en: Delivery, zh-hans: 配送}, journey: purchase, stage: buy, channel: home_service, instrument: csat5,
     public: true,                    # default false; public_key: generated once, exported, kept
     allowed_origins: ["https://shop.example.com"], targets: {csat: 85, ttr_hours: 24}, active: true}
instruments:
  - slug: delivery-csat
    metric: csat
    scale: 5
    questions:
      - {key: score, kind: scale, text: {en: "How satisfied were you with the delivery?", zh-hans: "您对本次配送满意吗？"}}
      - {key: reason, kind: choices, show_if: {score: [1, 2, 3]}, text: {en: Why?, zh-hans: 为什么？},
         options: {late: {en: Late}, damaged: {en: Damaged, zh-hans: 破损}}}
      - {key: comment, kind: verbatim, required: false, text: {en: Anything else?}}
rules:
  - {slug: after-delivery, event_type: order.delivered, when: "facts.wait_seconds < 3600", touchpoint: delivery, instrument: delivery-csat,
     delay: 2h, max_age: 7d, modes: [email, sms], sample: 1.0, resting: {same: 90d, any: 30d}, expires: 14d, reminders: [3d], active: true}
policy: {floor: 24h, quiet_hours: {sms: "20:00-09:00"}, resting: {same: 90d, any: 30d}}
"""
DAY = 86_400


def faults_of(text: str) -> list[tuple[int, str]]:
    """(line, message) of each fault of a file that must not import."""
    with pytest.raises(ProgrammeError) as caught:
        import_programme(text)
    return [(fault.line, fault.message) for fault in caught.value.faults]


def lines_of(text: str) -> list[int]:
    return [line for line, _message in faults_of(text)]


def everything() -> dict[str, list]:
    kept = (Organisation, Journey, Stage, Touchpoint, Instrument, InstrumentVersion, Wording, InvitationRule)
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in kept}


# --- What the file says is what is there ---


def test_the_contracts_example_becomes_the_configuration():
    import_programme(CONTRACT)
    organisation = Organisation.current()
    assert organisation.name == {"en": "Harbour Tea", "zh-hans": "港湾茶"}
    assert (organisation.time_zone, organisation.languages) == ("Asia/Shanghai", ["en", "zh-hans"])
    assert organisation.segment_attribute == "tier"
    assert organisation.ticket_events == {"case.solved": "ticket.resolved"}
    assert organisation.quiet_hours == {"sms": "20:00-09:00"}
    stages = Stage.objects.filter(journey__slug="purchase").order_by("position")
    assert [stage.slug for stage in stages] == ["awareness", "consider", "buy", "use", "after_sales"]
    assert stages[4].name == {"en": "After sales"}
    touchpoint = Touchpoint.objects.get(slug="delivery")
    assert (touchpoint.stage.slug, touchpoint.channel, touchpoint.instrument.slug) == ("buy", "home_service", "csat5")
    assert (touchpoint.public, touchpoint.targets) == (True, {"csat": 85, "ttr_hours": 24})
    rule = InvitationRule.objects.get()
    assert (rule.delay_s, rule.max_age_s, rule.expires_s, rule.reminders_s) == (7200, 7 * DAY, 14 * DAY, [3 * DAY])
    assert (rule.resting_same_s, rule.resting_any_s, rule.modes) == (90 * DAY, 30 * DAY, ["email", "sms"])
    instrument = rule.instrument
    assert (instrument.metric, instrument.points) == ("csat", 5)
    wordings = instrument.current_version().wordings.order_by("position")
    assert [row.question.key for row in wordings] == ["score", "reason", "comment"]
    assert wordings[0].high_label["en"] == "Very satisfied"
    assert wordings[1].show_if == {"score": [1, 2, 3]}
    assert list(wordings[1].options) == ["late", "damaged"]


def test_what_is_left_out_takes_its_default_when_new():
    import_programme(
        "touchpoints: [{slug: after_sales, channel: app, instrument: nps}]\n"
        "rules: [{slug: r, event_type: x.done, touchpoint: after_sales}]\n"
        "instruments: [{slug: mine, metric: ces}]\n"
    )
    touchpoint, rule = Touchpoint.objects.get(), InvitationRule.objects.get()
    assert touchpoint.name == {"en": "After sales"}
    assert (touchpoint.public, touchpoint.active, touchpoint.targets, touchpoint.journey) == (False, True, {}, None)
    assert len(touchpoint.public_key) >= 8
    assert (rule.delay_s, rule.max_age_s, rule.expires_s, rule.reminders_s) == (0, 7 * DAY, 14 * DAY, [])
    assert (rule.modes, rule.sample_share, rule.active) == (["email"], 1.0, True)
    assert (rule.resting_same_s, rule.resting_any_s, rule.instrument) == (
        None,
        None,
        None,
    )  # the policy's, the touchpoint's
    mine = Instrument.objects.get(slug="mine")
    assert [row.question.key for row in mine.current_version().wordings.all()] == ["score", "reason", "comment"]
    assert mine.points == 7


RESPONDENTS = """\
organisation: {radius: 4, scheme: dark, retention: 730d, privacy: {en: Yours.},
               phrases: {pt_BR: {send: Enviar já, too_long: "Até %(count)d."}}}
instruments:
  - slug: visit
    metric: csat
    scale: 5
    max_questions: 3
    thanks:
      dissatisfied: {title: Sorry, text: {en: We call you.}, links: [{label: {en: Help}, url: "https://shop.example.com/help"}]}
      any: {text: {en: See you}}
    share: {label: {en: Tell others, zh-hans: 告诉大家}, url: "https://reviews.example.com/shop"}
    questions:
      - {key: score, kind: scale, text: How was it?, display: faces}
      - {key: solved, kind: yes_no, text: Was it solved?}
      - {key: contact, kind: contact, show_if: {solved: [no]}}
      - {key: comment, kind: verbatim, text: Anything else?, by_band: {dissatisfied: {en: What went wrong?}}}
"""


def test_what_respondents_see_is_part_of_the_file():
    import_programme(RESPONDENTS)
    organisation = Organisation.current()
    assert (organisation.radius, organisation.scheme) == (4, "dark")
    assert organisation.phrases == {"pt-br": {"send": "Enviar já", "too_long": "Até %(count)d."}}
    assert organisation.privacy_notice.texts == {"en": "Yours."}
    visit = Instrument.objects.get(slug="visit")
    assert visit.max_questions == 3
    help_link = {"label": {"en": "Help"}, "url": "https://shop.example.com/help"}
    assert visit.thanks == {
        "dissatisfied": {"title": {"en": "Sorry"}, "text": {"en": "We call you."}, "links": [help_link]},
        "any": {"title": {}, "text": {"en": "See you"}, "links": []},
    }
    assert visit.share["url"] == "https://reviews.example.com/shop"
    score, solved, contact, comment = Wording.objects.filter(version__instrument=visit).order_by("position")
    assert (score.display, solved.question.kind, contact.question.kind) == ("faces", "yes_no", "contact")
    assert (contact.text, contact.show_if) == ({}, {"solved": ["no"]})
    assert comment.by_band == {"dissatisfied": {"en": "What went wrong?"}}
    exported = export_programme()
    assert import_programme(exported).is_empty
    assert export_programme() == exported


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("radius: 4", "radius: 25", "A number from 0 to 24 is wanted here."),
        ("retention: 730d", "retention: 29d", "Personal data is kept for at least 30d, or for ever: 0s."),
        ("scheme: dark", "scheme: night", "“night” is not known here; it is one of auto, light, dark."),
        ("pt_BR: {", "xx: {", "There are no phrases in “xx”"),
        ("send: Enviar", "sent: Enviar", "The key “sent” is not known here. Do you mean “send”?"),
        ("%(count)d.", "%(number)d.", "%(number)s is no place of this phrase."),
        ("max_questions: 3", "max_questions: -1", "A number from 0 to 50 is wanted here."),
        ("dissatisfied: {title", "detractors: {title", "The key “detractors” is not known here."),
        ("https://shop.example.com/help", "javascript:alert(1)", "“javascript:alert(1)” is not a link"),
        ("{label: {en: Help}, url", "{url", "A link needs its “label”."),
        ("display: faces", "display: smileys", "“smileys” is not known here; it is one of numbers, stars, faces."),
        ("text: Was it solved?", "display: stars, text: Was it solved?", "Only a scale is drawn as stars or faces."),
        ("solved: [no]", "solved: [maybe]", "'maybe' is not “yes” or “no”, as “solved” is answered."),
        ("by_band: {dissatisfied", "by_band: {difficult", "The key “difficult” is not known here."),
        ("key: comment", "key: reference", "The key “reference” is the form's own; choose another."),
    ],
)
def test_what_respondents_see_is_checked(old, new, message):
    assert RESPONDENTS.count(old) == 1
    faults = faults_of(RESPONDENTS.replace(old, new))
    assert [text for _line, text in faults if text.startswith(message)], faults
    assert not Instrument.objects.filter(slug="visit").exists()


POLICY = """\
touchpoints: [{slug: t, channel: app, instrument: nps}]
rules:
  - {slug: r, event_type: x, touchpoint: t, priority: 10, quota: 500, at: "10:00", days: [fri, mon],
     exempt: {floor: "A recall cannot wait."}, reminders: [3d, 7d], consent: true}
"""


def test_a_rules_policy_is_part_of_the_file_and_an_absent_key_keeps_what_is_there():
    import_programme(POLICY)
    rule = InvitationRule.objects.get()
    assert (rule.priority, rule.quota, rule.at_time, rule.days) == (10, 500, time(10), ["mon", "fri"])
    assert (rule.exempt_resting, rule.exempt_floor, rule.needs_consent) == ("", "A recall cannot wait.", True)
    exported = export_programme()
    assert 'at: "10:00"' in exported
    assert import_programme(exported).is_empty
    assert import_programme("rules: [{slug: r}]").is_empty
    import_programme("rules: [{slug: r, quota: null, at: null, days: [], exempt: null, priority: 0}]")
    rule.refresh_from_db()
    assert (rule.priority, rule.quota, rule.at_time, rule.days, rule.exempt_floor) == (0, None, None, [], "")
    assert import_programme(export_programme()).is_empty


def test_a_reason_alone_exempts_from_both_and_every_day_is_no_choice():
    import_programme(
        POLICY.replace('{floor: "A recall cannot wait."}', "A recall.").replace("fri, mon", ", ".join(WEEKDAYS))
    )
    rule = InvitationRule.objects.get()
    assert (rule.exempt_resting, rule.exempt_floor, rule.days) == ("A recall.", "A recall.", [])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("priority: 10", "priority: 101", "from -100 to 100"),
        ("priority: 10", "priority: 1.5", "whole number"),
        ("quota: 500", "quota: -1", "from 0 to"),
        ("quota: 500", "quota: some", "A number"),
        ('"10:00"', '"24:00"', "not a time of day"),
        ('"10:00"', "10", "not a time of day"),
        ("fri, mon", "friday", "not known here"),
        ("fri, mon", "fri, fri", "stands twice"),
        ("{floor:", "{ceiling:", "not known here"),
        ("[3d, 7d]", "[1d, 2d, 3d]", "more than 2 times"),
    ],
)
def test_a_policy_that_cannot_be_is_told_with_its_line(old, new, message):
    ((line, said),) = faults_of(POLICY.replace(old, new))
    assert line in (3, 4)
    assert message in said


def test_an_exemption_without_a_reason_is_none():
    import_programme(POLICY.replace('"A recall cannot wait."', '""'))
    assert InvitationRule.objects.get().exempt_floor == ""


WORK = """\
organisation:
  working_hours: {mon: ["09:00-12:00", "13:00-18:00"], tue: 09:00-18:00, sat: [], sun: null}
  holidays: DE-BY
  closed_days: [2026-12-31, 2026-12-24]
  open_days: [2026-10-03]
"""


def test_working_time_is_part_of_the_file():
    import_programme(WORK)
    organisation = Organisation.current()
    assert organisation.working_hours == {"mon": ["09:00-12:00", "13:00-18:00"], "tue": ["09:00-18:00"]}
    assert (organisation.holiday_country, organisation.holiday_subdivision) == ("DE", "BY")
    assert (organisation.closed_days, organisation.open_days) == (["2026-12-24", "2026-12-31"], ["2026-10-03"])
    exported = export_programme()
    assert "mon: [09:00-12:00, 13:00-18:00]" in exported
    assert "holidays: DE-BY" in exported
    assert import_programme(exported).is_empty
    assert import_programme("organisation: {languages: [en, zh-hans]}").is_empty
    import_programme("organisation: {holidays: null, working_hours: {}, closed_days: [], open_days: null}")
    assert Organisation.current().work_calendar is None
    assert import_programme(export_programme()).is_empty


def test_a_place_that_yaml_takes_for_a_flag_survives():
    import_programme("organisation: {holidays: NO}")
    assert Organisation.current().holiday_country == "NO"
    assert 'holidays: "NO"' in export_programme()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mon:", "monday:", "is not a weekday"),
        ('"09:00-12:00"', '"9-12"', "are no hours"),
        ('"09:00-12:00"', '"09:00-13:30"', "begins before"),
        ("tue: 09:00-18:00", "tue: 22:00-06:00", "two spans"),
        ("DE-BY", "DE-XX", "is not a part of DE"),
        ("DE-BY", "Germany", "is not a country"),
        ("2026-12-24", "2026-12-32", "is not a day"),
        ("2026-12-24", "20261224", "is not a day"),
        ("2026-10-03", "2026-12-31", "a closed day and an open one"),
    ],
)
def test_working_time_that_cannot_be_is_told_with_its_line(old, new, message):
    ((line, said),) = faults_of(WORK.replace(old, new))
    assert 2 <= line <= 5
    assert message in said


def test_changed_working_time_says_what_to_run_once_there_are_tickets():
    assert not any("rebuild_rollups" in note for note in import_programme(WORK).notes)
    Ticket.objects.create(source="/desk", reference="T-1", customer=make_customer())
    assert not any("rebuild_rollups" in note for note in import_programme(WORK).notes)
    assert any("rebuild_rollups" in note for note in import_programme(WORK.replace("DE-BY", "FR")).notes)


LETTERS = """\
organisation:
  sender: {name: {en: "Harbour Tea, Ltd", zh-hans: 港湾茶}, address: hello@tea.example.com, reply_to: care@tea.example.com}
touchpoints: [{slug: t, channel: app, instrument: nps}]
rules:
  - slug: r
    event_type: x
    touchpoint: t
    letter:
      subject: {en: "How was your tea, {name}?", zh: "{touchpoint}怎么样？"}
      opening: "Thank you from\\n{organisation}."
      reminder_subject: {en: Cold by now?}
"""


def test_the_sender_and_a_rules_own_letters_are_part_of_the_file():
    read = {
        "subject": {"en": "How was your tea, {name}?", "zh-hans": "{touchpoint}怎么样？"},
        "opening": {"en": "Thank you from\n{organisation}."},
        "reminder_subject": {"en": "Cold by now?"},
    }
    import_programme(LETTERS)
    rule, organisation = InvitationRule.objects.get(), Organisation.current()
    assert rule.letter == read
    assert organisation.sender_name == {"en": "Harbour Tea, Ltd", "zh-hans": "港湾茶"}
    assert (organisation.sender_address, organisation.reply_to) == ("hello@tea.example.com", "care@tea.example.com")
    exported = export_programme()
    assert import_programme(exported).is_empty
    assert import_programme("rules: [{slug: r}]\norganisation: {}").is_empty
    import_programme("rules: [{slug: r, letter: {closing: Yours}}]\norganisation: {sender: {name: Tea}}")
    rule, organisation = InvitationRule.objects.get(), Organisation.current()
    assert rule.letter == {"closing": {"en": "Yours"}}
    assert (organisation.sender_name, organisation.sender_address, organisation.reply_to) == ({"en": "Tea"}, "", "")
    import_programme("rules: [{slug: r, letter: null}]\norganisation: {sender: null}")
    assert InvitationRule.objects.get().letter == {}
    assert Organisation.current().sender_name == {}
    import_programme(exported)
    assert export_programme() == exported


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("{touchpoint}怎", "{touch}怎", 9, "{touch} is filled in by nothing; known are {organisation}, {touchpoint}"),
        ("from\\n{organisation}", "from {organization}", 10, "{organization} is filled in by nothing"),
        ("Cold by now?", "x" * 151, 11, "at most 150 fit"),
        ("opening:", "greeting:", 10, "The key “greeting” is not known here"),
        ("hello@tea.example.com", "hello", 2, "“hello” is not an email address."),
        ("care@tea.example.com", '"a@b.example, c@d.example"', 2, "is not an email address"),
    ],
)
def test_a_letter_that_cannot_be_is_told_with_its_line(old, new, line, message):
    ((found, said),) = faults_of(LETTERS.replace(old, new))
    assert message in said
    assert found == line


LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><rect width="20" height="10"/></svg>"""


def test_the_logo_travels_in_the_file():
    drawing = base64.b64encode(LOGO.encode()).decode()
    text = f"organisation: {{logo: 'data:image/svg+xml;base64,{drawing}'}}"
    import_programme(text)
    logo = Organisation.current().logo
    assert (logo.content_type, logo.width, logo.height, bytes(logo.data)) == ("image/svg+xml", 20, 10, LOGO.encode())
    exported = export_programme()
    assert import_programme(exported).is_empty
    import_programme("organisation: {logo: null}")
    assert Organisation.current().logo is None
    import_programme(exported)
    assert Organisation.current().logo == logo


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("https://shop.example.com/logo.png", "A logo is written as data:image/png;base64,…"),
        ("data:image/png;base64,%%%", "A logo is written as data:image/png;base64,…"),
        ("data:image/png;base64,aGVsbG8=", "This is no PNG, JPEG, WebP or SVG."),
        (f"data:image/svg+xml;base64,{base64.b64encode(LOGO.replace('rect', 'script').encode()).decode()}", ""),
    ],
)
def test_what_is_no_logo_is_told(written, message):
    [(line, told)] = faults_of(f"organisation:\n  logo: '{written}'")
    assert line == 2
    assert told.startswith(message)
    assert Organisation.current().logo is None


def test_how_scores_are_told_and_weighted_is_part_of_the_file():
    import_programme(CONTRACT)
    assert (Organisation.current().min_n, Organisation.current().low_n, Touchpoint.objects.get().weight) == (5, 30, 1)
    import_programme(
        'organisation: {minimum_n: 10, low_n: 50, segment_weights: {gold: 2.5, 银卡: 1, "": 0}}\n'
        "touchpoints: [{slug: delivery, weight: 0.25}]"
    )
    held = Organisation.current()
    assert (held.min_n, held.low_n, held.segment_weights) == (10, 50, {"gold": 2.5, "银卡": 1, "": 0})
    assert Touchpoint.objects.get().weight == 0.25
    written = export_programme()
    assert import_programme(written).is_empty
    assert export_programme() == written
    import_programme("organisation: {segment_attribute: level}")
    assert Organisation.current().segment_weights == {"gold": 2.5, "银卡": 1, "": 0}
    import_programme("organisation: {segment_weights: {}}")
    assert Organisation.current().segment_weights == {}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("organisation: {minimum_n: 1}", "from 2 to 100"),
        ("organisation: {minimum_n: 101}", "from 2 to 100"),
        ("organisation: {minimum_n: 5.5}", "A whole number"),
        ("organisation: {minimum_n: 31}", "low_n (30) is below minimum_n (31)"),
        ("organisation: {low_n: 4}", "low_n (4) is below minimum_n (5)"),
        ("organisation: {segment_weights: {gold: -1}}", "A number from 0"),
        ("organisation: {segment_weights: {gold: much}}", "A number from 0"),
        ("touchpoints: [{slug: delivery, channel: app, weight: -0.5}]", "A number from 0"),
    ],
)
def test_what_scores_cannot_be_told_by_is_refused(written, message):
    assert message in faults_of(written)[0][1]


def test_a_plain_text_counts_for_the_first_language():
    import_programme("organisation: {name: 港湾茶, languages: [zh-CN, en]}\njourneys: [{slug: buying, name: 购买}]")
    assert Organisation.current().name == {"zh-hans": "港湾茶"}
    assert Organisation.current().languages == ["zh-hans", "en"]
    assert Journey.objects.get().name == {"zh-hans": "购买"}


def test_an_absent_key_keeps_its_value_and_a_map_that_is_given_replaces_the_whole_map():
    import_programme(CONTRACT)
    import_programme(
        "touchpoints: [{slug: delivery, name: {en: Bringing}, targets: {csat: 90}}]\n"
        "rules: [{slug: after-delivery, resting: {same: 10d}}]\n"
        "policy: {resting: {any: 1d}}\n"
    )
    touchpoint, rule, organisation = Touchpoint.objects.get(), InvitationRule.objects.get(), Organisation.current()
    assert (touchpoint.name, touchpoint.targets) == ({"en": "Bringing"}, {"csat": 90})
    assert (touchpoint.public, touchpoint.stage.slug) == (True, "buy")
    assert (rule.resting_same_s, rule.resting_any_s, rule.delay_s) == (10 * DAY, None, 7200)
    assert (organisation.resting_same_s, organisation.resting_any_s) == (90 * DAY, DAY)
    assert (organisation.floor_s, organisation.quiet_hours) == (DAY, {"sms": "20:00-09:00"})


def test_channels_have_targets_of_their_own():
    import_programme(
        "organisation: {channel_targets: {website: {nps: 40}, app: {csat: 85, ttr_hours: 1.5}, on_site: {}}}"
    )
    assert Organisation.current().channel_targets == {"website": {"nps": 40}, "app": {"csat": 85, "ttr_hours": 1.5}}
    exported = export_programme()
    import_programme("organisation: {channel_targets: }")
    assert Organisation.current().channel_targets == {}
    import_programme(exported)
    assert Organisation.current().channel_targets == {"website": {"nps": 40}, "app": {"csat": 85, "ttr_hours": 1.5}}
    assert import_programme(exported).is_empty
    assert lines_of("organisation:\n  channel_targets:\n    website: {nps: 101}\n    fax: {nps: 1}\n") == [3, 4]


def test_nothing_is_ever_deleted():
    import_programme(CONTRACT)
    import_programme("journeys: [{slug: purchase, stages: [use, buy]}]\ntouchpoints: []\nrules: []\n")
    assert Touchpoint.objects.exists()
    assert InvitationRule.objects.exists()
    stages = Stage.objects.filter(journey__slug="purchase").order_by("position")
    assert [stage.slug for stage in stages] == ["awareness", "consider", "use", "buy", "after_sales"]


def test_rows_stand_in_the_order_of_the_file():
    import_programme("journeys: [{slug: c}, {slug: a}, {slug: b}]")
    assert list(Journey.objects.values_list("slug", flat=True)) == ["c", "a", "b"]
    import_programme("journeys: [{slug: b}, {slug: c}]")
    assert list(Journey.objects.values_list("slug", flat=True)) == ["b", "a", "c"]


def test_texts_that_yaml_would_take_for_something_else_stay_texts():
    import_programme(
        "touchpoints:\n"
        "  - {slug: 'on', channel: app, instrument: nps, name: {no: 123, en: yes}}\n"
        "instruments:\n"
        "  - slug: vote\n    metric: nps\n    questions:\n"
        "      - {key: score, kind: scale, text: 1.0}\n"
        "      - {key: reason, kind: choice, text: 2026-01-01, options: {yes: {en: no}, off: off}}\n"
    )
    assert Touchpoint.objects.get().name == {"no": "123", "en": "yes"}
    score, reason = Wording.objects.filter(version__instrument__slug="vote").order_by("position")
    assert (score.text, reason.text) == ({"en": "1.0"}, {"en": "2026-01-01"})
    assert reason.options == {"yes": {"en": "no"}, "off": {"en": "off"}}


# --- Versions ---


def questions(*texts: str) -> str:
    lines = [
        f"- {{key: {'score' if i == 0 else f'q{i}'}, kind: {'scale' if i == 0 else 'verbatim'}, text: {t}}}"
        for i, t in enumerate(texts)
    ]
    return "instruments:\n- slug: mine\n  metric: csat\n  scale: 7\n  questions:\n" + "".join(
        f"    {line}\n" for line in lines
    )


def answer(instrument: Instrument) -> None:
    """As flow.respond leaves it: an answer to the score, and a version that is frozen."""

    version = instrument.current_version()
    touchpoint = make_touchpoint(instrument=instrument)
    response = Response.objects.create(
        client_id=uuid.uuid4(),
        touchpoint=touchpoint,
        version=version,
        mode="app",
        day=NOW.date(),
        responded_at=NOW,
        recorded_at=NOW,
    )
    Answer.objects.create(response=response, question=instrument.questions.get(key="score"), score=3)
    InstrumentVersion.objects.filter(pk=version.pk).update(answered=True)


def test_an_unanswered_wording_is_replaced_in_place_and_an_answered_one_gets_a_successor():
    import_programme(questions("One?", "Two?"))
    import_programme(questions("One!"))
    mine = Instrument.objects.get(slug="mine")
    assert (mine.versions.count(), mine.questions.count()) == (1, 1)
    answer(mine)
    frozen = mine.current_version()
    import_programme(questions("One."))
    assert [v.number for v in mine.versions.order_by("number")] == [1, 2]
    assert frozen.wordings.get().text == {"en": "One!"}
    assert mine.current_version().wordings.get().question == frozen.wordings.get().question


def test_the_same_questions_make_no_new_version():
    import_programme(questions("One?"))
    answer(Instrument.objects.get(slug="mine"))
    assert import_programme(questions("One?")).is_empty
    assert InstrumentVersion.objects.filter(instrument__slug="mine").count() == 1


def test_an_answered_questions_kind_metric_and_scale_never_change():
    import_programme(questions("One?"))
    answer(Instrument.objects.get(slug="mine"))
    assert lines_of(questions("One?").replace("scale: 7", "scale: 5")) == [4]
    assert lines_of(questions("One?").replace("metric: csat", "metric: ces")) == [3]
    assert lines_of("instruments: [{slug: nps, metric: csat, scale: 5}]") == [1]


def test_an_answered_touchpoints_channel_is_fixed():
    import_programme(questions("One?"))
    answer(Instrument.objects.get(slug="mine"))
    slug = Touchpoint.objects.get().slug
    assert lines_of(f"touchpoints:\n  - slug: {slug}\n    channel: on_site\n") == [3]
    assert import_programme(f"touchpoints: [{{slug: {slug}, channel: website}}]").is_empty


# --- All or nothing, with every fault and its line ---

WRONG = """\
organisation:
  time_zone: Asia/Shangai
  languages: []
  colour: "#123456"
journeys:
  - {slug: purchase, stages: [buy, buy]}
  - slug: purchase
touchpoints:
  - slug: delivery
    channel: doorstep
  - slug: kiosk
    channel: on_site
    journey: purchase
    stage: cellar
    instrument: npss
    public: no
    targets: {nps: 200, stars: 3}
    allowed_origins: ["shop.example.com", "https://a.example/x"]
    public_key: short
  - name: Nameless
rules:
  - slug: one
    event_type: order.delivered
    touchpoint: kiosk
    delay: 2 hours
    sample: 1.5
    modes: [pigeon]
    reminders: [3d, 1d]
    resting: {some: 3d}
    when: >
      facts.wait < 3 and

      facts.carrier ~ "SF"
  - {slug: two, touchpoint: nowhere}
policy: {quiet_hours: {email: "25:00-09:00"}, floor: -1d}
surprise: 1
"""


def test_every_fault_is_told_with_its_line_and_nothing_changes():
    before = everything()
    assert lines_of(WRONG) == [
        2,
        3,
        4,
        6,
        7,
        10,
        14,
        15,
        16,
        17,
        17,
        18,
        18,
        19,
        20,
        25,
        26,
        27,
        28,
        29,
        33,
        34,
        34,
        35,
        35,
        36,
    ]
    assert {key: rows for key, rows in everything().items() if key != "Organisation"} == {
        key: rows for key, rows in before.items() if key != "Organisation"
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("a: [1, 2", 1),
        ("journeys:\n  - {slug: a}\n\t- {slug: b}\n", 3),
        ("- 1\n- 2\n", 1),
        ("journeys: 7\n", 1),
        ("policy:\n  floor: 1d\n  floor: 2d\n", 3),
        ("policy: {floor: 1d}\npolicy: {floor: 1d}\n", 2),
        ("---\npolicy: {floor: 1d}\n---\npolicy: {floor: 2d}\n", 3),
        ("organisation:\n  name: &a {en: *a}\n", 2),
        ("x: !!python/object:os.system {}\n", 1),
    ],
)
def test_what_is_not_a_programme_at_all_is_told_with_its_line(text, line):
    assert lines_of(text)[0] == line


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("{key: Reason, kind: verbatim, text: Why?}", "lower-case"),
        ("{key: score, kind: verbatim, text: Why?}", "twice"),
        ("{key: why, kind: essay, text: Why?}", "essay"),
        ("{key: why, kind: choices, text: Why?}", "options"),
        ("{key: why, kind: verbatim, text: Why?, options: {a: A}}", "options"),
        ("{key: why, kind: verbatim, text: Why?, show_if: {nothing: [1]}}", "earlier"),
        ("{key: why, kind: verbatim, text: Why?, show_if: {score: [8]}}", "scale"),
        ("{key: why, kind: verbatim, text: Why?, show_if: {score: [true]}}", "scale"),
        ("{key: why, kind: verbatim, text: Why?, low: {en: No}}", "labels"),
        ("{key: why, kind: verbatim}", "text"),
        ("{key: why, kind: scale, metric: csat, scale: 6, text: Why?}", "points"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_at_their_line(question, field):
    text = (
        "instruments:\n- slug: mine\n  metric: csat\n  scale: 7\n  questions:\n"
        f"  - {{key: score, kind: scale, text: How?}}\n  - {question}\n"
    )
    found = faults_of(text)
    assert {line for line, _message in found} == {7}
    assert any(field in message for _line, message in found)


def test_an_instrument_needs_its_score():
    text = "instruments:\n- slug: mine\n  metric: nps\n  questions:\n  - {key: why, kind: verbatim, text: Why?}\n"
    assert "score" in faults_of(text)[0][1]


def test_a_scale_may_measure_something_else_than_the_instrument():
    import_programme(questions("One?") + "    - {key: effort, kind: scale, metric: ces, text: Easy?}\n")
    effort = Instrument.objects.get(slug="mine").questions.get(key="effort")
    assert (effort.metric, effort.points) == ("ces", 7)


@pytest.mark.parametrize("points", [6, 10, "five"])
def test_only_the_scales_that_are_measured_exist(points):
    assert lines_of(f"instruments:\n- slug: mine\n  metric: csat\n  scale: {points}\n") == [4]


def test_two_touchpoints_never_share_a_public_key():
    import_programme("touchpoints: [{slug: a, channel: app, public_key: abcdefgh}]")
    text = "touchpoints:\n- {slug: b, channel: app, public_key: abcdefgh}\n"
    assert lines_of(text) == [2]


def test_a_stage_must_be_of_the_touchpoints_journey():
    import_programme(
        "journeys: [{slug: one, stages: [x]}, {slug: two, stages: [y]}]\ntouchpoints: [{slug: t, channel: app, journey: one, stage: x}]"
    )
    assert lines_of("touchpoints:\n- slug: t\n  stage: y\n") == [3]
    assert lines_of("touchpoints:\n- slug: t\n  journey: two\n") == [3]
    import_programme("touchpoints: [{slug: t, journey: two, stage: y}]")
    import_programme("touchpoints: [{slug: t, journey: null, stage: null}]")
    assert Touchpoint.objects.get().stage is None


def test_a_rule_that_would_ask_nothing_is_refused():
    text = "touchpoints: [{slug: t, channel: app}]\nrules:\n- {slug: r, event_type: x, touchpoint: t}\n"
    assert lines_of(text) == [3]


@pytest.mark.parametrize("style", ["|", ">", ">-", "|+"])
def test_a_wrong_condition_is_told_in_its_own_line(style):
    text = (
        "touchpoints: [{slug: t, channel: app, instrument: nps}]\nrules:\n- slug: r\n  event_type: x\n  touchpoint: t\n"
        f"  when: {style}\n    facts.a == 1\n    and facts.b ==\n    == 2\n"
    )
    assert lines_of(text) == [9]


def test_aliases_do_not_blow_up():
    bomb = "x0: &x0 [a]\n" + "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 30))
    assert set(lines_of(bomb)) == set(range(1, 31))


# --- There and back ---


def test_exporting_and_importing_again_changes_nothing():
    import_programme(CONTRACT)
    before, exported = everything(), export_programme()
    again = import_programme(exported)
    assert again.is_empty
    assert everything() == before
    assert export_programme() == exported


def test_the_export_makes_the_same_programme_elsewhere():
    import_programme(CONTRACT)
    exported = export_programme()
    for model in (InvitationRule, Touchpoint, Stage, Journey):
        model.objects.all().delete()
    Wording.objects.filter(version__instrument__builtin=False).delete()
    Instrument.objects.filter(builtin=False).delete()
    Organisation.objects.all().delete()
    import_programme(exported)
    assert export_programme() == exported


def test_an_edited_builtin_travels_and_a_standard_one_is_not_repeated():
    assert "slug: nps" not in export_programme()
    import_programme("instruments: [{slug: nps, questions: [{key: score, kind: scale, text: {en: Would you?}}]}]")
    assert "Would you?" in export_programme()


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "~",
        "'",
        '"',
        "a: b",
        "# x",
        "- x",
        "{x}",
        "*a",
        "50%",
        "a\nb\n\nc",
        "a\u2028b",
        "x" * 150,
        "<b>&",
        "12:30",
        "=",
        "日本\u3000語",
    ],
)
def test_any_text_survives_the_way_there_and_back(text):
    make_touchpoint("t", name={"en": text, "no": text}, instrument=Instrument.objects.get(slug="nps"))
    exported = export_programme()
    assert import_programme(exported).is_empty, exported
    assert Touchpoint.objects.get().name == {"en": text, "no": text}


# --- Commands ---


def test_a_dry_run_says_what_would_change_and_changes_nothing(tmp_path):
    file = tmp_path / "programme.yaml"
    file.write_text(CONTRACT)
    out = StringIO()
    call_command("import_programme", str(file), "--dry-run", stdout=out)
    assert "+ touchpoint delivery" in out.getvalue()
    assert not Touchpoint.objects.exists()
    call_command("import_programme", str(file), stdout=out)
    out = StringIO()
    call_command("import_programme", str(file), stdout=out)
    assert "Nothing changes" in out.getvalue()


def test_the_command_tells_file_line_and_place(tmp_path):
    file = tmp_path / "programme.yaml"
    file.write_text("rules:\n- {slug: r, event_type: x, touchpoint: t, delay: soon}\n")
    with pytest.raises(CommandError, match=r"programme.yaml: line 2: rules\.r\.delay: “soon” is not a span"):
        call_command("import_programme", str(file))


def test_a_file_that_is_missing_or_not_utf8_is_told(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_programme", str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"policy: {}\n# caf\xe9\n")
    with pytest.raises(CommandError, match="line 2: This is not UTF-8"):
        call_command("import_programme", str(tmp_path / "latin.yaml"))


def test_export_prints_what_import_reads(tmp_path):
    import_programme(CONTRACT)
    out = StringIO()
    call_command("export_programme", stdout=out)
    file = tmp_path / "programme.yaml"
    file.write_text(out.getvalue())
    again = StringIO()
    call_command("import_programme", str(file), stdout=again)
    assert "Nothing changes" in again.getvalue()


def test_a_document_knows_where_its_keys_are():
    root = read_document(Faults("a:\n  b: {c: 1,\n      d: 2}\n"))
    assert root.entries()["a"].entries()["b"].entries()["d"].line == 3


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://Shop.example.com:443/", "https://shop.example.com"),
        ("http://shop.example.com:80", "http://shop.example.com"),
        ("https://shop.example.com:80", "https://shop.example.com:80"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(written, sent):
    assert origin_of(written) == sent
