// One step of many states: the difference to the previous map, its place in the ring, and the frame whose window this
// completes. Window sums are taken of the ring directly, 2k terms: they cannot drift, and NaN or infinity is forgotten
// when its slot is written again. A ring of halves rounds what it keeps; the products are of the numbers before that.
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
    MDHR_INLINE Place(const Step& step, int of, int l)
        : state(step.states[static_cast<size_t>(of)]), count(*state.count), slots(2 * step.shape.k),
          slot((count - 1 + slots) % slots), elements(step.shape.elements()), bytes(elements * size_of(step.ring)),
          squeezed(static_cast<int64_t>(step.shape.width) * step.shape.positions), scales(step.shape.scales), scale(l) {}
    MDHR_INLINE char* ring(int64_t of) const { return state.ring + (of * scales + scale) * bytes; }
    MDHR_INLINE float* products(int64_t of) const { return state.products + (of * scales + scale) * squeezed; }
    MDHR_INLINE float* previous() const { return state.previous + scale * elements; }

    const State& state;
    int64_t count, slots, slot, elements, bytes, squeezed;
    int scales, scale;
};

// relu(scale * (map - previous) + shift).
template <int W, class S>
MDHR_INLINE Float<W> difference(const char* map, const float* previous, int64_t there, Float<W> scale, Float<W> shift) {
    return relu<W>((load<W, S>(map, there) - load<W>(previous, there)) * scale + shift);
}

template <int W, class S>
MDHR_INLINE void keep(const char* map, float* previous, int64_t count) {
    for (int64_t e = 0; e < count; e += W) store<W>(previous + e, load<W, S>(map + e * S::kSize, count - e), count - e);
}

// NCHW: the differences of the channels from c0 on, into the block and the ring's slot.
template <int W, class S, class R>
MDHR_INLINE void differences_first(const Task& task, const char* map, float* previous, char* slot, int c0, int depth) {
    const Shape s = task.step->shape;
    const int64_t stride = padded(s.positions) + kLanes, start = static_cast<int64_t>(c0) * s.positions;
    const float* scales = task.step->parameters.scale + task.scale * s.channels;
    const float* shifts = task.step->parameters.shift + task.scale * s.channels;
    for (int c = c0; c < c0 + depth; ++c)
        for (int p = 0; p < s.positions; p += W) {
            // Lanes past the last position belong to the next channel, which is written after this one.
            const int64_t e = static_cast<int64_t>(c) * s.positions + p, there = s.elements() - e;
            const Float<W> value = difference<W, S>(map + e * S::kSize, previous + e, there, splat<W>(scales[c]),
                                                    splat<W>(shifts[c]));
            write(task.block + (c - c0) * stride + p, value);
            store<W, R>(slot + e * R::kSize, value, there);
        }
    keep<W, S>(map + start * S::kSize, previous + start, static_cast<int64_t>(depth) * s.positions);
}

// NHWC: the same.
template <int W, class S, class R>
MDHR_INLINE void differences_last(const Task& task, const char* map, float* previous, char* slot, int c0, int depth) {
    const Shape s = task.step->shape;
    const float* scales = task.step->parameters.scale + task.scale * s.channels;
    const float* shifts = task.step->parameters.shift + task.scale * s.channels;
    for (int p = 0; p < s.positions; ++p)
        for (int c = c0; c < c0 + depth; c += W) {
            const int64_t e = static_cast<int64_t>(p) * s.channels + c, there = s.channels - c;
            const Float<W> value = difference<W, S>(map + e * S::kSize, previous + e, there,
                                                    load<W>(scales + c, there), load<W>(shifts + c, there));
            write(task.block + p * kDepthLast + c - c0, value);
            store<W, R>(slot + e * R::kSize, value, there);
        }
    if (c0 + depth == s.channels) keep<W, S>(map, previous, s.elements());
}

// The new difference of one scale into its slot, and its products: out[o][p] (NCHW) or out[p][o].
template <int W>
MDHR_INLINE void advance_scale(const Task& task, const char* map, float* previous, char* slot) {
    const Shape s = task.step->shape;
    const int64_t stride = padded(s.positions) + kLanes, wide = padded(s.width);
    const int most = s.channels_last ? kDepthLast : kDepth;
    for (int c0 = 0; c0 < s.channels; c0 += most) {
        const int depth = std::min(most, s.channels - c0);
        with_storage(task.step->maps.dtype, [&](auto type) __attribute__((always_inline)) {
            with_storage(task.step->ring, [&](auto kept) __attribute__((always_inline)) {
                using S = decltype(type);
                using R = decltype(kept);
                if (s.channels_last) return differences_last<W, S, R>(task, map, previous, slot, c0, depth);
                differences_first<W, S, R>(task, map, previous, slot, c0, depth);
            });
        });
        const float* packed = task.packed + (task.scale * s.channels + c0) * wide;
        Ahead ahead;
        if (s.channels_last)
            for (int64_t o = 0; o < wide; o += kLanes)
                product<W, kDepthLast>(s.positions, task.block, 1, packed + o, wide, depth, task.out + o, wide, ahead);
        else
            for (int64_t n = 0; n < s.positions; n += kLanes)
                product<W, 1>(s.width, packed, wide, task.block + n, stride, depth, task.out + n, stride, ahead);
    }
}

template <int W>
MDHR_INLINE void advance_body(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const Place at(step, task.state, task.scale);
    const char* map = step.maps.data[task.scale];
    if (map) map += task.state * step.maps.batch_stride[task.scale];
    float *previous = at.previous(), *products = at.products(at.slot);
    const size_t slot_bytes = static_cast<size_t>(at.bytes);
    const size_t product_bytes = sizeof(float) * static_cast<size_t>(at.squeezed);
    if (at.count == 0 || !map) {
        const int64_t clear = at.count == 0 ? at.slots : 1;  // a new state's whole ring, or no change
        for (int64_t i = 0; i < clear; ++i) {
            std::memset(at.ring((at.slot + i) % at.slots), 0, slot_bytes);
            std::memset(at.products((at.slot + i) % at.slots), 0, product_bytes);
        }
        if (map)
            with_storage(step.maps.dtype, [&](auto type) __attribute__((always_inline)) {
                keep<W, decltype(type)>(map, previous, at.elements);
            });
        return;
    }
    std::memset(task.out, 0, sizeof(float) * static_cast<size_t>(out_floats(s)));
    advance_scale<W>(task, map, previous, at.ring(at.slot));
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
                sum += load<W>(at.products(i) + channel % s.width * s.positions + p, lanes);
            add_logits<W>(step.parameters, s, channel, sum, logits, W);
        }
        softmax<W>(logits, W, s.scales, lanes, 0.5f / static_cast<float>(s.k), out + p, stride);
    }
}

// Eq. 3 and 5 of one state's frame: the channels (NCHW) or positions (NHWC) from first to last.
template <int W, class R>
MDHR_INLINE void fuse_of(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const float* weights = task.weights + task.state * s.scales * weight_stride(s);
    const int64_t outer = s.channels_last ? s.channels : s.positions;  // elements of a channel or a position
    const int64_t count = *step.states[static_cast<size_t>(task.state)].count;
    for (int64_t i = task.first; i < task.last; ++i)
        for (int64_t e = i * outer; e < (i + 1) * outer; e += W) {
            const int64_t there = (i + 1) * outer - e;
            Float<W> total = {};
            for (int l = 0; l < s.scales; ++l) {
                const Place at(step, task.state, l);
                const char* from = at.ring(0) + e * R::kSize;
                Float<W> sum = {};
                for (int64_t slot = 0; slot < at.slots; ++slot)
                    sum += load<W, R>(from + slot * s.scales * at.bytes, there);
                const float* weight = weights + l * weight_stride(s);
                total += (s.channels_last ? splat<W>(weight[i]) : read<Float<W>>(weight + e - i * outer)) * sum;
            }
            if (count < s.k) total = splat<W>(NAN);  // no window is complete yet
            store<W>(step.fused + task.state * s.elements() + e, total, there);
        }
}

template <int W>
MDHR_INLINE void fuse_body(const Task& task) {
    with_storage(task.step->ring, [&](auto type) __attribute__((always_inline)) { fuse_of<W, decltype(type)>(task); });
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
        for (const State& state : step.states)
            if (step.maps.data[0] || *state.count > 0) ++*state.count;
    }
}

}  // namespace mdhr
