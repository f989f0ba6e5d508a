// What both layouts of a clip share: tasks, the adaptive weights, and the weighted sum of W-wide strips.
#pragma once

#include "dynamics.h"

namespace mdhr {

struct Task {
    const Clip* clip;
    int batch;
    int scale, slice;         // products, NCHW
    int first, last;          // positions (weights, NCHW; fuse, NHWC) or channels (fuse, NCHW)
    const float* packed;      // (L, C, padded O): squeeze, transposed
    float* squeezed;          // see Squeezed
    float* weights;           // (L, T, stride), with the window's 1 / 2k in them
    int64_t weight_stride;
    float* block;             // differences on their way into a product
    float* scratch;           // a Window, then its results; zero
};

MDHR_INLINE const char* frame(const Clip& clip, int l, int b, int t) {
    return clip.maps.data[l] + b * clip.maps.batch_stride[l] + t * clip.maps.frame_stride[l];
}

// relu(scale * (after - before) + shift) for W elements, where `before` is at `map` and `after` a step further; or, of
// `changes`, their difference is.
template <int W, class S>
MDHR_INLINE Float<W> difference(const char* map, int64_t step, bool changes, int64_t there, Float<W> scale,
                                Float<W> shift) {
    const Float<W> after = load<W, S>(map + step, there);
    return relu<W>((changes ? after : after - load<W, S>(map, there)) * scale + shift);
}

// Floats of a task's `scratch`.
inline int64_t window_floats(const Shape& s) {
    return Window<kLanes>::floats(s.frames, s.k) + static_cast<int64_t>(s.frames) * (s.scales + 1) * kWide<kLanes>;
}

// Eq. 4 for the positions [first, last): windows of the squeezed channels, logits, softmax.
template <int W>
MDHR_INLINE void weights_of(const Task& task, const Squeezed& at) {
    const Parameters parameters = task.clip->parameters;
    const Shape s = task.clip->shape;
    Window<W> window(task.scratch, s.frames, s.k);
    float* logits = task.scratch + Window<W>::floats(s.frames, s.k);  // (T, L, kWide)
    const int64_t frame_logits = s.scales * kWide<W>;
    for (int p = task.first; p < task.last; p += kWide<W>) {
        for (int64_t i = 0; i < s.frames * frame_logits; i += W)
            write(logits + i, splat<W>(parameters.weigh_bias[i % frame_logits / kWide<W>]));
        for (int channel = 0; channel < s.scales * s.width; ++channel) {
            const float* from = at.data + channel / s.width * at.scale_stride + channel % s.width * at.channel_stride +
                                p - task.first;
            for (int j = 0; j < s.frames - 1; ++j)
                for (int u = 0; u < kWide<W>; u += W) {
                    Float<W> sum = read<Float<W>>(from + j * at.step_stride + u);
                    for (int slice = 1; slice < at.slices; ++slice)
                        sum += read<Float<W>>(from + slice * at.slice_stride + j * at.step_stride + u);
                    write(window.row(j) + u, sum);
                }
            window.sums([&](int t, int u, Float<W> sum) __attribute__((always_inline)) {
                add_logits<W>(parameters, s, channel, sum, logits + t * frame_logits + u * W, kWide<W>);
            });
        }
        for (int t = 0; t < s.frames; ++t)
            softmax<W>(logits + t * frame_logits, kWide<W>, s.scales, std::min(kWide<W>, task.last - p),
                       0.5f / static_cast<float>(s.k), task.weights + t * task.weight_stride + p - task.first,
                       s.frames * task.weight_stride);
    }
}

// Eq. 3 and 5 for kWide elements of the map from e on, of which `there` exist and `own` are this task's to write.
// affine(l, u) gives scale and shift, weight(l, t, u) the weight of vector u.
template <int W, class S, class Affine, class Weight>
MDHR_INLINE void fuse_lanes(const Task& task, Window<W>& window, float* totals, int64_t e, int64_t there, int64_t own,
                            Affine affine, Weight weight, Ahead* ahead) {
    const Clip& clip = *task.clip;
    const int frames = clip.shape.frames, scales = clip.shape.scales;
    const int64_t size = clip.shape.elements() * S::kSize, at = e * S::kSize + task.batch * frames * size;
    const float factor = 0.5f / static_cast<float>(clip.shape.k);
    for (int l = 0; l < scales; ++l) {
        const int64_t step = clip.maps.frame_stride[l];
        const char* map = frame(clip, l, task.batch, 0) + e * S::kSize;
        Float<W> before[2], scale[2], shift[2];
        for (int u = 0; u < 2; ++u) {
            affine(l, u, scale[u], shift[u]);
            before[u] = clip.maps.changes ? Float<W>{} : load<W, S>(map + u * W * S::kSize, there - u * W);
        }
        for (int j = 0; j < frames - 1; ++j) {
            map += step;
            ahead[l].ask();
            ahead[l].ask();
#pragma GCC unroll 2
            for (int u = 0; u < 2; ++u) {
                const Float<W> after = load<W, S>(map + u * W * S::kSize, there - u * W);
                write(window.row(j) + u * W, relu<W>((after - before[u]) * scale[u] + shift[u]));
                if (!clip.maps.changes) before[u] = after;
            }
        }
        char* mean = clip.means[l];
        window.sums([&](int t, int u, Float<W> sum) __attribute__((always_inline)) {
            float* total = totals + t * kWide<W> + u * W;
            const Float<W> part = weight(l, t, u) * sum;
            write(total, l == 0 ? part : read<Float<W>>(total) + part);
            if (mean) store<W, S>(mean + at + t * size + u * W * S::kSize, sum * factor, own - u * W);
        });
    }
    char* fused = clip.fused + at;
    for (int t = 0; t < frames; ++t, fused += size) {
        ahead[scales].template ask<1>();
        ahead[scales].template ask<1>();
        for (int u = 0; u < 2; ++u)
            store<W, S>(fused + u * W * S::kSize, read<Float<W>>(totals + t * kWide<W> + u * W), own - u * W);
    }
}

void fuse_channels_first(const Clip& clip, int threads);
void fuse_channels_last(const Clip& clip, int threads);

}  // namespace mdhr
