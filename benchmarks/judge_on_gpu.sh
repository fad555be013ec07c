#!/bin/sh
# A judge of colour pictures trained on a GPU, and what it says of a checkpoint, in the time there is.
#
#     benchmarks/judge_on_gpu.sh OUT TRAIN TEST [CHECKPOINT]
#
# TRAIN and TEST are CIFAR-10's folders of class folders. OUT gets log.txt, judge.safetensors, features.pt, a JSON file
# and a sheet for each measurement; a judge that lies there is taken, not trained again. Without CHECKPOINT only the
# judge and the Gaussian yardstick are made. RECORD=--record writes the figures into the checkpoint's card, too.
# JUDGE_OPTIONS are further options of the training, PER_CLASS (100) and SAMPLES (10000) how many pictures are drawn.
# PYTHON names an interpreter with torch, numpy, safetensors and pillow, and pytest for the first step alone;
# SECONDS_IN_ALL (560) bounds the whole.
set -u
cd "$(dirname "$0")/.."
usage="usage: benchmarks/judge_on_gpu.sh OUT TRAIN TEST [CHECKPOINT]"
out=${1:?$usage}
train=${2:?$usage}
test=${3:?$usage}
checkpoint=${4:-}
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
judge=$out/judge.safetensors
features=$out/features.pt
record=${RECORD:-}
end_s=$(($(date +%s) + ${SECONDS_IN_ALL:-560}))
summary=""
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1

. benchmarks/steps.sh

measure() {
    step correct 60 "$python" -m pytest -p no:cacheprovider -o filterwarnings=default tests/benchmarks/test_on_a_gpu.py
    # shellcheck disable=SC2086 # words, to be split
    [ -f "$judge" ] || step judge 240 "$python" -m benchmarks.classifier --data "$train" --test "$test" \
        --out "$judge" --flip --device "$device" ${JUDGE_OPTIONS:-}
    step features 60 "$python" -m benchmarks.classifier_features --classifier "$judge" --out "$features"
    [ -z "$checkpoint" ] || step recognition 120 "$python" -m benchmarks.recognition --checkpoint "$checkpoint" \
        --classifier "$judge" --per-class "${PER_CLASS:-100}" --batch-size 500 --device "$device" \
        --out "$out/recognition.png" --json "$out/recognition.json" ${record:+"$record"}
    step gaussian 150 "$python" -m benchmarks.pixel_gaussian --data "$train" --reference "$test" \
        --classifier "$judge" --features "$features" --samples "${SAMPLES:-10000}" --device "$device" \
        --out "$out/gaussian.png" --json "$out/gaussian.json"
    [ -z "$checkpoint" ] && return
    set -- "$python" -m training evaluate --checkpoint "$checkpoint" --data "$test" --no-likelihood \
        --samples "${SAMPLES:-10000}" --features "$features" --batch-size 500 --device "$device" ${record:+"$record"}
    step frechet 200 "$@" --guidance 0
    step frechet-guided 200 "$@"
}

{
    measure
    printf '== summary\n%s' "$summary"
} 2>&1 | tee "$out/log.txt"
