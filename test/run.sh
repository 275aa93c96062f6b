#!/usr/bin/env bash
# Runs everything that tests mcomp, from a fresh clone on Debian 12 too. Last line: "N passed, M failed".
#
# What is compiled, and why no more than that:
#   build/release  GCC, shared, everything. All tests run here; shared, so that they also prove that what they call is
#                  exported. The examples and benchmarks of the same build are what examples/run.sh runs.
#   build/oracle   ggml's and llama.cpp's own libraries, which conformance tests load (an npm package).
#   build/static   GCC, the static libraries for the consumer tests, and the kernel tests against oneDNN 3.x.
#   build/asan     Clang 14, everything: its warnings, and the fast tests under the address and undefined-behaviour
#                  sanitizers, with the static libraries, and a short run of every reader's fuzzer.
# Warnings are errors in all three. Packaging builds the libraries again by the tools of packagers, and once more from the
# source archive.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/logs

shared_folder=../shared
jobs=$(nproc)
passed=0 failed=0 status=0 table=''

# stage NAME FUNCTION: runs it with -e in force, its output in build/logs; what it counts ("... tests failed out of T" of
# ctest, or "N passed, M failed") goes into the sum, anything else counts as one. Its exit code is left in `status`.
stage() {
  local name=$1 begin=$SECONDS log=build/logs/$1.log counts ok=0 bad=0
  echo "== $name"
  set +e
  (set -e; "$2") >"$log" 2>&1
  status=$?
  set -e
  if counts=$(grep -oE '[0-9]+ tests? failed out of [0-9]+' "$log" | tail -n 1) && [ -n "$counts" ]; then
    bad=${counts%% *} ok=$((${counts##* } - bad))
  elif counts=$(grep -oE '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1) && [ -n "$counts" ]; then
    ok=${counts%% *} bad=$(cut -d' ' -f3 <<<"$counts")
  elif [ $status = 0 ]; then
    ok=1
  fi
  if [ $status != 0 ]; then
    [ "$bad" != 0 ] || bad=1
    tail -n 150 "$log"
  fi
  passed=$((passed + ok)) failed=$((failed + bad))
  table+=$(printf '%6d s  %3d passed  %3d failed  %s' $((SECONDS - begin)) "$ok" "$bad" "$name")$'\n'
}
skip() {
  echo "== $1: skipped, $2"
  table+=$(printf '     -    skipped                 %s: %s' "$1" "$2")$'\n'
}

launcher=()
configure() { cmake --preset "$@" -DMCOMP_WARNINGS_AS_ERRORS=ON -DMCOMP_REQUIRE_ONEDNN=ON -DMCOMP_REQUIRE_POSTGRESQL=ON "${launcher[@]}"; }

dependencies() { test/install_dependencies.sh test; }
# The real library of a format, to compare with. Required where MCOMP_REQUIRE_ORACLE is set (CI); otherwise taken where npm
# is at hand, and tests that need it skip without.
oracle() {
  if [ -n "${MCOMP_REQUIRE_ORACLE:-}" ]; then
    test/install_dependencies.sh oracle
    test/oracle/fetch.sh --required build/oracle
  else
    test/oracle/fetch.sh build/oracle
  fi
}
rooms() { python3 "$shared_folder/tools/rooms.py" .; }
release_build() {
  configure release -DBUILD_SHARED_LIBS=ON -DMCOMP_BUILD_TESTS=ON -DMCOMP_BUILD_EXAMPLES=ON -DMCOMP_BUILD_BENCH=ON
  cmake --build build/release -j "$jobs"
}
release_tests() { ctest --preset release -j "$jobs"; }
static_build() {
  # The flags are those of vcpkg, so that ccache knows the objects of the port again.
  configure release -B build/static -DCMAKE_CXX_FLAGS=-fPIC -DBUILD_SHARED_LIBS=OFF -DMCOMP_BUILD_EXAMPLES=OFF -DMCOMP_BUILD_BENCH=OFF "$@"
  cmake --build build/static -j "$jobs" --target mcomp_core mcomp_kernels mcomp_workflow
}
# The prefix with oneDNN 3.x, mirrored: where the copy at hand has lost the symbolic links of its library (each is then a
# small file that holds the name of its target), they are made again.
onednn3_build() {
  local mirror=$PWD/build/onednn3 file
  rm -rf "$mirror"
  cp -rs "$(realpath "$shared_folder/onednn3")" "$mirror"
  for file in "$mirror"/lib/libdnnl.so*; do
    if [ "$(stat -Lc %s "$file")" -lt 256 ]; then ln -sf "$(cat "$file")" "$file"; fi
  done
  static_build "-Ddnnl_ROOT=$mirror"
  cmake --build build/static -j "$jobs" --target test_kernels
}
onednn3_tests() { ctest --test-dir build/static -R '^kernels' --no-tests=error --output-on-failure -j "$jobs"; }
consumers() { test/consumer/run.sh build/consumer --shared build/release --static build/static; }
packaging() { test/packaging.sh build/packaging "$shared_folder/tools"; }
reproducible() { test/reproducible.sh build/reproducible --sample build/release; }
abi() {
  test/abi.sh
  cmake/packaging/abi_check.sh || [ $? = 3 ] # 3: nothing was released yet
}
asan_build() {
  configure asan -DCMAKE_CXX_COMPILER=clang++-14 -DMCOMP_BUILD_FUZZERS=ON
  cmake --build build/asan -j "$jobs"
}
asan_tests() { ctest --preset asan -j "$jobs"; }
fuzz() { test/fuzz.sh --built build/asan; }

stage dependencies dependencies
stage oracle oracle
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  # The builds with -Werror come first; those of packagers, without it, then find the same objects.
  # Every build maps its folders to the same names; reproducible.sh, which proves it, compiles without ccache.
  export CCACHE_IGNOREOPTIONS='-Werror -ffile-prefix-map=*'
fi
if [ -f "$shared_folder/tools/rooms.py" ]; then
  stage rooms rooms
else
  skip rooms "no $shared_folder/tools/rooms.py"
fi
stage release-build release_build
if [ $status = 0 ]; then stage release-tests release_tests; fi
if [ -d "$shared_folder/onednn3" ]; then
  stage onednn3-build onednn3_build
  if [ $status = 0 ]; then stage onednn3-tests onednn3_tests; fi
else
  stage static-build static_build
  skip onednn3-tests "no $shared_folder/onednn3"
fi
stage consumers consumers
stage abi abi
if [ -d "$shared_folder/tools/vcpkg" ] && [ -d "$shared_folder/tools/conan" ]; then
  stage packaging packaging
else
  skip packaging "no $shared_folder/tools/vcpkg and conan"
fi
if changes=$(git status --porcelain 2>&1) && [ -z "$changes" ]; then
  stage reproducible reproducible
else
  skip reproducible "the work tree is no commit of a git repository"
fi
stage asan-build asan_build
if [ $status = 0 ]; then
  stage asan-tests asan_tests
  stage fuzz fuzz
fi

echo
printf '%s' "$table"
if [ ! -d "$shared_folder/data" ]; then
  skips=$(awk -F": " '/^skipped for want of data: / { sum += $2 } END { print sum + 0 }' build/release/Testing/Temporary/LastTest.log)
  echo "skipped for want of test data ($shared_folder/data): $skips"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
