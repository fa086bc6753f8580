"""What may go wrong in a seed, and how often."""

import random
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Weather:
    """Rates per effect (switch, crash, cut, unheard), per handler call (transient, unknown, memory, permanent), and
    weights among the director's choices (the rest; to resume an actor weighs 10). `outages`: how long they may last, in
    seconds. `acts`: how many choices the director has."""

    name: str
    switch: float = 0.2
    crash: float = 0.0
    cut: float = 0.0
    unheard: float = 0.0
    transient: float = 0.0
    unknown: float = 0.0
    memory: float = 0.0
    permanent: float = 0.0
    lose: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    expire: float = 0.0
    freeze: float = 0.0
    database_outage: float = 0.0
    bus_outage: float = 0.0
    cancel: float = 0.0
    resubmit: float = 0.0
    janitor: float = 0.5
    jumps: float = 0.0
    janitors: bool = True
    clients_crash: bool = True
    most_deliveries: int = 10
    outages: tuple[float, ...] = (3.0, 40.0, 200.0, 900.0)
    most_outages: int = 1000
    acts: tuple[int, int] = (30, 200)


CALM = Weather("calm", transient=0.05, delay=0.2)
# What the bus alone repairs: no janitor may be needed, but to clear up after runs that have ended.
REDELIVERY = Weather(
    "redelivery",
    crash=0.01,
    transient=0.05,
    permanent=0.02,
    double=0.5,
    delay=0.3,
    expire=0.5,
    freeze=0.5,
    janitors=False,
    clients_crash=False,
    most_deliveries=1000,
)
# Everything that is nobody's failure: connections cut, answers unheard, services away, messages lost and doubled.
OUTAGES = Weather(
    "outages",
    cut=0.01,
    unheard=0.02,
    transient=0.1,
    lose=0.15,
    double=0.2,
    delay=0.2,
    database_outage=0.1,
    bus_outage=0.1,
)
# The database away for longer than a worker may be silent.
BLACKOUT = Weather(
    "blackout",
    janitor=1.0,
    database_outage=0.6,
    outages=(2600.0,),
    most_outages=1,
    acts=(200, 1500),
)
STORM = Weather(
    "storm",
    crash=0.006,
    cut=0.006,
    unheard=0.006,
    transient=0.06,
    unknown=0.02,
    memory=0.02,
    permanent=0.03,
    lose=0.2,
    double=0.3,
    delay=0.3,
    expire=0.3,
    freeze=0.4,
    database_outage=0.05,
    bus_outage=0.05,
    cancel=0.2,
    resubmit=0.2,
    janitor=0.6,
    jumps=0.3,
)
ALL = {weather.name: weather for weather in (CALM, REDELIVERY, OUTAGES, BLACKOUT, STORM)}
FAULT_RATES = (
    "crash",
    "cut",
    "unheard",
    "transient",
    "permanent",
    "lose",
    "double",
    "expire",
    "freeze",
    "cancel",
    "jumps",
)


def of_seed(rng: random.Random, name: str | None = None) -> Weather:
    """Mostly storms, and no two alike: single kinds of fault are left out or come three times as often."""
    chosen = name or rng.choices(list(ALL), weights=(1, 2, 2, 1, 7))[0]
    weather = replace(ALL[chosen], switch=rng.choice((0.05, 0.2, 0.5)))
    if chosen == "storm":
        weather = replace(weather, most_deliveries=rng.choice((2, 10, 10)))
    return replace(weather, **{rate: getattr(weather, rate) * rng.choice((0, 1, 1, 3)) for rate in FAULT_RATES})
