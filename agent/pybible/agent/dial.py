"""dial: channels to the controller. Each is a connection of its own; none is kept for a second try."""

from __future__ import annotations

import grpc
import grpc.aio

from pybible.agent.state import AgentIdentity
from pybible.wire.channel import Options, client_credentials, client_options


class Dialer:
    """Knows where the controller is, and as whom to call it. `proxy`: an HTTP proxy's URL, empty for none."""

    def __init__(self, identity: AgentIdentity, *, controller: str = "", proxy: str = "") -> None:
        self._home = controller or identity.controller
        self.target = self._home
        self._proxy = proxy
        self.use(identity)

    def use(self, identity: AgentIdentity) -> None:
        """Take this key and certificate for the next channel."""
        self.renew_at = identity.renew_at
        self.expires = identity.expires
        self._credentials = client_credentials(
            authority=identity.authority, key=identity.key, certificate=identity.certificate
        )

    def redirect(self, target: str) -> None:
        """Dial another address next; empty: the one that was configured."""
        self.target = target or self._home

    def channel(self) -> grpc.aio.Channel:
        """Open a new connection."""
        return grpc.aio.secure_channel(
            self.target, self._credentials, options=[*client_options(), *proxy_options(self._proxy)]
        )


def proxy_options(proxy: str) -> Options:
    """Return the options for that proxy. Without one none is used, whatever the environment says."""
    if not proxy:
        return [("grpc.enable_http_proxy", 0)]
    return [("grpc.http_proxy", proxy)]
