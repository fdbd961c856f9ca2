"""plan: `pybible-ctl plan PLAYBOOK...`."""

from __future__ import annotations

from pathlib import Path

import click

from pybible.server.cli.options import asked_from, engine_options, split_commas


@click.command("plan", context_settings={"max_content_width": 100})
@click.argument("playbooks", nargs=-1, required=True, metavar="PLAYBOOK...")
@engine_options
@click.option("-t", "--tags", "tags", multiple=True, help="Only plays and tasks with these tags.")
@click.option("--skip-tags", "skip_tags", multiple=True, help="No plays and tasks with these tags.")
def command(playbooks: tuple[str, ...], **given: object) -> int:
    """Show the tasks that would run on each host, with what is known of their arguments; no host is asked."""
    tags, skip_tags = given.pop("tags"), given.pop("skip_tags")
    from pybible.server.cli.planning import run

    return run(
        asked_from(given),
        tuple(Path(playbook) for playbook in playbooks),
        tags=split_commas(tags if isinstance(tags, tuple) else ()),
        skip_tags=split_commas(skip_tags if isinstance(skip_tags, tuple) else ()),
    )
