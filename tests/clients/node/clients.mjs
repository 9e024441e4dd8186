// What a script of Node's does with Azure's own clients, unmodified. Prints what each step gave, as one JSON object.
//
// Arguments: the id of a group, the host of a key vault, the name of a registered flexible server.
import { AuthorizationManagementClient } from "@azure/arm-authorization";
import { PostgreSQLManagementFlexibleServerClient } from "@azure/arm-postgresql-flexible";
import { ClientSecretCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";
import dns from "node:dns";
import { randomUUID } from "node:crypto";

// Not every resolver knows that `*.localhost` is this machine.
const ask = dns.lookup;
dns.lookup = (host, ...rest) => ask(host.endsWith(".localhost") ? "127.0.0.1" : host, ...rest);

const [group, vaultHost, server] = process.argv.slice(2);
const env = process.env;
const endpoint = env.COFFER_ENDPOINT;
const credential = new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, {
  authorityHost: endpoint,
  disableInstanceDiscovery: true,
});
const options = { endpoint, credentialScopes: `${endpoint}/.default` };

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function refusal(action) {
  try {
    await action();
  } catch (error) {
    return { status: error.statusCode, code: error.code };
  }
  throw new Error("it was not refused");
}

const said = {};

const secrets = new SecretClient(`https://${vaultHost}`, credential);
const first = await secrets.setSecret("login", "first", { contentType: "text/plain", tags: { for: "tests" } });
await secrets.setSecret("login", "second");
said.secret = {
  latest: (await secrets.getSecret("login")).value,
  first: (await secrets.getSecret("login", { version: first.properties.version })).value,
  contentType: first.properties.contentType,
  tags: first.properties.tags,
  versions: (await all(secrets.listPropertiesOfSecretVersions("login"))).length,
  names: (await all(secrets.listPropertiesOfSecrets())).map((one) => one.name),
  absent: await refusal(() => secrets.getSecret("absent")),
};
const elsewhere = new SecretClient(endpoint, credential, { disableChallengeResourceVerification: true });
said.defaultVault = (await elsewhere.setSecret("from-node", "value")).properties.vaultUrl;

const authorization = new AuthorizationManagementClient(credential, env.AZURE_SUBSCRIPTION_ID, options);
const [reader] = await all(authorization.roleDefinitions.list(group, { filter: "roleName eq 'Reader'" }));
const name = randomUUID();
const made = await authorization.roleAssignments.create(group, name, {
  roleDefinitionId: reader.id,
  principalId: env.COFFER_PRINCIPAL_ID,
  principalType: "ServicePrincipal",
});
const filter = `principalId eq '${env.COFFER_PRINCIPAL_ID}'`;
said.roles = {
  reader: reader.name,
  named: made.name === name,
  scope: made.scope,
  got: (await authorization.roleAssignments.get(group, name)).id === made.id,
  listed: (await all(authorization.roleAssignments.listForScope(group, { filter }))).some((one) => one.id === made.id),
  byId: (await authorization.roleAssignments.deleteById(made.id)).id === made.id,
  gone: await refusal(() => authorization.roleAssignments.get(group, name)),
};

const postgres = new PostgreSQLManagementFlexibleServerClient(credential, env.AZURE_SUBSCRIPTION_ID, options);
const groupName = group.split("/")[4];
const got = await postgres.servers.get(groupName, server);
said.servers = {
  id: got.id,
  state: got.state,
  host: got.fullyQualifiedDomainName,
  listed: (await all(postgres.servers.listByResourceGroup(groupName))).map((one) => one.name),
  everywhere: (await all(postgres.servers.listBySubscription())).map((one) => one.name),
  databases: (await all(postgres.databases.listByServer(groupName, server))).map((one) => one.name),
  database: (await postgres.databases.get(groupName, server, "postgres")).charset,
  absent: await refusal(() => postgres.servers.get(groupName, "absent")),
};
await postgres.servers.beginDeleteAndWait(groupName, server);
said.deleted = await refusal(() => postgres.servers.get(groupName, server));

console.log(JSON.stringify(said));
