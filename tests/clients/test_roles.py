"""Roles of one's own through Azure's own client, `azure-mgmt-authorization`, and by the requests of `az role definition`."""

import json
import shutil
import tempfile
import unittest
import uuid
from pathlib import Path

import azure_sdk
from azure.core.exceptions import HttpResponseError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import (
    Permission,
    RoleAssignmentCreateParameters,
    RoleDefinition,
)
from harness import BINARY, Client, CofferServer

# As `az` sends it for definitions.
AZ_VERSION = "2022-05-01-preview"


class Roles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="coffer-roles-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.coffer = CofferServer(BINARY, cls.directory / "data", log_path=cls.directory / "serve.log")
        cls.addClassCleanup(cls.coffer.stop)
        cls.env = cls.coffer.start()
        cls.scope = f"/subscriptions/{cls.env['AZURE_SUBSCRIPTION_ID']}"
        endpoint = cls.env["COFFER_ENDPOINT"]
        cls.client = AuthorizationManagementClient(
            azure_sdk.credential(cls.env),
            cls.env["AZURE_SUBSCRIPTION_ID"],
            base_url=endpoint,
            credential_scopes=[f"{endpoint}/.default"],
            connection_verify=cls.env["COFFER_CA_FILE"],
        )
        made = cls.coffer.command(
            "principal", "create", "--data-dir", cls.coffer.data, "--name", "operator", "--output", "json"
        )
        cls.principal = json.loads(made)["principalId"]

    def wanted(self, name, actions):
        return RoleDefinition(
            role_name=name,
            description="of a test",
            role_type="CustomRole",
            permissions=[Permission(actions=actions, not_actions=[], data_actions=[], not_data_actions=[])],
            assignable_scopes=[self.scope],
        )

    def code(self, action, *arguments):
        with self.assertRaises(HttpResponseError) as refused:
            action(*arguments)
        return refused.exception.status_code, refused.exception.error.code

    def test_a_role_lives_and_is_given(self):
        definitions, assignments = self.client.role_definitions, self.client.role_assignments
        name = str(uuid.uuid4())
        made = definitions.create_or_update(
            self.scope, name, self.wanted("Vault Looker", ["Microsoft.DataProtection/*/read"])
        )
        self.assertEqual((made.name, made.role_type, made.role_name), (name, "CustomRole", "Vault Looker"))
        self.assertEqual(made.assignable_scopes, [self.scope])
        self.assertEqual(made.permissions[0].actions, ["Microsoft.DataProtection/*/read"])
        self.assertEqual(definitions.get_by_id(made.id).name, name)
        listed = definitions.list(self.scope, filter="type eq 'CustomRole'")
        self.assertEqual([role.role_name for role in listed], ["Vault Looker"])
        listed = definitions.list(self.scope, filter="roleName eq 'Reader'")
        self.assertEqual([role.role_type for role in listed], ["BuiltInRole"])
        self.assertEqual(
            self.code(definitions.create_or_update, self.scope, str(uuid.uuid4()), self.wanted("Vault Looker", ["*"])),
            (409, "RoleDefinitionWithSameNameExists"),
        )
        self.assertEqual(
            self.code(definitions.create_or_update, self.scope, str(uuid.uuid4()), self.wanted("x", ["look"])),
            (400, "InvalidActionOrNotAction"),
        )

        # Left to itself the client says "User", which no program is.
        wanted = RoleAssignmentCreateParameters(
            role_definition_id=made.id, principal_id=self.principal, principal_type="ServicePrincipal"
        )
        given = assignments.create(self.scope, str(uuid.uuid4()), wanted)
        self.assertEqual(
            self.code(assignments.create, self.scope, str(uuid.uuid4()), wanted), (409, "RoleAssignmentExists")
        )
        held = assignments.list_for_scope(self.scope, filter=f"principalId eq '{self.principal}'")
        self.assertEqual([one.id for one in held], [given.id])
        self.assertEqual(self.code(definitions.delete, self.scope, name), (400, "RoleDefinitionHasAssignments"))
        self.assertEqual(assignments.delete_by_id(given.id).id, given.id)
        self.assertIsNone(assignments.delete_by_id(given.id))
        self.assertEqual(definitions.delete(self.scope, name).name, name)
        self.assertIsNone(definitions.delete(self.scope, name))

    def test_the_requests_of_az(self):
        client = Client(self.env)
        self.addCleanup(client.close)
        path = f"{self.scope}/providers/Microsoft.Authorization/roleDefinitions"
        name = str(uuid.uuid4())
        # `az role definition create`: the members of its file, as it sends them.
        body = {
            "properties": {
                "roleName": "From Az",
                "description": "",
                "type": "CustomRole",
                "assignableScopes": [self.scope],
                "permissions": [{"actions": ["*/read"], "notActions": [], "dataActions": [], "notDataActions": []}],
            }
        }
        made = client.put(f"{path}/{name}", body, api_version=AZ_VERSION)
        self.assertEqual(made.status, 201)
        # `list --custom-role-only`, `list --name`, and what `delete --name` asks first.
        for query in ["type eq 'CustomRole'", "roleName eq 'From Az'", "atScopeAndBelow() and type eq 'CustomRole'"]:
            found = client.get(path, api_version=AZ_VERSION, query={"$filter": query})["value"]
            self.assertIn(name, [role["name"] for role in found], query)
        # `update` sends back what it was shown, changed.
        shown = made.body
        shown["properties"]["description"] = "changed"
        self.assertEqual(client.put(f"{path}/{name}", shown, api_version=AZ_VERSION).status, 201)
        self.assertEqual(client.delete(f"{path}/{name}", api_version=AZ_VERSION).status, 200)


if __name__ == "__main__":
    unittest.main()
