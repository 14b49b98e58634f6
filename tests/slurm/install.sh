#!/usr/bin/env bash
# Slurm 22.05 of Debian 12 (as root). slurm-wlm-emulator must not be there: it takes the place of
# /usr/sbin/slurmctld.
set -euo pipefail
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v squeue >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Slurm is not installed, and installing it needs root and apt-get" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client
