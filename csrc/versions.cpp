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

std::vector<const char*> instruction_sets() {
#if defined(__x86_64__) && defined(__GNUC__)
    std::vector<const char*> sets = {"sse2"};
    if (!has_avx2()) return sets;
    sets.push_back("avx2");
    if (has_avx512()) sets.push_back("avx512");
    return sets;
#elif defined(__aarch64__)
    return {"neon"};
#else
    return {"portable"};
#endif
}

static std::atomic<int>& chosen() {
    static std::atomic<int> value{static_cast<int>(instruction_sets().size()) - 1};
    return value;
}

int version() { return chosen().load(std::memory_order_relaxed); }

const char* instruction_set() { return instruction_sets()[static_cast<size_t>(version())]; }

bool set_instruction_set(const char* name) {
    const auto sets = instruction_sets();
    for (size_t i = 0; i < sets.size(); ++i)
        if (std::strcmp(sets[i], name) == 0) {
            chosen().store(static_cast<int>(i), std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace mdhr
