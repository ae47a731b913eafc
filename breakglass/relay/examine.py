"""The check of the relay for `breakglass doctor`: whether it can ship, and whether one runs."""

import importlib.util
import socket

from breakglass.config import Config
from breakglass.doctor.files import NOT_HERE
from breakglass.errors import BadConfig
from breakglass.relay import credentials, servers
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place

LABEL = "Relay"
CONNECT_SECONDS = 5.0


def relay(config: Config, place: Place) -> Sign:
    """Whether the hub can get the sessions of this host."""
    path = credentials.path_of(config)
    if not config.relay.credentials and not path.exists():
        return Sign("relay", LABEL, "ok", NOT_HERE)
    try:
        found = credentials.of_host(config)
    except BadConfig as error:
        advice = "on the hub do: breakglass enroll; then copy the file here, with mode 600"
        return Sign("relay", LABEL, "bad", str(error), advice=advice)
    if importlib.util.find_spec("nats") is None:
        text = "nothing can be shipped: nats-py is not installed"
        return Sign("relay", LABEL, "bad", text, advice="do: pip install 'breakglass[relay]'")
    reasons = [text for each in servers.addresses(found.url) if (text := _why_unreachable(each))]
    if len(reasons) == len(found.urls):
        text = f"the hub gets nothing: {found.url}: {reasons[0]}"
        advice = "start nats-server on the hub, let the firewall pass its port, or correct [relay] url"
        return Sign("relay", LABEL, "bad", text, advice=advice)
    if not credentials.is_relay_running(config):
        text = f"{found.url} answers, but no relay of {found.host} runs here: the hub gets nothing new"
        return Sign("relay", LABEL, "warn", text, advice="do: systemctl start breakglass-relay")
    if reasons:
        text = f"{len(reasons)} of the 3 servers of {found.url} cannot be reached: {reasons[0]}"
        return Sign("relay", LABEL, "warn", text, advice="start nats-server there; the others go on")
    return Sign("relay", LABEL, "ok", f"ships {found.host} to {found.url}")


def _why_unreachable(server: servers.Address) -> str:
    """Return why a server of the engine cannot be reached, "" if it can be."""
    try:
        socket.create_connection((server.host.strip("[]"), server.port), CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or "no answer"
    return ""
