"""An experiment from its definition to its report: broker, workers, Redis and API."""

from pathlib import Path
from typing import Any

from tests.system import System, eventually

DEFINITION = """
name = "nothing-new"
control = "a"
[variants.a]
[variants.b]
"""


def test_what_people_do_with_a_list_is_in_the_report(system: System, tmp_path: Path) -> None:
    written = tmp_path / "experiment.toml"
    written.write_text(DEFINITION)
    assert "nothing-new" in system.freshet("experiment", "put", str(written))
    user, _ = system.fan()
    answer = eventually(
        lambda: system.recommend(user), lambda it: "nothing-new" in it["experiments"]
    )
    movie = answer["items"][0]["movie_id"]
    feedback = {"user_id": user, "impression_id": answer["impression_id"], "movie_id": movie}
    said = system.api.post(
        "/api/v1/feedback",
        json=[{**feedback, "kind": "click"}, {**feedback, "kind": "rating", "value": 5.0}],
    )
    assert said.status_code == 202, said.text
    position = said.json()["positions"][str(user)]
    later = system.recommend_after(user, position)
    assert movie not in [item["movie_id"] for item in later["items"]]

    mine = answer["experiments"]["nothing-new"]

    def counts() -> dict[str, Any]:
        report = system.api.get("/api/v1/experiments/nothing-new/report").json()
        return next(dict(it) for it in report["variants"] if it["variant"] == mine)

    counted = eventually(counts, lambda it: it["rates"]["mean_rating"] == 5.0)
    assert counted["users"] >= 1
    assert counted["rates"]["click_rate"] > 0

    proof = system.freshet("user", "forget", str(user), "--verify")
    assert f"nothing is left of user {user}" in proof
    assert counts()["users"] == counted["users"]
    assert "stopped" in system.freshet("experiment", "stop", "nothing-new")
    assert "nothing-new" in system.freshet("experiment", "show", "nothing-new")
    assert "stopped" in system.freshet("experiment", "list")
