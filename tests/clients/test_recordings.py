"""The other recordings of the real service: what is the same for every datasource, sent again to ours.

Where a recording is about a disk or a blob container, a database stands for it: names and types are translated, shapes are
not. What is left out, and what differs, is listed here, each with its reason. Both lists may only shrink.
"""

import contextlib
import json
import subprocess
import time
import unittest

import harness  # first: it says where the quickstart's modules are
import bodies
from recording import DIRECTORY, LIMIT, LOCATION, NO_SUBSCRIPTION, Replay
from rest import RESOURCES

GROUP = "clitest-dpp-rg"
PERSISTENT = "clitest-bkp-vault-persistent-bi-donotdelete"
BLOBS, DISK = "clitestsabidonotdelete", "clitest-disk-persistent-bi-donotdelete"
BLOBS_INSTANCE = f"{BLOBS}-{BLOBS}-887c3538-0bfc-11ee-acd3-002b670b472e"
DISK_INSTANCE = f"{DISK}-{DISK}-e33c80ba-0bf8-11ee-aaa6-002b670b472e"

# Exchanges that are not sent, by number.
OTHER_DATASOURCES = "a policy for what is no PostgreSQL"
RESOURCE_GRAPH = "a query of Azure's resource graph"
CROSS_REGION = "about another vault, in the recording of which all of it is replayed"
LEFT_OUT = {
    "backup_policy_create_and_delete": dict.fromkeys((3, 4, 5, 6, 9, 10), OTHER_DATASOURCES),
    "job_list_and_show": {**dict.fromkeys((1, 3, 5), RESOURCE_GRAPH), **dict.fromkeys((4, 6), CROSS_REGION)},
    "recovery_point_list": {7: RESOURCE_GRAPH, 8: CROSS_REGION},
    "cross_region_restore": dict.fromkeys((0, 2, 8, 13), RESOURCE_GRAPH),
}

# The recorded regions are each other's second one. Of a vault, one job runs at a time, so that one can be kept waiting.
CONFIGURATION = """
[storage.centraluseuap]
url = "file://{directory}/centraluseuap"
paired_with = "eastus2euap"

[storage.eastus2euap]
url = "file://{directory}/eastus2euap"
paired_with = "centraluseuap"

[limits]
operations_per_vault = 1
"""

# Members that differ, wherever they are shown.
# The recorded disk has snapshots beside it, taken by schedule and kept for a week; the database's backup was asked for.
SNAPSHOT = {
    "properties.expiryTime",
    "properties.recoveryPointDataStoresDetails[0].expiryTime",
    "properties.recoveryPointDataStoresDetails[0].type",
    "properties.recoveryPointType",
    "properties.retentionTagName",
    # Null for disks; the recorded points of PostgreSQL have it.
    "properties.recoveryPointState",
}
DIFFERENT = {
    "cross_region_restore": {
        # The recorded points were made by the schedule, and this one was asked for; and each ends at a time of its own.
        "properties.retentionTagName",
        "properties.expiryTime",
        "properties.recoveryPointDataStoresDetails[0].expiryTime",
        # The service's job says by its category alone that it restores from another region; ours has `isCrossRegionRestore` too.
        "properties",
    },
    # The service's newer versions send it; the client ends at the resource either way.
    "backup_instance_update_policy": {"header location"},
    "job_list_and_show": {
        # The recorded backup of a disk was the schedule's, without progress, and made a snapshot beside it.
        "properties.destinationDataStoreName",
        "properties.extendedInfo.additionalDetails.RetentionTag",
        "properties.isUserTriggered",
        "properties.progressEnabled",
        "properties.supportedActions",
        # A disk belongs to no server.
        "properties.dataSourceSetName",
        # This list alone ends with `"nextLink": null`; ours are all alike.
        "members of a list",
    },
    "recovery_point_list": SNAPSHOT,
    "recovery_point_show": SNAPSHOT,
}


def member(line):
    """What a line of `Replay` is about: a member, without its place in a list, or a header."""
    return line.split(": ", 1)[0].removeprefix(".value[0]").removeprefix(".") or "members of a list"


# Those below, and the one of `test_recording`.
REPLAYED = {
    "backup_and_restore_oss",
    "backup_instance_update_policy",
    "backup_policy_create_and_delete",
    "backup_vault_create_and_delete",
    "backup_vault_update",
    "cross_region_restore",
    "job_list_and_show",
    "recovery_point_list",
    "recovery_point_show",
    "resource_guard_create_and_delete",
    "resource_guard_update",
}


@unittest.skipUnless(DIRECTORY.is_dir(), f"no recordings at {DIRECTORY}")
class Recordings(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World(CONFIGURATION)
        cls.addClassCleanup(cls.world.close)
        cls.subscription = f"/subscriptions/{cls.world.env['AZURE_SUBSCRIPTION_ID']}"
        for group in (GROUP, *(f"clitest-dpp-{kind}-000001" for kind in ("backupvault", "backuppolicy", "resourceguard"))):
            path = f"{cls.subscription}/resourceGroups/{group}"
            cls.world.client.put(path, {"location": LOCATION}, api_version=RESOURCES)
        cls.names = {NO_SUBSCRIPTION: cls.subscription}

    def protect(self):
        """The vault that was there before, with two databases that are protected and have been backed up."""
        if hasattr(type(self), "day"):
            return
        day = type(self).day = self.world.day("recordings")
        day.location = LOCATION
        day.vault = f"{self.subscription}/resourceGroups/{GROUP}/providers/Microsoft.DataProtection/backupVaults/{PERSISTENT}"
        day.create_vault()
        day.grant_vault()
        for policy in ("blobpolicy", "altblobpolicy", "diskpolicy"):
            day.policy = f"{day.vault}/backupPolicies/{policy}"
            day.create_policy()
        disks = f"{NO_SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute/disks"
        blobs = f"{NO_SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Storage/storageAccounts"
        for database, instance, policy, type_, theirs in (
            (BLOBS, BLOBS_INSTANCE, "blobpolicy", "Microsoft.Storage/storageAccounts", f"{blobs}/{BLOBS}"),
            (DISK, DISK_INSTANCE, "diskpolicy", "Microsoft.Compute/disks", f"{disks}/{DISK}"),
        ):
            self.world.create_database(database)
            day.policy = f"{day.vault}/backupPolicies/{policy}"
            day.instance = f"{day.vault}/backupInstances/{instance}"
            properties = bodies.instance(day.server, database, LOCATION, day.policy)
            del properties["dataSourceSetInfo"], properties["policyInfo"]["policyVersion"]
            day.instance_properties = {**properties, "friendlyName": database}
            day.configure()
            self.names[theirs] = f"{day.server}/databases/{database}"
            self.names[type_] = self.names[f"{type_}/blobServices"] = bodies.DATABASE_TYPE
        job = day.backup()["name"]
        self.names["08cf7afb-6364-41cf-8601-95b150cce3a5"] = self.names["63203a00-9899-4169-bf32-a0227e116a82"] = job
        self.names[f'"sourceResourceGroup": "{GROUP}"'] = f'"sourceResourceGroup": "{day.server.split("/")[4]}"'

    def test_no_recording_is_forgotten(self):
        there = {path.stem for path in DIRECTORY.glob("*.json")}
        self.assertEqual(there, REPLAYED)

    def replay(self, name, names=(), **options):
        recorded = json.loads((DIRECTORY / f"{name}.json").read_text())
        self.assertIn(name, REPLAYED)
        left_out = LEFT_OUT.get(name, {})
        sent = [exchange for number, exchange in enumerate(recorded) if number not in left_out]
        found = list(Replay(self.world.client, {**self.names, **dict(names)}, **options).run(sent))
        # Without the exchange's label: what differs in a thing does so each time that it is shown.
        members = {member(line) for _, line in found}
        print(
            f"\n{name}: {len(sent)} of {len(recorded)} exchanges replayed, {len(members)} members differ ({len(found)} times)",
            flush=True,
        )
        self.assertEqual(set(members), DIFFERENT.get(name, set()), "\n" + "\n".join(map(" ".join, found)))

    def test_a_vault_is_made_and_deleted(self):
        self.replay("backup_vault_create_and_delete")

    def test_a_vault_is_changed(self):
        self.replay("backup_vault_update")

    def test_policies_are_made_and_deleted(self):
        self.replay("backup_policy_create_and_delete")

    def test_a_guard_is_made_and_deleted(self):
        self.replay("resource_guard_create_and_delete")

    def test_a_guard_is_changed(self):
        self.replay("resource_guard_update")

    def test_the_policy_of_an_instance_is_changed(self):
        self.protect()
        self.replay("backup_instance_update_policy")

    def test_recovery_points_are_listed(self):
        self.protect()
        self.replay("recovery_point_list", other_lists=True)

    def test_a_recovery_point_is_shown(self):
        self.protect()
        self.replay("recovery_point_show", other_lists=True)

    def test_jobs_are_listed_and_shown(self):
        self.protect()
        self.replay("job_list_and_show", other_lists=True)

    def test_a_database_is_restored_from_the_second_region(self):
        names = self.protect_across()
        with self.waiting():
            self.replay("cross_region_restore", names, other_lists=True)

    def protect_across(self):
        """The vault that is copied, with a database that has been backed up and is in the second region."""
        first, second = "eastus2euap", "centraluseuap"
        world, client = self.world, self.world.client
        day = self.across = world.day("across")
        day.location = first
        sources = f"{self.subscription}/resourceGroups/cli-dpp-bugbash-oss-rg"
        client.put(sources, {"location": second}, api_version=RESOURCES)
        group = f"{self.subscription}/resourceGroups/{GROUP}"
        target = f"{sources}/providers/Microsoft.DBforPostgreSQL/servers/cli-dpp-bugbash-server1"
        source = f"{group}/providers/Microsoft.DBforPostgreSQL/servers/clitestcrr-ecy"
        day.vault = f"{group}/providers/Microsoft.DataProtection/backupVaults/clitest-bkp-vault-crr-donotdelete"
        day.policy = f"{day.vault}/backupPolicies/crrclitestbackuppolicy"
        body = bodies.vault(first)
        body["properties"]["storageSettings"][0]["type"] = "GeoRedundant"
        body["properties"]["featureSettings"] = {"crossRegionRestoreSettings": {"state": "Enabled"}}
        client.wait(client.put(day.vault, body), "create the vault")
        day.principal = client.get(day.vault)["identity"]["principalId"]
        day.create_policy()
        for server in (target, source):
            day.server = server
            day.register_server("127.0.0.1", world.postgres.port, "disable", day.admin_secret)
            day.grant_vault()
        world.postgres.psql("postgres", harness.SMALL)
        world.create_database("waiting")
        for database, name in (
            ("waiting", "waiting"),
            ("postgres", "clitestcrr-ecy-postgres-8f1f81c9-8869-48c5-8b07-ef587f1b5052"),
        ):
            day.instance = f"{day.vault}/backupInstances/{name}"
            properties = bodies.instance(source, database, first, day.policy)
            day.instance_properties = {**properties, "friendlyName": f"clitestcrr-ecy\\{database}"}
            day.configure()
        day.backup()
        point = day.recovery_points()[0]["name"]
        self.wait_for_copy(f"{group}/providers/Microsoft.DataProtection/locations/{second}", first, point)
        secret = "https://cli-dpp-server1-kv.vault.azure.net/secrets/dpp-bugbash-server1-conn/b7c857c1d35643c08724bd4047394be1"
        return {secret: day.admin_secret}

    def wait_for_copy(self, region, source, point):
        asked = {"sourceRegion": source, "sourceBackupInstanceId": self.across.instance}
        deadline = time.monotonic() + LIMIT
        while True:
            answer = self.world.client.post(f"{region}/fetchSecondaryRecoveryPoints", asked, expect=(200,))
            if [entry["name"] for entry in answer.body["value"]] == [point]:
                return
            self.assertLess(time.monotonic(), deadline, "it is not copied")
            time.sleep(0.1)

    @contextlib.contextmanager
    def waiting(self):
        """While another job of the vault runs, since the recorded restore was looked at before its end."""
        postgres = self.world.postgres
        uri = postgres.database("waiting").uri
        statement = "BEGIN; LOCK TABLE numbers; SELECT pg_sleep(600)"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        lock = subprocess.Popen([postgres.programs / "psql", uri, "-c", statement], **quiet)
        held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'numbers'::regclass AND granted"
        deadline = time.monotonic() + LIMIT
        while postgres.psql("waiting", held).strip() != "1":
            self.assertLess(time.monotonic(), deadline, "the lock")
            time.sleep(0.05)
        instance = f"{self.across.vault}/backupInstances/waiting"
        body = bodies.adhoc_backup("BackupWeekly", "")
        answer = self.world.client.post(f"{instance}/backup", body, expect=(202,))
        try:
            yield
        finally:
            postgres.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()")
            lock.wait()
            self.world.client.wait_for_job(answer, "backup")


if __name__ == "__main__":
    unittest.main()
