"""A question of every kind that the form can ask, by name, and the open forms that ask them."""

from collections.abc import Iterable
from dataclasses import replace

from surveys.flow.instruments import QuestionTerms, publish_version
from surveys.models import Instrument, Touchpoint
from tests.factories import make_touchpoint

LABELS = {
    "low": {"en": "Very dissatisfied", "zh-hans": "非常不满意", "ar": "غير راضٍ على الإطلاق"},
    "high": {"en": "Very satisfied", "zh-hans": "非常满意", "ar": "راضٍ جدًا"},
}
OPTIONS = {
    "late": {"en": "It came late", "zh-hans": "送得太晚", "ar": "وصل متأخرًا"},
    "damaged": {
        "en": "It was damaged, or a part of it was missing",
        "zh-hans": "有破损或缺件",
        "ar": "كان تالفًا أو ناقصًا",
    },
    "other": {"en": "Something else", "zh-hans": "其他", "ar": "شيء آخر"},
}


def _scale(text: dict[str, str], metric: str, points: int, display: str) -> QuestionTerms:
    return QuestionTerms("score", "scale", text, **LABELS, metric=metric, points=points, display=display)


SATISFIED = {
    "en": "How satisfied were you with the delivery?",
    "zh-hans": "您对本次配送满意吗？",
    "ar": "ما مدى رضاك عن التوصيل؟",
}
WRONG = {"en": "What went wrong?", "zh-hans": "出了什么问题？", "ar": "ماذا حدث؟"}
INFLUENCED = {
    "en": "What influenced your score most?",
    "zh-hans": "影响您打分的主要因素有哪些？",
    "ar": "ما الذي أثر في تقييمك؟",
}
BETTER = {"en": "What should we do better?", "zh-hans": "我们该怎么改进？", "ar": "ماذا نحسّن؟"}
KINDS: dict[str, QuestionTerms] = {
    "numbers11": _scale({"en": "How likely are you to recommend us?", "zh-hans": "您会推荐我们吗？"}, "nps", 11, "numbers"),
    "numbers7": _scale(SATISFIED, "ces", 7, "numbers"),
    "numbers5": _scale(SATISFIED, "csat", 5, "numbers"),
    "stars5": _scale(SATISFIED, "csat", 5, "stars"),
    "stars7": _scale(SATISFIED, "csat", 7, "stars"),
    "faces5": _scale(SATISFIED, "csat", 5, "faces"),
    "faces7": _scale(SATISFIED, "csat", 7, "faces"),
    "choice": QuestionTerms("choice", "choice", WRONG, options=OPTIONS),
    "choices": QuestionTerms("choices", "choices", INFLUENCED, options=OPTIONS),
    "verbatim": QuestionTerms("comment", "verbatim", BETTER),
    "yes_no": QuestionTerms("yes_no", "yes_no", {"en": "Was it on time?", "zh-hans": "准时吗？", "ar": "هل وصل في الموعد؟"}),
    "contact": QuestionTerms("contact", "contact", {}),
}  # fmt: skip


def make_form(slug: str, *kinds: str, required: bool = False, **fields: object) -> Touchpoint:
    """An open form that asks these kinds, the first of them scored or behind a scale, since every instrument has a score."""
    asked = list(_with_score(kinds))
    first = asked[0]
    instrument = Instrument.objects.create(slug=slug, metric=first.metric, points=first.points, name={"en": slug})
    publish_version(instrument, [replace(terms, required=required) for terms in asked])
    return make_touchpoint(
        slug, instrument=instrument, public=True, name={"en": "Delivery", "zh-hans": "配送"}, **fields
    )


def _with_score(kinds: Iterable[str]) -> Iterable[QuestionTerms]:
    names = list(kinds)
    if KINDS[names[0]].kind != "scale":
        names.insert(0, "numbers5")
    scales = 0
    for name in names:
        terms = KINDS[name]
        if terms.kind == "scale":
            scales += 1
            terms = terms if scales == 1 else replace(terms, key=f"score{scales}")
        yield terms
