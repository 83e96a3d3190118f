"""PURE: what a customer's text message means. In: the text, and the scale it was asked on. Out: a Reply.

A wrong score is worse than a second question, so only what a reader would take for one answer is one: "9", "9 很好", "10/10",
"nine, thank you", "九分". Not "9-10", not "9 10", not "9.5", not "20 minutes", and not "十分满意", which says "very satisfied".
"""

import re
import unicodedata
from dataclasses import dataclass

STOP, START, HELP = "stop", "start", "help"


@dataclass(frozen=True, slots=True)
class Reply:
    """A command, or a score with or without words, or (all empty) nothing that was understood. `verbatim` is in the customer's words."""

    score: int | None = None
    command: str = ""
    verbatim: str = ""

    @property
    def is_understood(self) -> bool:
        return self.score is not None or bool(self.command)

    @property
    def is_bare_score(self) -> bool:
        return self.score is not None and not self.verbatim


NOT_UNDERSTOOD = Reply()

_COMMANDS = {
    **dict.fromkeys(("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "t", "td", "n"), STOP),
    **dict.fromkeys(("optout", "revoke", "退订", "退訂", "取消订阅", "取消訂閱", "回复退订", "回复td", "回复t"), STOP),
    **dict.fromkeys(("start", "unstop", "恢复订阅", "恢復訂閱", "恢复", "恢復", "重新订阅", "重新訂閱"), START),
    **dict.fromkeys(("help", "info", "帮助", "幫助"), HELP),
}
_ENGLISH = {
    word: number
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
_CHINESE = {
    **{letter: number for number, letter in enumerate("零一二三四五六七八九十")},
    **{letter: number for number, letter in enumerate("〇壹贰叁肆伍陆柒捌玖拾")},
    "两": 2,
    "兩": 2,
    "貳": 2,
    "參": 3,
    "陸": 6,
}
_NUMBER = rf"(?:\d+|🔟|满分|滿分|(?:{'|'.join(_ENGLISH)})(?![a-z])|[{''.join(_CHINESE)}])"
_KEYCAP = "[\ufe0f\u20e3]*"
# What may stand before a score without saying anything.
_LEAD = re.compile(
    r"[\s\"'“”‘’「」()\[\]【】#*+]*"
    r"(?:(?:my )?(?:score|rating)(?: is)?|i(?:'d|’d| would)? (?:give|say|rate)(?: (?:it|you|this|a|an))*|answer"
    r"|我?(?:的)?(?:评分|分数|打分|評分|分數)是?|我?(?:打|给|給|选|選)(?:你们|你們|您|你)?)?"
    r"\s*[:=]?\s*"
)
_SCORE = re.compile(
    rf"(?P<number>{_NUMBER}){_KEYCAP}"
    rf"(?:\s*(?:/|out of|of)\s*(?P<of>{_NUMBER}))?"
    r"(?P<unit>\s*(?:分(?![钟鐘之钱錢])|(?:points?|pts?|stars?)(?![a-z])|颗?星))?"
)
# A number that counts something else than satisfaction.
_COUNTS = re.compile(
    r"\s*(?:(?:minutes?|mins?|hours?|hrs?|h|days?|weeks?|months?|years?|times?|people|persons?|staff|items?|things?|calls?|emails?|"
    r"am|pm|percent|of|th|st|nd|rd|o'?clock|star hotel)(?![a-z])"
    r"|[%:°$€£¥]|分[钟鐘之钱錢]|小时|小時|个|個|天|周|週|次|人|年|月|日|号|號|点|點|元|块|塊|星期|件|遍|位|家|折|直|般|些|定|样|樣|起|下)"
)
_RANGE = re.compile(rf"\s*(?:-|–|—|~|/|to|or|or maybe|或者?|到|至)\s*{_NUMBER}")
_SECOND = re.compile(rf"[\s,，、;；.。&+]*(?:and\s+|和\s*)?(?P<number>{_NUMBER}){_KEYCAP}")
# A number in words is a score only where it stands alone, or before what people say of a score.
_PRAISE = re.compile(
    r"\s+(?:very|really|so|great|good|excellent|bad|terrible|awful|because|but|the|it|i|thanks?|thank|love|nice|awesome|happy|"
    r"perfect|fantastic|amazing|poor|satisfied|not)(?![a-z])|\s*(?:很|非常|太|真|挺|因为|因為|但|不错|不錯|好|差|满意|滿意|谢谢|謝謝)"
)
_ENDS = re.compile(r"\s*(?:$|[,，.。!！?？;；:：、\n)\]\"'”’～~-])")
_AROUND = " \t\r\n.,;:!?。，；：！？、·-–—~～*\"'“”‘’「」()（）[]【】/\ufe0f\u20e3"


def read_reply(text: str, low: int = 0, high: int = 10) -> Reply:
    """What a text says, asked for a whole number from `low` to `high`. NOT_UNDERSTOOD where it is not clear."""
    plain = _plain(text)
    command = _command_in(plain)
    if command:
        return Reply(command=command)
    lead = _LEAD.match(plain)
    start = lead.end() if lead else 0
    found = _SCORE.match(plain, start)
    if found is None:
        return _at_the_end(text, plain, low, high)
    score = _value(found["number"], high)
    if found["of"] is not None and _value(found["of"], high) != high:
        return NOT_UNDERSTOOD
    if not low <= score <= high or not _is_alone(plain, found, low, high):
        return NOT_UNDERSTOOD
    return Reply(score, verbatim=_words(text[found.end() :]))


def _is_alone(plain: str, found: "re.Match[str]", low: int, high: int) -> bool:
    """Whether the number found is the answer, and not a part of another number or the count of something."""
    rest = plain[found.end() :]
    is_digits = found["number"].isdigit()
    if found["unit"] is None and found["of"] is None:
        if _COUNTS.match(rest) or re.match(r"[.,]\d", rest):
            return False
        if is_digits and re.match(r"[a-z]", rest):
            return False
        if found["number"].isalpha() and not (_ENDS.match(rest) or _PRAISE.match(rest) or _SECOND.match(rest)):
            return False
    elif found["number"] == "十" and rest and not _ENDS.match(rest):
        return False  # 十分 before anything is "very"
    if _RANGE.match(rest):
        return False
    second = _SECOND.match(rest)
    if second is None:
        return True
    counts = _COUNTS.match(rest, second.end()) or re.match(r"[a-z]", rest[second.end() :])
    between = second.start("number")
    return bool(counts) and between > 0


def _at_the_end(text: str, plain: str, low: int, high: int) -> Reply:
    """ "Great service! 9": a number that stands alone behind a finished sentence, and no other before it."""
    found = re.search(r"^(?P<said>.*[.!?,;:。\n])\s*(?P<number>\d+)\s*(?:分|points?)?[\s.!。]*$", plain, re.DOTALL)
    if found is None or re.search(r"\d", found["said"]) or not low <= int(found["number"]) <= high:
        return NOT_UNDERSTOOD
    return Reply(int(found["number"]), verbatim=_words(text[: found.start("number")].rstrip(",，;；:：、 \n")))


def _command_in(plain: str) -> str:
    word = re.sub(r"[\s\W_]+", "", plain)
    if word in _COMMANDS:
        return _COMMANDS[word]
    # In a few letters of Chinese around it the wish is as plain, unless it is denied.
    if re.search("退订|退訂", word) and len(word) <= 8 and not re.search("不|没|沒|别|別", word):
        return STOP
    return ""


def _value(number: str, high: int) -> int:
    if number.isdecimal():
        return int(number) if len(number) < 4 else -1
    if number == "🔟":
        return 10
    if number in ("满分", "滿分"):
        return high
    return _ENGLISH.get(number, _CHINESE.get(number, -1))


def _words(text: str) -> str:
    return text.strip().lstrip(_AROUND).strip()


def _plain(text: str) -> str:
    """The text in small letters, half width and ASCII digits, letter by letter, so that places in it are places in the text."""
    return "".join(map(_plain_letter, text))


def _plain_letter(letter: str) -> str:
    digit = unicodedata.digit(letter, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", letter).lower()
    return plain if len(plain) == 1 else letter
