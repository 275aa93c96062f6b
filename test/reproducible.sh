#!/usr/bin/env bash
# Builds the source archive of HEAD in another folder and compares: the same commit gives the same archive, and the same
# sources give the same libraries, byte by byte, wherever they are built. The unpacked folder is read-only and no part of
# a git repository.
#
#   reproducible.sh SCRATCH_DIR --shared BUILD_DIR [--static BUILD_DIR]
#
# BUILD_DIR: Release builds of this tree, the work tree clean. Nothing comes out of a cache, so that each kind takes a whole
# build; CI compares the shared libraries, and releases both.
set -euo pipefail
cd "$(dirname "$0")/.."
{ [ $# = 3 ] || { [ $# = 5 ] && [ "$4" = --static ]; }; } && [ "$2" = --shared ] ||
  { echo "usage: reproducible.sh SCRATCH_DIR --shared BUILD_DIR [--static BUILD_DIR]" >&2; exit 2; }
rm -rf "$1"
mkdir -p "$1"
scratch=$(cd "$1" && pwd) shared_build=$3 static_build=${5:-}
passed=0 failed=0
check() { # check NAME COMMAND...
  local name=$1
  shift
  if "$@" >"$scratch/log" 2>&1; then
    echo "  ok      $name"
    passed=$((passed + 1))
  else
    echo "  FAILED  $name"
    tail -n 40 "$scratch/log"
    failed=$((failed + 1))
  fi
}

# Away from this tree, in a folder whose name is of another length.
elsewhere=$(mktemp -d)
trap 'chmod -R u+w "$elsewhere"; rm -rf "$elsewhere"' EXIT
check "the source archive" cmake/packaging/release.sh --archive "$scratch/one"
check "again" cmake/packaging/release.sh --archive "$scratch/two"
archive=$(basename "$scratch"/one/mcomp-*.tar.gz)
check "both archives are the same bytes" cmp "$scratch/one/$archive" "$scratch/two/$archive"
tar -xzf "$scratch/one/$archive" -C "$elsewhere"
source=$elsewhere/${archive%.tar.gz}
chmod -R a-w "$source"
contents() { (cd "$source" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
before=$(contents)

compare() { # compare KIND BUILD_DIR ON|OFF PATTERN
  local kind=$1 build=$elsewhere/a-build-folder/$1 first root
  shift
  root=$(sed -n 's/^dnnl_ROOT:[A-Z]*=//p' "$1/CMakeCache.txt")
  check "$kind: the archive configures out of tree" cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS="$2" -DMCOMP_BUILD_TESTS=OFF -DMCOMP_BUILD_EXAMPLES=OFF -DMCOMP_BUILD_BENCH=OFF ${root:+-Ddnnl_ROOT="$root"}
  check "$kind: and builds" cmake --build "$build"
  for first in here there; do
    check "$kind: install, $first" env DESTDIR="$scratch/$kind-$first" cmake --install "$([ $first = here ] && echo "$1" || echo "$build")" \
      --prefix /usr
  done
  while read -r file; do
    check "$kind: $(basename "$file") is the same" cmp "$file" "$scratch/$kind-there${file#"$scratch/$kind-here"}"
  done < <(find "$scratch/$kind-here" -type f -name "$3")
}
compare shared "$shared_build" ON 'lib*.so.*'
if [ -n "$static_build" ]; then compare static "$static_build" OFF 'lib*.a'; fi
check "the read-only sources are untouched" [ "$before" = "$(contents)" ]

echo "$passed passed, $failed failed"
[ $failed = 0 ]
