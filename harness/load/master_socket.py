"""The socket that load workers of other hosts connect to. In the load master's process only."""

from __future__ import annotations

from typing import Any

import zmq.green as zmq
from locust.exception import RPCError, RPCReceiveError, RPCSendError
from locust.rpc import Message, zmqrpc

MOST_MESSAGE_BYTES = 128 * 2**20
LINGER_MS = 2000
_base: Any = zmqrpc.BaseSocket.__init__


class Server(zmqrpc.Server):
    """Locust's socket; whatever a stranger sends is at worst a message that cannot be read."""

    def __init__(self, host: str, port: int) -> None:
        _base(self, zmq.ROUTER, ipv4_only=True)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MOST_MESSAGE_BYTES)
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)
        address = f"tcp://{host}"
        try:
            if port:
                self.socket.bind(f"{address}:{port}")
            self.port = port or self.socket.bind_to_random_port(address)
        except zmq.ZMQError as error:
            raise RPCError(f"Socket bind failure: {error}") from error

    _receive: Any = zmqrpc.Server.recv_from_client

    def recv_from_client(self) -> tuple[str, Message]:
        """The next message.

        Raises:
            RPCReceiveError: It cannot be read. Locust's own would let most of what can be
                wrong end the greenlet that reads, and hear nobody from then on.
        """
        try:
            client, message = self._receive()
        except (RPCError, RPCSendError):
            raise
        except Exception as error:
            raise RPCReceiveError(f"{type(error).__name__}: {error}") from error
        if message.node_id != client or not isinstance(message.type, str):
            raise RPCReceiveError("a message under another's name")
        return client, message
