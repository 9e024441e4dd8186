"""A flexible server as Azure protects it, as a whole, driven by the newest `azure-mgmt-dataprotection`, unmodified."""

import io
import json
import subprocess
import unittest

import harness  # first: it says where the quickstart's modules are
import compare
from azure.mgmt.dataprotection import models as m
from azure_sdk import data_protection
from test_lifecycle import Instance, done, explain

FLEXIBLE_SERVERS = harness.FLEXIBLE_SERVERS


class Server(Instance):
    """One server in one vault, by the SDK's operations."""

    def __init__(self, sdk, day):
        super().__init__(sdk, day, "")
        self.name = day.server.rsplit("/", 1)[1]
        self.id = f"{day.vault}/backupInstances/{self.name}"

    def properties(self):
        """No datasource set and no credentials: that is how Azure's own clients send it."""
        return m.BackupInstance(
            friendly_name=self.name,
            data_source_info=m.Datasource(
                datasource_type=FLEXIBLE_SERVERS,
                object_type="Datasource",
                resource_id=self.day.server,
                resource_location=self.day.location,
                resource_name=self.name,
                resource_type=FLEXIBLE_SERVERS,
                resource_uri=self.day.server,
            ),
            policy_info=m.PolicyInfo(policy_id=self.day.policy),
            object_type="BackupInstance",
        )


class FlexibleServers(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.world.create_database("shop", harness.SAMPLE.read_text(), scale=1)
        self.world.create_database("small")
        self.sdk = data_protection(self.world.env)
        self.addCleanup(self.sdk.close)
        day = self.world.day("flexible")
        day.create_vault()
        day.create_policy()
        day.grant_vault()
        self.world.protect_server(day)
        self.server = Server(self.sdk, day)

    def test_the_whole_day(self):
        server = self.server
        server.validate()
        configured = server.configure().properties
        self.assertEqual(configured.current_protection_state, "ProtectionConfigured")
        self.assertEqual(configured.data_source_info.datasource_type, FLEXIBLE_SERVERS)

        job = server.backup()
        self.assertEqual((job.properties.status, job.properties.data_source_type), ("Completed", FLEXIBLE_SERVERS), explain(job))
        [point] = server.recovery_points()
        got = self.sdk.recovery_points.get(*server.arguments, point.properties.recovery_point_id)
        [store] = got.properties.recovery_point_data_stores_details
        self.assertEqual(json.loads(store.meta_data)["databases"], ["postgres", "shop", "small"])

        target = server.as_files("whole")
        server.validate_restore(target)
        job = server.restore(target)
        self.assertEqual(job.properties.status, "Completed", explain(job))
        [directory] = (server.day.files / "container").iterdir()
        self.assertEqual(
            sorted(path.name for path in directory.iterdir()),
            ["postgres.sql", "roles.sql", "schema.sql", "shop.sql", "small.sql", "tablespace.sql"],
        )
        for database in ("shop", "small"):
            self.restore_as_azure_tells(directory / f"{database}.sql", f"{database}_from_file")
            self.check_equal(database, f"{database}_from_file")
        self.restore_one(point, "shop", "shop_again")
        self.check_equal("shop", "shop_again")

    def restore_as_azure_tells(self, file, database):
        """`cat file | pg_restore`, into an empty database."""
        postgres = self.world.postgres
        postgres.psql("postgres", f"CREATE DATABASE {database} TEMPLATE template0")
        target = postgres.database(database)
        command = [postgres.programs / "pg_restore", "--exit-on-error", "-d", target.name]
        with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat:
            run = subprocess.run(command, stdin=cat.stdout, capture_output=True, text=True, env=target.environment())
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def restore_one(self, point, database, name):
        """What Azure has not: a database of the server as a database. The member that says which is not in the SDK's models."""
        day = self.server.day
        request = day.restore_request(point.properties.recovery_point_id, name, day.admin_secret)
        request["cofferRestoreOptions"] = {"sourceDatabase": database}
        body = io.BytesIO(json.dumps(request).encode())
        job = self.server.job(done(self.sdk.backup_instances.begin_trigger_restore(*self.server.arguments, body)))
        self.assertEqual(job.properties.status, "Completed", explain(job))

    def check_equal(self, source, copy):
        """By psql and pg_dump alone."""
        postgres = self.world.postgres
        databases = [postgres.database(name) for name in (source, copy)]
        contents = [compare.content(postgres.programs, database) for database in databases]
        self.assertEqual(compare.differences(*contents), [])
        self.assertGreater(compare.rows(contents[0]), 1000)
        schemas = [compare.schema_text(postgres.programs, database) for database in databases]
        self.assertEqual(compare.schema_differences(*schemas), [])


if __name__ == "__main__":
    unittest.main()
