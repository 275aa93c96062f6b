#include "idx.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "mcomp/core/format.hpp"

#include <zlib.h>

namespace example {

using mcomp::Error;
using mcomp::ErrorCode;

namespace {

constexpr std::int64_t byte_limit = std::int64_t{1} << 30; // far above any file of the family, far below the memory
constexpr std::uint8_t type_uint8 = 0x08;

struct Close {
  void operator()(gzFile file) const noexcept { gzclose(file); }
};
using File = std::unique_ptr<gzFile_s, Close>;

Error corrupt(const std::filesystem::path& path, std::string rule) {
  return Error(ErrorCode::corrupt, path.string(), std::move(rule), "fetch the file again from its publisher");
}

/// How many bytes were read: fewer than asked for only at the end of the file.
mcomp::Result<std::size_t> read(gzFile file, std::span<std::uint8_t> bytes, const std::filesystem::path& path) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto part = static_cast<unsigned>(std::min<std::size_t>(bytes.size() - done, std::size_t{1} << 24));
    const int got = gzread(file, bytes.data() + done, part);
    if (got < 0) {
      int code = Z_OK;
      const std::string message = gzerror(file, &code);
      if (code == Z_ERRNO)
        return Error(ErrorCode::io_failure, path.string(), "the system refused to read: " + message, "check the disk");
      return corrupt(path, "the gzip stream is damaged: " + message);
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  // zlib hands out what a truncated stream holds and only then says that the end is missing.
  int code = Z_OK;
  gzerror(file, &code);
  if (code == Z_BUF_ERROR) return corrupt(path, "the gzip stream ends before its trailer");
  return done;
}

} // namespace

mcomp::Result<mcomp::Tensor> read_idx(const std::filesystem::path& path, std::size_t rank) {
  std::error_code status;
  if (!std::filesystem::is_regular_file(path, status))
    return Error(ErrorCode::not_found, path.string(), "no such file", "pass the folder that holds the data set");
  errno = 0;
  const File file(gzopen(path.c_str(), "rb"));
  if (!file)
    return Error(ErrorCode::io_failure, path.string(),
                 "cannot be opened: " + std::error_code(errno, std::generic_category()).message(),
                 "check the permissions");

  std::array<std::uint8_t, 4> magic{};
  auto got = read(file.get(), magic, path);
  if (!got) return got.error();
  if (*got != magic.size() || magic[0] != 0 || magic[1] != 0)
    return corrupt(path, "an IDX file begins with two zero bytes, a type and a rank");
  if (magic[2] != type_uint8)
    return corrupt(path, fmt::format("elements have type 0x{:02x}, expected unsigned bytes (0x08)", magic[2]));
  if (magic[3] != rank) return corrupt(path, fmt::format("the tensor has rank {}, expected {}", magic[3], rank));

  mcomp::Shape shape;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::array<std::uint8_t, 4> size{};
    got = read(file.get(), size, path);
    if (!got) return got.error();
    if (*got != size.size()) return corrupt(path, "the file ends inside its header");
    shape.push_back((std::int64_t{size[0]} << 24) | (size[1] << 16) | (size[2] << 8) | size[3]);
  }
  const auto bytes = mcomp::byte_size(mcomp::DType::uint8, shape, path.string());
  if (!bytes || *bytes > byte_limit)
    return corrupt(
        path, fmt::format("the header claims shape {}, above the limit of {} bytes", to_string(shape), byte_limit));

  auto tensor = mcomp::Tensor::uninitialized(mcomp::DType::uint8, shape);
  if (!tensor) return tensor.error();
  got = read(file.get(), tensor->mutable_values<std::uint8_t>(), path);
  if (!got) return got.error();
  if (static_cast<std::int64_t>(*got) != *bytes)
    return corrupt(path, fmt::format("the header claims {} elements, the file holds {}", *bytes, *got));
  std::array<std::uint8_t, 1> beyond{};
  got = read(file.get(), beyond, path); // also makes zlib verify the checksum
  if (!got) return got.error();
  if (*got != 0) return corrupt(path, fmt::format("bytes follow behind the {} elements of the header", *bytes));
  return std::move(tensor).value();
}

} // namespace example
