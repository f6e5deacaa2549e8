"""What people were shown, in short."""

from stream.contracts.experiments import ExposureEvent


def page(
    time: int,
    movies: tuple[int, ...],
    impression: str = "a",
    user: int = 1,
    position: int = 0,
    version: str | None = "v1",
    strategy: str = "two_tower",
) -> ExposureEvent:
    return ExposureEvent(
        event_id="e",
        impression_id=impression,
        user_id=user,
        model_version=version,
        strategy=strategy,
        movies=movies,
        position=position,
        event_time=time,
        produced_time=time,
    )
