"""python -m local.host --app DIR [--port 7071] [--ready-file PATH] [--grace 5] [--verbose]"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from .host import run_app
from .settings import MissingSetting
from .worker_process import WorkerNotReady


def main() -> int:
    arguments = parse_arguments()
    set_up_logging(arguments.verbose)
    try:
        run_app(arguments.app.resolve(), arguments.port, arguments.ready_file, arguments.grace)
    except (WorkerNotReady, MissingSetting, OSError, ValueError) as error:
        logging.getLogger("local.host").critical("cannot start: %s", error)
        return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.host", description="Runs a Python function app.")
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071, help="0 takes any free port")
    parser.add_argument("--ready-file", type=Path, help="gets the port once everything serves")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds that running functions have at a stop")
    parser.add_argument("--verbose", action="store_true", help="a line for each invocation")
    return parser.parse_args()


def set_up_logging(verbose: bool) -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s [host] %(levelname)s %(message)s")
    logging.getLogger("local.host").setLevel(logging.DEBUG if verbose else logging.INFO)
    # The SDK tells of each lost connection in dozens of lines; the host says it once itself.
    logging.getLogger("azure").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
