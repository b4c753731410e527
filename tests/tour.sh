#!/usr/bin/env bash
# Pastes the README's tour into a shell, against a server of its own, and compares what is printed
# with what the README says. "…" in the README stands for anything. The last of it needs baresip.
#
# usage: tests/tour.sh PROGRAM [SHELL…]     the program conflow, and the shells (bash) to try it in
set -euo pipefail

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
  # Phones that a step has left behind.
  cat "$work"/*/phones/*/pid 2>/dev/null | xargs -r kill 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
command -v baresip >/dev/null || {
  echo "the tour: there is no baresip: install baresip-core" >&2
  exit 1
}

fail() {
  echo "the tour: $*" >&2
  exit 1
}

# Splits the tour into files: 01.sh, 01.out (if something is expected), 02.sh …
mkdir "$work/steps"
awk -v folder="$work/steps" '
  /^<!-- tour: end/ { touring = 0 }
  touring && /^```/ {
    if (file != "") { close(file); file = ""; next }
    if ($0 == "```sh") { n++; file = sprintf("%s/%02d.sh", folder, n) }
    else { file = sprintf("%s/%02d.out", folder, n) }
    printf "" > file
    next
  }
  file != "" { print > file }
  /^<!-- tour: tests/ { touring = 1 }
' "$root/README.md"
steps=("$work"/steps/*.sh)
[ -e "${steps[0]}" ] || fail "there are no steps in README.md"

# Starts a server in a folder of its own, as a reader does in a clone.
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
    kill -0 "$server" 2>/dev/null || fail "the server does not start: $(cat "$home/log")"
    sleep 0.1
  done
  [ -n "$address" ] || fail "the server does not say where it serves: $(cat "$home/log")"
  url=http://$address
  sip=$(sed -n 's/.* SIP on \(127[0-9.:]*\).*/\1/p' "$home/log")
  [ -n "$sip" ] || fail "the server does not say where SIP is: $(cat "$home/log")"
}

# A pattern for [[ … == … ]] that fits what the README expects.
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

  # All steps in one shell, as they are pasted; each writes into a file of its own.
  script=$home/script
  for step in "${steps[@]}"; do
    echo "exec >'$home/$(basename "$step" .sh).printed'"
    sed "s|http://127.0.0.1:8080|$url|g; s|@127.0.0.1'|@$sip'|g
      s|cargo run --release --|'$program'|" "$step"
  done >"$script"
  (cd "$home" && "$shell" "$script" 2>"$home/errors") || fail "$shell stops: $(cat "$home/errors")"
  [ ! -s "$home/errors" ] || fail "$shell complains: $(cat "$home/errors")"

  for step in "${steps[@]}"; do
    name=$(basename "$step" .sh)
    expected=
    [ ! -e "$work/steps/$name.out" ] || expected=$(cat "$work/steps/$name.out")
    printed=$(tr -d '\r' <"$home/$name.printed")
    # shellcheck disable=SC2053 # it is meant as a pattern
    if [[ $printed != $(pattern "$expected") ]]; then
      fail "step $name in $shell
$(cat "$step")
prints
$printed
where the README has
$expected"
    fi
  done

  kill "$server"
  wait "$server" || fail "the server does not end well: $(tail -5 "$home/log")"
  server=
  ! grep -q "$(cat "$home/data/dev-token")" "$home/log" "$home/banner" || fail "the token is in the log"
done
echo "the tour: ${#steps[@]} steps print what the README says, in: $*"
