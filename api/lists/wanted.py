"""What a list shall be like: what the routes have understood, and the stages fulfil."""

from dataclasses import dataclass
from typing import Final

from stream.contracts.experiments import Strategy
from training.movie_filter import ALL_MOVIES, MovieFilter

# Movies of a list that is paged through, the first page's included: nobody reads further, and what
# comes last is hardly better than anything else.
DEPTH: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list of movies for somebody.

    Attributes:
        limit: how many movies, at most.
        filter: which movies.
        diversity: 0..1, the trade-off of `training.mmr`; None: the model's own.
        novelty: 0..1, how much rather movies that few people have rated.
        ranker: whether the second stage orders it; else it is by nearness alone.
        strategy: ``trending`` and ``popular`` are lists that are the same for everybody.
    """

    limit: int
    filter: MovieFilter = ALL_MOVIES
    diversity: float | None = None
    novelty: float = 0.0
    ranker: bool = True
    strategy: Strategy = "personal"
