#pragma once

// Single layers of a compressed model as another model has them: to find out which of them causes a loss
// (evaluate/attribution.hpp), and to repair it. The other model, the reference, is the same network in full or in
// higher precision after every step that keeps its function (folded batch normalization, rotation, equalization), so
// that its weights fit between the compressed ones.
//
//     auto layers = compress::compressed_layers(small);
//     auto repaired = compress::put_back(small, reference, {"layer3.0.conv1"}).value();

#include <string>
#include <vector>

#include "mcomp/compress/model.hpp"

namespace mcomp::inline v0::compress {

/// Layers that run in integers, and layers whose weight is stored in few bits, in the order of the network.
[[nodiscard]] MCOMP_API std::vector<std::string> compressed_layers(const Model& model);

/// `model` with these layers as the reference has them, in full precision or in its own compressed form. Inputs of
/// layers in full precision are no longer rounded unless an integer layer takes the same. Layers that share a weight
/// are put back together. The temperature stays. Errors, naming the layer: not_found for a layer that is not
/// compressed; invalid_argument where the reference is another network; those of `check`.
[[nodiscard]] MCOMP_API Result<Model> put_back(const Model& model, const Model& reference,
                                               const std::vector<std::string>& layers);

/// `reference` with only these layers compressed as in `model`: every other one is put back. Errors: as above.
[[nodiscard]] MCOMP_API Result<Model> with_only(const Model& model, const Model& reference,
                                                const std::vector<std::string>& layers);

} // namespace mcomp::inline v0::compress
