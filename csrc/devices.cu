// What CUDA says of its devices, of pointers and of errors.
#include <cuda_runtime.h>

#include "kernels.h"

namespace mdhr {

const char* cuda_message(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

int cuda_devices(int* count) { return cudaGetDeviceCount(count); }

int cuda_device_of(const void* address, int* device) {
    cudaPointerAttributes attributes = {};
    const cudaError_t error = cudaPointerGetAttributes(&attributes, address);
    *device = attributes.device;
    return error;
}

}  // namespace mdhr
