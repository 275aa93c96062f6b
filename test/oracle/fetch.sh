#!/bin/sh
# Fetches the libraries of llama.cpp that conformance tests compare with: fetch.sh [--required] DIR
# They come prebuilt in an npm package and are only loaded by tests. Without npm or a registry this says why and ends
# with 0, so that tests skip; with --required that is a failure.
set -eu

package=@node-llama-cpp/linux-x64
version=3.22.1

required=0
if [ "${1-}" = --required ]; then
  required=1
  shift
fi
if [ $# -ne 1 ]; then
  echo "usage: fetch.sh [--required] DIR" >&2
  exit 2
fi
folder=$1

missing() {
  echo "oracle not fetched: $1" >&2
  exit "$required"
}

library=$folder/node_modules/$package/bins/linux-x64/libggml-base.so
if [ -f "$library" ]; then
  echo "oracle: $library"
  exit 0
fi
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || missing "the libraries are for Linux on x86-64"
command -v npm >/dev/null || missing "there is no npm"
mkdir -p "$folder"
npm install --prefix "$folder" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
  "$package@$version" >&2 || missing "npm could not install $package@$version"
[ -f "$library" ] || missing "$package@$version holds no libggml-base.so"
echo "oracle: $library"
