#!/usr/bin/env bash
# Checks that shared libraries are good guests: they export the names of namespace mcomp alone, and import nothing that
# ends the process, writes to its output, reads its environment or changes its global state.
#
#   exports.sh LIBRARY...
#   exports.sh --self-test [COMPILER]    shows that each kind of violation is found
set -euo pipefail

# The names of cmake/mcomp.map, as extended regular expression.
own='^_Z(N(K?[RO]|K)?5mcomp|T[ISVTC]N5mcomp|T[hvc].*N5mcomp)'
ends='abort|exit|_exit|_Exit|quick_exit|raise|kill|__assert_fail|__assert_perror_fail|__assert|_ZSt21__glibcxx_assert_fail.*'
writes='printf|vprintf|fprintf|vfprintf|dprintf|puts|putchar|fputs|fputc|putc|perror|psignal|syslog|vsyslog|warnx?|errx?'
writes+='|__(v?printf|v?fprintf|v?dprintf|v?syslog)_chk|stdout|stderr|_ZSt4(cout|cerr|clog)'
global='getenv|secure_getenv|setenv|putenv|unsetenv|setlocale|signal|sigaction|atexit|system|popen|fork|srand|fesetround|feenableexcept'
banned="^($ends|$writes|$global)\$"

check() {
  local library=$1 defined undefined bad=0
  defined=$(nm -D --defined-only --format=posix "$library" | cut -d' ' -f1 | sed 's/@.*//' | sort -u)
  undefined=$(nm -D --undefined-only --format=posix "$library" | cut -d' ' -f1 | sed 's/@.*//' | sort -u)
  local foreign hostile
  foreign=$(grep -vE "$own" <<<"$defined" | grep . || true)
  hostile=$(grep -E "$banned" <<<"$undefined" || true)
  if [ -n "$foreign" ]; then
    echo "$library exports names that are not mcomp's:"
    c++filt <<<"$foreign" | sed 's/^/  /'
    bad=1
  fi
  if [ -n "$hostile" ]; then
    echo "$library imports what a guest must not call:"
    c++filt <<<"$hostile" | sed 's/^/  /'
    bad=1
  fi
  if [ $bad = 0 ]; then echo "$library: $(grep -cE "$own" <<<"$defined" || true) names exported, all mcomp's; imports are clean"; fi
  return $bad
}

self_test() {
  local compiler=${1:-c++} failures=0
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  build() { printf '%s\n' "$2" | "$compiler" -std=c++20 -O2 -fPIC -shared -x c++ - -o "$scratch/$1.so"; }
  expect() { # expect pass|fail NAME SOURCE
    build "$2" "$3"
    local outcome=pass
    check "$scratch/$2.so" >/dev/null || outcome=fail
    if [ $outcome = "$1" ]; then echo "ok: $2 -> $outcome"; else echo "WRONG: $2 -> $outcome, expected $1"; failures=1; fi
  }
  expect pass clean 'namespace mcomp { inline namespace v0 { struct A { virtual ~A(); int f() const; int g() &&; }; A::~A() {} int A::f() const { return 1; } int A::g() && { return 2; } } }'
  expect fail c_function 'extern "C" int helper() { return 1; }'
  expect fail other_namespace 'namespace other { int helper() { return 1; } }'
  expect fail std_template '#include <vector>
template class std::vector<long double>;'
  expect fail aborts '#include <cstdlib>
namespace mcomp { void f(int x) { if (x) std::abort(); } }'
  expect fail exits '#include <cstdlib>
namespace mcomp { void f() { std::exit(1); } }'
  expect fail prints '#include <cstdio>
namespace mcomp { void f(int x) { std::printf("%d", x); } }'
  expect fail asserts '#undef NDEBUG
#include <cassert>
namespace mcomp { void f(int x) { assert(x > 0); } }'
  expect fail environment '#include <cstdlib>
namespace mcomp { const char* f() { return std::getenv("HOME"); } }'
  return $failures
}

if [ $# = 0 ]; then
  echo "usage: exports.sh LIBRARY... | --self-test [COMPILER]" >&2
  exit 2
fi
if [ "$1" = --self-test ]; then
  self_test "${2:-}"
  exit
fi
status=0
for library in "$@"; do check "$library" || status=1; done
exit $status
