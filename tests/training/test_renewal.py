"""The replay: what each model knew when it was asked, and what came of it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.training.build import DAY, SMALL, clubs, ratings
from training import renewal
from training.baselines.popularity import Popularity
from training.dataset import Ratings
from training.options import RunOptions
from training.prequential import Questions, ask
from training.renewal import FIGURES, WAYS, Plan, by_period, difference, evaluate, question
from training.report.renewals import renewals
from training.runs import Runs
from training.split import split_by_time

LOG = ratings(clubs(users=80))
PLAN = Plan(share=0.2, days=30, epochs=1)
SINCE = split_by_time(LOG, test=PLAN.share).test_from


@dataclass
class Trainings:
    """Stands in for `renewal.train`: popularity, and the number of the training as its weights."""

    known: list[Ratings] = field(default_factory=list)
    starts: list[object] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)

    def train(self, known: Ratings, options: RunOptions, start: object) -> tuple[Popularity, int]:
        self.known.append(known)
        self.starts.append(start)
        self.epochs.append(options.max_epochs)
        model = Popularity()
        model.fit(known)
        return model, len(self.known)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    found = Trainings()
    monkeypatch.setattr(renewal, "train", found.train)
    return found


def test_each_refresh_knows_what_was_before_it_and_begins_from_the_last(
    trainings: Trainings, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    result = evaluate(LOG, "clubs", PLAN, Runs(tmp_path), lambda *done: told.append(done))
    periods = int(result.lists["period"].max())
    assert told == [(done, periods + 1) for done in range(1, periods + 2)]
    moments = [SINCE + number * PLAN.days * DAY for number in range(periods + 1)]
    assert [len(known) for known in trainings.known] == [
        np.count_nonzero(LOG.times < moment) for moment in moments
    ]
    assert trainings.starts == [None, *range(1, periods + 1)]
    assert trainings.epochs == [renewal.MAX_EPOCHS, *[1] * periods]
    assert result.figures["refreshes"] == periods > 3


def test_the_ranks_are_those_of_the_protocol(trainings: Trainings, tmp_path: Path) -> None:
    result = evaluate(LOG, "clubs", PLAN, Runs(tmp_path))
    asked = Questions.of(LOG, SINCE)
    assert result.users.tolist() == asked.users.tolist()
    first = Popularity()
    first.fit(asked.known)
    assert result.lists["first/rank"].tolist() == ask(first, asked, "fresh").tolist()
    assert result.lists["frozen/rank"].tolist() == ask(first, asked, "frozen").tolist()
    for number in (0, 2):
        moment = SINCE + number * PLAN.days * DAY
        some = asked.days // PLAN.days == number
        model = Popularity()
        model.fit(LOG.take(np.flatnonzero(LOG.times < moment)))
        expected = ask(model, Questions(LOG, moment, asked.events[some]), "fresh")
        assert result.lists["refreshed/rank"][some].tolist() == expected.tolist()
    # Popularity observes: it is the same whenever it is fitted, and its figures are.
    gained = difference(result, "refreshed", "first", FIGURES[0])
    assert gained.absolute.value == 0
    assert result.figures["refreshed/ndcg@10"] == result.figures["first/ndcg@10"]


def test_a_period_without_events_has_no_refresh(trainings: Trainings, tmp_path: Path) -> None:
    latest = np.argsort(LOG.times, kind="stable")[-8:]
    times = LOG.times.copy()
    times[latest] += 90 * DAY
    order = np.lexsort((times, LOG.users))
    users, rows, half_stars, times = (
        column[order] for column in (LOG.users, LOG.rows, LOG.half_stars, times)
    )
    gap = Ratings(LOG.movies, users, rows, half_stars, times)
    result = evaluate(gap, "gap", PLAN, Runs(tmp_path))
    assert result.figures["refreshes"] < result.lists["period"].max()


def test_what_was_replayed_is_not_replayed_again(trainings: Trainings, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.find(question("clubs", LOG, PLAN)) is None
    result = evaluate(LOG, "clubs", PLAN, runs)
    count = len(trainings.known)
    again = evaluate(LOG, "clubs", PLAN, runs)
    assert len(trainings.known) == count
    assert dict(again.figures) == dict(result.figures)
    assert runs.find(question("clubs", LOG, Plan())) is None


def test_the_section_of_the_report(trainings: Trainings, tmp_path: Path) -> None:
    result = evaluate(LOG, "clubs", PLAN, Runs(tmp_path))
    picture = tmp_path / "docs" / "clubs-refresh.svg"
    text = "\n\n".join(renewals(result, picture))
    assert "`python -m benchmarks.refresh`" in text
    assert "![hit rate@10 over time](docs/clubs-refresh.svg)" in text
    assert "`first` beside `frozen`: hit rate@10" in text
    assert picture.read_text().startswith("<?xml")
    for way in WAYS:
        hit = result.figures[f"{way}/hit_rate@10"]
        assert f"| {way} | {hit:.4f}<br>" in text
        groups = by_period(result, way, "hit_rate@10", 2)
        assert sum(group.mean.lists for group in groups) == len(result.users)
        total = sum(group.mean.interval.value * group.mean.lists for group in groups)
        assert total / len(result.users) == pytest.approx(hit)


def test_a_model_as_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained twice, the second time from the first: it knows what it is given."""
    monkeypatch.setattr(renewal, "Config", lambda: SMALL)
    known = Questions.of(LOG, SINCE).known
    model, start = renewal.train(known, RunOptions(max_epochs=1), None)
    assert start.judged_from == split_by_time(known).validation_from
    again, _ = renewal.train(LOG, RunOptions(max_epochs=1), start)
    for one, log in ((model, known), (again, LOG)):
        assert one.live.given[1].sum() == len(log)
        assert set(one.weights) == {"towers", *one.links, "heat_30"}
    assert not np.array_equal(model.towers.vectors, again.towers.vectors)
