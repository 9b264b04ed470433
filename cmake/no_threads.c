/* Takes the place of what starts threads in unit tests that are not among mrd_threaded_tests: they are not run under
 * ThreadSanitizer, so nobody would look at their threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_natsConnection_Connect(void **out, void *options);

static void refuse(void)
{
    (void)fputs("This test starts a thread: it belongs to mrd_threaded_tests in CMakeLists.txt.\n",
                stderr);
    abort();
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    (void)thread;
    (void)attributes;
    (void)start;
    (void)argument;
    refuse();
    return 0;
}

/* The library's own threads call ours. */
int __wrap_natsConnection_Connect(void **out, void *options)
{
    (void)out;
    (void)options;
    refuse();
    return 0;
}
