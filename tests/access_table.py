"""Who may see and do what: one line for each address that the product has. A new address fails
`test_who_may_see_what.py` until it has a line here.

A line says what each visitor gets, in the order of `tenant_support.ROLES`: nobody, the administrator of
another tenant, member, support, operator and administrator of this tenant, staff, superuser. `get` is for a
look, `post` for a form or a call with `body`, about the row of this tenant.
"""

from dataclasses import dataclass, field
from typing import Any, Final

Codes = tuple[int, ...]

# -- looks -----------------------------------------------------------------------------------------
PUBLIC: Final = (200,) * 8
PAGE: Final = (302, *(200,) * 7)
OWN_PAGE: Final = (302, 404, *(200,) * 6)
STAFF_PAGE: Final = (302, *(403,) * 5, 200, 200)
ADMIN_PAGE: Final = (*(302,) * 6, 200, 200)
#: The keys to GitHub are for superusers: staff may look at all that is mirrored, but not steer it elsewhere.
SETUP_PAGE: Final = (302, *(403,) * 6, 200)
API: Final = (401, *(200,) * 7)
OWN_API: Final = (401, 404, *(200,) * 6)
STAFF_API: Final = (401, *(403,) * 5, 200, 200)
#: Whoever administrates any tenant reads the log of that one; which rows is another question.
AUDITORS: Final = (401, 200, 403, 403, 403, 200, 200, 200)
OWN_AUDITORS: Final = (401, 404, 403, 403, 403, 200, 200, 200)

# -- refusals of the other method ------------------------------------------------------------------
NEVER: Final = (405,) * 8
NO_PAGE: Final = (302, *(405,) * 7)
NO_SETUP_PAGE: Final = (302, *(403,) * 6, 405)
NO_ADMIN_PAGE: Final = (*(302,) * 6, 405, 405)
NO_API: Final = (401, *(405,) * 7)


# -- deeds -----------------------------------------------------------------------------------------
def members(done: int, *, stranger: int = 302) -> Codes:
    """What every member may do."""
    return (stranger, 404, *(done,) * 6)


def operators(done: int, *, stranger: int = 302) -> Codes:
    """What only operators, administrators and staff may do."""
    return (stranger, 404, 403, 403, *(done,) * 4)


@dataclass(frozen=True, kw_only=True)
class Line:
    """What each visitor gets at one address."""

    get: Codes
    post: Codes
    body: dict[str, Any] = field(default_factory=dict)


def page(get: Codes) -> Line:
    """A page that is only read."""
    return Line(get=get, post=NEVER if get == PUBLIC else NO_PAGE)


def form(post: Codes, **body: Any) -> Line:
    """An address of a page's button."""
    return Line(get=NO_PAGE, post=post, body=body)


def resource(get: Codes) -> Line:
    """A part of the API that is only read."""
    if get == PUBLIC:
        return Line(get=get, post=NEVER)
    return Line(get=get, post=tuple(code if code in {401, 403} else 405 for code in get))


def call(post: Codes, **body: Any) -> Line:
    """A deed in the API."""
    return Line(get=NO_API, post=post, body=body)


REASON: Final = {"reason": "It is known."}
TABLE: Final[dict[str, Line]] = {
    # Members' pages.
    "": page(PAGE),
    "installations/<int:pk>/": page(OWN_PAGE),
    "installations/<int:pk>/card/": page(OWN_PAGE),
    "installations/<int:pk>/sync/": form(members(302)),
    "installations/<int:pk>/try-now/": form(operators(302)),
    "jobs/<uuid:pk>/": page(OWN_PAGE),
    "jobs/<uuid:pk>/cancel/": form(operators(302)),
    "jobs/<uuid:pk>/trail/": page((302, 404, 403, 403, 403, 200, 200, 200)),
    "repositories/<int:pk>/": page(OWN_PAGE),
    "repositories/<int:pk>/sync/": form(members(302)),
    "issues/": page(PAGE),
    "issues/<int:pk>/": page(OWN_PAGE),
    "pull-requests/": page(PAGE),
    "pull-requests/<int:pk>/": page(OWN_PAGE),
    "commits/": page(PAGE),
    "deliveries/": page(PAGE),
    "deliveries/<int:pk>/": page(OWN_PAGE),
    "deliveries/<int:pk>/replay/": form(operators(302)),
    "dead-letters/": page(PAGE),
    "dead-letters/<int:pk>/": page(OWN_PAGE),
    "dead-letters/<int:pk>/requeue/": form(operators(302)),
    "dead-letters/<int:pk>/discard/": form(operators(302), **REASON),
    "gaps/": page(PAGE),
    "gaps/<int:pk>/": page(OWN_PAGE),
    "discrepancies/": page(PAGE),
    "discrepancies/<int:pk>/": page(OWN_PAGE),
    "discrepancies/<int:pk>/repair/": form(operators(302)),
    "discrepancies/<int:pk>/dismiss/": form(operators(302), **REASON),
    "reviews/<int:pk>/": page(OWN_PAGE),
    "reviews/<int:pk>/approve/": form(operators(302), vanished=3),
    "reviews/<int:pk>/reject/": form(operators(302), **REASON),
    # Staff's pages.
    "system/": page(STAFF_PAGE),
    "admin/sync-health/": Line(get=ADMIN_PAGE, post=NO_ADMIN_PAGE),
    "admin/sync-health.csv": Line(get=ADMIN_PAGE, post=NO_ADMIN_PAGE),
    "admin/sync-health/find/": Line(get=(*(302,) * 6, 400, 400), post=NO_ADMIN_PAGE),
    "admin/sync-health/incidents/": Line(get=ADMIN_PAGE, post=NO_ADMIN_PAGE),
    "admin/sync-health/incidents/<int:pk>/acknowledge/": Line(
        get=NO_ADMIN_PAGE, post=(302,) * 8
    ),
    "doctor/": Line(get=STAFF_PAGE, post=(302, *(403,) * 5, 302, 302)),
    "setup/": Line(get=SETUP_PAGE, post=NO_SETUP_PAGE),
    "setup/app/": Line(get=SETUP_PAGE, post=(302, *(403,) * 6, 400)),
    "setup/app/new/": Line(get=SETUP_PAGE, post=(302, *(403,) * 6, 400)),
    "setup/token/": Line(get=SETUP_PAGE, post=(302, *(403,) * 6, 400)),
    "setup/github/": Line(get=(302, *(403,) * 6, 302), post=NO_SETUP_PAGE),
    "setup/find/": Line(get=NO_SETUP_PAGE, post=(302, *(403,) * 6, 302)),
    "setup/leave-demo/": Line(get=NO_SETUP_PAGE, post=(302, *(403,) * 6, 302)),
    "^setup/(?P<kind>app|token)/remove/$": Line(get=(302, *(403,) * 6, 404), post=(302, *(403,) * 6, 404)),
    "^setup/(?P<kind>app|token)/secret/$": Line(get=(302, *(403,) * 6, 404), post=(302, *(403,) * 6, 404)),
    # The ways in and out. Who is in already is led on.
    "login/": Line(get=(200, *(302,) * 7), post=(200, *(302,) * 7)),
    "logout/": Line(get=NEVER, post=(302,) * 8),
    "admin/login/": Line(get=(*(200,) * 6, 302, 302), post=(200,) * 8),
    "admin/logout/": Line(get=(*(302,) * 6, 405, 405), post=(302,) * 8),
    # What machines ask.
    "healthz": Line(get=PUBLIC, post=NEVER),
    "readyz": Line(get=(503,) * 8, post=NEVER),
    "metrics": Line(get=PUBLIC, post=NEVER),
    "webhooks/github/": Line(get=NEVER, post=(401,) * 8),
    "webhooks/github": Line(get=NEVER, post=(401,) * 8),
    # The API.
    "api/schema/": resource(PUBLIC),
    "api/docs/": resource(PUBLIC),
    "api/v1/auth/token/": Line(
        get=NEVER, post=(401,) * 8, body={"username": "nobody", "password": "wrong"}
    ),
    "api/v1/auth/token/refresh/": Line(get=NEVER, post=(401,) * 8, body={"refresh": "no token"}),
    "api/v1/system/": resource(STAFF_API),
    "api/v1/jobs/stream/": resource(API),
    "api/v1/sync-health/summary/": resource(API),
    "api/v1/accuracy/": resource(API),
    "api/v1/performance/": resource(API),
    "api/v1/installations/<int:pk>/status/": resource(OWN_API),
    "api/v1/installations/<int:pk>/webhooks/": resource(OWN_API),
    "api/v1/installations/<int:pk>/sync/": call((401, 404, *(409,) * 6)),
    "api/v1/installations/<int:pk>/breaker/reset/": call(operators(200, stranger=401)),
    "api/v1/jobs/<uuid:pk>/cancel/": call(operators(200, stranger=401)),
    "api/v1/deliveries/<int:pk>/replay/": call(operators(202, stranger=401)),
    "api/v1/dead-letters/<int:pk>/discard/": call(operators(200, stranger=401), **REASON),
    "api/v1/dead-letters/<int:pk>/requeue/": call(operators(200, stranger=401)),
    "api/v1/discrepancies/<int:pk>/dismiss/": call(operators(200, stranger=401), **REASON),
    "api/v1/discrepancies/<int:pk>/repair/": call(operators(202, stranger=401)),
    "api/v1/reviews/<int:pk>/approve/": call(operators(202, stranger=401), vanished=3),
    "api/v1/reviews/<int:pk>/reject/": call(operators(200, stranger=401), **REASON),
    "api/v1/sync-health/incidents/<int:pk>/acknowledge/": call(operators(200, stranger=401)),
    "api/v1/audit-log/": resource(AUDITORS),
    "api/v1/audit-log/<int:pk>/": resource(OWN_AUDITORS),
    "api/v1/audit-log/<int:pk>/errors/": resource(OWN_AUDITORS),
    "api/v1/audit-log/<int:pk>/records/": resource(OWN_AUDITORS),
} | {
    address: line
    for name, key in {
        "installations": "int",
        "jobs": "uuid",
        "repositories": "int",
        "issues": "int",
        "pull-requests": "int",
        "commits": "int",
        "repository-metrics": "int",
        "deliveries": "int",
        "missed-deliveries": "int",
        "gaps": "int",
        "dead-letters": "int",
        "hooks": "int",
        "discrepancies": "int",
        "reviews": "int",
        "run-figures": "int",
        "sample-audits": "int",
        "integrity-issues": "int",
        "sync-health/incidents": "int",
    }.items()
    for address, line in (
        (f"api/v1/{name}/", resource(API)),
        (f"api/v1/{name}/<{key}:pk>/", resource(OWN_API)),
    )
}  # fmt: skip

# -- the admin -------------------------------------------------------------------------------------
# Its addresses follow from the models that it shows. Nobody but staff sees anything there, and staff only
# what Django's permissions give them. What may be added and deleted, by those who may do everything:
ADDED: Final = frozenset(
    {
        "auth/user",
        "auth/group",
        "syncsvc/membership",
        "django_celery_beat/periodictask",
        "django_celery_beat/intervalschedule",
        "django_celery_beat/crontabschedule",
    }
)
DELETED: Final = ADDED | {"syncsvc/etagentry", "syncsvc/credential"}
