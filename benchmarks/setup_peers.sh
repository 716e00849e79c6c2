#!/usr/bin/env bash
# Makes a virtual environment for each peer, from the package index alone:
#
#     benchmarks/setup_peers.sh [FOLDER]        (default: benchmarks/peers)
#     PYTHON=python3.12 BRIAN2_PYTHON=python3.13 benchmarks/setup_peers.sh
#
# What cannot be installed is named and left out; native.py then skips it. GeNN is not on the index: a peer "genn" takes
# part once an environment FOLDER/genn exists in which `import pygenn` works.
set -uo pipefail

folder=${1:-$(dirname "$0")/peers}
python=${PYTHON:-python3.11}
brian2_python=${BRIAN2_PYTHON:-python3.13} # Brian2 2.11 wants 3.12 or later; 2.9 is the last one for 3.11
failed=()

make_environment() { # NAME PYTHON PACKAGE...
    local name=$1 interpreter=$2
    shift 2
    if ! "$interpreter" -c "" 2>/dev/null; then # a shim of a version manager may be there without its version
        echo "$name: no $interpreter here" >&2
        failed+=("$name")
        return
    fi
    [ -d "$folder/$name" ] || "$interpreter" -m venv "$folder/$name"
    if "$folder/$name/bin/pip" install --quiet "$@"; then
        echo "$name: $("$folder/$name/bin/pip" list 2>/dev/null | grep -iE '^(brian2|nest-simulator|annarchy|brainpy|numpy) ' | tr -s ' ' | tr '\n' ',')"
    else
        failed+=("$name")
        rm -rf "${folder:?}/$name"
    fi
}

mkdir -p "$folder"
if "$brian2_python" -c "" 2>/dev/null; then
    make_environment brian2 "$brian2_python" "brian2==2.11.0" cython setuptools
else
    make_environment brian2 "$python" "brian2==2.9.0" "numpy<2" cython setuptools # it takes what NumPy 2 has no more
fi
make_environment nest "$python" "nest-simulator==3.10.0"
make_environment annarchy "$python" "annarchy==5.0.4.1" cython scipy setuptools wheel
make_environment brainpy "$python" "brainpy==2.8.2" numba

# For training.py. SpikingJelly and Norse ask for torchvision and others only to import them: what they need is named here.
make_environment torch "$python" "torch==2.13.0" numpy "snntorch==1.0.0"
if [ -d "$folder/torch" ]; then
    "$folder/torch/bin/pip" install --quiet --no-deps "spikingjelly==2.0.0" "norse==1.1.0" || failed+=(spikingjelly norse)
    "$folder/torch/bin/pip" install --quiet nir nirtorch h5py scipy loguru tqdm matplotlib
fi
make_environment jax "$python" jax "spyx==1.0.0" "jaxpike==0.1.4"

if [ ${#failed[@]} -gt 0 ]; then
    echo "not installed: ${failed[*]}" >&2
fi
