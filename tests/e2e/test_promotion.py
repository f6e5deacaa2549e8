"""A promotion and a rollback while people ask: nobody notices, and no answer mixes two models."""

from collections import defaultdict
from itertools import pairwise

from tests.planted_model import BY_ID
from tests.system import System, eventually
from tests.traffic import Readers
from training.index import collection_name
from training.promotion import Promoter
from training.registry import Registry


class Unknowing(Registry):
    """MLflow that knows no model and takes no time."""

    def mark_champion(self, version: str) -> bool:
        return False


def test_promotion_and_rollback_while_people_ask(system: System) -> None:
    user, loved = system.fan()
    newcomer, _ = system.fan(2)
    models = system.models["genre"].parent
    promoter = Promoter(
        models, system.kafka, system.topics, Unknowing("nowhere"), system.stack.settings.redis()
    )

    with Readers(system, [user, newcomer]) as readers:
        readers.wait_for_more(10)
        for change in (lambda: promoter.promote("decade"), promoter.rollback):
            version = change().event.version
            eventually(lambda: system.recommend(user)["model_version"], version.__eq__)
            readers.wait_for_more(10)

    answers = readers.personal()
    versions = [answer["model_version"] for answer in answers]
    changes = [new for old, new in pairwise(versions) if new != old]
    assert (versions[0], changes) == ("genre", ["decade", "genre"])
    groups = defaultdict(set)
    for answer in answers:
        version, items = answer["model_version"], answer["items"]
        assert answer["index"] == collection_name(version)
        assert len(items) == 10
        groups[answer["strategy"], version] |= {
            BY_ID[item["movie_id"]].group(version) for item in items
        }
    # Each version recommends what is like what they love in its own way.
    assert groups == {
        ("two_tower", version): {loved[0].group(version)} for version in ("genre", "decade")
    }
