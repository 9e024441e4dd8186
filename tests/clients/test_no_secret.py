"""No secret gets anywhere but where it has to be.

A day of a backup service, with everything that fails in it, at the most talkative log level and with secrets that cannot be
mistaken for anything else. Then everything that it has left or told is searched for them: the log, the metadata, the
storage, every answer; and while it runs, the arguments, environments and files of what it starts.

What is beyond reach: the memory of a running process, and what is left in it of buffers that were given back.
"""

import base64
import http.server
import json
import pathlib
import secrets
import threading
import time
import unittest

import harness  # first: it says where the quickstart's modules are
import bodies
from rest import RequestFailed
from terminal import Failure


def canary(name):
    return f"canary{name}{secrets.token_hex(12)}"


class Watcher(threading.Thread):
    """Looks at every process that one has started, and at the files in a directory, as long as it is let."""

    def __init__(self, pid, directory, needles):
        super().__init__(daemon=True)
        self.pid, self.directory, self.needles = pid, pathlib.Path(directory), needles
        self.over = threading.Event()
        self.seen = set()
        self.found = set()
        self.limits = set()

    def run(self):
        while not self.over.wait(0.002):
            for pid in self.descendants(self.pid):
                self.look(pid)
            for path in self.directory.rglob("*"):
                self.search(f"file {path.name}", self.read(path))

    def end(self):
        self.over.set()
        self.join()

    def read(self, path):
        try:
            return path.read_bytes() if path.is_file() or str(path).startswith("/proc/") else b""
        except OSError:
            return b""  # It has ended, or gone.

    def descendants(self, pid):
        found = []
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            for child in self.read(task).split():
                found += [int(child), *self.descendants(int(child))]
        return found

    def look(self, pid):
        process = pathlib.Path(f"/proc/{pid}")
        arguments = self.read(process / "cmdline")
        program = arguments.split(b"\0")[0].decode(errors="replace").rsplit("/", 1)[-1]
        if program == harness.BINARY.name:
            return  # Still the service itself, about to become something else.
        self.search(f"arguments of {program}", arguments)
        for variable in self.read(process / "environ").split(b"\0"):
            name = variable.split(b"=")[0].decode(errors="replace")
            self.search(f"variable {name} of {program}", variable)
        for line in self.read(process / "limits").decode(errors="replace").splitlines():
            if line.startswith("Max core file size"):
                self.limits.add((program, *line.split()[4:6]))
        if program:
            self.seen.add(program)

    def search(self, where, content):
        for name, needle in self.needles.items():
            if needle.encode() in content:
                self.found.add((where, name))


class NoSecret(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.world.create_database("small")

    def test_everything_is_searched(self):
        world = self.world
        needles = {name: canary(name) for name in ("webhook", "webhookurl", "metrics", "azure", "aws", "blob", "sas")}
        needles["storagekey"] = canary("storagekey")
        needles["accountkey"] = base64.b64encode(canary("accountkey").encode()).decode()
        needles["malformed"] = canary("malformed")
        needles["wrong"] = canary("wrong")
        needles["backup"] = world.backup_password
        needles["admin"] = world.postgres.password
        needles["client"] = world.env["AZURE_CLIENT_SECRET"]
        hook, taken = self.webhook()
        self.reconfigure(needles, hook)
        watcher = Watcher(world.coffer.process.pid, world.directory / "tmp", needles)
        watcher.start()
        try:
            day = self.walk(needles)
        finally:
            watcher.end()
        deadline = time.monotonic() + 60
        while not taken and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertTrue(taken, "no alert was sent")
        needles["token"] = world.client.token().rsplit(".", 1)[1]
        answers = self.answers(day)
        world.coffer.stop()

        self.assertLessEqual({"pg_dump", "pg_restore"}, watcher.seen)
        # The one way in which the tools get a password. Their environment is theirs and root's to read.
        variables = {where for where, name in watcher.found if name in ("backup", "admin")}
        self.assertEqual(variables, {"variable PGPASSWORD of pg_dump", "variable PGPASSWORD of pg_restore"})
        others = {entry for entry in watcher.found if entry[1] not in ("backup", "admin")}
        self.assertEqual(others, set())
        self.assertTrue(watcher.limits)
        self.assertEqual({limits[1:] for limits in watcher.limits}, {("0", "0")}, "a tool could leave a core dump")

        texts = {
            "log": world.coffer.log_path.read_bytes(),
            "answers": json.dumps(answers).encode(),
            "alerts": b"\n".join(taken),
        }
        for path in world.coffer.data.rglob("*"):
            # It is what this file is for.
            if path.is_file() and path.name != "client.env":
                texts[str(path.relative_to(world.coffer.data))] = path.read_bytes()
        self.assertGreater(len(texts["log"]), 1_000_000, "the log is not as talkative as it was to be")
        # What is no secret is found in each of them: they are what they are taken for.
        for where in ("log", "answers", "alerts", "metadata.db"):
            self.assertIn(b"UserErrorDBUserAuthFailed", texts[where], where)
        found = set()
        for where, content in texts.items():
            for name, needle in needles.items():
                forms = (needle.encode(), base64.b64encode(needle.encode())[:-4], needle.encode().hex().encode())
                found |= {(where, name) for form in forms if form in content}
        self.assertEqual(found, set())

    def webhook(self):
        """Takes what is posted to it."""
        taken = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                taken.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}/hook", taken

    def reconfigure(self, needles, hook):
        world = self.world
        world.coffer.stop()
        (world.directory / "tmp").mkdir()
        configuration = world.directory / "coffer.toml"
        subscription = world.env["AZURE_SUBSCRIPTION_ID"]
        configuration.write_text(
            f"""
            [alerts]
            webhook_url = "{hook}?token={needles['webhookurl']}"
            webhook_secret = "{needles['webhook']}"
            [key_vault.azure]
            tenant_id = "tenant"
            client_id = "client"
            client_secret = "{needles['azure']}"
            authority = "https://127.0.0.1:1"
            timeout_seconds = 1
            hosts = {{ "nowhere.vault.azure.net" = "/subscriptions/{subscription}" }}
            addresses = {{ "nowhere.vault.azure.net" = "127.0.0.1:1" }}
            [storage.farwest]
            url = "s3://acme"
            endpoint = "http://127.0.0.1:1"
            region = "us-east-1"
            access_key_id = "id"
            secret_access_key = "{needles['storagekey']}"
            [storage.fareast]
            url = "https://acme.blob.core.windows.net/vaults"
            endpoint = "http://127.0.0.1:1/acme"
            account_key = "{needles['accountkey']}"
            [metrics]
            token = "{needles['metrics']}"
            """
        )
        world.coffer.configuration = configuration
        world.restart(
            {
                "COFFER_LOG": "trace",
                "TMPDIR": str(world.directory / "tmp"),
                "AWS_SECRET_ACCESS_KEY": needles["aws"],
                "AZURE_STORAGE_ACCOUNT_KEY": needles["blob"],
            }
        )

    def walk(self, needles):
        """Validation, backup and restore, well and in every way that a secret has a part in their failing."""
        world = self.world
        day = world.day("secrets")
        day.create_vault()
        day.create_policy()
        day.grant_vault()
        day.describe_instance("small")
        day.validate()
        malformed = f"Server=x;Passw0rd={needles['malformed']};postgres://u:{needles['malformed']}"
        wrong = f"postgres://coffer_backup:{needles['wrong']}@127.0.0.1/small"
        for name, value in (("malformed", malformed), ("wrong", wrong)):
            self.validate_with(day, day.set_secret(name, value))
        # Storages that nobody answers for: begun, and still tried when everything is over.
        for location in ("farwest", "fareast"):
            path = f"{day.vault.rsplit('/', 1)[0]}/vault-{location}"
            day.client.put(path, bodies.vault(location))
        # One that is in Azure, where nobody answers.
        key_vault = f"{day.groups[0]}/providers/Microsoft.KeyVault/vaults/nowhere"
        day.client.put(key_vault, {"location": day.location, "properties": {}}, api_version="2023-07-01")
        role = "4633458b-17de-408a-b874-0445c86b69e6"
        day._assign(key_vault, role, day.principal)
        self.validate_with(day, "https://nowhere.vault.azure.net/secrets/login")
        # A value in the request itself, and a signature in a URL, are the client's mistake, and still nobody else's.
        self.validate_with(day, day.reader_secret, value=needles["malformed"])

        day.configure()
        day.backup()
        point = day.recovery_points()[0]["properties"]["recoveryPointId"]
        day.restore(day.restore_request(point, "restored", day.admin_secret))
        day.restore(day.restore_files_request(point, "restored", "archive"))
        signed = day.restore_files_request(point, "restored", "signed")
        signed["restoreTargetInfo"]["targetDetails"]["url"] += f"?sv=2022-11-02&sig={needles['sas']}"
        with self.assertRaises((RequestFailed, Failure)):
            day.restore(signed)
        day.set_secret("backup-login", wrong)
        with self.assertRaises(Failure):
            day.backup()
        with self.assertRaises(Failure):
            day.restore(day.restore_request(point, "again", day.reader_secret))
        return day

    def validate_with(self, day, uri, value=None):
        properties = json.loads(json.dumps(day.instance_properties))
        properties["dataSourceInfo"]["resourceID"] = properties["dataSourceInfo"]["resourceID"]
        properties["datasourceAuthCredentials"] = {
            "objectType": "SecretStoreBasedAuthCredentials",
            "secretStoreResource": {"secretStoreType": "AzureKeyVault", "uri": uri, "value": value},
        }
        body = {"backupInstance": properties}
        answer = day.client.post(f"{day.vault}/validateForBackup", body, expect=(202,))
        if value is not None:
            day.client.wait(answer, "validate")
            return
        with self.assertRaises(RequestFailed):
            day.client.wait(answer, "validate")

    def answers(self, day):
        """Everything that can be read of this day."""
        client = self.world.client
        read = [
            client.get(path)
            for path in (
                day.vault,
                f"{day.vault}/backupInstances",
                f"{day.vault}/backupPolicies",
                f"{day.vault}/backupJobs",
                f"{day.instance}/recoveryPoints",
                day.server,
                day.storage,
                day.key_vault,
            )
        ]
        jobs = read[3]["value"]
        self.assertGreaterEqual(len(jobs), 5)
        read += [client.get(job["id"]) for job in jobs]
        return read


if __name__ == "__main__":
    unittest.main()
