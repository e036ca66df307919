"""What can go wrong in flowsim."""


class FlowsimError(ValueError):
    """An argument or a file that cannot be used; the message names it, what was expected, and the repair."""
