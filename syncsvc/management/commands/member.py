"""`manage.py member`: who may see which account, and in which role."""

import argparse
import getpass
import os
import sys
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import transaction

from syncsvc.models import Installation, Membership
from syncsvc.shell import Exit, Failure, ShellCommand, installation_named


class Command(ShellCommand):
    """Adds, changes, removes and lists memberships. Doing the same twice changes nothing more."""

    help = "Lets people see an account (add), takes that back (remove), or lists who may (list)."

    def add_arguments(self, parser: CommandParser) -> None:  # type: ignore[override]  # the stubs say ArgumentParser
        """`member add|remove|list`, `--json` before or after it."""
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="add|remove|list")
        add = verbs.add_parser(
            "add",
            help="Makes a user a member, or changes the role. A user who does not exist is created, "
            "with the password in MEMBER_PASSWORD or one that is asked for.",
        )
        remove = verbs.add_parser("remove", help="Ends a membership; the user stays.")
        for verb in (add, remove):
            verb.add_argument("username")
            verb.add_argument("login", help="The GitHub account.")
        add.add_argument("--role", required=True, choices=Membership.Role.values)
        for verb in (add, remove, verbs.add_parser("list", help="Lists all memberships.")):
            verb.add_argument(
                "--json", action="store_true", default=argparse.SUPPRESS, help="Print JSON."
            )

    def run(self, **options: Any) -> Exit:
        """Does what the verb says."""
        if options["verb"] == "add":
            self._add(options)
        elif options["verb"] == "remove":
            self._remove(options)
        else:
            self._list(options)
        return Exit.DONE

    def _add(self, options: dict[str, Any]) -> None:
        installation = _installation(options["login"])
        user = _find(options["username"])
        with transaction.atomic():
            created = user is None
            if user is None:
                user = _create(options["username"])
            member, added = Membership.objects.update_or_create(
                user=user, installation=installation, defaults={"role": options["role"]}
            )
        what = "is now" if added else "is"
        new = " The user was created." if created else ""
        self._say(
            options, member, f"{member.user} {what} {member.role} of {installation}.{new}", created
        )

    def _remove(self, options: dict[str, Any]) -> None:
        installation = _installation(options["login"])
        user = _find(options["username"])
        if user is None:
            raise Failure(
                f"There is no user {options['username']!r}: see `member list`.", Exit.USAGE
            )
        removed, _ = Membership.objects.filter(user=user, installation=installation).delete()
        self.say(
            options,
            f"{user} {'is no longer' if removed else 'was not'} a member of {installation}.",
            username=user.username,
            account_login=installation.account_login,
            removed=bool(removed),
        )

    def _list(self, options: dict[str, Any]) -> None:
        members = list(
            Membership.objects.select_related("user", "installation").order_by(
                "installation__account_login", "user__username"
            )
        )
        for member in members:
            self._say(options, member, f"{member.installation}: {member.user}, {member.role}")
        if not members and not options["json"]:
            self.stdout.write("Nobody is a member yet: `member add USERNAME LOGIN --role member`.")

    def _say(
        self,
        options: dict[str, Any],
        member: Membership,
        sentence: str,
        created: bool | None = None,
    ) -> None:
        extra = {} if created is None else {"user_created": created}
        self.say(
            options,
            sentence,
            username=member.user.get_username(),
            account_login=member.installation.account_login,
            role=member.role,
            **extra,
        )


def _installation(login: str) -> Installation:
    found = installation_named(login)
    if found is None:
        raise Failure(
            f"No account {login!r} is mirrored here: check its spelling, or run "
            "`python manage.py discover` first.",
            Exit.USAGE,
        )
    return found


def _find(username: str) -> User | None:
    return User.objects.filter(username=username).first()


def _create(username: str) -> User:
    user = User(username=username)
    password = _password(username)
    try:
        user.full_clean(exclude=["password"])
        validate_password(password, user)
    except ValidationError as error:
        raise Failure(f"The user cannot be created: {' '.join(error.messages)}") from error
    user.set_password(password)
    user.save()
    return user


def _password(username: str) -> str:
    given = os.environ.get("MEMBER_PASSWORD", "")
    if given:
        return given
    if not sys.stdin.isatty():
        raise Failure(
            f"There is no user {username!r} yet: set MEMBER_PASSWORD to create one, or run this "
            "command on a terminal to be asked.",
            Exit.USAGE,
        )
    first = getpass.getpass(f"Password for the new user {username}: ")
    if first != getpass.getpass("The same again: "):
        raise Failure("The two passwords differ: nothing was changed.", Exit.USAGE)
    return first
