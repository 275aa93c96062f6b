#include <cstdio>

#include "mcomp/catalog/merkle.hpp"

// A log of three entries proves its first, and only that.
int main() {
  namespace catalog = mcomp::catalog;
  catalog::MerkleTree log;
  for (const char* entry : {"a", "b", "c"}) log.append(catalog::leaf_hash(entry));
  const auto root = log.root(3).value();
  const auto proof = log.inclusion_proof(0, 3).value();
  std::printf("root %s\n", mcomp::to_hex(root).c_str());
  if (!catalog::verify_inclusion(0, 3, catalog::leaf_hash("a"), proof, root)) return 1;
  return catalog::verify_inclusion(0, 3, catalog::leaf_hash("b"), proof, root) ? 2 : 0;
}
