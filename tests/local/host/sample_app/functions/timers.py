import time

import azure.functions as func

from .record import record

bp = func.Blueprint()
runs: list[float] = []


@bp.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", use_monitor=False)
def tick(timer: func.TimerRequest) -> None:
    record("tick", past_due=timer.past_due)


@bp.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", use_monitor=False)
def slow_tick(timer: func.TimerRequest) -> None:
    """Its first run takes longer than its schedule allows for."""
    record("slow tick starts", past_due=timer.past_due)
    if not runs:
        time.sleep(2.2)
    runs.append(time.time())
    record("slow tick ends")


@bp.timer_trigger(arg_name="timer", schedule="0 0 5 31 12 *", run_on_startup=True, use_monitor=False)
async def once(timer: func.TimerRequest) -> None:
    record("once", past_due=timer.past_due)
