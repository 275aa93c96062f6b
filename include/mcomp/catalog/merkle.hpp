#pragma once

// The Merkle tree of RFC 6962 and RFC 9162, section 2.1, with SHA-256: one hash, the root, stands for a list of entries
// in their order. An inclusion proof shows that an entry is in the list, a consistency proof that a list was only ever
// appended to; both are as long as the tree is deep. Subtrees, and the proofs that lead to and from them, are those of
// draft-ietf-plants-merkle-tree-certs, section 4: D[start, end) with start a multiple of the power of two that holds
// end - start.
//
//     catalog::MerkleTree log;
//     log.append(catalog::leaf_hash(entry));
//     auto proof = log.inclusion_proof(0, log.size()).value();
//     catalog::verify_inclusion(0, log.size(), leaf, *proof, root).value();

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::catalog {

using Hash = Sha256::Digest;

/// SHA-256(0x00 || entry): the two prefixes keep an entry from passing for a node.
[[nodiscard]] MCOMP_WORKFLOW_API Hash leaf_hash(std::string_view entry) noexcept;
/// SHA-256(0x01 || left || right).
[[nodiscard]] MCOMP_WORKFLOW_API Hash node_hash(const Hash& left, const Hash& right) noexcept;
/// The root of no entries: SHA-256 of the empty string.
[[nodiscard]] MCOMP_WORKFLOW_API Hash empty_root() noexcept;

/// What is needed to go on appending to a log and to know its root: the hashes of its perfect subtrees, one for each
/// bit of its size, so O(log n) bytes for a log of any length.
class MCOMP_WORKFLOW_API MerkleFrontier {
 public:
  MerkleFrontier() = default;
  /// Goes on where another one stopped. Error: corrupt where there is not one hash for each bit set in `size`.
  [[nodiscard]] static Result<MerkleFrontier> from(std::uint64_t size, std::vector<Hash> hashes);

  /// O(log n) hashes at most, O(1) on average.
  void append(const Hash& leaf);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] Hash root() const noexcept;
  /// From the largest subtree, which is on the left, to the smallest.
  [[nodiscard]] const std::vector<Hash>& hashes() const noexcept { return hashes_; }

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> hashes_;
};

/// A tree with all its nodes (about 64 bytes an entry), from which proofs for every size that it ever had are made in
/// O(log^2 n). Sizes, indices and bounds outside of the tree are the error invalid_argument.
class MCOMP_WORKFLOW_API MerkleTree {
 public:
  void append(const Hash& leaf);
  [[nodiscard]] std::uint64_t size() const noexcept { return levels_.empty() ? 0 : levels_.front().size(); }
  [[nodiscard]] Result<Hash> leaf(std::uint64_t index) const;
  /// MTH(D_size), RFC 9162, 2.1.1.
  [[nodiscard]] Result<Hash> root(std::uint64_t size) const;
  /// PATH(index, D_size), RFC 9162, 2.1.3.1, from the leaf's neighbour upwards.
  [[nodiscard]] Result<std::vector<Hash>> inclusion_proof(std::uint64_t index, std::uint64_t size) const;
  /// PROOF(size1, D_size2), RFC 9162, 2.1.4.1; empty for equal sizes. Error: invalid_argument for size1 = 0 too, since
  /// every tree goes on from the empty one.
  [[nodiscard]] Result<std::vector<Hash>> consistency_proof(std::uint64_t size1, std::uint64_t size2) const;

  /// MTH(D[start:end]). The bounds must be those of a subtree.
  [[nodiscard]] Result<Hash> subtree_root(std::uint64_t start, std::uint64_t end) const;
  /// That entry `index` of the log is in the subtree [start, end).
  [[nodiscard]] Result<std::vector<Hash>> subtree_inclusion_proof(std::uint64_t index, std::uint64_t start,
                                                                  std::uint64_t end) const;
  /// SUBTREE_PROOF(start, end, D_size): that the subtree [start, end) is part of the tree of that size.
  [[nodiscard]] Result<std::vector<Hash>> subtree_consistency_proof(std::uint64_t start, std::uint64_t end,
                                                                    std::uint64_t size) const;

 private:
  [[nodiscard]] Hash range(std::uint64_t begin, std::uint64_t end) const noexcept;
  void path(std::uint64_t index, std::uint64_t begin, std::uint64_t end, std::vector<Hash>& proof) const;
  void subproof(std::uint64_t start, std::uint64_t end, std::uint64_t begin, std::uint64_t limit, bool known,
                std::vector<Hash>& proof) const;
  /// Level l holds the hashes of the complete subtrees of 2^l entries.
  std::vector<std::vector<Hash>> levels_;
};

/// Whether [start, end) are the bounds of a subtree: start <= end, and start is a multiple of the smallest power of two
/// that is at least end - start.
[[nodiscard]] MCOMP_WORKFLOW_API bool is_subtree(std::uint64_t start, std::uint64_t end) noexcept;

/// 32 bytes from outside as a hash. Error: corrupt for any other number of bytes.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Hash> to_hash(std::span<const std::uint8_t> bytes);

// Verification. Success means that the statement holds for every log with that root, short of a broken SHA-256. Error
// of all: corrupt, where bounds, length of the proof or hashes do not fit. Roots arrive as bytes: one that has not 32
// of them is refused wherever it would enter a hash.

/// That `leaf` is the hash of entry `index` of the tree of `size` entries.
[[nodiscard]] MCOMP_WORKFLOW_API Status verify_inclusion(std::uint64_t index, std::uint64_t size, const Hash& leaf,
                                                         std::span<const Hash> proof,
                                                         std::span<const std::uint8_t> root);
/// That the tree of `size2` entries begins with that of `size1`. An empty tree is consistent with an empty tree alone:
/// what a proof from nothing to something should show holds always, and is refused.
[[nodiscard]] MCOMP_WORKFLOW_API Status verify_consistency(std::uint64_t size1, std::uint64_t size2,
                                                           std::span<const Hash> proof,
                                                           std::span<const std::uint8_t> root1,
                                                           std::span<const std::uint8_t> root2);
/// That `leaf` is the hash of entry `index` of the log, within the subtree [start, end).
[[nodiscard]] MCOMP_WORKFLOW_API Status verify_subtree_inclusion(std::uint64_t index, std::uint64_t start,
                                                                 std::uint64_t end, const Hash& leaf,
                                                                 std::span<const Hash> proof,
                                                                 std::span<const std::uint8_t> subtree_root);
/// That the subtree [start, end) is part of the tree of `size` entries. An empty subtree has the root of no entries and
/// an empty proof, and is part of every tree that reaches to it.
[[nodiscard]] MCOMP_WORKFLOW_API Status verify_subtree_consistency(std::uint64_t start, std::uint64_t end,
                                                                   std::uint64_t size, std::span<const Hash> proof,
                                                                   std::span<const std::uint8_t> subtree_root,
                                                                   std::span<const std::uint8_t> root);

} // namespace mcomp::inline v0::catalog
