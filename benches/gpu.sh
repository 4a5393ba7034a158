#!/usr/bin/env bash
# The first hour on a GPU, one step a call, each of at most ten minutes.
#
#   benches/gpu.sh STEP
#
# Steps, in this order:
#   devices    what is there, and whether the program can use it
#   golden     losses, Adam and the golden values of all networks
#   resnet18   ResNet-18 at 96 px, cold and again; its gradients against the CPU's in float32 and bfloat16
#   resnet34   ResNet-34 at 1024 px, batch 8, ten steps in both, against PyTorch eager and compiled
#   kernels    time by kernel of such a step, in both
#   bce        the same with `loss: bce`: the price of the sorts in the reference's loss
#   folds      five folds of densenet121 by fractions of one GPU
#   split      a batch too large for the memory, with `on_out_of_memory: split`
#
# A step that was cut off is called again: what it had finished is not measured twice, and kernels that were compiled are kept.
# Variables, with what they are without being set:
#   ATHANOR    the program, or that compressed (.gz, .zst, .xz)     target/release/athanor
#   OUT        folder of results: STEP.json, logs, caches.tar.*     gpu-results
#   STATE      folder of caches and finished parts between calls    target/gpu
#   CACHES     an earlier caches.tar.*, for a machine without STATE
#   PYTHON     with PyTorch and torchvision, and perhaps NVRTC      python3
#   LIMIT      seconds for the step                                 570
#   CUDA_PATH  the toolkit; else /usr/local/cuda, /opt/cuda or what PYTHON's packages have
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd) || exit 1

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}
[ $# -eq 1 ] || usage
step=$1
case $step in devices | golden | resnet18 | resnet34 | kernels | bce | folds | split) ;; *) usage ;; esac

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
athanor=$(absolute "${ATHANOR:-$here/target/release/athanor}")
out=$(absolute "${OUT:-gpu-results}")
state=$(absolute "${STATE:-$here/target/gpu}")
python=${PYTHON:-python3}
limit=${LIMIT:-570}
# Packing the caches has the last seconds.
end=$((SECONDS + limit - 20))
threads=$(nproc)
largest=$((16 << 20))
mkdir -p "$out" "$state/parts" "$state/cache" || exit 1

# Caches of an earlier machine, and the program.

# Of machines that have no xz, Python reads it.
unxz_it() {
    if command -v xz >/dev/null; then
        xz -dc "$1"
    else
        "$python" -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"
    fi
}
unpack() { case $1 in *.gz) gzip -dc "$1" ;; *.zst) zstd -dqc --long=27 "$1" ;; *.xz) unxz_it "$1" ;; *) cat "$1" ;; esac; }
if [ -n "${CACHES:-}" ] && [ -z "$(ls -A "$state/cache")" ]; then
    unpack "$(absolute "$CACHES")" | tar -C "$state" -xf - || exit 1
fi
case $athanor in
*.gz | *.zst | *.xz)
    if [ ! -x "$state/athanor" ] || [ "$athanor" -nt "$state/athanor" ]; then
        unpack "$athanor" >"$state/athanor.part" && chmod +x "$state/athanor.part" || exit 1
        mv "$state/athanor.part" "$state/athanor" || exit 1
    fi
    athanor=$state/athanor
    ;;
esac
[ -x "$athanor" ] || { echo "$athanor is no program; build it with \`cargo build --release --features cuda\`, or set ATHANOR" >&2; exit 1; }

# The machine's own compiler of kernels and its headers: the system's, else those of Python's packages.

packages=$("$python" -c 'import nvidia; print("\n".join(nvidia.__path__))' 2>/dev/null)
libraries=
for folder in ${CUDA_PATH:+"$CUDA_PATH/lib64" "$CUDA_PATH/lib"} /usr/local/cuda/lib64 /opt/cuda/lib64; do
    ls "$folder"/libnvrtc.so* >/dev/null 2>&1 && libraries=$libraries:$folder
done
for package in $packages; do
    for folder in "$package"/cu*/lib "$package"/cuda_nvrtc/lib; do
        ls "$folder"/libnvrtc.so* >/dev/null 2>&1 && libraries=$libraries:$folder
    done
done
toolkit=${CUDA_PATH:-}
for folder in /usr/local/cuda /opt/cuda; do
    [ -z "$toolkit" ] && [ -e "$folder/include/cuda_runtime.h" ] && toolkit=$folder
done
if [ -z "$toolkit" ] && [ -n "$packages" ]; then
    # Packages of CUDA 12 have a folder each; kernels are compiled with one.
    toolkit=$state/toolkit
    mkdir -p "$toolkit/include"
    for package in $packages; do
        for folder in "$package"/cu*/include "$package"/cuda_{runtime,nvcc,cccl,crt}/include; do
            [ -d "$folder" ] && ln -sfn "$folder"/* "$toolkit/include/"
        done
    done
fi

ours=(
    env "HOME=$state/cache" "XDG_CACHE_HOME=$state/cache" ${toolkit:+"CUDA_PATH=$toolkit"}
    "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}$libraries" "$athanor"
)

# Parts of a step. Each has the standard output of a command as its result, in a file of its own.

is_json() { "$python" -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" 2>/dev/null; }

# part NAME COMMAND...: measures what is not finished yet. A check that finds a difference (exit code 1) is finished, too: its
# result says so.
part() {
    local name=$1 left=$((end - SECONDS)) begin code seconds cached
    shift
    local folder=$state/parts/$step
    local result=$folder/$name.out done=$folder/$name.json
    mkdir -p "$folder"
    if [ -e "$done" ]; then
        echo "$name: finished before"
        return
    fi
    if [ "$left" -lt 5 ]; then
        echo "$name: no time left; call this step again"
        return
    fi
    cached=$(du -sk "$state/cache" | cut -f1)
    begin=$(date +%s.%N)
    timeout --kill-after=10 "$left" "$@" >"$result" 2>"$out/$step.$name.log" </dev/null
    code=$?
    seconds=$(echo "$(date +%s.%N) $begin" | awk '{ printf "%.1f", $1 - $2 }')
    case $code in
    0) echo "$name: done in $seconds s" ;;
    124 | 137) echo "$name: cut off after $seconds s; call this step again" ;;
    *) echo "$name: exit code $code after $seconds s" ;;
    esac
    {
        printf '{"part":"%s","exit":%d,"seconds":%s,"threads":%d,"cache_kib_before":%d,"result":' \
            "$name" "$code" "$seconds" "$threads" "$cached"
        if is_json "$result"; then cat "$result"; else printf 'null'; fi
        printf '}\n'
    } >"$done.part"
    cp "$result" "$out/$step.$name.out"
    if [ "$code" -eq 0 ] || { [ "$code" -eq 1 ] && is_json "$result"; }; then
        mv "$done.part" "$done"
    else
        mv "$done.part" "$folder/$name.unfinished"
        tail -n 3 "$out/$step.$name.log" | cut -c -400
    fi
}

bench() {
    local name=$1
    shift
    part "$name" "${ours[@]}" bench "$@" --json
}

peer() {
    local name=$1
    shift
    part "$name" "$python" "$here/benches/peers/learn.py" train "$@" --threads "$threads"
}

# run PIPELINE: a pipeline in a project of its own, whose cache is kept, so that a run that was cut off goes on.
run() {
    local project=$state/project
    mkdir -p "$project"
    cp "$here/benches/gpu/$1" "$project/" || return
    part pipeline env -C "$project" "${ours[@]}" run "$1"
    env -C "$project" "${ours[@]}" explain "$1" model >"$out/$step.explain.out" 2>&1
    env -C "$project" "${ours[@]}" logs "$1" model >"$out/$step.logs.out" 2>&1
}

# The report of `devices`, by a shell of its own: PYTHON and the program are its arguments.
report='
python=$1
shift
"$@" devices
echo
nvidia-smi
echo
"$python" -c "import torch, torchvision as v; print(\"PyTorch\", torch.__version__, \"for CUDA\", torch.version.cuda, \"with a GPU:\", torch.cuda.is_available(), \"torchvision\", v.__version__)"
nproc
grep MemTotal /proc/meminfo
"$@" devices | grep -q "^training  on a stage"
'

case $step in
devices)
    # Of this machine, and as it is now.
    rm -f "$state/parts/devices/"*
    part report bash -c "$report" report "$python" "${ours[@]}"
    cat "$out/devices.report.out"
    echo "libraries: ${libraries#:}; toolkit: ${toolkit:-none}"
    ;;
golden)
    for subject in losses adam; do bench $subject check $subject --golden "$here/tests/golden"; done
    for arch in resnet18 resnet34 resnet50 densenet121 densenet121_large inceptionv3; do
        bench $arch check golden --arch $arch --golden "$here/tests/golden"
    done
    ;;
resnet18)
    small=(--arch resnet18 --size 96 --batch 16 --steps 6)
    bench cold train "${small[@]}" --threads "$threads"
    bench again train "${small[@]}" --threads "$threads"
    for precision in f32 bf16; do
        bench gradients-$precision check gradients --arch resnet18 --size 96 --batch 8 --precision $precision
    done
    ;;
resnet34 | bce)
    loss=classifier
    [ "$step" = bce ] && loss=bce
    large=(--arch resnet34 --size 1024 --batch 8 --steps 10 --loss $loss)
    for precision in bf16 f32; do
        bench ours-$precision train "${large[@]}" --precision $precision --threads "$threads"
        peer torch-$precision "${large[@]}" --precision $precision
    done
    for precision in bf16 f32; do peer torch-$precision-compiled "${large[@]}" --precision $precision --compile; done
    ;;
kernels)
    for precision in bf16 f32; do
        log=$out/kernels.$precision.txt
        rm -f "$log"
        bench kernels-$precision train --arch resnet34 --size 1024 --batch 8 --steps 3 --precision $precision --kernels "$log" \
            --threads "$threads"
        [ -e "$log" ] && "$python" "$here/benches/kernels.py" "$log" --steps 6 >"$out/kernels.$precision.md" && rm "$log"
    done
    ;;
folds | split) run "$step.yaml" ;;
esac

# The step's results as one file, and the caches for the next machine.

{
    printf '{"step":"%s","parts":[' "$step"
    comma=
    for file in "$state/parts/$step"/*.json "$state/parts/$step"/*.unfinished; do
        [ -e "$file" ] || continue
        [ "$file" = "${file%.unfinished}" ] || [ ! -e "${file%.unfinished}.json" ] || continue
        printf '%s' "$comma"
        cat "$file"
        comma=,
    done
    printf ']}\n'
} >"$out/$step.json"

# Kernels are alike: a compressor that looks far back makes a twentieth of them, gzip a tenth at most. Machine code, which the driver keeps
# in .nv, does not get smaller, and is made again from what is kept.
if command -v zstd >/dev/null; then
    pack=(zstd -q -T0 -9 --long=27) suffix=zst
elif command -v xz >/dev/null; then
    pack=(xz -T0 -2) suffix=xz
else
    pack=("$python" -c 'import lzma, shutil, sys; shutil.copyfileobj(sys.stdin.buffer, lzma.open(sys.stdout.buffer, "w", preset=2))')
    suffix=xz
fi
packed=$out/caches.tar.$suffix
timeout 25 tar -C "$state" --exclude=.nv -cf - cache parts | "${pack[@]}" >"$packed.part"
size=$(stat -c %s "$packed.part")
if [ "$size" -le "$largest" ]; then
    mv "$packed.part" "$packed"
    echo "caches: $packed, $((size >> 10)) KiB"
else
    rm "$packed.part"
    echo "caches: $((size >> 20)) MiB compressed, more than $((largest >> 20)) MiB: only the parts are kept"
    timeout 5 tar -C "$state" -cf - parts | "${pack[@]}" >"$packed"
fi
unfinished=0
for file in "$state/parts/$step"/*.unfinished; do
    [ -e "$file" ] && [ ! -e "${file%.unfinished}.json" ] && unfinished=1
done
exit $unfinished
