// What clips and steps share on CUDA: the squeezing products and the adaptive weights. What is read from maps is
// coalesced; everything is queued on the caller's stream, scratch memory comes from and goes back to the stream's pool,
// and nothing waits.
#pragma once

#include <algorithm>
#include <cmath>

#include "cuda_common.h"

namespace mdhr {
namespace {

constexpr int kSteps = 4;      // differences that share one reading of the squeezing weights
constexpr int kSqueezed = 16;  // squeezed channels whose sums a thread keeps
constexpr int kThreads = 224;  // four channels of 7 x 7 positions and a little
constexpr int kStates = 32;    // states of one launch, which come as arguments

struct Rows {
    float *previous[kStates], *products[kStates];
    void* ring[kStates];
    int64_t count[kStates];
};

__device__ inline int channel_of(const Shape& s, int64_t e) { return static_cast<int>(e / s.positions); }

__device__ inline int position_of(const Shape& s, int64_t e) { return static_cast<int>(e % s.positions); }

template <class T>
__device__ inline const T* frame(const Maps& maps, int l, int b, int t) {
    return reinterpret_cast<const T*>(static_cast<const char*>(maps.data[l]) + b * maps.batch_stride[l] + t * maps.frame_stride[l]);
}

// Where squeezed channels go and come from: part `slice` of the sum for (b, l, o, j, p).
struct Table {
    float* data;
    Rows rows;       // of the states, where it is their table
    bool of_states;
    int steps, slices;

    __device__ float* at(const Shape& s, int slice, int b, int l, int o, int j, int p) const {
        const int64_t inner = (static_cast<int64_t>(l) * s.squeezed + o) * s.positions + p;
        const int64_t frame_size = static_cast<int64_t>(s.scales) * s.squeezed * s.positions;
        if (of_states) return rows.products[b] + j * frame_size + inner;
        return data + ((static_cast<int64_t>(slice) * s.batch + b) * steps + j) * frame_size + inner;
    }
    __device__ int step(const Shape& s, int b, int j) const {
        return of_states ? static_cast<int>((rows.count[b] - 1 + steps) % steps) : j;
    }
};

// The squeezing products. Blocks: x: slices x groups of steps x tiles of positions, y: scales, z: batch. A thread keeps
// one position and goes through every `ways`-th channel.
template <class Differences>
__global__ void __launch_bounds__(kThreads, 2)
    products_kernel(Shape s, Differences differences, const float* squeeze, Table table, int steps, int tile) {
    extern __shared__ float partial[];
    const int l = blockIdx.y, b = blockIdx.z, groups = (steps + kSteps - 1) / kSteps;
    const int slice = blockIdx.x % table.slices, group = blockIdx.x / table.slices % groups;
    const int tile_start = blockIdx.x / table.slices / groups * tile;
    const int ways = blockDim.x / tile, local = threadIdx.x % tile, way = threadIdx.x / tile;
    const int p = tile_start + local, first_step = group * kSteps, count = min(kSteps, steps - first_step);
    const bool active = local < tile && p < s.positions && way < ways;
    const int begin = static_cast<int64_t>(s.channels) * slice / table.slices;
    const int end = static_cast<int64_t>(s.channels) * (slice + 1) / table.slices;
    for (int o0 = 0; o0 < s.squeezed; o0 += kSqueezed) {
        float sums[kSteps][kSqueezed] = {};
        for (int c = begin + way; active && c < end; c += ways) {
            const int64_t e = static_cast<int64_t>(c) * s.positions + p;
            float weights[kSqueezed];
#pragma unroll
            for (int o = 0; o < kSqueezed; ++o)
                weights[o] = o0 + o < s.squeezed ? squeeze[(static_cast<int64_t>(l) * s.squeezed + o0 + o) * s.channels + c] : 0;
#pragma unroll
            for (int j = 0; j < kSteps; ++j) {
                const float value = j < count ? differences(s, b, l, first_step + j, c, e) : 0;
#pragma unroll
                for (int o = 0; o < kSqueezed; ++o) sums[j][o] = fmaf(weights[o], value, sums[j][o]);
            }
        }
        // The ways' sums in a fixed order, so that results are the same every time.
#pragma unroll
        for (int j = 0; j < kSteps; ++j) {
#pragma unroll
            for (int o = 0; o < kSqueezed; ++o) partial[o * blockDim.x + threadIdx.x] = sums[j][o];
            __syncthreads();
            if (way == 0 && active && j < count)
                for (int o = 0; o < min(kSqueezed, s.squeezed - o0); ++o) {
                    const float* from = partial + o * blockDim.x + local;
                    float total = 0;
                    for (int w = 0; w < ways; ++w) total += from[w * tile];
                    *table.at(s, slice, b, l, o0 + o, table.step(s, b, first_step + j), p) = total;
                }
            __syncthreads();
        }
    }
}

// Eq. 4. Blocks: x: positions, y: frames, z: batch; one thread a position. weights (B, T, L, P) have 1 / 2k in them.
__global__ void weights_kernel(Shape s, Parameters parameters, Table table, int frames, float* weights) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x, t = blockIdx.y, b = blockIdx.z;
    if (p >= s.positions) return;
    const float factor = 0.5f / s.k;
    const int low = table.of_states ? 0 : max(t - s.k, 0);
    const int high = table.of_states ? table.steps : min(t + s.k, table.steps);
    float logits[kMaxScales], most = -INFINITY, total = 0;
    for (int l = 0; l < s.scales; ++l) logits[l] = parameters.weigh_bias[l];
    for (int channel = 0; channel < s.scales * s.squeezed; ++channel) {
        float sum = 0;
        for (int j = low; j < high; ++j)
            for (int slice = 0; slice < table.slices; ++slice)
                sum += *table.at(s, slice, b, channel / s.squeezed, channel % s.squeezed, j, p);
        const float value = relu(fmaf(sum, factor, parameters.squeeze_bias[channel]));
        for (int l = 0; l < s.scales; ++l)
            logits[l] = fmaf(parameters.weigh[l * s.scales * s.squeezed + channel], value, logits[l]);
    }
    for (int l = 0; l < s.scales; ++l) most = logits[l] > most ? logits[l] : most;
    for (int l = 0; l < s.scales; ++l) total += logits[l] = expf(logits[l] - most);
    for (int l = 0; l < s.scales; ++l)
        weights[((static_cast<int64_t>(b) * frames + t) * s.scales + l) * s.positions + p] = logits[l] * factor / total;
}

template <class Differences>
void launch_products(const Shape& s, int batch, int steps, const Differences& differences, const float* squeeze,
                     const Table& table, cudaStream_t stream) {
    const int tile = std::min(s.positions, kThreads);
    const unsigned groups = blocks(steps, kSteps), tiles = blocks(s.positions, tile);
    const dim3 grid(table.slices * groups * tiles, s.scales, batch);
    products_kernel<<<grid, kThreads, kSqueezed * kThreads * sizeof(float), stream>>>(s, differences, squeeze, table, steps, tile);
}

}  // namespace
}  // namespace mdhr
