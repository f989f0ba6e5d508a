// Whole clips, channels first (NCHW).
//
// The 1x1 products and the window mean are both linear, so the products are taken of the T - 1 differences and the
// windows of their few channels. The weights need all channels and the weighted sum needs the weights, so the maps are
// read twice: the second time backwards, for what the last-level cache still holds.
#include <omp.h>

#include "clip.h"

namespace mdhr {
namespace {

constexpr int kDepth = 64;  // channels of a product's block
constexpr int kBlock = 8;   // channels that are asked for together
constexpr int kSlices = 4;  // parts of the channels that are multiplied apart: fixed, so that results do not depend on
                            // the number of threads

int slices(const Shape& s) { return s.channels >= kSlices * kDepth ? kSlices : 1; }

int64_t columns(const Shape& s) { return padded(static_cast<int64_t>(s.frames - 1) * s.positions) + 2 * kLanes; }

Squeezed layout(const Shape& s, const float* data) {
    const int64_t row = columns(s);
    return {data, slices(s), s.scales * s.width * row, s.width * row, row, s.positions};
}

int64_t squeezed_floats(const Shape& s) {
    const Squeezed at = layout(s, nullptr);
    return at.slices * at.slice_stride;
}

// NCHW, one slice of the channels of one scale: out[o][j * P + p] = sum over c of squeeze[o][c] r[j][c][p].
template <int W, class S>
MDHR_INLINE void products_of(const Task& task) {
    const Clip& clip = *task.clip;
    const Shape s = clip.shape;
    const int64_t total = s.elements(), stride = columns(s), step = clip.maps.frame_stride[task.scale];
    const int l = task.scale, parts = slices(s);
    const int begin = static_cast<int>(static_cast<int64_t>(s.channels) * task.slice / parts);
    const int end = static_cast<int>(static_cast<int64_t>(s.channels) * (task.slice + 1) / parts);
    const Squeezed at = layout(s, task.squeezed);
    const int64_t wide = padded(s.width);
    float* out = task.squeezed + task.slice * at.slice_stride + l * at.scale_stride;
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
                    write(row + p, difference<W, S>(map + e * S::kSize, step, clip.maps.changes, total - e,
                                                    splat<W>(scale), splat<W>(shift)));
                }
            }
        }
        const char* next = frame(clip, l, task.batch, 0) + static_cast<int64_t>(c0 + kDepth) * s.positions * S::kSize;
        Ahead ahead(c0 + kDepth < end ? next : nullptr, depth * s.positions * S::kSize, step, s.frames);
        for (int64_t n = 0; n < stride - 2 * kLanes; n += kLanes)
            product<W, 1>(s.width, task.packed + (l * s.channels + c0) * wide, wide, task.block + n, stride, depth,
                          out + n, stride, ahead);
    }
}

// NCHW: the channels [first, last).
template <int W, class S>
MDHR_INLINE void fuse_of(const Task& task) {
    const Shape s = task.clip->shape;
    const float *scales = task.clip->parameters.scale, *shifts = task.clip->parameters.shift, *weights = task.weights;
    const int64_t stride = task.weight_stride;
    Window<W> window(task.scratch, s.frames, s.k);
    float* totals = task.scratch + Window<W>::floats(s.frames, s.k);
    Ahead ahead[kMaxScales + 1];
    for (int c = task.first; c < task.last; ++c) {
        if ((c - task.first) % kBlock == 0 && c + kBlock < task.last) {
            const int64_t next = static_cast<int64_t>(c + kBlock) * s.positions * S::kSize;
            const int64_t bytes = kBlock * s.positions * S::kSize, size = s.elements() * S::kSize;
            for (int l = 0; l < s.scales; ++l)
                ahead[l] = Ahead(frame(*task.clip, l, task.batch, 0) + next, bytes, task.clip->maps.frame_stride[l],
                                 s.frames);
            ahead[s.scales] = Ahead(task.clip->fused + task.batch * s.frames * size + next, bytes, size, s.frames);
        }
        const auto affine = [&](int l, int, Float<W>& scale, Float<W>& shift) __attribute__((always_inline)) {
            scale = splat<W>(scales[l * s.channels + c]);
            shift = splat<W>(shifts[l * s.channels + c]);
        };
        for (int p = 0; p < s.positions; p += kWide<W>) {
            const int64_t e = static_cast<int64_t>(c) * s.positions + p;
            const int64_t own = static_cast<int64_t>(task.last) * s.positions - e;
            const auto weight = [&](int l, int t, int u) __attribute__((always_inline)) {
                return read<Float<W>>(weights + (l * s.frames + t) * stride + p + u * W);
            };
            fuse_lanes<W, S>(task, window, totals, e, s.elements() - e, own, affine, weight, ahead);
        }
    }
}

template <int W>
MDHR_INLINE void products_body(const Task& task) {
    with_storage(task.clip->maps.dtype, [&](auto type) __attribute__((always_inline)) {
        products_of<W, decltype(type)>(task);
    });
}

template <int W>
MDHR_INLINE void weights_body(const Task& task) {
    weights_of<W>(task, layout(task.clip->shape, task.squeezed));
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

void fuse_channels_first(const Clip& clip, int threads) {
    const Shape& s = clip.shape;
    const int parts = slices(s), blocks = (s.positions + 2 * kLanes - 1) / (2 * kLanes);
    const int groups = std::min(s.channels, std::max(4 * threads, s.channels / 128));
    const int64_t stride = padded(s.positions) + 2 * kLanes;
    Scratch difference_blocks(threads, kDepth * columns(s), Scratch::kAnything);
    Scratch scratch(threads, window_floats(s), Scratch::kZero), squeezed(1, squeezed_floats(s), Scratch::kZero);
    Scratch weight_table(1, s.scales * s.frames * stride, Scratch::kAnything);
    Scratch packed(1, s.scales * s.channels * padded(s.width), Scratch::kAnything);
    Task task = {&clip, 0, 0, 0, 0, 0, packed.part(0), squeezed.part(0), weight_table.part(0), stride, nullptr, nullptr};
    for (int b = 0; b < s.batch; ++b) {
        task.batch = b;
        if (b > 0) std::memset(squeezed.part(0), 0, sizeof(float) * static_cast<size_t>(squeezed_floats(s)));
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
                own.squeezed = task.squeezed + own.first, own.weights = task.weights + own.first;
                weights(own);
            }
            own.squeezed = task.squeezed, own.weights = task.weights;
#pragma omp for schedule(dynamic)
            for (int i = groups - 1; i >= 0; --i) {
                own.first = static_cast<int>(static_cast<int64_t>(s.channels) * i / groups);
                own.last = static_cast<int>(static_cast<int64_t>(s.channels) * (i + 1) / groups);
                fuse(own);
            }
        }
    }
}

size_t scratch_bytes() { return Scratch::spare_bytes(); }

void fuse_clip(const Clip& clip, int threads) {
    (clip.shape.channels_last ? fuse_channels_last : fuse_channels_first)(clip, threads);
}

}  // namespace mdhr
