#!/usr/bin/env bash
# The whole road in about two minutes on two cores, without a download:
# made-up fundus photographs -> verified shards -> a short DDP training on the CPU -> one HTML report.
set -euo pipefail
cd "$(dirname "$0")/.."

images=400      # photographs, two eyes to a patient
size=96         # pixels a side in the shards
epochs=12
processes=2
folder=demo     # ignored by git, made anew each time

export MPLBACKEND=agg
say() { printf '\n\033[1m$ %s\033[0m\n' "$*" >&2; "$@"; }

rm -rf "$folder"
say medprep synth "$folder/images" --kind fundus --images "$images" --seed 7
say medprep shard "$folder/images" "$folder/shards" --preset glaucoma --size "$size" \
    --split train=0.6,val=0.2,test=0.2
say medprep verify "$folder/shards"
say medtrain ddp --procs "$processes" --recipe glaucoma --data "$folder/shards" --out "$folder/run" \
    --epochs "$epochs" --batch-size 16 --set model.name=timm/resnet10t --set train.monitor=loss
say medtrain report "$folder/run" --out "$folder/report.html"
printf '\nThe report: %s\n' "$PWD/$folder/report.html"
