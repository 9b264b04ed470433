#include "base/threads.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"

void mrd_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    mrd_assert(pthread_condattr_init(&attributes) == 0);
    mrd_assert(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    mrd_assert(pthread_cond_init(cond, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes);
}

struct timespec mrd_cond_time(int64_t monotonic_ns)
{
    return (struct timespec){.tv_sec = monotonic_ns / 1000000000,
                             .tv_nsec = monotonic_ns % 1000000000};
}

void mrd_thread_name_set(const char *name)
{
    char kept[16]; /* the kernel's limit */
    (void)snprintf(kept, sizeof(kept), "%s", name);
    (void)pthread_setname_np(pthread_self(), kept);
}

static _Thread_local bool in_background;

int mrd_thread_kernel_id(void) { return gettid(); }

/* As linux/sched/types.h has it, which does not go together with pthread.h. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* of the policy SCHED_OTHER (0): the slice */
    uint64_t deadline_ns;
    uint64_t period_ns;
};
_Static_assert(sizeof(struct scheduling) == 48, "SCHED_ATTR_SIZE_VER0");

/* Slices of the usual length: 0. A system that refuses has reasons of its own, and everything works without. */
static void slices_set(int kernel_id, int nice_level, uint64_t slice_ns)
{
    const struct scheduling wanted = {
        .size = sizeof(wanted), .nice = nice_level, .runtime_ns = slice_ns};
    (void)syscall(SYS_sched_setattr, kernel_id, &wanted, 0);
}

static const uint64_t long_slice_ns = MRD_THREAD_LONG_SLICE_MS * (uint64_t)1000000;
static const int64_t slices_after_ns = MRD_THREAD_LONG_SLICES_AFTER_US * (int64_t)1000;

void mrd_thread_background_put(int kernel_id)
{
    (void)setpriority(PRIO_PROCESS, (id_t)kernel_id, MRD_THREAD_BACKGROUND_NICE);
    slices_set(kernel_id, MRD_THREAD_BACKGROUND_NICE, long_slice_ns);
}

static void own_slices_set(uint64_t slice_ns)
{
    const int kernel_id = mrd_thread_kernel_id();
    slices_set(kernel_id, getpriority(PRIO_PROCESS, (id_t)kernel_id), slice_ns);
}

void mrd_thread_background_enter(void)
{
    in_background = true;
    mrd_thread_background_put(mrd_thread_kernel_id());
}

bool mrd_thread_in_background(void) { return in_background; }

int64_t mrd_thread_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How long the work has used the processor, but for its first moments. */
static int64_t work_used_ns(struct mrd_thread_work *work, int64_t now_ns)
{
    if (now_ns - work->since_ns < slices_after_ns) {
        return 0;
    }
    const int64_t cpu_ns = mrd_thread_cpu_ns();
    if (work->cpu_ns == 0) {
        work->cpu_ns = cpu_ns;
    }
    return cpu_ns - work->cpu_ns;
}

static void slices_look(struct mrd_thread_work *work, int64_t used_ns)
{
    if (!work->slices_long && used_ns >= slices_after_ns) {
        work->slices_long = true;
        own_slices_set(long_slice_ns);
    }
}

void mrd_thread_work_look_at_slices(struct mrd_thread_work *work, int64_t now_ns)
{
    if (!work->slices_long) {
        slices_look(work, work_used_ns(work, now_ns));
    }
}

void mrd_thread_work_look(struct mrd_thread_work *work, int64_t now_ns)
{
    if (in_background) {
        return;
    }
    const int64_t used_ns = work_used_ns(work, now_ns);
    slices_look(work, used_ns);
    if (used_ns >= MRD_THREAD_LONG_MS * (int64_t)1000000) {
        mrd_thread_background_enter();
    }
}

void mrd_thread_work_end(struct mrd_thread_work *work)
{
    if (work->slices_long && !in_background) {
        own_slices_set(0);
    }
    work->slices_long = false;
}
