"""Errors of the pipeline that its user can repair."""

from pipeline.redaction import redact


def installation_of(extra: str) -> str:
    """Return a sentence on how to install the packages of an extra; fakeflow is on no package index."""
    return f"Run `pip install '.[{extra}]'` in your clone of fakeflow."


class UserError(RuntimeError):
    """An error whose text is meant for the user; it never holds a password of a URL."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*(redact(part) if isinstance(part, str) else part for part in parts))


class PipelineError(UserError):
    """Root of every error that the pipeline raises on purpose; its text is meant for the user."""


class InputError(PipelineError):
    """The input cannot be used as it is."""


class UnusablePhoto(PipelineError):  # noqa: N818  (a state of a sample, recorded more often than shown as an error)
    """One sample cannot be used; other samples are not affected.

    Attributes:
        reason: short machine-readable code such as `truncated`, the same for all samples with the same defect.
        sentence: what was found and what was expected; also the text of the exception.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(reason, sentence)  # both, so that the exception survives pickling between processes
        self.reason = reason
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence
