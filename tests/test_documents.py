"""What a stranger reads is true: commands run as printed, twice; links lead somewhere; every model and setting is explained."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import requests
from django.apps import apps

from tests.printed import blocks, indented
from tests.stack import ROOT, Stack, until

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
ADDRESS = "http://127.0.0.1:8000"  # in every example
DEMO = ROOT / "surveys/demo/programme.yaml"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl to run the examples with")


def run(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(["sh", "-eu", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, script + done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def demo_programme(stack) -> Stack:
    """A server with the demo's configuration and none of its history."""
    running = stack()
    running.manage("import_programme", str(DEMO))
    return running


@needs_curl
def test_every_example_of_the_readme_and_of_the_guide_runs_as_printed_and_again(demo_programme):
    for page in ("README.md", "docs/integrating.md"):
        examples = [block.replace(ADDRESS, demo_programme.url) for block in blocks(page)]
        assert len(examples) >= 4
        # Each status after its answer; `stamp` stands in for the second that passes between two people's tries.
        shell = 'curl() { command curl -w "\\nSTATUS %{http_code}\\n" "$@"; }\ndate() { echo "$stamp"; }\n'
        for stamp in (1, 2):
            script = f"stamp={stamp}{page.count('/')}\n{shell}" + "\necho NEXT\n".join(examples)
            answers = run(script, demo_programme.environment).split("NEXT")
            for example, answer in zip(examples, answers, strict=True):
                statuses = re.findall(r"STATUS (\d+)", answer)
                assert len(statuses) == example.count("curl "), example + answer
                wanted = re.findall(r"# answers (\d+)", example) or ["2.."]
                assert all(re.fullmatch(wanted[0], status) for status in statuses), example + answer
                assert '"duplicates":1' not in answer, "the second time would invite nobody: " + example
    asked = {"Authorization": f"Bearer {demo_programme.api_key('responses:read')}"}

    def sent() -> bool:
        query = {"customer": "tour-20", "status": "sent"}
        answer = requests.get(f"{demo_programme.url}/api/v1/invitations/", query, headers=asked, timeout=10)
        return bool(answer.json()["results"])

    until(sent, 30)  # as the tour says of its second step


@pytest.mark.slow
def test_a_backup_is_taken_from_a_running_server_and_restored_as_printed(demo_programme, tmp_path):
    safe, target = tmp_path / "safe-key", tmp_path / "restored"
    replaced = {"cx.sql": str(tmp_path / "cx.sql"), "somewhere-safe": str(safe), "/srv/cx": str(target)}

    def printed(beginning: str) -> str:
        script = indented("docs/operations.md", beginning)
        for old, new in {"var/": f"{demo_programme.data_dir}/", **replaced}.items():
            script = script.replace(old, new)
        return "\n".join(line for line in script.splitlines() if not line.startswith("script/server"))

    run(printed(".venv/bin/python -m cxsurvey.embedded pg_dump"), demo_programme.environment)
    assert "0 differences" in run(printed("mkdir -m 700"), demo_programme.environment)
    restored = {**demo_programme.environment, "CX_DATA_DIR": str(target)}
    counted = "from surveys.models import Touchpoint; print(Touchpoint.objects.count())"
    there = run(f".venv/bin/python manage.py shell -v 0 -c '{counted}'", restored).strip()
    assert there == demo_programme.shell(counted)
    assert int(there) > 10


def test_every_link_between_pages_leads_somewhere():
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert not wrong, "\n".join(wrong)


def test_every_model_stands_in_the_glossary():
    text = (ROOT / "docs/glossary.md").read_text()
    models = [model for label in ("surveys", "metrics") for model in apps.get_app_config(label).get_models()]
    assert [model.__name__ for model in models if f"`{model.__name__}`" not in text] == []


def test_every_setting_of_the_environment_stands_in_the_readme():
    text = (ROOT / "README.md").read_text()
    names = set()
    for path in (ROOT / "cxsurvey").glob("*.py"):
        names |= set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', path.read_text()))
        names |= set(re.findall(r'environ\.get\(\s*"([A-Z_]+)"', path.read_text()))
    assert "DATABASE_URL" in names
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_decision_has_its_number_a_status_and_its_price():
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    for number, page in enumerate(pages, 1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04d}-"), page.name
        assert text.startswith(f"# {number}. "), page.name
        for part in ("**Status:**", "## Why", "## What we do", "## What it costs"):
            assert part in text, f"{page.name} has no {part}"


@pytest.mark.parametrize(
    ("address", "settings_told"),
    [("smtps://u:p@mail.example.com:465", "True False 465"), ("smtp+tls://u:p@mail.example.com:587", "False True 587")],
)
def test_an_address_of_a_mail_server_says_when_tls_begins(address, settings_told):
    code = "from django.conf import settings as s; print(s.EMAIL_USE_SSL, s.EMAIL_USE_TLS, s.EMAIL_PORT)"
    environment = {**os.environ, "EMAIL_URL": address, "DJANGO_SETTINGS_MODULE": "cxsurvey.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == settings_told, done.stderr


def test_the_licences_are_there():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert "CC BY 4.0" in (ROOT / "tests/data/README.md").read_text()
    assert (ROOT / "docs/images/overview.webp").stat().st_size > 0
