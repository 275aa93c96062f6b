#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "mcomp/core/result.hpp"

namespace mcomp_test {

/// The path of a file of the test data, or nothing where it is absent; then the reason is printed and counted, and the
/// test returns.
///
///     const auto path = mcomp_test::data("vision/resnet20_cifar10.safetensors");
///     if (!path) return;
[[nodiscard]] std::optional<std::filesystem::path> data(const std::string& name);

/// Records a skip for another reason of the machine.
void skip(const std::string& reason);

[[nodiscard]] int skipped();
/// True where a folder of test data is configured.
[[nodiscard]] bool data_expected();

/// A fresh folder that is removed at the end of the program.
[[nodiscard]] std::filesystem::path temporary_folder();

/// True where an error names its subject, a rule and a remedy: what every error in this library must do.
[[nodiscard]] bool well_formed(const mcomp::Error& error);

} // namespace mcomp_test
