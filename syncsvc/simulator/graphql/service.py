"""Answers a GraphQL request: read, refuse, plan, price, run.

Hides the steps and what each refusal looks like. Everything that is about the query answers
with status 200.
"""

from typing import Any

import orjson

from syncsvc.simulator.graphql.environment import Environment
from syncsvc.simulator.graphql.errors import MOST_NODES, FieldError, QueryError, node_limit
from syncsvc.simulator.graphql.fields import READERS
from syncsvc.simulator.graphql.objects import typename
from syncsvc.simulator.graphql.plan import Plan, Planner, points
from syncsvc.simulator.graphql.schema import schema
from syncsvc.simulator.graphql.validation import checked
from syncsvc.simulator.graphql.values import variables_of
from syncsvc.simulator.messages import Answer, Refusal
from syncsvc.simulator.routing import Context


def answer(context: Context) -> Answer:
    """The answer to one request; `cost` says how many points it takes."""
    asked = context.request.json()
    text, variables = asked.get("query"), asked.get("variables") or {}
    if not isinstance(text, str) or not text.strip():
        raise Refusal(400, "A query attribute must be specified and must be a string.")
    if not isinstance(variables, dict):
        raise Refusal(400, "Variables must be a JSON object.")
    environment = Environment(context)
    try:
        plan = _planned(environment, text, asked.get("operationName"), variables)
    except QueryError as refused:
        content: dict[str, Any] = {"data": None} if refused.data else {}
        return _shown(content | {"errors": refused.errors}, 1)
    return _shown(_run(environment, plan), environment.cost)


def _planned(environment: Environment, text: str, name: str | None, given: dict[str, Any]) -> Plan:
    """The plan of a query and its price, which the environment is told."""
    document, operation = checked(text, name)
    variables = variables_of(schema(), operation, given)
    planner = Planner(document, variables, READERS, environment, typename)
    plan = planner.plan("Query", [operation.selections], [])
    environment.cost, environment.node_count = points(plan), plan.nodes
    if plan.nodes > MOST_NODES:
        raise QueryError(node_limit(plan.nodes), data=True)
    return plan


def _run(environment: Environment, plan: Plan) -> dict[str, Any]:
    try:
        data = plan.run(None)
    except FieldError as error:
        # What must not be null is: nothing is left of the answer.
        return {"data": None, "errors": [error.shown(environment.path, [])]}
    if environment.errors:
        return {"data": data, "errors": environment.errors}
    return {"data": data}


def _shown(content: dict[str, Any], cost: int) -> Answer:
    headers = {"x-github-media-type": "github.v4; format=json"}
    return Answer(body=orjson.dumps(content), headers=headers, cacheable=False, cost=cost)
