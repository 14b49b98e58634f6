#!/usr/bin/env bash
# inside.sh ROOT SHARED PROGRAM...: run a program of the Debian in ROOT, with /dev, /sys, /proc and
# /etc/hosts of this machine and its folder SHARED. The mounts are private: they end with the program.
set -euo pipefail
exec unshare --mount bash -euc '
  root=$1 shared=$2; shift 2
  mkdir -p "$root$shared"
  touch "$root/etc/hosts"
  for each in /dev /proc /sys /etc/hosts "$shared"; do
    mount --rbind "$each" "$root$each"
  done
  exec chroot "$root" "$@"' inside "$@"
