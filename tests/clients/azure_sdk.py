"""Azure's own client, told nothing but where the server is, who we are, and whose certificate to trust."""

from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.dataprotection import DataProtectionMgmtClient


def credential(env):
    return ClientSecretCredential(
        env["AZURE_TENANT_ID"],
        env["AZURE_CLIENT_ID"],
        env["AZURE_CLIENT_SECRET"],
        authority=env["COFFER_ENDPOINT"],
        # Else it asks Microsoft's cloud whether our issuer is one of its own.
        disable_instance_discovery=True,
        connection_verify=env["COFFER_CA_FILE"],
    )


def data_protection(env, subscription=None, **options):
    endpoint = env["COFFER_ENDPOINT"]
    return DataProtectionMgmtClient(
        credential(env),
        subscription or env["AZURE_SUBSCRIPTION_ID"],
        base_url=endpoint,
        credential_scopes=[f"{endpoint}/.default"],
        connection_verify=env["COFFER_CA_FILE"],
        polling_interval=1,
        **options,
    )


def secrets(env, vault_url=None, **options):
    """The client of a key vault's secrets; of the default key vault, which has no host of its own, when no URL is given."""
    if vault_url is None:
        # It cannot tell by its host's name that the vault is the one that it asks a token for.
        options["verify_challenge_resource"] = False
    return SecretClient(
        vault_url or env["COFFER_ENDPOINT"], credential(env), connection_verify=env["COFFER_CA_FILE"], **options
    )
