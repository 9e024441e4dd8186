"""Azure's own client, told nothing but where the server is, who we are, and whose certificate to trust."""

import json

from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.dataprotection import DataProtectionMgmtClient
from specification import check


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


def as_published(response):
    """Every answer that the client reads is held against the published specification."""
    answer = response.http_response
    if hasattr(answer, "read"):
        # It is kept for the client, which reads it after us.
        answer.read()
    check(answer.request.method, answer.request.url, answer.status_code, json.loads(answer.text() or "null"))


def data_protection(env, subscription=None, **options):
    endpoint = env["COFFER_ENDPOINT"]
    return DataProtectionMgmtClient(
        credential(env),
        subscription or env["AZURE_SUBSCRIPTION_ID"],
        base_url=endpoint,
        credential_scopes=[f"{endpoint}/.default"],
        connection_verify=env["COFFER_CA_FILE"],
        polling_interval=1,
        raw_response_hook=as_published,
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
