"""The defences of docs/security.md that are removed from connections, requests and responses."""

from tests.torture.defence import Mistake

RULES = "web/guard/rules.py"
GUARD = "web/guard/guard.py"
HTTP1 = "web/http/http1.py"
HTTP2 = "web/http/http2.py"
HEADERS = "web/http/headers.py"
IN_RULES = ("tests/web/guard/test_rules.py::test_ambiguous_and_unsupported_requests_are_refused",)
AMBIGUOUS = ("tests/web/http/test_http1.py::test_an_ambiguous_request_is_refused_and_its_connection_closed",)
OTHER_SITES = ("tests/web/guard/test_rules.py::test_no_other_site_acts_or_reads_through_a_browser",)
CREDENTIAL = ("tests/web/guard/test_rules.py::test_a_caller_may_do_what_its_credential_allows",)
IN_CLIENTS = "tests/web/http/test_clients.py::"
IN_GUARD = "tests/web/guard/test_guard.py::"
EVERY_HEADER = (f"{IN_GUARD}test_the_security_headers_are",)
NO_STORE = (f"{IN_GUARD}test_every_response_carries_the_security_headers",)
COOKIE = ("tests/web/guard/test_cookies.py::test_a_cookie_has_every_restriction_that_its_origin_allows",)

OF_REQUESTS = (
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
        "refuse_writes_to_copies, refuse_unproven_pages",
        "refuse_writes_to_copies, *()",
        CREDENTIAL,
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
        "FOR_CREDENTIALS = (refuse_read_only, ",
        "FOR_CREDENTIALS = (",
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
        "Guessing is slowed down",
        GUARD,
        "has_wrong_token = credential is None and",
        "has_wrong_token =",
        (f"{IN_GUARD}test_the_right_token_is_never_locked_out",),
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
        "A line of the access log",
        "web/http/accesslog.py",
        'json.dumps(fields, separators=(",", ":"))',
        'json.dumps(fields, separators=(",", ":"), ensure_ascii=False)',
        ("tests/web/http/test_accesslog.py::test_any_request_adds_one_line_of_ascii_to_the_access_log",),
    ),
    Mistake(
        "A line of the access log",
        "web/http/accesslog.py",
        "_masked(entry.path)[",
        "entry.path[",
        ("tests/web/http/test_accesslog.py::test_a_path_is_kept_but_not_what_looks_like_a_secret",),
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
        "oldest = next(chain(*queues), None)",
        "oldest: Place | None = None",
        ("tests/web/http/test_clients.py::test_the_oldest_connection_without_a_credential_gives_way",),
    ),
    Mistake(
        "When connections are scarce",
        "web/http/clients.py",
        "[self._remote, self._local]",
        "[self._remote]",
        (f"{IN_CLIENTS}test_a_flood_of_this_machine_drops_its_own_oldest_connections",),
    ),
    Mistake(
        "When connections are scarce",
        "web/http/clients.py",
        "queues = [self._by_client.get(client, {})]",
        "queues = []",
        (
            f"{IN_CLIENTS}test_a_client_with_all_of_its_places_loses_its_own_oldest_connection_without_a_credential",
        ),
    ),
    Mistake(
        "An address may have",
        "web/http/server.py",
        "ACCEPTED_AT_ONCE = 16",
        "ACCEPTED_AT_ONCE = 1024",
        (
            "tests/web/http/test_server.py::test_a_burst_of_connections_takes_few_descriptors_before_it_is_counted",
        ),
    ),
    Mistake(
        "An address may have",
        "web/http/server.py",
        "place = self._places.take(address, drop)",
        "place = self._places.take(address if self._tls is None else PROXY, drop)",
        ("tests/web/http/test_server.py::test_clients_that_begin_no_tls_take_places_and_give_way",),
    ),
    Mistake(
        "An HTTP/2 connection sends",
        HTTP2,
        "return self._left < 0",
        "return False",
        ("tests/web/http/test_http2.py::test_a_flood_of_http2_frames_ends_its_connection_and_delays_nobody",),
    ),
    Mistake(
        "An HTTP/2 connection sends",
        HTTP2,
        "self.connection.decoder = decoder",
        "",
        ("tests/web/http/test_http2.py::test_a_head_that_takes_long_to_decode_ends_its_connection",),
    ),
    Mistake(
        "A stolen cookie reads",
        RULES,
        "refuse_unproven_pages, refuse_other_pages)",
        "refuse_unproven_pages)",
        (f"{IN_GUARD}test_a_stolen_cookie_reads_but_does_not_act",),
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
    Mistake("A copy of another host", RULES, ", refuse_writes_to_copies", "", CREDENTIAL),
)
