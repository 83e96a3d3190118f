"""The examples that sign a token run exactly as docs/widget-identity.md prints them, and their tokens are believed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from django.utils import timezone

from surveys.flow.identify import read_token, renew_secret
from tests.factories import make_organisation

ROOT = Path(__file__).resolve().parent.parent
PRINTED = dict(re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs/widget-identity.md").read_text(), re.DOTALL))
SHOWN = {"python": "python", "js": "node", "php": "php"}
CUSTOMER = 'C-42 "顾客" ÿ/+'  # base64 of it needs every character, and JSON its escapes

pytestmark = pytest.mark.django_db


@pytest.fixture
def secret() -> str:
    make_organisation()
    return renew_secret(timezone.now()).secret


def check(token: str, secret: str) -> None:
    assert read_token(token, "any-key", timezone.now()) == CUSTOMER
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, secret, algorithms=["HS256"])
    assert claims.keys() == {"sub", "exp"}
    assert 3500 < claims["exp"] - timezone.now().timestamp() <= 3600
    assert "=" not in token


def run(command: list[str], secret: str) -> str:
    environment = {**os.environ, "CX_IDENTITY_SECRET": secret, "CUSTOMER": CUSTOMER, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_python_example_signs_what_is_believed(secret, tmp_path):
    script = tmp_path / "sign.py"
    script.write_text(PRINTED["python"] + '\nprint(identity_token(os.environ["CUSTOMER"]))\n')
    check(run([sys.executable, "-I", str(script)], secret), secret)


def test_the_node_example_signs_what_is_believed(secret, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js on the PATH to run the example with")
    script = tmp_path / "sign.cjs"
    script.write_text(PRINTED["js"] + "\nconsole.log(identityToken(process.env.CUSTOMER));\n")
    check(run([node, str(script)], secret), secret)


def test_the_php_example_signs_what_is_believed_or_has_at_least_the_same_steps(secret, tmp_path):
    php = shutil.which("php")
    if php is not None:
        script = tmp_path / "sign.php"
        script.write_text(PRINTED["php"] + '\necho identity_token(getenv("CUSTOMER"));\n')
        check(run([php, str(script)], secret), secret)
        return
    steps = (
        r'\["alg" => "HS256", "typ" => "JWT"\]',
        r'\["sub" => \$customer_id, "exp" => time\(\) \+ 3600\]',
        r'\$signed = encode\(json_encode\(\$header\)\) \. "\." \. encode\(json_encode\(\$claims\)\)',
        r'hash_hmac\("sha256", \$signed, getenv\("CX_IDENTITY_SECRET"\), true\)',  # true: bytes, not hexadecimal digits
        r'return \$signed \. "\." \. encode\(\$signature\)',
        r'rtrim\(strtr\(base64_encode\(\$part\), "\+/", "-_"\), "="\)',
    )
    for step in steps:
        assert re.search(step, PRINTED["php"]), step


@pytest.mark.parametrize(("printed", "shown"), SHOWN.items())
def test_the_admin_shows_the_same_example(printed, shown):
    assert (ROOT / f"templates/staff/signing/{shown}.txt").read_text() == PRINTED[printed]
