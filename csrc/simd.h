// Vectors of W floats as GCC and Clang know them on every processor, and the storage types they are loaded from.
//
// A kernel is a template on W, always inlined into one function for each instruction set (MDHR_VERSIONS), so that its
// loops are compiled for that set. Functions that OpenMP outlines are not: parallel regions stay outside of kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels.h"

#define MDHR_INLINE inline __attribute__((always_inline))

namespace mdhr {

template <int W>
struct Simd {
    typedef float Float __attribute__((vector_size(W * 4)));
    typedef int32_t Int __attribute__((vector_size(W * 4)));
    typedef uint16_t Half __attribute__((vector_size(W * 2)));
};
template <int W>
using Float = typename Simd<W>::Float;
template <int W>
using Int = typename Simd<W>::Int;
template <int W>
using Half = typename Simd<W>::Half;

template <class V>
MDHR_INLINE V read(const void* from) {  // at any alignment
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class V>
MDHR_INLINE void write(void* to, V value) {
    std::memcpy(to, &value, sizeof value);
}

template <int W>
MDHR_INLINE Float<W> splat(float value) {
    return Float<W>{} + value;
}

// NaN stays NaN, as in torch.relu and np.maximum.
template <int W>
MDHR_INLINE Float<W> relu(Float<W> value) {
    return value < 0 ? Float<W>{} : value;
}

// Storage types: how W elements become floats and back. Rounding is to nearest even.
struct F32 {
    static constexpr int kSize = 4;
    template <int W>
    static MDHR_INLINE Float<W> load(const char* from) { return read<Float<W>>(from); }
    template <int W>
    static MDHR_INLINE void store(char* to, Float<W> value) { write(to, value); }
};

struct F16 {
    static constexpr int kSize = 2;
    template <int W>
    static MDHR_INLINE Float<W> load(const char* from) {
        const Int<W> bits = __builtin_convertvector(read<Half<W>>(from), Int<W>);
        // Exponent and mantissa in place, then the bias: a product also makes subnormals right.
        const Float<W> magnitude = (Float<W>)((bits & 0x7fff) << 13) * 0x1p112f;
        const Int<W> special = (magnitude >= 0x1p16f) & 0x7f800000;
        return (Float<W>)((Int<W>)magnitude | special | ((bits & 0x8000) << 16));
    }
    template <int W>
    static MDHR_INLINE void store(char* to, Float<W> value) {
        const Int<W> all = (Int<W>)value, bits = all & 0x7fffffff, zero = {};
        const Int<W> normal = (bits - 0x38000000 + 0xfff + ((bits >> 13) & 1)) >> 13;
        const Int<W> tiny = (Int<W>)((Float<W>)bits + 0.5f) - 0x3f000000;  // the sum rounds at the last bit
        const Int<W> special = (zero + 0x7c00) | ((bits > 0x7f800000) & 0x200);
        const Int<W> finite = bits < 0x38800000 ? tiny : normal;
        const Int<W> half = (bits >= 0x47800000 ? special : finite) | ((all >> 16) & 0x8000);
        write(to, __builtin_convertvector(half, Half<W>));
    }
};

struct BF16 {
    static constexpr int kSize = 2;
    template <int W>
    static MDHR_INLINE Float<W> load(const char* from) {
        return (Float<W>)(__builtin_convertvector(read<Half<W>>(from), Int<W>) << 16);
    }
    template <int W>
    static MDHR_INLINE void store(char* to, Float<W> value) {
        typedef uint32_t Word __attribute__((vector_size(W * 4)));
        const Word bits = (Word)value;
        const Word rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        const Word nan = (bits >> 16) | 0x40;
        const Word half = (bits & 0x7fffffff) > 0x7f800000 ? nan : rounded;
        write(to, __builtin_convertvector(half, Half<W>));
    }
};

// As many of W elements as there are; the others are 0 and are not touched.
template <int W, class S>
MDHR_INLINE Float<W> load(const char* from, int64_t there = W) {
    if (__builtin_expect(there >= W, true)) return S::template load<W>(from);
    if (there <= 0) return Float<W>{};
    char part[W * S::kSize] = {};
    std::memcpy(part, from, static_cast<size_t>(there) * S::kSize);
    return S::template load<W>(part);
}

template <int W, class S>
MDHR_INLINE void store(char* to, Float<W> value, int64_t there = W) {
    if (__builtin_expect(there >= W, true)) return S::template store<W>(to, value);
    if (there <= 0) return;
    char part[W * S::kSize];
    S::template store<W>(part, value);
    std::memcpy(to, part, static_cast<size_t>(there) * S::kSize);
}

template <int W>
MDHR_INLINE Float<W> load(const float* from, int64_t there = W) {
    return load<W, F32>(reinterpret_cast<const char*>(from), there);
}

template <int W>
MDHR_INLINE void store(float* to, Float<W> value, int64_t there = W) {
    store<W, F32>(reinterpret_cast<char*>(to), value, there);
}

// A kernel for the storage type that is only known when it runs.
template <class Kernel>
MDHR_INLINE void with_storage(int dtype, Kernel kernel) {
    if (dtype == MDHR_FLOAT32) return kernel(F32{});
    if (dtype == MDHR_FLOAT16) return kernel(F16{});
    kernel(BF16{});
}

// Which of a kernel's versions runs: 0 is the baseline of the processor family.
int version();
bool choose_instructions(const char* name);  // false where this processor has none of that name

}  // namespace mdhr

// name(args) runs name_body<W>(args) in the version for this processor.
#if defined(__x86_64__) && defined(__GNUC__)
#define MDHR_VERSIONS(name, Args)                                                                                    \
    static void name##_base(const Args& args) { name##_body<4>(args); }                                              \
    __attribute__((target("arch=x86-64-v3"))) static void name##_v3(const Args& args) { name##_body<8>(args); }      \
    __attribute__((target("arch=x86-64-v4"))) static void name##_v4(const Args& args) { name##_body<16>(args); }     \
    static void name(const Args& args) {                                                                             \
        const int wanted = version();                                                                                \
        (wanted == 2 ? name##_v4 : wanted == 1 ? name##_v3 : name##_base)(args);                                     \
    }
#else
#define MDHR_VERSIONS(name, Args) \
    static void name(const Args& args) { name##_body<4>(args); }
#endif
