from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from surveys.models import ApiKey

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_the_key_stands_alone_on_the_last_line_and_opens_what_its_scopes_say():
    key = create("till", "--scope", "metrics:read", "--scope", "events:write", "--scope", "events:write")[-1]
    row = ApiKey.objects.get_from_key(key)
    assert (row.name, row.scopes) == ("till", ["events:write", "metrics:read"])


def test_only_a_hash_of_the_key_is_kept():
    key = create("till", "--scope", "metrics:read")[-1]
    row = ApiKey.objects.get()
    assert key not in (row.id, row.hashed_key)
    assert key.split(".")[1] not in f"{row.id} {row.prefix} {row.hashed_key}"


@pytest.mark.parametrize(
    "arguments", [["till"], ["till", "--scope", "everything"], ["", "--scope", "metrics:read"], ["x" * 51, "--scope", "metrics:read"]]
)  # fmt: skip
def test_no_scope_an_unknown_scope_and_no_name_are_refused(arguments):
    with pytest.raises(CommandError):
        create(*arguments)
    assert not ApiKey.objects.exists()
