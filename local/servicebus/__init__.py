"""A Service Bus stand-in for one machine: queues over AMQP 1.0, kept in SQLite.

The unmodified azure-servicebus SDK connects to it with `UseDevelopmentEmulator=true`.
"""
