"""About the API itself: rate limits and addresses."""

from syncsvc.simulator.limits import Budget
from syncsvc.simulator.messages import Answer, json_answer
from syncsvc.simulator.routing import Context, Routes

routes = Routes()


@routes.add("GET", "/rate_limit")
def rate_limit(context: Context) -> Answer:
    """`GET /rate_limit`: free of charge."""
    resources = {
        name: _budget(context.limits.peek(context.principal, name))
        for name in ("core", "graphql", "search")
    }
    body = {"resources": resources, "rate": resources["core"]}
    return json_answer(body, cacheable=False, free=True)


@routes.add("GET", "/meta")
def meta(_: Context) -> Answer:
    """`GET /meta`: the addresses that webhooks come from."""
    addresses = ["127.0.0.0/8", "::1/128"]
    body = {
        "verifiable_password_authentication": False,
        "hooks": addresses,
        "web": addresses,
        "api": addresses,
    }
    return json_answer(body)


@routes.add("GET", "/")
def root(context: Context) -> Answer:
    """`GET /`: where things are."""
    api = context.api_url
    return json_answer(
        {
            "current_user_url": f"{api}/user",
            "rate_limit_url": f"{api}/rate_limit",
            "repository_url": f"{api}/repos/{{owner}}/{{repo}}",
        }
    )


def _budget(budget: Budget) -> dict[str, int]:
    return {
        "limit": budget.limit,
        "used": budget.used,
        "remaining": budget.remaining,
        "reset": budget.reset,
    }
