#include "layers.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "gemm.hpp"

namespace example {

namespace {

/// Sum of `term(i)` in an order that lets the compiler use vectors of up to 16 floats and that no flag changes.
template <class Term> double lane_sum(std::int64_t size, const Term& term) {
  constexpr std::int64_t lanes = 16;
  std::array<float, lanes> partial{};
  float* p = partial.data();
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes)
    for (std::int64_t lane = 0; lane < lanes; ++lane) p[lane] += term(i + lane);
  double sum = 0;
  for (; i < size; ++i) sum += static_cast<double>(term(i));
  for (const float value : partial) sum += static_cast<double>(value);
  return sum;
}

/// Which output rows or columns have their tap `offset` (-1, 0, 1) inside an input of `size`.
struct Range {
  std::int64_t begin, end;
  Range(std::int64_t offset, std::int64_t stride, std::int64_t size, std::int64_t out)
      : begin(offset < 0 ? 1 : 0), end(std::min(out, (size - 1 - offset) / stride + 1)) {}
};

/// Calls `visit(row of columns, channel, ky, kx)` for every tap of every channel.
template <class Visit> void for_each_tap(std::int64_t channels, const Visit& visit) {
  std::int64_t row = 0;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t ky = -1; ky <= 1; ++ky)
      for (std::int64_t kx = -1; kx <= 1; ++kx) visit(row++, c, ky, kx);
}

/// Which elements of a plane have another one `shift` behind (or, where negative, in front of) them.
struct Overlap {
  std::int64_t begin, end;
};
Overlap overlap(std::int64_t area, std::int64_t shift) {
  const std::int64_t begin = std::clamp<std::int64_t>(-shift, 0, area);
  return {begin, std::max(begin, std::min(area, area - shift))};
}

/// Zeroes what a shift by (ky, kx) of a whole plane has carried across its border.
void clear_border(const Planes& planes, std::int64_t ky, std::int64_t kx, float* plane) {
  const std::int64_t h = planes.height, w = planes.width;
  if (ky != 0) std::fill_n(plane + (ky < 0 ? 0 : (h - 1) * w), w, 0.0F);
  if (kx != 0)
    for (std::int64_t y = 0; y < h; ++y) plane[y * w + (kx < 0 ? 0 : w - 1)] = 0.0F;
}

/// One image as a matrix: row (channel, ky, kx) holds for every output pixel the input pixel under that tap.
void image_to_columns(const Convolution& convolution, const float* image, float* columns) {
  const Planes in = convolution.input, out = convolution.output();
  const std::int64_t area = out.area(), stride = convolution.stride;
  for_each_tap(in.channels, [&](std::int64_t r, std::int64_t c, std::int64_t ky, std::int64_t kx) {
    const float* plane = image + c * in.area();
    float* row = columns + r * area;
    if (stride == 1) { // the plane shifted as a whole: one long copy in place of one for every row
      const std::int64_t shift = ky * in.width + kx;
      const auto [begin, end] = overlap(area, shift);
      std::copy(plane + begin + shift, plane + end + shift, row + begin);
      clear_border(in, ky, kx, row);
      return;
    }
    const Range ys(ky, stride, in.height, out.height), xs(kx, stride, in.width, out.width);
    std::fill_n(row, area, 0.0F);
    for (std::int64_t y = ys.begin; y < ys.end; ++y)
      for (std::int64_t x = xs.begin; x < xs.end; ++x)
        row[y * out.width + x] = plane[(y * stride + ky) * in.width + x * stride + kx];
  });
}

/// The transpose of `image_to_columns`: adds every entry to the pixel that it came from. Overwrites `columns`.
void add_columns_to_image(const Convolution& convolution, float* columns, float* image) {
  const Planes in = convolution.input, out = convolution.output();
  const std::int64_t area = out.area(), stride = convolution.stride;
  for_each_tap(in.channels, [&](std::int64_t r, std::int64_t c, std::int64_t ky, std::int64_t kx) {
    float* plane = image + c * in.area();
    float* row = columns + r * area;
    if (stride == 1) {
      clear_border(in, ky, kx, row);
      const std::int64_t shift = ky * in.width + kx;
      const auto [begin, end] = overlap(area, shift);
      for (std::int64_t i = begin; i < end; ++i) plane[i + shift] += row[i];
      return;
    }
    const Range ys(ky, stride, in.height, out.height), xs(kx, stride, in.width, out.width);
    for (std::int64_t y = ys.begin; y < ys.end; ++y)
      for (std::int64_t x = xs.begin; x < xs.end; ++x)
        plane[(y * stride + ky) * in.width + x * stride + kx] += row[y * out.width + x];
  });
}

} // namespace

void Convolution::forward(std::int64_t n, const float* x, const float* weight, float* y, float* columns) const {
  const Planes out = output();
  for (std::int64_t i = 0; i < n; ++i) {
    image_to_columns(*this, x + i * input.size(), columns);
    gemm(Transpose::no, Transpose::no, out_channels, out.area(), input.channels * 9, weight, columns, 0.0F,
         y + i * out.size());
  }
}

void Convolution::backward(std::int64_t n, const float* x, const float* weight, const float* dy, float* dweight,
                           float* dx, float* columns) const {
  const Planes out = output();
  const std::int64_t taps = input.channels * 9;
  if (dx) std::fill_n(dx, n * input.size(), 0.0F);
  for (std::int64_t i = 0; i < n; ++i) {
    const float* d = dy + i * out.size();
    image_to_columns(*this, x + i * input.size(), columns);
    gemm(Transpose::no, Transpose::yes, out_channels, taps, out.area(), d, columns, 1.0F, dweight);
    if (!dx) continue;
    gemm(Transpose::yes, Transpose::no, taps, out.area(), out_channels, weight, d, 0.0F, columns);
    add_columns_to_image(*this, columns, dx + i * input.size());
  }
}

void BatchNorm::forward(std::int64_t n, const float* x, const float* gamma, const float* beta, float* mean,
                        float* variance, float* y) const {
  const std::int64_t area = planes.area();
  const auto count = static_cast<double>(n * area);
  for (std::int64_t c = 0; c < planes.channels; ++c) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const float* p = x + (i * planes.channels + c) * area;
      sum += lane_sum(area, [p](std::int64_t j) { return p[j]; });
    }
    const auto m = static_cast<float>(sum / count);
    for (std::int64_t i = 0; i < n; ++i) {
      const float* p = x + (i * planes.channels + c) * area;
      squares += lane_sum(area, [p, m](std::int64_t j) { return (p[j] - m) * (p[j] - m); });
    }
    mean[c] = m;
    variance[c] = static_cast<float>(squares / count);
  }
  infer(n, x, gamma, beta, mean, variance, y);
}

void BatchNorm::infer(std::int64_t n, const float* x, const float* gamma, const float* beta, const float* mean,
                      const float* variance, float* y) const {
  const std::int64_t area = planes.area();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < planes.channels; ++c) {
      const float scale = gamma[c] / std::sqrt(variance[c] + epsilon), m = mean[c], b = beta[c];
      const float* in = x + (i * planes.channels + c) * area;
      float* out = y + (i * planes.channels + c) * area;
      for (std::int64_t j = 0; j < area; ++j) out[j] = (in[j] - m) * scale + b;
    }
}

void BatchNorm::backward(std::int64_t n, const float* x, const float* gamma, const float* mean, const float* variance,
                         const float* dy, float* dgamma, float* dbeta, float* dx) const {
  // With x^ = (x - mean) / deviation:  dbeta = sum dy,  dgamma = sum dy x^,
  // dx = gamma / deviation * (dy - dbeta / count - x^ * dgamma / count).
  const std::int64_t area = planes.area();
  const auto count = static_cast<double>(n * area);
  for (std::int64_t c = 0; c < planes.channels; ++c) {
    const float m = mean[c], inverse = 1.0F / std::sqrt(variance[c] + epsilon);
    double sum = 0, product = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const float* p = x + (i * planes.channels + c) * area;
      const float* d = dy + (i * planes.channels + c) * area;
      sum += lane_sum(area, [d](std::int64_t j) { return d[j]; });
      product += lane_sum(area, [p, d, m](std::int64_t j) { return d[j] * (p[j] - m); });
    }
    product *= static_cast<double>(inverse);
    dbeta[c] += static_cast<float>(sum);
    dgamma[c] += static_cast<float>(product);
    const float scale = gamma[c] * inverse, shift = static_cast<float>(sum / count),
                slope = inverse * static_cast<float>(product / count);
    for (std::int64_t i = 0; i < n; ++i) {
      const float* p = x + (i * planes.channels + c) * area;
      const float* d = dy + (i * planes.channels + c) * area;
      float* out = dx + (i * planes.channels + c) * area;
      for (std::int64_t j = 0; j < area; ++j) out[j] = scale * (d[j] - shift - (p[j] - m) * slope);
    }
  }
}

void relu_forward(std::int64_t size, float* x) {
  for (std::int64_t i = 0; i < size; ++i) x[i] = x[i] > 0.0F ? x[i] : 0.0F;
}

void relu_backward(std::int64_t size, const float* y, float* dy) {
  for (std::int64_t i = 0; i < size; ++i) dy[i] = y[i] > 0.0F ? dy[i] : 0.0F;
}

namespace {

/// Calls `visit(index into the input, index into the output)` for every pixel that the shortcut carries.
template <class Visit> void for_each_carried(const Shortcut& shortcut, std::int64_t n, const Visit& visit) {
  const Planes &in = shortcut.input, &out = shortcut.output;
  const std::int64_t front = (out.channels - in.channels) / 2;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < in.channels; ++c)
      for (std::int64_t y = 0; y < out.height; ++y) {
        const std::int64_t from = ((i * in.channels + c) * in.height + y * shortcut.stride) * in.width;
        const std::int64_t to = ((i * out.channels + front + c) * out.height + y) * out.width;
        for (std::int64_t x = 0; x < out.width; ++x) visit(from + x * shortcut.stride, to + x);
      }
}

} // namespace

void Shortcut::forward_add(std::int64_t n, const float* x, float* y) const {
  for_each_carried(*this, n, [x, y](std::int64_t from, std::int64_t to) { y[to] += x[from]; });
}

void Shortcut::backward_add(std::int64_t n, const float* dy, float* dx) const {
  for_each_carried(*this, n, [dy, dx](std::int64_t from, std::int64_t to) { dx[from] += dy[to]; });
}

void average_pool_forward(std::int64_t n, const Planes& planes, const float* x, float* y) {
  const std::int64_t area = planes.area();
  for (std::int64_t p = 0; p < n * planes.channels; ++p) {
    const float* plane = x + p * area;
    y[p] = static_cast<float>(lane_sum(area, [plane](std::int64_t j) { return plane[j]; }) / static_cast<double>(area));
  }
}

void average_pool_backward(std::int64_t n, const Planes& planes, const float* dy, float* dx) {
  const std::int64_t area = planes.area();
  for (std::int64_t p = 0; p < n * planes.channels; ++p)
    std::fill_n(dx + p * area, area, dy[p] / static_cast<float>(area));
}

void Linear::forward(std::int64_t n, const float* x, const float* weight, const float* bias, float* y) const {
  for (std::int64_t i = 0; i < n; ++i) std::copy_n(bias, out, y + i * out);
  gemm(Transpose::no, Transpose::yes, n, out, in, x, weight, 1.0F, y);
}

void Linear::backward(std::int64_t n, const float* x, const float* weight, const float* dy, float* dweight,
                      float* dbias, float* dx) const {
  gemm(Transpose::yes, Transpose::no, out, in, n, dy, x, 1.0F, dweight);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t o = 0; o < out; ++o) dbias[o] += dy[i * out + o];
  gemm(Transpose::no, Transpose::no, n, in, out, dy, weight, 0.0F, dx);
}

double cross_entropy(std::int64_t n, std::int64_t classes, const float* logits, const int* labels, float scale,
                     float* dlogits) {
  double loss = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const float* z = logits + i * classes;
    float* d = dlogits + i * classes;
    const float largest = *std::max_element(z, z + classes);
    const float wanted = z[labels[i]];
    double sum = 0;
    for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(static_cast<double>(z[k] - largest));
    loss += std::log(sum) - static_cast<double>(wanted - largest);
    for (std::int64_t k = 0; k < classes; ++k) {
      const double probability = std::exp(static_cast<double>(z[k] - largest)) / sum;
      d[k] = scale * static_cast<float>(probability - (k == labels[i] ? 1.0 : 0.0));
    }
  }
  return loss;
}

} // namespace example
