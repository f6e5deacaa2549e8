"""What the API measures about itself, for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Seconds. The promises are 8 ms and 30 ms for a GET, and 30, 100, 150 and 500 ms of freshness:
# each is a bucket's bound.
_LATENCIES: Final = (
    *(0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.1, 0.15, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0),
)
_AGES: Final = (0.03, 0.1, 0.5, 1.0, 10.0, 60.0, 3_600.0, 86_400.0, 2_592_000.0)

REQUESTS = Counter("freshet_api_requests_total", "Requests answered", ("method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "freshet_api_request_seconds", "Time to answer a request", ("route",), buckets=_LATENCIES
)
STAGE = Histogram(
    "freshet_api_stage_seconds",
    "Time that a stage of a request took",
    ("stage",),
    buckets=(0.0001, 0.00025, 0.0005, *_LATENCIES),
)
RECOMMENDATIONS = Counter(
    "freshet_api_recommendations_total", "Recommendations answered", ("strategy",)
)
DEGRADED = Counter(
    "freshet_api_degraded_total", "Recommendations for which something was missing", ("reason",)
)
EVENT_TO_RECOMMENDATION = Histogram(
    "freshet_event_to_recommendation_seconds",
    "From an event's hand-over to the broker to the answer that includes it, "
    "of requests that named the event with `after`",
    buckets=_LATENCIES,
)
STATE_AGE = Histogram(
    "freshet_api_state_age_seconds",
    "Age of the last event in the user state that an answer was based on",
    buckets=_AGES,
)
RATINGS = Counter("freshet_api_ratings_total", "Ratings acknowledged by the broker", ("source",))
FORGOTTEN = Counter(
    "freshet_api_forgotten_total", "Wishes to be forgotten acknowledged by the broker"
)
MODEL = Gauge("freshet_api_model_info", "1 for the model version that is served", ("version",))
MODEL_FAILURES = Counter(
    "freshet_api_model_load_failures_total", "Model versions that could not be loaded"
)
MODEL_SWITCH = Gauge(
    "freshet_api_model_switch_seconds", "From noticing the last promotion to serving what it names"
)
LOOKS = Counter(
    "freshet_api_looks_total", "Looks at Redis for heats, catalogue and model that it answered"
)
CATALOGUE = Gauge("freshet_api_catalogue_movies", "Movies in the catalogue")
LATER_MOVIES = Gauge(
    "freshet_api_later_movies", "Movies that the model did not learn, and knows by their content"
)
MOVIES = Counter("freshet_api_movies_total", "Movies acknowledged by the broker")
EXPOSURES = Counter("freshet_api_exposures_total", "Lists shown, handed over to be told")
EXPOSURES_LOST = Counter(
    "freshet_api_exposures_lost_total", "Lists shown of which the broker was not told"
)
FEEDBACK = Counter("freshet_api_feedback_total", "Feedback acknowledged by the broker", ("kind",))
EXPLORED = Counter(
    "freshet_api_explored_total", "Places of lists given to movies that are new, to try them"
)

CACHE = Counter(
    "freshet_api_cache_total",
    "Lists by whether an earlier answer was given again: hit, miss, or bypass where none is kept",
    ("result",),
)
CACHE_FAILURES = Counter(
    "freshet_api_cache_write_failures_total", "Answers that Redis did not take in to be kept"
)

IN_FLIGHT = Gauge("freshet_api_requests_in_flight", "Requests that are being answered")
REFUSED = Counter(
    "freshet_api_refused_total",
    "Requests refused: unauthenticated, forbidden, rate_limited, too_large or busy",
    ("reason",),
)
KEY_REQUESTS = Counter("freshet_api_key_requests_total", "Requests with a valid key", ("key",))
UNLIMITED = Counter(
    "freshet_api_rate_limit_failures_total",
    "Times that Redis could not say how many requests there were, and they passed",
)
