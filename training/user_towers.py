"""User towers: what somebody rated, and when, as a vector.

All kinds read the same and are asked the same way, in training as in serving.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from stream.contracts.errors import ConfigurationError
from training.dropout import Dropout
from training.tower_inputs import PADDING, USER_FEATURES

Kind: TypeAlias = Literal["pooled", "sequential", "combined"]

# How much the second latest rating counts of the latest, for the summary of a history that fades
# fastest; the slowest one fades over the whole of it. Training moves them.
FASTEST: Final = 0.6

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
        heads: of its attention.
        dropout: of what attention and the hidden layer add to its states, while it is trained.
        content_hidden: width of the item tower's hidden layer.
    """

    user: Kind = "pooled"
    dimensions: Annotated[int, Meta(ge=1)] = 128
    history: Annotated[int, Meta(ge=1)] = 50
    summaries: Annotated[int, Meta(ge=1)] = 3
    hidden: Annotated[int, Meta(ge=1)] = 128
    width: Annotated[int, Meta(ge=1)] = 64
    heads: Annotated[int, Meta(ge=1)] = 2
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    content_hidden: Annotated[int, Meta(ge=1)] = 64


class Read:
    """B histories of L ratings, latest first, with what is known of each rating's movie in place.

    Attributes:
        there: bool[B, L] where there is a rating of a movie that the model knows.
        half_stars: i64[B, L], 0 where there is no rating.
        ages: f32[B, L] days before the latest rating.
    """

    def __init__(self, there: Tensor, ratings: Tensor, ages: Tensor) -> None:
        self.there = there
        self.half_stars = (ratings * 2).long()
        self.ages = ages

    def of(self, movies: Tensor) -> Tensor:
        """f32[B, L, k]: what is known of each rating's movie; here just that."""
        return movies


class Pointing(Read):
    """The same where movies are known once, f32[m, k], and i64[B, L] points to them."""

    def __init__(self, history: Tensor, ratings: Tensor, ages: Tensor) -> None:
        super().__init__(history != PADDING, ratings, ages)
        self._history = history

    def of(self, movies: Tensor) -> Tensor:
        return functional.embedding(self._history, movies)


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
        """f32[B, d], L2-normalised.

        Args:
            vectors: f32[m, d] that `history` points into.
            history, ratings, ages, features: as in `TowerInputs`.
        """
        read = Pointing(history, ratings, ages)
        return functional.normalize(self.embed(vectors, read, features), dim=-1)

    @abstractmethod
    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:
        """f32[B, d] of any length.

        Args:
            vectors: f32[m, d] that `read` points into, or f32[B, L, d] in place.
            read: the histories.
            features: f32[B, USER_FEATURES].
        """


class Pooled(UserTower):
    """Weighted means of the history's vectors, as they are and through a hidden layer.

    Each mean has its own weights: one that fades with every later rating, one that fades with time,
    and one for each rating from half a star to five.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        n, d = config.summaries, config.dimensions
        slowest = 1 - 1 / (config.history + 1)
        self.fading = nn.Parameter(torch.logit(torch.linspace(FASTEST, slowest, n)))
        self.ageing = nn.Parameter(torch.full((n,), -3.0))
        self.liking = nn.Parameter((torch.arange(_HALF_STARS) / 10).repeat(n, 1).T.contiguous())
        self.blend = nn.Parameter(torch.full((n,), 1 / n))
        self.direct = nn.Linear(d, d)
        nn.init.eye_(self.direct.weight)
        nn.init.zeros_(self.direct.bias)
        self.deep = nn.Sequential(
            nn.Linear(n * d + USER_FEATURES, config.hidden), nn.ReLU(), nn.Linear(config.hidden, d)
        )

    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:
        steps = torch.arange(self.length, device=read.ages.device)
        # All steps, then those there are: a constant where nothing is trained any more.
        fading = (steps[:, None] * functional.logsigmoid(self.fading))[: read.ages.shape[1]]
        ageing = torch.log1p(read.ages)[:, :, None] * functional.softplus(self.ageing)
        weights = torch.exp(fading - ageing) * read.there[:, :, None]
        weights = weights / (weights.sum(1, keepdim=True) + _NO_WEIGHT)
        weights = weights * functional.embedding(read.half_stars, self.liking)
        # Contiguous, because bmm of a transposed view takes four times as long.
        summaries = torch.bmm(weights.transpose(1, 2).contiguous(), read.of(vectors))
        blended = (summaries * self.blend[:, None]).sum(1)
        deep: Tensor = self.deep(torch.cat([summaries.flatten(1), features], dim=1))
        users: Tensor = self.direct(blended) + deep
        return users


class Sequential(UserTower):
    """A block of a causal transformer, read at the latest rating: what it asks of those before it.

    Wang-Cheng Kang, Julian McAuley: Self-attentive sequential recommendation, ICDM 2018, reading
    the item tower's vectors and the ratings. Where a rating stands is told by a bias of each head,
    for how many came after it and for how many days ago it was, as in Press, Smith, Lewis: Train
    short, test long (ICLR 2022).
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        width, self.heads = config.width, config.heads
        if width % self.heads:
            raise ConfigurationError(
                f"{self.heads} heads cannot share states of width {width}: give a multiple of "
                f"{self.heads}"
            )
        self.enter = nn.Linear(config.dimensions, width)
        self.stars = nn.Embedding(_HALF_STARS, width)
        nn.init.normal_(self.stars.weight, std=_STARS_STD)
        self.attended = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
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
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.dimensions))

    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:  # noqa: ARG002
        states = read.of(self.enter(vectors)) * read.there[:, :, None] + self.stars(read.half_stars)
        latest = states[:, 0]
        latest = latest + self.dropout(self.together(self._attend(self.attended(states), read)))
        users: Tensor = self.leave(latest + self.deep(latest))
        return users

    def _attend(self, states: Tensor, read: Read) -> Tensor:
        """f32[B, width]: what the latest state finds in all of them."""
        query = self.query(states[:, :1]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        pairs = self.keys_values(states).unflatten(-1, (2, self.heads, -1))
        keys, values = pairs.permute(2, 0, 3, 1, 4)
        ages = torch.log1p(read.ages)[:, None] * functional.softplus(self.ageing)[:, None]
        bias = self.places[:, : read.ages.shape[1]] - ages
        bias = bias.masked_fill(~read.there[:, None], _NEVER)[:, :, None]
        found = functional.scaled_dot_product_attention(query, keys, values, attn_mask=bias)
        return found.flatten(1) * read.there.any(dim=1, keepdim=True)


class Combined(UserTower):
    """What both say, added up."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        self.pooled = Pooled(config)
        self.sequential = Sequential(config)

    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:
        pooled = self.pooled.embed(vectors, read, features)
        return pooled + self.sequential.embed(vectors, read, features)


USER_TOWERS: Final[dict[Kind, type[Pooled | Sequential | Combined]]] = {
    "pooled": Pooled,
    "sequential": Sequential,
    "combined": Combined,
}


def user_tower(config: TowerConfig) -> UserTower:
    """The user tower of this shape, not trained yet.

    Raises:
        ConfigurationError: there is no such kind, or its heads cannot share its width.
    """
    if config.user not in USER_TOWERS:
        raise ConfigurationError(
            f"no user tower {config.user!r}: there are {', '.join(USER_TOWERS)}"
        )
    return USER_TOWERS[config.user](config)
