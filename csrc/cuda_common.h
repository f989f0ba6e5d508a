// What the CUDA sources share: storage types, the current device, sizes of launches.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels.h"

namespace mdhr {
namespace {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline void put(float* at, float value) { *at = value; }
__device__ inline void put(__half* at, float value) { *at = __float2half_rn(value); }
__device__ inline void put(__nv_bfloat16* at, float value) { *at = __float2bfloat16_rn(value); }

__device__ inline float relu(float value) { return value < 0 ? 0 : value; }  // NaN stays

// V neighbours of a map, read or written at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
    T values[V];
};

// Makes `device` the current one while it lives.
class OnDevice {
  public:
    explicit OnDevice(int device) {
        if ((error = cudaGetDevice(&before_)) == cudaSuccess) error = cudaSetDevice(device);
    }
    ~OnDevice() { cudaSetDevice(before_); }
    cudaError_t error;

  private:
    int before_ = 0;
};

// Memory of the stream's pool; free again, in the stream's order, when this goes.
class Pool {
  public:
    Pool(int64_t floats, cudaStream_t stream) : stream_(stream) {
        error = cudaMallocAsync(reinterpret_cast<void**>(&data), sizeof(float) * std::max<int64_t>(floats, 1), stream);
    }
    ~Pool() {
        if (error == cudaSuccess) cudaFreeAsync(data, stream_);
    }
    float* data = nullptr;
    cudaError_t error;

  private:
    cudaStream_t stream_;
};

inline unsigned blocks(int64_t count, int64_t each) { return static_cast<unsigned>((count + each - 1) / each); }

}  // namespace
}  // namespace mdhr
