"""Three real OpenCode servers for the whole run: two current ones with passwords, one ancient.

A plugin and no conftest: the tests of `tests/real` and of the browser share them.
"""

from collections.abc import Iterator

import pytest

from tests.real.servers import CURRENT, FORMER, OLD, RealServer, Wanted, executable, running


@pytest.fixture(scope="session")
def real_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealServer]]:
    """Two current servers with different passwords, then a 1.0.0, which knows no password."""
    passwords = {CURRENT: "first: pässwörd", FORMER: "second-password", OLD: None}
    for release in passwords:
        if executable(release) is None:
            pytest.skip(f"OpenCode {release} isn't installed: run `make setup` (it needs npm)")
    wanted = [
        Wanted(release=release, folder=tmp_path_factory.mktemp(release), password=password)
        for release, password in passwords.items()
    ]
    with running(*wanted) as servers:
        yield servers


@pytest.fixture
def real_a(real_servers: list[RealServer]) -> RealServer:
    """The current release, with a password that has a colon, a blank and letters beyond ASCII."""
    return real_servers[0]


@pytest.fixture
def real_b(real_servers: list[RealServer]) -> RealServer:
    """A release shortly before, with another password."""
    return real_servers[1]


@pytest.fixture
def real_old(real_servers: list[RealServer]) -> RealServer:
    """1.0.0: health is 404, only `/path` tells; no password."""
    return real_servers[2]
