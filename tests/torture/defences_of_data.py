"""The defences of docs/security.md that are removed from secrets, files, copies, relays and agents."""

from tests.torture.defence import Mistake

CREDENTIALS = "access/credentials.py"
IN_TOKENS = "tests/access/test_tokens.py::"
IN_LOGINS = "tests/access/test_logins.py::"
IN_FLEET = "tests/relay/test_fleet.py::"
ONE_ACCOUNT = (
    r"""text = __import__("re").sub(r"(?s)\n    \]\n  }\n  \"(?!@).*?users: \[", "", "\n".join(rows))"""
)
IN_ENGINE = "tests/relay/test_engine.py::"
IN_COPIES_WRITTEN = "tests/relay/test_copies_written.py::"
FILES_SERVED = ("tests/web/test_files.py::test_files_are_served_as_pictures_or_as_downloads",)
IN_PICTURES = "tests/store/test_pictures.py::"
NO_ESCAPE = ("tests/turns/test_sandbox.py::test_no_attempt_to_escape_succeeds",)
NO_WAY_OUT = ("tests/store/test_workspace.py::test_no_link_leads_out_of_the_workspace",)

OF_DATA = (
    Mistake(
        "A picture of a tool",
        "store/pictures.py",
        "len(data) > MAX_BYTES or ",
        "",
        (f"{IN_PICTURES}test_what_is_no_picture_or_too_large_is_left_out",),
    ),
    Mistake(
        "A picture of a tool",
        "store/pictures.py",
        "os.O_DIRECTORY | os.O_NOFOLLOW",
        "os.O_DIRECTORY",
        (f"{IN_PICTURES}test_no_link_is_followed",),
    ),
    Mistake(
        "A cookie or a proxy's user",
        CREDENTIALS,
        'return credential.kind == "token" or hmac',
        "return True or hmac",
        ("tests/access/test_credentials.py::test_a_csrf_token_belongs_to_one_login",),
    ),
    Mistake(
        "A generated token",
        "access/tokens.py",
        "write_secret(path, secrets.token_urlsafe(32), os.link)",
        "write_secret(path, secrets.token_urlsafe(24), os.link)",
        (f"{IN_TOKENS}test_a_token_is_made_once_with_256_bits_in_a_private_file",),
    ),
    Mistake(
        "A generated token",
        "settings.py",
        "MIN_TOKEN = 32",
        "MIN_TOKEN = 3",
        (f"{IN_TOKENS}test_a_short_or_malformed_configured_token_prevents_the_start",),
    ),
    Mistake(
        "A generated token",
        "access/tokens.py",
        "if not is_private(os.fstat(fd)):",
        "if fd < 0:",
        (f"{IN_TOKENS}test_a_token_file_that_others_may_read_prevents_the_start",),
    ),
    Mistake(
        "A generated token",
        "plain_file.py",
        "| os.O_NOFOLLOW",
        "",
        (f"{IN_TOKENS}test_a_token_file_must_not_be_a_link",),
    ),
    Mistake(
        "No token is in the server's output",
        "cli/commands/serve.py",
        "elif not screen.is_terminal():",
        "elif screen.is_terminal():",
        ("tests/web/guard/test_login_codes.py::test_a_server_without_a_terminal_prints_no_secret",),
    ),
    Mistake(
        "No token is in the server's output",
        "access/login_codes.py",
        "        path.unlink()\n        _sync",
        "        path.stat()\n        _sync",
        ("tests/access/test_login_codes.py::test_of_simultaneous_uses_of_a_code_one_opens_a_login",),
    ),
    Mistake(
        "No token is in the server's output",
        "access/login_codes.py",
        "return now < expires <= now + CODE_SECONDS",
        "return True",
        (
            "tests/access/test_login_codes.py::test_a_code_expires_after_ten_minutes_and_when_the_clock_is_set_back",
        ),
    ),
    Mistake(
        "Only root and the user can change",
        "trusted_path.py",
        "if status.st_uid not in (0, user):",
        "if status.st_uid < 0:",
        ("tests/test_trusted_path.py::test_a_file_or_directory_of_another_user_is_refused",),
    ),
    Mistake(
        "Only root and the user can change",
        "trusted_path.py",
        "if _is_open(step, status, user):",
        "if status.st_uid < 0:",
        ("tests/test_trusted_path.py::test_a_file_or_directory_that_others_may_write_is_refused",),
    ),
    Mistake(
        "Only root and the user can change",
        "trusted_path.py",
        "(_has_list(step) or not _is_private",
        "(not _is_private",
        (
            "tests/test_trusted_path.py::test_a_file_or_directory_that_an_access_control_list_opens_is_refused",
        ),
    ),
    Mistake(
        "Only root and the user can change",
        "trusted_path.py",
        "all(each.pw_uid == uid",
        "all(True",
        ("tests/test_trusted_path.py::test_a_group_that_is_the_first_one_of_another_user_is_not_private",),
    ),
    Mistake(
        "Only root and the user can change",
        "settings_file.py",
        "        check_trusted(file)\n        with file.open",
        "        with file.open",
        (
            "tests/test_settings_file.py::test_a_file_that_another_user_can_change_is_an_error_in_every_other_place",
        ),
    ),
    Mistake(
        "Only root and the user can change",
        "access/tokens.py",
        "return not status.st_mode & 0o077 and",
        "return",
        (
            f"{IN_TOKENS}test_a_token_whose_file_is_opened_to_others_while_serving_is_refused_until_it_is_private",
        ),
    ),
    Mistake(
        "The server keeps only the SHA-256",
        CREDENTIALS,
        "digest=_sha256(cookie.encode()).hex(),",
        "digest=cookie,",
        ("tests/access/test_credentials.py::test_no_object_and_no_file_keeps_a_secret_in_clear",),
    ),
    Mistake(
        "Rotating the token",
        CREDENTIALS,
        "login.expires > self._now() and login.token == fingerprint",
        "login.expires > self._now()",
        ("tests/access/test_credentials.py::test_rotating_a_token_ends_it_and_its_logins_and_no_others",),
    ),
    Mistake(
        "Rotating the token",
        CREDENTIALS,
        "login.expires > self._now() and login.token == fingerprint",
        "login.token == fingerprint",
        ("tests/access/test_logins.py::test_a_login_expires",),
    ),
    Mistake(
        "Rotating the token",
        CREDENTIALS,
        "return find(credential.key) is not None",
        "return find is not None",
        ("tests/web/guard/test_streams.py::test_a_stream_ends_soon_after_its_credential",),
    ),
    Mistake(
        "Guessing is slowed down",
        "access/throttle.py",
        "return 0 if count < WRONG_PER_MINUTE else",
        "return 0 if count >= 0 else",
        ("tests/access/test_throttle.py::test_wrong_tokens_are_slowed_down_per_address_for_a_minute",),
    ),
    Mistake(
        "Users can log in on a full disk",
        "access",
        "return fold(self._unwritten, written) if self._unwritten else written",
        "return written",
        ("tests/access/test_logins.py::test_users_can_log_in_and_out_while_the_disk_takes_no_writes",),
    ),
    Mistake(
        "An agent's output holds no known secret",
        "masking.py",
        "if not self._known:",
        "if self:",
        ("tests/turns/test_confinement.py::test_known_secrets_do_not_get_into_the_log",),
    ),
    Mistake(
        "An agent learns nothing",
        "turns/processes.py",
        "_prctl(_PR_SET_DUMPABLE, 0,",
        "_prctl(_PR_SET_DUMPABLE, 1,",
        ("tests/turns/test_confinement.py::test_an_agent_cannot_read_the_servers_token_out_of_its_process",),
    ),
    Mistake(
        "An agent learns nothing",
        "agents/environ.py",
        "if any(fnmatchcase(key, pattern) for pattern in patterns)",
        "if patterns",
        ("tests/turns/test_runner.py::test_an_agent_gets_the_allowed_environment_and_the_mark",),
    ),
    Mistake(
        "An agent learns nothing",
        "agents/environ.py",
        "- _NEVER",
        "",
        ("tests/agents/test_environ.py::test_a_helper_gets_no_secret_of_the_server",),
    ),
    Mistake(
        "An agent learns nothing",
        "web/searching.py",
        "env={},  # every process of this user can read it",
        "",
        ("tests/agents/test_environ.py::test_every_program_gets_an_environment_that_was_chosen_for_it",),
    ),
    Mistake(
        "An agent learns nothing",
        "turns/start.py",
        "ours, runners = socket.socketpair()",
        "runners, ours = map(open, os.pipe(), ('rb', 'wb'))\n    ours.sendall = ours.write",
        ("tests/turns/test_confinement.py::test_no_process_can_open_the_job_of_a_runner",),
    ),
    Mistake(
        "A login over plain HTTP ends",
        CREDENTIALS,
        "expires=since + (idle or self._lifetime)",
        "expires=since + self._lifetime",
        (
            f"{IN_LOGINS}test_a_login_over_plain_http_ends_after_12_hours_without_use_and_after_30_days_in_any_case",
        ),
    ),
    Mistake(
        'An agent with `sandbox = "bwrap"` writes its own workspace',
        "sandbox/__init__.py",
        '"--new-session", ',
        "",
        ("tests/turns/test_sandbox.py::test_a_sandbox_without_root_makes_a_user_namespace",),
    ),
    *(
        Mistake('An agent with `sandbox = "bwrap"` writes its own workspace', where, old, new, NO_ESCAPE)
        for where, old, new in (
            ("sandbox/__init__.py", "for path in _sockets(hidden):", "for path in ():"),
            ("sandbox/init.py", "        restrict_calls(os.uname().machine)\n", ""),
            ("sandbox/init.py", "_FAMILIES = (1, 2, 10, 16)", "_FAMILIES = (1, 2, 10, 16, 40)"),  # AF_VSOCK
            ("sandbox/init.py", "+ _if(_IF_ANY_BIT, _CLONE_NEWUSER, refused)", ""),
        )
    ),
    Mistake(
        "A host reaches no record",
        "relay/accounts.py",
        'text = "\\n".join(rows)',
        ONE_ACCOUNT,
        (f"{IN_FLEET}test_what_a_host_forges_arrives_at_no_other_host",),
    ),
    Mistake(
        "A host reaches no record",
        "relay/accounts.py",
        'publish: { allow: ["bg.log.*"',
        'publish: { allow: [">"',
        (f"{IN_FLEET}test_a_host_cannot_take_back_what_it_has_shipped[DELETE-]",),
    ),
    Mistake(
        "An operator's credentials",
        "relay/accounts.py",
        'publish: {{ allow: "bg.cmd.>" }}',
        'publish: {{ allow: ">" }}',
        ("tests/relay/test_operators.py::test_an_operator_reaches_nothing_but_commands",),
    ),
    Mistake(
        "A host reaches no record",
        "relay/engine.py",
        "        _check_version(client",
        "        print(client",
        (f"{IN_ENGINE}test_an_engine_whose_walls_do_not_hold_is_refused",),
    ),
    Mistake(
        "A host reaches no record",
        "relay/engine.py",
        "deny_delete=True",
        "deny_delete=False",
        (f"{IN_ENGINE}test_the_stream_of_a_host_refuses_to_delete",),
    ),
    Mistake(
        "A host that was taken over",
        "relay/copies.py",
        "present = os.open(path, os.O_RDONLY | os.O_NOFOLLOW",
        "present = os.open(path, os.O_RDONLY",
        (f"{IN_COPIES_WRITTEN}test_a_link_in_the_place_of_a_copy_is_not_followed",),
    ),
    Mistake(
        "A host that was taken over",
        "relay/copies.py",
        "if not ID.fullmatch(session):",
        "if not session:",
        (f"{IN_COPIES_WRITTEN}test_a_name_that_is_no_session_is_never_a_path",),
    ),
    Mistake(
        "A host that was taken over",
        "relay/copies.py",
        "if both and not self._has_all(",
        "if not both and not self._has_all(",
        (f"{IN_COPIES_WRITTEN}test_other_bytes_than_before_are_refused",),
    ),
    Mistake(
        "Nothing of the relays crosses",
        "relay_settings.py",
        'if match[1] in ("nats", "ws") and',
        "if match is None and",
        ("tests/relay/test_credentials.py::test_an_address_without_tls_is_refused_beyond_this_machine",),
    ),
    Mistake(
        "A copy of another host",
        "web/pages.py",
        "(socket.gethostname() if credential else",
        "(socket.gethostname() if request else",
        ("tests/web/guard/test_secrecy.py::test_an_anonymous_caller_does_not_learn_the_name_of_the_machine",),
    ),
    Mistake(
        "A copy of another host",
        "web/guard/request.py",
        "which hosts there are\n            return False",
        "which hosts there are\n            return True",
        ("tests/web/guard/test_rules.py::test_a_caller_may_do_what_its_credential_allows",),
    ),
    Mistake(
        "A copy of another host",
        "store/hosts.py",
        "path.is_dir() and not path.is_symlink()",
        "path.is_dir()",
        ("tests/relay/test_copies.py::test_a_link_is_no_copy",),
    ),
    Mistake(
        "A file never runs in a browser",
        "web/files.py",
        "content_type=found if is_picture else UNKNOWN",
        "content_type=found",
        FILES_SERVED,
    ),
    Mistake(
        "A file never runs in a browser",
        "web/files.py",
        '"inline" if is_picture else "attachment"',
        '"inline"',
        FILES_SERVED,
    ),
    Mistake(
        "No file is read or written outside",
        "store/workspace.py",
        "| os.O_DIRECTORY | os.O_NOFOLLOW",
        "| os.O_DIRECTORY",
        NO_WAY_OUT,
    ),
    Mistake(
        "No file is read or written outside",
        "store/workspace.py",
        "if not is_relative(path):",
        "if not path:",
        NO_WAY_OUT,
    ),
    Mistake(
        "No file is read or written outside",
        "uploads.py",
        '_UNSAFE.sub("_", last)',
        "last",
        ("tests/test_uploads.py::test_a_name_becomes_one_that_nothing_gives_a_meaning_to",),
    ),
)
