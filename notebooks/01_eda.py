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
# # What is in the ratings
#
# Before a model, a look at what it will learn from: how much there is of what, what is dirty, and
# what that means for a recommender. Every number in the text below is computed from the data of
# this run, so it is true of whatever data set is named here.

# %%
from datetime import UTC, datetime

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from matplotlib.ticker import LogLocator, NullLocator

from infra.settings import load_settings
from producers.datasets import find, load
from training.dataset import LIKED, Ratings
from training.power_law import against_lognormal, fit_power_law

BLUE, ORANGE, GREY = "#2a6f97", "#d9730d", "#8a8f98"
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000  # ms
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

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


def dated(axes: plt.Axes) -> None:
    """Few and short labels on an axis of time."""
    locator = mdates.AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))


# %% tags=["parameters"]
DATASET = "latest-small"  # a release, a file or a directory, as for `freshet data check`

# %%
settings = load_settings()
dataset = load(find(DATASET, cache=settings.home / "datasets", data_dir=settings.data_dir))
log = Ratings.from_tables(dataset.ratings, dataset.movies)

stars = log.half_stars / 2
users, user_of = np.unique(log.users, return_inverse=True)
by_user = np.bincount(user_of)
by_movie = np.bincount(log.rows, minlength=len(log.movies))
rated = by_movie[by_movie > 0]
first_day, last_day = (datetime.fromtimestamp(t / 1000, UTC) for t in np.sort(log.times)[[0, -1]])

# %% [markdown]
# ## Size and sparsity

# %%
filled = len(log) / (len(users) * len(log.movies))
say(
    f"**{dataset.source.name}**: {len(log):,} ratings of {len(rated):,} movies (of "
    f"{len(log.movies):,} in the catalogue) by {len(users):,} users, from {first_day:%Y-%m-%d} to "
    f"{last_day:%Y-%m-%d}. Of all pairs of user and movie {filled:.2%} have a rating: the matrix "
    f"is {1 - filled:.2%} empty."
)

# %%
shown_users = np.argsort(-by_user)[:200]
shown_movies = np.argsort(-by_movie)[:400]
rank_of_user = np.full(len(users), -1)
rank_of_user[shown_users] = np.arange(len(shown_users))
rank_of_movie = np.full(len(log.movies), -1)
rank_of_movie[shown_movies] = np.arange(len(shown_movies))
inside = (rank_of_user[user_of] >= 0) & (rank_of_movie[log.rows] >= 0)
picture = np.full((len(shown_users), len(shown_movies)), np.nan)
picture[rank_of_user[user_of[inside]], rank_of_movie[log.rows[inside]]] = stars[inside]

figure, axes = plt.subplots(figsize=(9, 4))
image = axes.imshow(picture, aspect="auto", cmap="viridis", vmin=0.5, vmax=5, interpolation="none")
axes.set(
    title="The densest corner of the matrix",
    xlabel="movies, most rated first",
    ylabel="users, most active first",
)
axes.grid(False)
figure.colorbar(image, label="stars")
plt.show()
corner = np.isfinite(picture).mean()
say(
    f"Even here, among the {len(shown_users)} most active users and the {len(shown_movies)} most "
    f"rated movies, {corner:.0%} is filled, {corner / filled:.0f} times the whole matrix's share. "
    f"Models that share strength between movies (factors, item-item weights, content) are needed "
    f"everywhere else."
)

# %% [markdown]
# ## Ratings

# %%
levels, level_counts = np.unique(log.half_stars, return_counts=True)
means = np.bincount(user_of, stars) / by_user
spreads = np.sqrt(np.maximum(np.bincount(user_of, stars**2) / by_user - means**2, 0))

figure, (left, middle, right) = plt.subplots(1, 3)
left.bar(levels / 2, level_counts / len(log) * 100, width=0.4, color=BLUE)
left.set(title="Ratings", xlabel="stars", ylabel="share of ratings, %", xticks=range(1, 6))
middle.hist(means, bins=30, color=BLUE)
middle.axvline(stars.mean(), color=ORANGE, label=f"all ratings: {stars.mean():.2f}")
middle.set(title="How kind users are", xlabel="a user's mean, stars", ylabel="users")
middle.legend(fontsize=8)
right.hist(spreads, bins=30, color=BLUE)
right.set(
    title="How much they tell apart", xlabel="a user's standard deviation, stars", ylabel="users"
)
plt.show()

by_whom = np.mean((means[user_of] - stars.mean()) ** 2) / stars.var()
wholes = (log.half_stars % 2 == 0).mean()
say(
    f"The mean is {stars.mean():.2f} stars, the median {np.median(stars):.1f}; "
    f"{(log.half_stars >= LIKED).mean():.0%} of the ratings are {LIKED / 2:.0f} stars and up, "
    f"{(log.half_stars <= 4).mean():.0%} are 2 and down: people rate what they chose to see. "
    f"{wholes:.0%} are whole stars. Users' own means have a standard deviation of "
    f"{means.std():.2f} stars, against {stars.std():.2f} of all ratings: "
    f"{by_whom:.0%} of the variance is who rates, before any taste. A rating model needs a user "
    f"bias, and a rating itself is weak evidence next to the fact that the movie was chosen."
)

# %%
movie_means = np.bincount(log.rows, stars, len(log.movies))[by_movie > 0] / rated
figure, axes = plt.subplots()
axes.scatter(rated, movie_means, s=6, alpha=0.35, color=BLUE, linewidths=0)
edges = np.unique(np.geomspace(1, rated.max() + 1, 9).round())
places = np.digitize(rated, edges)
medians = [np.median(movie_means[places == place]) for place in np.unique(places)]
centres = [np.exp(np.log(rated[places == place]).mean()) for place in np.unique(places)]
axes.plot(centres, medians, color=ORANGE, marker="o", markersize=4, label="median")
axes.set(
    xscale="log",
    title="A movie's mean, by how often it is rated",
    xlabel="ratings of the movie",
    ylabel="its mean, stars",
)
axes.legend()
plt.show()
few, many = movie_means[rated < 5], movie_means[rated >= 50]
say(
    f"Means of movies with under 5 ratings have a standard deviation of {few.std():.2f} stars, "
    f"those with 50 and more {many.std():.2f}, around {np.mean(many):.2f} instead of "
    f"{np.mean(few):.2f}. A list of the best means would be a list of accidents: means have to be "
    f"shrunk towards the overall one, the more the fewer ratings there are."
)

# %% [markdown]
# ## Users and movies: how heavy are the tails?
#
# A power law is often read off a straight line in a log-log histogram, which makes one out of
# almost anything. Here the exponent is the maximum-likelihood one for counts, the beginning of the
# tail is where law and data are closest (Kolmogorov-Smirnov), and the law has to compete with a
# lognormal on the same tail (Vuong's likelihood-ratio test), after Clauset, Shalizi and Newman
# (2009).


# %%
def tail_of(axes: plt.Axes, counts: np.ndarray, what: str) -> None:
    """Draw the share of counts that are so large, and the law; say what came of the fit."""
    law = fit_power_law(counts)
    contest = against_lognormal(counts, law)
    x = np.unique(counts)
    axes.plot(x, 1 - np.searchsorted(np.sort(counts), x) / len(counts), ".", ms=4, color=BLUE)
    tail = np.unique(np.geomspace(law.start, counts.max(), 50).astype(int))
    axes.plot(
        tail,
        law.survival(tail) * law.tail / len(counts),
        color=ORANGE,
        label=f"exponent {law.exponent:.2f} ± {law.error:.2f} from {law.start} on",
    )
    axes.set(
        xscale="log",
        yscale="log",
        title=f"Ratings of a {what}",
        xlabel=f"x, ratings of a {what}",
        ylabel=f"share of {what}s with x or more",
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # an axis may have one power of 10
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(fontsize=8, loc="lower left")
    if contest.p >= 0.05:
        verdict = "a lognormal cannot be told from it there"
    elif contest.advantage < 0:
        verdict = "a lognormal fits that tail significantly better, so the line is a description"
    else:
        verdict = "it fits that tail significantly better than a lognormal does"
    say(
        f"**{what.capitalize()}s**: half have {np.median(counts):.0f} ratings or fewer, the mean "
        f"is {counts.mean():.0f}, the largest {counts.max():,}. The power law has exponent "
        f"{law.exponent:.2f} ± {law.error:.2f} and holds from {law.start} ratings on, for "
        f"{law.tail:,} of {len(counts):,} {what}s ({law.tail / len(counts):.0%}), with a largest "
        f"deviation of {law.distance:.3f}; {verdict} (p = {contest.p:.2g})."
    )


figure, (left, right) = plt.subplots(1, 2)
tail_of(left, by_user, "user")
tail_of(right, rated, "movie")
plt.show()
say(
    f"The least active user has {by_user.min()} ratings: whoever gave fewer was left out when the "
    f"data set was made, so nothing here shows how many people leave after two or three. Counts "
    f"spread over orders of magnitude, so popularity has to enter models as a logarithm."
)

# %% [markdown]
# ## The long tail


# %%
def gini(counts: np.ndarray) -> float:
    """0: all have the same; near 1: one has all."""
    n, ordered = len(counts), np.sort(counts)
    return 2 * (np.arange(1, n + 1) @ ordered) / (n * ordered.sum()) - (n + 1) / n


figure, (left, right) = plt.subplots(1, 2)
for counts, what, colour in ((by_movie, "movies", BLUE), (by_user, "users", ORANGE)):
    ordered = np.sort(counts)
    left.plot(
        np.linspace(0, 100, len(ordered) + 1),
        np.concatenate([[0], np.cumsum(ordered)]) / ordered.sum() * 100,
        color=colour,
        label=f"{what}: Gini {gini(counts):.2f}",
    )
left.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="all equal")
left.set(title="Lorenz curves", xlabel="share of movies or users, %", ylabel="of the ratings, %")
left.legend(fontsize=8)
share = np.cumsum(np.sort(by_movie)[::-1]) / len(log)
right.plot(np.arange(1, len(share) + 1), share * 100, color=BLUE)
for goal in (0.5, 0.8):
    needed = int(np.searchsorted(share, goal)) + 1
    right.plot([1, needed, needed], [goal * 100, goal * 100, 0], color=GREY, linestyle=":")
    right.annotate(f" {needed:,} movies", (needed, goal * 100), fontsize=8, va="top")
right.set(
    xscale="log",
    title="How few movies make most ratings",
    xlabel="so many of the most rated movies",
    ylabel="have of the ratings, %",
)
plt.show()

once = (by_movie <= 1).mean()
say(
    f"The most rated tenth of the catalogue has {share[len(share) // 10 - 1]:.0%} of the ratings; "
    f"{(by_movie < 5).mean():.0%} of its movies have fewer than 5, {once:.0%} one or none. About "
    f"such movies a purely collaborative model knows next to nothing: they need content, and "
    f"offline metrics, which ask for what was watched, hardly notice whether it is there. That is "
    f"why coverage, novelty and the Gini of what is recommended stand beside accuracy."
)

# %% [markdown]
# ## Genres

# %%
genres = [name for name in log.genres if not name.startswith("(")]
has = np.array([[genre in movie.genres for genre in genres] for movie in log.movies], float)
movies_of, ratings_of = has.sum(axis=0), by_movie @ has
mean_of = np.bincount(log.rows, stars, len(log.movies)) @ has / np.maximum(ratings_of, 1)
order = np.argsort(ratings_of)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), sharey=True)
places = np.arange(len(genres))
left.barh(places + 0.2, movies_of[order] / len(log.movies) * 100, 0.4, color=GREY, label="movies")
left.barh(places - 0.2, ratings_of[order] / len(log) * 100, 0.4, color=BLUE, label="ratings")
left.set(title="How common", xlabel="share, % (movies have several)", yticks=places)
left.set_yticklabels([genres[place] for place in order], fontsize=8)
left.legend(fontsize=8)
right.scatter(mean_of[order], places, color=BLUE, s=22)
right.axvline(stars.mean(), color=ORANGE, label="all ratings")
right.set(title="How liked", xlabel="mean rating, stars")
right.legend(fontsize=8)
plt.show()

top, low = genres[order[-1]], genres[int(np.argmin(np.where(ratings_of > 100, mean_of, 9)))]
kind = genres[int(np.argmax(np.where(ratings_of > 100, mean_of, 0)))]
lone = np.mean([not set(movie.genres) & set(genres) for movie in log.movies])
say(
    f"A movie has {has.sum(axis=1).mean():.1f} genres on average; {lone:.1%} have none. {top} is "
    f"part of {ratings_of[order[-1]] / len(log):.0%} of the ratings. Means by genre only reach "
    f"from {mean_of[genres.index(low)]:.2f} ({low}) to {mean_of[genres.index(kind)]:.2f} ({kind}), "
    f"which is little next to the differences between users: genre helps as taste, not as "
    f"quality, and mostly where a movie has nothing else to go by."
)

# %%
together = has.T @ has
expected = np.outer(movies_of, movies_of) / len(log.movies)
lift = np.log2((together + 1) / (expected + 1))  # + 1: pairs that hardly could occur say nothing
np.fill_diagonal(lift, np.nan)
figure, axes = plt.subplots(figsize=(8, 6.4))
bound = np.nanmax(np.abs(lift))
image = axes.imshow(lift[np.ix_(order, order)], cmap="RdBu_r", vmin=-bound, vmax=bound)
names = [genres[place] for place in order]
axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
axes.set_yticks(range(len(names)), names, fontsize=8)
axes.set_title("Genres that go together")
axes.grid(False)
bar = figure.colorbar(image, label="movies with both, against chance (doublings)")
plt.show()
pairs = np.dstack(np.unravel_index(np.argsort(np.nan_to_num(lift), axis=None), lift.shape))[0]
close, apart = pairs[-1], pairs[0]
say(
    f"Closest are {genres[close[0]]} and {genres[close[1]]}, together "
    f"{2 ** lift[tuple(close)]:.1f} times as often as by chance; furthest apart "
    f"{genres[apart[0]]} and {genres[apart[1]]}, {2 ** lift[tuple(apart)]:.2f} times. Genres are "
    f"far from independent, so similarity of genre vectors counts some evidence twice; weights "
    f"that are learnt, or rarity (TF-IDF), put that right."
)

# %% [markdown]
# ## Time
#
# Times are in UTC. Nobody recorded where people live, so an hour of the day is not theirs.

# %%
when = log.times.astype("datetime64[ms]")
hours = (log.times // HOUR) % 24
weekdays = (log.times // DAY + 3) % 7  # 1970-01-01 was a Thursday
months = when.astype("datetime64[M]")

figure, (left, right) = plt.subplots(1, 2, width_ratios=(1.3, 1))
axis, monthly = np.unique(months, return_counts=True)
left.bar(axis.astype("datetime64[D]"), monthly, width=28, align="edge", color=BLUE)
left.set(title="Ratings a month", xlabel="time", ylabel="ratings")
dated(left)
grid = np.zeros((7, 24))
np.add.at(grid, (weekdays, hours), 1)
image = right.imshow(grid / len(log) * 100, aspect="auto", cmap="Blues", vmin=0)
right.set(title="Hour and weekday", xlabel="hour, UTC", yticks=range(7), xticks=range(0, 24, 4))
right.set_yticklabels(WEEKDAYS)
right.grid(False)
figure.colorbar(image, label="of the ratings, %")
plt.show()

peak = int(np.bincount(hours, minlength=24).argmax())
week = np.bincount(weekdays, minlength=7) / len(log)
busiest = int(monthly.argmax())
cell = weekdays * 24 + hours
cell_means = np.bincount(cell, stars) / np.maximum(np.bincount(cell), 1)
explained = np.mean((cell_means[cell] - stars.mean()) ** 2) / stars.var()
late = np.unique(log.users[np.argsort(log.times)[-len(log) // 10 :]])
say(
    f"The busiest month, {axis[busiest]}, has {monthly[busiest] / len(log):.0%} of all ratings, "
    f"half of the {len(axis)} months with ratings have {np.median(monthly):,.0f} or fewer. The "
    f"last tenth of the ratings is by {len(late)} users: a test split by time asks few people "
    f"much, so intervals have to treat users, not ratings, as the sample. The busiest hour is "
    f"{peak}:00 UTC "
    f"with {np.bincount(hours).max() / len(log):.1%} (even would be {1 / 24:.1%}); weekdays are "
    f"between {week.min():.1%} and {week.max():.1%}. That is when people sit down, often for one "
    f"long session: the {24 * 7} hours of the week explain {explained:.1%} of the variance of the "
    f"stars, who rates alone {by_whom:.0%}."
)

# %%
release = np.array([movie.year or 0 for movie in log.movies])[log.rows]
known = release > 0
years = when.astype("datetime64[Y]").astype(int) + 1970
age = (years - release)[known]
figure, (left, right) = plt.subplots(1, 2)
left.hist(release[known], bins=np.arange(release[known].min(), release.max() + 2), color=BLUE)
left.set(title="Ratings by year of release", xlabel="year of release", ylabel="ratings")
right.hist(np.clip(age, 0, 60), bins=np.arange(0, 62, 2), color=BLUE)
right.set(
    title="How old a movie is when it is rated",
    xlabel="years since release (60: or more)",
    ylabel="ratings",
)
plt.show()
say(
    f"Half of the ratings are of movies at most {np.median(age):.0f} years old, "
    f"{(age <= 1).mean():.0%} of movies of the same or the last year. "
    f"{(~known).mean():.2%} of the ratings are of movies whose year is unknown. A model that "
    f"was trained a year ago has learnt nothing about the newest: recent popularity, and item "
    f"vectors made of content, are for that."
)

# %%
first = np.full(len(users), np.iinfo(np.int64).max)
np.minimum.at(first, user_of, log.times)
since = log.times - first[user_of]
steps = np.array([MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY])
labels = ("1 min", "10 min", "1 h", "6 h", "1 day", "1 week", "30 days", "1 year")
reached = np.array([(since <= step).mean() for step in steps])
span = np.zeros(len(users), np.int64)
np.maximum.at(span, user_of, since)

figure, (left, right) = plt.subplots(1, 2)
left.bar(range(len(steps)), reached * 100, color=BLUE)
left.set(title="Ratings after joining", ylabel="of the ratings so far, %", ylim=(0, 100))
left.set_xticks(range(len(steps)), labels, rotation=45, fontsize=8)
left.set_xlabel("time since the user's first rating")
one_day = np.sort(np.maximum(span, SECOND)) / DAY
right.plot(one_day, np.arange(1, len(users) + 1) / len(users) * 100, color=BLUE)
right.set(
    xscale="log",
    title="How long users stay",
    xlabel="first to last rating, days",
    ylabel="users who stayed so long or less, %",
)
plt.show()
say(
    f"{reached[2]:.0%} of all ratings come within an hour of the user's first one and "
    f"{reached[4]:.0%} within a day; {(span <= DAY).mean():.0%} of the users never return after "
    f"their first day. A model that learns about a user at night learns about most of them when "
    f"they have gone. The state has to be fresh within the session, which is what the prequential "
    f"protocol measures."
)

# %% [markdown]
# ## Quality of the data

# %%
lines = ["| file | lines | dropped | why | ratings given again |", "|---|---:|---:|---|---:|"]
for report in dataset.reports:
    why = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.items()) or "-"
    lines.append(
        f"| {report.path.name} | {report.lines:,} | {report.bad:,} | {why} | "
        f"{report.superseded:,} |"
    )
display(Markdown("\n".join(lines)))

titles = [(movie.title.casefold(), movie.year) for movie in log.movies]
twins = len(titles) - len(set(titles))
bad = sum(report.bad + report.superseded for report in dataset.reports)
say(
    f"Validation drops what is no rating: unknown movies, impossible stars, times before the "
    f"epoch of the data or in the future, lines cut short. Here {bad:,} lines went that way or "
    f"were superseded. {twins} movies share title and year with another; "
    f"{np.mean([movie.year is None for movie in log.movies]):.2%} have no year, {lone:.2%} no "
    f"genre, {(by_movie == 0).mean():.2%} no rating."
)

# %%
same = np.diff(log.times) == 0
same &= np.diff(log.users) == 0
in_burst = np.zeros(len(log), bool)
in_burst[1:] |= same
in_burst[:-1] |= same
# Ratings of the same user in the minute that each rating ends, itself included.
clock = user_of * (np.ptp(log.times) + MINUTE) + log.times  # one user's ends before the next's
within = np.arange(len(log)) - np.searchsorted(clock, clock - MINUTE, side="right") + 1
velocity = np.zeros(len(users), np.int64)
np.maximum.at(velocity, user_of, within)

figure, (left, right) = plt.subplots(1, 2)
left.hist(velocity, bins=np.geomspace(1, velocity.max() + 1, 25), color=BLUE)
left.set(
    xscale="log",
    title="Fastest minute of each user",
    xlabel="ratings within 60 s",
    ylabel="users",
)
gaps = np.diff(log.times)[np.diff(log.users) == 0] / SECOND
right.hist(np.maximum(gaps, 0.5), bins=np.geomspace(0.5, 1e8, 40), color=BLUE)
right.set(
    xscale="log",
    title="Time to a user's next rating",
    xlabel="seconds (0.5: the same second)",
    ylabel="ratings",
)
plt.show()
say(
    f"{in_burst.mean():.0%} of the ratings share their second with another of the same user, "
    f"{(gaps < 10).mean():.0%} follow within 10 s. Half of the users have a minute with "
    f"{np.median(velocity):.0f} ratings or more; users with a minute of 100 or more number "
    f"{(velocity >= 100).sum()}, the fastest gave {velocity.max()}. Nobody watches movies like "
    f"that: people tick off what they have seen on a page that the site chose. So the order within "
    f"a burst is the page's, not a sequence of viewings, and a model that predicts the next rating "
    f"well has partly learnt the site's pages. Ties are ordered by a hash here, so that no model "
    f"can learn the order of ids."
)

# %% [markdown]
# ## Cold start

# %%
age_of_user = np.arange(len(log)) - log.first  # ratings that the user had before
buckets = np.array([0, 1, 3, 5, 10, 20, 50])
names = ["0", "1-2", "3-4", "5-9", "10-19", "20-49", "50+"]
by_time = np.argsort(log.times, kind="stable")
training, test = by_time[: int(0.8 * len(log))], by_time[int(0.8 * len(log)) :]
liked = test[log.half_stars[test] >= LIKED]
known_user = np.isin(log.users[test], log.users[training])
known_movie = np.isin(log.rows[test], log.rows[training])


def shares(events: np.ndarray) -> np.ndarray:
    """Of these events, in %, by the age of their user."""
    places = np.searchsorted(buckets, age_of_user[events], side="right") - 1
    return np.bincount(places, minlength=len(buckets)) / len(events) * 100


figure, (left, right) = plt.subplots(1, 2, width_ratios=(1, 1.2))
places = np.arange(len(names))
left.bar(places - 0.2, shares(np.arange(len(log))), 0.4, color=GREY, label="all ratings")
left.bar(places + 0.2, shares(liked), 0.4, color=BLUE, label="liked, last 20%")
left.set_xticks(places, names, fontsize=8)
left.set(
    title="Who is asking",
    xlabel="ratings that the user had before",
    ylabel="share of events, %",
)
left.legend(fontsize=8)
when_asked = log.times[by_time]
moments = np.linspace(0, len(log) - 1, 60).astype(int)
levels = {"1-9 ratings": (1, 10), "10-49": (10, 50), "50 and more": (50, 1 << 62)}
so_far = [np.bincount(user_of[by_time[: moment + 1]]) for moment in moments]
layers = [[((c >= a) & (c < b)).sum() for c in so_far] for a, b in levels.values()]
right.stackplot(
    when_asked[moments].astype("datetime64[ms]"),
    layers,
    labels=list(levels),
    colors=["#f2b680", "#7fb2d0", BLUE],
)
right.set(title="How many ratings the users had by then", xlabel="time", ylabel="users so far")
dated(right)
right.legend(fontsize=8, loc="upper left")
plt.show()

young = shares(liked)
say(
    f"Split at 80% of the ratings by time, {1 - known_user.mean():.0%} of the test part is by "
    f"users whom training has never seen and {1 - known_movie.mean():.0%} of movies it has never "
    f"seen. A model with a vector per user id has nothing to say about most of these events, if "
    f"its state is frozen there. {young[:4].sum():.0f}% of the liked test events come from users "
    f"with fewer than 10 ratings, {young[0]:.1f}% are someone's first. That is the share of the "
    f"cold start among events in data whose least active user gave {by_user.min()} ratings; among "
    f"the people who arrive at a real service it is far larger."
)
