"""Words from which a believable account is made: names, descriptions, topics, licences."""

PREFIXES = (
    "atlas", "aurora", "basalt", "beacon", "birch", "cascade", "cobalt", "comet", "copper",
    "coral", "delta", "drift", "ember", "falcon", "fjord", "flint", "forge", "garnet", "glacier",
    "harbor", "hazel", "helium", "indigo", "iris", "juniper", "kestrel", "lantern", "lumen",
    "maple", "meridian", "mosaic", "nimbus", "nova", "onyx", "orbit", "osprey", "pebble", "pine",
    "prism", "quartz", "raven", "reef", "ripple", "saffron", "sierra", "slate", "spruce",
    "summit", "tundra", "willow",
)  # fmt: skip
SUFFIXES = (
    "admin", "agent", "analytics", "api", "auth", "billing", "bot", "cache", "cli", "client",
    "config", "console", "core", "dashboard", "data", "deploy", "docs", "editor", "etl", "events",
    "exporter", "gateway", "graph", "hooks", "importer", "infra", "ingest", "jobs", "kit",
    "ledger", "linter", "mailer", "metrics", "mobile", "models", "notifier", "operator", "parser",
    "pipeline", "proxy", "queue", "reports", "router", "runner", "scheduler", "schema", "sdk",
    "search", "server", "service", "site", "storage", "stream", "sync", "templates", "terraform",
    "tests", "tools", "ui", "worker",
)  # fmt: skip
DESCRIPTIONS = (
    "The {suffix} of {prefix}, kept small on purpose",
    "{prefix}: {suffix} for everyone in the company",
    "Internal {suffix}. See the handbook before you open a pull request.",
    "A fast and friendly {suffix} built on {language}",
    "🚀 {prefix} {suffix}, now with zero-downtime deploys",
    "Experiments around the {prefix} {suffix} \N{EM DASH} not for production",
    "Gemeinsame {suffix}-Bausteine für alle {prefix}-Teams",
    '{prefix} says "hello" to <{suffix}> & friends',
)
TOPICS = (
    "api", "automation", "aws", "celery", "cli", "data", "devops", "django", "docker", "golang",
    "graphql", "hacktoberfest", "http", "kubernetes", "machine-learning", "monitoring",
    "postgresql", "python", "rust", "security", "terraform", "typescript", "webhooks",
)  # fmt: skip
LANGUAGES = (
    "Python", "TypeScript", "Go", "Rust", "JavaScript", "Ruby", "Java", "Shell", "HCL", "C++",
    "Kotlin", "Jupyter Notebook", None,
)  # fmt: skip
LICENSES: dict[str, tuple[str, str]] = {
    "MIT": ("mit", "MIT License"),
    "Apache-2.0": ("apache-2.0", "Apache License 2.0"),
    "GPL-3.0": ("gpl-3.0", "GNU General Public License v3.0"),
    "BSD-3-Clause": ("bsd-3-clause", 'BSD 3-Clause "New" or "Revised" License'),
    "MPL-2.0": ("mpl-2.0", "Mozilla Public License 2.0"),
    "NOASSERTION": ("other", "Other"),
}
"""SPDX id -> (key, name). `NOASSERTION` is what GitHub says of a licence it cannot name."""
FIRST_NAMES = ("ada", "amir", "bente", "chioma", "dario", "elif", "femi", "greta", "hana", "ines")
LAST_NAMES = ("keller", "okafor", "lindqvist", "moreau", "nakamura", "petrov", "rossi", "silva")
CITIES = ("Berlin", "Lagos", "Lisbon", "Osaka", "Oslo", "Toronto", None)
