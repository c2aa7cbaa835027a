"""`ringover-ops migrate`: brings the state table's schema up to date."""

import asyncio

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, write_json, write_text
from ops.kit.postgres import reach
from ops.migrate.plan import Migration
from ops.migrate.run import migrate as apply_migrations
from ops.migrate.run import packaged_migrations
from runtime.settings import DatabaseSettings, load

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def migrate(output: OutputOption = OutputFormat.TABLE) -> None:
    """Apply the numbered SQL files of processors/migrations to DATABASE_URL.

    Safe to run again, and from several places at once (advisory lock). Each file is one transaction. A file that was
    changed after it was applied, a database newer than this version or in another encoding than UTF8, and a connection
    pooler that does not give sessions of their own are refused with exit code 3.
    """
    settings = load(DatabaseSettings)

    def applied(migration: Migration) -> None:
        if output is OutputFormat.TABLE:
            with reporting(f"applied {migration.label}"):
                write_text(f"applied {migration.label}")

    with reported():
        asyncio.run(reach(settings))
        done = apply_migrations(settings.database_url.get_secret_value(), packaged_migrations(), applied=applied)
    labels = [migration.label for migration in done]
    if output is OutputFormat.JSON:
        with reporting(f"applied: {', '.join(labels)}" if labels else None):
            write_json({"applied": labels})
    elif not labels:
        write_text("nothing to do")
