"""Options that several commands have, and what becomes of errors."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

from typer import Exit as Leave

from vector_etl.cli.exits import Exit, exit_of
from vector_etl.cli.session import Session
from vector_etl.cli.telling import tell_error
from vector_etl.errors import ClientError

Command = Callable[..., None]
Provider = Callable[..., Any]


def sharing(**providers: Provider) -> Callable[[Command], Command]:
    """The command gets, under the name of each provider, what that makes of its own options. One makes the Session."""

    def decorate(command: Command) -> Command:
        own = [found for name, found in signature(command).parameters.items() if name not in providers]
        lent = {name: list(signature(provider).parameters.values()) for name, provider in providers.items()}

        @wraps(command)
        def called(**values: Any) -> None:
            made = {name: take(providers[name], lent[name], values) for name in providers}
            run(made["session"], lambda: command(**values, **made))

        announce(called, [*own, *(option for options in lent.values() for option in options)])
        return called

    return decorate


def take(provider: Provider, options: list[Parameter], values: dict[str, Any]) -> Any:
    return provider(**{option.name: values.pop(option.name) for option in options})


def announce(called: Command, options: list[Parameter]) -> None:
    """typer reads a command's options off its signature."""
    named = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in options]
    called.__annotations__ = {option.name: option.annotation for option in named}
    called.__signature__ = Signature(named)  # type: ignore[attr-defined]


def run(session: Session, command: Callable[[], None]) -> None:
    """Errors of the family are told and give the exit code; never a traceback of them."""
    try:
        command()
    except ClientError as error:
        tell_error(session, error)
        raise Leave(exit_of(error)) from None
    except KeyboardInterrupt:
        session.say("interrupted")
        raise Leave(Exit.INTERRUPTED) from None
