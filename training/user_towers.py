"""User towers: what somebody rated, and when, as a vector.

All kinds read the same and are asked the same way. A history may be asked about at several moments
at once: what is computed of its movies is computed once then, which is what makes training on every
moment of a long history affordable. Serving asks about the latest moment alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from training.dropout import Dropout
from training.tower_inputs import PADDING, USER_FEATURES

Kind: TypeAlias = Literal["pooled", "sequential", "combined"]

# How much the second latest rating counts of the latest, for the fastest and slowest fading
# summary of a history; training moves them.
FASTEST: Final = 0.6
SLOWEST: Final = 0.98

# Of what a movie adds to a state at first, in each dimension.
_STARS_STD: Final = 0.02

_WIDENING: Final = 2  # the hidden layer of a block, relative to its width
_NEVER: Final = -1e9  # a logit whose share is 0; infinity would make NaN of an empty history
_NO_WEIGHT: Final = 1e-6  # keeps the mean of an empty history at 0
_HALF_STARS: Final = 11  # 0 where there is no rating


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerConfig:
    """The shape of the towers.

    Attributes:
        user: the kind of user tower, of `user_towers.USER_TOWERS`.
        dimensions: of the vectors.
        history: latest ratings that the user tower reads. Of the older ones only the user features
            tell.
        summaries: how many weighted means of the history a pooled tower reads.
        hidden: width of its hidden layer.
        width: of the states of a sequential tower.
        layers: its blocks.
        heads: of attention in each.
        dropout: of what its blocks add to the states, while it is trained.
        content_hidden: width of the item tower's hidden layer.
    """

    user: Kind = "pooled"
    dimensions: Annotated[int, Meta(ge=1)] = 128
    history: Annotated[int, Meta(ge=1)] = 50
    summaries: Annotated[int, Meta(ge=1)] = 3
    hidden: Annotated[int, Meta(ge=1)] = 128
    width: Annotated[int, Meta(ge=1)] = 64
    layers: Annotated[int, Meta(ge=1)] = 1
    heads: Annotated[int, Meta(ge=1)] = 2
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    content_hidden: Annotated[int, Meta(ge=1)] = 64


class Seen:
    """What each of T moments of B histories sees of their L ratings.

    Attributes:
        history: i64[B, L], see `TowerInputs`.
        half_stars: i64[B, L], 0 where there is no rating.
        there: bool[B, T, L], whether the rating had been given, and is one of the latest.
        steps: i64[T, L] how many ratings came after it by then; 0 where it was not there.
        ages: f32[B, T, L] log1p of the days from it to the latest rating by then.
    """

    def __init__(
        self, history: Tensor, ratings: Tensor, ages: Tensor, moments: int, length: int
    ) -> None:
        places = torch.arange(history.shape[1], device=history.device)
        steps = places - places[:moments, None]
        self.history = history
        self.half_stars = (ratings * 2).long()
        self.there = (history != PADDING)[:, None] & (steps >= 0) & (steps < length)
        self.steps = steps.clamp(0, length - 1)
        self.ages = torch.log1p((ages[:, None] - ages[:, :moments, None]).clamp(min=0))
        self._rest = ratings, ages, length

    def at(self, moments: int) -> "Seen":
        """The same histories at so many of the latest moments."""
        ratings, ages, length = self._rest
        return Seen(self.history, ratings, ages, moments, length)


class UserTower(nn.Module, ABC):
    """History and features -> vector.

    Args:
        length: latest ratings that it reads.

    Attributes:
        length: the same.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(
        self, vectors: Tensor, history: Tensor, ratings: Tensor, ages: Tensor, features: Tensor
    ) -> Tensor:
        """f32[B, d], or f32[B, T, d] of T moments, L2-normalised.

        Args:
            vectors: f32[m, d] that `history` points into.
            history, ratings, ages: as in `TowerInputs`.
            features: as there; or f32[B, T, USER_FEATURES] of the T latest moments, where moment t
                has the ratings from place t on, at most `length` of them.
        """
        latest = features.dim() == 2
        features = features[:, None] if latest else features
        seen = Seen(history, ratings, ages, features.shape[1], self.length)
        users = functional.normalize(self.embed(vectors, seen, features), dim=-1)
        return users[:, 0] if latest else users

    @abstractmethod
    def embed(self, vectors: Tensor, seen: Seen, features: Tensor) -> Tensor:
        """f32[B, T, d] of any length.

        Args:
            vectors: f32[m, d] that the history points into.
            seen: what there is at each of T moments.
            features: f32[B, T, USER_FEATURES].
        """


class Pooled(UserTower):
    """Weighted means of the history's vectors, as they are and through a hidden layer.

    Each mean has its own weights: one that fades with every later rating, one that fades with time,
    and one for each rating from half a star to five.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        n, d = config.summaries, config.dimensions
        self.fading = nn.Parameter(torch.logit(torch.linspace(FASTEST, SLOWEST, n)))
        self.ageing = nn.Parameter(torch.full((n,), -3.0))
        self.liking = nn.Parameter((torch.arange(_HALF_STARS) / 10).repeat(n, 1).T.contiguous())
        self.blend = nn.Parameter(torch.full((n,), 1 / n))
        self.direct = nn.Linear(d, d)
        nn.init.eye_(self.direct.weight)
        nn.init.zeros_(self.direct.bias)
        self.deep = nn.Sequential(
            nn.Linear(n * d + USER_FEATURES, config.hidden), nn.ReLU(), nn.Linear(config.hidden, d)
        )

    def embed(self, vectors: Tensor, seen: Seen, features: Tensor) -> Tensor:
        fading = seen.steps[..., None] * functional.logsigmoid(self.fading)
        ageing = seen.ages[..., None] * functional.softplus(self.ageing)
        weights = torch.exp(fading - ageing) * seen.there[..., None]
        weights = weights / (weights.sum(2, keepdim=True) + _NO_WEIGHT)
        weights = weights * functional.embedding(seen.half_stars, self.liking)[:, None]
        movies = functional.embedding(seen.history, vectors)
        # Contiguous, because bmm of a transposed view takes four times as long.
        rows = weights.transpose(2, 3).flatten(1, 2).contiguous()
        moments = features.shape[1]
        summaries = torch.bmm(rows, movies).view(
            len(movies), moments, len(self.blend), movies.shape[2]
        )
        blended = torch.einsum("btnd,n->btd", summaries, self.blend)
        deep: Tensor = self.deep(torch.cat([summaries.flatten(2), features], dim=-1))
        users: Tensor = self.direct(blended) + deep
        return users


class Sequential(UserTower):
    """A causal transformer over the history: what followed what, after how many steps and days.

    Wang-Cheng Kang, Julian McAuley: Self-attentive sequential recommendation, ICDM 2018, reading
    the item tower's vectors and the ratings. Where a rating stands is told by its distance from the
    moment in steps and in time, a bias of each head as in Press, Smith, Lewis: Train short, test
    long (ICLR 2022), so that a moment looks the same wherever the sequence was cut.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        self.enter = nn.Linear(config.dimensions, config.width)
        self.stars = nn.Embedding(_HALF_STARS, config.width)
        nn.init.normal_(self.stars.weight, std=_STARS_STD)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.leave = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.dimensions)
        )

    def embed(self, vectors: Tensor, seen: Seen, features: Tensor) -> Tensor:  # noqa: ARG002
        states = functional.embedding(seen.history, self.enter(vectors))
        states = states * (seen.history != PADDING)[..., None] + self.stars(seen.half_stars)
        every = seen.at(seen.history.shape[1]) if len(self.blocks) > 1 else seen
        for block in self.blocks[:-1]:
            states = block(states, every)
        latest: Tensor = self.leave(self.blocks[-1](states, seen))
        return latest


class Combined(UserTower):
    """What both say, added up."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        self.pooled = Pooled(config)
        self.sequential = Sequential(config)

    def embed(self, vectors: Tensor, seen: Seen, features: Tensor) -> Tensor:
        pooled = self.pooled.embed(vectors, seen, features)
        return pooled + self.sequential.embed(vectors, seen, features)


class _Block(nn.Module):
    """Attention and a hidden layer, each normalised before and added to the states."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.attended = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.together = nn.Linear(width, width)
        self.places = nn.Parameter(torch.zeros(config.heads, config.history))
        self.ageing = nn.Parameter(torch.linspace(-3, -1, config.heads))
        self.dropout = Dropout(config.dropout)
        self.deep = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, _WIDENING * width),
            nn.GELU(),
            nn.Linear(_WIDENING * width, width),
            Dropout(config.dropout),
        )

    def forward(self, states: Tensor, seen: Seen) -> Tensor:
        """f32[B, T, width] after each moment, of the states f32[B, L, width] of all ratings."""
        moments = seen.ages.shape[1]
        split = self.queries_keys_values(self.attended(states)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        ageing = seen.ages[:, None] * functional.softplus(self.ageing)[:, None, None]
        bias = self.places[:, seen.steps] - ageing
        heads = functional.scaled_dot_product_attention(
            queries[:, :, :moments],
            keys,
            values,
            attn_mask=bias.masked_fill(~seen.there[:, None], _NEVER),
        )
        heads = heads * seen.there.any(dim=-1)[:, None, :, None]
        latest = states[:, :moments] + self.dropout(self.together(heads.transpose(1, 2).flatten(2)))
        deeper: Tensor = latest + self.deep(latest)
        return deeper


USER_TOWERS: Final[dict[Kind, type[Pooled | Sequential | Combined]]] = {
    "pooled": Pooled,
    "sequential": Sequential,
    "combined": Combined,
}
