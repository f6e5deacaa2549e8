"""GET /experiments: which there are, and what has come of each."""

import asyncio
import time
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.deps import API, Deps, json_bytes
from api.errors import Problem, ProblemError
from api.experiments.described import described
from api.schemas.experiments import Experiments, Report
from stream.contracts.experiments import ExperimentEvent
from stream.experiments.outcomes import Sums
from stream.experiments.store import ExperimentStore

router = APIRouter(prefix=API, tags=["experiments"])


@router.get("/experiments", response_model=Experiments, responses={503: {"model": Problem}})
async def experiments(services: Deps) -> Response:
    """All experiments there are, those that run and those that do not."""
    now = int(time.time() * 1000)
    known = await services.experiments.definitions()
    found = Experiments(experiments=[described(event, now) for event in known])
    return Response(json_bytes(found), media_type="application/json")


@router.get(
    "/experiments/{name}/report",
    response_model=Report,
    responses={status: {"model": Problem} for status in (404, 422, 503)},
)
async def experiment_report(
    services: Deps, name: Annotated[str, Path(min_length=1, max_length=64)]
) -> Response:
    """What has come of an experiment in its present round.

    Look as often as you like: `significant` and what begins with `anytime` stay right. People who
    are named by the definition are not counted, nor whom it had no say for.
    """
    found = await read_report(services.experiments, name)
    return Response(json_bytes(found), media_type="application/json")


async def read_report(store: ExperimentStore, name: str) -> Report:
    """Raises ProblemError (404) that lists the experiments there are; StoreUnavailable."""
    known = {event.name: event for event in await store.definitions()}
    event = known.get(name)
    if event is None:
        there = f"there are {', '.join(sorted(known))}" if known else "there is none"
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "unknown-experiment",
            "There is no such experiment",
            f"no experiment has this name: {there}",
        )
    sums = await store.sums(event.name, event.round)
    return await asyncio.to_thread(_report, event, sums)


def _report(event: ExperimentEvent, sums: Sums) -> Report:
    """Reports need SciPy, which takes 17 MB: a process that is never asked for one does without."""
    from api.experiments.report import report

    return report(event, sums, int(time.time() * 1000))
