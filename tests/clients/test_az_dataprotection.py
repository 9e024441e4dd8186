"""Every request of `az dataprotection`, as that extension sends it: it is on no package index, so its requests are.

Command by command, as it was seen with 1.7.0: the versions asked for, explicit nulls, members that no specification knows,
`resourceId` here and `resourceID` there, an empty `$filter`; and what it asks afterwards, status first and then the result.
"""

import time
import unittest
import urllib.parse
import uuid

import harness  # first: it says where the quickstart's modules are
import bodies

VERSION = "2025-07-01"
# As it writes times in filters.
FILTER = "startDate eq '2020-11-20T19:55:21.0000000Z' and endDate eq '2999-11-20T19:55:21.0000000Z'"


class AzDataprotection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.world.create_database("orders")
        cls.day = cls.world.day("az")
        cls.client = cls.world.client

    def call(self, method, path, body=None, expect=(200,), query=None):
        return self.client.request(method, path, body, api_version=VERSION, query=query, expect=expect)

    def get(self, path, **options):
        return self.call("GET", path, **options).body

    def finished(self, answer, result=True):
        """Asks for the status until it is done, then for the result; returns the result's body."""
        status = self.client.wait(answer, "the operation")
        self.assertEqual(status["status"], "Succeeded")
        if not result:
            return None
        url = answer.headers["location"]
        return self.client.request("GET", url, expect=(200,)).body

    def credentials(self, secret):
        # What it read from a template of its own, with what nobody set.
        store = {"secretStoreType": "AzureKeyVault", "uri": secret, "value": None}
        return {"objectType": "SecretStoreBasedAuthCredentials", "secretStoreResource": store}

    def properties(self, spelling, policy):
        properties = bodies.instance(self.day.server, "orders", self.day.location, policy)
        for member in ("dataSourceInfo", "dataSourceSetInfo"):
            properties[member][spelling] = properties[member].pop("resourceID")
        properties["datasourceAuthCredentials"] = self.credentials(self.day.reader_secret)
        properties["policyInfo"] = {"policyId": policy, "policyParameters": None}
        properties["friendlyName"] = f"{self.day.server.rsplit('/', 1)[1]}/orders"
        return properties

    def policy(self):
        policy = bodies.policy()
        # It sends a name that is in no specification, and the read-only ids of tags.
        policy["properties"]["name"] = "OssPolicy1"
        for rule in policy["properties"]["policyRules"]:
            for tag in rule.get("trigger", {}).get("taggingCriteria", []):
                tag["tagInfo"]["id"] = tag["tagInfo"]["tagName"] + "_"
        return policy

    def test_the_commands(self):
        self.make_vault()
        self.make_guard()
        self.make_policies()
        self.make_instance()
        self.back_up()
        self.restore()
        self.stop_and_resume()
        self.delete()

    def make_vault(self):
        """backup-vault create, show, update, list."""
        day = self.day
        body = bodies.vault(day.location)
        soft_delete = {"softDeleteSettings": {"state": "On", "retentionDurationInDays": 14.0}}
        body["properties"]["securitySettings"] = soft_delete
        self.finished(self.call("PUT", day.vault, body, expect=(201,)), result=False)
        shown = self.get(day.vault)
        day.principal = shown["identity"]["principalId"]
        day.grant_vault()
        alerts = {"azureMonitorAlertSettings": {"alertsForAllJobFailures": "Disabled"}}
        changed = {**body, "tags": {"team": "orders"}}
        changed["properties"] = {**body["properties"], "replicatedRegions": [], "monitoringSettings": alerts}
        self.finished(self.call("PUT", day.vault, changed, expect=(200, 201)), result=False)
        shown = self.get(day.vault)
        self.assertEqual((shown["tags"], shown["properties"]["monitoringSettings"]), ({"team": "orders"}, alerts))
        group, _, name = day.vault.rpartition("/")
        self.assertIn(name, [vault["name"] for vault in self.get(group)["value"]])
        subscription = "/".join(day.vault.split("/")[:3])
        everywhere = self.get(f"{subscription}/providers/Microsoft.DataProtection/backupVaults")
        self.assertIn(name, [vault["name"] for vault in everywhere["value"]])

    def make_guard(self):
        """resource-guard create, show, list, delete."""
        guards = self.day.vault.rsplit("/", 2)[0] + "/resourceGuards"
        made = self.call("PUT", f"{guards}/guard-az", {"location": self.day.location}).body
        self.assertEqual(self.get(f"{guards}/guard-az"), made)
        self.assertEqual(self.get(guards)["value"], [made])
        self.call("DELETE", f"{guards}/guard-az")
        self.assertEqual(self.get(guards)["value"], [])

    def make_policies(self):
        """backup-policy create, show, list, delete."""
        self.policies = [f"{self.day.vault}/backupPolicies/{name}" for name in ("first", "second", "third")]
        for path in self.policies:
            made = self.call("PUT", path, self.policy()).body
            self.assertNotIn("name", made["properties"])
            self.assertEqual(self.get(path), made)
        listed = self.get(f"{self.day.vault}/backupPolicies")
        self.assertEqual(sorted(policy["name"] for policy in listed["value"]), ["first", "second", "third"])
        self.assertIsNone(self.call("DELETE", self.policies[2]).body)

    def validate(self):
        body = {"backupInstance": self.properties("resourceId", self.policies[0])}
        answer = self.call("POST", f"{self.day.vault}/validateForBackup", body, expect=(202,))
        self.assertEqual(self.finished(answer), {"objectType": "OperationJobExtendedInfo"})

    def make_instance(self):
        """backup-instance validate-for-backup, create, show, list, update-policy."""
        self.validate()
        self.validate()
        self.name = f"{self.day.server.rsplit('/', 1)[1]}-orders-{uuid.uuid1()}"
        self.instance = f"{self.day.vault}/backupInstances/{self.name}"
        body = {"properties": self.properties("resourceID", self.policies[0])}
        self.finished(self.call("PUT", self.instance, body, expect=(201,)), result=False)
        shown = self.get(self.instance)
        self.assertEqual(shown["properties"]["currentProtectionState"], "ProtectionConfigured")
        store = shown["properties"]["datasourceAuthCredentials"]["secretStoreResource"]
        self.assertEqual(store, self.credentials(self.day.reader_secret)["secretStoreResource"])
        self.assertEqual(self.get(f"{self.day.vault}/backupInstances")["value"], [shown])
        shown["properties"]["policyInfo"]["policyId"] = self.policies[1]
        answer = self.call("PUT", self.instance, {"properties": shown["properties"]}, expect=(201, 202))
        self.finished(answer)
        self.assertEqual(self.get(self.instance)["properties"]["policyInfo"]["policyId"], self.policies[1])

    def job(self, info):
        """job show until it has ended, job list."""
        self.assertEqual(info["objectType"], "OperationJobExtendedInfo")
        deadline = time.monotonic() + 300
        while (job := self.get(info["jobId"]))["properties"]["status"] == "InProgress":
            self.assertLess(time.monotonic(), deadline, "the job did not end")
            time.sleep(0.1)
        self.assertEqual(job["properties"]["status"], "Completed", job["properties"]["errorDetails"])
        self.assertIn(job["id"], [listed["id"] for listed in self.get(f"{self.day.vault}/backupJobs")["value"]])

    def back_up(self):
        """backup-instance adhoc-backup, recovery-point list and show."""
        body = {"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}}
        self.job(self.finished(self.call("POST", f"{self.instance}/backup", body, expect=(202,))))
        points = f"{self.instance}/recoveryPoints"
        [point] = self.get(points, query={"$filter": ""})["value"]
        self.assertEqual(self.get(points, query={"$filter": FILTER})["value"], [point])
        self.assertEqual(self.get(point["id"])["name"], point["name"])
        self.point = point["name"]

    def restore(self):
        """backup-instance validate-for-restore, restore trigger."""
        request = self.day.restore_request(self.point, "orders_again", self.day.admin_secret)
        target = request["restoreTargetInfo"]
        for member in ("datasourceInfo", "datasourceSetInfo"):
            target[member]["resourceId"] = target[member].pop("resourceID")
        target["datasourceAuthCredentials"] = self.credentials(self.day.admin_secret)
        body = {"restoreRequestObject": request}
        answer = self.call("POST", f"{self.instance}/validateRestore", body, expect=(202,))
        self.assertEqual(self.finished(answer), {"objectType": "OperationJobExtendedInfo"})
        self.job(self.finished(self.call("POST", f"{self.instance}/restore", request, expect=(202,))))
        self.assertIn("orders_again", self.world.databases())
        request = self.day.restore_files_request(self.point, "container", "orders")
        self.job(self.finished(self.call("POST", f"{self.instance}/restore", request, expect=(202,))))
        self.assertEqual(len(list(self.day.files.rglob("toc.dat"))), 1)

    def act(self, action, state):
        """An action without a body."""
        self.finished(self.call("POST", f"{self.instance}/{action}", expect=(202,)))
        self.assertEqual(self.get(self.instance)["properties"]["currentProtectionState"], state)

    def stop_and_resume(self):
        """backup-instance suspend-backup, stop-protection, resume-protection."""
        self.act("suspendBackups", "BackupsSuspended")
        self.act("resumeProtection", "ProtectionConfigured")
        self.act("stopProtection", "ProtectionStopped")
        self.act("resumeProtection", "ProtectionConfigured")

    def delete(self):
        """backup-instance delete, deleted-backup-instance list, show, undelete; backup-vault delete."""
        self.finished(self.call("DELETE", self.instance, expect=(202,)))
        self.call("GET", self.instance, expect=(404,))
        deleted = f"{self.day.vault}/deletedBackupInstances"
        [listed] = self.get(deleted)["value"]
        self.assertEqual(self.get(f"{deleted}/{self.name}"), listed)
        self.client.wait(self.call("POST", f"{deleted}/{self.name}/undelete", expect=(200, 202)), "undelete")
        self.assertEqual(self.get(self.instance)["properties"]["currentProtectionState"], "ProtectionStopped")
        self.call("DELETE", f"{self.instance}-absent", expect=(204,))
        empty = self.day.vault + "-empty"
        self.finished(self.call("PUT", empty, bodies.vault(self.day.location), expect=(201,)), result=False)
        answer = self.call("DELETE", empty, expect=(202,))
        for header, collection in (("azure-asyncoperation", "operationStatus"), ("location", "operationResults")):
            self.assertIn(f"/locations/{self.day.location}/{collection}/", urllib.parse.urlsplit(answer.headers[header]).path)
        self.finished(answer)
        self.call("GET", empty, expect=(404,))


if __name__ == "__main__":
    unittest.main()
