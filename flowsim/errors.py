"""The one error of this package."""


class FlowsimError(ValueError):
    """An argument or a file cannot be used. The message names it, says what was expected, and how to repair it."""
