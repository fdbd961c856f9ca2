"""test_limits: templates, patterns and commands without end: each is ended, by a message that names the limit."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pybible.server.engine.commands import OUTPUT_BYTES, Overrun, run_command
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.patterns import BadPattern
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.errors import message_of
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.watch import OutOfTime, Watch
from pybible.server.results.events import HostResult
from pybible.wire.errors import SourceError
from tests.support.plays import play

BAD = "a" * 40


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch with little patience."""
    watch = Watch(0.1)
    watch.install()
    yield watch
    watch.remove()


@pytest.fixture
def templar(watch: Watch, tmp_path: Path) -> Templar:
    """A templar that is watched, with lookups that may take 0.3 seconds."""
    (tmp_path / "itself.j2").write_text("{% include 'itself.j2' %}")
    (tmp_path / "looks.j2").write_text("{{ lookup('template', 'looks.j2') }}")
    engine = TemplateEngine(watch=watch, playbook_directory=tmp_path, lookup_seconds=0.3)
    return Templar(engine, {"bad": BAD, "long": [BAD], "data": {"a": 1}, "five": [1, 2, 3, 4, 5]})


def failure(templar: Templar, template: str) -> str:
    """Render it; return how that failed."""
    with pytest.raises(SourceError) as caught:
        templar.render(Trusted(template))
    return message_of(caught.value)


# What interrupts a callback of the garbage collector is lost there, and comes again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "template",
    [
        "{{ bad | regex_search('(a+)+b') }}",
        "{{ bad | regex_replace('(a|a)*b', 'x') }}",
        "{{ bad | regex_findall('(a+)+b') }}",
        "{{ bad is match('(a+)+b') }}",
        "{{ bad is search('(a+)+b') }}",
        "{{ bad is regex('(a+)+b') }}",
        "{{ long | select('match', '(a+)+b') | list }}",
        "{{ [{'k': bad}] | selectattr('k', 'search', '(a+)+b') | list }}",
        "{{ query('varnames', '(.|.)*!') if false else (bad | regex_search('^(a|a|a)*$b')) }}",
        "{% for i in range(10 ** 12) %}{% endfor %}",
        "{% for i in range(10 ** 12) %}{% set x = i %}{% endfor %}",
        "{% for i in range(10 ** 9) %}{% for j in range(10 ** 9) %}{% if i > j %}{% endif %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = {1: n.x, 2: n.x} %}{% endfor %}{{ n.x }}",
    ],
)
def test_what_computes_without_end(templar: Templar, template: str) -> None:
    began = time.process_time()
    assert failure(templar, template) == "this takes more than 0.1 seconds of computing"
    assert time.process_time() - began < 3


def test_what_a_filter_or_lookup_swallows_it_does_not_swallow_the_end(templar: Templar) -> None:
    for template in (
        "{{ (bad | regex_search('(a+)+b')) | default('never') }}",
        "{{ lookup('vars', 'nothing', default=(bad | regex_search('(a+)+b')), errors='ignore') }}",
    ):
        assert "this takes more than 0.1 seconds of computing" in failure(templar, template)


def test_the_limit_is_for_each_rendering(templar: Templar) -> None:
    began = time.process_time()
    while time.process_time() - began < 0.5:
        assert templar.render(Trusted("{% for i in range(5000) %}{% endfor %}ok")) == "ok"


def test_waiting_is_not_computing(templar: Templar) -> None:
    templar.engine.lookup_seconds = 5
    assert templar.render(Trusted("{{ lookup('pipe', 'sleep 0.6; echo done') }}")) == "done"


def test_the_place_of_what_is_ended_is_told(watch: Watch) -> None:
    from pybible.wire.errors import Origin

    place = Origin("site.yml", 4, 7)
    with pytest.raises(OutOfTime) as caught:
        Templar(TemplateEngine(watch=watch)).render(Trusted("{% for i in range(10 ** 12) %}{% endfor %}", place))
    assert caught.value.origin == place
    assert "PYBIBLE_RENDER_LIMIT" in caught.value.hint


def test_a_watch_without_a_limit_is_not_there() -> None:
    before = signal.getsignal(signal.SIGPROF)
    Watch(0).install()
    assert signal.getsignal(signal.SIGPROF) is before


@pytest.mark.parametrize(
    ("template", "limit"),
    [
        ("{{ 'x' * 10 ** 10 }}", "at most 64 MiB of text"),
        ("{{ 10 ** 10 * 'x' }}", "at most 64 MiB of text"),
        ("{{ [1] * 10 ** 9 }}", "lists of at most 1000000 elements"),
        ("{{ 2 ** (10 ** 9) }}", "numbers of at most 1000000 bits"),
        ("{{ (2 ** 900000) * (2 ** 900000) }}", "numbers of at most 1000000 bits"),
        ("{% for i in range(10 ** 9) %}" + "x" * 100 + "{% endfor %}", "at most 64 MiB of text"),
        ("{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
         "at most 64 MiB of text"),
        ("{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
         "at most 64 MiB of text"),
        ("{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = [n.x, n.x] | join %}{% endfor %}",
         "at most 64 MiB of text"),
        ("{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
         "lists of at most 1000000 elements"),
        ("{{ 'x'.ljust(10 ** 10) }}", "at most 64 MiB of text"),
        ("{{ 'x'.zfill(10 ** 10) }}", "at most 64 MiB of text"),
        ("{{ 'x' | center(10 ** 10) }}", "at most 64 MiB of text"),
        ("{{ 'x\ny' | indent(width=10 ** 10) }}", "at most 64 MiB of text"),
        ("{{ 'x' | comment(prefix='#', prefix_count=10 ** 10) }}", "at most 64 MiB of text"),
        ("{{ '%*d' % (10 ** 8, 1) }}", "at most 64 MiB of text"),
        ("{{ range(20) | permutations | list | length }}", "lists of at most 1000000 elements"),
        ("{{ range(60) | combinations(30) | list }}", "lists of at most 1000000 elements"),
        ("{{ range(1000) | product(range(1000), range(1000)) | list }}", "lists of at most 1000000 elements"),
        ("{{ range(10 ** 12) | list }}", "lists of at most 1000000 elements"),
        ("{{ range(10 ** 30) | sum }}", "lists of at most 1000000 elements"),
        ("{{ range(0, 10 ** 13, 7) | max }}", "lists of at most 1000000 elements"),
        ("{{ query('sequence', 'start=1 end=100000000') }}", "a sequence may have at most 1000000 elements"),
        ("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", "Recursive loop detected in template"),
        ("{% include 'itself.j2' %}", "Recursive loop detected in template"),
        ("{{ lookup('template', 'looks.j2') }}", "Recursive loop detected in template"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deeply"),
        ("{{ lookup('pipe', 'sleep 60') }}", "lookup_plugin.pipe(sleep 60): it did not end within 0.3 seconds"),
        ("{{ query('lines', 'sleep 60 | cat') }}", "it did not end within 0.3 seconds"),
        ("{{ lookup('pipe', 'exec >&-; sleep 60') }}", "it did not end within 0.3 seconds"),
    ],
)  # fmt: skip
def test_what_would_be_too_much(templar: Templar, template: str, limit: str) -> None:
    # Here the watch is not what ends it.
    templar.engine.watch.remove()
    began = time.process_time()
    assert limit in failure(templar, template)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ 'ab' * 3 }}", "ababab"),
        ("{{ [1] * 2 + [3] }}", [1, 1, 3]),
        ("{{ five * 2 }}", [1, 2, 3, 4, 5] * 2),
        ("{{ five + five }}", [1, 2, 3, 4, 5] * 2),
        ("{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1.5 * 2 }} {{ 2 + 0.5 }} {{ 1 ** (10 ** 9) }}", "1024 0.5 3.0 2.5 1"),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ 'x' * -1 }}", ""),
        (
            "{% macro m(self='', context='', function='') %}{{ context }}{{ function }}{% endmacro %}"
            "{{ m(context='a', function='b') }}",
            "ab",
        ),
        ("{{ 'x'.ljust(3) ~ '|' }} {{ 'x' | center(3) }} {{ 'x'.center(3) }}", "x  |  x   x "),
        ("{{ 4000000000 in range(10 ** 12) }}", True),
        ("{% for i in range(10 ** 12) %}{% if i > 3 %}{{ undefined_is_never_reached }}{% endif %}{% endfor %}", None),
    ],
)
def test_what_is_not_too_much(templar: Templar, template: str, value: object) -> None:
    if value is None:
        assert failure(templar, template) == "'undefined_is_never_reached' is undefined"
    else:
        assert templar.render(Trusted(template)) == value


@pytest.mark.parametrize("count", [9_999, 10_000, 10_001, 25_000])
def test_many_pieces_are_one_text(templar: Templar, count: int) -> None:
    assert templar.render(Trusted("{% for i in range(" + str(count) + ") %}ab{% endfor %}")) == "ab" * count


def test_a_pattern_of_hosts_that_backtracks_for_ever(watch: Watch) -> None:
    inventory = load_inventory([f"{BAD},b,"])
    inventory.watch = watch
    with pytest.raises(BadPattern, match=r"pattern '~\(a\+\)\+b': this takes more than 0\.1 seconds of computing"):
        inventory.match("~(a+)+b")
    inventory.set_limit("~(a|a)*b")
    with pytest.raises(BadPattern):
        inventory.match("all")
    assert Inventory().match("*a" * 30) == []


def test_a_command_is_killed_with_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    with pytest.raises(Overrun, match=r"it did not end within 0\.5 seconds"):
        run_command(f"sleep 60 & echo $! > {started}; wait", seconds=0.5)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(started.read_text())).wait(10)


def test_a_command_that_prints_for_ever() -> None:
    with pytest.raises(Overrun, match="it printed more than 64 MiB"):
        run_command(["yes"], seconds=60)
    assert OUTPUT_BYTES == 64 * 1024 * 1024


def test_a_command_s_output_and_errors() -> None:
    done = run_command("echo out; echo err >&2; exit 3", seconds=0, catch_errors=True, closed_input=True)
    assert (done.status, done.output, done.errors) == (3, b"out\n", b"err\n")
    assert run_command(["cat"], seconds=10, closed_input=True).output == b""
    with pytest.raises(FileNotFoundError):
        run_command(["/nowhere/at/all"], seconds=1)


async def test_the_hosts_without_it_go_on(tmp_path: Path) -> None:
    book = """
    - hosts: all
      gather_facts: false
      tasks:
        - debug: {msg: "{% for i in range(n) %}{% endfor %}ok"}
          vars: {n: "{{ 10 ** 12 if inventory_hostname == 'h2' else 3 }}"}
        - ping:
    """
    watch = Watch(0.1)
    watch.install()
    try:
        played = await play(tmp_path, book, watch=watch)
    finally:
        watch.remove()
    assert played.counts() == {"h1": "ok=2", "h2": "failed=1", "h3": "ok=2"}
    failed = next(event for event in played.events if isinstance(event, HostResult) and event.host == "h2")
    assert str(failed.result["msg"]).endswith("this takes more than 0.1 seconds of computing")


def test_a_process_that_still_computes_at_its_end_is_not_killed() -> None:
    program = (
        "import time\n"
        "from pybible.server.engine.watch import Watch\n"
        "class Slow:\n"
        "    def __del__(self, now=time.process_time):\n"
        "        end = now() + 0.5\n"
        "        while now() < end: pass\n"
        "import builtins; builtins.slow = Slow()\n"
        "Watch(0.1).install()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_server_that_drips_for_ever(templar: Templar) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        over = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                while not over.wait(0.02):
                    connection.sendall(b"x")

        pool.submit(drip)
        try:
            told = failure(templar, f"{{{{ lookup('url', 'http://127.0.0.1:{server.getsockname()[1]}/') }}}}")
        finally:
            over.set()
    assert "it did not end within 0.3 seconds. PYBIBLE_LOOKUP_LIMIT sets the limit" in told
