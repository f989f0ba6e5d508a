// Whole clips.
//
// The 1x1 products and the window mean are both linear, so the products are taken of the T - 1 differences and the
// windows of their few channels. The weights need all channels and the weighted sum needs the weights, so the maps are
// read twice: the second time backwards, for what the last-level cache still holds.
#include <omp.h>

#include "dynamics.h"

namespace mdhr {
namespace {

constexpr int kDepth = 64;  // channels of a product's block
constexpr int kBlock = 8;   // channels that are asked for together
constexpr int kSlices = 4;  // parts of the channels that are multiplied apart: fixed, so that results do not depend on
                            // the number of threads

struct Task {
    const Clip* clip;
    int batch;
    int scale, slice;       // of products
    int first, last;        // positions (weights) or channels (fuse)
    const float* packed;    // (L, C, padded O): squeeze, transposed
    float* squeezed;        // (slices, L, O, columns): the products, difference by difference
    float* weights;         // (L, T, stride), with the window's 1 / 2k in them
    int64_t weight_stride;
    float* block;           // differences on their way into a product
    float* scratch;         // a Window, then its results; zero
};

MDHR_INLINE const char* frame(const Clip& clip, int l, int b, int t) {
    return static_cast<const char*>(clip.maps.data[l]) + b * clip.maps.batch_stride[l] + t * clip.maps.frame_stride[l];
}

// Floats of a task's `scratch`.
int64_t window_floats(const Shape& s) {
    return Window<kLanes>::floats(s.frames, s.k) + static_cast<int64_t>(s.frames) * (s.scales + 1) * kWide<kLanes>;
}

int slices(const Shape& s) { return s.channels >= kSlices * kDepth ? kSlices : 1; }

int64_t columns(const Shape& s) { return padded(static_cast<int64_t>(s.frames - 1) * s.positions) + 2 * kLanes; }

// Floats of one slice's products.
int64_t slice_floats(const Shape& s) { return s.scales * s.squeezed * columns(s); }

// One slice of the channels of one scale: out[o][j * P + p] = sum over c of squeeze[o][c] r[j][c][p].
template <int W, class S>
MDHR_INLINE void products_of(const Task& task) {
    const Clip& clip = *task.clip;
    const Shape s = clip.shape;
    const int64_t total = elements(s), stride = columns(s), step = clip.maps.frame_stride[task.scale];
    const int l = task.scale, parts = slices(s);
    const int begin = static_cast<int>(static_cast<int64_t>(s.channels) * task.slice / parts);
    const int end = static_cast<int>(static_cast<int64_t>(s.channels) * (task.slice + 1) / parts);
    const int64_t wide = padded(s.squeezed);
    float* out = task.squeezed + task.slice * slice_floats(s) + l * s.squeezed * stride;
    for (int c0 = begin; c0 < end; c0 += kDepth) {
        const int depth = std::min(kDepth, end - c0);
        for (int j = 0; j < s.frames - 1; ++j) {
            const char* map = frame(clip, l, task.batch, j);
            for (int c = 0; c < depth; ++c) {
                const float scale = clip.parameters.scale[l * s.channels + c0 + c];
                const float shift = clip.parameters.shift[l * s.channels + c0 + c];
                float* row = task.block + c * stride + static_cast<int64_t>(j) * s.positions;
                // Lanes past the last position belong to the next channel; the next row is written over them.
                for (int p = 0; p < s.positions; p += W) {
                    const int64_t e = static_cast<int64_t>(c0 + c) * s.positions + p;
                    const Float<W> after = load<W, S>(map + step + e * S::kSize, total - e);
                    const Float<W> change = clip.maps.changes ? after : after - load<W, S>(map + e * S::kSize, total - e);
                    write(row + p, relu<W>(change * splat<W>(scale) + splat<W>(shift)));
                }
            }
        }
        const char* next = frame(clip, l, task.batch, 0) + static_cast<int64_t>(c0 + kDepth) * s.positions * S::kSize;
        Ahead ahead(c0 + kDepth < end ? next : nullptr, depth * s.positions * S::kSize, step, s.frames);
        for (int64_t n = 0; n < stride - 2 * kLanes; n += kLanes)
            product<W>(s.squeezed, task.packed + (l * s.channels + c0) * wide, wide, task.block + n, stride, depth,
                       out + n, stride, ahead);
    }
}

// Eq. 4 for the positions [first, last): windows of the squeezed channels, logits, softmax.
template <int W>
MDHR_INLINE void weights_body(const Task& task) {
    const Parameters parameters = task.clip->parameters;
    const Shape s = task.clip->shape;
    const int64_t row = columns(s), parts = slices(s), slice = slice_floats(s);
    Window<W> window(task.scratch, s.frames, s.k);
    float* logits = task.scratch + Window<W>::floats(s.frames, s.k);  // (T, L, kWide)
    const int64_t frame_logits = s.scales * kWide<W>;
    for (int p = task.first; p < task.last; p += kWide<W>) {
        for (int64_t i = 0; i < s.frames * frame_logits; i += W)
            write(logits + i, splat<W>(parameters.weigh_bias[i % frame_logits / kWide<W>]));
        for (int channel = 0; channel < s.scales * s.squeezed; ++channel) {
            for (int j = 0; j < s.frames - 1; ++j)
                for (int u = 0; u < kWide<W>; u += W) {
                    const float* from = task.squeezed + channel * row + static_cast<int64_t>(j) * s.positions + p + u;
                    Float<W> sum = read<Float<W>>(from);
                    for (int64_t part = 1; part < parts; ++part) sum += read<Float<W>>(from + part * slice);
                    write(window.row(j) + u, sum);
                }
            window.sums([&](int t, int u, Float<W> sum) __attribute__((always_inline)) {
                add_logits<W>(parameters, s, channel, sum, logits + t * frame_logits + u * W, kWide<W>);
            });
        }
        for (int t = 0; t < s.frames; ++t)
            softmax<W>(logits + t * frame_logits, kWide<W>, s.scales, std::min(kWide<W>, task.last - p),
                       0.5f / static_cast<float>(s.k), task.weights + t * task.weight_stride + p,
                       s.frames * task.weight_stride);
    }
}

// Eq. 3 and 5 for kWide elements from position p of channel c on.
template <int W, class S>
MDHR_INLINE void fuse_lanes(const Task& task, Window<W>& window, float* totals, int c, int p, Ahead* ahead) {
    const Clip& clip = *task.clip;
    const Shape s = clip.shape;
    const int64_t e = static_cast<int64_t>(c) * s.positions + p, there = elements(s) - e;
    const int64_t own = static_cast<int64_t>(task.last) * s.positions - e;  // elements that are this task's to write
    for (int l = 0; l < s.scales; ++l) {
        const char* map = frame(clip, l, task.batch, 0) + e * S::kSize;
        const Float<W> scale = splat<W>(clip.parameters.scale[l * s.channels + c]);
        const Float<W> shift = splat<W>(clip.parameters.shift[l * s.channels + c]);
        Float<W> before[2] = {};
        for (int u = 0; u < 2 && !clip.maps.changes; ++u) before[u] = load<W, S>(map + u * W * S::kSize, there - u * W);
        for (int j = 0; j < s.frames - 1; ++j) {
            map += clip.maps.frame_stride[l];
            ahead[l].ask();
            ahead[l].ask();
#pragma GCC unroll 2
            for (int u = 0; u < 2; ++u) {
                const Float<W> after = load<W, S>(map + u * W * S::kSize, there - u * W);
                write(window.row(j) + u * W, relu<W>((after - before[u]) * scale + shift));
                if (!clip.maps.changes) before[u] = after;
            }
        }
        const float* weights = task.weights + l * s.frames * task.weight_stride + p;
        window.sums([&](int t, int u, Float<W> sum) __attribute__((always_inline)) {
            float* total = totals + t * kWide<W> + u * W;
            const Float<W> part = read<Float<W>>(weights + t * task.weight_stride + u * W) * sum;
            write(total, l == 0 ? part : read<Float<W>>(total) + part);
        });
    }
    const int64_t size = elements(s) * S::kSize;
    char* fused = clip.fused + task.batch * s.frames * size + e * S::kSize;
    for (int t = 0; t < s.frames; ++t, fused += size) {
        ahead[s.scales].template ask<1>();
        ahead[s.scales].template ask<1>();
        for (int u = 0; u < 2; ++u)
            store<W, S>(fused + u * W * S::kSize, read<Float<W>>(totals + t * kWide<W> + u * W), own - u * W);
    }
}

// Eq. 3 and 5 for the channels [first, last).
template <int W, class S>
MDHR_INLINE void fuse_of(const Task& task) {
    const Clip& clip = *task.clip;
    const Shape s = clip.shape;
    const int64_t size = elements(s) * S::kSize;
    Window<W> window(task.scratch, s.frames, s.k);
    float* totals = task.scratch + Window<W>::floats(s.frames, s.k);
    Ahead ahead[kMaxScales + 1];
    for (int c = task.first; c < task.last; ++c) {
        if ((c - task.first) % kBlock == 0 && c + kBlock < task.last) {
            const int64_t next = static_cast<int64_t>(c + kBlock) * s.positions * S::kSize;
            const int64_t bytes = kBlock * s.positions * S::kSize;
            for (int l = 0; l < s.scales; ++l)
                ahead[l] = Ahead(frame(clip, l, task.batch, 0) + next, bytes, clip.maps.frame_stride[l], s.frames);
            ahead[s.scales] = Ahead(clip.fused + task.batch * s.frames * size + next, bytes, size, s.frames);
        }
        for (int p = 0; p < s.positions; p += kWide<W>) fuse_lanes<W, S>(task, window, totals, c, p, ahead);
    }
}

template <int W>
MDHR_INLINE void products_body(const Task& task) {
    with_storage(task.clip->maps.dtype, [&](auto type) __attribute__((always_inline)) {
        products_of<W, decltype(type)>(task);
    });
}

template <int W>
MDHR_INLINE void fuse_body(const Task& task) {
    with_storage(task.clip->maps.dtype, [&](auto type) __attribute__((always_inline)) {
        fuse_of<W, decltype(type)>(task);
    });
}

MDHR_VERSIONS(products, Task)
MDHR_VERSIONS(weights, Task)
MDHR_VERSIONS(fuse, Task)

}  // namespace

void fuse_clip(const Clip& clip, int threads) {
    const Shape& s = clip.shape;
    const int parts = slices(s), blocks = (s.positions + 2 * kLanes - 1) / (2 * kLanes);
    const int groups = std::min(s.channels, std::max(4 * threads, s.channels / 128));
    const int64_t stride = padded(s.positions) + 2 * kLanes;
    Scratch difference_blocks(threads, kDepth * columns(s), Scratch::kAnything);
    Scratch scratch(threads, window_floats(s), Scratch::kZero), squeezed(1, slices(s) * slice_floats(s), Scratch::kZero);
    Scratch weight_table(1, s.scales * s.frames * stride, Scratch::kAnything);
    Scratch packed(1, s.scales * s.channels * padded(s.squeezed), Scratch::kAnything);
    Task task = {&clip, 0, 0, 0, 0, 0, packed.part(0), squeezed.part(0), weight_table.part(0), stride, nullptr, nullptr};
    for (int b = 0; b < s.batch; ++b) {
        task.batch = b;
        if (b > 0) std::memset(squeezed.part(0), 0, sizeof(float) * static_cast<size_t>(slices(s) * slice_floats(s)));
#pragma omp parallel num_threads(threads)
        {
            Task own = task;
            const int thread = omp_get_thread_num();
            if (b == 0) pack(s, clip.parameters.squeeze, packed.part(0));
            own.block = difference_blocks.part(thread), own.scratch = scratch.part(thread);
#pragma omp for schedule(dynamic)
            for (int i = 0; i < s.scales * parts; ++i) {
                own.scale = i % s.scales, own.slice = i / s.scales;
                products(own);
            }
#pragma omp for schedule(static)
            for (int i = 0; i < blocks; ++i) {
                own.first = i * 2 * kLanes, own.last = std::min(s.positions, own.first + 2 * kLanes);
                weights(own);
            }
#pragma omp for schedule(dynamic)
            for (int i = groups - 1; i >= 0; --i) {
                own.first = static_cast<int>(static_cast<int64_t>(s.channels) * i / groups);
                own.last = static_cast<int>(static_cast<int64_t>(s.channels) * (i + 1) / groups);
                fuse(own);
            }
        }
    }
}

}  // namespace mdhr
