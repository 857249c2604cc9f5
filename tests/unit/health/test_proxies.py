"""Which proxies the environment names, and for which servers that is worth a word."""

from collections.abc import Mapping

import pytest

from codewalk.health.proxies import proxy_variables, unused_proxy_note

PROXY = "http://user:s3cr3t@proxy.example:3128"


def test_the_variables_that_are_set_are_named_as_they_are_written() -> None:
    environment = {"https_proxy": PROXY, "HTTP_PROXY": PROXY, "ALL_PROXY": "", "NO_PROXY": "x"}
    assert proxy_variables(environment) == ["HTTP_PROXY", "https_proxy"]
    assert proxy_variables({"PATH": "/bin"}) == []


@pytest.mark.parametrize(
    ("url", "environment", "name"),
    [
        ("http://devbox:4096", {"HTTP_PROXY": PROXY}, "HTTP_PROXY"),
        ("http://devbox:4096", {"http_proxy": PROXY}, "http_proxy"),
        ("https://devbox:4096", {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}, "HTTPS_PROXY"),
        ("https://devbox:4096", {"ALL_PROXY": PROXY}, "ALL_PROXY"),
        ("http://devbox:4096", {"HTTP_PROXY": PROXY, "NO_PROXY": "other"}, "HTTP_PROXY"),
        # It is for another scheme, or not for this server, or a server of this machine.
        ("http://devbox:4096", {"HTTPS_PROXY": PROXY}, None),
        ("http://devbox:4096", {"HTTP_PROXY": ""}, None),
        ("http://devbox:4096", {}, None),
        ("http://devbox.lan", {"HTTP_PROXY": PROXY, "NO_PROXY": ".lan,other"}, None),
        ("http://devbox:4096", {"HTTP_PROXY": PROXY, "no_proxy": "*"}, None),
        ("http://devbox:4096", {"HTTP_PROXY": PROXY, "no_proxy": "a, DevBox:4096"}, None),
        ("http://mydevbox:4096", {"HTTP_PROXY": PROXY, "no_proxy": "devbox,"}, "HTTP_PROXY"),
        ("http://127.0.0.1:4096", {"HTTP_PROXY": PROXY}, None),
        ("http://localhost:4096", {"ALL_PROXY": PROXY}, None),
        ("http://[::1]:4096", {"HTTP_PROXY": PROXY}, None),
    ],
)
def test_a_proxy_that_would_be_for_a_server_is_named_without_its_value(
    url: str, environment: Mapping[str, str], name: str | None
) -> None:
    expected = f"{name} is set, but CodeWalk uses no proxy" if name else ""
    assert unused_proxy_note(url, environment) == expected
