"""Many servers that answer health checks: loopback addresses behind one nginx."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import aiohttp

from bench.process import MAX_OPEN_FILES, free_port, started, wait_until

VERSION: Final = "1.18.33"

_CONF: Final = """
daemon off;
worker_processes {workers};
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections {files}; accept_mutex on; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
{listen}
    location = /global/health {{
      default_type application/json;
      return 200 '{{"healthy":true,"version":"{version}"}}';
    }}
    location = /requests {{ stub_status; }}
    location / {{ return 404; }}
  }}
}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopbackServers:
    """The URLs of the servers."""

    urls: tuple[str, ...]

    async def requests(self) -> int:
        """Return how many requests nginx has answered, from any client."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.urls[0] + "/requests") as answer,
        ):
            # Line 3: connections accepted, handled, and requests, this one included.
            return int((await answer.text()).splitlines()[2].split()[2])


@asynccontextmanager
async def loopback_servers(
    count: int, folder: Path, *, core: int | None = None
) -> AsyncIterator[LoopbackServers]:
    """Serve `count` loopback addresses from 127.1.0.1 on, on one port, for a block.

    A worker has a file open for each address it listens on and for each connection: ten thousand
    servers need two workers.
    """
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise RuntimeError("nginx is missing (Debian's nginx-light)")
    first = int(IPv4Address("127.1.0.1"))
    addresses = [str(IPv4Address(first + n)) for n in range(count)]
    port = free_port(addresses[0])
    conf = folder / "nginx.conf"
    conf.write_text(
        _CONF.format(
            folder=folder,
            files=MAX_OPEN_FILES - 100,
            workers=1 if 2 * count < MAX_OPEN_FILES else 2,
            version=VERSION,
            # Each address by itself: a wildcard would be open to the network.
            listen="\n".join(f"    listen {address}:{port};" for address in addresses),
        )
    )
    async with started(
        program, "-p", folder, "-c", conf, "-e", folder / "error.log", core=core, stdout=None
    ) as process:
        servers = LoopbackServers(urls=tuple(f"http://{a}:{port}" for a in addresses))

        async def answers() -> bool:
            if process.returncode is not None:
                raise RuntimeError(f"nginx ended: {(folder / 'error.log').read_text()[-500:]}")
            try:
                return await servers.requests() > 0
            except aiohttp.ClientConnectorError:
                return False

        await wait_until(answers)
        yield servers
