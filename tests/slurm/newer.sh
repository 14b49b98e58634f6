#!/usr/bin/env bash
# newer.sh ROOT: a Debian 13 with Slurm 24.11 in the folder ROOT (as root; 300 MB, a minute).
# LEPTON_TEST_SLURM_ROOT=ROOT then lets the tests use that Slurm.
set -euo pipefail
root=$1
[ -x "$root/usr/sbin/slurmctld" ] && [ -x "$root/usr/bin/squeue" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Slurm 24.11 is not in $root, and installing it there needs root and apt-get" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
if ! command -v debootstrap >/dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends debootstrap
fi
part="$root.part"
rm -rf "$part"
mkdir -p "$(dirname "$root")"
debootstrap --variant=minbase --include=slurmctld,slurmd,slurm-client trixie "$part" >"$root.log"
rm -rf "$root"
mv "$part" "$root"
