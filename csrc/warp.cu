// Crops for CUDA, and what the extension asks CUDA itself. Everything is queued on the caller's stream; nothing waits.
#include <algorithm>

#include "cuda_common.h"

namespace mdhr {
namespace {

constexpr int kCrops = 16;  // crops of one launch

struct Poses {
    double to_image[kCrops][6];
    int taps[kCrops];
};

// One pixel of a crop a thread.
template <class T>
__global__ void warp_kernel(Warp w, Poses poses, int first) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= w.size || y >= w.size) return;
    const double* m = poses.to_image[blockIdx.z];
    const int taps = poses.taps[blockIdx.z];
    float sums[3] = {};
    for (int j = 0; j < taps; ++j)
        for (int i = 0; i < taps; ++i) {
            const double at_x = x + (i + 0.5) / taps - 0.5, at_y = y + (j + 0.5) / taps - 0.5;
            const double u = fmin(fmax(m[0] * at_x + m[1] * at_y + m[2], 0.0), w.width - 1.0);
            const double v = fmin(fmax(m[3] * at_x + m[4] * at_y + m[5], 0.0), w.height - 1.0);
            const int left = static_cast<int>(u), top = static_cast<int>(v);
            const int right = min(left + 1, w.width - 1), bottom = min(top + 1, w.height - 1);
            const float du = static_cast<float>(u - left), dv = static_cast<float>(v - top);
            const uint8_t *above = w.image + top * w.row_stride, *below = w.image + bottom * w.row_stride;
            for (int c = 0; c < 3; ++c) {
                const float a = above[3 * left + c], b = above[3 * right + c];
                const float d = below[3 * left + c], f = below[3 * right + c];
                const float upper = fmaf(du, b - a, a), lower = fmaf(du, f - d, d);
                sums[c] += fmaf(dv, lower - upper, upper);
            }
        }
    const int64_t plane = static_cast<int64_t>(w.size) * w.size, pixel = static_cast<int64_t>(y) * w.size + x;
    T* out = reinterpret_cast<T*>(w.out) + (first + static_cast<int>(blockIdx.z)) * 3 * plane;
    for (int c = 0; c < 3; ++c)
        put(out + (w.channels_last ? 3 * pixel + c : c * plane + pixel),
            fmaf(sums[2 - c], w.gain[c] / (taps * taps), w.offset[c]));
}

template <class T>
cudaError_t crop(const Warp& w, cudaStream_t stream) {
    for (int first = 0; first < w.crops; first += kCrops) {
        const int count = std::min(kCrops, w.crops - first);
        Poses poses = {};
        std::copy_n(w.to_image + 6 * first, 6 * count, &poses.to_image[0][0]);
        std::copy_n(w.taps + first, count, poses.taps);
        const dim3 grid(blocks(w.size, 32), blocks(w.size, 8), count);
        warp_kernel<T><<<grid, dim3(32, 8), 0, stream>>>(w, poses, first);
        if (const cudaError_t error = cudaGetLastError()) return error;
    }
    return cudaSuccess;
}

}  // namespace

int warp_cuda(const Warp& work, int device, void* stream) {
    const OnDevice on(device);
    if (on.error != cudaSuccess) return on.error;
    const auto queue = static_cast<cudaStream_t>(stream);
    if (work.dtype == DType::kFloat32) return crop<float>(work, queue);
    return work.dtype == DType::kFloat16 ? crop<__half>(work, queue) : crop<__nv_bfloat16>(work, queue);
}

const char* cuda_message(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

int cuda_devices(int* count) { return cudaGetDeviceCount(count); }

int cuda_device_of(const void* address, int* device) {
    cudaPointerAttributes attributes = {};
    const cudaError_t error = cudaPointerGetAttributes(&attributes, address);
    *device = attributes.device;
    return error;
}

}  // namespace mdhr
