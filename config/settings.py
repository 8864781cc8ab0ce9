"""All settings, twelve-factor: every value that differs between two machines comes from the environment.

Without `DATABASE_URL` an embedded PostgreSQL serves, without a broker the file system does (see
`config.embedded`); everything else is the same code in both worlds.
"""

import hashlib
import os
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from config import admin_look, demo, embedded, logs, security_headers

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
TESTING = "PYTEST_VERSION" in os.environ
if TESTING:
    # Tests see neither a developer's credentials nor the data of `make run`.
    os.environ.setdefault("SYNC_VAR_DIR", str(BASE_DIR / "var" / "test"))
    os.environ.setdefault("SECRET_KEY", "guards nothing but tests, and is long enough for them")
else:
    env.read_env(str(BASE_DIR / os.environ.get("ENV_FILE", ".env")))
    # A command in a second terminal meets the simulator that `make run` serves.
    os.environ.update(demo.recall(os.environ))

EMBEDDED = embedded.is_embedded(os.environ)
VAR_DIR = embedded.var_dir()

# --- Django -----------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or (embedded.secret_key() if EMBEDDED else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set: beside DATABASE_URL it has to be. Any long random text will do, "
        "the same on every machine."
    )
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS", default=[]) or [SECRET_KEY]
try:
    PORT = env.int("PORT", default=8000)
except ValueError:
    raise ImproperlyConfigured("PORT must be a number, for example 8000.") from None
BASE_URL = env.str("BASE_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
_base = urlsplit(BASE_URL)
HTTPS = _base.scheme == "https"
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", _base.hostname or "localhost"]
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[BASE_URL] if HTTPS else [])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_linear_migrations",
    "django_celery_beat",
    "django_filters",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "syncsvc",
    "reconciliation",
    "alerts",
]

MIDDLEWARE = [
    "syncsvc.health.probes",
    "config.security_headers.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "syncsvc.error_pages.refuses_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "syncsvc.pages.context",
            ],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {}
if EMBEDDED:
    DATABASES["default"] = embedded.database_config()
elif urlsplit(env.str("DATABASE_URL")).scheme in ("postgres", "postgresql"):
    DATABASES["default"] = env.db("DATABASE_URL")
else:
    raise ImproperlyConfigured(
        "DATABASE_URL must be the address of a PostgreSQL: postgres://USER:PASSWORD@HOST:PORT/NAME."
    )
DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="")
# Tests clear their cache, which would empty the broker's database of tests beside them.
CACHE_URL = env.str("CACHE_URL", default="" if TESTING else REDIS_URL)
CACHES: dict[str, dict[str, Any]] = {
    "default": (
        {"BACKEND": "config.redis_cache.Cache", "LOCATION": CACHE_URL}
        if CACHE_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Straight from the apps' folders unless an image collected them: `make run` needs no build step.
WHITENOISE_USE_FINDERS = not STATIC_ROOT.exists()
warnings.filterwarnings("ignore", "No directory at", UserWarning)  # whitenoise: it need not exist
WHITENOISE_AUTOREFRESH = False

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = HTTPS and env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# Redirecting to HTTPS behind a proxy needs to know what the visitor used; the probes do not.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = security_headers.POLICY

# --- Celery -----------------------------------------------------------------------------------
# The database is the truth and the broker only a bell: a message that is lost is rung again by the
# sweeper (`syncsvc.jobs.ring_waiting`), so messages are acknowledged early and carry ids only.

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL) or "filesystem://localhost"
FILESYSTEM_BROKER = CELERY_BROKER_URL.startswith("filesystem://")
REDIS_BROKER = CELERY_BROKER_URL.startswith(("redis://", "rediss://", "sentinel://"))
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
if REDIS_BROKER:
    # A Redis that went away without a word (a failover, a firewall) is noticed and left within half a minute.
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
if FILESYSTEM_BROKER:
    CELERY_BROKER_TRANSPORT_OPTIONS = embedded.broker_options()
    CELERY_BROKER_TRANSPORT = "config.filesystem_broker:Transport"
# Runs take as long as they take: what must not wait behind them (the sweeper, the schedule, deliveries) has
# a queue of its own. A worker that is told of no queue takes from both.
CELERY_TASK_DEFAULT_QUEUE = env.str("CELERY_QUEUE", default="github-mirror")
SHORT_QUEUE_ENDING = "-short"
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name)
    for name in (
        CELERY_TASK_DEFAULT_QUEUE,
        CELERY_TASK_DEFAULT_QUEUE + SHORT_QUEUE_ENDING,
    )
]
CELERY_TASK_ROUTES = [
    {"reconciliation.run_job": {"queue": CELERY_TASK_DEFAULT_QUEUE}},
    {"*": {"queue": CELERY_TASK_DEFAULT_QUEUE + SHORT_QUEUE_ENDING}},
]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # however long the broker is away, workers wait for it
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_PUBLISH_RETRY = False  # a request never waits for a broker that is down
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A worker whose slots are all taken leaves messages to those that are free; only Redis can do that.
CELERY_WORKER_DISABLE_PREFETCH = REDIS_BROKER
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "config.beat:HeartbeatScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

# --- API --------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["syncsvc.api.parsers.JSONBody"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
    ],
    "DEFAULT_PAGINATION_CLASS": "syncsvc.api.pagination.CursorPages",
    "PAGE_SIZE": 100,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "syncsvc.api.problems.problem_details",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
    ],
    # How many proxies of ours stand in front: without one, X-Forwarded-For is a stranger's word.
    "NUM_PROXIES": env.int("NUM_PROXIES", default=0),
    "DEFAULT_THROTTLE_RATES": {
        "anon": env.str("API_THROTTLE_ANON", default="60/min"),
        "user": env.str("API_THROTTLE_USER", default="1200/min"),
    },
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "UPDATE_LAST_LOGIN": True,
    # Who changes a password wants whoever knew it out: no token of before is taken any more.
    "CHECK_REVOKE_TOKEN": True,
    # Its own key, and long enough however short SECRET_KEY was chosen.
    "SIGNING_KEY": hashlib.sha256(f"jwt {SECRET_KEY}".encode()).hexdigest(),
}
SPECTACULAR_SETTINGS = {
    "TITLE": "GitHub mirror",
    "DESCRIPTION": (
        "Repositories, issues, pull requests and commits of GitHub installations, mirrored and measured. "
        "Times are RFC 3339 in UTC; lists are paged by cursor; errors are problem details (RFC 9457)."
    ),
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "validatorUrl": None,  # else the page asks a host of others for a badge
    },
    "ENUM_NAME_OVERRIDES": {
        "InstallationStatus": "syncsvc.models.Installation.Status",
        "InstallationMode": "syncsvc.models.Installation.Mode",
        "DeliveryStatus": "syncsvc.models.Delivery.Status",
        "JobStatus": "syncsvc.models.SyncJob.Status",
        "JobMode": "syncsvc.models.SyncJob.Mode",
        "RepositoryStatus": "syncsvc.models.Repository.Status",
        "DeadLetterKind": "syncsvc.models.DeadLetter.Kind",
        "DeadLetterStatus": "syncsvc.models.DeadLetter.Status",
        "ReviewStatus": "reconciliation.models.Review.Status",
        "AuditKind": "reconciliation.models.AuditEntry.Kind",
        "IncidentStatus": "alerts.models.Incident.Status",
        "IncidentSeverity": "alerts.models.Incident.Severity",
    },
}

UNFOLD = admin_look.UNFOLD

# --- GitHub -----------------------------------------------------------------------------------

GITHUB_API_URL = env.str("GITHUB_API_URL", default="https://api.github.com").rstrip("/")
GITHUB_GRAPHQL_URL = env.str("GITHUB_GRAPHQL_URL", default="")
GITHUB_APP_ID = env.str("GITHUB_APP_ID", default="")
GITHUB_APP_PRIVATE_KEY = env.str("GITHUB_APP_PRIVATE_KEY", default="", multiline=True)
GITHUB_WEBHOOK_SECRET = env.list("GITHUB_WEBHOOK_SECRET", default=[])
GITHUB_TOKEN = env.str("GITHUB_TOKEN", default="")
GITHUB_OWNER = env.str("GITHUB_OWNER", default="")
# Set by `make run` when it mirrors the simulator: every page then says so.
SYNC_DEMO = env.bool("SYNC_DEMO", default=False)

# Set, `/metrics` answers only its bearer and staff; unset, everybody (it names nobody).
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# Asked for once a minute, with /fail behind it while something is silent. Its path is a secret.
HEALTHCHECK_PING_URL = env.str("HEALTHCHECK_PING_URL", default="")
if HEALTHCHECK_PING_URL and not (
    urlsplit(HEALTHCHECK_PING_URL).scheme in ("http", "https")
    and urlsplit(HEALTHCHECK_PING_URL).hostname
):
    raise ImproperlyConfigured("HEALTHCHECK_PING_URL must be an http or https address.")

# --- Logs and errors --------------------------------------------------------------------------

LOGGING_CONFIG = None
logs.configure(level=env.str("LOG_LEVEL", default="INFO"))
SENTRY_DSN = env.str("SENTRY_DSN", default="")
if SENTRY_DSN:
    logs.configure_sentry(SENTRY_DSN)
