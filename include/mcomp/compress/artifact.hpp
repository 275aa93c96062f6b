#pragma once

#include <filesystem>

#include "mcomp/compress/plan.hpp"

namespace mcomp::inline v0::compress {

/// A compressed model as it is kept: `model.safetensors` and `manifest.json` in one folder.
///
/// The safetensors file holds the tensors of layers in f32 under their own names; a layer in integers has its codes
/// under the weight's name (int8; narrower codes without gaps as uint8) and its scales under that name + ".scale"
/// (f32). A tensor that is quantized weight-only has its codes or blocks under its name, and its scales (f32, f16 or
/// bf16), zero points and table, those that its form has and no constant is, under that name + ".scale", ".zero_point"
/// and ".codebook". The manifest holds the network, quantization, temperature or calibrator, recipe, plan, fingerprints of
/// the baseline model and of the calibration rows, the library's version, and the SHA-256 of the safetensors file, which
/// reading verifies. Its schema is "mcomp-artifact-3" with a calibrator, "mcomp-artifact-2" with tensors that are
/// quantized weight-only, and "mcomp-artifact-1", as ever, with neither.
struct Artifact {
  Model model;
  Recipe recipe;
  Plan plan;
  std::string library_version; ///< that wrote it
};

/// Writes both files, the manifest last, each whole or not at all; equal artifacts give equal bytes.
/// Errors: not_found or io_failure for the folder, and those of the parts.
[[nodiscard]] MCOMP_API Status write_artifact(const std::filesystem::path& folder, const Model& model,
                                              const Recipe& recipe, const Plan& plan);

/// Errors: not_found, io_failure, corrupt (a manifest that breaks its schema, weights that are not those it names),
/// version_mismatch for another schema.
[[nodiscard]] MCOMP_API Result<Artifact> read_artifact(const std::filesystem::path& folder);

} // namespace mcomp::inline v0::compress
