// SPDX-License-Identifier: Apache-2.0
// Which sanitizer this is compiled with, for GCC and Clang: EMULATOR_ASAN, EMULATOR_TSAN or
// neither.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN
#elif __has_feature(thread_sanitizer)
#define EMULATOR_TSAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN
#elif defined(__SANITIZE_THREAD__)
#define EMULATOR_TSAN
#endif
