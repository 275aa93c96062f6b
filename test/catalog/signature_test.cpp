#include "mcomp/catalog/signature.hpp"

#include <algorithm>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/catalog/checkpoint.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

std::vector<std::uint8_t> from_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const auto byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

SigningKey key_of(const std::string& name, std::uint8_t fill) {
  return SigningKey::from_seed(name, std::vector<std::uint8_t>(32, fill)).value();
}

} // namespace

TEST_CASE("Ed25519 keys and signatures are those of RFC 8032, 7.1") {
  struct Vector {
    const char *seed, *key, *message, *signature;
  };
  const Vector vectors[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2"
       "46"
       "55141438e7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302ae"
       "eb"
       "00d291612bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28"
       "dc"
       "027beceea1ec40a"},
  };
  for (const auto& vector : vectors) {
    const auto key = SigningKey::from_seed("rfc8032", from_hex(vector.seed)).value();
    const auto bytes = from_hex(vector.message);
    const std::string message(bytes.begin(), bytes.end());
    CHECK(hex(key.public_key().bytes) == vector.key);
    const Signature signature = key.sign(message).value();
    CHECK(hex(signature) == vector.signature);
    CHECK(verify_signature(key.public_key(), message, signature));
    CHECK(!verify_signature(key.public_key(), message + "x", signature));
  }
}

TEST_CASE("the published signed note of Go's sumdb opens, and its key makes the same bytes") {
  // golang.org/x/mod/sumdb/note, documentation and note_test.go.
  const auto key = PublicKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").value();
  const std::string text = "If you think cryptography is the answer to your problem,\n"
                           "then you don't know what your problem is.\n";
  const std::string published =
      text + "\n\xe2\x80\x94 PeterNeumann "
             "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  const Note note = Note::parse(published).value();
  CHECK(note.text == text);
  CHECK(to_text(note) == published);
  CHECK(signers(note, {&key, 1}).value() == std::vector{key});
  const auto secret =
      SigningKey::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").value();
  CHECK(secret.public_key() == key);
  Note mine{.text = text, .signatures = {}};
  REQUIRE(sign(mine, secret));
  CHECK(to_text(mine) == published);
  Note changed = note;
  changed.text[3] = 'Y';
  CHECK(signers(changed, {&key, 1}).error().code() == ErrorCode::corrupt);
}

TEST_CASE("keys come back from their text, and broken ones do not") {
  const auto key = key_of("models.example.com/audit", 7);
  CHECK(PublicKey::parse(to_string(key.public_key())).value() == key.public_key());
  CHECK(SigningKey::parse(key.private_text()).value().public_key() == key.public_key());
  const auto one = SigningKey::generate("a").value(), two = SigningKey::generate("a").value();
  CHECK(one.public_key() != two.public_key());
  std::string text = to_string(key.public_key());
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string broken = text;
    broken[i] = broken[i] == 'a' ? 'b' : 'a';
    const auto read = PublicKey::parse(broken);
    REQUIRE(!read); // name, id and bytes are bound by the id
    CHECK(mcomp_test::well_formed(read.error()));
  }
  for (const char* bad : {"", "a", "a+b", "a+00000000+", "+00000000+AAAA", "PRIVATE+KEY+a"}) {
    CHECK(!PublicKey::parse(bad));
    CHECK(!SigningKey::parse(bad));
  }
  for (const char* name : {"", "a b", "a+b", "a\n", "\xe3\x80\x80x", "a\xe2\x80\x83", "\xff"})
    CHECK(SigningKey::generate(name).error().code() == ErrorCode::invalid_argument);
  CHECK(SigningKey::generate("Z\xc3\xbcrich\xe2\x80\x94x"));
}

TEST_CASE("an envelope signs type and payload as DSSE says") {
  // secure-systems-lab/dsse, protocol.md.
  CHECK(pre_authentication_encoding("http://example.com/HelloWorld", "hello world") ==
        "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  const auto key = key_of("ci", 1), other = key_of("other", 2);
  Envelope envelope{.payload_type = "t", .payload = std::string("a\0b", 3), .signatures = {}};
  REQUIRE(sign(envelope, key));
  REQUIRE(sign(envelope, other));
  const std::string text = to_json(envelope).value();
  const Envelope read = Envelope::parse(text).value();
  CHECK(read == envelope);
  CHECK(signers(read, {&key.public_key(), 1}).value() == std::vector{key.public_key()});
  CHECK(signers(read, std::vector{key_of("third", 3).public_key()}).value().empty());
  // The same bytes as another type are another statement.
  Envelope moved = read;
  moved.payload_type = "t2";
  CHECK(signers(moved, {&key.public_key(), 1}).error().code() == ErrorCode::corrupt);
  // A flipped bit of the text is refused, or is in what names the key and then nobody known has signed.
  Random random(11);
  for (int round = 0; round < 2000; ++round) {
    std::string broken = text;
    broken[random.below(broken.size())] ^= static_cast<char>(1U << random.below(8));
    const auto parsed = Envelope::parse(broken);
    if (!parsed) continue;
    const auto found = signers(*parsed, std::vector{key.public_key(), other.public_key()});
    CHECK((!found || found->size() < 2));
  }
}

TEST_CASE("a checkpoint of a log is signed, opened and bound to its log") {
  const auto key = key_of("models.example.com/audit", 7), witness = key_of("witness.example.org", 8);
  MerkleTree log;
  for (int i = 0; i < 10; ++i) log.append(leaf_hash(fmt::format("event {}", i)));
  const Checkpoint checkpoint{.origin = "models.example.com/audit",
                              .size = 10,
                              .root = log.root(10).value(),
                              .extensions = {"time 1790000000"}};
  const std::string note = sign_checkpoint(checkpoint, std::vector{key, witness}).value();
  const std::vector trusted{key.public_key(), witness.public_key()};
  CHECK(open_checkpoint(note, trusted, checkpoint.origin, 2).value() == checkpoint);
  CHECK(open_checkpoint(note, {&witness.public_key(), 1}, checkpoint.origin).value() == checkpoint);
  CHECK(open_checkpoint(note, {&witness.public_key(), 1}, checkpoint.origin, 2).error().code() == ErrorCode::corrupt);
  CHECK(open_checkpoint(note, trusted, "other.example.com/audit").error().code() == ErrorCode::corrupt);
  CHECK(open_checkpoint(note, {}, checkpoint.origin).error().code() == ErrorCode::corrupt);
  CHECK(open_checkpoint(note, trusted, checkpoint.origin, 0).error().code() == ErrorCode::invalid_argument);
  // The same signer twice is one signer.
  CHECK(!open_checkpoint(sign_checkpoint(checkpoint, std::vector{key, key}).value(), trusted, checkpoint.origin, 2));
  // A key of the same name that is not the log's.
  const auto impostor = key_of("models.example.com/audit", 9);
  CHECK(
      !open_checkpoint(sign_checkpoint(checkpoint, {&impostor, 1}).value(), {&key.public_key(), 1}, checkpoint.origin));
  // Every flipped bit of the text that was signed is found, and so is one in the only signature.
  const std::string single = sign_checkpoint(checkpoint, {&key, 1}).value();
  for (std::size_t i = 0; i < single.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string broken = single;
      broken[i] ^= static_cast<char>(1 << bit);
      CHECK(!open_checkpoint(broken, {&key.public_key(), 1}, checkpoint.origin));
    }
}

TEST_CASE("texts that are no checkpoint or note are refused") {
  const std::string root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  CHECK(Checkpoint::parse("log\n0\n" + root + "\n").value() == Checkpoint{.origin = "log", .extensions = {}});
  for (const std::string& bad :
       std::vector<std::string>{std::string(), std::string("log\n"), "log\n\n" + root + "\n", "log\n01\n" + root + "\n",
                                "log\n-1\n" + root + "\n", "log\n18446744073709551616\n" + root + "\n",
                                "\n1\n" + root + "\n", "log\n1\nAAAA\n", "log\n1\n" + root,
                                "log\n1\n" + root + "\n\nx\n", "log\n1 \n" + root + "\n", "log\r\n1\n" + root + "\n"}) {
    INFO(bad);
    const auto read = Checkpoint::parse(bad);
    REQUIRE(!read);
    CHECK(mcomp_test::well_formed(read.error()));
  }
  const std::string line = "\xe2\x80\x94 a AAAAAAAA\n";
  CHECK(Note::parse("t\n\n" + line).value().signatures.size() == 1);
  CHECK(Note::parse("t\n\nmore\n\n" + line).value().text == "t\n\nmore\n");
  std::string many = "t\n\n";
  for (int i = 0; i < 101; ++i) many += line;
  for (const std::string& bad : std::vector<std::string>{
           std::string(), std::string("t\n"), std::string("t\n\n"), "t\n" + line,
           "t\n\n" + line.substr(0, line.size() - 1), std::string("t\n\n- a AAAAAAAA\n"),
           std::string("t\n\n\xe2\x80\x94 a AAAA\n"), std::string("t\n\n\xe2\x80\x94 a+b AAAAAAAA\n"),
           std::string("t\n\n\xe2\x80\x94 AAAAAAAA\n"), "t\t\n\n" + line, "\xff\n\n" + line, many,
           std::string(1 << 20, 'x') + "\n\n" + line}) {
    const auto read = Note::parse(bad);
    REQUIRE(!read);
    CHECK(mcomp_test::well_formed(read.error()));
  }
  const auto key = key_of("k", 1);
  CHECK(sign_checkpoint({.origin = "", .extensions = {}}, {&key, 1}).error().code() == ErrorCode::invalid_argument);
  CHECK(sign_checkpoint({.origin = "a\nb", .extensions = {}}, {&key, 1}).error().code() == ErrorCode::invalid_argument);
  CHECK(sign_checkpoint({.origin = "a", .extensions = {""}}, {&key, 1}).error().code() == ErrorCode::invalid_argument);
  CHECK(sign_checkpoint({.origin = "a", .extensions = {}}, {}).error().code() == ErrorCode::invalid_argument);
}
