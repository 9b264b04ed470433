#include "bus/member_record.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "bus/log_admin.h"
#include "bus/member.pb-c.h"

enum { RECORD_VERSION = 1, RECORD_BYTES_MAX = 1 << 20, RECORD_ARENA_BYTES = 8 << 20 };

void mrd_member_record_copy(const struct mrd_member *from, struct mrd_member_record *out)
{
    out->member = *from;
    out->partitions = NULL;
    if (from->partition_count > 0) {
        out->partitions = calloc(from->partition_count, sizeof(*out->partitions));
        mrd_assert(out->partitions != NULL);
        memcpy(out->partitions, from->partitions, from->partition_count * sizeof(*out->partitions));
    }
    out->member.partitions = out->partitions;
}

void mrd_member_record_fini(struct mrd_member_record *record)
{
    free(record->partitions);
    record->partitions = NULL;
    record->member.partitions = NULL;
    record->member.partition_count = 0;
}

bool mrd_member_record_differs(const struct mrd_member_record *a, const struct mrd_member_record *b)
{
    const struct mrd_member *x = &a->member;
    const struct mrd_member *y = &b->member;
    if (x->kind != y->kind || strcmp(x->instance, y->instance) != 0 ||
        strcmp(x->zone, y->zone) != 0 || strcmp(x->ops_address, y->ops_address) != 0 ||
        x->leaving != y->leaving || x->reads_blocks != y->reads_blocks ||
        x->block_grace_ms != y->block_grace_ms || x->references_kept_ms != y->references_kept_ms ||
        x->incarnation != y->incarnation || strcmp(x->link.address, y->link.address) != 0 ||
        memcmp(x->link.secret, y->link.secret, MRD_LINK_SECRET_BYTES) != 0 ||
        x->partition_count != y->partition_count) {
        return true;
    }
    for (size_t i = 0; i < x->partition_count; i++) {
        if (x->partitions[i].partition != y->partitions[i].partition ||
            x->partitions[i].state != y->partitions[i].state ||
            x->partitions[i].sequence_first != y->partitions[i].sequence_first ||
            x->partitions[i].log.created_ns != y->partitions[i].log.created_ns ||
            x->partitions[i].log.base != y->partitions[i].log.base) {
            return true;
        }
    }
    return false;
}

/* protobuf-c only reads what it packs. */
static char *pb_text(const char *text) { return (char *)(uintptr_t)text; }

void mrd_member_record_encode(const struct mrd_member *member, struct mrd_buf *out)
{
    Mrd__Bus__MemberPartition *items = calloc(member->partition_count + 1, sizeof(*items));
    Mrd__Bus__MemberPartition **list = calloc(member->partition_count + 1, sizeof(*list));
    mrd_assert(items != NULL && list != NULL);
    for (size_t i = 0; i < member->partition_count; i++) {
        mrd__bus__member_partition__init(&items[i]);
        items[i].partition = member->partitions[i].partition;
        items[i].state = (uint32_t)member->partitions[i].state;
        items[i].sequence = member->partitions[i].sequence;
        items[i].sequence_first = member->partitions[i].sequence_first;
        items[i].log_created_ns = (uint64_t)member->partitions[i].log.created_ns;
        items[i].log_base = member->partitions[i].log.base;
        list[i] = &items[i];
    }
    Mrd__Bus__Member message;
    mrd__bus__member__init(&message);
    message.version = RECORD_VERSION;
    message.kind = (uint32_t)member->kind;
    message.instance = pb_text(member->instance);
    message.zone = pb_text(member->zone);
    message.ops_address = pb_text(member->ops_address);
    message.leaving = member->leaving;
    message.incarnation = member->incarnation;
    message.reads_blocks = member->reads_blocks;
    message.block_grace_ms = (uint64_t)member->block_grace_ms;
    message.references_kept_ms = (uint64_t)member->references_kept_ms;
    uint8_t secret[MRD_LINK_SECRET_BYTES];
    memcpy(secret, member->link.secret, sizeof(secret));
    if (member->link.address[0] != '\0') {
        message.link_address = pb_text(member->link.address);
        message.link_secret = (ProtobufCBinaryData){sizeof(secret), secret};
    }
    message.partitions = list;
    message.n_partitions = member->partition_count;
    const size_t size = mrd__bus__member__get_packed_size(&message);
    uint8_t *to = mrd_buf_reserve(out, size);
    if (to != NULL) {
        out->size += mrd__bus__member__pack(&message, to);
    }
    free(list);
    free(items);
}

static void *pb_alloc(void *arena, size_t size) { return mrd_arena_alloc(arena, size); }
static void pb_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

static bool text_take(const char *from, char out[MRD_MEMBER_TEXT_MAX])
{
    return (size_t)snprintf(out, MRD_MEMBER_TEXT_MAX, "%s", from) < MRD_MEMBER_TEXT_MAX;
}

/* An address that is too long, or comes without a secret, is of a later version: NATS is left. */
static void link_take(const Mrd__Bus__Member *message, struct mrd_link *out)
{
    if (strlen(message->link_address) < sizeof(out->address) &&
        message->link_secret.len == sizeof(out->secret)) {
        snprintf(out->address, sizeof(out->address), "%s", message->link_address);
        memcpy(out->secret, message->link_secret.data, sizeof(out->secret));
    }
}

static bool member_take(const Mrd__Bus__Member *message, struct mrd_member *out)
{
    out->kind = (enum mrd_member_kind)message->kind;
    out->leaving = message->leaving;
    out->incarnation = message->incarnation;
    out->reads_blocks = message->reads_blocks;
    out->block_grace_ms = (mrd_time_ms)MRD_MIN(message->block_grace_ms, (uint64_t)INT64_MAX);
    out->references_kept_ms =
        (mrd_time_ms)MRD_MIN(message->references_kept_ms, (uint64_t)INT64_MAX);
    link_take(message, &out->link);
    return message->version == RECORD_VERSION && message->kind >= MRD_MEMBER_DISTRIBUTOR &&
           message->kind <= MRD_MEMBER_COMPACTOR &&
           message->n_partitions <= MRD_LOG_PARTITIONS_MAX &&
           text_take(message->instance, out->instance) && text_take(message->zone, out->zone) &&
           text_take(message->ops_address, out->ops_address);
}

static bool partitions_take(const Mrd__Bus__Member *message, struct mrd_member_partition *out)
{
    for (size_t i = 0; i < message->n_partitions; i++) {
        const Mrd__Bus__MemberPartition *from = message->partitions[i];
        if (from->state > MRD_PARTITION_SERVING ||
            (i > 0 && from->partition <= out[i - 1].partition)) {
            return false;
        }
        out[i] = (struct mrd_member_partition){
            .partition = from->partition,
            .state = (enum mrd_partition_state)from->state,
            .sequence = from->sequence,
            .sequence_first = from->sequence_first,
            .log = {(int64_t)from->log_created_ns, from->log_base}
        };
    }
    return true;
}

enum mrd_status mrd_member_record_decode(struct mrd_bytes bytes, struct mrd_member_record *out,
                                         struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("member record", RECORD_ARENA_BYTES);
    ProtobufCAllocator allocator = {pb_alloc, pb_free, arena};
    const Mrd__Bus__Member *message =
        bytes.size > RECORD_BYTES_MAX
            ? NULL
            : mrd__bus__member__unpack(&allocator, bytes.size, bytes.data);
    struct mrd_member_record record = {0};
    bool good = message != NULL && member_take(message, &record.member);
    if (good && message->n_partitions > 0) {
        record.partitions = calloc(message->n_partitions, sizeof(*record.partitions));
        mrd_assert(record.partitions != NULL);
        good = partitions_take(message, record.partitions);
    }
    if (!good) {
        mrd_member_record_fini(&record);
        return mrd_fail(err, MRD_E_INVALID, "not a member record");
    }
    record.member.partitions = record.partitions;
    record.member.partition_count = message->n_partitions;
    *out = record;
    return MRD_OK;
}
