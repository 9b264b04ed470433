#include "base/threads.h"

#include <pthread.h>
#include <stdio.h>

void mrd_thread_name_set(const char *name)
{
    char kept[16]; /* the kernel's limit */
    (void)snprintf(kept, sizeof(kept), "%s", name);
    (void)pthread_setname_np(pthread_self(), kept);
}
