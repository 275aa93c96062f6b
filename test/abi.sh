#!/usr/bin/env bash
# Shows that cmake/packaging/abi_check.sh finds deliberate breaks of a binary interface, and nothing where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v abidiff >/dev/null || { echo "skipped: no abidiff (Debian: abigail-tools)"; exit 0; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
build() { # build NAME SONAME HEADER SOURCE
  mkdir -p "$scratch/$1/include/mcomp"
  printf '%s\n' "$3" >"$scratch/$1/include/mcomp/scheme.hpp"
  printf '#include "mcomp/scheme.hpp"\n%s\n' "$4" |
    g++ -std=c++20 -g -O1 -fPIC -shared -I "$scratch/$1/include" -Wl,-soname,"$2" -x c++ - -o "$scratch/$1/libmcomp_core.so"
}
passed=0 failed=0
expect() { # expect EXIT_STATUS NAME WORDS
  local status=0 out
  out=$(cmake/packaging/abi_check.sh --libraries "$scratch/old" "$scratch/old/include" "$scratch/$2" "$scratch/$2/include" 2>&1) || status=$?
  if [ $status = "$1" ] && grep -qF "$3" <<<"$out"; then
    echo "  ok      $2: $3"
    passed=$((passed + 1))
  else
    printf '  FAILED  %s: exit status %d, expected %d and "%s"\n%s\n' "$2" $status "$1" "$3" "$out"
    failed=$((failed + 1))
  fi
}

name=libmcomp_core.so.0.1
header='#pragma once
namespace mcomp { inline namespace v0 { struct Scheme { int bits = 8; bool symmetric = true; }; int bytes(const Scheme& scheme, int count); } }'
source='namespace mcomp { inline namespace v0 { int bytes(const Scheme& scheme, int count) { return scheme.bits * count / 8; } } }'
build old $name "$header" "$source"

build same $name "$header" "$source"
expect 0 same "no change"
build added $name "${header%\} \}} int codes(const Scheme& scheme); } }" "$source
namespace mcomp { inline namespace v0 { int codes(const Scheme& scheme) { return 1 << scheme.bits; } } }"
expect 0 added "additions alone"
build field $name "${header/int bits = 8;/int bits = 8; int group_size = 0;}" "$source"
expect 1 field "incompatible under the same name"
build signature $name "${header/int count/long count}" "${source/int count/long count}"
expect 1 signature "incompatible under the same name"
build renamed libmcomp_core.so.0.2 "${header/int count/long count}" "${source/int count/long count}"
expect 0 renamed "changed, and so did its name"
mkdir -p "$scratch/gone/include"
expect 1 gone "libmcomp_core.so: gone"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
