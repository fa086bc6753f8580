"""What the handlers work with, opened once per process."""

from dataclasses import dataclass

from core.config import Settings
from infrastructure.blob import BlobRepository
from infrastructure.postgresql import PostgresDatabase
from infrastructure.sandbox import Sandbox


@dataclass(frozen=True)
class Resources:
    settings: Settings
    database: PostgresDatabase
    bronze: BlobRepository
    silver: BlobRepository
    sandbox: Sandbox
