"""The server is killed at every recorded step of create, backup, restore and delete, and started again.

A debug build ends itself at the point that COFFER_CRASH_AT names, without unwinding: what `kill -9` does, at a known
place. What was answered before must then go on and end well, and a restore that died must leave no database behind.
"""

import subprocess
import time
import unittest

import harness  # first: it says where the quickstart's modules are
import compare
from rest import RequestFailed
from terminal import Failure

# How long anything may take after the restart. Leases of the killed server run out in this time.
LIMIT = 180


def explain(job):
    """Why a job did not end well."""
    properties = job["properties"]
    return properties["errorDetails"] or (properties["extendedInfo"] or {}).get("warningDetails")


class Crash(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.points = cls.world.coffer.command("crash-points").split()
        cls.world.create_database("small")
        cls.contents = cls.content("small")

    @classmethod
    def content(cls, name):
        postgres = cls.world.postgres
        return compare.content(postgres.programs, postgres.database(name))

    # Each kind ---------------------------------------------------------------------------------------------------------

    def test_create_vault(self):
        day = self.world.day("vaults")
        for number, point in enumerate(self.points_of("create_vault")):
            day.vault = f"{day.vault.rsplit('/', 1)[0]}/vault-{number}"
            with self.subTest(point):
                self.crash_at(point, lambda: day.client.put(day.vault, self.soft_delete_off(day)), day.create_vault)
                vault = day.client.get(day.vault)
                self.assertEqual(vault["properties"]["provisioningState"], "Succeeded")

    def test_configure_protection(self):
        day = self.protectable("configure", "configured")
        for point in self.points_of("configure_protection"):
            day.describe_instance("configured")
            with self.subTest(point):
                body = {"properties": day.instance_properties}
                self.crash_at(point, lambda: day.client.put(day.instance, body), lambda: self.configure_again(day))
                day.expect_state("ProtectionConfigured")
                job = day.backup()
                self.assertEqual(job["properties"]["status"], "Completed")
            self.delete(day)

    def test_backup(self):
        day = self.protectable("backup", "backed_up")
        day.describe_instance("backed_up")
        day.configure()
        for taken, point in enumerate(self.points_of("backup")):
            with self.subTest(point):
                body = {"backupRuleOptions": {"ruleName": "BackupWeekly"}}
                self.crash_at(point, lambda: day.client.post(f"{day.instance}/backup", body), day.backup)
                self.wait_for_jobs(day)
                jobs = day.client.get(f"{day.vault}/backupJobs")["value"]
                self.assertEqual({job["properties"]["status"] for job in jobs}, {"Completed"})
                points = day.recovery_points()
                self.assertEqual(len(points), taken + 1)
                self.assertEqual(len({point["name"] for point in points}), taken + 1)
        # What was taken in spite of all that is whole.
        request = day.restore_request(day.recovery_points()[0]["name"], "backed_up_again", day.admin_secret)
        self.assertEqual(day.restore(request)["properties"]["status"], "Completed")
        self.assertEqual(compare.differences(self.contents, self.content("backed_up_again")), [])

    def test_backup_of_a_server(self):
        """The points at which several databases are another thing than one, and the restores of what came of it."""
        day = self.protectable("server", "first_of_server")
        self.world.create_database("second_of_server")
        self.world.protect_server(day)
        day.configure()
        several = tuple(f"take:{phase}" for phase in ("data", "flush", "seal", "sealed"))
        reached = [point for point in self.points_of("backup") if point.endswith(several)]
        self.assertEqual(len(reached), len(several), reached)
        for taken, point in enumerate(reached):
            with self.subTest(point):
                body = {"backupRuleOptions": {"ruleName": "BackupWeekly"}}
                self.crash_at(point, lambda: day.client.post(f"{day.instance}/backup", body), day.backup)
                self.wait_for_jobs(day)
                points = day.recovery_points()
                self.assertEqual(len(points), taken + 1)
        recovery_point = day.recovery_points()[0]["name"]
        for database in ("first_of_server", "second_of_server"):
            request = day.restore_request(recovery_point, f"{database}_again", day.admin_secret)
            request["cofferRestoreOptions"] = {"sourceDatabase": database}
            self.assertEqual(day.restore(request)["properties"]["status"], "Completed")
            self.assertEqual(compare.differences(self.contents, self.content(f"{database}_again")), [])
        for number, point in enumerate(point for point in self.points_of("restore") if point.endswith(":files")):
            with self.subTest(point):
                request = day.restore_files_request(recovery_point, "container", f"server-{number}")
                self.crash_at(
                    point, lambda: day.client.post(f"{day.instance}/restore", request), lambda: day.restore(request)
                )
                self.wait_for_jobs(day)
                # The files, and nothing half beside them.
                [directory] = (day.files / "container").iterdir()
                self.assertLessEqual(
                    {"first_of_server.sql", "roles.sql", "schema.sql", "tablespace.sql"},
                    {path.name for path in directory.iterdir()},
                )
        self.delete(day)
        for name in ("first_of_server", "second_of_server"):
            self.world.postgres.psql("postgres", f"DROP DATABASE {name}_again")
        self.world.postgres.psql("postgres", "DROP DATABASE second_of_server")

    def test_restore(self):
        day = self.protectable("restore", "restored")
        day.describe_instance("restored")
        day.configure()
        day.backup()
        recovery_point = day.recovery_points()[0]["name"]
        before = set(self.world.databases())
        points = self.points_of("restore")
        of_files = [point for point in points if point.endswith(":files")]
        for number, point in enumerate(of_files):
            with self.subTest(point):
                self.restore_as_files(day, recovery_point, point, f"archive-{number}")
        for number, point in enumerate(point for point in points if point not in of_files):
            target = f"restored_{number}"
            request = day.restore_request(recovery_point, target, day.admin_secret)
            with self.subTest(point):
                self.crash_at(
                    point,
                    lambda: day.client.post(f"{day.instance}/restore", request),
                    lambda: day.restore(request),
                    at_death=lambda: self.whole_or_absent(target),
                )
                self.wait_for_jobs(day)
                self.assertEqual(compare.differences(self.contents, self.content(target)), [])
                # Nothing under a temporary name either.
                self.assertEqual(set(self.world.databases()) - before, {target})
            self.world.postgres.psql("postgres", f"DROP DATABASE IF EXISTS {target}")

    def restore_as_files(self, day, recovery_point, point, prefix):
        request = day.restore_files_request(recovery_point, "container", prefix)
        self.crash_at(
            point, lambda: day.client.post(f"{day.instance}/restore", request), lambda: day.restore(request)
        )
        self.wait_for_jobs(day)
        [toc] = (day.files / "container").rglob("toc.dat")
        listed = subprocess.run([self.world.postgres.programs / "pg_restore", "--list", toc.parent], capture_output=True)
        self.assertEqual((listed.returncode, listed.stderr), (0, b""))
        # The archive, and nothing half beside it.
        self.assertEqual([path.name for path in (day.files / "container").iterdir()], [toc.parent.name])

    def test_delete_instance(self):
        day = self.protectable("delete", "deleted")
        for point in self.points_of("delete_instance"):
            others = self.manifests()
            day.describe_instance("deleted")
            day.configure()
            day.backup()
            with self.subTest(point):
                self.assertEqual(len(self.manifests() - others), 1)
                self.crash_at(
                    point,
                    lambda: day.client.delete(day.instance),
                    lambda: day.client.wait(day.client.delete(day.instance), "delete again"),
                )
                day.client.request("GET", day.instance, expect=(404,))
                # Soft delete is off in this vault: the data is gone, and so is every half of it.
                self.assertEqual(self.manifests(), others)
            self.delete(day)

    def test_changes_of_protection(self):
        """Each change twice, back and forth, so that every point meets an instance that is in the other state."""
        day = self.protectable("changes", "changed")
        day.describe_instance("changed")
        day.configure()
        pairs = (
            ("stop_protection", "stopProtection", "ProtectionStopped", "resume_protection", "resumeProtection"),
            ("suspend_backups", "suspendBackups", "BackupsSuspended", "resume_backups", "resumeBackups"),
        )
        for there, action, state, back, reaction in pairs:
            for going, returning in zip(self.points_of(there), self.points_of(back), strict=True):
                self.change(day, going, action, state)
                self.change(day, returning, reaction, "ProtectionConfigured")

    def change(self, day, point, action, state):
        with self.subTest(point):
            url = f"{day.instance}/{action}"
            self.crash_at(
                point,
                lambda: day.client.post(url, api_version="2023-01-01"),
                lambda: day.client.wait(day.client.post(url, api_version="2023-01-01"), action),
            )
            day.expect_state(state)

    # How ---------------------------------------------------------------------------------------------------------------

    def points_of(self, kind):
        points = [point for point in self.points if point.split(":")[0] == kind]
        self.assertGreater(len(points), 0, f"no crash points of {kind} among {self.points}")
        return points

    def crash_at(self, point, begin, repeat, at_death=lambda: None):
        """Begins an operation in a server that dies at a point; starts another and sees the operation end.

        Where the server died before it answered, nothing was promised: then the request is repeated, as a client does.
        """
        self.world.coffer.stop()
        self.world.restart({"COFFER_CRASH_AT": point})
        answer = None
        try:
            answer = begin()
        except Failure as failure:
            # Only a lost answer is expected here; a refusal is a failure of the test.
            self.assertNotIsInstance(failure, RequestFailed, failure)
        died = self.world.wait_for_end()
        at_death()
        self.world.coffer.stop()
        self.world.restart()
        self.assertTrue(died, f"the point {point} was never reached")
        if answer is None:
            repeat()
            return
        status = self.wait_for_operation(answer)
        self.assertEqual(status["status"], "Succeeded", status.get("error"))
        job = (status.get("properties") or {}).get("jobId")
        if job:
            ended = self.wait_for_job(job)
            self.assertIn(ended["properties"]["status"], ("Completed", "CompletedWithWarnings"), explain(ended))
            # Died between the rename and the note of it: what the first run had to say is lost, and that is said.
            codes = [entry["warning"]["code"] for entry in ended["properties"]["extendedInfo"]["warningDetails"] or []]
            if ended["properties"]["status"] != "Completed":
                self.assertEqual(codes, ["RestoreInterrupted"], explain(ended))

    def wait_for_operation(self, answer):
        url = answer.headers["azure-asyncoperation"]
        return self.wait_until(lambda: self.world.client.get(url), lambda status: status["status"] != "Inprogress")

    def wait_for_job(self, job):
        return self.wait_until(
            lambda: self.world.client.get(job), lambda job: job["properties"]["status"] != "InProgress"
        )

    def wait_for_jobs(self, day):
        self.wait_until(
            lambda: day.client.get(f"{day.vault}/backupJobs")["value"],
            lambda jobs: all(job["properties"]["status"] != "InProgress" for job in jobs),
        )

    def wait_until(self, look, enough):
        deadline = time.monotonic() + LIMIT
        while True:
            found = look()
            if enough(found):
                return found
            self.assertLess(time.monotonic(), deadline, f"not done after {LIMIT} s: {found}")
            time.sleep(0.05)

    def whole_or_absent(self, name):
        """While the server is dead: a database of the target's name is complete, or there is none."""
        if name in self.world.databases():
            self.assertEqual(compare.differences(self.contents, self.content(name)), [])

    def manifests(self):
        """All recovery points in the storage, by their files."""
        return set((self.world.coffer.data / "storage").glob("vaults/*/repositories/*/manifests/*"))

    def soft_delete_off(self, day):
        settings = {"softDeleteSettings": {"state": "Off"}}
        storage = [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}]
        return {
            "location": day.location,
            "identity": {"type": "SystemAssigned"},
            "properties": {"storageSettings": storage, "securitySettings": settings},
        }

    def protectable(self, run, database):
        """A vault without soft delete, with a policy and all grants, and a copy of the small database."""
        self.world.create_database(database)
        day = self.world.day(run)
        day.client.wait(day.client.put(day.vault, self.soft_delete_off(day)), "create the vault")
        day.principal = day.client.get(day.vault)["identity"]["principalId"]
        day.create_policy()
        day.grant_vault()
        return day

    def configure_again(self, day):
        answer = day.client.put(day.instance, {"properties": day.instance_properties})
        day.client.wait(answer, "configure again")

    def delete(self, day):
        """Leaves the database unprotected, whatever became of the test."""
        answer = day.client.delete(day.instance, expect=(200, 202, 204))
        day.client.wait(answer, "delete the backup instance")


if __name__ == "__main__":
    unittest.main()
