#include <cstdio>

#include "mcomp/core/sha256.hpp"

int main() {
  const std::string digest = mcomp::sha256("abc");
  std::puts(digest.c_str());
  return digest.starts_with("ba7816bf") ? 0 : 1;
}
