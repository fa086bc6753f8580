import struct

import psycopg
import pytest
from psycopg import conninfo

from bench.proxy import HOST, Reading, counted

ANSWERS = [(b"C", b"SELECT 1\0"), (b"Z", b"I"), (b"G", b"\1\0\0"), (b"D", b"ZZZZ" * 20), (b"Z", b"T")]
STREAM = b"".join(kind + struct.pack("!i", 4 + len(body)) + body for kind, body in ANSWERS)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 64, len(STREAM)])
def test_messages_are_found_however_the_stream_is_cut(size: int) -> None:
    reading = Reading()
    assert sum(reading.awaited(STREAM[at : at + size]) for at in range(0, len(STREAM), size)) == 3


def test_every_wait_for_the_server_is_one_round_trip(database_url: str) -> None:
    port = int(conninfo.conninfo_to_dict(database_url)["port"] or 5432)
    with counted(port) as trips:
        url = conninfo.make_conninfo(database_url, host=HOST, port=trips.port, sslmode="disable")
        with psycopg.connect(url, autocommit=True) as connection:
            before = trips.count
            answered = trips.answered
            connection.execute("SELECT repeat('x', 1000)")
            assert trips.count - before == 1
            assert 1000 < trips.answered - answered < 1200
            with connection.transaction():
                connection.execute("SELECT 1")
            assert trips.count - before == 4
            connection.execute("CREATE TEMPORARY TABLE numbers (n int)")
            with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
                copy.write_row([1])
            assert trips.count - before == 7
