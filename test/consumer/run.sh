#!/usr/bin/env bash
# Builds and runs small projects that use mcomp as a package, static and shared.
#
#   run.sh SCRATCH_DIR [--shared BUILD_DIR] [--static BUILD_DIR]
#
# Build folders that exist already (the libraries built) are installed from; without them the libraries are built here.
# Everything is installed staged (DESTDIR) and used from there, so every consumer also shows that the package can be moved.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || { echo "usage: run.sh SCRATCH_DIR [--shared BUILD_DIR] [--static BUILD_DIR]" >&2; exit 2; }
mkdir -p "$1"
scratch=$(cd "$1" && pwd)
shift
shared_build='' static_build=''
while [ $# -gt 0 ]; do
  case $1 in
  --shared) shared_build=$(cd "$2" && pwd) ;;
  --static) static_build=$(cd "$2" && pwd) ;;
  *) echo "run.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done

passed=0 failed=0
clang=${CLANG:-clang++-14}
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi

# check NAME COMMAND...: runs it, keeps its output for the case that it fails.
check() {
  local name=$1 status begin=$SECONDS
  shift
  set +e # a subshell that is no condition, so that -e holds inside of it
  (set -e; "$@") >"$scratch/log" 2>&1
  status=$?
  set -e
  if [ $status = 0 ]; then
    printf '  ok     %4d s  %s\n' $((SECONDS - begin)) "$name"
    passed=$((passed + 1))
  else
    printf '  FAILED %4d s  %s\n' $((SECONDS - begin)) "$name"
    sed 's/^/          /' "$scratch/log"
    failed=$((failed + 1))
  fi
}
# refused NAME WORDS COMMAND...: the command must fail and say WORDS.
refused() {
  local name=$1 words=$2
  shift 2
  # shellcheck disable=SC2016
  check "$name" bash -c 'words=$1; shift; if out=$("$@" 2>&1); then echo "succeeded, but should not: $out"; exit 1; fi
    out=$(tr "\n" " " <<<"$out" | tr -s " "); grep -qF "$words" <<<"$out" || { echo "expected: $words"; echo "$out"; exit 1; }' _ "$words" "$@"
}
configure() { # configure PROJECT BUILD_NAME ARGUMENTS...
  local project=$1 build=$scratch/$2
  shift 2
  rm -rf "$build"
  cmake -S "$here/$project" -B "$build" -G Ninja "$@"
}
consume() { # consume PROJECT BUILD_NAME ARGUMENTS...: configure, build, run
  configure "$@"
  cmake --build "$scratch/$2"
  "$scratch/$2/consumer"
}
libraries() { # libraries BUILD_DIR ON|OFF: builds the libraries alone
  cmake -S "$source_dir" -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS="$2" -DMCOMP_BUILD_TESTS=OFF \
    -DMCOMP_BUILD_EXAMPLES=OFF -DMCOMP_BUILD_BENCH=OFF "${launcher[@]}"
  cmake --build "$1"
}
cache_value() { sed -n "s/^$2:[A-Z]*=//p" "$1/CMakeCache.txt"; }

# pkgconfig_consumer PREFIX LIBDIR COMPILER [--static]
pkgconfig_consumer() {
  local prefix=$1 libdir=$2 compiler=$3 flags
  shift 3
  export PKG_CONFIG_PATH=$libdir/pkgconfig
  pkg-config --print-errors --exists mcomp mcomp-core mcomp-kernels mcomp-workflow
  flags=$(pkg-config "$@" --cflags --libs mcomp)
  echo "flags: $flags"
  # shellcheck disable=SC2086
  $compiler -std=c++20 -Wall -Wextra -Werror "$here/package/main.cpp" -o "$scratch/pkgconfig" $flags
  "$scratch/pkgconfig"
}

two_copies() { # two_copies BUILD_NAME ARGUMENTS...: neither library lets the other see its mcomp
  local build=$scratch/$1
  consume two_copies "$@"
  for library in engine plugin; do
    if nm -DC --defined-only "$build/lib$library.so" | grep mcomp; then
      echo "lib$library.so exports what belongs to its own mcomp"
      return 1
    fi
  done
}
cxx23() { # cxx23 INCLUDE_DIR
  local flags
  read -ra flags <<<"-fsyntax-only -Wall -Wextra -Werror -I $1 $(pkg-config --cflags fmt eigen3)"
  g++ -std=c++23 "${flags[@]}" -x c++ - <<<'#include "mcomp/mcomp.hpp"'
  "$clang" -std=c++2b "${flags[@]}" -x c++ - <<<'#include "mcomp/mcomp.hpp"'
}

package_tests() { # package_tests shared|static BUILD_DIR
  local kind=$1 build=$2
  local stage=$scratch/$kind-stage prefix libdir onednn hints=() static_flag=()
  echo "$kind, from $(realpath --relative-to="$source_dir" "$build")"
  rm -rf "$stage"
  check "$kind: install, staged" env DESTDIR="$stage" cmake --install "$build"
  prefix=$stage$(cache_value "$build" CMAKE_INSTALL_PREFIX)
  libdir=$prefix/$(cache_value "$build" CMAKE_INSTALL_LIBDIR)
  check "$kind: the license is installed" bash -c 'find "$1" -name LICENSE | grep .' _ "$prefix/share"
  check "$kind: no path of this machine is in the package" \
    bash -c '! grep -rlF -e "$1" -e "$2" "$3"' _ "$source_dir" "$scratch" "$libdir/cmake"
  # A oneDNN away from the usual places: hint for the static package, and a place for the dynamic loader.
  onednn=$(cache_value "$build" dnnl_ROOT)
  if [ -n "$onednn" ]; then
    hints=(-Ddnnl_ROOT="$onednn")
    export LD_LIBRARY_PATH=$libdir:$onednn/lib
  else
    export LD_LIBRARY_PATH=$libdir
  fi
  hints+=(-DCMAKE_PREFIX_PATH="$prefix")
  if [ "$kind" = static ]; then static_flag=(--static); fi

  check "$kind: pkg-config and a bare compiler" pkgconfig_consumer "$prefix" "$libdir" g++ "${static_flag[@]}"
  check "$kind: find_package(mcomp)" consume package "$kind-package" "${hints[@]}"
  check "$kind: component kernels, as C++23" consume kernels "$kind-kernels" "${hints[@]}" -DCONSUMER_STANDARD=23
  check "$kind: component workflow" consume workflow "$kind-workflow" "${hints[@]}"
  check "$kind: without exceptions and type information" consume no_exceptions "$kind-no-exceptions" "${hints[@]}"
  refused "$kind: an unknown component" "has no component 'engine'" \
    cmake -S "$here/core_only" -B "$scratch/$kind-unknown" -G Ninja "${hints[@]}" "-DCONSUMER_COMPONENTS=core;engine"
  refused "$kind: another minor version" "considered but not accepted" \
    cmake -S "$here/package" -B "$scratch/$kind-version" -G Ninja "${hints[@]}" -DCONSUMER_VERSION=0.2
  rm -rf "$scratch/$kind-core-stage"
  check "$kind: install core alone" env DESTDIR="$scratch/$kind-core-stage" cmake --install "$build" --component mcomp_core
  local core_prefix=${prefix/#"$stage"/"$scratch/$kind-core-stage"}
  check "$kind: core alone, found and used" consume core_only "$kind-core" -DCMAKE_PREFIX_PATH="$core_prefix"
  refused "$kind: kernels that were not installed" "Component 'kernels' was not built or not installed" \
    cmake -S "$here/core_only" -B "$scratch/$kind-no-kernels" -G Ninja -DCMAKE_PREFIX_PATH="$core_prefix" \
    "-DCONSUMER_COMPONENTS=core;kernels"
  refused "$kind: workflow that was not installed" "Component 'workflow' was not built or not installed" \
    cmake -S "$here/core_only" -B "$scratch/$kind-no-workflow" -G Ninja -DCMAKE_PREFIX_PATH="$core_prefix" \
    "-DCONSUMER_COMPONENTS=core;workflow"
  check "$kind: find_package(mcomp) with Clang" consume package "$kind-package-clang" "${hints[@]}" \
    -DCMAKE_CXX_COMPILER="$clang"
  if [ "$kind" = static ]; then
    check "$kind: two copies in one process" two_copies "$kind-two-copies" "${hints[@]}"
    without_onednn "$prefix" "$build"
  else
    check "$kind: without exceptions and type information, with Clang" consume no_exceptions "$kind-no-exceptions-clang" \
      "${hints[@]}" -DCMAKE_CXX_COMPILER="$clang"
    check "$kind: every header alone and all in two orders" "$here/../headers.sh" "$prefix/include" g++ "$clang"
    # Clang 14 lacks parts of C++23 that the headers of GCC 12's library use; the dialect itself is taken.
    check "$kind: the headers as C++23 with GCC, as C++2b with Clang" cxx23 "$prefix/include"
  fi
  unset LD_LIBRARY_PATH
}

without_onednn() { # without_onednn PREFIX BUILD_DIR: every place where oneDNN could lie is left out of the search
  local prefix=$1 build=$2
  if [ "$(sed -n 's/^set(mcomp_WITH_ONEDNN \(.*\))$/\1/p' "$build/package/mcompConfig.cmake")" != TRUE ]; then
    echo "  --      built without oneDNN: nothing to hide"
    return
  fi
  local lib
  lib=lib/$(gcc -dumpmachine)
  local ignored="/usr/include;/usr/local/include;/usr/lib;/usr/$lib;/usr/$lib/cmake/dnnl;/lib;/$lib;/$lib/cmake/dnnl"
  local hidden=(-DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_IGNORE_PATH="$ignored")
  check "static: core where oneDNN cannot be found" consume core_only static-core-hidden "${hidden[@]}"
  refused "static: workflow where SQLite cannot be found" "needs SQLite and OpenSSL" \
    cmake -S "$here/core_only" -B "$scratch/static-workflow-hidden" -G Ninja "${hidden[@]}" "-DCONSUMER_COMPONENTS=core;workflow"
  if grep -q '^set(mcomp_WITH_POSTGRESQL ON)' "$build/package/mcompConfig.cmake"; then
    refused "static: workflow where libpq cannot be found" "needs libpq" \
      cmake -S "$here/core_only" -B "$scratch/static-libpq-hidden" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
      -DCMAKE_DISABLE_FIND_PACKAGE_PostgreSQL=ON "-DCONSUMER_COMPONENTS=core;workflow"
  fi
  refused "static: kernels where oneDNN cannot be found" "built with oneDNN" \
    cmake -S "$here/core_only" -B "$scratch/static-kernels-hidden" -G Ninja "${hidden[@]}" "-DCONSUMER_COMPONENTS=core;kernels"
  check "static: optional kernels where oneDNN cannot be found" consume core_only static-optional-hidden "${hidden[@]}" \
    "-DCONSUMER_COMPONENTS=core;OPTIONAL_COMPONENTS;kernels"
}

if [ -z "$shared_build" ]; then
  shared_build=$scratch/shared-build
  check "build the shared libraries" libraries "$shared_build" ON
fi
if [ -z "$static_build" ]; then
  static_build=$scratch/static-build
  check "build the static libraries" libraries "$static_build" OFF
fi
package_tests shared "$shared_build"
package_tests static "$static_build"
echo "in a host's source tree"
# The flags of the static build, so that ccache knows the objects.
check "add_subdirectory builds the libraries alone" consume subdirectory subdirectory -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_FLAGS="$(cache_value "$static_build" CMAKE_CXX_FLAGS)" \
  -DMCOMP_WARNINGS_AS_ERRORS="$(cache_value "$static_build" MCOMP_WARNINGS_AS_ERRORS)" \
  -DMCOMP_SOURCE_DIR="$source_dir" "${launcher[@]}"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
