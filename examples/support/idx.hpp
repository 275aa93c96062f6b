#pragma once

#include <cstddef>
#include <filesystem>

#include "mcomp/core/tensor.hpp"

namespace example {

/// Reads a file of unsigned bytes in the IDX format of the MNIST family (http://yann.lecun.com/exdb/mnist), plain or
/// compressed with gzip, as a uint8 tensor of the file's shape.
/// Strict: type and rank must be those expected, and the file must end exactly behind the last element.
/// Errors: not_found, io_failure, corrupt (wrong magic number, truncated, trailing bytes, damaged gzip stream).
[[nodiscard]] mcomp::Result<mcomp::Tensor> read_idx(const std::filesystem::path& path, std::size_t rank);

} // namespace example
