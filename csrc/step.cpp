// One step of many states: the difference to the previous map, its place in the ring, and the frame whose window this
// completes. Window sums are taken of the ring directly, 2k terms: they cannot drift, and NaN or infinity is forgotten
// when its slot is written again. A ring of halves rounds what it keeps; the products are of the numbers before that.
#include <omp.h>

#include "dynamics.h"

namespace mdhr {
namespace {

constexpr int kDepth = 64;  // channels of a product's block

struct Task {
    const Step* step;
    const float* packed;  // (L, C, padded O)
    int state, scale;     // state: of this call
    int first, last;      // channels
    float *block, *out;   // differences, and their products
    float* weights;       // (M, L, stride)
};

int64_t row_stride(const Shape& s) { return padded(s.positions) + kLanes; }

// The arrays of one state, for one slot of its ring and one scale.
struct Place {
    MDHR_INLINE Place(const Step& step, int of, int l)
        : state(*step.states[of]), count(state.count), slots(2 * step.shape.k), slot((count - 1 + slots) % slots),
          size(elements(step.shape)), bytes(size * size_of(step.ring)),
          squeezed(static_cast<int64_t>(step.shape.squeezed) * step.shape.positions), scales(step.shape.scales), scale(l) {}
    MDHR_INLINE char* ring(int64_t of) const { return static_cast<char*>(state.ring) + (of * scales + scale) * bytes; }
    MDHR_INLINE float* products(int64_t of) const { return state.products + (of * scales + scale) * squeezed; }
    MDHR_INLINE float* previous() const { return state.previous + scale * size; }

    const State& state;
    int64_t count, slots, slot, size, bytes, squeezed;
    int scales, scale;
};

// relu(scale * (map - previous) + shift) of the channels from c0 on, into the block and the ring's slot.
template <int W, class R>
MDHR_INLINE void differences(const Task& task, const float* map, float* previous, char* slot, int c0, int depth) {
    const Shape s = task.step->shape;
    const float* scales = task.step->parameters.scale + task.scale * s.channels;
    const float* shifts = task.step->parameters.shift + task.scale * s.channels;
    for (int c = c0; c < c0 + depth; ++c)
        for (int p = 0; p < s.positions; p += W) {
            // Lanes past the last position belong to the next channel, which is written after this one.
            const int64_t e = static_cast<int64_t>(c) * s.positions + p, there = elements(s) - e;
            const Float<W> change = load<W>(map + e, there) - load<W>(previous + e, there);
            const Float<W> value = relu<W>(change * splat<W>(scales[c]) + splat<W>(shifts[c]));
            write(task.block + (c - c0) * row_stride(s) + p, value);
            store<W, R>(slot + e * R::kSize, value, there);
        }
    const int64_t start = static_cast<int64_t>(c0) * s.positions;
    std::memcpy(previous + start, map + start, sizeof(float) * static_cast<size_t>(depth) * s.positions);
}

// The new difference of one scale into its slot, and its products (O, stride).
template <int W>
MDHR_INLINE void advance_scale(const Task& task, const float* map, float* previous, char* slot) {
    const Shape s = task.step->shape;
    const int64_t stride = row_stride(s), wide = padded(s.squeezed);
    for (int c0 = 0; c0 < s.channels; c0 += kDepth) {
        const int depth = std::min(kDepth, s.channels - c0);
        with_storage(task.step->ring, [&](auto kept) __attribute__((always_inline)) {
            differences<W, decltype(kept)>(task, map, previous, slot, c0, depth);
        });
        Ahead ahead;
        for (int64_t n = 0; n < s.positions; n += kLanes)
            product<W>(s.squeezed, task.packed + (task.scale * s.channels + c0) * wide, wide, task.block + n, stride,
                       depth, task.out + n, stride, ahead);
    }
}

template <int W>
MDHR_INLINE void advance_body(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const Place at(step, task.state, task.scale);
    const char* data = static_cast<const char*>(step.maps.data[task.scale]);
    const auto map = reinterpret_cast<const float*>(data ? data + task.state * step.maps.batch_stride[task.scale] : data);
    const size_t slot_bytes = static_cast<size_t>(at.bytes);
    const size_t product_bytes = sizeof(float) * static_cast<size_t>(at.squeezed);
    if (at.count == 0 || !map) {
        const int64_t clear = at.count == 0 ? at.slots : 1;  // a new state's whole ring, or no change
        for (int64_t i = 0; i < clear; ++i) {
            std::memset(at.ring((at.slot + i) % at.slots), 0, slot_bytes);
            std::memset(at.products((at.slot + i) % at.slots), 0, product_bytes);
        }
        if (map) std::memcpy(at.previous(), map, sizeof(float) * static_cast<size_t>(at.size));
        return;
    }
    std::memset(task.out, 0, sizeof(float) * static_cast<size_t>(s.squeezed * row_stride(s)));
    advance_scale<W>(task, map, at.previous(), at.ring(at.slot));
    for (int o = 0; o < s.squeezed; ++o)
        std::memcpy(at.products(at.slot) + o * s.positions, task.out + o * row_stride(s), sizeof(float) * s.positions);
}

// Eq. 4 of one state's frame.
template <int W>
MDHR_INLINE void weights_body(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const int64_t stride = row_stride(s);
    float* out = task.weights + task.state * s.scales * stride;
    for (int p = 0; p < s.positions; p += W) {
        const int lanes = std::min(W, s.positions - p);
        float logits[kMaxScales * W];
        for (int l = 0; l < s.scales; ++l) write(logits + l * W, splat<W>(step.parameters.weigh_bias[l]));
        for (int channel = 0; channel < s.scales * s.squeezed; ++channel) {
            const Place at(step, task.state, channel / s.squeezed);
            Float<W> sum = {};
            for (int64_t i = 0; i < at.slots; ++i)
                sum += load<W>(at.products(i) + channel % s.squeezed * s.positions + p, lanes);
            add_logits<W>(step.parameters, s, channel, sum, logits, W);
        }
        softmax<W>(logits, W, s.scales, lanes, 0.5f / static_cast<float>(s.k), out + p, stride);
    }
}

// Eq. 3 and 5 of one state's frame: the channels from first to last.
template <int W, class R>
MDHR_INLINE void fuse_of(const Task& task) {
    const Step& step = *task.step;
    const Shape s = step.shape;
    const float* weights = task.weights + task.state * s.scales * row_stride(s);
    const int64_t count = step.states[task.state]->count;
    for (int64_t c = task.first; c < task.last; ++c)
        for (int p = 0; p < s.positions; p += W) {
            // Lanes past the last position are read and not written.
            const int64_t e = c * s.positions + p, there = elements(s) - e;
            Float<W> total = {};
            for (int l = 0; l < s.scales; ++l) {
                const Place at(step, task.state, l);
                const char* from = at.ring(0) + e * R::kSize;
                Float<W> sum = {};
                for (int64_t slot = 0; slot < at.slots; ++slot)
                    sum += load<W, R>(from + slot * s.scales * at.bytes, there);
                total += read<Float<W>>(weights + l * row_stride(s) + p) * sum;
            }
            if (count < s.k) total = splat<W>(NAN);  // no window is complete yet
            store<W>(step.fused + task.state * elements(s) + e, total, s.positions - p);
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
    const int blocks = std::min(s.channels, std::max(4 * threads, 8));
    Scratch packed(1, s.scales * s.channels * padded(s.squeezed), Scratch::kAnything);
    Scratch block(threads, kDepth * row_stride(s), Scratch::kAnything);
    Scratch out(threads, s.squeezed * row_stride(s), Scratch::kAnything);
    Scratch table(1, s.batch * s.scales * row_stride(s), Scratch::kAnything);
#pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num();
        Task own = {&step, packed.part(0), 0, 0, 0, 0, block.part(thread), out.part(thread), table.part(0)};
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
        for (int64_t i = 0; i < static_cast<int64_t>(s.batch) * blocks; ++i) {
            own.state = static_cast<int>(i / blocks);
            own.first = static_cast<int>(static_cast<int64_t>(s.channels) * (i % blocks) / blocks);
            own.last = static_cast<int>(static_cast<int64_t>(s.channels) * (i % blocks + 1) / blocks);
            fuse(own);
        }
#pragma omp single
        for (int m = 0; m < s.batch; ++m)
            if (step.maps.data[0] || step.states[m]->count > 0) ++step.states[m]->count;
    }
}

}  // namespace mdhr
