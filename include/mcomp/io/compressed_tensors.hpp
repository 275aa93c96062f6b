#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mcomp/core/tensor_store.hpp"
#include "mcomp/quant/microscaling.hpp"
#include "mcomp/quant/quantize.hpp"
#include "mcomp/quant/scaled_float.hpp"

// compressed-tensors: how vLLM and Hugging Face Transformers store quantized layers in safetensors files, with a
// `quantization_config` in config.json that says what they mean (vllm-project/compressed-tensors).
//
//     auto file = mcomp::io::to_compressed_tensors(layers, {.ignore = {"lm_head"}}).value();
//     for (const auto& name : other_names) file.tensors.put(name, ...);       // norms, embeddings
//     mcomp::io::write_safetensors("model.safetensors", file.tensors).value();
//     // file.quantization_config goes into config.json under that name
//
// | layer                                    | format               | tensors beside NAME.weight_scale                |
// | integers of 2 .. 7 bits; 8 where `packed` | pack-quantized       | weight_packed weight_shape [weight_zero_point]
// [weight_g_idx] | | int8                                     | int-quantized        | weight [weight_zero_point] | |
// e4m3 under f32 scales                    | float-quantized      | weight                                          |
// | nvfp4                                    | nvfp4-pack-quantized | weight_packed weight_global_scale               |
// | mxfp4                                    | mxfp4-pack-quantized | weight_packed                                   |

namespace mcomp::inline v0::io {

struct CompressedLayer {
  std::string name; ///< of the layer: "model.layers.0.self_attn.q_proj"
  std::variant<quant::QuantizedTensor, quant::MicroscaledTensor, quant::ScaledFloatTensor> weight;
  /// The group of every column where groups are not runs of columns (activation order); empty otherwise.
  std::vector<std::int32_t> group_index{};
};

/// The f32 matrix [out, in] of a layer. Errors: those of `quant::dequantize`; invalid_shape, invalid_value for a group
/// index that does not fit.
[[nodiscard]] MCOMP_API Result<Tensor> dequantize(const CompressedLayer& layer);

struct CompressedTensorsOptions {
  /// Element type of the scales of integer and float layers: f32, f16 or bf16; none: of integer layers what their
  /// scheme says, of float layers f32. Scales that it cannot hold exactly are an error, since rounding them here would
  /// change the weights.
  std::optional<DType> scale_dtype{};
  bool packed_int8 = false; ///< store int8 layers as pack-quantized too
  /// Also quantize the input of the layers when they run, one scale a token: int8 with integer layers, e4m3 with float
  /// ones.
  bool dynamic_activations = false;
  std::vector<std::string> ignore{}; ///< linear layers that are not quantized
};

struct CompressedTensorsFile {
  TensorStore tensors;
  std::string quantization_config; ///< a JSON object
};

/// Errors: invalid_argument (no layers, a name that stands twice or is empty, activations that the format lacks);
/// invalid_shape (a weight that is no matrix, an odd number of columns in a four-bit float format, a group index of
/// another length); unsupported for a scheme that the format cannot express (E5M2 elements, groups that do not divide
/// the columns of an affine weight); invalid_value for scales that `scale_dtype` cannot hold.
[[nodiscard]] MCOMP_API Result<CompressedTensorsFile>
to_compressed_tensors(std::span<const CompressedLayer> layers, const CompressedTensorsOptions& options = {});

/// Reads the layers of a checkpoint, in the order of their names. Integers of 1 to 8 bits; words filled densely and, as
/// older releases did, only with whole elements (told apart by the number of words; where that does not tell, dense).
/// Layers whose targets no group of the configuration names are an error, tensors that belong to no quantized layer are
/// left alone. Unknown keys at the top of the configuration are ignored, inside a scheme they are an error.
/// Errors: corrupt (JSON, shapes or types that contradict each other, codes beyond their range), unsupported (formats
/// and strategies that are not in the table above, transforms, sparsity), not_found for a missing tensor.
[[nodiscard]] MCOMP_API Result<std::vector<CompressedLayer>>
from_compressed_tensors(const TensorStore& tensors, std::string_view quantization_config, const std::string& subject);

} // namespace mcomp::inline v0::io
