"""ansible_keys: the settings of ansible.cfg that pybible knows: one table, for reading and for the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOTHING: Final = "accepted, no meaning here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting. `ini` holds (section, key), `env` variables; of several the last that is set wins.

    `kind` says how text is read: boolean, integer, float, list (commas), path, pathspec (colons), pathlist (commas),
    string. `{home}` in a default is the setting ANSIBLE_HOME. `deprecated` is what ansible-core says of its use.
    """

    name: str
    kind: str
    default: object
    ini: tuple[tuple[str, str], ...]
    env: tuple[str, ...]
    meaning: str
    choices: tuple[str, ...] = ()
    deprecated: str = ""


def _key(
    name: str, kind: str, default: object, ini: str, env: str, meaning: str, *, choices: str = "", deprecated: str = ""
) -> Key:
    """Return a row: `ini` and `env` are words, an ini word is `section.key`, in [defaults] only `key`."""
    places = []
    for word in ini.split():
        section, _, key = word.rpartition(".")
        places.append((section or "defaults", key))
    return Key(
        name=name,
        kind=kind,
        default=default,
        ini=tuple(places),
        env=tuple(env.split()),
        meaning=meaning,
        choices=tuple(choices.split()),
        deprecated=deprecated,
    )


def _plugins(kind: str, ini: str = "", env: str = "", *, meaning: str = NOTHING) -> Key:
    path = f"{{home}}/plugins/{kind}:/usr/share/ansible/plugins/{kind}"
    name = f"DEFAULT_{kind.upper()}_PLUGIN_PATH"
    return _key(name, "pathspec", path, ini or f"{kind}_plugins", env or f"ANSIBLE_{kind.upper()}_PLUGINS", meaning)


_NO_LONGER_USED = "This option is no longer used in the Ansible Core code base."

KEYS: Final[tuple[Key, ...]] = (
    # What is run, and how.
    _key("DEFAULT_HOST_LIST", "inventory", "/etc/ansible/hosts", "inventory", "ANSIBLE_INVENTORY", "as --inventory"),
    _key("DEFAULT_FORKS", "integer", 5, "forks", "ANSIBLE_FORKS", "as --forks"),
    _key("DEFAULT_ROLES_PATH", "pathspec", "{home}/roles:/usr/share/ansible/roles:/etc/ansible/roles",
         "roles_path", "ANSIBLE_ROLES_PATH", "where roles are looked for"),
    _key("DEFAULT_GATHERING", "string", "implicit", "gathering", "ANSIBLE_GATHERING",
         "when facts are gathered", choices="implicit explicit smart"),
    _key("DEFAULT_STRATEGY", "string", "linear", "strategy", "ANSIBLE_STRATEGY", "the strategy of plays without one"),
    _key("ANY_ERRORS_FATAL", "boolean", False, "any_errors_fatal", "ANSIBLE_ANY_ERRORS_FATAL",
         "for everything that says nothing else"),
    _key("DEFAULT_FORCE_HANDLERS", "boolean", False, "force_handlers", "ANSIBLE_FORCE_HANDLERS", "as --force-handlers"),
    _key("ERROR_ON_MISSING_HANDLER", "boolean", True, "error_on_missing_handler", "ANSIBLE_ERROR_ON_MISSING_HANDLER",
         "whether notifying a handler that is not there ends the run"),
    _key("TASK_TIMEOUT", "integer", 0, "task_timeout", "ANSIBLE_TASK_TIMEOUT", "seconds for every task; 0: no limit"),
    _key("TAGS_RUN", "list", (), "tags.run", "ANSIBLE_RUN_TAGS", "added to --tags"),
    _key("TAGS_SKIP", "list", (), "tags.skip", "ANSIBLE_SKIP_TAGS", "added to --skip-tags"),
    _key("DEFAULT_BECOME", "boolean", False, "privilege_escalation.become", "ANSIBLE_BECOME", "as --become"),
    _key("DEFAULT_BECOME_USER", "string", "root", "privilege_escalation.become_user", "ANSIBLE_BECOME_USER",
         "as --become-user"),
    _key("DEFAULT_BECOME_METHOD", "string", "sudo", "privilege_escalation.become_method", "ANSIBLE_BECOME_METHOD",
         "as --become-method; not set: what the agent can"),
    _key("DEFAULT_BECOME_EXE", "string", None, "privilege_escalation.become_exe", "ANSIBLE_BECOME_EXE",
         "the program that becomes the user"),
    _key("DEFAULT_BECOME_FLAGS", "string", "", "privilege_escalation.become_flags", "ANSIBLE_BECOME_FLAGS",
         "its options"),
    _key("DEFAULT_VERBOSITY", "integer", 0, "verbosity", "ANSIBLE_VERBOSITY", "added to -v"),
    _key("PLAYBOOK_DIR", "path", None, "playbook_dir", "ANSIBLE_PLAYBOOK_DIR", "as --playbook-dir of `inventory`"),
    # Inventory.
    _key("HOST_PATTERN_MISMATCH", "string", "warning", "inventory.host_pattern_mismatch",
         "ANSIBLE_HOST_PATTERN_MISMATCH", "what a pattern that means nobody is", choices="error warning ignore"),
    _key("INVENTORY_ENABLED", "list", ("host_list", "script", "auto", "yaml", "ini", "toml"),
         "inventory.enable_plugins", "ANSIBLE_INVENTORY_ENABLED", "which plugins read a source, in this order"),
    _key("INVENTORY_EXPORT", "boolean", False, "inventory.export", "ANSIBLE_INVENTORY_EXPORT",
         "as --export of `inventory`"),
    _key("INVENTORY_UNPARSED_IS_FAILED", "boolean", False, "inventory.unparsed_is_failed",
         "ANSIBLE_INVENTORY_UNPARSED_FAILED", "whether it is an error that no source could be read"),
    _key("INVENTORY_ANY_UNPARSED_IS_FAILED", "boolean", False, "inventory.any_unparsed_is_failed",
         "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "whether it is an error that a source could not be read"),
    _key("INVENTORY_UNPARSED_WARNING", "boolean", True, "inventory.inventory_unparsed_warning",
         "ANSIBLE_INVENTORY_UNPARSED_WARNING", "whether it is told that no source could be read"),
    _key("LOCALHOST_WARNING", "boolean", True, "localhost_warning", "ANSIBLE_LOCALHOST_WARNING",
         "whether it is told that there is nobody but localhost"),
    # Variables, facts, templates.
    _key("DEFAULT_HASH_BEHAVIOUR", "string", "replace", "hash_behaviour", "ANSIBLE_HASH_BEHAVIOUR",
         "whether mappings of the same name are merged", choices="replace merge"),
    _key("INJECT_FACTS_AS_VARS", "boolean", True, "inject_facts_as_vars", "ANSIBLE_INJECT_FACT_VARS",
         "whether facts are variables of their own too"),
    _key("CACHE_PLUGIN", "string", "memory", "fact_caching", "ANSIBLE_CACHE_PLUGIN",
         "where facts are kept: memory or jsonfile"),
    _key("CACHE_PLUGIN_CONNECTION", "string", None, "fact_caching_connection", "ANSIBLE_CACHE_PLUGIN_CONNECTION",
         "the folder of jsonfile"),
    _key("CACHE_PLUGIN_PREFIX", "string", "ansible_facts", "fact_caching_prefix", "ANSIBLE_CACHE_PLUGIN_PREFIX",
         "what names of jsonfile's files begin with; not set: nothing"),
    _key("CACHE_PLUGIN_TIMEOUT", "integer", 86400, "fact_caching_timeout", "ANSIBLE_CACHE_PLUGIN_TIMEOUT",
         "seconds until kept facts are too old; 0: never"),
    _key("DEFAULT_JINJA2_EXTENSIONS", "list", (), "jinja2_extensions", "ANSIBLE_JINJA2_EXTENSIONS",
         "extensions for all templates", deprecated="Jinja2 extensions have been deprecated|Ansible-supported Jinja "
         "plugins (tests, filters, lookups)"),
    _key("DEFAULT_MANAGED_STR", "string", "Ansible managed", "ansible_managed", "", "the variable `ansible_managed`",
         deprecated="The `ansible_managed` variable can be set just like any other variable, or a different variable "
         "can be used.|Set the `ansible_managed` variable, or use any custom variable in templates."),
    _key("ALLOW_BROKEN_CONDITIONALS", "boolean", False, "allow_broken_conditionals",
         "ANSIBLE_ALLOW_BROKEN_CONDITIONALS", "whether conditionals may yield what is neither true nor false"),
    _key("DUPLICATE_YAML_DICT_KEY", "string", "warn", "duplicate_dict_key", "ANSIBLE_DUPLICATE_YAML_DICT_KEY",
         "what a key that stands twice in a mapping is", choices="error warn ignore"),
    # Vault.
    _key("DEFAULT_VAULT_PASSWORD_FILE", "path", None, "vault_password_file", "ANSIBLE_VAULT_PASSWORD_FILE",
         "as --vault-password-file, when none is given"),
    _key("DEFAULT_VAULT_IDENTITY_LIST", "list", (), "vault_identity_list", "ANSIBLE_VAULT_IDENTITY_LIST",
         "before those of --vault-id"),
    _key("DEFAULT_VAULT_IDENTITY", "string", "default", "vault_identity", "ANSIBLE_VAULT_IDENTITY",
         "the label of passwords that are given without one"),
    _key("DEFAULT_VAULT_ENCRYPT_IDENTITY", "string", None, "vault_encrypt_identity",
         "ANSIBLE_VAULT_ENCRYPT_IDENTITY", "as --encrypt-vault-id of `vault`"),
    _key("DEFAULT_VAULT_ID_MATCH", "boolean", False, "vault_id_match", "ANSIBLE_VAULT_ID_MATCH", NOTHING),
    _key("DEFAULT_ASK_VAULT_PASS", "boolean", False, "ask_vault_pass", "ANSIBLE_ASK_VAULT_PASS",
         "as --ask-vault-password"),
    # What is shown.
    _key("DEFAULT_STDOUT_CALLBACK", "string", "default", "stdout_callback", "ANSIBLE_STDOUT_CALLBACK",
         "how a run is shown; an error for what is not there"),
    _key("CALLBACKS_ENABLED", "list", (), "callbacks_enabled", "ANSIBLE_CALLBACKS_ENABLED",
         "what else is shown; a warning for what is not there"),
    _key("RESULT_FORMAT", "string", "json", "callback_result_format", "ANSIBLE_CALLBACK_RESULT_FORMAT",
         "how results are written", choices="json yaml"),
    _key("PRETTY_RESULTS", "boolean", None, "callback_format_pretty", "ANSIBLE_CALLBACK_FORMAT_PRETTY",
         "whether results are written on several lines"),
    _key("DISPLAY_SKIPPED_HOSTS", "boolean", True, "display_skipped_hosts", "ANSIBLE_DISPLAY_SKIPPED_HOSTS",
         "whether skipped tasks are shown"),
    _key("DISPLAY_OK_HOSTS", "boolean", True, "display_ok_hosts", "ANSIBLE_DISPLAY_OK_HOSTS",
         "whether tasks that are ok and changed nothing are shown"),
    _key("DISPLAY_FAILED_STDERR", "boolean", False, "display_failed_stderr", "ANSIBLE_DISPLAY_FAILED_STDERR",
         "whether failures go to standard error"),
    _key("CHECK_MODE_MARKERS", "boolean", False, "check_mode_markers", "ANSIBLE_CHECK_MODE_MARKERS",
         "whether headings say so in check mode"),
    _key("SHOW_TASK_PATH_ON_FAILURE", "boolean", False, "show_task_path_on_failure",
         "ANSIBLE_SHOW_TASK_PATH_ON_FAILURE", "whether a failed task's place is shown without -vv"),
    _key("SHOW_PER_HOST_START", "boolean", False, "show_per_host_start", "ANSIBLE_SHOW_PER_HOST_START", NOTHING),
    _key("SHOW_CUSTOM_STATS", "boolean", False, "show_custom_stats", "ANSIBLE_SHOW_CUSTOM_STATS",
         "whether set_stats is shown after the recap"),
    _key("DISPLAY_ARGS_TO_STDOUT", "boolean", False, "display_args_to_stdout", "ANSIBLE_DISPLAY_ARGS_TO_STDOUT",
         NOTHING),
    _key("ANSIBLE_FORCE_COLOR", "boolean", False, "force_color", "ANSIBLE_FORCE_COLOR", "colour in any case"),
    _key("ANSIBLE_NOCOLOR", "boolean", False, "nocolor", "ANSIBLE_NOCOLOR NO_COLOR", "no colour"),
    _key("ANSIBLE_NOCOWS", "boolean", False, "nocows", "ANSIBLE_NOCOWS", "accepted, there are no cows"),
    _key("DEFAULT_LOG_PATH", "path", None, "log_path", "ANSIBLE_LOG_PATH", "a file to which what is shown is added"),
    _key("RETRY_FILES_ENABLED", "boolean", False, "retry_files_enabled", "ANSIBLE_RETRY_FILES_ENABLED",
         "whether hosts that failed are written into a file for --limit @FILE"),
    _key("RETRY_FILES_SAVE_PATH", "path", None, "retry_files_save_path", "ANSIBLE_RETRY_FILES_SAVE_PATH",
         "its folder; not set: the playbook's"),
    _key("DEPRECATION_WARNINGS", "boolean", True, "deprecation_warnings", "ANSIBLE_DEPRECATION_WARNINGS",
         "whether deprecations are shown"),
    _key("SYSTEM_WARNINGS", "boolean", True, "system_warnings", "ANSIBLE_SYSTEM_WARNINGS", NOTHING),
    _key("ACTION_WARNINGS", "boolean", True, "action_warnings", "ANSIBLE_ACTION_WARNINGS",
         "whether warnings in results are shown"),
    _key("DEVEL_WARNING", "boolean", True, "devel_warning", "ANSIBLE_DEVEL_WARNING", NOTHING),
    _key("DIFF_ALWAYS", "boolean", False, "diff.always", "ANSIBLE_DIFF_ALWAYS", "as --diff"),
    _key("DIFF_CONTEXT", "integer", 3, "diff.context", "ANSIBLE_DIFF_CONTEXT", "lines around a difference"),
    _key("MAX_FILE_SIZE_FOR_DIFF", "integer", 104448, "max_diff_size", "ANSIBLE_MAX_DIFF_SIZE",
         "bytes up to which differences of a file are shown"),
    # Of no meaning here: agents dial out, modules live on them.
    _key("ANSIBLE_HOME", "path", "~/.ansible", "home", "ANSIBLE_HOME", "the folder in which other defaults lie"),
    _key("ANSIBLE_PIPELINING", "boolean", False, "pipelining connection.pipelining ssh_connection.pipelining",
         "ANSIBLE_PIPELINING", NOTHING),
    _key("COLLECTIONS_PATHS", "pathspec", "{home}/collections:/usr/share/ansible/collections", "collections_path",
         "ANSIBLE_COLLECTIONS_PATH", "folders with collections, whose modules are used"),
    _key("COLLECTIONS_SCAN_SYS_PATH", "boolean", True, "collections_scan_sys_path",
         "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH", "use collections that lie beside ansible-core's package"),
    _key("CONNECTION_PASSWORD_FILE", "path", None, "connection_password_file", "ANSIBLE_CONNECTION_PASSWORD_FILE",
         NOTHING),
    _key("BECOME_PASSWORD_FILE", "path", None, "become_password_file", "ANSIBLE_BECOME_PASSWORD_FILE", NOTHING),
    _key("BECOME_ALLOW_SAME_USER", "boolean", False, "privilege_escalation.become_allow_same_user",
         "ANSIBLE_BECOME_ALLOW_SAME_USER", NOTHING),
    _key("DEFAULT_BECOME_ASK_PASS", "boolean", False, "privilege_escalation.become_ask_pass",
         "ANSIBLE_BECOME_ASK_PASS", NOTHING),
    _key("DEFAULT_ASK_PASS", "boolean", False, "ask_pass", "ANSIBLE_ASK_PASS", NOTHING),
    _key("DEFAULT_EXECUTABLE", "string", "/bin/sh", "executable", "ANSIBLE_EXECUTABLE", NOTHING),
    _key("DEFAULT_KEEP_REMOTE_FILES", "boolean", False, "keep_remote_files", "ANSIBLE_KEEP_REMOTE_FILES", NOTHING),
    _key("DEFAULT_LOCAL_TMP", "path", "{home}/tmp", "local_tmp", "ANSIBLE_LOCAL_TEMP", NOTHING),
    _key("DEFAULT_MODULE_COMPRESSION", "string", "ZIP_DEFLATED", "module_compression", "", NOTHING),
    _key("DEFAULT_MODULE_NAME", "string", "command", "module_name", "", NOTHING),
    _key("DEFAULT_MODULE_PATH", "pathspec", "{home}/plugins/modules:/usr/share/ansible/plugins/modules", "library",
         "ANSIBLE_LIBRARY", "folders with modules"),
    _key("DEFAULT_MODULE_UTILS_PATH", "pathspec",
         "{home}/plugins/module_utils:/usr/share/ansible/plugins/module_utils", "module_utils", "ANSIBLE_MODULE_UTILS",
         "folders with what those modules import"),
    _plugins("action"), _plugins("cache"), _plugins("callback"), _plugins("connection"),
    _plugins("filter", meaning="folders of filters"), _plugins("inventory"),
    _plugins("lookup", meaning="folders of lookups"), _plugins("strategy"),
    _plugins("test", meaning="folders of tests"), _plugins("vars"),
    _key("DEFAULT_NO_LOG", "boolean", False, "no_log", "ANSIBLE_NO_LOG", "no_log of everything that says nothing"),
    _key("DEFAULT_NO_TARGET_SYSLOG", "boolean", False, "no_target_syslog", "ANSIBLE_NO_TARGET_SYSLOG", NOTHING),
    _key("INVALID_TASK_ATTRIBUTE_FAILED", "boolean", True, "invalid_task_attribute_failed",
         "ANSIBLE_INVALID_TASK_ATTRIBUTE_FAILED", "whether an unknown keyword of a task is an error"),
    _key("DEFAULT_POLL_INTERVAL", "integer", 15, "poll_interval", "ANSIBLE_POLL_INTERVAL",
         "seconds between looks at a task with `async`"),
    _key("DEFAULT_INTERNAL_POLL_INTERVAL", "float", 0.001, "internal_poll_interval", "", NOTHING),
    _key("DEFAULT_PRIVATE_KEY_FILE", "path", None, "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE", NOTHING),
    _key("DEFAULT_PRIVATE_ROLE_VARS", "boolean", False, "private_role_vars", "ANSIBLE_PRIVATE_ROLE_VARS",
         "whether variables of roles are hidden from the rest of the play"),
    _key("DEFAULT_REMOTE_PORT", "integer", None, "remote_port", "ANSIBLE_REMOTE_PORT", NOTHING),
    _key("DEFAULT_REMOTE_USER", "string", None, "remote_user", "ANSIBLE_REMOTE_USER", NOTHING),
    _key("DEFAULT_SYSLOG_FACILITY", "string", "LOG_USER", "syslog_facility", "ANSIBLE_SYSLOG_FACILITY", NOTHING),
    _key("DEFAULT_TIMEOUT", "integer", 10, "timeout", "ANSIBLE_TIMEOUT", NOTHING),
    _key("DEFAULT_TRANSPORT", "string", "ssh", "transport", "ANSIBLE_TRANSPORT", NOTHING),
    _key("DEFAULT_JINJA2_NATIVE", "boolean", True, "jinja2_native", "ANSIBLE_JINJA2_NATIVE", NOTHING,
         deprecated=f"{_NO_LONGER_USED}|Jinja2 native mode is now the default and only option."),
    _key("DEFAULT_UNDEFINED_VAR_BEHAVIOR", "boolean", True, "error_on_undefined_vars",
         "ANSIBLE_ERROR_ON_UNDEFINED_VARS", "accepted: an undefined variable is always an error",
         deprecated=f"{_NO_LONGER_USED}|There is no alternative at the moment. A different mechanism would have to be "
         "implemented in the current code base."),
    _key("HOST_KEY_CHECKING", "boolean", True, "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING", NOTHING),
    _key("INTERPRETER_PYTHON", "string", "auto", "interpreter_python", "ANSIBLE_PYTHON_INTERPRETER", NOTHING),
    _key("PAGER", "string", "less", "pager", "ANSIBLE_PAGER PAGER", NOTHING),
    _key("EDITOR", "string", "vi", "editor", "ANSIBLE_EDITOR EDITOR", NOTHING),
    _key("RUN_VARS_PLUGINS", "string", "demand", "run_vars_plugins", "ANSIBLE_RUN_VARS_PLUGINS", NOTHING,
         choices="demand start"),
    _key("TRANSFORM_INVALID_GROUP_CHARS", "string", "never", "force_valid_group_names",
         "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS", "whether other characters in group names become `_`",
         choices="always never ignore silently"),
    _key("VARIABLE_PLUGINS_ENABLED", "list", ("host_group_vars",), "vars_plugins_enabled", "ANSIBLE_VARS_ENABLED",
         NOTHING),
)  # fmt: skip
