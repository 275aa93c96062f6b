#!/usr/bin/env bash
# Compiles every public header alone, and all of them together in order and in reverse, with every warning an error:
# none may need another before it, nor define what another one does.
#
#   headers.sh INCLUDE_DIR [COMPILER...]      INCLUDE_DIR as installed; compilers: g++ clang++-14
#   headers.sh --times INCLUDE_DIR [COMPILER] prints a table (Markdown) of what including each header costs
set -euo pipefail

times=false
if [ "${1:-}" = --times ]; then times=true; shift; fi
[ $# -ge 1 ] || { echo "usage: headers.sh [--times] INCLUDE_DIR [COMPILER...]" >&2; exit 2; }
include_dir=$(cd "$1" && pwd)
shift
compilers=("$@")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Those of others are system headers: their warnings are not ours.
# shellcheck disable=SC2046
read -ra dependencies <<<"$(pkg-config --cflags fmt eigen3 | sed 's/-I */-isystem /g')"
mapfile -t headers < <(cd "$include_dir" && find mcomp -name '*.hpp' | LC_ALL=C sort)
[ ${#headers[@]} -gt 0 ] || { echo "headers.sh: no headers below $include_dir/mcomp" >&2; exit 2; }

compile() { # compile COMPILER SOURCE
  "$1" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -DMCOMP_STATIC_DEFINE \
    -I "$include_dir" "${dependencies[@]}" "$2"
}

if $times; then
  compiler=${compilers[0]:-g++}
  # The median of five, in hundredths of a second of processor time.
  cost() {
    for _ in 1 2 3 4 5; do
      TIMEFORMAT='%U %S'
      { time compile "$compiler" "$1"; } 2>&1 | awk '{ printf "%d\n", 100 * ($1 + $2) + .5 }'
    done | sort -n | sed -n 3p
  }
  printf '#include <memory>\n#include <string>\n#include <vector>\n' >"$scratch/standard.cpp"
  echo '| header | seconds |'
  echo '| --- | --- |'
  printf '| `<memory>`, `<string>`, `<vector>`, to compare | %.2f |\n' "$(cost "$scratch/standard.cpp")e-2"
  for header in "${headers[@]}"; do
    echo "#include \"$header\"" >"$scratch/one.cpp"
    printf '| `%s` | %.2f |\n' "$header" "$(cost "$scratch/one.cpp")e-2"
  done
  exit
fi

[ ${#compilers[@]} -gt 0 ] || compilers=(g++ clang++-14)
failed=0
for compiler in "${compilers[@]}"; do
  for i in "${!headers[@]}"; do echo "#include \"${headers[i]}\"" >"$scratch/$i.cpp"; done
  cat $(seq -f "$scratch/%.0f.cpp" 0 $((${#headers[@]} - 1))) >"$scratch/forward.cpp"
  tac "$scratch/forward.cpp" >"$scratch/reverse.cpp"
  export -f compile
  export include_dir
  printf '%s\n' "$scratch"/*.cpp | DEPENDENCIES="${dependencies[*]}" xargs -P "$(nproc)" -I{} bash -c '
    read -ra dependencies <<<"$DEPENDENCIES"
    compile "$1" "$2" || { echo "with $1, of:"; head -n 1 "$2"; exit 1; }' _ "$compiler" {} || failed=1
done
[ $failed = 0 ] && echo "${#headers[@]} headers, each alone and all in two orders, with ${compilers[*]}"
exit $failed
