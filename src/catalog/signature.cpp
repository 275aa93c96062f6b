#include "mcomp/catalog/signature.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "catalog/base64.hpp"
#include "catalog/canonical.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::catalog {

namespace {

constexpr std::uint8_t ed25519_kind = 1; // c2sp.org/signed-note, "Signature types"
constexpr std::string_view private_prefix = "PRIVATE+KEY+";

struct FreeKey {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeContext>;

const unsigned char* bytes_of(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Error no_ed25519() {
  return Error(ErrorCode::unsupported, "Ed25519", "libcrypto refuses it", "use an OpenSSL whose provider has Ed25519");
}

/// Error: `code`, where a key's name is empty, has white space or '+', or is not UTF-8.
Status check_name(std::string_view name, ErrorCode code) {
  // The white space of Unicode, as UTF-8.
  static constexpr std::string_view spaces[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
                                                "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
  bool good = !name.empty() && name.size() <= 256 && detail::is_utf8(name) && name.find('+') == std::string_view::npos;
  for (const char c : name) good = good && static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  for (const std::string_view space : spaces) good = good && name.find(space) == std::string_view::npos;
  for (std::size_t at = 0; good && (at = name.find("\xe2\x80", at)) != std::string_view::npos; ++at)
    good = static_cast<unsigned char>(name[at + 2]) > 0x8a; // U+2000 to U+200A
  if (good) return {};
  return Error(code, "name of a key", "it is empty, longer than 256 bytes, no UTF-8, or holds white space or '+'",
               "name the signer like a host or an address");
}

struct NamedBytes {
  std::string name;
  std::uint32_t id = 0;
  std::string bytes;
};

/// "name+id+base64(kind || 32 bytes)".
Result<NamedBytes> parse_named(std::string_view text, const char* what) {
  const auto corrupt = [&](const char* rule) {
    return Error(ErrorCode::corrupt, what, rule, "copy the key whole, as it was printed");
  };
  const std::size_t first = text.find('+');
  const std::size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos) return corrupt("it is not name+id+base64");
  NamedBytes key{.name = std::string(text.substr(0, first)), .bytes = {}};
  MCOMP_CHECK(check_name(key.name, ErrorCode::corrupt));
  const std::string_view id = text.substr(first + 1, second - first - 1);
  const auto read = std::from_chars(id.data(), id.data() + id.size(), key.id, 16);
  if (id.size() != 8 || read.ec != std::errc() || read.ptr != id.data() + id.size())
    return corrupt("the id is not 8 hexadecimal digits");
  const auto decoded = detail::from_base64(text.substr(second + 1));
  if (!decoded || decoded->size() != 33) return corrupt("the key is not the base64 of 33 bytes");
  if (static_cast<std::uint8_t>((*decoded)[0]) != ed25519_kind)
    return Error(ErrorCode::unsupported, what, "it is of another kind than Ed25519", "use an Ed25519 key");
  key.bytes = decoded->substr(1);
  return key;
}

std::string to_text(const std::string& name, std::uint32_t id, std::span<const std::uint8_t> bytes) {
  std::string kinded(1, static_cast<char>(ed25519_kind));
  kinded.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return fmt::format("{}+{:08x}+{}", name, id, detail::to_base64(kinded));
}

} // namespace

std::uint32_t PublicKey::id() const {
  Sha256 hash;
  hash.update(name);
  hash.update("\n\1");
  hash.update(std::as_bytes(std::span(bytes)));
  const auto digest = hash.finish();
  return std::uint32_t{digest[0]} << 24 | std::uint32_t{digest[1]} << 16 | std::uint32_t{digest[2]} << 8 | digest[3];
}

Result<PublicKey> PublicKey::parse(std::string_view text) {
  MCOMP_TRY(named, parse_named(text, "public key"));
  PublicKey key{.name = named.name};
  std::memcpy(key.bytes.data(), named.bytes.data(), key.bytes.size());
  if (key.id() != named.id)
    return Error(ErrorCode::corrupt, "public key", fmt::format("the id of these bytes is {:08x}", key.id()),
                 "copy the key whole, as it was printed");
  return key;
}

std::string to_string(const PublicKey& key) {
  return to_text(key.name, key.id(), key.bytes);
}

std::string key_id(const PublicKey& key) {
  return fmt::format("{}+{:08x}", key.name, key.id());
}

Result<SigningKey> SigningKey::generate(std::string name) {
  MCOMP_CHECK(check_name(name, ErrorCode::invalid_argument));
  std::array<std::uint8_t, 32> seed;
  if (RAND_priv_bytes(seed.data(), static_cast<int>(seed.size())) != 1)
    return Error(ErrorCode::io_failure, "random numbers", "libcrypto has none", "check the system's source of them");
  auto key = from_seed(std::move(name), seed);
  OPENSSL_cleanse(seed.data(), seed.size());
  return key;
}

Result<SigningKey> SigningKey::from_seed(std::string name, std::span<const std::uint8_t> seed) {
  MCOMP_CHECK(check_name(name, ErrorCode::invalid_argument));
  SigningKey key;
  if (seed.size() != key.seed_.size())
    return Error(ErrorCode::invalid_argument, "seed", fmt::format("{} bytes, 32 are needed", seed.size()),
                 "give the 32 bytes of the private key");
  std::ranges::copy(seed, key.seed_.begin());
  key.public_key_.name = std::move(name);
  const Key pkey(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  std::size_t length = key.public_key_.bytes.size();
  if (!pkey || EVP_PKEY_get_raw_public_key(pkey.get(), key.public_key_.bytes.data(), &length) != 1) return no_ed25519();
  return key;
}

Result<SigningKey> SigningKey::parse(std::string_view text) {
  if (!text.starts_with(private_prefix))
    return Error(ErrorCode::corrupt, "private key", "it does not begin with PRIVATE+KEY+", "name the private key");
  MCOMP_TRY(named, parse_named(text.substr(private_prefix.size()), "private key"));
  const std::span seed(reinterpret_cast<const std::uint8_t*>(named.bytes.data()), named.bytes.size());
  auto key = from_seed(named.name, seed);
  OPENSSL_cleanse(named.bytes.data(), named.bytes.size());
  if (key && key->public_key().id() != named.id)
    return Error(ErrorCode::corrupt, "private key", "its id is that of another key",
                 "copy the key whole, as it was printed");
  return key;
}

SigningKey::~SigningKey() {
  OPENSSL_cleanse(seed_.data(), seed_.size());
}

Result<Signature> SigningKey::sign(std::string_view message) const {
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed_.data(), seed_.size()));
  const DigestContext context(EVP_MD_CTX_new());
  Signature signature;
  std::size_t length = signature.size();
  if (!key || !context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &length, bytes_of(message), message.size()) != 1)
    return no_ed25519();
  return signature;
}

std::string SigningKey::private_text() const {
  return std::string(private_prefix) + to_text(public_key_.name, public_key_.id(), seed_);
}

Status verify_signature(const PublicKey& key, std::string_view message, const Signature& signature) {
  const Key pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.bytes.data(), key.bytes.size()));
  const DigestContext context(EVP_MD_CTX_new());
  if (!pkey || !context || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1)
    return no_ed25519();
  if (EVP_DigestVerify(context.get(), signature.data(), signature.size(), bytes_of(message), message.size()) != 1)
    return Error(ErrorCode::corrupt, "signature of " + key.name, "it is not that of this key over these bytes",
                 "do not trust the statement; ask the signer");
  return {};
}

std::string pre_authentication_encoding(std::string_view payload_type, std::string_view payload) {
  return fmt::format("DSSEv1 {} {} {} {}", payload_type.size(), payload_type, payload.size(), payload);
}

Result<Envelope> Envelope::parse(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  mcomp::detail::ObjectReader object(json, subject);
  Envelope envelope;
  envelope.payload_type = object.text("payloadType");
  if (const auto payload = detail::from_base64(object.text("payload")))
    envelope.payload = *payload;
  else
    object.fail("payload", "it is not canonical base64", "write it anew");
  const auto& list = object.array("signatures");
  if (list.size() > 64) object.fail("signatures", "there are more than 64", "keep those that matter");
  MCOMP_CHECK(object.finish());
  for (const auto& item : list) {
    mcomp::detail::ObjectReader reader(item, subject + ": signatures");
    Signed entry{.key_id = reader.text("keyid")};
    const auto bytes = detail::from_base64(reader.text("sig"));
    if (bytes && bytes->size() == entry.signature.size())
      std::memcpy(entry.signature.data(), bytes->data(), bytes->size());
    else
      reader.fail("sig", "it is not the canonical base64 of 64 bytes", "use Ed25519 signatures");
    MCOMP_CHECK(reader.finish());
    envelope.signatures.push_back(std::move(entry));
  }
  return envelope;
}

Result<std::string> to_json(const Envelope& envelope) {
  detail::Json json = {{"payloadType", envelope.payload_type}, {"payload", detail::to_base64(envelope.payload)}};
  json["signatures"] = detail::Json::array();
  for (const auto& entry : envelope.signatures)
    json["signatures"].push_back({{"keyid", entry.key_id}, {"sig", detail::to_base64(entry.signature)}});
  return detail::canonical_text(json);
}

Status sign(Envelope& envelope, const SigningKey& key) {
  MCOMP_TRY(signature, key.sign(pre_authentication_encoding(envelope.payload_type, envelope.payload)));
  envelope.signatures.push_back({key_id(key.public_key()), signature});
  return {};
}

Result<std::vector<PublicKey>> signers(const Envelope& envelope, std::span<const PublicKey> known) {
  const std::string message = pre_authentication_encoding(envelope.payload_type, envelope.payload);
  std::vector<PublicKey> found;
  for (const auto& entry : envelope.signatures)
    for (const PublicKey& key : known) {
      if (entry.key_id != key_id(key)) continue;
      MCOMP_CHECK(verify_signature(key, message, entry.signature));
      if (std::ranges::find(found, key) == found.end()) found.push_back(key);
    }
  return found;
}

} // namespace mcomp::inline v0::catalog
