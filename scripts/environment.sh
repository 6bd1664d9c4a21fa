# Sourced by the scripts beside it: finds Python and git, and makes the virtual environment that they share.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'remedy: %s\n' "$2" >&2
    exit 1
}

# Prints a Python of 3.11 or newer; $PYTHON prevails.
find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        # Run it rather than look for it: version managers leave shims of versions that are not there.
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
    return 1
}

need_git() {
    local found major minor
    command -v git >/dev/null 2>&1 || fail "git is not installed" "install git 2.38 or newer (Debian: apt-get install git)"
    found=$(git --version)
    found=${found#git version }
    IFS=. read -r major minor _ <<<"$found"
    if [ "$major" -lt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -lt 38 ]; }; then
        fail "git $found is too old" "install git 2.38 or newer: finding landed work needs 'git merge-tree --write-tree'"
    fi
}

# Sets $python to that of the active virtual environment, else of .venv here, which is made where it is missing.
use_venv() {
    local base venv
    venv=${VIRTUAL_ENV:-$root/.venv}
    python=$venv/bin/python
    if ! "$python" -c '' >/dev/null 2>&1; then
        base=$(find_python) || fail "no Python of 3.11 or newer was found" \
            "install one (Debian: apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python3.11 $0"
        echo "making the virtual environment $venv"
        "$base" -m venv --clear "$venv" || fail "'$base -m venv' failed" "Debian: apt-get install python3-venv"
    fi
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11" "remove $venv, or leave that environment, and try again"
}

# Installs this checkout, editable, with the given extra ("" or "dev"); does nothing where that was done already.
install_checkout() {
    local extra=$1 stamp want
    stamp=$(dirname "$(dirname "$python")")/.hqd-checkout
    want="$root [$extra] $(cksum <"$root/pyproject.toml")"
    if [ -f "$stamp" ] && grep -qxF "$want" "$stamp"; then
        return
    fi
    echo "installing hqd${extra:+ with what its $extra work needs}"
    "$python" -m pip install --quiet --disable-pip-version-check --editable "$root${extra:+[$extra]}" </dev/null ||
        fail "pip could not install hqd" "read pip's message above; this needs a Python package index"
    # Only the newest pyproject.toml counts; both extras may stand.
    { grep -F -- "$(cksum <"$root/pyproject.toml")" "$stamp" 2>/dev/null || true; printf '%s\n' "$want"; } >"$stamp.new"
    mv "$stamp.new" "$stamp"
}
