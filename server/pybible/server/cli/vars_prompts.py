"""vars_prompts: a play's vars_prompt on the operator's terminal."""

from __future__ import annotations

import getpass

import click

from pybible.server.engine.model.play import VarsPrompt


def ask(prompt: VarsPrompt) -> str:
    """Put one prompt and return what is typed, perhaps nothing; what is typed twice must be equal."""
    text = prompt.prompt or f"input for {prompt.name}"
    question = f"{text} [{prompt.default}]: " if prompt.default is not None and prompt.prompt else f"{text}: "
    while True:
        answer = _read(question, private=prompt.private)
        if not prompt.confirm or answer == _read(f"confirm {question}", private=prompt.private):
            return answer
        click.echo("***** VALUES ENTERED DO NOT MATCH ****")


def _read(question: str, *, private: bool) -> str:
    return getpass.getpass(question) if private else input(question)
