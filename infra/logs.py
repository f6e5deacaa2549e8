"""What a process that runs until it is stopped logs, for people or for machines."""

import logging
from typing import Final, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.msgspec import MsgspecFormatter

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"

_LEFT_OUT: Final = ("color_message",)  # what uvicorn adds for terminals


def set_up(form: Literal["text", "json"], *filters: logging.Filter) -> None:
    """Log to standard error from INFO on: lines of text, or one JSON object a line.

    Args:
        form: `json` has time, level, logger and message, and whatever else a record was given.
        filters: may add to each record.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(_TEXT)
        if form == "text"
        else MsgspecFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, *_LEFT_OUT],
        )
    )
    for it in filters:
        handler.addFilter(it)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
