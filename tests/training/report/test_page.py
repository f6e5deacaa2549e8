import re
from pathlib import Path

import pytest

from tests.training.report.made_up import offline, prequential, trade_off
from training.report.page import Study, write_page
from training.report.parts import PREQUENTIAL, RANDOM, Measured, Part
from training.report.parts import parts as planned
from training.report.trade_offs import TradeOffs

COMMAND = "freshet eval report --datasets made-up,ml-100k"
LEVELS = {"popularity": 0.2, "item-knn": 0.3, "ease": 0.4}
# Of each state: fresh, daily, frozen.
RANKS = {"popularity": (9, 9, 9), "item-knn": (5, 8, 12), "ease": (1, 8, 11)}


def study(dataset: str, *failed: str) -> Study:
    def measured(name: str, part: Part) -> Measured:
        kept = [model for model in part.models if model not in failed]
        if name == PREQUENTIAL:
            states = [
                dict(zip(("fresh", "daily", "frozen"), RANKS[model], strict=True)) for model in kept
            ]
            results = [
                prequential(model, ranks, dataset)
                for model, ranks in zip(kept, states, strict=True)
            ]
        else:
            results = [offline(model, LEVELS[model], dataset) for model in kept]
        return Measured(part, tuple(results), dict.fromkeys(failed, "it needs a library"))

    plan = planned(dataset, dataset, list(LEVELS))
    found = {name: measured(name, part) for name, part in plan.items()}
    diversified = TradeOffs(
        f"freshet eval diversity --dataset {dataset}",
        [trade_off("random"), trade_off("next")] if dataset == "made-up" else [],
    )
    return Study(dataset, "40 ratings.", 500, found, diversified)


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [study("made-up"), study("ml-100k")]


@pytest.fixture(scope="module")
def directory(studies: list[Study], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the page and its pictures."""
    directory = tmp_path_factory.mktemp("report")
    write_page(studies, directory / "evaluation.md", COMMAND)
    return directory


@pytest.fixture(scope="module")
def page(directory: Path) -> str:
    return (directory / "evaluation.md").read_text()


def tables(text: str) -> list[list[list[str]]]:
    """Tables of rows of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.M)
    return [[row.strip("|").split("|") for row in table.splitlines()] for table in found]


def test_every_table_is_whole(page: str) -> None:
    assert len(tables(page)) > 10
    for table in tables(page):
        assert len({len(row) for row in table}) == 1, table
        assert len(table) > 2


def test_numbers_are_where_they_belong(page: str) -> None:
    assert "| model | NDCG@10 | recall@10 |" in page
    assert "| --- | ---: |" in page
    best, second, last = (
        next(row for row in page.splitlines() if row.startswith(f"| {name} |"))
        for name in ("ease", "item-knn", "popularity")
    )
    assert best.startswith("| ease | **0.4000**<br>")
    assert second.startswith("| item-knn | 0.3000<br>")
    assert last.startswith("| popularity | 0.2000<br>")
    # Four users in five are found: fresh state at place 1 and 5, popularity always at 9.
    assert "| ease | 0.0000<br>0.0000 to 0.0000 | **0.8000**<br>" in page
    assert "280 liked movies of 40 users" in page


def test_every_picture_and_command_is_there(page: str, directory: Path) -> None:
    pictures = re.findall(r"!\[.+\]\((.+)\)", page)
    assert len(pictures) == len(set(pictures)) == 11
    for picture in pictures:
        assert (directory / picture).read_text().startswith("<?xml")
    assert f"`{COMMAND}`" in page
    assert "`freshet eval offline --dataset made-up --models popularity,item-knn,ease`" in page
    assert "`freshet eval prequential --dataset made-up --models" in page


def test_the_bar_is_on_top_and_says_what_is_missing(page: str) -> None:
    headings = re.findall(r"^##+ .*", page, re.M)
    assert headings[:3] == ["## The bar", "### made-up: the bar", "### ml-100k: the bar"]
    assert (
        "**Not measured**: two-stage (random fifth); towers-rest (random fifth, retrieval" in page
    )


def test_what_diversification_costs_and_gives(page: str) -> None:
    assert page.count("### What diversification costs and gives") == 2
    assert "`freshet eval diversity --dataset ml-100k`\n\n**Not measured.**" in page
    default = next(row for row in page.splitlines() if row.startswith("| **0.2** |"))
    assert default.count(" 0.4000 (-20.0%)<br>") == 2
    assert default.count(" 0.6000 (+20.0%)<br>") == 3
    assert "| 0.6000 (+20.0%) |" in default  # coverage has no interval
    assert "| 0.0 | 0.5000 | 0.5000 |" in page
    assert "Asked for a random part, all ratings relevant, 40 lists:" in page


def test_published_figures_stand_beside_ours(page: str) -> None:
    assert page.count("### Beside published figures") == 1
    assert "`freshet eval offline --test 0.25 --dataset ml-100k --models" in page
    assert "ease with 0.400, is below the best published one, BiVAE with 0.475" in page
    order = [row[0].strip() for row in tables(page)[-1][2:]]
    assert order == ["BiVAE", "BPR", "ease", "SAR", "item-knn", "popularity"]


def test_the_same_results_make_the_same_files(
    studies: list[Study], directory: Path, tmp_path: Path
) -> None:
    write_page(studies[:1], tmp_path / "evaluation.md", COMMAND)
    pictures = sorted((tmp_path / "evaluation").iterdir())
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.read_bytes() == (directory / "evaluation" / picture.name).read_bytes()
    alone = (tmp_path / "evaluation.md").read_text().partition("\n## made-up\n")[2]
    assert alone.rstrip() in (directory / "evaluation.md").read_text()


def test_a_model_that_failed_is_named(tmp_path: Path) -> None:
    whole = study("made-up", "ease")
    less = whole._replace(measured={RANDOM: whole.measured[RANDOM]})
    write_page([less], tmp_path / "evaluation.md", COMMAND)
    text = (tmp_path / "evaluation.md").read_text()
    assert "**ease is not in here**: it needs a library" in text
    assert "| ease |" not in text
    assert "**item-knn** is best with NDCG@10 0.3000" in text
    assert "### Prequential" not in text


def test_a_data_set_on_which_all_failed(tmp_path: Path) -> None:
    write_page([study("made-up", *LEVELS)], tmp_path / "evaluation.md", COMMAND)
    text = (tmp_path / "evaluation.md").read_text()
    assert "**popularity is not in here**" in text
    assert "| model |" not in text
