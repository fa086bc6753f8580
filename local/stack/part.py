"""What the parts of the stack have in common: start, stop, kill, healthy."""

import shutil
import signal
import time
from abc import ABC, abstractmethod

from local.stack.errors import StackError
from local.stack.layout import Layout
from local.stack.ports import choose_port, is_free
from local.stack.processes import Processes, Recorded

START_ATTEMPTS = 3


class Part(ABC):
    """One process of the stack. Its port is kept over restarts, so that who knew it once finds it again."""

    name: str
    start_seconds: float = 60
    poll_seconds: float = 0.05
    stop_seconds: float = 10
    stop_signal = signal.SIGTERM
    preferred_port: int | None = None

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.processes = Processes(layout)

    @abstractmethod
    def launch(self, port: int) -> None:
        """Start the process, which is not running, on that port."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it answers as it should, right now."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """What the Function App has to know to use this part."""

    @property
    def running(self) -> Recorded | None:
        return self.processes.running(self.name)

    @property
    def up(self) -> bool:
        return self.running is not None and self.healthy()

    @property
    def port(self) -> int:
        """The port it listens on, or did when it last ran. Raises StackError before its first start."""
        recorded = self.processes.recorded(self.name)
        if recorded is None:
            raise StackError(f"{self.name} was never started")
        return recorded.port

    def start(self) -> bool:
        """Bring the part up, unless it is. Returns whether there was anything to do."""
        if self.up:
            return False
        self.stop()
        for _ in range(START_ATTEMPTS):
            if self.comes_up(self.choose_port()):
                return True
        raise StackError(f"{self.name} found every port it tried taken")

    def choose_port(self) -> int:
        recorded = self.processes.recorded(self.name)
        return choose_port([recorded.port if recorded else None, self.preferred_port])

    def comes_up(self, port: int) -> bool:
        """Start it on a port. False when somebody else took that in between; raises StackError on other failures."""
        try:
            self.launch(port)
            self.wait_until_healthy()
            self.prepare_use()
        except BaseException as error:
            self.kill()
            if isinstance(error, StackError) and not is_free(port):
                return False
            raise
        return True

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not self.healthy():
            if not self.running:
                raise StackError(f"{self.name} ended while starting\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {self.start_seconds:.0f} s\n{self.last_words()}")
            time.sleep(self.poll_seconds)

    def last_words(self) -> str:
        return f"{self.processes.log_tail(self.name)}\n(all of it: {self.layout.logs / self.name}.log)"

    def prepare_use(self) -> None:
        """What is needed once after each start, before others may use the part."""
        return

    def stop(self) -> None:
        """End the part in order; nothing to do when it is down."""
        self.processes.end(self.name, by=self.stop_signal, patience=self.stop_seconds)

    def kill(self) -> None:
        """End the part as a crash would."""
        self.processes.kill(self.name)

    def remove_data(self) -> None:
        """Delete what the part, which is down, has stored."""
        folder = self.layout.home / self.name
        if folder.exists():
            shutil.rmtree(folder)
