"""Titles as people type them: what is compared when a movie is looked for by name.

MovieLens writes "Godfather, The (1972)" and "City of Lost Children, The (Cité des enfants perdus,
La) (1995)". People type "the godf", "cite des enfants" or "spiderman", in any case and mostly
without accents. Both become names: words of letters and digits, with the article in front.
"""

import re
import unicodedata
from typing import Final, NamedTuple

# The articles that MovieLens puts behind a title and its translations.
ARTICLES: Final = frozenset(
    [
        "the",
        "a",
        "an",
        "le",
        "la",
        "les",
        "l",
        "un",
        "une",
        "des",
        "el",
        "los",
        "las",
        "lo",
        "il",
        "gli",
        "i",
        "uno",
        "una",
        "der",
        "die",
        "das",
        "ein",
        "eine",
        "den",
        "det",
        "de",
        "het",
        "o",
        "os",
        "as",
        "um",
        "uma",
    ]
)

# "Title, The", with nothing behind the article. The comma is what tells it from "Victor/Victoria".
_ARTICLE_BEHIND: Final = re.compile(r"^(?P<title>.+), (?P<article>[^\s,]{1,4})$")

_IN_BRACKETS: Final = re.compile(r"(?<!\w)\(([^()]*)\)")  # not the "(s)" of "Frontière(s)"
_INITIALS: Final = re.compile(r"(?<!\w)\w(?:\.\w)+(?!\w)")  # "E.T." is typed as "et" too
_BRACKETS_BEHIND: Final = re.compile(r"(?P<name>.*?\w.*?)(?<!\w)\((?P<rest>.*)", re.S)
_YEAR_IN: Final = re.compile(r"(?<!\d)(1[89]|20)\d\d(?!\d)")
_YEAR: Final = re.compile(rf"^{_YEAR_IN.pattern}$")
_ALSO_KNOWN_AS: Final = re.compile(r"^a\.?\s*k\.?\s*a\.?\s+", re.I)

# Dropped, so that "schindlers list" is how "Schindler's List" begins.
_APOSTROPHES: Final = dict.fromkeys(map(ord, "'’‘`´"))


class Wording(NamedTuple):
    """What somebody typed.

    Attributes:
        words: all of it, as `plain` has it.
        before_year: the words before a year at the end, '' where there are none.
        year: that year, None without one.
    """

    words: str
    before_year: str
    year: int | None


def plain(text: str) -> str:
    """Words of letters and digits between single spaces: no case, no accents, no punctuation."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES))
        text = "".join(one for one in text if not unicodedata.combining(one))
    text = text.casefold().replace("'", "").replace("`", "").replace("&", " and ")
    text = _INITIALS.sub(lambda found: found[0].replace(".", ""), text)
    return " ".join("".join(one if one.isalnum() else " " for one in text).split())


def names(title: str) -> tuple[str, ...]:
    """The names that a movie goes by, the main one first: translations are in brackets."""
    outside = _IN_BRACKETS.sub(" ", title)
    also = (_ALSO_KNOWN_AS.sub("", part) for part in _IN_BRACKETS.findall(title))
    found = [_named(part.strip()) for part in (outside, *also) if not _YEAR.match(part.strip())]
    return tuple(dict.fromkeys(name for name in found if name))


def without_article(name: str) -> str:
    """The name behind its article, the same where it has none or is nothing else."""
    first, _, rest = name.partition(" ")
    return rest if rest and first in ARTICLES else name


def worded(query: str) -> Wording:
    """What somebody typed, as names are compared; brackets are only read for a year."""
    behind = _BRACKETS_BEHIND.match(query)
    text, in_brackets = (behind["name"], behind["rest"]) if behind else (query, "")
    words = _named(text.strip())
    if found := _YEAR_IN.search(in_brackets):
        return Wording(f"{words} {found[0]}", words, int(found[0]))
    before, _, last = words.rpartition(" ")
    if before and _YEAR.match(last):
        # "Godfather, The 1972": the article is before the year.
        return Wording(words, _named(text.strip()[: -len(last)].strip()) or before, int(last))
    return Wording(words, "", None)


def _named(text: str) -> str:
    behind = _ARTICLE_BEHIND.match(text)
    if behind is not None and plain(behind["article"]) in ARTICLES:
        text = f"{behind['article']} {behind['title']}"
    return plain(text)
