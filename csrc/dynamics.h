// What clips and single steps share: the squeezing product, sliding sums, and the adaptive weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "simd.h"

namespace mdhr {

constexpr int kLanes = 16;  // columns of a product; rows of scratch memory are padded to whole numbers of them

inline int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Memory for `parts` threads or tasks, aligned to cache lines.
class Scratch {
  public:
    enum Content { kAnything, kZero };

    Scratch(int64_t parts, int64_t floats, Content content) : stride_(padded(floats) + 2 * kLanes) {
        const size_t bytes = sizeof(float) * static_cast<size_t>(stride_ * parts + kLanes);
        data_.reset(static_cast<float*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
        if (!data_) throw std::bad_alloc();
        if (content == kZero) std::memset(data_.get(), 0, bytes);
    }
    float* part(int64_t index) const { return data_.get() + index * stride_; }

  private:
    struct Free {
        void operator()(float* memory) const { std::free(memory); }
    };

    int64_t stride_;
    std::unique_ptr<float, Free> data_;
};

// squeeze (L, O, C) -> (L, C, padded O), by all threads of the region it is called in.
inline void pack(const Shape& s, const float* squeeze, float* packed) {
    const int64_t wide = padded(s.squeezed), blocks = (s.channels + kLanes - 1) / kLanes;
#pragma omp for schedule(static) collapse(2)
    for (int l = 0; l < s.scales; ++l)
        for (int64_t block = 0; block < blocks; ++block)
            for (int64_t o = 0; o < wide; ++o)
                for (int64_t c = block * kLanes; c < std::min<int64_t>(s.channels, (block + 1) * kLanes); ++c)
                    packed[(l * s.channels + c) * wide + o] =
                        o < s.squeezed ? squeeze[(l * s.squeezed + o) * s.channels + c] : 0.0f;
}

// Memory that a later step will read, asked for line by line while the processor multiplies.
class Ahead {
  public:
    Ahead() : Ahead(nullptr, 0, 0, 0) {}
    Ahead(const char* at, int64_t bytes, int64_t stride, int rows)
        : at_(at), stride_(stride), lines_(static_cast<int>(bytes / 64) + 1), rows_(at ? rows : 0) {}

    template <int kWrite = 0>
    MDHR_INLINE void ask() {
        if (rows_ <= 0) return;
        __builtin_prefetch(at_ + line_ * 64, kWrite, 2);
        if (++line_ == lines_) line_ = 0, at_ += stride_, --rows_;
    }

  private:
    const char* at_;
    int64_t stride_;
    int lines_, rows_, line_ = 0;
};

// out (R, 16) += left (R, depth) x right (depth, 16), with all sums in registers. Rows of `left` are side by side, its
// columns `left_stride` apart.
template <int W, int R>
MDHR_INLINE void product_block(const float* left, int64_t left_stride, const float* right, int64_t right_stride,
                               int depth, float* out, int64_t out_stride, Ahead& ahead) {
    constexpr int kParts = kLanes / W;
    Float<W> sums[R][kParts];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int u = 0; u < kParts; ++u) sums[r][u] = read<Float<W>>(out + r * out_stride + u * W);
    for (int d = 0; d < depth; ++d) {
        ahead.ask();
        Float<W> column[kParts];
#pragma GCC unroll 4
        for (int u = 0; u < kParts; ++u) column[u] = read<Float<W>>(right + d * right_stride + u * W);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int u = 0; u < kParts; ++u) sums[r][u] += left[r] * column[u];
        left += left_stride;
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int u = 0; u < kParts; ++u) write(out + r * out_stride + u * W, sums[r][u]);
}

template <int W, int R>
MDHR_INLINE void product_rows(int rows, const float* left, int64_t left_stride, const float* right,
                              int64_t right_stride, int depth, float* out, int64_t out_stride, Ahead& ahead) {
    if (rows == R)
        return product_block<W, R>(left, left_stride, right, right_stride, depth, out, out_stride, ahead);
    if constexpr (R > 1)
        product_rows<W, R - 1>(rows, left, left_stride, right, right_stride, depth, out, out_stride, ahead);
}

// Rows whose sums fit the registers, W floats each.
template <int W>
constexpr int kRows = W == 16 ? 8 : W == 8 ? 6 :
#if defined(__aarch64__)
                                           6;
#else
                                           3;
#endif

// out (rows, 16) += left (rows, depth) x right (depth, 16).
template <int W>
MDHR_INLINE void product(int rows, const float* left, int64_t left_stride, const float* right, int64_t right_stride,
                         int depth, float* out, int64_t out_stride, Ahead& ahead) {
    const int blocks = (rows + kRows<W> - 1) / kRows<W>;
    for (int block = 0; block < blocks; ++block) {
        const int64_t first = static_cast<int64_t>(rows) * block / blocks;
        const int count = static_cast<int>(static_cast<int64_t>(rows) * (block + 1) / blocks - first);
        product_rows<W, kRows<W>>(count, left + first, left_stride, right, right_stride, depth,
                                  out + first * out_stride, out_stride, ahead);
    }
}

// Elements that a window is taken of together: two vectors, so that one's latency hides behind the other.
template <int W>
constexpr int kWide = 2 * W;

// The window of eq. 3. Rows are cut into blocks of 2k; every window is the tail of one block and the head of the next,
// so three additions a frame give all sums, whatever k. Nothing is ever subtracted: sums do not drift however long the
// clip, and NaN or infinity leaves with its row.
template <int W>
class Window {
  public:
    static int64_t floats(int frames, int k) {
        return (frames + 6 * static_cast<int64_t>(reach(frames, k)) + 1) * kWide<W>;
    }

    // Windows longer than the clip all see the same: k is cut to it. `memory` is zero.
    Window(float* memory, int frames, int k)
        : frames_(frames), k_(reach(frames, k)), tails_(memory), rows_(memory + 2 * k_ * kWide<W>) {}

    // The row of difference j, kWide floats.
    MDHR_INLINE float* row(int j) { return rows_ + static_cast<int64_t>(k_ + j) * kWide<W>; }

    // emit(t, u, sum of vector u of rows t - k ... t + k - 1) for every frame t.
    template <class Emit>
    MDHR_INLINE void sums(Emit emit) const {
        const int width = 2 * k_;
        for (int start = 0; start < frames_; start += width) {
            const float* block = rows_ + static_cast<int64_t>(start) * kWide<W>;
            Float<W> tail[2] = {}, head[2] = {};
            for (int s = width - 1; s >= 0; --s)
#pragma GCC unroll 2
                for (int u = 0; u < 2; ++u) {
                    const int64_t at = static_cast<int64_t>(s) * kWide<W> + u * W;
                    write(tails_ + at, tail[u] += read<Float<W>>(block + at));
                }
            const int count = std::min(width, frames_ - start);
            const float* next = block + static_cast<int64_t>(width) * kWide<W>;
            for (int s = 0; s < count; ++s)
#pragma GCC unroll 2
                for (int u = 0; u < 2; ++u) {
                    const int64_t at = static_cast<int64_t>(s) * kWide<W> + u * W;
                    emit(start + s, u, read<Float<W>>(tails_ + at) + head[u]);
                    head[u] += read<Float<W>>(next + at);
                }
        }
    }

  private:
    static int reach(int frames, int k) { return std::min(k, std::max(frames - 1, 1)); }

    int frames_, k_;
    float *tails_, *rows_;
};

// Softmax over the scales of logits (L, W lanes), times `factor`, to out[l * stride].
template <int W>
MDHR_INLINE void softmax(const float* logits, int64_t logit_stride, int scales, int lanes, float factor, float* out,
                         int64_t out_stride) {
    for (int i = 0; i < lanes; ++i) {
        float most = logits[i], total = 0, parts[kMaxScales];
        for (int l = 1; l < scales; ++l) most = std::max(most, logits[l * logit_stride + i]);
        for (int l = 0; l < scales; ++l) total += parts[l] = std::exp(logits[l * logit_stride + i] - most);
        for (int l = 0; l < scales; ++l) out[l * out_stride + i] = parts[l] * factor / total;
    }
}

// relu(sum / 2k + bias) of one squeezed channel, into the logits (L x `stride`) of one frame.
template <int W>
MDHR_INLINE void add_logits(const Parameters& p, const Shape& s, int channel, Float<W> sum, float* logits,
                            int64_t stride) {
    const Float<W> value = relu<W>(sum * (0.5f / static_cast<float>(s.k)) + p.squeeze_bias[channel]);
    for (int l = 0; l < s.scales; ++l) {
        float* at = logits + l * stride;
        write(at, read<Float<W>>(at) + p.weigh[l * s.scales * s.squeezed + channel] * value);
    }
}

}  // namespace mdhr
