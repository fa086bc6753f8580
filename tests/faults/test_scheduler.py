from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.conftest import cloned
from tests.faults.scheduler import House, quiet

SEEDS = {"calm": range(15), "redelivery": range(30), "outages": range(30), "blackout": range(20), "storm": range(60)}


@pytest.fixture(scope="module")
def house(stack: Stack) -> Iterator[House]:
    with cloned(stack) as database, quiet():
        house = House(database.url)
        yield house
        house.close()


@pytest.mark.parametrize("weather", SEEDS)
def test_nothing_is_lost_and_nothing_happens_twice_whatever_goes_wrong(house: House, weather: str) -> None:
    failed = {seed: told for seed in SEEDS[weather] if (told := house.play(seed, weather=weather).violations)}
    commands = [f"python -m tests.faults.scheduler --weather {weather} --seed {seed} --trace" for seed in failed]
    assert not failed, f"{failed}; step by step: {'; '.join(commands)}"


@pytest.mark.parametrize("seed", [1, 85, 362])
def test_a_seed_gives_the_same_play_again(house: House, seed: int) -> None:
    first, again = (house.play(seed, weather="storm", tracing=True) for _ in range(2))
    assert first.trace == again.trace
    assert len(first.trace) > 100
