#!/usr/bin/env bash
# Tests of the kernels on an emulated CPU that has AVX-512 with VBMI, for machines that lack it: a small
# Linux in the emulator Bochs runs them. Every path is compared with the scalar definition; speed says
# nothing here. About 15 minutes; needs Debian's packages (installed below, which needs root) and cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

clone=$PWD
work=$clone/target/avx512
packages=(bochs bochs-term bochsbios vgabios busybox-static isolinux syslinux-common genisoimage cpio)
# What to run: program and filter of test names.
runs=("paths" "pixel_goldens" "medprep_core jpeg_sequential" "medprep_core unfilter" "medprep_core cpu::")

command -v apt-get >/dev/null || { echo "make avx512 takes its emulator from Debian: apt-get is not here" >&2; exit 1; }
missing=()
for package in "${packages[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
((${#missing[@]} == 0)) || apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

rm -rf "$work" && mkdir -p "$work"/{kernel,iso,root/{bin,dev,lib,lib64,proc,tests,tmp}}
cd "$work"

# ---- the kernel, of Debian ----
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ {print $2; exit}')
(cd kernel && apt-get download -qq "$kernel" 2>/dev/null && dpkg -x ./*.deb .)
cp kernel/boot/vmlinuz-* iso/vmlinuz

# ---- the first and only process, and the test programs with their libraries ----
cargo test --locked --quiet --no-run -p medprep-core --message-format=json 2>/dev/null |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["target"]["name"], message["executable"])' >programs
while read -r name program; do
    if [[ " ${runs[*]} " == *" $name "* ]]; then
        strip -o "root/tests/$name" "$program"
        ldd "$program" | grep -o '/[^ ]*' | sort -u >>libraries
    fi
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
    echo 'export LD_LIBRARY_PATH=/lib; failed=0'
    # Without it the tests would pass by comparing nothing.
    echo 'busybox grep -q avx512vbmi /proc/cpuinfo || { echo "no AVX-512 here"; failed=1; }'
    for run in "${runs[@]}"; do
        echo "/tests/$run --test-threads 1 || failed=1"
    done
    echo 'echo "EMULATED failed=$failed"; busybox sleep 3; busybox poweroff -f'
} >root/init
chmod +x root/init
(cd root && find . | cpio -o -H newc --quiet | gzip -1 >../iso/initrd.gz)

# ---- a disk to boot from ----
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 iso/
# The CPUID flags: Bochs 2.7 describes their registers in a way that Linux does not believe, and then it
# turns AVX off.
cat >iso/isolinux.cfg <<'END'
DEFAULT tests
LABEL tests
KERNEL vmlinuz
APPEND initrd=initrd.gz console=ttyS0 quiet panic=-1 nosmp mitigations=off lsm=capability lpj=400000 nopku clearcpuid=xsavec,xsaves,pku,ospke
END
genisoimage -quiet -o boot.iso -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table iso

# ---- the machine: Cannon Lake, the first CPU with VBMI ----
cat >bochsrc <<END
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
END
echo c >debugger # it stops there first: go on
timeout "${AVX512_SECONDS:-5400}" bochs -q -f bochsrc -rc debugger >bochs.out 2>&1 </dev/null || true

tr -d '\r' <console.txt | grep -E '^(model name|test |running|EMULATED|.*panicked)' || true
if ! grep -q 'EMULATED failed=0' console.txt; then
    echo "the tests did not pass on the emulated CPU: see $work/console.txt and $work/bochs.log" >&2
    exit 1
fi
