"""Models on data whose right answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from producers import datasets
from stream.contracts.errors import ConfigurationError, DatasetError
from tests.training.build import SMALL, chains, clubs, everything, ratings
from training.baselines.popularity import Popularity
from training.config import Config
from training.dataset import Ratings
from training.evaluate import Quality, filled_in, live
from training.histories import Histories
from training.objectives import Rest, targets
from training.options import Precision, RunOptions
from training.scorer import TowerScorer, padded_vectors
from training.split import split_by_time
from training.tower_inputs import Floats
from training.towers import ItemTower
from training.trainer import Trainer
from training.user_towers import Pooled


def trained(data: Ratings, epochs: int, config: Config = SMALL) -> tuple[Quality, Quality]:
    """(popularity's, the towers') quality on the last tenth of the ratings."""
    split = split_by_time(data)
    trainer = Trainer(data, split.train, config)
    for _ in range(epochs):
        trainer.epoch()
    scorer = TowerScorer(trainer.towers)
    popularity = Popularity()
    popularity.fit(data.take(split.train))
    return live(data, popularity, split.test), live(data, scorer, split.test)


def test_tastes_are_found() -> None:
    data = ratings(clubs())

    class KnowsTheClubs:
        """Scores a movie by how many of its club the user has liked."""

        def score(self, histories: Histories) -> Floats:
            slices = zip(histories.starts, histories.ends, strict=True)
            liked = [np.bincount(data.rows[a:b] // 12, minlength=6) for a, b in slices]
            return np.repeat(liked, 12, axis=1).astype(np.float32)

    best = live(data, KnowsTheClubs(), split_by_time(data).test).hit_rate
    popularity, towers = trained(data, epochs=10)
    assert best > 0.8
    assert towers.hit_rate == pytest.approx(best, abs=0.04)
    assert popularity.hit_rate < 0.3


def test_the_order_of_movies_is_found() -> None:
    popularity, towers = trained(ratings(chains()), epochs=20)
    assert towers.ndcg > 0.95
    assert popularity.ndcg < 0.3


def test_the_order_of_movies_is_found_by_attention_alone() -> None:
    shape = replace(SMALL.towers, user="sequential", width=16, dropout=0.0)
    _, towers = trained(ratings(chains()), epochs=20, config=replace(SMALL, towers=shape))
    assert towers.ndcg > 0.95


def test_the_rest_of_histories_is_found() -> None:
    data = ratings(clubs(loyal=1.0))
    split = Rest.split(data)
    trainer = Trainer(data, split.train, replace(SMALL, objective="rest"))
    for _ in range(20):
        trainer.epoch()
    found = filled_in(data, TowerScorer(trainer.towers), split.train, split.validation)
    assert found.recall > 0.95  # of twelve movies of a club, seven are known: five are left


def test_company_is_known_before_the_first_step() -> None:
    """Movies of a club are near each other then, which they are not by chance."""
    data = ratings(clubs(loyal=1.0))
    club = np.arange(len(data.movies)) // 12
    same = (club[:, None] == club) & ~np.eye(len(club), dtype=bool)

    def nearer(config: Config) -> float:
        own = Trainer(data, everything(data), config).towers.items.embedding.weight[1:]
        cosines = np.corrcoef(own.detach().numpy())
        return float(cosines[same].mean() - cosines[club[:, None] != club].mean())

    assert nearer(replace(SMALL, initial="company")) > 0.5
    assert nearer(SMALL) == pytest.approx(0, abs=0.05)


def test_in_shuffled_data_nothing_is_found() -> None:
    events = clubs(loyal=1.0)
    movies = np.random.default_rng(0).permutation([movie for _, movie, _, _ in events])
    shuffled = [(u, int(m), stars, t) for (u, _, stars, t), m in zip(events, movies, strict=True)]
    _, towers = trained(ratings(shuffled), epochs=10)
    assert towers.hit_rate == pytest.approx(10 / 72, abs=0.06)  # three standard errors


def test_a_few_users_can_be_learned_by_heart() -> None:
    data = ratings(clubs(users=12, loyal=0.5))
    trainer = Trainer(data, everything(data), replace(SMALL, weight_decay=0.0))
    first = trainer.epoch()
    for _ in range(60):
        last = trainer.epoch()
    assert last < first / 4
    assert live(data, TowerScorer(trainer.towers), everything(data)).ndcg > 0.9


def test_real_ratings_are_predicted_twice_as_well_as_by_popularity(tmp_path: Path) -> None:
    said: list[str] = []
    dataset = datasets.load(datasets.find("100k", cache=tmp_path, say=said.append))
    data = Ratings.from_tables(dataset.ratings, dataset.movies)
    popularity, towers = trained(data, epochs=3, config=Config())
    assert towers.lists == popularity.lists > 5_000
    assert towers.ndcg > 2 * popularity.ndcg
    assert towers.hit_rate > 2 * popularity.hit_rate


def test_the_same_seed_gives_the_same_towers() -> None:
    data = ratings(clubs(users=40))
    vectors = []
    for seed in (1, 1, 2):
        trainer = Trainer(data, everything(data), SMALL, RunOptions(seed=seed))
        trainer.epoch()
        vectors.append(padded_vectors(trainer.towers))
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2], atol=0.01)


def test_what_happens_later_changes_nothing() -> None:
    events = sorted(clubs(users=40), key=lambda event: event[3])
    known, later = events[:250], events[250:]
    vectors = []
    for future in (later, [(u, 73 - m, 0.5, t) for u, m, _, t in later]):
        data = ratings([*known, *future], range(1, 73))
        before = np.flatnonzero(data.times < data.times.min() + later[0][3] - known[0][3])
        trainer = Trainer(data, before, SMALL)
        trainer.epoch()
        vectors.append(padded_vectors(trainer.towers))
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_targets_are_liked_and_not_first() -> None:
    data = ratings([(1, 1, 5.0, 0), (1, 2, 3.5, 1), (1, 3, 3.0, 2), (2, 1, 5.0, 0)])
    assert targets(data, everything(data), SMALL).tolist() == [1]


def test_nothing_to_learn() -> None:
    data = ratings([(1, 1, 5.0, 0), (1, 2, 1.0, 1), (2, 1, 5.0, 0)])
    with pytest.raises(DatasetError, match="none of 3 ratings is a liked movie"):
        Trainer(data, everything(data), SMALL)


def test_a_gradient_is_cut_to_its_norm() -> None:
    def moments(limit: float) -> float:
        """L2 norm of Adam's mean gradient, which is at most that of the largest one."""
        trainer = Trainer(data, everything(data), replace(SMALL, max_gradient=limit))
        trainer.epoch()
        means = [of["exp_avg"] for of in trainer.state()["optimizer"]["state"].values()]
        return float(torch.cat([mean.flatten() for mean in means]).norm())

    data = ratings(clubs(users=40))
    assert moments(1e-3) <= 1e-3 < moments(5.0)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_the_same(precision: Precision) -> None:
    data = ratings(clubs(users=60))
    exact, mixed = (
        Trainer(data, everything(data), SMALL, RunOptions(device="cpu", precision=some))
        for some in ("float32", precision)
    )
    for _ in range(5):
        losses = exact.epoch(), mixed.epoch()
    assert losses[0] != losses[1]  # it is another arithmetic
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert {x.dtype for x in mixed.towers.parameters()} == {torch.float32}


def test_both_towers_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compiled.append(module))
    data = ratings(clubs(users=40))
    Trainer(data, everything(data), SMALL, RunOptions(compile=True))
    assert [type(module) for module in compiled] == [ItemTower, Pooled]


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    data = ratings(clubs(users=40))
    with pytest.raises(ConfigurationError, match="there is no CUDA here"):
        Trainer(data, everything(data), SMALL, RunOptions(device="cuda"))
