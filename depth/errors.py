"""The one error of this package."""


class DepthError(RuntimeError):
    """A depth network cannot be loaded or run. The message says what, where, what was expected and the repair."""
