"""What the log of a server shows of messages and errors: no token, and no long line, whatever a visitor sent."""

import logging
import re
import traceback

from lab.inputs import cut

_LINE = 200  # characters
_LINES = 60  # of a traceback, the last ones
_TOKEN = re.compile(r"([?&](?:token|password|bokeh-token)=)[^&\s]*", re.IGNORECASE)


class Brief(logging.Filter):
    """Cuts what a visitor sent from lines of the log: tokens in addresses, whole messages, texts of errors.

    Bokeh's errors are malformed messages, so their tracebacks are left out. Any other traceback stays, with short lines.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        told = _short(record.getMessage())
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None:
            record.exc_info = None
            if record.name.startswith("bokeh."):
                told = f"{type(problem).__name__}: {told}"
            else:
                lines = "".join(traceback.format_exception(problem)).splitlines()[-_LINES:]
                record.exc_text = "\n".join(map(_indented, lines))
        record.msg, record.args = told, ()
        return True


def _indented(line: str) -> str:
    return " " * min(len(line) - len(line.lstrip(" ")), 8) + _short(line.lstrip(" "))


def _short(text: str) -> str:
    return cut(_TOKEN.sub(r"\1...", text), _LINE)


brief = Brief()
"""The one filter: a logger holds it once, however often it is added."""
