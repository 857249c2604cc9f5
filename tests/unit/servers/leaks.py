"""The texts that an error reveals."""


def visible_text(error: BaseException | None) -> str:
    """Return all that a log or a user can see of an error and its causes: texts and data."""
    if error is None:
        return ""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{error!s} {error!r} {error.__dict__} {visible_text(cause)}"
