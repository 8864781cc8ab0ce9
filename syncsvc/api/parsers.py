"""How the bodies of requests are read. Hides what Python's own reader of JSON does not take."""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JSONBody(JSONParser):
    """JSON; what is nested too deeply to be read is the sender's mistake, not ours."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """The value; ParseError (400) where there is none."""
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise ParseError("JSON parse error: it is nested too deeply.") from None
