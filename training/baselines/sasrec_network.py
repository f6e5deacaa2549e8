"""SASRec's network: what somebody watched, movie by movie, to what they may want after each."""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

NOTHING: Final = 0  # index that pads a sequence; the movie in row i has index i + 1

_WIDENING: Final = 2  # the hidden layer of a block, relative to its input

# Of a movie's vector at first. With 0.05 the scores are all alike for the first epochs, and NDCG@10
# stays lower (MovieLens 100K, validation part).
_MOVIE_STD: Final = 0.2


class SasRecNetwork(nn.Module):
    """Causal self-attention over sequences of movies; a dot product with a movie is its score.

    Wang-Cheng Kang, Julian McAuley: Self-attentive sequential recommendation, ICDM 2018; with the
    layers normalised before instead of after, and GELU, which train faster.

    Args:
        movies: how many there are.
        length: of the longest sequence.
        dimensions: of the vectors.
        layers: blocks of attention.
        heads: of each.
        dropout: of the inputs and what each layer adds to them.
    """

    def __init__(
        self, movies: int, length: int, dimensions: int, layers: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.movies = nn.Embedding(movies + 1, dimensions, padding_idx=NOTHING)
        self.positions = nn.Embedding(length, dimensions)
        nn.init.normal_(self.movies.weight[NOTHING + 1 :], std=_MOVIE_STD)
        nn.init.zeros_(self.positions.weight)
        self.blocks = nn.Sequential(*(_Block(dimensions, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(dimensions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequences: Tensor) -> Tensor:
        """f32[B, L, d]: after each movie of a sequence, whose vectors are likely next.

        Args:
            sequences: i64[B, L] indices of movies, oldest first, padded at the end. What comes
                later changes nothing, so the padding does not either.
        """
        positions = self.positions.weight[: sequences.shape[1]]
        states: Tensor = self.blocks(self.dropout(self.movies(sequences) + positions))
        normed: Tensor = self.norm(states)
        return normed


class _Block(nn.Module):
    def __init__(self, dimensions: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attended = nn.LayerNorm(dimensions)
        self.queries_keys_values = nn.Linear(dimensions, 3 * dimensions)
        self.together = nn.Linear(dimensions, dimensions)
        self.dropout = nn.Dropout(dropout)
        self.deep = nn.Sequential(
            nn.LayerNorm(dimensions),
            nn.Linear(dimensions, _WIDENING * dimensions),
            nn.GELU(),
            nn.Linear(_WIDENING * dimensions, dimensions),
            nn.Dropout(dropout),
        )

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.dropout(self._attend(self.attended(states)))
        deeper: Tensor = states + self.deep(states)
        return deeper

    def _attend(self, states: Tensor) -> Tensor:
        split = self.queries_keys_values(states).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        together: Tensor = self.together(heads.transpose(1, 2).flatten(2))
        return together
