"""The check of the relay for `breakglass doctor`: whether it can ship, and whether one runs."""

import importlib.util
import socket
from urllib.parse import urlsplit

from breakglass.config import Config
from breakglass.doctor.files import NOT_HERE
from breakglass.errors import BadConfig
from breakglass.relay import credentials
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place

LABEL = "Relay"
CONNECT_SECONDS = 5.0
_PORTS = {"tls": 4222, "nats": 4222, "wss": 443, "ws": 80}


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
    hub = urlsplit(found.url)
    try:
        socket.create_connection((hub.hostname, hub.port or _PORTS[hub.scheme]), CONNECT_SECONDS).close()
    except OSError as error:
        text = f"the hub gets nothing: {found.url}: {error.strerror or str(error) or 'no answer'}"
        advice = "start nats-server on the hub, let the firewall pass its port, or correct [relay] url"
        return Sign("relay", LABEL, "bad", text, advice=advice)
    if not credentials.is_relay_running(config):
        text = f"{found.url} answers, but no relay of {found.host} runs here: the hub gets nothing new"
        return Sign("relay", LABEL, "warn", text, advice="do: systemctl start breakglass-relay")
    return Sign("relay", LABEL, "ok", f"ships {found.host} to {found.url}")
