"""The second stage on disk, beside the towers that it belongs to.

ranking.json        weights, how many candidates each feature proposes, how links are read
links/<feature>.*   data, indices and indptr of each matrix (`training.link_matrix`)
"""

from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np

from stream.contracts.errors import ArtifactError
from stream.features import HEATS
from training.link_matrix import LinkMatrix, write_links
from training.ranker import Weights
from training.ranking import TOWERS, Links, Ranking

RANKING: Final = "ranking.json"
LINKS: Final = "links"

_Weights: TypeAlias = dict[str, tuple[float, float, float]]  # `training.ranker.Weights` in JSON


class _ReadAs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    recency: float
    liked_from: int
    scaled: bool


class _Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    links: dict[str, _ReadAs]
    weights: _Weights
    newcomers: _Weights
    proposed: dict[str, int]
    trade_off: float


def write_ranking(directory: Path, ranking: Ranking) -> None:
    """Write it into the directory of an artifact. Raises ArtifactError, see `write_links`."""
    saved = _Saved(
        links={
            name: _ReadAs(of.recency, of.liked_from, of.scaled)
            for name, of in ranking.links.items()
        },
        weights=_listed(ranking.weights),
        newcomers=_listed(ranking.newcomers),
        proposed=dict(ranking.proposed),
        trade_off=ranking.trade_off,
    )
    (directory / RANKING).write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=2))
    (directory / LINKS).mkdir()
    for name, links in ranking.links.items():
        write_links(directory / LINKS, name, links.matrix)


def read_ranking(directory: Path, movies: int) -> Ranking:
    """Open what `write_ranking` wrote for so many movies.

    Raises:
        ArtifactError: it is not whole, of other movies, or has features that this code lacks.
    """
    try:
        saved = msgspec.json.decode((directory / RANKING).read_bytes(), type=_Saved)
        links = {
            name: Links(
                LinkMatrix.read(directory / LINKS, name, movies),
                of.recency,
                of.liked_from,
                of.scaled,
            )
            for name, of in saved.links.items()
        }
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise ArtifactError(
            f"no whole ranking in {directory} ({error}): train and promote again"
        ) from error
    live = {heat.name for heat in HEATS}
    known = live | links.keys() | {TOWERS}
    for what, names, has in (
        ("weights", set(saved.weights), known),
        ("newcomers' weights", set(saved.newcomers), live),
        ("proposals", set(saved.proposed), known),
    ):
        if unknown := sorted(names - has):
            raise ArtifactError(
                f"{directory / RANKING}: {what} of {', '.join(unknown)}, but there are "
                f"{', '.join(sorted(has))}: train again with this code"
            )
    weights, newcomers = _weights(saved.weights), _weights(saved.newcomers)
    return Ranking(links, weights, newcomers, saved.proposed, saved.trade_off)


def _listed(weights: Weights) -> _Weights:
    return {name: (float(a), float(b), float(k)) for name, (a, b, k) in weights.items()}


def _weights(listed: _Weights) -> Weights:
    return {name: np.array(of, np.float32) for name, of in listed.items()}
