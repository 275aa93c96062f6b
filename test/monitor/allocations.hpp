#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define MCOMP_TEST_OWN_ALLOCATOR 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MCOMP_TEST_OWN_ALLOCATOR 0
#endif
#endif
#ifndef MCOMP_TEST_OWN_ALLOCATOR
#define MCOMP_TEST_OWN_ALLOCATOR 1
#endif

namespace mcomp_test {

/// Sanitizers have an operator new of their own, and nothing is counted there.
inline constexpr bool counts_allocations = MCOMP_TEST_OWN_ALLOCATOR != 0;

/// Calls of operator new by this thread.
[[nodiscard]] std::int64_t allocations();

} // namespace mcomp_test
