"""The janitors' timers."""

import azure.functions as func

from core.config import settings
from triggers.wiring import janitors

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule=settings().task_watchdog_schedule, run_on_startup=False)
def task_watchdog(timer: func.TimerRequest) -> None:  # noqa: ARG001  the binding's name
    janitors().run_task_watchdog()
