#include "mcomp/catalog/merkle.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

/// The test log of certificate-transparency (transparency-dev/merkle, testonly/constants.go).
const std::array<std::string, 8> reference_leaves = {
    std::string(),
    std::string("\0", 1),
    "\x10",
    "\x20\x21",
    "\x30\x31",
    "\x40\x41\x42\x43",
    "\x50\x51\x52\x53\x54\x55\x56\x57",
    "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"};

/// RFC 9162, 2.1.1, word for word in its recursion: the independent reference.
Hash mth(std::span<const Hash> leaves) {
  if (leaves.empty()) return Sha256().finish();
  if (leaves.size() == 1) return leaves[0];
  const std::size_t k = std::bit_floor(leaves.size() - 1);
  return node_hash(mth(leaves.first(k)), mth(leaves.subspan(k)));
}

std::vector<Hash> some_leaves(std::size_t count) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(leaf_hash(fmt::format("entry {}", i)));
  return leaves;
}

std::vector<std::uint8_t> from_base64(const std::string& text) {
  static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<std::uint32_t>(alphabet.find(c));
    if ((count += 6) >= 8) bytes.push_back(static_cast<std::uint8_t>(bits >> (count -= 8) & 0xff));
  }
  return bytes;
}

/// Whether a case of the data set is accepted.
bool accepted(const std::string& kind, const nlohmann::json& test) {
  std::vector<Hash> proof;
  if (test["proof"].is_array())
    for (const auto& text : test["proof"]) {
      const auto hash = to_hash(from_base64(text.get<std::string>()));
      if (!hash) return false;
      proof.push_back(*hash);
    }
  const auto bytes = [&](const char* key) { return from_base64(test[key].get<std::string>()); };
  const auto number = [&](const char* key) { return test[key].get<std::uint64_t>(); };
  if (kind == "consistency")
    return verify_consistency(number("size1"), number("size2"), proof, bytes("root1"), bytes("root2")).has_value();
  if (kind == "subtreeconsistency")
    return verify_subtree_consistency(number("start"), number("end"), number("size"), proof, bytes("root1"),
                                      bytes("root2"))
        .has_value();
  const auto leaf = to_hash(bytes("leafHash"));
  if (!leaf) return false;
  if (kind == "inclusion")
    return verify_inclusion(number("leafIdx"), number("treeSize"), *leaf, proof, bytes("root")).has_value();
  return verify_subtree_inclusion(number("leafIdx"), number("start"), number("end"), *leaf, proof, bytes("root"))
      .has_value();
}

} // namespace

TEST_CASE("the published log has the published roots and proofs") {
  // transparency-dev/merkle, testonly/constants.go: the head of each root, and the last in full.
  const std::array<std::string, 8> heads = {"6e340b9cffb37a98", "fac54203e7cc696c", "aeb6bcfe274b70a1",
                                            "d37ee418976dd957", "4e3bbb1f7b478dcf", "76e67dadbcdf1e10",
                                            "ddb89be403809e32", "5dc9da79a70659a9"};
  MerkleTree tree;
  MerkleFrontier frontier;
  CHECK(to_hex(frontier.root()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(tree.root(0).value()) == to_hex(frontier.root()));
  for (std::size_t i = 0; i < 8; ++i) {
    tree.append(leaf_hash(reference_leaves[i]));
    frontier.append(leaf_hash(reference_leaves[i]));
    CHECK(to_hex(frontier.root()).substr(0, 16) == heads[i]);
    CHECK(tree.root(i + 1).value() == frontier.root());
  }
  CHECK(to_hex(frontier.root()) == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
  const auto beginnings = [](const std::vector<Hash>& proof) {
    std::string text;
    for (const Hash& hash : proof) text += to_hex(hash).substr(0, 8) + " ";
    return text;
  };
  // The proofs count entries from 1 in the source.
  CHECK(beginnings(tree.inclusion_proof(0, 8).value()) == "96a296d2 5f083f0a 6b47aaf2 ");
  CHECK(beginnings(tree.consistency_proof(6, 8).value()) == "0ebc5d34 ca854ea1 d37ee418 ");
  CHECK(tree.consistency_proof(1, 1).value().empty());
}

TEST_CASE("all proofs of the data set are accepted or rejected as they say") {
  const auto folder = mcomp_test::data("merkle");
  if (!folder) return;
  std::map<std::string, std::pair<int, int>> counts; // kind: cases, accepted
  int cases = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*folder)) {
    if (entry.path().extension() != ".json") continue;
    const std::string kind = *entry.path().lexically_relative(*folder).begin();
    const auto test = nlohmann::json::parse(read_file(entry.path()).value());
    INFO(entry.path().string());
    CHECK(accepted(kind, test) == !test["wantErr"].get<bool>());
    auto& [total, good] = counts[kind];
    ++total, ++cases;
    good += !test["wantErr"].get<bool>();
  }
  CHECK(cases == 518);
  CHECK(counts["inclusion"] == std::pair(98, 6));
  CHECK(counts["consistency"] == std::pair(98, 6));
  CHECK(counts["subtreeinclusion"] == std::pair(204, 12));
  CHECK(counts["subtreeconsistency"] == std::pair(118, 12));
}

TEST_CASE("roots, frontiers and inclusion proofs equal the definition for every size up to 130") {
  const auto leaves = some_leaves(130);
  MerkleTree tree;
  MerkleFrontier frontier;
  std::size_t longest = 0;
  for (std::uint64_t n = 1; n <= leaves.size(); ++n) {
    tree.append(leaves[n - 1]);
    frontier.append(leaves[n - 1]);
    const Hash root = mth(std::span(leaves).first(n));
    REQUIRE(tree.root(n).value() == root);
    REQUIRE(frontier.root() == root);
    REQUIRE(MerkleFrontier::from(n, frontier.hashes()).value().root() == root);
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto proof = tree.inclusion_proof(i, n).value();
      longest = std::max(longest, proof.size());
      REQUIRE(verify_inclusion(i, n, leaves[i], proof, root));
      // The wrong entry, place, size or root.
      CHECK(!verify_inclusion(i, n, leaves[(i + 1) % 130], proof, root));
      CHECK(!verify_inclusion(i + 1, n, leaves[i], proof, root));
      CHECK(!verify_inclusion(i, n, leaves[i], proof, mth(std::span(leaves).first(n - 1))));
    }
  }
  CHECK(longest == 8);
  CHECK(frontier.hashes().size() == 2); // 130 = 128 + 2
}

TEST_CASE("consistency holds between every two sizes up to 130, and fails for another history") {
  const auto leaves = some_leaves(130);
  MerkleTree tree;
  for (const Hash& leaf : leaves) tree.append(leaf);
  std::vector<Hash> roots;
  for (std::size_t n = 0; n <= leaves.size(); ++n) roots.push_back(mth(std::span(leaves).first(n)));
  for (std::uint64_t m = 1; m <= 130; ++m)
    for (std::uint64_t n = m; n <= 130; ++n) {
      auto proof = tree.consistency_proof(m, n).value();
      REQUIRE(verify_consistency(m, n, proof, roots[m], roots[n]));
      CHECK(!verify_consistency(m, n, proof, roots[m - 1], roots[n]));
      if (m < n) CHECK(!verify_consistency(m, n, proof, roots[m], roots[n - 1]));
      proof.push_back(roots[n]);
      CHECK(!verify_consistency(m, n, proof, roots[m], roots[n]));
    }
  // One entry changed behind size 64: nothing leads from the old root to the new tree.
  auto changed = leaves;
  changed[10] = leaf_hash("something else");
  MerkleTree other;
  for (const Hash& leaf : changed) other.append(leaf);
  CHECK(!verify_consistency(64, 130, other.consistency_proof(64, 130).value(), roots[64], other.root(130).value()));
}

TEST_CASE("subtrees lie in the tree and hold their entries, for every subtree up to 40 entries") {
  const auto leaves = some_leaves(40);
  MerkleTree tree;
  for (const Hash& leaf : leaves) tree.append(leaf);
  int subtrees = 0;
  for (std::uint64_t start = 0; start < 40; ++start)
    for (std::uint64_t end = start; end <= 40; ++end) {
      std::uint64_t power = 1;
      while (power < end - start) power *= 2;
      REQUIRE(is_subtree(start, end) == (start % power == 0));
      if (!is_subtree(start, end)) {
        CHECK(!tree.subtree_root(start, end));
        continue;
      }
      ++subtrees;
      const Hash part = mth(std::span(leaves).subspan(start, end - start));
      REQUIRE(tree.subtree_root(start, end).value() == part);
      for (std::uint64_t n = end; n <= 40; ++n) {
        const auto proof = tree.subtree_consistency_proof(start, end, n).value();
        REQUIRE(verify_subtree_consistency(start, end, n, proof, part, mth(std::span(leaves).first(n))));
        // One hash given for both roots passes only where subtree and tree are the same.
        const bool passes = verify_subtree_consistency(start, end, n, proof, leaves[0], leaves[0]).has_value();
        CHECK(passes == (start == 0 && end == n && n != 0));
      }
      for (std::uint64_t i = start; i < end; ++i) {
        const auto proof = tree.subtree_inclusion_proof(i, start, end).value();
        REQUIRE(verify_subtree_inclusion(i, start, end, leaves[i], proof, part));
        CHECK(!verify_subtree_inclusion(i, start, end, leaves[(i + 1) % 40], proof, part));
      }
    }
  CHECK(subtrees > 100);
}

TEST_CASE("a single flipped bit of a proof, leaf or root is found") {
  const auto leaves = some_leaves(77);
  MerkleTree tree;
  for (const Hash& leaf : leaves) tree.append(leaf);
  const Hash root = tree.root(77).value();
  const Hash earlier = tree.root(50).value();
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    const std::uint64_t i = random.below(77);
    auto inclusion = tree.inclusion_proof(i, 77).value();
    auto consistency = tree.consistency_proof(50, 77).value();
    const auto bit = static_cast<std::uint8_t>(1U << random.below(8));
    const auto byte = static_cast<std::size_t>(random.below(32));
    inclusion[random.below(inclusion.size())][byte] ^= bit;
    consistency[random.below(consistency.size())][byte] ^= bit;
    CHECK(!verify_inclusion(i, 77, leaves[i], inclusion, root));
    CHECK(!verify_consistency(50, 77, consistency, earlier, root));
  }
}

TEST_CASE("what lies outside of a tree is refused with a whole error") {
  MerkleTree tree;
  for (const Hash& leaf : some_leaves(5)) tree.append(leaf);
  CHECK(tree.leaf(5).error().code() == ErrorCode::invalid_argument);
  CHECK(mcomp_test::well_formed(tree.root(6).error()));
  CHECK(mcomp_test::well_formed(tree.inclusion_proof(5, 5).error()));
  CHECK(mcomp_test::well_formed(tree.consistency_proof(0, 5).error()));
  CHECK(mcomp_test::well_formed(tree.consistency_proof(4, 3).error()));
  CHECK(mcomp_test::well_formed(MerkleFrontier::from(5, {}).error()));
  CHECK(mcomp_test::well_formed(verify_inclusion(7, 5, tree.leaf(0).value(), {}, empty_root()).error()));
  CHECK(to_hash(std::vector<std::uint8_t>(31)).error().code() == ErrorCode::corrupt);
  // Bounds near the end of 64 bits end in a refusal, not in a shift that is undefined.
  CHECK(!is_subtree(1, std::uint64_t{1} << 63 | 5));
  CHECK(is_subtree(0, ~std::uint64_t{0}));
  CHECK(!verify_inclusion(3, ~std::uint64_t{0}, empty_root(), {}, empty_root()));
}
