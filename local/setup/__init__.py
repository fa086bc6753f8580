"""Installs what the stack and the tests need. Only the standard library: nothing is installed when it begins."""
