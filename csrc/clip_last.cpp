// Whole clips, channels last (NHWC): position by position, all of eq. 1 to 5. What a position reads, L x T x C elements,
// stays in the second-level cache between the products and the weighted sum.
#include <omp.h>

#include "clip.h"

namespace mdhr {
namespace {

constexpr int kDepth = 256;  // channels of a product's block

Squeezed layout(const Shape& s, const float* data) {
    const int64_t wide = padded(s.width);
    return {data, 1, 0, std::max(s.frames - 1, 1) * wide, 1, wide};
}

int64_t squeezed_floats(const Shape& s) { return s.scales * layout(s, nullptr).scale_stride; }

// NHWC, one position: out[l][j][o].
template <int W, class S>
MDHR_INLINE void products_of(const Task& task) {
    const Clip& clip = *task.clip;
    const Shape s = clip.shape;
    const int64_t wide = padded(s.width), start = static_cast<int64_t>(task.first) * s.channels * S::kSize;
    const Squeezed at = layout(s, task.squeezed);
    for (int l = 0; l < s.scales; ++l) {
        const float *scale = clip.parameters.scale + l * s.channels, *shift = clip.parameters.shift + l * s.channels;
        const int64_t step = clip.maps.frame_stride[l];
        for (int c0 = 0; c0 < s.channels; c0 += kDepth) {
            const int depth = std::min(kDepth, s.channels - c0);
            for (int j = 0; j < s.frames - 1; ++j) {
                const char* map = frame(clip, l, task.batch, j) + start;
                float* row = task.block + static_cast<int64_t>(j) * kDepth - c0;
                for (int c = c0; c < c0 + depth; c += W) {
                    const int64_t there = s.channels - c;
                    write(row + c, difference<W, S>(map + c * S::kSize, step, clip.maps.changes, there,
                                                    load<W>(scale + c, there), load<W>(shift + c, there)));
                }
            }
            const int64_t done = c0 + kDepth, bytes = depth * S::kSize;
            const char* next = done < s.channels ? frame(clip, l, task.batch, 0) + start + done * S::kSize
                               : l + 1 < s.scales ? frame(clip, l + 1, task.batch, 0) + start : nullptr;
            const int64_t stride = next ? clip.maps.frame_stride[done < s.channels ? l : l + 1] : 0;
            Ahead ahead(next, bytes, stride, s.frames);
            for (int64_t o = 0; o < wide; o += kLanes)
                product<W, kDepth>(s.frames - 1, task.block, 1, task.packed + (l * s.channels + c0) * wide + o, wide,
                           depth, task.squeezed + l * at.scale_stride + o, wide, ahead);
        }
    }
}

// NHWC: one position.
template <int W, class S>
MDHR_INLINE void fuse_of(const Task& task) {
    const Shape s = task.clip->shape;
    const float *scales = task.clip->parameters.scale, *shifts = task.clip->parameters.shift, *weights = task.weights;
    const int64_t stride = task.weight_stride;
    Window<W> window(task.scratch, s.frames, s.k);
    float* totals = task.scratch + Window<W>::floats(s.frames, s.k);
    const auto weight = [&](int l, int t, int) __attribute__((always_inline)) {
        return splat<W>(weights[(l * s.frames + t) * stride]);
    };
    Ahead ahead[kMaxScales + 1];
    for (int c = 0; c < s.channels; c += kWide<W>) {
        const int64_t there = s.channels - c;
        const auto affine = [&](int l, int u, Float<W>& scale, Float<W>& shift) __attribute__((always_inline)) {
            scale = load<W>(scales + l * s.channels + c + u * W, there - u * W);
            shift = load<W>(shifts + l * s.channels + c + u * W, there - u * W);
        };
        const int64_t e = static_cast<int64_t>(task.first) * s.channels + c;
        fuse_lanes<W, S>(task, window, totals, e, there, there, affine, weight, ahead);
    }
}

template <int W>
MDHR_INLINE void position_body(const Task& task) {
    with_storage(task.clip->maps.dtype, [&](auto type) __attribute__((always_inline)) {
        products_of<W, decltype(type)>(task);
    });
    weights_of<W>(task, layout(task.clip->shape, task.squeezed));
    with_storage(task.clip->maps.dtype, [&](auto type) __attribute__((always_inline)) {
        fuse_of<W, decltype(type)>(task);
    });
}

MDHR_VERSIONS(position, Task)

}  // namespace

void fuse_channels_last(const Clip& clip, int threads) {
    const Shape& s = clip.shape;
    Scratch packed(1, s.scales * s.channels * padded(s.width), Scratch::kAnything);
    Scratch squeezed(threads, squeezed_floats(s), Scratch::kAnything);
    Scratch weight_table(threads, s.scales * s.frames * kLanes, Scratch::kAnything);
    Scratch difference_blocks(threads, s.frames * static_cast<int64_t>(kDepth), Scratch::kAnything);
    Scratch scratch(threads, window_floats(s), Scratch::kZero);
#pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num();
        pack(s, clip.parameters.squeeze, packed.part(0));
#pragma omp for schedule(dynamic) collapse(2)
        for (int b = 0; b < s.batch; ++b)
            for (int p = 0; p < s.positions; ++p) {
                Task own = {&clip, b, 0, 0, p, p + 1, packed.part(0), squeezed.part(thread), weight_table.part(thread),
                            1, difference_blocks.part(thread), scratch.part(thread)};
                std::memset(own.squeezed, 0, sizeof(float) * static_cast<size_t>(squeezed_floats(s)));
                position(own);
            }
    }
}

}  // namespace mdhr
