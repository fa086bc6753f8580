"""The janitors' timers."""

import azure.functions as func

from core.config import settings
from triggers.wiring import janitors

bp = func.Blueprint()


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
