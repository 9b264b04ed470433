#include "base/threads.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

void mrd_thread_background_put(int kernel_id)
{
    (void)setpriority(PRIO_PROCESS, (id_t)kernel_id, MRD_THREAD_BACKGROUND_NICE);
    slices_set(kernel_id, MRD_THREAD_BACKGROUND_NICE, long_slice_ns);
}

void mrd_thread_slices_long_set(bool on)
{
    const int kernel_id = mrd_thread_kernel_id();
    slices_set(kernel_id, getpriority(PRIO_PROCESS, (id_t)kernel_id), on ? long_slice_ns : 0);
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

bool mrd_thread_work_is_long(struct mrd_thread_work *work, int64_t now_ns)
{
    const int64_t long_ns = MRD_THREAD_LONG_MS * (int64_t)1000000;
    if (now_ns - work->since_ns < long_ns) {
        return false;
    }
    const int64_t cpu_ns = mrd_thread_cpu_ns();
    if (work->cpu_ns == 0) {
        work->cpu_ns = cpu_ns;
    }
    return cpu_ns - work->cpu_ns >= long_ns;
}

void mrd_thread_work_look(struct mrd_thread_work *work, int64_t now_ns)
{
    if (!in_background && mrd_thread_work_is_long(work, now_ns)) {
        mrd_thread_background_enter();
    }
}
