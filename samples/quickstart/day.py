"""The day of the article: from an empty installation to a protected database, back, and gone again.

`Day` holds the names of one run; its methods are the day's steps, each a few requests that any client could send. The
tests walk the same day, so what is shown here is what is tested.
"""

import uuid

import bodies
from rest import AUTHORIZATION, KEY_VAULTS, RESOURCES, SERVERS, STORAGE
from terminal import Failure

LOCATION = "westus"


class Day:
    """One walk. `run` keeps its names apart from those of other walks in the same installation."""

    def __init__(self, client, backup_subscription, source_subscription, run):
        self.client = client
        self.location = LOCATION
        backup_group = f"/subscriptions/{backup_subscription}/resourceGroups/backup-{run}"
        source_group = f"/subscriptions/{source_subscription}/resourceGroups/databases-{run}"
        self.groups = (backup_group, source_group)
        self.vault = f"{backup_group}/providers/Microsoft.DataProtection/backupVaults/vault-{run}"
        self.policy = f"{self.vault}/backupPolicies/weekly"
        self.server = f"{source_group}/providers/Microsoft.DBforPostgreSQL/servers/server-{run}"
        self.key_vault = f"{source_group}/providers/Microsoft.KeyVault/vaults/kv-{run}"
        self.key_vault_name = f"kv-{run}"
        self.storage_name = f"files{run}".replace("-", "")
        self.storage = f"{source_group}/providers/Microsoft.Storage/storageAccounts/{self.storage_name}"
        self.principal = None
        self.instance = None
        self.instance_properties = None

    # Before the article: what an Azure user has already -------------------------------------------------------------

    def create_groups(self):
        for group in self.groups:
            self.client.put(group, {"location": self.location}, api_version=RESOURCES)

    def create_key_vault(self):
        body = {
            "location": self.location,
            "properties": {
                "tenantId": self.client.env["AZURE_TENANT_ID"],
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
            },
        }
        self.client.put(self.key_vault, body, api_version=KEY_VAULTS)

    def set_secret(self, name, value):
        """Stores a connection string; returns the URI by which backup instances name it."""
        # Key vaults answer at the host that Azure would give them, below our own suffix, on our own port.
        port = self.client.endpoint.rsplit(":", 1)[1]
        self.client.set_secret(name, value, vault_host=f"{self.key_vault_name}.vault.localhost:{port}")
        return f"https://{self.key_vault_name}.vault.azure.net/secrets/{name}"

    def register_server(self, host, port, ssl_mode, secret_uri):
        body = {
            "location": self.location,
            "properties": {
                "fullyQualifiedDomainName": host,
                "port": port,
                "sslMode": ssl_mode,
                "secretUri": secret_uri,
            },
        }
        self.client.wait(self.client.put(self.server, body, api_version=SERVERS), "register the server")

    def register_storage(self, directory_url):
        body = {"location": self.location, "properties": {"backingStore": directory_url}}
        self.client.wait(self.client.put(self.storage, body, api_version=STORAGE), "register the storage account")

    # The article -----------------------------------------------------------------------------------------------------

    def create_vault(self):
        self.client.wait(self.client.put(self.vault, bodies.vault(self.location)), "create the vault")
        vault = self.client.get(self.vault)
        self.principal = vault["identity"]["principalId"]
        return vault

    def create_policy(self):
        return self.client.put(self.policy, bodies.policy(), expect=(200,)).body

    def grant_vault(self):
        """What the vault's identity needs: to see the server, read its secrets, and write files."""
        self._assign(self.server, bodies.READER, self.principal)
        self._assign(self.key_vault, bodies.KEY_VAULT_SECRETS_USER, self.principal)
        self._assign(self.storage, bodies.STORAGE_BLOB_DATA_CONTRIBUTOR, self.principal)

    def describe_instance(self, database):
        self.instance = f"{self.vault}/backupInstances/{self.server.rsplit('/', 1)[1]}-{database}-{uuid.uuid4()}"
        self.instance_properties = bodies.instance(self.server, database, self.location, self.policy)

    def validate(self):
        answer = self.client.post(
            f"{self.vault}/validateForBackup", {"backupInstance": self.instance_properties}, expect=(202,)
        )
        self.client.wait(answer, "validateForBackup")

    def configure(self):
        answer = self.client.put(self.instance, {"properties": self.instance_properties}, expect=(201,))
        self.client.wait(answer, "configure the backup")
        return self.expect_state("ProtectionConfigured")

    def backup(self, progress=lambda job: None):
        answer = self.client.post(f"{self.instance}/backup", bodies.adhoc_backup("BackupWeekly", ""), expect=(202,))
        return self.client.wait_for_job(answer, "backup", progress)

    def recovery_points(self):
        """Newest first."""
        return self.client.get(f"{self.instance}/recoveryPoints")["value"]

    def validate_restore(self, request):
        body = {"restoreRequestObject": request}
        answer = self.client.post(f"{self.instance}/validateRestore", body, expect=(202,))
        self.client.wait(answer, "validateRestore")

    def restore(self, request, progress=lambda job: None):
        answer = self.client.post(f"{self.instance}/restore", request, expect=(202,))
        return self.client.wait_for_job(answer, "restore", progress)

    def restore_request(self, recovery_point, database, secret_uri=None):
        return bodies.restore_as_database(recovery_point, self.server, database, self.location, secret_uri)

    def restore_files_request(self, recovery_point, container, prefix):
        url = f"https://{self.storage_name}.blob.core.windows.net/{container}"
        return bodies.restore_as_files(recovery_point, self.location, url, prefix)

    def stop_protection(self):
        # Of 2021 there was no stopping yet: this verb came later.
        answer = self.client.post(f"{self.instance}/stopProtection", api_version="2023-01-01")
        self.client.wait(answer, "stop protection")
        return self.expect_state("ProtectionStopped")

    def delete_instance(self):
        self.client.wait(self.client.delete(self.instance, expect=(202,)), "delete the backup instance")
        gone = self.client.request("GET", self.instance, expect=(404,))
        assert gone.status == 404
        deleted = self.instance.replace("/backupInstances/", "/deletedBackupInstances/")
        return self.client.get(deleted, api_version="2023-01-01")

    # -----------------------------------------------------------------------------------------------------------------

    def expect_state(self, state):
        instance = self.client.get(self.instance)
        found = instance["properties"].get("currentProtectionState")
        if found != state:
            raise Failure(f"the backup instance is {found}, not {state}: {instance['properties']}")
        return instance

    def _assign(self, scope, role, principal):
        # The same assignment has the same name, so that a walk repeated finds it made.
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.lower()} {role} {principal}")
        subscription = "/".join(scope.split("/")[:3])
        body = {
            "properties": {
                "roleDefinitionId": f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                "principalId": principal,
                "principalType": "ServicePrincipal",
            }
        }
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        self.client.put(path, body, api_version=AUTHORIZATION, expect=(200, 201))
