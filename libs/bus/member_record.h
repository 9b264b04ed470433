/* member_record.h: a member's record as bytes (member.proto) and as an owned copy. Plain values. */
#ifndef MRD_BUS_MEMBER_RECORD_H
#define MRD_BUS_MEMBER_RECORD_H

#include "bus/members.h"

struct mrd_member_record {
    struct mrd_member member; /* its partitions point into our memory */
    struct mrd_member_partition *partitions;
};

void mrd_member_record_copy(const struct mrd_member *from, struct mrd_member_record *out);
void mrd_member_record_fini(struct mrd_member_record *record);

/* True if anything but applied sequences differs. */
bool mrd_member_record_differs(const struct mrd_member_record *a,
                               const struct mrd_member_record *b);

void mrd_member_record_encode(const struct mrd_member *member, struct mrd_buf *out);

/* MRD_E_INVALID if it is not one of ours; err may be NULL. */
MRD_MUST_CHECK enum mrd_status mrd_member_record_decode(struct mrd_bytes bytes,
                                                        struct mrd_member_record *out,
                                                        struct mrd_error *err);

#endif
