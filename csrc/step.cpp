// One step of many states: the difference to the previous map, its place in the ring, and the frame whose window this
// completes. Window sums are taken of the ring directly, 2k terms: they cannot drift, and NaN or infinity is forgotten
// when its slot is written again.
#include <omp.h>

#include "dynamics.h"

namespace mdhr {
namespace {

constexpr int kDepth = 64;       // channels of a product's block, NCHW
constexpr int kDepthLast = 256;  // the same, NHWC

struct Task {
    const Step* step;
    const float* packed;  // (L, C, padded O)
    int state, scale;     // state: of this call
    int first, last;      // channels (NCHW) or positions (NHWC)
    float *block, *out;   // differences, and their products
    float* weights;       // (M, L, stride)
};

int64_t weight_stride(const Shape& s) { return padded(s.positions) + kLanes; }

int64_t out_floats(const Shape& s) {
    return s.channels_last ? s.positions * padded(s.width) : s.width * (padded(s.positions) + kLanes);
}

// The arrays of one state, for one slot of its ring and one scale.
struct Place {
    MDHR_INLINE Place(const Step& step, int state, int l)
        : row(step.rows[state]), count(step.counts[row]), slots(2 * step.shape.k),
          slot((count - 1 + slots) % slots), elements(step.shape.elements()),
          squeezed(static_cast<int64_t>(step.shape.width) * step.shape.positions), scales(step.shape.scales), scale(l) {}
    MDHR_INLINE int64_t ring(int64_t of) const { return ((row * slots + of) * scales + scale) * elements; }
    MDHR_INLINE int64_t products(int64_t of) const { return ((row * slots + of) * scales + scale) * squeezed; }
    MDHR_INLINE int64_t previous() const { return (row * scales + scale) * elements; }

    int64_t row, count, slots, slot, elements, squeezed;
    int scales, scale;
};

// relu(scale * (map - previous) + shift) of `count` elements from e on, into the ring's slot and to `to`.
template <int W, class S>
MDHR_INLINE Float<W> difference(const char* map, const float* previous, int64_t there, Float<W> scale, Float<W> shift) {
    return relu<W>((load<W, S>(map, there) - load<W>(previous, there)) * scale + shift);
}

template <int W, class S>
MDHR_INLINE void keep(const char* map, float* previous, int64_t count) {
    for (int64_t e = 0; e < count; e += W) store<W>(previous + e, load<W, S>(map + e * S::kSize, count - e), count - e);
}

// NCHW: the new difference of one scale, into its slot; out[o][p] its products.
template <int W, class S>
MDHR_INLINE void advance_first(const Task& task, const char* map, float* previous, float* slot) {
    const Shape s = task.step->shape;
    const int l = task.scale;
    const int64_t stride = padded(s.positions) + kLanes, wide = padded(s.width);
    const float *scales = task.step->parameters.scale + l * s.channels, *shifts = task.step->parameters.shift + l * s.channels;
    for (int c0 = 0; c0 < s.channels; c0 += kDepth) {
        const int depth = std::min(kDepth, s.channels - c0);
        for (int c = c0; c < c0 + depth; ++c)
            for (int p = 0; p < s.positions; p += W) {
                // Lanes past the last position belong to the next channel, which is written after this one.
                const int64_t e = static_cast<int64_t>(c) * s.positions + p, there = s.elements() - e;
                const Float<W> value = difference<W, S>(map + e * S::kSize, previous + e, there, splat<W>(scales[c]),
                                                        splat<W>(shifts[c]));
                write(task.block + (c - c0) * stride + p, value);
                store<W>(slot + e, value, there);
            }
        const int64_t start = static_cast<int64_t>(c0) * s.positions;
        keep<W, S>(map + start * S::kSize, previous + start, static_cast<int64_t>(depth) * s.positions);
        Ahead ahead;
        for (int64_t n = 0; n < s.positions; n += kLanes)
            product<W, 1>(s.width, task.packed + (l * s.channels + c0) * wide, wide, task.block + n, stride, depth,
                          task.out + n, stride, ahead);
    }
}

// NHWC: the same; out[p][o].
template <int W, class S>
MDHR_INLINE void advance_last(const Task& task, const char* map, float* previous, float* slot) {
    const Shape s = task.step->shape;
    const int l = task.scale;
    const int64_t wide = padded(s.width);
    const float *scales = task.step->parameters.scale + l * s.channels, *shifts = task.step->parameters.shift + l * s.channels;
    for (int c0 = 0; c0 < s.channels; c0 += kDepthLast) {
        const int depth = std::min(kDepthLast, s.channels - c0);
        for (int p = 0; p < s.positions; ++p)
            for (int c = c0; c < c0 + depth; c += W) {
                const int64_t e = static_cast<int64_t>(p) * s.channels + c, there = s.channels - c;
                const Float<W> value = difference<W, S>(map + e * S::kSize, previous + e, there,
                                                        load<W>(scales + c, there), load<W>(shifts + c, there));
                write(task.block + p * kDepthLast + c - c0, value);
                store<W>(slot + e, value, there);
            }
        Ahead ahead;
        for (int64_t o = 0; o < wide; o += kLanes)
            product<W, kDepthLast>(s.positions, task.block, 1, task.packed + (l * s.channels + c0) * wide + o, wide,
                                   depth, task.out + o, wide, ahead);
    }
    keep<W, S>(map, previous, s.elements());
}

template <int W>
MDHR_INLINE void advance_body(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const Place at(step, task.state, task.scale);
    const char* map = step.maps.data[task.scale];
    if (map) map += task.state * step.maps.batch_stride[task.scale];
    float *previous = step.previous + at.previous(), *slot = step.ring + at.ring(at.slot);
    float* products = step.products + at.products(at.slot);
    const size_t slot_bytes = sizeof(float) * static_cast<size_t>(at.elements);
    const size_t product_bytes = sizeof(float) * static_cast<size_t>(at.squeezed);
    if (at.count == 0 || !map) {
        const int64_t clear = at.count == 0 ? at.slots : 1;  // a new state's whole ring, or no change
        for (int64_t i = 0; i < clear; ++i) {
            std::memset(step.ring + at.ring((at.slot + i) % at.slots), 0, slot_bytes);
            std::memset(step.products + at.products((at.slot + i) % at.slots), 0, product_bytes);
        }
        if (map)
            with_storage(step.maps.dtype, [&](auto type) __attribute__((always_inline)) {
                keep<W, decltype(type)>(map, previous, at.elements);
            });
        return;
    }
    std::memset(task.out, 0, sizeof(float) * static_cast<size_t>(out_floats(s)));
    with_storage(step.maps.dtype, [&](auto type) __attribute__((always_inline)) {
        if (s.channels_last) return advance_last<W, decltype(type)>(task, map, previous, slot);
        advance_first<W, decltype(type)>(task, map, previous, slot);
    });
    const int64_t o_stride = s.channels_last ? 1 : padded(s.positions) + kLanes;
    const int64_t p_stride = s.channels_last ? padded(s.width) : 1;
    for (int o = 0; o < s.width; ++o)
        for (int p = 0; p < s.positions; ++p) products[o * s.positions + p] = task.out[o * o_stride + p * p_stride];
}

// Eq. 4 of one state's frame.
template <int W>
MDHR_INLINE void weights_body(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const int64_t stride = weight_stride(s);
    float* out = task.weights + task.state * s.scales * stride;
    for (int p = 0; p < s.positions; p += W) {
        const int lanes = std::min(W, s.positions - p);
        float logits[kMaxScales * W];
        for (int l = 0; l < s.scales; ++l) write(logits + l * W, splat<W>(step.parameters.weigh_bias[l]));
        for (int channel = 0; channel < s.scales * s.width; ++channel) {
            const Place at(step, task.state, channel / s.width);
            Float<W> sum = {};
            for (int64_t i = 0; i < at.slots; ++i)
                sum += load<W>(step.products + at.products(i) + channel % s.width * s.positions + p, lanes);
            add_logits<W>(step.parameters, s, channel, sum, logits, W);
        }
        softmax<W>(logits, W, s.scales, lanes, 0.5f / static_cast<float>(s.k), out + p, stride);
    }
}

// Eq. 3 and 5 of one state's frame: the channels (NCHW) or positions (NHWC) from first to last.
template <int W>
MDHR_INLINE void fuse_body(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const float* weights = task.weights + task.state * s.scales * weight_stride(s);
    const int outer = s.channels_last ? s.channels : s.positions;  // elements of a channel or a position
    for (int64_t i = task.first; i < task.last; ++i)
        for (int64_t e = i * outer; e < (i + 1) * outer; e += W) {
            const int64_t there = (i + 1) * outer - e;
            Float<W> total = {};
            for (int l = 0; l < s.scales; ++l) {
                const Place at(step, task.state, l);
                const float* from = step.ring + at.ring(0) + e;
                Float<W> sum = {};
                for (int64_t slot = 0; slot < at.slots; ++slot)
                    sum += load<W>(from + slot * s.scales * at.elements, there);
                const float* weight = weights + l * weight_stride(s);
                total += (s.channels_last ? splat<W>(weight[i]) : read<Float<W>>(weight + e - i * outer)) * sum;
            }
            if (step.counts[step.rows[task.state]] < s.k) total = splat<W>(NAN);  // no window is complete yet
            store<W>(step.fused + task.state * s.elements() + e, total, there);
        }
}

MDHR_VERSIONS(advance, Task)
MDHR_VERSIONS(weights, Task)
MDHR_VERSIONS(fuse, Task)

}  // namespace

void fuse_step(const Step& step, int threads) {
    const Shape& s = step.shape;
    const int rows = s.channels_last ? s.positions : s.channels, blocks = std::min(rows, std::max(4 * threads, 8));
    const int64_t block = s.channels_last ? s.positions * kDepthLast : kDepth * (padded(s.positions) + kLanes);
    Scratch packed(1, s.scales * s.channels * padded(s.width), Scratch::kAnything);
    Scratch differences(threads, block, Scratch::kAnything), out(threads, out_floats(s), Scratch::kAnything);
    Scratch table(1, s.batch * s.scales * weight_stride(s), Scratch::kAnything);
#pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num();
        Task own = {&step, packed.part(0), 0, 0, 0, 0, differences.part(thread), out.part(thread), table.part(0)};
        pack(s, step.parameters.squeeze, packed.part(0));
#pragma omp for schedule(dynamic)
        for (int i = 0; i < s.batch * s.scales; ++i) {
            own.state = i / s.scales, own.scale = i % s.scales;
            advance(own);
        }
#pragma omp for schedule(dynamic)
        for (int m = 0; m < s.batch; ++m) {
            own.state = m;
            weights(own);
        }
#pragma omp for schedule(dynamic)
        for (int i = 0; i < s.batch * blocks; ++i) {
            own.state = i / blocks;
            own.first = static_cast<int>(static_cast<int64_t>(rows) * (i % blocks) / blocks);
            own.last = static_cast<int>(static_cast<int64_t>(rows) * (i % blocks + 1) / blocks);
            fuse(own);
        }
#pragma omp single
        for (int m = 0; m < s.batch; ++m)
            if (step.maps.data[0] || step.counts[step.rows[m]] > 0) ++step.counts[step.rows[m]];
    }
}

}  // namespace mdhr
