"""Words from which believable issues, pull requests and commits are made."""

LABELS: tuple[tuple[str, str, str | None, bool], ...] = (
    ("bug", "d73a4a", "Something isn't working", True),
    ("documentation", "0075ca", "Improvements or additions to documentation", True),
    ("duplicate", "cfd3d7", "This issue or pull request already exists", True),
    ("enhancement", "a2eeef", "New feature or request", True),
    ("good first issue", "7057ff", "Good for newcomers", True),
    ("help wanted", "008672", "Extra attention is needed", True),
    ("question", "d876e3", "Further information is requested", True),
    ("wontfix", "ffffff", "This will not be worked on", True),
    ("security", "b60205", "Handle with care", False),
    ("regression", "e11d21", "It used to work", False),
    ("blocker", "000000", None, False),
    ("critical", "b60205", None, False),
    ("high", "d93f0b", None, False),
    ("priority: high", "d93f0b", None, False),
    ("severity: high", "d93f0b", None, False),
    ("severity: medium", "fbca04", None, False),
    ("severity: low", "0e8a16", None, False),
    ("P1", "b60205", None, False),
    ("in progress", "1d76db", "Somebody is at it", False),
    ("area/api", "c5def5", None, False),
    ("übersetzung 🌍", "bfdadc", "Texte in anderen Sprachen", False),
)
"""Name, colour, description, whether GitHub creates it with every repository."""
RARE_LABELS = frozenset({"blocker", "critical", "security", "P1", "duplicate", "wontfix"})

VERBS = ("Fix", "Add", "Remove", "Document", "Speed up", "Rework", "Test", "Support", "Log")
SUBJECTS = (
    "the retry of failed uploads", "a race in the scheduler", "pagination of large listings",
    "the Dockerfile", "dark mode", "time zones in reports", "an index on created_at",
    "the login page on phones", "webhook signatures", "the CSV export", "memory use of imports",
    "flaky tests", "rate limits", "the changelog", "Unicode in file names 🐙", "the health check",
)  # fmt: skip
COMPLAINTS = (
    "Crash when {subject} meets an empty list", "{subject} is slow since the last release",
    "Question about {subject}", "Feature request: {subject}", "{subject}: 500 on Mondays",
    "💥 {subject} loses data", "Umlaute in {subject} zerstören die Anzeige",
)  # fmt: skip
PARAGRAPHS = (
    "Steps to reproduce:\n\n1. Start it\n2. Wait\n3. Look at the log\n",
    "I expected this to work as documented.",
    "```python\nraise ValueError(\"what now?\")\n```",
    "See also #1 and @somebody. <script>alert('no')</script> & \"quotes\"",
    "It happens on macOS 15 and on Ubuntu 24.04, with and without the proxy.",
    "Thanks for this project! 🙏🏽 👩‍💻 日本語もどうぞ",
    "- [x] tests\n- [ ] documentation\n",
)  # fmt: skip
MESSAGES = (
    "{verb} {subject}", "{verb} {subject} (#{number})", "chore: {subject}", "fix(api): {subject}",
    "Merge branch 'topic' into main", "🎨 {verb} {subject}",
    "{verb} {subject}\n\nThe old way did not survive its first Monday.\n\nCloses #{number}",
)  # fmt: skip
SECOND_LANGUAGES = ("Shell", "Dockerfile", "HTML", "CSS", "Makefile", "JavaScript", "Python")
GIVEN = ("noor", "kofi", "lena", "mateo", "yuki", "zoe", "tariq", "signe", "paulo", "wanda")
FAMILY = ("abara", "berg", "costa", "dubois", "eriksen", "fujita", "gruber", "horvat", "ivanov")
