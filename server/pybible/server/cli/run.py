"""run: `pybible-ctl run PLAYBOOK...`."""

from __future__ import annotations

from pathlib import Path

import click

from pybible.server.cli.options import asked_from, engine_options, split_commas


@click.command("run", context_settings={"max_content_width": 100})
@click.argument("playbooks", nargs=-1, required=True, metavar="PLAYBOOK...")
@engine_options
@click.option("-t", "--tags", "tags", multiple=True, help="Only plays and tasks with these tags.")
@click.option("--skip-tags", "skip_tags", multiple=True, help="No plays and tasks with these tags.")
@click.option("--start-at-task", "start_at", default="", metavar="NAME", help="Begin with the task of that name.")
@click.option("--force-handlers", is_flag=True, help="Run handlers even where a task failed.")
@click.option("--syntax-check", is_flag=True, help="Only read the playbooks.")
@click.option("--list-hosts", is_flag=True, help="Only list the hosts of each play.")
@click.option("--list-tasks", is_flag=True, help="Only list the tasks.")
@click.option("--list-tags", is_flag=True, help="Only list the tags.")
@click.option("--flush-cache", is_flag=True, help="Forget the facts of all hosts that were kept from earlier runs.")
@click.option("--step", is_flag=True, help="Ask before each task.")
def command(playbooks: tuple[str, ...], **given: object) -> int:
    """Run playbooks on the hosts of an inventory, through their agents."""
    from pybible.server.cli.playing import PlaybookRun, run

    return run(
        PlaybookRun(
            asked=asked_from(given),
            playbooks=tuple(Path(playbook) for playbook in playbooks),
            tags=split_commas(_texts(given["tags"])),
            skip_tags=split_commas(_texts(given["skip_tags"])),
            start_at=str(given["start_at"]),
            force_handlers=bool(given["force_handlers"]),
            syntax_check=bool(given["syntax_check"]),
            list_hosts=bool(given["list_hosts"]),
            list_tasks=bool(given["list_tasks"]),
            list_tags=bool(given["list_tags"]),
            flush_cache=bool(given["flush_cache"]),
            step=bool(given["step"]),
        )
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
