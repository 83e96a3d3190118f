"""The README's tour, as printed, twice: what stands there is what happens. It also takes the README's picture.

With CX_UPDATE_IMAGES=1 the picture goes to docs/images/, else to test-artifacts/.
"""

import json
import re
import subprocess

import pytest

from tests.printed import blocks
from tests.stack import ROOT, Stack, until

pytestmark = pytest.mark.slow  # the demo takes half a minute to load


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("readme") / "data", demo=True) as stack:
        stack.start(timeout=400)
        yield stack


class Shell:
    """One shell in the checkout, that keeps its variables from block to block."""

    def __init__(self, running: Stack) -> None:
        self.running, self.said = running, ""

    def run(self, block: str) -> str:
        """What the block prints, after the blocks before it have set their variables."""
        block = block.replace("http://127.0.0.1:8000", self.running.url)
        done = subprocess.run(
            ["sh", "-euc", f"{self.said}\n{block}"],
            cwd=ROOT, env=self.running.environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def remember(self, name: str, value: str) -> None:
        self.said += f"{name}='{value}'\n"


def log_in(page, running: Stack) -> None:
    page.goto(f"{running.url}/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", running.password())
    page.press("#id_password", "Enter")
    page.get_by_role("heading", name="Overview").first.wait_for()


def test_the_tour_works_as_printed_and_once_more(demo, page):
    make_key, happens, asked, score = blocks("README.md", section="A five-minute tour")
    page.set_viewport_size({"width": 1440, "height": 1000})
    log_in(page, demo)
    counts = []
    for number in range(2):
        shell = Shell(demo)
        shell.remember("KEY", shell.run(f"{make_key}\necho $KEY").strip())
        before = json.loads(shell.run(score))["n"]
        customer = f"tour-{number}"
        shell.remember("CUSTOMER", customer)
        happens_to = re.sub(r"^CUSTOMER=.*$", "", happens, flags=re.MULTILINE)  # two within one second are one customer
        assert json.loads(shell.run(happens_to)) == {"accepted": 1, "duplicates": 0, "rejected": []}

        def status(shell: Shell = shell) -> str:
            found = json.loads(shell.run(asked))["results"]
            return found[0]["status"] if found else ""

        until(lambda status=status: status() == "sent", 20)
        page.goto(f"{demo.url}/admin/surveys/sentmessage/?q={customer}")
        page.locator("#result_list tbody a").first.click()
        with page.context.expect_page() as opened:
            page.frame_locator("iframe").get_by_role("link", name="5", exact=True).click()
        form = opened.value
        form.get_by_role("button", name="Send").click()
        form.get_by_role("heading", name="Thank you").wait_for()
        form.close()
        counts.append((before, until(lambda b=before, s=shell: (n := json.loads(s.run(score))["n"]) > b and n, 10)))
    assert [after - before for before, after in counts] == [1, 1]
    assert demo.manage("verify_rollups").strip().endswith("0 differences")
