"""From what is written about an experiment to a definition that contradicts nothing."""

from typing import Any

import pytest

from stream.contracts.errors import ConfigurationError, InvalidEvent
from stream.contracts.events import encode
from stream.contracts.experiments import ExperimentEvent, ModelChoice, decode_experiment
from stream.experiments.definition import chosen, define, parse, stopped
from tests.api.experiments.definitions import START, experiment, model, variants

NOW = START + 1_000

WRITTEN = """
name = "more-diverse"
control = "as-it-is"
share = 0.5
effect = 0.05

[variants.as-it-is]
[variants.diverse]
weight = 2
diversity = 0.6

[overrides]
42 = "diverse"
"""


def find(version: str) -> ModelChoice:
    if version != "v2":
        raise ConfigurationError(f"no model {version}")
    return model(version)


def defined(text: str, *known: ExperimentEvent) -> ExperimentEvent:
    return define(parse(text), {it.name: it for it in known}, NOW, find)


def written(**changes: Any) -> str:
    """An experiment with a treatment that chooses this, in the words of TOML."""
    said = {"name": "new", "control": "control", **changes}
    choices = said.pop("chooses", "")
    lines = [f"{key} = {value!r}" for key, value in said.items()]
    return "\n".join([*lines, "[variants.control]", "[variants.treatment]", choices])


def test_what_is_written_is_what_is_defined() -> None:
    event = defined(WRITTEN)
    assert (event.name, event.group, event.salt) == ("more-diverse",) * 3
    assert (event.begin, event.end, event.effect) == (0.0, 0.5, 0.05)
    assert [(it.name, it.weight, it.diversity) for it in event.variants] == [
        ("as-it-is", 1.0, None),
        ("diverse", 2.0, 0.6),
    ]
    assert event.overrides == {42: "diverse"}
    assert (event.round, event.start, event.stop) == (1, NOW, None)
    assert decode_experiment(encode(event)) == event


def test_times_are_utc() -> None:
    times = "start = 2030-01-02T00:00:00\nstop = 2030-01-03T01:00:00+01:00\n"
    event = defined(times + written())
    assert (event.start, event.stop) == (1_893_542_400_000, 1_893_628_800_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 3", "name"),
        ("shares = 1\n" + WRITTEN, "shares"),
        (WRITTEN.replace("0.6", "1.6"), "diversity"),
        (WRITTEN.replace('"as-it-is"\nsh', '"other"\nsh'), "no variant other"),
        (WRITTEN.replace('42 = "diverse"', '42 = "other"'), "no variant other"),
        (WRITTEN.replace("42 =", "bob ="), "bob"),
        (WRITTEN.replace("diversity = 0.6", 'model = "v9"'), "no model v9"),
        (WRITTEN.replace("share = 0.5", "share = 0"), "share"),
        (WRITTEN.replace('name = "more-diverse"', 'name = "a b"'), "name"),
        ('kind = "interleaving"\n' + WRITTEN + "[variants.third]\n", "two variants"),
        (
            'kind = "interleaving"\n' + WRITTEN.replace("diversity = 0.6", 'model = "v2"'),
            "one model version",
        ),
        ("stop = 2001-01-01T00:00:00\n" + WRITTEN, "stop before it starts"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        defined(text)


def test_those_of_a_group_share_its_people() -> None:
    one = experiment("one", group="g", begin=0.0, end=0.25)
    three = experiment("three", group="g", begin=0.5, end=0.75)
    event = defined(written(group="g", share=0.25), one, three)
    assert (event.begin, event.end) == (0.25, 0.5)
    with pytest.raises(ConfigurationError, match=r"no room for a share of 0.3: one has 0 to 0.25"):
        defined(written(group="g", share=0.3), one, three)
    ended = stopped(three, NOW)
    assert defined(written(group="g", share=0.75), one, ended).begin == 0.25


def test_it_keeps_its_place() -> None:
    before = experiment("new", group="g", begin=0.25, end=0.5, start=START)
    event = defined(written(group="g", share=0.5), before)
    assert (event.begin, event.end, event.start, event.round) == (0.25, 0.75, START, 1)


def test_another_round_begins_where_somebody_gets_something_else() -> None:
    before = experiment("new", round=3)
    assert defined(written(effect=0.5), before).round == 3
    assert defined(written(chooses="weight = 2"), before).round == 4
    assert defined(written(chooses="ranker = false"), before).round == 4


def test_two_that_choose_the_same_are_of_one_group() -> None:
    other = experiment("other", variants=variants(ranker=False, novelty=0.2))
    text = written(chooses="ranker = false")
    with pytest.raises(ConfigurationError, match="other both choose ranker: put them into one"):
        defined(text, other)
    assert defined(text, stopped(other, NOW))
    assert defined(written(chooses="diversity = 0.1"), other)
    assert chosen(other) == {"ranker", "novelty"}


@pytest.mark.parametrize(
    "change",
    [
        {"variants": variants()[:1]},
        {"variants": variants()[:1] * 2},
        {"control": "nobody"},
        {"begin": 0.5, "end": 0.5},
        {"overrides": {1: "nobody"}},
        {"end": 1.5},
        {"round": 0},
    ],
)
def test_a_definition_on_the_wire_is_whole(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        decode_experiment(encode(experiment(**change)))
