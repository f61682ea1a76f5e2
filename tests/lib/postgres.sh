#!/usr/bin/env bash
# A private PostgreSQL: own data, port and socket under a folder of its own, on 127.0.0.1 only. As root it runs as the
# user postgres, since PostgreSQL refuses to be root.
#
#   postgres.sh start [--with PID] [--sync] [FOLDER]
#                              makes one, or starts the one in FOLDER again on its port; prints the folder and the URL
#                              without a database; --with: stops and is removed when process PID has ended;
#                              --sync: commits reach the disk, as in earnest
#   postgres.sh stop FOLDER    as an operator would: sessions are ended, data written
#   postgres.sh abort FOLDER   at once: sessions are cut, the data is recovered at the next start
#   postgres.sh kill FOLDER    as a crash would
#   postgres.sh pid FOLDER     the server's process
#   postgres.sh remove FOLDER  kills it and removes all
set -euo pipefail

self=$(readlink -f "$0")
role=postback password='p@ss word' url_password='p%40ss%20word'

die() { printf 'postgres: %s\n' "$*" >&2; exit 1; }

bin=$(pg_config --bindir 2>/dev/null) || bin=
[[ -x $bin/postgres ]] || bin=$(dirname "$(readlink -f "$(command -v postgres || true)")")
[[ -x $bin/postgres ]] || die "PostgreSQL's server is not installed: script/setup --test"

as_user=()
[[ $(id -u) -ne 0 ]] || as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
run() { "${as_user[@]}" env -i PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC "$@"; }

make() {
	folder=$(mktemp -d /tmp/postback-postgres-XXXXXX)
	[[ ${#as_user[@]} -eq 0 ]] || chown postgres: "$folder"
	run "$bin/initdb" -D "$folder/data" -U postgres --auth-local=trust --auth-host=scram-sha-256 \
		--encoding=UTF8 --no-locale --no-sync >"$folder/initdb.log" 2>&1 || die "initdb: $(cat "$folder/initdb.log")"
	run tee -a "$folder/data/postgresql.conf" >/dev/null <<-CONF
		listen_addresses = '127.0.0.1'
		port = $("${self%/*}/../../script/port")
		unix_socket_directories = '$folder'
		shared_buffers = 64MB
		max_wal_size = 256MB
		fsync = $sync
		autovacuum_naptime = 1h
		log_min_messages = warning
	CONF
}

port_of() { sed -n 's/^port = //p' "$folder/data/postgresql.conf"; }
pid_of() { sed -n 1p "$folder/data/postmaster.pid" 2>/dev/null; }

ask() { run psql -qAt -h "$folder" -p "$(port_of)" -U postgres -d postgres -v ON_ERROR_STOP=1 -c "$1"; }

start() {
	run "$bin/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w -t 180 start >/dev/null 2>&1 ||
		die "it does not start: $(tail -5 "$folder/server.log")"
	[[ -n $(ask "SELECT 1 FROM pg_roles WHERE rolname = '$role'") ]] ||
		ask "CREATE ROLE $role LOGIN CREATEDB PASSWORD '$password'"
}

stop() { run "$bin/pg_ctl" -D "$folder/data" -m "$1" -w -t 120 stop >/dev/null 2>&1 || true; }

# The server's other processes notice that the first one is gone; until then they hold its memory.
crash() {
	local pid children
	pid=$(pid_of) && [[ -n $pid ]] || return 0
	children=$(pgrep -P "$pid" || true)
	# shellcheck disable=SC2086
	kill -KILL "$pid" $children 2>/dev/null || true
	while kill -0 "$pid" 2>/dev/null && [[ $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) != Z* ]]; do
		sleep 0.02
	done
	rm -f "$folder/data/postmaster.pid" "$folder"/.s.PGSQL.*
}

watch() {
	while kill -0 "$1" 2>/dev/null; do sleep 0.5; done
	"$self" remove "$folder"
}

verb=${1:-}
[[ -n $verb ]] || { sed -n '2,14s/^# \{0,1\}//p' "$self"; exit 2; }
shift
sync=off with='' folder=''
while [[ $# -gt 0 ]]; do
	case $1 in
	--with) with=$2; shift ;;
	--sync) sync=on ;;
	*) folder=$1 ;;
	esac
	shift
done
if [[ $verb != start ]]; then
	[[ -d $folder/data ]] || die "$folder holds no server"
fi
case $verb in
start)
	[[ -n $folder ]] || make
	start
	if [[ -n $with ]]; then
		watch "$with" </dev/null >/dev/null 2>&1 &
	fi
	printf '%s\npostgresql://%s:%s@127.0.0.1:%s/\n' "$folder" "$role" "$url_password" "$(port_of)"
	;;
stop) stop fast ;;
abort) stop immediate ;;
kill) crash ;;
pid) pid_of ;;
remove)
	crash
	rm -rf "$folder"
	;;
*) die "unknown verb $verb" ;;
esac
