# Functions to source: start and stop a fresh server, and install packages for Python. The caller sets
# $program, the conflow binary. $work is a temporary folder that is removed at the end.

work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "the clients: $*" >&2
  exit 1
}

# Creates a virtual environment with exactly the packages of a list.
install_venv() {
  [ ! -e "$1/whole" ] || return 0
  rm -rf "$1"
  python3 -m venv "$1" || fail "python3 has no venv: install python3-venv"
  "$1/bin/pip" install -q --disable-pip-version-check --no-deps -r "$2" ||
    fail "the packages of $2 cannot be installed"
  "$1/bin/pip" check >/dev/null || fail "the list $2 is not complete"
  touch "$1/whole"
}

# Starts a server in its own folder, with one account of this dialect, and additional settings, if
# given.
start() {
  local dialect=$1 home=$2 more=${3:-} address=
  id=MA0000000000CLIENTS0
  token=$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')
  mkdir -p "$home/flows/$id"
  cat >"$home/conflow.toml" <<TOML
$more
[sim]
on = true
speech_ms_per_char = 10
sound_ms = 400

[[account]]
id = "$id"
tokens = ["$token"]
dialect = "$dialect"
TOML
  : >"$home/log"
  (cd "$home" && exec "$program" serve --http 127.0.0.1:0 --sip off --flows flows --data data) \
    >"$home/banner" 2>"$home/log" &
  server=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/.* serves .*http=\([0-9.:]*\).*/\1/p' "$home/log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || fail "the server does not start: $(cat "$home/log")"
    sleep 0.1
  done
  [ -n "$address" ] || fail "the log has no HTTP address: $(cat "$home/log")"
  export CLIENT_URL=http://$address CLIENT_ID=$id CLIENT_TOKEN=$token
  export CLIENT_FLOWS=$home/flows/$id CLIENT_DATA=$home/data
}

stop() {
  kill "$server"
  wait "$server" || fail "the server did not exit cleanly: $(tail -5 "$1/log")"
  server=
  ! grep -q "$CLIENT_TOKEN" "$1/log" "$1/banner" || fail "the token is in the log"
  ! grep -i "panicked" "$1/log" || fail "the server has panicked"
}
