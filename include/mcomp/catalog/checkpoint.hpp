#pragma once

// What a log says about itself, signed: the checkpoints of transparency logs (c2sp.org/tlog-checkpoint) in signed notes
// (c2sp.org/signed-note). Whoever keeps a checkpoint can later ask for a consistency proof, offline, and sees whether
// the log was only appended to.
//
//     std::string note = catalog::sign_checkpoint({"models.example.com/audit", log.size(), log.root()}, {&key,
//     1}).value(); auto checkpoint  = catalog::open_checkpoint(note, {&public_key, 1},
//     "models.example.com/audit").value();

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/merkle.hpp"
#include "mcomp/catalog/signature.hpp"

namespace mcomp::inline v0::catalog {

/// A text with signatures below it:
///
///     the text, UTF-8, every line ended
///     (an empty line)
///     — name base64(id of the key, big-endian || signature)
struct Note {
  struct Signed {
    std::string name;
    std::uint32_t id = 0;
    std::string signature; ///< 64 bytes for Ed25519; others may be of any length
    friend bool operator==(const Signed&, const Signed&) = default;
  };
  std::string text; ///< ends with a line feed
  std::vector<Signed> signatures{};

  /// Errors: corrupt for what is no note: above 1 MiB, no UTF-8, control characters, no signature or more than 100,
  /// lines of another form.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Note> parse(std::string_view text);
  friend bool operator==(const Note&, const Note&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_text(const Note& note);
/// Adds a signature. Error: invalid_argument for a text that no note may hold.
[[nodiscard]] MCOMP_WORKFLOW_API Status sign(Note& note, const SigningKey& key);
/// The keys among `known` that signed, in the order of their signatures. Error: corrupt, where a signature has the name
/// and id of a known key and is not its own; those of unknown keys say nothing.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<PublicKey>> signers(const Note& note,
                                                                        std::span<const PublicKey> known);

/// The state of a log: who it is, how many entries it has, and the root of their Merkle tree.
struct Checkpoint {
  std::string origin; ///< unique name of the log, one line; by custom a host and path without scheme
  std::uint64_t size = 0;
  Hash root = empty_root();
  std::vector<std::string> extensions{}; ///< further lines, none of them empty

  /// Reads the text of a note. Errors: corrupt.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Checkpoint> parse(std::string_view text);
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

/// Origin, size in decimal, root in base64, extensions: each a line.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_text(const Checkpoint& checkpoint);

/// The checkpoint as a note with one signature of each key. Errors: invalid_argument for lines that cannot be lines and
/// for no keys.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> sign_checkpoint(const Checkpoint& checkpoint,
                                                                     std::span<const SigningKey> keys);

/// Reads a signed checkpoint that at least `threshold` different keys of `trusted` have signed and that is of the log
/// `origin`. Errors: corrupt, naming what does not hold; invalid_argument for a threshold below 1.
[[nodiscard]] MCOMP_WORKFLOW_API Result<Checkpoint>
open_checkpoint(std::string_view note, std::span<const PublicKey> trusted, std::string_view origin, int threshold = 1);

} // namespace mcomp::inline v0::catalog
