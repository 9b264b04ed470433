/* threads.h: says which thread may call what, so that clang can check it (-Wthread-safety).
 *
 * A thread role is a capability without a run-time object. A function marked MRD_ON(role) may only be
 * called from functions that are marked the same way, or that have asserted the role, as the entry
 * points of a thread do:
 *
 *     void head_append(struct mrd_head *head, ...) MRD_ON(mrd_shard_thread);
 *
 * gcc ignores all of this; debug checks of the thread id stand beside it (mrd_shard_assert_on).
 */
#ifndef MRD_BASE_THREADS_H
#define MRD_BASE_THREADS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__clang__)
#define MRD_THREAD_ATTRIBUTE(attribute) __attribute__((attribute))
#else
#define MRD_THREAD_ATTRIBUTE(attribute)
#endif

/* struct MRD_ROLE_TYPE("name") tag { char unused; }; declares the type of a role. */
#define MRD_ROLE_TYPE(name) MRD_THREAD_ATTRIBUTE(capability(name))

/* May be called on the role's thread only. */
#define MRD_ON(role) MRD_THREAD_ATTRIBUTE(requires_capability(role))

/* After this call returns, the caller is known to be on the role's thread. */
#define MRD_ASSERTS_ON(role) MRD_THREAD_ATTRIBUTE(assert_capability(role))

/* A field that only the role's thread touches. */
#define MRD_OWNED_BY(role) MRD_THREAD_ATTRIBUTE(guarded_by(role))

/* Conditions whose timed waits go by mrd_clock_monotonic_ns, and such a time for pthread_cond_timedwait. */
void mrd_cond_init(pthread_cond_t *cond);
struct timespec mrd_cond_time(int64_t monotonic_ns);

/* Gives the calling thread a name (15 bytes at most are kept) for debuggers and top -H. */
void mrd_thread_name_set(const char *name);

/* Priority. What takes long is to step back behind what is short: a thread of the background gets a core when no other
 * wants it, and a tenth of it otherwise. Linux lets no thread come back from there without a privilege, so such a
 * thread ends with its work, and whatever thread it makes would be as low: let others make it. It should not
 * be where others wait for it: not in a shard's place (mrd_shard_try_run).
 *
 * A share is not all: whoever wakes up waits for the present one's slice, up to a tick of the kernel (4 ms), unless its own is
 * shorter (Linux 6.12 and newer; older ones do not know of it). So long work asks for long slices, which it hardly ever gets whole.
 */
enum { MRD_THREAD_BACKGROUND_NICE = 10, MRD_THREAD_LONG_SLICE_MS = 20 };

/* The calling thread, from now on. */
void mrd_thread_background_enter(void);
bool mrd_thread_in_background(void);

/* The kernel's id of the calling thread, and what another thread does with it: as background_enter, but that thread's
 * mrd_thread_in_background does not know. */
int mrd_thread_kernel_id(void);
void mrd_thread_background_put(int kernel_id);

/* One piece of work of the calling thread, which is asked at its checkpoints whether it is a long one. Long is what has used
 * the processor; what only waits is not. First the thread asks for long slices, so that others get its core as soon as they wake
 * up, but keeps its share: that costs a system call, and another one to take it back. Then it enters the background, if it may.
 * Zero-initialise but for since_ns, the monotonic time of its beginning. Cost of a look: nothing, until the work is
 * MRD_THREAD_LONG_SLICES_AFTER_US old; a system call from then on until there is no more to do. */
enum { MRD_THREAD_LONG_SLICES_AFTER_US = 250, MRD_THREAD_LONG_MS = 2 };
struct mrd_thread_work {
    int64_t since_ns;
    int64_t cpu_ns; /* the thread's processor time at the first look at work of that age; 0: none */
    bool slices_long;
};
/* Never into the background. */
void mrd_thread_work_look_at_slices(struct mrd_thread_work *work, int64_t now_ns);
void mrd_thread_work_look(struct mrd_thread_work *work, int64_t now_ns);
/* It is done: slices are as long as usual again, but in the background. */
void mrd_thread_work_end(struct mrd_thread_work *work);

/* The processor time of the calling thread. Cost: a system call. */
int64_t mrd_thread_cpu_ns(void);

#endif
