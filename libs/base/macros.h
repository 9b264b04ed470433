/* macros.h: the few language extensions that all of Meridian's code relies on.
 *
 * mrd_auto(destroy) frees a variable on every path out of its scope; destroyers take T ** (or T *
 * for caller-owned structs) and accept the empty value. MRD_MOVE takes a pointer out of such a
 * variable. MRD_TRY is the one macro that hides a return; it is safe because of mrd_auto.
 */
#ifndef MRD_BASE_MACROS_H
#define MRD_BASE_MACROS_H

#include <stddef.h>
#include <stdint.h>

#define MRD_MUST_CHECK __attribute__((warn_unused_result))
#define MRD_PRINTF(format_index, first_index)                                                      \
    __attribute__((format(printf, format_index, first_index)))
#define MRD_NORETURN __attribute__((noreturn))
#define MRD_UNUSED __attribute__((unused))

/* For a function that only prefetches: gcc takes it for one without effects and drops its calls unless
 * it is inlined before that is looked at. */
#define MRD_ALWAYS_INLINE inline __attribute__((always_inline))

/* For a hot loop over columns: compiled twice, the CPU's abilities choose at start-up. Left out under
 * sanitizers, which may not be ready when that choice is made. */
#if defined(__x86_64__) && defined(__linux__) && defined(__OPTIMIZE__) &&                          \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define MRD_SIMD_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define MRD_SIMD_CLONES
#endif

#define mrd_likely(condition) __builtin_expect(!!(condition), 1)
#define mrd_unlikely(condition) __builtin_expect(!!(condition), 0)

/* mrd_auto(mrd_arena_destroy) struct mrd_arena *arena = ...; */
#define mrd_auto(destroyer) __attribute__((cleanup(destroyer)))

/* Takes the pointer out of `variable` and leaves NULL there. */
#define MRD_MOVE(variable)                                                                         \
    __extension__({                                                                                \
        __typeof__(variable) mrd_moved_ = (variable);                                              \
        (variable) = NULL;                                                                         \
        mrd_moved_;                                                                                \
    })

/* Returns from the calling function when `call` is not MRD_OK. The callee has filled the error. */
#define MRD_TRY(call)                                                                              \
    do {                                                                                           \
        const enum mrd_status mrd_try_status_ = (call);                                            \
        if (mrd_unlikely(mrd_try_status_ != MRD_OK)) {                                             \
            return mrd_try_status_;                                                                \
        }                                                                                          \
    } while (0)

/* The struct that holds `pointer` as its member: for nodes embedded in messages and lists. */
#define MRD_CONTAINER_OF(pointer, type, member)                                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define MRD_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#define MRD_MIN(a, b)                                                                              \
    __extension__({                                                                                \
        __typeof__(a) mrd_min_a_ = (a);                                                            \
        __typeof__(b) mrd_min_b_ = (b);                                                            \
        mrd_min_a_ < mrd_min_b_ ? mrd_min_a_ : mrd_min_b_;                                         \
    })
#define MRD_MAX(a, b)                                                                              \
    __extension__({                                                                                \
        __typeof__(a) mrd_max_a_ = (a);                                                            \
        __typeof__(b) mrd_max_b_ = (b);                                                            \
        mrd_max_a_ > mrd_max_b_ ? mrd_max_a_ : mrd_max_b_;                                         \
    })

/* Prints the failed condition and aborts. Stays on in release builds: nothing acknowledged is lost
 * by a restart, while going on with broken state might lose it. */
MRD_NORETURN void mrd_assert_failed(const char *condition, const char *file, int line);
#define mrd_assert(condition)                                                                      \
    (mrd_likely(condition) ? (void)0 : mrd_assert_failed(#condition, __FILE__, __LINE__))

#endif
