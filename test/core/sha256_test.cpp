#include "mcomp/core/sha256.hpp"

#include <string>
#include <vector>

#include "catch.hpp"
#include "mcomp/core/random.hpp"

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples") {
  CHECK(mcomp::sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(mcomp::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(mcomp::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(mcomp::sha256(
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmno"
            "pqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(mcomp::sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes arrive") {
  std::string text(1000, '\0');
  mcomp::Random random(1);
  for (char& c : text) c = static_cast<char>(random.below(256));
  for (std::size_t length = 0; length < 200; ++length) {
    const std::string whole = text.substr(0, length);
    mcomp::Sha256 hash;
    for (std::size_t i = 0; i < length;) {
      const std::size_t part = std::min<std::size_t>(1 + random.below(70), length - i);
      hash.update(std::string_view(whole).substr(i, part));
      i += part;
    }
    CHECK(mcomp::to_hex(hash.finish()) == mcomp::sha256(whole));
  }
}

TEST_CASE("the compression function of this processor equals the portable one") {
  std::vector<std::uint8_t> data(64 * 20);
  mcomp::Random random(2);
  for (auto& byte : data) byte = static_cast<std::uint8_t>(random.below(256));
  std::array<std::uint32_t, 8> fast{1, 2, 3, 4, 5, 6, 7, 8}, portable = fast;
  mcomp::detail::sha256_blocks(fast.data(), data.data(), 20);
  mcomp::detail::sha256_blocks_portable(portable.data(), data.data(), 20);
  CHECK(fast == portable);
}

TEST_CASE("fingerprints tell dtype, shape and values apart, and not how a tensor is laid out") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const auto a = mcomp::Tensor::from(values, {2, 3}).value();
  const auto b = mcomp::Tensor::from(values, {3, 2}).value();
  CHECK(mcomp::fingerprint(a) != mcomp::fingerprint(b));
  const std::vector<float> transposed{1, 4, 2, 5, 3, 6};
  const mcomp::TensorView strided(transposed.data(), mcomp::DType::f32, {2, 3}, {1, 2});
  CHECK(mcomp::fingerprint(strided) == mcomp::fingerprint(a));
  mcomp::TensorStore store;
  store.put("w", a);
  const std::string before = mcomp::fingerprint(store);
  store.put("v", b);
  CHECK(mcomp::fingerprint(store) != before);
}
