#!/bin/bash
# AMX for the kernels where no processor has it: the built program on an emulated Sapphire Rapids under Debian's kernel.
#
#   sudo bash tests/peers/amx/run.sh BUILD WORK [--full]
#
# In: BUILD, a release build with `moebius` and `kernels_test` (of Debian 12: its libraries go along); WORK, an empty or former
# folder (2 GB). Needs root, debootstrap, python3 and Debian's archive (DEBIAN_MIRROR). Not part of ./check.
#
# What it takes, all from Debian trixie in a folder of its own (WORK/trixie):
#   bochs 3.0       source. Its CPU model sapphire_rapids has AMX-TILE and AMX-BF16, but as released it cannot run them under
#                   Linux; patch_bochs.py adds what is missing around them and leaves the tile instructions as they are
#   linux-image-cloud-amd64, bochsbios, vgabios, busybox-static, grub-pc-bin, xorriso, cpio
# It boots twice: a kernel that offers tiles, and one that withholds them.
# Out: WORK/tiles.txt, WORK/without_tiles.txt (the consoles); on standard output one line a case (guest.sh says what each does)
# and, when all is well,
#   amx: all 15 cases passed
# else the failed ones and status 1. On one core of a Zen 5 the first run makes the emulator in 2 minutes, and the boots and
# cases take about 20 where others have the rest of the machine (--full, all of the kernels' tests on every set, was not timed).
# The guest's clock tells emulated instructions: nothing here says anything about speed.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,19p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
full=${3:-}
root=$work/trixie
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}  # where this machine has its packages from
mirror=${mirror%/}

inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C sh -ec "$1"; }

make_trixie() {
  [ -e "$root/ready" ] && return
  rm -rf "$root"
  debootstrap --variant=minbase trixie "$root" "$mirror"
  inside 'apt-get update
    apt-get install -q -y --no-install-recommends bochsbios vgabios busybox-static cpio g++ grub-common grub-pc-bin make mtools xorriso
    mkdir -p /made && cd /made
    /usr/lib/apt/apt-helper download-file '"$mirror"'/pool/main/b/bochs/bochs_3.0%2Bdfsg.orig.tar.xz bochs.tar.xz \
      SHA256:78f6c73d4a6472d5130a87ab9dc306d02c7c71ed8e25b3a8ef642e2a7acd282b
    apt-get -o APT::Sandbox::User=root download "$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \(linux-image.*\)/\1/p")"
    dpkg-deb -x linux-image-*.deb kernel'
  touch "$root/ready"
}

make_bochs() {
  [ -x "$root/made/bochs/bochs" ] && [ ! "$here/patch_bochs.py" -nt "$root/made/bochs/bochs" ] && return
  rm -rf "$root/made/bochs"
  mkdir "$root/made/bochs"
  tar -xf "$root/made/bochs.tar.xz" -C "$root/made/bochs" --strip-components=1
  python3 "$here/patch_bochs.py" "$root/made/bochs"
  inside 'cd /made/bochs
    ./configure --with-nogui --enable-cpu-level=6 --enable-x86-64 --enable-smp --enable-avx --enable-evex --enable-amx \
      --enable-pci --enable-all-optimizations --enable-monitor-mwait --enable-cdrom --disable-docbook CFLAGS=-O2 CXXFLAGS=-O2
    make -j"$(nproc)"'
}

make_image() {
  local guest=$root/made/guest data=$work/data
  rm -rf "$guest" "$data"
  mkdir -p "$guest"/{bin,proc,sys,dev,tmp,data} "$root/made/iso/boot/grub" "$data"
  "$build/moebius" data tokenizer --input "$here/../../../corpora/gsm8k_train.jsonl.gz" --field question,answer --vocab 400 \
    --out "$data/t.json" --log error
  "$build/moebius" data pack --input "$here/../../../corpora/gsm8k_train.jsonl.gz" --field question,answer \
    --tokenizer "$data/t.json" --documents-max 60 --out "$data/p" --log error
  cp "$data"/* "$guest/data/"
  cp "$here/guest.sh" "$guest/init"
  chmod 755 "$guest/init"
  [ "$full" != --full ] || touch "$guest/full"
  cp "$root/usr/bin/busybox" "$guest/bin/"
  local programs=("$build/moebius" "$build/src/kernels/kernels_test")
  for program in "${programs[@]}"; do strip -o "$guest/bin/$(basename "$program")" "$program"; done
  ldd "${programs[@]}" | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r library; do cp -L --parents "$library" "$guest/"; done
  cp "$root"/made/kernel/boot/vmlinuz-* "$root/made/iso/boot/vmlinuz"
  inside 'cd /made/guest && find . | cpio -o -H newc --quiet | gzip -1 > ../iso/boot/initrd.gz'
}

# Boots once: NAME of the log, WORDS for the kernel.
emulate() {
  cat > "$root/made/iso/boot/grub/grub.cfg" <<END
set timeout=0
menuentry moebius {
  linux /boot/vmlinuz console=ttyS0,115200 mitigations=off nokaslr no5lvl clocksource=hpet lapic=notscdeadline panic=-1 $2
  initrd /boot/initrd.gz
}
END
  inside 'cd /made && grub-mkrescue -o cd.iso iso 2>&1 | tail -1'
  cat > "$root/made/bochsrc" <<'END'
config_interface: textconfig
display_library: nogui
memory: guest=2048, host=2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=sapphire_rapids, count=2, ips=2000000, reset_on_triple_fault=0
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=/made/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=/made/serial.txt
clock: sync=none
log: /made/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
END
  : > "$root/made/serial.txt"
  rm -f "$root"/made/*.lock
  # The end is a soft power-off, which Bochs counts as a panic: its status says nothing. No terminal: it would stop the job.
  setsid -w timeout 7200 chroot "$root" /made/bochs/bochs -q -f /made/bochsrc < /dev/null > "$work/bochs.txt" 2>&1 &
  local emulator=$!
  tail -f -n +1 --pid=$emulator "$root/made/serial.txt" | sed -u -n 's/\r//; /^guest:\|^case\|^  \|FAILED\|Failure\|WARNING/p'
  wait $emulator || true
  tr -d '\r' < "$root/made/serial.txt" > "$work/$1.txt"
  grep -q '^guest: end' "$work/$1.txt" || { echo "amx: the guest did not come to its end: $work/$1.txt" >&2; exit 1; }
}

make_trixie
make_bochs
make_image
emulate tiles ""
emulate without_tiles clearcpuid=amx_tile
cases=$(cat "$work"/tiles.txt "$work"/without_tiles.txt | grep '^case ')
if grep -q FAILED <<< "$cases"; then
  grep FAILED <<< "$cases" >&2
  exit 1
fi
echo "amx: all $(wc -l <<< "$cases") cases passed"
