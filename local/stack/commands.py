"""The commands of a person at a terminal: up, down, status, logs, migrate, clean."""

import shutil
import subprocess
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.stack.errors import InstanceBusyError
from local.stack.layout import write_private
from local.stack.server import Server
from local.stack.stack import Stack

INSTANCE = "dev"
HTTP_PORT = 7071
# How long one command waits for another one of the same checkout.
PATIENCE_SECONDS = 180
# As long as the guard of a killed session needs to end its stack.
SHORT_PATIENCE_SECONDS = 30
# What setup put beside the instances.
NOT_INSTANCES = ("npm", "setup")

console = Console(highlight=False, soft_wrap=True)


def dev_stack(root: Path) -> Stack:
    """The stack of `make up`, with the user's own PostgreSQL where POSTGIS_HOST names one."""
    return Stack(root, INSTANCE, http_port=HTTP_PORT, own_server=Server.from_environment())


def up(root: Path) -> int:
    """Start what is not running yet."""
    stack = dev_stack(root)
    with stack.layout.lock(patience=PATIENCE_SECONDS):
        with console.status("starting the stack"):
            started = stack.start()
        write_addresses(stack)
    console.print(f"started: {', '.join(started)}" if started else "already running")
    show_addresses(stack)
    return 0


def write_addresses(stack: Stack) -> None:
    """Leave the addresses where scripts find them, in a file that a shell can source."""
    lines = [f"{name}='{value}'\n" for name, value in stack.addresses().items()]
    write_private(stack.layout.shared / "stack.env", "".join(lines))


def show_addresses(stack: Stack) -> None:
    for name, value in stack.addresses().items():
        console.print(f"  [bold]{name}[/]={value}")
    console.print(f"  the dashboard: {stack.base_url}/api/ui#key={stack.app.key}", markup=False)
    console.print("  these are in .local/stack.env; [bold]make status[/], [bold]make logs[/], [bold]make down[/]")


def down(root: Path) -> int:
    """Stop what `up` started; data stays."""
    stack = dev_stack(root)
    with stack.layout.lock(patience=PATIENCE_SECONDS):
        stack.stop()
        (stack.layout.shared / "stack.env").unlink(missing_ok=True)
    console.print("stopped; the data is kept")
    return 0


def down_all(root: Path) -> int:
    """Stop every instance of this checkout, but for those that a running test session holds."""
    for instance in instances(root / ".local"):
        stack = Stack(root, instance)
        try:
            with stack.layout.lock(patience=SHORT_PATIENCE_SECONDS):
                stack.stop()
        except InstanceBusyError as error:
            console.print(str(error))
    return 0


def status(root: Path) -> int:
    """Show each part. Fails unless all are healthy."""
    stack = dev_stack(root)
    table = Table("part", "pid", "port", "healthy", box=None)
    verdicts = []
    for part in stack.parts:
        running, healthy = part.running, part.up
        verdicts.append(healthy)
        place = (str(running.pid), str(running.port)) if running else ("-", "-")
        table.add_row(part.name, *place, "yes" if healthy else "[red]no[/]")
    console.print(table)
    return 0 if all(verdicts) else 1


def logs(root: Path) -> int:
    """Follow the logs of all parts, until interrupted."""
    files = sorted(dev_stack(root).layout.logs.glob("*.log"))
    if not files:
        console.print("no logs yet; `make up` starts the stack")
        return 1
    subprocess.run(["tail", "-n", "20", "-F", *files], check=False)
    return 0


def migrate(root: Path) -> int:
    """Apply the migrations to the database of `up`."""
    stack = dev_stack(root)
    with stack.layout.lock(patience=PATIENCE_SECONDS):
        started = [] if stack.own_server else stack.start("postgres")
        try:
            stack.migrate()
        finally:
            for name in started:
                stack[name].stop()
    console.print(f"the database {stack.database} is up to date")
    return 0


def clean(root: Path) -> int:
    """Stop all instances of this checkout and delete what they and setup put under .local."""
    shared = root / ".local"
    if shared.is_symlink():
        console.print(f"{shared} is a link; not following it")
        return 1
    for instance in instances(shared):
        stack = Stack(root, instance)
        with stack.layout.lock(patience=PATIENCE_SECONDS):
            stack.remove()
    shutil.rmtree(shared, ignore_errors=True)
    console.print("removed .local")
    return 0


def instances(shared: Path) -> list[str]:
    if not shared.exists():
        return []
    return sorted(path.name for path in shared.iterdir() if path.is_dir() and path.name not in NOT_INSTANCES)
