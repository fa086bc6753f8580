"""One judge: what is worth another try, and how often."""

import pytest

from core.errors import CredentialsExpired, InvalidInput, NotFound, Rejected, Transient, Unavailable
from core.retry import Failed, Retry, RetryPolicy, judge

POLICY = RetryPolicy(max_attempts=3, base_seconds=4, cap_seconds=10)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("x", "x"),
        NotFound("no such blob"),
        Rejected("bad SQL"),
        FileNotFoundError("gone"),
        PermissionError("no"),
        ValueError("bad"),
        KeyError("bug"),
        TypeError("bug"),
    ],
)
def test_what_fails_every_time_is_not_tried_again(error: Exception) -> None:
    assert isinstance(judge(error, 1, POLICY), Failed)


@pytest.mark.parametrize(
    "error", [Transient("x"), TimeoutError(), ConnectionResetError(), OSError("disk"), RuntimeError("unknown")]
)
def test_what_may_pass_is_tried_until_the_limit(error: Exception) -> None:
    assert isinstance(judge(error, 1, POLICY), Retry)
    assert isinstance(judge(error, 2, POLICY), Retry)
    assert isinstance(judge(error, 3, POLICY), Failed)


@pytest.mark.parametrize("error", [MemoryError(), CredentialsExpired("x")])
def test_memory_and_credentials_get_one_more_try(error: Exception) -> None:
    assert isinstance(judge(error, 1, POLICY), Retry)
    assert isinstance(judge(error, 2, POLICY), Failed)


def test_an_outage_is_tried_again_without_being_counted() -> None:
    verdict = judge(Unavailable("away"), 50, POLICY)
    assert isinstance(verdict, Retry)
    assert not verdict.counted


def test_the_delay_grows_with_the_failures_up_to_the_cap() -> None:
    longest = [max(POLICY.delay(failures) for _ in range(500)) for failures in (1, 2, 3, 30)]
    assert 3 < longest[0] <= 4 < longest[1] <= 8 < longest[2] <= 10
    assert longest[3] <= 10


def test_a_foreign_error_does_not_show_its_insides() -> None:
    verdict = judge(ValueError("password=secret"), 1, POLICY)
    assert isinstance(verdict, Failed)
    assert "secret" not in str(verdict.error)
