"""Web Push without a network: which addresses are accepted, and what is sent."""

import json

import pytest

from breakglass.errors import BadConfig, BadInput
from breakglass.notify import Notify
from breakglass.notify.message import Message
from breakglass.notify.push import (
    MAX_PAYLOAD,
    check_single,
    check_subscription,
    host_of,
    is_allowed,
    parse_push_services,
    payload,
    settings_of,
)
from tests.help.push_services import encode

KEY, AUTH = encode(b"\4" + b"k" * 64), encode(b"a" * 16)
APPLE = "https://web.push.apple.com/QGuQyavXutnMH"


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc:def", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/gAAAA", True),
        (APPLE, True),
        ("https://wns2-par02p.notify.windows.com/w/?token=BQY%3d", True),
        ("https://push.example.com:8443/x", True),
        ("http://127.0.0.1:9999/x", True),
        ("http://fcm.googleapis.com/fcm/send/abc", False),
        ("https://fcm.googleapis.com:8443/fcm/send/abc", False),
        ("https://push.example.com/x", False),
        ("https://127.0.0.1:9999/x", False),
        ("https://127.0.0.1/x", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://evilfcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com.evil.example/x", False),
        ("https://fcm.googleapis.com@evil.example/x", False),
        ("https://evil.example\\@fcm.googleapis.com/x", False),
        ("https://evil.example#.push.apple.com/x", False),
        ("https://fcm.googleapis.com", False),
        ("https://fcm.googleapis.com/a b", False),
        ("https://fcm.googleapis.com/a\r\nHost: x", False),
        ("https://FCM.googleapis.com/x", False),
        ("ftp://fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com/" + "x" * 2000, False),
        ("", False),
    ],
)
def test_only_known_push_services_and_those_of_the_setting_are_accepted(endpoint: str, allowed: bool) -> None:
    assert is_allowed(endpoint, ("https://push.example.com:8443", "http://127.0.0.1:9999")) is allowed


@pytest.mark.parametrize(
    ("p256dh", "auth", "text"),
    [
        ("", AUTH, "keys.p256dh: expected 65 bytes"),
        (encode(b"\4" + b"k" * 63), AUTH, "keys.p256dh: expected 65 bytes"),
        (encode(b"\2" + b"k" * 64), AUTH, "uncompressed point"),
        (KEY, encode(b"a" * 15), "keys.auth: expected 16 bytes"),
        (KEY, "é" * 22, "keys.auth: expected 16 bytes"),
    ],
)
def test_keys_that_no_browser_has_are_refused(p256dh: str, auth: str, text: str) -> None:
    check_subscription(APPLE, KEY, AUTH, ())
    with pytest.raises(BadInput, match=text):
        check_subscription(APPLE, p256dh, auth, ())


def test_a_push_service_without_tls_may_be_on_the_loopback_interface_only() -> None:
    found = parse_push_services("push_services", ["https://push.example.com", "http://127.0.0.1:9"])
    assert found == ("https://push.example.com", "http://127.0.0.1:9")
    with pytest.raises(BadConfig, match="push_services: expected https"):
        parse_push_services("push_services", ["http://push.example.com"])


def test_one_table_decides_what_browsers_are_told_and_without_one_the_defaults_do() -> None:
    own = Notify(1, push=True, detail="none")
    assert settings_of([Notify(0, url="json://x"), own]) == own
    assert settings_of([]).detail == "title"
    with pytest.raises(BadConfig, match=r"notify\[2\].push: notify\[1\] has it already"):
        check_single([own, Notify(2, push=True)])


def test_a_long_text_is_cut_to_what_a_push_service_takes() -> None:
    data = payload(Message("t", "é" * 5000), "/sessions/1")
    assert len(data) <= MAX_PAYLOAD
    assert json.loads(data)["path"] == "/sessions/1"
    assert json.loads(payload(Message("t", "\ud800"), "/"))["body"] == "?"


def test_only_the_host_of_an_address_is_shown() -> None:
    assert host_of("https://fcm.googleapis.com/fcm/send/5ecret") == "fcm.googleapis.com"
