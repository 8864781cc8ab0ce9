"""How much the simulated GitHub holds can be said when it is started."""

import pytest
from django.core.management import CommandError

from syncsvc.management.commands.simulate_github import Command


def test_averages_may_be_fractions_and_have_defaults() -> None:
    parser = Command().create_parser("manage.py", "simulate_github")
    options = parser.parse_args(["--issues", "5.5556", "--commits", "0"])
    assert (options.issues, options.pull_requests, options.commits) == (5.5556, 4.0, 0.0)


@pytest.mark.parametrize("wrong", ["-1", "many", "nan", "1e9"])
def test_an_average_that_cannot_be_is_refused(wrong: str) -> None:
    parser = Command().create_parser("manage.py", "simulate_github")
    with pytest.raises(CommandError, match="is no number from 0 to"):
        parser.parse_args(["--pull-requests", wrong])
