#include "catalog/record.h"

#include "base/hash.h"

enum { VERSION = 1, CRC_SIZE = 4 };
static const char MAGIC[4] = {'M', 'R', 'D', 'C'};

/* ---- writing ---- */

static void put_text(struct mrd_buf *out, struct mrd_bytes text)
{
    mrd_buf_append_varint(out, text.size);
    mrd_buf_append_bytes(out, text);
}

void cat_record_begin(struct mrd_buf *out, const struct cat_header *header)
{
    mrd_buf_append(out, MAGIC, sizeof(MAGIC));
    mrd_buf_append_u8(out, VERSION);
    mrd_buf_append_u8(out, (uint8_t)header->kind);
    mrd_buf_append_varint(out, header->number);
    mrd_buf_append_zigzag(out, header->time_ms);
    put_text(out, header->writer);
    mrd_buf_append(out, header->nonce, sizeof(header->nonce));
}

static void put_gone(struct mrd_buf *out, const struct mrd_catalog_gone *gone)
{
    put_text(out, gone->id);
    put_text(out, gone->data_key);
    put_text(out, gone->sidecar_key);
    mrd_buf_append_zigzag(out, gone->since_ms);
}

static void put_table(struct mrd_buf *out, const struct mrd_catalog_table_change *table)
{
    put_text(out, table->tenant);
    put_text(out, table->name);
    put_text(out, table->from_key);
    put_text(out, table->to_key);
}

static void put_id128(struct mrd_buf *out, struct mrd_id128 id)
{
    mrd_buf_append_u64(out, id.low);
    mrd_buf_append_u64(out, id.high);
}

static void put_erasure(struct mrd_buf *out, const struct mrd_catalog_erasure_change *erasure)
{
    put_id128(out, erasure->id);
    put_text(out, erasure->tenant);
    mrd_buf_append_u64(out, erasure->hlc);
    mrd_buf_append_zigzag(out, erasure->time_min_ms);
    mrd_buf_append_zigzag(out, erasure->time_max_ms);
    put_text(out, erasure->request_key);
    put_text(out, erasure->request_digest);
    mrd_buf_append_varint(out, erasure->partition_count);
    for (uint32_t p = 0; p < erasure->partition_count; p++) {
        mrd_buf_append_varint(out, erasure->sequences[p]);
    }
}

static void put_settled(struct mrd_buf *out, const struct mrd_catalog_settled *settled)
{
    put_id128(out, settled->erasure);
    put_text(out, settled->block);
    mrd_buf_append_varint(out, settled->samples);
}

static void put_erasing(struct mrd_buf *out, const struct cat_erasing_action *erasing)
{
    put_erasure(out, &erasing->erasure.change);
    mrd_buf_append_zigzag(out, erasing->since_ms);
    mrd_buf_append_varint(out, erasing->changed);
    mrd_buf_append_zigzag(out, erasing->changed_ms);
    mrd_buf_append_varint(out, erasing->blocks);
    mrd_buf_append_varint(out, erasing->samples);
    mrd_buf_append_varint(out, erasing->owed_count);
    mrd_buf_append_bytes(out, erasing->owed);
    mrd_buf_append_varint(out, erasing->leaving_count);
    mrd_buf_append_bytes(out, erasing->leaving);
}

static void put_receipt(struct mrd_buf *out, const struct mrd_catalog_receipt *receipt)
{
    put_id128(out, receipt->id);
    put_text(out, receipt->tenant);
    mrd_buf_append_u64(out, receipt->hlc);
    mrd_buf_append_zigzag(out, receipt->time_min_ms);
    mrd_buf_append_zigzag(out, receipt->time_max_ms);
    put_text(out, receipt->request_digest);
    mrd_buf_append_zigzag(out, receipt->since_ms);
    mrd_buf_append_zigzag(out, receipt->done_ms);
    mrd_buf_append_varint(out, receipt->blocks);
    mrd_buf_append_varint(out, receipt->samples);
}

static void put_identity(struct mrd_buf *out, struct mrd_log_identity log)
{
    mrd_buf_append_zigzag(out, log.created_ns);
    mrd_buf_append_varint(out, log.base);
}

static void put_log(struct mrd_buf *out, const struct mrd_catalog_log_change *log)
{
    mrd_buf_append_varint(out, log->partition);
    mrd_buf_append_varint(out, log->built);
    put_identity(out, log->from);
    put_identity(out, log->to);
    mrd_buf_append_zigzag(out, log->stored_ms);
}

void cat_record_add(struct mrd_buf *out, const struct cat_action *action)
{
    mrd_buf_append_u8(out, (uint8_t)action->kind);
    switch (action->kind) {
    case CAT_ADD:
        put_text(out, action->entry);
        return;
    case CAT_REMOVE:
    case CAT_PURGED:
        put_text(out, action->id);
        return;
    case CAT_BUILT:
        mrd_buf_append_varint(out, action->built.partition);
        mrd_buf_append_varint(out, action->built.from);
        mrd_buf_append_varint(out, action->built.to);
        return;
    case CAT_TABLE:
        put_table(out, &action->table);
        return;
    case CAT_GONE:
        put_gone(out, &action->gone);
        return;
    case CAT_ERASURE:
        put_erasure(out, &action->erasure.change);
        return;
    case CAT_SETTLED:
        put_settled(out, &action->settled);
        return;
    case CAT_DONE:
        put_id128(out, action->done);
        return;
    case CAT_ERASING:
        put_erasing(out, &action->erasing);
        return;
    case CAT_RECEIPT:
        put_receipt(out, &action->receipt);
        return;
    case CAT_LOG:
        put_log(out, &action->log);
        return;
    case CAT_GRACE:
        mrd_buf_append_varint(out, (uint64_t)action->grace.ms);
        return;
    case CAT_GRACE_HELD:
        mrd_buf_append_varint(out, (uint64_t)action->grace.ms);
        mrd_buf_append_varint(out, (uint64_t)action->grace.before_ms);
        mrd_buf_append_zigzag(out, action->grace.before_until_ms);
        return;
    }
    mrd_assert(false);
}

void cat_record_end(struct mrd_buf *out)
{
    mrd_buf_append_u32(out, mrd_crc32c(0, mrd_buf_view(out)));
}

/* ---- reading ---- */

static struct mrd_bytes read_text(struct mrd_reader *reader, size_t size_max)
{
    const uint64_t size = mrd_read_varint(reader);
    if (size > size_max) {
        mrd_reader_fail(reader);
        return MRD_BYTES_NONE;
    }
    return mrd_read_bytes(reader, size);
}

static bool header_read(struct mrd_reader *reader, struct cat_header *out)
{
    const uint8_t kind = mrd_read_u8(reader);
    out->kind = (enum cat_record_kind)kind;
    out->number = mrd_read_varint(reader);
    out->time_ms = mrd_zigzag_decode(mrd_read_varint(reader));
    out->writer = read_text(reader, MRD_CATALOG_WRITER_SIZE_MAX);
    const struct mrd_bytes nonce = mrd_read_bytes(reader, sizeof(out->nonce));
    if (reader->failed || (kind != CAT_COMMIT && kind != CAT_CHECKPOINT) || out->number == 0) {
        return false;
    }
    memcpy(out->nonce, nonce.data, sizeof(out->nonce));
    return true;
}

enum mrd_status cat_record_open(struct mrd_bytes bytes, struct cat_header *out,
                                struct mrd_reader *out_actions, struct mrd_error *err)
{
    if (bytes.size < sizeof(MAGIC) + 2 + CRC_SIZE ||
        memcmp(bytes.data, MAGIC, sizeof(MAGIC)) != 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "no record of a catalog");
    }
    const struct mrd_bytes body = {bytes.data, bytes.size - CRC_SIZE};
    struct mrd_reader crc =
        mrd_reader_of((struct mrd_bytes){bytes.data + body.size, (size_t)CRC_SIZE});
    if (mrd_read_u32(&crc) != mrd_crc32c(0, body)) {
        return mrd_fail(err, MRD_E_CORRUPT, "the CRC of %zu bytes is wrong", bytes.size);
    }
    *out_actions = mrd_reader_of(body);
    (void)mrd_read_bytes(out_actions, sizeof(MAGIC));
    const uint8_t version = mrd_read_u8(out_actions);
    if (version != VERSION) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "version %u of the catalog's format: a later release wrote it", version);
    }
    *out = (struct cat_header){0};
    return header_read(out_actions, out)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "the header of a record is malformed");
}

static void read_gone(struct mrd_reader *reader, struct mrd_catalog_gone *out)
{
    out->id = read_text(reader, MRD_BLOCK_ID_SIZE_MAX);
    out->data_key = read_text(reader, MRD_BLOCK_KEY_SIZE_MAX);
    out->sidecar_key = read_text(reader, MRD_BLOCK_KEY_SIZE_MAX);
    out->since_ms = mrd_zigzag_decode(mrd_read_varint(reader));
    if (out->id.size == 0 || !mrd_objstore_key_valid(out->data_key) ||
        !mrd_objstore_key_valid(out->sidecar_key)) {
        mrd_reader_fail(reader);
    }
}

static void read_built(struct mrd_reader *reader, struct mrd_catalog_built_change *out)
{
    const uint64_t partition = mrd_read_varint(reader);
    out->from = mrd_read_varint(reader);
    out->to = mrd_read_varint(reader);
    out->partition = (uint32_t)partition;
    if (partition > UINT32_MAX || out->to <= out->from) {
        mrd_reader_fail(reader);
    }
}

static void read_table(struct mrd_reader *reader, struct mrd_catalog_table_change *out)
{
    out->tenant = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    out->name = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    out->from_key = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    out->to_key = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    if (out->tenant.size == 0 || out->name.size == 0 ||
        mrd_bytes_equal(out->from_key, out->to_key)) {
        mrd_reader_fail(reader);
    }
}

static struct mrd_id128 read_id128(struct mrd_reader *reader)
{
    struct mrd_id128 id;
    id.low = mrd_read_u64(reader);
    id.high = mrd_read_u64(reader);
    return id;
}

static struct mrd_bytes read_digest(struct mrd_reader *reader)
{
    const struct mrd_bytes digest = read_text(reader, MRD_CATALOG_DIGEST_SIZE);
    if (digest.size != MRD_CATALOG_DIGEST_SIZE) {
        mrd_reader_fail(reader);
    }
    return digest;
}

/* What the reader has gone over since `before`, of the same bytes. */
static struct mrd_bytes passed_over(const struct mrd_reader *before,
                                    const struct mrd_reader *reader)
{
    const size_t size = mrd_reader_left(before) - mrd_reader_left(reader);
    struct mrd_reader again = *before;
    return reader->failed ? MRD_BYTES_NONE : mrd_read_bytes(&again, size);
}

static void read_sequences(struct mrd_reader *reader, struct cat_erasure_action *out)
{
    const uint64_t count = mrd_read_varint(reader);
    const struct mrd_reader before = *reader;
    if (count == 0 || count > MRD_CATALOG_PARTITIONS_MAX) {
        mrd_reader_fail(reader);
        return;
    }
    for (uint64_t p = 0; p < count; p++) {
        if (mrd_read_varint(reader) == 0) {
            mrd_reader_fail(reader);
        }
    }
    out->change.partition_count = (uint32_t)count;
    out->sequences = passed_over(&before, reader);
}

static void read_erasure(struct mrd_reader *reader, struct cat_erasure_action *out)
{
    struct mrd_catalog_erasure_change *change = &out->change;
    change->id = read_id128(reader);
    change->tenant = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    change->hlc = mrd_read_u64(reader);
    change->time_min_ms = mrd_read_zigzag(reader);
    change->time_max_ms = mrd_read_zigzag(reader);
    change->request_key = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    change->request_digest = read_digest(reader);
    read_sequences(reader, out);
    if (change->tenant.size == 0 || change->time_max_ms < change->time_min_ms ||
        !mrd_objstore_key_valid(change->request_key)) {
        mrd_reader_fail(reader);
    }
}

static void read_settled(struct mrd_reader *reader, struct mrd_catalog_settled *out)
{
    out->erasure = read_id128(reader);
    out->block = read_text(reader, MRD_BLOCK_ID_SIZE_MAX);
    out->samples = mrd_read_varint(reader);
    if (out->block.size == 0) {
        mrd_reader_fail(reader);
    }
}

struct mrd_bytes cat_record_id(struct mrd_reader *ids)
{
    const struct mrd_bytes id = read_text(ids, MRD_BLOCK_ID_SIZE_MAX);
    if (id.size == 0) {
        mrd_reader_fail(ids);
    }
    return id;
}

static void read_ids(struct mrd_reader *reader, size_t *out_count, struct mrd_bytes *out)
{
    const uint64_t count = mrd_read_varint(reader);
    const struct mrd_reader before = *reader;
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        (void)cat_record_id(reader);
    }
    *out_count = (size_t)count;
    *out = passed_over(&before, reader);
}

static void read_erasing(struct mrd_reader *reader, struct cat_erasing_action *out)
{
    read_erasure(reader, &out->erasure);
    out->since_ms = mrd_read_zigzag(reader);
    out->changed = mrd_read_varint(reader);
    out->changed_ms = mrd_read_zigzag(reader);
    out->blocks = mrd_read_varint(reader);
    out->samples = mrd_read_varint(reader);
    read_ids(reader, &out->owed_count, &out->owed);
    read_ids(reader, &out->leaving_count, &out->leaving);
}

static void read_receipt(struct mrd_reader *reader, struct mrd_catalog_receipt *out)
{
    out->id = read_id128(reader);
    out->tenant = read_text(reader, MRD_CATALOG_NAME_SIZE_MAX);
    out->hlc = mrd_read_u64(reader);
    out->time_min_ms = mrd_read_zigzag(reader);
    out->time_max_ms = mrd_read_zigzag(reader);
    out->request_digest = read_digest(reader);
    out->since_ms = mrd_read_zigzag(reader);
    out->done_ms = mrd_read_zigzag(reader);
    out->blocks = mrd_read_varint(reader);
    out->samples = mrd_read_varint(reader);
    if (out->tenant.size == 0) {
        mrd_reader_fail(reader);
    }
}

static struct mrd_log_identity read_identity(struct mrd_reader *reader)
{
    struct mrd_log_identity log;
    log.created_ns = mrd_read_zigzag(reader);
    log.base = mrd_read_varint(reader);
    return log;
}

static void read_log(struct mrd_reader *reader, struct mrd_catalog_log_change *out)
{
    const uint64_t partition = mrd_read_varint(reader);
    out->partition = (uint32_t)partition;
    out->built = mrd_read_varint(reader);
    out->from = read_identity(reader);
    out->to = read_identity(reader);
    out->stored_ms = mrd_read_zigzag(reader);
    if (partition > UINT32_MAX || !mrd_log_identity_known(out->to)) {
        mrd_reader_fail(reader);
    }
}

static mrd_time_ms read_grace_ms(struct mrd_reader *reader)
{
    const uint64_t ms = mrd_read_varint(reader);
    if (ms < (uint64_t)MRD_CATALOG_GRACE_MS_MIN || ms > (uint64_t)MRD_CATALOG_GRACE_MS_MAX) {
        mrd_reader_fail(reader);
        return 0;
    }
    return (mrd_time_ms)ms;
}

static void action_read(struct mrd_reader *reader, struct cat_action *out)
{
    switch (out->kind) {
    case CAT_ADD:
        out->entry = read_text(reader, MRD_BLOCK_ENTRY_SIZE_MAX);
        return;
    case CAT_REMOVE:
    case CAT_PURGED:
        out->id = read_text(reader, MRD_BLOCK_ID_SIZE_MAX);
        return;
    case CAT_BUILT:
        read_built(reader, &out->built);
        return;
    case CAT_TABLE:
        read_table(reader, &out->table);
        return;
    case CAT_GONE:
        read_gone(reader, &out->gone);
        return;
    case CAT_ERASURE:
        read_erasure(reader, &out->erasure);
        return;
    case CAT_SETTLED:
        read_settled(reader, &out->settled);
        return;
    case CAT_DONE:
        out->done = read_id128(reader);
        return;
    case CAT_ERASING:
        read_erasing(reader, &out->erasing);
        return;
    case CAT_RECEIPT:
        read_receipt(reader, &out->receipt);
        return;
    case CAT_LOG:
        read_log(reader, &out->log);
        return;
    case CAT_GRACE:
        out->grace.ms = read_grace_ms(reader);
        return;
    case CAT_GRACE_HELD:
        out->grace.ms = read_grace_ms(reader);
        out->grace.before_ms = read_grace_ms(reader);
        out->grace.before_until_ms = mrd_read_zigzag(reader);
        return;
    }
}

/* Bits of kinds: actions that make a state out of nothing, and those that change one. */
static const unsigned OF_CHECKPOINTS = 1U << CAT_ADD | 1U << CAT_GONE | 1U << CAT_BUILT |
                                       1U << CAT_TABLE | 1U << CAT_ERASING | 1U << CAT_RECEIPT |
                                       1U << CAT_LOG | 1U << CAT_GRACE_HELD;
static const unsigned OF_COMMITS =
    1U << CAT_ADD | 1U << CAT_REMOVE | 1U << CAT_BUILT | 1U << CAT_TABLE | 1U << CAT_PURGED |
    1U << CAT_ERASURE | 1U << CAT_SETTLED | 1U << CAT_DONE | 1U << CAT_LOG | 1U << CAT_GRACE;

enum mrd_status cat_record_next(struct mrd_reader *actions, enum cat_record_kind kind,
                                struct cat_action *out, struct mrd_error *err)
{
    const uint8_t number = mrd_read_u8(actions);
    if (number < CAT_ADD || number > CAT_GRACE_HELD) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "action %u in a record of the catalog: a later release wrote it", number);
    }
    *out = (struct cat_action){.kind = (enum cat_action_kind)number};
    action_read(actions, out);
    const unsigned allowed = kind == CAT_CHECKPOINT ? OF_CHECKPOINTS : OF_COMMITS;
    return !actions->failed && (allowed >> number & 1U) != 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "an action of a record is malformed");
}
