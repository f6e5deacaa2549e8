"""Someone new: which movies to show them first, and the id they get."""

import random
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from api.schemas.onboarding import SuggestedMovie, SuggestionKind
from api.serving.watcher import Movie, Serving
from stream.contracts.events import MAX_ID
from stream.contracts.topics import partition_of
from stream.store import StateStore

# Of 15 suggestions: 5 that nearly everyone knows, 2 from eras that the others leave out, and 8
# across genres. Other counts keep the proportion.
POPULAR_SHARE: Final = 5 / 15
ERA_SHARE: Final = 2 / 15

# Each suggestion is drawn from this many candidates: no two people need see the same list, and yet
# everything on it is well known.
VARIETY: Final = 4

# New ids begin here: above those of any data set or customer table, so that a person who comes in
# through the API is not taken for one of theirs.
FIRST_NEW_USER: Final = 2**40

K = TypeVar("K")


def suggest(serving: Serving, count: int, seed: int | None) -> list[SuggestedMovie]:
    """Distinct well-known movies for someone new to rate, shuffled.

    Args:
        serving: where they come from.
        count: how many; fewer come back only where fewer movies are well known.
        seed: draws the same again from the same `serving`.
    """
    draw = random.Random(seed)
    left = {movie.movie_id: movie for movie in _well_known(serving)}
    popular_count, era_count = round(count * POPULAR_SHARE), round(count * ERA_SHARE)
    chosen: list[SuggestedMovie] = []

    def take(movie: Movie, kind: SuggestionKind, reason: str) -> None:
        del left[movie.movie_id]
        chosen.append(
            SuggestedMovie(
                movie_id=movie.movie_id,
                title=movie.title,
                genres=list(movie.genres),
                year=movie.year,
                kind=kind,
                reason=reason,
            )
        )

    def take_popular(wanted: int) -> None:
        top = list(left.values())[: wanted * VARIETY]
        for movie in draw.sample(top, min(wanted, len(top))):
            take(movie, "popular", "One of the movies that most people have rated")

    take_popular(popular_count)
    genres = _grouped((genre, movie) for movie in left.values() for genre in movie.genres)
    by_size = sorted(genres, key=lambda genre: -len(genres[genre]))
    for genre, movie in _in_turns(genres, by_size, left, draw, count - popular_count - era_count):
        take(movie, "genre", f"A favourite in {genre}")
    eras = _grouped((movie.year // 10, movie) for movie in left.values() if movie.year)
    covered = [movie.year // 10 for movie in chosen if movie.year]
    by_novelty = sorted(eras, key=lambda era: (covered.count(era), -len(eras[era])))
    for era, movie in _in_turns(eras, by_novelty, left, draw, era_count):
        take(movie, "era", f"A favourite of the {era}0s")
    take_popular(count - len(chosen))
    draw.shuffle(chosen)
    return chosen


async def new_user_id(store: StateStore, partitions: int) -> int:
    """An id that nobody has. Raises StoreUnavailable."""
    while True:
        user_id = FIRST_NEW_USER + secrets.randbelow(MAX_ID + 1 - FIRST_NEW_USER)
        _, record = await store.read_user(partition_of(user_id, partitions), user_id)
        if record is None:
            return user_id


def _well_known(serving: Serving) -> Iterator[Movie]:
    """Movies of the catalogue, best known first: by the model's training data, else by trend."""
    known: Iterable[int] = (
        serving.model.popular
        if serving.model is not None
        else (movie_id for movie_id, _ in serving.trending)
    )
    return (serving.catalogue[movie_id] for movie_id in known if movie_id in serving.catalogue)


def _grouped(movies: Iterable[tuple[K, Movie]]) -> dict[K, list[Movie]]:
    groups: dict[K, list[Movie]] = {}
    for key, movie in movies:
        groups.setdefault(key, []).append(movie)
    return groups


def _in_turns(
    groups: Mapping[K, Sequence[Movie]],
    order: Sequence[K],
    left: Mapping[int, Movie],
    draw: random.Random,
    count: int,
) -> Iterator[tuple[K, Movie]]:
    """One of the best known movies of each group in turn, `count` in all if they last.

    The caller takes each out of `left` before it asks for the next.
    """
    while count > 0:
        before = count
        for key in order:
            candidates = [movie for movie in groups[key] if movie.movie_id in left][:VARIETY]
            if candidates and count > 0:
                yield key, draw.choice(candidates)
                count -= 1
        if count == before:
            return
