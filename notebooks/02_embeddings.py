# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What the vectors have learnt
#
# The towers turn movies and people into vectors whose dot product is the score. Here they are
# trained for a moment and looked at from outside: what lies next to what, what the directions
# stand for, and what is known of people and movies that have just come. Every number in the text
# is computed from the towers of this run.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib.ticker import LogLocator, NullLocator

from infra.settings import load_settings
from producers.datasets import find, load
from training import cold_start, embeddings
from training.config import Config
from training.dataset import Ratings
from training.embeddings import NEIGHBOURS, WELL_KNOWN
from training.histories import Histories
from training.scorer import embed_users, padded_vectors
from training.trainer import Trainer

BLUE, ORANGE, GREEN, GREY = "#2a6f97", "#d9730d", "#3f8f5f", "#8a8f98"

plt.rcParams.update(
    {
        "figure.figsize": (9, 3.4),
        "figure.dpi": 96,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
    }
)


def say(text: str) -> None:
    """Show a paragraph of Markdown."""
    display(Markdown(" ".join(text.split())))


def counted(axes: plt.Axes) -> None:
    """Ratings of a movie, on an axis that may have one power of 10."""
    axes.set(xscale="log", xlabel="ratings of the movie")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


# %% tags=["parameters"]
DATASET = "latest-small"  # a release, a file or a directory, as for `freshet data check`
EPOCHS = 2  # a model that is served is trained until its validation part says stop

# %%
settings = load_settings()
dataset = load(find(DATASET, cache=settings.home / "datasets", data_dir=settings.data_dir))
log = Ratings.from_tables(dataset.ratings, dataset.movies)

torch.set_num_threads(1)
trainer = Trainer(log, np.arange(len(log)), Config())
losses = [trainer.epoch() for _ in range(EPOCHS)]
towers = trainer.towers
padded = padded_vectors(towers)
vectors = padded[1:]

counts = np.bincount(log.rows, minlength=len(log.movies))
known = embeddings.well_known(log)
near = known[embeddings.nearest(vectors[known], NEIGHBOURS)]
genres = embeddings.genre_matrix(log)
say(
    f"**{dataset.source.name}**: {len(log):,} ratings of {len(log.movies):,} movies; vectors of "
    f"{vectors.shape[1]} numbers after {EPOCHS} epochs (loss {losses[0]:.2f}, then "
    f"{losses[-1]:.2f}). What follows compares the {len(known):,} movies with {WELL_KNOWN} ratings "
    f"and more, unless it says otherwise: of the others there is little to learn from."
)

# %% [markdown]
# ## Neighbours

# %%
FILMS = (
    "Toy Story",
    "Star Wars",
    "Godfather",
    "Alien",
    "Silence of the Lambs",
    "Aladdin",
    "Casablanca",
    "Scream",
    "Pulp Fiction",
    "Sleepless in Seattle",
)
lines = ["| | nearest, with cosines |", "|---|---|"]
places = {int(row): place for place, row in enumerate(known)}
for film in FILMS:
    row = embeddings.find([log.movies[row] for row in known], film)
    if row is None:
        continue
    row = int(known[row])
    names = [
        f"{log.movies[other].title} ({vectors[row] @ vectors[other]:.2f})"
        for other in near[places[row]][:5]
    ]
    lines.append(f"| **{log.movies[row].title}** | {', '.join(names)} |")
display(Markdown("\n".join(lines)))

# %%
judged = embeddings.neighbourhood(vectors, log)
chance = np.random.default_rng(0)
shuffled = embeddings.neighbourhood(chance.permutation(vectors), log)
problems = "; ".join(judged.problems()) or "nothing speaks against these vectors"
say(
    f"Whose sequel a movie is, the towers are not told. Of the {judged.with_sequels} movies with a "
    f"sequel (or what comes before it) among the {judged.movies:,}, on average "
    f"**{judged.sequels:.0%}** of those are among the {NEIGHBOURS} nearest; of random neighbours "
    f"it would be {judged.sequels_by_chance:.1%}, and with these vectors shuffled it is "
    f"{shuffled.sequels:.1%}. Genres are told. A movie and a neighbour have "
    f"**{judged.genres:.0%}** of their genres in common, any two movies "
    f"{judged.genres_by_chance:.0%}. By the check that a training can make before it exports a "
    f"model (`Neighbourhood.problems`), {problems}."
)

# %% [markdown]
# ## Genres

# %%
SHOWN = {
    "Children's": "#e69f00",
    "Children": "#e69f00",
    "Horror": "#000000",
    "Romance": "#cc79a7",
    "Sci-Fi": "#0072b2",
    "Crime": "#d55e00",
    "Western": "#009e73",
}
axes_found = embeddings.principal_axes(vectors[known], 20)
has = {name: genres[known][:, at] for at, name in enumerate(log.genres) if name in SHOWN}
alone = np.sum(list(has.values()), axis=0) == 1  # of one of these genres, not of two
only = {name: own & alone for name, own in has.items() if (own & alone).sum() >= WELL_KNOWN}
figure, panels = plt.subplots(1, 3, figsize=(9, 3.8), width_ratios=(1, 1, 0.8))
for panel, (x, y) in zip(panels, ((0, 1), (2, 3)), strict=False):
    panel.scatter(
        axes_found.places[:, x], axes_found.places[:, y], s=3, color="#d5d8dc", linewidths=0
    )
    for name, own in only.items():
        panel.scatter(
            axes_found.places[own, x],
            axes_found.places[own, y],
            s=9,
            color=SHOWN[name],
            linewidths=0,
            label=f"{name} ({own.sum()})",
        )
    panel.set(
        title=f"Axes {x + 1} and {y + 1}",
        xlabel=f"axis {x + 1}, {axes_found.explained[x]:.0%} of the variance",
        ylabel=f"axis {y + 1}, {axes_found.explained[y]:.0%}",
    )
figure.legend(
    *panels[0].get_legend_handles_labels(),
    loc="outside lower center",
    ncols=len(only),
    fontsize=8,
    markerscale=1.8,
    handletextpad=0.1,
)
panels[2].plot(np.arange(1, 21), np.cumsum(axes_found.explained) * 100, color=BLUE, marker=".")
panels[2].set(
    title="Variance explained", xlabel="so many axes", ylabel="of the variance, %", ylim=(0, 100)
)
plt.show()

# %%
purity = embeddings.genre_purity(genres[known], embeddings.nearest(vectors[known], NEIGHBOURS))
base = genres[known].mean(0)
enough = [at for at, name in enumerate(log.genres) if genres[known][:, at].sum() >= WELL_KNOWN]
order = sorted(enough, key=lambda at: purity[at])
figure, axes = plt.subplots(figsize=(9, 4.2))
axes.barh(np.arange(len(order)) + 0.2, purity[order] * 100, 0.4, color=BLUE, label="neighbours")
axes.barh(np.arange(len(order)) - 0.2, base[order] * 100, 0.4, color=GREY, label="all movies")
axes.set_yticks(np.arange(len(order)), [log.genres[at] for at in order], fontsize=8)
axes.set(
    title=f"How many of the {NEIGHBOURS} nearest of a movie of a genre have it too",
    xlabel="share with the genre, %",
)
axes.legend()
plt.show()
lift = purity[order] / base[order]
best, least = order[int(np.argmax(lift))], order[int(np.argmin(lift))]
say(
    f"Two axes show {axes_found.explained[:2].sum():.0%} of the variance and twenty "
    f"{axes_found.explained.sum():.0%}, so a flat picture hides most of it; in all of it, "
    f"genres are clusters that overlap. {log.genres[best]} is the furthest above chance: "
    f"{purity[best]:.0%} of the neighbours for {base[best]:.0%} of the movies, "
    f"{purity[best] / base[best]:.1f} times; {log.genres[least]} the least, "
    f"{purity[least] / base[least]:.1f} times, because so many have it."
)

# %% [markdown]
# ## How alike movies are

# %%
compared = embeddings.pairs(log, known, 60_000)
likeness = {kind: embeddings.cosines(vectors, two) for kind, two in compared.items()}
figure, axes = plt.subplots()
bins = np.linspace(-0.4, 1, 57)
for (kind, found), colour in zip(likeness.items(), (GREY, ORANGE, BLUE, GREEN), strict=True):
    density, _ = np.histogram(found, bins, density=True)
    axes.plot(
        (bins[1:] + bins[:-1]) / 2,
        density,
        color=colour,
        label=f"{kind}: mean {found.mean():.2f}, {len(found):,} pairs",
    )
axes.set(title="Cosines of two movies", xlabel="cosine", ylabel="density")
axes.legend(fontsize=8)
plt.show()
say(
    f"Two movies have a cosine of {likeness['any'].mean():.2f} ± {likeness['any'].std():.2f} on "
    f"average, not 0: well-known movies share a direction, see below. The same genres are worth "
    f"{likeness['same genres'].mean() - likeness['no common genre'].mean():.2f} more than none in "
    f"common, and a sequel {likeness['sequels'].mean() - likeness['same genres'].mean():.2f} more "
    f"than that: {np.mean(likeness['sequels'][:, None] > likeness['same genres']):.0%} of the time "
    f"a pair of sequels is closer than a pair of the same genres. A threshold for cosines says "
    f"little by itself; their order does."
)

# %% [markdown]
# ## Lengths, and the direction of popularity
#
# Vectors have length 1 when they are compared. What they were before says how much the item tower
# had to say; and popularity, which a cosine can only express as a direction, has one.

# %%
long = cold_start.lengths(towers)
popular = embeddings.popularity_axis(vectors[known], counts[known])
along = vectors[known] @ popular.direction
figure, (left, right) = plt.subplots(1, 2)
rated = counts > 0
left.scatter(counts[rated], long[rated], s=5, alpha=0.3, color=BLUE, linewidths=0)
edges = np.unique(np.geomspace(1, counts.max() + 1, 9).round())
groups = np.digitize(counts[rated], edges)
left.plot(
    [np.exp(np.log(counts[rated][groups == g]).mean()) for g in np.unique(groups)],
    [np.median(long[rated][groups == g]) for g in np.unique(groups)],
    color=ORANGE,
    marker="o",
    markersize=4,
    label="median",
)
left.set(title="Length before it is taken away", ylabel="length")
counted(left)
left.legend(fontsize=8)
right.scatter(counts[known], along, s=5, alpha=0.4, color=BLUE, linewidths=0)
right.set(title="Place along the direction of popularity", ylabel="dot product")
counted(right)
plt.show()
mean = vectors[known].mean(0)
say(
    f"Length goes with the logarithm of the number of ratings by "
    f"{np.corrcoef(long[known], np.log(counts[known]))[0, 1]:.2f} (correlation; all rated movies: "
    f"{np.corrcoef(long[rated], np.log(counts[rated]))[0, 1]:.2f}). The direction fitted on half "
    f"of the movies tells the popularity of the other half with a correlation of "
    f"**{popular.correlation:.2f}**, and its cosine with the mean of all vectors is "
    f"{popular.direction @ mean / np.linalg.norm(mean):.2f}. Popularity is told as a feature "
    f"and asked for by the loss, so a user vector that leans that way gets popular movies; it "
    f"needs no bias beside the dot product."
)

# %% [markdown]
# ## People who have just come
#
# A user is their history, so there is a vector from the first rating on. How soon is it the one
# that it will be?

# %%
users, first = np.unique(log.users, return_index=True)
busy = users[np.diff(np.append(first, len(log))) >= 2 * WELL_KNOWN][:400]
AFTER = (1, 2, 5, 10, 20)


def tower_vectors(histories: Histories) -> np.ndarray:
    """By the user tower."""
    with torch.inference_mode():
        inputs = histories.tower_inputs(towers.users.length)
        return embed_users(towers, torch.from_numpy(padded), inputs).numpy()


def pooled_vectors(histories: Histories) -> np.ndarray:
    """As stream workers pool them, without a tower."""
    return cold_start.pooled(vectors, histories)


figure, (left, right) = plt.subplots(1, 2)
alike, told = {}, {}
for (name, embed), colour in zip(
    {"user tower": tower_vectors, "pooled": pooled_vectors}.items(), (BLUE, ORANGE), strict=True
):
    final = embed(Histories.of_users(log, busy))
    early = [embed(cold_start.first_ratings(log, busy, n)) for n in AFTER]
    own = [(some * final).sum(1) for some in early]
    alike[name] = [float(np.median(found)) for found in own]
    told[name] = [float(cold_start.recognised(some, final).mean()) for some in early]
    low, high = (np.array([np.quantile(found, q) for found in own]) for q in (0.25, 0.75))
    left.plot(AFTER, alike[name], color=colour, marker="o", label=f"{name}: median, half of users")
    left.fill_between(AFTER, low, high, color=colour, alpha=0.15, linewidth=0)
    right.plot(AFTER, np.array(told[name]) * 100, color=colour, marker="o", label=name)
right.axhline(50, color=GREY, linestyle=":", label="by chance")
left.set(title="Beside the vector after all ratings", ylabel="cosine")
right.set(
    title="How well that tells the user from others",
    ylabel="others who are less alike, %",
    ylim=(45, 100),
)
for axes in (left, right):
    axes.set(xscale="log", xlabel="ratings so far")
    axes.set_xticks(AFTER, [str(n) for n in AFTER])
    axes.minorticks_off()
left.legend(fontsize=8, loc="lower right")
right.legend(fontsize=8, loc="upper left")
plt.show()
say(
    f"Of {len(busy)} users with {2 * WELL_KNOWN} ratings and more, the tower's vector after one "
    f"rating has a cosine of {alike['user tower'][0]:.2f} with the one after all, after ten "
    f"{alike['user tower'][3]:.2f}; pooled it is {alike['pooled'][0]:.2f} and "
    f"{alike['pooled'][3]:.2f}. Part of that is common to everybody, so the right picture asks "
    f"whether somebody's early vector is more like their own last one than like those of others: "
    f"after one rating {told['user tower'][0]:.0%} of the others are less alike (pooled "
    f"{told['pooled'][0]:.0%}), after five {told['user tower'][2]:.0%} "
    f"({told['pooled'][2]:.0%}), after twenty {told['user tower'][4]:.0%} "
    f"({told['pooled'][4]:.0%}), where 50% is chance. Both weigh the latest ratings most: the "
    f"vector after all is where somebody was last, not an average of all they liked."
)

# %% [markdown]
# ## Movies that have just come
#
# A movie that nobody has rated has a vector by its genres and its year alone. Beside the vector
# that ratings gave the same movie: does it have the same neighbours?

# %%
content = cold_start.content_vectors(towers, log)
ranks = cold_start.places_of(
    content[known], vectors[known], embeddings.nearest(vectors[known], NEIGHBOURS)
)
by_content = embeddings.neighbourhood(content, log)
figure, (left, right) = plt.subplots(1, 2)
at = np.unique(np.geomspace(1, len(known), 60).round().astype(int))
left.plot(at, [(ranks <= place).mean() * 100 for place in at], color=BLUE, label="by content")
left.plot(at, at / len(known) * 100, color=GREY, linestyle=":", label="by chance")
left.set(
    xscale="log",
    title=f"Where the {NEIGHBOURS} nearest are found",
    xlabel="so many movies nearest to the content",
    ylabel="hold of the true nearest, %",
)
left.legend(fontsize=8)
same = (content * vectors).sum(1)
right.scatter(counts[rated], same[rated], s=5, alpha=0.3, color=BLUE, linewidths=0)
right.plot(
    [np.exp(np.log(counts[rated][groups == g]).mean()) for g in np.unique(groups)],
    [np.median(same[rated][groups == g]) for g in np.unique(groups)],
    color=ORANGE,
    marker="o",
    markersize=4,
    label="median",
)
right.set(title="By content, beside what it has become", ylabel="cosine")
counted(right)
right.legend(fontsize=8)
plt.show()
say(
    f"Half of the true neighbours are among the {np.median(ranks):.0f} movies nearest to the "
    f"content, where chance would need {len(known) // 2:,}; "
    f"{(ranks <= NEIGHBOURS).mean():.0%} are among the first {NEIGHBOURS} "
    f"({NEIGHBOURS / len(known):.1%} by chance). Sequels are mostly of the same genres and close "
    f"in time, so {by_content.sequels:.0%} of them are among the neighbours by content alone, "
    f"{judged.sequels:.0%} by the trained vectors: the check above tells vectors that are broken "
    f"from those that are not, and says nothing of good ones and better ones. That is for the "
    f"lists. A movie with a few ratings is still about where its content put it, with a cosine of "
    f"{np.median(same[rated & (counts < 5)]):.2f} where there are fewer than 5; of the most rated "
    f"hundredth it is {np.median(same[counts >= np.quantile(counts, 0.99)]):.2f}."
)
