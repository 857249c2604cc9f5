"""The error tree: everything that CodeWalk raises on purpose.

    CodeWalkError                   internal; an error of no class below
    ├── InvalidInput                invalid_value; a value was refused, `value` holds it
    │   ├── InvalidURL              invalid_url
    │   ├── InvalidCredentials      invalid_credentials
    │   └── InvalidValue            a label, model, limit or body
    ├── NotFound                    no such server or hook
    │   ├── ServerNotFound          server_not_found
    │   ├── AmbiguousReference      ambiguous_reference
    │   ├── HookNotFound            hook_not_found
    │   └── NoActiveServer          no_active_server
    ├── Refused                     forbidden by a rule in the current state
    │   ├── DuplicateServer         duplicate_server
    │   ├── EditConflict            edit_conflict
    │   ├── ServerUnhealthy         server_unhealthy
    │   ├── ServerManaged           server_managed
    │   ├── AlreadyRunning          already_running
    │   ├── Superseded              superseded
    │   └── Unauthorized            unauthorized
    ├── HookFailed                  hook_failed; a hook's program or URL failed
    ├── ServerUnreachable           server_unreachable; a server failed its check
    │   └── RequestFailed           a request to it failed; `reason` says why
    └── Unavailable                 something of this machine is missing
        ├── StorageError            storage_error
        ├── AddressUnavailable      address_unavailable
        └── OpenCodeMissing         opencode_missing

Code branches on the class, other programs on `code`; the message is for people.
"""

from collections.abc import Sequence
from typing import ClassVar

from codewalk.reason import Reason


class CodeWalkError(Exception):
    """Base of every error that CodeWalk raises on purpose.

    Attributes:
        message: One or two sentences for a person: what is wrong and what would be right.
        value: The offending input as text, if there is one; never a secret.
    """

    code: ClassVar[str] = "internal"
    """Identifies the error for programs; a class without its own is caught, but never raised."""

    def __init__(self, message: str, *, value: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.value = value


class InvalidInput(CodeWalkError):
    """A value is invalid."""

    code = "invalid_value"


class InvalidURL(InvalidInput):
    """A text can't be the URL of an OpenCode server.

    Attributes:
        suggestion: The URL that may have been meant, if there is one.
    """

    code = "invalid_url"

    def __init__(
        self, message: str, *, value: str | None = None, suggestion: str | None = None
    ) -> None:
        super().__init__(message, value=value)
        self.suggestion = suggestion


class InvalidCredentials(InvalidInput):
    """A user name or password that Basic authentication can't carry (RFC 7617)."""

    code = "invalid_credentials"


class InvalidValue(InvalidInput):
    """A label, model, limit or request body that can't be used."""


class NotFound(CodeWalkError):
    """Nothing has the given name."""


class ServerNotFound(NotFound):
    """No server has this id, label, URL or id prefix."""

    code = "server_not_found"


class AmbiguousReference(NotFound):
    """A reference fits more than one server."""

    code = "ambiguous_reference"


class HookNotFound(NotFound):
    """No hook has this id."""

    code = "hook_not_found"


class NoActiveServer(NotFound):
    """The call needs the active server, and there is none."""

    code = "no_active_server"


class Refused(CodeWalkError):
    """A rule forbids it in the current state."""


class DuplicateServer(Refused):
    """Another server has this URL or label."""

    code = "duplicate_server"


class EditConflict(Refused):
    """The same values were changed elsewhere since those that an edit started from were read.

    Attributes:
        fields: The names of the values that were changed elsewhere, as in `EditableValues`.
    """

    code = "edit_conflict"

    def __init__(
        self, message: str, *, value: str | None = None, fields: Sequence[str] = ()
    ) -> None:
        super().__init__(message, value=value)
        self.fields = fields


class ServerUnhealthy(Refused):
    """A server is unhealthy; it is neither made active without force nor attached to."""

    code = "server_unhealthy"


class ServerManaged(Refused):
    """The managed local server can't be edited or removed."""

    code = "server_managed"


class AlreadyRunning(Refused):
    """Another CodeWalk runs on this data folder."""

    code = "already_running"


class Superseded(Refused):
    """Another server was made active meanwhile; the result is neither shown nor sent there."""

    code = "superseded"


class Unauthorized(Refused):
    """The access token is missing or wrong."""

    code = "unauthorized"


class HookFailed(CodeWalkError):
    """A hook's program failed or didn't end in time, or its URL refused the request."""

    code = "hook_failed"


class ServerUnreachable(CodeWalkError):
    """A server failed its check or a request; the message says why.

    Attributes:
        suggestion: Another URL that may have been meant, if there is one.
        reason: Why its check or the request failed, where that is known.
    """

    code = "server_unreachable"

    def __init__(
        self,
        message: str,
        *,
        value: str | None = None,
        suggestion: str | None = None,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(message, value=value)
        self.suggestion = suggestion
        self.reason = reason


class RequestFailed(ServerUnreachable):
    """A request to a server failed.

    Attributes:
        reason: Why; never `ok`, `unchecked`, `incompatible` or `offline`.
        detail: One sentence for a person, the same as `message`.
        status: The HTTP status, if there was a response.
        retry_after: The seconds after which a busy server accepts requests again.
        local_fault: Whether this process is to blame, so that it says nothing about the server.
        connected: Whether the server may have received the request.
    """

    reason: Reason

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        local_fault: bool = False,
        connected: bool = True,
    ) -> None:
        super().__init__(detail, reason=reason)
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.local_fault = local_fault
        self.connected = connected


class Unavailable(CodeWalkError):
    """Something that CodeWalk needs on this machine is missing, broken or in use."""


class StorageError(Unavailable):
    """The store can't be read or written; its content is unchanged."""

    code = "storage_error"


class AddressUnavailable(Unavailable):
    """The address to listen on is in use, or isn't this machine's."""

    code = "address_unavailable"


class OpenCodeMissing(Unavailable):
    """The `opencode` executable is missing or can't be run."""

    code = "opencode_missing"
