#!/usr/bin/env bash
# Records what a kicked caller hears: kicked.wav, and its spectrogram kicked.png (time from left to
# right, frequency from bottom to top). Two others hum at 700 and 1,100 Hz. After three seconds the
# caller is kicked and hears the goodbye of flows/kick.xml.
#
#   tests/phones/hear.sh [FOLDER]
set -euo pipefail
folder=$(realpath -m "${1:-target/hear}")
cd "$(dirname "$0")/../.."

if ! command -v sox >/dev/null; then
  echo "installing sox"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -q && "${as_root[@]}" apt-get install -q -y --no-install-recommends sox || {
    echo "install sox by hand" >&2
    exit 1
  }
fi

HEAR="$folder" cargo test --locked --test phones -- --ignored --exact \
  hear::the_sound_of_a_kicked_caller_is_recorded
sox "$folder/kicked.wav" -n spectrogram -t "What a kicked caller hears" -o "$folder/kicked.png"
echo
echo "$folder/kicked.wav"
echo "$folder/kicked.png"
