// The memory layout of DLPack 0.x's exchange structures (https://dmlc.github.io/dlpack), as far as it is read here.
#pragma once

#include <cstdint>

namespace mdhr {

struct DLDevice {
    int32_t device_type, device_id;
};

struct DLDataType {
    uint8_t code, bits;
    uint16_t lanes;
};

struct DLTensor {
    void* data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape, *strides;  // strides in elements; null where there are no gaps
    uint64_t byte_offset;
};

struct DLManagedTensor {
    DLTensor dl_tensor;
    void* manager_ctx;
    void (*deleter)(DLManagedTensor*);
};

}  // namespace mdhr
