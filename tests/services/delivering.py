"""A process of its own that delivers what is due; the database's settings are in its environment."""

import os

from core.receivers import Receivers
from core.workflow import Registry
from infrastructure.postgresql import PostgresDatabase
from infrastructure.webhook import Webhook
from services.notification_service import NotificationService
from tests.infrastructure.conftest import UNUSED, settings_from

if __name__ == "__main__":
    database = PostgresDatabase(settings_from(UNUSED | dict(os.environ)))
    webhook = Webhook(Receivers.parse(["http://127.0.0.1:*"]), seconds=60)
    NotificationService(database, Registry(), webhook, [], "urn:test").deliver_due()
