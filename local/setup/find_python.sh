#!/bin/sh
# Prints a Python that is new enough: the one named by PYTHON, else the first of the usual names.
for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python3.14 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$candidate"
        exit 0
    fi
done
echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python3 setup" >&2
exit 1
