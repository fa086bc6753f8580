"""`python -m local.servicebus --config local/servicebus/Config.json --database PATH`"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from .config import BadConfig, load_config
from .namespace import Namespace
from .server import Server
from .store import Store, StoreUnavailable


class Lines(logging.Formatter):
    """One line a fact, with the fields that came with it."""

    FIELDS = ("peer", "peers", "error")

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{name}={getattr(record, name)}" for name in self.FIELDS if hasattr(record, name)]
        return " ".join([super().format(record), *fields])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.servicebus", description="A local Service Bus stand-in.")
    parser.add_argument("--config", type=Path, required=True, help="queues, in the official emulator's format")
    parser.add_argument("--database", type=Path, required=True, help="where messages are kept; created when missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--ready-file", type=Path, help="gets the port once the server listens")
    return parser.parse_args()


def write_whole(path: Path, text: str) -> None:
    """A reader sees all of it or nothing."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


async def serve(arguments: argparse.Namespace, server: Server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    port = await server.start(arguments.host, arguments.port)
    if arguments.ready_file is not None:
        write_whole(arguments.ready_file, f"{port}\n")
    print(f"service bus stand-in listening on {arguments.host}:{port}", flush=True)
    await stop.wait()
    await server.stop()


def main() -> int:
    arguments = parse_arguments()
    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        configs = load_config(arguments.config)
        store = Store(arguments.database)
    except (BadConfig, StoreUnavailable) as error:
        print(f"service bus stand-in: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(arguments, Server(Namespace(store, configs), store)))
    except OSError as error:
        print(f"service bus stand-in: {arguments.host}:{arguments.port}: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
