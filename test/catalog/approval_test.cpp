#include "mcomp/catalog/approval.hpp"

#include <set>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::catalog;

namespace {

SigningKey key_of(const std::string& name, std::uint8_t fill) {
  return SigningKey::from_seed(name, std::vector<std::uint8_t>(32, fill)).value();
}

const SigningKey alice = key_of("alice", 1), bob = key_of("bob", 2), eve = key_of("eve", 3);
constexpr std::int64_t now = 1'800'000'000;
const std::string artifact = "sha256:5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
const std::vector<KeyRecord> keyring = {{.key = alice.public_key(), .roles = {"reviewer"}, .valid_until = {}},
                                        {.key = bob.public_key(), .roles = {"reviewer", "owner"}, .valid_until = {}}};
const Policy policy{.rules = {{.change = "promote", .roles = {"reviewer", "owner"}, .approvals = 2},
                              {.change = "retire", .roles = {"owner"}}}};
const ChangeRequest promote{.subject = artifact, .change = "promote", .author = "carol"};
const NonceUsed fresh = [](std::string_view) { return false; };

Approval approval(const std::string& role = "reviewer", const std::string& change = "promote") {
  return {.subject = artifact,
          .change = change,
          .role = role,
          .signer = {},
          .issued = now - 100,
          .expires = now + 100,
          .nonce = {},
          .comment = {}};
}
Result<Approval> checked(const Envelope& envelope, std::int64_t at = now) {
  return check_approval(policy.rules[0], promote, envelope, keyring, at, fresh);
}
ErrorCode code_of(const Result<Approval>& result) {
  REQUIRE(!result);
  CHECK(mcomp_test::well_formed(result.error()));
  return result.error().code();
}

} // namespace

TEST_CASE("two reviewers let an artifact go out, one does not") {
  const Envelope first = sign_approval(approval(), alice).value(),
                 second = sign_approval(approval("owner"), bob).value();
  const auto granted = authorize(policy, promote, std::vector{first, second}, keyring, now, fresh).value();
  REQUIRE(granted.size() == 2);
  CHECK(granted[0].signer == "alice");
  CHECK(granted[1].role == "owner");
  CHECK(granted[0].nonce != granted[1].nonce);
  CHECK(!authorize(policy, promote, {&first, 1}, keyring, now, fresh));
  // The same signer twice is one signer.
  const Envelope again = sign_approval(approval(), alice).value();
  const auto once = authorize(policy, promote, std::vector{first, again}, keyring, now, fresh);
  REQUIRE(!once);
  CHECK(once.error().rule() == "1 approvals of different signers count, 2 are needed");
  // No rule, no approval.
  CHECK(authorize(policy, {.subject = artifact, .change = "delete", .author = {}}, std::vector{first, second}, keyring,
                  now, fresh)
            .error()
            .subject() == "policy");
}

TEST_CASE("an approval round-trips as canonical JSON in its envelope") {
  Approval one = approval();
  one.nonce = "n1";
  one.comment = "p99 is fine";
  const Envelope envelope = sign_approval(one, alice).value();
  one.signer = "alice";
  CHECK(envelope.payload ==
        R"({"change":"promote","comment":"p99 is fine","expires":1800000100,"issued":1799999900,"nonce":"n1","role":)"
        R"("reviewer","schema":"mcomp-approval-1","signer":"alice","subject":")" +
            artifact + R"("})");
  CHECK(Approval::parse(envelope.payload).value() == one);
  CHECK(Envelope::parse(to_json(envelope).value()).value() == envelope);
  CHECK(checked(envelope).value() == one);
  CHECK(!Approval::parse(" " + envelope.payload)); // one text for one statement
  CHECK(!Approval::parse("{}"));
  CHECK(Approval::parse(R"({"schema":"mcomp-approval-2"})").error().code() == ErrorCode::version_mismatch);
}

TEST_CASE("forged approvals are refused") {
  // Signed by a key that nobody enrolled, under its own name and under that of another.
  CHECK(code_of(checked(sign_approval(approval(), eve).value())) == ErrorCode::corrupt);
  CHECK(code_of(checked(sign_approval(approval(), key_of("alice", 9)).value())) == ErrorCode::corrupt);
  // A signature that claims to be of an enrolled key.
  Envelope forged = sign_approval(approval(), eve).value();
  Approval claim = Approval::parse(forged.payload).value();
  claim.signer = "alice";
  forged.payload = to_json(claim).value();
  forged.signatures[0].key_id = key_id(alice.public_key());
  CHECK(code_of(checked(forged)) == ErrorCode::corrupt);
  // The statement of one, signed by another who may approve too.
  Envelope swapped{.payload_type = std::string(approval_type), .payload = forged.payload, .signatures = {}};
  REQUIRE(sign(swapped, bob));
  CHECK(code_of(checked(swapped)) == ErrorCode::corrupt);
  Envelope unsigned_one = sign_approval(approval(), alice).value();
  unsigned_one.signatures.clear();
  CHECK(code_of(checked(unsigned_one)) == ErrorCode::corrupt);
  // Every flipped bit of payload, type and signature.
  const Envelope good = sign_approval(approval(), alice).value();
  REQUIRE(checked(good));
  Random random(2);
  for (int round = 0; round < 3000; ++round) {
    Envelope broken = good;
    const auto bit = static_cast<char>(1U << random.below(8));
    switch (random.below(3)) {
    case 0:
      broken.payload[random.below(broken.payload.size())] ^= bit;
      break;
    case 1:
      broken.payload_type[random.below(broken.payload_type.size())] ^= bit;
      break;
    default:
      broken.signatures[0].signature[random.below(64)] ^= static_cast<std::uint8_t>(bit);
    }
    REQUIRE(!checked(broken));
  }
}

TEST_CASE("replayed approvals are refused") {
  const Envelope envelope = sign_approval(approval(), alice).value();
  std::set<std::string, std::less<>> spent;
  const NonceUsed used = [&](std::string_view nonce) { return spent.contains(nonce); };
  const auto first = check_approval(policy.rules[0], promote, envelope, keyring, now, used);
  REQUIRE(first);
  spent.insert(first->nonce);
  CHECK(code_of(check_approval(policy.rules[0], promote, envelope, keyring, now, used)) == ErrorCode::invalid_value);
  // For another artifact, or for another class of change.
  ChangeRequest other = promote;
  other.subject = "sha256:" + std::string(64, '0');
  CHECK(code_of(check_approval(policy.rules[0], other, envelope, keyring, now, fresh)) == ErrorCode::invalid_argument);
  const ChangeRequest retire{.subject = artifact, .change = "retire", .author = "carol"};
  CHECK(code_of(check_approval(policy.rules[1], retire, envelope, keyring, now, fresh)) == ErrorCode::invalid_argument);
  CHECK(code_of(check_approval(policy.rules[0], retire, envelope, keyring, now, fresh)) == ErrorCode::invalid_argument);
  // Where nobody knows what was used, nothing counts; the same nonce twice in one request counts once.
  CHECK(code_of(check_approval(policy.rules[0], promote, envelope, keyring, now, nullptr)) == ErrorCode::invalid_value);
  CHECK(!authorize(policy, promote, std::vector{envelope, envelope}, keyring, now, fresh));
}

TEST_CASE("expired approvals are refused, and so are those of the future") {
  const Envelope envelope = sign_approval(approval(), alice).value();
  CHECK(checked(envelope, now + 99));
  CHECK(code_of(checked(envelope, now + 100)) == ErrorCode::invalid_value);
  CHECK(checked(envelope, now - 160)); // clocks may be a minute apart
  CHECK(code_of(checked(envelope, now - 161)) == ErrorCode::invalid_value);
  CHECK(code_of(checked(envelope, -1)) == ErrorCode::invalid_argument);
  // However long it says that it holds, the policy says how long it counts.
  Approval lasting = approval();
  lasting.expires = now + 365 * 86400;
  const Envelope eternal = sign_approval(lasting, alice).value();
  CHECK(checked(eternal, now - 100 + 30 * 86400));
  CHECK(code_of(checked(eternal, now - 99 + 30 * 86400)) == ErrorCode::invalid_value);
  // A key that was revoked meanwhile, or was not yet valid.
  auto revoked = keyring;
  revoked[0].valid_until = now - 10;
  CHECK(code_of(check_approval(policy.rules[0], promote, envelope, revoked, now, fresh)) == ErrorCode::corrupt);
  revoked[0] = {.key = alice.public_key(), .roles = {"reviewer"}, .valid_from = now, .valid_until = {}};
  CHECK(code_of(check_approval(policy.rules[0], promote, envelope, revoked, now, fresh)) == ErrorCode::corrupt);
}

TEST_CASE("approvals in the wrong role, and of the author, are refused") {
  // A role that the signer does not have, and one that the policy does not name.
  CHECK(code_of(checked(sign_approval(approval("owner"), alice).value())) == ErrorCode::invalid_argument);
  CHECK(code_of(checked(sign_approval(approval("visitor"), alice).value())) == ErrorCode::invalid_argument);
  const ChangeRequest retire{.subject = artifact, .change = "retire", .author = "carol"};
  const Envelope reviewer = sign_approval(approval("reviewer", "retire"), bob).value();
  CHECK(code_of(check_approval(policy.rules[1], retire, reviewer, keyring, now, fresh)) == ErrorCode::invalid_argument);
  CHECK(check_approval(policy.rules[1], retire, sign_approval(approval("owner", "retire"), bob).value(), keyring, now,
                       fresh));
  ChangeRequest own = promote;
  own.author = "alice";
  const Envelope envelope = sign_approval(approval(), alice).value();
  CHECK(code_of(check_approval(policy.rules[0], own, envelope, keyring, now, fresh)) == ErrorCode::invalid_argument);
  ApprovalRule alone = policy.rules[0];
  alone.four_eyes = false;
  CHECK(check_approval(alone, own, envelope, keyring, now, fresh));
  // One key under two names would pass for two people.
  auto twins = keyring;
  KeyRecord twin = keyring[0];
  twin.key.name = "alicia";
  twins.push_back(twin);
  CHECK(code_of(check_approval(policy.rules[0], promote, envelope, twins, now, fresh)) == ErrorCode::corrupt);
}

TEST_CASE("an approval that says too little is not signed") {
  Approval one = approval();
  one.subject.clear();
  CHECK(sign_approval(one, alice).error().code() == ErrorCode::invalid_argument);
  one = approval();
  one.expires = one.issued;
  CHECK(sign_approval(one, alice).error().code() == ErrorCode::invalid_argument);
  one = approval();
  one.comment = "\xff";
  CHECK(sign_approval(one, alice).error().code() == ErrorCode::invalid_value);
}
