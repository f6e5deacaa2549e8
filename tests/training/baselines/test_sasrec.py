import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stream.contracts.errors import DatasetError
from tests.training.build import START, chains, clubs, ratings, strides
from training.baselines.catalogue import create
from training.baselines.sasrec import SasRec
from training.baselines.sasrec_network import SasRecNetwork
from training.baselines.sasrec_training import Following, SasRecTrainer, cut
from training.dataset import Ratings
from training.evaluate import Quality, live
from training.histories import Histories
from training.recommender import Recommender
from training.split import split_by_time

# Large enough for the planted data, which it learns in seconds.
SMALL = {"dimensions": 32, "layers": 1, "heads": 1, "length": 10, "dropout": 0.1, "max_epochs": 20}


def quality(data: Ratings, model: Recommender) -> Quality:
    """On the last tenth of the ratings, knowing the first eight."""
    split = split_by_time(data)
    model.fit(data.take(split.train))
    return live(data, model, split.test)


@pytest.fixture(scope="module")
def fitted() -> SasRec:
    """Of movies 1 to 72, and 73 and 74 that nobody has rated; one in four is not liked."""
    events = [(u, m, 4.0 if t % 4 else 2.0, t) for u, m, _, t in clubs(users=60)]
    model = SasRec(**SMALL | {"max_epochs": 2})
    model.fit(ratings(events, range(1, 75)))
    return model


def raw(*histories: list[int], stars: float = 4.0) -> Histories:
    movies = ratings([(1, 1, 4.0, 0)], range(1, 75)).movies
    return Histories.raw(
        movies, [[(m, stars, START + i) for i, m in enumerate(history)] for history in histories]
    )


def test_the_order_of_movies_is_found() -> None:
    data = ratings(chains())
    assert quality(data, SasRec(**SMALL)).ndcg > 0.99
    for name in ("item-knn", "ease"):  # the predecessor of the first movie is as likely to them
        assert quality(data, create(name, recency=1.0)).ndcg < 0.9


def test_what_only_two_movies_in_order_tell_is_found() -> None:
    data = ratings(strides())
    together = quality(data, create("ease", recency=1.0, l2=5.0)).ndcg
    recent = quality(data, create("ease", recency=0.5, l2=5.0)).ndcg
    assert 0.5 < together < recent < 0.8
    assert quality(data, SasRec(**SMALL)).ndcg == pytest.approx(0.949, abs=0.05)


def test_in_shuffled_data_nothing_is_found() -> None:
    events = strides()
    movies = np.random.default_rng(0).permutation([movie for _, movie, _, _ in events])
    shuffled = [(u, int(m), stars, t) for (u, _, stars, t), m in zip(events, movies, strict=True)]
    hits = quality(ratings(shuffled), SasRec(**SMALL)).hit_rate
    assert hits == pytest.approx(10 / 36, abs=0.09)  # three standard errors


def test_a_few_users_can_be_learned_by_heart() -> None:
    torch.manual_seed(0)
    data = ratings(clubs(users=12, loyal=0.5))
    trainer = SasRecTrainer(
        SasRecNetwork(len(data.movies), 10, 32, 2, 2, 0.0),
        data,
        liked_from=1,
        length=10,
        negatives=200,
        learning_rate=5e-3,
        seed=0,
    )
    first = trainer.epoch()
    for _ in range(15):
        last = trainer.epoch()
    assert last < first / 10


def test_later_movies_change_nothing_before_them() -> None:
    network = SasRecNetwork(50, 12, 16, 2, 2, 0.5).eval()
    sequences = torch.randint(1, 51, (4, 12))
    later = sequences.clone()
    later[:, 7:] = sequences[:, 7:] % 50 + 1
    states, others = network(sequences), network(later)
    torch.testing.assert_close(states[:, :7], others[:, :7])
    assert (states[:, 7:] - others[:, 7:]).abs().amax(-1).min() > 1e-3
    torch.testing.assert_close(network(sequences[:, :7]), states[:, :7])


def test_the_order_of_a_history_counts(fitted: SasRec) -> None:
    one, other = fitted.score(raw([5, 30, 7], [30, 5, 7]))
    assert not np.allclose(one, other)


def test_only_the_latest_movies_are_read(fitted: SasRec) -> None:
    latest = list(range(20, 20 + fitted.length))
    longer, short = fitted.score(raw([1, 2, 3, *latest], latest))
    np.testing.assert_allclose(longer, short, rtol=1e-5)


def test_movies_that_nobody_has_rated_are_skipped(fitted: SasRec) -> None:
    some, known, none, nobody = fitted.score(raw([73, 5, 74, 9, 73], [5, 9], [73, 74], []))
    np.testing.assert_allclose(some, known, rtol=1e-5)
    np.testing.assert_array_equal(none, nobody)
    np.testing.assert_array_equal(nobody, fitted.popularity)


def test_what_is_not_liked_is_skipped_if_so_wished() -> None:
    model = SasRec(**SMALL | {"max_epochs": 1, "liked_from": 8})
    model.fit(ratings(clubs(users=30), range(1, 75)))
    nobody = model.score(raw([]))
    np.testing.assert_array_equal(model.score(raw([5, 9], stars=3.5)), nobody)
    assert not np.allclose(model.score(raw([5, 9], stars=4.0)), nobody)


def test_the_same_seed_gives_the_same_model() -> None:
    data = ratings(clubs(users=30))
    scores = []
    for seed in (1, 1, 2):
        model = SasRec(**SMALL | {"max_epochs": 1, "seed": seed})
        model.fit(data)
        scores.append(model.score(Histories.of_users(data, np.array([1, 2]))))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


def test_a_movie_follows_what_the_same_user_rated_before_it() -> None:
    data = ratings([(1, 3, 4.0, 0), (1, 1, 2.0, 1), (1, 2, 4.0, 2), (2, 1, 4.0, 3), (3, 3, 4.0, 4),
                    (3, 2, 4.0, 5)])  # fmt: skip
    every = Following.of(data, 1)
    assert every.before.tolist() == [3, 1, 3]
    assert every.after.tolist() == [1, 2, 2]
    assert every.users.tolist() == [0, 0, 2]
    assert every.places.tolist() == [0, 1, 0]
    assert Following.of(data, 8).before.tolist() == [3, 3]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(1, 5), st.integers(0, 9))
def test_every_target_is_in_one_sequence(counts: list[int], length: int, seed: int) -> None:
    users = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    starts, lengths = cut(
        Following(users, users, users, places), length, np.random.default_rng(seed)
    )
    at = [start + i for start, count in zip(starts, lengths, strict=True) for i in range(count)]
    assert at == list(range(len(users)))
    assert lengths.max() <= length
    assert (users[starts] == users[starts + lengths - 1]).all()


def test_nothing_to_learn() -> None:
    with pytest.raises(DatasetError, match="none of the users of 4 ratings has given three movies"):
        SasRec().fit(ratings([(1, 1, 4.0, 0), (1, 2, 4.0, 1), (2, 1, 4.0, 0), (2, 3, 4.0, 1)]))
