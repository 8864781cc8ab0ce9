#!/usr/bin/env python
"""Entry point of every command: `python manage.py <command>`."""

import json
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415  (the environment comes first)
    from django.core.management import execute_from_command_line  # noqa: PLC0415  (the environment comes first)

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A sentence that says what to set; a traceback would hide it.
        if "--json" in sys.argv:
            print(json.dumps({"error": str(error)}))  # noqa: T201  (its answer)
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
