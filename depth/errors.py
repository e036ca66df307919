"""The one error of this package."""


class DepthError(RuntimeError):
    """A depth network that cannot be loaded or run; the message says what, where, what was expected and how to repair."""
