"""A second region: what is copied there is listed and restored by Azure's own client, and by storage and key alone."""

import contextlib
import json
import subprocess
import time
import unittest

import harness  # first: it says where the quickstart's modules are
import bodies
from azure.core.exceptions import HttpResponseError
from azure.mgmt.dataprotection import models as m
from azure_sdk import data_protection
from terminal import Failure
from test_lifecycle import LIMIT, Instance, done

FIRST, SECOND = "westus", "eastus"


class Copied(unittest.TestCase):
    """A database in a vault whose recovery points are copied to a second region."""

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World(harness.TWO_REGIONS)
        cls.addClassCleanup(cls.world.close)
        cls.sdk = data_protection(cls.world.env)

    def setUp(self):
        self.world.create_database("shop")
        day = self.day = self.world.day("two")
        body = bodies.vault(FIRST)
        body["properties"]["storageSettings"][0]["type"] = "GeoRedundant"
        body["properties"]["featureSettings"] = {"crossRegionRestoreSettings": {"state": "Enabled"}}
        client = self.world.client
        client.wait(client.put(day.vault, body), "create the vault")
        vault = client.get(day.vault)
        self.assertEqual(vault["properties"]["replicatedRegions"], [SECOND])
        day.principal = vault["identity"]["principalId"]
        day.create_policy()
        day.grant_vault()
        self.instance = Instance(self.sdk, day, "shop")
        self.instance.configure(secret=day.reader_secret)

    def copied(self, filter=None):
        """What is in the second region, newest first."""
        asked = m.FetchSecondaryRPsRequestParameters(
            source_region=FIRST, source_backup_instance_id=self.instance.id
        )
        operations = self.sdk.fetch_secondary_recovery_points
        return list(operations.list(self.instance.group, SECOND, asked, filter=filter))

    def backup_and_wait(self):
        self.instance.backup()
        return self.wait_for_copy()

    def wait_for_copy(self):
        """The newest recovery point, once it is in the second region."""
        newest = self.instance.recovery_points()[0].properties.recovery_point_id
        deadline = time.monotonic() + LIMIT
        while newest not in (point.properties.recovery_point_id for point in self.copied()):
            self.assertLess(time.monotonic(), deadline, "it is not copied")
            time.sleep(0.1)
        return newest

    def request(self, kind, point, database):
        return kind(
            restore_request_object=m.AzureBackupRecoveryPointBasedRestoreRequest(
                recovery_point_id=point,
                source_data_store_type="VaultStore",
                restore_target_info=self.instance.as_database(database),
            ),
            cross_region_restore_details=m.CrossRegionRestoreDetails(
                source_region=FIRST, source_backup_instance_id=self.instance.id
            ),
        )

    def content(self, database):
        return self.world.postgres.psql(database, "SELECT count(*), md5(string_agg(t, ',' ORDER BY n)) FROM numbers")

    def rescue(self, verb, *arguments):
        second = f"file://{self.world.directory}/second"
        key = self.world.env["COFFER_KEY_FILE"]
        command = [harness.BINARY, "rescue", verb, "--storage", second, "--key-file", key, "--output", "json"]
        run = subprocess.run([*command, *arguments], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def all_is_sound(self):
        """How many recovery points the second region has by itself; each has all that it needs."""
        points = self.rescue("verify")["recoveryPoints"]
        self.assertTrue(all(entry["sound"] for entry in points), points)
        return len(points)


class SecondRegion(Copied):
    def test_the_first_region_is_lost(self):
        self.backup_and_wait()
        self.world.postgres.psql("shop", "UPDATE numbers SET t = md5(t)")
        point = self.backup_and_wait()
        first, second = (self.content("shop"), self.copied())
        self.assertEqual(len(second), 2)
        self.assertEqual(self.copied(filter="endDate eq '2020-01-01'"), [])
        (self.world.directory / "first").rename(self.world.directory / "lost")

        group, backups = self.instance.group, self.sdk.backup_instances
        kind = m.ValidateCrossRegionRestoreRequestObject
        done(backups.begin_validate_cross_region_restore(group, SECOND, self.request(kind, point, "shop_again")))
        with self.assertRaises(HttpResponseError) as refused:
            done(backups.begin_validate_cross_region_restore(group, SECOND, self.request(kind, point, "shop")))
        self.assertEqual(refused.exception.error.code, "UserErrorDatabaseNameAlreadyInUse")

        kind = m.CrossRegionRestoreRequestObject
        info = done(backups.begin_trigger_cross_region_restore(group, SECOND, self.request(kind, point, "shop_again")))
        of_vault = {"source_region": FIRST, "source_backup_vault_id": self.day.vault}
        asked = m.CrossRegionRestoreJobRequest(job_id=info.job_id, **of_vault)
        deadline = time.monotonic() + LIMIT
        while (job := self.sdk.fetch_cross_region_restore_job.get(group, SECOND, asked)).properties.status == "InProgress":
            self.assertLess(time.monotonic(), deadline, "the restore does not end")
            time.sleep(0.1)
        self.assertEqual(job.properties.status, "Completed", job)
        self.assertEqual(job.properties.operation_category, "CrossRegionRestore")
        self.assertEqual(self.content("shop_again"), first)
        jobs = self.sdk.fetch_cross_region_restore_jobs.list(group, SECOND, m.CrossRegionRestoreJobsRequest(**of_vault))
        self.assertEqual([job.name for job in jobs], [info.job_id])

        # Without the service: the second region's storage and the key.
        listed = {entry["recoveryPointId"] for entry in self.rescue("list")}
        self.assertEqual(listed, {entry.properties.recovery_point_id for entry in second})
        self.assertEqual(self.all_is_sound(), 2)
        target = self.world.postgres.database("shop_rescued").uri + "?sslmode=disable"
        self.rescue("restore", "--recovery-point", point, "--target", target)
        self.assertEqual(self.content("shop_rescued"), first)


class Killed(Copied):
    """The server is killed while it copies, as in `test_crash`."""

    def test_what_is_there_is_whole_and_the_rest_follows(self):
        points = [point for point in self.world.coffer.command("crash-points").split() if point.startswith("replication:")]
        self.assertEqual(len(points), 2)
        self.backup_and_wait()
        for taken, point in enumerate(points, start=1):
            with self.subTest(point):
                self.world.postgres.psql("shop", "UPDATE numbers SET t = md5(t)")
                self.world.coffer.stop()
                self.world.restart({"COFFER_CRASH_AT": point})
                # The backup has ended when it is copied; whoever watches its job may see the server die.
                with contextlib.suppress(Failure):
                    self.world.client.post(f"{self.instance.id}/backup", bodies.adhoc_backup("BackupWeekly", ""))
                self.assertTrue(self.world.wait_for_end(), f"the point {point} was never reached")
                self.assertEqual(self.all_is_sound(), taken + (point == "replication:copied"))
                self.world.coffer.stop()
                self.world.restart()
                self.wait_for_copy()
                self.assertEqual(self.all_is_sound(), taken + 1)
                self.assertEqual(len(self.copied()), taken + 1)


if __name__ == "__main__":
    unittest.main()
