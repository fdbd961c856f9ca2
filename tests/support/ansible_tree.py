"""ansible_tree: a small stand-in for ansible-core and a collection, written for tests; no line of it is Ansible's."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

FILES = {
    "ansible/__init__.py": "raise RuntimeError('ansible-core itself is never imported')",
    "ansible/release.py": "__version__ = '2.19.99'",
    "ansible/config/ansible_builtin_runtime.yml": """
        plugin_routing:
          modules:
            hello: {redirect: acme.tools.hello}
            gone: {tombstone: {warning_text: Use something else., removal_version: "9"}}
          action:
            moved: {redirect: ansible.builtin.two_parts}
            gone_action: {tombstone: {warning_text: Use another., removal_date: "2026-01-01"}}
          module_utils:
            old_greet: {redirect: acme.tools.greet}
    """,
    "ansible/module_utils/__init__.py": "",
    "ansible/module_utils/basic.py": """
        import atexit
        import json
        import sys
        from ansible.module_utils.text.words import shout

        try:
            from ansible.module_utils.absent import nothing
        except ImportError:
            nothing = None

        _ANSIBLE_ARGS = None
        _ANSIBLE_PROFILE = None


        class AnsibleModule:
            def __init__(self, argument_spec=None, supports_check_mode=False):
                given = json.loads(_ANSIBLE_ARGS)["ANSIBLE_MODULE_ARGS"]
                self.told = {name: value for name, value in given.items() if name.startswith("_ansible_")}
                self.params = {name: value for name, value in given.items() if name not in self.told}
                self.check_mode = given["_ansible_check_mode"]
                self.warnings = []

            def exit_json(self, **result):
                print(json.dumps({**result, "invocation": {"module_args": self.params}}))
                sys.exit(0)

            def fail_json(self, msg, **result):
                print(json.dumps({**result, "failed": True, "msg": msg}))
                sys.exit(1)
    """,
    "ansible/module_utils/text/__init__.py": "",
    "ansible/module_utils/text/words.py": "def shout(text):\n    return text.upper()\n",
    "ansible/module_utils/unused.py": "raise RuntimeError('nobody imports this')",
    "ansible/modules/__init__.py": "",
    "ansible/modules/stocky.py": """
        from ansible.module_utils.basic import AnsibleModule

        module = AnsibleModule()
        module.exit_json(changed=False, version=module.told["_ansible_version"])
    """,
    "ansible/modules/uses_old.py": """
        from ansible.module_utils.basic import AnsibleModule
        from ansible.module_utils.old_greet import greet

        AnsibleModule().exit_json(changed=False, greeting=greet("you"))
    """,
    "ansible/modules/two_parts.py": "from ansible.module_utils.basic import AnsibleModule\n",
    "ansible/plugins/action/two_parts.py": "",
    "ansible_collections/acme/tools/meta/runtime.yml": """
        plugin_routing:
          modules:
            hi: {redirect: acme.tools.hello}
            around: {redirect: acme.tools.about}
            about: {redirect: acme.tools.around}
            gone: {tombstone: {warning_text: Use nothing., removal_version: 2.0.0}}
          action:
            led_elsewhere: {redirect: acme.tools.two_parts}
    """,
    "ansible_collections/acme/tools/plugins/modules/hello.py": """
        from ansible.module_utils.basic import AnsibleModule
        from ..module_utils.greet import greet


        def main():
            module = AnsibleModule()
            module.exit_json(changed=not module.check_mode, greeting=greet(module.params.get("name", "world")))


        main()
    """,
    "ansible_collections/acme/tools/plugins/modules/two_parts.py": "",
    "ansible_collections/acme/tools/plugins/action/two_parts.py": "",
    "ansible_collections/acme/tools/plugins/action/only_here.py": "",
    "ansible_collections/acme/tools/plugins/modules/for_windows.ps1": "#Requires -Module Ansible.ModuleUtils.Legacy",
    "ansible_collections/acme/tools/plugins/module_utils/greet.py": """
        from ansible_collections.acme.tools.plugins.module_utils.inner import hello


        def greet(name):
            return f"{hello()} {name}"
    """,
    "ansible_collections/acme/tools/plugins/module_utils/inner/__init__.py": "def hello():\n    return 'hello'\n",
}


def write_tree(folder: Path) -> Path:
    """Write it, and return what PYBIBLE_ANSIBLE is to be."""
    write_files(folder, FILES)
    return folder


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write texts, without their indentation, to files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
