import os
import re
from pathlib import Path

import pytest

from tests.local.host.running import RunningBus, RunningHost


def test_an_anonymous_function_answers_without_a_key(host: RunningHost) -> None:
    answer = host.get("livez")
    assert (answer.status_code, answer.text) == (200, "alive")


def test_a_head_request_gets_the_headers_without_the_body(host: RunningHost) -> None:
    answer = host.http.head("livez")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "5", b"")


@pytest.mark.parametrize("path", ["nowhere", "items", "../livez", "livez/more"])
def test_a_path_without_a_function_is_not_found(host: RunningHost, path: str) -> None:
    answer = host.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_method_the_function_does_not_take_is_not_found(host: RunningHost) -> None:
    assert host.http.post("livez").status_code == 404
    assert host.http.options("livez").status_code == 404


def test_a_guarded_function_refuses_a_request_without_its_key(host: RunningHost) -> None:
    assert host.get("guarded").status_code == 401
    assert host.get("guarded", headers={"x-functions-key": "a guess"}).status_code == 401
    assert host.get("guarded?code=").status_code == 401


def test_a_guarded_function_takes_the_key_from_header_or_query(host: RunningHost, key: str) -> None:
    assert host.get("guarded", headers={"x-functions-key": key}).text == "come in"
    assert host.get("guarded", params={"code": key}).text == "come in"


def test_a_route_constraint_decides_between_two_functions(host: RunningHost) -> None:
    assert host.get("items/12").json() == {"function": "numbered_item", "number": "12"}
    assert host.get("items/twelve").json() == {"function": "named_item", "name": "twelve"}


def test_an_optional_segment_is_handed_over_when_it_is_there(host: RunningHost) -> None:
    assert host.get("items/12/left").json() == {"function": "numbered_item", "number": "12", "part": "left"}


def test_a_catch_all_takes_the_rest_of_the_path_decoded_but_for_slashes(host: RunningHost) -> None:
    answer = host.get("files/a%20b/c%2Fd").json()
    assert answer["path"] == "a b/c%2Fd"
    assert answer["url"] == f"http://127.0.0.1:{host.port}/api/files/a%20b/c%2Fd"


def test_repeated_query_names_arrive_joined(host: RunningHost) -> None:
    assert host.get("files?tag=a&tag=b&empty=").json()["query"] == {"tag": "a,b", "empty": ""}


def test_a_large_binary_body_goes_both_ways_unchanged(host: RunningHost) -> None:
    body = os.urandom(20_000_000)
    assert host.http.post("echo", content=body).content == body


def test_every_cookie_and_header_of_the_response_arrives(host: RunningHost) -> None:
    answer = host.get("cookies")
    assert answer.status_code == 201
    assert answer.headers["x-jar"] == "full"
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]


def test_an_unhandled_exception_is_an_empty_500_and_a_traceback_in_the_log(host: RunningHost) -> None:
    answer = host.get("boom")
    assert (answer.status_code, answer.content) == (500, b"")
    assert re.search(r'web\.py", line \d+, in boom\n.*\nRuntimeError: the secret of the sample app', host.log())


def test_what_the_app_prints_and_logs_is_in_the_hosts_output(host: RunningHost) -> None:
    host.get("chatter")
    lines = host.log().splitlines()
    assert "said on stdout" in lines
    assert "said on stderr" in lines
    assert any(line.endswith("INFO root: said to the log") for line in lines)


def test_the_context_names_function_and_invocation(host: RunningHost) -> None:
    first, second = (host.get("setting/PATH").json() for _ in range(2))
    assert first["function"] == "setting"
    assert first["id"] != second["id"]


def test_the_environment_wins_over_local_settings(host: RunningHost) -> None:
    assert host.get("setting/IN_BOTH").json()["value"] == "from the environment"
    assert host.get("setting/ONLY_IN_THE_FILE").json()["value"] == "from the file"


def test_without_a_key_in_the_settings_guarded_functions_are_open_under_the_overridden_prefix(
    bus: RunningBus, folder: Path
) -> None:
    override = {"AzureFunctionsJobHost__extensions__http__routePrefix": "v1/data", "ORDERS_QUEUE": "queue-0"}
    with RunningHost(folder, bus, **override) as host:
        base = f"http://127.0.0.1:{host.port}"
        assert host.get(f"{base}/v1/data/guarded").text == "come in"
        assert host.get(f"{base}/api/guarded").status_code == 404
