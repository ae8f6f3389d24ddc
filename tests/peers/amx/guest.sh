#!/bin/busybox sh
# /init of the emulated machine (run.sh): the checks, one line "case NAME: passed" or "case NAME: FAILED" each, on the serial
# console; then power off. In: /bin/moebius, /bin/kernels_test, /data (tokenizer and packed text), /full if all of the
# kernels' tests shall run.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
cd /data || exit 1

result() {  # NAME STATUS
  if [ "$2" = 0 ]; then echo "case $1: passed ($(cut -d. -f1 /proc/uptime) s of guest time)"; else echo "case $1: FAILED ($2)"; fi
}

# One tiny run: FOLDER WORDS...; its losses, one a line, to FOLDER.losses.
train() {
  out=$1
  shift
  moebius train --data text=p:1 --tokenizer t.json --vocab 400 --d-model 64 --layers 2 --heads 2 --experts 8 --top-k 2 \
    --expert-width 64 --sequence 64 --batch-tokens 128 --steps 6 --learning-rate 1e-3 --log error --out "$out" "$@" > "$out.txt" 2>&1 || {
    cat "$out.txt"
    return 1
  }
  grep -o '"loss":[0-9.]*' "$out/records.jsonl" | cut -d: -f2 > "$out.losses"
}

same() { cmp "$1/checkpoint/model.safetensors" "$2/checkpoint/model.safetensors" && cmp "$1.losses" "$2.losses"; }

# Other orders of sums, other roundings inside: on one machine with both, the losses of avx2 and avx512
# differ by up to 5e-5 in these 6 steps.
close() {  # A B LARGEST
  paste "$1.losses" "$2.losses" | awk -v largest="$3" '
    { d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d; print "  loss", NR, $1, $2 }
    END { print "  largest difference", most; exit !(NR == 6 && most <= largest) }'
}

echo "guest: Linux $(uname -r), $(nproc) processors, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2)"
if grep -q clearcpuid /proc/cmdline; then  # the second boot: a kernel that withholds the tiles
  moebius bench roof --dry-run --isa amx > refused.txt 2>&1
  [ $? = 1 ] && grep -q 'portable, avx2, avx512$' refused.txt
  result refused-without-tiles $?
  echo "guest: end after $(cut -d. -f1 /proc/uptime) s of guest time"
  poweroff -f
fi

flags=" $(grep -m1 '^flags' /proc/cpuinfo) "
for flag in avx512_bf16 amx_tile amx_bf16; do
  case $flags in *" $flag "*) result "kernel-offers-$flag" 0 ;; *) result "kernel-offers-$flag" 1 ;; esac
done
dmesg | grep -i -E 'xstate|Spurious|WARNING|Oops'

kernels_test --gtest_brief=1 --gtest_filter='TileCheck.*'
result tile-check $?

# A run measures the roof first, which takes long here: no more runs than needed. The pool's threads exist before the program
# asks for tiles, since --threads is read first.
train chosen --threads 2
result train-two-threads $?
grep -q '"isa":"amx"' chosen/records.jsonl
result amx-is-chosen $?
train vector --isa avx512 --threads 2
result train-avx512 $?
close chosen vector 5e-4
result losses-amx-avx512 $?
! cmp -s chosen.losses vector.losses
result losses-of-two-kinds $?
train one --isa amx --threads 1
result train-one-thread $?
same chosen one
result threads-same-bits $?

# Three programs on one processor: tiles are saved and restored in the middle of products, and bits are compared.
switched() { taskset 1 kernels_test --gtest_brief=1 --gtest_filter=Linear.ThreadsDoNotChangeBits > "switched$1.txt" 2>&1; }
export MOEBIUS_TEST_ISA=amx
switched 1 & first=$!
switched 2 & second=$!
switched 3 && wait $first && wait $second
status=$?
[ $status = 0 ] || cat switched*.txt
result tiles-survive-switches $status
unset MOEBIUS_TEST_ISA

moebius bench operation experts --d-model 64 --tokens-per-step 64 --experts 4 --top-k 2 --expert-width 64 --isa amx --threads 1 \
  --repeats 1 --call-milliseconds 1 --roof-milliseconds 1 --log error > bench.txt 2>&1
status=$?
[ $status = 0 ] || cat bench.txt
result bench-operation $status

filter='Linear.*:Experts.*:Head.*:Attention.*'
[ -e /full ] && filter='*' || export MOEBIUS_TEST_ISA=amx
kernels_test --gtest_brief=1 --gtest_filter="$filter"
result kernels-tests $?
echo "guest: end after $(cut -d. -f1 /proc/uptime) s of guest time"
poweroff -f
