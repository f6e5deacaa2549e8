"""A new person who knows the product through REST alone: what they do and what they see."""

import random
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from infra.freshness import Round, body_of, percentiles, rate_and_ask
from stream.contracts.errors import FreshetError

# The new person's taste by genre; the first that a movie has decides the stars.
TASTE: Final = (
    ("Horror", 1.5),
    ("Romance", 2.0),
    ("Sci-Fi", 5.0),
    ("Thriller", 4.5),
    ("Action", 4.0),
    ("Children", 2.0),
)
INDIFFERENT: Final = 3.0  # stars for anything else

# What changes their mind: the first list cannot know that they love these.
DISCOVERED: Final = "Animation"
SUGGESTIONS: Final = 60  # enough to hold three of the discovered genre in any catalogue


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who came a moment ago, and what they were shown first."""

    user_id: int
    rated: tuple[int, ...]
    shown: list[dict[str, Any]]


class Newcomer:
    """Talks to a running API as a client would, and tells what it sees.

    Raises FreshetError where the API answers with an error or breaks a promise.
    """

    def __init__(self, client: httpx.Client, console: Console) -> None:
        self._client = client
        self._console = console

    def wait_for_model(self, version: str, timeout: float) -> None:
        """Return once the API serves this model version."""
        deadline = time.monotonic() + timeout
        while True:
            state = self._client.get("/readyz").json()
            if state["ready"] and state["checks"]["model"]["detail"] == version:
                return
            if time.monotonic() > deadline:
                raise FreshetError(f"the API does not serve {version} after {timeout:g} s: {state}")
            time.sleep(0.1)

    def onboard(self) -> Person:
        """Someone new rates what they are suggested; prints their first ten."""
        movies = self._suggested(15)
        ratings = [{"movie_id": m["movie_id"], "rating": stars(m["genres"])} for m in movies[:8]]
        onboarded = body_of(self._client.post("/api/v1/onboarding/rate", json={"ratings": ratings}))
        table = Table("they rate", "genres", "stars", title="Someone new")
        for movie in movies[:8]:
            table.add_row(name_of(movie), ", ".join(movie["genres"]), f"{stars(movie['genres'])}")
        self._console.print(table)
        recommendations = onboarded["recommendations"]
        self._print_list(
            f"Ten for user {onboarded['user_id']} ({recommendations['strategy']}, "
            f"profile strength {onboarded['profile_strength']:.2f})",
            recommendations["items"],
            (),
        )
        return Person(
            onboarded["user_id"],
            tuple(rating["movie_id"] for rating in ratings),
            recommendations["items"],
        )

    def change_mind(self, person: Person) -> Round:
        """They love three movies of a genre new to them; prints what that changes."""
        fresh = [m for m in self._suggested(SUGGESTIONS) if m["movie_id"] not in person.rated]
        loved = sorted(fresh, key=lambda m: DISCOVERED not in m["genres"])[:3]
        took = rate_and_ask(self._client, person.user_id, [(m["movie_id"], 5.0) for m in loved])
        self._console.print(
            "\nNow they give 5 stars to " + ", ".join(f"[b]{name_of(m)}[/]" for m in loved) + "."
        )
        items = took.recommendations["items"]
        before = {m["movie_id"] for m in person.shown}
        self._print_list("Ten now (new ones marked)", items, before)
        now = {m["movie_id"] for m in items}
        if now & {*person.rated, *(m["movie_id"] for m in loved)}:
            raise FreshetError("a movie that was rated is recommended")
        if now == before:
            raise FreshetError("three ratings changed nothing in the list")
        self._console.print(
            f"[b]{len(now - before)} of {len(now)}[/] changed, "
            f"[b]{took.total:.1f} ms[/] after the ratings were sent "
            f"({took.accepted_to_included:.1f} ms after they were accepted)."
        )
        return took

    def freshness(self, person: Person, rounds: Iterable[object]) -> list[float]:
        """Rate and ask in each round; ms from rating accepted to a list that includes it."""
        movies = [movie["movie_id"] for movie in self._suggested(SUGGESTIONS)]
        chance = random.Random(7)
        measured = []
        for _ in rounds:
            rating = (chance.choice(movies), chance.randint(1, 10) / 2)
            took = rate_and_ask(self._client, person.user_id, [rating])
            measured.append(took.accepted_to_included)
        return measured

    def _print_list(self, title: str, items: list[dict[str, Any]], before: Collection[int]) -> None:
        table = Table("", "movie", "genres", "score", title=title)
        for movie in items:
            mark = "[green]new[/]" if before and movie["movie_id"] not in before else ""
            table.add_row(mark, name_of(movie), ", ".join(movie["genres"]), f"{movie['score']:.3f}")
        self._console.print(table)

    def _suggested(self, count: int) -> list[dict[str, Any]]:
        path = "/api/v1/onboarding/suggested-movies"
        movies: list[dict[str, Any]] = body_of(self._client.get(path, params={"count": count}))[
            "movies"
        ]
        return movies


def print_freshness(measured: Sequence[float], meanwhile: str, console: Console) -> None:
    """A table of percentiles; `measured` in ms."""
    table = Table("", "p50", "p95", "p99", "max", title="Rating accepted to list that has it")
    table.add_row(meanwhile, *(f"{value:.1f} ms" for value in percentiles(measured).values()))
    console.print(table)


def name_of(movie: dict[str, Any]) -> str:
    """Title and year, as people know it."""
    return f"{movie['title']} ({movie['year']})" if movie["year"] else str(movie["title"])


def stars(genres: Sequence[str]) -> float:
    """What the demo's person thinks of a movie of these genres."""
    return next((stars for genre, stars in TASTE if genre in genres), INDIFFERENT)
