#pragma once

#include "mcomp/cost/device_profile.hpp"

namespace example {

/// mcomp's kernels as the layers of a device profile.
[[nodiscard]] mcomp::cost::LayerMaker kernel_layers(int threads);
/// This machine with those kernels.
[[nodiscard]] mcomp::cost::DeviceIdentity this_device(int threads);

} // namespace example
