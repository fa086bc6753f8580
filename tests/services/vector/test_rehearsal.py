import threading

import pyogrio

from services.vector.rehearsal import rehearse


def test_it_leaves_no_file_and_no_thread_that_a_fork_would_lose() -> None:
    files, threads = pyogrio.vsi_listtree("/vsimem/"), threading.active_count()
    rehearse()
    rehearse()
    assert pyogrio.vsi_listtree("/vsimem/") == files
    assert threading.active_count() == threads
