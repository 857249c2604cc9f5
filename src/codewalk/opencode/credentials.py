"""What a server's user name and password look like in a request."""

from base64 import b64encode

from codewalk.errors import RequestFailed, StorageError
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.reason import Reason
from codewalk.secret import Secret


def basic_auth(username: str | None, password: Secret | None) -> str:
    """The value of `Authorization` (RFC 7617; OpenCode decodes it as UTF-8).

    Raises `RequestFailed` where the password can't be read.
    """
    try:
        revealed = password.reveal() if password else ""
    except StorageError as exc:
        # There is a password, but not for us: to this server it is as if there were none.
        raise RequestFailed(Reason.AUTH_REQUIRED, exc.message) from exc
    pair = f"{username or DEFAULT_USERNAME}:{revealed}".encode()
    return "Basic " + b64encode(pair).decode("ascii")
