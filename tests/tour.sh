#!/usr/bin/env bash
# The tours of the documentation as a test: pastes their steps into a shell, against a server of its
# own, and compares the output with the documents. "…" in a document matches any text. A reader pastes
# the steps in the order of the documents below, so all of them run in one shell. Needs baresip.
#
# usage: tests/tour.sh PROGRAM [SHELL…]     the conflow binary, and the shells to try (default: bash)
set -euo pipefail

documents=(README.md docs/tour.md docs/real-phones.md docs/calling.md docs/groups.md)

root=$(cd "$(dirname "$0")/.." && pwd)
program=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- bash

work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  # End the phones that a step started and did not end.
  cat "$work"/*/phones/*/pid 2>/dev/null | xargs -r kill 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
command -v baresip >/dev/null || {
  echo "tour: baresip is missing: install baresip-core" >&2
  exit 1
}

fail() {
  echo "tour: $*" >&2
  exit 1
}

# Split the tours into files: 01.sh, 01.out (if the step prints something), 02.sh …
mkdir "$work/steps"
(cd "$root" && awk -v folder="$work/steps" '
  FNR == 1 {
    if (touring) { print previous ": the tour has no end" > "/dev/stderr"; exit failed = 1 }
    previous = FILENAME
  }
  /^<!-- tour: end/ { touring = 0 }
  touring && /^```/ {
    if (file != "") { close(file); file = ""; next }
    if ($0 == "```sh") { n++; file = sprintf("%s/%02d.sh", folder, n) }
    else { file = sprintf("%s/%02d.out", folder, n) }
    printf "" > file
    next
  }
  file != "" { print > file }
  /^<!-- tour: tests/ { touring = 1; tours[FILENAME]++ }
  END {
    if (touring && !failed) { print previous ": the tour has no end" > "/dev/stderr"; failed = 1 }
    for (i = 1; i < ARGC && !failed; i++) {
      if (!tours[ARGV[i]]) { print ARGV[i] ": there is no tour" > "/dev/stderr"; failed = 1 }
    }
    exit failed
  }
' "${documents[@]}") || fail "the documents are not as expected"
steps=("$work"/steps/*.sh)

# Starts a server in a new folder, as a reader does in a clone.
start() {
  local home=$1 address=
  mkdir "$home"
  : >"$home/log"
  (cd "$home" && exec "$program" serve --http 127.0.0.1:0 --sip 127.0.0.1:0 --flows "$root/flows") \
    >"$home/banner" 2>"$home/log" &
  server=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/.* serves .*http=\([0-9.:]*\).*/\1/p' "$home/log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || fail "the server did not start: $(cat "$home/log")"
    sleep 0.1
  done
  [ -n "$address" ] || fail "the log has no HTTP address: $(cat "$home/log")"
  url=http://$address
  sip=$(sed -n 's/.* SIP on \(127[0-9.:]*\).*/\1/p' "$home/log")
  [ -n "$sip" ] || fail "the log has no SIP address: $(cat "$home/log")"
}

# A port on which nothing listens, below those that the system hands out.
free_port() {
  local port
  while port=$((RANDOM % 8000 + 23000)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

# Turns the expected output of a document into a pattern for [[ … == … ]].
pattern() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\*/\\*}
  text=${text//\?/\\?}
  text=${text//\[/\\[}
  text=${text//\]/\\]}
  printf '%s' "${text//…/*}"
}

for shell in "$@"; do
  home=$work/$(basename "$shell")
  start "$home"

  # Run all steps in one shell; each writes its output to a file of its own. The documents' addresses
  # become those of this run.
  carrier_http=$(free_port) carrier_sip=$(free_port)
  script=$home/script
  for step in "${steps[@]}"; do
    echo "exec >'$home/$(basename "$step" .sh).printed'"
    sed "s|http://127.0.0.1:8080|$url|g; s|@127.0.0.1'|@$sip'|g
      s|127.0.0.1:8090|127.0.0.1:$carrier_http|g; s|127.0.0.1:5090|127.0.0.1:$carrier_sip|g
      s|cargo run --release --|'$program'|" "$step"
  done >"$script"
  (cd "$home" && "$shell" "$script" 2>"$home/errors") || fail "$shell stopped: $(cat "$home/errors")"
  [ ! -s "$home/errors" ] || fail "$shell printed errors: $(cat "$home/errors")"

  for step in "${steps[@]}"; do
    name=$(basename "$step" .sh)
    expected=
    [ ! -e "$work/steps/$name.out" ] || expected=$(cat "$work/steps/$name.out")
    printed=$(tr -d '\r' <"$home/$name.printed")
    # shellcheck disable=SC2053 # the right side is a pattern
    if [[ $printed != $(pattern "$expected") ]]; then
      fail "step $name in $shell
$(cat "$step")
printed
$printed
but the document has
$expected"
    fi
  done

  kill "$server"
  wait "$server" || fail "the server did not exit cleanly: $(tail -5 "$home/log")"
  server=
  ! grep -q "$(cat "$home/data/dev-token")" "$home/log" "$home/banner" || fail "the token is in the log or the banner"
done
echo "tour: ${#steps[@]} steps of ${documents[*]} passed, in: $*"
