#!/usr/bin/env bash
# Measures the catalogue in a file (SQLite) and on a PostgreSQL server that it starts for that, and writes
# bench/results/catalog.md.
#
#   catalog.sh [EXPERIMENTS [FOLDER]]    1,000,000 (the default) take some ten minutes; another number is a look, and is
#                                        not written. Both databases lie below FOLDER (default: where temporary files lie)
#
# Builds what it needs in build/release. Measure while the machine has nothing else to do: the table says how busy it was.
# The server needs Debian's package postgresql; as root it runs as the user postgres.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release out=build/catalog result=bench/results/catalog.md experiments=${1:-1000000}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON -DMCOMP_REQUIRE_POSTGRESQL=ON >"$out/build.log"
cmake --build $build -j "$(nproc)" --target bench_catalog_speed >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; exit 1; }

programs=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
programs=${programs%/initdb}
[ -n "$programs" ] || { echo "catalog.sh: no PostgreSQL server is installed (Debian: postgresql)" >&2; exit 1; }
as_server=()
folder=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/mcomp-bench-XXXXXX")
mkdir "$folder/sqlite" "$folder/server"
if [ "$(id -u)" = 0 ]; then
  as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chmod 711 "$folder"
  chown postgres "$folder/server"
fi
running=false
finish() {
  if $running; then "${as_server[@]}" "$programs/pg_ctl" -D "$folder/server/data" -m immediate stop >/dev/null; fi
  rm -rf "$folder"
}
trap finish EXIT
load() { cut -d' ' -f1 /proc/loadavg; }

before_files=$(load)
echo "in a file ..." >&2
$build/bench/bench_catalog_speed "$experiments" "$folder/sqlite" >"$out/sqlite.md"
"${as_server[@]}" "$programs/initdb" -D "$folder/server/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$out/server.log"
"${as_server[@]}" "$programs/pg_ctl" -D "$folder/server/data" -w -l "$folder/server/log" \
  -o "-k $folder/server -h ''" start >>"$out/server.log"
running=true
before_server=$(load)
echo "on a server ..." >&2
$build/bench/bench_catalog_speed "$experiments" "postgresql:///postgres?user=postgres&host=$folder/server" >"$out/postgresql.md"

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
version=$(git describe --always 2>/dev/null || echo of a source archive)
sqlite=$(pkg-config --modversion sqlite3 2>/dev/null || echo of an unknown version)
server=$("$programs/postgres" --version | sed 's/.*) //')
libpq=$(pkg-config --modversion libpq 2>/dev/null || echo of an unknown version)
files=$(stat -f -c %T "$folder")
python3 - "$out" "${processor:-an unknown processor}" "$(nproc)" "$before_files" "$before_server" "$version" "$sqlite" "$server" "$libpq" \
  "$files" >"$out/catalog.md" <<'PYTHON'
import os, sys
out, processor, cores, before_files, before_server, version, sqlite, server, libpq, files = sys.argv[1:]
def rows(name):
    table = [[cell.strip() for cell in line.strip().strip('|').split('|')] for line in open(os.path.join(out, name))][2:]
    return {row[0]: row[1:] for row in table}
def cell(row):
    if row is None: return '-'
    amount, time = row[0], row[1]
    if not time: return amount
    return f'{amount}, {time}'
files_rows, server_rows = rows('sqlite.md'), rows('postgresql.md')
print(f"""# The catalogue in a file and on a server

Written by `bench/catalog.sh`; do not edit. {processor}, {cores} processors, load average {before_files} before the file and
{before_server} before the server; mcomp {version}. SQLite {sqlite} in WAL mode; PostgreSQL {server},
with its own defaults (fsync and synchronous_commit on, 128 MB of shared buffers), on the same machine, by its socket and
libpq {libpq}. Both on one file system ({files}), one connection, one thread. What is synced survives a power cut; times of
queries are medians of five.

| what | SQLite | PostgreSQL |
| --- | --- | --- |""")
for what, row in files_rows.items():
    print(f'| {what} | {cell(row)} | {cell(server_rows.get(what))} |')
PYTHON
if [ "$experiments" = 1000000 ]; then
  mv "$out/catalog.md" $result
  echo $result
else
  cat "$out/catalog.md"
fi
