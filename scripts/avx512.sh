#!/usr/bin/env bash
# Tests of the kernels on an emulated CPU that has AVX-512 with VBMI, for machines that lack it: a small
# Linux in the emulator Bochs runs them. Every path is compared with the scalar definition, and the best
# with OpenCV's pixels; speed says nothing here. 20 to 40 minutes; needs Debian's packages (installed
# below, which needs root) and cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

clone=$PWD
work=$clone/target/avx512
seconds=${AVX512_SECONDS:-5400}
packages=(bochs bochs-term bochsbios vgabios busybox-static isolinux syslinux-common genisoimage cpio)
# What to run: path forced by MEDPREP_CPU (a CPU without it fails the tests), program, filter of test names.
runs=(
    "avx512vbmi pixel_goldens"
    "avx512 pixel_goldens"
    "avx512vbmi medprep_core cpu::"
    "avx512vbmi medprep_core unfilter"
    "avx512vbmi medprep_core jpeg_sequential"
    "avx512vbmi paths"
)

fail() {
    echo "make avx512: $1" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "the emulator is taken from Debian: apt-get is not here"
command -v cargo >/dev/null || fail "cargo is needed (Rust >= 1.89)"
missing=()
for package in "${packages[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
((${#missing[@]} == 0)) || apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "install these packages as root first (perhaps after apt-get update): ${missing[*]}"

rm -rf "$work" && mkdir -p "$work"/{kernel,iso,root/{bin,dev,lib,lib64,proc,tests,tmp}}
cd "$work"

# ---- the kernel, of Debian ----
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ {print $2; exit}')
(cd kernel && apt-get download -qq "$kernel" >download.log 2>&1 && dpkg -x ./*.deb .) ||
    fail "no kernel to boot (perhaps apt-get update first): $(cat kernel/download.log)"
cp kernel/boot/vmlinuz-* iso/vmlinuz

# ---- the first and only process, and the test programs with their libraries ----
cargo test --locked --quiet --no-run -p medprep-core --lib --test paths --test pixel_goldens \
    --message-format=json-render-diagnostics >messages || fail "the tests do not compile"
python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["target"]["name"], message["executable"])' <messages >programs
while read -r name program; do
    strip -o "root/tests/$name" "$program"
    ldd "$program" | grep -o '/[^ ]*' >>libraries
done <programs
sort -u libraries | while read -r library; do cp -L "$library" "root/$(basename "$(dirname "$library")" | grep -x lib64 || echo lib)/"; done
# Tests find the goldens by the path of their source.
mkdir -p "root$clone/rust/medprep-core" "root$clone/tests"
cp -r "$clone/tests/goldens" "root$clone/tests/"
cp /bin/busybox root/bin/
ln -s busybox root/bin/sh
{
    echo '#!/bin/sh'
    echo 'busybox mount -t devtmpfs dev /dev; busybox mount -t proc proc /proc'
    echo 'busybox grep -m1 "model name" /proc/cpuinfo'
    echo 'export LD_LIBRARY_PATH=/lib'
    for run in "${runs[@]}"; do
        read -r path test <<<"$run"
        echo "echo '$run'; MEDPREP_CPU=$path /tests/$test --test-threads 1"
    done
    echo 'echo "THE END"; busybox sleep 1000000'
} >root/init
chmod +x root/init
(cd root && find . | cpio -o -H newc --quiet | gzip -1 >../iso/initrd.gz)

# How many tests there are to pass; a run without any would be a filter gone stale.
expected=0
for run in "${runs[@]}"; do
    read -r _ name filter <<<"$run"
    program=$(awk -v name="$name" '$1 == name {print $2}' programs)
    count=$("$program" --list --format terse ${filter:+"$filter"} | grep -c ': test$') || fail "no test is named by '$run'"
    expected=$((expected + count))
done

# ---- a disk to boot from ----
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 iso/
# The CPUID flags: Bochs 2.7 describes their registers in a way that Linux does not believe, and then it
# turns AVX off.
cat >iso/isolinux.cfg <<'END_OF_FILE'
DEFAULT tests
LABEL tests
KERNEL vmlinuz
APPEND initrd=initrd.gz console=ttyS0 quiet nosmp mitigations=off lsm=capability lpj=400000 nopku clearcpuid=xsavec,xsaves,pku,ospke
END_OF_FILE
genisoimage -quiet -o boot.iso -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table iso

# ---- the machine: Cannon Lake, the first CPU with VBMI ----
cat >bochsrc <<END_OF_FILE
cpu: model=corei3_cnl, count=1, ips=100000000, ignore_bad_msrs=1
memory: guest=2048, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/console.txt
display_library: rfb, options="timeout=0"
log: $work/bochs.log
panic: action=fatal
END_OF_FILE
echo c >debugger # it stops there first: go on
: >console.txt
echo "booting an emulated CPU for $expected tests: 20 to 40 minutes; console: $work/console.txt"
timeout "$seconds" bochs -q -f bochsrc -rc debugger >bochs.out 2>&1 </dev/null &
machine=$!
trap 'kill "$machine" 2>/dev/null || true' EXIT

# ---- the result, line by line ----
while IFS= read -r line; do
    line=${line%$'\r'}
    case $line in
        "model name"* | "test "* | "running "* | avx512* | *panicked*) echo "$line" ;;
        "THE END" | *"Kernel panic"*) break ;;
    esac
done < <(tail -n +1 -f --pid="$machine" console.txt)

console=$(tr -d '\r' <console.txt)
files="see $work/console.txt, bochs.out and bochs.log beside it"
grep -qx 'THE END' <<<"$console" || fail "the emulated machine came to no result (it has $seconds s): $files"
passed=$(awk '/^test result: ok/ {sum += $4} END {print sum + 0}' <<<"$console")
((passed == expected)) || fail "$passed of $expected tests passed on the emulated CPU: $files"
echo "$passed tests passed on the emulated CPU"
