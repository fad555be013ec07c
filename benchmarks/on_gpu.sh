#!/bin/sh
# What there is to prove and to measure on a GPU, the most telling first, in the time there is.
#
#     benchmarks/on_gpu.sh OUT [DATA RUN]
#
# OUT gets log.txt and a JSON file for each table, written row by row. DATA is CIFAR-10's folder of class folders; with
# it, the first two hundred steps of the colour model are made in the folder RUN, and timed. PYTHON names an interpreter
# with torch, numpy, safetensors, pillow and pytest; SECONDS_IN_ALL (560) bounds the whole.
set -u
cd "$(dirname "$0")/.."
out=${1:?usage: benchmarks/on_gpu.sh OUT [DATA RUN]}
data=${2:-}
run=${3:-$out/run}
python=${PYTHON:-python3}
end_s=$(($(date +%s) + ${SECONDS_IN_ALL:-560}))
summary=""
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1

. benchmarks/steps.sh

measure() {
    step machine 30 "$python" -c "import torch; print(torch.__version__, torch.cuda.get_device_properties(0))"
    step correct 180 "$python" -m pytest -p no:cacheprovider -o filterwarnings=default --durations=5 \
        tests/model/test_on_a_gpu.py tests/training/test_on_a_gpu.py
    step sampling 90 "$python" -m benchmarks.sampling --device cuda --json "$out/sampling.json"
    step roofline 130 "$python" -m benchmarks.roofline --device cuda --shape 2-768-8-8@64 --json "$out/roofline.json"
    [ -z "$data" ] || step training 180 "$python" -m training train --recipe cifar10-32 --data "$data" \
        --out "$run" --device cuda --stop-after 200
    step scoring 40 "$python" -m benchmarks.scoring --device cuda --batch 1 16 64 512 --json "$out/scoring.json"
    step shapes 300 "$python" -m benchmarks.roofline --device cuda --json "$out/roofline-other.json" \
        --shape 4-1024-8-8@64 8-768-8-8@256 4-1024-8-8@128
    printf '== summary\n%s' "$summary"
}

measure 2>&1 | tee "$out/log.txt"
