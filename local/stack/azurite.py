"""Azurite, Microsoft's own stand-in for blob storage."""

import shutil

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from local.setup.programs import azurite_main
from local.stack.errors import StackError
from local.stack.part import Part
from local.stack.ports import HOST, answers

# The account every installation of Azurite has; its key is public documentation, not a secret.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
BRONZE = "bronze"
SILVER = "silver"
# MB. From a small heap V8 may come to collect it a hundred times for each GB that passes through in buffers.
HEAP = "--initial-old-space-size=256"


class Azurite(Part):
    """Blob storage with the two zones of the app."""

    name = "azurite"

    def launch(self, port: int) -> None:
        node, script = shutil.which("node"), azurite_main(self.layout.root)
        if node is None or script is None:
            raise StackError("Node or Azurite is not installed; `make setup` installs it or says how")
        place = ["--blobHost", HOST, "--blobPort", str(port), "--location", str(self.layout.folder("azurite"))]
        quiet = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        self.processes.launch(self.name, [node, HEAP, str(script), *place, *quiet], port=port)

    def healthy(self) -> bool:
        return answers(self.port)

    def prepare_use(self) -> None:
        with BlobServiceClient.from_connection_string(self.connection_string) as client:
            for container in (BRONZE, SILVER):
                create_container(client, container)

    @property
    def connection_string(self) -> str:
        endpoint = f"http://{HOST}:{self.port}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"

    def settings(self) -> dict[str, str]:
        return {
            "BLOB_CONNECTION_STRING": self.connection_string,
            "AzureWebJobsStorage": self.connection_string,
            "BRONZE_CONTAINER": BRONZE,
            "SILVER_CONTAINER": SILVER,
        }


def create_container(client: BlobServiceClient, name: str) -> None:
    try:
        client.create_container(name)
    except ResourceExistsError:
        return
