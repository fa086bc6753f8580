"""What can be said to the person in front of the terminal when the stack does not come up."""


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do."""


class InstanceBusyError(StackError):
    """Another process holds this instance."""
