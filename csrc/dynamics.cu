// The dynamics of clips and of steps for CUDA. What is read from maps is coalesced; everything is queued on the caller's stream, scratch
// memory comes from and goes back to the stream's pool, and nothing waits.
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
    int64_t row[kStates], count[kStates];
};

__device__ inline int channel_of(const Shape& s, int64_t e) {
    return static_cast<int>(s.channels_last ? e % s.channels : e / s.positions);
}

__device__ inline int position_of(const Shape& s, int64_t e) {
    return static_cast<int>(s.channels_last ? e / s.channels : e % s.positions);
}

template <class T>
__device__ inline const T* frame(const Maps& maps, int l, int b, int t) {
    return reinterpret_cast<const T*>(maps.data[l] + b * maps.batch_stride[l] + t * maps.frame_stride[l]);
}

// Normalised differences of a clip; and those in the slots of states' rings.
template <class T>
struct ClipDifferences {
    Maps maps;
    Parameters parameters;
    __device__ float operator()(const Shape& s, int b, int l, int j, int c, int64_t e) const {
        const float change = to_float(frame<T>(maps, l, b, j + 1)[e]) - to_float(frame<T>(maps, l, b, j)[e]);
        return relu(fmaf(change, parameters.scale[l * s.channels + c], parameters.shift[l * s.channels + c]));
    }
};

struct RingDifferences {
    const float* ring;
    Rows rows;
    __device__ float operator()(const Shape& s, int b, int l, int, int, int64_t e) const {
        const int slots = 2 * s.k;
        const int64_t slot = rows.row[b] * slots + (rows.count[b] - 1 + slots) % slots;
        return ring[(slot * s.scales + l) * s.elements() + e];
    }
};

// Where squeezed channels go and come from: part `slice` of the sum for (b, l, o, j, p).
struct Table {
    float* data;
    Rows rows;       // of the states, where it is their table
    bool of_states;
    int steps, slices;

    __device__ float* at(const Shape& s, int slice, int b, int l, int o, int j, int p) const {
        const int64_t inner = (static_cast<int64_t>(l) * s.width + o) * s.positions + p;
        const int64_t frame_size = static_cast<int64_t>(s.scales) * s.width * s.positions;
        if (of_states) return data + (rows.row[b] * steps + j) * frame_size + inner;
        return data + ((static_cast<int64_t>(slice) * s.batch + b) * steps + j) * frame_size + inner;
    }
    __device__ int step(const Shape& s, int b, int j) const {
        return of_states ? static_cast<int>((rows.count[b] - 1 + steps) % steps) : j;
    }
};

// The squeezing products. Blocks: x: slices x groups of steps x tiles of positions, y: scales, z: batch. NCHW: a thread
// keeps one position and goes through every `ways`-th channel. NHWC: a warp keeps one position, its lanes the channels.
template <class Differences>
__global__ void __launch_bounds__(kThreads, 2) products_kernel(Shape s, Differences differences, const float* squeeze, Table table, int steps,
                                int tile) {
    extern __shared__ float partial[];
    const int l = blockIdx.y, b = blockIdx.z, groups = (steps + kSteps - 1) / kSteps;
    const int slice = blockIdx.x % table.slices, group = blockIdx.x / table.slices % groups;
    const int tile_start = blockIdx.x / table.slices / groups * tile;
    const int ways = s.channels_last ? 32 : blockDim.x / tile;
    const int local = s.channels_last ? threadIdx.x / 32 : threadIdx.x % tile;
    const int way = s.channels_last ? threadIdx.x % 32 : threadIdx.x / tile;
    const int p = tile_start + local, first_step = group * kSteps, count = min(kSteps, steps - first_step);
    const bool active = local < tile && p < s.positions && way < ways;
    const int begin = static_cast<int64_t>(s.channels) * slice / table.slices;
    const int end = static_cast<int64_t>(s.channels) * (slice + 1) / table.slices;
    for (int o0 = 0; o0 < s.width; o0 += kSqueezed) {
        float sums[kSteps][kSqueezed] = {};
        for (int c = begin + way; active && c < end; c += ways) {
            const int64_t e = s.channels_last ? static_cast<int64_t>(p) * s.channels + c
                                              : static_cast<int64_t>(c) * s.positions + p;
            float weights[kSqueezed];
#pragma unroll
            for (int o = 0; o < kSqueezed; ++o)
                weights[o] = o0 + o < s.width ? squeeze[(static_cast<int64_t>(l) * s.width + o0 + o) * s.channels + c] : 0;
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
                for (int o = 0; o < min(kSqueezed, s.width - o0); ++o) {
                    const float* from = partial + o * blockDim.x + (s.channels_last ? threadIdx.x : local);
                    float total = 0;
                    for (int w = 0; w < ways; ++w) total += from[w * (s.channels_last ? 1 : tile)];
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
    for (int channel = 0; channel < s.scales * s.width; ++channel) {
        float sum = 0;
        for (int j = low; j < high; ++j)
            for (int slice = 0; slice < table.slices; ++slice)
                sum += *table.at(s, slice, b, channel / s.width, channel % s.width, j, p);
        const float value = relu(fmaf(sum, factor, parameters.squeeze_bias[channel]));
        for (int l = 0; l < s.scales; ++l)
            logits[l] = fmaf(parameters.weigh[l * s.scales * s.width + channel], value, logits[l]);
    }
    for (int l = 0; l < s.scales; ++l) most = logits[l] > most ? logits[l] : most;
    for (int l = 0; l < s.scales; ++l) total += logits[l] = expf(logits[l] - most);
    for (int l = 0; l < s.scales; ++l)
        weights[((static_cast<int64_t>(b) * frames + t) * s.scales + l) * s.positions + p] = logits[l] * factor / total;
}

// Eq. 1, 3 and 5: V elements a thread, blocks y: batch. The windows are those of csrc/dynamics.h, their slots in shared
// memory: every slot holds a tail of the block before until its frame is done, then the difference that comes in.
template <class T, int V>
__global__ void fuse_kernel(Clip clip, int width, const float* weights) {
    extern __shared__ float slots[];  // (L, width, V, threads)
    const Shape s = clip.shape;
    const int b = blockIdx.y, frames = s.frames, reach = width / 2;
    const int64_t e = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V;
    if (e >= s.elements()) return;
    const auto slot = [&](int l, int i, int v) -> float& {
        return slots[((l * width + i) * V + v) * blockDim.x + threadIdx.x];
    };
    float before[kMaxScales][V] = {}, head[kMaxScales][V] = {};
    const auto read = [&](int l, int t) { return *reinterpret_cast<const Pack<T, V>*>(frame<T>(clip.maps, l, b, t) + e); };
    const auto difference = [&](int l, int j, int v, float after) {
        const int c = channel_of(s, e + v);
        const float value = fmaf(after - before[l][v], clip.parameters.scale[l * s.channels + c],
                                 clip.parameters.shift[l * s.channels + c]);
        before[l][v] = after;
        return relu(value);
    };
    // Row i of the padded differences is difference i - reach; rows 0 ... width - 1 are the first block.
    for (int l = 0; l < s.scales; ++l) {
        const Pack<T, V> first = read(l, 0);
        for (int v = 0; v < V; ++v) before[l][v] = to_float(first.values[v]);
        for (int i = 0; i < width; ++i) {
            const int j = i - reach;
            const bool there = j >= 0 && j < frames - 1;
            const Pack<T, V> after = there ? read(l, j + 1) : first;
            for (int v = 0; v < V; ++v) slot(l, i, v) = there ? difference(l, j, v, to_float(after.values[v])) : 0;
        }
    }
    for (int t = 0; t < frames; ++t) {
        const int i = t % width, j = t + width - reach;  // difference j comes into the window after frame t
        const bool there = j < frames - 1;
        float total[V] = {};
        for (int l = 0; l < s.scales; ++l) {
            if (i == 0)
                for (int v = 0; v < V; ++v) {
                    float tail = head[l][v] = 0;
                    for (int n = width - 1; n >= 0; --n) tail = slot(l, n, v) += tail;
                }
            const Pack<T, V> after = there ? read(l, j + 1) : Pack<T, V>{};
            Pack<T, V> mean;
            for (int v = 0; v < V; ++v) {
                const float sum = slot(l, i, v) + head[l][v];
                const float weight = weights[((static_cast<int64_t>(b) * frames + t) * s.scales + l) * s.positions +
                                             position_of(s, e + v)];
                total[v] = fmaf(weight, sum, total[v]);
                put(&mean.values[v], sum * (0.5f / s.k));
                slot(l, i, v) = there ? difference(l, j, v, to_float(after.values[v])) : 0;
                head[l][v] += slot(l, i, v);
            }
            if (clip.means[l])
                *reinterpret_cast<Pack<T, V>*>(reinterpret_cast<T*>(clip.means[l]) +
                                               (static_cast<int64_t>(b) * frames + t) * s.elements() + e) = mean;
        }
        Pack<T, V> fused;
        for (int v = 0; v < V; ++v) put(&fused.values[v], total[v]);
        *reinterpret_cast<Pack<T, V>*>(reinterpret_cast<T*>(clip.fused) +
                                       (static_cast<int64_t>(b) * frames + t) * s.elements() + e) = fused;
    }
}

// One element of every state a thread: blocks y: scales, z: states.
template <class T>
__global__ void advance_kernel(Step step, Rows rows, int first) {
    const Shape s = step.shape;
    const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (e >= s.elements()) return;
    const int l = blockIdx.y, state = blockIdx.z, c = channel_of(s, e), slots = 2 * s.k;
    float* previous = step.previous + (rows.row[state] * s.scales + l) * s.elements() + e;
    float value = 0;
    if (step.maps.data[l]) {
        const float now = to_float(frame<T>(step.maps, l, first + state, 0)[e]);
        value = relu(fmaf(now - *previous, step.parameters.scale[l * s.channels + c],
                          step.parameters.shift[l * s.channels + c]));
        *previous = now;
    }
    const int64_t slot = rows.row[state] * slots + (rows.count[state] - 1 + slots) % slots;
    if (rows.count[state] > 0) step.ring[(slot * s.scales + l) * s.elements() + e] = value;
}

__global__ void fuse_step_kernel(Step step, Rows rows, int first, const float* weights) {
    const Shape s = step.shape;
    const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (e >= s.elements()) return;
    const int state = blockIdx.y, slots = 2 * s.k, p = position_of(s, e);
    float total = 0;
    for (int l = 0; l < s.scales; ++l) {
        float sum = 0;
        for (int i = 0; i < slots; ++i)
            sum += step.ring[((rows.row[state] * slots + i) * s.scales + l) * s.elements() + e];
        total = fmaf(weights[(static_cast<int64_t>(state) * s.scales + l) * s.positions + p], sum, total);
    }
    step.fused[(first + state) * s.elements() + e] = rows.count[state] < s.k ? NAN : total;
}

template <class Differences>
void launch_products(const Shape& s, int batch, int steps, const Differences& differences, const float* squeeze,
                     const Table& table, cudaStream_t stream) {
    const int tile = s.channels_last ? kThreads / 32 : std::min(s.positions, kThreads);
    const unsigned groups = blocks(steps, kSteps), tiles = blocks(s.positions, tile);
    const dim3 grid(table.slices * groups * tiles, s.scales, batch);
    products_kernel<<<grid, kThreads, kSqueezed * kThreads * sizeof(float), stream>>>(s, differences, squeeze, table, steps, tile);
}

template <class T, int V>
cudaError_t launch_fuse(const Clip& clip, const float* weights, cudaStream_t stream) {
    const Shape& s = clip.shape;
    const int width = 2 * std::min(s.k, std::max(s.frames - 1, 1));
    int threads = 128;
    const auto bytes = [&] { return sizeof(float) * s.scales * width * V * threads; };
    while (threads > 32 && bytes() > 48 * 1024) threads /= 2;
    if (bytes() > 48 * 1024) {
        const cudaError_t error = cudaFuncSetAttribute(fuse_kernel<T, V>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       static_cast<int>(bytes()));
        if (error != cudaSuccess) return error;
    }
    const dim3 grid(blocks(s.elements(), static_cast<int64_t>(threads) * V), s.batch);
    fuse_kernel<T, V><<<grid, threads, bytes(), stream>>>(clip, width, weights);
    return cudaGetLastError();
}

// Whether V elements of every frame lie on V times their size.
template <class T>
bool aligned(const Clip& clip, int v) {
    const int64_t unit = static_cast<int64_t>(sizeof(T)) * v;
    bool good = clip.shape.elements() % v == 0 && reinterpret_cast<uintptr_t>(clip.fused) % unit == 0;
    for (int l = 0; l < clip.shape.scales; ++l)
        good = good && reinterpret_cast<uintptr_t>(clip.maps.data[l]) % unit == 0 &&
               reinterpret_cast<uintptr_t>(clip.means[l]) % unit == 0 && clip.maps.batch_stride[l] % unit == 0 &&
               clip.maps.frame_stride[l] % unit == 0;
    return good;
}

template <class T>
cudaError_t fuse(const Clip& clip, cudaStream_t stream) {
    constexpr int kPack = 8 / sizeof(T);
    const Shape& s = clip.shape;
    const int steps = s.frames - 1, slices = std::max(1, std::min(8, s.channels / 64));
    const Pool products(static_cast<int64_t>(slices) * s.batch * steps * s.scales * s.width * s.positions, stream);
    const Pool weights(static_cast<int64_t>(s.batch) * s.frames * s.scales * s.positions, stream);
    if (products.error != cudaSuccess || weights.error != cudaSuccess) return std::max(products.error, weights.error);
    const Table table = {products.data, {}, false, steps, slices};
    if (steps > 0)
        launch_products(s, s.batch, steps, ClipDifferences<T>{clip.maps, clip.parameters}, clip.parameters.squeeze,
                        table, stream);
    const dim3 grid(blocks(s.positions, 64), s.frames, s.batch);
    weights_kernel<<<grid, 64, 0, stream>>>(s, clip.parameters, table, s.frames, weights.data);
    if (const cudaError_t error = cudaGetLastError()) return error;
    const bool packed = aligned<T>(clip, kPack);
    return packed ? launch_fuse<T, kPack>(clip, weights.data, stream) : launch_fuse<T, 1>(clip, weights.data, stream);
}

template <class T>
cudaError_t advance(const Step& step, int first, cudaStream_t stream) {
    const Shape& s = step.shape;
    const int states = std::min(kStates, s.batch - first), slots = 2 * s.k;
    const int64_t slot_products = static_cast<int64_t>(s.scales) * s.width * s.positions;
    const Pool weights(static_cast<int64_t>(states) * s.scales * s.positions, stream);
    if (weights.error != cudaSuccess) return weights.error;
    Rows rows = {};
    for (int i = 0; i < states; ++i) {
        const int64_t row = rows.row[i] = step.rows[first + i];
        rows.count[i] = step.counts[row];
        if (rows.count[i] > 0) continue;
        const int64_t ring = slots * s.scales * s.elements(), products = slots * slot_products;
        cudaMemsetAsync(step.ring + row * ring, 0, sizeof(float) * ring, stream);
        cudaMemsetAsync(step.products + row * products, 0, sizeof(float) * products, stream);
    }
    advance_kernel<T><<<dim3(blocks(s.elements(), 256), s.scales, states), 256, 0, stream>>>(step, rows, first);
    const Table table = {step.products, rows, true, slots, 1};
    launch_products(s, states, 1, RingDifferences{step.ring, rows}, step.parameters.squeeze, table, stream);
    const dim3 grid(blocks(s.positions, 64), 1, states);
    weights_kernel<<<grid, 64, 0, stream>>>(s, step.parameters, table, 1, weights.data);
    fuse_step_kernel<<<dim3(blocks(s.elements(), 256), states), 256, 0, stream>>>(step, rows, first, weights.data);
    const cudaError_t error = cudaGetLastError();
    for (int i = 0; error == cudaSuccess && i < states; ++i)
        if (step.maps.data[0] || rows.count[i] > 0) ++step.counts[rows.row[i]];
    return error;
}

}  // namespace

int fuse_clip_cuda(const Clip& clip, int device, void* stream) {
    const OnDevice on(device);
    if (on.error != cudaSuccess) return on.error;
    const auto queue = static_cast<cudaStream_t>(stream);
    if (clip.maps.dtype == DType::kFloat32) return fuse<float>(clip, queue);
    return clip.maps.dtype == DType::kFloat16 ? fuse<__half>(clip, queue) : fuse<__nv_bfloat16>(clip, queue);
}

int fuse_step_cuda(const Step& step, int device, void* stream) {
    const OnDevice on(device);
    cudaError_t error = on.error;
    const auto queue = static_cast<cudaStream_t>(stream);
    for (int first = 0; error == cudaSuccess && first < step.shape.batch; first += kStates)
        error = step.maps.dtype == DType::kFloat32   ? advance<float>(step, first, queue)
                : step.maps.dtype == DType::kFloat16 ? advance<__half>(step, first, queue)
                                                     : advance<__nv_bfloat16>(step, first, queue);
    return error;
}

}  // namespace mdhr
