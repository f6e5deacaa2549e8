"""Every error Freshet raises on purpose, in one tree.

FreshetError
├── ConfigurationError      a setting or an option is wrong; nothing was started
│   └── NoTopic             the broker has no topic of this name
├── DatasetError            a data set is missing, damaged or too dirty to use
│   └── NothingToAsk        it is whole, and has nothing that a model could be asked
├── InvalidEvent            a message breaks its contract; `reason` says how, in one word
├── TopicRecreated          the log is not the one that it was: start again from its beginning
├── EventsMissing           the log has dropped events that are needed, and no archive has them
├── ArtifactError           a model artifact is missing, half written or does not fit this code
├── Stalled                 a worker has something to do and does not get on: restart it
└── Unavailable             a service did not answer in time; trying again may help
    ├── BrokerUnavailable
    ├── StoreUnavailable
    ├── IndexUnavailable
    ├── ArchiveUnavailable
    └── Busy                another process does this already

Each message says what was wrong, where, and what to do about it.
"""


class FreshetError(Exception):
    """Base of the tree: catch it to tell our errors from bugs."""


class ConfigurationError(FreshetError):
    pass


class NoTopic(ConfigurationError):  # noqa: N818 - a state of the broker
    pass


class DatasetError(FreshetError):
    pass


class NothingToAsk(DatasetError):  # noqa: N818 - a state of the data
    pass


class InvalidEvent(FreshetError):  # noqa: N818 - it describes the event, as the dead letters do
    """A message breaks its contract.

    Attributes:
        reason: a stable word for metrics and dead letters, such as ``rating_range``.
        detail: the sentence for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TopicRecreated(FreshetError):  # noqa: N818 - it says what happened
    pass


class EventsMissing(FreshetError):  # noqa: N818 - a state of the log
    pass


class ArtifactError(FreshetError):
    pass


class Stalled(FreshetError):  # noqa: N818 - a state of a worker
    pass


class Unavailable(FreshetError):  # noqa: N818 - a state of a service
    pass


class BrokerUnavailable(Unavailable):
    pass


class StoreUnavailable(Unavailable):
    pass


class IndexUnavailable(Unavailable):
    pass


class ArchiveUnavailable(Unavailable):
    pass


class Busy(Unavailable):
    pass
