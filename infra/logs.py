"""What a process that runs until it is stopped logs, for people or for machines."""

import json
import logging
from typing import Any, Final, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.msgspec import MsgspecFormatter

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"

# Each export of a model has them tell of every node that they fold.
_TALKATIVE: Final = ("onnx_ir", "onnxscript")

_LEFT_OUT: Final = ("color_message",)  # what uvicorn adds for terminals


class _Lines(MsgspecFormatter):
    """Escapes lone surrogates, which are no UTF-8: a line with one was dropped."""

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        try:
            return super().jsonify_log_record(log_data)
        except UnicodeEncodeError:
            return json.dumps(log_data, default=self.json_default)


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
        else _Lines(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, *_LEFT_OUT],
        )
    )
    for it in filters:
        handler.addFilter(it)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
