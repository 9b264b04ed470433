#include "base/threads.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
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

/* A system that refuses has reasons of its own, and everything works without. */
void mrd_thread_background_put(int kernel_id)
{
    (void)setpriority(PRIO_PROCESS, (id_t)kernel_id, MRD_THREAD_BACKGROUND_NICE);
}

void mrd_thread_background_enter(void)
{
    in_background = true;
    mrd_thread_background_put(mrd_thread_kernel_id());
}

bool mrd_thread_in_background(void) { return in_background; }

static int64_t cpu_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void mrd_thread_work_look(struct mrd_thread_work *work, int64_t now_ns)
{
    const int64_t long_ns = MRD_THREAD_LONG_MS * (int64_t)1000000;
    if (in_background || now_ns - work->since_ns < long_ns) {
        return;
    }
    const int64_t cpu_ns = cpu_now_ns();
    if (work->cpu_ns == 0) {
        work->cpu_ns = cpu_ns;
    } else if (cpu_ns - work->cpu_ns >= long_ns) {
        mrd_thread_background_enter();
    }
}
