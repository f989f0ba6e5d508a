// The dynamics of whole clips for CUDA.
#include "dynamics_cuda.h"

namespace mdhr {
namespace {

// Normalised differences of a clip.
template <class T>
struct ClipDifferences {
    Maps maps;
    Parameters parameters;
    __device__ float operator()(const Shape& s, int b, int l, int j, int c, int64_t e) const {
        const float before = maps.changes ? 0 : to_float(frame<T>(maps, l, b, j)[e]);
        const float change = to_float(frame<T>(maps, l, b, j + 1)[e]) - before;
        return relu(fmaf(change, parameters.scale[l * s.channels + c], parameters.shift[l * s.channels + c]));
    }
};

// Eq. 1, 3 and 5: V elements a thread, blocks y: batch. The windows are those of csrc/dynamics.h, their slots in shared
// memory: every slot holds a tail of the block before until its frame is done, then the difference that comes in.
template <class T, int V>
__global__ void fuse_kernel(Clip clip, int width, const float* weights) {
    extern __shared__ float slots[];  // (L, width, V, threads)
    const Shape s = clip.shape;
    const int b = blockIdx.y, frames = s.frames, reach = width / 2;
    const int64_t e = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V;
    if (e >= elements(s)) return;
    const auto slot = [&](int l, int i, int v) -> float& {
        return slots[((l * width + i) * V + v) * blockDim.x + threadIdx.x];
    };
    float before[kMaxScales][V] = {}, head[kMaxScales][V] = {};
    const auto read = [&](int l, int t) { return *reinterpret_cast<const Pack<T, V>*>(frame<T>(clip.maps, l, b, t) + e); };
    const auto difference = [&](int l, int j, int v, float after) {
        const int c = channel_of(s, e + v);
        const float value = fmaf(after - before[l][v], clip.parameters.scale[l * s.channels + c],
                                 clip.parameters.shift[l * s.channels + c]);
        if (!clip.maps.changes) before[l][v] = after;
        return relu(value);
    };
    // Row i of the padded differences is difference i - reach; rows 0 ... width - 1 are the first block.
    for (int l = 0; l < s.scales; ++l) {
        const Pack<T, V> first = read(l, 0);
        for (int v = 0; v < V; ++v) before[l][v] = clip.maps.changes ? 0 : to_float(first.values[v]);
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
            for (int v = 0; v < V; ++v) {
                const float sum = slot(l, i, v) + head[l][v];
                const float weight = weights[((static_cast<int64_t>(b) * frames + t) * s.scales + l) * s.positions +
                                             position_of(s, e + v)];
                total[v] = fmaf(weight, sum, total[v]);
                slot(l, i, v) = there ? difference(l, j, v, to_float(after.values[v])) : 0;
                head[l][v] += slot(l, i, v);
            }
        }
        Pack<T, V> fused;
        for (int v = 0; v < V; ++v) put(&fused.values[v], total[v]);
        *reinterpret_cast<Pack<T, V>*>(reinterpret_cast<T*>(clip.fused) +
                                       (static_cast<int64_t>(b) * frames + t) * elements(s) + e) = fused;
    }
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
    const dim3 grid(blocks(elements(s), static_cast<int64_t>(threads) * V), s.batch);
    fuse_kernel<T, V><<<grid, threads, bytes(), stream>>>(clip, width, weights);
    return cudaGetLastError();
}

// Whether V elements of every frame lie on V times their size.
template <class T>
bool aligned(const Clip& clip, int v) {
    const int64_t unit = static_cast<int64_t>(sizeof(T)) * v;
    bool good = elements(clip.shape) % v == 0 && reinterpret_cast<uintptr_t>(clip.fused) % unit == 0;
    for (int l = 0; l < clip.shape.scales; ++l)
        good = good && reinterpret_cast<uintptr_t>(clip.maps.data[l]) % unit == 0 &&
               clip.maps.batch_stride[l] % unit == 0 &&
               clip.maps.frame_stride[l] % unit == 0;
    return good;
}

template <class T>
cudaError_t fuse(const Clip& clip, cudaStream_t stream) {
    constexpr int kPack = 8 / sizeof(T);
    const Shape& s = clip.shape;
    const int steps = s.frames - 1, slices = std::max(1, std::min(8, s.channels / 64));
    const Pool products(static_cast<int64_t>(slices) * s.batch * steps * s.scales * s.squeezed * s.positions, stream);
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

}  // namespace

const char* cuda_message(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

int fuse_clip_cuda(const Clip& clip, int device, void* stream) {
    const OnDevice on(device);
    if (on.error != cudaSuccess) return on.error;
    const auto queue = static_cast<cudaStream_t>(stream);
    if (clip.maps.dtype == MDHR_FLOAT32) return fuse<float>(clip, queue);
    return clip.maps.dtype == MDHR_FLOAT16 ? fuse<__half>(clip, queue) : fuse<__nv_bfloat16>(clip, queue);
}

}  // namespace mdhr
