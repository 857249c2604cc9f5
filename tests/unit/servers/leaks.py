"""What an error reveals."""


def visible_text(error: BaseException | None) -> str:
    """What of an error can reach a log or a user: its text, its data, and those of its causes."""
    if error is None:
        return ""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{error!s} {error!r} {error.__dict__} {visible_text(cause)}"
