"""Whether what is served is what is evaluated: the same questions, asked in the lab and of the API.

A model is trained on what came before the training moment and promoted in a stack of its own, the
ratings happen there (`infra.production`), and the lab's copy of the policy (`training.served`) is
asked about the same artifact. The ranks must agree as far as the API's longest answer goes.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from api.schemas.common import MAX_LIMIT
from api.serving.models import POPULAR
from api.serving.watcher import TRENDING
from infra.local import ANY_PORTS, LocalStack
from infra.production import BEYOND, TIMEOUT, Answer, Production, drive
from infra.services import LOOPBACK
from infra.settings import Settings
from producers.replay import select
from stream.contracts.errors import ConfigurationError
from training.histories import Histories
from training.options import RunOptions
from training.pipeline import OnProgress as OnTraining
from training.pipeline import train
from training.prequential import Questions, ask
from training.recommender import OnProgress
from training.served import Served
from training.tower_inputs import Ints

# By how much utilities in f32 differ that should be equal: ONNX Runtime adds up in another order
# for one user than for many, and weights of some dozens multiply the difference.
ROUNDING: Final = 1e-4

# s between two looks of the API at how hot movies are: each question waits for two.
LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Agreement:
    """n questions that the lab and the API were asked.

    Attributes:
        questions: what was asked.
        lab: i64[n] its ranks, at most BEYOND.
        answers: of the API.
        rounding: bool[n], where they differ by movies whose utilities the lab cannot tell apart
            from that of the movie asked for: `ROUNDING` or less lies between them.
    """

    questions: Questions
    lab: Ints
    answers: list[Answer]
    rounding: npt.NDArray[np.bool_]

    @property
    def production(self) -> Ints:
        """i64[n]: the API's ranks."""
        return np.array([answer.rank for answer in self.answers], np.int64)

    @property
    def equal(self) -> npt.NDArray[np.bool_]:
        """bool[n]: where both say the same."""
        return np.equal(self.lab, self.production)

    @property
    def different(self) -> Ints:
        """Which questions they disagree on by more than rounding."""
        return np.flatnonzero(~(self.equal | self.rounding))

    def counts(self) -> dict[str, tuple[int, ...]]:
        """By the API's strategy and in all: questions, those whose movie is in the API's answer,
        and those whose ranks are equal, differ by rounding, and differ."""
        strategies = np.array([answer.strategy for answer in self.answers])
        groups = {name: strategies == name for name in np.unique(strategies).tolist()}
        groups["all"] = np.ones(len(strategies), np.bool_)
        columns = (
            np.ones(len(strategies), np.bool_),
            self.production < BEYOND,
            self.equal,
            self.rounding,
            ~(self.equal | self.rounding),
        )
        return {
            name: tuple(int(np.count_nonzero(column & group)) for column in columns)
            for name, group in groups.items()
        }


def sample(questions: Questions, size: int) -> Questions:
    """Evenly spaced ones of all the questions, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(questions) - 1, size).round().astype(np.int64))
    return replace(questions, events=questions.events[chosen])


def served(artifact: Path) -> Served:
    """What the API makes of an artifact, to be fitted and asked in the lab."""
    return Served(artifact, TRENDING, POPULAR, MAX_LIMIT)


def through_production(
    settings: Settings,
    ratings: pa.Table,
    movies: pa.Table,
    questions: Questions,
    epochs: int,
    on_training: OnTraining = lambda *_: None,
    on_progress: OnProgress = lambda *_: None,
) -> Agreement:
    """Train, serve, and ask both.

    Args:
        settings: as for `answers_of`.
        ratings: `producers.tables.RATINGS`, all of them.
        movies: `producers.tables.MOVIES`.
        questions: on the log of these tables.
        epochs: of the towers, at most.
        on_training: told how far training has got.
        on_progress: told how many questions the API has answered.

    Raises:
        DatasetError: too little to train on.
        FreshetError: as `answers_of`.
    """
    with TemporaryDirectory(prefix="freshet-served-") as home:
        past = select(ratings, end=questions.since)
        options = RunOptions(max_epochs=epochs)
        trained = train(past, movies, Path(home), options=options, on_progress=on_training)
        answers = answers_of(settings, movies, questions, trained.directory, on_progress)
        model = served(trained.directory)
        model.fit(questions.known)
        return agree(questions, answers, model)


def answers_of(
    settings: Settings,
    movies: pa.Table,
    questions: Questions,
    artifact: Path,
    on_progress: OnProgress = lambda *_: None,
) -> list[Answer]:
    """What a stack answers that is there for this alone.

    Args:
        settings: no server that they name is used, and nothing is left in their home.
        movies: `producers.tables.MOVIES`.
        questions: on a log of these movies.
        artifact: the directory of what is served.
        on_progress: told how many questions are answered.

    Raises:
        ConfigurationError: a Qdrant server is configured, which would have to be written to.
        FreshetError: the stack fails, or makes no progress.
    """
    if settings.qdrant_url is not None:
        raise ConfigurationError("this needs an index of its own: unset FRESHET_QDRANT_URL")
    with TemporaryDirectory(prefix="freshet-served-") as home:
        own = {
            "home": Path(home),
            "api_host": LOOPBACK,
            "api_auth": "auto",
            "api_port": 0,
            "api_look_seconds": LOOK_SECONDS,
            "worker_metrics_port": 0,
            "kafka_bootstrap_servers": None,
            "kafka_security_protocol": "PLAINTEXT",
            "kafka_topic_prefix": "",
            "redis_url": None,
        }
        with (
            LocalStack(settings.model_copy(update=own), ports=ANY_PORTS, say=_silent) as stack,
            httpx.Client(base_url=stack.api_url, timeout=TIMEOUT) as client,
        ):
            production = Production(stack, client, questions.log)
            production.begin(movies, questions.since, artifact)
            return drive(production, questions, on_progress)


def _silent(_: str) -> None:
    pass


def agree(questions: Questions, answers: list[Answer], model: Served) -> Agreement:
    """Hold the API's answers against the lab's.

    Args:
        questions: n of them.
        answers: n of them.
        model: fitted on `questions.known`.
    """
    lab = np.minimum(ask(model, questions, "fresh"), BEYOND)
    agreement = Agreement(questions, lab, answers, np.zeros(len(lab), np.bool_))
    for index in agreement.different:
        agreement.rounding[index] = _is_rounding(model, questions, index, answers[index])
    return agreement


def _is_rounding(model: Served, questions: Questions, index: int, answer: Answer) -> bool:
    """Whether the API's rank is one that the lab would give with a slightly other utility."""
    if answer.strategy == "trending":
        return False
    then = copy.deepcopy(model)
    told = questions.told[: questions.observed("fresh")[index]]
    then.observe(questions.log.take(np.sort(told)))
    histories = Histories.before(questions.log, questions.events[[index]])
    row = int(questions.rows[index])
    first, last = (then.place(histories, row, more) for more in (ROUNDING, -ROUNDING))
    return first <= answer.rank <= min(last, BEYOND)
