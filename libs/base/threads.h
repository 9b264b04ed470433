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

/* Gives the calling thread a name (15 bytes at most are kept) for debuggers and top -H. */
void mrd_thread_name_set(const char *name);

#endif
