# Sourced by the scripts: finds Python 3.11 or newer, keeps .venv in step with a lock file.
# usage: . script/_venv.sh; prepare_venv requirements.lock [requirements-dev.lock]
set -eu
cd "$(dirname "$0")/.."

find_python() {
    for name in "${PYTHON:-}" python3.12 python3.11 python3 python3.13 python3.14 python; do
        [ -n "$name" ] || continue
        command -v "$name" >/dev/null 2>&1 || continue
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    echo "cxsurvey needs Python 3.11 or newer with venv and pip; none was found on the PATH." >&2
    return 1
}

prepare_venv() {
    python=$(find_python)
    "$python" script/_venv.py "$@"
}
