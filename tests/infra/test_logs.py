"""One JSON object a line, or lines of text."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.logs import set_up


@contextmanager
def fresh() -> Iterator[None]:
    """Nothing is set up yet within; pytest's handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Note(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = "abc"
        return True


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    with fresh():
        set_up("json", Note())
        log = logging.getLogger("freshet.x")
        log.info("%d of\nthem: %s", 3, "ü", extra={"stages": {"rank": 1.5}, "color_message": "no"})
        log.debug("nothing")
        try:
            raise ValueError("why")
        except ValueError:
            log.exception("failed")
    lines = capsys.readouterr().err.splitlines()
    first, second = map(json.loads, lines)
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "INFO",
        "logger": "freshet.x",
        "message": "3 of\nthem: ü",
        "stages": {"rank": 1.5},
        "request_id": "abc",
    }
    assert "ValueError: why" in second["exc_info"]


def test_what_an_export_of_a_model_tells_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with fresh():
        set_up("text")
        for name in ("onnx_ir.passes", "onnxscript.rewriter"):
            logging.getLogger(name).info("%s folds a node", name)
            logging.getLogger(name).warning("%s cannot", name)
    assert [line.split(" ")[-1] for line in capsys.readouterr().err.splitlines()] == ["cannot"] * 2


def test_json_has_what_is_no_utf_8(capsys: pytest.CaptureFixture[str]) -> None:
    with fresh():
        set_up("json")
        logging.getLogger("freshet.x").info("a %s", "\ud800", extra={"title": "b \udfff"})
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["title"]) == ("a \ud800", "b \udfff")


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    with fresh():
        set_up("text")
        logging.getLogger("freshet.x").warning("%d of them", 3)
    assert capsys.readouterr().err.endswith("WARNING freshet.x 3 of them\n")
