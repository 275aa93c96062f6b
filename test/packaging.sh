#!/usr/bin/env bash
# Runs the vcpkg port, the Conan recipe and the commands of the README's section for packagers with the real tools, offline:
# dependencies are those that the system has.
#
#   packaging.sh [--long] SCRATCH_DIR TOOLS_DIR    TOOLS_DIR holds vcpkg/ and conan/
#
# --long, for releases: builds the port in debug too, optimizes Conan's packages in full, and makes three more. The short form
# shares the port's objects with the builds of test/run.sh through ccache (CCACHE_IGNOREOPTIONS there).
set -euo pipefail
long=false
if [ "${1:-}" = --long ]; then long=true; shift; fi
[ $# = 2 ] || { echo "usage: packaging.sh [--long] SCRATCH_DIR TOOLS_DIR" >&2; exit 2; }
cd "$(dirname "$0")/.."
rm -rf "$1"
mkdir -p "$1/bin"
scratch=$(cd "$1" && pwd) tools=$(cd "$2" && pwd) root=$PWD
passed=0 failed=0
check() { # check NAME COMMAND...: a subshell that is no condition, so that -e holds inside of it
  local name=$1 status begin=$SECONDS
  shift
  set +e
  (set -e; "$@") >"$scratch/log" 2>&1
  status=$?
  set -e
  if [ $status = 0 ]; then
    printf '  ok     %4d s  %s\n' $((SECONDS - begin)) "$name"
    passed=$((passed + 1))
  else
    printf '  FAILED %4d s  %s\n' $((SECONDS - begin)) "$name"
    tail -n 60 "$scratch/log" | sed 's/^/          /'
    failed=$((failed + 1))
  fi
}
# vcpkg clears the environment but for PATH: compilers there bring ccache's setting along.
if command -v ccache >/dev/null; then
  for compiler in cc c++ gcc g++; do
    printf '#!/bin/sh\nCCACHE_IGNOREOPTIONS="%s" exec ccache %s "$@"\n' "${CCACHE_IGNOREOPTIONS:-}" "$(command -v $compiler)" \
      >"$scratch/bin/$compiler"
  done
fi

# The tools by the names that the README calls them by, with what makes them work offline.
cp -r "$tools/vcpkg/root" "$scratch/vcpkg-root"
$long || echo 'set(VCPKG_BUILD_TYPE release)' >>"$scratch/vcpkg-root/triplets/x64-linux.cmake"
cat >"$scratch/bin/vcpkg" <<END
#!/bin/sh
command=\$1
shift
VCPKG_ROOT="$scratch/vcpkg-root" VCPKG_FORCE_SYSTEM_BINARIES=1 VCPKG_DISABLE_METRICS=1 exec "$tools/vcpkg/vcpkg" "\$command" "\$@" \\
  --overlay-ports="$tools/vcpkg/system" --binarysource=clear --x-buildtrees-root="$scratch/vcpkg-buildtrees" \\
  --x-install-root="\${VCPKG_INSTALLED:-$scratch/vcpkg-installed}"
END
# What the system has, by the names of Conan's recipes.
cat >"$scratch/conan-profile" <<END
include(default)
[platform_requires]
fmt/$(pkg-config --modversion fmt)
eigen/$(pkg-config --modversion eigen3)
nlohmann_json/$(pkg-config --modversion nlohmann_json)
sqlite3/$(pkg-config --modversion sqlite3)
openssl/$(pkg-config --modversion libcrypto)
libpq/$(pkg-config --modversion libpq)
END
# The short form is about the recipe: it compiles with little optimization, in two thirds of the time.
flags='{"CMAKE_CXX_FLAGS_RELEASE": "-O1 -DNDEBUG"}'
if $long; then flags='{}'; fi
cat >"$scratch/bin/conan" <<END
#!/bin/sh
CONAN_HOME="$scratch/conan-home" exec "$tools/conan/run" "\$@" -pr "$scratch/conan-profile" -s compiler.cppstd=20 -nr \\
  -c 'tools.cmake.cmaketoolchain:extra_variables=$flags'
END
chmod +x "$scratch"/bin/*
CONAN_HOME=$scratch/conan-home "$tools/conan/run" profile detect >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
export PATH=$scratch/bin:$PATH

no_warning() { # no_warning COMMAND...: vcpkg's validation reports by warnings and still succeeds
  local out
  out=$("$@" 2>&1) || { echo "$out"; return 1; }
  echo "$out"
  ! grep -iE 'warning:|problem' <<<"$out"
}
vcpkg_consumer() { # vcpkg_consumer INSTALLED PROJECT TRIPLET: a project of another author, by the toolchain file
  local build=$scratch/consumer-$2-of-$(basename "$1")
  cmake -S "test/consumer/$2" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVCPKG_TARGET_TRIPLET="$3" -DVCPKG_MANIFEST_MODE=OFF \
    -DCMAKE_TOOLCHAIN_FILE="$scratch/vcpkg-root/scripts/buildsystems/vcpkg.cmake" -D_VCPKG_INSTALLED_DIR="$1"
  grep -q "^mcomp_DIR:PATH=$1/" "$build/CMakeCache.txt"
  cmake --build "$build"
  "$build/consumer"
}

# The commands of the README, as they stand there; a line that ends in \ goes on.
mapfile -t commands < <(sed -n '/^## For packagers$/,/^## /{/^```sh$/,/^```$/{/^```/d;p}}' README.md |
  sed -e ':more; /\\$/{N; s/\\\n */ /; b more}')
[ ${#commands[@]} -ge 5 ] || { echo "packaging.sh: the README has no commands for packagers" >&2; exit 1; }
[ "$(sed -n '/^## For packagers$/,/^## /p' README.md | sed '1d;$d' | grep -c .)" -le 20 ] ||
  { echo "packaging.sh: the README's section for packagers has more than 20 lines" >&2; exit 1; }
for command in "${commands[@]}"; do
  case $command in
  vcpkg*) check "README: ${command:0:60}..." no_warning bash -euc "$command" ;;
  *) check "README: ${command:0:60}..." bash -euc "$command" ;;
  esac
done

check "vcpkg: a consumer of all" vcpkg_consumer "$scratch/vcpkg-installed" package x64-linux
export VCPKG_INSTALLED=$scratch/vcpkg-installed-core
check "vcpkg: install without features" no_warning vcpkg install 'mcomp[core]' --classic \
  --overlay-ports=cmake/packaging/vcpkg --x-cmake-args=-DMCOMP_SOURCE_DIR="$root"
check "vcpkg: a consumer of core without oneDNN" vcpkg_consumer "$VCPKG_INSTALLED" core_only x64-linux
check "vcpkg: a consumer of all without oneDNN" vcpkg_consumer "$VCPKG_INSTALLED" package x64-linux
# The README's own command has made the shared package without oneDNN.
if $long; then
  check "conan create: static, with oneDNN and PostgreSQL" conan create . -o '&:with_onednn=True' -o '&:with_postgresql=True'
  check "conan create: static" conan create .
  check "conan create: shared, with oneDNN" conan create . -o '&:shared=True' -o '&:with_onednn=True'
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
