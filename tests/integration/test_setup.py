"""The set-up by clicks, over HTTP against the real simulator: from nothing to the first sync's data."""

import json
import re
import time
from datetime import timedelta
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from config import demo
from reconciliation.models import AuditEntry
from syncsvc import clock, connect, credentials, vault
from syncsvc.github.errors import ConfigurationError
from syncsvc.management.commands import serve
from syncsvc.models import Credential, Installation, SyncJob
from syncsvc.setup import demo_end, store
from syncsvc.simulator import Fault, Simulator
from tests.contract import validate_response
from tests.factories import InstallationFactory, UserFactory
from tests.people_support import browser, staff
from tests.support import assert_equal_to_truth, run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("socket_enabled")]

CANARY = "canary-of-a-secret"


@pytest.fixture
def github(simulator: Simulator, settings: Settings) -> Simulator:
    """A GitHub that nobody has told us how to reach yet."""
    settings.GITHUB_API_URL = simulator.url
    settings.BASE_URL = "http://testserver"
    settings.GITHUB_WEBHOOK_SECRET = []
    settings.ALLOWED_HOSTS = ["testserver"]
    return simulator


@pytest.fixture
def boss(github: Simulator) -> Client:
    """A superuser's browser."""
    return browser(staff())


def begin(client: Client, **fields: str) -> tuple[str, str]:
    """The page that leads to GitHub: where its form goes, and the manifest in it."""
    given = {"name": "Mirror of Octo", "organization": "", "webhook_url": ""} | fields
    page = client.post("/setup/app/new/", given)
    assert page.status_code == 200, page.content
    text = page.content.decode()
    action = re.search(r'action="(http[^"]+)"', text)
    manifest = re.search(r'name="manifest"\s+value="([^"]+)"', text)
    assert action is not None
    assert manifest is not None
    return unescape(action[1]), unescape(manifest[1])


def at_github(action: str, manifest: str) -> str:
    """What the browser then does: posts the form, and is led back; the path it asks us for."""
    answer = requests.post(action, data={"manifest": manifest}, allow_redirects=False, timeout=5)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["Location"])
    assert f"{back.scheme}://{back.netloc}" == "http://testserver"
    return f"{back.path}?{back.query}"


def said(client: Client, path: str = "/setup/") -> str:
    """The text of a page."""
    page = client.get(path)
    assert page.status_code == 200
    return unescape(re.sub(r"<[^>]+>|\s+", " ", page.content.decode()))


@pytest.mark.spec("R2.1", "R19.4")
def test_from_nothing_to_the_first_syncs_data(boss: Client, github: Simulator) -> None:
    assert "Nothing set up yet" in said(boss)
    action, manifest = begin(boss, webhook_url="http://testserver/webhooks/github/")
    back = at_github(action, manifest)

    assert boss.get(back)["Location"] == "/setup/"
    row = Credential.objects.get()
    assert (row.app_id, row.name, row.slug) == (
        str(github.app_id),
        "Mirror of Octo",
        "mirror-of-octo",
    )
    hook = github.world.app_hook()
    assert hook is not None
    assert credentials.webhook_secrets() == (hook.secret,)
    assert (
        f"{github.root_url}/apps/mirror-of-octo/installations/new"
        in boss.get("/setup/").content.decode()
    )

    assert boss.post("/setup/find/")["Location"] == "/setup/"
    page = said(boss)
    assert "2 accounts found; 2 first syncs started" in re.sub(r"\s+", " ", page)
    jobs = SyncJob.objects.all()
    assert {job.trigger for job in jobs} == {"initial"}
    for job in list(jobs):
        assert run(job.pk).status == SyncJob.Status.SUCCEEDED
    for installation in Installation.objects.all():
        assert_equal_to_truth(github.world, installation)
    assert "2 of 2 done" in re.sub(r"\s+", " ", said(boss))
    assert boss.post("/setup/find/")["Location"] == "/setup/"  # again: nothing twice
    assert SyncJob.objects.count() == 2


def test_the_manifest_asks_for_what_is_needed_and_no_more(boss: Client, github: Simulator) -> None:
    action, text = begin(
        boss,
        webhook_url="https://mirror.example.org/webhooks/github/",
        organization="@octo-simulated",
    )
    manifest = json.loads(text)
    assert set(manifest["default_permissions"].values()) == {"read"}
    assert set(manifest["default_permissions"]) == {
        "metadata",
        "contents",
        "issues",
        "pull_requests",
    }
    assert manifest["default_events"] == ["issues", "public", "pull_request", "push", "repository"]
    assert manifest["redirect_url"] == "http://testserver/setup/github/"
    assert manifest["public"] is False
    assert urlsplit(action).path == "/organizations/octo-simulated/settings/apps/new"
    assert "hook_attributes" not in json.loads(begin(boss)[1])


def test_only_the_page_that_leads_to_github_may_send_a_form_there(
    boss: Client, github: Simulator
) -> None:
    given = {"name": "Mirror", "organization": "", "webhook_url": ""}
    policy = boss.post("/setup/app/new/", given)["Content-Security-Policy"]
    assert f"form-action 'self' {github.root_url}" in policy
    assert github.root_url not in boss.get("/setup/")["Content-Security-Policy"]


@pytest.mark.spec("R19.4")
def test_an_answer_of_github_counts_once_and_only_for_who_asked(
    boss: Client, github: Simulator
) -> None:
    back = at_github(*begin(boss))
    code = parse_qs(urlsplit(back).query)["code"][0]
    other = browser(staff())
    assert other.get(back)["Location"] == "/setup/"
    assert "used already" in said(other)
    assert not Credential.objects.exists()

    forged = f"/setup/github/?{urlencode({'code': code, 'state': 'made-up'})}"
    assert "used already" in said_after(boss, forged)
    assert not Credential.objects.exists()

    boss.get(back)
    first = Credential.objects.values().get()
    github.reset_log()
    assert "used already" in said_after(boss, back)  # reload, back, double click
    assert Credential.objects.values().get() == first
    assert not github.requests("/app-manifests")


def said_after(client: Client, path: str) -> str:
    """What the set-up says after that address."""
    assert client.get(path)["Location"] == "/setup/"
    return said(client)


def test_a_ticket_is_too_old_after_an_hour(boss: Client, github: Simulator) -> None:
    with time_machine.travel(clock.now() - timedelta(seconds=3605), tick=False):
        action, manifest = begin(boss)
    back = at_github(action, manifest)
    assert "older than an hour" in said_after(boss, back)
    assert not Credential.objects.exists()


def test_a_code_that_github_does_not_take_any_more_is_a_sentence(
    boss: Client, github: Simulator
) -> None:
    back = at_github(*begin(boss))
    github.keys.codes.clear()
    assert "works once, and for an hour" in said_after(boss, back)
    assert not Credential.objects.exists()


def test_a_github_that_is_away_while_the_key_is_fetched_is_a_sentence(
    boss: Client, github: Simulator
) -> None:
    back = at_github(*begin(boss))
    github.faults.add(Fault(kind="status", status=502, path_regex="/app-manifests", times=9))
    assert "its key could not be fetched" in said_after(boss, back)


def test_of_two_superusers_at_once_the_second_is_told(boss: Client, github: Simulator) -> None:
    other = browser(staff())
    mine, theirs = begin(boss), begin(other, name="Second mirror")
    boss.get(at_github(*mine))
    row = Credential.objects.values().get()
    assert "Another App was set up here meanwhile" in said_after(other, at_github(*theirs))
    assert Credential.objects.values().get() == row

    form = {"app_id": "1", "key": github.private_key_pem, "seen": store.NONE}
    form["app_id"] = str(github.app_id)
    page = other.post("/setup/app/", form)
    assert page.status_code == 400
    assert "Somebody else changed this meanwhile" in page.content.decode()
    assert Credential.objects.values().get() == row


def test_an_app_that_exists_is_tried_and_stored(boss: Client, github: Simulator) -> None:
    key = SimpleUploadedFile("key.pem", github.private_key_pem.encode())
    form = {
        "app_id": f" {github.app_id} ",
        "key_file": key,
        "webhook_secret": "new, old",
        "seen": store.NONE,
    }
    assert boss.post("/setup/app/", form)["Location"] == "/setup/"
    assert credentials.webhook_secrets() == ("new", "old")
    assert connect.app_id() == str(github.app_id)
    with connect.app_client() as client:
        assert len(client.installations()) == 2
    form = {
        "app_id": str(github.app_id),
        "key": github.private_key_pem,
        "seen": store.version("app"),
    }
    assert "tick the box" in boss.post("/setup/app/", form).content.decode()
    assert boss.post("/setup/app/", form | {"replace": "yes"})["Location"] == "/setup/"
    assert credentials.webhook_secrets() == ("new", "old")  # of the very same App


PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"app_id": "abc"}, "id is a number"),
        ({"app_id": "999"}, "GitHub knows no App with the id 999"),
        ({"key": ""}, "Paste the private key, or choose its .pem file"),
        ({"key": "/etc/passwd"}, "This is no private key"),
        ({"key": PUBLIC_KEY}, "holds a public key"),
        ({"key": "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----"}, "is not a private key"),
        ({"webhook_secret": "a,b,c"}, "two with a comma"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pasted_app_is_said(
    boss: Client, github: Simulator, fields: dict[str, str], sentence: str
) -> None:
    form = {
        "app_id": str(github.app_id),
        "key": github.private_key_pem,
        "seen": store.NONE,
    } | fields
    page = boss.post("/setup/app/", form)
    assert page.status_code == 400
    assert sentence in unescape(page.content.decode())
    assert "PRIVATE KEY-----" not in page.content.decode()
    assert not Credential.objects.exists()


def test_a_clock_that_is_wrong_is_named(boss: Client, github: Simulator) -> None:
    github.advance(3600)
    form = {"app_id": str(github.app_id), "key": github.private_key_pem, "seen": store.NONE}
    assert "this machine&#x27;s clock is wrong" in boss.post("/setup/app/", form).content.decode()


def test_a_token_is_tried_and_stored(boss: Client, github: Simulator) -> None:
    form = {"token": github.token, "owner": "", "seen": store.NONE}
    assert boss.post("/setup/token/", form)["Location"] == "/setup/"
    assert connect.token_owner() == github.token_owner
    boss.post("/setup/find/")
    assert [row.account_login for row in Installation.objects.all()] == [github.token_owner]


@pytest.mark.parametrize(
    ("fields", "refusal", "sentence"),
    [
        ({"token": "ghp_gone"}, None, "expired, was revoked"),
        ({"token": "two words"}, None, "holds characters that no token has"),
        ({"owner": "nobody-here"}, None, "knows no account"),
        ({"owner": "no/such"}, None, "is no name of an account"),
        ({}, "Resource protected by organization SAML enforcement.", "single sign-on"),
        ({}, "Resource not accessible by personal access token", "may not read the repositories"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_token_is_said(
    boss: Client, github: Simulator, fields: dict[str, str], refusal: str | None, sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if refusal:
        github.faults.add(
            Fault(kind="status", status=403, path_regex="/user/repos", message=refusal)
        )
    form = {"token": github.token, "owner": github.token_owner, "seen": store.NONE} | fields
    page = boss.post("/setup/token/", form)
    assert page.status_code == 400
    assert sentence in unescape(page.content.decode())
    assert github.token not in page.content.decode()
    assert not Credential.objects.exists()


@pytest.mark.spec("R19.4", "R11.2")
def test_no_secret_is_ever_shown_logged_or_kept_in_clear(
    boss: Client,
    github: Simulator,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = {
        "app_id": str(github.app_id),
        "key": github.private_key_pem,
        "webhook_secret": CANARY,
        "seen": store.NONE,
    }
    boss.post("/setup/app/", app)
    boss.post(
        "/setup/token/",
        {"token": github.token, "owner": "", "webhook_secret": CANARY, "seen": store.NONE},
    )
    secrets = [CANARY, github.token, github.private_key_pem.splitlines()[3]]
    pages = [
        "/setup/", "/setup/app/", "/setup/token/", "/setup/app/remove/", "/setup/app/secret/", "/doctor/",
        "/system/", "/", "/admin/", "/admin/syncsvc/credential/", "/api/v1/audit-log/",
        "/api/v1/config/", "/metrics", "/readyz",
    ]  # fmt: skip
    pages += [f"/admin/syncsvc/credential/{row.pk}/change/" for row in Credential.objects.all()]
    shown = "".join(boss.get(path).content.decode() for path in pages)
    for row in Credential.objects.values():
        shown += "".join(
            bytes(v).decode() if isinstance(v, memoryview | bytes) else str(v) for v in row.values()
        )
    entries = list(AuditEntry.objects.values("kind", "actor_name", "detail"))
    assert {(e["kind"], e["detail"].get("decision")) for e in entries} >= {
        ("configuration", "stored")
    }
    shown += str(entries) + repr(credentials.current()) + caplog.text + "".join(capfd.readouterr())
    for secret in secrets:
        assert secret not in shown
    assert credentials.current().token is not None


def test_removing_asks_first_and_is_audited(boss: Client, github: Simulator) -> None:
    boss.post("/setup/token/", {"token": github.token, "owner": "", "seen": store.NONE})
    assert "Remove it" in said(boss, "/setup/token/remove/")
    assert Credential.objects.exists()
    boss.post("/setup/token/remove/", {"seen": "stale"})
    assert Credential.objects.exists()
    boss.post("/setup/token/remove/", {"seen": store.version("token")})
    assert not Credential.objects.exists()
    assert not connect.has_token()
    assert [
        e.detail["decision"] for e in AuditEntry.objects.filter(kind="configuration").order_by("id")
    ] == ["stored", "removed"]
    assert boss.get("/setup/token/remove/").status_code == 404


def test_the_webhook_secret_is_changed_with_both_in_force(boss: Client, github: Simulator) -> None:
    boss.post(
        "/setup/token/",
        {"token": github.token, "owner": "", "webhook_secret": "old", "seen": store.NONE},
    )
    assert (
        boss.post(
            "/setup/token/secret/", {"webhook_secret": "new,", "seen": store.version("token")}
        ).status_code
        == 400
    )
    boss.post("/setup/token/secret/", {"webhook_secret": "new,old", "seen": store.version("token")})
    assert credentials.webhook_secrets() == ("new", "old")
    assert connect.has_token()


@pytest.mark.parametrize(
    "path",
    ["/setup/", "/setup/app/new/", "/setup/app/", "/setup/token/", "/setup/github/?code=a&state=b"],
)
def test_only_superusers_get_in(github: Simulator, path: str) -> None:
    assert Client().get(path).status_code == 302
    assert browser(UserFactory.create()).get(path).status_code == 403
    assert browser(UserFactory.create(is_staff=True)).get(path).status_code == 403


def test_the_environment_goes_before_what_was_stored(
    boss: Client, github: Simulator, settings: Settings
) -> None:
    boss.post("/setup/token/", {"token": github.token, "owner": "", "seen": store.NONE})
    settings.GITHUB_TOKEN = CANARY
    settings.GITHUB_OWNER = "somebody"
    assert connect.token_owner() == "somebody"
    page = said(boss)
    assert "GITHUB_TOKEN" in page
    assert "environment decides" in page
    assert CANARY not in page


@pytest.mark.spec("R19.4")
def test_secrets_of_a_lost_key_are_a_sentence_everywhere(
    boss: Client, github: Simulator, settings: Settings
) -> None:
    app = {
        "app_id": str(github.app_id),
        "key": github.private_key_pem,
        "webhook_secret": "s",
        "seen": store.NONE,
    }
    boss.post("/setup/app/", app)
    settings.FIELD_ENCRYPTION_KEYS = ["another key"]
    credentials.forget()
    assert "no longer in FIELD_ENCRYPTION_KEYS" in said(boss)
    assert "no longer in FIELD_ENCRYPTION_KEYS" in said(boss, "/doctor/")
    assert credentials.webhook_secrets() == ()
    boss.post("/setup/find/")
    assert "no longer in FIELD_ENCRYPTION_KEYS" in said(boss)
    assert boss.post("/webhooks/github/", b"{}", content_type="application/json").status_code == 401
    with pytest.raises(ConfigurationError, match="FIELD_ENCRYPTION_KEYS"):
        connect.app_client()


def test_reading_credentials_costs_a_query_every_few_seconds(
    github: Simulator,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boss_user = staff()
    store.save_token(boss_user, seen=store.NONE, token="ghp_x", owner="octo", webhook_secret="s")
    with django_assert_num_queries(1):
        for _ in range(100):
            assert connect.has_token()
            assert not connect.has_app()
            assert credentials.webhook_secrets() == ("s",)
    opened: list[bytes] = []
    plain = vault.decrypt

    def counted(stored: bytes | memoryview) -> str:
        opened.append(bytes(stored))
        return plain(stored)

    monkeypatch.setattr(vault, "decrypt", counted)
    later = time.monotonic() + credentials.FRESH_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with django_assert_num_queries(1):
        assert connect.token_owner() == "octo"
    assert not opened  # nothing changed, so nothing is decrypted again
    Credential.objects.update(owner="other", updated_at=clock.now())
    monkeypatch.setattr(time, "monotonic", lambda: later + 4)
    assert connect.token_owner() == "other"  # another process changed it


def test_the_demo_is_left_by_a_click_and_a_restart(
    boss: Client,
    github: Simulator,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "var_dir", lambda: tmp_path)
    settings.SYNC_DEMO = True
    assert demo.is_wanted({})
    assert "Leave the demo" in said(boss)
    assert (
        boss.get("/setup/token/")["Location"] == "/setup/"
    )  # nobody's real token goes to the simulator
    boss.post("/setup/leave-demo/")
    assert "The demo ends with the next start" in said(boss)
    assert not demo.is_wanted({})

    account = github.world.account("octo-simulated")
    InstallationFactory.create(account_id=account.id, account_login=account.login)
    real = InstallationFactory.create(account_login="real")
    assert demo_end.forget_what_was_simulated(github.world) == 1
    assert list(Installation.objects.all()) == [real]
    assert demo_end.forget_what_was_simulated(github.world) == 0


def test_the_simulators_app_from_a_manifest_keeps_githubs_contract(
    github: Simulator, boss: Client
) -> None:
    back = at_github(*begin(boss, webhook_url="http://testserver/webhooks/github/"))
    code = parse_qs(urlsplit(back).query)["code"][0]
    path = f"/app-manifests/{code}/conversions"
    headers = {"User-Agent": "test"}
    answer = requests.post(github.url + path, headers=headers, timeout=5)
    assert answer.status_code == 201
    validate_response("POST", path, 201, answer.content)
    again = requests.post(github.url + path, headers=headers, timeout=5)
    assert again.status_code == 404
    validate_response("POST", path, 404, again.content)
    late = parse_qs(urlsplit(at_github(*begin(boss, name="Late"))).query)["code"][0]
    github.advance(3601)
    assert (
        requests.post(
            f"{github.url}/app-manifests/{late}/conversions", headers=headers, timeout=5
        ).status_code
        == 404
    )
    for bad in ("{}", "no json", json.dumps({"name": "x"})):
        page = requests.post(
            f"{github.root_url}/settings/apps/new",
            data={"manifest": bad},
            headers=headers,
            timeout=5,
        )
        assert page.status_code == 422


@pytest.mark.spec("R19.4")
def test_after_a_start_with_a_new_key_the_old_one_can_go(
    github: Simulator, settings: Settings
) -> None:
    settings.FIELD_ENCRYPTION_KEYS = ["old"]
    store.save_token(staff(), seen=store.NONE, token="ghp_x", owner="octo", webhook_secret="s")
    settings.FIELD_ENCRYPTION_KEYS = ["new", "old"]
    assert store.renew_encryption() == 1
    assert store.renew_encryption() == 0
    settings.FIELD_ENCRYPTION_KEYS = ["new"]
    credentials.forget()
    assert credentials.current().troubles == ()
    assert credentials.webhook_secrets() == ("s",)
    settings.FIELD_ENCRYPTION_KEYS = ["lost"]
    assert store.renew_encryption() == 0  # it is not lost: who has the key may still read it
    settings.FIELD_ENCRYPTION_KEYS = ["new"]
    credentials.forget()
    assert credentials.current().troubles == ()


def test_there_is_no_demo_where_an_account_was_set_up_by_clicks(
    github: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "var_dir", lambda: tmp_path)
    monkeypatch.setattr(serve, "call_command", lambda *_: None)
    serve._prepare()
    store.save_token(staff(), seen=store.NONE, token="ghp_x", owner="octo", webhook_secret="")
    with pytest.raises(SystemExit) as ended:
        serve._prepare()
    assert ended.value.code == serve.SET_UP
