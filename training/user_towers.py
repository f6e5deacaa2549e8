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


class Read:
    """B histories of L ratings, latest first.

    Attributes:
        history: i64[B, L] that points to the movies.
        half_stars: i64[B, L], 0 where there is no rating.
        ages: f32[B, L] days before the latest rating.
        there: bool[B, L] where there is a rating of a movie that the model knows.
    """

    def __init__(self, history: Tensor, ratings: Tensor, ages: Tensor) -> None:
        self.history = history
        self.half_stars = (ratings * 2).long()
        self.ages = ages
        self.there = history != PADDING

    def between(self, moments: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is known at each of the latest moments: right after the latest rating, the one
        before it, and so on.

        Returns:
            i64[moments, L] how many ratings came after each by then; f32[B, moments, L] log1p of
            the days from it to the latest by then; bool[B, moments, L] whether it was there.
        """
        places = torch.arange(self.history.shape[1], device=self.history.device)
        steps = places - places[:moments, None]
        ages = torch.log1p((self.ages[:, None] - self.ages[:, :moments, None]).clamp(min=0))
        return steps.clamp(min=0), ages, self.there[:, None] & (steps >= 0)


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
        read = Read(history, ratings, ages)
        return functional.normalize(self.embed(vectors, read, features), dim=-1)

    @abstractmethod
    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:
        """f32[B, d] of any length.

        Args:
            vectors: f32[m, d] that the history points into.
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
        steps = torch.arange(read.history.shape[1], device=read.history.device)
        fading = steps[:, None] * functional.logsigmoid(self.fading)
        ageing = torch.log1p(read.ages)[:, :, None] * functional.softplus(self.ageing)
        weights = torch.exp(fading - ageing) * read.there[:, :, None]
        weights = weights / (weights.sum(1, keepdim=True) + _NO_WEIGHT)
        weights = weights * functional.embedding(read.half_stars, self.liking)
        movies = functional.embedding(read.history, vectors)
        # Contiguous, because bmm of a transposed view takes four times as long.
        summaries = torch.bmm(weights.transpose(1, 2).contiguous(), movies)
        blended = torch.einsum("bnd,n->bd", summaries, self.blend)
        deep: Tensor = self.deep(torch.cat([summaries.flatten(1), features], dim=1))
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

    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:  # noqa: ARG002
        states = functional.embedding(read.history, self.enter(vectors))
        states = states * read.there[:, :, None] + self.stars(read.half_stars)
        for block in self.blocks[:-1]:
            states = block(states, read, states.shape[1])
        latest: Tensor = self.leave(self.blocks[-1](states, read, 1))  # all that is wanted
        return latest[:, 0]


class Combined(UserTower):
    """What both say, added up."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config.history)
        self.pooled = Pooled(config)
        self.sequential = Sequential(config)

    def embed(self, vectors: Tensor, read: Read, features: Tensor) -> Tensor:
        pooled = self.pooled.embed(vectors, read, features)
        return pooled + self.sequential.embed(vectors, read, features)


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

    def forward(self, states: Tensor, read: Read, moments: int) -> Tensor:
        """f32[B, moments, width] after each of the latest moments, of f32[B, L, width]."""
        steps, ages, there = read.between(moments)
        split = self.queries_keys_values(self.attended(states)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        bias = self.places[:, steps]
        bias = bias - ages[:, None] * functional.softplus(self.ageing)[:, None, None]
        heads = functional.scaled_dot_product_attention(
            queries[:, :, :moments],
            keys,
            values,
            attn_mask=bias.masked_fill(~there[:, None], _NEVER),
        )
        heads = (heads * there.any(dim=-1)[:, None, :, None]).transpose(1, 2)
        # Contiguous, or the exporter cannot tell how the copy of a view of any size looks.
        together = self.together(heads.contiguous().flatten(2))
        latest = states[:, :moments] + self.dropout(together)
        deeper: Tensor = latest + self.deep(latest)
        return deeper


USER_TOWERS: Final[dict[Kind, type[Pooled | Sequential | Combined]]] = {
    "pooled": Pooled,
    "sequential": Sequential,
    "combined": Combined,
}
