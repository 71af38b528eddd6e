#!/usr/bin/env bash
# Makes the virtual environments that the benchmarks run the peers in. Safe to run again: what is up to date is left alone.
# A peer that cannot be installed is named and left out; the benchmarks then skip it.
#   PEERS_DIR  where the environments go (default /tmp/peers)
#   PYTHON     the Python to make them with (default python3.11)
set -uo pipefail

root=${PEERS_DIR:-/tmp/peers}
python=${PYTHON:-python3.11}
missing=()

venv() { # venv NAME REQUIREMENT... : makes $root/venv-NAME unless it already holds exactly these requirements
    local dir="$root/venv-$1" wanted="${*:2}"
    if [ -f "$dir/.wanted" ] && [ "$(cat "$dir/.wanted")" = "$wanted" ]; then
        echo "$dir: up to date"
    elif "$python" -m venv --clear "$dir" && "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"; then
        echo "$wanted" > "$dir/.wanted"
        echo "$dir: made"
    else
        echo "$dir: not made, see above"
        missing+=("$1")
    fi
}

mkdir -p "$root"
venv dask distributed==2026.8.0 numpy==2.4.6
venv parsl parsl==2026.10.26
venv ipyparallel ipyparallel==9.2.0
venv opengris opengris-scaler==2.9.0 numpy==2.4.6
venv loky loky==3.7.0 cloudpickle==3.1.2
venv mpire mpire==2.10.2
venv ray ray==2.59.0 numpy==2.4.6
[ "${#missing[@]}" -eq 0 ] || { echo "missing, and skipped by the benchmarks: ${missing[*]}"; exit 1; }
