"""Django's `migrate`, whose every migration is there whole or not at all, and known to be.

Django writes down that a migration was applied after it has committed it, wherever indexes or foreign keys came last. A server
that was stopped or killed between the two found its own tables in its way at every later start.
"""

from typing import Any

from django.core.management.commands import migrate
from django.db import transaction
from django.db.migrations.executor import MigrationExecutor


class WholeMigrations(MigrationExecutor):
    """One transaction around each migration and its record; none around a migration that cannot have one."""

    def apply_migration(self, state: Any, migration: Any, *arguments: Any, **options: Any) -> Any:
        if not migration.atomic:
            return super().apply_migration(state, migration, *arguments, **options)
        with transaction.atomic(using=self.connection.alias):
            return super().apply_migration(state, migration, *arguments, **options)

    def unapply_migration(self, state: Any, migration: Any, *arguments: Any, **options: Any) -> Any:
        if not migration.atomic:
            return super().unapply_migration(state, migration, *arguments, **options)
        with transaction.atomic(using=self.connection.alias):
            return super().unapply_migration(state, migration, *arguments, **options)


class Command(migrate.Command):
    def handle(self, *arguments: Any, **options: Any) -> None:
        migrate.MigrationExecutor = WholeMigrations  # type: ignore[attr-defined]  # Django's command asks for no other
        super().handle(*arguments, **options)
