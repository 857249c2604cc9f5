"""Connections that wait for a next request."""

import asyncio

from codewalk.opencode.client import OpenCodeClient

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Counting:
    """Counts its connections; `gate` holds its responses back."""

    def __init__(self) -> None:
        self.opened = self.ended = 0
        self.gate = asyncio.Event()
        self.requested = asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requested.set()
                await self.gate.wait()
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            self.ended += 1
        finally:
            writer.close()


async def test_idle_connections_are_closed_and_those_in_use_are_not() -> None:
    counting = Counting()
    server = await asyncio.start_server(counting.serve, "127.0.0.1", 0)
    async with server, OpenCodeClient() as client:
        connection = client.connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for _ in range(2):
            await connection.get_json("/")
        assert counting.opened == 1
        client.close_idle()
        counting.gate.clear()
        counting.requested.clear()
        async with asyncio.TaskGroup() as group:
            under_way = group.create_task(connection.get_json("/"), name="request")
            await counting.requested.wait()
            assert counting.opened == 2
            client.close_idle()
            counting.gate.set()
            assert await under_way == {}
        await connection.get_json("/")
        assert counting.opened == 2
        assert counting.ended == 1


async def test_an_unopened_client_has_no_idle_connections_to_close() -> None:
    OpenCodeClient().close_idle()
