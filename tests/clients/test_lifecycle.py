"""The whole lifecycle, driven by the newest `azure-mgmt-dataprotection`, unmodified."""

import datetime
import json
import subprocess
import time
import unittest

import harness  # first: it says where the quickstart's modules are
import compare
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.dataprotection import models as m
from azure_sdk import data_protection

DATABASE_TYPE = "Microsoft.DBforPostgreSQL/servers/databases"
# Longest time for an operation or job here: the databases are tiny, the machine may be busy.
LIMIT = 300


def vault_store():
    return m.DataStoreInfoBase(data_store_type="VaultStore", object_type="DataStoreInfoBase")


def policy(interval="R/2021-08-15T06:30:00+00:00/P1W"):
    tag = m.TaggingCriteria(tag_info=m.RetentionTag(tag_name="Default"), tagging_priority=99, is_default=True)
    schedule = m.BackupSchedule(repeating_time_intervals=[interval], time_zone="UTC")
    backup = m.AzureBackupRule(
        name="BackupWeekly",
        backup_parameters=m.AzureBackupParams(backup_type="Full"),
        trigger=m.ScheduleBasedTriggerContext(schedule=schedule, tagging_criteria=[tag]),
        data_store=vault_store(),
    )
    lifecycle = m.SourceLifeCycle(
        delete_after=m.AbsoluteDeleteOption(duration="P3M"),
        source_data_store=vault_store(),
        target_data_store_copy_settings=[],
    )
    keep = m.AzureRetentionRule(name="Default", is_default=True, lifecycles=[lifecycle])
    return m.BaseBackupPolicyResource(
        properties=m.BackupPolicy(datasource_types=[DATABASE_TYPE], policy_rules=[backup, keep])
    )


def vault(location, soft_delete="On"):
    return m.BackupVaultResource(
        location=location,
        identity=m.DppIdentityDetails(type="SystemAssigned"),
        properties=m.BackupVault(
            storage_settings=[m.StorageSetting(datastore_type="VaultStore", type="LocallyRedundant")],
            security_settings=m.SecuritySettings(
                soft_delete_settings=m.SoftDeleteSettings(state=soft_delete, retention_duration_in_days=14)
            ),
        ),
    )


def credentials(uri):
    return m.SecretStoreBasedAuthCredentials(
        secret_store_resource=m.SecretStoreResource(secret_store_type="AzureKeyVault", uri=uri)
    )


class Instance:
    """One database in one vault, by the SDK's operations."""

    def __init__(self, sdk, day, database):
        self.sdk, self.day, self.database = sdk, day, database
        self.group = day.vault.split("/")[4]
        self.vault = day.vault.rsplit("/", 1)[1]
        self.name = f"{day.server.rsplit('/', 1)[1]}-{database}"
        self.id = f"{day.vault}/backupInstances/{self.name}"

    @property
    def arguments(self):
        return self.group, self.vault, self.name

    def datasource(self, database=None):
        database = database or self.database
        return m.Datasource(
            datasource_type=DATABASE_TYPE,
            object_type="Datasource",
            resource_id=f"{self.day.server}/databases/{database}",
            resource_location=self.day.location,
            resource_name=database,
            resource_type=DATABASE_TYPE,
            resource_uri="",
        )

    def datasource_set(self):
        return m.DatasourceSet(
            datasource_type=DATABASE_TYPE,
            object_type="DatasourceSet",
            resource_id=self.day.server,
            resource_location=self.day.location,
            resource_name=self.day.server.rsplit("/", 1)[1],
            resource_type="Microsoft.DBforPostgreSQL/servers",
            resource_uri="",
        )

    def properties(self, secret=None, database=None):
        return m.BackupInstance(
            friendly_name=self.name,
            data_source_info=self.datasource(database),
            data_source_set_info=self.datasource_set(),
            datasource_auth_credentials=credentials(secret) if secret else None,
            policy_info=m.PolicyInfo(policy_id=self.day.policy),
            object_type="BackupInstance",
        )

    def validate(self, **changes):
        request = m.ValidateForBackupRequest(backup_instance=self.properties(**changes))
        return done(self.sdk.backup_instances.begin_validate_for_backup(self.group, self.vault, request))

    def configure(self, **changes):
        resource = m.BackupInstanceResource(properties=self.properties(**changes))
        return done(self.sdk.backup_instances.begin_create_or_update(*self.arguments, resource))

    def backup(self):
        request = m.TriggerBackupRequest(
            backup_rule_options=m.AdHocBackupRuleOptions(
                rule_name="BackupWeekly", trigger_option=m.AdhocBackupTriggerOption()
            )
        )
        return self.job(done(self.sdk.backup_instances.begin_adhoc_backup(*self.arguments, request)))

    def restore_request(self, target):
        newest = self.recovery_points()[0].properties.recovery_point_id
        return m.AzureBackupRecoveryPointBasedRestoreRequest(
            recovery_point_id=newest, source_data_store_type="VaultStore", restore_target_info=target
        )

    def as_database(self, name):
        return m.RestoreTargetInfo(
            recovery_option="FailIfExists",
            restore_location=self.day.location,
            datasource_info=self.datasource(name),
            datasource_set_info=self.datasource_set(),
            datasource_auth_credentials=credentials(self.day.admin_secret),
        )

    def as_files(self, prefix):
        return m.RestoreFilesTargetInfo(
            recovery_option="FailIfExists",
            restore_location=self.day.location,
            target_details=m.TargetDetails(
                file_prefix=prefix,
                restore_target_location_type="AzureBlobs",
                url=f"https://{self.day.storage_name}.blob.core.windows.net/container",
            ),
        )

    def validate_restore(self, target):
        request = m.ValidateRestoreRequestObject(restore_request_object=self.restore_request(target))
        return done(self.sdk.backup_instances.begin_validate_for_restore(*self.arguments, request))

    def restore(self, target):
        poller = self.sdk.backup_instances.begin_trigger_restore(*self.arguments, self.restore_request(target))
        return self.job(done(poller))

    def recovery_points(self, **options):
        return list(self.sdk.recovery_points.list(*self.arguments, **options))

    def get(self):
        return self.sdk.backup_instances.get(*self.arguments)

    def state(self):
        return self.get().properties.current_protection_state

    def job(self, info):
        """Waits for the job that an operation began."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            job = self.sdk.jobs.get(self.group, self.vault, info.job_id.rsplit("/", 1)[1])
            if job.properties.status != "InProgress":
                return job
            time.sleep(0.1)
        raise AssertionError(f"job {info.job_id} did not end within {LIMIT} s")


def done(poller):
    """The result of a long operation. The SDK's own `result` says nothing when the time is up."""
    poller.wait(LIMIT)
    if not poller.done():
        raise AssertionError(f"operation did not end within {LIMIT} s")
    return poller.result()


def explain(job):
    """Why a job did not end well."""
    return job.properties.error_details or getattr(job.properties.extended_info, "warning_details", None)


def error_codes(error):
    """Azure's code of an error, wherever the SDK put it."""
    return error.error.code if error.error is not None else None


class Lifecycle(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.world.create_database("shop", harness.SAMPLE.read_text(), scale=1)
        cls.world.create_database("small")
        cls.world.create_database("scheduled")
        cls.sdk = data_protection(cls.world.env)
        cls.addClassCleanup(cls.sdk.close)

    def protectable(self, run, database, soft_delete="On"):
        """A vault with its policy and all grants, ready to protect a database."""
        day = self.world.day(run)
        instance = Instance(self.sdk, day, database)
        created = done(
            self.sdk.backup_vaults.begin_create_or_update(
                instance.group, instance.vault, vault(day.location, soft_delete)
            )
        )
        self.assertEqual(created.properties.provisioning_state, "Succeeded")
        day.principal = created.identity.principal_id
        self.assertRegex(day.principal, "^[0-9a-f-]{36}$")
        made = self.sdk.backup_policies.create_or_update(instance.group, instance.vault, "weekly", policy())
        self.assertEqual(made.properties.policy_rules[0].name, "BackupWeekly")
        day.grant_vault()
        return instance

    def refused(self, call, *arguments, **options):
        with self.assertRaises(HttpResponseError) as caught:
            call(*arguments, **options)
        return error_codes(caught.exception)

    def test_a_policy_that_is_due_takes_a_backup_by_itself(self):
        instance = self.protectable("scheduled", "scheduled")
        instance.configure()
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        interval = f"R/{soon.isoformat(timespec='seconds')}/P1D"
        self.sdk.backup_policies.create_or_update(instance.group, instance.vault, "weekly", policy(interval))
        deadline = time.monotonic() + LIMIT
        while not (points := instance.recovery_points()):
            self.assertLess(time.monotonic(), deadline, "no backup was taken")
            time.sleep(0.1)
        self.assertEqual(points[0].properties.retention_tag_name, "Default")
        [job] = self.sdk.jobs.list(instance.group, instance.vault)
        self.assertEqual((job.properties.status, job.properties.is_user_triggered), ("Completed", False), explain(job))
        explained = self.world.coffer.command(
            "policy", "explain", "--data-dir", self.world.coffer.data, "--instance", instance.id, "--output", "json"
        )
        [explained] = json.loads(explained)
        self.assertEqual(explained["recoveryPoints"][0]["recoveryPointId"], points[0].properties.recovery_point_id)
        self.assertEqual(explained["recoveryPoints"][0]["decision"], "keep")
        tomorrow = (soon + datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assertEqual(explained["nextBackups"][0], tomorrow)

    def test_the_whole_day(self):
        instance = self.protectable("day", "shop")
        instance.validate()
        configured = instance.configure()
        self.assertEqual(configured.properties.current_protection_state, "ProtectionConfigured")
        self.assertEqual(configured.id.lower(), instance.id.lower())
        self.assertEqual(self.refused(instance.validate), "UserErrorDppDatasourceAlreadyProtected")

        job = instance.backup()
        self.assertEqual((job.properties.status, job.properties.operation), ("Completed", "Backup"), explain(job))
        self.assertGreater(job.properties.extended_info.data_transferred_in_bytes, 0)
        self.assertIn(job.name, [listed.name for listed in self.sdk.jobs.list(instance.group, instance.vault)])
        [point] = instance.recovery_points()
        self.assertEqual(point.properties.recovery_point_id, job.properties.extended_info.target_recover_point.recovery_point_id)
        got = self.sdk.recovery_points.get(*instance.arguments, point.properties.recovery_point_id)
        self.assertEqual(got.properties.recovery_point_type, "Full")
        self.check_filter(instance)

        self.check_database(instance)
        self.check_files(instance)
        self.check_removal(instance)

    def check_filter(self, instance):
        day = "2020-01-01T00:00:00.0000000Z' and endDate eq '"
        old = f"startDate eq '{day}2020-01-02T00:00:00.0000000Z'"
        every = f"startDate eq '{day}2999-01-01T00:00:00.0000000Z'"
        self.assertEqual(instance.recovery_points(filter=old), [])
        self.assertEqual(len(instance.recovery_points(filter=every)), 1)
        self.assertEqual(len(instance.recovery_points(filter="")), 1)

    def check_database(self, instance):
        target = instance.as_database("shop_again")
        instance.validate_restore(target)
        job = instance.restore(target)
        self.assertEqual(job.properties.status, "Completed", explain(job))
        self.check_equal("shop_again")
        self.assertEqual(self.refused(instance.validate_restore, target), "UserErrorDatabaseNameAlreadyInUse")

    def check_equal(self, name):
        """By psql and pg_dump alone."""
        postgres = self.world.postgres
        source, copy = postgres.database("shop"), postgres.database(name)
        contents = [compare.content(postgres.programs, database) for database in (source, copy)]
        self.assertEqual(compare.differences(*contents), [])
        self.assertGreater(compare.rows(contents[0]), 10000)
        schemas = [compare.schema_text(postgres.programs, database) for database in (source, copy)]
        self.assertEqual(compare.schema_differences(*schemas), [])

    def check_files(self, instance):
        job = instance.restore(instance.as_files("archive"))
        self.assertEqual(job.properties.status, "Completed", explain(job))
        [toc] = instance.day.files.rglob("toc.dat")
        postgres = self.world.postgres
        postgres.psql("postgres", "CREATE DATABASE shop_from_files TEMPLATE template0")
        target = postgres.database("shop_from_files")
        command = [postgres.programs / "pg_restore", "-j2", "--exit-on-error", "-d", target.name, toc.parent]
        run = subprocess.run(command, capture_output=True, text=True, env=target.environment())
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.check_equal("shop_from_files")

    def check_removal(self, instance):
        done(self.sdk.backup_instances.begin_stop_protection(*instance.arguments))
        self.assertEqual(instance.state(), "ProtectionStopped")
        done(self.sdk.backup_instances.begin_delete(*instance.arguments))
        with self.assertRaises(ResourceNotFoundError):
            instance.get()
        deleted = self.sdk.deleted_backup_instances.get(*instance.arguments)
        self.assertEqual(deleted.properties.current_protection_state, "SoftDeleted")
        self.assertEqual(len(list(self.sdk.deleted_backup_instances.list(instance.group, instance.vault))), 1)

        done(self.sdk.deleted_backup_instances.begin_undelete(*instance.arguments))
        self.assertEqual(instance.state(), "ProtectionStopped")
        self.assertEqual(len(instance.recovery_points()), 1)
        done(self.sdk.backup_instances.begin_resume_protection(*instance.arguments))
        self.assertEqual(instance.state(), "ProtectionConfigured")
        self.assertEqual(instance.backup().properties.status, "Completed")
        self.assertEqual(len(instance.recovery_points()), 2)

    def test_backups_are_suspended_and_resumed(self):
        instance = self.protectable("suspend", "small")
        instance.configure()
        done(self.sdk.backup_instances.begin_suspend_backups(*instance.arguments))
        self.assertEqual(instance.state(), "BackupsSuspended")
        done(self.sdk.backup_instances.begin_resume_backups(*instance.arguments))
        self.assertEqual(instance.state(), "ProtectionConfigured")
        done(self.sdk.backup_instances.begin_delete(*instance.arguments))

    def test_a_delete_without_soft_delete_leaves_nothing(self):
        self.world.create_database("gone")
        instance = self.protectable("hard", "gone", soft_delete="Off")
        instance.configure()
        self.assertEqual(instance.backup().properties.status, "Completed")
        in_use = self.refused(self.sdk.backup_policies.delete, instance.group, instance.vault, "weekly")
        self.assertEqual(in_use, "UserErrorDppPolicyObjectInUse")
        done(self.sdk.backup_instances.begin_delete(*instance.arguments))
        self.assertEqual(list(self.sdk.deleted_backup_instances.list(instance.group, instance.vault)), [])
        self.sdk.backup_policies.delete(instance.group, instance.vault, "weekly")
        done(self.sdk.backup_vaults.begin_delete(instance.group, instance.vault))
        with self.assertRaises(ResourceNotFoundError):
            self.sdk.backup_vaults.get(instance.group, instance.vault)

    def test_a_vault_is_updated_and_listed(self):
        day = self.world.day("vaults")
        group, name = day.vault.split("/")[4], day.vault.rsplit("/", 1)[1]
        done(self.sdk.backup_vaults.begin_create_or_update(group, name, vault(day.location)))
        patch = m.PatchResourceRequestInput(tags={"owner": "tests"})
        self.assertEqual(done(self.sdk.backup_vaults.begin_update(group, name, patch)).tags, {"owner": "tests"})
        self.assertEqual([found.name for found in self.sdk.backup_vaults.get_in_resource_group(group)], [name])
        self.assertIn(name, [found.name for found in self.sdk.backup_vaults.get_in_subscription()])

    def test_validation_names_what_is_wrong(self):
        self.world.create_database("checked")
        instance = self.protectable("checks", "checked")
        key_vault = f"https://{instance.day.key_vault_name}.vault.azure.net/secrets"
        self.assertEqual(self.refused(instance.validate, secret=f"{key_vault}/absent"), "UserErrorInvalidSecret")
        instance.day.set_secret("nonsense", "not a connection string")
        self.assertEqual(
            self.refused(instance.validate, secret=f"{key_vault}/nonsense"), "UserErrorSecretValueInUnsupportedFormat"
        )
        wrong = self.world.postgres.database("postgres", "coffer_backup", "wrong")
        instance.day.set_secret("wrong", wrong.uri)
        self.assertEqual(self.refused(instance.validate, secret=f"{key_vault}/wrong"), "UserErrorDBUserAuthFailed")
        self.assertEqual(self.refused(instance.validate, database="absent"), "UserErrorDBNotFound")

        # A role that may log in and read nothing.
        self.world.postgres.psql("postgres", "CREATE ROLE nobody LOGIN PASSWORD 'nobody'")
        instance.day.set_secret("nobody", self.world.postgres.database("postgres", "nobody", "nobody").uri)
        with self.assertRaises(HttpResponseError) as caught:
            instance.validate(secret=f"{key_vault}/nobody")
        self.assertEqual(error_codes(caught.exception), "UserErrorMissingDBPermissions")
        instance.validate()

    def test_an_unknown_caller_is_refused(self):
        stranger = data_protection({**self.world.env, "AZURE_CLIENT_SECRET": "wrong"})
        self.addCleanup(stranger.close)
        with self.assertRaises(Exception) as caught:
            list(stranger.backup_vaults.get_in_subscription())
        self.assertIn("AADSTS7000215", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
