#include "mcomp/catalog/merkle.hpp"

#include <algorithm>
#include <bit>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

/// The largest power of two below n, for n > 1: where RFC 9162 splits a tree.
std::uint64_t split(std::uint64_t n) noexcept {
  return std::bit_floor(n - 1);
}

Error refused(std::string rule) {
  return Error(ErrorCode::corrupt, "Merkle proof", std::move(rule),
               "do not trust the entry or the tree; ask the log again");
}

bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) noexcept {
  return std::ranges::equal(a, b);
}

Error outside(std::string rule) {
  return Error(ErrorCode::invalid_argument, "Merkle tree", std::move(rule), "ask within the tree");
}

/// Takes the hashes of a proof one by one.
class ProofReader {
 public:
  explicit ProofReader(std::span<const Hash> proof) : proof_(proof) {}
  Result<Hash> next() {
    if (at_ == proof_.size()) return refused(fmt::format("{} hashes are too few", proof_.size()));
    return proof_[at_++];
  }
  Status finish() const {
    if (at_ != proof_.size()) return refused(fmt::format("{} hashes, {} are needed", proof_.size(), at_));
    return {};
  }

 private:
  std::span<const Hash> proof_;
  std::size_t at_ = 0;
};

/// The root of a tree of `size` entries from its entry `index`: PATH read backwards.
Result<Hash> root_from_path(std::uint64_t index, std::uint64_t size, const Hash& leaf, ProofReader& proof) {
  if (size == 1) return leaf;
  const std::uint64_t k = split(size);
  const bool left = index < k;
  MCOMP_TRY(inner, left ? root_from_path(index, k, leaf, proof) : root_from_path(index - k, size - k, leaf, proof));
  MCOMP_TRY(sibling, proof.next());
  return left ? node_hash(inner, sibling) : node_hash(sibling, inner);
}

struct Roots {
  Hash subtree, tree;
};

/// Both roots from a proof of consistency: SUBTREE_SUBPROOF read backwards. `known` holds where the subtree's root is
/// what the verifier has, so that the proof leaves it out.
Result<Roots> roots_from_proof(std::uint64_t start, std::uint64_t end, std::uint64_t size, bool known,
                               const Hash& subtree, ProofReader& proof) {
  if (start == 0 && end == size) {
    if (known) return Roots{subtree, subtree};
    MCOMP_TRY(hash, proof.next());
    return Roots{hash, hash};
  }
  const std::uint64_t k = split(size);
  if (end <= k) {
    MCOMP_TRY(inner, roots_from_proof(start, end, k, known, subtree, proof));
    MCOMP_TRY(right, proof.next());
    return Roots{inner.subtree, node_hash(inner.tree, right)};
  }
  if (k <= start) {
    MCOMP_TRY(inner, roots_from_proof(start - k, end - k, size - k, known, subtree, proof));
    MCOMP_TRY(left, proof.next());
    return Roots{inner.subtree, node_hash(left, inner.tree)};
  }
  // start < k < end, so that start is 0: the left part belongs to both.
  MCOMP_TRY(inner, roots_from_proof(0, end - k, size - k, false, subtree, proof));
  MCOMP_TRY(left, proof.next());
  return Roots{node_hash(left, inner.subtree), node_hash(left, inner.tree)};
}

} // namespace

Hash leaf_hash(std::string_view entry) noexcept {
  Sha256 hash;
  hash.update(std::string_view("\0", 1));
  hash.update(entry);
  return hash.finish();
}

Hash node_hash(const Hash& left, const Hash& right) noexcept {
  Sha256 hash;
  hash.update("\1");
  hash.update(std::as_bytes(std::span(left)));
  hash.update(std::as_bytes(std::span(right)));
  return hash.finish();
}

Hash empty_root() noexcept {
  return Sha256().finish();
}

bool is_subtree(std::uint64_t start, std::uint64_t end) noexcept {
  if (start > end) return false;
  const std::uint64_t length = end - start;
  if (length <= 1) return true;
  // bit_ceil is undefined where the power of two has no place in 64 bits; only start = 0 is a multiple of it.
  if (length > std::uint64_t{1} << 63) return start == 0;
  return start % std::bit_ceil(length) == 0;
}

Result<Hash> to_hash(std::span<const std::uint8_t> bytes) {
  Hash hash;
  if (bytes.size() != hash.size()) return refused(fmt::format("a hash has 32 bytes, this one {}", bytes.size()));
  std::ranges::copy(bytes, hash.begin());
  return hash;
}

Result<MerkleFrontier> MerkleFrontier::from(std::uint64_t size, std::vector<Hash> hashes) {
  const int needed = std::popcount(size);
  if (hashes.size() != static_cast<std::size_t>(needed))
    return Error(ErrorCode::corrupt, "Merkle frontier",
                 fmt::format("{} entries need {} hashes, there are {}", size, needed, hashes.size()),
                 "rebuild it from the entries");
  MerkleFrontier frontier;
  frontier.size_ = size;
  frontier.hashes_ = std::move(hashes);
  return frontier;
}

void MerkleFrontier::append(const Hash& leaf) {
  Hash hash = leaf;
  // As a binary counter carries: each subtree that is complete now is joined with its left neighbour.
  for (std::uint64_t carry = size_; carry & 1; carry >>= 1) {
    hash = node_hash(hashes_.back(), hash);
    hashes_.pop_back();
  }
  hashes_.push_back(hash);
  ++size_;
}

Hash MerkleFrontier::root() const noexcept {
  if (hashes_.empty()) return empty_root();
  Hash hash = hashes_.back();
  for (std::size_t i = hashes_.size() - 1; i-- > 0;) hash = node_hash(hashes_[i], hash);
  return hash;
}

void MerkleTree::append(const Hash& leaf) {
  if (levels_.empty()) levels_.emplace_back();
  levels_[0].push_back(leaf);
  for (std::size_t level = 0; levels_[level].size() % 2 == 0; ++level) {
    const auto& below = levels_[level];
    const Hash hash = node_hash(below[below.size() - 2], below.back());
    if (level + 1 == levels_.size()) levels_.emplace_back();
    levels_[level + 1].push_back(hash);
  }
}

Result<Hash> MerkleTree::leaf(std::uint64_t index) const {
  if (index >= size()) return outside(fmt::format("entry {} of {}", index, size()));
  return levels_[0][index];
}

/// MTH(D[begin:end]) for begin < end, where begin is a multiple of the power of two that holds end - begin.
Hash MerkleTree::range(std::uint64_t begin, std::uint64_t end) const noexcept {
  const std::uint64_t length = end - begin;
  if (std::has_single_bit(length)) {
    const auto level = static_cast<std::size_t>(std::countr_zero(length));
    return levels_[level][begin >> level];
  }
  const std::uint64_t k = split(length);
  return node_hash(range(begin, begin + k), range(begin + k, end));
}

void MerkleTree::path(std::uint64_t index, std::uint64_t begin, std::uint64_t end, std::vector<Hash>& proof) const {
  if (end - begin == 1) return;
  const std::uint64_t middle = begin + split(end - begin);
  if (index < middle) {
    path(index, begin, middle, proof);
    proof.push_back(range(middle, end));
  } else {
    path(index, middle, end, proof);
    proof.push_back(range(begin, middle));
  }
}

/// SUBTREE_SUBPROOF for the subtree [start, end) in the part [begin, limit) of the tree, all counted from the log's
/// beginning.
void MerkleTree::subproof(std::uint64_t start, std::uint64_t end, std::uint64_t begin, std::uint64_t limit, bool known,
                          std::vector<Hash>& proof) const {
  if (start == begin && end == limit) {
    if (!known) proof.push_back(range(begin, limit));
    return;
  }
  const std::uint64_t middle = begin + split(limit - begin);
  if (end <= middle) {
    subproof(start, end, begin, middle, known, proof);
    proof.push_back(range(middle, limit));
  } else if (middle <= start) {
    subproof(start, end, middle, limit, known, proof);
    proof.push_back(range(begin, middle));
  } else {
    subproof(middle, end, middle, limit, false, proof);
    proof.push_back(range(begin, middle));
  }
}

Result<Hash> MerkleTree::root(std::uint64_t tree_size) const {
  return subtree_root(0, tree_size);
}

Result<std::vector<Hash>> MerkleTree::inclusion_proof(std::uint64_t index, std::uint64_t tree_size) const {
  return subtree_inclusion_proof(index, 0, tree_size);
}

Result<std::vector<Hash>> MerkleTree::consistency_proof(std::uint64_t size1, std::uint64_t size2) const {
  if (size1 == 0) return outside("there is no proof from the empty tree");
  return subtree_consistency_proof(0, size1, size2);
}

Result<Hash> MerkleTree::subtree_root(std::uint64_t start, std::uint64_t end) const {
  if (end > size() || !is_subtree(start, end))
    return outside(fmt::format("[{}, {}) is no subtree of {} entries", start, end, size()));
  return start == end ? empty_root() : range(start, end);
}

Result<std::vector<Hash>> MerkleTree::subtree_inclusion_proof(std::uint64_t index, std::uint64_t start,
                                                              std::uint64_t end) const {
  if (end > size() || !is_subtree(start, end) || index < start || index >= end)
    return outside(fmt::format("entry {} in [{}, {}) of {} entries", index, start, end, size()));
  std::vector<Hash> proof;
  path(index, start, end, proof);
  return proof;
}

Result<std::vector<Hash>> MerkleTree::subtree_consistency_proof(std::uint64_t start, std::uint64_t end,
                                                                std::uint64_t tree_size) const {
  if (tree_size > size() || end > tree_size || !is_subtree(start, end))
    return outside(fmt::format("[{}, {}) in a tree of {} of {} entries", start, end, tree_size, size()));
  std::vector<Hash> proof;
  if (start != end) subproof(start, end, 0, tree_size, true, proof);
  return proof;
}

Status verify_inclusion(std::uint64_t index, std::uint64_t size, const Hash& leaf, std::span<const Hash> proof,
                        std::span<const std::uint8_t> root) {
  return verify_subtree_inclusion(index, 0, size, leaf, proof, root);
}

Status verify_consistency(std::uint64_t size1, std::uint64_t size2, std::span<const Hash> proof,
                          std::span<const std::uint8_t> root1, std::span<const std::uint8_t> root2) {
  if (size1 == 0 && (size2 != 0 || !same(root1, root2))) return refused("nothing is proven from the empty tree");
  return verify_subtree_consistency(0, size1, size2, proof, root1, root2);
}

Status verify_subtree_inclusion(std::uint64_t index, std::uint64_t start, std::uint64_t end, const Hash& leaf,
                                std::span<const Hash> proof, std::span<const std::uint8_t> subtree_root) {
  if (!is_subtree(start, end)) return refused(fmt::format("[{}, {}) is no subtree", start, end));
  if (index < start || index >= end) return refused(fmt::format("entry {} is not in [{}, {})", index, start, end));
  ProofReader reader(proof);
  MCOMP_TRY(root, root_from_path(index - start, end - start, leaf, reader));
  MCOMP_CHECK(reader.finish());
  if (!same(root, subtree_root)) return refused(fmt::format("entry {} leads to another root", index));
  return {};
}

Status verify_subtree_consistency(std::uint64_t start, std::uint64_t end, std::uint64_t size,
                                  std::span<const Hash> proof, std::span<const std::uint8_t> subtree_root,
                                  std::span<const std::uint8_t> root) {
  if (!is_subtree(start, end) || end > size)
    return refused(fmt::format("[{}, {}) is no subtree of {} entries", start, end, size));
  if (start == end || (start == 0 && end == size)) {
    if (!proof.empty()) return refused(fmt::format("{} hashes, none is needed", proof.size()));
    if (start == end && !same(subtree_root, empty_root()))
      return refused("an empty subtree has the root of no entries");
    if (start != end && !same(subtree_root, root)) return refused("one tree has two roots");
    return {};
  }
  MCOMP_TRY(known, to_hash(subtree_root));
  ProofReader reader(proof);
  MCOMP_TRY(roots, roots_from_proof(start, end, size, true, known, reader));
  MCOMP_CHECK(reader.finish());
  if (!same(roots.subtree, known)) return refused("the proof leads to another root of the subtree");
  if (!same(roots.tree, root)) return refused("the proof leads to another root of the tree");
  return {};
}

} // namespace mcomp::inline v0::catalog
