"""The defences of docs/security.md as mistakes in the code: each row removes one defence.

A row names a promise by the first words of its row in that page, a module, a text that occurs once in it, what replaces
the text, and the tests that must notice it. Texts are short, so that other changes of a line leave them in it.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One defence removed."""

    promise: str
    where: str
    """A module or a folder below `breakglass/`. In a folder one module has the text."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Each one fails with the mistake."""

    def __str__(self) -> str:
        first_line = self.old.strip().partition("\n")[0]
        return f"{self.where}: {first_line[:50]}"


RULES = "web/guard/rules.py"
GUARD = "web/guard/guard.py"
HTTP1 = "web/http/http1.py"
HTTP2 = "web/http/http2.py"
HEADERS = "web/http/headers.py"
CREDENTIALS = "access/credentials.py"
IN_RULES = ("tests/web/guard/test_rules.py::test_ambiguous_and_unsupported_requests_are_refused",)
AMBIGUOUS = ("tests/web/http/test_http1.py::test_an_ambiguous_request_is_refused_and_its_connection_closed",)
OTHER_SITES = ("tests/web/guard/test_rules.py::test_no_other_site_acts_or_reads_through_a_browser",)
CREDENTIAL = ("tests/web/guard/test_rules.py::test_a_caller_may_do_what_its_credential_allows",)
IN_TOKENS = "tests/access/test_tokens.py::"
IN_CLIENTS = "tests/web/http/test_clients.py::"
IN_LOGINS = "tests/access/test_logins.py::"
IN_GUARD = "tests/web/guard/test_guard.py::"
EVERY_HEADER = (f"{IN_GUARD}test_the_security_headers_are",)
NO_STORE = (f"{IN_GUARD}test_every_response_carries_the_security_headers",)
COOKIE = ("tests/web/guard/test_cookies.py::test_a_cookie_has_every_restriction_that_its_origin_allows",)

MISTAKES = (
    Mistake(
        "Beyond loopback nothing",
        "web/http/listen.py",
        "if tls or proxied or allow_plain or",
        "if True or",
        ("tests/web/http/test_listen.py::test_listening_beyond_loopback_needs_tls_a_proxy_or_permission",),
    ),
    Mistake(
        "A connection without a complete head",
        "web/http/limits.py",
        "config.keep_alive_timeout = config.ssl_handshake_timeout = limits.head_seconds",
        "config.keep_alive_timeout = config.ssl_handshake_timeout = 30 + limits.head_seconds",
        ("tests/web/http/test_stalls.py::test_sending_a_head_byte_by_byte_gains_no_time",),
    ),
    Mistake(
        "A body that is incomplete",
        GUARD,
        "asyncio.timeout(seconds)",
        "asyncio.timeout(30 + seconds)",
        (f"{IN_GUARD}test_an_incomplete_body_times_out",),
    ),
    Mistake(
        "A body that is incomplete",
        GUARD,
        "if refusal := refuse_size(settings, request, size):",
        "if refusal := None:",
        (f"{IN_GUARD}test_a_body_is_limited_by_its_received_size",),
    ),
    Mistake(
        "A body that is incomplete",
        RULES,
        "refuse_other_media_types, refuse_declared_size)",
        "refuse_other_media_types,)",
        CREDENTIAL,
    ),
    Mistake(
        "A client that takes nothing",
        "web/http/server.py",
        "await wait_while_progressing(self.writer.drain, size, self._stall_seconds)",
        "await self.writer.drain()",
        ("tests/web/http/test_stalls.py::test_a_client_that_stops_reading_is_disconnected",),
    ),
    Mistake(
        "A client that takes nothing",
        HTTP2,
        "await wait_while_progressing(self._paused.wait, lambda: len(self.buffer), self._stall_seconds)",
        "await self._paused.wait()",
        ("tests/web/http/test_http2.py::test_an_http2_client_that_shuts_its_window_is_disconnected",),
    ),
    Mistake(
        "Such a client costs at most",
        "web/http/listen.py",
        "sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)",
        "pass",
        ("tests/web/http/test_listen.py::test_connections_inherit_the_options_of_their_listening_socket",),
    ),
    Mistake(
        "An address may have",
        "web/http/clients.py",
        ">= self._per_address",
        ">= 10**9",
        ("tests/web/http/test_server.py::test_connections_are_limited_per_address",),
    ),
    Mistake(
        "An address may have",
        "web/guard/streams.py",
        "if not self._counter.add(address):",
        "if self._counter.add(address) is None:",
        ("tests/web/guard/test_streams.py::test_streams_are_limited_per_address_and_in_total",),
    ),
    Mistake(
        "A request has one meaning",
        HTTP1,
        'if head.count(b"\\n") != head.count(b"\\r\\n") or _FOLDED.search(head):',
        "if _FOLDED.search(head):",
        AMBIGUOUS,
    ),
    Mistake("A request has one meaning", HTTP1, " or _FOLDED.search(head)", "", AMBIGUOUS),
    Mistake("A request has one meaning", HTTP1, 'if len(lengths) > 1 or b"," in', 'if b"," in', AMBIGUOUS),
    Mistake("A request has one meaning", RULES, "    refuse_unclear_lengths,\n", "", IN_RULES),
    Mistake("A request has one meaning", RULES, "    refuse_repeated_fields,\n", "", IN_RULES),
    Mistake(
        "A connection never leaves HTTP",
        HTTP1,
        "async def _check_protocol(",
        "async def _check_no_protocol(",
        AMBIGUOUS,
    ),
    Mistake("A connection never leaves HTTP", RULES, "    refuse_upgrades,\n", "", IN_RULES),
    Mistake("A connection never leaves HTTP", RULES, "    refuse_other_methods,\n", "", IN_RULES),
    Mistake("A connection never leaves HTTP", RULES, "    refuse_other_protocols,\n", "", IN_RULES),
    Mistake(
        "A connection never leaves HTTP",
        HTTP2,
        'value.upper() == b"CONNECT"',
        'value.upper() == b"NEVER"',
        ("tests/web/http/test_http2.py::test_http2_has_no_tunnels",),
    ),
    Mistake("A path has one meaning", RULES, "    refuse_unclear_paths,\n", "", IN_RULES),
    Mistake("A foreign host name", RULES, "    refuse_unknown_hosts,\n", "", IN_RULES),
    Mistake("No other site acts", RULES, "    refuse_other_sites,\n", "", OTHER_SITES),
    Mistake("No other site acts", RULES, "if origin not in own_origins or not", "if not", OTHER_SITES),
    Mistake("No other site acts", "web/guard/cookies.py", "; SameSite=Strict", "; SameSite=Lax", COOKIE),
    Mistake("No other site acts", "web/guard/cookies.py", "; HttpOnly", "", COOKIE),
    Mistake("No other site acts", "web/guard/cookies.py", '"; Secure" if', '"" if', COOKIE),
    Mistake(
        "A cookie or a proxy's user",
        RULES,
        "(refuse_read_only, refuse_unproven_pages",
        "(refuse_read_only, *()",
        CREDENTIAL,
    ),
    Mistake(
        "A cookie or a proxy's user",
        CREDENTIALS,
        'return credential.kind == "token" or hmac',
        "return True or hmac",
        ("tests/access/test_credentials.py::test_a_csrf_token_belongs_to_one_login",),
    ),
    Mistake(
        "An anonymous caller gets 401",
        RULES,
        "if credential is None and not request.is_public:",
        "if credential is None and request is None:",
        (
            "tests/web/guard/test_secrecy.py::test_every_route_outside_a_short_list_is_closed_to_anonymous_callers",
        ),
    ),
    Mistake(
        "An anonymous caller gets 401",
        "web/guard/request.py",
        '    "/favicon.ico": SAFE_METHODS,\n',
        '    "/favicon.ico": SAFE_METHODS,\n    "/api/sessions": SAFE_METHODS,\n',
        ("tests/web/guard/test_rules.py::test_only_these_paths_and_static_files_are_open",),
    ),
    Mistake(
        "The read-only token",
        RULES,
        "(refuse_read_only, refuse_unproven_pages",
        "(*(), refuse_unproven_pages",
        CREDENTIAL,
    ),
    Mistake(
        "On `/api` a body",
        RULES,
        "(refuse_other_media_types, refuse_declared_size)",
        "(refuse_declared_size,)",
        CREDENTIAL,
    ),
    Mistake(
        "A generated token",
        "access/tokens.py",
        "_write_secret(path, secrets.token_urlsafe(32), os.link)",
        "_write_secret(path, secrets.token_urlsafe(24), os.link)",
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
        "if _is_open(status, user):",
        "if status.st_uid < 0:",
        ("tests/test_trusted_path.py::test_a_file_or_directory_that_others_may_write_is_refused",),
    ),
    Mistake(
        "Only root and the user can change",
        "settings_file.py",
        "        check_trusted(file)\n        return tomllib",
        "        return tomllib",
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
        "Guessing is slowed down",
        GUARD,
        "has_wrong_token = credential is None and",
        "has_wrong_token =",
        (f"{IN_GUARD}test_the_right_token_is_never_locked_out",),
    ),
    Mistake(
        "Users can log in on a full disk",
        "access",
        "return fold(self._unwritten, written) if self._unwritten else written",
        "return written",
        ("tests/access/test_logins.py::test_users_can_log_in_and_out_while_the_disk_takes_no_writes",),
    ),
    Mistake("Every response", HEADERS, '    (b"x-content-type-options", b"nosniff"),\n', "", EVERY_HEADER),
    Mistake("Every response", HEADERS, '    (b"x-frame-options", b"DENY"),\n', "", EVERY_HEADER),
    Mistake(
        "Every response",
        HEADERS,
        '(b"cross-origin-opener-policy", b"same-origin")',
        '(b"x-a", b"")',
        EVERY_HEADER,
    ),
    Mistake(
        "Every response",
        HEADERS,
        '(b"cross-origin-resource-policy", b"same-origin")',
        '(b"x-a", b"")',
        EVERY_HEADER,
    ),
    Mistake(
        "Every response", HEADERS, "script-src 'self';", "script-src 'self' 'unsafe-inline';", EVERY_HEADER
    ),
    Mistake("Every response", HEADERS, "frame-ancestors 'none'; ", "", EVERY_HEADER),
    Mistake("Every response", HEADERS, "require-trusted-types-for 'script'; ", "", EVERY_HEADER),
    Mistake("Every response", HEADERS, '(b"cache-control", b"no-store")', '(b"x-a", b"")', NO_STORE),
    Mistake(
        "Every response",
        GUARD,
        '"The server made a mistake. Its log has the details."',
        "__file__",
        (f"{IN_GUARD}test_an_error_of_the_application_becomes_a_500_without_details",),
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
        "A line of the access log",
        "web/http/accesslog.py",
        'json.dumps(fields, separators=(",", ":"))',
        'json.dumps(fields, separators=(",", ":"), ensure_ascii=False)',
        ("tests/web/http/test_accesslog.py::test_any_request_adds_one_line_of_ascii_to_the_access_log",),
    ),
    Mistake(
        "When connections are scarce",
        "web/http/clients.py",
        "else self._reserved)",
        "else 0)",
        (
            f"{IN_CLIENTS}test_the_last_places_are_for_this_machine_for_proxies_and_for_clients_with_a_credential",
        ),
    ),
    Mistake(
        "When connections are scarce",
        "web/http/clients.py",
        "oldest = next(iter(self._anonymous), None)",
        "oldest: Place | None = None",
        ("tests/web/http/test_clients.py::test_the_oldest_connection_without_a_credential_gives_way",),
    ),
    Mistake(
        "An HTTP/2 connection sends",
        HTTP2,
        "return self._left < 0",
        "return False",
        ("tests/web/http/test_http2.py::test_a_flood_of_http2_frames_ends_its_connection_and_delays_nobody",),
    ),
    Mistake(
        "A stolen cookie reads",
        RULES,
        "refuse_unproven_pages, refuse_other_pages)",
        "refuse_unproven_pages)",
        (f"{IN_GUARD}test_a_stolen_cookie_reads_but_does_not_act",),
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
        "Plain forms work under every name",
        HEADERS,
        '(b"referrer-policy", b"same-origin")',
        '(b"referrer-policy", b"no-referrer")',
        EVERY_HEADER,
    ),
    Mistake(
        "Only a listed proxy names users",
        "web/http/peers.py",
        "return TURN if pid and is_of_turn(pid) else",
        "return",
        ("tests/web/http/test_peers.py::test_a_user_header_counts_only_from_a_listed_user_outside_turns",),
    ),
    Mistake(
        "A stream of a proxy's user",
        "web/guard/streams.py",
        "return self._monotonic() - response.began < self._proxied_seconds",
        "return True",
        ("tests/web/guard/test_streams.py::test_a_stream_of_a_proxy_user_ends_after_12_hours",),
    ),
    Mistake(
        "A login that has ended leaves no transcript",
        GUARD,
        '(*refusal.headers, (b"clear-site-data", b\'"cache"\'))',
        "refusal.headers",
        (f"{IN_GUARD}test_a_browser_whose_login_has_ended_is_told_to_forget_its_pages",),
    ),
    Mistake(
        "Hostile text costs",
        "web/page/budget.py",
        'return deadline != float("inf") and time.thread_time() > deadline',
        "return False",
        ("tests/web/page/test_budget.py::test_beyond_the_budget_everything_is_plain_and_complete",),
    ),
    Mistake(
        'An agent with `sandbox = "bwrap"` writes its own workspace',
        "sandbox/__init__.py",
        '"--new-session", ',
        "",
        ("tests/turns/test_sandbox.py::test_a_sandbox_without_root_makes_a_user_namespace",),
    ),
)
