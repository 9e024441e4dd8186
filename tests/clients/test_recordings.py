"""The other recordings of the real service: what is the same for every datasource, sent again to ours.

Where a recording is about a disk or a blob container, a database stands for it: names and types are translated, shapes are
not. What is left out, and what differs, is listed here, each with its reason. Both lists may only shrink.
"""

import json
import unittest

import harness  # first: it says where the quickstart's modules are
import bodies
from recording import DIRECTORY, LOCATION, NO_SUBSCRIPTION, Replay
from rest import RESOURCES

GROUP = "clitest-dpp-rg"
PERSISTENT = "clitest-bkp-vault-persistent-bi-donotdelete"
BLOBS, DISK = "clitestsabidonotdelete", "clitest-disk-persistent-bi-donotdelete"
BLOBS_INSTANCE = f"{BLOBS}-{BLOBS}-887c3538-0bfc-11ee-acd3-002b670b472e"
DISK_INSTANCE = f"{DISK}-{DISK}-e33c80ba-0bf8-11ee-aaa6-002b670b472e"

# Exchanges that are not sent, by number.
OTHER_DATASOURCES = "a policy for what is no PostgreSQL"
RESOURCE_GRAPH = "a query of Azure's resource graph"
CROSS_REGION = "about what was copied to another region"
LEFT_OUT = {
    "backup_policy_create_and_delete": dict.fromkeys((3, 4, 5, 6, 9, 10), OTHER_DATASOURCES),
    "job_list_and_show": {**dict.fromkeys((1, 3, 5), RESOURCE_GRAPH), **dict.fromkeys((4, 6), CROSS_REGION)},
    "recovery_point_list": {7: RESOURCE_GRAPH, 8: CROSS_REGION},
}

# Recordings of which nothing is sent: no second region is served yet.
NOT_REPLAYED = {"cross_region_restore": CROSS_REGION}

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
    # A vault is copied nowhere unless the installation has a second region.
    "backup_vault_create_and_delete": {"properties.replicatedRegions"},
    "backup_vault_update": {"properties.replicatedRegions"},
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
        cls.world = harness.World()
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
        self.assertEqual(there, REPLAYED | NOT_REPLAYED.keys())

    def replay(self, name, **options):
        recorded = json.loads((DIRECTORY / f"{name}.json").read_text())
        self.assertIn(name, REPLAYED)
        left_out = LEFT_OUT.get(name, {})
        sent = [exchange for number, exchange in enumerate(recorded) if number not in left_out]
        found = list(Replay(self.world.client, dict(self.names), **options).run(sent))
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


if __name__ == "__main__":
    unittest.main()
