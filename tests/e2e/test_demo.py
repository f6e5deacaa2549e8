"""`freshet demo --once` checks itself; here on planted data, which trains in seconds."""

import os
import subprocess
from pathlib import Path

from infra.local import FRESHET
from producers.planted import Parameters
from producers.synthetic import write


def test_the_demo_shows_what_it_promises(tmp_path: Path) -> None:
    parameters = Parameters(users=300, movies=800, ratings=20_000, seed=3)
    write(parameters, tmp_path / "data", lambda *_: None)
    environment = {
        "FRESHET_HOME": str(tmp_path / "home"),
        "FRESHET_API_PORT": "0",
        "COLUMNS": "200",
    }
    demo = subprocess.run(
        [*FRESHET, "demo", "--once", "--dataset", str(tmp_path / "data")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "changed," in demo.stdout
    assert "the live state is what the log gives" in demo.stdout
    assert not (tmp_path / "home" / "stack.env").exists()
