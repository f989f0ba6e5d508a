// Which instruction set the kernels run with: the widest that this processor has, or a narrower one that was asked for.
#include <atomic>
#include <cstring>

#include "simd.h"

namespace mdhr {

#if defined(__x86_64__) && defined(__GNUC__)
// Feature by feature: GCC 11 and Clang 14 do not know the levels x86-64-v3 and v4 by name here.
static bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

static bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

#if defined(__x86_64__) && defined(__GNUC__)
static const char* const names[] = {"sse2", "avx2", "avx512"};
static int widest() { return !has_avx2() ? 0 : has_avx512() ? 2 : 1; }
#elif defined(__aarch64__)
static const char* const names[] = {"neon"};
static int widest() { return 0; }
#else
static const char* const names[] = {"portable"};
static int widest() { return 0; }
#endif

static std::atomic<int>& chosen() {
    static std::atomic<int> value{widest()};
    return value;
}

int version() { return chosen().load(std::memory_order_relaxed); }

bool choose_instructions(const char* name) {
    for (int i = 0; i <= widest(); ++i)
        if (std::strcmp(names[i], name) == 0) {
            chosen().store(i, std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace mdhr

const char* mdhr_instruction_set() { return mdhr::names[mdhr::version()]; }
