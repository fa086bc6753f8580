"""The janitors' timers, and that of the events."""

import azure.functions as func

from core.config import settings
from triggers.wiring import janitors, notifications

bp = func.Blueprint()
# The timer itself delivers for so long; threads that it set going may go on.
MOST_SECONDS = 20.0


@bp.timer_trigger(arg_name="timer", schedule=settings().outbox_schedule)
def outbox(timer: func.TimerRequest) -> None:  # noqa: ARG001  the binding's name
    janitors().run_outbox()


@bp.timer_trigger(arg_name="timer", schedule=settings().task_watchdog_schedule)
def task_watchdog(timer: func.TimerRequest) -> None:  # noqa: ARG001
    janitors().run_task_watchdog()


@bp.timer_trigger(arg_name="timer", schedule=settings().job_health_schedule)
def job_health(timer: func.TimerRequest) -> None:  # noqa: ARG001
    janitors().run_job_health_check()


@bp.timer_trigger(arg_name="timer", schedule=settings().orphan_detection_schedule)
def orphan_detector(timer: func.TimerRequest) -> None:  # noqa: ARG001
    janitors().run_orphan_detection()


@bp.timer_trigger(arg_name="timer", schedule=settings().notify_schedule)
def notify(timer: func.TimerRequest) -> None:  # noqa: ARG001
    """Events whose process died, and those whose next attempt is due."""
    notifications().give_up()
    notifications().deliver_due(MOST_SECONDS)
