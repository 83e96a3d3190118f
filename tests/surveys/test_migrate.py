import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

pytestmark = pytest.mark.django_db(transaction=True)
APP, TABLE = "admin", "django_admin_log"  # no other migration depends on it, and its first one ends with foreign keys


@pytest.fixture
def unmigrated():
    call_command("migrate", APP, "zero", verbosity=0)
    yield
    call_command("migrate", APP, verbosity=0)


def tables():
    return connection.introspection.table_names()


def test_a_migration_that_is_cut_off_before_it_is_written_down_leaves_nothing(unmigrated, monkeypatch):
    def killed(*_arguments):
        raise SystemExit(143)

    monkeypatch.setattr(MigrationRecorder, "record_applied", killed)
    with pytest.raises(SystemExit):
        call_command("migrate", APP, verbosity=0)
    monkeypatch.undo()
    connection.close()
    assert TABLE not in tables()
    call_command("migrate", APP, verbosity=0)
    assert TABLE in tables()


def test_neither_does_one_that_is_taken_back(unmigrated, monkeypatch):
    call_command("migrate", APP, verbosity=0)

    def killed(*_arguments):
        raise SystemExit(143)

    monkeypatch.setattr(MigrationRecorder, "record_unapplied", killed)
    with pytest.raises(SystemExit):
        call_command("migrate", APP, "zero", verbosity=0)
    monkeypatch.undo()
    assert TABLE in tables()
