/* notice.h: what members must know before an answer is given: told to each of them, confirmed by each.
 *
 * A member listens under its name (subject mrd.notice.<instance>) before it enters itself among the members, so whoever is seen there
 * can be told. One that is not alive drops out of the members after MRD_MEMBERS_EXPIRE_MS and is not waited for any longer.
 *
 * Threads: any. on_notice is called on a thread of the library, one call at a time; it takes note and returns.
 */
#ifndef MRD_BUS_NOTICE_H
#define MRD_BUS_NOTICE_H

#include "bus/members.h"

enum { MRD_NOTICE_SIZE_MAX = 256 << 10 };

struct mrd_notice_listener;

/* MRD_OK confirms. Anything else is said to whoever tells, who then says it again until its time is over. */
typedef enum mrd_status mrd_on_notice(void *context, struct mrd_bytes notice,
                                      struct mrd_error *err);

MRD_MUST_CHECK enum mrd_status mrd_notice_listen(struct mrd_bus *bus, const char *instance,
                                                 mrd_on_notice *on_notice, void *context,
                                                 struct mrd_notice_listener **out_listener,
                                                 struct mrd_error *err);

/* No call to on_notice runs after the return. */
void mrd_notice_unlisten(struct mrd_notice_listener **listener);

struct mrd_notice {
    struct mrd_bytes bytes;
    uint32_t kinds;                     /* of members that must know: sum of MRD_NOTICE_TO(kind) */
    const char *except;                 /* an instance that is not told; NULL: none */
    int64_t deadline_ns;                /* monotonic clock */
    bool (*ended)(const void *context); /* asked now and then: nobody waits any more; NULL: never */
    const void *context;
};
#define MRD_NOTICE_TO(kind) (1U << (kind))

/* Tells all members of these kinds that live. MRD_OK: each has confirmed, those included that came meanwhile. MRD_E_TIMEOUT names
 * one that has not and how many there are, with what it answered; MRD_E_CANCELED: ended. */
MRD_MUST_CHECK enum mrd_status mrd_notice_tell(struct mrd_bus *bus, struct mrd_members *members,
                                               const struct mrd_notice *notice,
                                               struct mrd_error *err);

#endif
