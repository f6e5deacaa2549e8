"""What people tag movies with: those tags that most of them use, however they write them."""

from typing import Final

import polars as pl
import pyarrow as pa

from stream.contracts.events import MAX_TAG

MOST: Final = 10  # tags of a movie


def common_tags(tags: pa.Table) -> dict[int, tuple[str, ...]]:
    """The tags that most people gave each movie, by its id.

    In lower case, with single spaces; the most common ones first, of equal ones by the alphabet.
    What one person alone calls movies, such as "in my queue", says more of them than of a movie,
    and is none.

    Args:
        tags: `producers.tables.TAGS`.
    """
    written = pl.col("tag").str.normalize("NFC").str.to_lowercase()
    people = pl.col("user_id").n_unique()
    common = (
        pl.DataFrame(tags)
        .lazy()
        .with_columns(tag=written.str.replace_all(r"\s+", " ").str.strip_chars())
        .filter(pl.col("tag").str.len_chars().is_between(1, MAX_TAG))
        .filter(people.over("tag") > 1)
        .group_by("movie_id", "tag")
        .agg(people=people)
        .sort("movie_id", "people", "tag", descending=[False, True, False])
        .group_by("movie_id", maintain_order=True)
        .agg(pl.col("tag").head(MOST))
        .collect()
    )
    return {movie: tuple(of_movie) for movie, of_movie in common.iter_rows()}
