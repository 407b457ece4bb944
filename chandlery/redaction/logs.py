"""Takes secrets out of what this process logs. Not here: what a secret is (``text``)."""

from __future__ import annotations

import logging

from chandlery.redaction.text import hide


def hide_in_logs() -> None:
    """From now on, let no record that this process logs hold a secret, neither its text nor its traceback."""
    make = logging.getLogRecordFactory()
    if make is not _LogRecord:
        logging.setLogRecordFactory(_LogRecord)


class _LogRecord(logging.LogRecord):
    """A record whose text, once put together, and whose traceback hold no secret."""

    def getMessage(self) -> str:  # noqa: N802 - the name in the standard library
        """Return the text."""
        return hide(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """The traceback, as a formatter put it together."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._exc_text = hide(text) if text else text
