"""Every operation of the published specification is asked for with success once, and every answer is as published.

Other tests ask for what their clients need; this one sees that nothing is left over. What cannot be answered with success is
listed here, and the list may only shrink.
"""

import time
import unittest
import urllib.parse
import uuid

import harness  # first: it says where the quickstart's modules are
import bodies
from specification import FILE, Specification
from test_lifecycle import LIMIT

API_VERSION = "2024-04-01"
PROVIDER = "providers/Microsoft.DataProtection"
GUARD_REQUESTS = (
    "disableSoftDeleteRequests",
    "deleteResourceGuardProxyRequests",
    "getBackupSecurityPINRequests",
    "deleteProtectedItemRequests",
    "updateProtectionPolicyRequests",
    "updateProtectedItemRequests",
)

# Operations that are never answered with success here, and why.
UNANSWERED = {
    "BackupInstances_TriggerRehydrate": "there is no archive tier to bring anything back from",
}

SECOND = "eastus"


class Counting(harness.Client):
    """Also notes which operations were answered with success."""

    def __init__(self, env, specification):
        super().__init__(env)
        self.specification = specification
        self.answered = set()

    def _send(self, method, path, data, headers):
        answer = super()._send(method, path, data, headers)
        operation = self.specification.operation(method, urllib.parse.urlsplit(path).path)
        if operation is not None and answer.status < 300:
            self.answered.add(operation[2]["operationId"])
        return answer


@unittest.skipUnless(FILE.is_file(), f"no specification at {FILE}")
class EveryOperation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = harness.World(harness.TWO_REGIONS)
        cls.addClassCleanup(cls.world.close)
        cls.client = Counting(cls.world.env, Specification())
        cls.addClassCleanup(cls.client.close)
        cls.world.client.close()
        cls.world.client = cls.client
        cls.world.create_database("shop")
        cls.day = cls.world.day("everything")

    def get(self, path):
        return self.client.get(path, api_version=API_VERSION)

    def put(self, path, body):
        return self.client.put(path, body, api_version=API_VERSION)

    def post(self, path, body=None):
        return self.client.post(path, body, api_version=API_VERSION)

    def done(self, answer):
        """The operation that an answer began, as it ended."""
        return self.client.wait(answer, "the operation")

    def addresses(self, answer):
        """Reads an operation, when it has ended, at every address that all operations have. Its id."""
        self.done(answer)
        identifier = answer.headers["azure-asyncoperation"].split("?")[0].rsplit("/", 1)[1]
        group = self.day.groups[0]
        subscription = "/".join(group.split("/")[:3])
        location = f"{subscription}/{PROVIDER}/locations/{self.day.location}"
        for path in (
            f"{location}/operationStatus/{identifier}",
            f"{location}/operationResults/{identifier}",
            f"{group}/{PROVIDER}/operationStatus/{identifier}",
            f"{self.day.vault}/operationStatus/{identifier}",
        ):
            self.client.request("GET", path, api_version=API_VERSION, expect=(200,))
        return identifier

    def vault_and_policy(self):
        body = bodies.vault(self.day.location)
        body["properties"]["storageSettings"][0]["type"] = "GeoRedundant"
        body["properties"]["featureSettings"] = {"crossRegionRestoreSettings": {"state": "Enabled"}}
        made = self.put(self.day.vault, body)
        identifier = self.addresses(made)
        self.get(f"{self.day.vault}/operationResults/{identifier}")
        vault = self.get(self.day.vault)
        self.day.principal = vault["identity"]["principalId"]
        self.day.grant_vault()
        patch = {"tags": {"a": "b"}}
        self.done(self.client.request("PATCH", self.day.vault, patch, api_version=API_VERSION))
        self.put(self.day.policy, bodies.policy())
        spare = f"{self.day.vault}/backupPolicies/spare"
        self.put(spare, bodies.policy())
        self.client.delete(spare, api_version=API_VERSION)
        self.get(self.day.policy)
        self.get(f"{self.day.vault}/backupPolicies")

    def instance(self):
        self.day.describe_instance("shop")
        self.day.validate()
        made = self.put(self.day.instance, {"properties": self.day.instance_properties})
        identifier = self.addresses(made)
        self.get(f"{self.day.instance}/operationResults/{identifier}")
        self.get(self.day.instance)
        self.get(f"{self.day.vault}/backupInstances")
        self.get(f"{self.day.server}/{PROVIDER}/backupInstances")
        self.day.backup()
        [point] = self.day.recovery_points()
        self.get(point["id"])
        self.post(f"{self.day.instance}/findRestorableTimeRanges", {"sourceDataStoreType": "VaultStore"})
        request = self.day.restore_request(point["name"], "shop_copy", self.day.admin_secret)
        self.day.validate_restore(request)
        job = self.day.restore(request)
        self.get(job["id"])
        self.get(f"{self.day.vault}/backupJobs")
        export = self.post(f"{self.day.vault}/exportBackupJobs")
        self.done(export)
        self.client.request("GET", export.headers["location"], expect=(200,))
        self.done(self.post(f"{self.day.instance}/sync", {"syncType": "Default"}))
        for verb in ("stopProtection", "resumeProtection", "suspendBackups", "resumeBackups"):
            self.done(self.post(f"{self.day.instance}/{verb}"))

    def second_region(self):
        second = f"{self.day.groups[0]}/{PROVIDER}/locations/{SECOND}"
        source = {"sourceRegion": self.day.location, "sourceBackupInstanceId": self.day.instance}
        deadline = time.monotonic() + LIMIT
        while not (points := self.post(f"{second}/fetchSecondaryRecoveryPoints", source).body["value"]):
            self.assertLess(time.monotonic(), deadline, "nothing is copied")
            time.sleep(0.1)
        restore = self.day.restore_request(points[0]["name"], "shop_across", self.day.admin_secret)
        request = {"restoreRequestObject": restore, "crossRegionRestoreDetails": source}
        self.done(self.post(f"{second}/validateCrossRegionRestore", request))
        begun = self.post(f"{second}/crossRegionRestore", request)
        job = self.done(begun)["properties"]["jobId"]
        of_vault = {"sourceRegion": self.day.location, "sourceBackupVaultId": self.day.vault}
        [listed] = self.post(f"{second}/fetchCrossRegionRestoreJobs", of_vault).body["value"]
        self.assertEqual(listed["name"], job)
        asked = of_vault | {"jobId": job}
        while self.post(f"{second}/fetchCrossRegionRestoreJob", asked).body["properties"]["status"] == "InProgress":
            self.assertLess(time.monotonic(), deadline, "the restore does not end")
            time.sleep(0.1)

    def guard(self):
        group = self.day.groups[0]
        subscription = "/".join(group.split("/")[:3])
        guard = f"{group}/{PROVIDER}/resourceGuards/guard"
        self.put(guard, {"location": self.day.location})
        self.client.request("PATCH", guard, {"tags": {"a": "b"}}, api_version=API_VERSION)
        self.get(guard)
        self.get(f"{group}/{PROVIDER}/resourceGuards")
        self.get(f"{subscription}/{PROVIDER}/resourceGuards")
        for kind in GUARD_REQUESTS:
            [default] = self.get(f"{guard}/{kind}")["value"]
            self.assertEqual(self.get(f"{guard}/{kind}/default"), default)
        proxy = f"{self.day.vault}/backupResourceGuardProxies/DppResourceGuardProxy"
        self.put(proxy, {"properties": {"resourceGuardResourceId": guard}})
        self.get(proxy)
        self.get(f"{self.day.vault}/backupResourceGuardProxies")
        consent = {
            "resourceGuardOperationRequests": [f"{guard}/deleteResourceGuardProxyRequests/default"],
            "resourceToBeDeleted": proxy,
        }
        self.post(f"{proxy}/unlockDelete", consent)
        self.client.delete(proxy, api_version=API_VERSION)
        self.client.delete(guard, api_version=API_VERSION)

    def deletion(self):
        deleted = self.day.instance.replace("/backupInstances/", "/deletedBackupInstances/")
        self.done(self.client.delete(self.day.instance, api_version=API_VERSION))
        self.get(deleted)
        self.get(f"{self.day.vault}/deletedBackupInstances")
        self.done(self.post(f"{deleted}/undelete"))
        empty = f"{self.day.groups[0]}/{PROVIDER}/backupVaults/empty"
        self.done(self.put(empty, bodies.vault(self.day.location)))
        self.done(self.client.delete(empty, api_version=API_VERSION))

    def what_belongs_to_nothing(self):
        group = self.day.groups[0]
        subscription = "/".join(group.split("/")[:3])
        self.get(f"/{PROVIDER}/operations")
        self.get(f"{subscription}/{PROVIDER}/backupVaults")
        self.get(f"{group}/{PROVIDER}/backupVaults")
        self.post(
            f"{subscription}/{PROVIDER}/locations/{self.day.location}/checkFeatureSupport",
            {
                "objectType": "FeatureValidationRequest",
                "featureType": "DataSourceType",
                "featureName": bodies.DATABASE_TYPE,
            },
        )
        self.post(
            f"{group}/{PROVIDER}/locations/{self.day.location}/checkNameAvailability",
            {"name": str(uuid.uuid4()), "type": "Microsoft.DataProtection/BackupVaults"},
        )

    def test_every_operation_is_answered_with_success_and_as_published(self):
        self.vault_and_policy()
        self.instance()
        self.second_region()
        self.guard()
        self.deletion()
        self.what_belongs_to_nothing()
        every = {operation["operationId"] for _, _, operation, _ in self.client.specification.operations}
        self.assertEqual(every - self.client.answered, set(UNANSWERED))
        print(f"{len(self.client.answered)} of {len(every)} operations are answered with success")


if __name__ == "__main__":
    unittest.main()
