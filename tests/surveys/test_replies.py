import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.replies import Reply, read_reply


@pytest.mark.parametrize(
    ("text", "score", "verbatim"),
    [
        ("9", 9, ""), (" 10 ", 10, ""), ("0", 0, ""), ("8.", 8, ""), ("8!", 8, ""), ("９", 9, ""), ("１０", 10, ""),
        ("9 很好", 9, "很好"), ("9很好", 9, "很好"), ("9，很好，谢谢！", 9, "很好，谢谢！"), ("9分", 9, ""), ("9分，不错", 9, "不错"),
        ("10/10", 10, ""), ("9/10", 9, ""), ("9 / 10 thanks", 9, "thanks"), ("9 out of 10", 9, ""), ("10/10!!! Great", 10, "Great"),
        ("nine", 9, ""), ("Ten.", 10, ""), ("ZERO", 0, ""), ("nine, great service", 9, "great service"),
        ("seven very slow", 7, "very slow"), ("ten out of ten", 10, ""),
        ("九", 9, ""), ("十", 10, ""), ("十分", 10, ""), ("十分，很满意", 10, "很满意"), ("九分 很好", 9, "很好"), ("两分", 2, ""),
        ("零", 0, ""),
        ("九分满意", 9, "满意"), ("我给9分", 9, ""), ("打8分", 8, ""), ("满分", 10, ""), ("拾", 10, ""), ("〇", 0, ""),
        ("I'd give it a 7", 7, ""), ("Score: 6", 6, ""), ("#5", 5, ""), ("“8”", 8, ""),
        ("9️⃣", 9, ""), ("🔟", 10, ""), ("٩", 9, ""), ("९", 9, ""),
        ("2 - terrible, waited 45 minutes", 2, "terrible, waited 45 minutes"),
        ("3, 2 days late", 3, "2 days late"), ("6 fine", 6, "fine"), ("Great service! 9", 9, "Great service!"), ("很好，9分", 9, "很好"),
        ("7\nThe driver was kind", 7, "The driver was kind"),
    ],
)  # fmt: skip
def test_a_score_is_read_with_what_is_said_beside_it(text, score, verbatim):
    assert read_reply(text) == Reply(score, verbatim=verbatim)


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "hello", "很好", "11", "100", "99999999999999999999", "-1", "9-10", "9 - 10", "9–10", "9~10", "9 or 10", "9到10",
        "9或10",
        "8/9", "9 10", "9,10", "9.5", "9,5", "8 9 great", "nine or ten", "七八分", "十一", "九十", "9th", "9am", "9%", "9:30",
        "20 minutes", "3 days late", "2 people were rude", "5 calls to reach you", "9点到的", "3天没人回", "5分钟", "三分之二", "一分钱",
        "十分满意", "十分好", "一般", "一直很好", "one of the best", "one thing", "no one helped", "someone",
        "ordered item 5", "waited 9 hours",
        "my number is 13800000000", "😀", "\x00", "?",
    ],
)  # fmt: skip
def test_what_is_not_clear_is_not_a_score(text):
    assert read_reply(text) == Reply()


@pytest.mark.parametrize(("text", "score"), [("5", 5), ("4/5", 4), ("五分", 5), ("满分", 5), ("1", 1)])
def test_a_score_is_held_against_its_own_scale(text, score):
    assert read_reply(text, 1, 5).score == score


@pytest.mark.parametrize("text", ["0", "6", "10", "9/10", "5/10", "zero"])
def test_what_lies_outside_a_scale_is_not_understood(text):
    assert not read_reply(text, 1, 5).is_understood


@pytest.mark.parametrize(
    ("text", "command"),
    [
        *((word, "stop") for word in ("STOP", "stop", "Stop.", " StopAll ", "STOP ALL", "UNSUBSCRIBE", "Cancel", "END", "QUIT!")),
        ("T", "stop"),
        ("t", "stop"),
        *((word, "stop") for word in ("TD", "td", "N", "n", "退订", "退订。", " 退订 ", "ＳＴＯＰ", "Ｔ", "ＴＤ", "ｎ", "“退订”")),
        ("我要退订", "stop"),
        ("退訂", "stop"),
        ("opt-out", "stop"),
        *((word, "start") for word in ("START", "start ", "UNSTOP", "恢复订阅")),
        *((word, "help") for word in ("HELP", "Help?", "info", "帮助")),
    ],
)  # fmt: skip
def test_commands_are_read_in_any_case_and_width(text, command):
    assert read_reply(text) == Reply(command=command)


@pytest.mark.parametrize(
    "text", ["no", "yes", "not bad", "stopped working", "the end was good", "不要退订", "thanks", "cancel my order 5"]
)
def test_what_only_looks_like_a_command_is_none(text):
    assert read_reply(text).command == ""


@given(st.text(max_size=80))
def test_any_text_is_read_and_a_score_is_on_its_scale(text):
    reply = read_reply(text, 1, 7)
    assert reply.score is None or 1 <= reply.score <= 7
    assert reply.score is None or not reply.command


@given(st.integers(0, 10), st.text(alphabet="很好谢谢满意服务", min_size=1, max_size=20))
def test_a_number_before_words_is_the_score_and_the_words_are_kept(score, words):
    assert read_reply(f"{score} {words}") == Reply(score, verbatim=words)
