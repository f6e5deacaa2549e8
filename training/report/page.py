"""The evaluation report: one page with the pictures beside it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from training.report import bar, ranges, sections
from training.report.parts import PREQUENTIAL, PUBLISHED, RANDOM, Measured
from training.report.renewals import renewals
from training.report.trade_offs import TradeOffs, trade_offs
from training.runs import Result

INTRODUCTION: Final = """\
# How good the models are

Two protocols ask two questions. **Offline** is the one that the literature asks: of each user's
ratings a fifth is held out at random, a model is fitted on the rest and recommends once; all that
was held out is relevant. It knows later ratings when it is asked for earlier ones, so it says how
well a model fills in tastes, not how well it serves. **Prequential** (test, then learn) is what
this product is for: the last tenth of the ratings in the order of time, and before each movie that
a user liked (4 stars and up) the model is asked for its list, from the state that it has by then.
Frozen state is that of the moment of training, daily state that of the last midnight, fresh state
has every event before this one.

In both, hyperparameters are chosen on a validation part of what a model may know, lists are over
the whole catalogue less what the user has rated, and intervals (95%, bootstrap) draw users, not
lists. Values of p are of paired tests and corrected for how many models are compared (Holm).
Seconds and bytes are of the machine that the report ran on. `±` is half of an interval."""


class Study(NamedTuple):
    """A data set and what was measured on it.

    Attributes:
        dataset: its name.
        described: how large it is, in words.
        movies: of its catalogue.
        measured: by part, see `parts.parts`.
        trade_offs: of diversification.
        renewal: of the models, where that was measured.
    """

    dataset: str
    described: str
    movies: int
    measured: Mapping[str, Measured]
    trade_offs: TradeOffs
    renewal: Result | None = None


def write_page(studies: Sequence[Study], path: Path, command: str) -> None:
    """Write the page, and its pictures to the folder `sections.PICTURES` beside it.

    Args:
        studies: data sets in the order in which they are shown.
        path: of the page; replaced whole.
        command: that writes it.
    """
    paragraphs = [
        INTRODUCTION,
        f"This page is written by `{command}`. Below each heading is the command that measures "
        "what follows alone.",
        *_bar(studies),
        *(text for study in studies for text in _study(study, path.parent / sections.PICTURES)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text("\n\n".join(text.rstrip("\n") for text in paragraphs) + "\n")
    draft.replace(path)


def _bar(studies: Sequence[Study]) -> Iterator[str]:
    yield "## The bar"
    yield bar.INTRODUCTION
    for study in studies:
        yield f"### {study.dataset}: the bar"
        yield from bar.beaten(study.measured)
        at_random = study.measured[RANDOM].results if RANDOM in study.measured else ()
        for result in at_random:
            if result.question.model == bar.LIST:
                yield from ranges.beside(result, study.movies)


def _study(study: Study, pictures: Path) -> Iterator[str]:
    prefix = pictures / study.dataset
    yield f"## {study.dataset}"
    yield study.described
    random = partial(sections.random, pictures=prefix)
    prequential = partial(sections.prequential, pictures=prefix)
    yield from _section(study, RANDOM, "Offline, a random fifth of each user's ratings", random)
    yield from sections.other_splits(study.measured)
    yield from _section(study, PREQUENTIAL, "Prequential", prequential)
    if study.renewal is not None:
        yield from renewals(study.renewal, prefix.with_name(f"{study.dataset}-refresh.svg"))
    yield from trade_offs(study.trade_offs, prefix.with_name(f"{study.dataset}-diversity.svg"))
    yield from _section(study, PUBLISHED, "Beside published figures", sections.published)


def _section(
    study: Study, part: str, title: str, write: Callable[[Sequence[Result]], Iterator[str]]
) -> Iterator[str]:
    if part not in study.measured:
        return
    measured = study.measured[part]
    yield f"### {title}"
    yield f"`{measured.part.command}`"
    if measured.results:
        yield from write(measured.results)
    yield from sections.failures(measured)
