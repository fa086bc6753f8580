"""What can go wrong while installing."""


class SetupError(Exception):
    """Something is missing that setup cannot install; the message says what to do."""
