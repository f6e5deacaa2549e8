"""What the evaluation report needs, measured: every protocol on a data set, whatever fails."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from stream.contracts.errors import FreshetError
from training import offline, prequential_runs
from training.baselines.catalogue import MODELS, entry, rankers
from training.dataset import Ratings
from training.runs import Result, Runs
from training.split import ByTime, LastOut, Random, Split, StrongGeneralisation

RANDOM: Final = "random"
PUBLISHED: Final = "published"
PREQUENTIAL: Final = "prequential"
# Splits of which the report shows one figure.
OTHER_SPLITS: Final[Mapping[str, Split]] = {
    "time": ByTime(),
    "last": LastOut(),
    "strong": StrongGeneralisation(),
}

# What is measured on splits that are there for comparison: a model of each kind, none of them slow.
FEW: Final = ("popularity", "user-knn", "item-knn", "ease", "ials")

# NDCG@10 of MovieLens 100K, 75/25 per user, all ratings relevant, as a benchmark of the literature
# reports it, and which of our models are closest.
BENCHMARK: Final = {"BiVAE": 0.475, "BPR": 0.442, "SAR": 0.382}
BENCHMARK_DATASET: Final = "ml-100k"
BENCHMARK_TEST: Final = 0.25
BENCHMARK_MODELS: Final = ("bpr", "ials", "ease", "item-knn", "popularity")

Protocol: TypeAlias = offline.Protocol | prequential_runs.Protocol

# Told the part, the model, the stage, and how many of how many steps of it are done.
OnProgress: TypeAlias = Callable[[str, str, offline.Stage, int, int], None]


class Part(NamedTuple):
    """Models that are asked the same.

    Attributes:
        protocol: how.
        models: names of `baselines.catalogue`.
        command: that measures the same.
    """

    protocol: Protocol
    models: tuple[str, ...]
    command: str


class Measured(NamedTuple):
    """What came of a part.

    Attributes:
        part: which.
        results: of the models that could be measured, in the part's order.
        failed: why the others could not, by model.
    """

    part: Part
    results: tuple[Result, ...]
    failed: Mapping[str, str]


def parts(dataset: str, argument: str, models: Sequence[str]) -> dict[str, Part]:
    """What is measured on a data set, by name.

    Args:
        dataset: its name.
        argument: that commands are given for it.
        models: that are wanted.

    Raises:
        ConfigurationError: there is no such model.
    """
    for name in models:
        entry(name)

    def part(
        protocol: Protocol, command: str, some: Sequence[str], default: Sequence[str] = ()
    ) -> Part:
        wanted = tuple(name for name in some if name in models)
        listed = "" if list(wanted) == list(default) else f" --models {','.join(wanted)}"
        return Part(protocol, wanted, f"freshet eval {command} --dataset {argument}{listed}")

    found = {
        RANDOM: part(offline.Protocol(Random()), "offline", models, list(MODELS)),
        **{
            name: part(offline.Protocol(split), f"offline --split {name}", FEW)
            for name, split in OTHER_SPLITS.items()
        },
        PREQUENTIAL: part(
            prequential_runs.Protocol(),
            "prequential",
            [name for name in models if name in rankers()],
            rankers(),
        ),
    }
    if dataset == BENCHMARK_DATASET:
        found[PUBLISHED] = part(
            offline.Protocol(Random(BENCHMARK_TEST)),
            f"offline --test {BENCHMARK_TEST}",
            BENCHMARK_MODELS,
        )
    return {name: one for name, one in found.items() if one.models}


def measure(
    ratings: Ratings,
    dataset: str,
    wanted: Mapping[str, Part],
    runs: Runs,
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, Measured]:
    """Measure all parts, except what was measured before.

    A model that fails is left out and the reason kept: a night's work is not lost for it.

    Args:
        ratings: of the data set.
        dataset: its name.
        wanted: from `parts`.
        runs: where results are kept.
        on_progress: told how far each model has got.
    """
    measured = {}
    for name, part in wanted.items():
        results, failed = [], {}
        for model in part.models:
            try:
                results += _evaluate(
                    ratings, dataset, model, part.protocol, runs, partial(on_progress, name)
                )
            except FreshetError as error:
                failed[model] = str(error)
        measured[name] = Measured(part, tuple(results), failed)
    return measured


def _evaluate(
    ratings: Ratings,
    dataset: str,
    model: str,
    protocol: Protocol,
    runs: Runs,
    told: offline.OnProgress,
) -> list[Result]:
    if isinstance(protocol, offline.Protocol):
        return offline.evaluate(ratings, dataset, [model], protocol, runs, told)
    return prequential_runs.evaluate(ratings, dataset, [model], protocol, runs, told)
