"""Run the notebooks and save them with their pictures: `python -m tests.notebooks.run`."""

import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TIMEOUT = 300  # s for a cell; the slowest takes a few, on a machine that is not overloaded


def sources() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.py"))


def execute(source: Path, directory: Path, **parameters: str) -> nbformat.NotebookNode:
    """The notebook with its outputs.

    Args:
        source: in jupytext's percent format.
        directory: where it runs.
        parameters: replace what the cell tagged `parameters` sets.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = jupytext.read(source)
    if parameters:
        (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    resources = {"metadata": {"path": str(directory)}}
    # By default the kernel listens on TCP, where all who share the machine can talk to it.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        config = Config(ConnectionFileMixin={"transport": "ipc", "ip": f"{sockets}/socket"})
        NotebookClient(notebook, timeout=TIMEOUT, resources=resources, config=config).execute()
    return notebook


def main() -> None:
    for source in sources():
        notebook = execute(source, NOTEBOOKS.parent)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when each cell ran: another diff every time
        nbformat.write(notebook, source.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
