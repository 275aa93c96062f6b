#!/usr/bin/env bash
# Builds the source archive of HEAD in another folder and compares: the same commit gives the same archive, and the same
# sources give the same libraries, byte by byte, wherever they are built. The unpacked folder is read-only and no part of
# a git repository.
#
#   reproducible.sh SCRATCH_DIR --shared BUILD_DIR [--static BUILD_DIR]
#   reproducible.sh SCRATCH_DIR --sample BUILD_DIR
#
# BUILD_DIR: Release builds of this tree with Ninja, the work tree clean. Nothing comes out of a cache, so that each kind
# takes a whole build. --sample, which CI runs, compares objects of shared libraries instead: every third source, which
# third by the commit.
set -euo pipefail
cd "$(dirname "$0")/.."
{ { [ $# = 3 ] || { [ $# = 5 ] && [ "$4" = --static ]; }; } && [ "$2" = --shared ]; } || { [ $# = 3 ] && [ "$2" = --sample ]; } ||
  { echo "usage: reproducible.sh SCRATCH_DIR --shared|--sample BUILD_DIR [--static BUILD_DIR]" >&2; exit 2; }
rm -rf "$1"
mkdir -p "$1"
scratch=$(cd "$1" && pwd) kind_asked=$2 shared_build=$3 static_build=${5:-}
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

configure() { # configure KIND BUILD_DIR ON|OFF
  local root
  root=$(sed -n 's/^dnnl_ROOT:[A-Z]*=//p' "$2/CMakeCache.txt")
  check "$1: the archive configures out of tree" cmake -S "$source" -B "$elsewhere/a-build-folder/$1" -G Ninja \
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS="$3" -DMCOMP_BUILD_TESTS=OFF -DMCOMP_BUILD_EXAMPLES=OFF -DMCOMP_BUILD_BENCH=OFF \
    ${root:+-Ddnnl_ROOT="$root"}
}
sample() { # sample BUILD_DIR
  local build=$elsewhere/a-build-folder/sample third objects
  configure sample "$1" ON
  third=$((16#$(git rev-parse HEAD | cut -c1-8) % 3))
  mapfile -t objects < <(ninja -C "$build" -t targets all | sed -n 's/^\(src\/.*\.cpp\.o\): CXX_COMPILER.*/\1/p' |
    LC_ALL=C sort | awk -v third=$third 'NR % 3 == third')
  check "sample: every third object, from number $third on, is some" [ ${#objects[@]} -gt 20 ]
  check "sample: they are built" cmake --build "$build" --target "${objects[@]}"
  same() {
    local object
    for object in "${objects[@]}"; do cmp "$1/$object" "$build/$object" || return 1; done
  }
  check "sample: ${#objects[@]} objects are the same" same "$1"
}
compare() { # compare KIND BUILD_DIR ON|OFF PATTERN
  local kind=$1 build=$elsewhere/a-build-folder/$1 first
  configure "$@"
  shift
  check "$kind: and builds" cmake --build "$build"
  for first in here there; do
    check "$kind: install, $first" env DESTDIR="$scratch/$kind-$first" cmake --install "$([ $first = here ] && echo "$1" || echo "$build")" \
      --prefix /usr
  done
  while read -r file; do
    check "$kind: $(basename "$file") is the same" cmp "$file" "$scratch/$kind-there${file#"$scratch/$kind-here"}"
  done < <(find "$scratch/$kind-here" -type f -name "$3")
}
if [ "$kind_asked" = --sample ]; then sample "$shared_build"; else compare shared "$shared_build" ON 'lib*.so.*'; fi
if [ -n "$static_build" ]; then compare static "$static_build" OFF 'lib*.a'; fi
check "the read-only sources are untouched" [ "$before" = "$(contents)" ]

echo "$passed passed, $failed failed"
[ $failed = 0 ]
