"""Servers with an event stream and a heartbeat every ten seconds, as OpenCode has them.

`python -m bench.contenders.heartbeat_servers COUNT` prints `urls URL …`, each on its own loopback
address, and serves until it is terminated. For a line on its stdin it prints `beats N`, the number
of heartbeats so far.
"""

import asyncio
import json
import sys
from ipaddress import IPv4Address

import uvloop

from bench.contenders.protocol import print_line
from bench.nginx import VERSION
from bench.process import free_port

HEARTBEAT_INTERVAL = 10.0

_HEALTH = json.dumps({"healthy": True, "version": VERSION}).encode()
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Heartbeats:
    """All the streams; `sent` counts their heartbeats."""

    def __init__(self) -> None:
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, for as long as the client keeps it open."""
        try:
            while head := await _head(reader):
                if head.startswith(b"GET /global/event "):
                    await self._beat(writer)
                writer.write(_JSON % (len(_HEALTH), _HEALTH))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_STREAM + _event("server.connected"))
        while True:
            await writer.drain()
            await asyncio.sleep(HEARTBEAT_INTERVAL)
            writer.write(_event("server.heartbeat"))
            self.sent += 1


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _event(kind: str) -> bytes:
    """Return one event as a chunk of the response."""
    payload = {"payload": {"id": "evt_1", "type": kind, "properties": {}}}
    data = b"data: %b\n\n" % json.dumps(payload).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


async def main() -> None:
    first = int(IPv4Address("127.3.0.1"))
    addresses = [str(IPv4Address(first + number)) for number in range(int(sys.argv[1]))]
    heartbeats, port = Heartbeats(), free_port(addresses[0])
    server = await asyncio.start_server(heartbeats.serve, addresses, port, backlog=16)

    def report() -> None:
        if sys.stdin.readline():
            print_line("beats", heartbeats.sent)

    asyncio.get_running_loop().add_reader(sys.stdin, report)
    print_line("urls", *(f"http://{address}:{port}" for address in addresses))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
