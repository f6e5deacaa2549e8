"""What synthetic data has planted in it: movies with genres and a popularity, people with tastes.

Every movie belongs to one cluster. A person likes a few clusters, and with time others. Choices
and ratings follow from that (`producers.histories`), so a recommender can be held to a known
answer. Where a constant has a figure of MovieLens beside it, that was counted in latest-small.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from producers.tables import MOVIES
from stream.contracts.errors import ConfigurationError

START: Final = 789_609_600  # s since the epoch: 1995-01-09, the first day of MovieLens 25M
END: Final = 1_574_294_400  # s: 2019-11-21, its last
DAY: Final = 86_400  # s
YEAR: Final = 31_556_952  # s
MONTH: Final = YEAR // 12  # s: how finely the catalogue grows
MONTHS: Final = (END - START) // MONTH + 1

# The weights of a person's favourite clusters: one that dominates and two beside it.
FAVOURITES: Final = np.array([0.5, 0.3, 0.2])

# How many of the 9,742 movies of latest-small have each genre.
_GENRES: Final = {
    "Action": 1828,
    "Adventure": 1263,
    "Animation": 611,
    "Children": 664,
    "Comedy": 3756,
    "Crime": 1199,
    "Documentary": 440,
    "Drama": 4361,
    "Fantasy": 779,
    "Film-Noir": 87,
    "Horror": 978,
    "Musical": 334,
    "Mystery": 573,
    "Romance": 1596,
    "Sci-Fi": 980,
    "Thriller": 1894,
    "War": 382,
    "Western": 167,
}
GENRES: Final = tuple(_GENRES)
_GENRES_A_MOVIE: Final = (0.29, 0.33, 0.24, 0.14)  # shares of movies with 1, 2, 3 and 4

# A movie's age in years on the last day, gamma distributed. MovieLens: median 19.
_AGE_SHAPE: Final = 1.2
_AGE_SCALE: Final = 20.0
_OLDEST: Final = 117.0  # years: 1902

# Nobody rates more than this share of the movies that were there on the first day, so that a
# choice at any time has at least as many movies left as it has taken.
_LARGEST_SHARE: Final = 0.5
_MIN_MOVIES: Final = 20  # a cluster; below that a taste is exhausted within a session

# User, movie and place of a choice share a 64-bit number, as do second and place of a rating.
_MAX_MOVIES: Final = 1 << 21
_MAX_RATINGS: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How much data, and its shape.

    Attributes:
        users: how many people, each with at least one rating.
        movies: how many movies in the catalogue.
        ratings: how many ratings in all.
        seed: the same seed gives the same data.
        clusters: how many kinds of movies there are to like: as many as MovieLens has genres.
        popularity_exponent: s of Zipf-Mandelbrot's law, weight = 1 / (rank + q)^s.
        popularity_shift: q of that law. Counts fall off more slowly than weights at the head,
            which runs out for those who have seen it. At latest-small's size ranks 1, 21, 201
            and 1,001 come to 279, 213, 82 and 24 ratings; there it is 329, 196, 81 and 26.
        fewest: ratings of the least active person; MovieLens leaves out who has fewer.
        activity_sigma: standard deviation of the log of a person's ratings beyond `fewest`. The
            median is 73 and the 95th percentile 615 where latest-small has 70 and 611.
        mainstream: share of choices by popularity alone; the rest is from favourite clusters.
        mood: how many choices in a row are from one favourite cluster, or mainstream, on average:
            what makes recent ratings tell more about the next than old ones do.
        drift: days from a person's first rating until their late tastes have taken over: tastes
            hold for the one evening that half of all people are there, and not for years.
        quality: standard deviation of movies' quality, in stars.
        leniency: standard deviation of how people use the scale, in stars. Means of movies with
            ten or more ratings spread by 0.51 in latest-small, means of people by 0.48.
        pull: stars a movie gains by being all that a person likes.
        noise: standard deviation of what nothing explains: brings that of all ratings to 1.05
            stars, where MovieLens has 1.04.
        level: mean stars of an unliked movie; with `pull` the mean is MovieLens' 3.5.
    """

    users: int = 162_000
    movies: int = 62_000
    ratings: int = 25_000_000
    seed: int = 0
    clusters: int = 20
    popularity_exponent: float = 1.8
    popularity_shift: float = 60.0
    fewest: int = 20
    activity_sigma: float = 1.4
    mainstream: float = 0.3
    mood: float = 8.0
    drift: float = 365.0
    quality: float = 0.45
    leniency: float = 0.5
    pull: float = 1.5
    noise: float = 0.88
    level: float = 3.3

    def __post_init__(self) -> None:
        if self.users < 1 or not 1 <= self.clusters <= 256:
            raise ConfigurationError("synthetic data needs a user or more and 1 to 256 clusters")
        if self.movies > _MAX_MOVIES or self.ratings > _MAX_RATINGS:
            raise ConfigurationError(
                f"{self.movies:,} movies and {self.ratings:,} ratings are too many: up to "
                f"{_MAX_MOVIES:,} and {_MAX_RATINGS:,} can be made"
            )
        if self.movies < _MIN_MOVIES * self.clusters:
            raise ConfigurationError(
                f"{self.movies:,} movies are too few for {self.clusters} clusters of tastes: "
                f"ask for {_MIN_MOVIES * self.clusters:,} or more"
            )
        if self.ratings < self.users:
            raise ConfigurationError(
                f"{self.ratings:,} ratings are too few for {self.users:,} users: everyone has one"
            )


@dataclass(frozen=True, slots=True)
class Planted:
    """The truth behind the data. Row i is movie id or user id i + 1.

    Attributes:
        parameters: what it was made with.
        cluster: u8[movies], the cluster of each movie.
        released: i64[movies], seconds since the epoch, ascending.
        popularity: f64[movies], the share of mainstream choices it gets over the whole time.
        quality: f32[movies], in stars.
        genres: bool[movies, 18], the columns as in `GENRES`.
        early: u8[users, 3], the clusters a person likes at first, by `FAVOURITES`.
        late: u8[users, 3], and those they like `Parameters.drift` days later.
        leniency: f32[users], in stars.
        activity: i64[users], how many ratings each gives.
    """

    parameters: Parameters
    cluster: npt.NDArray[np.uint8]
    released: npt.NDArray[np.int64]
    popularity: npt.NDArray[np.float64]
    quality: npt.NDArray[np.float32]
    genres: npt.NDArray[np.bool_]
    early: npt.NDArray[np.uint8]
    late: npt.NDArray[np.uint8]
    leniency: npt.NDArray[np.float32]
    activity: npt.NDArray[np.int64]

    def liking(
        self,
        users: npt.NDArray[np.integer],
        movies: npt.NDArray[np.integer],
        progress: npt.NDArray[np.floating] | float,
    ) -> npt.NDArray[np.float64]:
        """f64[n], how much users like movies: 0 not at all, 1 the movie is all they like.

        Args:
            users: int[n], rows of users.
            movies: int[n], rows of movies.
            progress: f[n], how far a user's tastes have moved, from 0 (early) to 1 (late).
        """
        kind = self.cluster[movies][:, None]
        early = (self.early[users] == kind) @ FAVOURITES
        late = (self.late[users] == kind) @ FAVOURITES
        return np.asarray(early + progress * (late - early))

    def movies_table(self) -> pa.Table:
        """The catalogue, in the schema `MOVIES`."""
        count = len(self.cluster)
        flat = np.nonzero(self.genres)[1].astype(np.int32)
        offsets = np.concatenate([[0], self.genres.sum(axis=1).cumsum()]).astype(np.int32)
        genres = pa.array(GENRES).take(pa.array(flat))
        years = self.released.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int32)
        return pa.table(
            [
                pa.array(np.arange(1, count + 1, dtype=np.uint32)),
                pa.array(_titles(count)),
                pa.array(years + np.int32(1970)),
                pa.ListArray.from_arrays(pa.array(offsets), genres),
            ],
            schema=MOVIES,
        )


def plant(parameters: Parameters) -> Planted:
    """Decide everything but the single ratings.

    Raises:
        ConfigurationError: so many ratings do not fit in so few users and movies.
    """
    chance = np.random.default_rng([parameters.seed, 0])
    movies, users, clusters = parameters.movies, parameters.users, parameters.clusters

    age = np.minimum(chance.gamma(_AGE_SHAPE, _AGE_SCALE, movies), _OLDEST)
    released = np.sort(END - (age * YEAR).astype(np.int64))
    # Each block of movies has one of every cluster, so that all clusters grow alike, and there is
    # something of each on the first day.
    blocks = -(-movies // clusters)
    kinds = np.tile(np.arange(clusters, dtype=np.uint8), (blocks, 1))
    cluster = chance.permuted(kinds, axis=1).ravel()[:movies]
    released[:clusters] = np.minimum(released[:clusters], START)

    ranks = chance.permutation(movies) + 1
    weights = np.power(ranks + parameters.popularity_shift, -parameters.popularity_exponent)
    popularity = np.asarray(weights / weights.sum(), dtype=np.float64)
    demand = np.bincount(cluster, popularity)
    return Planted(
        parameters=parameters,
        cluster=cluster,
        released=released,
        popularity=popularity,
        quality=chance.normal(0, parameters.quality, movies).astype(np.float32),
        genres=_genres(chance, cluster),
        # By demand, so that favourite clusters on the whole change no movie's popularity.
        early=chance.choice(clusters, (users, len(FAVOURITES)), p=demand).astype(np.uint8),
        late=chance.choice(clusters, (users, len(FAVOURITES)), p=demand).astype(np.uint8),
        leniency=chance.normal(0, parameters.leniency, users).astype(np.float32),
        activity=_activity(chance, parameters, int((released <= START).sum())),
    )


def _genres(chance: np.random.Generator, cluster: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """bool[movies, 18]: one to four genres each, drawn from those typical of the cluster."""
    common = np.log(np.array(list(_GENRES.values())))
    # A standard deviation of two makes a typical genre e^2 times as likely as it is elsewhere.
    typical = common + chance.normal(0, 2, (int(cluster.max()) + 1, len(GENRES)))
    # The largest of log weight + Gumbel noise are a weighted draw without replacement.
    keys = typical[cluster] + chance.gumbel(size=(len(cluster), len(GENRES)))
    rank = np.argsort(np.argsort(-keys, axis=1), axis=1)
    number = chance.choice(len(_GENRES_A_MOVIE), len(cluster), p=_GENRES_A_MOVIE) + 1
    return np.asarray(rank < number[:, None])


def _activity(
    chance: np.random.Generator, parameters: Parameters, classics: int
) -> npt.NDArray[np.int64]:
    """i64[users] that sums to exactly `ratings`: `fewest` and a log-normal number more."""
    users, ratings = parameters.users, parameters.ratings
    most = int(classics * _LARGEST_SHARE)
    if ratings > users * most:
        raise ConfigurationError(
            f"{ratings:,} ratings do not fit: {users:,} users with at most {most:,} each (half of "
            f"the movies released before 1995) give {users * most:,}; ask for fewer ratings, more "
            "users or more movies"
        )
    fewest = max(1.0, min(parameters.fewest, ratings / users / 2))  # leaves room for differences
    more = np.exp(chance.normal(0, parameters.activity_sigma, users))
    low, high = 0.0, most / float(more.min())
    while (scale := (low + high) / 2) not in (low, high):  # bisect down to neighbouring floats
        fits = np.minimum(fewest + scale * more, most).sum() <= ratings
        low, high = (scale, high) if fits else (low, scale)
    whole = np.floor(np.cumsum(np.minimum(fewest + low * more, most)) + 0.5)
    return np.diff(whole, prepend=0).astype(np.int64)


_ADJECTIVES: Final = (
    *("Amber", "Blind", "Broken", "Burning", "Crooked", "Distant", "Electric", "Endless", "Fallen"),
    *("Forgotten", "Frozen", "Golden", "Hidden", "Last", "Lonely", "Midnight", "Quiet", "Secret"),
    *("Velvet", "Winter"),
)
_NOUNS: Final = (
    *("Angel", "Bargain", "Bridge", "Carnival", "Detective", "Dream", "Empire", "Garden"),
    *("Harbour", "Heart", "Island", "Lantern", "Letter", "Mirror", "Orchard", "Passenger"),
    *("River", "Stranger", "Train", "Widow"),
)


def _titles(count: int) -> list[str]:
    """Different titles; where the words run out there are sequels."""
    titles = []
    for movie in range(count):
        turn, noun = divmod(movie, len(_NOUNS))
        part, shift = divmod(turn, len(_ADJECTIVES))
        title = f"The {_ADJECTIVES[(noun + shift) % len(_ADJECTIVES)]} {_NOUNS[noun]}"
        titles.append(f"{title}, Part {part + 1}" if part else title)
    return titles
