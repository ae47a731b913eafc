"""`breakglass doctor`: rows that a fault of the disk, the clock, the service, Web Push or the relay turns red."""

import os
import pickle
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from breakglass.access import subscriptions
from breakglass.access.credentials import Access
from breakglass.access.logins import Push
from breakglass.access.push_key import FILE, open_push_key
from breakglass.access.tokens import open_token
from breakglass.config import Config
from breakglass.doctor import NOT_HERE, files, machine, network, notifications, service
from breakglass.notify import Notify
from breakglass.relay import credentials, examine
from breakglass.relay.credentials import Credentials
from breakglass.relay.keys import new_key
from breakglass.relay_settings import RelaySettings
from breakglass.store import disk
from breakglass.store import root as data_root
from breakglass.vitals import Sign
from tests.doctor.test_checks import UNIT, assert_says, free_port, nowhere, place_with
from tests.help.credentials import log_in
from tests.help.other_user import reachable_directory
from tests.help.small_disk import mount_small_disk
from tests.help.superuser import require_superuser


@pytest.fixture
def config(root: Path) -> Config:
    data_root.create(root)
    return Config(data=root)


def as_user(uid: int, call: Callable[[], Sign]) -> Sign:
    """Return what a call returns to another user of this machine."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.write(writer, pickle.dumps(call()))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        found: Sign = pickle.load(file)
    os.wait()
    return found


# --- the disk and the clock ------------------------------------------------------------------------


def test_a_disk_with_less_than_64_mb_is_bad(tmp_path: Path) -> None:
    with mount_small_disk(tmp_path / "disk", "60m") as path:
        sign = files.free_space(Config(data=path / "var"), nowhere(tmp_path))
        assert_says(sign, "bad", "MB free", "breakglass prune")
    with mount_small_disk(tmp_path / "larger", "70m") as path:
        assert files.free_space(Config(data=path), nowhere(tmp_path)).status == "warn"


def test_a_disk_with_less_than_100_inodes_is_bad(tmp_path: Path) -> None:
    with mount_small_disk(tmp_path / "disk", "70m", inodes=90) as path:
        sign = files.free_inodes(Config(data=path / "var"), nowhere(tmp_path))
        assert_says(sign, "bad", "89 free", "delete many small files")
    with mount_small_disk(tmp_path / "larger", "70m", inodes=200) as path:
        assert files.free_inodes(Config(data=path), nowhere(tmp_path)).status == "warn"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_file_system_of_another_machine_is_bad(
    kind: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "file_system_type", lambda _: kind)
    assert_says(files.file_system(config, nowhere(tmp_path)), "bad", kind, "move the data root")


def test_a_clock_before_2025_is_bad(config: Config, tmp_path: Path) -> None:
    sign = machine.clock(config, nowhere(tmp_path), now=lambda: 1_735_689_599)
    assert_says(sign, "bad", "2024-12-31 23:59:59 UTC is wrong: TLS", "timedatectl set-ntp true")
    assert machine.clock(config, nowhere(tmp_path)).status in ("ok", "warn")


def certificate_until(folder: Path, end: datetime) -> Config:
    """Make a certificate that ends at that time, and return settings with it."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ops.example.com")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = made.not_valid_before(end - timedelta(days=90)).not_valid_after(end).sign(key, hashes.SHA256())
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(signed.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Config(tls_cert=paths[0], tls_key=paths[1])


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [(-1, "bad", "certificate has expired"), (10, "warn", "ends in 9 d"), (40, "ok", "ends in 39 d")],
)
def test_a_certificate_that_has_ended_is_bad(days: int, status: str, text: str, tmp_path: Path) -> None:
    config = certificate_until(tmp_path / "tls", datetime.now(UTC) + timedelta(days=days))
    sign = network.certificate(config, nowhere(tmp_path))
    assert_says(sign, status, text, "" if status == "ok" else "renew the certificate")


# --- the service of a user -------------------------------------------------------------------------


@pytest.mark.parametrize(("uid", "name"), [(65534, "nobody"), (61234, "61234")])
def test_a_service_of_a_user_without_lingering_is_bad(uid: int, name: str, config: Config) -> None:
    require_superuser("to become another user")
    with reachable_directory() as folder:
        place = place_with(folder, **UNIT)
        sign = as_user(uid, lambda: service.linger(config, place))
        assert_says(sign, "bad", f"the service ends when {name} logs out", f"loginctl enable-linger {name}")
        missing = place_with(folder, LoadState="not-found")
        assert as_user(uid, lambda: service.linger(config, missing)).text == NOT_HERE


# --- Web Push --------------------------------------------------------------------------------------


@pytest.fixture
def subscribed(config: Config) -> Config:
    """A data root in which a browser has turned notifications on."""
    access = Access(config.data)
    cookie = log_in(access, open_token(config.data))
    subscriptions.subscribe(
        access, access.identify(None, [cookie]), Push("https://web.push.apple.com/x", "k", "a", 1)
    )
    open_push_key(config.data)
    return config


def test_browsers_that_cannot_be_told_are_bad(subscribed: Config, tmp_path: Path) -> None:
    here = nowhere(tmp_path)
    assert_says(notifications.notifications(subscribed, here), "warn", "has never told anything", "--test")
    (subscribed.data / FILE).chmod(0o644)
    sign = notifications.notifications(subscribed, here)
    assert_says(sign, "bad", "push-key may be read by others", "off and on in each browser")
    (subscribed.data / FILE).write_text("no key")
    (subscribed.data / FILE).chmod(0o600)
    sign = notifications.notifications(subscribed, here)
    assert_says(sign, "bad", "cannot be read as a key", "off and on in each browser")
    (subscribed.data / FILE).unlink()
    sign = notifications.notifications(subscribed, here)
    assert_says(sign, "bad", "the file push-key was deleted", "off and on in each browser")


@pytest.mark.parametrize("package", ["pywebpush", "apprise"])
def test_a_missing_library_of_notifications_is_bad(
    package: str, subscribed: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # then Python cannot import it
    both = replace(subscribed, notify=(Notify(0, url="json://127.0.0.1/5ecret"),))
    sign = notifications.notifications(both, nowhere(tmp_path))
    assert_says(sign, "bad", f"{package} is not installed", "pip install 'breakglass[notify]'")


# --- the relay -------------------------------------------------------------------------------------


def enrolled(config: Config, port: int) -> None:
    path = config.data / credentials.NAME_OF_FILE
    path.write_text(credentials.write(Credentials("db1", f"nats://127.0.0.1:{port}", new_key()[0])))
    path.chmod(0o600)


def test_a_host_without_a_relay_has_no_row(config: Config, tmp_path: Path) -> None:
    assert examine.relay(config, nowhere(tmp_path)).text == NOT_HERE


def test_a_relay_that_cannot_ship_is_bad_and_one_that_does_not_run_is_a_warning(
    config: Config, tmp_path: Path
) -> None:
    here = nowhere(tmp_path)
    missing = replace(config, relay=RelaySettings(credentials=str(tmp_path / "none")))
    assert_says(examine.relay(missing, here), "bad", "there is no such file", "breakglass enroll")
    enrolled(config, free_port())
    assert_says(examine.relay(config, here), "bad", "Connection refused", "start nats-server on the hub")
    with socket.create_server(("127.0.0.1", 0)) as hub:
        enrolled(config, hub.getsockname()[1])
        assert_says(examine.relay(config, here), "warn", "no relay of db1 runs", "start breakglass-relay")
        with credentials.held(config):
            assert examine.relay(config, here).status == "ok"
        (config.data / credentials.NAME_OF_FILE).chmod(0o644)
        assert_says(examine.relay(config, here), "bad", "others have rights", "with mode 600")


def test_a_relay_without_its_library_is_bad(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(config, free_port())
    monkeypatch.setitem(sys.modules, "nats", None)
    sign = examine.relay(config, nowhere(tmp_path))
    assert_says(sign, "bad", "nats-py is not installed", "pip install 'breakglass[relay]'")
