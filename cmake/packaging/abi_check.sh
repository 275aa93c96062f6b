#!/usr/bin/env bash
# Compares the binary interface of this tree with that of an earlier release (abidiff of Debian's abigail-tools).
#
#   abi_check.sh [TAG]         TAG: the last tag vX.Y.Z before HEAD. Both are built as shared libraries below build/abi.
#   abi_check.sh --libraries OLD_DIR OLD_INCLUDE NEW_DIR NEW_INCLUDE
#                              libraries that were built with -g
#
# Exit status 0: compatible, or the SONAME changed so that it need not be; 1: incompatible under the same SONAME;
# 3: there is no release to compare with.
set -euo pipefail

fail() { echo "abi_check.sh: $*" >&2; exit 2; }
command -v abidiff >/dev/null || fail "abidiff is missing (Debian: abigail-tools)"
soname() { readelf -d "$1" | sed -nE 's/.*\(SONAME\).*\[(.*)\]/\1/p'; }

compare() { # compare OLD_DIR OLD_INCLUDE NEW_DIR NEW_INCLUDE
  local broken=0 library name new status report
  for library in "$1"/lib*.so; do
    name=$(basename "$library") new=$3/$(basename "$library") status=0
    if [ ! -e "$new" ]; then
      echo "$name: gone"
      broken=1
      continue
    fi
    report=$(abidiff --headers-dir1 "$2" --headers-dir2 "$4" "$library" "$new") || status=$?
    # Bits of abidiff's exit status: 1 and 2 errors, 4 a change, 8 an incompatible one. A change of a public type that
    # may be harmless is a break here as well: fields, sizes and virtual functions are compiled into the consumer.
    if ((status & 3)); then
      echo "$report"
      fail "abidiff failed on $name"
    fi
    if [ $status = 0 ]; then
      echo "$name: no change"
    elif ! ((status & 8)) && ! grep -qE "Removed function|Changed function|[1-9][0-9]* (Removed|Changed)" <<<"$(grep summary: <<<"$report" | sed 's/(.*//')"; then
      echo "$name: additions alone"
    elif [ "$(soname "$library")" != "$(soname "$new")" ]; then
      echo "$name: changed, and so did its name: $(soname "$library") -> $(soname "$new")"
    else
      echo "$name: incompatible under the same name, $(soname "$new")"
      echo "$report"
      broken=1
    fi
  done
  return $broken
}

if [ "${1:-}" = --libraries ]; then
  [ $# = 5 ] || fail "usage: abi_check.sh --libraries OLD_DIR OLD_INCLUDE NEW_DIR NEW_INCLUDE"
  shift
  compare "$@"
  exit
fi

cd "$(dirname "$0")/../.."
tag=${1:-$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)}
if [ -z "$tag" ]; then
  echo "abi_check.sh: no release is tagged yet, nothing to compare with"
  exit 3
fi
git rev-parse -q --verify "$tag^{commit}" >/dev/null || fail "there is no tag $tag"
out=$PWD/build/abi
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
build() { # build SOURCE NAME
  cmake -S "$1" -B "$out/$2" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-g -O1" -DBUILD_SHARED_LIBS=ON \
    -DMCOMP_BUILD_TESTS=OFF -DMCOMP_BUILD_EXAMPLES=OFF -DMCOMP_BUILD_BENCH=OFF "${launcher[@]}" >"$out/$2.log"
  cmake --build "$out/$2" >>"$out/$2.log" || { tail -n 30 "$out/$2.log"; fail "$1 does not build"; }
}
mkdir -p "$out"
rm -rf "$out/source"
mkdir "$out/source"
git archive "$tag" | tar -x -C "$out/source"
build "$out/source" old
build "$PWD" new
echo "against $tag"
compare "$out/old/src" "$out/source/include" "$out/new/src" "$PWD/include"
