"""What the exit code tells."""

from enum import IntEnum

from vector_etl.errors import (
    BadRequest,
    ClientError,
    Conflict,
    JobCancelled,
    JobFailed,
    NotConnected,
    NotFound,
    Unauthorized,
    Unavailable,
    Unusable,
)


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    JOB_FAILED = 4
    JOB_CANCELLED = 5
    UNAVAILABLE = 6
    CONFLICT = 7
    UNAUTHORIZED = 8
    NOT_FOUND = 9
    INTERRUPTED = 130


EXITS: dict[type[ClientError], Exit] = {
    BadRequest: Exit.REFUSED,
    Unusable: Exit.REFUSED,
    JobFailed: Exit.JOB_FAILED,
    JobCancelled: Exit.JOB_CANCELLED,
    NotConnected: Exit.UNAVAILABLE,
    Unavailable: Exit.UNAVAILABLE,
    Conflict: Exit.CONFLICT,
    Unauthorized: Exit.UNAUTHORIZED,
    NotFound: Exit.NOT_FOUND,
}


def exit_of(error: ClientError) -> Exit:
    return EXITS.get(type(error), Exit.ERROR)
