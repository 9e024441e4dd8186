"""What the client tests share: a real PostgreSQL, a real `coffer serve`, and what an Azure user has beforehand.

The quickstart's modules are used here, so the walk that newcomers see is tested on the way. Everything listens on
127.0.0.1 on free ports; everything that is started is stopped.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "samples" / "quickstart"))

import bodies  # noqa: E402
from coffer_server import CofferServer  # noqa: E402
from day import Day  # noqa: E402
from postgres import Server, quote  # noqa: E402
from rest import Client as RestClient  # noqa: E402
from specification import check  # noqa: E402

BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "coffer"
BINARY = Path(os.environ.get("COFFER_BINARY", BUILT)).absolute()
SAMPLE = ROOT / "samples" / "sample.sql"

FLEXIBLE_SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
# The role by which Azure backs flexible servers up.
LONG_TERM_RETENTION_BACKUP = "c088a766-074b-43ba-90d4-1fb21feae531"

# A database that takes no time, yet has something for every phase of a backup and a restore.
SMALL = """
CREATE TABLE numbers (n int PRIMARY KEY, t text);
INSERT INTO numbers SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i;
CREATE INDEX numbers_t ON numbers (t);
CREATE SEQUENCE counter; SELECT nextval('counter');
CREATE VIEW some_numbers AS SELECT * FROM numbers WHERE n < 10;
CREATE MATERIALIZED VIEW few_numbers AS SELECT * FROM some_numbers;
SELECT lo_from_bytea(600001, 'a large object');
"""

GRANTS = """
CREATE ROLE coffer_backup LOGIN BYPASSRLS PASSWORD :'password';
GRANT pg_read_all_data TO coffer_backup;
"""
GRANTS_IN_DATABASE = """
GRANT CONNECT ON DATABASE :"database" TO coffer_backup;
SELECT format('GRANT SELECT ON LARGE OBJECT %s TO coffer_backup', oid) FROM pg_largeobject_metadata \\gexec
"""


# The vaults of westus are copied to eastus, where they are geo-redundant.
TWO_REGIONS = """
[storage.westus]
url = "file://{directory}/first"
paired_with = "East US"

[storage.eastus]
url = "file://{directory}/second"
"""


class Client(RestClient):
    """Whose every answer is held against the published specification."""

    def _send(self, method, path, data, headers):
        answer = super()._send(method, path, data, headers)
        check(method, path, answer.status, answer.body)
        return answer


class World:
    """One PostgreSQL server, one Coffer, two subscriptions."""

    def __init__(self, configuration=None):
        """`configuration` is the text of a file for `coffer serve`, in which `{directory}` is this world's."""
        self._stack = []
        try:
            self.postgres = Server()
            self._stack.append(self.postgres.stop)
            self.directory = Path(tempfile.mkdtemp(prefix="coffer-clients-"))
            self._stack.append(lambda: shutil.rmtree(self.directory, ignore_errors=True))
            file = None
            if configuration:
                file = self.directory / "coffer.toml"
                file.write_text(configuration.replace("{directory}", str(self.directory)))
            self.coffer = CofferServer(
                BINARY, self.directory / "data", log_path=self.directory / "serve.log", configuration=file
            )
            self._stack.append(self.coffer.stop)
            self.env = self.coffer.start()
            # From now on the same port: what was answered names it.
            self.coffer.port = int(self.env["COFFER_ENDPOINT"].rsplit(":", 1)[1])
            self.client = Client(self.env)
            self.backup_password = secrets.token_hex(8)
            self.postgres.psql("postgres", GRANTS, variables={"password": self.backup_password})
            created = self.coffer.command(
                "subscription", "create", "--data-dir", self.coffer.data, "--name", "Databases", "--output", "json"
            )
            self.second_subscription = json.loads(created)["subscriptionId"]
        except BaseException:
            self.close()
            raise

    def protect_server(self, day):
        """Turns a day's instance into the whole server, registered as a flexible one, with a policy and the grants for it."""
        group = day.groups[1]
        day.server = f"{group}/providers/{FLEXIBLE_SERVERS}/{day.server.rsplit('/', 1)[1]}"
        day.register_server("127.0.0.1", self.postgres.port, "disable", day.reader_secret)
        policy = day.client.get(day.policy)["properties"]
        day.policy = f"{day.vault}/backupPolicies/servers"
        day.client.put(day.policy, {"properties": {**policy, "datasourceTypes": [FLEXIBLE_SERVERS]}}, expect=(200,))
        for role in (bodies.READER, LONG_TERM_RETENTION_BACKUP):
            day._assign(day.server, role, day.principal)
        day.instance = f"{day.vault}/backupInstances/{day.server.rsplit('/', 1)[1]}"
        day.instance_properties = {
            "objectType": "BackupInstance",
            "dataSourceInfo": {
                "objectType": "Datasource",
                "datasourceType": FLEXIBLE_SERVERS,
                "resourceType": FLEXIBLE_SERVERS,
                "resourceID": day.server,
                "resourceUri": day.server,
                "resourceLocation": day.location,
                "resourceName": day.server.rsplit("/", 1)[1],
            },
            "policyInfo": {"policyId": day.policy},
        }

    def close(self):
        while self._stack:
            self._stack.pop()()

    def restart(self, environment=None, wait=True):
        """Starts a server that has ended, with an environment of its own."""
        self.client.close()
        self.coffer.environment = dict(environment or {})
        self.coffer.start(wait)
        return self.client

    def wait_for_end(self, seconds=60):
        """Waits for the server to end by itself; False when it does not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.coffer.process.poll() is not None:
                return True
            time.sleep(0.01)
        return False

    def create_database(self, name, script=SMALL, **variables):
        self.postgres.psql("postgres", f"CREATE DATABASE {quote(name)} TEMPLATE template0")
        self.postgres.psql(name, script, variables=variables)
        self.postgres.psql(name, GRANTS_IN_DATABASE, variables={"database": name})

    def databases(self):
        """Names of all databases, whatever they are called."""
        return self.postgres.psql("postgres", "SELECT datname FROM pg_database WHERE NOT datistemplate").splitlines()

    def day(self, run):
        """Groups, key vault, secrets, server and storage account for one test, named apart from all others."""
        day = Day(self.client, self.env["AZURE_SUBSCRIPTION_ID"], self.second_subscription, run)
        day.create_groups()
        day.create_key_vault()
        reader = self.postgres.database("postgres", "coffer_backup", self.backup_password)
        day.reader_secret = day.set_secret("backup-login", reader.uri)
        day.admin_secret = day.set_secret("restore-login", self.postgres.database("postgres").uri)
        day.register_server("127.0.0.1", self.postgres.port, "disable", day.reader_secret)
        day.files = self.coffer.data / "files" / run
        day.register_storage(day.files.as_uri())
        return day
