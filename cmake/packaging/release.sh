#!/usr/bin/env bash
# Makes a release of mcomp. The version stands in CMakeLists.txt alone; all else follows it.
#
#   release.sh VERSION OUT_DIR     moves CHANGELOG.md's [Unreleased] to VERSION, sets the version, commits, tags vVERSION
#                                  and makes the archive; nothing is pushed
#   release.sh --archive OUT_DIR   the archive of HEAD alone: mcomp-X.Y.Z.tar.gz (the same bytes every time), its .sha512
#                                  sum, and the vcpkg port with that sum filled in
#   release.sh --check             whether version, port and changelog agree
set -euo pipefail
cd "$(dirname "$0")/../.."

port=cmake/packaging/vcpkg/mcomp
fail() { echo "release.sh: $*" >&2; exit 1; }
version() { sed -nE 's/^project\(mcomp VERSION ([0-9.]+) .*/\1/p' CMakeLists.txt; }

check() {
  local version port_version
  version=$(version)
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "CMakeLists.txt: no version X.Y.Z in project(mcomp VERSION ...)"
  port_version=$(sed -nE 's/.*"version-semver": "([^"]+)".*/\1/p' $port/vcpkg.json)
  [ "$port_version" = "$version" ] || fail "$port/vcpkg.json says $port_version, CMakeLists.txt $version"
  grep -q '^## \[Unreleased\]$' CHANGELOG.md || fail "CHANGELOG.md has no section [Unreleased]"
  # A version that was released has its section; before the first release there is none.
  if git rev-parse -q --verify "v$version" >/dev/null 2>&1; then
    grep -q "^## \[$version\] - " CHANGELOG.md || fail "CHANGELOG.md has no section for the released $version"
  fi
}

archive() { # archive OUT_DIR
  local version name sum
  check
  version=$(version) name=mcomp-$version.tar.gz
  mkdir -p "$1"
  # git writes the time of the commit, gzip -n none: the same commit gives the same bytes.
  git archive --format=tar --prefix="mcomp-$version/" HEAD | gzip -9n >"$1/$name"
  sum=$(sha512sum "$1/$name" | cut -d' ' -f1)
  echo "$sum  $name" >"$1/$name.sha512"
  rm -rf "$1/vcpkg"
  mkdir "$1/vcpkg"
  cp -r $port "$1/vcpkg/mcomp"
  sed -i "s/SHA512 0$/SHA512 $sum/" "$1/vcpkg/mcomp/portfile.cmake"
  grep -q "SHA512 $sum" "$1/vcpkg/mcomp/portfile.cmake" || fail "$port/portfile.cmake has no line 'SHA512 0' to fill in"
  echo "$1/$name"
}

release() { # release VERSION OUT_DIR
  local version=$1 old date
  old=$(version)
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "'$version' is no version X.Y.Z"
  [ "$(printf '%s\n%s\n' "$old" "$version" | sort -V | tail -n 1)" = "$version" ] || fail "$version is older than $old"
  ! git rev-parse -q --verify "v$version" >/dev/null || fail "tag v$version exists"
  [ -z "$(git status --porcelain)" ] || fail "commit or stash first: the work tree has changes"
  check
  awk '/^## \[Unreleased\]$/ { inside = 1; next } /^## / { inside = 0 } inside && /^- / { found = 1 } END { exit !found }' \
    CHANGELOG.md || fail "CHANGELOG.md: nothing stands under [Unreleased]"
  date=$(date -u +%F)
  sed -i -E "s/^(project\(mcomp VERSION )[0-9.]+/\1$version/" CMakeLists.txt
  sed -i -E "s/(\"version-semver\": \")[^\"]+/\1$version/" $port/vcpkg.json
  sed -i "s/^## \[Unreleased\]$/## [Unreleased]\n\n## [$version] - $date/" CHANGELOG.md
  git commit -qam "Release $version"
  git tag -a "v$version" -m "mcomp $version"
  archive "$2"
  echo "Tagged v$version. Next: push the tag, upload the archive, send the port to vcpkg and the recipe to Conan Center."
}

case ${1:-} in
--check) [ $# = 1 ] || fail "usage: release.sh --check"; check; echo "version $(version)" ;;
--archive) [ $# = 2 ] || fail "usage: release.sh --archive OUT_DIR"; archive "$2" ;;
[0-9]*) [ $# = 2 ] || fail "usage: release.sh VERSION OUT_DIR"; release "$1" "$2" ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
