"""One credential per process, for every service."""

from functools import lru_cache

from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential

POSTGRES_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"


@lru_cache(maxsize=1)
def credential(client_id: str | None) -> TokenCredential:
    """`client_id` selects a user-assigned identity. The credential caches and renews its tokens itself."""
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def postgres_token(client_id: str | None) -> str:
    """A token to use as the password of one connection: it lives an hour or two, so it is asked for each time."""
    return credential(client_id).get_token(POSTGRES_SCOPE).token
