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
    }
}

enum mrd_status cat_record_next(struct mrd_reader *actions, enum cat_record_kind kind,
                                struct cat_action *out, struct mrd_error *err)
{
    const uint8_t number = mrd_read_u8(actions);
    if (number < CAT_ADD || number > CAT_PURGED) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "action %u in a record of the catalog: a later release wrote it", number);
    }
    *out = (struct cat_action){.kind = (enum cat_action_kind)number};
    action_read(actions, out);
    const bool fits = kind == CAT_CHECKPOINT ? out->kind != CAT_REMOVE && out->kind != CAT_PURGED
                                             : out->kind != CAT_GONE;
    return !actions->failed && fits
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "an action of a record is malformed");
}
