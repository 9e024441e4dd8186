"""The requests' bodies, as Azure's documentation of backing up PostgreSQL databases by REST has them.

Only names, locations and ids differ. Nothing in them is Coffer's own.
"""

# Role definitions, by Azure's ids.
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
STORAGE_BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

DATABASE_TYPE = "Microsoft.DBforPostgreSQL/servers/databases"
SERVER_TYPE = "Microsoft.DBforPostgreSQL/servers"


def vault(location):
    return {
        "location": location,
        "identity": {"type": "SystemAssigned"},
        "properties": {"storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}]},
    }


def policy():
    """Weekly, kept three months; the first of a month is kept six months."""

    def retention(name, duration, default):
        return {
            "lifecycles": [
                {
                    "deleteAfter": {"objectType": "AbsoluteDeleteOption", "duration": duration},
                    "targetDataStoreCopySettings": [],
                    "sourceDataStore": {"dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase"},
                }
            ],
            "isDefault": default,
            "name": name,
            "objectType": "AzureRetentionRule",
        }

    backup = {
        "backupParameters": {"backupType": "Full", "objectType": "AzureBackupParams"},
        "trigger": {
            "schedule": {"repeatingTimeIntervals": ["R/2021-08-15T06:30:00+00:00/P1W"], "timeZone": "UTC"},
            "taggingCriteria": [
                {
                    "tagInfo": {"tagName": "Monthly"},
                    "taggingPriority": 15,
                    "isDefault": False,
                    "criteria": [
                        {"absoluteCriteria": ["FirstOfMonth"], "objectType": "ScheduleBasedBackupCriteria"}
                    ],
                },
                {"tagInfo": {"tagName": "Default"}, "taggingPriority": 99, "isDefault": True},
            ],
            "objectType": "ScheduleBasedTriggerContext",
        },
        "dataStore": {"dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase"},
        "name": "BackupWeekly",
        "objectType": "AzureBackupRule",
    }
    return {
        "properties": {
            "datasourceTypes": [DATABASE_TYPE],
            "objectType": "BackupPolicy",
            "policyRules": [backup, retention("Monthly", "P6M", False), retention("Default", "P3M", True)],
        }
    }


def datasource(server_id, database, location):
    return {
        "datasourceType": DATABASE_TYPE,
        "objectType": "Datasource",
        "resourceID": f"{server_id}/databases/{database}",
        "resourceLocation": location,
        "resourceName": database,
        "resourceType": DATABASE_TYPE,
        "resourceUri": "",
    }


def datasource_set(server_id, location):
    return {
        "datasourceType": DATABASE_TYPE,
        "objectType": "DatasourceSet",
        "resourceID": server_id,
        "resourceLocation": location,
        "resourceName": server_id.rsplit("/", 1)[1],
        "resourceType": SERVER_TYPE,
        "resourceUri": "",
    }


def instance(server_id, database, location, policy_id):
    """The properties of a backup instance. They carry no credentials: the server's registration names the secret."""
    return {
        "dataSourceInfo": datasource(server_id, database, location),
        "dataSourceSetInfo": datasource_set(server_id, location),
        "policyInfo": {"policyId": policy_id, "policyVersion": ""},
        "objectType": "BackupInstance",
    }


def adhoc_backup(rule, retention_tag):
    return {"backupRuleOptions": {"ruleName": rule, "triggerOption": {"retentionTagOverride": retention_tag}}}


def restore_as_database(recovery_point, server_id, database, location, secret_uri):
    target = {
        "datasourceInfo": datasource(server_id, database, location),
        "datasourceSetInfo": datasource_set(server_id, location),
        "objectType": "RestoreTargetInfo",
        "recoveryOption": "FailIfExists",
        "restoreLocation": location,
    }
    if secret_uri is not None:
        target["datasourceAuthCredentials"] = {
            "objectType": "SecretStoreBasedAuthCredentials",
            "secretStoreResource": {"secretStoreType": "AzureKeyVault", "uri": secret_uri},
        }
    return restore(recovery_point, target)


def restore_as_files(recovery_point, location, container_url, prefix):
    return restore(
        recovery_point,
        {
            "objectType": "RestoreFilesTargetInfo",
            "recoveryOption": "FailIfExists",
            "restoreLocation": location,
            "targetDetails": {
                "filePrefix": prefix,
                "restoreTargetLocationType": "AzureBlobs",
                "url": container_url,
            },
        },
    )


def restore(recovery_point, target):
    return {
        "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
        "sourceDataStoreType": "VaultStore",
        "recoveryPointId": recovery_point,
        "restoreTargetInfo": target,
    }
