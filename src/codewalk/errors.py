"""What can go wrong, as one tree.

    CodeWalkError                   internal; what no class below stands for
    ├── InvalidInput                invalid_value; a value was refused, `value` holds it
    │   ├── InvalidURL              invalid_url
    │   ├── InvalidCredentials      invalid_credentials
    │   └── InvalidValue            a label, model, limit or body was refused
    ├── NotFound                    what was named isn't there
    │   ├── ServerNotFound          server_not_found
    │   ├── AmbiguousReference      ambiguous_reference
    │   ├── HookNotFound            hook_not_found
    │   └── NoActiveServer          no_active_server
    ├── Refused                     it could be done, but a rule forbids it now
    │   ├── DuplicateServer         duplicate_server
    │   ├── EditConflict            edit_conflict
    │   ├── ServerUnhealthy         server_unhealthy
    │   ├── ServerManaged           server_managed
    │   ├── AlreadyRunning          already_running
    │   ├── Superseded              superseded
    │   └── Unauthorized            unauthorized
    ├── HookFailed                  hook_failed; what a hook runs or calls didn't do its work
    ├── ServerUnreachable           server_unreachable; a server failed its check
    │   └── RequestFailed           a request to it failed; `reason` says how
    └── Unavailable                 this machine lacks something
        ├── StorageError            storage_error
        ├── AddressUnavailable      address_unavailable
        └── OpenCodeMissing         opencode_missing

Callers branch on the class, other programs on `code`, people read the message.
"""

from collections.abc import Sequence
from typing import ClassVar

from codewalk.reason import Reason


class CodeWalkError(Exception):
    """Base of every error that CodeWalk raises on purpose.

    `message` is one or two sentences for a person: what is wrong and what would be right.
    `value` is the offending input as text, where there is one; never a secret.
    """

    code: ClassVar[str] = "internal"
    """What programs branch on; a class without its own is never raised, only caught."""

    def __init__(self, message: str, *, value: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.value = value


class InvalidInput(CodeWalkError):
    """A value was refused as it stands."""

    code = "invalid_value"


class InvalidURL(InvalidInput):
    """Not the URL of an OpenCode server."""

    code = "invalid_url"


class InvalidCredentials(InvalidInput):
    """A user name or password that Basic authentication can't carry (RFC 7617)."""

    code = "invalid_credentials"


class InvalidValue(InvalidInput):
    """A label, model, limit or request body that can't be used."""


class NotFound(CodeWalkError):
    """What was named isn't there."""


class ServerNotFound(NotFound):
    """No server has this id, label, URL or id prefix."""

    code = "server_not_found"


class AmbiguousReference(NotFound):
    """More than one server fits."""

    code = "ambiguous_reference"


class HookNotFound(NotFound):
    """No hook has this id."""

    code = "hook_not_found"


class NoActiveServer(NotFound):
    """The call works on the active server, and there is none."""

    code = "no_active_server"


class Refused(CodeWalkError):
    """A rule forbids it as things stand."""


class DuplicateServer(Refused):
    """Another server has this URL or label."""

    code = "duplicate_server"


class EditConflict(Refused):
    """The same was changed elsewhere since the values that an edit started from were read.

    `fields` are the names of what was changed elsewhere, as in `EditableValues`.
    """

    code = "edit_conflict"

    def __init__(
        self, message: str, *, value: str | None = None, fields: Sequence[str] = ()
    ) -> None:
        super().__init__(message, value=value)
        self.fields = fields


class ServerUnhealthy(Refused):
    """An unhealthy server isn't made active unless forced."""

    code = "server_unhealthy"


class ServerManaged(Refused):
    """The managed local server can't be edited or removed."""

    code = "server_managed"


class AlreadyRunning(Refused):
    """Another CodeWalk runs on this data folder."""

    code = "already_running"


class Superseded(Refused):
    """Another server is active than the one this was for; nothing of it is shown or sent there."""

    code = "superseded"


class Unauthorized(Refused):
    """The access token is missing or wrong."""

    code = "unauthorized"


class HookFailed(CodeWalkError):
    """A hook's program ended with a failure or not at all, or its URL wasn't taken."""

    code = "hook_failed"


class ServerUnreachable(CodeWalkError):
    """A server failed its check or a request; the message carries the reason.

    `suggestion` is another URL that may be the one that was meant, where there is one.
    """

    code = "server_unreachable"

    def __init__(
        self, message: str, *, value: str | None = None, suggestion: str | None = None
    ) -> None:
        super().__init__(message, value=value)
        self.suggestion = suggestion


class RequestFailed(ServerUnreachable):
    """A server didn't give what was asked of it.

    `reason` is never `ok`, `unchecked`, `incompatible` or `offline`; `detail`, the message, is one
    sentence for a person; `status` is the HTTP status, where one came; `local_fault` is set
    where this process is to blame, so that it says nothing about the server.
    """

    def __init__(
        self, reason: Reason, detail: str, *, status: int | None = None, local_fault: bool = False
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.local_fault = local_fault


class Unavailable(CodeWalkError):
    """Something of this machine is missing, broken or taken."""


class StorageError(Unavailable):
    """The store can't be read or written. What was there is left untouched."""

    code = "storage_error"


class AddressUnavailable(Unavailable):
    """The address to listen on is taken or isn't this machine's."""

    code = "address_unavailable"


class OpenCodeMissing(Unavailable):
    """The `opencode` executable isn't there or can't be run."""

    code = "opencode_missing"
