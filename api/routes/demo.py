"""Demo people: real ones of whatever data is loaded, and what they are recommended."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, Path, Query, Response

from api.catalogue.described import named
from api.demo.casting import held_out_of
from api.demo.roles import ROLES, Role
from api.deps import API, Deps, Services, json_bytes
from api.errors import FieldError, Problem, ProblemError
from api.lists.asked import Asked
from api.lists.people import Reading, read_people
from api.lists.wanted import Wanted
from api.schemas.common import MAX_LIMIT
from api.schemas.demo import TOP_MOVIES, DemoPeople, DemoPerson, DemoRecommendations, TopMovie
from api.serving.watcher import Serving

router = APIRouter(prefix=f"{API}/demo", tags=["demo"])

_BY_NAME: Final[Mapping[str, Role]] = {role.name: role for role in ROLES}


@router.get("/users", response_model=DemoPeople, responses={503: {"model": Problem}})
async def demo_users(services: Deps) -> Response:
    """An action lover, a romance fan, a film buff and a critic, with their best movies."""
    serving = services.watcher.current
    people, looked_at = await _people(services, serving)
    found = DemoPeople(
        people=[_person(serving, role, people[role.name]) for role in ROLES if role.name in people],
        missing=[role.name for role in ROLES if role.name not in people],
        looked_at=looked_at,
    )
    return Response(json_bytes(found), media_type="application/json")


@router.get(
    "/recommendations/{name}",
    response_model=DemoRecommendations,
    responses={status: {"model": Problem} for status in (404, 422, 503)},
)
async def demo_recommendations(
    services: Deps,
    name: Annotated[
        str, Path(max_length=50, description="of `GET /demo/users`", examples=[ROLES[0].name])
    ],
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 10,
) -> Response:
    """What one of the demo's people is recommended now, beside their best movies."""
    if name not in _BY_NAME:
        raise _nobody(name, f"nobody is called {name!r}: there are {', '.join(_BY_NAME)}")
    serving = services.watcher.current
    people, looked_at = await _people(services, serving)
    if name not in people:
        raise _nobody(name, f"of {looked_at} people nobody can be the {name}: rate some movies")
    reading = people[name]
    found = DemoRecommendations(
        person=_person(serving, _BY_NAME[name], reading),
        recommendations=await services.recommender.recommend(reading.user_id, Asked(Wanted(limit))),
    )
    return Response(json_bytes(found), media_type="application/json")


async def _people(services: Services, serving: Serving) -> tuple[dict[str, Reading], int]:
    """Everyone's state now, by part, and how many people were looked at."""
    found = await services.demo.people()
    people = await _read(services, serving, found.users)
    if any(not len(reading.state) for reading in people.values()):  # somebody was forgotten
        found = await services.demo.again()
        people = await _read(services, serving, found.users)
    there = {name: reading for name, reading in people.items() if len(reading.state)}
    return there, found.looked_at


async def _read(
    services: Services, serving: Serving, users: Mapping[str, int]
) -> dict[str, Reading]:
    readings = await read_people(services.store, serving, list(users.values())) if users else []
    return dict(zip(users, readings, strict=True))


def _person(serving: Serving, role: Role, reading: Reading) -> DemoPerson:
    state, view = reading.state, reading.view
    stars, ids = state.ratings(), state.movie_ids()
    places = np.arange(len(ids))
    top: list[TopMovie] = []
    for at in np.lexsort((-places, -stars)).tolist():
        movie = serving.movie(int(ids[at]))
        if movie is not None and len(top) < TOP_MOVIES:
            top.append(TopMovie(**named(movie), rating=float(stars[at])))
    held_out = None
    if view.position is not None:
        held_out = held_out_of(serving, view.partition, view.position, state)
    return DemoPerson(
        name=role.name,
        title=role.title,
        rule=role.rule,
        user_id=reading.user_id,
        held_out=held_out,
        ratings=len(state),
        mean_rating=round(float(stars.mean()), 2),
        top_movies=top,
    )


def _nobody(name: str, detail: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-person",
        "There is no such person in the demo",
        detail,
        [FieldError(field="path.name", message=f"nobody is called {name!r}")],
    )
