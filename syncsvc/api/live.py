"""Live updates of runs as server-sent events (R18.4)."""

from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, Throttled, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from syncsvc import selectors
from syncsvc.api.filters import LARGEST_ID
from syncsvc.api.schema import ProblemSchema
from syncsvc.live import frames, rights, short_answer
from syncsvc.live.cursor import parse
from syncsvc.live.door import OFFER
from syncsvc.live.telling import Wish

PARAMETERS: Final = ("installation", "job")
FULL_SECONDS: Final = 30

DESCRIPTION: Final = """
The changes of runs as they happen, as `text/event-stream`.

| event | when |
|---|---|
| `sync:start` | a run was asked for |
| `sync:progress` | it began, came further, waits, or is being cancelled |
| `sync:complete` | it ended: `succeeded`, `partial` or `cancelled` |
| `sync:error` | it ended: `failed` or `dead` |
| `sync:reset` | events were lost because the client was away for too long: look anew |

The data of each is JSON: `id` (null in a present state), `installation`, `job_id`, `at`, `status`, `trigger`, `mode`,
`dry_run`, `cancelling`, `stage`, `current`, `total`, `percent`, `item`, `errors`, `eta_seconds`; at the end also
`counts`, `summary`, `accuracy`, `finished_at`.

A client that comes back with `Last-Event-ID` (browsers do by themselves) gets each event that it missed once.
Without one, or with one that is older than an hour, it begins with the present state: `sync:progress` of each
active run, and the end of those that ended within the last minute. Lines that begin with a colon are heartbeats.
The server ends each stream after some minutes, and as soon as the viewer's rights change; where it cannot hold
streams, it ends them at once: `retry` says when to come back. At most 20 streams a user and process.
"""


class EventStream(JSONRenderer):
    """So that `Accept: text/event-stream` is acceptable; errors are JSON all the same."""

    media_type = frames.CONTENT_TYPE
    format = "sse"


class StreamSchema(ProblemSchema):
    """The media type of the answer is not JSON."""

    def map_renderers(self, attribute: str) -> list[str]:
        """What is answered with."""
        return [frames.CONTENT_TYPE] if attribute == "media_type" else ["sse"]


class JobStreamView(APIView):
    """The changes of runs as they happen."""

    schema = StreamSchema()
    names_a_row = True
    renderer_classes = (JSONRenderer, EventStream)

    @extend_schema(
        operation_id="jobs_stream",
        summary="Hear of runs as they happen",
        description=DESCRIPTION.strip(),
        parameters=[
            OpenApiParameter(
                "installation", int, description="Only of this installation, by our id."
            ),
            OpenApiParameter("job", OpenApiTypes.UUID, description="Only of this run."),
            OpenApiParameter(
                "Last-Event-ID",
                str,
                OpenApiParameter.HEADER,
                description="The id of the last event that was received. Anything else begins anew.",
            ),
        ],
        responses={
            (200, frames.CONTENT_TYPE): OpenApiResponse(
                OpenApiTypes.STR, description="Events, until the connection ends."
            )
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """A stream where the server can hold one, else what was missed and the end."""
        wish = _wish(request)
        offer = request.META.get(OFFER)
        if offer is None:
            return _response(short_answer.answer(wish))
        if not offer.accept(wish):
            raise Throttled(FULL_SECONDS, "Too many streams are open: close some, or poll instead.")
        return _response(b"")


def _response(body: bytes) -> HttpResponse:
    response = HttpResponse(body, content_type=frames.CONTENT_TYPE)
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # nginx would keep events back
    return response


def _wish(request: Request) -> Wish:
    """What is asked for, of what may be seen: another tenant's is not there."""
    asked = _asked(request)
    installation, job = asked.get("installation"), asked.get("job")
    if installation is not None:
        rows = selectors.installations(request.user).filter(pk=installation)
        if not rows.exists():
            raise NotFound("There is no such installation.")
    if job is not None:
        runs = selectors.jobs(request.user).filter(pk=job)
        if installation is not None:
            runs = runs.filter(installation=installation)
        if not runs.exists():
            raise NotFound("There is no such run.")
    return Wish(
        viewer=rights.of(request),
        installation=installation,
        job=job,
        cursor=parse(request.headers.get("Last-Event-ID")),
    )


def _asked(request: Request) -> dict[str, Any]:
    errors, asked = {}, {}
    for name, values in request.query_params.lists():
        if name not in PARAMETERS:
            errors[name] = [f"There is no such parameter. There are: {', '.join(PARAMETERS)}."]
        elif len(values) > 1:
            errors[name] = ["Give this parameter once."]
        elif (found := _KINDS[name](values[0])) is None:
            errors[name] = [_WRONG[name]]
        else:
            asked[name] = found
    if errors:
        raise ValidationError(errors)
    return asked


def _number(text: str) -> int | None:
    fits = text.isascii() and text.isdigit() and len(text) <= 19
    return int(text) if fits and 0 < int(text) <= LARGEST_ID else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


_KINDS: Final[dict[str, Any]] = {"installation": _number, "job": _uuid}
_WRONG: Final = {
    "installation": "Our id of an installation: a whole number.",
    "job": "The id of a run: a UUID.",
}
