"""the bridge, whole: modules of every kind go to an agent, run there unchanged, and go there once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybible.server.engine.bridge.places import Places
from tests.support.ansible_tree import write_files, write_tree
from tests.support.lab import Lab, lab
from tests.support.screens import recap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LIBRARY = {
    "library/own.py": """
        #!/usr/bin/python
        from ansible.module_utils.basic import AnsibleModule
        from ansible.module_utils.own_words import words
        import os
        import sys
        import time


        def main():
            module = AnsibleModule()
            what = module.params.get("what")
            if what == "crash":
                raise ValueError("boom")
            if what == "hang":
                time.sleep(600)
            if what == "silent":
                print("nothing of use")
                sys.stderr.write("and an error\\n")
                sys.exit(3)
            if what == "noise":
                print("before")
            if what == "fail":
                module.fail_json("it does not work", colour="red")
            if not module.check_mode and "path" in module.params:
                with open(module.params["path"], "a") as file:
                    file.write(words())
            module.exit_json(changed=True, user=os.getuid(), check=module.check_mode, place=os.environ.get("PLACE"),
                             no_log=module.told["_ansible_no_log"], name=module.told["_ansible_module_name"])


        main()
    """,
    "module_utils/own_words.py": """
        from ansible.module_utils.text.words import shout


        def words():
            return shout("written\\n")
    """,
    "library/in_shell": """
        #!/bin/bash
        # WANT_JSON
        echo "{\\"changed\\": true, \\"told\\": $(cat "$1")}"
    """,
    "library/in_its_text": """
        #!/bin/sh
        cat <<'ARGUMENTS'
        {"changed": false, "told": <<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>}
        ARGUMENTS
    """,
    "library/old_style": """
        #!/bin/sh
        . "$1"
        echo "{\\"changed\\": false, \\"greeting\\": \\"$greeting\\"}"
    """,
    "binary.c": """
        #include <stdio.h>
        int main(int argc, char **argv) {
            char text[65536];
            FILE *file = fopen(argv[1], "r");
            text[fread(text, 1, sizeof text - 1, file)] = 0;
            printf("{\\"changed\\": true, \\"told\\": %s}", text);
            return 0;
        }
    """,
}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    with lab(agents=1) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYBIBLE_ANSIBLE", str(write_tree(tmp_path / "core")))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "project"
    write_files(folder, {name: text.lstrip("\n") for name, text in LIBRARY.items()})
    return folder


def run(fleet: Lab, project: Path, tasks: str, *options: str) -> tuple[str, list[dict[str, object]]]:
    """Run tasks on the one agent; return the screen, and the tasks' results."""
    (project / "inventory.ini").write_text("lab01\n")
    (project / "site.yml").write_text(
        f"- hosts: all\n  gather_facts: false\n  ignore_errors: true\n  tasks:\n{tasks}\n"
    )
    done = fleet.ctl("run", "-i", f"{project}/inventory.ini", f"{project}/site.yml", "-v", *options, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if " => {" in line]
    return done.stdout + done.stderr, [json.loads(line.partition(" => ")[2]) for line in lines]


def sent(fleet: Lab) -> tuple[int, int]:
    """Return how many contents went out to the agent, and their bytes."""
    found = fleet.agent("lab01")
    return int(str(found["contents_sent"])), int(str(found["content_bytes_sent"]))


def test_a_module_in_python_with_its_own_module_utils(fleet: Lab, project: Path) -> None:
    target = project / "target"
    _, [result] = run(fleet, project, f"    - own: {{path: {target}}}\n      environment: {{PLACE: here}}")
    assert target.read_text() == "WRITTEN\n"
    assert (result["changed"], result["place"], result["name"]) == (True, "here", "own")


def test_a_module_is_sent_once_however_often_it_is_used(fleet: Lab, project: Path) -> None:
    # Nobody else has sent these.
    for name in ("own.py", "in_shell"):
        with (project / "library" / name).open("a") as file:
            file.write("\n# counted\n")
    tasks = "    - own: {what: 1}\n    - own: {what: 2}\n    - in_shell: {x: 1}"
    counted = [sent(fleet)]
    for _ in range(2):
        run(fleet, project, tasks)
        counted.append(sent(fleet))
    before, first, second = counted
    assert first[0] - before[0] == 2
    assert first[1] > before[1]
    assert second == first


def test_a_module_is_packed_once_for_all_runs(fleet: Lab, project: Path, tmp_path: Path) -> None:
    packages = tmp_path / "state" / "pybible" / "packages"
    run(fleet, project, "    - own: {what: 1}")
    made = {path.name: path.stat().st_ino for path in packages.iterdir()}
    run(fleet, project, "    - own: {what: 2}")
    assert len(made) == 2
    assert {path.name: path.stat().st_ino for path in packages.iterdir()} == made


def test_check_mode_reaches_the_module(fleet: Lab, project: Path) -> None:
    _, [result] = run(fleet, project, f"    - own: {{path: {project}/untouched}}", "--check")
    assert result["check"] is True
    assert not (project / "untouched").exists()


def test_modules_in_other_languages_get_their_arguments_their_way(fleet: Lab, project: Path) -> None:
    tasks = '    - in_shell: {a: 1, b: [x]}\n    - in_its_text: {a: 1}\n    - old_style: {greeting: "hello you"}'
    _, results = run(fleet, project, tasks)
    shell, text, old = results
    assert shell["told"] == {"a": 1, "b": ["x"]}
    assert text["told"] == {"a": 1}
    assert old["greeting"] == "hello you"


def test_a_compiled_module(fleet: Lab, project: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    program = project / "library" / "compiled"
    subprocess.run([compiler, "-o", str(program), str(project / "binary.c")], check=True, timeout=60)
    _, [result] = run(fleet, project, "    - compiled: {a: [1, 2]}")
    assert result["told"] == {"a": [1, 2]}


def test_no_log_hides_all_and_the_module_is_told(fleet: Lab, project: Path) -> None:
    tasks = '    - own: {secret: "{{ hidden }}", what: crash}\n      no_log: true'
    screen, [result] = run(fleet, project, tasks, "-e", "hidden=hush-hush")
    assert "hush-hush" not in screen
    assert "censored" in result


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody needs root")
def test_become(fleet: Lab, project: Path) -> None:
    _, [result] = run(fleet, project, "    - own:\n      become: true\n      become_user: daemon")
    assert result["user"] == 1


def test_one_that_hangs_is_ended_on_time(fleet: Lab, project: Path) -> None:
    began = time.monotonic()
    screen, [result, after] = run(fleet, project, "    - own: {what: hang}\n      timeout: 1\n    - own:")
    assert time.monotonic() - began < 30
    assert "Timed out after 1 second(s)." in screen
    assert result["timedout"]
    assert after["changed"] is True


def test_failures_of_every_kind_are_told(fleet: Lab, project: Path) -> None:
    tasks = "\n".join(f"    - own: {{what: {what}}}" for what in ("crash", "silent", "fail", "noise"))
    screen, [crash, silent, fail, noise] = run(fleet, project, tasks)
    assert crash["msg"] == "Task failed: Module failed: boom"
    assert silent["msg"] == "Module result deserialization failed: No start of json char found"
    assert (silent["module_stdout"], silent["module_stderr"]) == ("nothing of use\n", "and an error\n")
    assert silent["rc"] == 3
    assert (fail["msg"], fail["colour"]) == ("it does not work", "red")
    assert noise["changed"] is True
    assert recap(screen)["lab01"]["ignored"] == 3


def test_one_that_needs_the_control_node_fails_when_it_comes_to_run(fleet: Lab, project: Path) -> None:
    tasks = (
        "    - acme.tools.two_parts:\n      when: false\n    - acme.tools.two_parts:\n    - acme.tools.for_windows:\n"
    )
    screen, [skipped, two_parts, for_windows] = run(fleet, project, tasks)
    assert skipped["skip_reason"] == "Conditional result was False"
    assert "'acme.tools.two_parts' has a part that runs on the control node" in str(two_parts["msg"])
    assert "'acme.tools.for_windows' is for Windows" in str(for_windows["msg"])
    assert recap(screen)["lab01"]["ignored"] == 2


def test_another_python_of_the_host_can_run_it(fleet: Lab, project: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/bin")
    if python is None:
        pytest.skip("no other Python here")
    tasks = f"    - own: {{path: {project}/by_other}}\n      vars: {{ansible_python_interpreter: {python}}}"
    _, [result] = run(fleet, project, tasks)
    assert result["changed"] is True
    assert (project / "by_other").read_text() == "WRITTEN\n"


def test_stock_modules_of_an_installed_ansible_core(fleet: Lab, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYBIBLE_ANSIBLE")
    installed = os.environ.get("ANSIBLE_VENV", "")
    if Places(ansible=installed).core is None:
        pytest.skip("no ansible-core here; ANSIBLE_VENV may name one")
    monkeypatch.setenv("PYBIBLE_ANSIBLE", installed)
    tasks = "    - ansible.builtin.subversion: {repo: file:///nowhere, dest: /nowhere/x, bogus: 1}"
    _, [result] = run(fleet, project, tasks)
    assert str(result["msg"]).startswith("Unsupported parameters for (ansible.builtin.subversion) module: bogus.")


def test_one_runs_as_a_job_of_the_host(fleet: Lab, project: Path) -> None:
    tasks = f"    - own: {{path: {project}/by_job}}\n      async: 30\n      poll: 1"
    _, [result] = run(fleet, project, tasks)
    assert (result["changed"], result["finished"]) == (True, True)
    assert (project / "by_job").read_text() == "WRITTEN\n"


def test_a_delegated_one_runs_in_the_python_of_the_host_that_runs_it(fleet: Lab, project: Path) -> None:
    tasks = f"    - own: {{path: {project}/here}}\n      delegate_to: localhost"
    _, [result] = run(fleet, project, tasks, "-e", "{}")
    assert result["changed"] is True
    (project / "host_vars").mkdir()
    (project / "host_vars" / "lab01.yml").write_text("ansible_python_interpreter: /nowhere/python3\n")
    _, [result, failed] = run(fleet, project, f"{tasks}\n    - own:")
    assert result["changed"] is True
    assert "/nowhere/python3" in str(failed["msg"])
