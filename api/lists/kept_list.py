"""A list as it is kept: which movies, and what it was made from. What is known of a movie is not
kept: it is looked up when the list is shown."""

from collections.abc import Sequence

import msgspec
import numpy as np

from api.lists.everybody import Candidate
from api.lists.freshness import LastEvent, LogPosition, UserView, freshness_of
from api.schemas.freshness import Freshness
from api.schemas.recommendations import Source, Strategy
from api.serving.watcher import Serving
from stream.kept import UserVersion


class KeptList(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """n movies in the order of the list, and how they came to be there.

    Attributes:
        state: the version of the user's state that it was made from.
        next_offset: how far the user's partition had got then.
        event_time: of the user's last event, ms, 0 for somebody without.
        produced_time: the same.
        strategy: see `Recommendations`.
        model_version: the same.
        index: the same.
        movie_ids: u32[n], little-endian.
        scores: f64[n], little-endian.
        source_names: what proposed any of them.
        sources: u8[n], which of these did.
    """

    state: UserVersion
    next_offset: int
    event_time: int
    produced_time: int
    strategy: Strategy
    model_version: str | None
    index: str | None
    movie_ids: bytes
    scores: bytes
    source_names: tuple[Source, ...]
    sources: bytes

    @classmethod
    def of(
        cls, view: UserView, serving: Serving, strategy: Strategy, movies: Sequence[Candidate]
    ) -> "KeptList | None":
        """None where nothing was ever applied: such a state has no version."""
        version = view.version()
        if view.position is None or version is None:
            return None
        state, model = view.record.state, serving.model
        names = tuple(dict.fromkeys(movie.source for movie in movies))
        return cls(
            state=version,
            next_offset=view.position.next_offset,
            event_time=state.last_event_time,
            produced_time=state.last_produced_time,
            strategy=strategy,
            model_version=model.event.version if model else None,
            index=model.event.collection if model else None,
            movie_ids=np.array([it.movie.movie_id for it in movies], "<u4").tobytes(),
            scores=np.array([it.score for it in movies], "<f8").tobytes(),
            source_names=names,
            sources=bytes(names.index(it.source) for it in movies),
        )

    @classmethod
    def decode(cls, value: bytes | None) -> "KeptList | None":
        """None where there is none, or one of another version of the API."""
        if value is None:
            return None
        try:
            return msgspec.msgpack.decode(value, type=cls)
        except msgspec.DecodeError:
            return None

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    def ids(self) -> list[int]:
        movie_ids: list[int] = np.frombuffer(self.movie_ids, "<u4").tolist()
        return movie_ids

    def candidates(self, serving: Serving, places: Sequence[int]) -> list[Candidate]:
        """Those at these places in the list, without what nobody knows any more."""
        ids, scores = self.ids(), np.frombuffer(self.scores, "<f8").tolist()
        found = []
        for at in places:
            movie = serving.movie(ids[at])
            if movie is not None:
                source = self.source_names[self.sources[at]]
                found.append(Candidate(movie, scores[at], source))
        return found

    def freshness(self, partition: int, after: LogPosition | None) -> Freshness:
        """As `UserView.freshness`, of the state that the list was made from."""
        last = LastEvent(self.state.last_offset, self.event_time, self.produced_time)
        return freshness_of(
            partition,
            self.next_offset,
            last if self.state.last_offset >= 0 else None,
            None if after is None else self.next_offset > after.offset,
        )
