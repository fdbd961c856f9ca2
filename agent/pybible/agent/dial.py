"""dial: channels to the controller. Each is a connection of its own; none is kept for a second try."""

from __future__ import annotations

import grpc
import grpc.aio

from pybible.agent import probe
from pybible.agent.state import AgentIdentity
from pybible.wire.channel import client_credentials, client_options, proxy_options


class Dialer:
    """Knows where the controller is, and as whom to call. `proxy`: an HTTP proxy's URL, empty for the identity's."""

    def __init__(self, identity: AgentIdentity, *, controller: str = "", proxy: str = "") -> None:
        self._home = controller or identity.controller
        self.target = self._home
        self.proxy = proxy or identity.proxy
        self.generation = 0
        self.use(identity)

    def use(self, identity: AgentIdentity) -> None:
        """Take this key and certificate for the next channel."""
        # Who keeps a connection sees by it that there is a newer certificate.
        self.generation += 1
        self.renew_at = identity.renew_at
        self.expires = identity.expires
        self._credentials = client_credentials(
            authority=identity.authority, key=identity.key, certificate=identity.certificate
        )

    def redirect(self, target: str) -> None:
        """Dial another address next; empty: the one that was configured."""
        self.target = target or self._home

    async def unreachable(self) -> str:
        """Return why nobody takes a connection, empty when somebody does, or when only a proxy could tell."""
        return "" if self.proxy else await probe.unreachable(self.target)

    def channel(self) -> grpc.aio.Channel:
        """Open a new connection."""
        return grpc.aio.secure_channel(
            self.target, self._credentials, options=[*client_options(), *proxy_options(self.proxy)]
        )
