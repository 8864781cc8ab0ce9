"""`POST /graphql`."""

from syncsvc.simulator.graphql import service
from syncsvc.simulator.messages import Answer, Refusal
from syncsvc.simulator.routing import Context, Routes

routes = Routes()


@routes.add("POST", "/graphql", resource="graphql")
def graphql(context: Context) -> Answer:
    """A query; only for those who say who they are."""
    if context.principal.kind not in {"user", "installation"}:
        raise Refusal(401, "This endpoint requires you to be authenticated.")
    return service.answer(context)
