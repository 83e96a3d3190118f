"""What a rule's sample is worth, in words beside the field where it is set. In: a SamplePlan. Out: a few lines; nothing is decided."""

from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from surveys.flow.sample_plan import ENOUGH_ASKED, WANTED, SamplePlan
from surveys.words import rounded


def told_plan(plan: SamplePlan | None) -> SafeString | str:
    """Lines: the last 30 days, what the sample gives, and which one gives an interval worth having."""
    if plan is None:
        return "–"
    said = {"could": _count(plan.could), "asked": _count(plan.asked)}
    if not plan.is_known:
        return _(
            "In the past 30 days %(could)s could have been asked, and %(asked)s were. Once %(least)d have been asked and some have "
            "answered, it is told here how many answers a sample gives and how sure the score is."
        ) % {**said, "least": ENOUGH_ASKED}
    lines = [
        _("In the past 30 days %(could)s could have been asked, %(asked)s were, and %(rate)s of them answered.")
        % {**said, "rate": _percent(plan.rate)},
        _at(plan, plan.share),
    ]
    lines += [_for(plan, half_width) for half_width in WANTED[plan.spread.scale.metric]]
    if not plan.spread.answers:
        lines.append(_("With the widest spread that answers can have: too few are in yet to know their own."))
    items = format_html_join("", "<li>{}</li>", ((line,) for line in lines))
    return format_html('<ul class="cx-plan">{}</ul>', items)


def _at(plan: SamplePlan, share: float) -> str:
    answers = plan.answers_at(share)
    told = {"share": _percent(share), "answers": _count(round(answers)), "points": _points(plan, answers)}
    if not round(answers):
        return _("A sample of %(share)s gives no answers.") % told
    return _("A sample of %(share)s gives about %(answers)s answers a month: an interval of about ±%(points)s.") % told


def _for(plan: SamplePlan, half_width: float) -> str:
    share, wanted = plan.share_for(half_width), plan.spread.answers_for(half_width)
    everybody = plan.answers_at(1)
    told = {"points": _width(plan, half_width), "answers": _count(wanted)}
    if share is None:
        told |= {"all": _count(round(everybody)), "best": _points(plan, everybody)}
        return (
            _("±%(points)s needs %(answers)s answers a month. Asking everybody gives about %(all)s, and ±%(best)s.")
            % told
        )
    return _("±%(points)s needs %(answers)s answers a month: a sample of about %(share)s.") % {
        **told,
        "share": _percent(share),
    }


def _points(plan: SamplePlan, answers: float) -> str:
    widest = (plan.spread.scale.high - plan.spread.scale.low) if plan.spread.scale.metric == "ces" else 100
    return _width(plan, min(plan.spread.half_width(answers), widest))


def _width(plan: SamplePlan, half_width: float) -> str:
    """In points: of NPS, of percent; of a mean in steps of its scale, with a decimal or two."""
    if plan.spread.scale.metric != "ces":
        digits = 0 if half_width >= 1 else 1
        return _("%(count)s points") % {"count": rounded(half_width, digits)}
    return _("%(count)s of the scale") % {"count": rounded(half_width, 2)}


def _count(n: int) -> str:
    return str(number_format(n, use_l10n=True, force_grouping=True))


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{rounded(percent, 0 if percent >= 10 else 1)}%"
