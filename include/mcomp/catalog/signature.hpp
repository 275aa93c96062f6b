#pragma once

// Ed25519 signatures (RFC 8032) by OpenSSL's libcrypto, and keys with names in the text forms of C2SP's signed notes
// (c2sp.org/signed-note), so that a key of the catalogue verifies with the tools that transparency logs use.
//
//     auto key = catalog::SigningKey::generate("reviews.example.com").value();
//     catalog::Signature signature = key.sign(statement).value();
//     catalog::verify_signature(key.public_key(), statement, signature).value();

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

using Signature = std::array<std::uint8_t, 64>;

/// Who signed: a name and the key that goes with it.
struct PublicKey {
  std::string name; ///< without white space and '+'; in UTF-8
  std::array<std::uint8_t, 32> bytes{};

  /// The first four bytes of SHA-256(name || LF || 0x01 || bytes), big-endian: tells the keys of one name apart.
  [[nodiscard]] MCOMP_WORKFLOW_API std::uint32_t id() const;
  /// Reads "name+id+base64"; the id must be the key's. Errors: corrupt; unsupported for a kind that is not Ed25519.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<PublicKey> parse(std::string_view text);
  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};

/// "name+id+base64", the id in 8 hexadecimal digits.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const PublicKey& key);

/// A private key. It is wiped from memory with the object, and prints only where that is asked for by name.
class MCOMP_WORKFLOW_API SigningKey {
 public:
  /// A new key from the operating system's random numbers. Errors: invalid_argument for a name that is none, io_failure
  /// where there are no random numbers.
  [[nodiscard]] static Result<SigningKey> generate(std::string name);
  /// The key of a 32-byte seed (the private key of RFC 8032).
  [[nodiscard]] static Result<SigningKey> from_seed(std::string name, std::span<const std::uint8_t> seed);
  /// Reads "PRIVATE+KEY+name+id+base64". Errors: corrupt, unsupported.
  [[nodiscard]] static Result<SigningKey> parse(std::string_view text);
  ~SigningKey();
  SigningKey(const SigningKey&) = default;
  SigningKey(SigningKey&&) noexcept = default;
  SigningKey& operator=(const SigningKey&) = default;
  SigningKey& operator=(SigningKey&&) noexcept = default;

  [[nodiscard]] const PublicKey& public_key() const noexcept { return public_key_; }
  /// Error: unsupported, where libcrypto refuses Ed25519 (a FIPS provider of before 140-3).
  [[nodiscard]] Result<Signature> sign(std::string_view message) const;
  /// "PRIVATE+KEY+name+id+base64": whoever reads it can sign.
  [[nodiscard]] std::string private_text() const;

 private:
  SigningKey() = default;
  std::array<std::uint8_t, 32> seed_{};
  PublicKey public_key_;
};

/// Error: corrupt, where the signature is not that of this key over these bytes.
[[nodiscard]] MCOMP_WORKFLOW_API Status verify_signature(const PublicKey& key, std::string_view message,
                                                         const Signature& signature);

/// A signed statement in the envelope of DSSE (secure-systems-lab/dsse, v1.0): what is signed is type and payload
/// together, so that a statement of one kind never passes for one of another.
struct Envelope {
  struct Signed {
    std::string key_id; ///< "name+id" of the key
    Signature signature{};
    friend bool operator==(const Signed&, const Signed&) = default;
  };
  std::string payload_type;
  std::string payload; ///< its bytes as they were signed
  std::vector<Signed> signatures{};

  /// Strictly: unknown members, other than canonical base64 and more than 64 signatures are corrupt.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Envelope> parse(std::string_view json,
                                                                 const std::string& subject = "envelope");
  friend bool operator==(const Envelope&, const Envelope&) = default;
};

/// {"payload": base64, "payloadType": ..., "signatures": [{"keyid": ..., "sig": base64}]}, canonical. Error:
/// invalid_value where the type or the name of a key is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Envelope& envelope);
/// "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload.
[[nodiscard]] MCOMP_WORKFLOW_API std::string pre_authentication_encoding(std::string_view payload_type,
                                                                         std::string_view payload);
/// "name+id", as envelopes and notes name a key.
[[nodiscard]] MCOMP_WORKFLOW_API std::string key_id(const PublicKey& key);
/// Adds a signature to the envelope.
[[nodiscard]] MCOMP_WORKFLOW_API Status sign(Envelope& envelope, const SigningKey& key);
/// The keys among `known` that signed the envelope. A signature that names a known key and is not its own is the error
/// corrupt; those of unknown keys say nothing.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::vector<PublicKey>> signers(const Envelope& envelope,
                                                                        std::span<const PublicKey> known);

} // namespace mcomp::inline v0::catalog
