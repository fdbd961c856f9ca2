"""tags: which tasks --tags and --skip-tags leave."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from pybible.server.engine.model.play import Block, Node, Task


def should_run(tags: Collection[str], only: Collection[str] = (), skip: Collection[str] = ()) -> bool:
    """Whether a task with `tags` runs. No `only` means all; tagged, untagged, always, never as in Ansible."""
    own = set(tags)
    effective = own or {"untagged"}
    wanted = set(only) or {"all"}
    runs = (
        "always" in own
        or ("all" in wanted and "never" not in own)
        or not effective.isdisjoint(wanted)
        or ("tagged" in wanted and bool(own) and "never" not in own)
    )
    if not runs or not skip:
        return runs
    unwanted = set(skip)
    if "all" in unwanted:
        return "always" in own and "always" not in unwanted
    return effective.isdisjoint(unwanted) and not ("tagged" in unwanted and bool(own))


def select(blocks: Iterable[Block], only: Collection[str] = (), skip: Collection[str] = ()) -> tuple[Block, ...]:
    """Return the blocks with the tasks that run; blocks without any are left out."""
    kept = (_select_block(block, only, skip) for block in blocks)
    return tuple(block for block in kept if block is not None)


def _select_block(block: Block, only: Collection[str], skip: Collection[str]) -> Block | None:
    parts = [_select_nodes(part, only, skip) for part in (block.block, block.rescue, block.always)]
    if not any(parts):
        return None
    if parts == [block.block, block.rescue, block.always]:
        return block
    return replace(block, block=parts[0], rescue=parts[1], always=parts[2])


def _select_nodes(nodes: tuple[Node, ...], only: Collection[str], skip: Collection[str]) -> tuple[Node, ...]:
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Task):
            if should_run(node.keywords.tags, only, skip):
                kept.append(node)
        else:
            block = _select_block(node, only, skip)
            if block is not None:
                kept.append(block)
    return tuple(kept)
